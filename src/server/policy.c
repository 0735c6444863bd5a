/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  Decides who may do what: a superuser, and nobody else.
 *
 * Installing a library means running native code as the server's user, so
 * nothing less than a superuser is enough by itself.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "server/policy.h"

bool
depot_policy_allows(const char *function, bool is_superuser, DepotError *error)
{
	if (is_superuser)
		return true;
	depot_error_set(error, DEPOT_ERROR_NOT_ALLOWED, "permission denied for function %s", function);
	return depot_error_hint(error, "Only a superuser may call pg_depot's functions: what they install runs as the "
							"server's user.");
}
