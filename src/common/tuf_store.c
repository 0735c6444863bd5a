/*-------------------------------------------------------------------------
 *
 * tuf_store.c
 *	  The trusted metadata of one repository on disk.
 *
 * <role>.json for what is trusted now, root_history/<N>.root.json for every
 * root that ever was.  Only verified bytes are written, exactly as received,
 * each by a durable rename, so a reader finds the old file or the new one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/files.h"

#define FILE_MODE 0600
#define ROOT_HISTORY "root_history"
#define WHOLE "whole"
#define WHOLE_NEW "whole.new"

/* Longest name that leaves the file layer room for the suffix of its temporary file. */
#define ENCODED_MAX_BYTES 220

static bool read_optional(int directory_fd, const char *path, size_t max_bytes, DepotBuffer *bytes,
						  bool *present,
						  DepotError *error);

bool
depot_tuf_store_read(int directory_fd, const char *role, size_t max_bytes, DepotBuffer *bytes, bool *present,
					 DepotError *error)
{
	char		name[DEPOT_TUF_FILE_NAME_BYTES];

	return depot_tuf_file_name(role, 0, name, error) &&
		read_optional(directory_fd, name, max_bytes, bytes, present, error);
}

bool
depot_tuf_store_write(int directory_fd, const char *role, const DepotBuffer *bytes, DepotError *error)
{
	char		name[DEPOT_TUF_FILE_NAME_BYTES];

	return depot_tuf_file_name(role, 0, name, error) &&
		depot_files_write_durable(directory_fd, name, bytes->data, bytes->length_bytes, FILE_MODE, error);
}

bool
depot_tuf_store_read_root(int directory_fd, int64_t version, DepotBuffer *bytes, bool *present,
						  DepotError *error)
{
	char		path[64];

	*present = false;
	return !depot_tuf_root_path(version, path) ||
		read_optional(directory_fd, path, DEPOT_TUF_ROOT_MAX_BYTES, bytes, present, error);
}

bool
depot_tuf_root_path(int64_t version, char path[64])
{
	snprintf(path, 64, ROOT_HISTORY "/%" PRId64 ".root.json", version);
	return version > 0;
}

/* History first: a root.json that history does not reach could not be checked from the pinned root. */
bool
depot_tuf_store_write_root(int directory_fd, int64_t version, const DepotBuffer *bytes, DepotError *error)
{
	char		path[64];

	(void) depot_tuf_root_path(version, path);
	return depot_files_make_directories(directory_fd, ROOT_HISTORY, 0700, true, error) &&
		depot_files_write_durable(directory_fd, path, bytes->data, bytes->length_bytes, FILE_MODE, error) &&
		depot_tuf_store_write(directory_fd, "root", bytes, error);
}

/* A crash between the last two steps leaves none, while the files themselves are whole. */
bool
depot_tuf_store_keep_whole(int directory_fd, const char *const *roles, int role_count, DepotError *error)
{
	DepotBuffer bytes;
	int			fd = -1;
	bool		ok;

	depot_buffer_init(&bytes);
	ok = depot_files_remove_tree(directory_fd, WHOLE_NEW, error) &&
		depot_files_make_directories(directory_fd, WHOLE_NEW, 0700, true, error) &&
		(fd = depot_files_open_directory(directory_fd, WHOLE_NEW, error)) >= 0;
	for (int i = 0; i < role_count && ok; i++)
	{
		char		name[DEPOT_TUF_FILE_NAME_BYTES];

		depot_buffer_reset(&bytes);
		ok = depot_tuf_file_name(roles[i], 0, name, error) &&
			depot_files_read(directory_fd, name, DEPOT_TUF_TARGETS_MAX_BYTES, &bytes, error) &&
			depot_tuf_store_write(fd, roles[i], &bytes, error);
	}
	ok = ok && depot_files_remove_tree(directory_fd, WHOLE, error) &&
		depot_files_rename(directory_fd, WHOLE_NEW, directory_fd, WHOLE, error) &&
		depot_files_fsync(directory_fd, "", error);
	if (fd >= 0)
		(void) close(fd);
	depot_buffer_free(&bytes);
	return ok;
}

bool
depot_tuf_store_is_whole_current(int directory_fd)
{
	DepotBuffer now;
	DepotBuffer kept;
	DepotError	ignored;
	bool		is_current;

	depot_buffer_init(&now);
	depot_buffer_init(&kept);
	is_current = depot_files_read(directory_fd, "timestamp.json", DEPOT_TUF_TIMESTAMP_MAX_BYTES, &now, &ignored) &&
		depot_files_read(directory_fd, WHOLE "/timestamp.json", DEPOT_TUF_TIMESTAMP_MAX_BYTES, &kept, &ignored) &&
		now.length_bytes > 0 && now.length_bytes == kept.length_bytes &&
		memcmp(now.data, kept.data, now.length_bytes) == 0;
	depot_buffer_free(&now);
	depot_buffer_free(&kept);
	return is_current;
}

int
depot_tuf_store_open_whole(int directory_fd)
{
	DepotError	ignored;

	return depot_files_open_directory(directory_fd, WHOLE, &ignored);
}

bool
depot_tuf_file_name(const char *role, int64_t version, char out[DEPOT_TUF_FILE_NAME_BYTES], DepotError *error)
{
	DepotBuffer name;
	bool		ok;

	depot_buffer_init(&name);
	if (version > 0)
		depot_buffer_append_format(&name, "%" PRId64 ".", version);
	depot_tuf_encode(role, strlen(role), "", &name);
	if (name.failed || name.length_bytes == 0)
		ok = depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	else
		ok = name.length_bytes <= ENCODED_MAX_BYTES ||
			depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT,
							"name of a role is too long for a file name");
	if (ok)
		snprintf(out, DEPOT_TUF_FILE_NAME_BYTES, "%s.json", name.data);
	depot_buffer_free(&name);
	return ok;
}

static bool
read_optional(int directory_fd, const char *path, size_t max_bytes, DepotBuffer *bytes, bool *present,
			  DepotError *error)
{
	depot_buffer_reset(bytes);
	*present = depot_files_read(directory_fd, path, max_bytes, bytes, error);
	return *present || error->code == DEPOT_ERROR_FILE_MISSING || error->code == DEPOT_ERROR_TOO_LARGE;
}
