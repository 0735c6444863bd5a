/*-------------------------------------------------------------------------
 *
 * tuf_store.c
 *	  The trusted metadata of one repository on disk.
 *
 * <role>.json for what is trusted now, root_history/<N>.root.json for every
 * root that ever was.  Only verified bytes are written, exactly as received,
 * each by a durable rename, so a reader finds the old file or the new one.
 *
 * A refresh replaces file by file, and one that fails halfway leaves files of two
 * times.  So what it replaces is moved to whole/: laid over the other files, that is
 * the last set that was valid together.  A refresh that ends well removes it.  Each
 * file is written once; and where a crash came between moving the old one
 * away and writing the new one, the old one still counts.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/files.h"

#define FILE_MODE 0600
#define ROOT_HISTORY "root_history"
#define WHOLE "whole"
#define WHOLE_OLD "whole.old"	/* on its way out */

/* Longest name that leaves the file layer room for the suffix of its temporary file. */
#define ENCODED_MAX_BYTES 220

static bool read_optional(int directory_fd, const char *path, size_t max_bytes, DepotBuffer *bytes,
						  bool *present,
						  DepotError *error);

bool
depot_tuf_store_path(int directory_fd, const char *role, bool is_whole, char path[DEPOT_TUF_STORED_PATH_BYTES],
					 DepotError *error)
{
	char		name[DEPOT_TUF_FILE_NAME_BYTES];

	if (!depot_tuf_file_name(role, 0, name, error))
		return false;
	snprintf(path, DEPOT_TUF_STORED_PATH_BYTES, WHOLE "/%s", name);
	if (is_whole ? !depot_files_exists(directory_fd, path) :
		depot_files_exists(directory_fd, name) || !depot_files_exists(directory_fd, path))
		snprintf(path, DEPOT_TUF_STORED_PATH_BYTES, "%s", name);
	return true;
}

bool
depot_tuf_store_read(int directory_fd, const char *role, bool is_whole, size_t max_bytes, DepotBuffer *bytes,
					 bool *present, DepotError *error)
{
	char		path[DEPOT_TUF_STORED_PATH_BYTES];

	return depot_tuf_store_path(directory_fd, role, is_whole, path, error) &&
		read_optional(directory_fd, path, max_bytes, bytes, present, error);
}

bool
depot_tuf_store_has_replaced(int directory_fd)
{
	return depot_files_exists(directory_fd, WHOLE);
}

bool
depot_tuf_store_write(int directory_fd, const char *role, const DepotBuffer *bytes, DepotError *error)
{
	char		name[DEPOT_TUF_FILE_NAME_BYTES];

	return depot_tuf_file_name(role, 0, name, error) &&
		depot_files_write_durable(directory_fd, name, bytes->data, bytes->length_bytes, FILE_MODE, error);
}

bool
depot_tuf_store_replace(int directory_fd, const char *role, const DepotBuffer *bytes, DepotError *error)
{
	char		name[DEPOT_TUF_FILE_NAME_BYTES];
	char		replaced[DEPOT_TUF_STORED_PATH_BYTES];
	DepotError	ignored;
	bool		is_moved = false;

	if (!depot_tuf_file_name(role, 0, name, error))
		return false;
	snprintf(replaced, sizeof(replaced), WHOLE "/%s", name);
	if (depot_files_exists(directory_fd, name) && !depot_files_exists(directory_fd, replaced))
	{
		if (!depot_files_make_directories(directory_fd, WHOLE, 0700, true, error) ||
			!depot_files_rename(directory_fd, name, directory_fd, replaced, error))
			return false;
		is_moved = true;
	}
	if ((!is_moved || depot_files_fsync(directory_fd, WHOLE, error)) &&
		depot_tuf_store_write(directory_fd, role, bytes, error))
		return true;
	if (is_moved)
		(void) depot_files_rename(directory_fd, replaced, directory_fd, name, &ignored);
	return false;
}

/* By one rename: a part of what was replaced would lie over files of another time. */
bool
depot_tuf_store_note_whole(int directory_fd, DepotError *error)
{
	return !depot_tuf_store_has_replaced(directory_fd) ||
		(depot_files_remove_tree(directory_fd, WHOLE_OLD, error) &&
		 depot_files_rename(directory_fd, WHOLE, directory_fd, WHOLE_OLD, error) &&
		 depot_files_fsync(directory_fd, "", error) &&
		 depot_files_remove_tree(directory_fd, WHOLE_OLD, error));
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
