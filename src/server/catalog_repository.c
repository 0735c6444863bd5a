/*-------------------------------------------------------------------------
 *
 * catalog_repository.c
 *	  The depot's tables: repositories, and the names of what they offer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/fetch.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

/*
 * Copies a text[] column into C strings of the result context.  Short elements take far more memory there than in the
 * row, so their number is looked at first.
 */
static int
read_mirrors(uint64 row, int column, const char ***strings)
{
	bool		is_null;
	Datum		value = depot_catalog_value(row, column, TEXTARRAYOID, &is_null);
	ArrayType  *array;
	Datum	   *elements;
	int			count;

	*strings = NULL;
	if (is_null)
		return 0;
	array = DatumGetArrayTypeP(value);
	if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) > DEPOT_FETCH_MAX_BASES - 1)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a row of depot.repository has more than %d mirrors", DEPOT_FETCH_MAX_BASES - 1),
				 errhint("Somebody has written it by hand, on the primary: set its mirrors to fewer there.")));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	*strings = depot_catalog_alloc(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
		(*strings)[i] = depot_catalog_strdup(TextDatumGetCString(elements[i]));
	return count;
}

static const DepotTableLimits repository_limits = {
	.table = "depot.repository",
	.rows = 1000,
	.bytes = 32000000,
	.room_hint = "Drop repositories that are not needed with drop_extension_repository."
};

static uint64
select_repositories(const char *name)
{
	Oid			types[] = {TEXTOID, INT8OID};
	Datum		values[] = {
		name != NULL ? CStringGetTextDatum(name) : (Datum) 0, Int64GetDatum(repository_limits.rows + 1)
	};

	return depot_catalog_execute(SPI_OK_SELECT,
								 "SELECT name, coalesce(url, ''), mirrors::text[], priority::bigint, trusted_root,"
								 " CASE WHEN trusted_root IS NULL THEN coalesce(root_sha256, '') END,"
								 " refreshed_at IS NOT NULL,"
								 " extract(epoch FROM clock_timestamp() - refreshed_at)::bigint,"
								 " coalesce(expires_at <= clock_timestamp(), false), snapshot_version::bigint,"
								 " EXISTS (SELECT FROM depot.available a WHERE a.repository = name),"
								 " coalesce(all_key_types, false)"
								 " FROM (SELECT * FROM depot.repository"
								 " WHERE name IS NOT NULL AND ($1 IS NULL OR name = $1) LIMIT $2) r"
								 " ORDER BY priority, name",
								 lengthof(types), types, values, name != NULL ? "  " : "n ");
}

int
depot_catalog_read_repositories(const char *name, DepotRepositoryRow **rows)
{
	uint64		count = select_repositories(name);

	depot_catalog_check_size(&repository_limits, count);
	*rows = depot_catalog_alloc(sizeof(DepotRepositoryRow) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		DepotRepositoryRow *row = &(*rows)[i];

		row->name = depot_catalog_text(i, 1);
		row->url = depot_catalog_text(i, 2);
		row->mirror_count = read_mirrors(i, 3, &row->mirrors);
		row->priority = (int) depot_catalog_int64(i, 4);
		row->trusted_root = depot_catalog_text(i, 5);
		if (row->trusted_root != NULL)
			row->trusted_root = depot_catalog_strdup(pg_server_to_any(row->trusted_root,
																	  (int) strlen(row->trusted_root), PG_UTF8));
		row->root_sha256 = depot_catalog_text(i, 6);
		row->is_refreshed = depot_catalog_bool(i, 7);
		row->refreshed_age_s = depot_catalog_int64(i, 8);
		row->is_expired = depot_catalog_bool(i, 9);
		row->snapshot_version = depot_catalog_int64(i, 10);
		row->has_available = depot_catalog_bool(i, 11);
		row->all_key_types = depot_catalog_bool(i, 12);
	}
	return (int) count;
}

void
depot_catalog_add_repository(const DepotRepositoryRow *row, const char *added_by)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTARRAYOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID};
	Datum		values[] = {
		CStringGetTextDatum(row->name),
		CStringGetTextDatum(row->url),
		depot_catalog_text_array(row->mirrors, row->mirror_count),
		Int32GetDatum(row->priority),
		row->trusted_root != NULL ?
		CStringGetTextDatum(pg_any_to_server(row->trusted_root, (int) strlen(row->trusted_root), PG_UTF8)) : (Datum) 0,
		row->root_sha256 != NULL ? CStringGetTextDatum(row->root_sha256) : (Datum) 0,
		CStringGetTextDatum(added_by),
		BoolGetDatum(row->all_key_types)
	};
	char		nulls[] = "        ";

	nulls[4] = row->trusted_root != NULL ? ' ' : 'n';
	nulls[5] = row->root_sha256 != NULL ? ' ' : 'n';
	depot_catalog_execute(SPI_OK_INSERT,
						  "INSERT INTO depot.repository (name, url, mirrors, priority, trusted_root,"
						  " root_sha256, added_by, all_key_types)"
						  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
						  lengthof(types), types, values, nulls);
	depot_catalog_check_growth(&repository_limits, select_repositories(NULL));
}

bool
depot_catalog_drop_repository(const char *name)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};

	depot_catalog_clear_available(name);
	depot_catalog_write_roles(name, NULL, 0);
	depot_catalog_execute(SPI_OK_DELETE, "DELETE FROM depot.repository_metadata WHERE repository = $1",
						  1, types, values, NULL);
	return depot_catalog_execute(SPI_OK_DELETE, "DELETE FROM depot.repository WHERE name = $1",
								 1, types, values, NULL) > 0;
}

bool
depot_catalog_note_refresh(const char *repository, int64 snapshot_version, int64 expires_epoch_s)
{
	Oid			types[] = {TEXTOID, INT8OID, INT8OID};
	Datum		values[] = {
		CStringGetTextDatum(repository), Int64GetDatum(expires_epoch_s), Int64GetDatum(snapshot_version)
	};

	return depot_catalog_execute(SPI_OK_UPDATE,
								 "UPDATE depot.repository SET refreshed_at = clock_timestamp(),"
								 " expires_at = to_timestamp($2), snapshot_version = $3, failed_at = NULL,"
								 " error = NULL WHERE name = $1",
								 lengthof(types), types, values, NULL) > 0;
}

void
depot_catalog_clear_available(const char *repository)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(repository)};

	depot_catalog_execute(SPI_OK_DELETE, "DELETE FROM depot.available WHERE repository = $1",
						  1, types, values, NULL);
	depot_catalog_execute(SPI_OK_DELETE, "DELETE FROM depot.withdrawn WHERE repository = $1",
						  1, types, values, NULL);
}

int
depot_catalog_count_available(const char *repository)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(repository)};

	depot_catalog_execute(SPI_OK_SELECT, "SELECT count(*) FROM depot.available WHERE repository = $1",
						  1, types, values, NULL);
	return (int) depot_catalog_int64(0, 1);
}

int
depot_catalog_near_names(const char *name, int limit, char **names)
{
	int			distances[8];
	int			count = 0;
	int			name_length = (int) strlen(name);
	uint64		rows;

	limit = Min(limit, (int) lengthof(distances));
	rows = depot_catalog_execute(SPI_OK_SELECT,
								 "SELECT DISTINCT n FROM depot.available, unnest(names) n WHERE n IS"
								 " NOT NULL ORDER BY 1",
								 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		char	   *candidate = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		int			length = (int) strlen(candidate);
		int			limit_distance = Max(name_length, length) / 2;
		int			distance;
		int			place;

		if (strstr(candidate, name) != NULL)
			distance = 1;		/* "gis" is near "postgis" */
		else
			distance = varstr_levenshtein_less_equal(name, name_length, candidate, length, 1, 1, 1,
													 limit_distance, true);
		if (distance > limit_distance)
			continue;
		for (place = count; place > 0 && distances[place - 1] > distance; place--)
			if (place < limit)
			{
				distances[place] = distances[place - 1];
				names[place] = names[place - 1];
			}
		if (place < limit)
		{
			distances[place] = distance;
			names[place] = depot_catalog_strdup(candidate);
			count = Min(count + 1, limit);
		}
	}
	return count;
}
