/*-------------------------------------------------------------------------
 *
 * views_nodes.c
 *	  The SQL functions behind depot.nodes: reports in, and what is known out.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "server/call.h"
#include "server/compat.h"
#include "server/nodes.h"
#include "server/settings.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define KNOWN_NODES_COLUMNS 11

DEPOT_SQL_FUNCTION(depot_report_node);
DEPOT_SQL_FUNCTION(depot_known_nodes);

static void
forget_at_exit(int code, Datum argument)
{
	depot_shmem_forget_session();
}

/* Refuses a name that is not the session's, and says whose the role is, as where depot.node_name was forgotten. */
static void
refuse_report(const char *name)
{
	DepotNode  *nodes = palloc(sizeof(DepotNode) * DEPOT_NODE_COUNT);
	int			count = depot_shmem_read_nodes(nodes);
	char	   *role = GetUserNameFromId(GetUserId(), false);
	const char *own_name = NULL;

	for (int i = 0; i < count; i++)
		if (nodes[i].row.role == GetUserId())
			own_name = nodes[i].row.name;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" may not report as server \"%s\"", role, name),
			 own_name == NULL ? errhint("A superuser lets it by add_extension_node.") :
			 errhint("It reports as server \"%s\": that is to be the \"depot.node_name\" there.", own_name)));
}

/*
 * What a registered role may do, and all it may do.  Which name is whose is asked of shared memory, so the role needs
 * no right on a table.
 */
Datum
depot_report_node(PG_FUNCTION_ARGS)
{
	static bool is_watched = false;
	DepotNodeReport *report = palloc(sizeof(DepotNodeReport));
	DepotReportOutcome outcome;

	depot_call_require_preload();
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s() during recovery", "report_node"),
				 errhint("Servers report to the primary.")));
	depot_nodes_read_report(text_to_cstring(PG_GETARG_TEXT_PP(0)), report);
	if (!is_watched)
		before_shmem_exit(forget_at_exit, (Datum) 0);
	is_watched = true;

	outcome = depot_shmem_take_report(report, GetUserId(), depot_settings_node());
	if (outcome == DEPOT_REPORT_TOO_EARLY)
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("the pg_depot leader has not read yet which servers may report"),
				 errhint("The call can be repeated.")));
	if (outcome == DEPOT_REPORT_REFUSED)
		refuse_report(report->name);
	if (outcome == DEPOT_REPORT_OWN_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("this server itself has the name \"%s\"", report->name),
				 errhint("Give each server a \"depot.node_name\" or \"cluster_name\" of its own.")));
	PG_RETURN_VOID();
}

/* A text column, null where there is nothing to say. */
static void
put_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text[0] == '\0';
	values[column] = nulls[column] ? (Datum) 0 : CStringGetTextDatum(text);
}

/* What is missing there, and its last error where that is not the reason already; palloc'd, "" if all is well. */
static char *
problem_of(const DepotNodeContent *content)
{
	const char *colon = content->sqlstate[0] != '\0' ? ": " : "";

	if (content->error[0] == '\0')
		return pstrdup(content->missing);
	if (strstr(content->missing, content->error) != NULL)
		return psprintf("%s%s%s", content->sqlstate, colon, content->missing);
	return psprintf("%s%s%s%s%s", content->missing, content->missing[0] != '\0' ? "; " : "", content->sqlstate, colon,
					content->error);
}

static void
put_content(Datum *values, bool *nulls, const DepotNodeContent *content)
{
	put_text(values, nulls, 5, problem_of(content));
	values[6] = BoolGetDatum(content->restart_required);
	put_text(values, nulls, 7, content->version);
	put_text(values, nulls, 8, content->server_version);
	put_text(values, nulls, 9, content->libc_version);
	put_text(values, nulls, 10, content->platform);
}

/* This server itself, whatever others say under its name. */
static void
put_own(ReturnSetInfo *result)
{
	DepotNodeReport *own = palloc(sizeof(DepotNodeReport));
	Datum		values[KNOWN_NODES_COLUMNS] = {0};
	bool		nulls[KNOWN_NODES_COLUMNS] = {false};
	TimestampTz noted_at;
	bool		is_noted = depot_nodes_own_report(own, &noted_at);

	values[0] = CStringGetTextDatum(depot_settings_node());
	values[1] = BoolGetDatum(true);
	values[2] = BoolGetDatum(is_noted);
	if (is_noted)
	{
		values[3] = Int64GetDatum(own->applied_generation);
		values[4] = TimestampTzGetDatum(GetCurrentTimestamp());
		put_content(values, nulls, &own->content);
	}
	else
		memset(nulls + 3, true, KNOWN_NODES_COLUMNS - 3);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
depot_known_nodes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = GetCurrentTimestamp();
	DepotNode  *nodes;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	if (!depot_shmem_is_attached())
		return (Datum) 0;
	put_own(result);
	if (RecoveryInProgress())
		return (Datum) 0;

	nodes = palloc(sizeof(DepotNode) * DEPOT_NODE_COUNT);
	count = depot_shmem_read_nodes(nodes);
	for (int i = 0; i < count; i++)
	{
		const DepotNode *node = &nodes[i];
		Datum		values[KNOWN_NODES_COLUMNS] = {0};
		bool		nulls[KNOWN_NODES_COLUMNS] = {false};

		if (strcmp(node->row.name, depot_settings_node()) == 0)
			continue;
		values[0] = CStringGetTextDatum(node->row.name);
		values[1] = BoolGetDatum(false);
		values[2] = BoolGetDatum(depot_shmem_is_node_current(node, now));
		nulls[3] = nulls[4] = node->reported_at == 0;
		values[3] = Int64GetDatum(node->applied_generation);
		values[4] = TimestampTzGetDatum(node->reported_at);
		if (node->row.has_content)
			put_content(values, nulls, &node->row.content);
		else
			memset(nulls + 5, true, KNOWN_NODES_COLUMNS - 5);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
