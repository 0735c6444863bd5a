/*-------------------------------------------------------------------------
 *
 * hook_call.c
 *	  CALL, whose procedures of ours return more than one row.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/hook.h"

void
depot_hook_run_call(const DepotUtility *utility)
{
	depot_hook_proceed(utility);
}
