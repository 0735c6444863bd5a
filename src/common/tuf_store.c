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

#include "common/files.h"

#define FILE_MODE 0600
#define ROOT_HISTORY "root_history"

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

	snprintf(path, sizeof(path), ROOT_HISTORY "/%" PRId64 ".root.json", version);
	return read_optional(directory_fd, path, DEPOT_TUF_ROOT_MAX_BYTES, bytes, present, error);
}

/* History first: a root.json that history does not reach could not be checked from the pinned root. */
bool
depot_tuf_store_write_root(int directory_fd, int64_t version, const DepotBuffer *bytes, DepotError *error)
{
	char		path[64];

	snprintf(path, sizeof(path), ROOT_HISTORY "/%" PRId64 ".root.json", version);
	return depot_files_make_directories(directory_fd, ROOT_HISTORY, 0700, true, error) &&
		depot_files_write_durable(directory_fd, path, bytes->data, bytes->length_bytes, FILE_MODE, error) &&
		depot_tuf_store_write(directory_fd, "root", bytes, error);
}

bool
depot_tuf_file_name(const char *role, int64_t version, char out[DEPOT_TUF_FILE_NAME_BYTES], DepotError *error)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";
	size_t		used = 0;

	if (version > 0)
		used = (size_t) snprintf(out, DEPOT_TUF_FILE_NAME_BYTES, "%" PRId64 ".", version);
	for (const char *c = role; *c != '\0'; c++)
	{
		if (used + 3 > ENCODED_MAX_BYTES)
			return depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT,
								   "name of a role is too long for a file name");
		if (strchr(plain, *c) != NULL)
			out[used++] = *c;
		else
			used += (size_t) snprintf(out + used, DEPOT_TUF_FILE_NAME_BYTES - used, "%%%02X",
									  (unsigned char) *c);
	}
	snprintf(out + used, DEPOT_TUF_FILE_NAME_BYTES - used, ".json");
	return true;
}

static bool
read_optional(int directory_fd, const char *path, size_t max_bytes, DepotBuffer *bytes, bool *present,
			  DepotError *error)
{
	depot_buffer_reset(bytes);
	*present = depot_files_read(directory_fd, path, max_bytes, bytes, error);
	return *present || error->code == DEPOT_ERROR_FILE_MISSING || error->code == DEPOT_ERROR_TOO_LARGE;
}
