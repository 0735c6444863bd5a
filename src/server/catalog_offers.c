/*-------------------------------------------------------------------------
 *
 * catalog_offers.c
 *	  The depot's tables: recording what a repository offers.
 *
 * A statement for each of ten thousand rows takes twice as long as twenty
 * with five hundred each, so rows go as one array.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* So many rows of common size fit work_mem's least default, where unnest keeps them. */
#define ROWS_AT_ONCE 500

#define COLUMN_COUNT 11

#define INSERT_OFFERS \
	"INSERT INTO depot.available (repository, target, package, version, kind, names, extensions, size_bytes," \
	" unpacked_bytes, sha256, summary, custom)" \
	" SELECT $1, target, package, version, kind, names, extensions, size_bytes, unpacked_bytes, sha256," \
	" summary, custom FROM unnest($2) AS offer (target text, package text, version text, kind text," \
	" names text[], extensions text[], size_bytes bigint, unpacked_bytes bigint, sha256 text, summary text," \
	" custom json)"

/* Describes a row as the statement's list of columns does. */
static TupleDesc
describe_offer(void)
{
	static const Oid types[COLUMN_COUNT] = {
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, INT8OID, INT8OID, TEXTOID, TEXTOID, JSONOID
	};
	TupleDesc	description = CreateTemplateTupleDesc(COLUMN_COUNT);

	for (int i = 0; i < COLUMN_COUNT; i++)
		TupleDescInitEntry(description, (AttrNumber) (i + 1), NULL, types[i], -1, 0);
	return BlessTupleDesc(description);
}

/* custom is the text of a value that was parsed, and a json column holds nothing else. */
static Datum
form_offer(TupleDesc description, const DepotOfferRow *row)
{
	bool		nulls[COLUMN_COUNT] = {false};
	Datum		values[COLUMN_COUNT] = {
		CStringGetTextDatum(row->target),
		CStringGetTextDatum(row->package),
		CStringGetTextDatum(row->version),
		CStringGetTextDatum(row->kind),
		depot_catalog_text_array(row->names, row->name_count),
		depot_catalog_text_array(row->names + 1, row->name_count - 1),
		Int64GetDatum(row->size_bytes),
		Int64GetDatum(row->unpacked_bytes),
		CStringGetTextDatum(row->sha256),
		depot_catalog_text_datum(row->summary),
		CStringGetTextDatum(row->custom)
	};

	return HeapTupleGetDatum(heap_form_tuple(description, values, nulls));
}

static void
add_some(const char *repository, const DepotOfferRow *rows, int count)
{
	TupleDesc	description = describe_offer();
	Datum	   *offers = palloc(sizeof(Datum) * count);
	Oid			types[] = {TEXTOID, RECORDARRAYOID};
	Datum		values[lengthof(types)];

	for (int i = 0; i < count; i++)
		offers[i] = form_offer(description, &rows[i]);
	values[0] = CStringGetTextDatum(repository);
	values[1] = PointerGetDatum(construct_array(offers, count, RECORDOID, -1, false, TYPALIGN_DOUBLE));
	depot_catalog_execute_exactly((uint64) count, SPI_OK_INSERT, INSERT_OFFERS, lengthof(types), types, values);
}

void
depot_catalog_add_available(const char *repository, const DepotOfferRow *rows, int count)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_depot offers", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);

	for (int done = 0; done < count; done += ROWS_AT_ONCE)
	{
		add_some(repository, rows + done, Min(count - done, ROWS_AT_ONCE));
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}
