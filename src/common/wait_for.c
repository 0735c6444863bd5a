/*-------------------------------------------------------------------------
 *
 * wait_for.c
 *	  How many servers a call waits for: the values of wait_for.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/wait_for.h"

#include <stdlib.h>
#include <string.h>

#include "common/name.h"

bool
depot_wait_for_parse(const char *value, int *count, DepotError *error)
{
	char		shown[64];

	if (strcmp(value, "local") == 0)
	{
		*count = DEPOT_WAIT_FOR_LOCAL;
		return true;
	}
	if (strcmp(value, "all") == 0)
	{
		*count = DEPOT_WAIT_FOR_ALL;
		return true;
	}
	/* Two digits at most, so that nothing can overflow. */
	if (value[0] != '\0' && strlen(value) <= 2 && strspn(value, "0123456789") == strlen(value))
	{
		*count = (int) strtol(value, NULL, 10);
		if (*count <= DEPOT_WAIT_FOR_MAX)
			return true;
	}
	depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "invalid value for wait_for: \"%s\"",
					depot_name_printable(value, shown, sizeof(shown)));
	return depot_error_hint(error, "It is \"local\", \"all\", or a number of standbys up to %d.", DEPOT_WAIT_FOR_MAX);
}
