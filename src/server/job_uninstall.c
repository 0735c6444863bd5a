/*-------------------------------------------------------------------------
 *
 * job_uninstall.c
 *	  Job: remove the files of an extension or package nobody uses.
 *
 * Refused while anything uses it: an extension or function in any database, a setting, a slot, another
 * package.  With force only another package keeps it.  The row is marked removed in one transaction, in which nobody
 * can begin to use it; only then do the files go, control files first.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/name.h"
#include "common/testpoint.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/plan.h"
#include "server/shmem_use.h"
#include "utils/json.h"

/* Times that it is looked for users again because others change something. */
#define ROUNDS_MAX 10

typedef struct UninstallJob
{
	char	   *name;
	bool		is_dry_run;
	bool		is_forced;
	char	   *package;		/* what it means */
	char	   *version;
	int64		size_bytes;
	List	   *extensions;		/* names */
	List	   *libraries;		/* names without ".so" */
	DepotUsers	dependents;		/* packages that need it */
	int64		generation;		/* of the rows that were looked at */
	int			rounds;
} UninstallJob;

static void read_request(DepotJob *job, UninstallJob *state);
static void look(DepotJob *job);
static bool find_package(DepotJob *job, UninstallJob *state);
static void note_dependents(UninstallJob *state, const DepotInstalledRow *rows, int count,
							const DepotInstalledRow *row);
static void note_served(UninstallJob *state, const DepotAppliedPackage *package);
static bool find_unclaimed(UninstallJob *state);
static void begin_usage(DepotJob *job);
static void decide(DepotJob *job);
static void note_looked(DepotJob *job);
static void remove_package(DepotJob *job);
static void answer(DepotJob *job);

void
depot_uninstall_start(DepotJob *job)
{
	UninstallJob *state = palloc0(sizeof(UninstallJob));

	job->state = state;
	read_request(job, state);
	look(job);
}

/* Finds the package and looks for what uses it; again, when somebody has begun to use it since. */
static void
look(DepotJob *job)
{
	UninstallJob *state = job->state;

	if (++state->rounds > ROUNDS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("what uses \"%s\" changed again and again while it was looked for", state->name),
				 errhint("The call can be repeated.")));
	job->operation = NULL;
	state->extensions = NIL;
	state->libraries = NIL;
	depot_users_init(&state->dependents);
	if (!find_package(job, state))
	{
		depot_job_notice(job, "extension \"%s\" is not installed; nothing to remove", state->name);
		depot_job_finish(job, "");
		return;
	}
	if (state->extensions != NIL || state->libraries != NIL)
		depot_job_transact(job, begin_usage);
	else
		decide(job);
}

static void
begin_usage(DepotJob *job)
{
	UninstallJob *state = job->state;

	depot_usage_begin(job, state->extensions, state->libraries, state->is_forced, decide);
}

static void
read_request(DepotJob *job, UninstallJob *state)
{
	DepotError	error;
	DepotMessage *argument = depot_message_parse(job->argument, strlen(job->argument), &error);
	const char *name;

	if (argument == NULL)
		depot_job_raise(&error);
	name = depot_message_string(argument, "extension");
	state->name = pstrdup(name != NULL ? name : "");
	state->is_dry_run = depot_message_bool(argument, "dry_run");
	state->is_forced = depot_message_bool(argument, "force");
	depot_message_free(argument);
	if (!depot_name_check_extension(state->name, &error))
		depot_job_raise(&error);
}

/*
 * Finds what name means among the rows, then among served files that no row
 * names.  false: it was removed before.  An error when pg_depot never had it.
 */
static bool
find_package(DepotJob *job, UninstallJob *state)
{
	DepotInstalledRow *rows;
	int			count;
	const DepotInstalledRow *row;
	const DepotAppliedPackage *applied;
	bool		was_removed = false;

	depot_catalog_begin();
	depot_job_check_usable(job);
	if (state->is_forced && !depot_catalog_role_is_superuser(job->role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to remove \"%s\" by force", state->name),
				 errhint("Only a superuser may give force.")));
	count = depot_catalog_read_installed(&rows);
	state->generation = depot_catalog_generation();
	depot_catalog_commit();

	row = depot_plan_find_installed(rows, count, state->name);
	if (row == NULL)
	{
		for (int i = 0; i < count; i++)
			was_removed |= rows[i].is_removed &&
				(strcmp(rows[i].package, state->name) == 0 ||
				 (rows[i].has_build && depot_plan_provides(rows[i].manifest, state->name)));
		if (find_unclaimed(state))
			return true;
		if (!was_removed)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("extension \"%s\" was not installed by pg_depot", state->name),
					 errhint("The view depot.installed_packages lists what was.")));
		return false;
	}

	/* The declared list removes what it called for, and nothing that a person has asked for meanwhile. */
	if (job->origin != NULL && strcmp(row->why, "declared") != 0)
		return false;

	note_dependents(state, rows, count, row);
	state->package = pstrdup(row->package);
	state->version = pstrdup(row->version);
	state->size_bytes = row->unpacked_bytes;
	applied = depot_applied_find(row->package);
	if (applied != NULL)
		note_served(state, applied);
	else if (row->has_build)
		for (int i = 0; i < row->manifest->extension_count; i++)
			state->extensions = lappend(state->extensions, row->manifest->extensions[i].name);
	return true;
}

static void
note_dependents(UninstallJob *state, const DepotInstalledRow *rows, int count,
				const DepotInstalledRow *row)
{
	const DepotInstalledRow *dependent = rows - 1;

	while ((dependent = depot_plan_find_dependent(dependent + 1, (int) (rows + count - dependent - 1), row)) != NULL)
		depot_users_add_package(&state->dependents, row->package, dependent->package);
}

/* Notes the extensions and libraries that package serves, which counts more than what rows say of it. */
static void
note_served(UninstallJob *state, const DepotAppliedPackage *package)
{
	state->extensions = depot_applied_extensions(package);
	state->libraries = depot_applied_libraries(package);
}

static bool
serves(const DepotAppliedPackage *package, const char *extension)
{
	ListCell   *cell;

	foreach(cell, depot_applied_extensions(package))
		if (strcmp(lfirst(cell), extension) == 0)
		return true;
	return false;
}

static bool
find_unclaimed(UninstallJob *state)
{
	const DepotState *applied = depot_applied_state();

	for (int i = 0; i < applied->package_count; i++)
	{
		const DepotAppliedPackage *package = &applied->packages[i];

		if (strcmp(package->package, state->name) != 0 && !serves(package, state->name))
			continue;
		note_served(state, package);
		state->package = pstrdup(package->package);
		state->version = pstrdup(package->version);
		state->size_bytes = 0;
		for (int j = 0; j < package->file_count; j++)
			state->size_bytes += (int64) package->files[j].size_bytes;
		return true;
	}
	return false;
}

/* ---- refuse or remove ---- */

/* Another package that needs it comes first: force does not make up for that. */
static void
decide(DepotJob *job)
{
	UninstallJob *state = job->state;
	const DepotUsers *users = job->operation != NULL ? depot_usage_found(job) : NULL;
	bool		is_needed = state->dependents.count > 0;
	DepotReport report;

	if (users != NULL && !state->is_forced)
		depot_users_append(&state->dependents, users);
	if (state->dependents.count > 0)
	{
		depot_users_to_report(&state->dependents, &report);
		strlcpy(report.hint, is_needed ? "Uninstall what needs it first." :
				"Drop what uses it, or take it out of the setting; or keep the package.", sizeof(report.hint));
		depot_errors_raise_report(ERROR, &report);
	}
	if (!state->is_dry_run)
	{
		depot_job_transact(job, remove_package);
		return;
	}
	note_looked(job);
	answer(job);
}

/* Tells where it could not be looked, and what is removed although it is used. */
static void
note_looked(DepotJob *job)
{
	UninstallJob *state = job->state;
	const DepotUsers *users;
	DepotReport report = {.sqlstate = "01000"};

	if (job->operation == NULL)
		return;
	depot_usage_note_skipped(job);
	users = depot_usage_found(job);
	if (users->count == 0)
		return;
	snprintf(report.message, sizeof(report.message), "package \"%s\" %s removed although it is used",
			 state->package, state->is_dry_run ? "would be" : "was");
	depot_users_to_detail(users, &report);
	strlcpy(report.hint, "Install it again, or drop what uses it.", sizeof(report.hint));
	depot_job_warn(job, &report, "package \"%s\"", state->package);
}

/* Undoes what precedes the record, when it is not to be. */
static void
release_reserve(DepotJob *job)
{
	depot_shmem_end_moves();
	depot_applied_release();
	job->on_failure = NULL;
	job->on_blocked = NULL;
}

static void
remove_package(DepotJob *job)
{
	UninstallJob *state = job->state;
	DepotHistoryRow history = {
		.action = "remove",
		.package = state->package,
		.previous_version = state->version,
		.role = job->role,
		.origin = job->origin,
		.database = job->database,
		.started_at = job->started_at
	};
	DepotError	error;

	depot_shmem_set_phase(job->slot, DEPOT_PHASE_RECORDING, 0, 0);
	job->on_failure = release_reserve;
	job->on_blocked = release_reserve;
	depot_applied_reserve(1, 0);
	depot_catalog_begin();
	depot_job_check_may_change(job);
	if (depot_catalog_generation() != state->generation || (job->operation != NULL && !depot_usage_lock(job)))
	{
		/* Something was installed, or begun to be used, while databases were looked into. */
		depot_catalog_commit();
		release_reserve(job);
		look(job);
		return;
	}
	depot_catalog_bump_generation();
	depot_catalog_record_removal(state->package, state->version);
	depot_catalog_check_installed();
	depot_catalog_add_history(&history);
	if (!depot_shmem_begin_commit(job->slot))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceled by its caller")));
	depot_applied_begin_move(state->package);
	depot_test_point("remove_before_commit");
	depot_catalog_commit();
	depot_payload_request_tidy();
	if (job->origin == NULL)
		depot_declared_note_change();
	depot_test_point("remove_after_commit");

	if (!depot_applied_deactivate(state->package, &error))
	{
		depot_job_retry_reconcile();
		ereport(ERROR,
				(errcode(ERRCODE_IO_ERROR),
				 errmsg("removal of \"%s\" is recorded, but its files are still here", state->name),
				 errdetail("%s.", error.message),
				 errhint("The leader tries again by itself.")));
	}
	release_reserve(job);
	note_looked(job);
	depot_job_note_change(job, "removed package \"%s\" %s", state->package, state->version);
	answer(job);
}

static void
answer(DepotJob *job)
{
	UninstallJob *state = job->state;
	StringInfoData rows;

	initStringInfo(&rows);
	appendStringInfoString(&rows, "{\"package\":");
	escape_json(&rows, state->package);
	appendStringInfoString(&rows, ",\"version\":");
	escape_json(&rows, state->version);
	appendStringInfo(&rows, ",\"action\":\"remove\",\"size_bytes\":" INT64_FORMAT "}", state->size_bytes);
	depot_job_finish(job, rows.data);
}
