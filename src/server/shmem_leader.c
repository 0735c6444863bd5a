/*-------------------------------------------------------------------------
 *
 * shmem_leader.c
 *	  The leader on the board: which process it is, and what is said when there
 *	  is none.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "server/shmem_internal.h"
#include "server/shmem_use.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

static void withdraw_leader(int code, Datum arg);

/* What an earlier leader had begun is answered here: nobody else knows of it any more. */
void
depot_shmem_announce_leader(void)
{
	pid_t		callers[DEPOT_SLOT_COUNT];
	int			count = 0;

	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	depot_shmem_board->leader_pid = MyProcPid;
	depot_shmem_board->incarnation++;
	for (int i = 0; i < DEPOT_SLOT_COUNT; i++)
	{
		DepotSlot  *slot = &depot_shmem_board->slots[i];

		if (slot->state != DEPOT_SLOT_RUNNING && slot->state != DEPOT_SLOT_COMMITTING &&
			slot->state != DEPOT_SLOT_RESULT_WAITS)
			continue;
		slot->has_failed = true;
		depot_shmem_leader_gone_report(&slot->report);
		callers[count++] = depot_shmem_finish_slot(slot);
	}
	LWLockRelease(depot_shmem_board_lock);
	depot_shmem_end_moves();
	before_shmem_exit(withdraw_leader, (Datum) 0);

	while (count > 0)
		depot_shmem_wake(callers[--count]);
}

void
depot_shmem_leader_gone_report(DepotReport *report)
{
	memset(report, 0, sizeof(*report));
	strlcpy(report->sqlstate, "57P03", sizeof(report->sqlstate));
	strlcpy(report->message, "the pg_depot leader is not running", sizeof(report->message));
	if (depot_shmem_board->is_home_missing)
	{
		snprintf(report->detail, sizeof(report->detail), "It waits for database \"%s\", which does not exist.",
				 depot_shmem_home_database);
		strlcpy(report->hint, "Create it, or correct \"depot.database\" and restart the server.",
				sizeof(report->hint));
		return;
	}
	if (depot_shmem_board->failed_starts > 1)
	{
		snprintf(report->detail, sizeof(report->detail),
				 "It could not start %d times in a row; the server's log has the reason.",
				 depot_shmem_board->failed_starts);
		snprintf(report->hint, sizeof(report->hint),
				 "It needs database \"%s\" and the depot's state: the log says which of them it could not have.",
				 depot_shmem_home_database);
		return;
	}
	if (depot_shmem_board->incarnation == 0 && depot_shmem_board->failed_starts == 0)
	{
		strlcpy(report->detail, "It has not started since the server did.", sizeof(report->detail));
		strlcpy(report->hint, "\"max_worker_processes\" may leave no room for it; the server's log would say so.",
				sizeof(report->hint));
		return;
	}
	strlcpy(report->hint, "It starts again by itself; the call can then be repeated. "
			"The server's log says why it ended.", sizeof(report->hint));
}

/* Callers that wait find out at once instead of at their next look. */
static void
withdraw_leader(int code, Datum arg)
{
	pid_t		callers[DEPOT_SLOT_COUNT];
	int			count = 0;

	/* What was moving stays where it is for now. */
	depot_shmem_end_moves();
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	if (depot_shmem_board->leader_pid == MyProcPid)
	{
		depot_shmem_board->leader_pid = 0;
		for (int i = 0; i < DEPOT_SLOT_COUNT; i++)
		{
			DepotSlot  *slot = &depot_shmem_board->slots[i];

			if (slot->state == DEPOT_SLOT_FREE)
				continue;
			if (slot->is_abandoned)
				slot->state = DEPOT_SLOT_FREE;
			else
				callers[count++] = slot->caller_pid;
		}
	}
	LWLockRelease(depot_shmem_board_lock);

	while (count > 0)
		depot_shmem_wake(callers[--count]);
}

pid_t
depot_shmem_leader(uint64 *incarnation)
{
	pid_t		pid;

	LWLockAcquire(depot_shmem_board_lock, LW_SHARED);
	pid = depot_shmem_board->leader_pid;
	if (incarnation != NULL)
		*incarnation = depot_shmem_board->incarnation;
	LWLockRelease(depot_shmem_board_lock);
	return pid;
}

void
depot_shmem_wake_leader(void)
{
	depot_shmem_wake(depot_shmem_leader(NULL));
}

bool
depot_shmem_send_away(void)
{
	pid_t		leader_pid;
	bool		is_ours;

	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	is_ours = depot_shmem_board->sent_away_by == 0 || depot_shmem_board->sent_away_by == MyProcPid ||
		BackendPidGetProc(depot_shmem_board->sent_away_by) == NULL;
	if (is_ours)
		depot_shmem_board->sent_away_by = MyProcPid;
	leader_pid = depot_shmem_board->leader_pid;
	LWLockRelease(depot_shmem_board_lock);
	depot_shmem_wake(leader_pid);
	return is_ours;
}

/* The command may have made the home database anew, so what kept the leader from starting counts no more. */
void
depot_shmem_call_back(void)
{
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	if (depot_shmem_board->sent_away_by == MyProcPid)
		depot_shmem_board->sent_away_by = 0;
	depot_shmem_board->failed_starts = 0;
	LWLockRelease(depot_shmem_board_lock);
}

bool
depot_shmem_is_sent_away(void)
{
	pid_t		pid;

	LWLockAcquire(depot_shmem_board_lock, LW_SHARED);
	pid = depot_shmem_board->sent_away_by;
	LWLockRelease(depot_shmem_board_lock);
	return pid != 0 && BackendPidGetProc(pid) != NULL;
}

int
depot_shmem_failed_starts(void)
{
	int			count;

	LWLockAcquire(depot_shmem_board_lock, LW_SHARED);
	count = depot_shmem_board->failed_starts;
	LWLockRelease(depot_shmem_board_lock);
	return count;
}

int
depot_shmem_count_failed_start(void)
{
	int			count;

	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	count = depot_shmem_board->failed_starts++;
	LWLockRelease(depot_shmem_board_lock);
	return count;
}

void
depot_shmem_clear_failed_starts(void)
{
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	depot_shmem_board->failed_starts = 0;
	LWLockRelease(depot_shmem_board_lock);
}

void
depot_shmem_note_restored(void)
{
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	depot_shmem_board->has_restored_rows = true;
	LWLockRelease(depot_shmem_board_lock);
	depot_shmem_wake_leader();
}

bool
depot_shmem_take_restored(void)
{
	bool		is_noted;

	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	is_noted = depot_shmem_board->has_restored_rows;
	depot_shmem_board->has_restored_rows = false;
	LWLockRelease(depot_shmem_board_lock);
	return is_noted;
}

void
depot_shmem_note_home_missing(bool is_missing)
{
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	depot_shmem_board->is_home_missing = is_missing;
	LWLockRelease(depot_shmem_board_lock);
}

bool
depot_shmem_is_home_missing(void)
{
	bool		is_missing;

	LWLockAcquire(depot_shmem_board_lock, LW_SHARED);
	is_missing = depot_shmem_board->is_home_missing;
	LWLockRelease(depot_shmem_board_lock);
	return is_missing;
}

void
depot_shmem_note_reconcile(int failures)
{
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	depot_shmem_board->reconciled_at = GetCurrentTimestamp();
	depot_shmem_board->reconcile_failures = failures;
	LWLockRelease(depot_shmem_board_lock);
}

int
depot_shmem_last_reconcile(TimestampTz *at)
{
	int			failures;

	LWLockAcquire(depot_shmem_board_lock, LW_SHARED);
	*at = depot_shmem_board->reconciled_at;
	failures = depot_shmem_board->reconcile_failures;
	LWLockRelease(depot_shmem_board_lock);
	return failures;
}
