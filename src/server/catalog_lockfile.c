/*-------------------------------------------------------------------------
 *
 * catalog_lockfile.c
 *	  What is installed as the text of a lock.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/lockfile.h"
#include "executor/spi.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"

/* Nothing in it depends on when or by whom it was made, so that two locks of the same state are equal. */
char *
depot_catalog_read_lock(void)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(DEPOT_LOCKFILE_FORMAT)};

	depot_catalog_execute(SPI_OK_SELECT,
						  "SELECT jsonb_build_object('format', $1, 'packages',"
						  "  coalesce(jsonb_agg(package ORDER BY name), '[]'))"
						  " FROM (SELECT i.package AS name, jsonb_build_object("
						  "  'package', i.package, 'version', i.version, 'why', i.why,"
						  "  'builds', jsonb_agg(jsonb_build_object('major', b.major, 'platform', b.platform,"
						  "   'sha256', b.digest, 'repository', b.repository) ORDER BY b.major, b.platform)) AS package"
						  "  FROM depot.installed i"
						  "  JOIN depot.installed_build b ON b.package = i.package AND b.version = i.version"
						  "  WHERE i.state = 'installed' GROUP BY i.package, i.version, i.why) packages",
						  1, types, values, NULL);
	return depot_catalog_text(0, 1);
}
