/*-------------------------------------------------------------------------
 *
 * job_verify.c
 *	  Job: compare every installed file with its package's manifest, and on
 *	  request bring damaged packages back.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/applied.h"
#include "server/catalog.h"
#include "server/job.h"
#include "utils/json.h"

typedef struct VerifyJob
{
	bool		is_repair;
	bool		is_repaired;	/* this is the look after the repair */
	DepotInstalledRow *rows;
	int			row_count;
	DepotRepositoryRow *repositories;
	int			repository_count;
	StringInfoData pending;		/* rows of packages that are not what is recorded, as a whole */
	int			pending_count;
	DepotVerifyRequest *requests;	/* one per served package */
	int			package_count;
	const DepotInstalledRow **damaged;	/* what can be brought back */
	int			damaged_count;
	int			next;
} VerifyJob;

static void look(DepotJob *job);
static void judge(DepotJob *job);
static void repair_next(DepotJob *job);
static void note_restored(DepotJob *job);
static void answer(DepotJob *job);

void
depot_verify_files_start(DepotJob *job)
{
	VerifyJob  *state = palloc0(sizeof(VerifyJob));
	DepotError	error;
	DepotMessage *argument = depot_message_parse(job->argument, strlen(job->argument), &error);

	if (argument == NULL)
		depot_job_raise(&error);
	state->is_repair = depot_message_bool(argument, "repair");
	depot_message_free(argument);
	initStringInfo(&state->pending);
	job->state = state;
	look(job);
}

static bool
is_recorded(const DepotInstalledRow *row)
{
	return !row->is_removed && row->has_build;
}

/* The row that package's served files belong to, or NULL: what no row names is checked all the same. */
static const DepotInstalledRow *
row_of(const VerifyJob *state, const char *package)
{
	for (int i = 0; i < state->row_count; i++)
		if (is_recorded(&state->rows[i]) && strcmp(state->rows[i].package, package) == 0)
			return &state->rows[i];
	return NULL;
}

/* Adds a problem of a whole package. */
static void
add_pending(VerifyJob *state, const char *package, const char *problem)
{
	appendStringInfoString(&state->pending, state->pending.len > 0 ? ",{\"package\":" : "{\"package\":");
	escape_json(&state->pending, package);
	appendStringInfo(&state->pending, ",\"path\":null,\"problem\":\"%s\"}", problem);
	state->pending_count++;
}

/* What rows name is checked against their digests; what no row names, against what state.json has. */
static void
look(DepotJob *job)
{
	VerifyJob  *state = job->state;
	const DepotState *applied = depot_applied_state();

	depot_catalog_begin();
	depot_job_check_usable(job);
	state->row_count = depot_catalog_read_installed(&state->rows);
	state->repository_count = depot_catalog_read_repositories(NULL, &state->repositories);
	depot_catalog_commit();

	state->damaged = palloc0(sizeof(DepotInstalledRow *) * (state->row_count + applied->package_count + 1));
	state->damaged_count = 0;
	state->pending_count = 0;
	resetStringInfo(&state->pending);
	for (int i = 0; i < state->row_count; i++)
	{
		const DepotInstalledRow *row = &state->rows[i];
		const DepotAppliedPackage *package = depot_applied_find(row->package);

		if (!is_recorded(row) || (package != NULL && strcmp(package->digest, row->digest) == 0))
			continue;
		add_pending(state, row->package, "recorded, but not served here");
		state->damaged[state->damaged_count++] = row;
	}

	state->requests = palloc(sizeof(DepotVerifyRequest) * (applied->package_count + 1));
	state->package_count = 0;
	for (int i = 0; i < applied->package_count; i++)
	{
		const DepotAppliedPackage *package = &applied->packages[i];
		const DepotInstalledRow *row = row_of(state, package->package);
		DepotVerifyRequest *request = &state->requests[state->package_count];

		/* Its files may be some of two versions, so there is no manifest to compare them with. */
		if (!package->is_complete)
		{
			if (row == NULL)
				add_pending(state, package->package, "removal not finished");
			continue;
		}
		request->package = pstrdup(package->package);
		request->manifest_sha256 = row != NULL && strcmp(row->digest, package->digest) == 0 ?
			row->manifest_sha256 : pstrdup(package->manifest_sha256);
		state->package_count++;
	}
	depot_verify_begin(job, state->requests, state->package_count, judge);
}

/* Answers, or begins to repair what a row names. */
static void
judge(DepotJob *job)
{
	VerifyJob  *state = job->state;

	for (int i = 0; i < state->package_count; i++)
	{
		const DepotInstalledRow *row = row_of(state, state->requests[i].package);

		if (depot_verify_is_damaged(job, i) && row != NULL &&
			strcmp(row->manifest_sha256, state->requests[i].manifest_sha256) == 0)
			state->damaged[state->damaged_count++] = row;
	}
	if (state->is_repair && !state->is_repaired && state->damaged_count > 0)
	{
		state->next = 0;
		repair_next(job);
	}
	else
		answer(job);
}

static void
repair_next(DepotJob *job)
{
	VerifyJob  *state = job->state;

	if (state->next < state->damaged_count)
	{
		depot_restore_begin(job, state->damaged[state->next], state->repositories, state->repository_count,
							note_restored);
		return;
	}
	state->is_repaired = true;
	look(job);
}

static void
note_restored(DepotJob *job)
{
	VerifyJob  *state = job->state;
	const DepotInstalledRow *row = state->damaged[state->next];

	depot_job_notice(job, "repaired package \"%s\" %s", row->package, row->version);
	state->next++;
	repair_next(job);
}

static void
answer(DepotJob *job)
{
	VerifyJob  *state = job->state;
	int			problem_count;
	const char *rows = depot_verify_rows(job, &problem_count);

	problem_count += state->pending_count;
	if (problem_count == 0)
		depot_job_notice(job, "all files of %d package%s are as their manifests say",
						 state->package_count, state->package_count == 1 ? "" : "s");
	depot_job_finish(job, psprintf("%s%s%s", rows, rows[0] != '\0' && state->pending.len > 0 ? "," : "",
								   state->pending.data));
}
