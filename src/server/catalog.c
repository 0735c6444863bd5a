/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  The depot's tables: transactions, repositories, what they offer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "server/compat.h"
#include "server/message.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

static MemoryContext result_context = NULL;
/* Far more than there are different statements. */
#define PLANS_MAX 128

static uint64 commit_count = 0;

pg_noreturn static void raise_altered(void);

/* What ALTER ROLE or ALTER DATABASE may have set, a search_path above all, must not reach our own statements. */
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
		{"DateStyle", "ISO, MDY"},
		{"role", "none"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

void
depot_catalog_begin(void)
{
	result_context = CurrentMemoryContext;
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

/*
 * Runs a statement with text, bigint, boolean and array parameters; types as in
 * SPI_execute_with_args.  Fails unless it ends with expected.
 */
uint64
depot_catalog_execute(int expected, const char *sql, int count, Oid *types, Datum *values, const char *nulls)
{
	int			result = SPI_execute_plan(kept_plan(sql, count, types), values, nulls, false, 0);

	if (result != expected)
		raise_altered();
	return SPI_processed;
}

void
depot_catalog_execute_one(int expected, const char *sql, int count, Oid *types, Datum *values)
{
	if (depot_catalog_execute(expected, sql, count, types, values, NULL) != 1)
		raise_altered();
}

/* Value of a column of the current result as text in the result context; NULL for NULL. */
char *
depot_catalog_text(uint64 row, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return value != NULL ? MemoryContextStrdup(result_context, value) : NULL;
}

int64
depot_catalog_int64(uint64 row, int column)
{
	bool		is_null;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);

	return is_null ? 0 : DatumGetInt64(value);
}

bool
depot_catalog_bool(uint64 row, int column)
{
	bool		is_null;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);

	return !is_null && DatumGetBool(value);
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
	return OidIsValid(get_extension_oid("pg_depot", true));
}

/* The row comes back by itself when somebody has emptied the table. */
void
depot_catalog_bump_generation(void)
{
	depot_catalog_execute(SPI_OK_INSERT,
						  "INSERT INTO depot.generation AS g (generation) VALUES (1)"
						  " ON CONFLICT (singleton) DO UPDATE SET generation = g.generation + 1",
						  0, NULL, NULL, NULL);
}

int64
depot_catalog_generation(void)
{
	if (depot_catalog_execute(SPI_OK_SELECT, "SELECT generation::bigint FROM depot.generation",
							  0, NULL, NULL, NULL) == 0)
		return 0;
	return depot_catalog_int64(0, 1);
}

/* Copies a text[] column into C strings of the result context. */
static int
read_text_array(uint64 row, int column, const char ***strings)
{
	bool		is_null;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
	Datum	   *elements;
	int			count;

	*strings = NULL;
	if (is_null)
		return 0;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	*strings = depot_catalog_alloc(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
		(*strings)[i] = MemoryContextStrdup(result_context, TextDatumGetCString(elements[i]));
	return count;
}

int
depot_catalog_read_repositories(const char *name, DepotRepositoryRow **rows)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {name != NULL ? CStringGetTextDatum(name) : (Datum) 0};
	uint64		count;

	count = depot_catalog_execute(SPI_OK_SELECT,
								  "SELECT name, coalesce(url, ''), mirrors::text[], priority::bigint, trusted_root,"
								  " CASE WHEN trusted_root IS NULL THEN coalesce(root_sha256, '') END,"
								  " refreshed_at IS NOT NULL,"
								  " extract(epoch FROM clock_timestamp() - refreshed_at)::bigint,"
								  " coalesce(expires_at <= clock_timestamp(), false), snapshot_version::bigint,"
								  " EXISTS (SELECT FROM depot.available a WHERE a.repository = name)"
								  " FROM depot.repository WHERE name IS NOT NULL AND ($1 IS NULL OR name = $1)"
								  " ORDER BY priority, name",
								  1, types, values, name != NULL ? " " : "n");
	*rows = depot_catalog_alloc(sizeof(DepotRepositoryRow) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		DepotRepositoryRow *row = &(*rows)[i];

		row->name = depot_catalog_text(i, 1);
		row->url = depot_catalog_text(i, 2);
		row->mirror_count = read_text_array(i, 3, &row->mirrors);
		row->priority = (int) depot_catalog_int64(i, 4);
		row->trusted_root = depot_catalog_text(i, 5);
		if (row->trusted_root != NULL)
			row->trusted_root = MemoryContextStrdup(result_context,
													pg_server_to_any(row->trusted_root,
																	 (int) strlen(row->trusted_root), PG_UTF8));
		row->root_sha256 = depot_catalog_text(i, 6);
		row->is_refreshed = depot_catalog_bool(i, 7);
		row->refreshed_age_s = depot_catalog_int64(i, 8);
		row->is_expired = depot_catalog_bool(i, 9);
		row->snapshot_version = depot_catalog_int64(i, 10);
		row->has_available = depot_catalog_bool(i, 11);
	}
	return (int) count;
}

void
depot_catalog_add_repository(const DepotRepositoryRow *row, const char *added_by)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTARRAYOID, INT4OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(row->name),
		CStringGetTextDatum(row->url),
		depot_catalog_text_array(row->mirrors, row->mirror_count),
		Int32GetDatum(row->priority),
		row->trusted_root != NULL ?
		CStringGetTextDatum(pg_any_to_server(row->trusted_root, (int) strlen(row->trusted_root), PG_UTF8)) : (Datum) 0,
		row->root_sha256 != NULL ? CStringGetTextDatum(row->root_sha256) : (Datum) 0,
		CStringGetTextDatum(added_by)
	};
	char		nulls[] = "       ";

	nulls[4] = row->trusted_root != NULL ? ' ' : 'n';
	nulls[5] = row->root_sha256 != NULL ? ' ' : 'n';
	depot_catalog_execute(SPI_OK_INSERT,
						  "INSERT INTO depot.repository (name, url, mirrors, priority, trusted_root,"
						  " root_sha256, added_by)"
						  " VALUES ($1, $2, $3, $4, $5, $6, $7)",
						  lengthof(types), types, values, nulls);
}

bool
depot_catalog_drop_repository(const char *name)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};

	depot_catalog_clear_available(name);
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
								 " expires_at = to_timestamp($2), snapshot_version = $3 WHERE name = $1",
								 lengthof(types), types, values, NULL) > 0;
}

void
depot_catalog_clear_available(const char *repository)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(repository)};

	depot_catalog_execute(SPI_OK_DELETE, "DELETE FROM depot.available WHERE repository = $1",
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

/* Names of a manifest's extensions; the array is palloc'd, the strings are borrowed. */
static const char **
extension_names(const DepotManifest *manifest)
{
	const char **names = palloc(sizeof(char *) * (manifest->extension_count + 1));

	for (int i = 0; i < manifest->extension_count; i++)
		names[i] = manifest->extensions[i].name;
	return names;
}

void
depot_catalog_add_available(const char *repository, const DepotAvailableRow *row)
{
	static SPIPlanPtr plan = NULL;
	const DepotManifest *manifest = row->manifest;
	const char **names = palloc(sizeof(char *) * (manifest->extension_count + 1));
	const char **extensions = extension_names(manifest);
	Datum		values[12];

	if (plan == NULL)
	{
		Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID,
		INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID};

		plan = SPI_prepare("INSERT INTO depot.available (repository, target, package, version, kind, names, extensions,"
						   " size_bytes, unpacked_bytes, sha256, summary, custom)"
						   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::json)",
						   lengthof(types), types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare a statement");
	}

	names[0] = manifest->package;
	for (int i = 0; i < manifest->extension_count; i++)
		names[i + 1] = extensions[i];

	values[0] = CStringGetTextDatum(repository);
	values[1] = CStringGetTextDatum(row->target);
	values[2] = CStringGetTextDatum(manifest->package);
	values[3] = CStringGetTextDatum(manifest->version);
	values[4] = CStringGetTextDatum(depot_manifest_kind_name(manifest->kind));
	values[5] = depot_catalog_text_array(names, manifest->extension_count + 1);
	values[6] = depot_catalog_text_array(extensions, manifest->extension_count);
	values[7] = Int64GetDatum(row->size_bytes);
	values[8] = Int64GetDatum((int64) depot_manifest_unpacked_bytes(manifest));
	values[9] = CStringGetTextDatum(row->sha256);
	values[10] = depot_catalog_text_datum(manifest->summary);
	values[11] = CStringGetTextDatum(row->custom);
	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not record target \"%s\"", row->target);
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
			names[place] = MemoryContextStrdup(result_context, candidate);
			count = Min(count + 1, limit);
		}
	}
	return count;
}

bool
depot_catalog_role_is_superuser(Oid role)
{
	return superuser_arg(role);
}
