/*-------------------------------------------------------------------------
 *
 * tuf_internal.h
 *	  What the files of the TUF client share with each other, and nobody else.
 *
 * tuf_metadata.c	reads a file: JSON, shapes, keyids; knows nothing of trust
 * tuf_verify.c		signatures and thresholds, lengths and hashes, expiry
 * tuf_text.c		times and path patterns
 * tuf_store.c		the trusted files on disk
 * tuf_client.c		what is trusted, in memory, and loading it
 * tuf_refresh.c	the workflow that decides what becomes trusted
 * tuf_lookup.c		delegations and targets of what is trusted
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TUF_INTERNAL_H
#define DEPOT_TUF_INTERNAL_H

#include "common/tuf.h"

/* A role name as metadata may spell it, percent-encoded, with ".json": what a file name may be long. */
#define DEPOT_TUF_FILE_NAME_BYTES 256

/* What errors call a piece of metadata: "snapshot metadata". */
#define DEPOT_TUF_LABEL_BYTES 96

/* One verified piece of metadata.  envelope NULL: none. */
typedef struct DepotTufDocument
{
	json_t	   *envelope;		/* owned */
	const json_t *body;			/* its "signed" */
	int64_t		version;
	int64_t		expires_epoch_s;
}			DepotTufDocument;

/*
 * A delegated role that was loaded.  It counts for this delegation only: the
 * same file may be trusted by one delegator and not by another.
 */
typedef struct DepotTufDelegated
{
	const char *delegator;		/* role name, borrowed from a document that lives as long */
	const json_t *delegation;	/* its entry there */
	const char *name;			/* borrowed from the entry */
	DepotTufDocument document;
}			DepotTufDelegated;

struct DepotTufClient
{
	int			directory_fd;	/* the caller's */
	int			whole_fd;		/* where what is loaded comes from instead, or -1 */
	int64_t		reference_time_s;
	DepotTufDocument root;
	DepotTufDocument timestamp;
	DepotTufDocument snapshot;
	DepotTufDocument targets;
	DepotTufDelegated delegated[DEPOT_TUF_MAX_DELEGATIONS];
	int			delegated_count;
	bool		check_expiry;	/* of what is loaded on demand */
};

/* Who must have signed a piece of metadata, and what its parent says of it. */
typedef struct DepotTufExpect
{
	const char *role;			/* "snapshot", "pg15-linux-amd64" */
	const char *type;			/* its _type */
	const json_t *keys;			/* of the delegator */
	const json_t *threshold;	/* the delegator's entry: keyids and threshold */
	const json_t *meta;			/* {version, length?, hashes?} in the parent; NULL for root and timestamp */
	size_t		max_bytes;		/* cap of this kind of role */
}			DepotTufExpect;

/* tuf_metadata.c */
extern const char *depot_tuf_label(const char *role, char label[DEPOT_TUF_LABEL_BYTES]);
extern const json_t *depot_tuf_delegations(const json_t *targets_body); /* array of entries; NULL when there are none */
extern const json_t *depot_tuf_delegation_keys(const json_t *targets_body);

/* tuf_verify.c */
extern bool depot_tuf_check_bytes(const json_t *meta, const DepotBuffer *bytes, const char *what,
								  DepotError *error);
extern bool depot_tuf_check_expiry(const DepotTufDocument *document, const char *what,
								   int64_t reference_time_s,
								   DepotError *error);

/*
 * Runs the checks L2 to L9 on bytes and takes them as document (freeing what it held); on failure document
 * is as it was.  A version other than the parent's is refused; expiry is not looked at.
 */
extern bool depot_tuf_accept(const DepotTufExpect *expect, const DepotBuffer *bytes,
							 DepotTufDocument *document,
							 DepotError *error);
extern void depot_tuf_document_free(DepotTufDocument *document);

/* tuf_store.c: *present is false when there is no such file (or one larger than any valid one). */
extern bool depot_tuf_store_read(int directory_fd, const char *role, size_t max_bytes, DepotBuffer *bytes,
								 bool *present, DepotError *error);
extern bool depot_tuf_store_write(int directory_fd, const char *role, const DepotBuffer *bytes,
								  DepotError *error);
extern bool depot_tuf_store_read_root(int directory_fd, int64_t version, DepotBuffer *bytes, bool *present,
									  DepotError *error);
extern bool depot_tuf_store_write_root(int directory_fd, int64_t version, const DepotBuffer *bytes,
									   DepotError *error);

/*
 * Keeps copies of these roles' files as the last set that was whole: a refresh
 * replaces file by file, and one that fails halfway leaves files of two times.
 */
extern bool depot_tuf_store_keep_whole(int directory_fd, const char *const *roles, int role_count,
									   DepotError *error);

/* Opens what was kept so; -1 when there is nothing. */
extern int	depot_tuf_store_open_whole(int directory_fd);

/* Writes "<version>.<role, percent-encoded>.json", or without "<version>." when version is 0. */
extern bool depot_tuf_file_name(const char *role, int64_t version, char out[DEPOT_TUF_FILE_NAME_BYTES],
								DepotError *error);

/*
 * tuf_client.c: returns a delegated role, from memory or from disk when it is there as
 * the snapshot names it; NULL and error otherwise.
 */
extern const DepotTufDocument *depot_tuf_load_delegated(DepotTufClient *client, const char *delegator,
														 const json_t *delegator_body,
														 const json_t *delegation,
														 DepotError *error);

/* Takes bytes as the root after the trusted one: signed by both, and exactly one version on. */
extern bool depot_tuf_accept_next_root(DepotTufClient *client, const DepotBuffer *bytes, DepotError *error);

/* Fill expect from the trusted parents of a role; an error when a parent does not list it. */
extern bool depot_tuf_expect_top_level(const DepotTufClient *client, const char *role, DepotTufExpect *expect,
									   DepotError *error);
extern bool depot_tuf_expect_delegated(const DepotTufClient *client, const json_t *delegator_body,
									   const json_t *delegation, DepotTufExpect *expect, DepotError *error);

/* Returns the entry of the top-level targets role that delegates to role, or NULL. */
extern const json_t *depot_tuf_find_delegation(const DepotTufClient *client, const char *role);

/* Moves document into the client; the caller has made sure that there is room. */
extern DepotTufDocument *depot_tuf_add_delegated(DepotTufClient *client, const char *delegator,
												 const json_t *delegation, DepotTufDocument *document);

/* Frees everything but the root. */
extern void depot_tuf_forget(DepotTufClient *client);

#endif							/* DEPOT_TUF_INTERNAL_H */
