/*-------------------------------------------------------------------------
 *
 * views_ready.c
 *	  Whether this server has the files that its rows ask for.
 *
 * Answered from shared memory, in any database and on any server, without the
 * leader's doing anything for it: cheap enough to be asked every second.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/remedy.h"
#include "fmgr.h"
#include "funcapi.h"
#include "server/compat.h"
#include "server/paths.h"
#include "server/settings.h"
#include "server/shmem.h"
#include "utils/builtins.h"

DEPOT_SQL_FUNCTION(depot_local_files_ready);

/* What is to be done where the leader has work to do; otherwise is what there is to say while it can do it. */
static const char *
remedy(const char *otherwise)
{
	DepotReport gone;

	if (depot_shmem_leader(NULL) == 0 && !depot_shmem_is_sent_away())
	{
		depot_shmem_leader_gone_report(&gone);
		return psprintf("%s: %s%s%s", gone.message, gone.detail, gone.detail[0] != '\0' ? " " : "", gone.hint);
	}
	return depot_settings_hold ? DEPOT_REMEDY_HOLD : otherwise;
}

/*
 * Why not, palloc'd, and what to do; NULL: it is ready.  generation: of the rows, -1 where they cannot be read.
 */
static char *
reason_of(const DepotAppliedReport *report, int64 generation, const char **what_to_do)
{
	*what_to_do = "end what the reason names; unless a reload is enough, restart the server";
	if (depot_paths_inactive_reason() != NULL)
		return psprintf("pg_depot is inactive: %s", depot_paths_inactive_reason());
	*what_to_do = remedy(DEPOT_REMEDY_IF_IT_LASTS);
	if (report->at == 0)
		return pstrdup("the leader has not looked yet since the server started");
	*what_to_do = remedy(DEPOT_REMEDY_MISSING);
	if (report->missing_count > 0)
		return psprintf("%d %s lacking", report->missing_count,
						report->missing_count == 1 ? "package is" : "packages are");
	*what_to_do = remedy(DEPOT_REMEDY_IN_THE_LOG);
	if (report->sqlstate[0] != '\0')
		return pstrdup(report->error);
	*what_to_do = remedy(DEPOT_REMEDY_IF_IT_LASTS);
	if (report->applied_generation < Max(generation, report->seen_generation))
		return psprintf("generation " INT64_FORMAT " of the rows is not applied yet, but " INT64_FORMAT,
						Max(generation, report->seen_generation), report->applied_generation);
	return NULL;
}

/* missing is JSON: {package, version, reason} each, perhaps not all of them. */
Datum
depot_local_files_ready(PG_FUNCTION_ARGS)
{
	DepotAppliedReport report = {.missing = "[]"};
	TupleDesc	description;
	Datum		values[4];
	bool		nulls[4] = {false};
	const char *what_to_do = "add pg_depot to shared_preload_libraries and restart the server";
	char	   *reason;

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (depot_shmem_is_attached())
	{
		depot_shmem_read_applied_report(&report);
		reason = reason_of(&report, PG_ARGISNULL(0) ? -1 : PG_GETARG_INT64(0), &what_to_do);
	}
	else
		reason = pstrdup("pg_depot is not loaded by the server");
	values[0] = BoolGetDatum(reason == NULL);
	nulls[1] = reason == NULL;
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(reason);
	values[2] = CStringGetTextDatum(report.missing);
	nulls[3] = reason == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(what_to_do);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
}
