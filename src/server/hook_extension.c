/*-------------------------------------------------------------------------
 *
 * hook_extension.c
 *	  CREATE EXTENSION and ALTER EXTENSION ... UPDATE of a session.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/hook.h"
#include "server/use.h"

static void run_in_place(const DepotUtility *utility);

void
depot_hook_run_extension(const DepotUtility *utility)
{
	depot_hook_auto_install(utility, run_in_place);
}

/* Runs the command with the extension's files held in place, or makes it fail when they move all the same. */
static void
run_in_place(const DepotUtility *utility)
{
	Node	   *statement = utility->statement->utilityStmt;
	DepotUse	use;

	depot_use_begin(&use, IsA(statement, CreateExtensionStmt) ?
					castNode(CreateExtensionStmt, statement)->extname :
					castNode(AlterExtensionStmt, statement)->extname);
	PG_TRY();
	{
		depot_hook_proceed(utility);
	}
	PG_CATCH();
	{
		depot_use_fail(&use);
		PG_RE_THROW();
	}
	PG_END_TRY();
	depot_use_end(&use);
}
