/*-------------------------------------------------------------------------
 *
 * catalog_usage.c
 *	  The server's catalogs: who uses the extensions and libraries of a package.
 *
 * A library is named in many ways where it is used; LIBRARY_OF makes them one:
 * the name below the library directory, without ".so".
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
#include "utils/builtins.h"

/* $1 extensions and $2 libraries, both separated by spaces; $3 the depot's library directory with its slash. */
#define EXTENSIONS "string_to_array($1, ' ')"
#define LIBRARIES "string_to_array($2, ' ')"
#define LIBRARY_OF(name) \
	"regexp_replace(CASE WHEN starts_with(" name ", '$libdir/') THEN substr(" name ", 9)" \
	" WHEN starts_with(" name ", $3) THEN substr(" name ", length($3) + 1) ELSE " name " END, '\\.so$', '')"

/* Settings whose value is a library, or a list of them. */
#define SETTINGS \
	"('shared_preload_libraries', 'session_preload_libraries', 'local_preload_libraries'," \
	" 'archive_library', 'jit_provider', 'oauth_validator_libraries')"

/* The first users of kind, name, library, role, database, in an order of its own; and how many there are in all. */
#define FIRST_USERS(users) \
	"SELECT kind::bigint, name, library, role, database, count(*) OVER ()" \
	" FROM (SELECT DISTINCT * FROM (" users ") u (kind, name, library, role, database)) d" \
	" ORDER BY kind, name, library, role, database LIMIT 20"

/*
 * The server's own settings.  The file may say what the server, not yet restarted, does not.  With a file that
 * cannot be read, its view has no settings.
 */
#define SERVER_SETTINGS \
	"SELECT name, setting, NULL, NULL FROM pg_catalog.pg_settings" \
	" UNION ALL" \
	" (SELECT DISTINCT ON (name) name, setting, NULL, NULL" \
	" FROM pg_catalog.pg_file_settings ORDER BY name, seqno DESC)"

#define ROLE_SETTINGS \
	"SELECT split_part(c, '=', 1), substr(c, strpos(c, '=') + 1), r.rolname, d.datname" \
	" FROM pg_catalog.pg_db_role_setting x CROSS JOIN unnest(x.setconfig) c" \
	" LEFT JOIN pg_catalog.pg_authid r ON r.oid = x.setrole" \
	" LEFT JOIN pg_catalog.pg_database d ON d.oid = x.setdatabase"

/* Users among settings, given as name, value, role, database. */
#define SETTING_USERS(settings) \
	"SELECT 2, l.setting, l.library, l.role, l.database" \
	" FROM (SELECT s.setting, s.role, s.database, " LIBRARY_OF("s.item") " AS library" \
	" FROM (SELECT v.setting, v.role, v.database, btrim(i, E' \\t\\n\"') AS item" \
	" FROM (" settings ") v (setting, value, role, database)" \
	" CROSS JOIN regexp_split_to_table(v.value, ',') i" \
	" WHERE lower(v.setting) IN " SETTINGS ") s) l" \
	" WHERE l.library = ANY (" LIBRARIES ")"

#define SLOT_USERS \
	"SELECT 3, slot_name, plugin, NULL, NULL FROM pg_catalog.pg_replication_slots" \
	" WHERE plugin IS NOT NULL AND " LIBRARY_OF("plugin::text") " = ANY (" LIBRARIES ")"

/* Runs a statement of FIRST_USERS. */
static int
read_users(const char *sql, const DepotUsageRequest *request, DepotUserRow **rows, int *count)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(request->extensions),
		CStringGetTextDatum(request->libraries),
		CStringGetTextDatum(request->library_directory)
	};
	uint64		found = depot_catalog_execute(SPI_OK_SELECT, sql, lengthof(types), types, values, NULL);

	*rows = depot_catalog_alloc(sizeof(DepotUserRow) * Max(found, 1));
	for (uint64 i = 0; i < found; i++)
	{
		DepotUserRow *row = &(*rows)[i];

		row->kind = (DepotUserKind) depot_catalog_int64(i, 1);
		row->name = depot_catalog_text(i, 2);
		row->library = depot_catalog_text(i, 3);
		row->role = depot_catalog_text(i, 4);
		row->database = depot_catalog_text(i, 5);
	}
	*count = found > 0 ? (int) depot_catalog_int64(0, 6) : 0;
	return (int) found;
}

int
depot_catalog_read_users(const DepotUsageRequest *request, DepotUserRow **rows, int *count)
{
	StaticAssertStmt(DEPOT_USER_EXTENSION == 0 && DEPOT_USER_FUNCTION == 1, "the statement has their numbers");

	return read_users(FIRST_USERS("SELECT 0, extname::text, NULL, NULL, NULL FROM pg_catalog.pg_extension"
								  " WHERE extname = ANY (" EXTENSIONS ")"
								  " UNION ALL"
								  " SELECT 1, p.oid::regprocedure::text, " LIBRARY_OF("probin") ", NULL, NULL"
								  " FROM pg_catalog.pg_proc p"
								  " WHERE probin IS NOT NULL AND " LIBRARY_OF("probin") " = ANY (" LIBRARIES ")"
								  " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d"
								  " JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid"
								  " WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid"
								  " AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::regclass"
								  " AND e.extname = ANY (" EXTENSIONS "))"),
					  request, rows, count);
}

int
depot_catalog_read_shared_users(const DepotUsageRequest *request, DepotUserRow **rows, int *count)
{
	StaticAssertStmt(DEPOT_USER_SETTING == 2 && DEPOT_USER_SLOT == 3, "the statements have their numbers");

	return read_users(FIRST_USERS(SETTING_USERS(SERVER_SETTINGS " UNION ALL " ROLE_SETTINGS)
								  " UNION ALL " SLOT_USERS), request, rows, count);
}

int
depot_catalog_read_local_users(const DepotUsageRequest *request, DepotUserRow **rows, int *count)
{
	return read_users(FIRST_USERS(SETTING_USERS(SERVER_SETTINGS) " UNION ALL " SLOT_USERS), request, rows, count);
}

int
depot_catalog_read_holders(Oid lock_oid, DepotHolderRow **rows)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(lock_oid)};
	uint64		count;

	/* A prepared transaction keeps the virtual id of the session that prepared it, or gets one of its own. */
	count = depot_catalog_execute(SPI_OK_SELECT,
								  "SELECT DISTINCT p.gid, l.pid::text, coalesce(p.database, a.datname)"
								  " FROM pg_catalog.pg_locks l"
								  " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
								  " LEFT JOIN pg_catalog.pg_locks t ON l.pid IS NULL AND t.pid IS NULL"
								  " AND t.virtualtransaction = l.virtualtransaction AND t.locktype = 'transactionid'"
								  " LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = t.transactionid"
								  " WHERE l.locktype = 'object' AND l.database = 0 AND l.objid::bigint = $1"
								  " AND l.classid = 'pg_catalog.pg_extension'::regclass AND l.granted"
								  " AND l.pid IS DISTINCT FROM pg_backend_pid()"
								  " ORDER BY 1, 2 LIMIT 20",
								  1, types, values, NULL);
	*rows = depot_catalog_alloc(sizeof(DepotHolderRow) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		(*rows)[i].gid = depot_catalog_text(i, 1);
		(*rows)[i].pid = depot_catalog_text(i, 2);
		(*rows)[i].database = depot_catalog_text(i, 3);
	}
	return (int) count;
}

int
depot_catalog_read_databases(DepotDatabaseRow **rows)
{
	uint64		count;

	/* datconnlimit -2: a DROP DATABASE that was interrupted; nobody can connect to it. */
	count = depot_catalog_execute(SPI_OK_SELECT,
								  "SELECT oid::bigint, datname, datconnlimit = -2 FROM pg_catalog.pg_database"
								  " WHERE datname <> current_database() ORDER BY datname",
								  0, NULL, NULL, NULL);
	*rows = depot_catalog_alloc(sizeof(DepotDatabaseRow) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		(*rows)[i].oid = (Oid) depot_catalog_int64(i, 1);
		(*rows)[i].name = depot_catalog_text(i, 2);
		(*rows)[i].is_invalid = depot_catalog_bool(i, 3);
	}
	return (int) count;
}
