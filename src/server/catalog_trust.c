/*-------------------------------------------------------------------------
 *
 * catalog_trust.c
 *	  The depot's tables: what repositories' metadata says besides what they
 *	  offer, and how refreshing it went.
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

void
depot_catalog_add_withdrawn(const char *repository, const DepotWithdrawnRow *row)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(repository), CStringGetTextDatum(row->sha256), depot_catalog_text_datum(row->reason),
		row->advisory != NULL ? depot_catalog_text_datum(row->advisory) : (Datum) 0
	};

	depot_catalog_execute(SPI_OK_INSERT,
						  "INSERT INTO depot.withdrawn (repository, sha256, reason, advisory) VALUES ($1, $2, $3, $4)"
						  " ON CONFLICT (repository, sha256) DO UPDATE SET reason = excluded.reason,"
						  " advisory = excluded.advisory",
						  lengthof(types), types, values, row->advisory != NULL ? NULL : "   n");
}

void
depot_catalog_write_roles(const char *repository, const DepotRoleRow *rows, int count)
{
	const char **names = palloc(sizeof(char *) * Max(count, 1));
	Oid			delete_types[] = {TEXTOID, TEXTARRAYOID};
	Datum		delete_values[2];

	for (int i = 0; i < count; i++)
	{
		Oid			types[] = {TEXTOID, TEXTOID, INT8OID, INT8OID};
		Datum		values[] = {
			CStringGetTextDatum(repository), CStringGetTextDatum(rows[i].name), Int64GetDatum(rows[i].version),
			Int64GetDatum(rows[i].expires_epoch_s)
		};

		names[i] = rows[i].name;
		depot_catalog_execute(SPI_OK_INSERT,
							  "INSERT INTO depot.repository_role AS r (repository, role, version, seen_at, expires_at)"
							  " VALUES ($1, $2, $3, clock_timestamp(), to_timestamp($4))"
							  " ON CONFLICT (repository, role) DO UPDATE SET version = excluded.version,"
							  " seen_at = excluded.seen_at, expires_at = excluded.expires_at"
							  " WHERE (r.version, r.expires_at) IS DISTINCT FROM"
							  " (excluded.version, excluded.expires_at)",
							  lengthof(types), types, values, NULL);
	}
	delete_values[0] = CStringGetTextDatum(repository);
	delete_values[1] = depot_catalog_text_array(names, count);
	depot_catalog_execute(SPI_OK_DELETE,
						  "DELETE FROM depot.repository_role WHERE repository = $1 AND role <> ALL ($2)",
						  lengthof(delete_types), delete_types, delete_values, NULL);
}

void
depot_catalog_note_refresh_failure(const char *repository, const char *message)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(repository), CStringGetTextDatum(message)};

	depot_catalog_execute(SPI_OK_UPDATE,
						  "UPDATE depot.repository SET failed_at = clock_timestamp(), error = $2 WHERE name = $1",
						  lengthof(types), types, values, NULL);
}
