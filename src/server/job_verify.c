/*-------------------------------------------------------------------------
 *
 * job_verify.c
 *	  Job: compare every installed file with its package's manifest.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/applied.h"
#include "server/catalog.h"
#include "server/job.h"
#include "utils/builtins.h"
#include "utils/json.h"

typedef struct VerifyJob
{
	StringInfoData pending;		/* rows of packages that are recorded but not served */
	int			pending_count;
	int			package_count;
}			VerifyJob;

static void finish(DepotJob *job);

/* What rows name is checked against their digests; what no row names, against what state.json has. */
void
depot_verify_files_start(DepotJob *job)
{
	VerifyJob  *state = palloc0(sizeof(VerifyJob));
	const DepotState *applied = depot_applied_state();
	DepotVerifyRequest *requests;
	DepotInstalledRow *rows;
	int			row_count;

	initStringInfo(&state->pending);
	job->state = state;

	depot_catalog_begin();
	depot_job_check_usable(job);
	row_count = depot_catalog_read_installed(&rows);
	depot_catalog_commit();

	for (int i = 0; i < row_count; i++)
	{
		const DepotAppliedPackage *package = depot_applied_find(rows[i].package);

		if (rows[i].is_removed || !rows[i].has_build ||
			(package != NULL && strcmp(package->digest, rows[i].digest) == 0))
			continue;
		appendStringInfoString(&state->pending, state->pending.len > 0 ? ",{\"package\":" : "{\"package\":");
		escape_json(&state->pending, rows[i].package);
		appendStringInfoString(&state->pending, ",\"path\":null,\"problem\":\"recorded, but not served here\"}");
		state->pending_count++;
	}

	requests = palloc(sizeof(DepotVerifyRequest) * (applied->package_count + 1));
	for (int i = 0; i < applied->package_count; i++)
	{
		const DepotAppliedPackage *package = &applied->packages[i];

		requests[i].package = pstrdup(package->package);
		requests[i].manifest_sha256 = pstrdup(package->manifest_sha256);
		for (int j = 0; j < row_count; j++)
			if (!rows[j].is_removed && rows[j].has_build && strcmp(rows[j].package, package->package) == 0 &&
				strcmp(rows[j].digest, package->digest) == 0)
				requests[i].manifest_sha256 = pstrdup(rows[j].manifest_sha256);
	}
	state->package_count = applied->package_count;
	depot_verify_begin(job, requests, applied->package_count, finish);
}

static void
finish(DepotJob *job)
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
