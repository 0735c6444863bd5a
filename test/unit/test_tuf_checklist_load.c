/*-------------------------------------------------------------------------
 *
 * test_tuf_checklist_load.c
 *	  What every load of metadata checks, item by item, each with what passes and what does not.
 *
 * l1 size, l2 listed length and hashes, l3 JSON, l4 signatures, l5 type, l6 version of the specification,
 * l7 version and expiry, l8 shape of the role, l9 threshold: the order in which the client works.
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

#include <sodium.h>

#include "tuf_expect.h"

/* Serves a targets body (taken over), well signed and listed, in a new snapshot. */
static void
publish_targets(json_t *body)
{
	fixture_put(&fixture, fixture_name(body, "targets"), body, &fixture.keys[KEY_TARGETS], 1);
	fixture_list(&fixture, fixture.snapshot, "targets", body);
	json_decref(body);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish_snapshot(&fixture);
}

/* A new snapshot whose entry for the targets role is as entry (taken over) says. */
static void
publish_entry(json_t *entry)
{
	json_object_set_new(json_object_get(fixture.snapshot, "meta"), "targets.json", entry);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish_snapshot(&fixture);
}

static json_t *
targets_with(const char *member, json_t *value)
{
	json_t	   *body = json_deep_copy(fixture.targets);

	if (value == NULL)
		json_object_del(body, member);
	else
		json_object_set_new(body, member, value);
	return body;
}

static void
refuse(const char *member, json_t *value, const char *words)
{
	publish_targets(targets_with(member, value));
	first_refresh_fails(DEPOT_ERROR_METADATA_FORMAT, words);
	assert_false(depot_files_exists(fixture.scratch.fd, "targets.json"));
}

/* What passes is trusted, and forgotten again for what comes next. */
static void
accept(const char *member, json_t *value)
{
	DepotError	error;

	publish_targets(targets_with(member, value));
	first_refresh();
	expect_trusted("targets.json", "1.targets.json");
	assert_true(depot_files_remove(fixture.scratch.fd, "targets.json", &error));
}

/* Whether text has an acceptable form, and one that a signature can cover. */
static bool
parses(const char *text, size_t length_bytes, const char *type)
{
	DepotError	error;
	DepotBuffer canonical;
	json_t	   *parsed = depot_tuf_parse_metadata(text, length_bytes, type, "some metadata", &error);
	bool		ok;

	depot_buffer_init(&canonical);
	ok = parsed != NULL && depot_json_canonical(parsed, &canonical, DEPOT_ERROR_METADATA_FORMAT, &error);
	if (!ok)
		assert_int_equal(error.code, DEPOT_ERROR_METADATA_FORMAT);
	depot_buffer_free(&canonical);
	json_decref(parsed);
	return ok;
}

static size_t asked_bytes[3];

static bool
note_sizes(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing, DepotError *error)
{
	if (strcmp(file_name, "2.root.json") == 0)
		asked_bytes[0] = max_bytes;
	else if (strcmp(file_name, "timestamp.json") == 0)
		asked_bytes[1] = max_bytes;
	else if (strcmp(file_name, "1.snapshot.json") == 0)
		asked_bytes[2] = max_bytes;
	return fixture_fetch(context, file_name, max_bytes, out, missing, error);
}

static void
l1_size_is_the_listed_one_or_the_cap(void **state)
{
	DepotError	error;
	bool		changed;
	DepotTufClient *client = depot_tuf_open(fixture.scratch.fd, fixture.pin, strlen(fixture.pin), FIXTURE_NOW, &error);

	assert_true(depot_tuf_refresh(client, FIXTURE_ROLE, note_sizes, &fixture, &changed, &error));
	assert_int_equal(asked_bytes[0], DEPOT_TUF_ROOT_MAX_BYTES);
	assert_int_equal(asked_bytes[1], DEPOT_TUF_TIMESTAMP_MAX_BYTES);
	assert_int_equal(asked_bytes[2], strlen(fixture_text(&fixture, "1.snapshot.json")));
	depot_tuf_close(client);
}

/* A fetcher that does not count is not believed either. */
static bool
fetch_too_much(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing,
			   DepotError *error)
{
	if (strcmp(file_name, "timestamp.json") != 0)
		return fixture_fetch(context, file_name, max_bytes, out, missing, error);
	*missing = false;
	for (size_t i = 0; i <= max_bytes; i++)
		depot_buffer_append(out, " ", 1);
	return true;
}

static void
l1_more_than_the_cap_is_refused(void **state)
{
	DepotError	error;
	bool		changed;
	DepotTufClient *client = depot_tuf_open(fixture.scratch.fd, fixture.pin, strlen(fixture.pin), FIXTURE_NOW, &error);

	assert_false(depot_tuf_refresh(client, FIXTURE_ROLE, fetch_too_much, &fixture, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TOO_LARGE);
	depot_tuf_close(client);
}

static void
l2_length_must_be_the_listed_one(void **state)
{
	const int	length = (int) strlen(fixture_text(&fixture, "1.targets.json"));

	publish_entry(json_pack("{s:i, s:i}", "version", 1, "length", length + 1));
	first_refresh_fails(DEPOT_ERROR_METADATA_MISMATCH, "announced length");
	publish_entry(json_pack("{s:i, s:i}", "version", 1, "length", length));
	expect_refresh(true);
}

static void
l2_every_known_hash_must_fit(void **state)
{
	const char *text = fixture_text(&fixture, "1.targets.json");
	char		sha256[65];
	char		sha512[129];
	uint8_t		digest[crypto_hash_sha512_BYTES];

	depot_digest_sha256_hex(text, strlen(text), sha256);
	crypto_hash_sha512(digest, (const unsigned char *) text, strlen(text));
	depot_digest_to_hex(digest, sizeof(digest), sha512);
	sha512[0] ^= 1;
	publish_entry(json_pack("{s:i, s:{s:s, s:s}}", "version", 1, "hashes", "sha256", sha256, "sha512", sha512));
	first_refresh_fails(DEPOT_ERROR_METADATA_MISMATCH, "announced digest");
	sha512[0] ^= 1;
	sha256[0] ^= 1;
	publish_entry(json_pack("{s:i, s:{s:s, s:s}}", "version", 1, "hashes", "sha256", sha256, "sha512", sha512));
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "announced digest");
	sha256[0] ^= 1;
	publish_entry(json_pack("{s:i, s:{s:s, s:s}}", "version", 1, "hashes", "sha256", sha256, "sha512", sha512));
	expect_refresh(true);
}

static void
l2_one_hash_must_be_known(void **state)
{
	const char *text = fixture_text(&fixture, "1.targets.json");
	char		sha256[65];

	depot_digest_sha256_hex(text, strlen(text), sha256);
	publish_entry(json_pack("{s:i, s:{s:s}}", "version", 1, "hashes", "blake2b-256", "00"));
	first_refresh_fails(DEPOT_ERROR_METADATA_MISMATCH, "no digest of a kind that is known");
	publish_entry(json_pack("{s:i, s:{s:s, s:s}}", "version", 1, "hashes", "blake2b-256", "00", "sha256", sha256));
	expect_refresh(true);
}

/* A damaged file is called damaged, not malformed: nothing of it was parsed. */
static void
l2_comes_before_parsing(void **state)
{
	char	   *text = strdup(fixture_text(&fixture, "1.targets.json"));

	memset(text, '[', strlen(text));
	serve("1.targets.json", text);
	first_refresh_fails(DEPOT_ERROR_METADATA_MISMATCH, "announced digest");
	free(text);
}

/* Puts raw text into a targets file, as an unknown member. */
static bool
parses_with(const char *raw, size_t raw_bytes)
{
	static const char head[] = "{\"signatures\":[],\"signed\":{\"_type\":\"targets\",\"spec_version\":\"1.0.34\","
	"\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\",\"targets\":{},\"x\":";
	DepotBuffer text;
	bool		ok;

	depot_buffer_init(&text);
	depot_buffer_append_string(&text, head);
	depot_buffer_append(&text, raw, raw_bytes);
	depot_buffer_append_string(&text, "}}");
	ok = parses(text.data, text.length_bytes, "targets");
	depot_buffer_free(&text);
	return ok;
}

static void
l3_json_is_strict(void **state)
{
	static const char *const good[] = {
		"1", "-1", "\"\"", "\"\\u00e9 \\ud83d\\ude00\"", "[]", "{}", "null", "true", "9007199254740991",
		"{\"a\":1,\"b\":1}", " [ 1 , 2 ] ",
	};
	static const char *const bad[] = {
		"", "1.0", "1e3", "NaN", "Infinity", "01", "+1", "-0x1", "18446744073709551617", "9007199254740992",
		"\"\\ud83d\"", "\"\\udc00\\ud83d\"", "\"\\u0000\"", "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\n\"",
		"\"\\x\"", "{\"a\":1,\"a\":1}", "{\"a\":1,\"\\u0061\":2}", "[1,]", "{\"a\":1,}", "[1 2]", "'a'", "// x\n1", "}",
		"tru",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!parses_with(good[i], strlen(good[i])))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parses_with(bad[i], strlen(bad[i])))
			fail_msg("accepted: %s", bad[i]);
	assert_false(parses_with("\"\0\"", 3));
}

static void
l3_nesting_is_limited(void **state)
{
	static char deep[200001];

	memset(deep, '[', 40);
	memset(deep + 40, ']', 40);
	assert_true(parses_with(deep, 80));
	for (size_t depth = 100; depth <= 100000; depth *= 1000)
	{
		memset(deep, '[', depth);
		memset(deep + depth, ']', depth);
		assert_false(parses_with(deep, 2 * depth));
	}
}

static void
l3_nothing_stands_around_the_object(void **state)
{
	static const char text[] = "{\"signatures\":[],\"signed\":{\"_type\":\"targets\",\"spec_version\":\"1.0.34\","
	"\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\",\"targets\":{}}}";
	char		other[sizeof(text) + 8];

	assert_true(parses(text, strlen(text), "targets"));
	snprintf(other, sizeof(other), "%s\n", text);
	assert_true(parses(other, strlen(other), "targets"));
	snprintf(other, sizeof(other), "%s{}", text);
	assert_false(parses(other, strlen(other), "targets"));
	snprintf(other, sizeof(other), "\xef\xbb\xbf%s", text);
	assert_false(parses(other, strlen(other), "targets"));
	assert_false(parses(text, strlen(text) - 1, "targets"));
	assert_false(parses(text, sizeof(text), "targets"));	/* a NUL behind it */
}

static void
serve_targets_envelope(json_t *envelope)
{
	fixture_put_envelope(&fixture, "1.targets.json", envelope);
	fixture_list(&fixture, fixture.snapshot, "targets", fixture.targets);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish_snapshot(&fixture);
}

static void
l4_no_keyid_twice_even_when_the_threshold_is_met(void **state)
{
	DepotKey   *twice[] = {fixture.keys[KEY_TARGETS], fixture.keys[KEY_TARGETS]};

	serve_targets_envelope(fixture_sign(fixture.targets, twice, 2));
	first_refresh_fails(DEPOT_ERROR_METADATA_FORMAT, "twice");
	serve_targets_envelope(fixture_sign(fixture.targets, twice, 1));
	expect_refresh(true);
}

static void
l4_signatures_are_objects_of_two_strings(void **state)
{
	json_t	   *envelope;
	json_t	   *bad[] = {
		json_string("a"), json_object(), json_pack("{s:s}", "keyid", "a"), json_pack("{s:s}", "sig", "a"),
		json_pack("{s:i, s:s}", "keyid", 1, "sig", "a"), json_pack("{s:s, s:n}", "keyid", "a", "sig"),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		envelope = fixture_sign(fixture.targets, &fixture.keys[KEY_TARGETS], 1);
		json_array_append_new(json_object_get(envelope, "signatures"), bad[i]);
		serve_targets_envelope(envelope);
		first_refresh_fails(DEPOT_ERROR_METADATA_FORMAT, "");
	}
	envelope = fixture_sign(fixture.targets, &fixture.keys[KEY_TARGETS], 1);
	json_array_append_new(json_object_get(envelope, "signatures"),
						  json_pack("{s:s, s:s, s:i}", "keyid", "a", "sig", "", "more", 1));
	serve_targets_envelope(envelope);
	expect_refresh(true);
}

static void
l5_type_must_be_the_expected_one(void **state)
{
	refuse("_type", json_string("snapshot"), "_type");
	refuse("_type", json_string("Targets"), "_type");
	refuse("_type", NULL, "_type");
	accept("_type", json_string("targets"));
}

static void
l6_major_version_of_the_specification_must_be_1(void **state)
{
	refuse("spec_version", json_string("2.0.0"), "spec_version");
	refuse("spec_version", json_string("0.9"), "spec_version");
	refuse("spec_version", json_integer(1), "spec_version");
	refuse("spec_version", NULL, "spec_version");
	accept("spec_version", json_string("1.0"));
	accept("spec_version", json_string("1.99.99"));
}

static void
l7_version_is_an_integer_from_1(void **state)
{
	static const char *const bad[] = {"0", "-1", "true", "2.0", "\"1\"", "null", "[1]"};
	char		text[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) + 1; i++)
	{
		const bool	is_good = i == sizeof(bad) / sizeof(bad[0]);

		snprintf(text, sizeof(text), "{\"signatures\":[],\"signed\":{\"_type\":\"targets\",\"spec_version\":\"1.0.34\","
				 "\"version\":%s,\"expires\":\"2027-01-01T00:00:00Z\",\"targets\":{}}}", is_good ? "1" : bad[i]);
		assert_int_equal(parses(text, strlen(text), "targets"), is_good);
	}
}

static void
l7_expires_is_a_real_time(void **state)
{
	refuse("expires", json_string("2027-02-29T00:00:00Z"), "expires");
	refuse("expires", json_string("2027-01-01T00:00:00+00:00"), "expires");
	refuse("expires", json_string("2027-01-01"), "expires");
	refuse("expires", json_integer(1795176000), "expires");
	accept("expires", json_string("2028-02-29T00:00:00Z"));
}

static void
l8_shape_of_the_role(void **state)
{
	refuse("targets", NULL, "targets");
	refuse("targets", json_array(), "targets");
	refuse("targets", json_pack("{s:{s:i}}", "a", "length", 1), "hashes");
	refuse("delegations", json_array(), "delegations");
	refuse("delegations", json_object(), "keys");
	accept("targets", json_pack("{s:o}", "a", fixture_target("x")));
	accept("delegations", json_pack("{s:{}, s:[]}", "keys", "roles"));
	accept("x-unknown", json_string("is kept and signed"));
}

/* Changes the entry of the delegated role. */
static json_t *
delegations_with(const char *member, json_t *value)
{
	json_t	   *delegations = json_deep_copy(json_object_get(fixture.targets, "delegations"));

	json_object_set_new(json_array_get(json_object_get(delegations, "roles"), 0), member, value);
	return delegations;
}

static void
l8_thresholds_and_keyids(void **state)
{
	const char *keyid = fixture.keys[KEY_ROLE]->keyid;

	refuse("delegations", delegations_with("threshold", json_integer(0)), "threshold");
	refuse("delegations", delegations_with("threshold", json_integer(-1)), "threshold");
	refuse("delegations", delegations_with("threshold", json_true()), "threshold");
	refuse("delegations", delegations_with("threshold", json_string("1")), "threshold");
	refuse("delegations", delegations_with("keyids", json_pack("[s, s]", keyid, keyid)), "twice");
	refuse("delegations", delegations_with("keyids", json_pack("[i]", 1)), "keyid");
	accept("delegations", delegations_with("threshold", json_integer(1)));
	accept("delegations", delegations_with("keyids", json_pack("[s, s]", keyid, "nobody's")));
}

static json_t *
delegations_with_key(const char *keyid, json_t *key)
{
	json_t	   *delegations = json_deep_copy(json_object_get(fixture.targets, "delegations"));

	json_object_set_new(json_object_get(delegations, "keys"), keyid, key);
	return delegations;
}

static void
l8_keyid_is_the_digest_of_the_key(void **state)
{
	const DepotKey *spare = fixture.keys[KEY_SPARE];
	DepotError	error;
	json_t	   *broken = depot_key_to_json(spare, &error);

	json_object_set_new(json_object_get(broken, "keyval"), "public", json_string("00"));
	refuse("delegations", delegations_with_key(fixture.keys[KEY_ROOT_A]->keyid, depot_key_to_json(spare, &error)),
		   "its keyid is not its digest");
	refuse("delegations", delegations_with_key(spare->keyid, broken), "64 lower-case");
	refuse("delegations", delegations_with_key("x", json_string("key")), "not a JSON object");
	accept("delegations", delegations_with_key(spare->keyid, depot_key_to_json(spare, &error)));
	accept("delegations", delegations_with_key("x", json_pack("{s:s, s:s, s:{s:s}}", "keytype", "sphincs", "scheme",
															  "sphincs", "keyval", "public", "of the future")));
}

static void
l9_the_delegators_keys_must_sign(void **state)
{
	serve_targets_envelope(fixture_sign(fixture.targets, NULL, 0));
	first_refresh_fails(DEPOT_ERROR_METADATA_THRESHOLD, "have 0 of 1");
	serve_targets_envelope(fixture_sign(fixture.targets, &fixture.keys[KEY_SNAPSHOT], 1));
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "have 0 of 1");
	serve_targets_envelope(fixture_sign(fixture.targets, &fixture.keys[KEY_TARGETS], 1));
	expect_refresh(true);
}

static void
l9_bad_signatures_beside_good_ones_do_no_harm(void **state)
{
	json_t	   *envelope = fixture_sign(fixture.targets, &fixture.keys[KEY_TARGETS], 1);
	json_t	   *signatures = json_object_get(envelope, "signatures");

	json_array_append_new(signatures, json_pack("{s:s, s:s}", "keyid", "nobody's", "sig", "00"));
	json_array_append_new(signatures, json_pack("{s:s, s:s}", "keyid", fixture.keys[KEY_ROOT_A]->keyid, "sig", ""));
	json_array_append_new(signatures, json_pack("{s:s, s:s}", "keyid", fixture.keys[KEY_ROOT_B]->keyid, "sig",
												"no hex"));
	serve_targets_envelope(envelope);
	first_refresh();
}

/* What the signature covers is what was received, unknown members included. */
static void
l9_unknown_members_are_covered(void **state)
{
	json_t	   *envelope = fixture_sign(fixture.targets, &fixture.keys[KEY_TARGETS], 1);

	json_object_set_new(envelope, "signed", json_deep_copy(fixture.targets));
	json_object_set_new(json_object_get(envelope, "signed"), "x-unknown", json_true());
	serve_targets_envelope(envelope);
	first_refresh_fails(DEPOT_ERROR_METADATA_THRESHOLD, "have 0 of 1");
	accept("x-unknown", json_true());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(l1_size_is_the_listed_one_or_the_cap), TEST(l1_more_than_the_cap_is_refused),
		TEST(l2_length_must_be_the_listed_one), TEST(l2_every_known_hash_must_fit), TEST(l2_one_hash_must_be_known),
		TEST(l2_comes_before_parsing), TEST(l3_json_is_strict), TEST(l3_nesting_is_limited),
		TEST(l3_nothing_stands_around_the_object), TEST(l4_no_keyid_twice_even_when_the_threshold_is_met),
		TEST(l4_signatures_are_objects_of_two_strings), TEST(l5_type_must_be_the_expected_one),
		TEST(l6_major_version_of_the_specification_must_be_1), TEST(l7_version_is_an_integer_from_1),
		TEST(l7_expires_is_a_real_time), TEST(l8_shape_of_the_role), TEST(l8_thresholds_and_keyids),
		TEST(l8_keyid_is_the_digest_of_the_key), TEST(l9_the_delegators_keys_must_sign),
		TEST(l9_bad_signatures_beside_good_ones_do_no_harm), TEST(l9_unknown_members_are_covered),
	};

	return cmocka_run_group_tests_name("tuf checklist, loads", tests, NULL, NULL);
}
