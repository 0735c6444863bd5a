/*-------------------------------------------------------------------------
 *
 * store_reserve.c
 *	  Space for state.json, set aside before a change is committed.
 *
 * After the commit only renames may remain, but state.json is written then.
 * So files as large as what will be written are made before it; they are
 * overwritten and renamed, which takes no block that the file system has not
 * given already.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/flush.h"
#include "common/store.h"
#include "common/store_internal.h"

#define RESERVE_DIRECTORY "var/reserve"
#define RESERVE_PATH_BYTES 64
/* More than one plan's packages, twice each. */
#define RESERVES_MAX 256
/* What is in state.json besides packages, its stamp above all. */
#define SLACK_BYTES 8192
/* A package's entry besides its files, and a file's besides its path. */
#define PACKAGE_BYTES 1024
#define FILE_BYTES 256

static void
reserve_path(int index, char out[RESERVE_PATH_BYTES])
{
	snprintf(out, RESERVE_PATH_BYTES, RESERVE_DIRECTORY "/%d", index);
}

uint64_t
depot_store_state_bytes(const DepotLayout *layout, const DepotManifest *manifest)
{
	size_t		prefix_bytes = strlen(layout->share) + strlen(layout->lib);
	uint64_t	bytes = PACKAGE_BYTES + prefix_bytes;

	for (int i = 0; i < manifest->file_count; i++)
		bytes += FILE_BYTES + prefix_bytes + strlen(manifest->files[i].path);
	return bytes;
}

/*
 * Writes length_bytes to a new file.  It is flushed, not for durability: until it is written the file system
 * may not have looked for room.
 */
static bool
fill_reserve(int root_fd, const char *path, const char *bytes, size_t length_bytes, DepotFlush *flush,
			 DepotError *error)
{
	int			fd = depot_files_open(root_fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, error);
	bool		ok = fd >= 0 && depot_files_write_all(fd, bytes, length_bytes, error);

	if (fd >= 0)
		depot_flush_add(flush, fd);
	return ok;
}

bool
depot_store_reserve_state(int root_fd, int writes, uint64_t added_bytes, DepotError *error)
{
	char		path[RESERVE_PATH_BYTES];
	struct stat status;
	size_t		size = (size_t) added_bytes + SLACK_BYTES;
	char	   *nothing;
	DepotFlush	flush;
	bool		ok;

	if (fstatat(root_fd, DEPOT_STATE_FILE, &status, AT_SYMLINK_NOFOLLOW) == 0)
		size += (size_t) status.st_size;
	if (writes > RESERVES_MAX)
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "too many packages for one change");
	nothing = malloc(size);
	if (nothing == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	memset(nothing, ' ', size);
	depot_flush_begin(&flush);
	ok = depot_files_make_directories(root_fd, RESERVE_DIRECTORY, S_IRWXU, false, error);
	for (int i = 0; i < writes && ok; i++)
	{
		reserve_path(i, path);
		ok = fill_reserve(root_fd, path, nothing, size, &flush, error);
	}
	free(nothing);
	ok = depot_flush_end(&flush, ok ? error : NULL) && ok;
	if (!ok)
		depot_store_release_state(root_fd);
	return ok;
}

/* Also what a kill in the middle of reserving left. */
void
depot_store_release_state(int root_fd)
{
	(void) depot_files_remove_tree(root_fd, RESERVE_DIRECTORY, NULL);
}

/* Overwrites one reserved file; false when it is not there, too small, or cannot be written. */
static bool
overwrite(int root_fd, const char *path, const void *bytes, size_t length_bytes)
{
	struct stat status;
	bool		ok;
	int			fd = depot_files_open(root_fd, path, O_WRONLY, 0, NULL);

	if (fd < 0)
		return false;
	ok = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (uint64_t) status.st_size >= length_bytes &&
		depot_files_write_all(fd, bytes, length_bytes, NULL) && ftruncate(fd, (off_t) length_bytes) == 0 &&
		fsync(fd) == 0;
	return close(fd) == 0 && ok;
}

bool
depot_store_write_state(int root_fd, const void *bytes, size_t length_bytes, DepotError *error)
{
	char		path[RESERVE_PATH_BYTES];

	for (int i = 0; i < RESERVES_MAX && depot_files_exists(root_fd, RESERVE_DIRECTORY); i++)
	{
		reserve_path(i, path);
		if (overwrite(root_fd, path, bytes, length_bytes))
			return depot_files_rename(root_fd, path, root_fd, DEPOT_STATE_FILE, error) &&
				depot_files_fsync(root_fd, "var", error);
	}
	return depot_files_write_durable(root_fd, DEPOT_STATE_FILE, bytes, length_bytes, 0600, error);
}
