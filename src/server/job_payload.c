/*-------------------------------------------------------------------------
 *
 * job_payload.c
 *	  Job: remove payloads that no row names.
 *
 * They are left by an installation that failed or was killed, by an update and by a removal.
 * Runs on a primary, in transactions of a few rows.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/testpoint.h"
#include "server/catalog.h"
#include "server/job.h"
#include "utils/memutils.h"

/* As many rows in a transaction as are written in one. */
#define BATCH_ROWS 120

typedef struct TidyJob
{
	char		digest[65];		/* where the search goes on */
}			TidyJob;

static void remove_batch(DepotJob *job);

void
depot_payload_tidy_start(DepotJob *job)
{
	job->state = MemoryContextAllocZero(job->context, sizeof(TidyJob));
	job->is_eager = true;
	job->on_wake = remove_batch;
	depot_job_transact(job, remove_batch);
}

/* Looks anew each time: a row may have come that names it, or a job that is about to write such a row. */
static void
remove_batch(DepotJob *job)
{
	TidyJob    *state = job->state;
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
		depot_job_finish(job, "");
		return;
	}
	depot_test_point("payload_removed");
	if (removed < BATCH_ROWS)
		strlcpy(state->digest, digest, sizeof(state->digest));
	pfree(digest);
}
