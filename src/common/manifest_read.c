/*-------------------------------------------------------------------------
 *
 * manifest_read.c
 *	  From JSON to the members of a manifest, one value at a time.
 *
 * What one value alone can say is checked here: presence, type, the gate of
 * name.h, lengths, control characters.  manifest_check.c compares values with
 * each other.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/manifest_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/name.h"
#include "common/version.h"

/* Majors a package may be for: what has extensions at all, and two digits. */
#define POSTGRESQL_MAJOR_MIN 10
#define POSTGRESQL_MAJOR_MAX 99
#define POSTGRESQL_MINOR_MAX 999

/* One file: 1 TiB, so that the sum over all files stays far inside 64 bits. */
#define FILE_SIZE_MAX_BYTES (INT64_C(1) << 40)

typedef bool (*ReadElement) (const json_t *element, ManifestSource source, void *slot, DepotError *error);

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

static bool
bad_member(const char *member, const char *value, const char *wanted, DepotError *error)
{
	char		shown[96];

	return depot_error_set(error, DEPOT_ERROR_MANIFEST, "\"%s\" is \"%s\", which is not %s", member,
						   depot_name_printable(value, shown, sizeof(shown)), wanted);
}

/* Refuses members nobody asked for, except in metadata, which a newer publisher may extend. */
static bool
check_members(const json_t *object, const char *const *allowed, const char *what, ManifestSource source,
			  DepotError *error)
{
	if (!json_is_object(object))
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "%s is not an object", what);
	return source == MANIFEST_FROM_CUSTOM ||
		depot_json_only_members(object, allowed, what, DEPOT_ERROR_MANIFEST, error);
}

/*
 * Is it UTF-8 text (jansson has seen to that) without control characters, U+0080 to U+009F among them?
 * Terminals obey those.
 */
static bool
is_clean_text(const char *text)
{
	for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++)
	{
		if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f))
			return false;
	}
	return true;
}

/* Reads a member as text: UTF-8 without control characters, at most max_bytes. *out is malloc'd. */
static bool
read_text(const json_t *object, const char *member, size_t max_bytes, char **out, DepotError *error)
{
	const char *text = NULL;

	if (!depot_json_get_string(object, member, true, &text, DEPOT_ERROR_MANIFEST, error))
		return false;
	if (strlen(text) > max_bytes)
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "\"%s\" has %zu bytes, %zu are allowed",
							   member, strlen(text), max_bytes);
	if (!is_clean_text(text))
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "\"%s\" contains control characters", member);
	*out = strdup(text);
	return *out != NULL || out_of_memory(error);
}

/* Reads a member that must pass is_valid; wanted says what that is. */
static bool
read_word(const json_t *object, const char *member, bool (*is_valid) (const char *), const char *wanted,
		  char **out, DepotError *error)
{
	const char *text = NULL;

	if (!depot_json_get_string(object, member, true, &text, DEPOT_ERROR_MANIFEST, error))
		return false;
	if (!is_valid(text))
		return bad_member(member, text, wanted, error);
	*out = strdup(text);
	return *out != NULL || out_of_memory(error);
}

static bool
is_version_or_empty(const char *text)
{
	return *text == '\0' || depot_name_is_version(text);
}

/*
 * One part of a target path, which stands between '-' and '/' there: Debian's names of systems and
 * architectures.
 */
static bool
is_platform_word(const char *text)
{
	size_t		length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789");

	return length > 0 && length <= 31 && text[length] == '\0';
}

static bool
is_file_name(const char *text)
{
	return strchr(text, '/') == NULL && depot_name_is_relative_path(text);
}

/*
 * A setting's name as PostgreSQL writes it: letters, digits, '_', and one '.' before a module's own
 * settings.
 */
static bool
is_setting_name(const char *text)
{
	size_t		length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.$");

	return length > 0 && length <= DEPOT_NAME_MAX_BYTES && text[length] == '\0' &&
		strchr("0123456789.$", text[0]) == NULL && text[length - 1] != '.';
}

/*
 * Reads an array of at most max_count elements into a malloc'd, zeroed array of element_bytes each.  *count
 * counts the slots, filled or not, so that a failure half-way can be freed like a success.
 */
static bool
read_array(const json_t *object, const char *member, ManifestSource source, int max_count,
		   size_t element_bytes, ReadElement read_element, void **out, int *count, DepotError *error)
{
	json_t	   *array = NULL;
	char	   *slots;
	size_t		size;

	if (!depot_json_get_array(object, member, true, &array, DEPOT_ERROR_MANIFEST, error))
		return false;
	size = json_array_size(array);
	if (size > (size_t) max_count)
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "\"%s\" has %zu elements, %d are allowed",
							   member, size, max_count);
	if (size == 0)
		return true;
	slots = calloc(size, element_bytes);
	if (slots == NULL)
		return out_of_memory(error);
	*out = slots;
	*count = (int) size;
	for (size_t i = 0; i < size; i++)
	{
		if (!read_element(json_array_get(array, i), source, slots + i * element_bytes, error))
			return depot_error_prefix(error, "%s[%zu]", member, i);
	}
	return true;
}

/* Reads a string element that must pass is_valid. */
static bool
read_string_element(const json_t *element, bool (*is_valid) (const char *), const char *wanted, void *slot,
					DepotError *error)
{
	char		shown[96];

	if (!json_is_string(element))
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "not a string");
	if (!is_valid(json_string_value(element)))
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "\"%s\" is not %s",
							   depot_name_printable(json_string_value(element), shown, sizeof(shown)), wanted);
	*(char **) slot = strdup(json_string_value(element));
	return *(char **) slot != NULL || out_of_memory(error);
}

static bool
read_version_element(const json_t *element, ManifestSource source, void *slot, DepotError *error)
{
	(void) source;
	return read_string_element(element, depot_name_is_version, "a version", slot, error);
}

static bool
read_extension_name_element(const json_t *element, ManifestSource source, void *slot, DepotError *error)
{
	(void) source;
	return read_string_element(element, depot_name_is_extension, "an extension name", slot, error);
}

static bool
read_soname_element(const json_t *element, ManifestSource source, void *slot, DepotError *error)
{
	(void) source;
	return read_string_element(element, is_file_name, "a library's file name", slot, error);
}

static bool
read_extension(const json_t *element, ManifestSource source, void *slot, DepotError *error)
{
	static const char *const members[] = {"name", "default_version", "versions", "requires", "trusted", NULL};
	DepotManifestExtension *extension = slot;

	return check_members(element, members, "the extension", source, error) &&
		read_word(element, "name", depot_name_is_extension, "an extension name", &extension->name,
				  error) &&
		read_word(element, "default_version", is_version_or_empty, "a version",
				  &extension->default_version, error) &&
		read_array(element, "versions", source, MANIFEST_MAX_VERSIONS, sizeof(char *),
				   read_version_element, (void **) &extension->versions, &extension->version_count,
				   error) &&
		read_array(element, "requires", source, MANIFEST_MAX_REQUIRES, sizeof(char *),
				   read_extension_name_element, (void **) &extension->requires,
				   &extension->require_count, error) &&
		depot_json_get_bool(element, "trusted", true, &extension->trusted, DEPOT_ERROR_MANIFEST, error);
}

static bool
read_module(const json_t *element, ManifestSource source, void *slot, DepotError *error)
{
	static const char *const members[] = {"name", "preload", "required", NULL};
	DepotManifestModule *module = slot;
	const char *preload = NULL;

	if (!check_members(element, members, "the module", source, error) ||
		!read_word(element, "name", depot_name_is_module, "a module name", &module->name, error) ||
		!depot_json_get_string(element, "preload", true, &preload, DEPOT_ERROR_MANIFEST, error) ||
		!depot_json_get_bool(element, "required", true, &module->required, DEPOT_ERROR_MANIFEST, error))
		return false;
	for (DepotPreload value = DEPOT_PRELOAD_NONE; value <= DEPOT_PRELOAD_SHARED; value++)
	{
		if (strcmp(preload, depot_manifest_preload_name(value)) == 0)
		{
			module->preload = value;
			return true;
		}
	}
	return bad_member("preload", preload, "\"none\", \"session\" or \"shared\"", error);
}

static bool
read_depend(const json_t *element, ManifestSource source, void *slot, DepotError *error)
{
	static const char *const members[] = {"package", "constraint", NULL};
	DepotManifestDepend *depend = slot;
	DepotVersionConstraint constraint;

	if (!check_members(element, members, "the dependency", source, error) ||
		!read_word(element, "package", depot_name_is_package, "a package name", &depend->package, error) ||
		!read_text(element, "constraint", DEPOT_CONSTRAINT_MAX_BYTES, &depend->constraint, error))
		return false;
	if (depend->constraint == NULL || *depend->constraint == '\0' ||
		depot_version_constraint_parse(depend->constraint, &constraint, error))
		return true;
	if (error != NULL)
		error->code = DEPOT_ERROR_MANIFEST;
	return false;
}

static bool
read_setting(const json_t *element, ManifestSource source, void *slot, DepotError *error)
{
	static const char *const members[] = {"name", "value", "why", NULL};
	DepotManifestSetting *setting = slot;

	return check_members(element, members, "the setting", source, error) &&
		read_word(element, "name", is_setting_name, "a setting's name", &setting->name, error) &&
		read_text(element, "value", MANIFEST_TEXT_MAX_BYTES, &setting->value, error) &&
		read_text(element, "why", MANIFEST_TEXT_MAX_BYTES, &setting->why, error);
}

static bool
read_component(const json_t *element, ManifestSource source, void *slot, DepotError *error)
{
	static const char *const members[] = {"purl", "version", "license", NULL};
	DepotManifestComponent *component = slot;

	return check_members(element, members, "the component", source, error) &&
		read_text(element, "purl", MANIFEST_TEXT_MAX_BYTES, &component->purl, error) &&
		read_text(element, "version", MANIFEST_WORD_MAX_BYTES, &component->version, error) &&
		read_text(element, "license", MANIFEST_TEXT_MAX_BYTES, &component->license, error);
}

static bool
read_file(const json_t *element, ManifestSource source, void *slot, DepotError *error)
{
	static const char *const members[] = {"path", "size", "sha256", "mode", NULL};
	DepotManifestFile *file = slot;
	const char *sha256 = NULL;
	const char *mode = NULL;
	int64_t		size = 0;

	if (!check_members(element, members, "the file", source, error) ||
		!read_word(element, "path", depot_name_is_relative_path, "a relative path of plain names",
				   &file->path, error) ||
		!depot_json_get_integer(element, "size", true, 0, &size, DEPOT_ERROR_MANIFEST, error) ||
		!depot_json_get_string(element, "sha256", true, &sha256, DEPOT_ERROR_MANIFEST, error) ||
		!depot_json_get_string(element, "mode", true, &mode, DEPOT_ERROR_MANIFEST, error))
		return false;
	if (size > FILE_SIZE_MAX_BYTES)
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "\"size\" is above 1 TiB");
	file->size_bytes = (uint64_t) size;
	if (!depot_name_is_sha256(sha256))
		return bad_member("sha256", sha256, "a SHA-256 digest in lower-case hex", error);
	memcpy(file->sha256, sha256, sizeof(file->sha256));
	if (strcmp(mode, "0644") == 0)
		file->mode = 0644;
	else if (strcmp(mode, "0755") == 0)
		file->mode = 0755;
	else
		return bad_member("mode", mode, "\"0644\" or \"0755\"", error);
	return true;
}

bool
depot_manifest_read_files(const json_t *object, DepotManifest *manifest, DepotError *error)
{
	return read_array(object, "files", MANIFEST_FROM_PACKAGE, DEPOT_MANIFEST_MAX_FILES,
					  sizeof(DepotManifestFile), read_file, (void **) &manifest->files,
					  &manifest->file_count, error);
}

static bool
read_format_and_kind(const json_t *object, DepotManifest *manifest, DepotError *error)
{
	const char *kind = NULL;
	int64_t		format = 0;

	if (!depot_json_get_integer(object, "format", true, 0, &format, DEPOT_ERROR_MANIFEST, error))
		return false;
	if (format != DEPOT_MANIFEST_FORMAT)
	{
		depot_error_set(error, DEPOT_ERROR_MANIFEST, "package format %lld is not known", (long long) format);
		return depot_error_hint(error, "This program reads format %d; a newer one may read this package.",
								DEPOT_MANIFEST_FORMAT);
	}
	if (!depot_json_get_string(object, "kind", true, &kind, DEPOT_ERROR_MANIFEST, error))
		return false;
	for (DepotPackageKind value = DEPOT_KIND_EXTENSION; value <= DEPOT_KIND_LIBRARY; value++)
	{
		if (strcmp(kind, depot_manifest_kind_name(value)) == 0)
		{
			manifest->kind = value;
			return true;
		}
	}
	return bad_member("kind", kind, "\"extension\", \"module\" or \"library\"", error);
}

static bool
read_postgresql(const json_t *object, ManifestSource source, DepotManifest *manifest, DepotError *error)
{
	static const char *const members[] = {"major", "minimum_minor", "flavor", NULL};
	json_t	   *postgresql = NULL;
	int64_t		major = 0;
	int64_t		minor = 0;

	if (!depot_json_get_object(object, "postgresql", true, &postgresql, DEPOT_ERROR_MANIFEST, error))
		return false;
	if (!check_members(postgresql, members, "\"postgresql\"", source, error) ||
		!depot_json_get_integer(postgresql, "major", true, POSTGRESQL_MAJOR_MIN, &major,
								DEPOT_ERROR_MANIFEST, error) ||
		!depot_json_get_integer(postgresql, "minimum_minor", true, 0, &minor, DEPOT_ERROR_MANIFEST,
								error) ||
		!read_word(postgresql, "flavor", is_platform_word, "a word", &manifest->postgresql_flavor, error))
		return depot_error_prefix(error, "postgresql");
	if (major > POSTGRESQL_MAJOR_MAX || minor > POSTGRESQL_MINOR_MAX)
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "there is no PostgreSQL version %lld.%lld",
							   (long long) major, (long long) minor);
	manifest->postgresql_major = (int) major;
	manifest->postgresql_minimum_minor = (int) minor;
	return true;
}

static bool
read_platform(const json_t *object, ManifestSource source, DepotManifest *manifest, DepotError *error)
{
	static const char *const members[] = {"os", "arch", "libc", "libc_min", NULL};
	json_t	   *platform = NULL;

	if (!depot_json_get_object(object, "platform", true, &platform, DEPOT_ERROR_MANIFEST, error))
		return false;
	if (!check_members(platform, members, "\"platform\"", source, error) ||
		!read_word(platform, "os", is_platform_word, "a word", &manifest->platform_os, error) ||
		!read_word(platform, "arch", is_platform_word, "a word", &manifest->platform_arch, error) ||
		!read_word(platform, "libc", is_platform_word, "a word", &manifest->platform_libc, error) ||
		!read_word(platform, "libc_min", is_version_or_empty, "a version", &manifest->platform_libc_min, error))
		return depot_error_prefix(error, "platform");
	return true;
}

/* Reads what only packages say, and gives a manifest from metadata the empty texts it promises. */
static bool
read_package_only(const json_t *object, ManifestSource source, DepotManifest *manifest, DepotError *error)
{
	static const char *const members[] = {"kind", "name", "version", NULL};
	json_t	   *origin = NULL;

	if (source == MANIFEST_FROM_CUSTOM)
	{
		manifest->homepage = strdup("");
		manifest->source_kind = strdup("");
		manifest->source_name = strdup("");
		manifest->source_version = strdup("");
		return (manifest->homepage != NULL && manifest->source_kind != NULL && manifest->source_name != NULL &&
				manifest->source_version != NULL) || out_of_memory(error);
	}
	if (!read_text(object, "homepage", MANIFEST_TEXT_MAX_BYTES, &manifest->homepage, error) ||
		!read_array(object, "settings", source, MANIFEST_MAX_SETTINGS, sizeof(DepotManifestSetting), read_setting,
					(void **) &manifest->settings, &manifest->setting_count, error) ||
		!read_array(object, "components", source, MANIFEST_MAX_COMPONENTS, sizeof(DepotManifestComponent),
					read_component, (void **) &manifest->components, &manifest->component_count, error) ||
		!depot_json_get_object(object, "source", true, &origin, DEPOT_ERROR_MANIFEST, error))
		return false;
	if (!check_members(origin, members, "\"source\"", source, error) ||
		!read_text(origin, "kind", MANIFEST_WORD_MAX_BYTES, &manifest->source_kind, error) ||
		!read_text(origin, "name", MANIFEST_WORD_MAX_BYTES, &manifest->source_name, error) ||
		!read_text(origin, "version", MANIFEST_WORD_MAX_BYTES, &manifest->source_version, error))
		return depot_error_prefix(error, "source");
	return true;
}

bool
depot_manifest_read_members(const json_t *object, ManifestSource source, DepotManifest *manifest,
							DepotError *error)
{
	static const char *const members[] = {
		"format", "kind", "package", "version", "summary", "license", "homepage", "postgresql", "platform",
		"extensions", "modules", "depends", "system_libraries", "settings", "files", "components", "source", NULL
	};

	/* The format comes first: a newer one may well have members this one does not know. */
	return (json_is_object(object) ||
			depot_error_set(error, DEPOT_ERROR_MANIFEST, "manifest is not an object")) &&
		read_format_and_kind(object, manifest, error) &&
		check_members(object, members, "the manifest", source, error) &&
		read_word(object, "package", depot_name_is_package, "a package name", &manifest->package,
				  error) &&
		read_word(object, "version", depot_name_is_version, "a version", &manifest->version, error) &&
		read_text(object, "summary", MANIFEST_SUMMARY_MAX_BYTES, &manifest->summary, error) &&
		read_text(object, "license", MANIFEST_TEXT_MAX_BYTES, &manifest->license, error) &&
		read_postgresql(object, source, manifest, error) &&
		read_platform(object, source, manifest, error) &&
		read_array(object, "extensions", source, MANIFEST_MAX_EXTENSIONS, sizeof(DepotManifestExtension),
				   read_extension, (void **) &manifest->extensions, &manifest->extension_count, error) &&
		read_array(object, "modules", source, MANIFEST_MAX_MODULES, sizeof(DepotManifestModule),
				   read_module, (void **) &manifest->modules, &manifest->module_count, error) &&
		read_array(object, "depends", source, MANIFEST_MAX_DEPENDS, sizeof(DepotManifestDepend),
				   read_depend, (void **) &manifest->depends, &manifest->depend_count, error) &&
		read_array(object, "system_libraries", source, MANIFEST_MAX_SYSTEM_LIBRARIES, sizeof(char *),
				   read_soname_element, (void **) &manifest->system_libraries,
				   &manifest->system_library_count, error) &&
		read_package_only(object, source, manifest, error);
}
