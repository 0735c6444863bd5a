/*-------------------------------------------------------------------------
 *
 * key.h
 *	  ed25519 signing keys and their files (libsodium).
 *
 * A secret key file is JSON, mode 0600, never overwritten; with a passphrase
 * its seed is sealed (crypto_secretbox, key by crypto_pwhash argon2id).  The public file is the TUF key
 * object.  keyid = sha256 of the canonical JSON of the whole key object (TUF 1.0.34, section 4.2).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_KEY_H
#define DEPOT_KEY_H

#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

#define DEPOT_KEY_PUBLIC_BYTES 32
#define DEPOT_KEY_SIGNATURE_BYTES 64
#define DEPOT_KEY_SEED_BYTES 32

typedef struct DepotKey
{
	uint8_t		public_key[DEPOT_KEY_PUBLIC_BYTES];
	char		keyid[65];
	uint8_t    *secret_key;		/* sodium_malloc'd 64 bytes, NULL for a public key */
} DepotKey;

extern DepotKey *depot_key_generate(DepotError *error);
extern DepotKey *depot_key_from_seed(const uint8_t seed[DEPOT_KEY_SEED_BYTES], DepotError *error);
extern void depot_key_free(DepotKey *key);

/* Writes PATH (secret, 0600, O_EXCL) and PATH.pub (0644, O_EXCL).  passphrase NULL: not sealed. */
extern bool depot_key_save(const DepotKey *key, const char *path, const char *passphrase, DepotError *error);

/* Whether the secret file asks for a passphrase; for prompting. */
extern bool depot_key_is_sealed(const char *path, bool *sealed, DepotError *error);
extern DepotKey *depot_key_load_secret(const char *path, const char *passphrase, DepotError *error);
extern DepotKey *depot_key_load_public(const char *path, DepotError *error);

/*
 * TUF key object of a key, new reference; and the reverse (checks shape, and keyid when
 * given; UNSUPPORTED for other types).
 */
extern json_t *depot_key_to_json(const DepotKey *key, DepotError *error);
extern DepotKey *depot_key_from_json(const json_t *object, const char *keyid, DepotError *error);

/* Digests a key object as it is, unknown members included: its keyid. */
extern bool depot_key_compute_keyid(const json_t *object, char keyid[65], DepotError *error);

/* Signs and checks the signature before it returns. */
extern bool depot_key_sign(const DepotKey *key, const void *bytes, size_t length_bytes,
						   uint8_t signature[DEPOT_KEY_SIGNATURE_BYTES], DepotError *error);
extern bool depot_key_verify(const DepotKey *key, const void *bytes, size_t length_bytes,
							 const uint8_t signature[DEPOT_KEY_SIGNATURE_BYTES]);

#endif							/* DEPOT_KEY_H */
