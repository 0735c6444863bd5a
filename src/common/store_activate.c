/*-------------------------------------------------------------------------
 *
 * store_activate.c
 *	  Putting a package's files into the served tree, and taking them out.
 *
 * How a kill at any instant is survived:
 *
 * 1. Before the first change, state.json gets an entry for the package that
 *	  lists the files of the old and the new version together, and no digest.
 *	  From here on nobody takes the package for applied, and no file that may
 *	  come or go is forgotten.
 * 2. Each file is one rename or one unlink.  After each rank its directories
 *	  are fsynced, so that a power failure keeps the order too.
 * 3. The final entry is written last.
 *
 * Killed between 1 and 3, the leader finds the committed rows and the entry
 * differ and repeats the call: what was renamed is found served, what was
 * removed is found absent, and the rest is done.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/name.h"
#include "common/store.h"
#include "common/store_internal.h"
#include "common/testpoint.h"

/* Fsyncs directories as a series of paths goes by; a directory that was removed needs none. */
typedef struct DirectorySync
{
	int			root_fd;
	char		directory[DEPOT_SERVED_PATH_BYTES]; /* changed and not yet fsynced; "" for none */
} DirectorySync;

static bool
sync_pending(DirectorySync *sync, DepotError *error)
{
	DepotError	sync_error;
	bool		ok;

	if (sync->directory[0] == '\0')
		return true;
	ok = depot_files_fsync(sync->root_fd, sync->directory, &sync_error) ||
		sync_error.code == DEPOT_ERROR_FILE_MISSING;
	if (!ok && error != NULL)
		*error = sync_error;
	sync->directory[0] = '\0';
	return ok;
}

/* Notes that the directory of path has changed. */
static bool
sync_later(DirectorySync *sync, const char *path, DepotError *error)
{
	char		directory[DEPOT_SERVED_PATH_BYTES];

	depot_store_parent(path, directory);
	if (strcmp(directory, sync->directory) == 0)
		return true;
	if (!sync_pending(sync, error))
		return false;
	memcpy(sync->directory, directory, sizeof(directory));
	return true;
}

/* One activation under way. */
typedef struct Activation
{
	int			root_fd;
	const DepotLayout *layout;
	int			tree_fd;		/* the job's tree; -1 when nothing is staged */
	DepotAppliedPackage wanted;
	bool	   *is_staged;		/* for each wanted file; otherwise it is served already */
} Activation;

/* Returns the path below the job's tree of the file that goes to served_path. */
static void
staged_path(const DepotLayout *layout, const char *served_path, char out[DEPOT_SERVED_PATH_BYTES])
{
	const char *rest;
	const char *prefix = "";

	switch (depot_store_place(layout, served_path, &rest))
	{
		case STORE_IN_SHARE:
			prefix = "share/";
			break;
		case STORE_IN_LIB:
			prefix = "lib/";
			break;
		case STORE_ELSEWHERE:
			break;
	}
	/* Fits: this is the member's path again. */
	snprintf(out, DEPOT_SERVED_PATH_BYTES, "%s%s", prefix, rest);
}

/* Tells whether path is a regular file, and its size. */
static bool
is_file(int directory_fd, const char *path, uint64_t *size_bytes)
{
	DepotError	error;
	struct stat status;
	bool		is_regular;
	int			fd = depot_files_open(directory_fd, path, O_RDONLY | O_NONBLOCK, 0, &error);

	if (fd < 0)
		return false;
	is_regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
	close(fd);
	if (is_regular)
		*size_bytes = (uint64_t) status.st_size;
	return is_regular;
}

/* Finds each wanted file in the job or in the served tree; changes nothing. */
static bool
locate_files(Activation *activation, bool *resumed, DepotError *error)
{
	char		member[DEPOT_MANIFEST_PATH_BYTES];
	char		manifest_path[DEPOT_SERVED_PATH_BYTES];

	depot_manifest_path(activation->wanted.package, member);
	if (!depot_store_served_path(activation->layout, member, manifest_path, error))
		return false;
	for (int i = 0; i < activation->wanted.file_count; i++)
	{
		DepotAppliedFile *file = &activation->wanted.files[i];
		char		staged[DEPOT_SERVED_PATH_BYTES];
		uint64_t	size_bytes = 0;
		bool		is_found;

		staged_path(activation->layout, file->path, staged);
		is_found = activation->tree_fd >= 0 && is_file(activation->tree_fd, staged, &size_bytes);
		activation->is_staged[i] = is_found;
		if (!is_found)
		{
			is_found = is_file(activation->root_fd, file->path, &size_bytes);
			*resumed = true;
		}
		/* No manifest tells its own size. */
		if (strcmp(file->path, manifest_path) == 0)
			file->size_bytes = size_bytes;
		if (!is_found || file->size_bytes != size_bytes)
		{
			depot_error_set(error, DEPOT_ERROR_FILE_MISSING, "package \"%s\" is not completely staged",
							activation->wanted.package);
			return depot_error_detail(error, "File \"%s\" is neither in staging nor in its place%s.",
									  file->path, is_found ? " with the right size" : "");
		}
	}
	return true;
}

/*
 * Puts an entry into state and state.json that names package as being changed,
 * with the files that it has there and those of wanted (NULL: none).
 */
static bool
record_change(int root_fd, DepotState *state, const char *package, const char *version,
			  const DepotAppliedPackage *wanted, DepotError *error)
{
	const DepotAppliedPackage *present = depot_store_find(state, package);
	const DepotAppliedPackage *sources[2] = {wanted, present};
	DepotAppliedPackage entry = {0};
	size_t		most = 1;
	bool		ok;

	for (int i = 0; i < 2; i++)
		most += sources[i] != NULL ? (size_t) sources[i]->file_count : 0;
	entry.package = strdup(package);
	entry.version = strdup(version);
	entry.files = calloc(most, sizeof(*entry.files));
	ok = entry.package != NULL && entry.version != NULL && entry.files != NULL;
	if (!ok)
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	for (int i = 0; i < 2 && ok; i++)
	{
		for (int j = 0; sources[i] != NULL && j < sources[i]->file_count && ok; j++)
		{
			const DepotAppliedFile *file = &sources[i]->files[j];

			if (i == 1 && wanted != NULL && depot_store_find_file(wanted, file->path) != NULL)
				continue;
			ok = depot_store_add_file(&entry, file->path, file, error);
		}
	}
	depot_store_sort_files(&entry);
	ok = ok && depot_store_replace(root_fd, state, package, &entry, error);
	depot_store_free_package(&entry);
	return ok;
}

/* Renames the staged files of the ranks from first to last, one rank after the other. */
static bool
place_files(const Activation *activation, StoreRank first, StoreRank last, DepotError *error)
{
	DirectorySync sync = {.root_fd = activation->root_fd};

	for (int rank = (int) first; rank <= (int) last; rank++)
	{
		for (int i = 0; i < activation->wanted.file_count; i++)
		{
			const char *path = activation->wanted.files[i].path;
			char		staged[DEPOT_SERVED_PATH_BYTES];

			if (!activation->is_staged[i] || (int) depot_store_rank(activation->layout, path) != rank)
				continue;
			staged_path(activation->layout, path, staged);
			if (!depot_files_rename(activation->tree_fd, staged, activation->root_fd, path, error) ||
				!sync_later(&sync, path, error))
				return false;
		}
		if (!sync_pending(&sync, error))
			return false;
	}
	return true;
}

/* Removes package's files of ranks first down to last, except those of keep (may be NULL) and of others. */
static bool
remove_files(int root_fd, const DepotLayout *layout, const DepotState *state,
			 const DepotAppliedPackage *package, const DepotAppliedPackage *keep,
			 StoreRank first, StoreRank last, DepotError *error)
{
	DirectorySync sync = {.root_fd = root_fd};

	for (int rank = (int) first; rank >= (int) last; rank--)
	{
		for (int i = 0; i < package->file_count; i++)
		{
			const char *path = package->files[i].path;

			if ((int) depot_store_rank(layout, path) != rank ||
				(keep != NULL && depot_store_find_file(keep, path) != NULL) ||
				depot_store_owner(state, path, package->package) != NULL)
				continue;
			if (!depot_files_remove(root_fd, path, error) || !sync_later(&sync, path, error))
				return false;
		}
		if (!sync_pending(&sync, error))
			return false;
	}
	return true;
}

/* Opens the tree of a job, if there is one. */
static bool
open_tree(int root_fd, const char *job, int *tree_fd, DepotError *error)
{
	char		path[DEPOT_SERVED_PATH_BYTES];
	DepotError	open_error;

	*tree_fd = -1;
	if (job == NULL)
		return true;
	snprintf(path, sizeof(path), "%s/%s/tree", DEPOT_STAGING, job);
	*tree_fd = depot_files_open_directory(root_fd, path, &open_error);
	if (*tree_fd >= 0 || open_error.code == DEPOT_ERROR_FILE_MISSING)
		return true;
	if (error != NULL)
		*error = open_error;
	return false;
}

/* The part of an activation that changes the served tree. */
static bool
change_tree(const Activation *activation, DepotState *state, DepotError *error)
{
	const DepotAppliedPackage *entry;

	if (!place_files(activation, STORE_LIBRARY, STORE_LIBRARY, error))
		return false;
	depot_test_point("activate_libraries");
	if (!place_files(activation, STORE_DATA, STORE_SCRIPT, error))
		return false;
	depot_test_point("activate_scripts");
	if (!place_files(activation, STORE_SECONDARY_CONTROL, STORE_CONTROL, error))
		return false;
	depot_test_point("activate_control");
	entry = depot_store_find(state, activation->wanted.package);
	if (entry == NULL)
		return true;
	if (!remove_files(activation->root_fd, activation->layout, state, entry, &activation->wanted,
					  STORE_CONTROL, STORE_LIBRARY, error))
		return false;
	depot_store_prune_directories(activation->root_fd, activation->layout, entry);
	return true;
}

bool
depot_store_activate(int root_fd, const DepotLayout *layout, DepotState *state, const char *job,
					 const DepotManifest *manifest, const char *digest, const char *manifest_sha256,
					 bool *resumed, DepotError *error)
{
	Activation	activation = {.root_fd = root_fd, .layout = layout, .tree_fd = -1};
	bool		ok = false;

	*resumed = false;
	depot_test_point("activate_begin");
	if (!depot_name_is_sha256(digest) || !depot_name_is_sha256(manifest_sha256))
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "invalid digest");
	if (!depot_store_plan_package(layout, manifest, manifest_sha256, &activation.wanted, error))
		return false;
	memcpy(activation.wanted.digest, digest, sizeof(activation.wanted.digest));
	memcpy(activation.wanted.manifest_sha256, manifest_sha256, sizeof(activation.wanted.manifest_sha256));
	activation.is_staged = calloc((size_t) activation.wanted.file_count, sizeof(*activation.is_staged));
	if (activation.is_staged == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	if (!open_tree(root_fd, job, &activation.tree_fd, error) ||
		!locate_files(&activation, resumed, error))
		goto done;

	/* depot_store_prepare_activation made the directories, but that may have been before a restart. */
	if (!depot_store_make_directories(root_fd, layout, &activation.wanted, true, error) ||
		!record_change(root_fd, state, manifest->package, manifest->version, &activation.wanted, error) ||
		!change_tree(&activation, state, error))
		goto done;
	depot_test_point("activate_state");
	ok = depot_store_replace(root_fd, state, manifest->package, &activation.wanted, error);

done:
	if (activation.tree_fd >= 0)
		close(activation.tree_fd);
	free(activation.is_staged);
	depot_store_free_package(&activation.wanted);
	return ok;
}

bool
depot_store_deactivate(int root_fd, const DepotLayout *layout, DepotState *state, const char *package,
					   DepotError *error)
{
	const DepotAppliedPackage *entry = depot_store_find(state, package);
	char		name[DEPOT_NAME_MAX_BYTES + 1];

	depot_test_point("deactivate_begin");
	if (entry == NULL)
		return true;
	/* package may be the entry's own string, which goes with the entry. */
	snprintf(name, sizeof(name), "%s", package);
	if (!record_change(root_fd, state, name, entry->version, NULL, error))
		return false;
	entry = depot_store_find(state, name);
	if (!remove_files(root_fd, layout, state, entry, NULL, STORE_CONTROL, STORE_SECONDARY_CONTROL, error))
		return false;
	depot_test_point("deactivate_control");
	if (!remove_files(root_fd, layout, state, entry, NULL, STORE_SCRIPT, STORE_LIBRARY, error))
		return false;
	depot_test_point("deactivate_libraries");
	depot_store_prune_directories(root_fd, layout, entry);
	depot_test_point("deactivate_state");
	return depot_store_replace(root_fd, state, name, NULL, error);
}
