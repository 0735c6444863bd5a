/*-------------------------------------------------------------------------
 *
 * catalog_nodes.c
 *	  The depot's tables: servers that may report, and what they said last.
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
#include "utils/acl.h"
#include "utils/builtins.h"

#define REPORT_FUNCTION "depot.report_node(text)"

static const DepotTableLimits node_limits = {
	.table = "depot.node",
	.rows = 1000,
	.bytes = 4000000
};

/* A text column as far as there is room; "" for null. */
static void
copy_text(uint64 row, int column, char *out, Size out_bytes)
{
	const char *text = depot_catalog_text(row, column);

	(void) depot_name_printable(text != NULL ? text : "", out, out_bytes);
}

int
depot_catalog_read_nodes(DepotNodeRow **rows)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(node_limits.rows + 1)};
	uint64		count = depot_catalog_execute(SPI_OK_SELECT,
											  "SELECT n.name, coalesce(r.oid, 0)::bigint, n.version IS NOT NULL,"
											  " n.version, n.server_version, n.libc_version, n.platform,"
											  " coalesce(n.restart_required, false), n.missing, n.sqlstate, n.error"
											  " FROM (SELECT * FROM depot.node WHERE name IS NOT NULL LIMIT $1) n"
											  " LEFT JOIN pg_catalog.pg_roles r ON r.rolname = n.role_name::name"
											  " ORDER BY n.name",
											  lengthof(types), types, values, NULL);
	int			valid = 0;

	depot_catalog_check_size(&node_limits, count);
	*rows = depot_catalog_alloc(sizeof(DepotNodeRow) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		DepotNodeRow *row = &(*rows)[valid];
		const char *name = depot_catalog_text(i, 1);

		/* Somebody may have written the row by hand. */
		if (!depot_name_is_node(name))
			continue;
		strlcpy(row->name, name, sizeof(row->name));
		row->role = (Oid) depot_catalog_int64(i, 2);
		row->has_content = depot_catalog_bool(i, 3);
		copy_text(i, 4, row->content.version, sizeof(row->content.version));
		copy_text(i, 5, row->content.server_version, sizeof(row->content.server_version));
		copy_text(i, 6, row->content.libc_version, sizeof(row->content.libc_version));
		copy_text(i, 7, row->content.platform, sizeof(row->content.platform));
		row->content.restart_required = depot_catalog_bool(i, 8);
		copy_text(i, 9, row->content.missing, sizeof(row->content.missing));
		copy_text(i, 10, row->content.sqlstate, sizeof(row->content.sqlstate));
		copy_text(i, 11, row->content.error, sizeof(row->content.error));
		valid++;
	}
	return valid;
}

bool
depot_catalog_has_node(const char *name, const char *role)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name), CStringGetTextDatum(role)};

	return depot_catalog_execute(SPI_OK_SELECT, "SELECT FROM depot.node WHERE name = $1 OR role_name = $2",
								 lengthof(types), types, values, NULL) > 0;
}

/* Statements that name a role cannot have parameters. */
static void
execute_for_role(const char *before, const char *role)
{
	(void) depot_catalog_execute(SPI_OK_UTILITY, psprintf("%s %s", before, quote_identifier(role)),
								 0, NULL, NULL, NULL);
}

void
depot_catalog_add_node(const char *name, const char *role)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name), CStringGetTextDatum(role)};

	depot_catalog_execute_one(SPI_OK_INSERT, "INSERT INTO depot.node (name, role_name) VALUES ($1, $2)",
							  lengthof(types), types, values);
	execute_for_role("GRANT EXECUTE ON FUNCTION " REPORT_FUNCTION " TO", role);
}

bool
depot_catalog_drop_node(const char *name)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	const char *role;

	if (depot_catalog_execute(SPI_OK_DELETE_RETURNING, "DELETE FROM depot.node WHERE name = $1 RETURNING role_name",
							  lengthof(types), types, values, NULL) == 0)
		return false;
	role = depot_catalog_text(0, 1);
	if (OidIsValid(get_role_oid(role, true)))
		execute_for_role("REVOKE EXECUTE ON FUNCTION " REPORT_FUNCTION " FROM", role);
	return true;
}

/* What was said between two writes may be what the row says already: that writes nothing. */
void
depot_catalog_write_node(const char *name, const DepotNodeContent *content)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(name),
		CStringGetTextDatum(content->version),
		CStringGetTextDatum(content->server_version),
		CStringGetTextDatum(content->libc_version),
		CStringGetTextDatum(content->platform),
		BoolGetDatum(content->restart_required),
		CStringGetTextDatum(content->missing),
		CStringGetTextDatum(content->sqlstate),
		CStringGetTextDatum(content->error)
	};

	depot_catalog_execute(SPI_OK_UPDATE,
						  "UPDATE depot.node SET version = $2, server_version = $3, libc_version = $4, platform = $5,"
						  " restart_required = $6, missing = nullif($7, ''), sqlstate = nullif($8, ''),"
						  " error = nullif($9, ''), changed_at = pg_catalog.clock_timestamp() WHERE name = $1"
						  " AND ROW(version, server_version, libc_version, platform, restart_required, missing,"
						  " sqlstate, error) IS DISTINCT FROM"
						  " ROW($2, $3, $4, $5, $6, nullif($7, ''), nullif($8, ''), nullif($9, ''))",
						  lengthof(types), types, values, NULL);
}

int
depot_catalog_read_streaming(const char ***names)
{
	uint64		count = depot_catalog_execute(SPI_OK_SELECT, "SELECT depot.streaming_servers()",
											  0, NULL, NULL, NULL);

	*names = depot_catalog_alloc(sizeof(char *) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
		(*names)[i] = depot_catalog_text(i, 1);
	return (int) count;
}
