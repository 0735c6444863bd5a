/*-------------------------------------------------------------------------
 *
 * reconcile_remove.c
 *	  Removals that were recorded and not carried out.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/testpoint.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/reconcile_internal.h"
#include "server/shmem_use.h"

/* Looks for users of one package again because others begin to use it. */
#define REMOVAL_ROUNDS_MAX 10

static void remove_replayed(DepotJob *job, const DepotAppliedPackage *package);
static bool is_still_removed(const char *package);
static void remove_unused(DepotJob *job);
static void remove_files(ReconcileJob *state, const char *package);

/* Makes the report of what keeps the files of a removed package. */
static void
report_users(const char *package, const DepotUsers *users, const char *hint, DepotReport *report)
{
	DepotReport used;

	depot_users_to_report(users, &used);
	strlcpy(report->sqlstate, "55006", sizeof(report->sqlstate));
	snprintf(report->message, sizeof(report->message),
			 "files of package \"%s\" stay although its removal is recorded: %s", package, used.message);
	strlcpy(report->detail, used.detail, sizeof(report->detail));
	strlcpy(report->hint, hint, sizeof(report->hint));
}

/* Nothing used the package when its removal was recorded, but sessions may have found its files since. */
void
depot_reconcile_remove(DepotJob *job)
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
		depot_reconcile_verify(job);
		return;
	}
	if (++state->rounds > REMOVAL_ROUNDS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("what uses \"%s\" changed again and again while it was looked for", package->package),
				 errhint("The leader tries again by itself.")));
	if (RecoveryInProgress())
		remove_replayed(job, package);
	else
		depot_usage_begin(job, depot_applied_extensions(package), depot_applied_libraries(package), true,
						  remove_unused);
}

/*
 * On a standby a removal follows the row: whoever recorded it looked for users in all databases, and those have
 * been replayed to that point or further.  What the recording server cannot know is this server's own configuration: a
 * library that is to be preloaded must stay, or the server could not start again.
 */
static void
remove_replayed(DepotJob *job, const DepotAppliedPackage *package)
{
	ReconcileJob *state = job->state;
	const char *name = state->rows[state->next].package;
	DepotUsers	users;
	DepotReport report;
	bool		is_due;

	depot_usage_find_local(depot_applied_extensions(package), depot_applied_libraries(package), &users);
	if (users.count > 0)
	{
		report_users(name, &users, "Take it out of this server's configuration and reload that.", &report);
		depot_reconcile_note_trouble(state, -1, &report);
		state->next++;
		depot_reconcile_remove(job);
		return;
	}
	depot_catalog_begin();
	is_due = is_still_removed(name);
	depot_catalog_commit();

	/*
	 * From here on a CREATE EXTENSION waits: when this server has been promoted just now, somebody may call
	 * it.
	 */
	depot_applied_begin_move(name);
	if (is_due && RecoveryInProgress())
		remove_files(state, name);
	depot_shmem_end_moves();
	if (RecoveryInProgress() || !is_due)
		state->next++;
	depot_reconcile_remove(job);
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

		report_users(name, users, "Drop what uses it and call uninstall_extension again, or install it.", &report);
		depot_errors_raise_report(WARNING, &report);
		state->next++;
		depot_reconcile_remove(job);
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
	depot_reconcile_remove(job);
}

static void
remove_files(ReconcileJob *state, const char *package)
{
	DepotError	error;

	depot_test_point("reconcile_remove");
	if (depot_applied_deactivate(package, &error))
		ereport(LOG, (errmsg("pg_depot: removed the files of package \"%s\"", package)));
	else
		depot_reconcile_note_error(state, -1, &error);
}
