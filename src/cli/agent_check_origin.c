/*-------------------------------------------------------------------------
 *
 * agent_check_origin.c
 *	  The check agent: was this manifest signed, as far as this server's own
 *	  files and pins tell?
 *
 * What was kept when a package was accepted proves it, whatever its repository
 * offers by now.  A package of which nothing was kept is looked for in the trusted
 * metadata of each repository.  Rows cannot be read yet, so which types of keys
 * count is told by the pinned root.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/agent_check_origin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/agent_trust.h"
#include "common/evidence.h"
#include "common/files.h"
#include "common/name.h"
#include "common/publisher.h"
#include "common/store.h"
#include "common/trusted_roots.h"

typedef struct Search
{
	DepotAgentOrigins *origins;
	const DepotManifest *manifest;
	const char *manifest_sha256;
	char	   *digest;
	char		target[DEPOT_PATH_MAX_BYTES + 1];
	bool		is_found;
	DepotError	reason;			/* why the first that might have proven it does not */
} Search;

/* Digests the file of a pinned root.  It is the administrator's, so a link may lead to it. */
static bool
digest_pinned_file(const char *path, char sha256[DEPOT_SHA256_HEX_BYTES], DepotError *error)
{
	FILE	   *file = fopen(path, "re");
	char		bytes[16384];
	DepotDigest digest;
	size_t		length;
	bool		ok = file != NULL;

	depot_digest_begin(&digest);
	while (ok && (length = fread(bytes, 1, sizeof(bytes), file)) > 0)
		depot_digest_add(&digest, bytes, length);
	ok = ok && ferror(file) == 0;
	if (file != NULL)
		(void) fclose(file);
	depot_digest_end_hex(&digest, sha256);
	return ok || depot_error_set(error, DEPOT_ERROR_ROOT_INVALID, "its pinned root \"%s\" could not be read", path);
}

/* Makes the members of a command that say where trust in a repository begins; NULL with the reason. */
static json_t *
make_anchor(const DepotAgentOrigins *origins, const char *repository, DepotError *error)
{
	DepotTrustedRoot pin = {.sha256 = ""};
	json_t	   *anchor;
	bool		is_pinned = depot_trusted_roots_find(origins->trusted_roots, repository, &pin);

	if (!is_pinned && origins->trusted_roots[0] != '\0')
	{
		depot_error_set(error, DEPOT_ERROR_ROOT_INVALID, "\"depot.trusted_roots\" does not name repository \"%s\"",
						repository);
		return NULL;
	}
	if (pin.path[0] != '\0' && !digest_pinned_file(pin.path, pin.sha256, error))
		return NULL;
	anchor = json_pack("{s:s, s:b}", "repository", repository, "pinned", (int) is_pinned);
	if (anchor == NULL || (is_pinned && json_object_set_new(anchor, "initial_root_sha256",
															json_string(pin.sha256)) != 0))
	{
		json_decref(anchor);
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	return anchor;
}

static bool
compare_target(Search *search, const DepotTufTarget *target, DepotError *error)
{
	json_t	   *custom = target->custom != NULL ? json_object_get(target->custom, "pg_depot") : NULL;
	char		manifest_sha256[DEPOT_SHA256_HEX_BYTES] = "";
	DepotManifest *described;
	bool		ok;

	if (custom == NULL || target->depth > 1)
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "the signed target does not describe a package");
	described = depot_manifest_from_custom(custom, target->path, manifest_sha256, error);
	ok = described != NULL && depot_publisher_check_package(target->delegation, described, error);
	depot_manifest_free(described);
	if (ok && strcmp(manifest_sha256, search->manifest_sha256) != 0)
		ok = depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH, "it is not the manifest that repository signed");
	if (ok)
		memcpy(search->digest, target->sha256, DEPOT_SHA256_HEX_BYTES);
	return ok;
}

/* Lets keys of all types count where the pinned root needs them. */
static bool
add_key_types(const DepotAgentOrigins *origins, json_t *anchor, DepotError *error)
{
	DepotAgentPin pin = {.is_new = false};
	DepotError	ignored;
	bool		ok = true;

	depot_buffer_init(&pin.root);
	/* Without a pin nothing will be found. */
	if (depot_agent_find_pin(origins->agent, anchor, -1, -1, &pin, &ignored) &&
		depot_tuf_key_types_of_pin(pin.root.data, pin.root.length_bytes) == DEPOT_TUF_ALL_KEY_TYPES)
		ok = json_object_set_new(anchor, "all_key_types", json_true()) == 0 ||
			depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	depot_buffer_free(&pin.root);
	return ok;
}

/* Looks the target up in the metadata that this server trusts of one repository. */
static bool
search_repository(Search *search, const char *repository, DepotError *error)
{
	DepotTufClient *client = NULL;
	DepotTufTarget target;
	int			metadata_fd = -1;
	bool		ok = false;
	json_t	   *anchor = make_anchor(search->origins, repository, error);

	if (anchor != NULL && add_key_types(search->origins, anchor, error))
		client = depot_agent_load_target(search->origins->agent, anchor, search->target, time(NULL), false,
										 &target, &metadata_fd, error);
	if (client != NULL)
	{
		ok = compare_target(search, &target, error);
		(void) close(metadata_fd);
		depot_tuf_close(client);
	}
	json_decref(anchor);
	return ok;
}

/* Whether two lists name the same repository, and the same documents under the same root. */
static bool
has_same_documents(const DepotEvidence *a, const DepotEvidence *b)
{
	if (strcmp(a->repository, b->repository) != 0 || a->root_version != b->root_version ||
		a->document_count != b->document_count)
		return false;
	for (int i = 0; i < a->document_count; i++)
		if (strcmp(a->documents[i].role, b->documents[i].role) != 0 ||
			strcmp(a->documents[i].sha256, b->documents[i].sha256) != 0)
			return false;
	return true;
}

/* Finds the target in the documents that proved another package. */
static bool
find_in_proven(const DepotAgentOrigins *origins, const DepotEvidence *listed, DepotTufTarget *target)
{
	DepotError	ignored;

	return origins->proven != NULL && has_same_documents(&origins->proven_by, listed) &&
		depot_tuf_find_target(origins->proven, listed->target, target, &ignored) &&
		strcmp(target->sha256, listed->sha256) == 0;
}

/* Proves the target from the documents that are kept beside one list, which is kept with them. */
static bool
prove_listed(DepotAgentOrigins *origins, int evidence_fd, DepotEvidence *listed, DepotTufTarget *target,
			 DepotError *error)
{
	DepotEvidence used = {.root_count = 0};
	DepotAgentPin pin = {.is_new = false};
	json_t	   *anchor = make_anchor(origins, listed->repository, error);

	depot_agent_forget_origins(origins);
	depot_buffer_init(&pin.root);
	if (anchor != NULL && depot_agent_find_pin(origins->agent, anchor, -1, evidence_fd, &pin, error))
		origins->proven = depot_tuf_prove(listed, evidence_fd, pin.root.data, pin.root.length_bytes,
										  depot_tuf_key_types_of_pin(pin.root.data, pin.root.length_bytes), &used,
										  target, error);
	if (origins->proven != NULL)
	{
		origins->proven_by = *listed;
		memset(listed, 0, sizeof(*listed));
	}
	depot_evidence_free(&used);
	depot_buffer_free(&pin.root);
	json_decref(anchor);
	return origins->proven != NULL;
}

static bool
search_list(Search *search, int evidence_fd, DepotEvidence *listed, DepotError *error)
{
	DepotTufTarget target;

	return (find_in_proven(search->origins, listed, &target) ||
			prove_listed(search->origins, evidence_fd, listed, &target, error)) &&
		compare_target(search, &target, error);
}

/* Keeps a reason, said of its repository.  That one does not list the target tells nothing where another does. */
static void
note_reason(Search *search, const char *repository, const DepotError *reason)
{
	if (search->is_found || search->reason.code != DEPOT_ERROR_TARGET_UNKNOWN)
		return;
	search->reason = *reason;
	depot_error_prefix(&search->reason, "repository \"%s\"", repository);
}

/* A DepotFilesVisit over var/evidence: lists are named by their package's digest. */
static bool
try_list(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context, DepotError *error)
{
	Search	   *search = context;
	DepotEvidence listed = {.root_count = 0};
	DepotError	reason;

	(void) size_bytes;
	(void) error;
	if (search->is_found || !S_ISREG(mode) || !depot_name_is_sha256(path) ||
		!depot_evidence_read(directory_fd, path, &listed, &reason))
		return true;
	if (strcmp(listed.target, search->target) == 0)
	{
		char		repository[sizeof(listed.repository)];

		/* A list that proves something is moved. */
		memcpy(repository, listed.repository, sizeof(repository));
		search->is_found = search_list(search, directory_fd, &listed, &reason);
		note_reason(search, repository, &reason);
	}
	depot_evidence_free(&listed);
	return true;
}

/* A DepotFilesVisit over the directories of var/metadata. */
static bool
try_repository(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
			   DepotError *error)
{
	Search	   *search = context;
	DepotError	reason;

	(void) directory_fd;
	(void) size_bytes;
	(void) error;
	if (search->is_found || !S_ISDIR(mode) || !depot_name_is_package(path))
		return true;
	search->is_found = search_repository(search, path, &reason);
	note_reason(search, path, &reason);
	return true;
}

void
depot_agent_forget_origins(DepotAgentOrigins *origins)
{
	depot_tuf_close(origins->proven);
	origins->proven = NULL;
	depot_evidence_free(&origins->proven_by);
}

bool
depot_agent_find_origin(DepotAgentOrigins *origins, const DepotManifest *manifest,
						const char *manifest_sha256, char digest[DEPOT_SHA256_HEX_BYTES], DepotError *error)
{
	Search		search = {
		.origins = origins, .manifest = manifest, .manifest_sha256 = manifest_sha256, .digest = digest
	};
	const int	var_fd = origins->agent->directory_fd;
	const char *metadata = strchr(DEPOT_METADATA, '/') + 1;
	const char *evidence = strchr(DEPOT_EVIDENCE, '/') + 1;
	int			length;

	length = snprintf(search.target, sizeof(search.target), "pg%d/%s-%s/%s/%s/%s-%s.tar.zst",
					  manifest->postgresql_major, manifest->platform_os, manifest->platform_arch,
					  manifest->package, manifest->version, manifest->package, manifest->version);
	if (length < 0 || (size_t) length >= sizeof(search.target))
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "its name or version is too long");
	depot_error_set(&search.reason, DEPOT_ERROR_TARGET_UNKNOWN, "this server has no metadata of a repository");
	if ((depot_files_exists(var_fd, evidence) && !depot_files_walk(var_fd, evidence, try_list, &search, error)) ||
		(!search.is_found && !depot_files_walk(var_fd, metadata, try_repository, &search, error)))
		return false;
	if (!search.is_found && error != NULL)
		*error = search.reason;
	return search.is_found;
}
