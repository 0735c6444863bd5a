/*-------------------------------------------------------------------------
 *
 * reconcile.c
 *	  Job: make the applied state equal the rows.
 *
 * Runs when the leader starts, and again after a pause when it could not
 * finish.  What a crash left in staging is used when it is complete; otherwise the package is
 * fetched again.  A file goes only because a row says removed, never because a row is absent
 * (promise 11): a dropped extension, another home database or an emptied table leave everything as it is.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/testpoint.h"
#include "miscadmin.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/paths.h"
#include "server/shmem_use.h"
#include "storage/latch.h"
#include "utils/memutils.h"

/* Looks for users of one package again because others begin to use it. */
#define REMOVAL_ROUNDS_MAX 10

typedef enum ReconcilePhase
{
	RECONCILE_REMOVING,
	RECONCILE_VERIFYING,
	RECONCILE_FETCHING
}			ReconcilePhase;

typedef struct ReconcileJob
{
	DepotInstalledRow *rows;
	int			row_count;
	int			next;
	DepotRepositoryRow *repositories;
	int			repository_count;
	bool	   *is_resumed;		/* per row: activated from what a crash left, to be verified */
	bool	   *is_damaged;		/* per row: served, but not as its manifest says */
	ReconcilePhase phase;		/* what next counts */
	int			rounds;			/* looks for users of the row to be removed */
	bool		has_failed;
}			ReconcileJob;

/* What a dead leader left is removed once in a leader's life, before it takes requests: later others work there. */
static bool is_cleaned_up = false;

static void activate_staged(ReconcileJob *state);
static void remove_next(DepotJob *job);
static void remove_unused(DepotJob *job);
static void remove_files(ReconcileJob *state, const char *package);
static void verify_resumed(DepotJob *job);
static void note_verified(DepotJob *job);
static void fetch_missing(DepotJob *job);
static void note_restored(DepotJob *job);
static void note_failure(DepotJob *job, const DepotReport *report);
static void go_on(DepotJob *job);
static void retry_later(DepotJob *job);
static void finish(DepotJob *job);

void
depot_reconcile_start(DepotJob *job)
{
	ReconcileJob *state = palloc0(sizeof(ReconcileJob));
	bool		exists;

	job->state = state;
	job->on_failure = retry_later;
	if (depot_paths_inactive_reason() != NULL)
	{
		depot_job_finish(job, "");
		return;
	}
	depot_catalog_begin();
	exists = depot_catalog_exists();
	if (exists)
	{
		state->row_count = depot_catalog_read_installed(&state->rows);
		state->repository_count = depot_catalog_read_repositories(NULL, &state->repositories);
	}
	depot_catalog_commit();
	state->is_resumed = palloc0(sizeof(bool) * (state->row_count + 1));
	state->is_damaged = palloc0(sizeof(bool) * (state->row_count + 1));

	activate_staged(state);
	if (!is_cleaned_up)
		depot_applied_clean_up();
	is_cleaned_up = true;
	job->on_error = note_failure;
	remove_next(job);
}

static bool
is_served(const DepotInstalledRow *row)
{
	const DepotAppliedPackage *package = depot_applied_find(row->package);

	return package != NULL && strcmp(package->digest, row->digest) == 0 && depot_applied_is_whole(package);
}

/* Carries out what was recorded and staged before a crash, or what failed after its commit. */
static void
activate_staged(ReconcileJob *state)
{
	for (int i = 0; i < state->row_count; i++)
	{
		const DepotInstalledRow *row = &state->rows[i];
		char		staging[DEPOT_JOB_NAME_BYTES];
		bool		is_found = false;
		DepotManifest *manifest;
		DepotError	error;
		bool		ok;

		if (!row->has_build)
			continue;
		if (!depot_store_find_staged(depot_applied_root_fd(), row->digest, staging, &is_found, &error))
			depot_errors_raise(WARNING, &error);
		if (!is_found)
			continue;
		if (row->is_removed || is_served(row))
		{
			/* Kept for this run, but others have come before it. */
			depot_store_end_job(depot_applied_root_fd(), staging, -1);
			continue;
		}

		depot_test_point("reconcile_activate");
		manifest = depot_applied_read_manifest(staging, row->package);
		ok = depot_applied_activate(staging, manifest, row->digest, row->manifest_sha256,
									&state->is_resumed[i], &error);
		depot_manifest_free(manifest);
		if (ok)
		{
			depot_store_end_job(depot_applied_root_fd(), staging, -1);
			ereport(LOG, (errmsg("pg_depot: activated package \"%s\" %s, which was recorded before",
								 row->package, row->version)));
		}
		else
		{
			state->has_failed = true;
			depot_errors_raise(WARNING, &error);
		}
	}
}

/* ---- removals that were recorded and not carried out ---- */

/* Nothing used the package when its removal was recorded, but sessions may have found its files since. */
static void
remove_next(DepotJob *job)
{
	ReconcileJob *state = job->state;
	const DepotAppliedPackage *package = NULL;

	for (; state->next < state->row_count; state->next++, state->rounds = 0)
	{
		package = state->rows[state->next].is_removed ? depot_applied_find(state->rows[state->next].package) : NULL;
		if (package != NULL)
			break;
	}
	if (package == NULL)
	{
		state->next = 0;
		state->phase = RECONCILE_VERIFYING;
		verify_resumed(job);
		return;
	}
	if (++state->rounds > REMOVAL_ROUNDS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("what uses \"%s\" changed again and again while it was looked for", package->package),
				 errhint("The leader tries again by itself.")));
	depot_usage_begin(job, depot_applied_extensions(package), depot_applied_libraries(package), true,
					  remove_unused);
}

/* Whether the row, which may have changed while it was looked for users, still says removed.  In a transaction. */
static bool
is_still_removed(const char *package)
{
	DepotInstalledRow *rows;
	int			count = depot_catalog_read_installed(&rows);

	for (int i = 0; i < count; i++)
		if (strcmp(rows[i].package, package) == 0)
			return rows[i].is_removed;
	return false;
}

static void
remove_unused(DepotJob *job)
{
	ReconcileJob *state = job->state;
	const char *name = state->rows[state->next].package;
	const DepotUsers *users = depot_usage_found(job);
	const DepotAppliedPackage *package = depot_applied_find(name);
	bool		is_due;
	bool		is_locked;

	/* Of a removal that got to the first file, the rest is of no use to anyone. */
	if (users->count > 0 && package != NULL && depot_applied_is_whole(package))
	{
		DepotReport report;

		depot_users_to_report(users, &report);
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("files of package \"%s\" stay although its removal is recorded: %s", name, report.message),
				 report.detail[0] != '\0' ? errdetail("%s", report.detail) : 0,
				 errhint("Drop what uses it and call uninstall_extension again, or install it.")));
		state->next++;
		remove_next(job);
		return;
	}

	depot_catalog_begin();
	is_due = is_still_removed(name);
	is_locked = is_due && depot_usage_lock(job);
	if (is_locked)
		depot_applied_begin_move(name);
	depot_catalog_commit();
	if (is_locked)
		remove_files(state, name);
	depot_shmem_end_moves();
	if (is_locked || !is_due)
		state->next++;
	remove_next(job);
}

static void
remove_files(ReconcileJob *state, const char *package)
{
	DepotError	error;

	depot_test_point("reconcile_remove");
	if (depot_applied_deactivate(package, &error))
		ereport(LOG, (errmsg("pg_depot: removed the files of package \"%s\"", package)));
	else
	{
		state->has_failed = true;
		depot_errors_raise(WARNING, &error);
	}
}

/* ---- files that are not as they should be ---- */

/* Files of which some were renamed before a crash and some after it: all of them are compared once more. */
static void
verify_resumed(DepotJob *job)
{
	ReconcileJob *state = job->state;
	DepotVerifyRequest request;

	while (state->next < state->row_count && !state->is_resumed[state->next])
		state->next++;
	if (state->next == state->row_count)
	{
		state->next = 0;
		state->phase = RECONCILE_FETCHING;
		fetch_missing(job);
		return;
	}
	request.package = state->rows[state->next].package;
	request.manifest_sha256 = state->rows[state->next].manifest_sha256;
	depot_verify_begin(job, &request, 1, note_verified);
}

static void
note_verified(DepotJob *job)
{
	ReconcileJob *state = job->state;
	int			problem_count;

	(void) depot_verify_rows(job, &problem_count);
	state->is_damaged[state->next] = problem_count > 0;
	state->is_resumed[state->next] = false;
	verify_resumed(job);
}

/* The next row whose files are not here, or not as they should be; NULL when there is none. */
static const DepotInstalledRow *
next_missing(ReconcileJob *state)
{
	for (; state->next < state->row_count; state->next++)
	{
		const DepotInstalledRow *row = &state->rows[state->next];

		if (!row->is_removed && row->has_build && (!is_served(row) || state->is_damaged[state->next]))
			return row;
	}
	return NULL;
}

/* Fetches what the rows name and nothing here has, one package after the other. */
static void
fetch_missing(DepotJob *job)
{
	ReconcileJob *state = job->state;
	const DepotInstalledRow *row = next_missing(state);

	if (row == NULL)
	{
		finish(job);
		return;
	}

	ereport(WARNING,
			(errcode(ERRCODE_UNDEFINED_FILE),
			 errmsg("files of package \"%s\" %s are missing or damaged", row->package, row->version),
			 errdetail("They are fetched again from repository \"%s\".", row->repository)));
	depot_restore_begin(job, row, state->repositories, state->repository_count, note_restored);
}

static void
note_restored(DepotJob *job)
{
	ReconcileJob *state = job->state;

	state->next++;
	fetch_missing(job);
}

/*
 * One package that cannot be had does not keep the others away; it is tried again later.  The
 * loop goes on with the next one, whose error then comes here, too.
 */
static void
note_failure(DepotJob *job, const DepotReport *report)
{
	ReconcileJob *state = job->state;

	depot_errors_raise_report(WARNING, report);
	depot_job_let_go(job);
	state->has_failed = true;
	if (state->phase != RECONCILE_VERIFYING)
		state->next++;
	else
	{
		/* What could not be verified counts as damaged. */
		state->is_resumed[state->next] = false;
		state->is_damaged[state->next] = true;
	}
	job->on_message = NULL;
	job->on_wake = go_on;
	SetLatch(MyLatch);
}

static void
go_on(DepotJob *job)
{
	ReconcileJob *state = job->state;

	job->on_wake = NULL;
	state->rounds = 0;
	if (state->phase == RECONCILE_REMOVING)
		remove_next(job);
	else if (state->phase == RECONCILE_VERIFYING)
		verify_resumed(job);
	else
		fetch_missing(job);
}

/* What could not even be read is not given up either: a lock on a table may be in the way. */
static void
retry_later(DepotJob *job)
{
	depot_job_retry_reconcile();
}

static void
finish(DepotJob *job)
{
	ReconcileJob *state = job->state;

	if (state->has_failed)
		depot_job_retry_reconcile();
	depot_job_finish(job, "");
}
