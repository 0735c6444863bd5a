/*-------------------------------------------------------------------------
 *
 * catalog_packages.c
 *	  The depot's tables: builds, what is installed, history.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "common/name.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "server/errors.h"
#include "server/platform.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* More names than this cannot end up in one plan; it also bounds a malicious chain. */
#define NAMES_MAX 1024

/* Names still to be looked for, in the order they were met. */
typedef struct NameQueue
{
	const char *names[NAMES_MAX];
	int			count;
}			NameQueue;

static void
queue_name(NameQueue *queue, const char *name)
{
	for (int i = 0; i < queue->count; i++)
		if (strcmp(queue->names[i], name) == 0)
			return;
	if (queue->count < NAMES_MAX)
		queue->names[queue->count++] = name;
}

static void
queue_needs(NameQueue *queue, const DepotManifest *manifest)
{
	for (int i = 0; i < manifest->depend_count; i++)
		queue_name(queue, manifest->depends[i].package);
	for (int i = 0; i < manifest->extension_count; i++)
		for (int j = 0; j < manifest->extensions[i].require_count; j++)
			queue_name(queue, manifest->extensions[i].requires[j]);
}

/* Whether rows holds the target already: a build may answer to several names. */
static bool
is_read(const DepotAvailableRow *rows, int count, const char *repository, const char *target)
{
	for (int i = 0; i < count; i++)
		if (strcmp(rows[i].target, target) == 0 && strcmp(rows[i].repository, repository) == 0)
			return true;
	return false;
}

int
depot_catalog_read_available(const char *name, DepotAvailableRow **rows)
{
	NameQueue  *queue = depot_catalog_alloc(sizeof(NameQueue));
	Oid			types[] = {TEXTOID};
	int			capacity = 64;
	int			count = 0;

	*rows = depot_catalog_alloc(sizeof(DepotAvailableRow) * capacity);
	queue_name(queue, name);
	for (int next = 0; next < queue->count; next++)
	{
		Datum		values[] = {CStringGetTextDatum(queue->names[next])};
		uint64		found;

		found = depot_catalog_execute(SPI_OK_SELECT,
									  "SELECT a.repository, r.priority::bigint, a.target, a.sha256,"
									  " a.size_bytes::bigint, a.custom"
									  " FROM depot.available a JOIN depot.repository r ON r.name = a.repository"
									  " WHERE a.names @> ARRAY[$1] AND a.target IS NOT NULL AND"
									  " a.sha256 ~ '^[0-9a-f]{64}$'"
									  " AND a.custom IS NOT NULL ORDER BY r.priority, a.repository, a.target",
									  1, types, values, NULL);
		for (uint64 i = 0; i < found; i++)
		{
			DepotAvailableRow *row;
			DepotError	error;
			const char *repository = depot_catalog_text(i, 1);
			const char *target = depot_catalog_text(i, 3);

			if (is_read(*rows, count, repository, target))
				continue;
			if (count == capacity)
			{
				DepotAvailableRow *larger = depot_catalog_alloc(sizeof(DepotAvailableRow) * capacity * 2);

				memcpy(larger, *rows, sizeof(DepotAvailableRow) * count);
				*rows = larger;
				capacity *= 2;
			}
			row = &(*rows)[count];
			row->repository = repository;
			row->priority = (int) depot_catalog_int64(i, 2);
			row->target = target;
			row->sha256 = depot_catalog_text(i, 4);
			row->size_bytes = depot_catalog_int64(i, 5);
			row->custom = depot_catalog_text(i, 6);
			row->manifest = depot_catalog_manifest(row->custom, target, row->manifest_sha256, &error);
			if (row->manifest == NULL)
			{
				depot_error_prefix(&error, "row of depot.available for \"%s\"", target);
				depot_errors_raise(WARNING, &error);
				continue;
			}
			count++;
			queue_needs(queue, row->manifest);
		}
	}
	return count;
}

/*
 * Reads the build of a row.  Somebody may have written the row by hand: has_build stays
 * false unless all of it is what our own code relies on.
 */
static void
read_build(DepotInstalledRow *row, const char *custom)
{
	char		manifest_sha256[65];
	DepotError	error;

	if (row->digest == NULL || row->manifest_sha256 == NULL || row->repository == NULL || row->target == NULL ||
		!depot_name_is_sha256(row->digest) || !depot_name_is_sha256(row->manifest_sha256))
		depot_error_set(&error, DEPOT_ERROR_MANIFEST, "it has no digest, repository or target");
	else
	{
		row->manifest = depot_catalog_manifest(custom, row->target, manifest_sha256, &error);
		row->has_build = row->manifest != NULL && strcmp(row->manifest->package, row->package) == 0 &&
			strcmp(row->manifest->version, row->version) == 0;
		if (row->manifest != NULL && !row->has_build)
			depot_error_set(&error, DEPOT_ERROR_MANIFEST, "it describes package \"%s\" %s",
							row->manifest->package, row->manifest->version);
	}
	if (row->has_build)
		return;
	depot_error_prefix(&error, "row of depot.installed_build for \"%s\"", row->package);
	depot_errors_raise(WARNING, &error);
}

int
depot_catalog_read_installed(DepotInstalledRow **rows)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(PG_MAJORVERSION_NUM), CStringGetTextDatum(depot_platform_name())};
	uint64		count;

	count = depot_catalog_execute(SPI_OK_SELECT,
								  "SELECT i.package, coalesce(i.version, ''), i.why, i.state = 'removed', b.digest,"
								  " b.manifest_sha256, b.repository, b.target, b.size_bytes::bigint,"
								  " b.unpacked_bytes::bigint, b.custom"
								  " FROM depot.installed i LEFT JOIN depot.installed_build b"
								  " ON b.package = i.package AND b.version = i.version AND b.major ="
								  " $1 AND b.platform = $2"
								  " WHERE i.package IS NOT NULL ORDER BY i.package",
								  2, types, values, NULL);
	*rows = depot_catalog_alloc(sizeof(DepotInstalledRow) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		DepotInstalledRow *row = &(*rows)[i];
		char	   *custom = depot_catalog_text(i, 11);

		row->package = depot_catalog_text(i, 1);
		row->version = depot_catalog_text(i, 2);
		row->why = depot_catalog_text(i, 3);
		row->is_removed = depot_catalog_bool(i, 4);
		row->digest = depot_catalog_text(i, 5);
		row->manifest_sha256 = depot_catalog_text(i, 6);
		row->repository = depot_catalog_text(i, 7);
		row->target = depot_catalog_text(i, 8);
		row->size_bytes = depot_catalog_int64(i, 9);
		row->unpacked_bytes = depot_catalog_int64(i, 10);
		if (custom != NULL)
			read_build(row, custom);
	}
	return (int) count;
}

void
depot_catalog_record_install(const DepotAvailableRow *row, bool is_requested)
{
	const DepotManifest *manifest = row->manifest;
	const char **extensions = palloc(sizeof(char *) * (manifest->extension_count + 1));
	Oid			installed_types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		installed_values[] = {
		CStringGetTextDatum(manifest->package),
		CStringGetTextDatum(manifest->version),
		CStringGetTextDatum(is_requested ? "requested" : "dependency")
	};
	Oid			build_types[] = {TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	INT8OID, INT8OID, TEXTARRAYOID, TEXTOID};
	Datum		build_values[lengthof(build_types)];

	for (int i = 0; i < manifest->extension_count; i++)
		extensions[i] = manifest->extensions[i].name;

	/* What somebody once asked for by name stays requested when it is later needed as well. */
	depot_catalog_execute_one(SPI_OK_INSERT,
							  "INSERT INTO depot.installed AS i (package, version, why, state) VALUES"
							  " ($1, $2, $3, 'installed')"
							  " ON CONFLICT (package) DO UPDATE SET version = excluded.version, changed_at = now(),"
							  " why = CASE WHEN i.state = 'installed' AND i.why = 'requested' THEN i.why"
							  " ELSE excluded.why END,"
							  " state = 'installed'",
							  lengthof(installed_types), installed_types, installed_values);

	build_values[0] = installed_values[0];
	build_values[1] = Int32GetDatum(PG_MAJORVERSION_NUM);
	build_values[2] = CStringGetTextDatum(depot_platform_name());
	build_values[3] = installed_values[1];
	build_values[4] = CStringGetTextDatum(row->sha256);
	build_values[5] = CStringGetTextDatum(row->manifest_sha256);
	build_values[6] = CStringGetTextDatum(row->repository);
	build_values[7] = CStringGetTextDatum(row->target);
	build_values[8] = Int64GetDatum(row->size_bytes);
	build_values[9] = Int64GetDatum((int64) depot_manifest_unpacked_bytes(manifest));
	build_values[10] = depot_catalog_text_array(extensions, manifest->extension_count);
	build_values[11] = CStringGetTextDatum(row->custom);
	depot_catalog_execute_one(SPI_OK_INSERT,
							  "INSERT INTO depot.installed_build (package, major, platform, version,"
							  " digest, manifest_sha256,"
							  " repository, target, size_bytes, unpacked_bytes, extensions, custom)"
							  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::json)"
							  " ON CONFLICT (package, major, platform) DO UPDATE SET version = excluded.version,"
							  " digest = excluded.digest, manifest_sha256 = excluded.manifest_sha256,"
							  " repository = excluded.repository, target = excluded.target,"
							  " size_bytes = excluded.size_bytes, unpacked_bytes = excluded.unpacked_bytes,"
							  " extensions = excluded.extensions, custom = excluded.custom",
							  lengthof(build_types), build_types, build_values);
}

void
depot_catalog_record_removal(const char *package, const char *version)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(package), CStringGetTextDatum(version)};

	depot_catalog_execute_one(SPI_OK_INSERT,
							  "INSERT INTO depot.installed (package, version, why, state) VALUES ($1,"
							  " $2, 'requested', 'removed')"
							  " ON CONFLICT (package) DO UPDATE SET state = 'removed', changed_at = now()",
							  lengthof(types), types, values);
}

void
depot_catalog_add_history(const DepotHistoryRow *row)
{
	const char *texts[] = {row->action, row->package, row->version, row->previous_version,
	row->repository, row->digest, row->source};
	char	   *role_name = OidIsValid(row->role) ? GetUserNameFromId(row->role, true) : NULL;
	char	   *database_name = OidIsValid(row->database) ? get_database_name(row->database) : NULL;
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID,
	TEXTOID, TEXTOID, INT4OID};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types) + 1] = "           ";
	long		seconds = 0;
	int			microseconds = 0;

	for (size_t i = 0; i < lengthof(texts); i++)
	{
		nulls[i] = texts[i] != NULL ? ' ' : 'n';
		values[i] = texts[i] != NULL ? CStringGetTextDatum(texts[i]) : (Datum) 0;
	}
	nulls[7] = row->size_bytes > 0 ? ' ' : 'n';
	values[7] = Int64GetDatum(row->size_bytes);
	values[8] = CStringGetTextDatum(role_name != NULL ? role_name : "pg_depot");
	values[9] = CStringGetTextDatum(database_name != NULL ? database_name : "");
	TimestampDifference(row->started_at, GetCurrentTimestamp(), &seconds, &microseconds);
	values[10] = Int32GetDatum((int32) Min(seconds, 2000000) * 1000 + microseconds / 1000);

	depot_catalog_execute(SPI_OK_INSERT,
						  "INSERT INTO depot.history (action, package, version, previous_version, repository, digest,"
						  " source, size_bytes, role_name, database_name, duration_ms)"
						  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
						  lengthof(types), types, values, nulls);
}
