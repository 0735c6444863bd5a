/*-------------------------------------------------------------------------
 *
 * fuzz_delegated.c
 *	  Targets metadata as a delegated role has it: one slice of a repository,
 *	  each target with its description.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_manifest.h"
#include "fuzz_metadata.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t	   *envelope = fuzz_metadata(data, size, "targets");
	const char *path;
	json_t	   *target;

	if (envelope == NULL)
		return 0;
	fuzz_metadata_check_targets(envelope);
	json_object_foreach(json_object_get(json_object_get(envelope, "signed"), "targets"), path, target)
	{
		json_t	   *custom = json_object_get(json_object_get(target, "custom"), "pg_depot");

		if (custom != NULL && depot_tuf_path_matches("pg*/*/*/*/*", path))
			fuzz_manifest_check_custom(custom, path);
	}
	target = json_object_iter_value(json_object_iter(json_object_get(json_object_get(envelope, "signed"), "targets")));
	if (target != NULL)
	{
		fuzz_metadata_refuses(envelope, "targets", target, "length", json_integer(-1));
		fuzz_metadata_refuses(envelope, "targets", target, "hashes", json_object());
		fuzz_metadata_refuses(envelope, "targets", target, "hashes", json_null());
	}
	json_decref(envelope);
	return 0;
}
