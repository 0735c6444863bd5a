/*-------------------------------------------------------------------------
 *
 * reconcile.c
 *	  Job: make the applied state equal the rows.
 *
 * Runs when the leader starts, on a standby whenever the rows have changed, and again after a pause when it could
 * not finish.  What a crash left in staging is used when it is complete; otherwise the package is
 * fetched again.  A file goes only because a row says removed, never because a row is absent
 * (promise 11): a dropped extension, another home database or an emptied table leave everything as it is.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/testpoint.h"
#include "server/applied.h"
#include "server/applied_report.h"
#include "server/catalog.h"
#include "server/evidence.h"
#include "server/paths.h"
#include "server/reconcile_internal.h"
#include "server/settings.h"
#include "utils/memutils.h"

/* What a dead leader left is removed once in a leader's life, before it takes requests: later others work there. */
static bool is_cleaned_up = false;

static void activate_staged(ReconcileJob *state);
static void note_verified(DepotJob *job);
static void fetch_missing(DepotJob *job);
static void note_restored(DepotJob *job);
static void note_unread(DepotJob *job, const DepotReport *report);
static void note_failure(DepotJob *job, const DepotReport *report);
static void go_on(DepotJob *job);
static void retry_later(DepotJob *job);
static void finish(DepotJob *job);

/* Once for each time that the extension is not there. */
static void
note_extension(bool exists)
{
	static bool is_said = false;

	if (!exists && !is_said)
		ereport(LOG,
				(errmsg("extension pg_depot does not exist in database \"%s\"; files that are installed stay",
						depot_settings_database)));
	is_said = !exists;
}

/* Whoever asks knows from the beginning what newer rows want and is not here yet. */
static void
report_change(const ReconcileJob *state)
{
	DepotAppliedReport last;

	depot_shmem_read_applied_report(&last);
	if (state->has_rows && (last.at == 0 || last.seen_generation != state->generation))
		depot_applied_report(state->rows, state->row_count, NULL, state->generation, NULL);
}

void
depot_reconcile_start(DepotJob *job)
{
	ReconcileJob *state = palloc0(sizeof(ReconcileJob));
	bool		exists;

	job->state = state;
	job->on_failure = retry_later;
	job->on_error = note_unread;
	if (depot_paths_inactive_reason() != NULL)
	{
		depot_job_finish(job, "");
		return;
	}
	depot_catalog_begin();
	depot_catalog_watch_again();
	exists = depot_catalog_exists();
	if (exists)
	{
		state->generation = depot_catalog_generation();
		state->row_count = depot_catalog_read_installed(&state->rows);
		state->repository_count = depot_catalog_read_repositories(NULL, &state->repositories);
	}
	depot_catalog_commit();
	state->is_resumed = palloc0(sizeof(bool) * (state->row_count + 1));
	state->is_damaged = palloc0(sizeof(bool) * (state->row_count + 1));
	state->reasons = palloc0(sizeof(char *) * (state->row_count + 1));
	state->has_rows = exists;
	note_extension(exists);

	activate_staged(state);
	report_change(state);
	if (!is_cleaned_up)
		depot_applied_clean_up();
	is_cleaned_up = true;
	job->on_error = note_failure;
	depot_reconcile_remove(job);
}

/* Whether replay was in the way: it ends queries that it would wait for, and may drop what is just being opened. */
static bool
is_recovery_conflict(const DepotReport *report)
{
	if (!RecoveryInProgress())
		return false;
	if (strcmp(report->sqlstate, "XX000") == 0 || strcmp(report->sqlstate, "42P01") == 0)
		return depot_catalog_look_for_changes();
	return strcmp(report->sqlstate, "40001") == 0 || strcmp(report->sqlstate, "40P01") == 0 ||
		strcmp(report->sqlstate, "57014") == 0;
}

void
depot_reconcile_note_trouble(ReconcileJob *state, int row, const DepotReport *report)
{
	if (is_recovery_conflict(report))
	{
		state->was_disturbed = true;
		return;
	}
	state->has_failed = true;
	state->failure = *report;
	if (row >= 0)
		state->reasons[row] = pstrdup(report->message);
	depot_errors_raise_report(WARNING, report);
}

void
depot_reconcile_note_error(ReconcileJob *state, int row, const DepotError *error)
{
	DepotReport report;

	depot_errors_to_report(error, &report);
	depot_reconcile_note_trouble(state, row, &report);
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
		if (row->is_removed || depot_applied_report_is_served(row))
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
			depot_reconcile_note_error(state, i, &error);
	}
}

/* ---- files that are not as they should be ---- */

/* Files of which some were renamed before a crash and some after it: all of them are compared once more. */
void
depot_reconcile_verify(DepotJob *job)
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
	depot_reconcile_verify(job);
}

/* The next row whose files are not here, or not as they should be; NULL when there is none. */
static const DepotInstalledRow *
next_missing(ReconcileJob *state)
{
	for (; state->next < state->row_count; state->next++)
	{
		const DepotInstalledRow *row = &state->rows[state->next];

		if (!row->is_removed && row->has_build &&
			(state->is_damaged[state->next] || !depot_applied_report_is_served(row)))
			return row;
	}
	return NULL;
}

/*
 * Whether newer rows have been replayed, with which the leader begins again: only what they name is worth
 * fetching.  What is known here to be damaged comes first.
 */
static bool
is_outdated(const ReconcileJob *state)
{
	if (!RecoveryInProgress() || !depot_catalog_has_changed())
		return false;
	for (int i = state->next; i < state->row_count; i++)
		if (state->is_damaged[i])
			return false;
	return true;
}

/* Fetches what the rows name and nothing here has, one package after the other. */
static void
fetch_missing(DepotJob *job)
{
	ReconcileJob *state = job->state;
	const DepotInstalledRow *row = next_missing(state);

	if (row == NULL || is_outdated(state))
	{
		finish(job);
		return;
	}

	if (!RecoveryInProgress())
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("files of package \"%s\" %s are missing or damaged", row->package, row->version),
				 errdetail("They are brought back from depot.payload, or else from repository \"%s\".",
						   row->repository)));
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

	depot_reconcile_note_trouble(state, state->next < state->row_count ? state->next : -1, report);
	if (state->phase != RECONCILE_VERIFYING)
		state->next++;
	else
	{
		/* What could not be verified counts as damaged. */
		state->is_resumed[state->next] = false;
		state->is_damaged[state->next] = true;
	}
	depot_job_resume(job, go_on);
}

static void
go_on(DepotJob *job)
{
	ReconcileJob *state = job->state;

	job->on_wake = NULL;
	state->rounds = 0;
	if (state->phase == RECONCILE_REMOVING)
		depot_reconcile_remove(job);
	else if (state->phase == RECONCILE_VERIFYING)
		depot_reconcile_verify(job);
	else
		fetch_missing(job);
}

/* The rows could not be read. */
static void
note_unread(DepotJob *job, const DepotReport *report)
{
	if (is_recovery_conflict(report))
	{
		depot_job_repeat_reconcile();
		depot_job_finish(job, "");
		return;
	}
	depot_applied_report_error(report);
	depot_job_fail(job, report);
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
	if (state->was_disturbed)
		depot_job_repeat_reconcile();
	if (state->has_rows)
		depot_applied_report(state->rows, state->row_count, state->reasons, state->generation,
							 state->has_failed ? &state->failure : NULL);
	/* What was served until now may have been what evidence was kept for. */
	if (!RecoveryInProgress())
		depot_payload_request_tidy();
	else if (!state->has_failed && !state->was_disturbed)
		depot_evidence_tidy(job);
	depot_job_finish(job, "");
}
