/*-------------------------------------------------------------------------
 *
 * fuzz_bundle.c
 *	  Bundles: a path on the first line, then the file in which it is looked
 *	  for.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_tar.h"

#include "common/bundle.h"

/* Returns whether path is found; what is found lies within the file. */
static bool
find(const uint8_t *bundle, size_t size, const char *path, DepotBundleMember *member)
{
	DepotError	error = {0};
	bool		found = false;

	if (!depot_bundle_find(fuzz_file(bundle, size), path, member, &found, &error))
	{
		fuzz_require_refusal(&error);
		FUZZ_REQUIRE(error.code == DEPOT_ERROR_ARCHIVE && !found);
	}
	if (found)
		FUZZ_REQUIRE(member->offset <= size && member->size_bytes <= size - member->offset);
	return found;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t		path_bytes = newline != NULL ? (size_t) (newline - data) : size;
	char	   *path = fuzz_string(data, path_bytes);
	size_t		bundle_bytes = newline != NULL ? size - path_bytes - 1 : 0;
	uint8_t    *bundle = (uint8_t *) fuzz_string(data + size - bundle_bytes, bundle_bytes);
	DepotBundleMember member = {0};
	DepotBundleMember again = {0};

	fuzz_tar_correct(bundle, bundle_bytes);
	if (find(bundle, bundle_bytes, path, &member))
	{
		size_t		end = (size_t) (member.offset + member.size_bytes);

		/* Reading goes no further than it must: the file may end there, but not before. */
		FUZZ_REQUIRE(find(bundle, end, path, &again));
		FUZZ_REQUIRE(again.offset == member.offset && again.size_bytes == member.size_bytes);
		FUZZ_REQUIRE(end == 0 || !find(bundle, end - 1, path, &again));
	}
	free(bundle);
	free(path);
	return 0;
}
