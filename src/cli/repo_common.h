/*-------------------------------------------------------------------------
 *
 * repo_common.h
 *	  What the repo commands share: the repository as it is published, keys,
 *	  signing, and writing metadata.
 *
 * A repository directory holds repository.json (lifetimes), metadata/,
 * targets/, pending.json (what was added and not published yet), and
 * signing.json (what waits for signatures).  Whoever changes it holds a lock
 * on the directory.  metadata/timestamp.json alone decides what is published;
 * everything else is written before it, under names that nothing published
 * refers to.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_REPO_COMMON_H
#define DEPOT_REPO_COMMON_H

#include <jansson.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/key.h"

#define DEPOT_REPO_CONFIG "repository.json"
#define DEPOT_REPO_PENDING "pending.json"
#define DEPOT_REPO_REQUEST "signing.json"
#define DEPOT_REPO_MAX_KEYS 64
#define DEPOT_REPO_MAX_DAYS 36500
#define DEPOT_REPO_PATH_BYTES 512

/*
 * Below this part of its lifetime, or this many days where it lives at least twice as long, a role needs
 * attention (status); below the next part, publish renews it when it has the keys.
 */
#define DEPOT_REPO_ATTENTION_PERCENT 20
#define DEPOT_REPO_ATTENTION_DAYS 14
#define DEPOT_REPO_RENEW_PERCENT 50

/* The top-level roles; also their places in DepotRepo.roles, where delegated roles follow. */
typedef enum DepotRepoRoleIndex
{
	DEPOT_REPO_ROOT,
	DEPOT_REPO_TIMESTAMP,
	DEPOT_REPO_SNAPSHOT,
	DEPOT_REPO_TARGETS,
	DEPOT_REPO_TOP_LEVEL_COUNT
} DepotRepoRoleIndex;

typedef struct DepotRepoRole
{
	char		name[65];
	json_t	   *envelope;		/* as published; NULL for a delegated role that is about to be made */
	json_t	   *body;			/* its "signed", borrowed */
	int64_t		version;		/* 0 when never published */
	int64_t		expires_epoch_s;
	int64_t		lifetime_s;		/* by the configuration */
	json_t	   *keys;			/* of the delegator (its next version, where there is one), owned */
	json_t	   *entry;			/* the delegator's keyids and threshold, owned */
	bool		stale;			/* what is published lacks a threshold of signatures by these keys */
	bool		disowned;		/* a publisher's, and published targets names other keys: counts for nothing */
	json_t	   *next;			/* body to be signed, owned; NULL: stays as it is */
	json_t	   *signatures;		/* of next, owned; NULL: none yet */
} DepotRepoRole;

typedef struct DepotRepo
{
	int			fd;
	const char *path;
	int64_t		now_s;
	int64_t		days[DEPOT_REPO_TOP_LEVEL_COUNT];	/* delegated roles live as long as targets */
	DepotRepoRole *roles;
	int			role_count;
	json_t	   *pending;		/* array of {path, role, length, sha256, custom} */
	const char *request_file;	/* signing.json, relative to fd */
	bool		waiting;		/* what is next comes from it */
	bool		request_is_out; /* all that it asks for was published, by one that was killed then */
} DepotRepo;

typedef struct DepotRepoKeys
{
	DepotKey   *keys[DEPOT_REPO_MAX_KEYS];
	int			count;
} DepotRepoKeys;

extern int	depot_cmd_repo_init(int argc, char **argv);
extern int	depot_cmd_repo_add(int argc, char **argv);
extern int	depot_cmd_repo_publish(int argc, char **argv);
extern int	depot_cmd_repo_sign(int argc, char **argv);
extern int	depot_cmd_repo_rotate(int argc, char **argv);
extern int	depot_cmd_repo_delegate(int argc, char **argv);
extern int	depot_cmd_repo_refresh(int argc, char **argv);
extern int	depot_cmd_repo_status(int argc, char **argv);
extern int	depot_cmd_repo_verify(int argc, char **argv);
extern int	depot_cmd_repo_yank(int argc, char **argv);

/* repo_common.c */

/* The names of the top-level roles by index. */
extern const char *const depot_repo_role_names[DEPOT_REPO_TOP_LEVEL_COUNT];

/*
 * Opens a repository and reads its configuration, pending list and published metadata,
 * verifying every signature and hash (but not expiry: renewing is the point). A role that only an earlier
 * root vouches for is stale. With exclusive it waits for other publishers.
 */
extern bool depot_repo_open(DepotRepo *repo, const char *path, bool exclusive, DepotError *error);
extern void depot_repo_close(DepotRepo *repo);

/* Waits for other pg_depot that work on the directory; until depot_repo_close. */
extern bool depot_repo_lock(const DepotRepo *repo, DepotError *error);

extern DepotRepoRole *depot_repo_find_role(DepotRepo *repo, const char *name);
extern DepotRepoRole *depot_repo_add_role(DepotRepo *repo, const char *name, DepotError *error);

extern bool depot_repo_write_config(int fd, const int64_t *days, DepotError *error);
extern bool depot_repo_write_pending(DepotRepo *repo, DepotError *error);

/* Where a target's file lies: targets/<directory>/<sha256>.<name>. */
extern void depot_repo_target_file(const char *target_path, const char *sha256,
								   char out[DEPOT_REPO_PATH_BYTES]);

/* metadata/<version>.<role>.json, or metadata/timestamp.json. */
extern void depot_repo_metadata_file(const char *role, int64_t version, char out[DEPOT_REPO_PATH_BYTES]);

/* Returns the _type of a role's metadata. */
extern const char *depot_repo_type(const char *role);

/* Writes document (stolen) durably as a file for people, too. */
extern bool depot_repo_write_json(int fd, const char *path, json_t *document, DepotError *error);

/* Reads a JSON file of at most limit_bytes, which errors call what; *out is NULL when there is none. */
extern bool depot_repo_read_json(int fd, const char *path, size_t limit_bytes, const char *what, json_t **out,
								 DepotError *error);

/* repo_load.c */

/* Fills the roles of a repository whose directory is open. */
extern bool depot_repo_load(DepotRepo *repo, DepotError *error);

/* Takes text as what is published of a role, after all format checks; who signed it is not looked at. */
extern bool depot_repo_take_published(DepotRepoRole *role, const char *text, size_t length_bytes,
									  DepotError *error);

/*
 * Gives every role the keys and threshold that the next root and targets, or where there is no next the
 * published ones, name for it, adds delegated roles that are new, and marks stale what was signed for other
 * keys. Called after root->next or targets->next has changed; pointers to roles are void afterwards.
 */
extern bool depot_repo_bind_roles(DepotRepo *repo, DepotError *error);

/* repo_keys.c */

/*
 * Loads a key: a secret one, asking for its passphrase where it is sealed, or with
 * allow_public a .pub file too. A key given twice counts once.
 */
extern bool depot_repo_keys_load(DepotRepoKeys *keys, const char *path, const char *passphrase_file,
								 bool allow_public,
								 DepotError *error);
extern void depot_repo_keys_free(DepotRepoKeys *keys);

/* The options --key and --passphrase-file of a command; zeroed before. */
typedef struct DepotRepoKeyOptions
{
	const char *paths[DEPOT_REPO_MAX_KEYS];
	int			count;
	const char *passphrase_file;
} DepotRepoKeyOptions;

/* Takes one more --key; false when there are too many. */
extern bool depot_repo_key_option(DepotRepoKeyOptions *options, const char *path);
extern bool depot_repo_keys_load_all(DepotRepoKeys *keys, const DepotRepoKeyOptions *options,
									 DepotError *error);

/* How many signatures of a role entry these keys can make. */
extern int	depot_repo_count_signers(const json_t *entry, const DepotRepoKeys *keys);

/* A new body with the members every role has; the caller adds its own. */
extern json_t *depot_repo_new_body(const char *type, int64_t version, int64_t expires_epoch_s,
								   DepotError *error);

/* Sets version and expiry of a body. */
extern bool depot_repo_stamp(json_t *body, int64_t version, int64_t expires_epoch_s, DepotError *error);

/*
 * Those of whom a threshold must sign the next version of a role: the keys of its delegator, and for root
 * its own besides, where they differ from the published ones. Returns how many were filled, 1 or 2; borrowed
 * from the role.
 */
#define DEPOT_REPO_MAX_SIGNERS 2
typedef struct DepotRepoSigners
{
	const json_t *keys;
	const json_t *entry;
} DepotRepoSigners;

extern int	depot_repo_signers(const DepotRepoRole *role, DepotRepoSigners out[DEPOT_REPO_MAX_SIGNERS]);

/* Whether next has a valid signature by a key; and by how many of the signers. */
extern bool depot_repo_has_signature(const DepotRepoRole *role, const DepotRepoSigners *signers,
									 const char *keyid);
extern int	depot_repo_count_signatures(const DepotRepoRole *role, const DepotRepoSigners *signers);

/* Whether next has all signatures that it needs; METADATA_THRESHOLD when not. */
extern bool depot_repo_is_signed(const DepotRepoRole *role, DepotError *error);

/* Signs next with every key at hand that counts and has not signed it yet; raises *added for each. */
extern bool depot_repo_sign(DepotRepoRole *role, const DepotRepoKeys *keys, int *added, DepotError *error);

/* Forgets the signatures of next, which the caller has changed. */
extern void depot_repo_drop_signatures(DepotRepoRole *role);

/*
 * Writes next with its signatures durably to its file, after verifying them. When parent_meta is not NULL,
 * the file is entered there with version, length and hash.
 */
extern bool depot_repo_write_role(int fd, const DepotRepoRole *role, json_t *parent_meta, DepotError *error);

/* Does both for one role by itself, whose body and delegator are given; everything is borrowed. */
extern bool depot_repo_sign_and_write(int fd, const char *name, json_t *body, json_t *role_keys,
									  json_t *entry, const DepotRepoKeys *keys, json_t *parent_meta,
									  DepotError *error);

/* repo_release.c */

/* Makes role->next, where there is none, a copy of what is published with the next version and a fresh expiry. */
extern bool depot_repo_begin_next(const DepotRepo *repo, DepotRepoRole *role, DepotError *error);

/*
 * Signs every next and publishes: the delegated roles, targets, snapshot, root, and last timestamp, where
 * snapshot and timestamp follow what has changed and stale roles are signed anew. Where signatures are missing,
 * root, targets and delegated roles are left in signing.json instead (*published is false); it is an error
 * (KEY) when only snapshot or timestamp lack keys.
 */
extern bool depot_repo_release(DepotRepo *repo, const DepotRepoKeys *keys, bool *published,
							   DepotError *error);

/* Print what release did: the new versions; or which signatures are missing. */
extern void depot_repo_print_published(const DepotRepo *repo);
extern void depot_repo_print_waiting(const DepotRepo *repo, const DepotRepoKeys *keys);

/* Whether keys reach the threshold of a role. */
extern bool depot_repo_have_keys(const DepotRepoRole *role, const DepotRepoKeys *keys);

/* Begins the roles that must follow what has changed; tells whether any of root, targets and below is next. */
extern bool depot_repo_follow(DepotRepo *repo, bool *collected, DepotError *error);

/* repo_rotate.c: drops keys that no role names any more; roles are an object (root) or an array (delegations). */
extern void depot_repo_drop_unused_keys(json_t *keys, const json_t *roles);

/* repo_publish.c: checks the files of targets that wait for signatures, and counts the new ones. */
extern bool depot_repo_check_waiting(const DepotRepo *repo, int *new_count, DepotError *error);

/* repo_status.c: whether a role has expired or soon will. */
extern bool depot_repo_needs_attention(const DepotRepo *repo, const DepotRepoRole *role);

/* repo_refresh.c */

/*
 * Forgets every next version, and renews timestamp, and snapshot where it is due, if keys are at hand: for a
 * command that has left its own work waiting.
 */
extern bool depot_repo_refresh_after(DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error);

/* repo_request.c */

/*
 * Loads signing.json, when there is one, as the next versions of its roles, each with the valid signatures it
 * has. Refused is what was made from other versions than the published ones (WRONG_STATE), and what was altered
 * after a key signed it (METADATA_MISMATCH).
 */
extern bool depot_repo_request_load(DepotRepo *repo, DepotError *error);

/*
 * Opens a signing.json that was copied without its repository: the published versions of its roles come from
 * the file itself, and snapshot and timestamp stay empty.
 */
extern bool depot_repo_request_open(DepotRepo *repo, const char *path, bool exclusive, DepotError *error);

/* Adds the signatures in another copy of signing.json, which must ask for the same; raises *added for each. */
extern bool depot_repo_request_merge(DepotRepo *repo, const char *path, int *added, DepotError *error);

/* Writes signing.json from the next versions of root, targets and delegated roles; removes it. */
extern bool depot_repo_request_write(const DepotRepo *repo, DepotError *error);
extern bool depot_repo_request_remove(const DepotRepo *repo, DepotError *error);

/*
 * repo_verify_target.c: compares a file of the repository with the signed entry of a target that has a sha256;
 * a package is read whole and compared with its description, too.
 */
extern bool depot_repo_verify_target(int repository_fd, const char *file, const char *path,
									 const json_t *target, DepotError *error);

/* repo_describe.c: prints what the next versions are and change, and who must sign them. */
extern void depot_repo_describe(const DepotRepo *repo);

#endif							/* DEPOT_REPO_COMMON_H */
