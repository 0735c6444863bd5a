/*-------------------------------------------------------------------------
 *
 * hook_database.c
 *	  Commands on databases, which the leader's own connection would make fail.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/hook.h"

void
depot_hook_run_database(const DepotUtility *utility)
{
	depot_hook_proceed(utility);
}
