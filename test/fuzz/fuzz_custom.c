/*-------------------------------------------------------------------------
 *
 * fuzz_custom.c
 *	  A target's description, custom.pg_depot, with the path it stands at:
 *	  {"path": PATH, "custom": DESCRIPTION}.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_manifest.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotError	error = {0};
	json_t	   *object = depot_json_parse((const char *) data, size, DEPOT_ERROR_MANIFEST, "text", &error);
	const char *path = json_string_value(json_object_get(object, "path"));

	if (path != NULL)
		fuzz_manifest_check_custom(json_object_get(object, "custom"), path);
	json_decref(object);
	return 0;
}
