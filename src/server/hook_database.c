/*-------------------------------------------------------------------------
 *
 * hook_database.c
 *	  Commands on the home database, which the leader's own connection would
 *	  make fail.
 *
 * CREATE DATABASE from it, its renaming, moving and dropping want nobody else in
 * it.  The leader is sent away before the command and called back after it,
 * whatever became of it; requests that ran end with 57P03 and can be repeated.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "server/compat.h"
#include "server/hook.h"
#include "server/settings.h"
#include "server/shmem.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* How long a command waits for the leader to go; then it takes its chance. */
#define LEADER_GOES_MS 5000
#define LEADER_POLL_MS 10

static bool needs_database_alone(Node *command);
static bool may_touch_home(Node *command);
static bool is_home(const char *database);
static void send_leader_away(void);
static void call_back(int code, Datum argument);

void
depot_hook_run_database(const DepotUtility *utility)
{
	Node	   *command = utility->statement->utilityStmt;

	if (!depot_shmem_is_attached() || !needs_database_alone(command) || !may_touch_home(command))
	{
		depot_hook_proceed(utility);
		return;
	}

	/* Also when it fails: whoever drops what is not there may be about to make it. */
	PG_ENSURE_ERROR_CLEANUP(call_back, (Datum) 0);
	{
		send_leader_away();
		depot_hook_proceed(utility);
	}
	PG_END_ENSURE_ERROR_CLEANUP(call_back, (Datum) 0);
	depot_shmem_call_back();
}

/* Also when the session is terminated: the leader would heed the next one of the same pid. */
static void
call_back(int code, Datum argument)
{
	depot_shmem_call_back();
}

static bool
is_template(Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return result;
}

static bool
has_createdb(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return result;
}

static bool
is_home(const char *database)
{
	return database != NULL && strcmp(database, depot_settings_database) == 0;
}

/* The template a CREATE DATABASE names, or core's own. */
static const char *
template_of(const CreatedbStmt *command)
{
	ListCell   *cell;

	foreach(cell, command->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return "template1";
}

static bool
moves_tablespace(const AlterDatabaseStmt *command)
{
	ListCell   *cell;

	foreach(cell, command->options)
		if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
		return true;
	return false;
}

/* Making a database of the home database's name counts, too: the leader may be waiting for it. */
static bool
needs_database_alone(Node *command)
{
	switch (nodeTag(command))
	{
		case T_CreatedbStmt:
			return is_home(template_of((CreatedbStmt *) command)) || is_home(((CreatedbStmt *) command)->dbname);
		case T_AlterDatabaseStmt:
			return is_home(((AlterDatabaseStmt *) command)->dbname) && moves_tablespace((AlterDatabaseStmt *) command);
		case T_DropdbStmt:
			return is_home(((DropdbStmt *) command)->dbname);
		case T_RenameStmt:
			return is_home(((RenameStmt *) command)->subname) || is_home(((RenameStmt *) command)->newname);
		default:
			return false;
	}
}

/* Whoever core would refuse must not be able to end other people's requests. */
static bool
may_touch_home(Node *command)
{
	Oid			home = get_database_oid(depot_settings_database, true);

	if (superuser())
		return true;
	if (OidIsValid(home) && depot_compat_owns_database(home, GetUserId()))
		return true;
	return IsA(command, CreatedbStmt) && is_template(home) && has_createdb(GetUserId());
}

static void
send_leader_away(void)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LEADER_GOES_MS);

	if (!depot_shmem_send_away())
		return;
	while (depot_shmem_leader(NULL) != 0 && GetCurrentTimestamp() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LEADER_POLL_MS,
						 depot_compat_wait_event("DepotLeaderGoes"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}
