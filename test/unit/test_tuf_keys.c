/*-------------------------------------------------------------------------
 *
 * test_tuf_keys.c
 *	  Repositories signed with keys of several types, by a client that takes all and one that takes ed25519.
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

#include "tuf_expect.h"
#include "../tools/openssl_signer.h"

/* Appends the signature of an OpenSSL key over the body of an envelope. */
static void
add_signature(json_t *envelope, const OpensslSigner *signer, const char *keyid)
{
	DepotBuffer canonical;
	DepotError	error;
	char	   *signature;

	depot_buffer_init(&canonical);
	assert_true(depot_json_canonical(json_object_get(envelope, "signed"), &canonical, DEPOT_ERROR_METADATA_FORMAT,
									 &error));
	signature = openssl_signer_sign(signer, canonical.data, canonical.length_bytes);
	json_array_append_new(json_object_get(envelope, "signatures"), json_pack("{s:s, s:s}", "keyid", keyid, "sig",
																			 signature));
	free(signature);
	depot_buffer_free(&canonical);
}

/* Has version 2 of the root name signer for the targets role, and targets signed by it alone. */
static void
hand_targets_to(const OpensslSigner *signer)
{
	json_t	   *entry = json_object_get(json_object_get(fixture.root, "roles"), "targets");
	json_t	   *envelope;

	fixture_bump(fixture.root);
	json_object_set(json_object_get(fixture.root, "keys"), signer->keyid, signer->object);
	json_object_set_new(entry, "keyids", json_pack("[s]", signer->keyid));
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	envelope = fixture_sign(fixture.targets, NULL, 0);
	add_signature(envelope, signer, signer->keyid);
	fixture_put_envelope(&fixture, "1.targets.json", envelope);
	fixture_list(&fixture, fixture.snapshot, "targets", fixture.targets);
	fixture_publish_snapshot(&fixture);
}

static bool
refresh_restricted(DepotError *error)
{
	bool		changed;
	DepotTufClient *client = depot_tuf_open_restricted(fixture.scratch.fd, fixture.pin, strlen(fixture.pin),
													   FIXTURE_NOW, DEPOT_TUF_ED25519_ONLY, error);
	bool		ok = client != NULL && depot_tuf_refresh(client, FIXTURE_ROLE, fixture_fetch, &fixture, &changed,
														 error);

	depot_tuf_close(client);
	return ok;
}

static void
every_type_signs_a_role(void **state)
{
	OpensslSigner signers[] = {
		openssl_signer_ecdsa("ecdsa", "ecdsa-sha2-nistp256"),
		openssl_signer_ecdsa("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
		openssl_signer_rsa(2048, "rsassa-pss-sha256"),
	};

	for (size_t i = 0; i < sizeof(signers) / sizeof(signers[0]); i++)
	{
		DepotError	error;

		hand_targets_to(&signers[i]);
		first_refresh();
		expect_trusted("targets.json", "1.targets.json");

		/* the same files, and the same trusted root, are not enough for a client that takes ed25519 only */
		assert_false(refresh_restricted(&error));
		assert_int_equal(error.code, DEPOT_ERROR_METADATA_THRESHOLD);
		assert_non_null(strstr(error.message, "targets metadata is not signed by enough trusted keys: have 0 of 1"));
		assert_non_null(strstr(error.detail, "Signatures by ECDSA or RSA keys that are not counted: 1."));
		assert_non_null(strstr(error.hint, "all_key_types => true"));
		openssl_signer_free(&signers[i]);
		fixture_close(&fixture);
		fixture_open(&fixture);
	}
}

static void
restricted_client_takes_ed25519(void **state)
{
	DepotError	error;

	if (!refresh_restricted(&error))
		fail_msg("%s", error.message);
	expect_trusted("targets.json", "1.targets.json");
}

/* Listing other keys is no harm as long as enough of ed25519 sign. */
static void
restricted_client_ignores_other_keys(void **state)
{
	OpensslSigner signer = openssl_signer_ecdsa("ecdsa", "ecdsa-sha2-nistp256");
	json_t	   *entry = json_object_get(json_object_get(fixture.root, "roles"), "targets");
	json_t	   *envelope;
	DepotError	error;

	fixture_bump(fixture.root);
	json_object_set(json_object_get(fixture.root, "keys"), signer.keyid, signer.object);
	json_array_append_new(json_object_get(entry, "keyids"), json_string(signer.keyid));
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	envelope = fixture_sign(fixture.targets, &fixture.keys[KEY_TARGETS], 1);
	add_signature(envelope, &signer, signer.keyid);
	fixture_put_envelope(&fixture, "1.targets.json", envelope);
	fixture_list(&fixture, fixture.snapshot, "targets", fixture.targets);
	fixture_publish_snapshot(&fixture);
	if (!refresh_restricted(&error))
		fail_msg("%s", error.message);

	/* with a threshold of two they are needed, and do not count */
	fixture_bump(fixture.root);
	json_object_set_new(entry, "threshold", json_integer(2));
	fixture_put(&fixture, "3.root.json", fixture.root, fixture.keys, 2);
	assert_false(refresh_restricted(&error));
	assert_non_null(strstr(error.message, "have 1 of 2"));
	assert_non_null(strstr(error.hint, "all_key_types => true"));
	expect_refresh(false);
	openssl_signer_free(&signer);
}

static DepotTufKeyTypes
key_types_of(json_t *envelope)
{
	char	   *text = json_dumps(envelope, JSON_COMPACT);
	DepotTufKeyTypes key_types = depot_tuf_key_types_of_pin(text, strlen(text));

	free(text);
	return key_types;
}

/* A pinned root tells which types of keys it needs, whatever else it lists. */
static void
pin_tells_its_key_types(void **state)
{
	OpensslSigner signer = openssl_signer_ecdsa("ecdsa", "ecdsa-sha2-nistp256");
	json_t	   *entry = json_object_get(json_object_get(fixture.root, "roles"), "root");
	json_t	   *envelope;

	assert_int_equal(depot_tuf_key_types_of_pin(fixture.pin, strlen(fixture.pin)), DEPOT_TUF_ED25519_ONLY);

	json_object_set(json_object_get(fixture.root, "keys"), signer.keyid, signer.object);
	json_array_append_new(json_object_get(entry, "keyids"), json_string(signer.keyid));
	envelope = fixture_sign(fixture.root, fixture.keys, 2);
	add_signature(envelope, &signer, signer.keyid);
	assert_int_equal(key_types_of(envelope), DEPOT_TUF_ED25519_ONLY);
	json_decref(envelope);

	json_object_set_new(entry, "keyids", json_pack("[s]", signer.keyid));
	json_object_set_new(entry, "threshold", json_integer(1));
	envelope = fixture_sign(fixture.root, NULL, 0);
	add_signature(envelope, &signer, signer.keyid);
	assert_int_equal(key_types_of(envelope), DEPOT_TUF_ALL_KEY_TYPES);
	json_decref(envelope);
	openssl_signer_free(&signer);
}

/* A key that no library could read is not even looked at when its type does not count. */
static void
restricted_client_does_not_read_other_keys(void **state)
{
	json_t	   *key = json_pack("{s:s, s:s, s:{s:s}}", "keytype", "ecdsa", "scheme", "ecdsa-sha2-nistp256", "keyval",
								"public", "no PEM");
	char		keyid[65];
	DepotError	error;

	assert_true(depot_key_compute_keyid(key, keyid, &error));
	fixture_bump(fixture.root);
	json_object_set_new(json_object_get(fixture.root, "keys"), keyid, key);
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	if (!refresh_restricted(&error))
		fail_msg("%s", error.message);
	fixture_close(&fixture);
	fixture_open(&fixture);

	key = json_pack("{s:s, s:s, s:{s:s}}", "keytype", "ecdsa", "scheme", "ecdsa-sha2-nistp256", "keyval", "public",
					"no PEM");
	first_refresh();
	fixture_bump(fixture.root);
	json_object_set_new(json_object_get(fixture.root, "keys"), keyid, key);
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	expect_failure(DEPOT_ERROR_METADATA_FORMAT, "root metadata: a key: public part of a key of type ecdsa is not PEM");
}

/* One ECDSA key under two keyids, once with its type's other name, is one signer. */
static void
threshold_counts_public_keys_of_every_type(void **state)
{
	OpensslSigner signer = openssl_signer_ecdsa("ecdsa", "ecdsa-sha2-nistp256");
	json_t	   *other = json_deep_copy(signer.object);
	json_t	   *keys = json_object();
	json_t	   *envelope = fixture_sign(fixture.role, NULL, 0);
	char		keyid[65];
	json_t	   *role;
	DepotError	error;

	json_object_set_new(other, "keytype", json_string("ecdsa-sha2-nistp256"));
	assert_true(depot_key_compute_keyid(other, keyid, &error));
	json_object_set(keys, signer.keyid, signer.object);
	json_object_set_new(keys, keyid, other);
	role = json_pack("{s:[s, s], s:i}", "keyids", signer.keyid, keyid, "threshold", 2);
	add_signature(envelope, &signer, signer.keyid);
	add_signature(envelope, &signer, keyid);
	assert_false(depot_tuf_verify_envelope(envelope, keys, role, "some metadata", &error));
	assert_non_null(strstr(error.message, "have 1 of 2"));
	json_object_set_new(role, "threshold", json_integer(1));
	assert_true(depot_tuf_verify_envelope(envelope, keys, role, "some metadata", &error));
	json_decref(role);
	json_decref(keys);
	json_decref(envelope);
	openssl_signer_free(&signer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_type_signs_a_role, set_up, tear_down),
		cmocka_unit_test_setup_teardown(restricted_client_takes_ed25519, set_up, tear_down),
		cmocka_unit_test_setup_teardown(restricted_client_ignores_other_keys, set_up, tear_down),
		cmocka_unit_test_setup_teardown(restricted_client_does_not_read_other_keys, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pin_tells_its_key_types, set_up, tear_down),
		cmocka_unit_test_setup_teardown(threshold_counts_public_keys_of_every_type, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("tuf_keys", tests, NULL, NULL);
}
