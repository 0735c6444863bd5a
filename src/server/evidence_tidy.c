/*-------------------------------------------------------------------------
 *
 * evidence_tidy.c
 *	  Removes the evidence that nothing needs any more, from rows and files.
 *
 * What a list that stays names is never removed, nor anything while one such
 * list cannot be read.
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
#include "server/applied.h"
#include "server/catalog.h"
#include "server/evidence.h"

typedef struct Tidying
{
	const char **digests;		/* recorded */
	int			count;
	List	   *documents;		/* file names that a list that stays names */
	List	   *surplus;		/* file names */
} Tidying;

static char *
file_of(const char *sha256)
{
	char	   *file = palloc(DEPOT_EVIDENCE_FILE_BYTES);

	depot_evidence_file(sha256, file);
	return file;
}

/* Whether a build is recorded here or served. */
static bool
is_needed(const Tidying *tidying, const char *digest)
{
	const DepotState *state = depot_applied_state();

	for (int i = 0; i < tidying->count; i++)
		if (strcmp(tidying->digests[i], digest) == 0)
			return true;
	for (int i = 0; i < state->package_count; i++)
		if (strcmp(state->packages[i].digest, digest) == 0 || !state->packages[i].is_complete)
			return true;
	return false;
}

/* Takes the lists first: their names are shorter, and documents come after them.  A DepotFilesVisit. */
static bool
note_list(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context, DepotError *error)
{
	Tidying    *tidying = context;
	DepotEvidence list;

	(void) size_bytes;
	if (!S_ISREG(mode) || !depot_name_is_sha256(path))
		return true;
	if (!is_needed(tidying, path))
	{
		tidying->surplus = lappend(tidying->surplus, pstrdup(path));
		return true;
	}
	/* A damaged list names nothing; one that cannot be read now may name what must stay. */
	if (!depot_evidence_read(directory_fd, path, &list, error))
		return error->code == DEPOT_ERROR_METADATA_FORMAT;
	for (int i = 0; i < list.root_count; i++)
		tidying->documents = lappend(tidying->documents, file_of(list.roots[i].sha256));
	for (int i = 0; i < list.document_count; i++)
		tidying->documents = lappend(tidying->documents, file_of(list.documents[i].sha256));
	depot_evidence_free(&list);
	return true;
}

/* Notes a document that no list names which stays.  A DepotFilesVisit. */
static bool
note_document(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context, DepotError *error)
{
	Tidying    *tidying = context;
	ListCell   *cell;

	(void) directory_fd;
	(void) mode;
	(void) size_bytes;
	(void) error;
	if (depot_name_is_sha256(path))
		return true;
	foreach(cell, tidying->documents)
	{
		if (strcmp(lfirst(cell), path) == 0)
			return true;
	}
	tidying->surplus = lappend(tidying->surplus, pstrdup(path));
	return true;
}

void
depot_evidence_tidy(const DepotJob *job)
{
	Tidying		tidying = {0};
	int			root_fd = depot_applied_root_fd();
	ListCell   *cell;
	DepotError	error;

	if (root_fd < 0)
		return;
	/* What is on its way may have moved documents whose list has not come yet. */
	if (depot_job_is_staging_elsewhere(job))
	{
		depot_payload_put_off_tidy();
		return;
	}
	depot_catalog_begin();
	if (depot_catalog_exists())
	{
		if (!RecoveryInProgress())
			depot_catalog_remove_evidence();
		tidying.count = depot_catalog_read_digests(&tidying.digests);
	}
	depot_catalog_commit();
	if (!depot_files_exists(root_fd, DEPOT_EVIDENCE))
		return;
	if (!depot_files_walk(root_fd, DEPOT_EVIDENCE, note_list, &tidying, &error) ||
		!depot_files_walk(root_fd, DEPOT_EVIDENCE, note_document, &tidying, &error))
	{
		depot_errors_raise(WARNING, &error);
		return;
	}
	foreach(cell, tidying.surplus)
	{
		if (!depot_files_remove(root_fd, psprintf(DEPOT_EVIDENCE "/%s", (char *) lfirst(cell)), &error))
			depot_errors_raise(WARNING, &error);
	}
}
