/*-------------------------------------------------------------------------
 *
 * leader.c
 *	  The one background worker of pg_depot on each server: an event loop.
 *
 * It runs on primaries and in hot standby, and from the one to the other.  On a standby it follows the rows
 * that are replayed, writes none, and takes no requests but for views.
 * It takes requests from shared memory, lets each go on as a job when what it
 * waits for is there, and never blocks on any one of them.  What it does of its own
 * accord, one job at a time beside the requests, schedule.c says.
 * It waits on its latch, the postmaster's death and its agents' sockets.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/compat.h"
#include "server/conflicts.h"
#include "server/job.h"
#include "server/leader.h"
#include "server/paths.h"
#include "server/schedule.h"
#include "server/settings.h"
#include "server/shmem_use.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Requests worked on at once, most of them waiting for something; others wait in their slots. */
#define JOBS_MAX 32
#define EVENTS_MAX (2 + 2 * (JOBS_MAX + 1))

/* A wait's length is an int of milliseconds. */
#define LONGEST_WAIT_MS 86400000

/* How often dismissed agents are looked for. */
#define REAP_PAUSE_MS 50

/* How often a standby looks for changes, and for its promotion, of which no signal tells. */
#define RECOVERY_POLL_MS 200

static bool is_primary = false;
static DepotJob *jobs[JOBS_MAX + 1];	/* one place more for the leader's own */

static void loop_once(void);
static void end_overdue(DepotJob *job);
static void take_requests(void);
static void start_job(int place, DepotJob *job);
static void start_due_own(void);
static bool is_busy(void);
static void advance_jobs(void);
static void receive_from(DepotJob *job, DepotAgent *agent);
static void wait_for_events(void);
static long wait_ms(void);

void
depot_leader_main(Datum argument)
{
	bool		was_active;		/* as far as the postmaster could tell, who said it if not */

	/* die, not the handler bgworkers start with, so that every wait can be interrupted cleanly. */
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	depot_leader_connect();
	depot_catalog_pin_session();
	depot_catalog_check_plans();
	depot_catalog_watch_begin();
	pgstat_report_appname("pg_depot leader");
	pgstat_report_activity(STATE_IDLE, NULL);
	was_active = depot_paths_inactive_reason() == NULL;
	if (depot_paths_is_made())
	{
		depot_applied_open();
		depot_paths_probe_executable();
		depot_conflicts_warn(depot_applied_state());
	}
	if (was_active && depot_paths_inactive_reason() != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_depot is inactive"),
				 errdetail("%s", depot_paths_inactive_reason())));

	depot_schedule_begin();
	start_due_own();
	depot_shmem_announce_leader();
	depot_shmem_clear_failed_starts();
	for (;;)
		loop_once();
}

static void
loop_once(void)
{
	depot_leader_go_when_told();
	depot_leader_reload_settings();
	is_primary = depot_schedule_is_primary();
	if (depot_catalog_look_for_changes())
		depot_schedule_note_change();
	if (depot_shmem_take_restored())
		depot_builds_request();
	if (depot_leader_may_serve())
		take_requests();
	start_due_own();
	advance_jobs();
	wait_for_events();
}

/*
 * Runs a step of a job, or with handled its on_error.  An error in a step goes
 * to on_error where there is one; an error there, and any other, fails the job.
 */
static void
guard(DepotJob *job, DepotJobStep step, const DepotReport *handled)
{
	MemoryContext old_context = MemoryContextSwitchTo(job->context);
	DepotReport report;
	volatile bool has_failed = false;

	PG_TRY();
	{
		if (handled != NULL)
			job->on_error(job, handled);
		else if (step != NULL)
			step(job);
	}
	PG_CATCH();
	{
		ErrorData  *error_data;

		MemoryContextSwitchTo(job->context);
		error_data = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		LWLockReleaseAll();
		depot_shmem_end_moves();
		depot_errors_data_to_report(error_data, &report);
		FreeErrorData(error_data);
		has_failed = true;
	}
	PG_END_TRY();

	if (has_failed)
		depot_refresh_note_failure(job, &report);
	if (has_failed && job->on_error != NULL && handled == NULL)
		guard(job, NULL, &report);
	else if (has_failed)
		depot_job_fail(job, &report);
	MemoryContextSwitchTo(old_context);
}

static void
take_requests(void)
{
	static DepotSlot request;

	for (int place = 0; place < JOBS_MAX; place++)
	{
		int			slot;

		if (jobs[place] != NULL)
			continue;
		slot = depot_shmem_take(&request);
		if (slot < 0)
			return;
		start_job(place, depot_job_create(slot, &request));
	}
}

static void
begin_job(DepotJob *job)
{
	depot_job_transact(job, depot_job_begin);
}

/* Takes the step that a lock kept from being taken, once its pause is over. */
static void
wake_job(DepotJob *job)
{
	if (job->blocked_step == NULL)
		depot_job_transact(job, job->on_wake);
	else if (GetCurrentTimestamp() >= job->blocked_until)
		depot_job_transact(job, job->blocked_step);
}

static void
start_job(int place, DepotJob *job)
{
	jobs[place] = job;
	guard(job, begin_job, NULL);
}

/* Whether requests are being worked on. */
static bool
is_busy(void)
{
	for (int place = 0; place < JOBS_MAX; place++)
		if (jobs[place] != NULL)
			return true;
	return false;
}

static void
start_due_own(void)
{
	DepotJob   *job;

	if (jobs[JOBS_MAX] != NULL)
		return;
	job = depot_schedule_take(is_busy());
	if (job != NULL)
		start_job(JOBS_MAX, job);
}

/* Hands over a result that did not fit its slot, once the caller has made room. */
static void
post_large_result(DepotJob *job)
{
	if (depot_shmem_answer_segment(job->slot, job->result, strlen(job->result)))
		job->result = NULL;
}

/* When a job's time is up; 0: never. */
static TimestampTz
deadline_of(const DepotJob *job)
{
	if (depot_settings_request_timeout_s == 0 || job->wait_until != 0)
		return 0;
	return TimestampTzPlusMilliseconds(job->started_at, depot_settings_request_timeout_s * INT64CONST(1000));
}

/* Ends a job that its caller gave up, or whose time is up. */
static void
end_overdue(DepotJob *job)
{
	DepotReport report = {.sqlstate = "57014"};
	TimestampTz deadline = deadline_of(job);

	if (depot_shmem_is_abandoned(job->slot))
		strlcpy(report.message, "canceled by its caller", sizeof(report.message));
	else if (deadline != 0 && GetCurrentTimestamp() >= deadline)
	{
		snprintf(report.message, sizeof(report.message), "the request took longer than \"depot.request_timeout\"");
		snprintf(report.detail, sizeof(report.detail), "It was given up after %d s; nothing was changed.",
				 depot_settings_request_timeout_s);
		snprintf(report.hint, sizeof(report.hint), "The call can be repeated.");
	}
	else
		return;
	depot_job_fail(job, &report);
}

/* Lets jobs look whether what they wait for has come, and ends those that are done or given up. */
static void
advance_jobs(void)
{
	for (int place = 0; place <= JOBS_MAX; place++)
	{
		DepotJob   *job = jobs[place];

		if (job == NULL)
			continue;
		if (!job->is_finished)
			end_overdue(job);
		if (!job->is_finished && (job->on_wake != NULL || job->blocked_step != NULL))
			guard(job, wake_job, NULL);

		if (job->is_finished && job->result != NULL)
			guard(job, post_large_result, NULL);
		if (!job->is_finished || job->result != NULL)
			continue;
		if (job->slot < 0)
			depot_schedule_note_end(job);
		jobs[place] = NULL;
		depot_job_destroy(job);
		SetLatch(MyLatch);		/* its place may be waited for */
	}
}

/* An error of an agent is the job's, unless the job knows what to do about it. */
static void
take_error(DepotJob *job, DepotAgent *agent, const DepotMessage *message)
{
	DepotError	error;

	depot_job_read_agent_error(message, &error);
	if (job->on_agent_error == NULL || !job->on_agent_error(job, agent, &error))
		depot_job_raise(&error);
}

/* Gives one line of an agent to the job. */
static void
take_line(DepotJob *job, DepotAgent *agent, const DepotMessage *message)
{
	const char *type = depot_message_string(message, "type");

	if (type == NULL)
		depot_job_raise_agent_nonsense(agent, "a line without a type");
	else if (strcmp(type, "hello") == 0)
	{
		if (depot_message_integer(message, "protocol", 0) != DEPOT_AGENT_PROTOCOL)
			depot_job_raise_agent_nonsense(agent, "another protocol version");
	}
	else if (strcmp(type, "error") == 0)
		take_error(job, agent, message);
	else if (job->on_message != NULL)
		job->on_message(job, agent, message);
}

/* Parses a line and gives it to the job; the message goes, whatever happens. */
static void
read_line(DepotJob *job, DepotAgent *agent, const char *line)
{
	DepotError	error;
	DepotMessage *message = depot_message_parse(line, strlen(line), &error);

	if (message == NULL)
		depot_job_raise_agent_nonsense(agent, error.message);
	PG_TRY();
	{
		take_line(job, agent, message);
	}
	PG_FINALLY();
	{
		depot_message_free(message);
	}
	PG_END_TRY();
}

/*
 * Works off an agent's lines.  A step may end the agent, so it is compared before
 * each look at it; one that ended by itself is the job's error.
 */
static void
receive_from(DepotJob *job, DepotAgent *agent)
{
	while (!job->is_finished && (agent == job->fetch || agent == job->check))
	{
		char	   *line = depot_agent_next_line(agent);

		if (line == NULL)
			break;
		read_line(job, agent, line);
		pfree(line);
	}

	if (!job->is_finished && (agent == job->fetch || agent == job->check) && agent->is_at_end)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("the %s agent ended unexpectedly", depot_agent_kind_name(agent->kind)),
				 errhint("It may have been killed, by hand or for want of memory; the call can be repeated.")));
}

/* The agent whose socket was ready, for the step that reads it. */
static DepotAgent *ready_agent = NULL;

static void
read_ready_agent(DepotJob *job)
{
	depot_agent_receive(ready_agent);
	receive_from(job, ready_agent);
}

static void
wait_for_events(void)
{
	WaitEventSet *set = depot_compat_create_wait_event_set(EVENTS_MAX);
	WaitEvent	events[EVENTS_MAX];
	int			count;

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int place = 0; place <= JOBS_MAX; place++)
	{
		DepotJob   *job = jobs[place];

		if (job == NULL || job->is_finished)
			continue;
		if (job->fetch != NULL)
			AddWaitEventToSet(set, WL_SOCKET_READABLE, job->fetch->socket, NULL, job);
		if (job->check != NULL)
			AddWaitEventToSet(set, WL_SOCKET_READABLE, job->check->socket, NULL, job);
	}

	pgstat_report_activity(STATE_IDLE, NULL);
	count = WaitEventSetWait(set, wait_ms(), events, EVENTS_MAX, depot_compat_wait_event("DepotLeader"));
	FreeWaitEventSet(set);

	for (int i = 0; i < count; i++)
	{
		DepotJob   *job = events[i].user_data;

		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		if (!(events[i].events & WL_SOCKET_READABLE) || job->is_finished)
			continue;

		/* A step before this one may have ended the agent. */
		if (job->fetch != NULL && job->fetch->socket == events[i].fd)
			ready_agent = job->fetch;
		else if (job->check != NULL && job->check->socket == events[i].fd)
			ready_agent = job->check;
		else
			continue;
		guard(job, read_ready_agent, NULL);
	}
}

static void
note_due(TimestampTz *due, TimestampTz at)
{
	if (at != 0 && (*due == 0 || at < *due))
		*due = at;
}

/* How long nothing is due; -1: until something happens.  A set latch would keep sockets from being looked at. */
static long
wait_ms(void)
{
	TimestampTz due = 0;

	if (depot_agent_reap())
		note_due(&due, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REAP_PAUSE_MS));
	if (jobs[JOBS_MAX] == NULL)
		note_due(&due, depot_schedule_next_at(is_busy()));
	for (int place = 0; place <= JOBS_MAX; place++)
	{
		const DepotJob *job = jobs[place];

		if (job == NULL || job->is_finished)
			continue;
		if (job->is_eager && job->blocked_step == NULL)
			return 0;
		note_due(&due, deadline_of(job));
		note_due(&due, job->wait_until);
		if (job->blocked_step != NULL)
			note_due(&due, job->blocked_until);
	}
	if (due == 0)
		return is_primary ? -1 : RECOVERY_POLL_MS;
	return Min(Max(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), due), 1),
			   is_primary ? LONGEST_WAIT_MS : RECOVERY_POLL_MS);
}
