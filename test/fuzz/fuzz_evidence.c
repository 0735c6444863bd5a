/*-------------------------------------------------------------------------
 *
 * fuzz_evidence.c
 *	  Evidence: {"list": LIST, "documents": [FILE or TEXT]}, what rows that anybody
 *	  may have written hold.
 *
 * "$0" to "$9" stand for the digests of the documents.  The pinned root gives root to the first signer and
 * targets to the last.  What is taken as proof proves the same again from the documents that were
 * relied on alone, and nothing once the first of them is gone.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_signers.h"

#include "common/digest.h"
#include "common/evidence.h"
#include "common/tuf.h"

#define MOST_DOCUMENTS 10

static const char *const pinned_root =
"{\"signed\":{\"_type\":\"root\",\"spec_version\":\"1.0.34\",\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\","
"\"consistent_snapshot\":true,\"keys\":{"
"\"@0\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#0\"}},"
"\"@3\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#3\"}}},"
"\"roles\":{\"root\":{\"keyids\":[\"@0\"],\"threshold\":1},\"timestamp\":{\"keyids\":[\"@0\"],\"threshold\":1},"
"\"snapshot\":{\"keyids\":[\"@0\"],\"threshold\":1},\"targets\":{\"keyids\":[\"@3\"],\"threshold\":1}}},\"by\":[0]}";

static char digests[MOST_DOCUMENTS][DEPOT_SHA256_HEX_BYTES];
static int	digest_count;
static int	directory = -1;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	make_signers(pinned_root);
	directory = open(directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_REQUIRE(directory >= 0);
	return 0;
}

/* The Meaning of digests, keyids and public keys. */
static const char *
meaning(const char *data, size_t size, char hex[SIGNER_HEX_BYTES])
{
	const int	number = size < 2 ? -1 : data[1] - '0';

	if (number >= 0 && number < digest_count && data[0] == '$')
		return digests[number];
	return signer_meaning(data, size, hex);
}

/* Writes the documents under the names of their digests. */
static void
write_documents(const json_t *documents)
{
	const json_t *document;
	size_t		index;

	digest_count = 0;
	json_array_foreach(documents, index, document)
	{
		char	   *text = index < MOST_DOCUMENTS ? sign(document) : NULL;
		char		name[DEPOT_EVIDENCE_FILE_BYTES];
		int			fd;

		if (text == NULL)
			break;
		depot_digest_sha256_hex(text, strlen(text), digests[digest_count]);
		depot_evidence_file(digests[digest_count++], name);
		fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		FUZZ_REQUIRE(fd >= 0 && depot_files_write_all(fd, text, strlen(text), NULL));
		(void) close(fd);
		free(text);
	}
}

static void
remove_documents(void)
{
	for (int i = 0; i < digest_count; i++)
	{
		char		name[DEPOT_EVIDENCE_FILE_BYTES];

		depot_evidence_file(digests[i], name);
		(void) unlinkat(directory, name, 0);
	}
}

/* Proves, and hands out what was relied on. */
static bool
prove(const DepotEvidence *list, DepotEvidence *used, char sha256[65])
{
	DepotTufTarget target;
	DepotError	error = {0};
	DepotTufClient *client = depot_tuf_prove(list, directory, pin, strlen(pin), DEPOT_TUF_ED25519_ONLY, used, &target,
											 &error);

	if (client == NULL)
	{
		FUZZ_REQUIRE(error.code != DEPOT_OK && error.code != DEPOT_ERROR_OUT_OF_MEMORY && error.message[0] != '\0');
		return false;
	}
	FUZZ_REQUIRE(strcmp(target.path, list->target) == 0 && strcmp(target.sha256, list->sha256) == 0);
	FUZZ_REQUIRE(used->document_count >= 1 && strcmp(used->documents[0].role, "targets") == 0);
	memcpy(sha256, target.sha256, 65);
	depot_tuf_close(client);
	return true;
}

static void
check_proof(const DepotEvidence *list)
{
	DepotEvidence used;
	DepotEvidence again;
	char		sha256[65];
	char		sha256_again[65];
	char		name[DEPOT_EVIDENCE_FILE_BYTES];

	if (!prove(list, &used, sha256))
		return;
	FUZZ_REQUIRE(prove(&used, &again, sha256_again) && strcmp(sha256, sha256_again) == 0);
	FUZZ_REQUIRE(again.document_count == used.document_count && again.root_count == used.root_count);
	depot_evidence_free(&again);
	depot_evidence_file(used.documents[0].sha256, name);
	FUZZ_REQUIRE(unlinkat(directory, name, 0) == 0);
	FUZZ_REQUIRE(!prove(&used, &again, sha256_again));
	depot_evidence_free(&used);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotEvidence list;
	DepotEvidence again;
	DepotError	error = {0};
	DepotBuffer text;
	DepotBuffer text_again;
	json_t	   *input;
	char	   *dump;

	/* the documents first: their digests may stand in the list */
	digest_count = 0;
	input = read_text((const char *) data, size, meaning);
	write_documents(json_object_get(input, "documents"));
	json_decref(input);
	input = read_text((const char *) data, size, meaning);
	dump = json_dumps(json_object_get(input, "list"), JSON_COMPACT);
	json_decref(input);
	if (dump == NULL)
		return 0;
	if (depot_evidence_parse(dump, strlen(dump), &list, &error))
	{
		depot_buffer_init(&text);
		depot_buffer_init(&text_again);
		FUZZ_REQUIRE(depot_evidence_write(&list, &text, &error));
		FUZZ_REQUIRE(depot_evidence_parse(text.data, text.length_bytes, &again, &error));
		FUZZ_REQUIRE(depot_evidence_write(&again, &text_again, &error) && fuzz_same_bytes(&text, &text_again));
		depot_buffer_free(&text);
		depot_buffer_free(&text_again);
		depot_evidence_free(&again);
		check_proof(&list);
		depot_evidence_free(&list);
	}
	else
		fuzz_require_refusal(&error);
	remove_documents();
	free(dump);
	return 0;
}
