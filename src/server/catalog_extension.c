/*-------------------------------------------------------------------------
 *
 * catalog_extension.c
 *	  Extensions of the database at hand, as the server sees them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "pgstat.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

char *
depot_catalog_extension_version(const char *extension)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(extension)};

	if (depot_catalog_execute(SPI_OK_SELECT,
							  "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = $1::name",
							  1, types, values, NULL) == 0)
		return NULL;
	return depot_catalog_text(0, 1);
}

void
depot_catalog_update_extension(const char *extension, const char *version)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "ALTER EXTENSION %s UPDATE", quote_identifier(extension));
	if (version != NULL)
		appendStringInfo(&sql, " TO %s", quote_literal_cstr(version));
	/* For the log, and for whoever waits for a lock of it. */
	debug_query_string = MemoryContextStrdup(TopMemoryContext, sql.data);
	pgstat_report_activity(STATE_RUNNING, sql.data);
	(void) depot_catalog_execute(SPI_OK_UTILITY, sql.data, 0, NULL, NULL, NULL);
}
