/*-------------------------------------------------------------------------
 *
 * views_health.c
 *	  What a server can say of its own health and conflicts, without tables
 *	  and without the leader.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "common/remedy.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "server/applied.h"
#include "server/compat.h"
#include "server/conflicts.h"
#include "server/errors.h"
#include "server/paths.h"
#include "server/settings.h"
#include "server/shmem.h"
#include "server/shmem_nodes.h"
#include "server/space.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

DEPOT_SQL_FUNCTION(depot_local_health);
DEPOT_SQL_FUNCTION(depot_local_conflicts);

/* Adds a row of the view depot.health; what_to_do NULL: nothing. */
static void
add_check(ReturnSetInfo *result, const char *name, const char *state, const char *value, const char *what_to_do)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(state);
	values[2] = CStringGetTextDatum(value);
	nulls[3] = what_to_do == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(what_to_do);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
check_leader(ReturnSetInfo *result)
{
	DepotReport report;

	if (depot_shmem_leader(NULL) != 0)
		add_check(result, "leader", "ok", "running", NULL);
	else if (depot_shmem_is_sent_away())
		add_check(result, "leader", "warning", "waits for a command on the home database",
				  "wait for that command to end");
	else
	{
		depot_shmem_leader_gone_report(&report);
		add_check(result, "leader", "critical", "not running",
				  psprintf("%s%s%s", report.detail, report.detail[0] != '\0' ? " " : "", report.hint));
	}
}

static void
check_directory(ReturnSetInfo *result)
{
	const char *reason = depot_paths_inactive_reason();

	add_check(result, "depot directory", reason == NULL ? "ok" : "critical",
			  reason == NULL ? "active" : "inactive", reason);
}

/* When the served tree was last made equal to the rows; hold is what keeps it as it is. */
static void
check_reconcile(ReturnSetInfo *result)
{
	TimestampTz at;
	int			failures = depot_shmem_last_reconcile(&at);

	if (at == 0)
		add_check(result, "reconcile", "warning", "not yet since the server started",
				  DEPOT_REMEDY_IF_IT_LASTS);
	else if (failures == 0)
		add_check(result, "reconcile", "ok", psprintf("done at %.19s", timestamptz_to_str(at)), NULL);
	else
		add_check(result, "reconcile", "warning",
				  psprintf("failed %d times in a row, last at %.19s", failures, timestamptz_to_str(at)),
				  DEPOT_REMEDY_IN_THE_LOG);
	if (depot_settings_hold)
		add_check(result, "hold", "warning", "nothing is changed on this server", DEPOT_REMEDY_HOLD);
	else
		add_check(result, "hold", "ok", "off", NULL);
}

/* On a standby that shall report: whether the primary takes its reports. */
static void
check_reports(ReturnSetInfo *result)
{
	char		error[DEPOT_ERROR_MESSAGE_BYTES];
	TimestampTz at;

	if (!RecoveryInProgress() || depot_settings_report_conninfo[0] == '\0')
		return;
	at = depot_shmem_last_reporting(error, sizeof(error));
	if (error[0] != '\0')
		add_check(result, "reports", "warning", error,
				  psprintf("see depot.report_conninfo, and depot.node_name, here \"%s\"; it is tried again",
						   depot_settings_node()));
	else if (at == 0)
		add_check(result, "reports", "ok", "none yet since the server started", NULL);
	else
		add_check(result, "reports", "ok", psprintf("taken by the primary at %.19s", timestamptz_to_str(at)), NULL);
}

static void
check_space(ReturnSetInfo *result, const char *name, const char *path)
{
	int64		free_mb = depot_space_free_bytes(path) / DEPOT_MEGABYTE;
	bool		is_enough = free_mb >= depot_settings_min_free_mb;

	add_check(result, name, is_enough ? "ok" : "warning", psprintf("%lld MB", (long long) free_mb),
			  is_enough ? NULL :
			  psprintf("make room, or lower depot.min_free_space (%d MB)", depot_settings_min_free_mb));
}

/* Whether every served file is there in its size: a look that costs no reading of contents. */
static void
check_files(ReturnSetInfo *result, const DepotState *state)
{
	int			root_fd = depot_paths_open_directory();
	int			file_count = 0;
	int			damaged_count = 0;
	const char *plural = state->package_count == 1 ? "" : "s";

	for (int i = 0; i < state->package_count; i++)
	{
		file_count += state->packages[i].file_count;
		if (!depot_store_is_whole(root_fd, &state->packages[i]))
			damaged_count++;
	}
	close(root_fd);
	if (damaged_count == 0)
		add_check(result, "served files", "ok",
				  psprintf("%d files of %d package%s", file_count, state->package_count, plural), NULL);
	else
		add_check(result, "served files", "critical",
				  psprintf("damaged in %d of %d package%s", damaged_count, state->package_count, plural),
				  RecoveryInProgress() ? "restart the server, which brings them back" :
				  "SELECT * FROM verify_extension_files(repair => true)");
}

static void
check_conflicts(ReturnSetInfo *result, const DepotState *state)
{
	int			count = depot_conflicts_find(state, NULL, NULL);

	if (count == 0)
		add_check(result, "conflicts", "ok", "none", NULL);
	else
		add_check(result, "conflicts", "warning", psprintf("%d with the server installation", count),
				  "SELECT * FROM depot.conflicts");
}

Datum
depot_local_health(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DepotState	state;
	DepotError	error;

	InitMaterializedSRF(fcinfo, 0);
	if (!depot_shmem_is_attached())
	{
		add_check(result, "library", "critical", "not loaded by the server",
				  "add pg_depot to shared_preload_libraries and restart the server");
		return (Datum) 0;
	}
	check_leader(result);
	check_directory(result);
	check_reconcile(result);
	check_reports(result);
	check_space(result, "free space for WAL", XLOGDIR);
	if (!depot_paths_is_made())
		return (Datum) 0;
	check_space(result, "free space for files", depot_settings_directory);
	if (!depot_applied_read(&state, &error))
	{
		add_check(result, "served files", "critical", error.message, error.hint[0] != '\0' ? error.hint : NULL);
		return (Datum) 0;
	}
	PG_TRY();
	{
		check_files(result, &state);
		check_conflicts(result, &state);
	}
	PG_FINALLY();
	{
		depot_store_free_state(&state);
	}
	PG_END_TRY();
	return (Datum) 0;
}

static void
add_conflict(const DepotConflict *conflict, void *context)
{
	ReturnSetInfo *result = context;
	Datum		values[3];
	bool		nulls[3] = {false};

	values[0] = CStringGetTextDatum(conflict->package);
	values[1] = CStringGetTextDatum(conflict->kind);
	values[2] = CStringGetTextDatum(conflict->path);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
depot_local_conflicts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DepotState	state;
	DepotError	error;

	InitMaterializedSRF(fcinfo, 0);
	if (!depot_shmem_is_attached() || !depot_paths_is_made())
		return (Datum) 0;
	if (!depot_applied_read(&state, &error))
	{
		depot_errors_raise(WARNING, &error);
		return (Datum) 0;
	}
	PG_TRY();
	{
		(void) depot_conflicts_find(&state, add_conflict, result);
	}
	PG_FINALLY();
	{
		depot_store_free_state(&state);
	}
	PG_END_TRY();
	return (Datum) 0;
}
