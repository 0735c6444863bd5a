/*-------------------------------------------------------------------------
 *
 * fuzz_frame.c
 *	  The zstd frame of a package.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_file.h"

#include "common/archive_internal.h"

static bool
check_frame(const uint8_t *data, size_t size)
{
	DepotError	error = {0};

	if (depot_archive_check_frame(fuzz_file(data, size), size, &error))
		return true;
	fuzz_require_refusal(&error);
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t    *longer;

	if (!check_frame(data, size))
		return 0;
	/* One frame and nothing else: a byte less is cut off, a byte more is too much. */
	FUZZ_REQUIRE(!check_frame(data, size - 1));
	longer = malloc(size + 1);
	FUZZ_REQUIRE(longer != NULL);
	memcpy(longer, data, size);
	longer[size] = 0;
	FUZZ_REQUIRE(!check_frame(longer, size + 1));
	free(longer);
	return 0;
}
