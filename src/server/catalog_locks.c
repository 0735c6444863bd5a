/*-------------------------------------------------------------------------
 *
 * catalog_locks.c
 *	  Who holds locks that are in the leader's way.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"

char *
depot_catalog_find_locked_table(pid_t pid)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(pid)};

	if (depot_catalog_execute(SPI_OK_SELECT,
							  "SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_locks l"
							  " JOIN pg_catalog.pg_class c ON c.oid = l.relation"
							  " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
							  " WHERE l.pid = $1 AND l.granted AND"
							  " (n.nspname = 'depot' AND l.mode <> 'AccessShareLock'"
							  " OR n.nspname = 'pg_catalog' AND l.mode = 'AccessExclusiveLock')"
							  " AND l.database = (SELECT oid FROM pg_catalog.pg_database"
							  " WHERE datname = pg_catalog.current_database())"
							  " ORDER BY c.relname LIMIT 1",
							  1, types, values, NULL) == 0)
		return NULL;
	return depot_catalog_text(0, 1);
}
