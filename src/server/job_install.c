/*-------------------------------------------------------------------------
 *
 * job_install.c
 *	  Job: install an extension or package and what it needs.
 *
 * Resolve, refreshing stale repositories where the answer may depend on them;
 * fetch and check each package into staging; then, in one go, prepare, record
 * all packages in one transaction, and activate them.  What another job changed
 * meanwhile shows as another generation: the request is then resolved again.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/name.h"
#include "common/testpoint.h"
#include "common/version.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/leader.h"
#include "server/plan.h"
#include "server/platform.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Metadata younger than this is not fetched again before an installation. */
#define FRESH_SECONDS 3600
/* More rounds than this mean that others change the rows all the time. */
#define ROUNDS_MAX 5

typedef struct InstalledItem
{
	DepotStaging *staging;		/* NULL: its files are served already */
	DepotManifest *manifest;	/* of the staged tree, malloc'd */
	char	   *source;
}			InstalledItem;

typedef struct RefreshFailure
{
	char	   *repository;
	DepotReport report;
}			RefreshFailure;

typedef struct InstallJob
{
	DepotPlanRequest request;
	bool		is_dry_run;
	int			rounds;
	bool		is_refreshed;	/* repositories have been refreshed for this request */

	/* of the present round */
	MemoryContext round_context;
	DepotRepositoryRow *repositories;
	int			repository_count;
	int			next_repository;
	List	   *refresh_failures;	/* RefreshFailure */
	int64		generation;
	DepotPlan  *plan;
	InstalledItem items[DEPOT_PLAN_MAX_ITEMS];
	int			next_item;
}			InstallJob;

static void read_request(DepotJob *job, InstallJob *state);
static void resolve(DepotJob *job);
static bool make_plan(DepotJob *job, DepotError *error);
static void explain_unknown(InstallJob *state, DepotError *error);
static bool plan_changes_something(const DepotPlan *plan);
static void raise_if_expired(const InstallJob *state);
static bool is_stale(const DepotRepositoryRow *row);
static void refresh_stale(DepotJob *job);
static void note_refreshed(DepotJob *job);
static void note_refresh_error(DepotJob *job, const DepotReport *report);
static const DepotRepositoryRow *repository_of(const InstallJob *state, const char *name);
static void fetch_next_package(DepotJob *job);
static void adopt_or_fetch(DepotJob *job);
static void fetch_package(DepotJob *job);
static void note_package(DepotJob *job);
static void record_and_activate(DepotJob *job);
static void answer(DepotJob *job);
static void free_manifests(void *state);

void
depot_install_start(DepotJob *job)
{
	InstallJob *state = palloc0(sizeof(InstallJob));
	MemoryContextCallback *callback = palloc0(sizeof(*callback));

	callback->func = free_manifests;
	callback->arg = state;
	MemoryContextRegisterResetCallback(job->context, callback);
	job->state = state;
	read_request(job, state);
	resolve(job);
}

static void
free_manifests(void *argument)
{
	InstallJob *state = argument;

	for (int i = 0; i < DEPOT_PLAN_MAX_ITEMS; i++)
	{
		depot_manifest_free(state->items[i].manifest);
		state->items[i].manifest = NULL;
	}
}

static void
read_request(DepotJob *job, InstallJob *state)
{
	DepotVersionConstraint constraint;
	DepotError	error;
	DepotMessage *argument = depot_message_parse(job->argument, strlen(job->argument), &error);
	const char *name;
	const char *version;
	const char *repository;

	if (argument == NULL)
		depot_job_raise(&error);
	name = depot_message_string(argument, "extension");
	version = depot_message_string(argument, "version");
	repository = depot_message_string(argument, "repository");
	state->request.name = pstrdup(name != NULL ? name : "");
	state->request.constraint = version != NULL ? pstrdup(version) : NULL;
	state->request.repository = repository != NULL ? pstrdup(repository) : NULL;
	state->is_dry_run = depot_message_bool(argument, "dry_run");
	depot_message_free(argument);

	if (!depot_name_check_extension(state->request.name, &error) ||
		!depot_version_constraint_parse(state->request.constraint, &constraint, &error) ||
		(state->request.repository != NULL &&
		 !depot_name_check_package(state->request.repository, "repository", &error)))
		depot_job_raise(&error);
}

/* ---- resolve ---- */

/*
 * A request that what is installed satisfies needs no repository.  Otherwise
 * stale metadata is refreshed first, and all of it when a name or version is not found.
 */
static void
resolve(DepotJob *job)
{
	InstallJob *state = job->state;
	DepotError	error;
	bool		is_planned;
	bool		any_stale = false;

	if (++state->rounds > ROUNDS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("what is installed changed again and again while \"%s\" was resolved", state->request.name),
				 errhint("The call can be repeated.")));

	depot_shmem_set_phase(job->slot, DEPOT_PHASE_RESOLVING, 0, 0);
	is_planned = make_plan(job, &error);
	if (is_planned && !plan_changes_something(state->plan))
	{
		answer(job);
		return;
	}

	for (int i = 0; i < state->repository_count; i++)
		any_stale |= is_stale(&state->repositories[i]);
	if (!state->is_refreshed && state->repository_count > 0 && (!is_planned || any_stale))
	{
		refresh_stale(job);
		return;
	}
	if (!is_planned)
	{
		explain_unknown(state, &error);
		depot_job_raise(&error);
	}
	raise_if_expired(state);
	if (state->is_dry_run)
		answer(job);
	else
		fetch_next_package(job);
}

/* A package cannot come from a repository whose metadata has expired and could not be refreshed. */
static void
raise_if_expired(const InstallJob *state)
{
	ListCell   *cell;

	foreach(cell, state->refresh_failures)
	{
		const RefreshFailure *failure = lfirst(cell);
		const DepotRepositoryRow *row = repository_of(state, failure->repository);

		for (int i = 0; i < state->plan->count; i++)
			if (state->plan->items[i].build != NULL && (row->is_expired || !row->is_refreshed) &&
				strcmp(state->plan->items[i].build->repository, row->name) == 0)
				depot_errors_raise_report(ERROR, &failure->report);
	}
}

static bool
make_plan(DepotJob *job, DepotError *error)
{
	InstallJob *state = job->state;
	DepotAvailableRow *available;
	DepotInstalledRow *installed;
	DepotPlanInput input;
	MemoryContext old_context;
	bool		is_planned;

	free_manifests(state);
	if (state->round_context != NULL)
		MemoryContextDelete(state->round_context);
	state->round_context = AllocSetContextCreate(job->context, "pg_depot plan", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(state->round_context);

	depot_catalog_begin();
	depot_job_check_usable(job);
	state->generation = depot_catalog_generation();
	state->repository_count = depot_catalog_read_repositories(NULL, &state->repositories);
	if (state->request.repository != NULL)
		(void) repository_of(state, state->request.repository);
	input = (DepotPlanInput)
	{
		.available_count = depot_catalog_read_available(state->request.name, &available),
			.installed_count = depot_catalog_read_installed(&installed),
			.server_minor = depot_platform_minor(),
			.libc_version = depot_platform_libc_version(),
			.system_extension = depot_platform_system_extension
	};
	depot_catalog_commit();
	input.available = available;
	input.installed = installed;

	state->plan = palloc(sizeof(DepotPlan));
	is_planned = depot_plan_install(&input, &state->request, state->plan, error);
	state->next_item = 0;
	memset(state->items, 0, sizeof(state->items));
	MemoryContextSwitchTo(old_context);
	return is_planned;
}

static bool
plan_changes_something(const DepotPlan *plan)
{
	for (int i = 0; i < plan->count; i++)
		if (plan->items[i].action != DEPOT_PLAN_KEEP)
			return true;
	return false;
}

/* Adds what helps to an error about a name nobody lists: a repository that failed, or names like it. */
static void
explain_unknown(InstallJob *state, DepotError *error)
{
	char	   *names[5];
	StringInfoData list;
	int			count;

	/* Whether a repository that failed lists the name cannot be told: its failure is the answer. */
	if (state->refresh_failures != NIL)
		depot_errors_raise_report(ERROR, &((RefreshFailure *) linitial(state->refresh_failures))->report);
	if (error->code != DEPOT_ERROR_UNKNOWN_EXTENSION)
		return;
	if (state->repository_count == 0)
	{
		depot_error_hint(error, "There is no repository; add one with add_extension_repository.");
		return;
	}

	depot_catalog_begin();
	count = depot_catalog_near_names(state->request.name, lengthof(names), names);
	depot_catalog_commit();
	initStringInfo(&list);
	for (int i = 0; i < count; i++)
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", names[i]);
	if (count > 0)
		depot_error_hint(error, "Available by a name like it: %s.", list.data);
	else
		depot_error_hint(error, "The view depot.packages lists what is available.");
}

/* ---- refresh ---- */

static bool
is_stale(const DepotRepositoryRow *row)
{
	return !row->is_refreshed || row->is_expired || row->refreshed_age_s > FRESH_SECONDS;
}

static void
refresh_stale(DepotJob *job)
{
	InstallJob *state = job->state;

	state->is_refreshed = true;
	state->next_repository = 0;
	job->on_error = note_refresh_error;
	depot_refresh_begin(job, &state->repositories[0], NULL, note_refreshed);
}

static void
note_refreshed(DepotJob *job)
{
	InstallJob *state = job->state;

	state->next_repository++;
	if (state->next_repository < state->repository_count)
	{
		depot_refresh_begin(job, &state->repositories[state->next_repository], NULL, note_refreshed);
		return;
	}
	job->on_error = NULL;
	resolve(job);
}

/* What has not expired can still be used; whether the failure matters shows when the plan is made. */
static void
note_refresh_error(DepotJob *job, const DepotReport *report)
{
	InstallJob *state = job->state;
	const DepotRepositoryRow *row = &state->repositories[state->next_repository];
	RefreshFailure *failure;
	MemoryContext old_context;

	depot_job_stop_agents(job);
	depot_job_end_stagings(job);
	depot_job_unlock_repository(job);
	old_context = MemoryContextSwitchTo(job->context);
	failure = palloc(sizeof(RefreshFailure));
	failure->repository = pstrdup(row->name);
	failure->report = *report;
	state->refresh_failures = lappend(state->refresh_failures, failure);
	MemoryContextSwitchTo(old_context);
	if (state->repository_count > 1)
		depot_job_warn(job, report, "repository \"%s\"", row->name);
	note_refreshed(job);
}

/* ---- fetch ---- */

static const DepotRepositoryRow *
repository_of(const InstallJob *state, const char *name)
{
	for (int i = 0; i < state->repository_count; i++)
		if (strcmp(state->repositories[i].name, name) == 0)
			return &state->repositories[i];
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("repository \"%s\" does not exist", name)));
	pg_unreachable();
}

static void
fetch_next_package(DepotJob *job)
{
	InstallJob *state = job->state;

	while (state->next_item < state->plan->count &&
		   state->plan->items[state->next_item].action == DEPOT_PLAN_KEEP)
		state->next_item++;
	if (state->next_item == state->plan->count)
		record_and_activate(job);
	else
		adopt_or_fetch(job);
}

/* Files that are served already and named by no row are adopted, once they have been verified. */
static void
adopt_or_fetch(DepotJob *job)
{
	InstallJob *state = job->state;
	const DepotAvailableRow *build = state->plan->items[state->next_item].build;
	const DepotAppliedPackage *applied = depot_applied_find(build->manifest->package);
	DepotVerifyRequest request;

	if (applied == NULL || strcmp(applied->digest, build->sha256) != 0 ||
		strcmp(applied->manifest_sha256, build->manifest_sha256) != 0)
	{
		fetch_package(job);
		return;
	}
	request.package = build->manifest->package;
	request.manifest_sha256 = build->manifest_sha256;
	depot_verify_begin(job, &request, 1, fetch_package);
}

static void
fetch_package(DepotJob *job)
{
	InstallJob *state = job->state;
	const DepotAvailableRow *build = state->plan->items[state->next_item].build;
	const DepotAppliedPackage *applied = depot_applied_find(build->manifest->package);
	DepotPackageRequest request = {
		.repository = build->repository,
		.target = build->target,
		.sha256 = build->sha256,
		.size_bytes = build->size_bytes,
		.unpacked_bytes = (int64) depot_manifest_unpacked_bytes(build->manifest),
		.check_expiry = true
	};

	if (applied != NULL && strcmp(applied->digest, build->sha256) == 0 &&
		strcmp(applied->manifest_sha256, build->manifest_sha256) == 0)
	{
		int			problem_count;

		(void) depot_verify_rows(job, &problem_count);
		if (problem_count == 0)
		{
			state->next_item++;
			fetch_next_package(job);
			return;
		}
	}
	depot_test_point("install_fetch");
	depot_package_begin(job, &request, repository_of(state, build->repository), note_package);
}

static void
note_package(DepotJob *job)
{
	InstallJob *state = job->state;
	InstalledItem *item = &state->items[state->next_item];
	const DepotAvailableRow *build = state->plan->items[state->next_item].build;

	item->staging = depot_job_staging(job);
	item->source = MemoryContextStrdup(job->context, depot_package_source(job));
	item->manifest = depot_applied_read_staged_manifest(item->staging->name, build->manifest->package);
	state->next_item++;
	fetch_next_package(job);
}

/* ---- record and activate ---- */

static void
prepare_items(InstallJob *state)
{
	for (int i = 0; i < state->plan->count; i++)
	{
		const DepotAvailableRow *build = state->plan->items[i].build;

		if (state->items[i].staging != NULL)
			depot_applied_prepare(state->items[i].manifest, state->items[i].staging->name, build->sha256,
								  build->manifest_sha256);
	}
}

/* Records every package of the plan and its history in one transaction. */
static void
record_items(DepotJob *job)
{
	InstallJob *state = job->state;

	depot_catalog_begin();
	depot_job_check_usable(job);
	depot_catalog_bump_generation();	/* also keeps others from changing the rows until the commit */
	if (depot_catalog_generation() != state->generation + 1)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), errmsg("the rows changed")));

	for (int i = 0; i < state->plan->count; i++)
	{
		const DepotPlanItem *item = &state->plan->items[i];
		DepotHistoryRow history = {
			.action = depot_plan_action_name(item->action),
			.role = job->role,
			.database = job->database,
			.started_at = job->started_at
		};

		if (item->action == DEPOT_PLAN_KEEP)
			continue;
		history.package = item->build->manifest->package;
		history.version = item->build->manifest->version;
		history.previous_version = item->installed != NULL ? item->installed->version : NULL;
		history.repository = item->build->repository;
		history.digest = item->build->sha256;
		history.size_bytes = item->build->size_bytes;
		history.source = state->items[i].source;
		depot_catalog_record_install(item->build, item->is_requested);
		depot_catalog_add_history(&history);
	}
	if (!depot_shmem_begin_commit(job->slot))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceled by its caller")));
	depot_test_point("record_before_commit");
	depot_catalog_commit();
	depot_test_point("record_after_commit");
}

/* Makes one recorded package served. false: *error says why; its staging is kept for the next reconcile. */
static bool
activate_item(InstallJob *state, int index, DepotError *error)
{
	const DepotAvailableRow *build = state->plan->items[index].build;
	InstalledItem *item = &state->items[index];
	bool		is_resumed;

	if (item->staging == NULL)
		return true;
	if (depot_applied_activate(item->staging->name, item->manifest, build->sha256, build->manifest_sha256,
							   &is_resumed, error))
		return true;
	item->staging->is_kept = true;
	return false;
}

static void
record_and_activate(DepotJob *job)
{
	InstallJob *state = job->state;
	DepotError	error;
	DepotError	first_error = {.code = DEPOT_OK};
	int64		generation;

	depot_catalog_begin();
	generation = depot_catalog_generation();
	depot_catalog_commit();
	if (generation != state->generation)
	{
		depot_job_stop_agents(job);
		depot_job_end_stagings(job);
		resolve(job);
		return;
	}

	depot_shmem_set_phase(job->slot, DEPOT_PHASE_RECORDING, 0, 0);
	depot_test_point("record_begin");
	prepare_items(state);
	record_items(job);

	depot_shmem_set_phase(job->slot, DEPOT_PHASE_ACTIVATING, 0, 0);
	for (int i = 0; i < state->plan->count; i++)
		if (!activate_item(state, i, &error) && first_error.code == DEPOT_OK)
			first_error = error;
	if (first_error.code == DEPOT_OK)
	{
		answer(job);
		return;
	}

	depot_leader_retry_reconcile();
	ereport(ERROR,
			(errcode(ERRCODE_IO_ERROR),
			 errmsg("installation of \"%s\" is recorded, but not yet active here", state->request.name),
			 errdetail("%s.", first_error.message),
			 errhint("The leader tries again by itself; depot.installed_packages shows when it is active.")));
}

/* ---- answer ---- */

static void
notice_item(DepotJob *job, const DepotPlanItem *item, const InstalledItem *installed)
{
	const DepotManifest *manifest = item->build != NULL ? item->build->manifest : item->installed->manifest;
	long		seconds;
	int			microseconds;

	if (item->action == DEPOT_PLAN_KEEP)
	{
		if (item->is_requested)
			depot_job_notice(job, "package \"%s\" %s is already installed", manifest->package, manifest->version);
		return;
	}
	TimestampDifference(job->started_at, GetCurrentTimestamp(), &seconds, &microseconds);
	depot_job_notice(job, "%s package \"%s\" %s (%lld kB) from %s in %ld ms",
					 item->action == DEPOT_PLAN_UPDATE ? "updated" : "installed",
					 manifest->package, manifest->version,
					 (long long) ((item->build->size_bytes + 1023) / 1024),
					 installed->source != NULL ? installed->source : "files that were already here",
					 seconds * 1000 + microseconds / 1000);
}

static void
append_item(StringInfo rows, const DepotPlanItem *item)
{
	const DepotManifest *manifest = item->build != NULL ? item->build->manifest : item->installed->manifest;

	appendStringInfoString(rows, rows->len > 0 ? ",{\"package\":" : "{\"package\":");
	escape_json(rows, manifest->package);
	appendStringInfoString(rows, ",\"version\":");
	escape_json(rows, manifest->version);
	appendStringInfo(rows, ",\"action\":\"%s\",\"size_bytes\":" INT64_FORMAT ",\"restart_required\":%s,\"repository\":",
					 depot_plan_action_name(item->action),
					 item->build != NULL ? item->build->size_bytes : item->installed->size_bytes,
					 item->action != DEPOT_PLAN_KEEP && depot_plan_needs_restart(manifest) ? "true" : "false");
	escape_json(rows, item->build != NULL ? item->build->repository : item->installed->repository);
	appendStringInfoChar(rows, '}');
}

static void
answer(DepotJob *job)
{
	InstallJob *state = job->state;
	StringInfoData rows;

	initStringInfo(&rows);
	if (state->plan->is_system)
		depot_job_notice(job, "extension \"%s\" %s is provided by the server installation; nothing to install",
						 state->request.name, state->plan->system_version);
	for (int i = 0; i < state->plan->count; i++)
	{
		if (!state->is_dry_run)
			notice_item(job, &state->plan->items[i], &state->items[i]);
		append_item(&rows, &state->plan->items[i]);
	}
	depot_job_finish(job, rows.data);
}
