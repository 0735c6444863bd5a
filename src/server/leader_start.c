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

#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "server/catalog.h"
#include "server/compat.h"
#include "server/job.h"
#include "server/leader.h"
#include "server/paths.h"
#include "server/schedule.h"
#include "server/settings.h"
#include "server/worker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define RESTART_SECONDS 1
#define LONGEST_START_PAUSE_MS 60000
#define START_POLL_MS 500

/* This server recovers from an archive or another server, and nobody can look at its rows meanwhile. */
static bool is_blind = false;

void
depot_leader_register(void)
{
	BackgroundWorker worker;

	depot_worker_describe(&worker, "pg_depot leader", "depot_leader_main");
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = RESTART_SECONDS;
	RegisterBackgroundWorker(&worker);

	/* The leader then starts when recovery has ended. */
	is_blind = !EnableHotStandby && (access(STANDBY_SIGNAL_FILE, F_OK) == 0 || access(RECOVERY_SIGNAL_FILE, F_OK) == 0);
	if (is_blind)
		ereport(LOG,
				(errmsg("pg_depot can apply nothing on this server before its promotion, since \"hot_standby\" is off"),
				 errdetail("Requests then wait until the files equal the rows.")));
}

bool
depot_leader_may_serve(void)
{
	TimestampTz reconciled_at;

	if (!is_blind || depot_settings_hold)
		return true;
	(void) depot_shmem_last_reconcile(&reconciled_at);
	is_blind = reconciled_at == 0;
	return !is_blind;
}

/*
 * Between two steps an end is an orderly one, which the log need not call FATAL; within one it is an error.  And there
 * is no query to cancel.
 */
static void
go_on_shutdown(void)
{
	if (ProcDiePending)
		proc_exit(1);
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
}

/*
 * A start fails again and again while the home database does not exist, or the
 * depot's state cannot be read.  A growing pause keeps that from filling the log; a command
 * on the home database ends it, and while such a command runs the leader stays away.
 */
static void
wait_for_start(void)
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

static bool is_connecting = false;

/* At exit: why connecting failed cannot be told here; the next leader looks. */
static void
note_no_home(int code, Datum argument)
{
	if (is_connecting)
		depot_shmem_note_home_missing(true);
}

/* Waits for the home database without being connected to any, then ends: a process connects once in its life. */
static void
wait_for_home(void)
{
	bool		is_said = false;

	(void) depot_shmem_count_failed_start();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("pg_depot leader");
	while (!depot_catalog_database_came(depot_settings_database))
	{
		if (!is_said)
			ereport(LOG,
					(errmsg("pg_depot leader waits for database \"%s\", which does not exist", depot_settings_database),
					 errhint("Create it, or correct \"depot.database\" and restart the server. "
							 "Files that are installed stay.")));
		is_said = true;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, START_POLL_MS,
						 depot_compat_wait_event("DepotHomeDatabase"));
		ResetLatch(MyLatch);
		go_on_shutdown();
	}
	depot_shmem_note_home_missing(false);
	if (is_said)
		depot_shmem_clear_failed_starts();
	proc_exit(1);
}

void
depot_leader_connect(void)
{
	if (depot_shmem_is_home_missing())
		wait_for_home();
	wait_for_start();
	before_shmem_exit(note_no_home, (Datum) 0);
	is_connecting = true;
	BackgroundWorkerInitializeConnection(depot_settings_database, NULL, BGWORKER_BYPASS_ALLOWCONN);
	is_connecting = false;
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
