/*-------------------------------------------------------------------------
 *
 * job_platforms.c
 *	  Job: builds of what is installed for servers of another platform.
 *
 * A standby may run on another architecture than the primary, which then is the only one that
 * can record a build for it.  The platforms are those that servers report (depot.node).  Of each
 * repository that something was installed from, the slice of such a platform is refreshed beside
 * the primary's own; the build of the same version is fetched, verified as it would be there, stored
 * in depot.payload and recorded.  What cannot be had is a WARNING, and is looked for again when the next package or
 * report comes, at a start or reload, and after a refresh.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/catalog.h"
#include "server/evidence.h"
#include "server/job.h"
#include "server/message.h"
#include "server/offers.h"
#include "server/paths.h"
#include "utils/memutils.h"

typedef struct PlatformsJob
{
	DepotLackingRow *rows;		/* by platform and repository */
	int			row_count;
	int			next;
	DepotRepositoryRow *repositories;
	int			repository_count;
	DepotRepositoryRow slice;	/* the repository of the present row as that platform sees it */
	DepotAvailableRow build;	/* of the present row */
	DepotManifest *manifest;	/* malloc'd */
} PlatformsJob;

static void look(DepotJob *job);
static void next_row(DepotJob *job);
static void fetch(DepotJob *job);
static void store(DepotJob *job);
static void record_when_stored(DepotJob *job);
static void record(DepotJob *job);
static void note_failure(DepotJob *job, const DepotReport *report);

static void
free_manifest(void *argument)
{
	depot_manifest_free(((PlatformsJob *) argument)->manifest);
}

void
depot_platforms_start(DepotJob *job)
{
	MemoryContextCallback *callback = MemoryContextAllocZero(job->context, sizeof(*callback));
	PlatformsJob *state = MemoryContextAllocZero(job->context, sizeof(PlatformsJob));

	callback->func = free_manifest;
	callback->arg = state;
	MemoryContextRegisterResetCallback(job->context, callback);
	job->state = state;
	depot_job_transact(job, look);
}

static void
look(DepotJob *job)
{
	PlatformsJob *state = job->state;

	depot_catalog_begin();
	if (depot_paths_inactive_reason() == NULL && depot_catalog_exists())
	{
		state->row_count = depot_catalog_read_lacking(&state->rows);
		state->repository_count = depot_catalog_read_repositories(NULL, &state->repositories);
	}
	depot_catalog_commit();
	job->on_error = note_failure;
	next_row(job);
}

/* ---- the slice of a repository ---- */

/* Its metadata is kept apart, under a name of its own, since it is refreshed at other times. */
static void
make_slice(DepotJob *job, const DepotLackingRow *row)
{
	PlatformsJob *state = job->state;
	const DepotRepositoryRow *repository = NULL;
	char	   *name = psprintf("%s.%s", row->repository, row->role);

	for (int i = 0; i < state->repository_count; i++)
	{
		if (strcmp(state->repositories[i].name, row->repository) == 0)
			repository = &state->repositories[i];
		if (strcmp(state->repositories[i].name, name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("a repository has the name \"%s\", under which metadata for \"%s\" would be kept", name,
							row->platform)));
	}
	if (repository == NULL || strlen(name) > DEPOT_NAME_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("repository \"%s\" does not exist, or its name is too long", row->repository)));
	state->slice = *repository;
	state->slice.name = name;
	state->slice.slice = row->role;
	state->slice.pinned_as = row->repository;
	state->slice.is_refreshed = false;
	state->slice.has_available = false;
}

static void
next_row(DepotJob *job)
{
	PlatformsJob *state = job->state;
	const DepotLackingRow *row = &state->rows[state->next];

	job->on_wake = NULL;
	if (state->next == state->row_count)
	{
		job->on_error = NULL;
		depot_job_finish(job, "");
		return;
	}
	make_slice(job, row);
	depot_refresh_begin(job, &state->slice, NULL, fetch);
}

/* ---- the build ---- */

static const DepotOfferRow *
find_offer(const DepotOffers *offers, const DepotLackingRow *row)
{
	for (int i = 0; i < offers->count; i++)
		if (strcmp(offers->rows[i].package, row->package) == 0 && strcmp(offers->rows[i].version, row->version) == 0)
			return &offers->rows[i];
	return NULL;
}

/* Keeps what the slice says of the build, as what is available would be. */
static void
keep_offer(PlatformsJob *state, const DepotLackingRow *row, const DepotOfferRow *offer)
{
	DepotError	error;

	depot_manifest_free(state->manifest);
	state->manifest = depot_message_manifest(offer->custom, offer->target, state->build.manifest_sha256, &error);
	if (state->manifest == NULL)
		depot_job_raise(&error);
	state->build.repository = row->repository;
	state->build.target = pstrdup(offer->target);
	state->build.sha256 = pstrdup(offer->sha256);
	state->build.size_bytes = offer->size_bytes;
	state->build.custom = pstrdup(offer->custom);
	state->build.manifest = state->manifest;
}

static void
fetch(DepotJob *job)
{
	PlatformsJob *state = job->state;
	const DepotLackingRow *row = &state->rows[state->next];
	DepotOffers *offers = depot_refresh_offers(job);
	const DepotOfferRow *offer = find_offer(offers, row);
	DepotPackageRequest request;

	if (offer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("repository \"%s\" has no build of this version for \"%s\"", row->repository, row->role)));
	keep_offer(state, row, offer);
	depot_offers_forget(offers);
	request = (DepotPackageRequest)
	{
		.repository = state->slice.name,
			.target = state->build.target,
			.sha256 = state->build.sha256,
			.manifest_sha256 = state->build.manifest_sha256,
			.size_bytes = state->build.size_bytes,
			.unpacked_bytes = (int64) depot_manifest_unpacked_bytes(state->manifest),
			.check_expiry = true
	};
	depot_package_begin(job, &request, &state->slice, store);
}

static void
store(DepotJob *job)
{
	PlatformsJob *state = job->state;

	depot_payload_store_begin(job, state->build.sha256, state->build.size_bytes, depot_job_staging(job)->fd, false,
							  record_when_stored);
}

static void
record_when_stored(DepotJob *job)
{
	depot_job_transact(job, record);
}

/* Unless the package was updated or removed meanwhile: then the next look knows. */
static void
record(DepotJob *job)
{
	PlatformsJob *state = job->state;
	const DepotLackingRow *row = &state->rows[state->next];
	bool		is_recorded;

	depot_evidence_keep(depot_job_staging(job), state->build.sha256);
	depot_catalog_begin();
	depot_job_check_may_change(job);
	depot_catalog_bump_generation();
	is_recorded = depot_evidence_record_other(&state->build, row->platform);
	depot_catalog_commit();
	if (is_recorded)
		ereport(LOG,
				(errmsg("pg_depot: recorded a build of package \"%s\" %s for %s", row->package, row->version,
						row->platform)));
	state->next++;
	depot_job_resume(job, next_row);
}

static void
note_failure(DepotJob *job, const DepotReport *report)
{
	PlatformsJob *state = job->state;
	const DepotLackingRow *row = &state->rows[state->next++];

	ereport(WARNING,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("servers on %s have no build of package \"%s\" %s", row->platform, row->package, row->version),
			 errdetail("%s", report->message),
			 errhint("They work without it until repository \"%s\" has one.", row->repository)));
	depot_job_resume(job, next_row);
}
