/*-------------------------------------------------------------------------
 *
 * catalog_changes.c
 *	  How a leader hears of changes of what is installed without asking.
 *
 * Whoever bumps the generation invalidates the relation cache's entry of its
 * table.  That travels in the commit record, and its replay puts it into the standby's own queue
 * of invalidations.  To take them out of there needs no transaction, and nothing
 * else of what is replayed concerns us, so a leader that sees none does nothing.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "server/catalog.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define SCHEMA "depot"
#define TABLE "generation"

static Oid	watched = InvalidOid;	/* the table; while there is none, the schema's coming is looked for */
static uint32 schema_hash = 0;
static uint64 changes = 0;
static uint64 noticed = 0;		/* of them, when they were looked for */
static uint64 known = 0;		/* of them, when the rows were read */
static uint64 schema_changes = 1;

/* An invalid oid means all tables: more happened than the queue could hold. */
static void
note_table(Datum argument, Oid table)
{
	if (!OidIsValid(table) || (OidIsValid(watched) && table == watched))
		changes++;
}

static void
note_schema(Datum argument, int cache, uint32 hash)
{
	if (hash != 0 && hash != schema_hash)
		return;
	changes++;
	schema_changes++;
}

void
depot_catalog_watch_begin(void)
{
	StartTransactionCommand();
	schema_hash = GetSysCacheHashValue1(NAMESPACENAME, CStringGetDatum(SCHEMA));
	CommitTransactionCommand();
	CacheRegisterRelcacheCallback(note_table, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACENAME, note_schema, (Datum) 0);
}

Oid
depot_catalog_generation_table(void)
{
	Oid			schema = get_namespace_oid(SCHEMA, true);

	return OidIsValid(schema) ? get_relname_relid(TABLE, schema) : InvalidOid;
}

/* Each statement that follows has a snapshot of its own, younger than what was in the queue. */
void
depot_catalog_watch_again(void)
{
	AcceptInvalidationMessages();
	known = changes;
	watched = depot_catalog_generation_table();
}

Oid
depot_catalog_watched_table(void)
{
	return watched;
}

bool
depot_catalog_has_changed(void)
{
	return changes != known;
}

bool
depot_catalog_look_for_changes(void)
{
	bool		is_new;

	AcceptInvalidationMessages();
	is_new = changes != noticed && changes != known;
	noticed = changes;
	return is_new;
}

uint64
depot_catalog_schema_changes(void)
{
	return schema_changes;
}
