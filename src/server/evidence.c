/*-------------------------------------------------------------------------
 *
 * evidence.c
 *	  The signed metadata that proves what is installed, kept in files and rows.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/xlog.h"
#include "common/files.h"
#include "common/name.h"
#include "common/tuf_limits.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/evidence.h"

/* What is given to an agent at most: all roots of a long life, and the largest roles. */
#define STAGED_MAX_BYTES (INT64CONST(128) * 1024 * 1024)

/* One file may be that of more than one role. */
#define ROLES_MAX 4

/* Evidence on its way into a staging directory. */
typedef struct Staging
{
	const DepotPackageRequest *request;
	int			fd;				/* of the staging directory */
	int64		total_bytes;
	DepotEvidence list;
} Staging;

/* Where a document is or shall be below the directory of evidence in staging. */
static char *
staged_path(const char *name)
{
	return psprintf(DEPOT_EVIDENCE_DIRECTORY "/%s", name);
}

static char *
kept_path(const char *name)
{
	return psprintf(DEPOT_EVIDENCE "/%s", name);
}

static char *
document_file(const char *sha256)
{
	char	   *file = palloc(DEPOT_EVIDENCE_FILE_BYTES);

	depot_evidence_file(sha256, file);
	return file;
}

/* ---- what an agent is given ---- */

static void
stage_bytes(Staging *staging, const char *sha256, const char *bytes, size_t length)
{
	DepotError	error;

	if (!depot_files_write_durable(staging->fd, staged_path(document_file(sha256)), bytes, length, S_IRUSR | S_IWUSR,
								   &error))
		depot_job_raise(&error);
}

/* Stages a row's document, and puts it on the list. */
static void
stage_row(Staging *staging, DepotEvidenceRow *row)
{
	DepotError	error;

	if (staging->total_bytes + row->size_bytes > STAGED_MAX_BYTES || !depot_name_is_sha256(row->sha256) ||
		!depot_catalog_read_evidence(staging->request->repository, row))
		return;
	staging->total_bytes += row->size_bytes;
	stage_bytes(staging, row->sha256, row->content, (size_t) row->size_bytes);
	pfree(row->content);
	row->content = NULL;
	if (!depot_evidence_add(&staging->list, row->role, row->version, row->sha256, &error))
		depot_job_raise(&error);
}

/* Stages a document of a list that is kept here; one that is not there any more is left out. */
static void
stage_kept(Staging *staging, const DepotEvidenceDocument *document)
{
	DepotBuffer bytes;
	DepotError	error;
	bool		ok;

	depot_buffer_init(&bytes);
	ok = depot_files_read(depot_applied_root_fd(), kept_path(document_file(document->sha256)),
						  DEPOT_TUF_TARGETS_MAX_BYTES, &bytes, &error) && bytes.length_bytes > 0;
	PG_TRY();
	{
		if (ok)
			stage_bytes(staging, document->sha256, bytes.data, bytes.length_bytes);
	}
	PG_FINALLY();
	{
		depot_buffer_free(&bytes);
	}
	PG_END_TRY();
	if (ok && !depot_evidence_add(&staging->list, document->role, document->version, document->sha256, &error))
		depot_job_raise(&error);
}

/* Stages what the rows hold; how many documents that were, roots aside. */
static int
stage_rows(Staging *staging)
{
	const DepotPackageRequest *request = staging->request;
	DepotEvidenceRow *rows;
	const char **documents;
	int			count;
	int			root_count;

	count = depot_catalog_read_proof(request->evidence_of, request->sha256, &documents, &staging->list.root_version);
	if (count == 0)
		return 0;
	root_count = depot_catalog_find_evidence(request->repository, NULL, DEPOT_EVIDENCE_MAX_ROOTS, &rows);
	for (int i = 0; i < root_count; i++)
		stage_row(staging, &rows[i]);
	for (int i = 0; i < count; i++)
	{
		int			row_count = depot_catalog_find_evidence(request->repository, documents[i], ROLES_MAX, &rows);

		for (int j = 0; j < row_count; j++)
			stage_row(staging, &rows[j]);
	}
	return count;
}

/* Takes the list of var/evidence where the rows lack a document, unless it is about another target. */
static void
stage_files(Staging *staging, int wanted)
{
	const DepotPackageRequest *request = staging->request;
	DepotEvidence kept;
	DepotError	error;

	if ((wanted > 0 && staging->list.document_count >= wanted) ||
		!depot_evidence_read(depot_applied_root_fd(), kept_path(request->sha256), &kept, &error))
		return;
	PG_TRY();
	{
		if (strcmp(kept.repository, request->repository) == 0 && strcmp(kept.target, request->target) == 0)
		{
			depot_evidence_free(&staging->list);
			staging->list.root_version = kept.root_version;
			for (int i = 0; i < kept.root_count; i++)
				stage_kept(staging, &kept.roots[i]);
			for (int i = 0; i < kept.document_count; i++)
				stage_kept(staging, &kept.documents[i]);
		}
	}
	PG_FINALLY();
	{
		depot_evidence_free(&kept);
	}
	PG_END_TRY();
}

static void
stage_list(Staging *staging)
{
	DepotEvidence *list = &staging->list;
	const DepotPackageRequest *request = staging->request;
	DepotError	error;

	strlcpy(list->repository, request->repository, sizeof(list->repository));
	strlcpy(list->target, request->target, sizeof(list->target));
	strlcpy(list->sha256, request->sha256, sizeof(list->sha256));
	if (!depot_evidence_save(staging->fd, staged_path(DEPOT_EVIDENCE_LIST), list, &error))
		depot_job_raise(&error);
}

bool
depot_evidence_stage(DepotJob *job, const DepotPackageRequest *request)
{
	Staging		staging = {.request = request, .fd = depot_job_staging(job)->fd};
	DepotError	error;
	volatile bool is_staged = false;

	if (!depot_files_remove_tree(staging.fd, DEPOT_EVIDENCE_DIRECTORY, &error) ||
		!depot_files_make_directories(staging.fd, DEPOT_EVIDENCE_DIRECTORY, S_IRWXU, false, &error))
		depot_job_raise(&error);
	PG_TRY();
	{
		int			wanted = 0;

		depot_catalog_begin();
		if (depot_catalog_exists())
			wanted = stage_rows(&staging);
		depot_catalog_commit();
		stage_files(&staging, wanted);
		is_staged = staging.list.document_count > 0;
		if (is_staged)
			stage_list(&staging);
	}
	PG_FINALLY();
	{
		depot_evidence_free(&staging.list);
	}
	PG_END_TRY();
	return is_staged;
}

/* ---- what is kept ---- */

/* Moves a document unless it is kept already; the list that names it comes last. */
static void
keep_document(const DepotStaging *staging, const char *sha256)
{
	int			root_fd = depot_applied_root_fd();
	char	   *file = document_file(sha256);
	DepotError	error;

	if (depot_files_exists(staging->fd, staged_path(file)))
	{
		if (!depot_files_rename(staging->fd, staged_path(file), root_fd, kept_path(file), &error))
			depot_job_raise(&error);
	}
	else if (!depot_files_exists(root_fd, kept_path(file)))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the evidence of a package was removed while it was prepared"),
				 errhint("Try again.")));
}

static void
keep_list(const DepotStaging *staging, const char *digest, const DepotEvidence *list)
{
	int			root_fd = depot_applied_root_fd();
	DepotError	error;

	if (strcmp(list->sha256, digest) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR), errmsg("an agent has kept the evidence of another package")));
	for (int i = 0; i < list->root_count; i++)
		keep_document(staging, list->roots[i].sha256);
	for (int i = 0; i < list->document_count; i++)
		keep_document(staging, list->documents[i].sha256);
	if (!depot_files_fsync(root_fd, DEPOT_EVIDENCE, &error) ||
		!depot_files_rename(staging->fd, staged_path(DEPOT_EVIDENCE_LIST), root_fd, kept_path(digest), &error) ||
		!depot_files_fsync(root_fd, DEPOT_EVIDENCE, &error))
		depot_job_raise(&error);
}

void
depot_evidence_keep(const DepotStaging *staging, const char *digest)
{
	DepotEvidence list;
	DepotError	error;

	/* A step that is taken again has moved it before. */
	if (!depot_files_exists(staging->fd, staged_path(DEPOT_EVIDENCE_LIST)) &&
		depot_files_exists(depot_applied_root_fd(), kept_path(digest)))
		return;
	if (!depot_evidence_read(staging->fd, staged_path(DEPOT_EVIDENCE_LIST), &list, &error))
		depot_job_raise(&error);
	PG_TRY();
	{
		keep_list(staging, digest, &list);
	}
	PG_FINALLY();
	{
		depot_evidence_free(&list);
	}
	PG_END_TRY();
}

bool
depot_evidence_is_kept(const DepotAvailableRow *build)
{
	DepotEvidence list;
	DepotError	error;
	bool		is_kept;

	if (!depot_evidence_read(depot_applied_root_fd(), kept_path(build->sha256), &list, &error))
		return false;
	is_kept = strcmp(list.repository, build->repository) == 0 && strcmp(list.target, build->target) == 0;
	for (int i = 0; i < list.document_count && is_kept; i++)
		is_kept = depot_files_exists(depot_applied_root_fd(), kept_path(document_file(list.documents[i].sha256)));
	depot_evidence_free(&list);
	return is_kept;
}

/* ---- rows ---- */

/* Writes a document to the rows; it was made durable just now, and reading it takes no time. */
static void
record_document(const char *repository, const DepotEvidenceDocument *document, bool even_if_there)
{
	DepotEvidenceRow row = {.role = document->role, .version = document->version, .sha256 = document->sha256};
	DepotEvidenceRow *rows;
	DepotBuffer bytes;
	DepotError	error;
	int			count = 0;
	bool		ok;

	if (!even_if_there)
		count = depot_catalog_find_evidence(repository, document->sha256, ROLES_MAX, &rows);
	for (int i = 0; i < count; i++)
		if (strcmp(rows[i].role, document->role) == 0)
			return;
	depot_buffer_init(&bytes);
	ok = depot_files_read(depot_applied_root_fd(), kept_path(document_file(document->sha256)),
						  DEPOT_TUF_TARGETS_MAX_BYTES, &bytes, &error);
	PG_TRY();
	{
		if (!ok)
			depot_job_raise(&error);
		row.content = bytes.data;
		row.size_bytes = (int64) bytes.length_bytes;
		depot_catalog_write_evidence(repository, &row);
	}
	PG_FINALLY();
	{
		depot_buffer_free(&bytes);
	}
	PG_END_TRY();
}

static void
record_documents(const char *repository, const DepotEvidence *list, bool even_if_there)
{
	for (int i = 0; i < list->root_count; i++)
		record_document(repository, &list->roots[i], even_if_there);
	for (int i = 0; i < list->document_count; i++)
		record_document(repository, &list->documents[i], even_if_there);
}

static void
read_kept(const char *digest, DepotEvidence *list)
{
	DepotError	error;

	if (!depot_evidence_read(depot_applied_root_fd(), kept_path(digest), list, &error))
		depot_job_raise(&error);
}

void
depot_evidence_record(const DepotAvailableRow *build, const char *why)
{
	DepotEvidence list;

	read_kept(build->sha256, &list);
	PG_TRY();
	{
		record_documents(build->repository, &list, false);
		depot_catalog_record_install(build, why, &list);
	}
	PG_FINALLY();
	{
		depot_evidence_free(&list);
	}
	PG_END_TRY();
}

bool
depot_evidence_record_other(const DepotAvailableRow *build, const char *platform)
{
	DepotEvidence list;
	volatile bool is_recorded = false;

	read_kept(build->sha256, &list);
	PG_TRY();
	{
		is_recorded = depot_catalog_record_other_build(build, platform, &list);
		if (is_recorded)
			record_documents(build->repository, &list, false);
	}
	PG_FINALLY();
	{
		depot_evidence_free(&list);
	}
	PG_END_TRY();
	return is_recorded;
}

void
depot_evidence_heal(const DepotInstalledRow *row)
{
	DepotEvidence list;

	if (RecoveryInProgress())
		return;
	read_kept(row->digest, &list);
	PG_TRY();
	{
		depot_catalog_begin();
		if (depot_catalog_exists())
		{
			record_documents(row->repository, &list, true);
			depot_catalog_note_proof(row->package, row->digest, &list);
		}
		depot_catalog_commit();
	}
	PG_FINALLY();
	{
		depot_evidence_free(&list);
	}
	PG_END_TRY();
}
