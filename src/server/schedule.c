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
#include "utils/timestamp.h"

#define LONGEST_RECONCILE_PAUSE_MS 300000
#define REPEAT_PAUSE_MS 250

/* Times are 0 when nothing is planned. */
static int	reconcile_failures = 0;
static TimestampTz reconcile_at = 0;
static TimestampTz refresh_at = 0;
static TimestampTz tidy_at = 0; /* only a primary tidies up */
static bool is_tidy_put_off = false;
static TimestampTz platforms_at = 0;	/* only a primary records builds */
static int	planned_interval_s = 0; /* what refresh_at was planned by */
static bool is_report_due = false;
static bool is_primary = false; /* as far as has been noticed */

static void begin_on_primary(void);
static void plan_refresh(void);
static void refresh_start(DepotJob *job);

void
depot_schedule_begin(void)
{
	reconcile_at = GetCurrentTimestamp();
	is_primary = !RecoveryInProgress();
	if (is_primary)
		begin_on_primary();
	else
		depot_reporter_start();
}

/* What a primary alone does. */
static void
begin_on_primary(void)
{
	depot_payload_request_supply();
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
	return is_primary;
}

void
depot_schedule_note_reload(void)
{
	/* What is in the way may be configured otherwise now. */
	if (reconcile_at != 0)
		reconcile_at = GetCurrentTimestamp();
	if (!is_primary)
	{
		depot_reporter_start();
		return;
	}
	if (depot_settings_refresh_interval_s != planned_interval_s)
		plan_refresh();
	depot_payload_request_supply();
	depot_declared_note_reload();
}

/* What a primary's own jobs record they apply themselves. */
void
depot_schedule_note_change(void)
{
	if (!is_primary)
		reconcile_at = GetCurrentTimestamp();
	if (is_primary || depot_settings_hold)
		is_report_due = true;
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

void
depot_job_retry_reconcile(void)
{
	long		pause_ms = Min(1000L << Min(reconcile_failures, 10), LONGEST_RECONCILE_PAUSE_MS);

	reconcile_failures++;
	reconcile_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause_ms);
}

void
depot_job_repeat_reconcile(void)
{
	reconcile_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REPEAT_PAUSE_MS);
}

void
depot_payload_request_tidy(void)
{
	tidy_at = GetCurrentTimestamp();
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
	platforms_at = GetCurrentTimestamp();
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

DepotJob *
depot_schedule_take(bool is_busy)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz list_at = declared_at(is_busy);
	TimestampTz nodes_at = depot_nodes_next_at();
	DepotJobStep begin = NULL;
	DepotJob   *job;

	if (is_report_due)
		begin = depot_report_applied_start;
	else if (depot_settings_hold)
		return NULL;
	else if (reconcile_at != 0 && reconcile_at <= now)
	{
		reconcile_at = 0;
		begin = depot_reconcile_start;
	}
	else if (nodes_at != 0 && nodes_at <= now)
		begin = depot_nodes_start;
	else if (builds_at() != 0 && builds_at() <= now)
		begin = depot_builds_start;
	else if (list_at != 0 && list_at <= now)
		begin = depot_declared_start;
	else if (tidy_at != 0 && tidy_at <= now && is_primary)
	{
		tidy_at = 0;
		begin = depot_payload_tidy_start;
	}
	else if (platforms_at != 0 && platforms_at <= now && is_primary)
	{
		platforms_at = 0;
		begin = depot_platforms_start;
	}
	else if (refresh_at != 0 && refresh_at <= now)
	{
		plan_refresh();
		begin = depot_paths_inactive_reason() == NULL ? refresh_start : NULL;
	}
	if (begin == NULL)
		return NULL;
	is_report_due = false;
	job = depot_job_create(-1, NULL);
	job->begin = begin;
	return job;
}

static TimestampTz
earlier(TimestampTz a, TimestampTz b)
{
	if (a == 0 || b == 0)
		return Max(a, b);
	return Min(a, b);
}

TimestampTz
depot_schedule_next_at(bool is_busy)
{
	if (is_report_due)
		return GetCurrentTimestamp();
	if (depot_settings_hold)
		return 0;
	return earlier(earlier(reconcile_at, earlier(depot_nodes_next_at(), builds_at())),
				   earlier(earlier(declared_at(is_busy), refresh_at), is_primary ? earlier(tidy_at, platforms_at) : 0));
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
