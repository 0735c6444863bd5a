/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The depot directory: layout, staging, the served tree, state.json.
 *
 * Keeps promises 2 and 3 of the design on the file side: nothing in the served
 * tree is ever written in place, an extension's control file appears last and
 * goes first, and what state.json says was applied was made durable before.
 * The leader is the only writer.  Knows nothing of SQL, trust or networks.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_STORE_H
#define DEPOT_STORE_H

#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/manifest.h"

#define DEPOT_STATE_FORMAT 1
#define DEPOT_STAGING "var/pgsql_tmp_staging"
#define DEPOT_METADATA "var/metadata"
#define DEPOT_STATE_FILE "var/state.json"
#define DEPOT_APPLIED_FILE "var/applied.json"	/* the leader's report, which "pg_depot ready" reads */
#define DEPOT_APPLIED_FORMAT 1
#define DEPOT_JOB_NAME_BYTES 33 /* 32 hex digits and NUL */
#define DEPOT_SERVED_PATH_BYTES 1024
#define DEPOT_SYSTEM_PATH_BYTES 2048

/* Where members of a package are served, relative to the depot directory, without slashes at the ends. */
typedef struct DepotLayout
{
	char		share[512];		/* "usr/share/postgresql/15" or "share" */
	char		lib[512];		/* "usr/lib/postgresql/15/lib" or "lib" */
} DepotLayout;

typedef struct DepotAppliedFile
{
	char	   *path;			/* served path, relative to the depot directory */
	uint64_t	size_bytes;
	char		sha256[65];
	uint32_t	mode;
} DepotAppliedFile;

/*
 * While the files of a package are being changed, its entry lists those of the
 * old and the new version, and is_complete is false and both digests are
 * empty, so that no row can be taken for applied.  After a crash the entry
 * stays so until the change is repeated.
 */
typedef struct DepotAppliedPackage
{
	char	   *package;
	char	   *version;
	char		digest[65];		/* sha256 of the archive */
	char		manifest_sha256[65];
	DepotAppliedFile *files;	/* sorted by path; the manifest's own file is among them */
	int			file_count;
	bool		is_complete;
} DepotAppliedPackage;

/* Whose tree it is; with another stamp it is rebuilt, not trusted. */
typedef struct DepotStamp
{
	char		system_identifier[24];
	int			postgresql_major;
	char		platform[32];	/* linux-amd64 */
	char		path[1024];		/* absolute path of the depot directory */
} DepotStamp;

typedef struct DepotState
{
	DepotStamp	stamp;
	DepotAppliedPackage *packages;	/* sorted by package */
	int			package_count;
} DepotState;

/* Puts the served path of a member into out; false (PACKAGE) when it is no member or would not fit. */
extern bool depot_store_served_path(const DepotLayout *layout, const char *member,
									char out[DEPOT_SERVED_PATH_BYTES], DepotError *error);

/*
 * Makes the depot's own directories and the empty served tree that
 * extension_destdir needs, all 0700.  Safe to repeat.  root_fd is the depot
 * directory, here and below.
 */
extern bool depot_store_prepare(int root_fd, const DepotLayout *layout, DepotError *error);

/*
 * Removes the empty directories of the served tree that prepare does not make:
 * what is left where a server died between preparing an activation and its
 * commit.  For the start, when nothing is prepared.
 */
extern bool depot_store_sweep_directories(int root_fd, const DepotLayout *layout, DepotError *error);

/*
 * Reads var/state.json.  Absent, unreadable, of another format or with another
 * stamp: an empty state with *fresh true; stamp is copied in.  stamp NULL: any will do, for a look from
 * outside.  Fails only when reading failed; the state is then empty too.
 */
extern bool depot_store_load_state(int root_fd, const DepotStamp *stamp, DepotState *state, bool *fresh,
								   DepotError *error);

/* Writes var/state.json durably. */
extern bool depot_store_save_state(int root_fd, const DepotState *state, DepotError *error);

/* Frees what state holds and leaves it empty; the stamp stays. */
extern void depot_store_free_state(DepotState *state);

/* Tells whether every file of a package is there in its size: a cheap look, not a check. */
extern bool depot_store_is_whole(int root_fd, const DepotAppliedPackage *package);

/* Returns the entry of a package, or NULL. */
extern const DepotAppliedPackage *depot_store_find(const DepotState *state, const char *package);

/* Returns the package (another than except_package, which may be NULL) that owns a served path, or NULL. */
extern const DepotAppliedPackage *depot_store_owner(const DepotState *state, const char *served_path,
													const char *except_package);

/*
 * Makes a new job directory below staging with a random name and takes a
 * shared flock on it; returns its descriptor, or -1.
 */
extern int	depot_store_begin_job(int root_fd, char job[DEPOT_JOB_NAME_BYTES], DepotError *error);

/* Closes job_fd (may be -1) and removes the job directory; the next start removes what this could not. */
extern void depot_store_end_job(int root_fd, const char *job, int job_fd);

/*
 * Marks a job directory that holds a complete unpacked tree ("tree/") by a
 * staged.json, before the rows that name it are committed, so that the next
 * start finds what a crash left.
 */
extern bool depot_store_mark_staged(int root_fd, const char *job, const char *package, const char *digest,
									const char *manifest_sha256, DepotError *error);

/*
 * Searches all marked job directories for the archive's digest.  One whose files are not those that were marked, a
 * copy of it for one, counts for nothing.
 */
extern bool depot_store_find_staged(int root_fd, const char *digest, char job[DEPOT_JOB_NAME_BYTES],
									bool *found, DepotError *error);

/*
 * Appends a staged package's manifest to buffer, for an activation that is
 * carried out after a restart: from job's tree, or, as an earlier try may have
 * renamed it, from the served tree.  job may be NULL.
 */
extern bool depot_store_read_manifest(int root_fd, const DepotLayout *layout, const char *job,
									  const char *package, DepotBuffer *buffer, DepotError *error);

/*
 * Empties staging, except the given jobs (NULL-terminated; NULL for none) and
 * those whose flock somebody still holds a second later: an agent that was killed needs a
 * moment to end.  Goes on after a failure and reports the first.
 */
extern bool depot_store_clean_staging(int root_fd, const char *const *keep_jobs, DepotError *error);

/*
 * Checks and prepares all that can fail for want of space or rights, before
 * the commit: that no served path is 100 bytes or longer when counted from the
 * data directory (data_prefix_bytes: length of the depot's own path below it,
 * with the slash; 0: outside it, no check), that none belongs to another
 * applied package or to the server installation (system_share and system_lib
 * are absolute; NULL: no check) or is a directory; then makes and fsyncs every
 * directory that is needed.  On failure the tree is as it was.
 */
extern bool depot_store_prepare_activation(int root_fd, const DepotLayout *layout, const DepotState *state,
										   const DepotManifest *manifest, int data_prefix_bytes,
										   const char *system_share, const char *system_lib,
										   DepotError *error);

/*
 * Finds where the server installation would have a served path: system_share or system_lib, then the rest.
 * false: neither directory is meant, or the path would not fit.
 */
extern bool depot_store_system_path(const DepotLayout *layout, const char *served_path, const char *system_share,
									const char *system_lib, char out[DEPOT_SYSTEM_PATH_BYTES]);

/*
 * Sets space aside for so many times writing state.json, grown by added_bytes
 * at most: the last thing before the commit that can fail for want of space.
 * On failure nothing is set aside.
 */
extern bool depot_store_reserve_state(int root_fd, int writes, uint64_t added_bytes, DepotError *error);

/* Returns how much manifest's package adds to state.json at most. */
extern uint64_t depot_store_state_bytes(const DepotLayout *layout, const DepotManifest *manifest);

/* Gives back what is left of what depot_store_reserve_state set aside. */
extern void depot_store_release_state(int root_fd);

/* How often activating or deactivating one package writes state.json. */
#define DEPOT_STORE_STATE_WRITES 2

/* Removes the empty directories that depot_store_prepare_activation made, when no commit followed it. */
extern void depot_store_cancel_activation(int root_fd, const DepotLayout *layout,
										  const DepotManifest *manifest);

/*
 * Renames the files of job's tree into the served tree: libraries, other
 * files, scripts, control files last; then removes what an older version of
 * the package had and this one has not; updates *state and saves it.  A file
 * that is no longer in the job but already served (an earlier try was killed)
 * is taken as done; *resumed tells, and the caller then has the served files
 * verified.  Before anything is changed, every file is found in one of the two
 * places, or FILE_MISSING is the answer.  job may be NULL: nothing is staged,
 * what is served is adopted.
 */
extern bool depot_store_activate(int root_fd, const DepotLayout *layout, DepotState *state, const char *job,
								 const DepotManifest *manifest, const char *digest,
								 const char *manifest_sha256, bool *resumed, DepotError *error);

/*
 * Removes a package's served files: control files first, libraries last; then
 * the directories that packages made and that are empty now; updates and
 * saves *state.  Absent files, and a package that is not there, are fine.
 */
extern bool depot_store_deactivate(int root_fd, const DepotLayout *layout, DepotState *state,
								   const char *package, DepotError *error);

/*
 * Enters a package whose served manifest was verified, and is that of the archive with this digest, into *state, for
 * depot_store_save_state.  An entry of a change that a crash interrupted stays as it is.
 */
extern bool depot_store_adopt(int root_fd, const DepotLayout *layout, DepotState *state, const char *package,
							  const char *digest, const char *manifest_sha256, DepotError *error);

/* Lets a package's entry name its files, and no digest, so that no row can be taken for applied. */
extern void depot_store_doubt(DepotState *state, const char *package);

#endif							/* DEPOT_STORE_H */
