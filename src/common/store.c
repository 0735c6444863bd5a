/*-------------------------------------------------------------------------
 *
 * store.c
 *	  The layout of the depot directory.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/store.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/evidence.h"
#include "common/files.h"
#include "common/name.h"
#include "common/store_internal.h"

static bool
begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool
ends_with(const char *text, const char *suffix)
{
	size_t		length = strlen(text);
	size_t		suffix_length = strlen(suffix);

	return length >= suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

bool
depot_store_served_path(const DepotLayout *layout, const char *member, char out[DEPOT_SERVED_PATH_BYTES],
						DepotError *error)
{
	char		shown[DEPOT_NAME_MAX_BYTES + 1];
	const char *directory = NULL;
	int			length;

	if (depot_name_is_relative_path(member))
	{
		if (begins_with(member, "lib/"))
			directory = layout->lib;
		else if (begins_with(member, "share/"))
			directory = layout->share;
		else if (begins_with(member, "licenses/"))
			directory = STORE_LICENSES;
	}
	depot_name_printable(member, shown, sizeof(shown));
	if (directory == NULL)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" is not a member of a package", shown);
	length = snprintf(out, DEPOT_SERVED_PATH_BYTES, "%s%s", directory, strchr(member, '/'));
	if (length < 0 || length >= DEPOT_SERVED_PATH_BYTES)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "the path of file \"%s\" is too long", shown);
	return true;
}

/* Returns what follows "<directory>/" in path, or NULL. */
static const char *
path_below(const char *path, const char *directory)
{
	size_t		length = strlen(directory);

	if (strncmp(path, directory, length) != 0 || path[length] != '/')
		return NULL;
	return path + length + 1;
}

StorePlace
depot_store_place(const DepotLayout *layout, const char *served_path, const char **rest)
{
	const char *below_share = path_below(served_path, layout->share);
	const char *below_lib = path_below(served_path, layout->lib);

	/* Where one directory is inside the other, the inner one counts. */
	if (below_lib != NULL && (below_share == NULL || below_lib > below_share))
	{
		*rest = below_lib;
		return STORE_IN_LIB;
	}
	*rest = below_share != NULL ? below_share : served_path;
	return below_share != NULL ? STORE_IN_SHARE : STORE_ELSEWHERE;
}

StoreRank
depot_store_rank(const DepotLayout *layout, const char *served_path)
{
	const char *rest;
	StorePlace	place = depot_store_place(layout, served_path, &rest);

	if (place == STORE_IN_LIB)
		return STORE_LIBRARY;
	if (place != STORE_IN_SHARE || !begins_with(rest, STORE_EXTENSION_DIRECTORY "/"))
		return STORE_DATA;
	if (ends_with(rest, ".control"))
		return strstr(rest, "--") != NULL ? STORE_SECONDARY_CONTROL : STORE_CONTROL;
	return ends_with(rest, ".sql") ? STORE_SCRIPT : STORE_DATA;
}

void
depot_store_parent(const char *path, char out[DEPOT_SERVED_PATH_BYTES])
{
	const char *slash = strrchr(path, '/');
	size_t		length = slash != NULL ? (size_t) (slash - path) : 0;

	if (length >= DEPOT_SERVED_PATH_BYTES)
		length = 0;
	memcpy(out, path, length);
	out[length] = '\0';
}

/* Tells whether a directory must stay when it is empty: the server looks for it. */
static bool
is_permanent(const DepotLayout *layout, const char *directory)
{
	const char *rest;

	if (strcmp(directory, layout->share) == 0 || strcmp(directory, layout->lib) == 0)
		return true;
	return depot_store_place(layout, directory, &rest) == STORE_IN_SHARE &&
		strcmp(rest, STORE_EXTENSION_DIRECTORY) == 0;
}

void
depot_store_prune_directories(int root_fd, const DepotLayout *layout, const DepotAppliedPackage *package)
{
	char		last[DEPOT_SERVED_PATH_BYTES] = "";

	/* From the end: what is deeper sorts later. */
	for (int i = package->file_count - 1; i >= 0; i--)
	{
		char		directory[DEPOT_SERVED_PATH_BYTES];

		depot_store_parent(package->files[i].path, directory);
		if (strcmp(directory, last) == 0)
			continue;
		memcpy(last, directory, sizeof(last));
		while (directory[0] != '\0' && !is_permanent(layout, directory) &&
			   depot_files_remove_if_empty(root_fd, directory))
		{
			char		parent[DEPOT_SERVED_PATH_BYTES];

			depot_store_parent(directory, parent);
			memcpy(directory, parent, sizeof(directory));
		}
	}
}

bool
depot_store_prepare(int root_fd, const DepotLayout *layout, DepotError *error)
{
	char		extension[sizeof(layout->share) + sizeof(STORE_EXTENSION_DIRECTORY) + 1];
	const char *const directories[] = {DEPOT_STAGING, DEPOT_METADATA, DEPOT_EVIDENCE, layout->lib, extension};

	snprintf(extension, sizeof(extension), "%s/%s", layout->share, STORE_EXTENSION_DIRECTORY);
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
	{
		if (!depot_files_make_directories(root_fd, directories[i], STORE_DIRECTORY_MODE, true, error))
			return depot_error_prefix(error, "could not prepare the depot directory");
	}
	return true;
}

/* Notes a directory, each path with its final NUL. */
static bool
note_directory(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
			   DepotError *error)
{
	DepotBuffer *paths = context;

	(void) directory_fd;
	(void) size_bytes;
	if (S_ISDIR(mode) && !depot_buffer_append(paths, path, strlen(path) + 1))
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return true;
}

/* Sweeps one of the places of the served tree, which may be absent. */
static bool
sweep_place(int root_fd, const DepotLayout *layout, const char *place, DepotError *error)
{
	DepotError	walk_error;
	DepotBuffer paths;
	bool		ok;

	depot_buffer_init(&paths);
	ok = depot_files_walk(root_fd, place, note_directory, &paths, &walk_error);
	if (!ok && walk_error.code == DEPOT_ERROR_FILE_MISSING)
	{
		depot_buffer_free(&paths);
		return true;
	}
	if (!ok && error != NULL)
		*error = walk_error;
	/* From the end, where what is deeper stands. */
	while (ok && paths.length_bytes > 0)
	{
		char		directory[DEPOT_SERVED_PATH_BYTES];
		size_t		start = paths.length_bytes - 1;
		int			length;

		while (start > 0 && paths.data[start - 1] != '\0')
			start--;
		length = snprintf(directory, sizeof(directory), "%s/%s", place, paths.data + start);
		if (length > 0 && (size_t) length < sizeof(directory) && !is_permanent(layout, directory))
			(void) depot_files_remove_if_empty(root_fd, directory);
		paths.length_bytes = start;
	}
	depot_buffer_free(&paths);
	return ok;
}

bool
depot_store_sweep_directories(int root_fd, const DepotLayout *layout, DepotError *error)
{
	if (!sweep_place(root_fd, layout, layout->lib, error) ||
		!sweep_place(root_fd, layout, layout->share, error) ||
		!sweep_place(root_fd, layout, STORE_LICENSES, error))
		return false;
	(void) depot_files_remove_if_empty(root_fd, STORE_LICENSES);
	return true;
}
