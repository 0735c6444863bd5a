/*-------------------------------------------------------------------------
 *
 * publisher.c
 *	  Roles of publishers: which paths and which names they were given.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/publisher.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/name.h"

/* pg15/linux-amd64/hll/2.17/hll-2.17.tar.zst */
#define PATH_PARTS 5
#define LIBRARIES "lib/"
#define LIBRARY_SUFFIX ".so"

/* Part number index of a path, its length in *bytes; NULL when there are not so many. */
static const char *
path_part(const char *path, int index, size_t *bytes)
{
	for (; index > 0; index--)
	{
		path = strchr(path, '/');
		if (path == NULL)
			return NULL;
		path++;
	}
	*bytes = strcspn(path, "/");
	return path;
}

static int
count_parts(const char *path)
{
	int			count = 1;

	for (; *path != '\0'; path++)
		count += *path == '/';
	return count;
}

/* Copies a part into out, cut where it is longer than any name. */
static const char *
copy_part(const char *path, int index, char out[DEPOT_NAME_MAX_BYTES + 2])
{
	size_t		bytes = 0;
	const char *part = path_part(path, index, &bytes);

	if (bytes > DEPOT_NAME_MAX_BYTES + 1)
		bytes = DEPOT_NAME_MAX_BYTES + 1;
	snprintf(out, DEPOT_NAME_MAX_BYTES + 2, "%.*s", (int) bytes, part == NULL ? "" : part);
	return out;
}

bool
depot_publisher_is_role(const char *role)
{
	return strncmp(role, DEPOT_PUBLISHER_ROLE_PREFIX, strlen(DEPOT_PUBLISHER_ROLE_PREFIX)) == 0;
}

bool
depot_publisher_check_name(const char *publisher, DepotError *error)
{
	const size_t length = strspn(publisher, "abcdefghijklmnopqrstuvwxyz0123456789_-");
	char		shown[96];

	if (length > 0 && length <= DEPOT_PUBLISHER_NAME_MAX_BYTES && publisher[length] == '\0')
		return true;
	depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "\"%s\" is not the name of a publisher",
					depot_name_printable(publisher, shown, sizeof(shown)));
	return depot_error_hint(error, "It has 1 to %d lower-case letters, digits, \"_\" and \"-\".",
							DEPOT_PUBLISHER_NAME_MAX_BYTES);
}

static bool
is_major_part(const char *part)
{
	return strcmp(part, "*") == 0 ||
		(strncmp(part, "pg", 2) == 0 && strlen(part) == 4 && part[2] >= '1' && part[2] <= '9' &&
		 part[3] >= '0' && part[3] <= '9');
}

static bool
is_platform_part(const char *part)
{
	static const char *const word = "abcdefghijklmnopqrstuvwxyz0123456789";
	const size_t os = strspn(part, word);
	size_t		arch;

	if (strcmp(part, "*") == 0)
		return true;
	if (os == 0 || part[os] != '-')
		return false;
	arch = strspn(part + os + 1, word);
	return arch > 0 && part[os + 1 + arch] == '\0';
}

bool
depot_publisher_check_pattern(const char *pattern, DepotError *error)
{
	char		part[DEPOT_NAME_MAX_BYTES + 2];
	char		shown[128];

	if (count_parts(pattern) == PATH_PARTS &&
		is_major_part(copy_part(pattern, 0, part)) &&
		is_platform_part(copy_part(pattern, 1, part)) &&
		depot_name_is_package(copy_part(pattern, 2, part)) &&
		strcmp(copy_part(pattern, 3, part), "*") == 0 && strcmp(copy_part(pattern, 4, part), "*") == 0)
		return true;
	depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "\"%s\" is not a path that can be delegated",
					depot_name_printable(pattern, shown, sizeof(shown)));
	return depot_error_hint(error, "Write pg15/linux-amd64/PACKAGE/*/*, or */*/PACKAGE/*/* for every major "
							"version and platform.");
}

bool
depot_publisher_check_provided_name(const char *name, DepotError *error)
{
	char		shown[96];

	if (depot_name_is_extension(name) || depot_name_is_module(name) ||
		(strchr(name, '/') == NULL && depot_name_is_relative_path(name)))
		return true;
	return depot_error_set(error, DEPOT_ERROR_INVALID_NAME,
						   "\"%s\" is not the name of a package, extension, module or library",
						   depot_name_printable(name, shown, sizeof(shown)));
}

/*----- names ------------------------------------------------------------------------*/

static bool
was_given(const json_t *grant, const char *name)
{
	const json_t *given;
	size_t		index;

	json_array_foreach(json_object_get(grant, "provides"), index, given)
	{
		if (json_is_string(given) && strcmp(json_string_value(given), name) == 0)
			return true;
	}
	return false;
}

static bool
check_name(const json_t *grant, const char *role, const char *what, const char *name, DepotError *error)
{
	return was_given(grant, name) ||
		depot_error_set(error, DEPOT_ERROR_NOT_ALLOWED,
						"it provides %s \"%s\", which role \"%s\" was not given", what, name, role);
}

/* A library counts by its file name, which is what others find it by; that of a module without ".so" will do. */
static bool
check_library(const json_t *grant, const char *role, const char *path, DepotError *error)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash + 1;
	const size_t length = strlen(file);
	const size_t suffix = strlen(LIBRARY_SUFFIX);
	char		module[DEPOT_PATH_PART_MAX_BYTES + 1];

	if (length > suffix && strcmp(file + length - suffix, LIBRARY_SUFFIX) == 0 && length < sizeof(module))
	{
		snprintf(module, sizeof(module), "%.*s", (int) (length - suffix), file);
		if (was_given(grant, module))
			return true;
	}
	return check_name(grant, role, "library", file, error);
}

bool
depot_publisher_check_package(const json_t *delegation, const DepotManifest *manifest, DepotError *error)
{
	const char *role = json_string_value(json_object_get(delegation, "name"));
	const json_t *grant = json_object_get(delegation, "pg_depot");
	const bool	may_preload = json_is_true(json_object_get(grant, "preload"));
	const bool	may_be_trusted = json_is_true(json_object_get(grant, "trusted"));

	if (delegation == NULL || (grant == NULL && !depot_publisher_is_role(role)))
		return true;
	if (!check_name(grant, role, "package", manifest->package, error))
		return false;
	for (int i = 0; i < manifest->extension_count; i++)
	{
		const DepotManifestExtension *extension = &manifest->extensions[i];

		if (!check_name(grant, role, "extension", extension->name, error))
			return false;
		if (extension->trusted && !may_be_trusted)
			return depot_error_set(error, DEPOT_ERROR_NOT_ALLOWED,
								   "its extension \"%s\" is trusted, which role \"%s\" was not given",
								   extension->name, role);
	}
	for (int i = 0; i < manifest->module_count; i++)
	{
		const DepotManifestModule *module = &manifest->modules[i];

		if (!check_name(grant, role, "module", module->name, error))
			return false;
		if (module->preload != DEPOT_PRELOAD_NONE && !may_preload)
			return depot_error_set(error, DEPOT_ERROR_NOT_ALLOWED,
								   "its module \"%s\" has to be preloaded, which role \"%s\" was not given",
								   module->name, role);
	}
	for (int i = 0; i < manifest->file_count; i++)
	{
		const char *path = manifest->files[i].path;

		if (strncmp(path, LIBRARIES, strlen(LIBRARIES)) == 0 && !check_library(grant, role, path, error))
			return false;
	}
	return true;
}
