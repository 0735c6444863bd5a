/*-------------------------------------------------------------------------
 *
 * hook_extension.c
 *	  CREATE EXTENSION and ALTER EXTENSION ... UPDATE of a session.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/hook.h"

void
depot_hook_run_extension(const DepotUtility *utility)
{
	depot_hook_auto_install(utility, depot_hook_proceed);
}
