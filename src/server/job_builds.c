/*-------------------------------------------------------------------------
 *
 * job_builds.c
 *	  Jobs: find builds for packages that are recorded by name and version only.
 *
 * pg_dump carries what is installed without its builds, and pg_upgrade brings
 * those of another major version.  When the leader starts, and when such rows
 * have been restored, repositories are asked for news, and each package is
 * installed in the recorded version, with the requests of sessions before it.
 * What cannot be had is one WARNING with the reason, and is tried again after
 * a growing pause.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/testpoint.h"
#include "server/catalog.h"
#include "server/job.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define LONGEST_PAUSE_MS 300000
#define ORIGIN "depot.installed"

typedef struct Task
{
	char	   *package;
	char	   *version;
	char	   *why;
	bool		is_unavailable; /* said already: its reason is not said again */
} Task;

/* Of the last look. */
static MemoryContext tasks_context = NULL;
static List *tasks = NIL;
static int	next_task = 0;

static TimestampTz due_at = 0;	/* 0: nothing is planned */
static bool is_requested = false;	/* since the rows were read */
static bool is_refreshed = false;	/* repositories were asked for news since the look was requested */
static bool has_failed = false;
static int	failures = 0;

static void look(DepotJob *job);
static void begin_task(DepotJob *job, Task *task);
static void note_task_end(DepotJob *job, const DepotReport *report);
static void end_tasks(void);

void
depot_builds_request(void)
{
	due_at = GetCurrentTimestamp();
	is_requested = true;
	is_refreshed = false;
	failures = 0;
}

TimestampTz
depot_builds_next_at(void)
{
	return due_at;
}

static void
plan_again(void)
{
	long		pause_ms = Min(1000L << Min(failures, 10), LONGEST_PAUSE_MS);

	failures++;
	is_refreshed = false;
	due_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause_ms);
}

/* A look that failed: a lock on a table may be in the way. */
static void
retry_look(DepotJob *job, const DepotReport *report)
{
	if (report == NULL)
		return;
	plan_again();
	depot_errors_raise_report(WARNING, report);
}

void
depot_builds_start(DepotJob *job)
{
	if (next_task < list_length(tasks))
		begin_task(job, list_nth(tasks, next_task));
	else
	{
		job->on_end = retry_look;
		depot_job_transact(job, look);
	}
}

/* ---- look ---- */

/* Whether a package was lacking at the last look, too, and its reason has been said. */
static bool
was_unavailable(const DepotInstalledRow *row)
{
	ListCell   *cell;

	foreach(cell, tasks)
	{
		const Task *task = lfirst(cell);

		if (strcmp(task->package, row->package) == 0 && strcmp(task->version, row->version) == 0)
			return task->is_unavailable;
	}
	return false;
}

static void
make_tasks(const DepotInstalledRow *rows, int count)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_depot lacking builds",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	List	   *made = NIL;

	for (int i = 0; i < count; i++)
		if (!rows[i].is_removed && !rows[i].has_build)
		{
			Task	   *task = palloc(sizeof(Task));

			task->package = pstrdup(rows[i].package);
			task->version = pstrdup(rows[i].version);
			task->why = pstrdup(rows[i].why);
			task->is_unavailable = was_unavailable(&rows[i]);
			made = lappend(made, task);
		}
	MemoryContextSwitchTo(old_context);
	if (tasks_context != NULL)
		MemoryContextDelete(tasks_context);
	tasks_context = context;
	tasks = made;
	next_task = 0;
	has_failed = false;
}

/* Whether a repository was restored, so that nothing is known of what it offers. */
static bool
lacks_news(const DepotRepositoryRow *rows, int count)
{
	for (int i = 0; i < count; i++)
		if (!rows[i].has_available && !depot_refresh_has_metadata(rows[i].name))
			return true;
	return false;
}

static void
look(DepotJob *job)
{
	DepotInstalledRow *rows = NULL;
	DepotRepositoryRow *repositories = NULL;
	int			count = 0;
	int			repository_count = 0;

	is_requested = false;
	depot_catalog_begin();
	if (depot_catalog_exists())
	{
		count = depot_catalog_read_installed(&rows);
		repository_count = depot_catalog_read_repositories(NULL, &repositories);
	}
	depot_catalog_commit();
	make_tasks(rows, count);

	if (!is_refreshed && repository_count > 0 &&
		(tasks != NIL || lacks_news(repositories, repository_count)))
	{
		/* Of this look nothing is begun: the next one follows the refresh. */
		next_task = list_length(tasks);
		is_refreshed = true;
		job->argument = "{}";
		depot_refresh_repository_start(job);
		return;
	}
	if (tasks == NIL)
		due_at = 0;
	depot_job_finish(job, "");
}

/* ---- tasks ---- */

static void
begin_task(DepotJob *job, Task *task)
{
	StringInfoData argument;

	initStringInfo(&argument);
	appendStringInfoString(&argument, "{\"extension\":");
	escape_json(&argument, task->package);
	appendStringInfoString(&argument, ",\"version\":");
	escape_json(&argument, task->version);
	appendStringInfoString(&argument, ",\"why\":");
	escape_json(&argument, task->why);
	appendStringInfoChar(&argument, '}');
	job->argument = argument.data;
	job->origin = ORIGIN;
	job->kind = DEPOT_REQUEST_INSTALL;
	job->on_end = note_task_end;
	depot_test_point("builds_task");
	depot_install_start(job);
}

static void
note_task_end(DepotJob *job, const DepotReport *report)
{
	Task	   *task = list_nth(tasks, next_task++);

	if (report == NULL)
		ereport(LOG,
				(errmsg("pg_depot: package \"%s\" %s, recorded without a build for this server, has one now",
						task->package, task->version)));
	else if (!task->is_unavailable)
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("package \"%s\" %s is recorded as installed, but this server has no build of it",
						task->package, task->version),
				 errdetail("%s%s%s", report->message, report->detail[0] != '\0' ? ": " : "", report->detail),
				 errhint("It is tried again; install another version, or uninstall it.")));
	task->is_unavailable = report != NULL;
	has_failed |= report != NULL;
	if (next_task >= list_length(tasks))
		end_tasks();
}

static void
end_tasks(void)
{
	/* Of rows that have come since nothing is known: the next look is due. */
	if (is_requested)
		return;
	if (has_failed)
		plan_again();
	else
	{
		due_at = 0;
		failures = 0;
	}
}
