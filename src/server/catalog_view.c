/*-------------------------------------------------------------------------
 *
 * catalog_view.c
 *	  The depot's views, read for sessions in other databases.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/name.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "utils/builtins.h"

/* Whatever else stands in schema depot, only the extension's own views are read. */
static void
check_is_ours(const char *view)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(view)};
	char		short_name[DEPOT_NAME_MAX_BYTES + 1];

	if (depot_catalog_execute(SPI_OK_SELECT,
							  "SELECT FROM pg_catalog.pg_class c"
							  " JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass"
							  " AND d.objid = c.oid AND d.deptype = 'e'"
							  " AND d.refclassid = 'pg_catalog.pg_extension'::regclass"
							  " JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_depot'"
							  " WHERE c.relname = $1 AND c.relkind = 'v'"
							  " AND c.relnamespace = 'depot'::regnamespace",
							  1, types, values, NULL) > 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("extension pg_depot has no view \"%s\"",
					depot_name_printable(view, short_name, sizeof(short_name))),
			 errhint("If pg_depot was upgraded, run ALTER EXTENSION pg_depot UPDATE in its database.")));
}

/* The role's own rights count, for functions in the view as well; an error gives the leader its rights back. */
char *
depot_catalog_read_view(const char *view, Oid role)
{
	char	   *rows = NULL;
	Oid			leader_role;
	int			security;

	XactReadOnly = true;
	check_is_ours(view);

	GetUserIdAndSecContext(&leader_role, &security);
	SetUserIdAndSecContext(role, security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	depot_catalog_execute(SPI_OK_SELECT,
						  psprintf("SELECT pg_catalog.string_agg(pg_catalog.row_to_json(v)::text, ',')"
								   " FROM depot.%s v", quote_identifier(view)),
						  0, NULL, NULL, NULL);
	rows = depot_catalog_text(0, 1);
	SetUserIdAndSecContext(leader_role, security);
	return rows == NULL ? "" : pg_server_to_any(rows, (int) strlen(rows), PG_UTF8);
}
