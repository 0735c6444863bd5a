/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  What the leader does of its own accord, and when.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "server/catalog.h"
#include "server/paths.h"
#include "server/reporter.h"
#include "server/schedule.h"
#include "server/settings.h"
#include "server/shmem_nodes.h"
#include "utils/timestamp.h"

#define LONGEST_PAUSE_MS 300000
#define REPEAT_PAUSE_MS 250
#define REPORTER_PAUSE_MS 2000

/* Jobs that are requested, and tried again after a growing pause when they fail. */
typedef struct PlannedJob
{
	DepotJobStep begin;
	TimestampTz at;
	int			failures;		/* in a row */
} PlannedJob;

/* Times are 0 when nothing is planned. */
static int	reconcile_failures = 0;
static TimestampTz reconcile_at = 0;
static bool is_reconcile_put_off = false;	/* until pg_depot is active */
static uint64 reconciles_begun = 0;
static uint64 reconciles_ended = 0;
static TimestampTz refresh_at = 0;
static bool is_tidy_put_off = false;
static PlannedJob tidy = {.begin = depot_payload_tidy_start};	/* only a primary tidies up */
static PlannedJob platforms = {.begin = depot_platforms_start}; /* only a primary records builds */
static PlannedJob report = {.begin = depot_report_applied_start};
static TimestampTz reporter_at = 0; /* when a standby looks whether it has one */
static int	planned_interval_s = 0; /* what refresh_at was planned by */
static bool is_primary = false; /* as far as has been noticed */

static void begin_on_primary(void);
static void plan_refresh(void);
static void refresh_start(DepotJob *job);

static TimestampTz
earlier(TimestampTz a, TimestampTz b)
{
	if (a == 0 || b == 0)
		return Max(a, b);
	return Min(a, b);
}

/* When what has failed is tried again. */
static TimestampTz
after_pause(int failures)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), Min(1000L << Min(failures, 10), LONGEST_PAUSE_MS));
}

static bool
is_due(TimestampTz at)
{
	return at != 0 && at <= GetCurrentTimestamp();
}

/* Looks again where one could not be started. */
static void
start_reporter(void)
{
	reporter_at = 0;
	if (!depot_reporter_start())
		reporter_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REPORTER_PAUSE_MS);
}

void
depot_schedule_begin(void)
{
	reconcile_at = GetCurrentTimestamp();
	is_primary = !RecoveryInProgress();
	if (is_primary)
		begin_on_primary();
	else
		start_reporter();
}

/* What a primary alone does. */
static void
begin_on_primary(void)
{
	depot_payload_request_supply();
	depot_platforms_request();
	plan_refresh();
	depot_builds_request();
	depot_declared_note_reload();
	depot_declared_request(false);
}

bool
depot_schedule_is_primary(void)
{
	if (!is_primary && !RecoveryInProgress())
	{
		ereport(LOG, (errmsg("pg_depot leader serves requests: recovery has ended")));
		is_primary = true;
		reconcile_at = GetCurrentTimestamp();
		begin_on_primary();
	}
	if (!is_primary && is_due(reporter_at))
		start_reporter();
	return is_primary;
}

void
depot_schedule_note_reload(void)
{
	/* What is in the way may be configured otherwise now. */
	if (reconcile_at != 0 || is_reconcile_put_off)
		reconcile_at = GetCurrentTimestamp();
	if (!is_primary)
	{
		start_reporter();
		/* One that there is may be on its way out, as the setting was empty. */
		if (depot_shmem_reporter() != 0)
			reporter_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REPORTER_PAUSE_MS);
		return;
	}
	if (depot_settings_refresh_interval_s != planned_interval_s)
		plan_refresh();
	depot_payload_request_supply();
	depot_platforms_request();
	depot_declared_note_reload();
}

/* What a primary's own jobs record they apply themselves. */
void
depot_schedule_note_change(void)
{
	if (!is_primary)
		reconcile_at = GetCurrentTimestamp();
	if (is_primary || depot_settings_hold)
		report.at = GetCurrentTimestamp();
}

/*
 * Refreshes come at fixed times: each server of a fleet has its own within the interval, by its system
 * identifier, and a restart does not move them.
 */
static void
plan_refresh(void)
{
	int64		interval_us = INT64CONST(1000000) * depot_settings_refresh_interval_s;
	uint64		spread = GetSystemIdentifier() * UINT64CONST(0x9E3779B97F4A7C15);
	TimestampTz now = GetCurrentTimestamp();

	planned_interval_s = depot_settings_refresh_interval_s;
	refresh_at = 0;
	if (interval_us > 0)
		refresh_at = now + interval_us - (now - (int64) (spread % (uint64) interval_us)) % interval_us;
}

/* Newer rows that wait to be carried out do not wait for what has failed. */
void
depot_job_retry_reconcile(void)
{
	reconcile_at = earlier(reconcile_at, after_pause(reconcile_failures++));
}

void
depot_job_repeat_reconcile(void)
{
	reconcile_at = earlier(reconcile_at, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REPEAT_PAUSE_MS));
}

uint64
depot_job_request_reconcile(void)
{
	reconcile_at = GetCurrentTimestamp();
	return reconciles_begun + 1;
}

bool
depot_job_has_reconciled(uint64 number)
{
	return reconciles_ended >= number;
}

void
depot_payload_request_tidy(void)
{
	tidy.at = GetCurrentTimestamp();
}

void
depot_payload_put_off_tidy(void)
{
	is_tidy_put_off = true;
}

void
depot_job_note_staging_end(void)
{
	if (!is_tidy_put_off)
		return;
	is_tidy_put_off = false;
	/* A standby tidies up when it has reconciled. */
	if (is_primary)
		depot_payload_request_tidy();
	else
		depot_job_repeat_reconcile();
}

void
depot_platforms_request(void)
{
	platforms.at = GetCurrentTimestamp();
}

/* When something is due for the declared list, or for rows without builds: where pg_depot is active. */
static TimestampTz
declared_at(bool is_busy)
{
	return is_primary && depot_paths_inactive_reason() == NULL ? depot_declared_next_at(is_busy) : 0;
}

static TimestampTz
builds_at(void)
{
	return is_primary && depot_paths_inactive_reason() == NULL ? depot_builds_next_at() : 0;
}

/* A job's on_end. */
static void
note_plan_end(DepotJob *job, const DepotReport *failure)
{
	PlannedJob *plan = job->begin == tidy.begin ? &tidy : job->begin == platforms.begin ? &platforms : &report;

	if (failure == NULL)
	{
		plan->failures = 0;
		return;
	}
	plan->at = after_pause(plan->failures++);
	depot_errors_raise_report(WARNING, failure);
}

/* The plan that is due next, or NULL. */
static PlannedJob *
due_plan(void)
{
	if (is_primary && is_due(tidy.at))
		return &tidy;
	return is_primary && is_due(platforms.at) ? &platforms : NULL;
}

static DepotJob *
make_job(DepotJobStep begin)
{
	DepotJob   *job = depot_job_create(-1, NULL);

	job->begin = begin;
	return job;
}

static DepotJob *
make_planned(PlannedJob *plan)
{
	DepotJob   *job = make_job(plan->begin);

	plan->at = 0;
	job->on_end = note_plan_end;
	return job;
}

DepotJob *
depot_schedule_take(bool is_busy)
{
	PlannedJob *plan;

	if (is_due(report.at))
		return make_planned(&report);
	if (depot_settings_hold)
		return NULL;
	if (is_due(reconcile_at))
	{
		reconcile_at = 0;
		reconciles_begun++;
		is_reconcile_put_off = depot_paths_inactive_reason() != NULL;
		return make_job(depot_reconcile_start);
	}
	if (is_due(depot_nodes_next_at()))
		return make_job(depot_nodes_start);
	if (is_due(builds_at()))
		return make_job(depot_builds_start);
	if (is_due(declared_at(is_busy)))
		return make_job(depot_declared_start);
	plan = due_plan();
	if (plan != NULL)
		return make_planned(plan);
	if (is_due(refresh_at))
	{
		plan_refresh();
		return depot_paths_inactive_reason() == NULL ? make_job(refresh_start) : NULL;
	}
	return NULL;
}

TimestampTz
depot_schedule_next_at(bool is_busy)
{
	TimestampTz at = report.at;

	if (depot_settings_hold)
		return at;
	at = earlier(at, earlier(reconcile_at, earlier(depot_nodes_next_at(), builds_at())));
	at = earlier(at, earlier(declared_at(is_busy), refresh_at));
	return is_primary ? earlier(at, earlier(tidy.at, platforms.at)) : at;
}

void
depot_schedule_note_end(const DepotJob *job)
{
	if (job->begin == refresh_start)
	{
		depot_payload_request_supply();
		depot_platforms_request();
	}
	if (job->begin != depot_reconcile_start)
		return;
	reconciles_ended = reconciles_begun;
	if (reconcile_at == 0)
		reconcile_failures = 0;
	depot_shmem_note_reconcile(reconcile_failures);
}

static void
refresh_start(DepotJob *job)
{
	DepotRepositoryRow *rows;
	int			count = 0;

	depot_catalog_begin();
	if (depot_catalog_exists())
		count = depot_catalog_read_repositories(NULL, &rows);
	depot_catalog_commit();
	if (count == 0)
	{
		depot_job_finish(job, "");
		return;
	}
	job->argument = "{}";
	depot_refresh_repository_start(job);
}
