/*-------------------------------------------------------------------------
 *
 * op_restore.c
 *	  Operation: bring the files of a recorded build back.
 *
 * For what the rows name and this server does not serve, or not undamaged.
 * The build is fetched from its repository by the recorded digest; whether it is still on
 * offer, or its metadata fresh, is not asked.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/applied.h"
#include "server/catalog.h"
#include "server/job.h"
#include "utils/memutils.h"

typedef struct Restore
{
	const DepotInstalledRow *row;
	const DepotRepositoryRow *repository;
	DepotJobStep then;
}			Restore;

static void fetch(DepotJob *job);
static bool is_still_wanted(const DepotInstalledRow *row);
static void activate(DepotJob *job);

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

	if (restore->repository == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("repository \"%s\" does not exist", row->repository),
				 errhint("Add it again, or uninstall package \"%s\".", row->package)));

	/* Trusted metadata that is gone: the depot directory was lost, trust starts again at the recorded root. */
	if (!depot_refresh_has_metadata(row->repository))
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
		.check_expiry = false
	};

	depot_package_begin(job, &request, restore->repository, activate);
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

	if (is_still_wanted(row))
	{
		read_and_activate(row, depot_job_staging(job)->name);
		ereport(LOG, (errmsg("pg_depot: fetched and activated package \"%s\" %s", row->package, row->version)));
	}
	restore->then(job);
}
