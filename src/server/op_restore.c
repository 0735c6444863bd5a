/*-------------------------------------------------------------------------
 *
 * op_restore.c
 *	  Operation: bring the files of a recorded build back.
 *
 * For what the rows name and this server does not serve, or not undamaged.
 * The build comes from depot.payload or, where that does not have it or not undamaged, from its
 * repository by the recorded digest; whether it is still on offer, or its metadata fresh, is not asked.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/evidence.h"
#include "server/job.h"
#include "utils/memutils.h"

typedef struct Restore
{
	const DepotInstalledRow *row;
	const DepotRepositoryRow *repository;	/* NULL: it was dropped */
	DepotJobStep then;
	bool		has_payload;	/* depot.payload has something under its digest */
	bool		is_from_payload;
	DepotReport report;			/* why that cannot be used */
	void		(*on_error) (DepotJob *job, const DepotReport *report); /* of the job, meanwhile */
} Restore;

static void look_for_payload(DepotJob *job);
static void note_payload_error(DepotJob *job, const DepotReport *report);
static void give_up_payload(DepotJob *job);
static void ask_repository(DepotJob *job);
static void fetch(DepotJob *job);
static bool is_still_wanted(const DepotInstalledRow *row);
static void activate(DepotJob *job);
static void end(DepotJob *job);

void
depot_restore_begin(DepotJob *job, const DepotInstalledRow *row, const DepotRepositoryRow *repositories,
					int repository_count, DepotJobStep then)
{
	Restore    *restore = MemoryContextAllocZero(job->context, sizeof(Restore));

	restore->row = row;
	restore->then = then;
	for (int i = 0; i < repository_count; i++)
		if (strcmp(repositories[i].name, row->repository) == 0)
			restore->repository = &repositories[i];
	job->restore = restore;

	depot_job_transact(job, look_for_payload);
}

/*
 * A repository that was dropped: the root of it that this server trusts, or that the configuration pins, still
 * tells what its packages are.
 */
static const DepotRepositoryRow *
dropped_repository(const char *name)
{
	DepotRepositoryRow *row = palloc0(sizeof(DepotRepositoryRow));

	row->name = name;
	row->url = "";
	return row;
}

/* What the cluster has itself needs no network; the same check decides about it. */
static void
look_for_payload(DepotJob *job)
{
	Restore    *restore = job->restore;

	depot_catalog_begin();
	restore->has_payload = depot_catalog_exists() && depot_catalog_count_payload(restore->row->digest) > 0;
	depot_catalog_commit();
	if (!restore->has_payload)
	{
		ask_repository(job);
		return;
	}
	restore->is_from_payload = true;
	restore->on_error = job->on_error;
	job->on_error = note_payload_error;
	fetch(job);
}

/* Whether it is the package that did not pass, rather than something that has nothing to do with it. */
static bool
is_about_package(const DepotReport *report)
{
	return strncmp(report->sqlstate, "PD", 2) == 0;
}

/* Rows that somebody has damaged are no reason to be without the package. */
static void
note_payload_error(DepotJob *job, const DepotReport *report)
{
	Restore    *restore = job->restore;

	job->on_error = restore->on_error;
	if (!is_about_package(report) || depot_package_is_unproved(job))
	{
		if (job->on_error == NULL)
			depot_job_fail(job, report);
		else
			job->on_error(job, report);
		return;
	}
	restore->report = *report;
	restore->is_from_payload = false;
	depot_job_resume(job, give_up_payload);
}

static void
give_up_payload(DepotJob *job)
{
	Restore    *restore = job->restore;
	const DepotInstalledRow *row = restore->row;
	DepotReport warning = restore->report;

	/* Of a package that is wanted no more, the payload goes while it is read. */
	if (!is_still_wanted(row))
	{
		end(job);
		return;
	}
	snprintf(warning.message, sizeof(warning.message), "payload %s of package \"%s\" cannot be used: %s", row->digest,
			 row->package, restore->report.message);
	snprintf(warning.hint, sizeof(warning.hint), "Repository \"%s\" is asked for it instead.", row->repository);
	depot_errors_raise_report(WARNING, &warning);
	ask_repository(job);
}

static void
ask_repository(DepotJob *job)
{
	Restore    *restore = job->restore;

	job->on_wake = NULL;
	if (restore->repository == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("repository \"%s\" does not exist", restore->row->repository),
				 errhint("Add it again, or uninstall package \"%s\".", restore->row->package)));

	/*
	 * Neither evidence nor trusted metadata: the depot directory was lost, trust starts again at the
	 * recorded root.
	 */
	if (!restore->row->has_evidence && !depot_refresh_has_metadata(restore->row->repository))
		depot_refresh_begin(job, restore->repository, NULL, fetch);
	else
		fetch(job);
}

static void
fetch(DepotJob *job)
{
	Restore    *restore = job->restore;
	const DepotInstalledRow *row = restore->row;
	DepotPackageRequest request = {
		.repository = row->repository,
		.target = row->target,
		.sha256 = row->digest,
		.manifest_sha256 = row->manifest_sha256,
		.size_bytes = row->size_bytes,
		.unpacked_bytes = row->unpacked_bytes,
		.check_expiry = false,
		.is_payload = restore->is_from_payload,
		.evidence_of = row->package
	};

	depot_package_begin(job, &request,
						restore->repository != NULL ? restore->repository : dropped_repository(row->repository),
						activate);
}

/* The rows may have changed while the package was on its way: what they say now counts. */
static bool
is_still_wanted(const DepotInstalledRow *row)
{
	DepotInstalledRow *rows;
	int			count;
	bool		is_wanted = false;

	depot_catalog_begin();
	count = depot_catalog_exists() ? depot_catalog_read_installed(&rows) : 0;
	depot_catalog_commit();
	for (int i = 0; i < count; i++)
		is_wanted |= !rows[i].is_removed && rows[i].has_build && strcmp(rows[i].package, row->package) == 0 &&
			strcmp(rows[i].digest, row->digest) == 0;
	return is_wanted;
}

/* Makes the staged files served, or raises why not. */
static void
activate_staged(const DepotInstalledRow *row, const char *staging, const DepotManifest *manifest)
{
	DepotError	error;
	bool		is_resumed;

	depot_applied_prepare(manifest, staging, row->digest, row->manifest_sha256);
	if (!depot_applied_activate(staging, manifest, row->digest, row->manifest_sha256, &is_resumed, &error))
		depot_job_raise(&error);
}

/* The same with the manifest read first; it is malloc'd and goes whatever happens. */
static void
read_and_activate(const DepotInstalledRow *row, const char *staging)
{
	DepotManifest *manifest = depot_applied_read_manifest(staging, row->package);

	PG_TRY();
	{
		activate_staged(row, staging, manifest);
	}
	PG_FINALLY();
	{
		depot_manifest_free(manifest);
	}
	PG_END_TRY();
}

static void
activate(DepotJob *job)
{
	Restore    *restore = job->restore;
	const DepotInstalledRow *row = restore->row;

	if (restore->is_from_payload)
		job->on_error = restore->on_error;
	if (!is_still_wanted(row))
	{
		end(job);
		return;
	}
	depot_evidence_keep(depot_job_staging(job), row->digest);
	read_and_activate(row, depot_job_staging(job)->name);
	ereport(LOG, (errmsg("pg_depot: %s and activated package \"%s\" %s",
						 restore->is_from_payload ? "took from depot.payload" : "fetched", row->package,
						 row->version)));
	depot_evidence_heal(row);
	/* What a standby would look for in vain is stored again. */
	if (!restore->is_from_payload && !RecoveryInProgress())
		depot_payload_store_begin(job, row->digest, row->size_bytes, depot_job_staging(job)->fd,
								  restore->has_payload, end);
	else
		end(job);
}

static void
end(DepotJob *job)
{
	job->on_wake = NULL;
	((Restore *) job->restore)->then(job);
}
