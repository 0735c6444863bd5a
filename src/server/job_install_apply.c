/*-------------------------------------------------------------------------
 *
 * job_install_apply.c
 *	  Job: install an extension or package and what it needs: doing it.
 *
 * Each package is fetched and checked into staging of its own; then, in one
 * go, everything that may fail is prepared, all packages are recorded in one
 * transaction, and their files are made served.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/testpoint.h"
#include "common/wait_for.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/evidence.h"
#include "server/job_install.h"
#include "server/paths.h"
#include "server/shmem_use.h"
#include "server/space.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static void adopt_or_fetch(DepotJob *job);
static void adopt_if_whole(DepotJob *job);
static void fetch_package(DepotJob *job);
static void note_package(DepotJob *job);
static void store_payloads(DepotJob *job);
static void note_stored(DepotJob *job);
static void record_and_activate(DepotJob *job);
static void cancel_items(DepotJob *job);

void
depot_install_apply(DepotJob *job)
{
	InstallJob *state = job->state;

	while (state->next_item < state->plan->count &&
		   (state->plan->items[state->next_item].build == NULL || state->items[state->next_item].staging != NULL))
		state->next_item++;
	if (state->next_item < state->plan->count)
		adopt_or_fetch(job);
	else
	{
		/* Nothing is left for them to do, and others may wait for theirs. */
		depot_agent_dismiss(job->check);
		job->check = NULL;
		depot_job_unlock_agents(job);
		state->next_item = 0;
		store_payloads(job);
	}
}

/* Before anything names them, what standbys take the packages from is written, one package after the other. */
static void
store_payloads(DepotJob *job)
{
	InstallJob *state = job->state;

	while (state->next_item < state->plan->count &&
		   (state->items[state->next_item].staging == NULL || state->items[state->next_item].is_stored))
		state->next_item++;
	if (state->next_item < state->plan->count)
	{
		const DepotAvailableRow *build = state->plan->items[state->next_item].build;

		depot_payload_store_begin(job, build->sha256, build->size_bytes,
								  state->items[state->next_item].staging->fd, false, note_stored);
	}
	else if (depot_install_has_removals(state))
		depot_install_look_for_use(job, record_and_activate);
	else
		depot_job_transact(job, record_and_activate);
}

static void
note_stored(DepotJob *job)
{
	InstallJob *state = job->state;

	state->items[state->next_item].is_stored = true;
	store_payloads(job);
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
		strcmp(applied->manifest_sha256, build->manifest_sha256) != 0 || !depot_evidence_is_kept(build))
	{
		fetch_package(job);
		return;
	}
	request.package = build->manifest->package;
	request.manifest_sha256 = build->manifest_sha256;
	depot_verify_begin(job, &request, 1, adopt_if_whole);
}

static void
adopt_if_whole(DepotJob *job)
{
	InstallJob *state = job->state;
	int			problem_count;

	(void) depot_verify_rows(job, &problem_count);
	if (problem_count > 0)
	{
		fetch_package(job);
		return;
	}
	state->next_item++;
	depot_install_apply(job);
}

static void
fetch_package(DepotJob *job)
{
	InstallJob *state = job->state;
	const DepotAvailableRow *build = state->plan->items[state->next_item].build;
	DepotPackageRequest request = {
		.repository = build->repository,
		.target = build->target,
		.sha256 = build->sha256,
		.manifest_sha256 = build->manifest_sha256,
		.size_bytes = build->size_bytes,
		.unpacked_bytes = (int64) depot_manifest_unpacked_bytes(build->manifest),
		.check_expiry = true
	};

	depot_test_point("install_fetch");
	depot_package_begin(job, &request, depot_install_repository(state, build->repository), note_package);
}

static void
note_package(DepotJob *job)
{
	InstallJob *state = job->state;
	InstalledItem *item = &state->items[state->next_item];
	const DepotAvailableRow *build = state->plan->items[state->next_item].build;

	item->staging = depot_job_staging(job);
	item->digest = MemoryContextStrdup(job->context, build->sha256);
	item->source = MemoryContextStrdup(job->context, depot_package_source(job));
	item->manifest = depot_applied_read_manifest(item->staging->name, build->manifest->package);
	depot_test_point("install_fetched");
	state->next_item++;
	depot_install_apply(job);
}

/* ---- record and activate ---- */

/* Everything that may fail comes before the commit; a failure leaves the tree as it was. */
static void
prepare_items(DepotJob *job)
{
	InstallJob *state = job->state;
	uint64		state_bytes = 0;
	int			count = 0;

	job->on_failure = cancel_items;
	job->on_blocked = cancel_items;
	for (int i = 0; i < state->plan->count; i++)
	{
		const DepotAvailableRow *build = state->plan->items[i].build;

		if (state->plan->items[i].action == DEPOT_PLAN_REMOVE)
			count++;
		if (state->items[i].staging == NULL)
			continue;
		depot_evidence_keep(state->items[i].staging, build->sha256);
		depot_applied_prepare(state->items[i].manifest, state->items[i].staging->name, build->sha256,
							  build->manifest_sha256);
		state->items[i].is_prepared = true;
		state_bytes += depot_store_state_bytes(depot_paths_layout(), state->items[i].manifest);
		count++;
	}
	depot_applied_reserve(count, state_bytes);
}

static void
cancel_items(DepotJob *job)
{
	InstallJob *state = job->state;

	job->on_failure = NULL;
	job->on_blocked = NULL;
	depot_shmem_end_moves();
	depot_applied_release();
	for (int i = 0; i < state->plan->count; i++)
	{
		if (state->items[i].is_prepared)
			depot_applied_cancel(state->items[i].manifest);
		state->items[i].is_prepared = false;
	}
}

/* An update is no reason to keep what was not asked for by name. */
static const char *
why_of(const DepotJob *job, const DepotPlanItem *item)
{
	const InstallJob *state = job->state;

	if (!item->is_requested)
		return "dependency";
	if (state->why != NULL)
		return state->why;
	if (job->origin != NULL)
		return "declared";
	return job->kind == DEPOT_REQUEST_UPDATE && item->installed != NULL ? item->installed->why : "requested";
}

/* Plans what follows from what was recorded. */
static void
request_more(const DepotJob *job)
{
	const InstallJob *state = job->state;

	depot_payload_request_tidy();
	/* Of files that were served already the package itself is not at hand. */
	for (int i = 0; i < state->plan->count; i++)
		if (state->plan->items[i].build != NULL && state->items[i].staging == NULL)
			depot_payload_request_supply();
	depot_platforms_request();
	if (job->origin == NULL)
		depot_declared_note_change();
}

/*
 * Records every package of the plan and its history in one transaction.  false: the rows have changed, or
 * somebody has begun to use what is removed.
 */
static bool
record_items(DepotJob *job)
{
	InstallJob *state = job->state;

	depot_catalog_begin();
	depot_job_check_may_change(job);
	if (depot_catalog_generation() != state->generation ||
		(depot_install_has_removals(state) && !depot_usage_lock(job)))
	{
		depot_catalog_commit();
		return false;
	}
	depot_catalog_bump_generation();	/* also keeps others from changing the rows until the commit */

	for (int i = 0; i < state->plan->count; i++)
	{
		const DepotPlanItem *item = &state->plan->items[i];
		DepotHistoryRow history = {
			.action = depot_plan_action_name(item->action),
			.role = job->role,
			.origin = job->origin,
			.database = job->database,
			.started_at = job->started_at
		};

		if (item->action == DEPOT_PLAN_KEEP)
			continue;
		if (item->action == DEPOT_PLAN_REMOVE)
		{
			history.package = item->installed->package;
			history.previous_version = item->installed->version;
			depot_catalog_record_removal(item->installed->package, item->installed->version);
			depot_catalog_add_history(&history);
			continue;
		}
		history.package = item->build->manifest->package;
		history.version = item->build->manifest->version;
		history.previous_version = item->installed != NULL ? item->installed->version : NULL;
		history.repository = item->build->repository;
		history.digest = item->build->sha256;
		history.size_bytes = item->build->size_bytes;
		history.source = state->items[i].source;
		depot_evidence_record(item->build, why_of(job, item));
		depot_catalog_add_history(&history);
	}
	depot_catalog_check_installed();
	if (!depot_shmem_begin_commit(job->slot))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceled by its caller")));
	depot_install_begin_removals(state);
	depot_test_point("record_before_commit");
	depot_catalog_commit();
	state->generation++;
	request_more(job);
	depot_test_point("record_after_commit");
	return true;
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

	depot_shmem_set_phase(job->slot, DEPOT_PHASE_RECORDING, 0, 0);
	depot_test_point("record_begin");
	depot_space_check(0);
	prepare_items(job);
	if (!record_items(job))
	{
		cancel_items(job);
		depot_job_transact(job, depot_install_resolve);
		return;
	}
	job->on_failure = NULL;
	job->on_blocked = NULL;

	depot_shmem_set_phase(job->slot, DEPOT_PHASE_ACTIVATING, 0, 0);
	if (!depot_install_remove(state, &error))
		first_error = error;
	depot_test_point("install_pruned");
	for (int i = 0; i < state->plan->count; i++)
	{
		if (!activate_item(state, i, &error) && first_error.code == DEPOT_OK)
			first_error = error;
		depot_test_point("install_activated");
	}
	depot_shmem_end_moves();
	depot_applied_release();
	if (first_error.code == DEPOT_OK)
	{
		depot_install_answer(job);
		return;
	}

	depot_job_retry_reconcile();
	depot_install_raise_inactive(state, first_error.message);
}

/* ---- answer ---- */

/* The answer's restart_required does not say what to do before the restart. */
static void
notice_preloads(DepotJob *job, const DepotManifest *manifest)
{
	for (int i = 0; i < manifest->module_count; i++)
		if (manifest->modules[i].preload == DEPOT_PRELOAD_SHARED)
			depot_job_notice(job, "package \"%s\" needs library \"%s\" in \"shared_preload_libraries\", and a restart",
							 manifest->package, manifest->modules[i].name);
}

static void
notice_item(DepotJob *job, const DepotPlanItem *item, const InstalledItem *installed)
{
	long		seconds;
	int			microseconds;

	if (item->action == DEPOT_PLAN_REMOVE)
	{
		depot_job_note_change(job, "removed package \"%s\" %s", item->installed->package, item->installed->version);
		return;
	}
	if (item->build == NULL)
	{
		if (item->is_requested && item->withdrawn != NULL)
			depot_job_notice(job, "package \"%s\" %s is already installed, but its publisher has withdrawn it: %s",
							 item->installed->package, item->installed->version, item->withdrawn->withdrawn_reason);
		else if (item->is_requested)
			depot_job_notice(job, "package \"%s\" %s is already installed", item->installed->package,
							 item->installed->version);
		return;
	}
	TimestampDifference(job->started_at, GetCurrentTimestamp(), &seconds, &microseconds);
	depot_job_note_change(job, "%s package \"%s\" %s (%lld kB) from %s in %ld ms",
						  item->action == DEPOT_PLAN_UPDATE ? "updated" : "installed",
						  item->build->manifest->package, item->build->manifest->version,
						  (long long) ((item->build->size_bytes + 1023) / 1024),
						  installed->source != NULL ? installed->source : "files that were already here",
						  seconds * 1000 + microseconds / 1000);
	notice_preloads(job, item->build->manifest);
}

static void
append_item(StringInfo rows, const DepotPlanItem *item)
{
	const DepotAvailableRow *build = item->build;
	const DepotInstalledRow *installed = item->installed;
	const char *repository = build != NULL ? build->repository : installed->repository;

	appendStringInfoString(rows, rows->len > 0 ? ",{\"package\":" : "{\"package\":");
	escape_json(rows, build != NULL ? build->manifest->package : installed->package);
	appendStringInfoString(rows, ",\"version\":");
	escape_json(rows, build != NULL ? build->manifest->version : installed->version);
	appendStringInfo(rows, ",\"action\":\"%s\",\"size_bytes\":" INT64_FORMAT ",\"restart_required\":%s,\"repository\":",
					 depot_plan_action_name(item->action), build != NULL ? build->size_bytes : installed->size_bytes,
					 build != NULL && depot_plan_needs_restart(build->manifest) ? "true" : "false");
	if (repository != NULL)
		escape_json(rows, repository);
	else
		appendStringInfoString(rows, "null");
	appendStringInfoChar(rows, '}');
}

static void
finish(DepotJob *job)
{
	depot_job_finish(job, ((InstallJob *) job->state)->rows);
}

void
depot_install_answer(DepotJob *job)
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
	state->rows = MemoryContextStrdup(job->context, rows.data);
	if (state->is_dry_run || state->plan->count == 0 || state->wait_for == DEPOT_WAIT_FOR_LOCAL)
		finish(job);
	else
		depot_wait_begin(job, state->wait_for, state->generation, state->request.name, finish);
}
