/*-------------------------------------------------------------------------
 *
 * catalog_payload.c
 *	  The depot's tables: packages byte for byte, in pieces.
 *
 * Rows are written and removed past the executor, so that logical decoding sees nothing of
 * them: they are bulk that only physical standbys have a use for.  No trigger, rule or
 * publication is asked either.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "server/compat.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#define DIGEST_BYTES 32

enum
{
	COLUMN_DIGEST,
	COLUMN_CHUNK,
	COLUMN_DATA,
	COLUMN_COUNT
};

/* Opens the table, after a look whether it has the columns that are written to it without being named. */
static Relation
open_payload(void)
{
	static const Oid types[] = {BYTEAOID, INT4OID, BYTEAOID};
	Oid			oid = get_relname_relid("payload", get_namespace_oid("depot", false));
	Relation	relation = table_open(oid, RowExclusiveLock);
	TupleDesc	columns = RelationGetDescr(relation);
	bool		is_ours = relation->rd_rel->relkind == RELKIND_RELATION && columns->natts == COLUMN_COUNT;

	for (int i = 0; is_ours && i < COLUMN_COUNT; i++)
		is_ours = TupleDescAttr(columns, i)->atttypid == types[i];
	if (!is_ours)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table depot.payload does not have the columns that it was created with"),
				 errhint("Drop extension pg_depot and create it again; what is installed stays.")));
	return relation;
}

static bytea *
digest_bytes(const char *digest)
{
	bytea	   *bytes = palloc(VARHDRSZ + DIGEST_BYTES);

	SET_VARSIZE(bytes, VARHDRSZ + DIGEST_BYTES);
	(void) hex_decode(digest, (Size) 2 * DIGEST_BYTES, VARDATA(bytes));
	return bytes;
}

void
depot_catalog_add_payload(const char *digest, int first_chunk, const char *bytes, Size length)
{
	Relation	relation = open_payload();
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	BulkInsertState bulk = GetBulkInsertState();
	EState	   *state = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	bytea	   *key = digest_bytes(digest);
	bytea	   *data = palloc(VARHDRSZ + DEPOT_PAYLOAD_CHUNK_BYTES);

	InitResultRelInfo(target, relation, 0, NULL, 0);
	ExecOpenIndices(target, false);
	for (Size done = 0; done < length; done += DEPOT_PAYLOAD_CHUNK_BYTES)
	{
		Size		chunk_bytes = Min(length - done, DEPOT_PAYLOAD_CHUNK_BYTES);

		/* All of them anew: the slot has replaced them by what is in its own tuple. */
		ExecClearTuple(slot);
		slot->tts_values[COLUMN_DIGEST] = PointerGetDatum(key);
		slot->tts_values[COLUMN_DATA] = PointerGetDatum(data);
		slot->tts_values[COLUMN_CHUNK] = Int32GetDatum(first_chunk++);
		memcpy(VARDATA(data), bytes + done, chunk_bytes);
		SET_VARSIZE(data, VARHDRSZ + chunk_bytes);
		memset(slot->tts_isnull, false, sizeof(bool) * COLUMN_COUNT);
		ExecStoreVirtualTuple(slot);
		table_tuple_insert(relation, slot, GetCurrentCommandId(true), TABLE_INSERT_NO_LOGICAL, bulk);
		(void) depot_compat_insert_index_tuples(target, slot, state);
		ResetPerTupleExprContext(state);
	}
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(state);
	FreeBulkInsertState(bulk);
	pfree(data);
	table_close(relation, NoLock);
}

int64
depot_catalog_count_payload(const char *digest)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(digest)};

	depot_catalog_execute(SPI_OK_SELECT,
						  "SELECT count(*) FROM depot.payload WHERE digest = decode($1, 'hex')",
						  lengthof(types), types, values, NULL);
	return depot_catalog_int64(0, 1);
}

/* Copies the pieces of the current result that follow each other from first_chunk, and fit. */
static Size
copy_chunks(uint64 count, int first_chunk, char *bytes, Size capacity)
{
	Size		length = 0;

	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;
		Datum		value = depot_catalog_value(i, 2, BYTEAOID, &is_null);
		bytea	   *data = is_null ? NULL : DatumGetByteaPP(value);

		/* What is short or absent ends it: somebody else wrote that. */
		if (data == NULL || depot_catalog_int64(i, 1) != first_chunk + (int64) i ||
			VARSIZE_ANY_EXHDR(data) > Min(DEPOT_PAYLOAD_CHUNK_BYTES, capacity - length))
			break;
		memcpy(bytes + length, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
		length += VARSIZE_ANY_EXHDR(data);
		if (VARSIZE_ANY_EXHDR(data) < DEPOT_PAYLOAD_CHUNK_BYTES)
			break;
	}
	return length;
}

Size
depot_catalog_read_payload(const char *digest, int first_chunk, int limit, char *bytes, Size capacity)
{
	Oid			types[] = {TEXTOID, INT4OID, INT4OID};
	Datum		values[] = {
		CStringGetTextDatum(digest), Int32GetDatum(first_chunk), Int32GetDatum(first_chunk + limit)
	};
	uint64		count;
	Size		length;

	count = depot_catalog_execute(SPI_OK_SELECT,
								  "SELECT chunk::bigint, data::bytea FROM depot.payload"
								  " WHERE digest = decode($1, 'hex') AND chunk >= $2 AND chunk < $3 ORDER BY chunk",
								  lengthof(types), types, values, NULL);
	length = copy_chunks(count, first_chunk, bytes, capacity);
	SPI_freetuptable(SPI_tuptable);
	return length;
}

int
depot_catalog_remove_payload(const char *digest, int limit)
{
	Oid			types[] = {TEXTOID, INT4OID};
	Datum		values[] = {CStringGetTextDatum(digest), Int32GetDatum(limit)};
	Relation	relation = open_payload();
	uint64		count;

	count = depot_catalog_execute(SPI_OK_SELECT,
								  "SELECT ctid FROM depot.payload WHERE digest = decode($1, 'hex') LIMIT $2",
								  lengthof(types), types, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		bool		is_null;
		Datum		place = depot_catalog_value(i, 1, TIDOID, &is_null);

		simple_heap_delete(relation, (ItemPointer) DatumGetPointer(place));
	}
	table_close(relation, NoLock);
	return (int) count;
}

char *
depot_catalog_unnamed_payload(const char *after)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(after)};

	/* From one digest to the next by the index: there are thousands of pieces to a few of them. */
	if (depot_catalog_execute(SPI_OK_SELECT,
							  "WITH RECURSIVE held AS ("
							  " SELECT (SELECT p.digest FROM depot.payload p WHERE p.digest > decode($1, 'hex')"
							  " ORDER BY p.digest LIMIT 1) AS digest"
							  " UNION ALL SELECT (SELECT p.digest FROM depot.payload p WHERE p.digest > held.digest"
							  " ORDER BY p.digest LIMIT 1) FROM held WHERE held.digest IS NOT NULL)"
							  " SELECT encode(held.digest, 'hex') FROM held WHERE held.digest IS NOT NULL"
							  " AND NOT EXISTS (SELECT FROM depot.installed_build b JOIN depot.installed i"
							  " ON i.package = b.package AND i.version = b.version AND i.state = 'installed'"
							  " WHERE b.digest = encode(held.digest, 'hex')) LIMIT 1",
							  lengthof(types), types, values, NULL) == 0)
		return NULL;
	return depot_catalog_text(0, 1);
}
