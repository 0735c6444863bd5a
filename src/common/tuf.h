/*-------------------------------------------------------------------------
 *
 * tuf.h
 *	  The client side of The Update Framework, specification 1.0.34.
 *
 * A DepotTufClient owns the trusted metadata of one repository.  It loads what is on disk (verifying it again from the
 * pinned root each time), refreshes it through a fetch callback that knows nothing of
 * trust, and looks targets up.  It persists each file only when it is valid, byte for
 * byte as received, by a durable rename.  The check agent runs it with a callback that asks the leader;
 * the program runs it on a directory.  Not thread-safe; no global state.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TUF_H
#define DEPOT_TUF_H

#include <stdint.h>
#include <time.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/evidence.h"
#include "common/json.h"
#include "common/tuf_limits.h"

#define DEPOT_TUF_MAX_ROOT_ROTATIONS 256
#define DEPOT_TUF_MAX_DELEGATIONS 32

typedef struct DepotTufClient DepotTufClient;

/* Whose signatures count, see key_public.h; a server takes only ed25519 unless a superuser said otherwise. */
typedef enum DepotTufKeyTypes
{
	DEPOT_TUF_ALL_KEY_TYPES,
	DEPOT_TUF_ED25519_ONLY
} DepotTufKeyTypes;

/*
 * Fetches metadata/<file_name> ("2.root.json", "timestamp.json", "7.pg15-linux-amd64.json") of at most
 * max_bytes into out.  *missing is set (and true returned) when the source says there is none (404).
 */
typedef bool (*DepotTufFetch) (void *context, const char *file_name, size_t max_bytes,
							   DepotBuffer *out, bool *missing, DepotError *error);

/* At least one of the two digests is there; the other is "" when it is not. */
typedef struct DepotTufTarget
{
	const char *path;			/* borrowed from the client */
	uint64_t	length_bytes;
	char		sha256[65];
	char		sha512[129];
	const json_t *custom;		/* borrowed; NULL when absent */
	const char *role;			/* the role that signed it; borrowed */
	const json_t *delegation;	/* borrowed; by which the top-level targets role let it; NULL when it did
								 * itself */
	int			depth;			/* 0: top-level targets, 1: a role that delegates to, 2: further away */
} DepotTufTarget;

typedef struct DepotTufRole
{
	char		name[65];
	int64_t		version;
	int64_t		expires_epoch_s;
	bool		loaded;
	bool		is_publisher;	/* of the slice, besides the platform's role */
	bool		is_left_out;	/* a publisher's, of which nothing is taken: reason says why */
	bool		is_visited;		/* by the last refresh */
	char		reason[DEPOT_ERROR_MESSAGE_BYTES];
} DepotTufRole;

/*
 * Opens the trusted metadata in metadata_directory_fd (may be empty).  With initial_root
 * the chain of roots begins there: it must be valid by its own threshold, the roots on
 * disk are followed from it as far as they verify, and what the chain does not reach is
 * not believed.  With NULL the directory must have a root, which is taken as it is.  The
 * newest root is persisted.  reference_time_s is the one time all expiry checks use.
 * Errors: ROOT_INVALID, METADATA_*.
 */
extern DepotTufClient *depot_tuf_open(int metadata_directory_fd, const char *initial_root,
									  size_t initial_root_bytes,
									  int64_t reference_time_s, DepotError *error);

/* The same, with keys of other types neither read nor counted. */
extern DepotTufClient *depot_tuf_open_restricted(int metadata_directory_fd, const char *initial_root,
												 size_t initial_root_bytes, int64_t reference_time_s,
												 DepotTufKeyTypes key_types, DepotError *error);
extern void depot_tuf_close(DepotTufClient *client);

/*
 * Runs the client workflow (sections 5.3 to 5.6): root chain, timestamp, snapshot, targets,
 * and then, when delegated_role is not NULL, the slice of the server whose platform's role that is: this role
 * when the top-level targets role delegates to it, and the roles of publishers who may sign packages for it.  A
 * publisher's role that is just as the snapshot lists it, but has expired or is not signed by the keys it
 * should be, is left out, so that no publisher can keep the others' packages back.  *changed tells whether
 * anything was persisted (on failure, too), or a role is left out.
 * What was persisted before a failure stays valid, but nothing can be looked up then.
 * Holds a lock on the directory (flock) meanwhile.  After a success fetch and context serve
 * depot_tuf_find_target too, until the client is closed or loads anew.
 */
extern bool depot_tuf_refresh(DepotTufClient *client, const char *delegated_role, DepotTufFetch fetch,
							  void *context,
							  bool *changed, DepotError *error);

/*
 * Lets the next refresh end after the timestamp when neither root nor timestamp has changed and the file of the trusted
 * timestamp has this digest: everything else was valid with it, and has not expired.  depot_tuf_is_unchanged
 * tells whether it did; nothing can be looked up then.
 */
extern void depot_tuf_stop_at_timestamp(DepotTufClient *client, const char *timestamp_sha256);
extern bool depot_tuf_is_unchanged(const DepotTufClient *client);

/* Returns the digest of the trusted timestamp's file after a refresh. */
extern const char *depot_tuf_timestamp_sha256(const DepotTufClient *client);

/*
 * Loads the trusted timestamp, snapshot, targets and delegated role from disk only,
 * verifying signatures, versions and hashes; expiry is looked at only with check_expiry.
 */
extern bool depot_tuf_load_trusted(DepotTufClient *client, const char *delegated_role, bool check_expiry,
								   DepotError *error);

/*
 * Loads in the same way what is needed to find one target, and finds it: of the delegated roles only those that
 * its path leads to.
 */
extern bool depot_tuf_load_target(DepotTufClient *client, const char *path, bool check_expiry,
								  DepotTufTarget *target, DepotError *error);

/*
 * Takes what is newer from a directory of metadata that another place remembers: files
 * "<version>.<role>.json" (the role percent-encoded), every one with its version, the root and the
 * timestamp, too.  The workflow of depot_tuf_refresh decides, except that expiry is not looked at:
 * metadata of the past says what must not be taken back.  refused is called for each file that
 * counts for nothing, with the reason; the others count all the same.  *changed tells whether
 * anything was persisted; nothing can be looked up before a refresh or load.  False (error): something
 * failed on this side.
 */
typedef void (*DepotTufRefused) (void *context, const char *role, int64_t version, const DepotError *reason);
extern bool depot_tuf_adopt(DepotTufClient *client, const char *delegated_role, int candidates_fd,
							DepotTufRefused refused, void *context, bool *changed, DepotError *error);

/*
 * Finds a target (after refresh or load) by delegation order (section 5.6.7); TARGET_UNKNOWN when nobody
 * lists it.  A role on the way that is not in memory is read from disk, and after a refresh fetched where
 * that is not what the snapshot announces; a role that cannot be had ends the search with an error, and so
 * do more than DEPOT_TUF_MAX_DELEGATIONS roles.
 */
extern bool depot_tuf_find_target(DepotTufClient *client, const char *path, DepotTufTarget *target,
								  DepotError *error);

/*
 * Proves listed->target from documents in documents_fd ("<sha256>.json") alone: a chain of roots from pin on, each
 * version signed by the keys of the one before and by its own; top-level targets signed under the version
 * that listed->root_version names, or the pin where that is newer; delegated roles signed under their delegators,
 * that may speak for the path.  Versions and expiry are not asked.  Fills *used (to be freed) with
 * those documents that were relied on, as listed may hold others, and *target, which borrows from the client
 * that is returned, for depot_tuf_close.  Nothing is written.  NULL with an error: ROOT_INVALID for a pin or chain
 * that is none, METADATA_*, DIGEST_MISMATCH for a document that is not what it is called, TARGET_UNKNOWN.
 */
extern DepotTufClient *depot_tuf_prove(const DepotEvidence *listed, int documents_fd, const char *pin,
									   size_t pin_bytes, DepotTufKeyTypes key_types, DepotEvidence *used,
									   DepotTufTarget *target, DepotError *error);

/*
 * Tells with which types of keys a root that this server pins is valid: ed25519 only, where that is enough.  One that
 * needs others would not be pinned if a superuser had not let the repository be signed with them.
 */
extern DepotTufKeyTypes depot_tuf_key_types_of_pin(const char *pin, size_t pin_bytes);

/* Where documents are kept: what is not in kept_fd (-1: nothing) is written to new_fd. */
typedef struct DepotTufKeep
{
	int			kept_fd;
	int			new_fd;
} DepotTufKeep;

/*
 * After depot_tuf_load_target: keeps the documents that prove the target, read again from metadata_fd, and in new_fd
 * the list of them, DEPOT_EVIDENCE_LIST, durably.  *evidence, to be freed, is that list.  METADATA_MISMATCH where
 * a file is no longer the one that was verified.
 */
extern bool depot_tuf_keep_evidence(const DepotTufClient *client, int metadata_fd, const char *repository,
									const DepotTufTarget *target, const DepotTufKeep *keep,
									DepotEvidence *evidence, DepotError *error);

/* Tells whether the repository of the newest root has consistent snapshots. */
extern bool depot_tuf_has_consistent_snapshots(const DepotTufClient *client);

/*
 * Appends where a target's file is, counted from the directory of targets and percent-encoded for a URL:
 * "dir/DIGEST.name" with consistent snapshots, else its path.  INVALID_NAME for a path that is absolute or
 * has a part that is empty, "." or "..".
 */
extern bool depot_tuf_target_location(const DepotTufClient *client, const DepotTufTarget *target,
									  DepotBuffer *location, DepotError *error);

/*
 * Checks the file at fd, read from its start, against the length and every digest that was signed
 * (section 5.7): DIGEST_MISMATCH.
 */
extern bool depot_tuf_verify_target(const DepotTufTarget *target, int fd, DepotError *error);

/*
 * Calls visit for every target of a role ("targets" or one that it delegates to) that has a
 * sha256 and a path that belongs to that role; stops when it returns false.  A role that
 * the repository does not delegate to has no targets; one that is not in memory is had as by depot_tuf_find_target.
 */
typedef bool (*DepotTufVisit) (const DepotTufTarget *target, void *context, DepotError *error);
extern bool depot_tuf_visit_targets(DepotTufClient *client, const char *role, DepotTufVisit visit,
									void *context, DepotError *error);

/* Returns the top-level targets role's delegations, an array of entries; NULL when there are none.  Borrowed. */
extern const json_t *depot_tuf_delegated_roles(const DepotTufClient *client);

/*
 * Has the next refreshes visit the targets of the slice in the order of its roles, each while it is in memory,
 * so that no two of them need to be there at once.  With only_if_changed they are visited only when the refresh
 * has changed something.  What was visited counts only when the refresh succeeds.
 */
extern void depot_tuf_visit_slice(DepotTufClient *client, bool only_if_changed, DepotTufVisit visit,
								  void *context);

/* Tells whether path is one of the slice of the platform's role: pg15/linux-amd64/... */
extern bool depot_tuf_slice_has_path(const char *platform_role, const char *path);

/* As many roles as depot_tuf_roles can give after a refresh. */
#define DEPOT_TUF_MAX_ROLES (5 + DEPOT_TUF_MAX_PUBLISHERS)

/*
 * Root, timestamp, snapshot, targets and the slice's roles as far as loaded, or left out; returns how
 * many were filled (at most limit).
 */
extern int	depot_tuf_roles(const DepotTufClient *client, DepotTufRole *roles, int limit);

/* "2026-11-22T15:00:00Z" <-> seconds since 1970; strict syntax and real calendar dates only. */
extern bool depot_tuf_time_parse(const char *text, int64_t *epoch_s);
extern void depot_tuf_time_format(int64_t epoch_s, char out[21]);

/*
 * Pieces shared with the publisher (src/cli/repo_*.c): verify an envelope {signed,
 * signatures} against keys and a threshold, counting distinct public keys; read "signed"
 * of a role with all format checks.
 */
extern bool depot_tuf_verify_envelope(const json_t *envelope, const json_t *keys, const json_t *role,
									  const char *what, DepotError *error);
extern json_t *depot_tuf_parse_metadata(const char *text, size_t length_bytes, const char *type,
										const char *what, DepotError *error);

/* TUF's path pattern: same number of parts, * and ? never match '/'. */
extern bool depot_tuf_path_matches(const char *pattern, const char *path);

#endif							/* DEPOT_TUF_H */
