/*-------------------------------------------------------------------------
 *
 * store_adopt.c
 *	  Bringing the state in line with files whose origin was verified.
 *
 * A state.json that came from elsewhere is as little believed as the files
 * that came with it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "common/name.h"
#include "common/store.h"
#include "common/store_internal.h"

static int
compare_packages(const void *a, const void *b)
{
	return strcmp(((const DepotAppliedPackage *) a)->package, ((const DepotAppliedPackage *) b)->package);
}

/* No manifest tells its own size. */
static bool
measure_manifest(const DepotLayout *layout, const char *package, size_t size_bytes, DepotAppliedPackage *entry,
				 DepotError *error)
{
	char		member[DEPOT_MANIFEST_PATH_BYTES];
	char		path[DEPOT_SERVED_PATH_BYTES];

	depot_manifest_path(package, member);
	if (!depot_store_served_path(layout, member, path, error))
		return false;
	for (int i = 0; i < entry->file_count; i++)
		if (strcmp(entry->files[i].path, path) == 0)
			entry->files[i].size_bytes = size_bytes;
	return true;
}

/* Puts *entry, which it takes over, in the place of the package's own. */
static bool
put_entry(DepotState *state, DepotAppliedPackage *entry, DepotError *error)
{
	DepotAppliedPackage *present = (DepotAppliedPackage *) depot_store_find(state, entry->package);
	DepotAppliedPackage *packages;

	if (present != NULL)
	{
		depot_store_free_package(present);
		*present = *entry;
		return true;
	}
	packages = reallocarray(state->packages, (size_t) state->package_count + 1, sizeof(*packages));
	if (packages == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	state->packages = packages;
	packages[state->package_count++] = *entry;
	qsort(packages, (size_t) state->package_count, sizeof(*packages), compare_packages);
	return true;
}

bool
depot_store_adopt(int root_fd, const DepotLayout *layout, DepotState *state, const char *package,
				  const char *digest, const char *manifest_sha256, DepotError *error)
{
	const DepotAppliedPackage *present = depot_store_find(state, package);
	DepotAppliedPackage entry = {0};
	DepotManifest *manifest = NULL;
	DepotBuffer text;
	bool		ok = false;

	if (!depot_name_is_sha256(digest) || !depot_name_is_sha256(manifest_sha256))
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "invalid digest");
	depot_buffer_init(&text);
	/* What a crash interrupted lists files of two versions, and is resumed. */
	if (present != NULL && !present->is_complete)
	{
		ok = true;
		goto done;
	}
	if (!depot_store_read_manifest(root_fd, layout, NULL, package, &text, error))
		goto done;
	manifest = depot_manifest_parse(text.data, text.length_bytes, error);
	if (manifest == NULL || !depot_store_plan_package(layout, manifest, manifest_sha256, &entry, error))
		goto done;
	memcpy(entry.digest, digest, sizeof(entry.digest));
	memcpy(entry.manifest_sha256, manifest_sha256, sizeof(entry.manifest_sha256));
	ok = measure_manifest(layout, package, text.length_bytes, &entry, error) && put_entry(state, &entry, error);
	if (ok)
		memset(&entry, 0, sizeof(entry));

done:
	depot_store_free_package(&entry);
	depot_manifest_free(manifest);
	depot_buffer_free(&text);
	return ok;
}

void
depot_store_doubt(DepotState *state, const char *package)
{
	DepotAppliedPackage *present = (DepotAppliedPackage *) depot_store_find(state, package);

	if (present == NULL)
		return;
	present->is_complete = false;
	present->digest[0] = '\0';
	present->manifest_sha256[0] = '\0';
}
