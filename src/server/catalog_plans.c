/*-------------------------------------------------------------------------
 *
 * catalog_plans.c
 *	  What a standby's leader lets itself run when it reads the tables.
 *
 * What functions, operators and casts do comes from the primary like the tables do.  A cast between two of PostgreSQL's
 * own types, or a replaced function of PostgreSQL's, would have the leader run somebody's code, as superuser.  So
 * each statement is looked through just before it is planned, which is before anything in it is run: its tables
 * are locked then, and every view and rule in it has been put in.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static planner_hook_type previous_planner = NULL;

/*
 * Refuses what is not compiled into the server.  What is has a fixed number, by which it is called whatever pg_proc
 * says of it; only one whose language is SQL would be replaced by its text when it is planned.
 * A check_function_callback.
 */
static bool
refuse_function(Oid oid, void *context)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));
	Form_pg_proc function;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", oid);
	function = (Form_pg_proc) GETSTRUCT(tuple);
	if (oid >= FirstNormalObjectId || function->prolang != INTERNALlanguageId)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("function \"%s\" is not one of PostgreSQL's own", NameStr(function->proname)),
				 errdetail("Somebody has had it run on the primary when tables of extension pg_depot are read."),
				 errhint("Drop extension pg_depot on the primary and create it again; what is installed stays.")));
	ReleaseSysCache(tuple);
	return false;
}

static bool
check_node(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		Oid			table = castNode(RangeTblEntry, node)->relid;

		/* One of a subquery was a view's; it has been put in by now. */
		if (castNode(RangeTblEntry, node)->rtekind == RTE_RELATION && table >= FirstNormalObjectId)
			depot_catalog_check_table(table);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, check_node, context, QTW_EXAMINE_RTES_BEFORE);
	(void) check_functions_in_node(node, refuse_function, context);
	return expression_tree_walker(node, check_node, context);
}

/* A view that is read for somebody is run with that role's rights, and nothing of it is done here. */
static PlannedStmt *
plan_checked(Query *query, const char *text, int options, ParamListInfo parameters)
{
	if (RecoveryInProgress() && !InSecurityRestrictedOperation())
		(void) check_node((Node *) query, NULL);
	return previous_planner != NULL ? previous_planner(query, text, options, parameters) :
		standard_planner(query, text, options, parameters);
}

void
depot_catalog_check_plans(void)
{
	previous_planner = planner_hook;
	planner_hook = plan_checked;
}
