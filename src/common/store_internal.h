/*-------------------------------------------------------------------------
 *
 * store_internal.h
 *	  What the files of the store module share with each other.
 *
 * Included by store*.c only; callers include store.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_STORE_INTERNAL_H
#define DEPOT_STORE_INTERNAL_H

#include <jansson.h>

#include "common/store.h"

struct DepotSeal
{
	char	   *stamp;
	json_t	   *files;			/* path, encoded: identity */
};

/* The depot's directories are for the server's user alone, like the data directory. */
#define STORE_DIRECTORY_MODE 0700

#define STORE_EXTENSION_DIRECTORY "extension"
#define STORE_LICENSES "licenses"

/* What makes a package visible comes late and goes early: files appear in this order, vanish in the other. */
typedef enum StoreRank
{
	STORE_LIBRARY,
	STORE_DATA,
	STORE_SCRIPT,
	STORE_SECONDARY_CONTROL,
	STORE_CONTROL
} StoreRank;

/* The three places of a served path. */
typedef enum StorePlace
{
	STORE_IN_SHARE,
	STORE_IN_LIB,
	STORE_ELSEWHERE
} StorePlace;

/* Tells where a served path lies; *rest is the part behind that place's directory, or all of it elsewhere. */
extern StorePlace depot_store_place(const DepotLayout *layout, const char *served_path, const char **rest);

extern StoreRank depot_store_rank(const DepotLayout *layout, const char *served_path);

/* Copies the directory of a path into out; "" when it has none. */
extern void depot_store_parent(const char *path, char out[DEPOT_SERVED_PATH_BYTES]);

/* Removes the directories of package's files, and theirs in turn, where empty and not the layout's own. */
extern void depot_store_prune_directories(int root_fd, const DepotLayout *layout,
										  const DepotAppliedPackage *package);

/*
 * Fills *package with what manifest says is to be served, the manifest's own
 * file among it, sorted.  No manifest tells its own size: that one is 0.
 * Complete, with empty digests; manifest_sha256 is for its file's entry and
 * may be NULL in a plan that is not recorded.
 */
extern bool depot_store_plan_package(const DepotLayout *layout, const DepotManifest *manifest,
									 const char *manifest_sha256, DepotAppliedPackage *package,
									 DepotError *error);

/*
 * Makes and fsyncs the directories of package's files, on the file system of staging only.  Those of the layout
 * are durable since depot_store_prepare; was_prepared: so is each other one that exists.
 */
extern bool depot_store_make_directories(int root_fd, const DepotLayout *layout,
										 const DepotAppliedPackage *package, bool was_prepared, DepotError *error);

/* Frees what *package holds and clears it. */
extern void depot_store_free_package(DepotAppliedPackage *package);

/* Appends a copy of file to package, which has room for it. */
extern bool depot_store_add_file(DepotAppliedPackage *package, const char *path, const DepotAppliedFile *file,
								 DepotError *error);
extern void depot_store_sort_files(DepotAppliedPackage *package);
extern const DepotAppliedFile *depot_store_find_file(const DepotAppliedPackage *package,
													 const char *served_path);

/*
 * Saves the state with *entry (NULL: nothing) in the place of package's entry,
 * and then makes *state the same, moving *entry into it.  On failure neither
 * file nor *state has changed and *entry is still the caller's.
 */
extern bool depot_store_replace(int root_fd, DepotState *state, const char *package,
								DepotAppliedPackage *entry, DepotError *error);

/*
 * Returns a new JSON string with everything but printable ASCII, and '%', as %XX: a path may have bytes that no
 * JSON text can have.  NULL when out of memory.
 */
extern json_t *depot_store_encode_path(const char *path);

/* Writes state.json durably, into space that depot_store_reserve_state set aside where there is some. */
extern bool depot_store_write_state(int root_fd, const void *bytes, size_t length_bytes, DepotError *error);

#endif							/* DEPOT_STORE_INTERNAL_H */
