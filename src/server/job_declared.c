/*-------------------------------------------------------------------------
 *
 * job_declared.c
 *	  Jobs: carry out the declared list, depot.extensions.
 *
 * A look decides every entry by the rows, notes its state in depot.declared and
 * leaves a task for each that something is to be done for.  Tasks run one after the
 * other, each as an installation or removal of its own, with the requests of sessions
 * before them; what became of one is noted before the next begins.  When one failed, the
 * list is looked at again after a growing pause.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/testpoint.h"
#include "server/catalog.h"
#include "server/declared_rows.h"
#include "server/settings.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define LONGEST_PAUSE_MS 300000
/* How long a task lets requests go first. */
#define YIELD_MS 2000
/* Changes by others are taken note of together. */
#define NOTE_CHANGE_MS 1000

typedef struct Task
{
	bool		is_removal;
	int			ordinal;		/* of its entry; of a removal: 0 */
	const char *name;
	const char *constraint;
	const char *repository;
} Task;

/* What became of the last task, and of those that wait for the same repository; ordinal_count 0: it is noted. */
typedef struct Outcome
{
	int		   *ordinals;
	int			ordinal_count;
	int			changed_count;	/* entries that were in another state before */
	const char *name;
	const char *state;
	char		reason[DEPOT_ERROR_MESSAGE_BYTES];
} Outcome;

/* Of the tasks; replaced by each look. */
static MemoryContext tasks_context = NULL;
static Task *tasks = NULL;
static int	task_count = 0;
static int	next_task = 0;
static bool has_task_failed = false;
static Outcome outcome;

/* Times are 0 when nothing is planned. */
static TimestampTz look_at = 0;
static TimestampTz note_at = 0; /* a look that only notes states */
static TimestampTz not_before = 0;
static TimestampTz last_task_end = 1;	/* long ago */
static bool is_refreshed = false;	/* repositories were asked for news since the look was planned */
static bool is_refresh_due = false; /* they are to be asked before the next look */
static int	failures = 0;
static uint64 requests = 0;		/* made so far, for a look or for a note of changes */

/* The list that the last look was planned for; NULL before the first. */
static char *seen_list = NULL;

static void look(DepotJob *job, bool may_act);
static void note_look(DepotJob *job);
static void end_tasks(void);
static void begin_task(DepotJob *job);
static void note_task_end(DepotJob *job, const DepotReport *report);
static void note_outcome(void);
static void log_outcome(void);

/* ---- when ---- */

void
depot_declared_request(bool with_news)
{
	requests++;
	look_at = GetCurrentTimestamp();
	is_refreshed = with_news;
	is_refresh_due = false;
}

void
depot_declared_note_change(void)
{
	requests++;
	if (note_at == 0 && seen_list != NULL && seen_list[0] != '\0')
		note_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), NOTE_CHANGE_MS);
}

void
depot_declared_note_reload(void)
{
	char	   *list = MemoryContextStrdup(TopMemoryContext, depot_settings_extensions);
	bool		was_empty = seen_list != NULL && seen_list[0] == '\0';

	if (seen_list != NULL)
		pfree(seen_list);
	seen_list = list;
	if (was_empty && list[0] == '\0')
		return;
	failures = 0;
	depot_declared_request(false);
}

TimestampTz
depot_declared_next_at(bool is_busy)
{
	TimestampTz next_at = look_at;

	if (outcome.ordinal_count > 0 || next_task < task_count)
	{
		TimestampTz task_at = is_busy ? TimestampTzPlusMilliseconds(last_task_end, YIELD_MS) : last_task_end;

		if (next_at == 0 || task_at < next_at)
			next_at = task_at;
	}
	else if (note_at != 0 && (next_at == 0 || note_at < next_at))
		next_at = note_at;
	return next_at != 0 ? Max(next_at, not_before) : 0;
}

static TimestampTz
after_pause(void)
{
	long		pause_ms = Min(1000L << Min(failures, 10), LONGEST_PAUSE_MS);

	failures++;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause_ms);
}

/* A look, or a note, that failed: a lock on a table may be in the way. */
static void
retry_later(DepotJob *job, const DepotReport *report)
{
	if (report == NULL)
		return;
	not_before = after_pause();
	if (look_at == 0)
		look_at = not_before;
	depot_errors_raise_report(WARNING, report);
}

static void
forget_all(void)
{
	look_at = note_at = 0;
	outcome.ordinal_count = task_count = next_task = 0;
}

/* What is due next, once the last task's outcome is noted. */
static void
go_on(DepotJob *job)
{
	TimestampTz now = GetCurrentTimestamp();

	if (look_at != 0 && look_at <= now && is_refresh_due)
	{
		is_refresh_due = false;
		is_refreshed = true;
		job->argument = "{}";
		depot_refresh_repository_start(job);
	}
	else if (look_at != 0 && look_at <= now)
		look(job, true);
	else if (next_task < task_count)
		begin_task(job);
	else if (note_at != 0 && note_at <= now)
		look(job, false);
	else
		depot_job_finish(job, "");
}

void
depot_declared_start(DepotJob *job)
{
	bool		exists;

	job->on_end = retry_later;
	depot_catalog_begin();
	exists = depot_catalog_exists();
	if (exists)
		note_outcome();
	depot_catalog_commit();
	if (exists)
	{
		log_outcome();
		depot_job_transact(job, go_on);
		return;
	}
	forget_all();
	depot_job_finish(job, "");
}

/* ---- look ---- */

static void
add_task(const Task *task)
{
	MemoryContext old_context = MemoryContextSwitchTo(tasks_context);
	Task	   *added = &tasks[task_count++];

	*added = *task;
	added->name = pstrdup(task->name);
	added->constraint = pstrdup(task->constraint != NULL ? task->constraint : "");
	added->repository = pstrdup(task->repository != NULL ? task->repository : "");
	MemoryContextSwitchTo(old_context);
}

static void
add_entry_task(const DepotDeclaredEntry *entry)
{
	Task		task = {
		.ordinal = entry->declaration.ordinal,
		.name = entry->declaration.name,
		.constraint = entry->declaration.constraint,
		.repository = entry->repository
	};

	if (entry->action == DEPOT_DECLARED_INSTALL || entry->action == DEPOT_DECLARED_UPDATE)
		add_task(&task);
}

/* Whether an entry of the list means the package of a row. */
static bool
is_declared(const DepotDeclaredList *list, const DepotInstalledRow *row)
{
	for (int i = 0; i < list->count; i++)
		if (list->entries[i].package != NULL && strcmp(list->entries[i].package, row->package) == 0)
			return true;
	return depot_declared_names(list->entries, list->count, row);
}

/*
 * Nothing vanishes by absence: a list that is empty, perhaps because a file was lost or a value refused, and one with
 * an entry that may be misspelt, remove nothing.
 */
static bool
may_prune(const DepotDeclaredList *list)
{
	if (!depot_settings_extensions_prune || list->count == 0)
		return false;
	for (int i = 0; i < list->count; i++)
		if (list->entries[i].action == DEPOT_DECLARED_REFUSED)
			return false;
	return true;
}

static void
make_tasks(const DepotDeclaredList *list)
{
	if (tasks_context == NULL)
		tasks_context = AllocSetContextCreate(TopMemoryContext, "pg_depot declared list", ALLOCSET_DEFAULT_SIZES);
	task_count = next_task = 0;
	has_task_failed = false;
	MemoryContextReset(tasks_context);
	tasks = MemoryContextAlloc(tasks_context, sizeof(Task) * (list->count + list->installed_count + 1));

	/* Entries that say which version come first: others may need them, and would bring the newest along. */
	for (int i = 0; i < list->count; i++)
		if (list->entries[i].declaration.constraint[0] != '\0')
			add_entry_task(&list->entries[i]);
	for (int i = 0; i < list->count; i++)
		if (list->entries[i].declaration.constraint[0] == '\0')
			add_entry_task(&list->entries[i]);
	for (int i = 0; may_prune(list) && i < list->installed_count; i++)
	{
		const DepotInstalledRow *row = &list->installed[i];
		Task		task = {.is_removal = true, .name = row->package};

		if (!row->is_removed && strcmp(row->why, "declared") == 0 && !is_declared(list, row))
			add_task(&task);
	}
}

/* Whether what the repositories offer matters to an entry, and may be out of date. */
static bool
needs_news(const DepotDeclaredList *list, bool is_stale)
{
	for (int i = 0; i < list->count; i++)
		if (list->entries[i].is_unknown ||
			(is_stale && (list->entries[i].action == DEPOT_DECLARED_INSTALL ||
						  list->entries[i].action == DEPOT_DECLARED_UPDATE)))
			return list->repository_count > 0;
	return false;
}

static void
look(DepotJob *job, bool may_act)
{
	DepotDeclaredLook *state = palloc0(sizeof(DepotDeclaredLook));

	job->state = state;
	state->may_act = may_act;
	state->requests = requests;
	depot_declared_read(job, seen_list, &state->list);
	for (int i = 0; i < state->list.repository_count; i++)
		state->is_stale |= depot_refresh_is_stale(&state->list.repositories[i]);
	state->is_asking = may_act && !is_refreshed && needs_news(&state->list, state->is_stale);
	depot_job_transact(job, note_look);
}

/* Notes what was found, and plans what follows from it; unless a lock was in the way until that may have changed. */
static void
note_look(DepotJob *job)
{
	const DepotDeclaredLook *state = job->state;

	if (state->requests != requests)
	{
		depot_job_finish(job, "");
		return;
	}
	depot_declared_note_states(state);
	depot_test_point("declared_noted");
	note_at = 0;
	is_refresh_due = state->is_asking;
	if (state->may_act && !state->is_asking)
	{
		look_at = 0;
		is_refreshed = false;
		make_tasks(&state->list);
		for (int i = 0; i < state->list.count; i++)
			has_task_failed |= state->list.entries[i].is_unknown && state->is_stale;
		if (task_count == 0)
			end_tasks();
	}
	depot_job_finish(job, "");
}

/* ---- tasks ---- */

static void
begin_task(DepotJob *job)
{
	const Task *task = &tasks[next_task];
	StringInfoData argument;

	initStringInfo(&argument);
	appendStringInfoString(&argument, "{\"extension\":");
	escape_json(&argument, task->name);
	if (task->constraint[0] != '\0')
	{
		appendStringInfoString(&argument, ",\"version\":");
		escape_json(&argument, task->constraint);
	}
	appendStringInfoChar(&argument, '}');
	job->argument = argument.data;
	job->origin = DEPOT_DECLARED_ORIGIN;
	job->on_end = note_task_end;
	depot_test_point("declared_task");
	if (task->is_removal)
	{
		job->kind = DEPOT_REQUEST_UNINSTALL;
		depot_uninstall_start(job);
	}
	else
	{
		job->kind = DEPOT_REQUEST_INSTALL;
		depot_install_start(job);
	}
}

/* What an entry asks for that cannot be had as it stands: unknown names and versions, conflicts. */
static bool
is_refusal(const char *sqlstate)
{
	return strcmp(sqlstate, "42704") == 0 || strcmp(sqlstate, "42P07") == 0 || strcmp(sqlstate, "PD014") == 0;
}

/* A repository that cannot be reached fails everything that waits for it, without asking it for each. */
static void
fail_others(const char *repository)
{
	int			kept = next_task;

	for (int i = next_task; i < task_count; i++)
	{
		if (!tasks[i].is_removal && strcmp(tasks[i].repository, repository) == 0)
			outcome.ordinals[outcome.ordinal_count++] = tasks[i].ordinal;
		else
			tasks[kept++] = tasks[i];
	}
	task_count = kept;
}

static void
note_task_end(DepotJob *job, const DepotReport *report)
{
	const Task *task = &tasks[next_task++];

	depot_test_point("declared_done");
	last_task_end = GetCurrentTimestamp();
	outcome.ordinal_count = 0;
	if (task->is_removal)
	{
		if (report != NULL)
			ereport(LOG,
					(errmsg("package \"%s\" is no longer in \"" DEPOT_DECLARED_ORIGIN "\", but stays", task->name),
					 errdetail_log("%s.", report->message)));
	}
	else
	{
		outcome.ordinals = MemoryContextAlloc(tasks_context, sizeof(int) * (task_count + 1));
		outcome.ordinals[outcome.ordinal_count++] = task->ordinal;
		outcome.name = task->name;
		outcome.state = report == NULL ? "ok" : is_refusal(report->sqlstate) ? "refused" : "failed";
		outcome.reason[0] = '\0';
		if (report != NULL)
			strlcpy(outcome.reason, report->message, sizeof(outcome.reason));
		has_task_failed |= strcmp(outcome.state, "failed") == 0;
		/* Class 08: connections. */
		if (report != NULL && strncmp(report->sqlstate, "08", 2) == 0)
			fail_others(task->repository);
	}
	if (next_task >= task_count)
		end_tasks();
}

static void
end_tasks(void)
{
	if (!has_task_failed)
		failures = 0;
	else if (look_at == 0)
		look_at = after_pause();
}

static void
note_outcome(void)
{
	if (outcome.ordinal_count == 0)
		return;
	outcome.changed_count = depot_catalog_note_declared(outcome.ordinals, outcome.ordinal_count, outcome.state,
														outcome.reason[0] != '\0' ? outcome.reason : NULL);
	depot_test_point("declared_outcome");
}

static void
log_outcome(void)
{
	int			changed_count = outcome.changed_count;

	outcome.changed_count = outcome.ordinal_count = 0;
	if (changed_count == 0)
		return;
	if (strcmp(outcome.state, "ok") == 0)
		ereport(LOG, (errmsg("entry \"%s\" of \"" DEPOT_DECLARED_ORIGIN "\": ok", outcome.name)));
	else
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 changed_count == 1 ?
				 errmsg("entry \"%s\" of \"" DEPOT_DECLARED_ORIGIN "\": %s", outcome.name, outcome.state) :
				 errmsg("entry \"%s\" of \"" DEPOT_DECLARED_ORIGIN "\" and %d more: %s", outcome.name,
						changed_count - 1, outcome.state),
				 errdetail("%s.", outcome.reason)));
}
