/*-------------------------------------------------------------------------
 *
 * job_install.c
 *	  Job: install an extension or package and what it needs: what to do.
 *
 * Resolves the request by the rows, after refreshing stale repositories where
 * the answer may depend on them.  Carrying the plan out is job_install_apply.c;
 * when another job changed the rows meanwhile it comes back here for another round.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/name.h"
#include "common/version.h"
#include "common/wait_for.h"
#include "server/catalog.h"
#include "server/job_install.h"
#include "server/platform.h"
#include "server/settings.h"
#include "utils/memutils.h"

/* More rounds than this mean that others change the rows all the time. */
#define ROUNDS_MAX 5

static void read_request(DepotJob *job, InstallJob *state);
static bool make_plan(DepotJob *job, DepotError *error);
static void keep_fetched(InstallJob *state);
static void explain_unknown(InstallJob *state, DepotError *error);
static void answer_nothing(DepotJob *job, const DepotError *error);
static void note_requested(DepotJob *job);
static bool plan_changes_something(const DepotPlan *plan);
static bool lock_packages(DepotJob *job);
static void resolve_when_free(DepotJob *job);
static void raise_if_expired(const InstallJob *state);
static void refresh_stale(DepotJob *job);
static void note_refreshed(DepotJob *job);
static void note_refresh_error(DepotJob *job, const DepotReport *report);
static void free_state(void *state);

void
depot_install_start(DepotJob *job)
{
	read_request(job, depot_install_create_state(job));
	depot_install_resolve(job);
}

InstallJob *
depot_install_create_state(DepotJob *job)
{
	InstallJob *state = MemoryContextAllocZero(job->context, sizeof(InstallJob));
	MemoryContextCallback *callback = MemoryContextAllocZero(job->context, sizeof(*callback));

	callback->func = free_state;
	callback->arg = state;
	MemoryContextRegisterResetCallback(job->context, callback);
	job->state = state;
	return state;
}

static void
free_state(void *argument)
{
	InstallJob *state = argument;

	for (int i = 0; i < DEPOT_PLAN_MAX_ITEMS; i++)
		depot_manifest_free(state->items[i].manifest);
	depot_lockfile_free(&state->lock);
}

static void
read_request(DepotJob *job, InstallJob *state)
{
	DepotError	error;
	DepotMessage *argument = depot_message_parse(job->argument, strlen(job->argument), &error);
	const char *name;
	const char *version;
	const char *repository;
	const char *extension_version;
	const char *why;
	const char *wait_for;

	if (argument == NULL)
		depot_job_raise(&error);
	name = depot_message_string(argument, "extension");
	version = depot_message_string(argument, "version");
	repository = depot_message_string(argument, "repository");
	extension_version = depot_message_string(argument, "extension_version");
	why = depot_message_string(argument, "why");
	wait_for = depot_message_string(argument, "wait_for");
	if (wait_for == NULL || !depot_wait_for_parse(wait_for, &state->wait_for, &error))
		(void) depot_wait_for_parse(job->slot >= 0 ? depot_settings_wait_for : "local", &state->wait_for, &error);
	state->request.name = pstrdup(name != NULL ? name : "");
	state->request.constraint = version != NULL ? pstrdup(version) : NULL;
	state->request.repository = repository != NULL ? pstrdup(repository) : NULL;
	state->request.extension_version = extension_version != NULL ? pstrdup(extension_version) : NULL;
	state->request.is_update = job->kind == DEPOT_REQUEST_UPDATE;
	state->why = why != NULL ? pstrdup(why) : NULL;
	state->is_dry_run = depot_message_bool(argument, "dry_run");
	state->is_optional = depot_message_bool(argument, "optional");
	state->request.is_extension = state->is_optional;
	state->is_refreshed = job->origin != NULL;	/* for the whole list at once */
	depot_message_free(argument);

	if (!depot_name_check_extension(state->request.name, &error) ||
		!depot_version_constraint_check(state->request.constraint, &error) ||
		(state->request.repository != NULL &&
		 !depot_name_check_package(state->request.repository, "repository", &error)))
		depot_job_raise(&error);
}

/* ---- resolve ---- */

/* Whether the name is known, but no build of it does. */
static bool
is_not_to_be_had(const DepotError *error)
{
	return error->code == DEPOT_ERROR_UNKNOWN_VERSION || error->code == DEPOT_ERROR_WITHDRAWN;
}

/*
 * A request that what is installed satisfies needs no repository.  Otherwise
 * stale metadata is refreshed first, and all of it when a name or version is not found,
 * or when the question is whether there is something newer.
 */
void
depot_install_resolve(DepotJob *job)
{
	InstallJob *state = job->state;
	DepotError	error;
	bool		is_planned;
	bool		is_refresh_due;

	if (state->rounds >= ROUNDS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("what is installed changed again and again while \"%s\" was resolved", state->request.name),
				 errhint("The call can be repeated.")));

	/* Packages are taken all at once, so that two jobs never wait for each other. */
	depot_job_unlock_packages(job);
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_RESOLVING, 0, 0);
	is_planned = make_plan(job, &error);
	state->rounds++;
	if (is_planned && !plan_changes_something(state->plan) && !state->request.is_update)
	{
		if (!depot_install_waits_for_files(job))
			depot_job_transact(job, note_requested);
		return;
	}

	is_refresh_due = is_planned ? state->request.is_update :
		error.code == DEPOT_ERROR_UNKNOWN_EXTENSION || is_not_to_be_had(&error);
	for (int i = 0; i < state->repository_count; i++)
		is_refresh_due |= is_planned && depot_refresh_is_stale(&state->repositories[i]);
	if (!state->is_refreshed && state->repository_count > 0 && is_refresh_due)
	{
		refresh_stale(job);
		return;
	}
	if (!is_planned)
	{
		explain_unknown(state, &error);
		if (state->is_optional && (error.code == DEPOT_ERROR_UNKNOWN_EXTENSION || is_not_to_be_had(&error)))
		{
			answer_nothing(job, &error);
			return;
		}
		depot_job_raise(&error);
	}
	raise_if_expired(state);
	if (state->is_dry_run && depot_install_has_removals(state))
		depot_install_look_for_use(job, depot_install_answer);
	else if (state->is_dry_run)
		depot_install_answer(job);
	else if (!plan_changes_something(state->plan))
	{
		if (!depot_install_waits_for_files(job))
			depot_install_answer(job);
	}
	else if (lock_packages(job))
		depot_install_apply(job);
	else
		job->on_wake = resolve_when_free;
}

/* Another job installs one of the packages: when it is done, there may be nothing left to do. */
static bool
lock_packages(DepotJob *job)
{
	const DepotPlan *plan = ((InstallJob *) job->state)->plan;
	const char *packages[DEPOT_PLAN_MAX_ITEMS];
	int			count = 0;

	for (int i = 0; i < plan->count; i++)
		if (plan->items[i].build != NULL)
			packages[count++] = plan->items[i].build->manifest->package;
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_WAITING, 0, 0);
	return depot_job_lock_packages(job, packages, count);
}

static void
resolve_when_free(DepotJob *job)
{
	InstallJob *state = job->state;

	if (!lock_packages(job))
		return;
	depot_job_unlock_packages(job);
	job->on_wake = NULL;
	state->rounds--;
	depot_install_resolve(job);
}

/* A name that somebody lists, and still nothing comes of it, deserves the reason. */
static void
answer_nothing(DepotJob *job, const DepotError *error)
{
	InstallJob *state = job->state;
	DepotReport report;

	if (error->detail[0] != '\0')
	{
		depot_errors_to_report(error, &report);
		depot_job_warn(job, &report, "extension \"%s\"", state->request.name);
	}
	depot_job_finish(job, "");
}

/* A package cannot come from a repository whose metadata has expired and could not be refreshed. */
static void
raise_if_expired(const InstallJob *state)
{
	ListCell   *cell;

	foreach(cell, state->refresh_failures)
	{
		const RefreshFailure *failure = lfirst(cell);
		const DepotRepositoryRow *row = depot_install_repository(state, failure->repository);

		for (int i = 0; i < state->plan->count; i++)
			if (state->plan->items[i].build != NULL && (row->is_expired || !row->is_refreshed) &&
				strcmp(state->plan->items[i].build->repository, row->name) == 0)
				depot_errors_raise_report(ERROR, &failure->report);
	}
}

static int
read_available(const InstallJob *state, DepotAvailableRow **available)
{
	const char *name = state->request.name;
	const char **digests;

	if (!state->is_lock)
		return depot_catalog_read_available(&name, 1, available);
	digests = palloc(sizeof(char *) * (state->lock.count + 1));
	for (int i = 0; i < state->lock.count; i++)
		digests[i] = state->lock.entries[i].sha256;
	return depot_catalog_read_available_digests(digests, state->lock.count, available);
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

	if (state->round_context != NULL)
		MemoryContextDelete(state->round_context);
	state->round_context = AllocSetContextCreate(job->context, "pg_depot plan", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(state->round_context);

	depot_catalog_begin();
	depot_job_check_usable(job);
	state->generation = depot_catalog_generation();
	state->repository_count = depot_catalog_read_repositories(NULL, &state->repositories);
	if (state->request.repository != NULL)
		(void) depot_install_repository(state, state->request.repository);
	input = (DepotPlanInput)
	{
		.available_count = read_available(state, &available),
			.installed_count = depot_catalog_read_installed(&installed),
			.server_minor = depot_platform_minor(),
			.libc_version = depot_platform_libc_version(),
			.system_extension = depot_platform_system_extension
	};
	depot_catalog_commit();
	input.available = available;
	input.installed = installed;

	state->plan = palloc(sizeof(DepotPlan));
	is_planned = state->is_lock ?
		depot_plan_lock(&input, &state->lock, state->is_pruning, state->plan, error) :
		depot_plan_install(&input, &state->request, state->plan, error);
	state->next_item = 0;
	keep_fetched(state);
	MemoryContextSwitchTo(old_context);
	return is_planned;
}

/* What an earlier round has fetched and checked, and this one wants as well, need not be fetched again. */
static void
keep_fetched(InstallJob *state)
{
	InstalledItem *fetched = palloc(sizeof(state->items));

	memcpy(fetched, state->items, sizeof(state->items));
	memset(state->items, 0, sizeof(state->items));
	for (int i = 0; i < DEPOT_PLAN_MAX_ITEMS; i++)
	{
		bool		is_kept = false;

		/* Stagings may have ended since. */
		if (fetched[i].staging == NULL || !fetched[i].staging->has_package)
		{
			depot_manifest_free(fetched[i].manifest);
			continue;
		}
		for (int j = 0; j < state->plan->count && !is_kept; j++)
		{
			const DepotAvailableRow *build = state->plan->items[j].build;

			is_kept = build != NULL && strcmp(build->sha256, fetched[i].digest) == 0;
			if (is_kept)
				state->items[j] = fetched[i];
		}
		if (!is_kept)
			depot_manifest_free(fetched[i].manifest);
	}
}

/* What is there by the declared list, or because another package needs it, is from now on kept for its own sake. */
static void
note_requested(DepotJob *job)
{
	InstallJob *state = job->state;

	for (int i = 0; i < state->plan->count && !state->is_dry_run && job->origin == NULL; i++)
	{
		const DepotPlanItem *item = &state->plan->items[i];

		if (!item->is_requested || strcmp(item->installed->why, "requested") == 0)
			continue;
		depot_catalog_begin();
		depot_job_check_may_change(job);
		depot_catalog_note_requested(item->installed->package);
		depot_catalog_bump_generation();
		depot_catalog_commit();
		state->generation++;
	}
	depot_install_answer(job);
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
	bool		is_elsewhere = false;

	/* Whether a repository that failed lists the name cannot be told: its failure is the answer. */
	if (state->refresh_failures != NIL)
		depot_errors_raise_report(ERROR, &((RefreshFailure *) linitial(state->refresh_failures))->report);
	if (error->code != DEPOT_ERROR_UNKNOWN_EXTENSION || state->is_lock)
		return;
	if (state->repository_count == 0)
	{
		depot_error_hint(error, "There is no repository; add one with add_extension_repository.");
		return;
	}

	/* What is missing is something that the name asked for needs. */
	if (error->detail[0] != '\0')
		return;

	/* The server's own answer will do where a command of its own asked for what nobody lists. */
	if (state->request.repository != NULL)
		depot_error_detail(error, "Repository \"%s\" has no build of it for PostgreSQL %d on %s.",
						   state->request.repository, PG_MAJORVERSION_NUM, depot_platform_name());
	else if (!state->is_optional)
		depot_error_detail(error, "No repository has a build of it for PostgreSQL %d on %s.", PG_MAJORVERSION_NUM,
						   depot_platform_name());
	depot_catalog_begin();
	count = depot_catalog_near_names(state->request.name, lengthof(names), names);
	depot_catalog_commit();
	initStringInfo(&list);
	for (int i = 0; i < count; i++)
	{
		if (strcmp(names[i], state->request.name) != 0)
			appendStringInfo(&list, "%s\"%s\"", list.len > 0 ? ", " : "", names[i]);
		else if (state->request.repository != NULL)
			is_elsewhere = true;
		else if (state->request.is_extension)
			depot_error_detail(error, "A package has this name, but no extension does.");
	}
	if (is_elsewhere)
		depot_error_hint(error, "The view depot.packages lists which repository has it.");
	else if (list.len > 0)
		depot_error_hint(error, "Available by a name like it: %s.", list.data);
	else
		depot_error_hint(error, "The view depot.packages lists what is available.");
}

/* ---- refresh ---- */

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
	depot_job_transact(job, depot_install_resolve);
}

/* What has not expired can still be used; whether the failure matters shows when the plan is made. */
static void
note_refresh_error(DepotJob *job, const DepotReport *report)
{
	InstallJob *state = job->state;
	const DepotRepositoryRow *row = &state->repositories[state->next_repository];
	RefreshFailure *failure;
	MemoryContext old_context;

	depot_job_let_go(job);
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

const DepotRepositoryRow *
depot_install_repository(const InstallJob *state, const char *name)
{
	for (int i = 0; i < state->repository_count; i++)
		if (strcmp(state->repositories[i].name, name) == 0)
			return &state->repositories[i];
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("repository \"%s\" does not exist", name)));
	pg_unreachable();
}
