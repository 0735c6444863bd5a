/*-------------------------------------------------------------------------
 *
 * openssl_signer.h
 *	  Keys that pg_depot verifies and never makes: ECDSA and RSA, for tests.
 *
 * Failures abort: a test that cannot sign has nothing to say.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef OPENSSL_SIGNER_H
#define OPENSSL_SIGNER_H

#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "common/digest.h"
#include "common/key.h"

typedef struct OpensslSigner
{
	EVP_PKEY   *key;
	const char *keytype;
	const char *scheme;
	int			salt_bytes;		/* of RSA; RSA_PSS_SALTLEN_DIGEST unless a test wants another */
	json_t	   *object;			/* TUF's form of the public key */
	char		keyid[65];
} OpensslSigner;

static inline void
openssl_must(int done)
{
	if (!done)
		abort();
}

/* Returns PEM text of the public half; the caller frees it. */
static inline char *
openssl_public_pem(EVP_PKEY *key)
{
	BIO		   *memory = BIO_new(BIO_s_mem());
	char	   *data;
	long		length_bytes;
	char	   *text;

	openssl_must(memory != NULL && PEM_write_bio_PUBKEY(memory, key) == 1);
	length_bytes = BIO_get_mem_data(memory, &data);
	text = strndup(data, (size_t) length_bytes);
	openssl_must(text != NULL);
	BIO_free(memory);
	return text;
}

/* Takes a key over, under a type and scheme that need not suit it. */
static inline OpensslSigner
openssl_signer_of(EVP_PKEY *key, const char *keytype, const char *scheme)
{
	OpensslSigner signer = {.key = key, .keytype = keytype, .scheme = scheme, .salt_bytes = RSA_PSS_SALTLEN_DIGEST};
	char	   *pem = openssl_public_pem(key);
	DepotError	error;

	signer.object = json_pack("{s:s, s:s, s:{s:s}}", "keytype", keytype, "scheme", scheme, "keyval", "public", pem);
	openssl_must(signer.object != NULL && depot_key_compute_keyid(signer.object, signer.keyid, &error));
	free(pem);
	return signer;
}

static inline OpensslSigner
openssl_signer_ecdsa(const char *keytype, const char *scheme)
{
	EVP_PKEY   *key = EVP_EC_gen(strstr(scheme, "384") != NULL ? "P-384" : "P-256");

	openssl_must(key != NULL);
	return openssl_signer_of(key, keytype, scheme);
}

static inline OpensslSigner
openssl_signer_rsa(unsigned bits, const char *scheme)
{
	EVP_PKEY   *key = EVP_RSA_gen(bits);

	openssl_must(key != NULL);
	return openssl_signer_of(key, "rsa", scheme);
}

static inline void
openssl_signer_free(OpensslSigner *signer)
{
	EVP_PKEY_free(signer->key);
	json_decref(signer->object);
}

/* Returns the signature in lower-case hexadecimal digits; the caller frees it. */
static inline char *
openssl_signer_sign(const OpensslSigner *signer, const void *bytes, size_t length_bytes)
{
	const EVP_MD *digest = strstr(signer->scheme, "384") != NULL ? EVP_sha384() :
	strstr(signer->scheme, "512") != NULL ? EVP_sha512() : EVP_sha256();
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *parameters;
	uint8_t		signature[2048];
	size_t		signature_bytes = sizeof(signature);
	char	   *hex;

	openssl_must(context != NULL && EVP_DigestSignInit(context, &parameters, digest, NULL, signer->key) == 1);
	if (EVP_PKEY_is_a(signer->key, "RSA"))
		openssl_must(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1 &&
					 EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, signer->salt_bytes) == 1);
	openssl_must(EVP_DigestSign(context, signature, &signature_bytes, bytes, length_bytes) == 1);
	EVP_MD_CTX_free(context);
	hex = malloc(2 * signature_bytes + 1);
	openssl_must(hex != NULL);
	depot_digest_to_hex(signature, signature_bytes, hex);
	return hex;
}

#endif							/* OPENSSL_SIGNER_H */
