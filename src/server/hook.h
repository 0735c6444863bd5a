/*-------------------------------------------------------------------------
 *
 * hook.h
 *	  The utility hook: where a session's commands meet pg_depot.
 *
 * hook.c looks at each utility command and hands those that matter to one of
 * the hook_*.c files, which does its part and lets the command proceed.  The hook
 * is installed after every other module has been loaded, because some refuse to
 * load when they find one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_HOOK_H
#define DEPOT_HOOK_H

#include "postgres.h"

#include "tcop/utility.h"

/* What ProcessUtility was called with. */
typedef struct DepotUtility
{
	PlannedStmt *statement;
	const char *query;
	bool		is_read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo parameters;
	QueryEnvironment *environment;
	DestReceiver *receiver;
	QueryCompletion *completion;
} DepotUtility;

/* What runs a command: the next hook and the server, perhaps with something around them. */
typedef void (*DepotUtilityRun) (const DepotUtility *utility);

/* Has the hook installed when the server's start gets to shared memory; called from _PG_init in the postmaster. */
extern void depot_hook_register(void);

/* Runs the command as if there was no hook of ours. */
extern void depot_hook_proceed(const DepotUtility *utility);

/* Runs CREATE EXTENSION or ALTER EXTENSION ... UPDATE. */
extern void depot_hook_run_extension(const DepotUtility *utility);

/*
 * Runs CREATE EXTENSION or ALTER EXTENSION ... UPDATE by run; with depot.auto_install on, fetches what it
 * finds missing and runs it again.
 */
extern void depot_hook_auto_install(const DepotUtility *utility, DepotUtilityRun run);

/* Runs a command on a database: CREATE, ALTER, DROP, RENAME. */
extern void depot_hook_run_database(const DepotUtility *utility);

/* Runs CALL. */
extern void depot_hook_run_call(const DepotUtility *utility);

#endif							/* DEPOT_HOOK_H */
