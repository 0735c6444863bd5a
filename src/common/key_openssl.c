/*-------------------------------------------------------------------------
 *
 * key_openssl.c
 *	  ECDSA and RSA-PSS signatures, verified by OpenSSL.
 *
 * libcrypto is loaded when the first key of such a kind is read, and not linked: mapping and relocating it
 * takes 0.7 ms, a quarter of a check agent's start, and the agent of a repository signed with ed25519 would
 * pay that at every installation for nothing.  The headers give each function its type, so a wrong call does
 * not compile.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/key_openssl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>

#include "common/digest.h"

#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----"
#define PEM_END "-----END PUBLIC KEY-----"

/* The DER form of an RSA key of 8192 bits has 1062 bytes, 8 more with the longest exponent. */
#define DER_MAX_BYTES 1088

#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 8192
#define RSA_EXPONENT_MAX_BITS 64

#define TEXT_OF(number) #number
#define LIBCRYPTO(version) "libcrypto.so." TEXT_OF(version)

#define OPENSSL_FUNCTIONS(X) \
	X(OPENSSL_init_crypto) X(ERR_clear_error) X(d2i_PUBKEY) \
	X(EVP_PKEY_free) X(EVP_PKEY_is_a) X(EVP_PKEY_get_bits) X(EVP_PKEY_get_group_name) X(EVP_PKEY_get_bn_param) \
	X(BN_num_bits) X(BN_bn2binpad) X(BN_free) \
	X(EVP_MD_CTX_new) X(EVP_MD_CTX_free) X(EVP_sha256) X(EVP_sha384) X(EVP_sha512) \
	X(EVP_DigestVerifyInit) X(EVP_DigestVerify) \
	X(EVP_PKEY_CTX_set_rsa_padding) X(EVP_PKEY_CTX_set_rsa_pss_saltlen)

/* Filled once by load_openssl, and then the same for all. */
static struct
{
	void	   *library;
#define X(function) __typeof__(function) *(function);
				OPENSSL_FUNCTIONS(X)
#undef X
}			ssl;

static bool load_openssl(DepotError *error);
static bool decode_pem(const char *pem, uint8_t *der, size_t *der_bytes);
static bool is_space(const char *text);
static bool check_suits(const EVP_PKEY *key, const DepotKeyScheme *scheme, DepotError *error);
static bool write_identity(const EVP_PKEY *key, const DepotKeyScheme *scheme, char *identity);
static bool digest_number(const EVP_PKEY *key, const char *parameter, int max_bits, DepotDigest *digest);
static const EVP_MD *digest_of(const DepotKeyScheme *scheme);

DepotOpensslKey *
depot_key_openssl_read(const char *pem, const DepotKeyScheme *scheme, char identity[DEPOT_KEY_IDENTITY_BYTES],
					   DepotError *error)
{
	uint8_t		der[DER_MAX_BYTES];
	const unsigned char *position = der;
	size_t		der_bytes;
	EVP_PKEY   *key;

	if (!load_openssl(error))
		return NULL;
	if (!decode_pem(pem, der, &der_bytes))
	{
		depot_error_set(error, DEPOT_ERROR_KEY, "public part of a key of type %s is not PEM with the label "
						"PUBLIC KEY and at most %d bytes", scheme->keytype, DER_MAX_BYTES);
		return NULL;
	}
	key = ssl.d2i_PUBKEY(NULL, &position, (long) der_bytes);
	ssl.ERR_clear_error();
	if (key == NULL || position != der + der_bytes)
		depot_error_set(error, DEPOT_ERROR_KEY, "public part of a key of type %s is not a valid "
						"SubjectPublicKeyInfo", scheme->keytype);
	else if (check_suits(key, scheme, error))
	{
		if (write_identity(key, scheme, identity))
			return (DepotOpensslKey *) key;
		depot_error_set(error, DEPOT_ERROR_KEY, "the public numbers of a key of type %s are out of range",
						scheme->keytype);
	}
	depot_key_openssl_free((DepotOpensslKey *) key);
	return NULL;
}

void
depot_key_openssl_free(DepotOpensslKey *key)
{
	if (key != NULL)
		ssl.EVP_PKEY_free((EVP_PKEY *) key);
}

bool
depot_key_openssl_verify(const DepotOpensslKey *key, const DepotKeyScheme *scheme, const void *bytes,
						 size_t length_bytes, const uint8_t *signature, size_t signature_bytes)
{
	EVP_MD_CTX *context = ssl.EVP_MD_CTX_new();
	EVP_PKEY_CTX *parameters;	/* belongs to context */
	bool		valid;

	valid = context != NULL &&
		ssl.EVP_DigestVerifyInit(context, &parameters, digest_of(scheme), NULL, (EVP_PKEY *) key) == 1;
	/* Tools differ in the length of the salt they take, and a signature says which one it has. */
	if (valid && scheme->curve == NULL)
		valid = ssl.EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1 &&
			ssl.EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_AUTO) == 1;
	if (valid)
		valid = ssl.EVP_DigestVerify(context, signature, signature_bytes, bytes, length_bytes) == 1;
	if (context != NULL)
		ssl.EVP_MD_CTX_free(context);
	ssl.ERR_clear_error();
	return valid;
}

/* Not for two threads at once, as all of the TUF client. */
static bool
load_openssl(DepotError *error)
{
	static const char library_name[] = LIBCRYPTO(OPENSSL_SHLIB_VERSION);
	void	   *library;

	if (ssl.library != NULL)
		return true;
	library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_FILE_MISSING, "could not load %s, which verifies ECDSA and RSA "
						"keys", library_name);
		depot_error_detail(error, "%s", dlerror());
		return depot_error_hint(error, "Install OpenSSL %d (on Debian the package libssl%d).",
								OPENSSL_SHLIB_VERSION, OPENSSL_SHLIB_VERSION);
	}
#define X(function) \
	ssl.function = (__typeof__(function) *) dlsym(library, #function); \
	if (ssl.function == NULL) \
		goto failed;
	OPENSSL_FUNCTIONS(X)
#undef X

	/* Its configuration file may name libraries to load; nothing here needs it. */
		if (ssl.OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1)
	{
		ssl.library = library;
		return true;
	}

failed:
	(void) dlclose(library);
	return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "%s is not the library that pg_depot was built with",
						   library_name);
}

/* Reads one PEM block with nothing but white space around it. */
static bool
decode_pem(const char *pem, uint8_t *der, size_t *der_bytes)
{
	const char *end;
	const char *stopped;

	pem += strspn(pem, " \t\r\n");
	if (strncmp(pem, PEM_BEGIN, strlen(PEM_BEGIN)) != 0)
		return false;
	pem += strlen(PEM_BEGIN);
	end = strstr(pem, PEM_END);
	return end != NULL && is_space(end + strlen(PEM_END)) &&
		sodium_base642bin(der, DER_MAX_BYTES, pem, (size_t) (end - pem), " \t\r\n", der_bytes, &stopped,
						  sodium_base64_VARIANT_ORIGINAL) == 0 &&
		stopped == end;
}

static bool
is_space(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '\0';
}

static bool
check_suits(const EVP_PKEY *key, const DepotKeyScheme *scheme, DepotError *error)
{
	char		curve[64];
	int			bits;

	if (!ssl.EVP_PKEY_is_a(key, scheme->curve != NULL ? "EC" : "RSA"))
		return depot_error_set(error, DEPOT_ERROR_KEY, "a key of type %s holds a public key of another kind",
							   scheme->keytype);
	if (scheme->curve != NULL)
		return (ssl.EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL) == 1 &&
				strcmp(curve, scheme->curve) == 0) ||
			depot_error_set(error, DEPOT_ERROR_KEY, "a key with the scheme %s is not on the curve %s",
							scheme->scheme, scheme->curve);
	bits = ssl.EVP_PKEY_get_bits(key);
	return (bits >= RSA_MIN_BITS && bits <= RSA_MAX_BITS) ||
		depot_error_set(error, DEPOT_ERROR_KEY, "an RSA key has %d bits; %d to %d are taken", bits,
						RSA_MIN_BITS, RSA_MAX_BITS);
}

/* Digests the numbers and not the DER form, which can write one point on a curve in two ways. */
static bool
write_identity(const EVP_PKEY *key, const DepotKeyScheme *scheme, char *identity)
{
	const bool	is_rsa = scheme->curve == NULL;
	char		hex[DEPOT_SHA256_HEX_BYTES];
	DepotDigest digest;

	depot_digest_begin(&digest);
	if (!is_rsa)
		depot_digest_add(&digest, scheme->curve, strlen(scheme->curve) + 1);
	if (!digest_number(key, is_rsa ? OSSL_PKEY_PARAM_RSA_N : OSSL_PKEY_PARAM_EC_PUB_X, RSA_MAX_BITS, &digest) ||
		!digest_number(key, is_rsa ? OSSL_PKEY_PARAM_RSA_E : OSSL_PKEY_PARAM_EC_PUB_Y,
					   is_rsa ? RSA_EXPONENT_MAX_BITS : RSA_MAX_BITS, &digest))
		return false;
	depot_digest_end_hex(&digest, hex);
	snprintf(identity, DEPOT_KEY_IDENTITY_BYTES, "%s %s", is_rsa ? "rsa" : "ecdsa", hex);
	return true;
}

static bool
digest_number(const EVP_PKEY *key, const char *parameter, int max_bits, DepotDigest *digest)
{
	uint8_t		bytes[RSA_MAX_BITS / 8];
	BIGNUM	   *number = NULL;
	bool		ok;

	/* The longest exponent that is taken is short: a long one makes a verification slow. */
	ok = ssl.EVP_PKEY_get_bn_param(key, parameter, &number) == 1 && ssl.BN_num_bits(number) <= max_bits &&
		ssl.BN_bn2binpad(number, bytes, sizeof(bytes)) == (int) sizeof(bytes);
	if (ok)
		depot_digest_add(digest, bytes, sizeof(bytes));
	ssl.BN_free(number);
	return ok;
}

static const EVP_MD *
digest_of(const DepotKeyScheme *scheme)
{
	if (scheme->digest_bits == 256)
		return ssl.EVP_sha256();
	return scheme->digest_bits == 384 ? ssl.EVP_sha384() : ssl.EVP_sha512();
}
