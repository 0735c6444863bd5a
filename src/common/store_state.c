/*-------------------------------------------------------------------------
 *
 * store_state.c
 *	  What is applied here: DepotState in memory and var/state.json.
 *
 * The file is canonical JSON.  Paths in it are percent-encoded, since JSON
 * carries UTF-8 only and a directory may have any name.  A file that does not
 * read as expected is treated as absent: the rows say what should be there,
 * and the leader finds out what is.
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

#include "common/files.h"
#include "common/json.h"
#include "common/name.h"
#include "common/store.h"
#include "common/store_internal.h"

/* Far more than all files that fit the package limits of a few hundred packages. */
#define STATE_MAX_BYTES ((size_t) 256 * 1024 * 1024)

/* Any code will do: errors of reading the format never leave this file. */
#define FORMAT_CODE DEPOT_ERROR_IO

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

void
depot_store_free_package(DepotAppliedPackage *package)
{
	for (int i = 0; i < package->file_count; i++)
		free(package->files[i].path);
	free(package->files);
	free(package->package);
	free(package->version);
	memset(package, 0, sizeof(*package));
}

void
depot_store_free_state(DepotState *state)
{
	for (int i = 0; i < state->package_count; i++)
		depot_store_free_package(&state->packages[i]);
	free(state->packages);
	state->packages = NULL;
	state->package_count = 0;
}

bool
depot_store_add_file(DepotAppliedPackage *package, const char *path, const DepotAppliedFile *file,
					 DepotError *error)
{
	DepotAppliedFile *added = &package->files[package->file_count];

	*added = *file;
	added->path = strdup(path);
	if (added->path == NULL)
		return out_of_memory(error);
	package->file_count++;
	return true;
}

static int
compare_files(const void *a, const void *b)
{
	return strcmp(((const DepotAppliedFile *) a)->path, ((const DepotAppliedFile *) b)->path);
}

void
depot_store_sort_files(DepotAppliedPackage *package)
{
	if (package->file_count > 1)
		qsort(package->files, (size_t) package->file_count, sizeof(*package->files), compare_files);
}

const DepotAppliedFile *
depot_store_find_file(const DepotAppliedPackage *package, const char *served_path)
{
	DepotAppliedFile wanted = {.path = (char *) served_path};

	if (package->file_count == 0)
		return NULL;
	return bsearch(&wanted, package->files, (size_t) package->file_count, sizeof(*package->files),
				   compare_files);
}

/* Returns where package is, or where it would have to go. */
static int
package_position(const DepotState *state, const char *package, bool *found)
{
	int			low = 0;
	int			high = state->package_count;

	*found = false;
	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		int			order = strcmp(state->packages[middle].package, package);

		if (order == 0)
		{
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const DepotAppliedPackage *
depot_store_find(const DepotState *state, const char *package)
{
	bool		found;
	int			position = package_position(state, package, &found);

	return found ? &state->packages[position] : NULL;
}

const DepotAppliedPackage *
depot_store_owner(const DepotState *state, const char *served_path, const char *except_package)
{
	for (int i = 0; i < state->package_count; i++)
	{
		const DepotAppliedPackage *package = &state->packages[i];

		if (except_package != NULL && strcmp(package->package, except_package) == 0)
			continue;
		if (depot_store_find_file(package, served_path) != NULL)
			return package;
	}
	return NULL;
}

bool
depot_store_replace(int root_fd, DepotState *state, const char *package, DepotAppliedPackage *entry,
					DepotError *error)
{
	DepotAppliedPackage replaced = {0};
	DepotState	next = *state;
	bool		found;
	int			position = package_position(state, package, &found);

	/* The next state shares everything with this one but the array. */
	next.packages = calloc((size_t) state->package_count + 1, sizeof(*next.packages));
	if (next.packages == NULL)
		return out_of_memory(error);
	next.package_count = 0;
	for (int i = 0; i < position; i++)
		next.packages[next.package_count++] = state->packages[i];
	if (entry != NULL)
		next.packages[next.package_count++] = *entry;
	for (int i = position + (found ? 1 : 0); i < state->package_count; i++)
		next.packages[next.package_count++] = state->packages[i];
	if (!depot_store_save_state(root_fd, &next, error))
	{
		free(next.packages);
		return false;
	}

	/* From here on nothing fails. */
	if (found)
		replaced = state->packages[position];
	free(state->packages);
	*state = next;
	if (entry != NULL)
		memset(entry, 0, sizeof(*entry));
	/* Last, as package may be its name. */
	depot_store_free_package(&replaced);
	return true;
}

json_t *
depot_store_encode_path(const char *path)
{
	DepotBuffer text;
	json_t	   *value = NULL;

	depot_buffer_init(&text);
	depot_buffer_append(&text, "", 0);
	for (; *path != '\0'; path++)
	{
		if (*path > 0x20 && *path < 0x7F && *path != '%')
			depot_buffer_append(&text, path, 1);
		else
			depot_buffer_append_format(&text, "%%%02X", (unsigned char) *path);
	}
	if (!text.failed)
		value = json_string(text.data);
	depot_buffer_free(&text);
	return value;
}

/* Decodes in place of a new string; NULL when out of memory.  A stray '%' stands for itself. */
static char *
decode_path(const char *text)
{
	char	   *path = strdup(text);
	char	   *out = path;

	if (path == NULL)
		return NULL;
	while (*text != '\0')
	{
		char		digits[3] = "";

		if (*text == '%' && strspn(text + 1, "0123456789ABCDEF") >= 2)
		{
			memcpy(digits, text + 1, 2);
			*out++ = (char) strtoul(digits, NULL, 16);
			text += 3;
		}
		else
			*out++ = *text++;
	}
	*out = '\0';
	return path;
}

static json_t *
write_package(const DepotAppliedPackage *package)
{
	json_t	   *files = json_array();
	bool		ok = files != NULL;

	for (int i = 0; i < package->file_count && ok; i++)
	{
		const DepotAppliedFile *file = &package->files[i];
		json_t	   *element = json_pack("{s:o, s:I, s:s, s:i}", "path", depot_store_encode_path(file->path),
										"size", (json_int_t) file->size_bytes, "sha256", file->sha256,
										"mode", (int) file->mode);

		ok = json_array_append_new(files, element) == 0;
	}
	if (!ok)
	{
		json_decref(files);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:o}", "package", package->package,
					 "version", package->version, "digest", package->digest,
					 "manifest_sha256", package->manifest_sha256,
					 "complete", package->is_complete, "files", files);
}

bool
depot_store_save_state(int root_fd, const DepotState *state, DepotError *error)
{
	const DepotStamp *stamp = &state->stamp;
	json_t	   *document = NULL;
	json_t	   *packages = json_array();
	DepotBuffer text;
	bool		ok = packages != NULL;

	depot_buffer_init(&text);
	for (int i = 0; i < state->package_count && ok; i++)
		ok = json_array_append_new(packages, write_package(&state->packages[i])) == 0;
	if (ok)
		document = json_pack("{s:i, s:{s:s, s:i, s:s, s:o}, s:O}", "format", DEPOT_STATE_FORMAT, "stamp",
							 "system_identifier", stamp->system_identifier,
							 "postgresql_major", stamp->postgresql_major, "platform", stamp->platform,
							 "path", depot_store_encode_path(stamp->path), "packages", packages);
	if (document == NULL)
	{
		ok = out_of_memory(error);
		goto done;
	}
	ok = depot_json_canonical(document, &text, DEPOT_ERROR_IO, error) &&
		(depot_buffer_append(&text, "\n", 1) || out_of_memory(error));
	if (ok && text.length_bytes > STATE_MAX_BYTES)
		ok = depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "the list of applied files is too large");
	ok = ok && depot_store_write_state(root_fd, text.data, text.length_bytes, error);

done:
	json_decref(packages);
	json_decref(document);
	depot_buffer_free(&text);
	return ok;
}

/*
 * Reads one file.  Its path will be removed one day, so nothing that is the
 * depot's own passes; "..", links and the like are stopped by files.h.
 */
static bool
read_file(const json_t *element, DepotAppliedPackage *package, DepotError *error)
{
	DepotAppliedFile file = {0};
	const char *path = NULL;
	const char *sha256 = NULL;
	int64_t		size_bytes = 0;
	int64_t		mode = 0;
	char	   *decoded;
	bool		ok;

	if (!depot_json_get_string(element, "path", true, &path, FORMAT_CODE, error) ||
		!depot_json_get_integer(element, "size", true, 0, &size_bytes, FORMAT_CODE, error) ||
		!depot_json_get_string(element, "sha256", true, &sha256, FORMAT_CODE, error) ||
		!depot_json_get_integer(element, "mode", true, 0, &mode, FORMAT_CODE, error))
		return false;
	if (!depot_name_is_sha256(sha256) || (mode != 0644 && mode != 0755))
		return depot_error_set(error, FORMAT_CODE, "invalid digest or mode");
	file.size_bytes = (uint64_t) size_bytes;
	file.mode = (uint32_t) mode;
	memcpy(file.sha256, sha256, sizeof(file.sha256));
	decoded = decode_path(path);
	if (decoded == NULL)
		return out_of_memory(error);
	ok = decoded[0] != '\0' && decoded[0] != '/' && strncmp(decoded, "var/", strlen("var/")) != 0 &&
		strlen(decoded) < DEPOT_SERVED_PATH_BYTES;
	if (!ok)
		depot_error_set(error, FORMAT_CODE, "invalid path");
	ok = ok && depot_store_add_file(package, decoded, &file, error);
	free(decoded);
	return ok;
}

static bool
read_package(const json_t *element, DepotAppliedPackage *package, DepotError *error)
{
	const char *name = NULL;
	const char *version = NULL;
	const char *digest = NULL;
	const char *manifest_sha256 = NULL;
	json_t	   *files = NULL;

	if (!depot_json_get_string(element, "package", true, &name, FORMAT_CODE, error) ||
		!depot_json_get_string(element, "version", true, &version, FORMAT_CODE, error) ||
		!depot_json_get_string(element, "digest", true, &digest, FORMAT_CODE, error) ||
		!depot_json_get_string(element, "manifest_sha256", true, &manifest_sha256, FORMAT_CODE, error) ||
		!depot_json_get_bool(element, "complete", true, &package->is_complete, FORMAT_CODE, error) ||
		!depot_json_get_array(element, "files", true, &files, FORMAT_CODE, error))
		return false;
	if (!depot_name_is_package(name) || !depot_name_is_version(version))
		return depot_error_set(error, FORMAT_CODE, "invalid name or version");
	/* Digests are empty exactly while a change is under way. */
	if (package->is_complete ? !depot_name_is_sha256(digest) || !depot_name_is_sha256(manifest_sha256) :
		digest[0] != '\0' || manifest_sha256[0] != '\0')
		return depot_error_set(error, FORMAT_CODE, "invalid digest");
	snprintf(package->digest, sizeof(package->digest), "%s", digest);
	snprintf(package->manifest_sha256, sizeof(package->manifest_sha256), "%s", manifest_sha256);
	package->package = strdup(name);
	package->version = strdup(version);
	package->files = calloc(json_array_size(files) + 1, sizeof(*package->files));
	if (package->package == NULL || package->version == NULL || package->files == NULL)
		return out_of_memory(error);
	for (size_t i = 0; i < json_array_size(files); i++)
	{
		if (!read_file(json_array_get(files, i), package, error))
			return false;
	}
	depot_store_sort_files(package);
	return true;
}

static int
compare_packages(const void *a, const void *b)
{
	return strcmp(((const DepotAppliedPackage *) a)->package, ((const DepotAppliedPackage *) b)->package);
}

/* Reads all packages into an empty state; on failure the caller frees what was read. */
static bool
read_packages(const json_t *packages, DepotState *state, DepotError *error)
{
	size_t		count = json_array_size(packages);

	state->packages = calloc(count + 1, sizeof(*state->packages));
	if (state->packages == NULL)
		return out_of_memory(error);
	for (size_t i = 0; i < count; i++)
	{
		state->package_count++;
		if (!read_package(json_array_get(packages, i), &state->packages[i], error))
			return false;
	}
	qsort(state->packages, count, sizeof(*state->packages), compare_packages);
	for (size_t i = 1; i < count; i++)
	{
		if (compare_packages(&state->packages[i - 1], &state->packages[i]) == 0)
			return depot_error_set(error, FORMAT_CODE, "a package twice");
	}
	return true;
}

/* Compares the stamp in the file with ours. */
static bool
has_stamp(const json_t *document, const DepotStamp *stamp, DepotError *error)
{
	json_t	   *object = NULL;
	const char *system_identifier = NULL;
	const char *platform = NULL;
	const char *path = NULL;
	int64_t		major = 0;
	char	   *decoded;
	bool		same;

	if (!depot_json_get_object(document, "stamp", true, &object, FORMAT_CODE, error) ||
		!depot_json_get_string(object, "system_identifier", true, &system_identifier, FORMAT_CODE, error) ||
		!depot_json_get_integer(object, "postgresql_major", true, 0, &major, FORMAT_CODE, error) ||
		!depot_json_get_string(object, "platform", true, &platform, FORMAT_CODE, error) ||
		!depot_json_get_string(object, "path", true, &path, FORMAT_CODE, error))
		return false;
	decoded = decode_path(path);
	if (decoded == NULL)
		return out_of_memory(error);
	same = strcmp(system_identifier, stamp->system_identifier) == 0 && major == stamp->postgresql_major &&
		strcmp(platform, stamp->platform) == 0 && strcmp(decoded, stamp->path) == 0;
	free(decoded);
	return same || depot_error_set(error, FORMAT_CODE, "another server's state");
}

/* Reads the text of state.json into an empty state. */
static bool
read_state(const DepotBuffer *text, const DepotStamp *stamp, DepotState *state, DepotError *error)
{
	json_t	   *document;
	json_t	   *packages = NULL;
	int64_t		format = 0;
	bool		ok = false;

	document = depot_json_parse(text->data, text->length_bytes, FORMAT_CODE, "state", error);
	if (document == NULL ||
		!depot_json_get_integer(document, "format", true, 0, &format, FORMAT_CODE, error))
		goto done;
	if (format != DEPOT_STATE_FORMAT)
	{
		depot_error_set(error, FORMAT_CODE, "another format");
		goto done;
	}
	if ((stamp != NULL && !has_stamp(document, stamp, error)) ||
		!depot_json_get_array(document, "packages", true, &packages, FORMAT_CODE, error))
		goto done;
	ok = read_packages(packages, state, error);

done:
	json_decref(document);
	return ok;
}

bool
depot_store_load_state(int root_fd, const DepotStamp *stamp, DepotState *state, bool *fresh,
					   DepotError *error)
{
	DepotBuffer text;
	DepotError	read_error;
	bool		ok = true;

	memset(state, 0, sizeof(*state));
	if (stamp != NULL)
		state->stamp = *stamp;
	*fresh = false;
	depot_buffer_init(&text);
	if (!depot_files_read(root_fd, DEPOT_STATE_FILE, STATE_MAX_BYTES, &text, &read_error))
	{
		*fresh = read_error.code == DEPOT_ERROR_FILE_MISSING || read_error.code == DEPOT_ERROR_TOO_LARGE;
		ok = *fresh;
	}
	else if (!read_state(&text, stamp, state, &read_error))
	{
		depot_store_free_state(state);
		ok = read_error.code != DEPOT_ERROR_OUT_OF_MEMORY;
		*fresh = ok;
	}
	if (!ok && error != NULL)
		*error = read_error;
	depot_buffer_free(&text);
	return ok;
}

bool
depot_store_is_whole(int root_fd, const DepotAppliedPackage *package)
{
	for (int i = 0; i < package->file_count; i++)
	{
		const DepotAppliedFile *file = &package->files[i];
		struct stat status;

		if (fstatat(root_fd, file->path, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
			!S_ISREG(status.st_mode) || (uint64_t) status.st_size != file->size_bytes)
			return false;
	}
	return true;
}
