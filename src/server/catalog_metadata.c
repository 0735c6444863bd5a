/*-------------------------------------------------------------------------
 *
 * catalog_metadata.c
 *	  The depot's tables: the metadata of repositories that was accepted.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/toast_compression.h"
#include "access/toast_internals.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "utils/builtins.h"

/* Without content: a row for each root there ever was, and for each role. */
static const DepotTableLimits metadata_limits = {
	.table = "depot.repository_metadata",
	.rows = 10000,
	.bytes = 4000000
};

int
depot_catalog_read_metadata_rows(const char *repository, DepotMetadataRow **rows)
{
	Oid			types[] = {TEXTOID, INT8OID};
	Datum		values[] = {CStringGetTextDatum(repository), Int64GetDatum(metadata_limits.rows + 1)};
	uint64		count;

	count = depot_catalog_execute(SPI_OK_SELECT,
								  "SELECT role, version::bigint, xmin::text, octet_length(content)::bigint"
								  " FROM (SELECT *, xmin FROM depot.repository_metadata WHERE repository = $1"
								  " AND role IS NOT NULL AND version IS NOT NULL AND content IS NOT NULL LIMIT $2) m"
								  " ORDER BY role, version",
								  lengthof(types), types, values, NULL);
	depot_catalog_check_size(&metadata_limits, count);
	*rows = depot_catalog_alloc(sizeof(DepotMetadataRow) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		DepotMetadataRow *row = &(*rows)[i];

		row->role = depot_catalog_text(i, 1);
		row->version = depot_catalog_int64(i, 2);
		row->stamp = depot_catalog_text(i, 3);
		row->size_bytes = depot_catalog_int64(i, 4);
	}
	return (int) count;
}

bool
depot_catalog_read_metadata(const char *repository, DepotMetadataRow *row)
{
	Oid			types[] = {TEXTOID, TEXTOID, INT8OID};
	Datum		values[] = {
		CStringGetTextDatum(repository), CStringGetTextDatum(row->role), Int64GetDatum(row->version)
	};
	bool		is_null;
	bytea	   *content;

	if (depot_catalog_execute(SPI_OK_SELECT,
							  "SELECT content::bytea FROM depot.repository_metadata"
							  " WHERE repository = $1 AND role = $2 AND version = $3",
							  lengthof(types), types, values, NULL) != 1)
		return false;
	content = DatumGetByteaPP(depot_catalog_value(0, 1, BYTEAOID, &is_null));
	row->size_bytes = VARSIZE_ANY_EXHDR(content);
	row->content = depot_catalog_alloc(row->size_bytes + 1);
	memcpy(row->content, VARDATA_ANY(content), row->size_bytes);
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/*
 * Compresses what is worth it with lz4, where the server has that: metadata shrinks to a fraction in less time than it
 * takes to log it.  pglz is slower than logging, so the column is not one that the server compresses.
 * Takes over content, and returns it or what is to be written instead.
 */
static bytea *
compress(bytea *content)
{
#ifdef USE_LZ4
	struct varlena *compressed = NULL;

	if (VARSIZE(content) >= BLCKSZ)
		compressed = (struct varlena *) DatumGetPointer(toast_compress_datum(PointerGetDatum(content),
																			 TOAST_LZ4_COMPRESSION));
	if (compressed != NULL)
	{
		pfree(content);
		return (bytea *) compressed;
	}
#endif
	return content;
}

void
depot_catalog_write_metadata(const char *repository, const DepotMetadataRow *row)
{
	bytea	   *content = palloc(VARHDRSZ + row->size_bytes);
	Oid			types[] = {TEXTOID, TEXTOID, INT8OID, BYTEAOID};
	Datum		values[] = {
		CStringGetTextDatum(repository), CStringGetTextDatum(row->role), Int64GetDatum(row->version), (Datum) 0
	};

	SET_VARSIZE(content, VARHDRSZ + row->size_bytes);
	memcpy(VARDATA(content), row->content, row->size_bytes);
	content = compress(content);
	values[3] = PointerGetDatum(content);
	depot_catalog_execute_one(SPI_OK_INSERT,
							  "INSERT INTO depot.repository_metadata (repository, role, version, content)"
							  " VALUES ($1, $2, $3, $4) ON CONFLICT (repository, role, version) DO UPDATE"
							  " SET content = excluded.content, recorded_at = clock_timestamp()",
							  lengthof(types), types, values);
	pfree(content);
}

void
depot_catalog_remove_metadata(const char *repository, const DepotMetadataRow *row)
{
	Oid			types[] = {TEXTOID, TEXTOID, INT8OID};
	Datum		values[] = {
		CStringGetTextDatum(repository), CStringGetTextDatum(row->role), Int64GetDatum(row->version)
	};

	depot_catalog_execute(SPI_OK_DELETE,
						  "DELETE FROM depot.repository_metadata"
						  " WHERE repository = $1 AND role = $2 AND version = $3",
						  lengthof(types), types, values, NULL);
}
