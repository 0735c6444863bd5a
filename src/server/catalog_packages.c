/*-------------------------------------------------------------------------
 *
 * catalog_packages.c
 *	  The depot's tables: what is installed, history.
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
#include "miscadmin.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "server/errors.h"
#include "server/platform.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

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

static const DepotTableLimits installed_limits = {
	.table = "depot.installed",
	.rows = 10000,
	.bytes = 32000000,
	.room_hint = "Delete from it what is in state removed and has no files on any server any more."
};

static uint64
select_installed(void)
{
	Oid			types[] = {INT4OID, TEXTOID, INT8OID};
	Datum		values[] = {
		Int32GetDatum(PG_MAJORVERSION_NUM), CStringGetTextDatum(depot_platform_name()),
		Int64GetDatum(installed_limits.rows + 1)
	};

	return depot_catalog_execute(SPI_OK_SELECT,
								 "SELECT i.package, coalesce(i.version, ''), i.why, i.state = 'removed', b.digest,"
								 " b.manifest_sha256, b.repository, b.target, b.size_bytes::bigint,"
								 " b.unpacked_bytes::bigint, b.custom,"
								 " b.evidence IS NOT NULL AND b.evidence_root IS NOT NULL"
								 " FROM (SELECT * FROM depot.installed WHERE package IS NOT NULL LIMIT $3) i"
								 " LEFT JOIN depot.installed_build b"
								 " ON b.package = i.package AND b.version = i.version AND b.major ="
								 " $1 AND b.platform = $2"
								 " ORDER BY i.package LIMIT $3",
								 lengthof(types), types, values, NULL);
}

void
depot_catalog_check_installed(void)
{
	depot_catalog_check_growth(&installed_limits, select_installed());
}

int
depot_catalog_read_installed(DepotInstalledRow **rows)
{
	uint64		count = select_installed();

	depot_catalog_check_size(&installed_limits, count);
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
		row->has_evidence = depot_catalog_bool(i, 12);
		if (custom != NULL)
			read_build(row, custom);
	}
	return (int) count;
}

/* Records a build for this major version and a platform. */
static void
record_build(const DepotAvailableRow *row, const char *platform, const DepotEvidence *evidence)
{
	const DepotManifest *manifest = row->manifest;
	const char **extensions = palloc(sizeof(char *) * (manifest->extension_count + 1));
	Oid			build_types[] = {TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	INT8OID, INT8OID, TEXTARRAYOID, TEXTOID, TEXTARRAYOID, INT8OID};
	Datum		build_values[lengthof(build_types)];

	for (int i = 0; i < manifest->extension_count; i++)
		extensions[i] = manifest->extensions[i].name;
	build_values[0] = CStringGetTextDatum(manifest->package);
	build_values[1] = Int32GetDatum(PG_MAJORVERSION_NUM);
	build_values[2] = CStringGetTextDatum(platform);
	build_values[3] = CStringGetTextDatum(manifest->version);
	build_values[4] = CStringGetTextDatum(row->sha256);
	build_values[5] = CStringGetTextDatum(row->manifest_sha256);
	build_values[6] = CStringGetTextDatum(row->repository);
	build_values[7] = CStringGetTextDatum(row->target);
	build_values[8] = Int64GetDatum(row->size_bytes);
	build_values[9] = Int64GetDatum((int64) depot_manifest_unpacked_bytes(manifest));
	build_values[10] = depot_catalog_text_array(extensions, manifest->extension_count);
	build_values[11] = CStringGetTextDatum(row->custom);
	build_values[12] = depot_catalog_proof(evidence);
	build_values[13] = Int64GetDatum(evidence->root_version);
	depot_catalog_execute_one(SPI_OK_INSERT,
							  "INSERT INTO depot.installed_build (package, major, platform, version,"
							  " digest, manifest_sha256,"
							  " repository, target, size_bytes, unpacked_bytes, extensions, custom,"
							  " evidence, evidence_root)"
							  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::json, $13, $14)"
							  " ON CONFLICT (package, major, platform) DO UPDATE SET version = excluded.version,"
							  " digest = excluded.digest, manifest_sha256 = excluded.manifest_sha256,"
							  " repository = excluded.repository, target = excluded.target,"
							  " size_bytes = excluded.size_bytes, unpacked_bytes = excluded.unpacked_bytes,"
							  " extensions = excluded.extensions, custom = excluded.custom,"
							  " evidence = excluded.evidence, evidence_root = excluded.evidence_root",
							  lengthof(build_types), build_types, build_values);
}

void
depot_catalog_record_install(const DepotAvailableRow *row, const char *why, const DepotEvidence *evidence)
{
	const DepotManifest *manifest = row->manifest;
	Oid			installed_types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		installed_values[] = {
		CStringGetTextDatum(manifest->package),
		CStringGetTextDatum(manifest->version),
		CStringGetTextDatum(why)
	};

	/* What somebody once asked for by name stays requested when it is later needed as well. */
	depot_catalog_execute_one(SPI_OK_INSERT,
							  "INSERT INTO depot.installed AS i (package, version, why, state) VALUES"
							  " ($1, $2, $3, 'installed')"
							  " ON CONFLICT (package) DO UPDATE SET version = excluded.version, changed_at = now(),"
							  " why = CASE WHEN i.state = 'installed' AND (i.why = 'requested' OR"
							  " i.why = 'declared' AND excluded.why = 'dependency') THEN i.why"
							  " ELSE excluded.why END,"
							  " state = 'installed'",
							  lengthof(installed_types), installed_types, installed_values);
	record_build(row, depot_platform_name(), evidence);
}

bool
depot_catalog_record_other_build(const DepotAvailableRow *row, const char *platform, const DepotEvidence *evidence)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(row->manifest->package), CStringGetTextDatum(row->manifest->version)
	};

	if (depot_catalog_execute(SPI_OK_SELECT,
							  "SELECT FROM depot.installed WHERE package = $1 AND version = $2 AND state = 'installed'",
							  lengthof(types), types, values, NULL) == 0)
		return false;
	record_build(row, platform, evidence);
	return true;
}

int
depot_catalog_read_lacking(DepotLackingRow **rows)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(PG_MAJORVERSION_NUM), CStringGetTextDatum(depot_platform_name())};
	uint64		count;

	count = depot_catalog_execute(SPI_OK_SELECT,
								  "SELECT i.package, i.version, o.repository, n.platform,"
								  " 'pg' || $1 || '-' || n.platform"
								  " FROM depot.installed i JOIN depot.installed_build o ON o.package = i.package"
								  " AND o.version = i.version AND o.major = $1 AND o.platform = $2"
								  " CROSS JOIN (SELECT DISTINCT platform FROM depot.node"
								  " WHERE platform <> $2 AND platform ~ '^linux-[a-z0-9]{1,16}$') n"
								  " WHERE i.state = 'installed' AND NOT EXISTS (SELECT FROM depot.installed_build b"
								  " WHERE b.package = i.package AND b.version = i.version AND b.major = $1"
								  " AND b.platform = n.platform) ORDER BY n.platform, o.repository, i.package",
								  lengthof(types), types, values, NULL);
	*rows = depot_catalog_alloc(sizeof(DepotLackingRow) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		DepotLackingRow *row = &(*rows)[i];

		row->package = depot_catalog_text(i, 1);
		row->version = depot_catalog_text(i, 2);
		row->repository = depot_catalog_text(i, 3);
		row->platform = depot_catalog_text(i, 4);
		row->role = depot_catalog_text(i, 5);
	}
	return (int) count;
}

void
depot_catalog_note_requested(const char *package)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(package)};

	depot_catalog_execute(SPI_OK_UPDATE,
						  "UPDATE depot.installed SET why = 'requested'"
						  " WHERE package = $1 AND state = 'installed' AND why <> 'requested'",
						  lengthof(types), types, values, NULL);
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
	if (row->origin != NULL)
		values[8] = CStringGetTextDatum(row->origin);
	else
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
