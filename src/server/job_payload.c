/*-------------------------------------------------------------------------
 *
 * job_payload.c
 *	  Job: bring depot.payload and depot.evidence to what the rows name.
 *
 * Payloads that no row names are left by an installation that failed or was killed, by an
 * update and by a removal: they go, in transactions of a few rows.  Installed packages without
 * a payload, because depot.replicate_payloads was off or somebody removed it, are fetched again: of the
 * served files the package cannot be made.  Runs on a primary.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/testpoint.h"
#include "server/catalog.h"
#include "server/evidence.h"
#include "server/job.h"
#include "server/paths.h"
#include "server/settings.h"
#include "utils/memutils.h"

/* As many rows in a transaction as are written in one. */
#define BATCH_ROWS 120

typedef struct PayloadJob
{
	char		digest[65];		/* where the search for what no row names goes on */
	DepotInstalledRow *rows;	/* of what lacks a payload */
	int			row_count;
	int			next;
	DepotRepositoryRow *repositories;
	int			repository_count;
	bool		is_stored;		/* something was */
} PayloadJob;

static bool is_supply_due = false;

static void remove_batch(DepotJob *job);
static void remove_evidence(DepotJob *job);
static void look_for_lacking(DepotJob *job);
static void supply_next(DepotJob *job);
static void store(DepotJob *job);
static void note_stored(DepotJob *job);
static void note_failure(DepotJob *job, const DepotReport *report);
static void announce(DepotJob *job);
static void keep_supply_due(DepotJob *job);

void
depot_payload_request_supply(void)
{
	is_supply_due = true;
	depot_payload_request_tidy();
}

void
depot_payload_tidy_start(DepotJob *job)
{
	job->state = MemoryContextAllocZero(job->context, sizeof(PayloadJob));
	job->on_failure = keep_supply_due;
	job->is_eager = true;
	job->on_wake = remove_batch;
	depot_job_transact(job, remove_batch);
}

/* Of what was not come to yet. */
static void
keep_supply_due(DepotJob *job)
{
	const PayloadJob *state = job->state;

	is_supply_due |= state->next < state->row_count;
}

/* ---- what no row names ---- */

/* Looks anew each time: a row may have come that names it, or a job that is about to write such a row. */
static void
remove_batch(DepotJob *job)
{
	PayloadJob *state = job->state;
	char	   *digest = NULL;
	int			removed = 0;

	depot_catalog_begin();
	if (depot_catalog_exists())
		digest = depot_catalog_unnamed_payload(state->digest);
	if (digest != NULL && !depot_job_is_payload_held(digest))
		removed = depot_catalog_remove_payload(digest, BATCH_ROWS);
	depot_catalog_commit_unflushed();
	if (digest == NULL)
	{
		job->is_eager = false;
		job->on_wake = NULL;
		depot_job_transact(job, remove_evidence);
		return;
	}
	depot_test_point("payload_removed");
	if (removed < BATCH_ROWS)
		strlcpy(state->digest, digest, sizeof(state->digest));
	pfree(digest);
}

static void
remove_evidence(DepotJob *job)
{
	depot_evidence_tidy(job);
	depot_job_transact(job, look_for_lacking);
}

/* ---- what rows name and is not there ---- */

static bool
is_lacking(const DepotInstalledRow *row)
{
	return !row->is_removed && row->has_build &&
		depot_catalog_count_payload(row->digest) != DEPOT_PAYLOAD_CHUNKS(row->size_bytes);
}

static void
look_for_lacking(DepotJob *job)
{
	PayloadJob *state = job->state;
	int			count;

	if (!is_supply_due || !depot_settings_replicate_payloads || depot_paths_inactive_reason() != NULL)
	{
		depot_job_finish(job, "");
		return;
	}
	state->row_count = 0;
	depot_catalog_begin();
	count = depot_catalog_exists() ? depot_catalog_read_installed(&state->rows) : 0;
	for (int i = 0; i < count; i++)
		if (is_lacking(&state->rows[i]))
			state->rows[state->row_count++] = state->rows[i];
	if (state->row_count > 0)
		state->repository_count = depot_catalog_read_repositories(NULL, &state->repositories);
	depot_catalog_commit();
	is_supply_due = false;
	job->on_error = note_failure;
	supply_next(job);
}

static void
supply_next(DepotJob *job)
{
	PayloadJob *state = job->state;
	const DepotInstalledRow *row = &state->rows[state->next];
	const DepotRepositoryRow *repository = NULL;
	DepotPackageRequest request;

	job->on_wake = NULL;
	if (state->next == state->row_count)
	{
		job->on_error = NULL;
		if (state->is_stored)
			depot_job_transact(job, announce);
		else
			depot_job_finish(job, "");
		return;
	}
	for (int i = 0; i < state->repository_count; i++)
		if (strcmp(state->repositories[i].name, row->repository) == 0)
			repository = &state->repositories[i];
	if (repository == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("repository \"%s\" does not exist", row->repository)));
	request = (DepotPackageRequest)
	{
		.repository = row->repository,
			.target = row->target,
			.sha256 = row->digest,
			.manifest_sha256 = row->manifest_sha256,
			.size_bytes = row->size_bytes,
			.unpacked_bytes = row->unpacked_bytes,
			.evidence_of = row->package
	};
	depot_package_begin(job, &request, repository, store);
}

static void
store(DepotJob *job)
{
	PayloadJob *state = job->state;
	const DepotInstalledRow *row = &state->rows[state->next];

	depot_payload_store_begin(job, row->digest, row->size_bytes, depot_job_staging(job)->fd, false, note_stored);
}

static void
note_stored(DepotJob *job)
{
	PayloadJob *state = job->state;
	const DepotInstalledRow *row = &state->rows[state->next++];

	ereport(LOG,
			(errmsg("pg_depot: stored package \"%s\" %s in depot.payload", row->package, row->version)));
	state->is_stored = true;
	depot_job_resume(job, supply_next);
}

/* Standbys that look for it after a pause look at once. */
static void
announce(DepotJob *job)
{
	depot_catalog_begin();
	depot_job_check_exists();
	depot_catalog_bump_generation();
	depot_catalog_commit();
	depot_job_finish(job, "");
}

/* What cannot be had now is looked for again at the next start, reload or refresh. */
static void
note_failure(DepotJob *job, const DepotReport *report)
{
	PayloadJob *state = job->state;
	const DepotInstalledRow *row = &state->rows[state->next++];

	ereport(WARNING,
			(errcode(ERRCODE_UNDEFINED_FILE),
			 errmsg("package \"%s\" %s could not be stored in depot.payload", row->package, row->version),
			 errdetail("%s", report->message),
			 errhint("A standby that lacks it asks repository \"%s\" itself.", row->repository)));
	depot_job_resume(job, supply_next);
}
