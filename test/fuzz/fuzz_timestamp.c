/*-------------------------------------------------------------------------
 *
 * fuzz_timestamp.c
 *	  Timestamp metadata: which versions of which files belong together.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_metadata.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t	   *envelope = fuzz_metadata(data, size, "timestamp");
	json_t	   *meta = json_object_get(json_object_get(envelope, "signed"), "meta");
	const char *name;
	json_t	   *entry;

	if (envelope == NULL)
		return 0;
	FUZZ_REQUIRE(json_object_size(meta) == 1 && json_object_get(meta, "snapshot.json") != NULL);
	fuzz_metadata_refuses(envelope, "timestamp", meta, "root.json", json_pack("{s:i}", "version", 1));
	json_object_foreach(meta, name, entry)
	{
		FUZZ_REQUIRE(json_integer_value(json_object_get(entry, "version")) >= 1);
		FUZZ_REQUIRE(json_integer_value(json_object_get(entry, "length")) >= 0);
	}
	entry = json_object_iter_value(json_object_iter(meta));
	if (entry != NULL)
	{
		fuzz_metadata_refuses(envelope, "timestamp", entry, "version", json_integer(0));
		fuzz_metadata_refuses(envelope, "timestamp", entry, "length", json_integer(-1));
		fuzz_metadata_refuses(envelope, "timestamp", entry, "hashes", json_object());
	}
	json_decref(envelope);
	return 0;
}
