/*-------------------------------------------------------------------------
 *
 * manifest.c
 *	  Manifests as values: parsing whole ones, looking things up, freeing.
 *
 * A DepotManifest that a function here returns has passed every check of the
 * format; nobody downstream checks a name or a path of it again.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/manifest_internal.h"
#include "common/name.h"

/* Longest target path: two names of 63 bytes and two versions of 63 bytes, platform and punctuation. */
#define TARGET_PATH_MAX_BYTES 512

static bool check_target_path(const DepotManifest *manifest, const char *target_path, DepotError *error);

DepotManifest *
depot_manifest_parse(const char *text, size_t length_bytes, DepotError *error)
{
	DepotManifest *manifest = NULL;
	json_t	   *object = NULL;
	bool		ok = false;

	if (length_bytes > DEPOT_MANIFEST_MAX_BYTES)
	{
		depot_error_set(error, DEPOT_ERROR_MANIFEST, "manifest has %zu bytes, %d are allowed",
						length_bytes, DEPOT_MANIFEST_MAX_BYTES);
		return NULL;
	}
	object = depot_json_parse(text, length_bytes, DEPOT_ERROR_MANIFEST, "manifest", error);
	if (object == NULL)
		return NULL;
	manifest = calloc(1, sizeof(*manifest));
	if (manifest == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	if (!depot_manifest_read_members(object, MANIFEST_FROM_PACKAGE, manifest, error) ||
		!depot_manifest_read_files(object, manifest, error) ||
		!depot_manifest_check_members(manifest, error) ||
		!depot_manifest_check_files(manifest, error))
		goto done;
	ok = true;

done:
	json_decref(object);
	if (!ok)
	{
		depot_manifest_free(manifest);
		manifest = NULL;
	}
	return manifest;
}

DepotManifest *
depot_manifest_from_custom(const json_t *custom, const char *target_path, char manifest_sha256[65],
						   DepotError *error)
{
	DepotManifest *manifest;
	const char *sha256 = NULL;
	int64_t		unpacked_bytes = 0;

	if (!json_is_object(custom))
	{
		depot_error_set(error, DEPOT_ERROR_MANIFEST, "custom metadata of the target is not an object");
		return NULL;
	}
	manifest = calloc(1, sizeof(*manifest));
	if (manifest == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	if (!depot_manifest_read_members(custom, MANIFEST_FROM_CUSTOM, manifest, error) ||
		!depot_manifest_check_members(manifest, error) ||
		!depot_json_get_integer(custom, "unpacked_bytes", true, 0, &unpacked_bytes, DEPOT_ERROR_MANIFEST, error) ||
		!depot_json_get_string(custom, "manifest_sha256", true, &sha256, DEPOT_ERROR_MANIFEST, error) ||
		!check_target_path(manifest, target_path, error))
		goto fail;
	if (!depot_name_is_sha256(sha256))
	{
		depot_error_set(error, DEPOT_ERROR_MANIFEST,
						"\"manifest_sha256\" is not a SHA-256 digest in lower-case hex");
		goto fail;
	}
	memcpy(manifest_sha256, sha256, 65);
	manifest->custom_unpacked_bytes = (uint64_t) unpacked_bytes;
	return manifest;

fail:
	depot_manifest_free(manifest);
	return NULL;
}

/*
 * Checks that a target stands where its own words put it, so that looking a path up can never yield other
 * software.
 */
static bool
check_target_path(const DepotManifest *manifest, const char *target_path, DepotError *error)
{
	char		expected[TARGET_PATH_MAX_BYTES];
	char		shown[128];

	snprintf(expected, sizeof(expected), "pg%d/%s-%s/%s/%s/%s-%s.tar.zst", manifest->postgresql_major,
			 manifest->platform_os, manifest->platform_arch, manifest->package, manifest->version,
			 manifest->package, manifest->version);
	if (strcmp(expected, target_path) == 0)
		return true;
	depot_error_set(error, DEPOT_ERROR_MANIFEST, "target \"%s\" does not fit its own description",
					depot_name_printable(target_path, shown, sizeof(shown)));
	return depot_error_detail(error, "By its package, version, major and platform it belongs at \"%s\".",
							  expected);
}

static void
free_strings(char **strings, int count)
{
	for (int i = 0; strings != NULL && i < count; i++)
		free(strings[i]);
	free(strings);
}

static void
free_extensions(DepotManifestExtension *extensions, int count)
{
	for (int i = 0; extensions != NULL && i < count; i++)
	{
		free(extensions[i].name);
		free(extensions[i].default_version);
		free_strings(extensions[i].versions, extensions[i].version_count);
		free_strings(extensions[i].requires, extensions[i].require_count);
	}
	free(extensions);
}

void
depot_manifest_free(DepotManifest *manifest)
{
	if (manifest == NULL)
		return;
	free(manifest->package);
	free(manifest->version);
	free(manifest->summary);
	free(manifest->license);
	free(manifest->homepage);
	free(manifest->postgresql_flavor);
	free(manifest->platform_os);
	free(manifest->platform_arch);
	free(manifest->platform_libc);
	free(manifest->platform_libc_min);
	free_extensions(manifest->extensions, manifest->extension_count);
	for (int i = 0; i < manifest->module_count; i++)
		free(manifest->modules[i].name);
	free(manifest->modules);
	for (int i = 0; i < manifest->depend_count; i++)
	{
		free(manifest->depends[i].package);
		free(manifest->depends[i].constraint);
	}
	free(manifest->depends);
	free_strings(manifest->system_libraries, manifest->system_library_count);
	for (int i = 0; i < manifest->setting_count; i++)
	{
		free(manifest->settings[i].name);
		free(manifest->settings[i].value);
		free(manifest->settings[i].why);
	}
	free(manifest->settings);
	for (int i = 0; i < manifest->file_count; i++)
		free(manifest->files[i].path);
	free(manifest->files);
	for (int i = 0; i < manifest->component_count; i++)
	{
		free(manifest->components[i].purl);
		free(manifest->components[i].version);
		free(manifest->components[i].license);
	}
	free(manifest->components);
	free(manifest->source_kind);
	free(manifest->source_name);
	free(manifest->source_version);
	free(manifest);
}

void
depot_manifest_path(const char *package, char *out)
{
	snprintf(out, DEPOT_MANIFEST_PATH_BYTES, "share/depot/%s.json", package);
}

uint64_t
depot_manifest_unpacked_bytes(const DepotManifest *manifest)
{
	uint64_t	sum = manifest->custom_unpacked_bytes;

	for (int i = 0; i < manifest->file_count; i++)
		sum += manifest->files[i].size_bytes;
	return sum;
}

static int
compare_path_with_file(const void *path, const void *file)
{
	return strcmp(path, ((const DepotManifestFile *) file)->path);
}

const DepotManifestFile *
depot_manifest_find_file(const DepotManifest *manifest, const char *path)
{
	if (manifest->file_count == 0)
		return NULL;
	return bsearch(path, manifest->files, (size_t) manifest->file_count, sizeof(manifest->files[0]),
				   compare_path_with_file);
}

bool
depot_manifest_visit_directories(const DepotManifest *manifest, DepotManifestVisitDirectory visit,
								 void *context, DepotError *error)
{
	char		path[DEPOT_MANIFEST_FILE_PATH_BYTES];

	for (int i = 0; i < manifest->file_count; i++)
	{
		const char *file = manifest->files[i].path;
		const char *previous = i == 0 ? "" : manifest->files[i - 1].path;

		/*
		 * Paths with the same beginning are neighbours, so a directory is new when the path before is not in
		 * it.
		 */
		for (const char *slash = strchr(file, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
		{
			size_t		length = (size_t) (slash - file);

			if (length >= sizeof(path) || strncmp(previous, file, length + 1) == 0)
				continue;
			memcpy(path, file, length);
			path[length] = '\0';
			if (!visit(path, context, error))
				return false;
		}
	}
	return true;
}

const char *
depot_manifest_kind_name(DepotPackageKind kind)
{
	switch (kind)
	{
		case DEPOT_KIND_EXTENSION:
			return "extension";
		case DEPOT_KIND_MODULE:
			return "module";
		case DEPOT_KIND_LIBRARY:
			return "library";
	}
	return "unknown";
}

const char *
depot_manifest_preload_name(DepotPreload preload)
{
	switch (preload)
	{
		case DEPOT_PRELOAD_NONE:
			return "none";
		case DEPOT_PRELOAD_SESSION:
			return "session";
		case DEPOT_PRELOAD_SHARED:
			return "shared";
	}
	return "unknown";
}
