/*-------------------------------------------------------------------------
 *
 * leader_start.c
 *	  How the leader comes and goes: registration, pauses, settings.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "server/compat.h"
#include "server/job.h"
#include "server/leader.h"
#include "server/paths.h"
#include "server/schedule.h"
#include "server/worker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define RESTART_SECONDS 1
#define LONGEST_START_PAUSE_MS 60000
#define START_POLL_MS 500

void
depot_leader_register(void)
{
	BackgroundWorker worker;

	depot_worker_describe(&worker, "pg_depot leader", "depot_leader_main");
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = RESTART_SECONDS;
	RegisterBackgroundWorker(&worker);
}

/* Between two steps an end is an orderly one, which the log need not call FATAL; within one it is an error. */
static void
go_on_shutdown(void)
{
	if (ProcDiePending)
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();
}

/*
 * A start fails again and again while the home database does not exist, or the
 * depot's state cannot be read.  A growing pause keeps that from filling the log; a command
 * on the home database ends it, and while such a command runs the leader stays away.
 */
void
depot_leader_wait_for_start(void)
{
	int			failures = depot_shmem_count_failed_start();
	long		pause_ms = failures == 0 ? 0 : Min(1000L << Min(failures, 10), LONGEST_START_PAUSE_MS);
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause_ms);

	while ((GetCurrentTimestamp() < until && depot_shmem_failed_starts() > 0) || depot_shmem_is_sent_away())
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, START_POLL_MS,
						 depot_compat_wait_event("DepotStartPause"));
		ResetLatch(MyLatch);
		go_on_shutdown();
	}
}

void
depot_leader_go_when_told(void)
{
	go_on_shutdown();
	if (!depot_shmem_is_sent_away())
		return;
	ereport(LOG,
			(errmsg("pg_depot leader leaves the home database to a command that needs it alone")));
	proc_exit(1);
}

void
depot_leader_reload_settings(void)
{
	bool		was_active;

	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	was_active = depot_paths_inactive_reason() == NULL;
	ProcessConfigFile(PGC_SIGHUP);
	if (was_active && depot_paths_inactive_reason() != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_depot is inactive"),
				 errdetail("%s", depot_paths_inactive_reason())));
	depot_schedule_note_reload();
}
