/*-------------------------------------------------------------------------
 *
 * manifest_write.c
 *	  From a manifest to JSON: the member of a package, and the part of it
 *	  that signed metadata repeats.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"

/*
 * The functions below return new references, or NULL when memory ran out or
 * a text is not UTF-8; json_pack takes over ("o") and releases what it is given
 * in either case, so only the outermost result needs a check.
 */

static json_t *
strings_to_json(char *const *strings, int count)
{
	json_t	   *array = json_array();

	for (int i = 0; array != NULL && i < count; i++)
	{
		if (json_array_append_new(array, json_string(strings[i])) != 0)
		{
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

static json_t *
extension_to_json(const DepotManifest *manifest, int i)
{
	const DepotManifestExtension *extension = &manifest->extensions[i];

	return json_pack("{s:s, s:s, s:o, s:o, s:b}", "name", extension->name,
					 "default_version", extension->default_version,
					 "versions", strings_to_json(extension->versions, extension->version_count),
					 "requires", strings_to_json(extension->requires, extension->require_count),
					 "trusted", extension->trusted ? 1 : 0);
}

static json_t *
module_to_json(const DepotManifest *manifest, int i)
{
	const DepotManifestModule *module = &manifest->modules[i];

	return json_pack("{s:s, s:s, s:b}", "name", module->name,
					 "preload", depot_manifest_preload_name(module->preload),
					 "required", module->required ? 1 : 0);
}

static json_t *
depend_to_json(const DepotManifest *manifest, int i)
{
	return json_pack("{s:s, s:s}", "package", manifest->depends[i].package,
					 "constraint", manifest->depends[i].constraint);
}

static json_t *
setting_to_json(const DepotManifest *manifest, int i)
{
	const DepotManifestSetting *setting = &manifest->settings[i];

	return json_pack("{s:s, s:s, s:s}", "name", setting->name, "value", setting->value, "why", setting->why);
}

static json_t *
file_to_json(const DepotManifest *manifest, int i)
{
	const DepotManifestFile *file = &manifest->files[i];

	return json_pack("{s:s, s:I, s:s, s:s}", "path", file->path, "size", (json_int_t) file->size_bytes,
					 "sha256", file->sha256, "mode", file->mode == 0755 ? "0755" : "0644");
}

static json_t *
component_to_json(const DepotManifest *manifest, int i)
{
	const DepotManifestComponent *component = &manifest->components[i];

	return json_pack("{s:s, s:s, s:s}", "purl", component->purl, "version", component->version,
					 "license", component->license);
}

static json_t *
list_to_json(const DepotManifest *manifest, int count, json_t *(*element) (const DepotManifest *, int))
{
	json_t	   *array = json_array();

	for (int i = 0; array != NULL && i < count; i++)
	{
		if (json_array_append_new(array, element(manifest, i)) != 0)
		{
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

/* Makes the members that package and metadata share. */
static json_t *
common_to_json(const DepotManifest *manifest)
{
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:{s:i, s:i, s:s}, s:{s:s, s:s, s:s, s:s},"
					 " s:o, s:o, s:o, s:o}",
					 "format", DEPOT_MANIFEST_FORMAT, "kind", depot_manifest_kind_name(manifest->kind), "package",
					 manifest->package, "version", manifest->version, "summary", manifest->summary, "license",
					 manifest->license, "postgresql", "major", manifest->postgresql_major, "minimum_minor",
					 manifest->postgresql_minimum_minor, "flavor", manifest->postgresql_flavor, "platform", "os",
					 manifest->platform_os, "arch", manifest->platform_arch, "libc", manifest->platform_libc,
					 "libc_min", manifest->platform_libc_min, "extensions",
					 list_to_json(manifest, manifest->extension_count, extension_to_json), "modules",
					 list_to_json(manifest, manifest->module_count, module_to_json), "depends",
					 list_to_json(manifest, manifest->depend_count, depend_to_json), "system_libraries",
					 strings_to_json(manifest->system_libraries, manifest->system_library_count));
}

static int
compare_files(const void *a, const void *b)
{
	return strcmp(((const DepotManifestFile *) a)->path, ((const DepotManifestFile *) b)->path);
}

/* Makes the file list in order, whatever order the caller has it in; file paths are borrowed. */
static json_t *
files_to_json(const DepotManifest *manifest)
{
	size_t		bytes = (size_t) manifest->file_count * sizeof(manifest->files[0]);
	DepotManifest sorted = {.file_count = manifest->file_count};
	json_t	   *array;

	if (manifest->file_count == 0)
		return json_array();
	sorted.files = malloc(bytes);
	if (sorted.files == NULL)
		return NULL;
	memcpy(sorted.files, manifest->files, bytes);
	qsort(sorted.files, (size_t) sorted.file_count, sizeof(sorted.files[0]), compare_files);
	array = list_to_json(&sorted, sorted.file_count, file_to_json);
	free(sorted.files);
	return array;
}

static bool
cannot_describe(DepotError *error)
{
	depot_error_set(error, DEPOT_ERROR_MANIFEST, "cannot write the manifest as JSON");
	return depot_error_detail(error, "A text of it is not UTF-8, or memory ran out.");
}

bool
depot_manifest_write(const DepotManifest *manifest, DepotBuffer *out, DepotError *error)
{
	size_t		start = out->length_bytes;
	json_t	   *object = common_to_json(manifest);
	json_t	   *rest = NULL;
	DepotManifest *again;
	bool		ok = false;

	rest = json_pack("{s:s, s:o, s:o, s:o, s:{s:s, s:s, s:s}}",
					 "homepage", manifest->homepage,
					 "settings", list_to_json(manifest, manifest->setting_count, setting_to_json),
					 "files", files_to_json(manifest),
					 "components", list_to_json(manifest, manifest->component_count, component_to_json),
					 "source", "kind", manifest->source_kind, "name", manifest->source_name,
					 "version", manifest->source_version);
	if (object == NULL || rest == NULL || json_object_update(object, rest) != 0)
	{
		cannot_describe(error);
		goto done;
	}
	if (!depot_json_canonical(object, out, DEPOT_ERROR_MANIFEST, error))
		goto done;
	if (!depot_buffer_append_string(out, "\n"))
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	again = depot_manifest_parse(out->data + start, out->length_bytes - start, error);
	ok = again != NULL;
	depot_manifest_free(again);

done:
	json_decref(object);
	json_decref(rest);
	return ok;
}

json_t *
depot_manifest_custom(const DepotManifest *manifest, const char *manifest_sha256, DepotError *error)
{
	json_t	   *object = common_to_json(manifest);

	if (object == NULL ||
		json_object_set_new(object, "unpacked_bytes",
							json_integer((json_int_t) depot_manifest_unpacked_bytes(manifest))) != 0 ||
		json_object_set_new(object, "manifest_sha256", json_string(manifest_sha256)) != 0)
	{
		json_decref(object);
		cannot_describe(error);
		return NULL;
	}
	return object;
}
