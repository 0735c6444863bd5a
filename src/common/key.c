/*-------------------------------------------------------------------------
 *
 * key.c
 *	  ed25519 signing keys: making them, TUF's form of them, signatures.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/key.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/digest.h"

static DepotKey *new_secret_key(DepotError *error);

DepotKey *
depot_key_generate(DepotError *error)
{
	uint8_t		seed[DEPOT_KEY_SEED_BYTES];
	DepotKey   *key;

	randombytes_buf(seed, sizeof(seed));
	key = depot_key_from_seed(seed, error);
	sodium_memzero(seed, sizeof(seed));
	return key;
}

DepotKey *
depot_key_from_seed(const uint8_t seed[DEPOT_KEY_SEED_BYTES], DepotError *error)
{
	DepotKey   *key = new_secret_key(error);
	json_t	   *object;
	bool		ok;

	if (key == NULL)
		return NULL;
	crypto_sign_ed25519_seed_keypair(key->public_key, key->secret_key, seed);
	object = depot_key_to_json(key, error);
	ok = object != NULL && depot_key_compute_keyid(object, key->keyid, error);
	json_decref(object);
	if (ok)
		return key;
	depot_key_free(key);
	return NULL;
}

static DepotKey *
new_secret_key(DepotError *error)
{
	DepotKey   *key = calloc(1, sizeof(DepotKey));

	if (key != NULL)
		key->secret_key = sodium_malloc(crypto_sign_ed25519_SECRETKEYBYTES);
	if (key == NULL || key->secret_key == NULL)
	{
		free(key);
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	return key;
}

void
depot_key_free(DepotKey *key)
{
	if (key == NULL)
		return;
	if (key->secret_key != NULL)
		sodium_free(key->secret_key);	/* wipes it */
	free(key);
}

json_t *
depot_key_to_json(const DepotKey *key, DepotError *error)
{
	char		hex[2 * DEPOT_KEY_PUBLIC_BYTES + 1];
	json_t	   *object;

	depot_digest_to_hex(key->public_key, sizeof(key->public_key), hex);
	object = json_pack("{s:s, s:s, s:{s:s}}", "keytype", "ed25519", "scheme", "ed25519", "keyval", "public",
					   hex);
	if (object == NULL)
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return object;
}

DepotKey *
depot_key_from_json(const json_t *object, const char *keyid, DepotError *error)
{
	const char *keytype;
	const char *scheme;
	const char *public_hex;
	json_t	   *keyval;
	DepotKey   *key;

	if (!depot_json_get_string(object, "keytype", true, &keytype, DEPOT_ERROR_KEY, error) ||
		!depot_json_get_string(object, "scheme", true, &scheme, DEPOT_ERROR_KEY, error) ||
		!depot_json_get_object(object, "keyval", true, &keyval, DEPOT_ERROR_KEY, error))
		return NULL;
	if (strcmp(keytype, "ed25519") != 0 || strcmp(scheme, "ed25519") != 0)
	{
		depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "key is not an ed25519 key");
		return NULL;
	}
	if (!depot_json_get_string(keyval, "public", true, &public_hex, DEPOT_ERROR_KEY, error))
		return NULL;

	key = calloc(1, sizeof(DepotKey));
	if (key == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	if (!depot_digest_from_hex(public_hex, key->public_key, sizeof(key->public_key)))
		depot_error_set(error, DEPOT_ERROR_KEY, "public part of an ed25519 key is not 64 lower-case "
						"hexadecimal digits");
	else if (depot_key_compute_keyid(object, key->keyid, error))
	{
		if (keyid == NULL || strcmp(keyid, key->keyid) == 0)
			return key;
		depot_error_set(error, DEPOT_ERROR_KEY, "key is listed under a keyid that is not its digest");
		depot_error_detail(error, "Its digest is %s.", key->keyid);
	}
	depot_key_free(key);
	return NULL;
}

bool
depot_key_compute_keyid(const json_t *object, char keyid[65], DepotError *error)
{
	DepotBuffer canonical;
	bool		ok;

	depot_buffer_init(&canonical);
	ok = depot_json_canonical(object, &canonical, DEPOT_ERROR_KEY, error);
	if (ok)
		depot_digest_sha256_hex(canonical.data, canonical.length_bytes, keyid);
	depot_buffer_free(&canonical);
	return ok;
}

bool
depot_key_sign(const DepotKey *key, const void *bytes, size_t length_bytes,
			   uint8_t signature[DEPOT_KEY_SIGNATURE_BYTES], DepotError *error)
{
	if (key->secret_key == NULL)
		return depot_error_set(error, DEPOT_ERROR_KEY, "key %.8s has no secret part", key->keyid);
	crypto_sign_ed25519_detached(signature, NULL, bytes, length_bytes, key->secret_key);

	/*
	 * A signature that does not verify (a bit flipped in memory) would be published and refused everywhere.
	 */
	if (!depot_key_verify(key, bytes, length_bytes, signature))
		return depot_error_set(error, DEPOT_ERROR_KEY, "signature just made with key %.8s does not verify",
							   key->keyid);
	return true;
}

bool
depot_key_verify(const DepotKey *key, const void *bytes, size_t length_bytes,
				 const uint8_t signature[DEPOT_KEY_SIGNATURE_BYTES])
{
	return crypto_sign_ed25519_verify_detached(signature, bytes, length_bytes, key->public_key) == 0;
}
