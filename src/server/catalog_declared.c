/*-------------------------------------------------------------------------
 *
 * catalog_declared.c
 *	  The depot's tables: the entries of the declared list.
 *
 * What has not changed is not written, so that looking at the list again and again costs no WAL.
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
#include "utils/array.h"
#include "utils/builtins.h"

#define NEW_ROWS \
	"unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])" \
	" AS n (ordinal, name, version_constraint, package, version, state, reason)"
#define NEW_ROWS_COUNT 7
/* Entries are told apart by name and constraint: they keep state and time when they move in the list. */
#define SAME_ENTRY(a, b) \
	a ".name = " b ".name AND coalesce(" a ".version_constraint, '') = coalesce(" b ".version_constraint, '')"

static Datum
int_array(const int *values, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		elements[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* An array of texts that may be NULL. */
static Datum
text_array(const char *const *strings, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(count, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(count, 1));
	int			dimensions[] = {count};
	int			lower_bounds[] = {1};

	for (int i = 0; i < count; i++)
	{
		nulls[i] = strings[i] == NULL;
		elements[i] = nulls[i] ? (Datum) 0 : depot_catalog_text_datum(strings[i]);
	}
	if (count == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	return PointerGetDatum(construct_md_array(elements, nulls, 1, dimensions, lower_bounds, TEXTOID, -1, false,
											  TYPALIGN_INT));
}

static void
fill_values(const DepotDeclaredRow *rows, int count, Datum values[NEW_ROWS_COUNT])
{
	int		   *ordinals = palloc(sizeof(int) * Max(count, 1));
	const char **columns[NEW_ROWS_COUNT - 1];

	for (size_t i = 0; i < lengthof(columns); i++)
		columns[i] = palloc(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		ordinals[i] = rows[i].ordinal;
		columns[0][i] = rows[i].name;
		columns[1][i] = rows[i].version_constraint;
		columns[2][i] = rows[i].package;
		columns[3][i] = rows[i].version;
		columns[4][i] = rows[i].state;
		columns[5][i] = rows[i].reason;
	}
	values[0] = int_array(ordinals, count);
	for (size_t i = 0; i < lengthof(columns); i++)
		values[i + 1] = text_array(columns[i], count);
}

void
depot_catalog_write_declared(const DepotDeclaredRow *rows, int count, bool *is_new)
{
	Oid			types[] = {INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID};
	Datum		values[NEW_ROWS_COUNT];
	uint64		found;

	fill_values(rows, count, values);
	if (is_new != NULL)
	{
		memset(is_new, 0, sizeof(bool) * count);
		found = depot_catalog_execute(SPI_OK_SELECT,
									  "SELECT n.ordinal::bigint FROM " NEW_ROWS " LEFT JOIN depot.declared o"
									  " ON " SAME_ENTRY("o", "n") " AND"
									  " (o.state = n.state OR n.state = 'pending' AND o.state IN ('failed', 'refused'))"
									  " WHERE o.name IS NULL",
									  lengthof(types), types, values, NULL);
		for (uint64 i = 0; i < found; i++)
			is_new[depot_catalog_int64(i, 1) - 1] = true;
	}

	depot_catalog_execute(SPI_OK_INSERT,
						  "WITH gone AS (DELETE FROM depot.declared WHERE ordinal > cardinality($1)),"
						  " old AS (SELECT name, version_constraint, state, min(since) AS since"
						  " FROM depot.declared GROUP BY 1, 2, 3),"
						  " tried AS (SELECT DISTINCT ON (name, coalesce(version_constraint, '')) *"
						  " FROM depot.declared ORDER BY name, coalesce(version_constraint, ''), ordinal),"
						  " new AS (SELECT n.ordinal, n.name, n.version_constraint, n.package, n.version,"
						  " coalesce(f.state, n.state) AS state,"
						  " CASE WHEN f.name IS NULL THEN n.reason ELSE f.reason END AS reason"
						  " FROM " NEW_ROWS " LEFT JOIN tried f ON " SAME_ENTRY("f", "n") " AND n.state = 'pending'"
						  " AND (f.state = 'failed' OR f.state = 'refused' AND n.version IS NULL))"
						  " INSERT INTO depot.declared"
						  " (ordinal, name, version_constraint, package, version, state, reason, since)"
						  " SELECT n.*, coalesce(o.since, now()) FROM new n"
						  " LEFT JOIN old o ON " SAME_ENTRY("o", "n") " AND o.state = n.state"
						  " WHERE NOT EXISTS (SELECT FROM depot.declared s WHERE s.ordinal = n.ordinal AND"
						  " (s.name, s.version_constraint, s.package, s.version, s.state, s.reason)"
						  " IS NOT DISTINCT FROM"
						  " (n.name, n.version_constraint, n.package, n.version, n.state, n.reason))"
						  " ON CONFLICT (ordinal) DO UPDATE SET name = excluded.name,"
						  " version_constraint = excluded.version_constraint, package = excluded.package,"
						  " version = excluded.version, state = excluded.state, reason = excluded.reason,"
						  " since = excluded.since",
						  lengthof(types), types, values, NULL);
}

int
depot_catalog_note_declared(const int *ordinals, int count, const char *state, const char *reason)
{
	Oid			types[] = {INT4ARRAYOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		int_array(ordinals, count),
		CStringGetTextDatum(state),
		reason != NULL ? depot_catalog_text_datum(reason) : (Datum) 0
	};

	return (int)
		depot_catalog_execute(SPI_OK_UPDATE,
							  "UPDATE depot.declared d SET reason = $3, state = $2,"
							  " since = CASE WHEN d.state = $2 THEN d.since ELSE now() END,"
							  " version = CASE WHEN $2 = 'ok' THEN (SELECT i.version FROM depot.installed i"
							  " WHERE i.package = d.package AND i.state = 'installed') ELSE d.version END"
							  " WHERE d.ordinal = ANY ($1) AND (d.state, d.reason) IS DISTINCT FROM ($2, $3)",
							  lengthof(types), types, values, reason != NULL ? "   " : "  n");
}

void
depot_catalog_mark_declared(const char *const *packages, int count)
{
	Oid			types[] = {TEXTARRAYOID};
	Datum		values[] = {depot_catalog_text_array(packages, count)};

	depot_catalog_execute(SPI_OK_UPDATE,
						  "UPDATE depot.installed SET why = 'declared'"
						  " WHERE package = ANY ($1) AND state = 'installed' AND why = 'dependency'",
						  lengthof(types), types, values, NULL);
}
