/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  The depot's tables: transactions, statements and their results.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "server/compat.h"
#include "server/message.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Far more than there are different statements. */
#define PLANS_MAX 128

static MemoryContext result_context = NULL;
static uint64 commit_count = 0;
static bool are_tables_checked = false; /* in this transaction */

pg_noreturn static void raise_altered(void);

/*
 * What ALTER ROLE or ALTER DATABASE may have set, a search_path above all, must not reach our own statements.
 * Nor do statistics choose how depot.available is read, which a refresh empties and fills between two looks of
 * autovacuum: every statement that can be answered by an index is.  That costs the planner's numbers their meaning,
 * and jit goes by those.
 */
void
depot_catalog_pin_session(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"synchronous_commit", "local"},
		{"lock_timeout", "100ms"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"session_replication_role", "origin"},
		{"row_security", "off"},
		{"enable_seqscan", "off"},
		{"jit", "off"},
		{"DateStyle", "ISO, MDY"},
		{"standard_conforming_strings", "on"},
		DEPOT_NO_TRANSACTION_TIMEOUT
		{"role", "none"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

void
depot_catalog_begin(void)
{
	result_context = CurrentMemoryContext;
	are_tables_checked = false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
depot_catalog_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	commit_count++;
	pgstat_report_stat(true);
	MemoryContextSwitchTo(result_context);
}

void
depot_catalog_commit_unflushed(void)
{
	/* As SET LOCAL does: with a lower source it would stay so. */
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
							 false);
	depot_catalog_commit();
}

uint64
depot_catalog_commit_count(void)
{
	return commit_count;
}

static void
raise_altered(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("a table of extension pg_depot does not take what is written to it"),
			 errhint("Somebody has put a trigger or a rule on it: remove that.")));
	pg_unreachable();
}

/*
 * Returns a plan that is kept for the next time: planning takes longer than running most of these statements.
 * One text always comes with the same types.
 */
static SPIPlanPtr
kept_plan(const char *sql, int count, Oid *types)
{
	static struct
	{
		const char *sql;
		SPIPlanPtr	plan;
	}			kept[PLANS_MAX];
	static int	kept_count = 0;
	SPIPlanPtr	plan;

	for (int i = 0; i < kept_count; i++)
		if (strcmp(kept[i].sql, sql) == 0)
			return kept[i].plan;
	plan = SPI_prepare(sql, count, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare a statement");
	if (kept_count < PLANS_MAX)
	{
		const char *copy = MemoryContextStrdup(TopMemoryContext, sql);

		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "could not keep a plan");
		kept[kept_count].sql = copy;
		kept[kept_count++].plan = plan;
	}
	return plan;
}

static void
check_tables_once(void)
{
	if (are_tables_checked || !RecoveryInProgress())
		return;
	depot_catalog_check_tables();
	are_tables_checked = true;
}

/*
 * Runs a statement with text, bigint, boolean and array parameters; types as in
 * SPI_execute_with_args.  Fails unless it ends with expected.
 */
uint64
depot_catalog_execute(int expected, const char *sql, int count, Oid *types, Datum *values, const char *nulls)
{
	int			result;

	check_tables_once();
	result = SPI_execute_plan(kept_plan(sql, count, types), values, nulls, false, 0);
	if (result != expected)
		raise_altered();
	return SPI_processed;
}

void
depot_catalog_execute_exactly(uint64 wanted, int expected, const char *sql, int count, Oid *types, Datum *values)
{
	if (depot_catalog_execute(expected, sql, count, types, values, NULL) != wanted)
		raise_altered();
}

void
depot_catalog_execute_one(int expected, const char *sql, int count, Oid *types, Datum *values)
{
	depot_catalog_execute_exactly(1, expected, sql, count, types, values);
}

/* What rows hold that are read together, without reading what stands outside of them. */
static uint64
sum_of_lengths(uint64 count)
{
	TupleDesc	columns = SPI_tuptable->tupdesc;
	uint64		bytes = 0;

	for (uint64 i = 0; i < count; i++)
		for (int column = 1; column <= columns->natts; column++)
		{
			bool		is_null;
			Datum		value = SPI_getbinval(SPI_tuptable->vals[i], columns, column, &is_null);

			if (!is_null && TupleDescAttr(columns, column - 1)->attlen == -1)
				bytes += toast_raw_datum_size(value);
		}
	return bytes;
}

static bool
is_within(const DepotTableLimits *limits, uint64 count)
{
	return count <= (uint64) limits->rows && sum_of_lengths(count) <= (uint64) limits->bytes;
}

/* Whoever writes rows by hand on the primary must not fill the memory of every leader of the cluster. */
void
depot_catalog_check_size(const DepotTableLimits *limits, uint64 count)
{
	if (is_within(limits, count))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("table %s is too large to be read", limits->table),
			 count > (uint64) limits->rows ? errdetail("It has more than %d rows.", limits->rows) :
			 errdetail("Its rows, with what belongs to them, have more than %d bytes.", limits->bytes),
			 errhint("Delete from it, on the primary, what nobody has added; files stay as they are until then.")));
}

void
depot_catalog_check_growth(const DepotTableLimits *limits, uint64 count)
{
	if (is_within(limits, count))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("table %s has no room for more", limits->table),
			 count > (uint64) limits->rows ? errdetail("It would have more than %d rows.", limits->rows) :
			 errdetail("Its rows, with what belongs to them, would have more than %d bytes.", limits->bytes),
			 errhint("%s", limits->room_hint)));
}

/* Value of a column of the current result as text in the result context; NULL for NULL. */
char *
depot_catalog_text(uint64 row, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return value != NULL ? depot_catalog_strdup(value) : NULL;
}

Datum
depot_catalog_value(uint64 row, int column, Oid type, bool *is_null)
{
	TupleDesc	columns = SPI_tuptable->tupdesc;

	if (SPI_gettypeid(columns, column) != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of a table of extension pg_depot is not of type %s", SPI_fname(columns, column),
						format_type_be(type)),
				 errhint("Drop extension pg_depot and create it again; what is installed stays.")));
	return SPI_getbinval(SPI_tuptable->vals[row], columns, column, is_null);
}

int64
depot_catalog_int64(uint64 row, int column)
{
	bool		is_null;
	Datum		value = depot_catalog_value(row, column, INT8OID, &is_null);

	return is_null ? 0 : DatumGetInt64(value);
}

bool
depot_catalog_bool(uint64 row, int column)
{
	bool		is_null;
	Datum		value = depot_catalog_value(row, column, BOOLOID, &is_null);

	return !is_null && DatumGetBool(value);
}

char *
depot_catalog_strdup(const char *string)
{
	return MemoryContextStrdup(result_context, string);
}

void *
depot_catalog_alloc(Size bytes)
{
	return MemoryContextAllocZero(result_context, bytes);
}

static void
free_manifest(void *argument)
{
	depot_manifest_free(argument);
}

/*
 * Reads a custom.pg_depot text as a manifest that is freed with the result
 * context.  NULL when it does not pass, with error set.
 */
const DepotManifest *
depot_catalog_manifest(const char *custom, const char *target, char manifest_sha256[65], DepotError *error)
{
	MemoryContextCallback *callback = depot_catalog_alloc(sizeof(*callback));
	DepotManifest *manifest = depot_message_manifest(custom, target, manifest_sha256, error);

	if (manifest == NULL)
		return NULL;
	callback->func = free_manifest;
	callback->arg = manifest;
	MemoryContextRegisterResetCallback(result_context, callback);
	return manifest;
}

/* UTF-8 from a manifest as the database can hold it: what it cannot becomes '?'. */
Datum
depot_catalog_text_datum(const char *utf8)
{
	char	   *copy;

	if (GetDatabaseEncoding() == PG_UTF8)
		return CStringGetTextDatum(utf8);
	copy = pstrdup(utf8);
	for (char *c = copy; *c != '\0'; c++)
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	return CStringGetTextDatum(copy);
}

Datum
depot_catalog_text_array(const char *const *strings, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		elements[i] = depot_catalog_text_datum(strings[i]);
	return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

bool
depot_catalog_exists(void)
{
	bool		exists = OidIsValid(get_extension_oid("pg_depot", true));

	if (exists)
		check_tables_once();
	return exists;
}

/* The row comes back by itself when somebody has emptied the table.  Leaders hear of the commit (catalog_changes.c). */
void
depot_catalog_bump_generation(void)
{
	CacheInvalidateRelcacheByRelid(depot_catalog_generation_table());
	depot_catalog_execute(SPI_OK_INSERT,
						  "INSERT INTO depot.generation AS g (generation) VALUES (1)"
						  " ON CONFLICT (singleton) DO UPDATE SET generation = g.generation + 1",
						  0, NULL, NULL, NULL);
}

int64
depot_catalog_generation(void)
{
	if (depot_catalog_execute(SPI_OK_SELECT, "SELECT generation::bigint FROM depot.generation LIMIT 1",
							  0, NULL, NULL, NULL) == 0)
		return 0;
	return depot_catalog_int64(0, 1);
}

bool
depot_catalog_role_is_superuser(Oid role)
{
	return superuser_arg(role);
}
