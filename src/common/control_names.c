/*-------------------------------------------------------------------------
 *
 * control_names.c
 *	  What the names of files in share/extension mean: whose script it is,
 *	  and which versions the scripts at hand can make.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/control.h"

#include <stdlib.h>
#include <string.h>

#include "common/name.h"
#include "common/version.h"

/* The version name by convention of scripts that lead from or to any version; nobody creates it. */
#define VERSION_ANY "ANY"

/* Copies length bytes into a name field; false when they do not fit. */
static bool
copy_part(char out[64], const char *start, size_t length)
{
	if (length > DEPOT_NAME_MAX_BYTES)
		return false;
	memcpy(out, start, length);
	out[length] = '\0';
	return true;
}

static bool
has_suffix(const char *name, const char *suffix, size_t *stem_length)
{
	size_t		length = strlen(name);
	size_t		suffix_length = strlen(suffix);

	if (length <= suffix_length || strcmp(name + length - suffix_length, suffix) != 0)
		return false;
	*stem_length = length - suffix_length;
	return true;
}

/* Returns the first "--" of the length bytes at text, or NULL. */
static const char *
find_dashes(const char *text, size_t length)
{
	return length < 2 ? NULL : memmem(text, length, "--", 2);
}

bool
depot_control_parse_file_name(const char *file_name, DepotExtensionFile *file)
{
	size_t		stem_length = 0;
	const char *stem_end;
	const char *dashes;
	const char *version;
	const char *second;
	bool		is_control = has_suffix(file_name, ".control", &stem_length);

	memset(file, 0, sizeof(*file));
	if (!is_control && !has_suffix(file_name, ".sql", &stem_length))
		return false;
	stem_end = file_name + stem_length;
	dashes = find_dashes(file_name, stem_length);
	if (!copy_part(file->extension, file_name, (size_t) ((dashes == NULL ? stem_end : dashes) - file_name)) ||
		!depot_name_is_extension(file->extension))
		return false;
	if (dashes == NULL)
	{
		file->kind = DEPOT_FILE_CONTROL;
		return is_control;
	}
	version = dashes + 2;
	second = find_dashes(version, (size_t) (stem_end - version));
	if (!copy_part(file->version, version, (size_t) ((second == NULL ? stem_end : second) - version)) ||
		!depot_name_is_version(file->version))
		return false;
	if (second == NULL)
	{
		file->kind = is_control ? DEPOT_FILE_SECONDARY_CONTROL : DEPOT_FILE_INSTALL_SCRIPT;
		return true;
	}
	file->kind = DEPOT_FILE_UPDATE_SCRIPT;
	return !is_control && copy_part(file->target_version, second + 2, (size_t) (stem_end - second - 2)) &&
		depot_name_is_version(file->target_version);
}

static bool
contains(char *const *versions, int count, const char *version)
{
	for (int i = 0; i < count; i++)
	{
		if (strcmp(versions[i], version) == 0)
			return true;
	}
	return false;
}

/*
 * Adds a copy of version unless it is there; capacity is that of the caller's files, which bounds what can
 * be added.
 */
static bool
add_version(char **versions, int *count, const char *version, DepotError *error)
{
	if (contains(versions, *count, version))
		return true;
	versions[*count] = strdup(version);
	if (versions[*count] == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	(*count)++;
	return true;
}

static int
compare_versions(const void *a, const void *b)
{
	const char *left = *(const char *const *) a;
	const char *right = *(const char *const *) b;
	int			order = depot_version_compare(left, right);

	return order != 0 ? order : strcmp(left, right);
}

bool
depot_control_list_versions(const DepotExtensionFile *files, int file_count, const char *extension,
							char ***versions, int *version_count, DepotError *error)
{
	char	  **found = calloc((size_t) file_count + 1, sizeof(found[0]));
	int			count = 0;
	int			kept = 0;
	int			before;

	*versions = NULL;
	*version_count = 0;
	if (found == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	for (int i = 0; i < file_count; i++)
	{
		if (files[i].kind == DEPOT_FILE_INSTALL_SCRIPT && strcmp(files[i].extension, extension) == 0 &&
			!add_version(found, &count, files[i].version, error))
			goto fail;
	}
	/* Each round adds what one more update script reaches. */
	do
	{
		before = count;
		for (int i = 0; i < file_count; i++)
		{
			if (files[i].kind == DEPOT_FILE_UPDATE_SCRIPT && strcmp(files[i].extension, extension) == 0 &&
				contains(found, count, files[i].version) &&
				!add_version(found, &count, files[i].target_version, error))
				goto fail;
		}
	} while (count > before);
	for (int i = 0; i < count; i++)
	{
		if (strcmp(found[i], VERSION_ANY) == 0)
			free(found[i]);
		else
			found[kept++] = found[i];
	}
	qsort(found, (size_t) kept, sizeof(found[0]), compare_versions);
	*versions = found;
	*version_count = kept;
	return true;

fail:
	for (int i = 0; i < count; i++)
		free(found[i]);
	free(found);
	return false;
}
