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
							  "SELECT c.relname FROM pg_catalog.pg_locks l"
							  " JOIN pg_catalog.pg_class c ON c.oid = l.relation"
							  " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'depot'"
							  " WHERE l.pid = $1 AND l.granted AND l.mode <> 'AccessShareLock'"
							  " AND l.database = (SELECT oid FROM pg_catalog.pg_database"
							  " WHERE datname = pg_catalog.current_database())"
							  " ORDER BY c.relname LIMIT 1",
							  1, types, values, NULL) == 0)
		return NULL;
	return depot_catalog_text(0, 1);
}
