/*-------------------------------------------------------------------------
 *
 * catalog_database.c
 *	  Looking for a database from a process that is connected to none.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "server/catalog.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

static bool may_have_changed = true;

static void
note_database(Datum argument, int cache, uint32 hash)
{
	may_have_changed = true;
}

/* Without a database no index can be relied on. */
static bool
find(const char *name)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	bool		is_found = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (!is_found && HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
		is_found = strcmp(NameStr(((Form_pg_database) GETSTRUCT(tuple))->datname), name) == 0;
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return is_found;
}

bool
depot_catalog_database_came(const char *name)
{
	static bool is_watching = false;

	if (!is_watching)
		CacheRegisterSyscacheCallback(DATABASEOID, note_database, (Datum) 0);
	is_watching = true;
	AcceptInvalidationMessages();
	if (!may_have_changed)
		return false;
	may_have_changed = false;
	return find(name);
}
