/*-------------------------------------------------------------------------
 *
 * fuzz_manifest.c
 *	  Manifests of packages.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_manifest.h"

typedef struct Visit
{
	const DepotManifest *manifest;
	int			count;
	char		seen[64][DEPOT_MANIFEST_FILE_PATH_BYTES];
}			Visit;

/* Requires that a directory comes after the one it is in, and is none of the files. */
static bool
visit_directory(const char *path, void *context, DepotError *error)
{
	Visit	   *visit = context;
	const char *slash = strrchr(path, '/');
	bool		has_parent = slash == NULL;

	FUZZ_REQUIRE(depot_name_is_relative_path(path) && strlen(path) < DEPOT_MANIFEST_FILE_PATH_BYTES);
	FUZZ_REQUIRE(depot_manifest_find_file(visit->manifest, path) == NULL);
	for (int i = 0; i < visit->count; i++)
	{
		FUZZ_REQUIRE(strcmp(visit->seen[i], path) != 0);
		has_parent = has_parent || (strlen(visit->seen[i]) == (size_t) (slash - path) &&
									memcmp(visit->seen[i], path, (size_t) (slash - path)) == 0);
	}
	FUZZ_REQUIRE(has_parent);
	strcpy(visit->seen[visit->count++], path);
	return visit->count < 64 || depot_error_set(error, DEPOT_ERROR_CANCELED, "enough");
}

static void
check_files(const DepotManifest *manifest)
{
	Visit		visit = {.manifest = manifest};
	DepotError	error = {0};
	uint64_t	sum = 0;

	for (int i = 0; i < manifest->file_count; i++)
	{
		FUZZ_REQUIRE(depot_name_is_relative_path(manifest->files[i].path));
		FUZZ_REQUIRE(strlen(manifest->files[i].path) < DEPOT_MANIFEST_FILE_PATH_BYTES);
		FUZZ_REQUIRE(depot_name_is_sha256(manifest->files[i].sha256));
		FUZZ_REQUIRE(i == 0 || strcmp(manifest->files[i - 1].path, manifest->files[i].path) < 0);
		FUZZ_REQUIRE(depot_manifest_find_file(manifest, manifest->files[i].path) == &manifest->files[i]);
		sum += manifest->files[i].size_bytes;
	}
	FUZZ_REQUIRE(depot_manifest_unpacked_bytes(manifest) == sum);
	FUZZ_REQUIRE(depot_manifest_find_file(manifest, "share/no such file") == NULL);
	if (!depot_manifest_visit_directories(manifest, visit_directory, &visit, &error))
		FUZZ_REQUIRE(error.code == DEPOT_ERROR_CANCELED);
}

/* Requires that the description which a repository signs is one that a server takes. */
static void
check_custom(const DepotManifest *manifest)
{
	static const char sha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	DepotError	error = {0};
	char		path[512];
	char		sha256_again[65];
	json_t	   *custom = depot_manifest_custom(manifest, sha256, &error);
	DepotManifest *again;

	FUZZ_REQUIRE(custom != NULL);
	fuzz_manifest_target_path(manifest, path);
	again = depot_manifest_from_custom(custom, path, sha256_again, &error);
	FUZZ_REQUIRE(again != NULL && strcmp(sha256, sha256_again) == 0);
	FUZZ_REQUIRE(depot_manifest_unpacked_bytes(again) == depot_manifest_unpacked_bytes(manifest));
	depot_manifest_free(again);
	fuzz_manifest_check_custom(custom, path);
	json_decref(custom);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotError	error = {0};
	DepotManifest *manifest = depot_manifest_parse((const char *) data, size, &error);
	DepotManifest *again;
	DepotBuffer first;
	DepotBuffer second;

	if (manifest == NULL)
	{
		fuzz_require_refusal(&error);
		return 0;
	}
	fuzz_manifest_check_names(manifest);
	check_files(manifest);
	depot_buffer_init(&first);
	depot_buffer_init(&second);
	FUZZ_REQUIRE(depot_manifest_write(manifest, &first, &error));
	again = depot_manifest_parse(first.data, first.length_bytes, &error);
	FUZZ_REQUIRE(again != NULL);
	FUZZ_REQUIRE(depot_manifest_write(again, &second, &error));
	FUZZ_REQUIRE(fuzz_same_bytes(&first, &second));
	check_custom(manifest);
	depot_buffer_free(&first);
	depot_buffer_free(&second);
	depot_manifest_free(again);
	depot_manifest_free(manifest);
	return 0;
}
