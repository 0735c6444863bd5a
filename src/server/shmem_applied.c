/*-------------------------------------------------------------------------
 *
 * shmem_applied.c
 *	  The leader's report of what this server has applied, for everybody here.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/shmem_internal.h"
#include "server/shmem_nodes.h"

void
depot_shmem_note_applied_report(const DepotAppliedReport *report)
{
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	depot_shmem_board->applied = *report;
	LWLockRelease(depot_shmem_board_lock);
	depot_shmem_wake_reporter();
}

void
depot_shmem_read_applied_report(DepotAppliedReport *report)
{
	LWLockAcquire(depot_shmem_board_lock, LW_SHARED);
	*report = depot_shmem_board->applied;
	LWLockRelease(depot_shmem_board_lock);
	if (report->at == 0)
		strlcpy(report->missing, "[]", sizeof(report->missing));
}
