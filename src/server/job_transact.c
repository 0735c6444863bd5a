/*-------------------------------------------------------------------------
 *
 * job_transact.c
 *	  Steps of a job that make a transaction, and locks that are in their way.
 *
 * The leader waits 100 ms at most for a lock: it is needed for other requests,
 * and the server's deadlock detector does not see that a session waits for it.
 * A step that could not have a lock is taken again after a pause, until the
 * request's time is up; when the requester itself holds the lock, waiting would
 * never end, and the request fails at once.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "server/catalog.h"
#include "server/job.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define SHORTEST_PAUSE_MS 20
#define LONGEST_PAUSE_MS 1000

static bool try_step(DepotJob *job, DepotJobStep step);
static void fail_if_own_lock(DepotJob *job);

void
depot_job_transact(DepotJob *job, DepotJobStep step)
{
	job->blocked_step = NULL;
	if (try_step(job, step))
		return;

	depot_shmem_cancel_commit(job->slot);
	if (job->on_blocked != NULL)
		job->on_blocked(job);
	fail_if_own_lock(job);
	job->blocked_pause_ms = job->blocked_pause_ms == 0 ? SHORTEST_PAUSE_MS :
		Min(job->blocked_pause_ms * 2, LONGEST_PAUSE_MS);
	job->blocked_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), job->blocked_pause_ms);
	job->blocked_step = step;
}

/*
 * Takes the step.  false: a lock was in the way, and nothing was committed.  Every other error goes on its
 * way, so does one after a commit: the step could not be taken twice.
 */
static bool
try_step(DepotJob *job, DepotJobStep step)
{
	uint64		commits = depot_catalog_commit_count();
	volatile bool is_blocked = false;

	PG_TRY();
	{
		step(job);
	}
	PG_CATCH();
	{
		ErrorData  *error_data;

		MemoryContextSwitchTo(job->context);
		error_data = CopyErrorData();
		if (error_data->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE || depot_catalog_commit_count() != commits ||
			!IsTransactionState())
			PG_RE_THROW();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		LWLockReleaseAll();
		FreeErrorData(error_data);
		MemoryContextSwitchTo(job->context);
		is_blocked = true;
	}
	PG_END_TRY();
	return !is_blocked;
}

/* The look itself needs no lock on a table of ours. */
static void
fail_if_own_lock(DepotJob *job)
{
	pid_t		caller_pid = job->slot >= 0 ? depot_shmem_caller(job->slot) : 0;
	char	   *table;

	if (caller_pid == 0)
		return;
	depot_catalog_begin();
	table = depot_catalog_find_locked_table(caller_pid);
	depot_catalog_commit();
	if (table != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("this session's own transaction holds a lock on table \"%s\"", table),
				 errdetail("The leader, which does the work in a transaction of its own, would wait for it for ever."),
				 errhint("Commit or roll back first, then call it again.")));
}

/* The error itself is on its way to whoever asked; that it cannot be noted here as well must not get in its way. */
void
depot_refresh_note_failure(DepotJob *job, const DepotReport *report)
{
	const char *repository = job->refreshing;

	if (repository == NULL)
		return;
	job->refreshing = NULL;
	if (RecoveryInProgress())
		return;
	PG_TRY();
	{
		depot_catalog_begin();
		if (depot_catalog_exists())
			depot_catalog_note_refresh_failure(repository, report->message);
		depot_catalog_commit();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(job->context);
		FlushErrorState();
		AbortOutOfAnyTransaction();
		LWLockReleaseAll();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(job->context);
}
