/*-------------------------------------------------------------------------
 *
 * fuzz_envelope.c
 *	  Signatures: {"keys", "role", "signed", "signatures", "meta"}, where "@0"
 *	  to "@3" as a key's public part or as a signature stand for real ones.
 *
 * The count of signers is compared with one made here by other means.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_metadata.h"

#include <sodium.h>

#include "common/tuf_internal.h"

#define SIGNER_COUNT 4
#define MOST_KEYS 64

static uint8_t public_keys[SIGNER_COUNT][crypto_sign_PUBLICKEYBYTES];
static uint8_t secret_keys[SIGNER_COUNT][crypto_sign_SECRETKEYBYTES];

extern int	LLVMFuzzerInitialize(int *argc, char ***argv);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	FUZZ_REQUIRE(sodium_init() >= 0);
	for (int i = 0; i < SIGNER_COUNT; i++)
	{
		uint8_t		seed[crypto_sign_SEEDBYTES];

		memset(seed, i + 1, sizeof(seed));
		FUZZ_REQUIRE(crypto_sign_seed_keypair(public_keys[i], secret_keys[i], seed) == 0);
	}
	return 0;
}

/* Returns which signer a text stands for, -1 for any other text. */
static int
signer_of(const json_t *text)
{
	const char *string = json_string_value(text);

	return string != NULL && string[0] == '@' && string[1] >= '0' && string[1] < '0' + SIGNER_COUNT &&
		string[2] == '\0' ? string[1] - '0' : -1;
}

static void
set_hex(json_t *object, const char *member, const uint8_t *bytes, size_t count)
{
	char		hex[2 * crypto_sign_BYTES + 1];

	sodium_bin2hex(hex, sizeof(hex), bytes, count);
	FUZZ_REQUIRE(json_object_set_new(object, member, json_string(hex)) == 0);
}

/* Tells whether the parts that are checked before signatures are looked at have their shape. */
static bool
has_shape(const json_t *input)
{
	json_t	   *signature;
	size_t		index;
	const char *algorithm;
	json_t	   *hash;

	json_array_foreach(json_object_get(input, "signatures"), index, signature)
	{
		if (!json_is_string(json_object_get(signature, "keyid")) || !json_is_string(json_object_get(signature, "sig")))
			return false;
	}
	json_object_foreach(json_object_get(json_object_get(input, "meta"), "hashes"), algorithm, hash)
	{
		if (!json_is_string(hash))
			return false;
	}
	return true;
}

/* Puts real keys and signatures where an input names a signer. */
static void
put_real(json_t *input, const DepotBuffer *message)
{
	const char *keyid;
	json_t	   *key;
	json_t	   *signature;
	size_t		index;

	json_object_foreach(json_object_get(input, "keys"), keyid, key)
	{
		json_t	   *keyval = json_object_get(key, "keyval");
		int			signer = signer_of(json_object_get(keyval, "public"));

		if (signer >= 0)
			set_hex(keyval, "public", public_keys[signer], crypto_sign_PUBLICKEYBYTES);
	}
	json_array_foreach(json_object_get(input, "signatures"), index, signature)
	{
		uint8_t		bytes[crypto_sign_BYTES];
		int			signer = signer_of(json_object_get(signature, "sig"));

		if (signer < 0)
			continue;
		crypto_sign_detached(bytes, NULL, (const unsigned char *) message->data, message->length_bytes,
							 secret_keys[signer]);
		set_hex(signature, "sig", bytes, sizeof(bytes));
	}
}

/* Tells whether a signature under this keyid is one of message by that key, of ed25519; its bytes go to out. */
static bool
has_signed(const json_t *input, const json_t *keyid, const DepotBuffer *message, uint8_t out[32])
{
	const json_t *key = json_object_get(json_object_get(input, "keys"), json_string_value(keyid));
	const char *keytype = json_string_value(json_object_get(key, "keytype"));
	const char *scheme = json_string_value(json_object_get(key, "scheme"));
	const char *hex = json_string_value(json_object_get(json_object_get(key, "keyval"), "public"));
	json_t	   *signature;
	size_t		index;
	size_t		length;

	if (keytype == NULL || strcmp(keytype, "ed25519") != 0 || scheme == NULL || strcmp(scheme, "ed25519") != 0 ||
		hex == NULL || strlen(hex) != 64 || sodium_hex2bin(out, 32, hex, 64, NULL, &length, NULL) != 0 || length != 32)
		return false;
	json_array_foreach(json_object_get(input, "signatures"), index, signature)
	{
		const char *sig = json_string_value(json_object_get(signature, "sig"));
		uint8_t		bytes[crypto_sign_BYTES];

		if (json_equal(json_object_get(signature, "keyid"), keyid) && sig != NULL &&
			strlen(sig) == 2 * sizeof(bytes) &&
			sodium_hex2bin(bytes, sizeof(bytes), sig, strlen(sig), NULL, &length, NULL) == 0 &&
			length == sizeof(bytes) &&
			crypto_sign_verify_detached(bytes, (const unsigned char *) message->data, message->length_bytes, out) == 0)
			return true;
	}
	return false;
}

/* Counts the different public keys among the role's that have signed. */
static int64_t
count_signers(const json_t *input, const DepotBuffer *message)
{
	uint8_t		counted[MOST_KEYS][32];
	json_t	   *keyid;
	size_t		index;
	int			count = 0;

	json_array_foreach(json_object_get(json_object_get(input, "role"), "keyids"), index, keyid)
	{
		bool		is_new = count < MOST_KEYS && json_is_string(keyid) &&
		has_signed(input, keyid, message, counted[count]);

		for (int i = 0; is_new && i < count; i++)
			is_new = memcmp(counted[i], counted[count], 32) != 0;
		count += is_new;
	}
	return count;
}

/* Runs the signed text through all checks of a file, as its parent describes it in "meta". */
static void
check_accept(const json_t *input, bool is_verified)
{
	static const int64_t reference_time_s = INT64_C(1795176000);
	json_t	   *envelope = json_pack("{s:O?, s:O?}", "signed", json_object_get(input, "signed"),
									 "signatures", json_object_get(input, "signatures"));
	json_t	   *meta = json_object_get(input, "meta");
	DepotTufDocument document = {0};
	DepotError	error = {0};
	DepotBuffer bytes;
	DepotTufExpect expect = {
		.role = "snapshot",.type = "snapshot",.keys = json_object_get(input, "keys"),
		.threshold = json_object_get(input, "role"), .max_bytes = 4096
	};
	char	   *text = json_dumps(envelope, JSON_COMPACT);

	depot_buffer_init(&bytes);
	FUZZ_REQUIRE(text != NULL && depot_buffer_append_string(&bytes, text));
	/* What a parent says has passed its own checks. */
	if (json_is_integer(json_object_get(meta, "version")))
		expect.meta = meta;
	if (expect.keys != NULL && expect.threshold != NULL && depot_tuf_accept(&expect, &bytes, &document, &error))
	{
		FUZZ_REQUIRE(is_verified && bytes.length_bytes <= expect.max_bytes);
		FUZZ_REQUIRE(expect.meta == NULL ||
					 document.version == json_integer_value(json_object_get(expect.meta, "version")));
		FUZZ_REQUIRE(depot_tuf_check_expiry(&document, FUZZ_LABEL, reference_time_s, &error) ==
					 (document.expires_epoch_s > reference_time_s));
	}
	else
		FUZZ_REQUIRE(document.envelope == NULL);
	depot_tuf_document_free(&document);
	depot_buffer_free(&bytes);
	free(text);
	json_decref(envelope);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotError	error = {0};
	json_t	   *input = depot_json_parse((const char *) data, size, DEPOT_ERROR_METADATA_FORMAT, "text", &error);
	json_t	   *role = json_object_get(input, "role");
	int64_t		threshold = json_integer_value(json_object_get(role, "threshold"));
	DepotBuffer message;
	bool		is_verified;

	depot_buffer_init(&message);
	if (json_object_get(input, "signed") != NULL && has_shape(input) &&
		depot_json_canonical(json_object_get(input, "signed"), &message, DEPOT_ERROR_METADATA_FORMAT, &error))
	{
		put_real(input, &message);
		is_verified = depot_tuf_verify_envelope(input, json_object_get(input, "keys"), role, FUZZ_LABEL, &error);
		if (is_verified)
			FUZZ_REQUIRE(threshold >= 1 && count_signers(input, &message) >= threshold);
		else
			fuzz_require_refusal(&error);
		check_accept(input, is_verified);
	}
	depot_buffer_free(&message);
	json_decref(input);
	return 0;
}
