/*-------------------------------------------------------------------------
 *
 * fuzz_seal.c
 *	  The seal of a served tree, which may have come with a copied directory.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "common/seal.h"

#define STAMP "7711168764869325745 15.20 linux-amd64 glibc-2.36 2f"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotError	error = {0};
	DepotBuffer text;
	DepotBuffer again;
	DepotSeal  *seal = depot_seal_parse((const char *) data, size, STAMP, &error);
	DepotSeal  *reread;

	if (seal == NULL)
	{
		fuzz_require_refusal(&error);
		return 0;
	}
	depot_buffer_init(&text);
	depot_buffer_init(&again);
	FUZZ_REQUIRE(depot_seal_format(seal, &text, &error));
	FUZZ_REQUIRE(depot_seal_parse(text.data, text.length_bytes, STAMP "00", &error) == NULL);
	reread = depot_seal_parse(text.data, text.length_bytes, STAMP, &error);
	FUZZ_REQUIRE(reread != NULL && depot_seal_format(reread, &again, &error));
	FUZZ_REQUIRE(text.length_bytes == again.length_bytes && memcmp(text.data, again.data, text.length_bytes) == 0);
	depot_seal_free(reread);
	depot_seal_free(seal);
	depot_buffer_free(&again);
	depot_buffer_free(&text);
	return 0;
}
