/*-------------------------------------------------------------------------
 *
 * fuzz_evidence.c
 *	  Evidence: {"list": LIST, "documents": [{"signed", "by": [SIGNER]} or TEXT]},
 *	  what rows that anybody may have written hold.
 *
 * "@0" to "@3" stand for the keyids of four signers, "#0" to "#3" for their public keys, "$0" to "$9" for the
 * digests of the documents.  The pinned root, which is not part of the input, gives root to the first signer
 * and targets to the last.  What is taken as proof proves the same again from the documents that were
 * relied on alone, and nothing once the first of them is gone.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_metadata.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/evidence.h"
#include "common/files.h"
#include "common/key.h"
#include "common/tuf.h"

#define SIGNER_COUNT 4
#define MOST_DOCUMENTS 10

static const char *const pinned_root =
"{\"signed\":{\"_type\":\"root\",\"spec_version\":\"1.0.34\",\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\","
"\"consistent_snapshot\":true,\"keys\":{"
"\"@0\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#0\"}},"
"\"@3\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#3\"}}},"
"\"roles\":{\"root\":{\"keyids\":[\"@0\"],\"threshold\":1},\"timestamp\":{\"keyids\":[\"@0\"],\"threshold\":1},"
"\"snapshot\":{\"keyids\":[\"@0\"],\"threshold\":1},\"targets\":{\"keyids\":[\"@3\"],\"threshold\":1}}},\"by\":[0]}";

static DepotKey *signers[SIGNER_COUNT];
static char *pin;
static char digests[MOST_DOCUMENTS][DEPOT_SHA256_HEX_BYTES];
static int	digest_count;
static int	directory = -1;
static char directory_path[] = "/dev/shm/depot-fuzz-XXXXXX";

extern int	LLVMFuzzerInitialize(int *argc, char ***argv);
static char *sign(const json_t *file);
static json_t *read_text(const char *data, size_t size);

static void
remove_directory(void)
{
	int			parent = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DepotError	error;

	(void) depot_files_remove_tree(parent, directory_path + strlen("/dev/shm/"), &error);
	(void) close(parent);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_t	   *file;

	FUZZ_REQUIRE(sodium_init() >= 0 && mkdtemp(directory_path) != NULL && atexit(remove_directory) == 0);
	directory = open(directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_REQUIRE(directory >= 0);
	for (int i = 0; i < SIGNER_COUNT; i++)
	{
		uint8_t		seed[DEPOT_KEY_SEED_BYTES];

		memset(seed, i + 1, sizeof(seed));
		signers[i] = depot_key_from_seed(seed, NULL);
		FUZZ_REQUIRE(signers[i] != NULL);
	}
	file = read_text(pinned_root, strlen(pinned_root));
	pin = sign(file);
	FUZZ_REQUIRE(pin != NULL);
	json_decref(file);
	return 0;
}

/* What stands for two bytes of the input; NULL: themselves. */
static const char *
meaning(const char *data, size_t size, char hex[2 * DEPOT_KEY_PUBLIC_BYTES + 1])
{
	const int	number = size < 2 ? -1 : data[1] - '0';

	if (number >= 0 && number < digest_count && data[0] == '$')
		return digests[number];
	if (number < 0 || number >= SIGNER_COUNT || (data[0] != '@' && data[0] != '#'))
		return NULL;
	sodium_bin2hex(hex, 2 * DEPOT_KEY_PUBLIC_BYTES + 1, signers[number]->public_key, DEPOT_KEY_PUBLIC_BYTES);
	return data[0] == '@' ? signers[number]->keyid : hex;
}

static json_t *
read_text(const char *data, size_t size)
{
	DepotBuffer text;
	json_t	   *value;

	depot_buffer_init(&text);
	FUZZ_REQUIRE(depot_buffer_append_string(&text, ""));
	for (size_t i = 0; i < size; i++)
	{
		char		hex[2 * DEPOT_KEY_PUBLIC_BYTES + 1];
		const char *meant = meaning(data + i, size - i, hex);

		if (meant == NULL)
			depot_buffer_append(&text, &data[i], 1);
		else
		{
			depot_buffer_append_string(&text, meant);
			i++;
		}
	}
	value = depot_json_parse(text.data, text.length_bytes, DEPOT_ERROR_METADATA_FORMAT, "text", NULL);
	depot_buffer_free(&text);
	return value;
}

/* Returns the text of a document with the signatures of those in "by", malloc'd; NULL when it has none. */
static char *
sign(const json_t *file)
{
	json_t	   *signatures = json_array();
	json_t	   *envelope = json_pack("{s:O?, s:o}", "signed", json_object_get(file, "signed"),
									 "signatures", signatures);
	const json_t *by;
	size_t		index;
	DepotBuffer message;
	char	   *text = NULL;

	if (json_is_string(file))
	{
		json_decref(envelope);
		return strdup(json_string_value(file));
	}
	depot_buffer_init(&message);
	if (json_object_get(file, "signed") != NULL &&
		depot_json_canonical(json_object_get(file, "signed"), &message, DEPOT_ERROR_METADATA_FORMAT, NULL))
	{
		json_array_foreach(json_object_get(file, "by"), index, by)
		{
			json_int_t	signer = json_integer_value(by);
			uint8_t		signature[DEPOT_KEY_SIGNATURE_BYTES];
			char		hex[2 * DEPOT_KEY_SIGNATURE_BYTES + 1];

			if (signer < 0 || signer >= SIGNER_COUNT)
				continue;
			FUZZ_REQUIRE(depot_key_sign(signers[signer], message.data, message.length_bytes, signature, NULL));
			sodium_bin2hex(hex, sizeof(hex), signature, sizeof(signature));
			FUZZ_REQUIRE(json_array_append_new(signatures, json_pack("{s:s, s:s}", "keyid", signers[signer]->keyid,
																	 "sig", hex)) == 0);
		}
		text = json_dumps(envelope, JSON_COMPACT);
	}
	depot_buffer_free(&message);
	json_decref(envelope);
	return text;
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
	input = read_text((const char *) data, size);
	write_documents(json_object_get(input, "documents"));
	json_decref(input);
	input = read_text((const char *) data, size);
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
