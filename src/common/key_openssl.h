/*-------------------------------------------------------------------------
 *
 * key_openssl.h
 *	  What key_public.c leaves to OpenSSL.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_KEY_OPENSSL_H
#define DEPOT_KEY_OPENSSL_H

#include <stddef.h>
#include <stdint.h>

#include "common/key_public.h"

/* An RSA key of 8192 bits makes the largest signature. */
#define DEPOT_KEY_SIGNATURE_MAX_BYTES 1024

/* What a TUF scheme asks of a key. */
typedef struct DepotKeyScheme
{
	const char *keytype;
	const char *scheme;
	const char *curve;			/* OpenSSL's name of it; NULL for RSA */
	int			digest_bits;
} DepotKeyScheme;

typedef struct DepotOpensslKey DepotOpensslKey;

/*
 * Reads a PEM public key (SubjectPublicKeyInfo) that must suit scheme, and writes its identity.  The first
 * call loads the library.  Errors: as depot_key_public_from_json.
 */
extern DepotOpensslKey *depot_key_openssl_read(const char *pem, const DepotKeyScheme *scheme,
											   char identity[DEPOT_KEY_IDENTITY_BYTES], DepotError *error);
extern void depot_key_openssl_free(DepotOpensslKey *key);
extern bool depot_key_openssl_verify(const DepotOpensslKey *key, const DepotKeyScheme *scheme,
									 const void *bytes, size_t length_bytes, const uint8_t *signature,
									 size_t signature_bytes);

#endif							/* DEPOT_KEY_OPENSSL_H */
