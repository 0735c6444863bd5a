/*-------------------------------------------------------------------------
 *
 * agent_check_verified.c
 *	  The check agent: what the last refresh has verified, so that a refresh
 *	  that finds nothing new need not do it again.
 *
 * A file beside the trusted metadata says with which timestamp it was found
 * whole, when its roles expire, and what its files were like.  It counts only
 * for just that: the same timestamp, signed and current, root and files as they were, and
 * nothing expired.  Nothing is ever taken on its word: a package is looked up
 * in metadata that is verified for it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/agent_check_verified.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/files.h"
#include "common/json.h"
#include "common/name.h"

#define FILE_NAME "verified"
#define FORMAT 1
#define MAX_BYTES 262144

/* What changes when somebody else writes the file: "size mtime inode"; empty when it is not there. */
static void
describe_file(int metadata_fd, const char *role, char out[96])
{
	char		name[128];
	struct stat status;

	snprintf(name, sizeof(name), "%s.json", role);
	out[0] = '\0';
	if (fstatat(metadata_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
		snprintf(out, 96, "%lld %lld.%09ld %llu", (long long) status.st_size, (long long) status.st_mtim.tv_sec,
				 status.st_mtim.tv_nsec, (unsigned long long) status.st_ino);
}

/* Fills one role; false when it has expired, or its file is another one. */
static bool
read_role(int metadata_fd, const json_t *entry, int64_t reference_time, DepotTufRole *role)
{
	const DepotErrorCode code = DEPOT_ERROR_METADATA_FORMAT;
	const char *name;
	const char *file;
	char		now[96];

	memset(role, 0, sizeof(*role));
	if (!depot_json_get_string(entry, "name", true, &name, code, NULL) ||
		!depot_json_get_string(entry, "file", true, &file, code, NULL) ||
		!depot_json_get_integer(entry, "version", true, 1, &role->version, code, NULL) ||
		!depot_json_get_integer(entry, "expires", true, 0, &role->expires_epoch_s, code, NULL) ||
		(!depot_name_is_delegated_role(name) && strchr("rst", name[0]) == NULL) || strchr(name, '/') != NULL)
		return false;
	snprintf(role->name, sizeof(role->name), "%s", name);
	role->loaded = true;
	describe_file(metadata_fd, role->name, now);
	return now[0] != '\0' && strcmp(file, now) == 0 && role->expires_epoch_s > reference_time;
}

int
depot_agent_verified_read(int metadata_fd, const char *platform_role, int key_types, int64_t reference_time,
						  char timestamp_sha256[65], DepotTufRole *roles)
{
	const DepotErrorCode code = DEPOT_ERROR_METADATA_FORMAT;
	json_t	   *document = NULL;
	json_t	   *list;
	const char *role;
	const char *timestamp;
	int64_t		format;
	int64_t		types;
	DepotBuffer text;
	int			count = 0;
	bool		ok;

	depot_buffer_init(&text);
	ok = depot_files_read(metadata_fd, FILE_NAME, MAX_BYTES, &text, NULL) && text.data != NULL &&
		(document = depot_json_parse(text.data, text.length_bytes, code, FILE_NAME, NULL)) != NULL &&
		depot_json_get_integer(document, "format", true, FORMAT, &format, code, NULL) && format == FORMAT &&
		depot_json_get_integer(document, "key_types", true, 0, &types, code, NULL) && types == key_types &&
		depot_json_get_string(document, "role", true, &role, code, NULL) && strcmp(role, platform_role) == 0 &&
		depot_json_get_string(document, "timestamp_sha256", true, &timestamp, code, NULL) &&
		depot_name_is_sha256(timestamp) &&
		depot_json_get_array(document, "roles", true, &list, code, NULL) &&
		json_array_size(list) <= DEPOT_TUF_MAX_ROLES;
	for (size_t i = 0; ok && i < json_array_size(list); i++)
	{
		ok = read_role(metadata_fd, json_array_get(list, i), reference_time, &roles[i]);
		count++;
	}
	if (ok)
		snprintf(timestamp_sha256, 65, "%s", timestamp);
	json_decref(document);
	depot_buffer_free(&text);
	return ok ? count : 0;
}

void
depot_agent_verified_write(int metadata_fd, const char *platform_role, int key_types, const char *timestamp_sha256,
						   const DepotTufRole *roles, int count)
{
	json_t	   *list = json_array();
	json_t	   *document = json_pack("{s:i, s:i, s:s, s:s, s:o}", "format", FORMAT, "key_types", key_types,
									 "role", platform_role, "timestamp_sha256", timestamp_sha256, "roles", list);
	char	   *text;
	bool		whole = document != NULL;

	for (int i = 0; i < count; i++)
	{
		char		file[96];

		describe_file(metadata_fd, roles[i].name, file);
		whole = whole && roles[i].loaded && file[0] != '\0' &&
			json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:s}", "name", roles[i].name,
												  "version", (json_int_t) roles[i].version,
												  "expires", (json_int_t) roles[i].expires_epoch_s,
												  "file", file)) == 0;
	}
	text = whole ? json_dumps(document, JSON_COMPACT) : NULL;
	/* Without it the next refresh takes longer, and says what is wrong. */
	if (text != NULL)
		(void) depot_files_write_durable(metadata_fd, FILE_NAME, text, strlen(text), 0600, NULL);
	else
		(void) depot_files_remove(metadata_fd, FILE_NAME, NULL);
	free(text);
	json_decref(document);
}
