/*-------------------------------------------------------------------------
 *
 * key_public.c
 *	  Which key types and schemes are known, and who verifies which.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/key_public.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/key.h"
#include "common/key_openssl.h"

struct DepotPublicKey
{
	DepotKey   *ed25519;		/* NULL for the other types */
	DepotOpensslKey *openssl;
	const DepotKeyScheme *scheme;	/* NULL for ed25519 */
	char		identity[DEPOT_KEY_IDENTITY_BYTES];
};

static const DepotKeyScheme schemes[] = {
	{"ecdsa", "ecdsa-sha2-nistp256", "prime256v1", 256},
	{"ecdsa", "ecdsa-sha2-nistp384", "secp384r1", 384},
	{"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "prime256v1", 256},
	{"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", "secp384r1", 384},
	{"rsa", "rsassa-pss-sha256", NULL, 256},
	{"rsa", "rsassa-pss-sha384", NULL, 384},
	{"rsa", "rsassa-pss-sha512", NULL, 512},
};

static bool read_openssl_key(DepotPublicKey *key, const json_t *object, DepotError *error);
static const DepotKeyScheme *find_scheme(const char *keytype, const char *scheme);

DepotPublicKey *
depot_key_public_from_json(const json_t *object, DepotError *error)
{
	DepotPublicKey *key = calloc(1, sizeof(DepotPublicKey));
	const char *keytype;
	bool		ok = false;

	if (key == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	if (!depot_json_get_string(object, "keytype", true, &keytype, DEPOT_ERROR_KEY, error))
		goto done;
	if (strcmp(keytype, "ed25519") != 0)
		ok = read_openssl_key(key, object, error);
	else
	{
		char		hex[2 * DEPOT_KEY_PUBLIC_BYTES + 1];

		key->ed25519 = depot_key_from_json(object, NULL, error);
		ok = key->ed25519 != NULL;
		if (ok)
		{
			depot_digest_to_hex(key->ed25519->public_key, DEPOT_KEY_PUBLIC_BYTES, hex);
			snprintf(key->identity, sizeof(key->identity), "ed25519 %s", hex);
		}
	}

done:
	if (ok)
		return key;
	depot_key_public_free(key);
	return NULL;
}

void
depot_key_public_free(DepotPublicKey *key)
{
	if (key == NULL)
		return;
	depot_key_free(key->ed25519);
	depot_key_openssl_free(key->openssl);
	free(key);
}

bool
depot_key_public_needs_openssl(const json_t *object)
{
	const char *keytype = json_string_value(json_object_get(object, "keytype"));
	const char *scheme = json_string_value(json_object_get(object, "scheme"));

	return keytype != NULL && scheme != NULL && find_scheme(keytype, scheme) != NULL;
}

const char *
depot_key_public_identity(const DepotPublicKey *key)
{
	return key->identity;
}

bool
depot_key_public_verify(const DepotPublicKey *key, const void *bytes, size_t length_bytes,
						const char *signature_hex)
{
	uint8_t		signature[DEPOT_KEY_SIGNATURE_MAX_BYTES];
	size_t		digits = strnlen(signature_hex, 2 * sizeof(signature) + 1);

	if (digits == 0 || digits > 2 * sizeof(signature) || digits % 2 != 0 ||
		!depot_digest_from_hex(signature_hex, signature, digits / 2))
		return false;
	if (key->ed25519 != NULL)
		return digits == (size_t) 2 * DEPOT_KEY_SIGNATURE_BYTES &&
			depot_key_verify(key->ed25519, bytes, length_bytes, signature);
	return depot_key_openssl_verify(key->openssl, key->scheme, bytes, length_bytes, signature, digits / 2);
}

static bool
read_openssl_key(DepotPublicKey *key, const json_t *object, DepotError *error)
{
	const char *keytype;
	const char *scheme;
	const char *pem;
	json_t	   *keyval;

	if (!depot_json_get_string(object, "keytype", true, &keytype, DEPOT_ERROR_KEY, error) ||
		!depot_json_get_string(object, "scheme", true, &scheme, DEPOT_ERROR_KEY, error) ||
		!depot_json_get_object(object, "keyval", true, &keyval, DEPOT_ERROR_KEY, error))
		return false;
	key->scheme = find_scheme(keytype, scheme);
	if (key->scheme == NULL)
		return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "key is of a type or scheme that is not known "
							   "here");
	if (!depot_json_get_string(keyval, "public", true, &pem, DEPOT_ERROR_KEY, error))
		return false;
	key->openssl = depot_key_openssl_read(pem, key->scheme, key->identity, error);
	return key->openssl != NULL;
}

static const DepotKeyScheme *
find_scheme(const char *keytype, const char *scheme)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
	{
		if (strcmp(schemes[i].keytype, keytype) == 0 && strcmp(schemes[i].scheme, scheme) == 0)
			return &schemes[i];
	}
	return NULL;
}
