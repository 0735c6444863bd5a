/*-------------------------------------------------------------------------
 *
 * manifest_check.c
 *	  What the members of a manifest must be to each other.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/manifest_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/name.h"

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Refuses a name that a list has twice.  names is sorted in place. */
static bool
check_unique(const char **names, int count, const char *what, DepotError *error)
{
	qsort(names, (size_t) count, sizeof(names[0]), compare_strings);
	for (int i = 1; i < count; i++)
	{
		char		shown[96];

		if (strcmp(names[i - 1], names[i]) == 0)
			return depot_error_set(error, DEPOT_ERROR_MANIFEST, "%s \"%s\" is listed twice", what,
								   depot_name_printable(names[i], shown, sizeof(shown)));
	}
	return true;
}

/* Collects one name per element with pick and checks that each is there once. */
static bool
check_unique_in(const DepotManifest *manifest, int count, const char *(*pick) (const DepotManifest *, int),
				const char *what, DepotError *error)
{
	const char **names;
	bool		ok;

	if (count < 2)
		return true;
	names = calloc((size_t) count, sizeof(names[0]));
	if (names == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	for (int i = 0; i < count; i++)
		names[i] = pick(manifest, i);
	ok = check_unique(names, count, what, error);
	free(names);
	return ok;
}

static const char *
pick_extension(const DepotManifest *manifest, int i)
{
	return manifest->extensions[i].name;
}

static const char *
pick_module(const DepotManifest *manifest, int i)
{
	return manifest->modules[i].name;
}

static const char *
pick_depend(const DepotManifest *manifest, int i)
{
	return manifest->depends[i].package;
}

static const char *
pick_system_library(const DepotManifest *manifest, int i)
{
	return manifest->system_libraries[i];
}

static const char *
pick_setting(const DepotManifest *manifest, int i)
{
	return manifest->settings[i].name;
}

/* Checks one extension's lists; they keep their order, so sorting needs a copy. */
static bool
check_extension_lists(const DepotManifestExtension *extension, DepotError *error)
{
	int			count = extension->version_count > extension->require_count ?
	extension->version_count : extension->require_count;
	const char **names;
	bool		ok;

	if (count == 0)
		return true;
	names = calloc((size_t) count, sizeof(names[0]));
	if (names == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	for (int i = 0; i < extension->version_count; i++)
		names[i] = extension->versions[i];
	ok = check_unique(names, extension->version_count, "version", error);
	for (int i = 0; ok && i < extension->require_count; i++)
		names[i] = extension->requires[i];
	ok = ok && check_unique(names, extension->require_count, "required extension", error);
	free(names);
	return ok || depot_error_prefix(error, "extension \"%s\"", extension->name);
}

static bool
check_kind(const DepotManifest *manifest, DepotError *error)
{
	bool		fits = false;

	switch (manifest->kind)
	{
		case DEPOT_KIND_EXTENSION:
			fits = manifest->extension_count > 0;
			break;
		case DEPOT_KIND_MODULE:
			fits = manifest->extension_count == 0 && manifest->module_count > 0;
			break;
		case DEPOT_KIND_LIBRARY:
			fits = manifest->extension_count == 0 && manifest->module_count == 0;
			break;
	}
	return fits || depot_error_set(error, DEPOT_ERROR_MANIFEST,
								   "kind \"%s\" does not fit %d extensions and %d modules",
								   depot_manifest_kind_name(manifest->kind), manifest->extension_count,
								   manifest->module_count);
}

bool
depot_manifest_check_members(const DepotManifest *manifest, DepotError *error)
{
	if (!check_kind(manifest, error) ||
		!check_unique_in(manifest, manifest->extension_count, pick_extension, "extension", error) ||
		!check_unique_in(manifest, manifest->module_count, pick_module, "module", error) ||
		!check_unique_in(manifest, manifest->depend_count, pick_depend, "dependency", error) ||
		!check_unique_in(manifest, manifest->system_library_count, pick_system_library, "system library", error) ||
		!check_unique_in(manifest, manifest->setting_count, pick_setting, "setting", error))
		return false;
	for (int i = 0; i < manifest->extension_count; i++)
	{
		if (!check_extension_lists(&manifest->extensions[i], error))
			return false;
	}
	for (int i = 0; i < manifest->depend_count; i++)
	{
		if (strcmp(manifest->depends[i].package, manifest->package) == 0)
			return depot_error_set(error, DEPOT_ERROR_MANIFEST, "package \"%s\" depends on itself", manifest->package);
	}
	return true;
}

static bool
begins_with(const char *path, const char *beginning)
{
	return strncmp(path, beginning, strlen(beginning)) == 0;
}

/* Checks one path's place in the tree. */
static bool
check_place(const DepotManifest *manifest, const char *path, DepotError *error)
{
	char		licenses[DEPOT_NAME_MAX_BYTES + sizeof("licenses//")];
	char		shown[128];

	depot_name_printable(path, shown, sizeof(shown));
	snprintf(licenses, sizeof(licenses), "licenses/%s/", manifest->package);
	if (strlen(path) >= DEPOT_MANIFEST_FILE_PATH_BYTES)
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "path \"%s\" has %zu bytes, %d are allowed", shown,
							   strlen(path), DEPOT_MANIFEST_FILE_PATH_BYTES - 1);
	if (begins_with(path, "share/depot/"))
		return depot_error_set(error, DEPOT_ERROR_MANIFEST,
							   "file \"%s\" is in share/depot/, where only the manifest belongs", shown);
	if (begins_with(path, "lib/plugins/"))
	{
		depot_error_set(error, DEPOT_ERROR_MANIFEST, "file \"%s\" is in lib/plugins/", shown);
		return depot_error_detail(error, "Every user may load what is there, so no package puts anything there.");
	}
	if (begins_with(path, "lib/bitcode/"))
	{
		depot_error_set(error, DEPOT_ERROR_MANIFEST, "file \"%s\" is in lib/bitcode/", shown);
		return depot_error_detail(error, "The server never reads bitcode from a depot.");
	}
	if (begins_with(path, "lib/") || begins_with(path, "share/") || begins_with(path, licenses))
		return true;
	return depot_error_set(error, DEPOT_ERROR_MANIFEST, "file \"%s\" is not in lib/, share/ or %s", shown,
						   licenses);
}

/* Paths of files and of the directories they stand in. */
typedef struct PathList
{
	char	  **paths;
	size_t		count;
	size_t		capacity;
} PathList;

static bool
add_path(const char *path, void *context, DepotError *error)
{
	PathList   *list = context;

	if (list->count == list->capacity)
	{
		size_t		capacity = list->capacity == 0 ? 64 : list->capacity * 2;
		char	  **larger = realloc(list->paths, capacity * sizeof(list->paths[0]));

		if (larger == NULL)
			return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		list->paths = larger;
		list->capacity = capacity;
	}
	list->paths[list->count] = strdup(path);
	if (list->paths[list->count] == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	list->count++;
	return true;
}

static int
fold(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* Compares without regard to the case of ASCII letters, whatever the locale. */
static int
compare_folded(const void *a, const void *b)
{
	const unsigned char *p = *(const unsigned char *const *) a;
	const unsigned char *q = *(const unsigned char *const *) b;

	while (*p != '\0' && fold(*p) == fold(*q))
	{
		p++;
		q++;
	}
	return fold(*p) - fold(*q);
}

/*
 * Refuses two spellings of one name, and a file that is also a directory: in both cases the same name
 * stands twice among files and directories, once letters are folded.
 */
static bool
check_collisions(const DepotManifest *manifest, DepotError *error)
{
	PathList	all = {0};
	char		manifest_path[DEPOT_MANIFEST_PATH_BYTES];
	bool		ok = false;

	depot_manifest_path(manifest->package, manifest_path);
	if (!add_path(manifest_path, &all, error) || !add_path("share/depot", &all, error) ||
		!depot_manifest_visit_directories(manifest, add_path, &all, error))
		goto done;
	for (int i = 0; i < manifest->file_count; i++)
	{
		if (!add_path(manifest->files[i].path, &all, error))
			goto done;
	}
	qsort(all.paths, all.count, sizeof(all.paths[0]), compare_folded);
	ok = true;
	for (size_t i = 1; ok && i < all.count; i++)
	{
		const char *a = all.paths[i - 1];
		const char *b = all.paths[i];

		if (compare_folded(&all.paths[i - 1], &all.paths[i]) != 0)
			continue;
		if (strcmp(a, b) == 0)
			ok = depot_error_set(error, DEPOT_ERROR_MANIFEST, "\"%s\" is a file and a directory", a);
		else
			ok = depot_error_set(error, DEPOT_ERROR_MANIFEST, "\"%s\" and \"%s\" differ only in case", a, b);
	}

done:
	for (size_t i = 0; i < all.count; i++)
		free(all.paths[i]);
	free(all.paths);
	return ok;
}

bool
depot_manifest_check_files(const DepotManifest *manifest, DepotError *error)
{
	for (int i = 0; i < manifest->file_count; i++)
	{
		const char *path = manifest->files[i].path;
		int			order = i == 0 ? -1 : strcmp(manifest->files[i - 1].path, path);
		char		shown[128];

		if (!check_place(manifest, path, error))
			return false;
		depot_name_printable(path, shown, sizeof(shown));
		if (order == 0)
			return depot_error_set(error, DEPOT_ERROR_MANIFEST, "file \"%s\" is listed twice", shown);
		if (order > 0)
			return depot_error_set(error, DEPOT_ERROR_MANIFEST, "files are not sorted: \"%s\" comes too late", shown);
	}
	for (int i = 0; i < manifest->module_count; i++)
	{
		char		path[DEPOT_NAME_MAX_BYTES + sizeof("lib/.so")];

		snprintf(path, sizeof(path), "lib/%s.so", manifest->modules[i].name);
		if (depot_manifest_find_file(manifest, path) == NULL)
			return depot_error_set(error, DEPOT_ERROR_MANIFEST, "module \"%s\" has no file \"%s\"",
								   manifest->modules[i].name, path);
	}
	return check_collisions(manifest, error);
}
