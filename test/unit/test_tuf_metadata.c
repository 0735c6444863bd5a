/*-------------------------------------------------------------------------
 *
 * test_tuf_metadata.c
 *	  Form of metadata, signatures and thresholds, times, path patterns.
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

#include <string.h>

#include "tuf_fixture.h"

static Fixture fixture;

static int
set_up(void **state)
{
	fixture_open(&fixture);
	return fixture.scratch.fd >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	fixture_close(&fixture);
	return 0;
}

/*
 * Parses a body (stolen) without signatures and expects a message that holds the given
 * words; NULL: no error.
 */
static void
expect_parse(json_t *body, const char *type, const char *words)
{
	DepotError	error;
	json_t	   *envelope = json_pack("{s:o, s:[]}", "signed", body, "signatures");
	char	   *text = json_dumps(envelope, 0);
	json_t	   *parsed = depot_tuf_parse_metadata(text, strlen(text), type, "some metadata", &error);

	if (words == NULL && parsed == NULL)
		fail_msg("%s: %s", text, error.message);
	if (words != NULL)
	{
		if (parsed != NULL)
			fail_msg("accepted: %s", text);
		assert_int_equal(error.code, DEPOT_ERROR_METADATA_FORMAT);
		if (strstr(error.message, words) == NULL || strncmp(error.message, "some metadata", 13) != 0)
			fail_msg("\"%s\" does not hold \"%s\"", error.message, words);
	}
	json_decref(parsed);
	json_decref(envelope);
	free(text);
}

static json_t *
with(const json_t *body, const char *member, json_t *value)
{
	json_t	   *copy = json_deep_copy(body);

	if (value == NULL)
		json_object_del(copy, member);
	else
		json_object_set_new(copy, member, value);
	return copy;
}

static void
common_members(void **state)
{
	const json_t *body = fixture.role;

	expect_parse(json_deep_copy(body), "targets", NULL);
	expect_parse(with(body, "x-unknown", json_true()), "targets", NULL);
	expect_parse(json_deep_copy(body), "snapshot", "_type");
	expect_parse(with(body, "_type", NULL), "targets", "_type");
	expect_parse(with(body, "_type", json_integer(1)), "targets", "_type");
	expect_parse(with(body, "spec_version", json_string("1.0")), "targets", NULL);
	expect_parse(with(body, "spec_version", json_string("2.0.0")), "targets", "spec_version");
	expect_parse(with(body, "spec_version", json_string("10.0")), "targets", "spec_version");
	expect_parse(with(body, "spec_version", json_string("1.")), "targets", "spec_version");
	expect_parse(with(body, "spec_version", json_string("1.0;x")), "targets", "spec_version");
	expect_parse(with(body, "spec_version", NULL), "targets", "spec_version");
	expect_parse(with(body, "version", json_integer(0)), "targets", "version");
	expect_parse(with(body, "version", json_integer(-3)), "targets", "version");
	expect_parse(with(body, "version", json_true()), "targets", "version");
	expect_parse(with(body, "version", json_real(2.0)), "targets", "version");
	expect_parse(with(body, "version", json_string("1")), "targets", "version");
	expect_parse(with(body, "version", NULL), "targets", "version");
	expect_parse(with(body, "expires", json_string("2027-02-30T00:00:00Z")), "targets", "expires");
	expect_parse(with(body, "expires", NULL), "targets", "expires");
}

static void
targets_shape(void **state)
{
	const json_t *body = fixture.role;
	const char *hash = "00";

	expect_parse(with(body, "targets", NULL), "targets", "targets");
	expect_parse(with(body, "targets", json_array()), "targets", "targets");
	expect_parse(with(body, "targets", json_pack("{s:n}", "a")), "targets", "target");
	expect_parse(with(body, "targets", json_pack("{s:{s:i}}", "a", "length", 1)), "targets", "hashes");
	expect_parse(with(body, "targets", json_pack("{s:{s:i, s:{}}}", "a", "length", 1, "hashes")), "targets",
				 "hashes");
	expect_parse(with(body, "targets", json_pack("{s:{s:i, s:{s:i}}}", "a", "length", 1, "hashes", "sha256",
												 1)),
				 "targets", "hash");
	expect_parse(with(body, "targets", json_pack("{s:{s:{s:s}}}", "a", "hashes", "sha256", hash)), "targets",
				 "length");
	expect_parse(with(body, "targets", json_pack("{s:{s:i, s:{s:s}}}", "a", "length", -1, "hashes", "sha256",
												 hash)),
				 "targets", "length");
}

static void
expect_delegation(const char *member, json_t *value, const char *words)
{
	json_t	   *body = json_deep_copy(fixture.targets);
	json_t	   *delegations = json_object_get(body, "delegations");
	json_t	   *entry = json_array_get(json_object_get(delegations, "roles"), 0);

	if (value == NULL)
		json_object_del(entry, member);
	else
		json_object_set_new(entry, member, value);
	expect_parse(body, "targets", words);
}

static void
delegations_shape(void **state)
{
	json_t	   *body;

	expect_delegation("x", json_null(), NULL);
	expect_delegation("name", json_string(""), "name");
	expect_delegation("name", json_string("root"), "name");
	expect_delegation("name", json_string("timestamp"), "name");
	expect_delegation("name", json_string("snapshot"), "name");
	expect_delegation("name", json_string("targets"), "name");
	expect_delegation("name", json_string("../odd name?"), NULL);
	expect_delegation("terminating", NULL, "terminating");
	expect_delegation("terminating", json_integer(1), "terminating");
	expect_delegation("paths", NULL, "path");
	expect_delegation("paths", json_pack("[i]", 1), "path");
	expect_delegation("path_hash_prefixes", json_pack("[s]", "00"), "path");
	expect_delegation("threshold", json_integer(0), "threshold");
	expect_delegation("threshold", json_integer(-1), "threshold");
	expect_delegation("threshold", json_true(), "threshold");
	expect_delegation("keyids", json_pack("[s, s]", "a", "a"), "twice");
	expect_delegation("keyids", json_pack("[i]", 1), "keyid");

	body = json_deep_copy(fixture.targets);
	json_array_append(json_object_get(json_object_get(body, "delegations"), "roles"),
					  json_array_get(json_object_get(json_object_get(body, "delegations"), "roles"), 0));
	expect_parse(body, "targets", "twice");
	body = json_deep_copy(fixture.targets);
	json_object_del(json_object_get(body, "delegations"), "roles");
	expect_parse(body, "targets", "succinct_roles");
}

static void
root_shape(void **state)
{
	static const char *const roles[] = {"root", "timestamp", "snapshot", "targets"};
	json_t	   *body;

	expect_parse(json_deep_copy(fixture.root), "root", NULL);
	expect_parse(with(fixture.root, "consistent_snapshot", json_integer(1)), "root", "consistent_snapshot");
	expect_parse(with(fixture.root, "keys", NULL), "root", "keys");
	expect_parse(with(fixture.root, "roles", json_array()), "root", "roles");
	for (int i = 0; i < 4; i++)
	{
		body = json_deep_copy(fixture.root);
		json_object_del(json_object_get(body, "roles"), roles[i]);
		expect_parse(body, "root", roles[i]);
	}
	body = json_deep_copy(fixture.root);
	json_object_set_new(json_object_get(json_object_get(body, "roles"), "targets"), "threshold",
						json_integer(0));
	expect_parse(body, "root", "threshold");
	/* A role that can never be met is that role's trouble only. */
	body = json_deep_copy(fixture.root);
	json_object_set_new(json_object_get(json_object_get(body, "roles"), "targets"), "threshold",
						json_integer(9));
	expect_parse(body, "root", NULL);
}

static void
keys_shape(void **state)
{
	json_t	   *body = json_deep_copy(fixture.root);
	json_t	   *keys = json_object_get(body, "keys");
	char		other[65];
	DepotError	error;
	json_t	   *key = depot_key_to_json(fixture.keys[KEY_SPARE], &error);
	json_t	   *marked;

	/* Unknown types are kept and ignored, whatever their keyid. */
	json_object_set_new(keys, "abc", json_pack("{s:s, s:s, s:{s:s}}", "keytype", "new", "scheme", "new",
											   "keyval",
											   "public", "??"));
	expect_parse(json_incref(body), "root", NULL);
	json_object_del(keys, "abc");

	memset(other, '0', 64);
	other[64] = '\0';
	json_object_set(keys, other, key);
	expect_parse(json_deep_copy(body), "root", "keyid");
	json_object_del(keys, other);

	/* A member that its owner added belongs to the keyid, or does not; both are in use. */
	marked = json_deep_copy(key);
	json_object_set_new(marked, "x-owner", json_string("@me"));
	assert_true(depot_key_compute_keyid(marked, other, &error));
	assert_string_not_equal(other, fixture.keys[KEY_SPARE]->keyid);
	json_object_set(keys, other, marked);
	json_object_set(keys, fixture.keys[KEY_SPARE]->keyid, marked);
	expect_parse(json_deep_copy(body), "root", NULL);

	json_object_set_new(json_object_get(key, "keyval"), "public", json_string("12"));
	json_object_set(keys, fixture.keys[KEY_SPARE]->keyid, key);
	expect_parse(json_deep_copy(body), "root", "64 lower-case");
	json_object_set_new(keys, fixture.keys[KEY_SPARE]->keyid, json_integer(1));
	expect_parse(json_deep_copy(body), "root", "key");
	json_decref(marked);
	json_decref(key);
	json_decref(body);
}

static void
meta_shape(void **state)
{
	json_t	   *meta = json_pack("{s:{s:i}}", "a.json", "version", 0);

	expect_parse(with(fixture.snapshot, "meta", meta), "snapshot", "version");
	expect_parse(with(fixture.snapshot, "meta", NULL), "snapshot", "meta");
	expect_parse(with(fixture.snapshot, "meta", json_pack("{s:i}", "a.json", 1)), "snapshot", "meta");
	expect_parse(with(fixture.snapshot, "meta", json_pack("{s:{s:i, s:{}}}", "a.json", "version", 1,
														  "hashes")),
				 "snapshot", "hashes");
	expect_parse(with(fixture.timestamp, "meta", json_object()), "timestamp", "snapshot.json");
	expect_parse(with(fixture.timestamp, "meta", json_pack("{s:{s:i}, s:{s:i}}", "snapshot.json", "version",
														   1,
														   "more.json", "version", 1)), "timestamp",
				 "snapshot.json");
}

static void
envelope_shape(void **state)
{
	static const char *const bad[] = {
		"", "[]", "{}", "\"signed\"", "{\"signed\": 1, \"signatures\": []}", "{\"signed\": {}}",
		"{\"signed\": {}, \"signatures\": {}}", "{\"signed\": {}, \"signatures\": [1]}",
		"{\"signed\": {}, \"signatures\": [{\"keyid\": \"a\"}]}",
		"{\"signed\": {}, \"signatures\": [{\"keyid\": 1, \"sig\": \"\"}]}",
	};
	DepotError	error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		if (depot_tuf_parse_metadata(bad[i], strlen(bad[i]), "root", "root metadata", &error) != NULL)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(error.code, DEPOT_ERROR_METADATA_FORMAT);
	}
}

/* The same keyid twice, even where each signature is good. */
static void
duplicate_keyid_refused(void **state)
{
	DepotKey   *twice[] = {fixture.keys[KEY_TARGETS], fixture.keys[KEY_TARGETS]};
	json_t	   *envelope = fixture_sign(fixture.role, twice, 2);
	char	   *text = json_dumps(envelope, 0);
	DepotError	error;

	assert_null(depot_tuf_parse_metadata(text, strlen(text), "targets", "targets metadata", &error));
	assert_non_null(strstr(error.message, "twice"));
	free(text);
	json_decref(envelope);
}

static bool
verify(json_t *envelope, json_t *keys, json_t *role, DepotError *error)
{
	return depot_tuf_verify_envelope(envelope, keys, role, "root metadata", error);
}

static void
thresholds(void **state)
{
	json_t	   *keys = json_object_get(fixture.root, "keys");
	json_t	   *role = json_object_get(json_object_get(fixture.root, "roles"), "root");
	json_t	   *signature;
	json_t	   *envelope = fixture_sign(fixture.root, fixture.keys, 1);
	DepotError	error;

	assert_false(verify(envelope, keys, role, &error));
	assert_int_equal(error.code, DEPOT_ERROR_METADATA_THRESHOLD);
	assert_non_null(strstr(error.message, "have 1 of 2 valid signatures"));
	assert_true(error.hint[0] != '\0');
	json_decref(envelope);

	envelope = fixture_sign(fixture.root, fixture.keys, 2);
	assert_true(verify(envelope, keys, role, &error));
	/* Strangers and rubbish beside enough good ones do no harm. */
	json_array_append_new(json_object_get(envelope, "signatures"),
						  json_pack("{s:s, s:s}", "keyid", "x", "sig", ""));
	assert_true(verify(envelope, keys, role, &error));
	/* A threshold of nobody proves nothing. */
	json_object_set_new(role, "threshold", json_integer(0));
	assert_false(verify(envelope, keys, role, &error));
	json_object_set_new(role, "threshold", json_integer(2));
	/* One altered byte. */
	signature = json_array_get(json_object_get(envelope, "signatures"), 0);
	json_object_set_new(signature, "sig", json_string(""));
	assert_false(verify(envelope, keys, role, &error));
	assert_non_null(strstr(error.message, "have 1 of 2"));
	json_decref(envelope);

	envelope = fixture_sign(fixture.root, fixture.keys, 2);
	fixture_bump(json_object_get(envelope, "signed"));
	assert_false(verify(envelope, keys, role, &error));
	assert_non_null(strstr(error.message, "have 0 of 2"));
	json_decref(envelope);
}

/* One public key under two keyids is one signer. */
static void
threshold_counts_public_keys(void **state)
{
	DepotKey   *key = fixture.keys[KEY_SPARE];
	DepotError	error;
	json_t	   *object = depot_key_to_json(key, &error);
	json_t	   *marked = json_deep_copy(object);
	json_t	   *keys = json_object();
	json_t	   *envelope = fixture_sign(fixture.role, &key, 1);
	json_t	   *copy;
	json_t	   *role;
	char		other[65];

	json_object_set_new(marked, "x", json_integer(1));
	assert_true(depot_key_compute_keyid(marked, other, &error));
	json_object_set_new(keys, key->keyid, object);
	json_object_set_new(keys, other, marked);
	role = json_pack("{s:[s, s], s:i}", "keyids", key->keyid, other, "threshold", 2);
	copy = json_deep_copy(json_array_get(json_object_get(envelope, "signatures"), 0));
	json_object_set_new(copy, "keyid", json_string(other));
	json_array_append_new(json_object_get(envelope, "signatures"), copy);
	assert_false(verify(envelope, keys, role, &error));
	assert_non_null(strstr(error.message, "have 1 of 2"));
	json_decref(role);
	json_decref(keys);
	json_decref(envelope);
}

static void
times(void **state)
{
	static const struct
	{
		const char *text;
		int64_t		epoch_s;
	}			good[] = {
		{"1970-01-01T00:00:00Z", 0}, {"2026-11-20T12:00:00Z", FIXTURE_NOW},
		{"2024-02-29T23:59:59Z", 1709251199},
		{"2000-02-29T00:00:00Z", 951782400}, {"1969-12-31T23:59:59Z", -1},
		{"9999-12-31T23:59:59Z", 253402300799},
	};
	static const char *const bad[] = {
		"", "2026-11-20", "2026-11-20T12:00:00", "2026-11-20T12:00:00z", "2026-11-20 12:00:00Z",
		"2026-11-20T12:00:00+00:00", "2026-11-20T12:00:00.0Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-11-00T00:00:00Z",
		"2026-11-20T24:00:00Z", "2026-11-20T12:60:00Z", "2026-11-20T12:00:60Z", "0000-01-01T00:00:00Z",
		"+026-11-20T12:00:00Z", "2026-11- 2T12:00:00Z", "2026-11-20T12:00:00ZZ",
	};
	int64_t		epoch_s;
	char		text[21];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		assert_true(depot_tuf_time_parse(good[i].text, &epoch_s));
		assert_int_equal(epoch_s, good[i].epoch_s);
		depot_tuf_time_format(epoch_s, text);
		assert_string_equal(text, good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		if (depot_tuf_time_parse(bad[i], &epoch_s))
			fail_msg("accepted \"%s\"", bad[i]);
	}
}

static void
path_patterns(void **state)
{
	static const struct
	{
		const char *pattern;
		const char *path;
		bool		matches;
	}			cases[] = {
		{"pg15/linux-amd64/*/*/*", FIXTURE_TARGET, true},
		{"pg15/linux-amd64/*/*", FIXTURE_TARGET, false},
		{"pg15/linux-amd64/*/*/*/*", FIXTURE_TARGET, false},
		{"pg16/linux-amd64/*/*/*", FIXTURE_TARGET, false},
		{"*", "a", true}, {"*", "", true}, {"*", "a/b", false}, {"*/*", "a/b", true}, {"*/*", "a/", true},
		{"a*b*c", "aXXbYYc", true}, {"a*b*c", "aXXbYY", false}, {"*.zst", "x.tar.zst", true},
		{"*.zst", "x.zstd", false},
		{"?", "a", true}, {"?", "", false}, {"?", "/", false}, {"a?c", "a/c", false}, {"a?c", "abc", true},
		{"foo", "Foo", false}, {"[ab]", "a", false}, {"[ab]", "[ab]", true}, {"\\*", "*", false},
		{"a/b", "a/b/", false}, {"/a", "a", false}, {"", "", true}, {"", "a", false}, {"**", "abc", true},
		{"a*", "a", true}, {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		if (depot_tuf_path_matches(cases[i].pattern, cases[i].path) != cases[i].matches)
			fail_msg("pattern \"%s\", path \"%s\"", cases[i].pattern, cases[i].path);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(common_members, set_up, tear_down),
		cmocka_unit_test_setup_teardown(targets_shape, set_up, tear_down),
		cmocka_unit_test_setup_teardown(delegations_shape, set_up, tear_down),
		cmocka_unit_test_setup_teardown(root_shape, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keys_shape, set_up, tear_down),
		cmocka_unit_test_setup_teardown(meta_shape, set_up, tear_down),
		cmocka_unit_test_setup_teardown(envelope_shape, set_up, tear_down),
		cmocka_unit_test_setup_teardown(duplicate_keyid_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(thresholds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(threshold_counts_public_keys, set_up, tear_down),
		cmocka_unit_test(times),
		cmocka_unit_test(path_patterns),
	};

	return cmocka_run_group_tests_name("tuf metadata", tests, NULL, NULL);
}
