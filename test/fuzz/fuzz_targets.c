/*-------------------------------------------------------------------------
 *
 * fuzz_targets.c
 *	  Targets metadata as the top-level role has it: delegations.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_metadata.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t	   *envelope = fuzz_metadata(data, size, "targets");

	if (envelope == NULL)
		return 0;
	fuzz_metadata_check_targets(envelope);
	json_decref(envelope);
	return 0;
}
