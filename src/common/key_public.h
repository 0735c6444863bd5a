/*-------------------------------------------------------------------------
 *
 * key_public.h
 *	  Public keys of every kind that can verify TUF metadata.
 *
 * ed25519 by libsodium; ECDSA on P-256 and P-384, and RSA with PSS padding, by OpenSSL
 * (TUF 1.0.34, section 4.2; the key types and schemes are those of securesystemslib).
 * We sign with ed25519 only, see key.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_KEY_PUBLIC_H
#define DEPOT_KEY_PUBLIC_H

#include <stddef.h>

#include "common/error.h"
#include "common/json.h"

/* "ecdsa " and a digest in hexadecimal */
#define DEPOT_KEY_IDENTITY_BYTES 80

typedef struct DepotPublicKey DepotPublicKey;

/*
 * Reads a TUF key object; the caller frees the key.  Errors: UNSUPPORTED for a type or scheme that is not
 * known here, KEY when the public part is not what its type asks for (wrong curve, RSA of less than 2048 or
 * more than 8192 bits), FILE_MISSING when OpenSSL is needed and not there.
 */
extern DepotPublicKey *depot_key_public_from_json(const json_t *object, DepotError *error);
extern void depot_key_public_free(DepotPublicKey *key);

/* Tells whether a TUF key object is of a known type other than ed25519; looks at its type and scheme only. */
extern bool depot_key_public_needs_openssl(const json_t *object);

/*
 * Returns what two keys have in common only when they are the same key, however
 * they are written: type and public numbers.
 */
extern const char *depot_key_public_identity(const DepotPublicKey *key);

/* Tells whether signature_hex (lower case) is this key's signature; false for anything odd. */
extern bool depot_key_public_verify(const DepotPublicKey *key, const void *bytes, size_t length_bytes,
									const char *signature_hex);

#endif							/* DEPOT_KEY_PUBLIC_H */
