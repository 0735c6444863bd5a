/*-------------------------------------------------------------------------
 *
 * catalog_evidence.c
 *	  The depot's tables: the signed metadata that proves what is installed.
 *
 * Where rows arrive by replication or restore, anybody may have written them.
 * Nothing is read into memory before its size is known to be one that
 * metadata can have.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/name.h"
#include "common/tuf_limits.h"
#include "executor/spi.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "server/platform.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* An array of as many digests as evidence may have, and no more. */
#define PROOF_MAX_BYTES 8192

Datum
depot_catalog_proof(const DepotEvidence *evidence)
{
	const char **documents = palloc(sizeof(char *) * Max(evidence->document_count, 1));

	for (int i = 0; i < evidence->document_count; i++)
		documents[i] = evidence->documents[i].sha256;
	return depot_catalog_text_array(documents, evidence->document_count);
}

/* An array of text of at most max_count elements, none of them NULL; -1: the column holds no such thing. */
static int
short_array(uint64 row, int column, int max_count, const char ***elements)
{
	bool		is_null;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
	ArrayType  *array;
	Datum	   *datums;
	bool	   *nulls;
	int			count;

	if (is_null || SPI_gettypeid(SPI_tuptable->tupdesc, column) != TEXTARRAYOID ||
		toast_raw_datum_size(value) > PROOF_MAX_BYTES)
		return -1;
	array = DatumGetArrayTypeP(value);
	if (ARR_NDIM(array) > 1 || ARR_ELEMTYPE(array) != TEXTOID)
		return -1;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &datums, &nulls, &count);
	if (count > max_count)
		return -1;
	*elements = depot_catalog_alloc(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			return -1;
		(*elements)[i] = depot_catalog_strdup(TextDatumGetCString(datums[i]));
	}
	return count;
}

int
depot_catalog_read_proof(const char *package, const char *digest, const char ***documents, int64 *root_version)
{
	Oid			types[] = {TEXTOID, INT4OID, TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(package), Int32GetDatum(PG_MAJORVERSION_NUM),
		CStringGetTextDatum(depot_platform_name()), CStringGetTextDatum(digest)
	};
	int			count;

	if (depot_catalog_execute(SPI_OK_SELECT,
							  "SELECT evidence, evidence_root::bigint FROM depot.installed_build"
							  " WHERE package = $1 AND major = $2 AND platform = $3 AND digest = $4",
							  lengthof(types), types, values, NULL) != 1)
		return 0;
	count = short_array(0, 1, DEPOT_EVIDENCE_MAX_DOCUMENTS, documents);
	*root_version = depot_catalog_int64(0, 2);
	for (int i = 0; i < count; i++)
		if (!depot_name_is_sha256((*documents)[i]))
			return 0;
	return count < 1 || *root_version < 1 ? 0 : count;
}

int
depot_catalog_find_evidence(const char *repository, const char *sha256, int limit, DepotEvidenceRow **rows)
{
	Oid			types[] = {TEXTOID, INT8OID, INT8OID, INT8OID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(repository), Int64GetDatum(limit), Int64GetDatum(DEPOT_EVIDENCE_ROLE_BYTES),
		Int64GetDatum(sha256 == NULL ? DEPOT_TUF_ROOT_MAX_BYTES : DEPOT_TUF_TARGETS_MAX_BYTES),
		CStringGetTextDatum(sha256 == NULL ? "" : sha256)
	};
	uint64		count;

	if (sha256 == NULL)
		count = depot_catalog_execute(SPI_OK_SELECT,
									  "SELECT role, version::bigint, sha256, octet_length(content)::bigint"
									  " FROM depot.evidence WHERE repository = $1 AND role = 'root' AND version > 0"
									  " AND octet_length(sha256) = 64 AND octet_length(role) < $3"
									  " AND octet_length(content) <= $4 AND $5 = '' ORDER BY version LIMIT $2",
									  lengthof(types), types, values, NULL);
	else
		count = depot_catalog_execute(SPI_OK_SELECT,
									  "SELECT role, version::bigint, sha256, octet_length(content)::bigint"
									  " FROM depot.evidence WHERE repository = $1 AND sha256 = $5 AND version > 0"
									  " AND octet_length(role) < $3 AND octet_length(content) <= $4"
									  " ORDER BY role = 'root', role LIMIT $2",
									  lengthof(types), types, values, NULL);
	*rows = depot_catalog_alloc(sizeof(DepotEvidenceRow) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		DepotEvidenceRow *row = &(*rows)[i];

		row->role = depot_catalog_text(i, 1);
		row->version = depot_catalog_int64(i, 2);
		row->sha256 = depot_catalog_text(i, 3);
		row->size_bytes = depot_catalog_int64(i, 4);
	}
	return (int) count;
}

bool
depot_catalog_read_evidence(const char *repository, DepotEvidenceRow *row)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, INT8OID};
	Datum		values[] = {
		CStringGetTextDatum(repository), CStringGetTextDatum(row->sha256), CStringGetTextDatum(row->role),
		Int64GetDatum(row->size_bytes)
	};
	bool		is_null;
	bytea	   *content;

	if (depot_catalog_execute(SPI_OK_SELECT,
							  "SELECT content FROM depot.evidence WHERE repository = $1 AND sha256 = $2"
							  " AND role = $3 AND octet_length(content) = $4",
							  lengthof(types), types, values, NULL) != 1)
		return false;
	content = DatumGetByteaPP(depot_catalog_value(0, 1, BYTEAOID, &is_null));
	row->content = depot_catalog_alloc(row->size_bytes + 1);
	memcpy(row->content, VARDATA_ANY(content), row->size_bytes);
	SPI_freetuptable(SPI_tuptable);
	return true;
}

void
depot_catalog_write_evidence(const char *repository, const DepotEvidenceRow *row)
{
	bytea	   *content = palloc(VARHDRSZ + row->size_bytes);
	Oid			types[] = {TEXTOID, TEXTOID, INT8OID, TEXTOID, BYTEAOID};
	Datum		values[] = {
		CStringGetTextDatum(repository), depot_catalog_text_datum(row->role), Int64GetDatum(row->version),
		CStringGetTextDatum(row->sha256), PointerGetDatum(content)
	};

	SET_VARSIZE(content, VARHDRSZ + row->size_bytes);
	memcpy(VARDATA(content), row->content, row->size_bytes);
	depot_catalog_execute(SPI_OK_INSERT,
						  "INSERT INTO depot.evidence AS e (repository, role, version, sha256, content)"
						  " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (repository, sha256, role) DO UPDATE"
						  " SET version = excluded.version, content = excluded.content"
						  " WHERE e.version IS DISTINCT FROM excluded.version"
						  " OR e.content IS DISTINCT FROM excluded.content",
						  lengthof(types), types, values, NULL);
	pfree(content);
}

void
depot_catalog_remove_evidence(void)
{
	depot_catalog_execute(SPI_OK_DELETE,
						  "DELETE FROM depot.evidence e WHERE role <> 'root' AND NOT EXISTS (SELECT"
						  " FROM depot.installed_build b JOIN depot.installed i USING (package)"
						  " WHERE i.state = 'installed' AND b.repository = e.repository"
						  " AND e.sha256 = ANY (b.evidence))",
						  0, NULL, NULL, NULL);
}

void
depot_catalog_note_proof(const char *package, const char *digest, const DepotEvidence *evidence)
{
	Oid			types[] = {TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID, INT8OID};
	Datum		values[] = {
		CStringGetTextDatum(package), Int32GetDatum(PG_MAJORVERSION_NUM),
		CStringGetTextDatum(depot_platform_name()), CStringGetTextDatum(digest), depot_catalog_proof(evidence),
		Int64GetDatum(evidence->root_version)
	};

	depot_catalog_execute(SPI_OK_UPDATE,
						  "UPDATE depot.installed_build SET evidence = $5, evidence_root = $6 WHERE package = $1"
						  " AND major = $2 AND platform = $3 AND digest = $4"
						  " AND (evidence, evidence_root) IS DISTINCT FROM ($5, $6)",
						  lengthof(types), types, values, NULL);
}

static const DepotTableLimits build_limits = {
	.table = "depot.installed_build",
	.rows = 100000,
	.bytes = 8000000
};

int
depot_catalog_read_digests(const char ***digests)
{
	Oid			types[] = {INT4OID, TEXTOID, INT8OID};
	Datum		values[] = {
		Int32GetDatum(PG_MAJORVERSION_NUM), CStringGetTextDatum(depot_platform_name()),
		Int64GetDatum(build_limits.rows + 1)
	};
	uint64		count;

	count = depot_catalog_execute(SPI_OK_SELECT,
								  "SELECT digest FROM depot.installed_build WHERE major = $1 AND platform = $2"
								  " AND octet_length(digest) = 64 LIMIT $3",
								  lengthof(types), types, values, NULL);
	depot_catalog_check_size(&build_limits, count);
	*digests = depot_catalog_alloc(sizeof(char *) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
		(*digests)[i] = depot_catalog_text(i, 1);
	return (int) count;
}
