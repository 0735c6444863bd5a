/*-------------------------------------------------------------------------
 *
 * repo_common.h
 *	  What the repo commands share: the repository as it is published, keys,
 *	  signing, and writing metadata.
 *
 * A repository directory holds repository.json (lifetimes), metadata/,
 * targets/, and pending.json (what was added and not published yet).  Whoever
 * changes it holds a lock on the directory.  metadata/timestamp.json alone
 * decides what is published; everything else is written before it, under
 * names that nothing published refers to.
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
#define DEPOT_REPO_MAX_KEYS 64
#define DEPOT_REPO_MAX_DAYS 36500
#define DEPOT_REPO_PATH_BYTES 512

/*
 * Below this part of its lifetime a role needs attention (status); below the next,
 * publish renews it when it has the keys.
 */
#define DEPOT_REPO_ATTENTION_PERCENT 20
#define DEPOT_REPO_RENEW_PERCENT 50

/* The top-level roles; also their places in DepotRepo.roles, where delegated roles follow. */
typedef enum DepotRepoRoleIndex
{
	DEPOT_REPO_ROOT,
	DEPOT_REPO_TIMESTAMP,
	DEPOT_REPO_SNAPSHOT,
	DEPOT_REPO_TARGETS,
	DEPOT_REPO_TOP_LEVEL_COUNT
}			DepotRepoRoleIndex;

typedef struct DepotRepoRole
{
	char		name[65];
	json_t	   *envelope;		/* as published; NULL for a delegated role that is about to be made */
	json_t	   *body;			/* its "signed", borrowed */
	int64_t		version;		/* 0 when never published */
	int64_t		expires_epoch_s;
	int64_t		lifetime_s;		/* by the configuration */
	json_t	   *keys;			/* of the delegator, owned */
	json_t	   *entry;			/* the delegator's keyids and threshold, owned */
	json_t	   *next;			/* body to be signed, owned; NULL: stays as it is */
}			DepotRepoRole;

typedef struct DepotRepo
{
	int			fd;
	const char *path;
	int64_t		now_s;
	int64_t		days[DEPOT_REPO_TOP_LEVEL_COUNT];	/* delegated roles live as long as targets */
	DepotRepoRole *roles;
	int			role_count;
	json_t	   *pending;		/* array of {path, role, length, sha256, custom} */
}			DepotRepo;

typedef struct DepotRepoKeys
{
	DepotKey   *keys[DEPOT_REPO_MAX_KEYS];
	int			count;
}			DepotRepoKeys;

extern int	depot_cmd_repo_init(int argc, char **argv);
extern int	depot_cmd_repo_add(int argc, char **argv);
extern int	depot_cmd_repo_publish(int argc, char **argv);
extern int	depot_cmd_repo_status(int argc, char **argv);
extern int	depot_cmd_repo_yank(int argc, char **argv);

/* repo_common.c */

/* The names of the top-level roles by index. */
extern const char *const depot_repo_role_names[DEPOT_REPO_TOP_LEVEL_COUNT];

/*
 * Opens a repository and reads its configuration, pending list and published metadata,
 * verifying every signature and hash (but not expiry: renewing is the point). With
 * exclusive it waits for other publishers.
 */
extern bool depot_repo_open(DepotRepo *repo, const char *path, bool exclusive, DepotError *error);
extern void depot_repo_close(DepotRepo *repo);

extern DepotRepoRole *depot_repo_find_role(DepotRepo *repo, const char *name);
extern DepotRepoRole *depot_repo_add_role(DepotRepo *repo, const char *name, DepotError *error);

extern bool depot_repo_write_config(int fd, const int64_t *days, DepotError *error);
extern bool depot_repo_write_pending(DepotRepo *repo, DepotError *error);

/* Where a target's file lies: targets/<directory>/<sha256>.<name>. */
extern void depot_repo_target_file(const char *target_path, const char *sha256,
								   char out[DEPOT_REPO_PATH_BYTES]);

/* repo_sign.c */

/*
 * Loads a key: a secret one, asking for its passphrase where it is sealed, or with
 * allow_public a .pub file too. A key given twice counts once.
 */
extern bool depot_repo_keys_load(DepotRepoKeys *keys, const char *path, const char *passphrase_file,
								 bool allow_public,
								 DepotError *error);
extern void depot_repo_keys_free(DepotRepoKeys *keys);

/* How many signatures of a role entry these keys can make. */
extern int	depot_repo_count_signers(const json_t *entry, const DepotRepoKeys *keys);

/* A new body with the members every role has; the caller adds its own. */
extern json_t *depot_repo_new_body(const char *type, int64_t version, int64_t expires_epoch_s,
								   DepotError *error);

/* Sets version and expiry of a body. */
extern bool depot_repo_stamp(json_t *body, int64_t version, int64_t expires_epoch_s, DepotError *error);

/*
 * Signs body with every key of the role entry at hand, verifies the result against the
 * threshold, and writes it durably to metadata/<version>.<name>.json (timestamp.json
 * without a version). When parent_meta is not NULL, the file is entered there with
 * version, length and hash.
 */
extern bool depot_repo_sign_and_write(int fd, const char *name, json_t *body, const json_t *role_keys,
									  const json_t *entry,
									  const DepotRepoKeys *keys, json_t *parent_meta, DepotError *error);

#endif							/* DEPOT_REPO_COMMON_H */
