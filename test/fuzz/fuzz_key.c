/*-------------------------------------------------------------------------
 *
 * fuzz_key.c
 *	  Key objects of metadata, of all types.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "common/key.h"
#include "common/key_public.h"

/* Requires that an ed25519 key, written without what others added to it, is the same key. */
static void
check_ed25519(const json_t *object, const char *identity)
{
	DepotError	error = {0};
	DepotKey   *key = depot_key_from_json(object, NULL, &error);
	json_t	   *core;
	DepotKey   *again;
	char		keyid[65];

	FUZZ_REQUIRE(key != NULL && depot_key_compute_keyid(object, keyid, &error));
	FUZZ_REQUIRE(strcmp(keyid, key->keyid) == 0 && key->secret_key == NULL);
	FUZZ_REQUIRE(strncmp(identity, "ed25519 ", 8) == 0);
	core = depot_key_to_json(key, &error);
	FUZZ_REQUIRE(core != NULL);
	again = depot_key_from_json(core, NULL, &error);
	FUZZ_REQUIRE(again != NULL && memcmp(again->public_key, key->public_key, sizeof(key->public_key)) == 0);
	FUZZ_REQUIRE(depot_key_from_json(core, "00", &error) == NULL && error.code == DEPOT_ERROR_KEY);
	depot_key_free(again);
	json_decref(core);
	depot_key_free(key);
}

/* Requires that nothing but a signature is one. */
static void
check_signatures(const DepotPublicKey *key)
{
	static const char *const signatures[] = {"", "0", "00", "zz", "3006020100020100"};
	char		zeros[2049];

	for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++)
		FUZZ_REQUIRE(!depot_key_public_verify(key, "message", 7, signatures[i]));
	memset(zeros, '0', sizeof(zeros));
	for (size_t digits = 64; digits < sizeof(zeros); digits *= 2)
	{
		zeros[digits] = '\0';
		/* Keys of small order, which libsodium refuses, have such a signature for every message. */
		FUZZ_REQUIRE(!depot_key_public_verify(key, "message", 7, zeros));
		zeros[digits] = '0';
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotError	error = {0};
	json_t	   *object = depot_json_parse((const char *) data, size, DEPOT_ERROR_KEY, "key", &error);
	DepotPublicKey *key = object == NULL ? NULL : depot_key_public_from_json(object, &error);
	DepotPublicKey *again;

	if (key == NULL)
	{
		fuzz_require_refusal(&error);
		FUZZ_REQUIRE(error.code == DEPOT_ERROR_KEY || error.code == DEPOT_ERROR_UNSUPPORTED);
		json_decref(object);
		return 0;
	}
	FUZZ_REQUIRE(strlen(depot_key_public_identity(key)) < DEPOT_KEY_IDENTITY_BYTES);
	if (!depot_key_public_needs_openssl(object))
	{
		DepotBuffer canonical;

		/* A key that somebody gave a fraction has no keyid. */
		depot_buffer_init(&canonical);
		if (depot_json_canonical(object, &canonical, DEPOT_ERROR_KEY, &error))
			check_ed25519(object, depot_key_public_identity(key));
		depot_buffer_free(&canonical);
	}
	check_signatures(key);
	/* A member more makes another keyid, but no other key. */
	FUZZ_REQUIRE(json_object_set_new(object, "x-owner", json_string("somebody else")) == 0);
	again = depot_key_public_from_json(object, &error);
	FUZZ_REQUIRE(again != NULL);
	FUZZ_REQUIRE(strcmp(depot_key_public_identity(key), depot_key_public_identity(again)) == 0);
	depot_key_public_free(again);
	depot_key_public_free(key);
	json_decref(object);
	return 0;
}
