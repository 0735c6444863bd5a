/*-------------------------------------------------------------------------
 *
 * tuf_internal.h
 *	  What the files of the TUF client share with each other, and nobody else.
 *
 * tuf_metadata.c	reads a file: JSON, shapes, keyids; knows nothing of trust
 * tuf_metadata_delegations.c	the same for the delegations in it
 * tuf_keys.c		keys, and thresholds of signatures
 * tuf_verify.c		lengths and hashes, expiry, and whether a file is what its parent says
 * tuf_text.c		times and path patterns
 * tuf_store.c		the trusted files on disk
 * tuf_client.c		what is trusted, in memory, and loading it
 * tuf_refresh.c	the workflow that decides what becomes trusted
 * tuf_adopt.c		the same for what another place remembers
 * tuf_evidence.c	the same from the documents that prove one target
 * tuf_keep.c		keeps those documents
 * tuf_delegation.c	which role a delegation means, and for which paths
 * tuf_lookup.c		targets of what is trusted, and the search for one
 * tuf_target.c		where a target's file is, and whether it is what was signed
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TUF_INTERNAL_H
#define DEPOT_TUF_INTERNAL_H

#include "common/json.h"
#include "common/tuf.h"

/* A role name as metadata may spell it, percent-encoded, with ".json": what a file name may be long. */
#define DEPOT_TUF_FILE_NAME_BYTES 256

/* The same with the directory that a replaced file is moved to. */
#define DEPOT_TUF_STORED_PATH_BYTES (DEPOT_TUF_FILE_NAME_BYTES + 8)

/* The name of a role; one that needs more has no file name either. */
#define DEPOT_TUF_ROLE_NAME_BYTES 256

/* What errors call a piece of metadata: "snapshot metadata". */
#define DEPOT_TUF_LABEL_BYTES 96

typedef struct DepotTufProof DepotTufProof;

/* One verified piece of metadata.  envelope NULL: none. */
typedef struct DepotTufDocument
{
	json_t	   *envelope;		/* owned */
	const json_t *body;			/* its "signed" */
	int64_t		version;
	int64_t		expires_epoch_s;
	char		sha256[65];		/* of its file */
} DepotTufDocument;

/* Who delegates what to whom.  All is borrowed. */
typedef struct DepotTufDelegation
{
	const json_t *delegator_body;	/* "signed" of the delegator */
	const json_t *entry;		/* there: one of "roles", or "succinct_roles" */
	const char *name;			/* of the delegated role */
} DepotTufDelegation;

/*
 * A delegated role that was loaded.  It counts for this delegation only: the same file may be trusted by one
 * delegator and not by another, so the delegator's document, not its name, is half of what it is found by.
 */
typedef struct DepotTufDelegated
{
	struct DepotTufDelegated *next;
	DepotTufDelegation delegation;	/* its name is the one below */
	DepotTufDocument document;
	char		name[DEPOT_TUF_ROLE_NAME_BYTES];
} DepotTufDelegated;

struct DepotTufClient
{
	int			directory_fd;	/* the caller's */
	bool		is_from_whole;	/* what is loaded is the last whole set, not what is newest of each role */
	const DepotTufProof *proof; /* or from evidence alone; else NULL */
	int64_t		reference_time_s;
	DepotTufDocument root;
	DepotTufDocument timestamp;
	DepotTufDocument snapshot;
	DepotTufDocument targets;
	DepotTufDelegated *delegated;	/* in the order in which they were loaded */
	DepotTufKeyTypes key_types;
	bool		check_expiry;	/* of what is loaded on demand */
	DepotTufFetch fetch;		/* after a refresh: where roles on demand come from; NULL: disk only */
	void	   *fetch_context;
	bool		is_refreshing;	/* what is replaced may be of the last whole set */
	bool		changed;		/* this refresh persisted something, or leaves a role out */
	char		timestamp_sha256[65];	/* of the trusted timestamp's file; "" when there is none */
	char		known_timestamp[65];	/* with which everything is known to be valid, or "" */
	bool		is_unchanged;	/* the last refresh ended with that timestamp */
	DepotTufRole *slice;		/* the slice's roles that the last refresh went through, owned */
	int			slice_count;
	DepotTufDocument visited;	/* what was visited last: freed when memory is needed, not before there is an
								 * answer */
	DepotTufVisit visit;		/* of the targets of each while it is in memory, or NULL */
	void	   *visit_context;
	bool		visit_only_changed;
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
	DepotTufKeyTypes key_types;
} DepotTufExpect;

/* tuf_metadata.c */
extern const char *depot_tuf_label(const char *role, char label[DEPOT_TUF_LABEL_BYTES]);
extern const json_t *depot_tuf_delegations(const json_t *targets_body); /* array of entries; NULL when there
																		 * are none */
extern const json_t *depot_tuf_delegation_keys(const json_t *targets_body);

/*
 * The checks that both files of the form share: keyids and threshold of a role; an
 * array of nothing but strings; a name that is new to a set (a hash table, so that a hostile list costs no
 * more than it is long).
 */
extern bool depot_tuf_check_role(const json_t *role, DepotError *error);
extern bool depot_tuf_check_strings(const json_t *array, const char *what, DepotError *error);
extern bool depot_tuf_add_once(json_t *set, const char *name, const char *what, DepotError *error);
extern bool depot_tuf_is_top_level(const char *role);

/* tuf_metadata_delegations.c */
extern bool depot_tuf_check_delegations(const json_t *delegations, DepotError *error);

/*
 * The part of depot_tuf_parse_metadata that knows which types of keys count; the others are not even read. Fills
 * signed_text with where "signed" stands in text, for depot_tuf_verify_signatures.
 */
extern json_t *depot_tuf_parse(const char *text, size_t length_bytes, const char *type, const char *what,
							   DepotTufKeyTypes key_types, DepotJsonMember *signed_text, DepotError *error);

/* tuf_keys.c: checks the keys that root or targets metadata (its "signed") holds, and their keyids. */
extern bool depot_tuf_check_keys(const json_t *body, DepotTufKeyTypes key_types, DepotError *error);

/*
 * What depot_tuf_verify_envelope does, with keys of these types only.  signed_text (of the text that envelope was
 * parsed from, or NULL) saves making the canonical form when the text has it.
 */
extern bool depot_tuf_verify_signatures(const json_t *envelope, const DepotJsonMember *signed_text,
										const json_t *keys, const json_t *role, const char *what,
										DepotTufKeyTypes key_types, DepotError *error);

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

/*
 * tuf_store.c: names the file that holds a role's metadata, below the trusted metadata: the newest that was
 * written, or with is_whole that of the last set that was valid together, whatever a refresh has replaced since.
 */
extern bool depot_tuf_store_path(int directory_fd, const char *role, bool is_whole,
								 char path[DEPOT_TUF_STORED_PATH_BYTES], DepotError *error);

/* Reads that file; *present is false when there is none (or one larger than any valid one). */
extern bool depot_tuf_store_read(int directory_fd, const char *role, bool is_whole, size_t max_bytes,
								 DepotBuffer *bytes, bool *present, DepotError *error);

/* Tells whether a refresh has replaced files and not ended well, so that the last whole set is another one. */
extern bool depot_tuf_store_has_replaced(int directory_fd);
extern bool depot_tuf_store_write(int directory_fd, const char *role, const DepotBuffer *bytes,
								  DepotError *error);

/* Writes a role's file durably; the one that was there stays in the last whole set. */
extern bool depot_tuf_store_replace(int directory_fd, const char *role, const DepotBuffer *bytes,
									DepotError *error);
extern bool depot_tuf_store_read_root(int directory_fd, int64_t version, DepotBuffer *bytes, bool *present,
									  DepotError *error);
extern bool depot_tuf_store_write_root(int directory_fd, int64_t version, const DepotBuffer *bytes,
									   DepotError *error);

/* Names the file of a root below the trusted metadata; false for a version that is none. */
extern bool depot_tuf_root_path(int64_t version, char path[64]);

/* Notes that all files are valid together: from now on they are what a failed refresh falls back to. */
extern bool depot_tuf_store_note_whole(int directory_fd, DepotError *error);

/* Writes "<version>.<role, percent-encoded>.json", or without "<version>." when version is 0. */
extern bool depot_tuf_file_name(const char *role, int64_t version, char out[DEPOT_TUF_FILE_NAME_BYTES],
								DepotError *error);

/*
 * tuf_delegation.c: names the role that an entry of a delegator's "roles" means; or the bin that a target
 * path falls into when the delegator has "succinct_roles" (its name is written to bin_name). False when the
 * delegator has none.
 */
extern DepotTufDelegation depot_tuf_listed_delegation(const json_t *delegator_body, const json_t *entry);
extern bool depot_tuf_bin_delegation(const json_t *delegator_body, const char *path,
									 char bin_name[DEPOT_TUF_ROLE_NAME_BYTES],
									 DepotTufDelegation *delegation);

/*
 * tuf_text.c: appends length_bytes bytes of text, all but letters, digits, "_.-~" and those in keep
 * percent-encoded; what fails shows in out.
 */
extern void depot_tuf_encode(const char *text, size_t length_bytes, const char *keep, DepotBuffer *out);

/* Tells whether a delegation lets its role sign path. */
extern bool depot_tuf_delegation_covers(const DepotTufDelegation *delegation, const char *path);

/*
 * tuf_client.c: returns a delegated role as the snapshot names it: from memory, from disk, or after a refresh
 * by fetching it; NULL and error otherwise.
 */
extern const DepotTufDelegated *depot_tuf_load_delegated(DepotTufClient *client,
														 const DepotTufDelegation *delegation,
														 DepotError *error);

/* tuf_evidence.c: fills what a list says of its package; METADATA_FORMAT for a target without a sha256. */
extern bool depot_tuf_begin_evidence(DepotEvidence *evidence, const char *repository, const DepotTufTarget *target,
									 int64_t root_version, DepotError *error);

/* Takes a delegated role from evidence. */
extern bool depot_tuf_prove_delegated(DepotTufClient *client, const DepotTufDelegation *delegation,
									  DepotTufDocument *document, DepotError *error);

/*
 * tuf_refresh.c: brings a delegated role to what the snapshot announces, from disk when that is it, else by
 * fetching and persisting it.
 */
extern bool depot_tuf_update_delegated(DepotTufClient *client, const DepotTufDelegation *delegation,
									   DepotTufDocument *document, DepotError *error);

/* Takes bytes as the root after the trusted one: signed by both, and exactly one version on. */
extern bool depot_tuf_accept_next_root(DepotTufClient *client, const DepotBuffer *bytes, DepotError *error);

/* Fill expect from the trusted parents of a role; an error when a parent does not list it. */
extern bool depot_tuf_expect_top_level(const DepotTufClient *client, const char *role, DepotTufExpect *expect,
									   DepotError *error);
extern bool depot_tuf_expect_delegated(const DepotTufClient *client, const DepotTufDelegation *delegation,
									   DepotTufExpect *expect, DepotError *error);

/* Finds the entry of the top-level targets role that delegates to role; false when there is none. */
extern bool depot_tuf_find_delegation(const DepotTufClient *client, const char *role,
									  DepotTufDelegation *delegation);

/* The lock that whoever persists something holds, against others on the same directory. */
extern bool depot_tuf_lock(const DepotTufClient *client, DepotError *error);
extern void depot_tuf_unlock(const DepotTufClient *client);

/* Returns the loaded document of a role that the top-level targets role delegates to; NULL: not in memory. */
extern const DepotTufDocument *depot_tuf_loaded_document(const DepotTufClient *client, const char *role);

/* tuf_lookup.c: calls visit for the targets in a document that its delegation (NULL: top-level targets) owns. */
extern bool depot_tuf_visit_document(const DepotTufClient *client, const DepotTufDelegation *delegation,
									 const DepotTufDocument *document, DepotTufVisit visit, void *context,
									 DepotError *error);

/*
 * tuf_slice.c: brings the slice of the server whose platform's role is platform_role up to date: that role,
 * and each publisher's with a path that can match pg15/linux-amd64/<package>/<version>/<file>.
 */
extern bool depot_tuf_update_slice(DepotTufClient *client, const char *platform_role, DepotError *error);

/* Tells whether a path that delegation, of the top-level targets role, covers is that role's, and no earlier one's. */
extern bool depot_tuf_owns_path(const DepotTufClient *client, const DepotTufDelegation *delegation,
								const char *path);

/* Frees everything but the root. */
extern void depot_tuf_forget(DepotTufClient *client);

#endif							/* DEPOT_TUF_INTERNAL_H */
