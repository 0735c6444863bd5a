/*-------------------------------------------------------------------------
 *
 * job_uninstall.c
 *	  Job: remove the files of an extension or package nobody uses.
 *
 * Refused while CREATE EXTENSION of it exists in any database, or while another
 * package needs it.  The row is marked removed in one transaction; only then do the
 * files go, control files first.
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
#include "utils/builtins.h"
#include "utils/json.h"

typedef struct UninstallJob
{
	char	   *name;
	bool		is_dry_run;
	char	   *package;		/* what it means */
	char	   *version;
	int64		size_bytes;
	StringInfoData extensions;	/* separated by spaces */
	int64		generation;		/* of the rows that were looked at */
}			UninstallJob;

static void read_request(DepotJob *job, UninstallJob *state);
static void look(DepotJob *job);
static bool find_package(DepotJob *job, UninstallJob *state);
static bool append_served(UninstallJob *state, const DepotAppliedPackage *package);
static bool find_unclaimed(UninstallJob *state);
static void remove_package(DepotJob *job);
static void answer(DepotJob *job);

void
depot_uninstall_start(DepotJob *job)
{
	UninstallJob *state = palloc0(sizeof(UninstallJob));

	initStringInfo(&state->extensions);
	job->state = state;
	read_request(job, state);
	look(job);
}

/* Finds the package and looks for what uses it. */
static void
look(DepotJob *job)
{
	UninstallJob *state = job->state;

	resetStringInfo(&state->extensions);
	if (!find_package(job, state))
	{
		depot_job_notice(job, "extension \"%s\" is not installed; nothing to remove", state->name);
		depot_job_finish(job, "");
		return;
	}
	if (state->extensions.len > 0)
		depot_usage_begin(job, state->extensions.data, remove_package);
	else
		remove_package(job);
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
	depot_message_free(argument);
	if (!depot_name_check_extension(state->name, &error))
		depot_job_raise(&error);
}

static void
append_extension(UninstallJob *state, const char *extension)
{
	appendStringInfo(&state->extensions, "%s%s", state->extensions.len > 0 ? " " : "", extension);
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
	const DepotInstalledRow *dependent;
	const DepotAppliedPackage *applied;
	bool		was_removed = false;

	depot_catalog_begin();
	depot_job_check_usable(job);
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
		if (!was_removed && find_unclaimed(state))
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

	dependent = depot_plan_find_dependent(rows, count, row);
	if (dependent != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("package \"%s\" is needed by package \"%s\"", row->package, dependent->package),
				 errhint("Uninstall \"%s\" first.", dependent->package)));

	state->package = pstrdup(row->package);
	state->version = pstrdup(row->version);
	state->size_bytes = row->unpacked_bytes;
	applied = depot_applied_find(row->package);
	if (applied != NULL)
		(void) append_served(state, applied);
	else if (row->has_build)
		for (int i = 0; i < row->manifest->extension_count; i++)
			append_extension(state, row->manifest->extensions[i].name);
	return true;
}

/*
 * Appends the extensions whose control files package serves, which counts more than what rows say of it.
 * Returns whether one of them is what is to be uninstalled.
 */
static bool
append_served(UninstallJob *state, const DepotAppliedPackage *package)
{
	const char *directory = "/extension/";
	const char *suffix = ".control";
	bool		is_meant = false;

	for (int i = 0; i < package->file_count; i++)
	{
		const char *base_name = strstr(package->files[i].path, directory);
		size_t		length;
		char	   *extension;

		base_name = base_name != NULL ? base_name + strlen(directory) : "";
		length = strlen(base_name);
		if (length <= strlen(suffix) || strstr(base_name, "--") != NULL ||
			strcmp(base_name + length - strlen(suffix), suffix) != 0)
			continue;
		extension = pnstrdup(base_name, length - strlen(suffix));
		append_extension(state, extension);
		is_meant |= strcmp(extension, state->name) == 0;
	}
	return is_meant;
}

static bool
find_unclaimed(UninstallJob *state)
{
	const DepotState *applied = depot_applied_state();

	for (int i = 0; i < applied->package_count; i++)
	{
		const DepotAppliedPackage *package = &applied->packages[i];

		resetStringInfo(&state->extensions);
		if (!append_served(state, package) && strcmp(package->package, state->name) != 0)
			continue;
		state->package = pstrdup(package->package);
		state->version = pstrdup(package->version);
		state->size_bytes = 0;
		for (int j = 0; j < package->file_count; j++)
			state->size_bytes += (int64) package->files[j].size_bytes;
		return true;
	}
	return false;
}

static void
release_reserve(DepotJob *job)
{
	depot_applied_release();
	job->on_failure = NULL;
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

	if (state->is_dry_run)
	{
		answer(job);
		return;
	}

	depot_shmem_set_phase(job->slot, DEPOT_PHASE_RECORDING, 0, 0);
	job->on_failure = release_reserve;
	depot_applied_reserve(1, 0);
	depot_catalog_begin();
	depot_job_check_may_change(job);
	if (depot_catalog_generation() != state->generation)
	{
		/* Something was installed while other databases were looked at; it may need this package. */
		depot_catalog_commit();
		release_reserve(job);
		look(job);
		return;
	}
	depot_catalog_bump_generation();
	depot_catalog_record_removal(state->package, state->version);
	depot_catalog_add_history(&history);
	if (!depot_shmem_begin_commit(job->slot))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceled by its caller")));
	depot_test_point("remove_before_commit");
	depot_catalog_commit();
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
	depot_job_notice(job, "removed package \"%s\" %s", state->package, state->version);
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
