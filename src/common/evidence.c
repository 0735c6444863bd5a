/*-------------------------------------------------------------------------
 *
 * evidence.c
 *	  The list of signed documents that prove a package, in memory and as JSON.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/json.h"

#define WHAT "list of evidence"
#define FORMAT_CODE DEPOT_ERROR_METADATA_FORMAT

static json_t *write_documents(const DepotEvidenceDocument *documents, int count, bool with_role);
static bool read_head(const json_t *list, DepotEvidence *evidence, DepotError *error);
static bool read_documents(const json_t *list, const char *member, DepotEvidence *evidence, DepotError *error);

void
depot_evidence_free(DepotEvidence *evidence)
{
	free(evidence->roots);
	free(evidence->documents);
	memset(evidence, 0, sizeof(*evidence));
}

void
depot_evidence_file(const char *sha256, char out[DEPOT_EVIDENCE_FILE_BYTES])
{
	snprintf(out, DEPOT_EVIDENCE_FILE_BYTES, "%.64s.json", sha256);
}

bool
depot_evidence_add(DepotEvidence *evidence, const char *role, int64_t version, const char *sha256, DepotError *error)
{
	const bool	is_root = strcmp(role, "root") == 0;
	DepotEvidenceDocument **documents = is_root ? &evidence->roots : &evidence->documents;
	int		   *count = is_root ? &evidence->root_count : &evidence->document_count;
	const int	limit = is_root ? DEPOT_EVIDENCE_MAX_ROOTS : DEPOT_EVIDENCE_MAX_DOCUMENTS;
	DepotEvidenceDocument *larger;

	if (role[0] == '\0' || strlen(role) >= DEPOT_EVIDENCE_ROLE_BYTES || version < 1 || !depot_name_is_sha256(sha256))
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
							   "a document of evidence needs a role, a version and a sha256");
	if (*count >= limit)
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "more than %d documents of evidence", limit);
	larger = realloc(*documents, sizeof(DepotEvidenceDocument) * ((size_t) *count + 1));
	if (larger == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	*documents = larger;
	memset(&larger[*count], 0, sizeof(larger[*count]));
	snprintf(larger[*count].role, sizeof(larger[*count].role), "%s", role);
	snprintf(larger[*count].sha256, sizeof(larger[*count].sha256), "%s", sha256);
	larger[*count].version = version;
	(*count)++;
	return true;
}

bool
depot_evidence_write(const DepotEvidence *evidence, DepotBuffer *out, DepotError *error)
{
	json_t	   *list = json_pack("{s:i, s:s, s:s, s:s, s:I, s:o, s:o}", "format", DEPOT_EVIDENCE_FORMAT,
								 "repository", evidence->repository, "target", evidence->target,
								 "sha256", evidence->sha256, "root_version", (json_int_t) evidence->root_version,
								 "roots", write_documents(evidence->roots, evidence->root_count, false),
								 "documents", write_documents(evidence->documents, evidence->document_count, true));
	bool		ok;

	if (list == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	ok = depot_json_canonical(list, out, FORMAT_CODE, error) &&
		(depot_buffer_append(out, "\n", 1) || depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory"));
	json_decref(list);
	return ok;
}

static json_t *
write_documents(const DepotEvidenceDocument *documents, int count, bool with_role)
{
	json_t	   *array = json_array();

	for (int i = 0; i < count; i++)
	{
		json_t	   *document = json_pack("{s:I, s:s}", "version", (json_int_t) documents[i].version,
										 "sha256", documents[i].sha256);

		if (document == NULL || json_array_append_new(array, document) != 0 ||
			(with_role && json_object_set_new(document, "role", json_string(documents[i].role)) != 0))
		{
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

bool
depot_evidence_parse(const char *text, size_t length_bytes, DepotEvidence *evidence, DepotError *error)
{
	json_t	   *list = depot_json_parse(text, length_bytes, FORMAT_CODE, WHAT, error);
	bool		ok;

	memset(evidence, 0, sizeof(*evidence));
	if (list == NULL)
		return false;
	ok = (read_head(list, evidence, error) && read_documents(list, "roots", evidence, error) &&
		  read_documents(list, "documents", evidence, error)) || depot_error_prefix(error, WHAT);
	if (!ok)
		depot_evidence_free(evidence);
	json_decref(list);
	return ok;
}

/* Reads what is said once, and refuses what is not known. */
static bool
read_head(const json_t *list, DepotEvidence *evidence, DepotError *error)
{
	static const char *const allowed[] = {"format", "repository", "target", "sha256", "root_version", "roots",
	"documents", NULL};
	const char *repository;
	const char *target;
	const char *sha256;
	int64_t		format;

	if (!depot_json_get_integer(list, "format", true, 1, &format, FORMAT_CODE, error))
		return false;
	if (format != DEPOT_EVIDENCE_FORMAT)
		return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "format %" PRId64 " is not known", format);
	if (!depot_json_only_members(list, allowed, WHAT, FORMAT_CODE, error) ||
		!depot_json_get_string(list, "repository", true, &repository, FORMAT_CODE, error) ||
		!depot_json_get_string(list, "target", true, &target, FORMAT_CODE, error) ||
		!depot_json_get_string(list, "sha256", true, &sha256, FORMAT_CODE, error) ||
		!depot_json_get_integer(list, "root_version", true, 1, &evidence->root_version, FORMAT_CODE, error))
		return false;
	if (!depot_name_is_package(repository) || !depot_name_is_relative_path(target) || !depot_name_is_sha256(sha256))
		return depot_error_set(error, FORMAT_CODE, "repository, target or sha256 is none");
	snprintf(evidence->repository, sizeof(evidence->repository), "%s", repository);
	snprintf(evidence->target, sizeof(evidence->target), "%s", target);
	snprintf(evidence->sha256, sizeof(evidence->sha256), "%s", sha256);
	return true;
}

/* Reads the roots, which have no role in the text, or the others, which are none. */
static bool
read_documents(const json_t *list, const char *member, DepotEvidence *evidence, DepotError *error)
{
	static const char *const allowed[] = {"role", "version", "sha256", NULL};
	const bool	is_roots = strcmp(member, "roots") == 0;
	json_t	   *array;
	const json_t *element;
	size_t		index;

	if (!depot_json_get_array(list, member, true, &array, FORMAT_CODE, error))
		return false;
	json_array_foreach(array, index, element)
	{
		const char *role = "root";
		const char *sha256;
		int64_t		version;

		if (!depot_json_only_members(element, is_roots ? allowed + 1 : allowed, member, FORMAT_CODE, error) ||
			!depot_json_get_string(element, "role", !is_roots, &role, FORMAT_CODE, error) ||
			!depot_json_get_integer(element, "version", true, 1, &version, FORMAT_CODE, error) ||
			!depot_json_get_string(element, "sha256", true, &sha256, FORMAT_CODE, error))
			return depot_error_prefix(error, "%s[%zu]", member, index);
		if ((strcmp(role, "root") == 0) != is_roots)
			return depot_error_set(error, FORMAT_CODE, "%s[%zu] has role \"root\"", member, index);
		if (!depot_evidence_add(evidence, role, version, sha256, error))
		{
			if (error != NULL && error->code != DEPOT_ERROR_OUT_OF_MEMORY)
				error->code = FORMAT_CODE;
			return false;
		}
	}
	return true;
}

bool
depot_evidence_read(int directory_fd, const char *path, DepotEvidence *evidence, DepotError *error)
{
	DepotBuffer text;
	bool		ok;

	memset(evidence, 0, sizeof(*evidence));
	depot_buffer_init(&text);
	ok = depot_files_read(directory_fd, path, DEPOT_EVIDENCE_LIST_MAX_BYTES, &text, error) &&
		depot_evidence_parse(text.data == NULL ? "" : text.data, text.length_bytes, evidence, error);
	depot_buffer_free(&text);
	return ok;
}

bool
depot_evidence_save(int directory_fd, const char *path, const DepotEvidence *evidence, DepotError *error)
{
	DepotBuffer text;
	bool		ok;

	depot_buffer_init(&text);
	ok = depot_evidence_write(evidence, &text, error) &&
		depot_files_write_durable(directory_fd, path, text.data, text.length_bytes, 0600, error);
	depot_buffer_free(&text);
	return ok;
}
