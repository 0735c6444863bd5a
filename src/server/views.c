/*-------------------------------------------------------------------------
 *
 * views.c
 *	  The SQL functions behind the views that no table can answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "server/applied.h"
#include "server/compat.h"
#include "server/errors.h"
#include "server/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

DEPOT_SQL_FUNCTION(depot_applied_packages);
DEPOT_SQL_FUNCTION(depot_running_requests);

Datum
depot_applied_packages(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DepotState	state;
	DepotError	error;

	InitMaterializedSRF(fcinfo, 0);
	if (!depot_shmem_is_attached())
		return (Datum) 0;
	if (!depot_applied_read(&state, &error))
	{
		depot_errors_raise(WARNING, &error);
		return (Datum) 0;
	}

	PG_TRY();
	{
		for (int i = 0; i < state.package_count; i++)
		{
			const DepotAppliedPackage *package = &state.packages[i];
			Datum		values[4];
			bool		nulls[4] = {false};

			values[0] = CStringGetTextDatum(package->package);
			values[1] = CStringGetTextDatum(package->version);
			values[2] = CStringGetTextDatum(package->digest);
			values[3] = Int32GetDatum(package->file_count);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	PG_FINALLY();
	{
		depot_store_free_state(&state);
	}
	PG_END_TRY();
	return (Datum) 0;
}

Datum
depot_running_requests(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DepotSlot  *slot = palloc(sizeof(DepotSlot));

	InitMaterializedSRF(fcinfo, 0);
	if (!depot_shmem_is_attached())
		return (Datum) 0;

	for (int i = 0; i < DEPOT_SLOT_COUNT; i++)
	{
		Datum		values[9];
		bool		nulls[9] = {false};
		char	   *role_name;

		depot_shmem_read(i, slot);
		if (slot->state == DEPOT_SLOT_FREE || slot->state == DEPOT_SLOT_CLAIMED ||
			slot->state == DEPOT_SLOT_ANSWERED)
			continue;
		role_name = GetUserNameFromId(slot->role, true);
		values[0] = Int64GetDatum((int64) slot->id);
		values[1] = CStringGetTextDatum(depot_shmem_kind_name(slot->kind));
		values[2] = CStringGetTextDatum(slot->subject);
		values[3] = CStringGetTextDatum(depot_shmem_phase_name(slot->phase));
		values[4] = Int64GetDatum(slot->bytes_done);
		values[5] = Int64GetDatum(slot->bytes_total);
		nulls[5] = slot->bytes_total == 0;
		values[6] = Int32GetDatum(slot->caller_pid);
		nulls[7] = role_name == NULL;
		values[7] = nulls[7] ? (Datum) 0 : CStringGetTextDatum(role_name);
		values[8] = TimestampTzGetDatum(slot->started_at);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
