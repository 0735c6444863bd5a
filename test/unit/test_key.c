/*-------------------------------------------------------------------------
 *
 * test_key.c
 *	  Signing keys, their files and their keyids.
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

#include <stdio.h>
#include <string.h>

#include "common/digest.h"
#include "common/key.h"
#include "scratch.h"

static Scratch scratch;
static char key_path[128];
static char public_path[136];

static int
set_up(void **state)
{
	DepotError	error;

	scratch = scratch_make();
	snprintf(key_path, sizeof(key_path), "%s/key", scratch.path);
	snprintf(public_path, sizeof(public_path), "%s.pub", key_path);
	return depot_digest_init(&error) && scratch.fd >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	scratch_remove(&scratch);
	return 0;
}

/* The key of the TUF specification's own example. */
static void
keyid_known_answer(void **state)
{
	DepotError	error;
	json_t	   *object = json_pack("{s:s, s:{s:s}, s:s}", "keytype", "ed25519", "keyval", "public",
								   "72378e5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc52542c",
								   "scheme", "ed25519");
	DepotKey   *key =
	depot_key_from_json(object, "1bf1c6e3cdd3d3a8420b19199e27511999850f4b376c4547b2f32fba7e80fca3",
						&error);

	assert_non_null(key);
	assert_null(key->secret_key);
	depot_key_free(key);
	assert_null(depot_key_from_json(object, "1bf1c6e3cdd3d3a8420b19199e27511999850f4b376c4547b2f32fba7e80fca4",
									&error));
	assert_int_equal(error.code, DEPOT_ERROR_KEY);
	json_decref(object);
}

/* RFC 8032, section 7.1, test 2. */
static void
signature_known_answer(void **state)
{
	static const char seed_hex[] = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
	static const char signature_hex[] =
	"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
	"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
	uint8_t		seed[DEPOT_KEY_SEED_BYTES];
	uint8_t		signature[DEPOT_KEY_SIGNATURE_BYTES];
	char		hex[2 * DEPOT_KEY_SIGNATURE_BYTES + 1];
	DepotError	error;
	DepotKey   *key;

	assert_true(depot_digest_from_hex(seed_hex, seed, sizeof(seed)));
	key = depot_key_from_seed(seed, &error);
	assert_non_null(key);
	assert_true(depot_key_sign(key, "\x72", 1, signature, &error));
	depot_digest_to_hex(signature, sizeof(signature), hex);
	assert_string_equal(hex, signature_hex);
	assert_true(depot_key_verify(key, "\x72", 1, signature));
	assert_false(depot_key_verify(key, "\x73", 1, signature));
	signature[5] ^= 1;
	assert_false(depot_key_verify(key, "\x72", 1, signature));
	depot_key_free(key);
}

static void
round_trip(const char *passphrase)
{
	DepotError	error;
	DepotKey   *key = depot_key_generate(&error);
	DepotKey   *secret;
	DepotKey   *public;
	uint8_t		signature[DEPOT_KEY_SIGNATURE_BYTES];
	bool		sealed;

	assert_non_null(key);
	assert_true(depot_key_save(key, key_path, passphrase, &error));
	assert_int_equal(scratch_mode(scratch.fd, "key") & 0777, 0600);
	assert_int_equal(scratch_mode(scratch.fd, "key.pub") & 0777, 0644);
	assert_true(depot_key_is_sealed(key_path, &sealed, &error));
	assert_int_equal(sealed, passphrase != NULL);

	secret = depot_key_load_secret(key_path, passphrase, &error);
	assert_non_null(secret);
	public = depot_key_load_public(public_path, &error);
	assert_non_null(public);
	assert_string_equal(secret->keyid, key->keyid);
	assert_string_equal(public->keyid, key->keyid);
	assert_true(depot_key_sign(secret, "x", 1, signature, &error));
	assert_true(depot_key_verify(public, "x", 1, signature));
	assert_false(depot_key_sign(public, "x", 1, signature, &error));
	assert_int_equal(error.code, DEPOT_ERROR_KEY);
	depot_key_free(secret);
	depot_key_free(public);
	depot_key_free(key);
}

static void
file_round_trip(void **state)
{
	round_trip(NULL);
}

static void
sealed_round_trip(void **state)
{
	DepotError	error;

	round_trip("correct horse");
	assert_null(depot_key_load_secret(key_path, NULL, &error));
	assert_non_null(strstr(error.message, "sealed"));
	assert_null(depot_key_load_secret(key_path, "wrong horse", &error));
	assert_non_null(strstr(error.message, "wrong passphrase"));
}

static void
never_overwrites(void **state)
{
	DepotError	error;
	DepotKey   *key = depot_key_generate(&error);

	assert_true(scratch_write(scratch.fd, "key", "precious"));
	assert_false(depot_key_save(key, key_path, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_EXISTS);
	assert_true(scratch_has(scratch.fd, "key", "precious"));
	assert_false(depot_files_exists(scratch.fd, "key.pub"));

	assert_int_equal(unlinkat(scratch.fd, "key", 0), 0);
	assert_true(scratch_write(scratch.fd, "key.pub", "precious"));
	assert_false(depot_key_save(key, key_path, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_EXISTS);
	assert_true(scratch_has(scratch.fd, "key.pub", "precious"));
	assert_false(depot_files_exists(scratch.fd, "key"));
	depot_key_free(key);
}

static void
refuses_open_file(void **state)
{
	DepotError	error;
	DepotKey   *key = depot_key_generate(&error);

	assert_true(depot_key_save(key, key_path, NULL, &error));
	assert_int_equal(fchmodat(scratch.fd, "key", 0644, 0), 0);
	assert_null(depot_key_load_secret(key_path, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_KEY);
	assert_non_null(strstr(error.hint, "chmod 600"));
	depot_key_free(key);
}

static void
refuse_secret(const char *text, const char *message)
{
	DepotError	error;

	assert_true(scratch_write(scratch.fd, "key", text));
	assert_int_equal(fchmodat(scratch.fd, "key", 0600, 0), 0);
	assert_null(depot_key_load_secret(key_path, "x", &error));
	if (strstr(error.message, message) == NULL)
		fail_msg("for %s: \"%s\" does not hold \"%s\"", text, error.message, message);
}

static void
refuses_damaged_files(void **state)
{
	DepotError	error;
	char		large[10000];

	refuse_secret("", "key file");
	refuse_secret("[]", "");
	refuse_secret("{\"keytype\": \"ed25519\"}", "public key");
	refuse_secret("{\"kind\": \"pg_depot secret key\", \"format\": 2, \"public\": \"00\", \"seed\": \"00\"}",
				  "kind");
	refuse_secret("{\"kind\": \"pg_depot secret key\", \"format\": 1, \"public\": \"00\", \"seed\": \"00\"}",
				  "seed");
	refuse_secret("{\"kind\": \"pg_depot secret key\", \"format\": 1, \"public\": \"00\","
				  "\"seed\": \"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb\"}",
				  "two halves");
	refuse_secret("{\"kind\": \"pg_depot secret key\", \"format\": 1, \"public\": \"00\", \"sealed\": 3}",
				  "sealed part");
	/* A file must not make its reader spend a terabyte. */
	refuse_secret("{\"kind\": \"pg_depot secret key\", \"format\": 1, \"public\": \"00\", \"sealed\": {"
				  "\"kdf\": \"argon2id13\", \"cipher\": \"xsalsa20poly1305\", \"operations\": 3,"
				  "\"memory_bytes\": 1099511627776, \"salt\": \"00000000000000000000000000000000\","
				  "\"nonce\": \"000000000000000000000000000000000000000000000000\", \"box\": \"00\"}}",
				  "sealed part");
	memset(large, ' ', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	refuse_secret(large, "too large");
	assert_null(depot_key_load_secret(scratch.path, NULL, &error));
	assert_non_null(strstr(error.message, "regular file"));
	assert_null(depot_key_load_public(public_path, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
}

static void
refuses_odd_objects(void **state)
{
	static const char hex[] = "72378E5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc52542c";
	DepotError	error;
	json_t	   *object = json_pack("{s:s, s:{s:s}, s:s}", "keytype", "ed25519", "keyval", "public", hex,
								   "scheme", "ed25519");

	assert_null(depot_key_from_json(object, NULL, &error)); /* upper case: two spellings of one key */
	assert_int_equal(error.code, DEPOT_ERROR_KEY);
	json_object_set_new(object, "keytype", json_string("ecdsa"));
	assert_null(depot_key_from_json(object, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_UNSUPPORTED);
	json_object_del(object, "keyval");
	assert_null(depot_key_from_json(object, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_KEY);
	json_decref(object);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keyid_known_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(signature_known_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(file_round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sealed_round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(never_overwrites, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_open_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_damaged_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_odd_objects, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}
