/*-------------------------------------------------------------------------
 *
 * evidence.h
 *	  What proves a package: a list of signed documents.
 *
 * The documents are whole metadata files as their repository served them, each named by
 * its own digest: the versions of root from the first that this server saw on,
 * the top-level targets, and the delegated roles on the way to the target.  Timestamp and
 * snapshot are not among them: they say what is newest, not who signed it.  The list proves nothing
 * by itself; depot_tuf_prove does, from the documents and a pinned root.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_EVIDENCE_H
#define DEPOT_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/name.h"

/* Below the depot directory: <sha256 of a document>.json, and a list for each package, named by its digest. */
#define DEPOT_EVIDENCE "var/evidence"

/* Documents on their way there, in a job's directory, and the list among them. */
#define DEPOT_EVIDENCE_DIRECTORY "evidence"
#define DEPOT_EVIDENCE_LIST "list"

#define DEPOT_EVIDENCE_FORMAT 1
#define DEPOT_EVIDENCE_LIST_MAX_BYTES ((size_t) 256 * 1024)
#define DEPOT_EVIDENCE_MAX_ROOTS 512
#define DEPOT_EVIDENCE_MAX_DOCUMENTS 34
#define DEPOT_EVIDENCE_ROLE_BYTES 256

/* "<sha256>.json" with its NUL. */
#define DEPOT_EVIDENCE_FILE_BYTES 70

typedef struct DepotEvidenceDocument
{
	char		role[DEPOT_EVIDENCE_ROLE_BYTES];	/* "root", "targets", "pg15-linux-amd64" */
	int64_t		version;
	char		sha256[65];
} DepotEvidenceDocument;

typedef struct DepotEvidence
{
	char		repository[DEPOT_NAME_MAX_BYTES + 1];
	char		target[DEPOT_PATH_MAX_BYTES + 1];
	char		sha256[65];		/* of the package */
	int64_t		root_version;	/* whose keys signed the top-level targets */
	DepotEvidenceDocument *roots;	/* owned */
	int			root_count;
	DepotEvidenceDocument *documents;	/* owned; top-level targets, then delegated roles as they were
										 * reached */
	int			document_count;
} DepotEvidence;

extern void depot_evidence_free(DepotEvidence *evidence);

/*
 * Adds a document to the roots or to the others, by its role.  TOO_LARGE beyond the limits above; INVALID_ARGUMENT
 * for a role, version or digest that is none.
 */
extern bool depot_evidence_add(DepotEvidence *evidence, const char *role, int64_t version, const char *sha256,
							   DepotError *error);

/* Writes the list as text, appended to out; the same list has one form. */
extern bool depot_evidence_write(const DepotEvidence *evidence, DepotBuffer *out, DepotError *error);

/* Reads a list, strictly: METADATA_FORMAT, or UNSUPPORTED for another format. evidence is freed on failure. */
extern bool depot_evidence_parse(const char *text, size_t length_bytes, DepotEvidence *evidence, DepotError *error);

/* The same from a file. */
extern bool depot_evidence_read(int directory_fd, const char *path, DepotEvidence *evidence, DepotError *error);

/* Writes the list durably to a file. */
extern bool depot_evidence_save(int directory_fd, const char *path, const DepotEvidence *evidence, DepotError *error);

/* Puts the name of a document's file into out. */
extern void depot_evidence_file(const char *sha256, char out[DEPOT_EVIDENCE_FILE_BYTES]);

#endif							/* DEPOT_EVIDENCE_H */
