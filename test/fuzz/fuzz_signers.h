/*-------------------------------------------------------------------------
 *
 * fuzz_signers.h
 *	  Known keys that sign what the input describes: a file is {"signed", "by": [SIGNER]}.
 *
 * "@0" to "@3" stand for the keyids of four signers, "#0" to "#3" for their public
 * keys.  A target that includes this makes its keys, its directory and its pinned root
 * with make_signers; the root is not part of the input.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FUZZ_SIGNERS_H
#define DEPOT_FUZZ_SIGNERS_H

#include "fuzz_metadata.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "common/files.h"
#include "common/key.h"

#define SIGNER_COUNT 4
#define SIGNER_HEX_BYTES (2 * DEPOT_KEY_PUBLIC_BYTES + 1)

/* What two bytes of the input stand for, which may be written to hex; NULL: themselves. */
typedef const char *(*Meaning) (const char *data, size_t size, char hex[SIGNER_HEX_BYTES]);

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

/* The Meaning of keyids and public keys. */
static const char *
signer_meaning(const char *data, size_t size, char hex[SIGNER_HEX_BYTES])
{
	const int	number = size < 2 ? -1 : data[1] - '0';

	if (number < 0 || number >= SIGNER_COUNT || (data[0] != '@' && data[0] != '#'))
		return NULL;
	sodium_bin2hex(hex, SIGNER_HEX_BYTES, signers[number]->public_key, DEPOT_KEY_PUBLIC_BYTES);
	return data[0] == '@' ? signers[number]->keyid : hex;
}

/* Parses bytes after putting in what they mean. */
static json_t *
read_text(const char *data, size_t size, Meaning meaning)
{
	DepotBuffer text;
	json_t	   *value;

	depot_buffer_init(&text);
	FUZZ_REQUIRE(depot_buffer_append_string(&text, ""));
	for (size_t i = 0; i < size; i++)
	{
		char		hex[SIGNER_HEX_BYTES];
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

/*
 * Returns the text of a file with the signatures of those in "by", malloc'd, or that of a string as it is; NULL when
 * it has neither text nor "signed".
 */
static char *
sign(const json_t *file)
{
	json_t	   *signatures = json_array();
	json_t	   *envelope = json_pack("{s:O?, s:o}",
									 "signed", json_object_get(file, "signed"), "signatures", signatures);
	const json_t *by;
	size_t		index;
	DepotBuffer message;
	char	   *text = json_is_string(file) ? strdup(json_string_value(file)) : NULL;

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

/* Makes the directory and the keys, and signs the root that is pinned. */
static void
make_signers(const char *root)
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
	file = read_text(root, strlen(root), signer_meaning);
	pin = sign(file);
	FUZZ_REQUIRE(pin != NULL);
	json_decref(file);
}

#endif							/* DEPOT_FUZZ_SIGNERS_H */
