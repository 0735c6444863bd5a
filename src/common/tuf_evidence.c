/*-------------------------------------------------------------------------
 *
 * tuf_evidence.c
 *	  Proves a target from the signed documents under which it was accepted.
 *
 * Every rule of the client workflow holds but those that need the repository:
 * the chain of roots begins at the pin and goes on version by version, each
 * signed by the keys of the one before it and by its own; the
 * top-level targets are signed under the root that they were accepted under;
 * each delegated role is, under its delegator, and may speak for the path.  Versions
 * and expiry say what is newest, which is not asked here.  The list is a place
 * to look, like a mirror: what it says is never believed.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/digest.h"
#include "common/files.h"

/* What a client reads documents from while it proves a target. */
struct DepotTufProof
{
	const DepotEvidence *listed;
	DepotEvidence *used;		/* those that were relied on */
	int			documents_fd;
};

static bool start_from_root(DepotTufClient *client, const char *pin, size_t pin_bytes, DepotError *error);
static bool follow_roots(DepotTufClient *client, DepotError *error);
static bool follow_root(DepotTufClient *client, DepotError *error);
static bool read_document(const DepotTufProof *proof, const DepotEvidenceDocument *document, size_t max_bytes,
						  DepotBuffer *bytes, DepotError *error);
static bool accept_listed(DepotTufClient *client, const DepotTufExpect *expect, DepotTufDocument *document,
						  DepotError *error);

DepotTufClient *
depot_tuf_prove(const DepotEvidence *listed, int documents_fd, const char *pin, size_t pin_bytes,
				DepotTufKeyTypes key_types, DepotEvidence *used, DepotTufTarget *target, DepotError *error)
{
	DepotTufProof proof = {.listed = listed, .used = used, .documents_fd = documents_fd};
	DepotTufClient *client = calloc(1, sizeof(DepotTufClient));
	DepotTufExpect expect;
	bool		ok;

	memset(used, 0, sizeof(*used));
	if (client == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	client->directory_fd = -1;
	client->key_types = key_types;
	client->proof = &proof;
	ok = start_from_root(client, pin, pin_bytes, error) && follow_roots(client, error) &&
		depot_tuf_expect_top_level(client, "targets", &expect, error) &&
		accept_listed(client, &expect, &client->targets, error) &&
		depot_tuf_find_target(client, listed->target, target, error) &&
		depot_tuf_begin_evidence(used, listed->repository, target, client->root.version, error);
	client->proof = NULL;
	if (ok && strcmp(target->sha256, listed->sha256) != 0)
	{
		ok = depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH, "the signed documents are about another build");
		depot_error_detail(error, "Wanted sha256 %s, they list %s.", listed->sha256, target->sha256);
	}
	if (ok)
		return client;
	depot_evidence_free(used);
	depot_tuf_close(client);
	return NULL;
}

DepotTufKeyTypes
depot_tuf_key_types_of_pin(const char *pin, size_t pin_bytes)
{
	DepotTufClient client = {.directory_fd = -1, .key_types = DEPOT_TUF_ED25519_ONLY};
	DepotError	reason = {0};
	bool		needs_others;

	needs_others = !start_from_root(&client, pin, pin_bytes, &reason) && reason.code == DEPOT_ERROR_ROOT_INVALID;
	depot_tuf_document_free(&client.root);
	return needs_others ? DEPOT_TUF_ALL_KEY_TYPES : DEPOT_TUF_ED25519_ONLY;
}

/* Fills what a list says of its package; the documents are there already. */
bool
depot_tuf_begin_evidence(DepotEvidence *evidence, const char *repository, const DepotTufTarget *target,
						 int64_t root_version, DepotError *error)
{
	if (!depot_name_is_relative_path(target->path) || target->sha256[0] == '\0')
		return depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT, "the target has no sha256, or a path that is none");
	snprintf(evidence->repository, sizeof(evidence->repository), "%s", repository);
	snprintf(evidence->target, sizeof(evidence->target), "%s", target->path);
	snprintf(evidence->sha256, sizeof(evidence->sha256), "%s", target->sha256);
	evidence->root_version = root_version;
	return true;
}

/*----- the chain of roots -------------------------------------------------------------*/

static bool
start_from_root(DepotTufClient *client, const char *pin, size_t pin_bytes, DepotError *error)
{
	const DepotTufExpect expect = {
		.role = "root",.type = "root",.max_bytes = DEPOT_TUF_ROOT_MAX_BYTES, .key_types = client->key_types
	};
	DepotBuffer bytes;
	bool		ok;

	depot_buffer_init(&bytes);
	ok = depot_buffer_append(&bytes, pin_bytes > 0 ? pin : "", pin_bytes) ||
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	if (ok && !depot_tuf_accept(&expect, &bytes, &client->root, error))
	{
		if (error != NULL && error->code != DEPOT_ERROR_OUT_OF_MEMORY)
			error->code = DEPOT_ERROR_ROOT_INVALID;
		ok = depot_error_prefix(error, "the root that this server pins is not valid");
	}
	depot_buffer_free(&bytes);
	return ok;
}

/*
 * Goes on to the root that the list names.  A pin that is newer is where it ends: that root may still know the
 * keys of targets that were accepted before it.
 */
static bool
follow_roots(DepotTufClient *client, DepotError *error)
{
	const int64_t wanted = client->proof->listed->root_version;

	if (wanted - client->root.version > DEPOT_TUF_MAX_ROOT_ROTATIONS)
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE,
							   "more than %d versions of root metadata would have to be read",
							   DEPOT_TUF_MAX_ROOT_ROTATIONS);
	while (client->root.version < wanted)
	{
		if (!follow_root(client, error))
			return false;
	}
	return true;
}

/* Takes the next version of root, from whichever listed document is one. */
static bool
follow_root(DepotTufClient *client, DepotError *error)
{
	const DepotTufProof *proof = client->proof;
	const int64_t version = client->root.version + 1;
	DepotBuffer bytes;
	bool		is_listed = false;
	bool		ok = false;

	depot_buffer_init(&bytes);
	for (int i = 0; i < proof->listed->root_count && !ok; i++)
	{
		const DepotEvidenceDocument *root = &proof->listed->roots[i];

		if (root->version != version)
			continue;
		is_listed = true;
		ok = read_document(proof, root, DEPOT_TUF_ROOT_MAX_BYTES, &bytes, error) &&
			depot_tuf_accept_next_root(client, &bytes, error);
		if (ok && !depot_evidence_add(proof->used, "root", version, root->sha256, error))
		{
			ok = false;
			break;
		}
	}
	depot_buffer_free(&bytes);
	if (!is_listed)
		depot_error_set(error, DEPOT_ERROR_ROOT_INVALID,
						"no proper chain leads from the root that this server pins: version %" PRId64 " is missing",
						version);
	return ok;
}

/*----- documents ------------------------------------------------------------------------*/

/* Reads a document, and holds it against its name: only so is one kept for others. */
static bool
read_document(const DepotTufProof *proof, const DepotEvidenceDocument *document, size_t max_bytes,
			  DepotBuffer *bytes, DepotError *error)
{
	char		file[DEPOT_EVIDENCE_FILE_BYTES];
	char		found[DEPOT_SHA256_HEX_BYTES];

	depot_evidence_file(document->sha256, file);
	depot_buffer_reset(bytes);
	if (!depot_files_read(proof->documents_fd, file, max_bytes, bytes, error))
		return depot_error_prefix(error, "document of evidence");
	depot_digest_sha256_hex(bytes->data == NULL ? "" : bytes->data, bytes->length_bytes, found);
	if (strcmp(found, document->sha256) == 0)
		return true;
	depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH, "document of evidence is damaged");
	return depot_error_detail(error, "Its sha256 is %s, and should be %s.", found, document->sha256);
}

/* Takes the listed document of a role, if it is signed as its delegator says. */
static bool
accept_listed(DepotTufClient *client, const DepotTufExpect *expect, DepotTufDocument *document, DepotError *error)
{
	const DepotTufProof *proof = client->proof;
	const DepotEvidenceDocument *listed = NULL;
	char		what[DEPOT_TUF_LABEL_BYTES];
	DepotBuffer bytes;
	bool		ok;

	for (int i = 0; i < proof->listed->document_count && listed == NULL; i++)
	{
		if (strcmp(proof->listed->documents[i].role, expect->role) == 0)
			listed = &proof->listed->documents[i];
	}
	if (listed == NULL)
		return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH, "the %s is not among the evidence",
							   depot_tuf_label(expect->role, what));
	depot_buffer_init(&bytes);
	ok = read_document(proof, listed, expect->max_bytes, &bytes, error) &&
		depot_tuf_accept(expect, &bytes, document, error) &&
		depot_evidence_add(proof->used, listed->role, document->version, listed->sha256, error);
	depot_buffer_free(&bytes);
	return ok;
}

bool
depot_tuf_prove_delegated(DepotTufClient *client, const DepotTufDelegation *delegation, DepotTufDocument *document,
						  DepotError *error)
{
	DepotTufExpect expect;

	return depot_tuf_expect_delegated(client, delegation, &expect, error) &&
		accept_listed(client, &expect, document, error);
}
