/*-------------------------------------------------------------------------
 *
 * hook.c
 *	  The utility hook: where a session's commands meet pg_depot.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "server/call.h"
#include "server/hook.h"
#include "storage/ipc.h"

static shmem_startup_hook_type previous_startup_hook = NULL;
static ProcessUtility_hook_type previous_utility_hook = NULL;

static void install_hook(void);
static void process_utility(PlannedStmt *statement, const char *query, bool is_read_only_tree,
							ProcessUtilityContext context, ParamListInfo parameters,
							QueryEnvironment *environment, DestReceiver *receiver, QueryCompletion *completion);

void
depot_hook_register(void)
{
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = install_hook;
}

/* A crash restart of the server comes here again, with the hook still in place. */
static void
install_hook(void)
{
	if (previous_startup_hook)
		previous_startup_hook();
	if (ProcessUtility_hook == process_utility)
		return;
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

/* Whether a command creates or alters extension pg_depot. */
static bool
alters_ourselves(Node *command)
{
	switch (nodeTag(command))
	{
		case T_CreateExtensionStmt:
			return strcmp(((CreateExtensionStmt *) command)->extname, "pg_depot") == 0;
		case T_AlterExtensionStmt:
			return strcmp(((AlterExtensionStmt *) command)->extname, "pg_depot") == 0;
		case T_AlterExtensionContentsStmt:
			return strcmp(((AlterExtensionContentsStmt *) command)->extname, "pg_depot") == 0;
		default:
			return false;
	}
}

static void
process_utility(PlannedStmt *statement, const char *query, bool is_read_only_tree, ProcessUtilityContext context,
				ParamListInfo parameters, QueryEnvironment *environment, DestReceiver *receiver,
				QueryCompletion *completion)
{
	const DepotUtility utility = {
		.statement = statement,
		.query = query,
		.is_read_only_tree = is_read_only_tree,
		.context = context,
		.parameters = parameters,
		.environment = environment,
		.receiver = receiver,
		.completion = completion
	};

	if (alters_ourselves(statement->utilityStmt))
		depot_call_note_alteration();
	switch (nodeTag(statement->utilityStmt))
	{
		case T_CreateExtensionStmt:
		case T_AlterExtensionStmt:
			depot_hook_run_extension(&utility);
			break;
		case T_CreatedbStmt:
		case T_AlterDatabaseStmt:
		case T_DropdbStmt:
			depot_hook_run_database(&utility);
			break;
		case T_RenameStmt:
			if (castNode(RenameStmt, statement->utilityStmt)->renameType == OBJECT_DATABASE)
				depot_hook_run_database(&utility);
			else
				depot_hook_proceed(&utility);
			break;
		case T_CallStmt:
			depot_hook_run_call(&utility);
			break;
		default:
			depot_hook_proceed(&utility);
			break;
	}
}

void
depot_hook_proceed(const DepotUtility *utility)
{
	ProcessUtility_hook_type next = previous_utility_hook ? previous_utility_hook : standard_ProcessUtility;

	next(utility->statement, utility->query, utility->is_read_only_tree, utility->context, utility->parameters,
		 utility->environment, utility->receiver, utility->completion);
}
