/*-------------------------------------------------------------------------
 *
 * test_key_public.c
 *	  Public keys of every kind: what verifies, what is no key, what is the same key.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "common/key_public.h"
#include "../tools/openssl_signer.h"

#define MESSAGE "pg_depot"

/* Made by the openssl command: one key with its point written in full and compressed, and its signature. */
static const char p256_pem[] =
"-----BEGIN PUBLIC KEY-----\n"
"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEK3gsCMZEfAgaoehK7fqozRO9dQmu\n"
"uJIE8Pi14MgK+4mEQPMWnk53sSKJIMerBKMAh478kAY9FS6mdOLGBL8OhQ==\n"
"-----END PUBLIC KEY-----\n";
static const char p256_compressed_pem[] =
"-----BEGIN PUBLIC KEY-----\n"
"MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgADK3gsCMZEfAgaoehK7fqozRO9dQmu\n"
"uJIE8Pi14MgK+4k=\n"
"-----END PUBLIC KEY-----\n";
static const char p256_signature[] =
"304502207bbbf71d821f7d7daaf80a1ff25e40d586ede44df0e43c08535f10acece20f29022100dc"
"2f959d9249a80b4e79b377f13cb25c6440fea95ab77e63778f9dd00e41ba31";

static DepotPublicKey *
read_key(const char *keytype, const char *scheme, const char *public_part, DepotErrorCode expected)
{
	json_t	   *object = json_pack("{s:s, s:s, s:{s:s}}", "keytype", keytype, "scheme", scheme, "keyval", "public",
								   public_part);
	DepotError	error = {0};
	DepotPublicKey *key = depot_key_public_from_json(object, &error);

	assert_non_null(object);
	assert_int_equal(key == NULL ? error.code : DEPOT_OK, expected);
	json_decref(object);
	return key;
}

static bool
verifies(const DepotPublicKey *key, const char *signature_hex)
{
	return depot_key_public_verify(key, MESSAGE, strlen(MESSAGE), signature_hex);
}

static void
ecdsa_known_answer(void **state)
{
	DepotPublicKey *key = read_key("ecdsa", "ecdsa-sha2-nistp256", p256_pem, DEPOT_OK);

	assert_true(verifies(key, p256_signature));
	assert_false(depot_key_public_verify(key, "pg_depoT", strlen(MESSAGE), p256_signature));
	depot_key_public_free(key);
}

/* Each known type and scheme, and a salt of any length. */
static void
every_scheme_verifies(void **state)
{
	OpensslSigner signers[] = {
		openssl_signer_ecdsa("ecdsa", "ecdsa-sha2-nistp256"),
		openssl_signer_ecdsa("ecdsa", "ecdsa-sha2-nistp384"),
		openssl_signer_ecdsa("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
		openssl_signer_ecdsa("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
		openssl_signer_rsa(2048, "rsassa-pss-sha256"),
		openssl_signer_rsa(2048, "rsassa-pss-sha384"),
		openssl_signer_rsa(3072, "rsassa-pss-sha512"),
		openssl_signer_rsa(2048, "rsassa-pss-sha256"),
		openssl_signer_rsa(2048, "rsassa-pss-sha256"),
	};

	signers[7].salt_bytes = RSA_PSS_SALTLEN_MAX_SIGN;
	signers[8].salt_bytes = 0;
	for (size_t i = 0; i < sizeof(signers) / sizeof(signers[0]); i++)
	{
		char	   *signature = openssl_signer_sign(&signers[i], MESSAGE, strlen(MESSAGE));
		DepotError	error;
		DepotPublicKey *key = depot_key_public_from_json(signers[i].object, &error);

		assert_non_null(key);
		assert_true(verifies(key, signature));
		signature[strlen(signature) - 1] ^= 1;
		assert_false(verifies(key, signature));
		depot_key_public_free(key);
		free(signature);
		openssl_signer_free(&signers[i]);
	}
}

/* RSA without PSS is another scheme, and its signatures are not ours. */
static void
pkcs1_signature_does_not_verify(void **state)
{
	OpensslSigner signer = openssl_signer_rsa(2048, "rsassa-pss-sha256");
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t		signature[256];
	char		hex[2 * sizeof(signature) + 1];
	size_t		signature_bytes = sizeof(signature);
	DepotError	error;
	DepotPublicKey *key = depot_key_public_from_json(signer.object, &error);

	assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, signer.key), 1);
	assert_int_equal(EVP_DigestSign(context, signature, &signature_bytes, (const unsigned char *) MESSAGE,
									strlen(MESSAGE)), 1);
	depot_digest_to_hex(signature, signature_bytes, hex);
	assert_non_null(key);
	assert_false(verifies(key, hex));
	EVP_MD_CTX_free(context);
	depot_key_public_free(key);
	openssl_signer_free(&signer);
}

static void
odd_signatures_do_not_verify(void **state)
{
	DepotPublicKey *key = read_key("ecdsa", "ecdsa-sha2-nistp256", p256_pem, DEPOT_OK);
	char		text[4096];

	assert_false(verifies(key, ""));
	assert_false(verifies(key, "3"));
	assert_false(verifies(key, "30"));
	assert_false(verifies(key, "zz"));
	snprintf(text, sizeof(text), "%s00", p256_signature);
	assert_false(verifies(key, text));
	snprintf(text, sizeof(text), "%s", p256_signature);
	text[strlen(text) - 1] = '\0';
	assert_false(verifies(key, text));
	memset(text, '0', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_false(verifies(key, text));
	depot_key_public_free(key);
}

/* One key is one signer, however its type, scheme, point and PEM text are written. */
static void
one_key_has_one_identity(void **state)
{
	static const char *const types[] = {"ecdsa", "ecdsa-sha2-nistp256"};
	DepotPublicKey *first = read_key("ecdsa", "ecdsa-sha2-nistp256", p256_pem, DEPOT_OK);
	OpensslSigner other = openssl_signer_ecdsa("ecdsa", "ecdsa-sha2-nistp256");
	DepotError	error;
	DepotPublicKey *key;
	char		spaced[512];

	for (int i = 0; i < 2; i++)
	{
		key = read_key(types[i], "ecdsa-sha2-nistp256", p256_compressed_pem, DEPOT_OK);
		assert_string_equal(depot_key_public_identity(key), depot_key_public_identity(first));
		assert_true(verifies(key, p256_signature));
		depot_key_public_free(key);
	}
	snprintf(spaced, sizeof(spaced), "\r\n%s\n \n", p256_pem);
	key = read_key("ecdsa", "ecdsa-sha2-nistp256", spaced, DEPOT_OK);
	assert_string_equal(depot_key_public_identity(key), depot_key_public_identity(first));
	depot_key_public_free(key);

	key = depot_key_public_from_json(other.object, &error);
	assert_string_not_equal(depot_key_public_identity(key), depot_key_public_identity(first));
	depot_key_public_free(key);
	openssl_signer_free(&other);
	depot_key_public_free(first);
}

static void
one_rsa_key_has_one_identity(void **state)
{
	OpensslSigner signer = openssl_signer_rsa(2048, "rsassa-pss-sha256");
	char	   *pem = openssl_public_pem(signer.key);
	DepotPublicKey *sha256 = read_key("rsa", "rsassa-pss-sha256", pem, DEPOT_OK);
	DepotPublicKey *sha512 = read_key("rsa", "rsassa-pss-sha512", pem, DEPOT_OK);

	assert_string_equal(depot_key_public_identity(sha256), depot_key_public_identity(sha512));
	depot_key_public_free(sha256);
	depot_key_public_free(sha512);
	free(pem);
	openssl_signer_free(&signer);
}

static void
ed25519_key_is_known_too(void **state)
{
	static const char hex[] = "72378e5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc52542c";
	DepotPublicKey *key = read_key("ed25519", "ed25519", hex, DEPOT_OK);

	assert_string_equal(depot_key_public_identity(key),
						"ed25519 72378e5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc52542c");
	assert_false(verifies(key, p256_signature));
	depot_key_public_free(key);
	read_key("ed25519", "ed25519", p256_pem, DEPOT_ERROR_KEY);
}

static void
other_types_and_schemes_are_unsupported(void **state)
{
	read_key("ed448", "ed448", "00", DEPOT_ERROR_UNSUPPORTED);
	read_key("ed25519", "ed25519ph", "00", DEPOT_ERROR_UNSUPPORTED);
	read_key("ecdsa", "ecdsa-sha2-nistp521", p256_pem, DEPOT_ERROR_UNSUPPORTED);
	read_key("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp256", p256_pem, DEPOT_ERROR_UNSUPPORTED);
	read_key("rsa", "rsa-pkcs1v15-sha256", p256_pem, DEPOT_ERROR_UNSUPPORTED);
	read_key("rsa", "rsassa-pss-sha1", p256_pem, DEPOT_ERROR_UNSUPPORTED);
	read_key("", "", "", DEPOT_ERROR_UNSUPPORTED);
}

static void
openssl_is_needed_for_known_types_only(void **state)
{
	static const struct
	{
		const char *keytype;
		const char *scheme;
		bool		needed;
	}			cases[] = {
		{"ed25519", "ed25519", false}, {"ecdsa", "ecdsa-sha2-nistp256", true}, {"rsa", "rsassa-pss-sha256", true},
		{"rsa", "rsa-pkcs1v15-sha256", false}, {"ed448", "ed448", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		json_t	   *object = json_pack("{s:s, s:s}", "keytype", cases[i].keytype, "scheme", cases[i].scheme);

		assert_int_equal(depot_key_public_needs_openssl(object), cases[i].needed);
		json_decref(object);
	}
}

static void
damaged_keys_are_refused(void **state)
{
	char		text[4096];
	OpensslSigner small = openssl_signer_rsa(1024, "rsassa-pss-sha256");
	char	   *pem = openssl_public_pem(small.key);

	read_key("rsa", "rsassa-pss-sha256", pem, DEPOT_ERROR_KEY);
	read_key("rsa", "rsassa-pss-sha256", p256_pem, DEPOT_ERROR_KEY);
	read_key("ecdsa", "ecdsa-sha2-nistp256", pem, DEPOT_ERROR_KEY);
	read_key("ecdsa", "ecdsa-sha2-nistp384", p256_pem, DEPOT_ERROR_KEY);
	read_key("ecdsa", "ecdsa-sha2-nistp256", "", DEPOT_ERROR_KEY);
	read_key("ecdsa", "ecdsa-sha2-nistp256",
			 "042b782c08c6447c081aa1e84aedfaa8cd13bd7509aeb89204f0f8b5e0c80afb89"
			 "4440f3169e4e77b1228920c7ab04a300878efc90063d152ea674e2c604bf0e85", DEPOT_ERROR_KEY);
	snprintf(text, sizeof(text), "%s%s", p256_pem, p256_pem);
	read_key("ecdsa", "ecdsa-sha2-nistp256", text, DEPOT_ERROR_KEY);
	snprintf(text, sizeof(text), "%s", p256_pem);
	*strstr(text, "K3gs") = '-';
	read_key("ecdsa", "ecdsa-sha2-nistp256", text, DEPOT_ERROR_KEY);
	snprintf(text, sizeof(text), "%s", p256_pem);
	memcpy(strstr(text, "K3gs"), "K3gt", 4);	/* a point that is not on the curve */
	read_key("ecdsa", "ecdsa-sha2-nistp256", text, DEPOT_ERROR_KEY);
	snprintf(text, sizeof(text), "%.*s", (int) strlen(p256_pem) - 10, p256_pem);
	read_key("ecdsa", "ecdsa-sha2-nistp256", text, DEPOT_ERROR_KEY);
	memset(text, 'A', sizeof(text));
	memcpy(text, "-----BEGIN PUBLIC KEY-----\n", 27);
	snprintf(text + 3000, sizeof(text) - 3000, "\n-----END PUBLIC KEY-----\n");
	read_key("rsa", "rsassa-pss-sha256", text, DEPOT_ERROR_KEY);
	free(pem);
	openssl_signer_free(&small);
}

/* Makes the PEM text of an RSA key with a modulus and an exponent of these lengths; nobody can sign with it. */
static char *
make_rsa_numbers(int modulus_bits, int exponent_bits)
{
	BIGNUM	   *modulus = BN_new();
	BIGNUM	   *exponent = BN_new();
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY   *key = NULL;
	OSSL_PARAM *parameters;
	char	   *pem;

	openssl_must(BN_set_bit(modulus, modulus_bits - 1) && BN_set_bit(modulus, 0) &&
				 BN_set_bit(exponent, exponent_bits - 1) && BN_set_bit(exponent, 0) &&
				 OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) &&
				 OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent));
	parameters = OSSL_PARAM_BLD_to_param(builder);
	openssl_must(EVP_PKEY_fromdata_init(context) == 1 &&
				 EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) == 1);
	pem = openssl_public_pem(key);
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(context);
	OSSL_PARAM_free(parameters);
	OSSL_PARAM_BLD_free(builder);
	BN_free(modulus);
	BN_free(exponent);
	return pem;
}

static void
rsa_sizes_are_bounded(void **state)
{
	static const struct
	{
		int			modulus_bits;
		int			exponent_bits;
		DepotErrorCode expected;
	}			cases[] = {
		{2048, 17, DEPOT_OK}, {8192, 17, DEPOT_OK}, {8192, 64, DEPOT_OK},
		{2047, 17, DEPOT_ERROR_KEY}, {8193, 17, DEPOT_ERROR_KEY}, {16384, 17, DEPOT_ERROR_KEY},
		{2048, 65, DEPOT_ERROR_KEY},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *pem = make_rsa_numbers(cases[i].modulus_bits, cases[i].exponent_bits);

		depot_key_public_free(read_key("rsa", "rsassa-pss-sha256", pem, cases[i].expected));
		free(pem);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ecdsa_known_answer),
		cmocka_unit_test(every_scheme_verifies),
		cmocka_unit_test(pkcs1_signature_does_not_verify),
		cmocka_unit_test(odd_signatures_do_not_verify),
		cmocka_unit_test(one_key_has_one_identity),
		cmocka_unit_test(one_rsa_key_has_one_identity),
		cmocka_unit_test(ed25519_key_is_known_too),
		cmocka_unit_test(other_types_and_schemes_are_unsupported),
		cmocka_unit_test(openssl_is_needed_for_known_types_only),
		cmocka_unit_test(damaged_keys_are_refused),
		cmocka_unit_test(rsa_sizes_are_bounded),
	};
	DepotError	error;

	return depot_digest_init(&error) ? cmocka_run_group_tests_name("key_public", tests, NULL, NULL) : 1;
}
