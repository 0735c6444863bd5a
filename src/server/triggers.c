/*-------------------------------------------------------------------------
 *
 * triggers.c
 *	  What keeps rows of another cluster out of the depot's tables, and takes
 *	  note of those that were restored.
 *
 * A subscription to another cluster's FOR ALL TABLES publication brings that
 * cluster's rows of the same tables.  They say what that one trusts and has
 * installed, and must decide nothing here, so they are left out one by one and
 * the subscription's other tables go on.  Every table of the home database has
 * these triggers, enabled as ALWAYS because replication fires no others.
 * pg_restore's COPY is let in; the leader then looks for what the rows name.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "replication/logicalworker.h"
#include "server/compat.h"
#include "server/shmem.h"
#include "tcop/pquery.h"
#include "utils/rel.h"

DEPOT_SQL_FUNCTION(depot_refuse_replicated);
DEPOT_SQL_FUNCTION(depot_note_restored);

#define HINT "Leave the tables of schema depot out of the publication; each cluster keeps its own."

/* Said once in a worker's life: a first copy may bring thousands of rows. */
static void
warn_once(Relation table)
{
	static bool is_said = false;

	if (is_said)
		return;
	is_said = true;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rows of another cluster's table \"depot.%s\" are left out", RelationGetRelationName(table)),
			 errdetail("Logical replication brings them; so it is with every table of schema depot."),
			 errhint(HINT)));
}

/* Raises an error when the function of this name was not called as a trigger. */
static void
require_trigger(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("depot.%s() must be called as a trigger", name)));
}

/*
 * Leaves a row that a logical replication worker brings as it is here, or absent; refuses its TRUNCATE, which no
 * trigger can leave out.  Whatever else writes goes on.
 */
Datum
depot_refuse_replicated(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	require_trigger(fcinfo, "refuse_replicated");
	if (IsLogicalWorker() && TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"depot.%s\" must not be truncated by logical replication",
						RelationGetRelationName(trigger->tg_relation)),
				 errhint(HINT)));
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		return PointerGetDatum(NULL);
	if (IsLogicalWorker())
	{
		warn_once(trigger->tg_relation);
		return PointerGetDatum(NULL);
	}
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
						   trigger->tg_trigtuple);
}

/* Of the running transaction: it has copied rows in. */
static bool is_restoring = false;

static void
end_restoring(XactEvent event, void *argument)
{
	if (event == XACT_EVENT_COMMIT && is_restoring)
		depot_shmem_note_restored();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		is_restoring = false;
}

/* After a statement: has the leader look at rows that COPY brought, once they are committed. */
Datum
depot_note_restored(PG_FUNCTION_ARGS)
{
	static bool is_registered = false;

	require_trigger(fcinfo, "note_restored");
	if (ActivePortal == NULL || ActivePortal->commandTag != CMDTAG_COPY || IsLogicalWorker() ||
		!depot_shmem_is_attached())
		return PointerGetDatum(NULL);
	if (!is_registered)
		RegisterXactCallback(end_restoring, NULL);
	is_registered = true;
	is_restoring = true;
	return PointerGetDatum(NULL);
}
