/*-------------------------------------------------------------------------
 *
 * fuzz_signed.h
 *	  A repository that the input describes and known keys sign: a file is
 *	  {"signed", "by": [SIGNER]}.
 *
 * "@0" to "@3" stand for the keyids of four signers, "#0" to "#3" for their public
 * keys.  The first root, which is not part of the input, gives root, timestamp,
 * snapshot and targets to one signer each, in this order.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FUZZ_SIGNED_H
#define DEPOT_FUZZ_SIGNED_H

#include "fuzz_metadata.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/key.h"

#define SIGNER_COUNT 4
#define MOST_STEPS 4
#define ROLE_COUNT 4
#define NOW INT64_C(1795176000) /* 2026-11-20 12:00:00 UTC */

static const char *const first_root =
"{\"signed\":{\"_type\":\"root\",\"spec_version\":\"1.0.34\",\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\","
"\"consistent_snapshot\":true,\"keys\":{"
"\"@0\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#0\"}},"
"\"@1\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#1\"}},"
"\"@2\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#2\"}},"
"\"@3\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#3\"}}},"
"\"roles\":{\"root\":{\"keyids\":[\"@0\"],\"threshold\":1},\"timestamp\":{\"keyids\":[\"@1\"],\"threshold\":1},"
"\"snapshot\":{\"keyids\":[\"@2\"],\"threshold\":1},\"targets\":{\"keyids\":[\"@3\"],\"threshold\":1}}},\"by\":[0]}";

static DepotKey *signers[SIGNER_COUNT];
static char *pin;
static char directory_path[] = "/dev/shm/depot-fuzz-XXXXXX";

extern int	LLVMFuzzerInitialize(int *argc, char ***argv);

static void
remove_directory(void)
{
	int			parent = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DepotError	error;

	(void) depot_files_remove_tree(parent, directory_path + strlen("/dev/shm/"), &error);
	(void) close(parent);
}

static bool
is_signer(const uint8_t *data, size_t size)
{
	return size >= 2 && (data[0] == '@' || data[0] == '#') && data[1] >= '0' && data[1] < '0' + SIGNER_COUNT;
}

/* Parses bytes after putting keyids and keys where they are meant. */
static json_t *
read_text(const uint8_t *data, size_t size)
{
	DepotBuffer text;
	json_t	   *value;

	depot_buffer_init(&text);
	FUZZ_REQUIRE(depot_buffer_append_string(&text, ""));
	for (size_t i = 0; i < size; i++)
	{
		char		hex[2 * DEPOT_KEY_PUBLIC_BYTES + 1];
		const DepotKey *key;

		if (!is_signer(data + i, size - i))
		{
			depot_buffer_append(&text, &data[i], 1);
			continue;
		}
		key = signers[data[i + 1] - '0'];
		sodium_bin2hex(hex, sizeof(hex), key->public_key, DEPOT_KEY_PUBLIC_BYTES);
		depot_buffer_append_string(&text, data[i] == '@' ? key->keyid : hex);
		i++;
	}
	value = depot_json_parse(text.data, text.length_bytes, DEPOT_ERROR_METADATA_FORMAT, "text", NULL);
	depot_buffer_free(&text);
	return value;
}

/* Returns the text of a file with the signatures of those in "by", malloc'd; NULL when it cannot be signed. */
static char *
sign(const json_t *file)
{
	json_t	   *signatures = json_array();
	json_t	   *envelope = json_pack("{s:O?, s:o}",
									 "signed", json_object_get(file, "signed"), "signatures", signatures);
	const json_t *by;
	size_t		index;
	DepotBuffer message;
	char	   *text = NULL;

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

/* Serves the files of one step. */
static bool
fetch(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing, DepotError *error)
{
	const json_t *step = context;
	char	   *text = sign(json_object_get(step, file_name));

	*missing = text == NULL;
	if (text != NULL && strlen(text) > max_bytes)
	{
		free(text);
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "too large");
	}
	FUZZ_REQUIRE(text == NULL || depot_buffer_append_string(out, text));
	free(text);
	return true;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_t	   *file;

	FUZZ_REQUIRE(sodium_init() >= 0 && mkdtemp(directory_path) != NULL && atexit(remove_directory) == 0);
	for (int i = 0; i < SIGNER_COUNT; i++)
	{
		uint8_t		seed[DEPOT_KEY_SEED_BYTES];

		memset(seed, i + 1, sizeof(seed));
		signers[i] = depot_key_from_seed(seed, NULL);
		FUZZ_REQUIRE(signers[i] != NULL);
	}
	file = read_text((const uint8_t *) first_root, strlen(first_root));
	FUZZ_REQUIRE(file != NULL);
	pin = sign(file);
	FUZZ_REQUIRE(pin != NULL);
	json_decref(file);
	return 0;
}

/* What is trusted after a step: versions of root, timestamp, snapshot and targets; false when nothing is. */
static bool
load(int directory, int64_t versions[ROLE_COUNT])
{
	DepotTufRole roles[ROLE_COUNT];
	DepotError	error = {0};
	DepotTufClient *client = depot_tuf_open(directory, pin, strlen(pin), NOW, &error);
	bool		ok;

	FUZZ_REQUIRE(client != NULL);
	memset(roles, 0, sizeof(roles));
	ok = depot_tuf_load_trusted(client, NULL, false, &error);
	FUZZ_REQUIRE(depot_tuf_roles(client, roles, ROLE_COUNT) >= 1 && strcmp(roles[0].name, "root") == 0);
	for (int i = 0; i < ROLE_COUNT; i++)
		versions[i] = roles[i].version;
	depot_tuf_close(client);
	return ok;
}

/* Makes the empty directory of a client below *parent_fd, and opens both. */
static int
make_directory(const char *name, int *parent_fd)
{
	int			directory_fd;

	*parent_fd = open(directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_REQUIRE(*parent_fd >= 0 && mkdirat(*parent_fd, name, 0700) == 0);
	directory_fd = openat(*parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_REQUIRE(directory_fd >= 0);
	return directory_fd;
}

/* Closes what make_directory has opened, and removes the directory. */
static void
remove_client(const char *name, int parent_fd, int directory_fd)
{
	DepotError	error = {0};

	(void) close(directory_fd);
	FUZZ_REQUIRE(depot_files_remove_tree(parent_fd, name, &error));
	(void) close(parent_fd);
}

/* Requires that what is trusted now is not older, as far as the same root says so. */
static void
require_not_older(const int64_t before[ROLE_COUNT], const int64_t after[ROLE_COUNT])
{
	FUZZ_REQUIRE(after[0] >= before[0]);
	for (int i = 1; after[0] == before[0] && i < ROLE_COUNT; i++)
		FUZZ_REQUIRE(after[i] >= before[i]);
}

#endif							/* DEPOT_FUZZ_SIGNED_H */
