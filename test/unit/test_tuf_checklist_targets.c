/*-------------------------------------------------------------------------
 *
 * test_tuf_checklist_targets.c
 *	  The client workflow from the snapshot to a target's file, step by step (sections 5.5 to 5.7), each with
 *	  what passes, what does not, and what then stays on disk.
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

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "tuf_expect.h"

#define PAST "2026-11-19T00:00:00Z"

static json_t *
meta_of(json_t *parent, const char *file)
{
	return json_object_get(json_object_get(parent, "meta"), file);
}

/* Has a parent announce another version of a file, with neither length nor hashes. */
static void
announce(json_t *parent, const char *file, int version)
{
	json_object_set_new(json_object_get(parent, "meta"), file, json_pack("{s:i}", "version", version));
}

static void
publish_new_snapshot(void)
{
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish_snapshot(&fixture);
}

static void
bump_all(void)
{
	fixture_bump(fixture.role);
	fixture_bump(fixture.targets);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
}

static void
s5_5_0_trusted_snapshot_is_used_while_it_fits(void **state)
{
	first_refresh();
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_refresh(true);
	expect_requests("2.root.json timestamp.json ");
	assert_true(scratch_write(fixture.scratch.fd, "snapshot.json", "{}"));
	expect_refresh(true);
	expect_requests("2.root.json timestamp.json 1.snapshot.json ");
	expect_trusted("snapshot.json", "1.snapshot.json");
}

static void
s5_5_2_snapshot_has_the_announced_hash(void **state)
{
	first_refresh();
	bump_all();
	json_object_set_new(json_object_get(meta_of(fixture.timestamp, "snapshot.json"), "hashes"), "sha256",
						json_string("00"));
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "snapshot metadata does not have its announced digest");
	expect_trusted("timestamp.json", "timestamp.json");
	expect_trusted("snapshot.json", "1.snapshot.json");
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	expect_refresh(true);
}

static void
s5_5_3_snapshot_is_signed(void **state)
{
	first_refresh();
	fixture_bump(fixture.snapshot);
	fixture_put(&fixture, "2.snapshot.json", fixture.snapshot, &fixture.keys[KEY_TIMESTAMP], 1);
	fixture_list(&fixture, fixture.timestamp, "snapshot", fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "snapshot metadata is not signed by enough");
	expect_trusted("snapshot.json", "1.snapshot.json");
	publish_new_snapshot();
	expect_refresh(true);
}

static void
s5_5_4_snapshot_has_the_announced_version(void **state)
{
	announce(fixture.timestamp, "snapshot.json", 2);
	fixture_publish_timestamp(&fixture);
	serve("2.snapshot.json", fixture_text(&fixture, "1.snapshot.json"));
	first_refresh_fails(DEPOT_ERROR_METADATA_MISMATCH, "snapshot metadata has version 1, but version 2 was announced");
	assert_false(depot_files_exists(fixture.scratch.fd, "snapshot.json"));
	publish_new_snapshot();
	expect_refresh(true);
}

static void
s5_5_5_snapshot_takes_no_role_back(void **state)
{
	fixture_set_version(fixture.targets, 5);
	fixture_set_version(fixture.role, 5);
	fixture_publish(&fixture);
	first_refresh();
	announce(fixture.snapshot, "targets.json", 4);
	publish_new_snapshot();
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "targets metadata version 4, but version 5");
	announce(fixture.snapshot, "targets.json", 5);
	announce(fixture.snapshot, FIXTURE_ROLE ".json", 4);
	publish_new_snapshot();
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "\"" FIXTURE_ROLE "\" version 4, but version 5");
	json_object_del(json_object_get(fixture.snapshot, "meta"), FIXTURE_ROLE ".json");
	publish_new_snapshot();
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "does not list");
	expect_trusted("snapshot.json", "1.snapshot.json");
	announce(fixture.snapshot, FIXTURE_ROLE ".json", 5);
	announce(fixture.snapshot, "new.json", 1);
	publish_new_snapshot();
	expect_refresh(true);
}

static void
s5_5_6_snapshot_must_not_be_expired(void **state)
{
	first_refresh();
	fixture_set_expires(fixture.snapshot, PAST);
	publish_new_snapshot();
	expect_failure(DEPOT_ERROR_METADATA_EXPIRED, "snapshot metadata of the repository expired");
	expect_trusted("snapshot.json", "1.snapshot.json"); /* 5.5.7: persisted after all checks only */
	fixture_set_expires(fixture.snapshot, FIXTURE_FUTURE);
	publish_new_snapshot();
	expect_refresh(true);
	expect_trusted("snapshot.json", "3.snapshot.json");
}

static void
s5_6_1_targets_are_listed_in_the_snapshot(void **state)
{
	json_object_del(json_object_get(fixture.snapshot, "meta"), "targets.json");
	publish_new_snapshot();
	first_refresh_fails(DEPOT_ERROR_METADATA_MISMATCH, "snapshot metadata does not list the targets metadata");
	expect_requests("2.root.json timestamp.json 2.snapshot.json ");
	fixture_list(&fixture, fixture.snapshot, "targets", fixture.targets);
	publish_new_snapshot();
	expect_refresh(true);
}

static void
s5_6_2_targets_have_the_announced_hash_signature_and_version(void **state)
{
	first_refresh();
	bump_all();
	json_object_set_new(json_object_get(meta_of(fixture.snapshot, "targets.json"), "hashes"), "sha256",
						json_string("00"));
	publish_new_snapshot();
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "targets metadata does not have its announced digest");
	fixture_put(&fixture, "2.targets.json", fixture.targets, &fixture.keys[KEY_SNAPSHOT], 1);
	fixture_list(&fixture, fixture.snapshot, "targets", fixture.targets);
	publish_new_snapshot();
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "targets metadata is not signed by enough");
	announce(fixture.snapshot, "targets.json", 3);
	serve("3.targets.json", fixture_text(&fixture, "1.targets.json"));
	publish_new_snapshot();
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "targets metadata has version 1, but version 3 was announced");
	expect_trusted("targets.json", "1.targets.json");
	fixture_set_version(fixture.targets, 3);
	bump_all();
	expect_refresh(true);
	expect_trusted("targets.json", "4.targets.json");
}

static void
s5_6_5_targets_must_not_be_expired(void **state)
{
	first_refresh();
	fixture_set_expires(fixture.targets, PAST);
	bump_all();
	expect_failure(DEPOT_ERROR_METADATA_EXPIRED, "targets metadata of the repository expired");
	expect_trusted("targets.json", "1.targets.json");
	fixture_set_expires(fixture.targets, FIXTURE_FUTURE);
	bump_all();
	expect_refresh(true);
}

/* ---- 5.6.7: the search ---- */

static DepotTufClient *
refreshed(void)
{
	DepotTufClient *client = NULL;
	DepotError	error;
	bool		changed;

	fixture_publish(&fixture);
	if (!fixture_refresh(&fixture, fixture.pin, &client, &changed, &error))
		fail_msg("%s", error.message);
	json_array_clear(fixture.requests);
	return client;
}

static void
s5_6_7_search_is_pre_order(void **state)
{
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;
	DepotKey   *key = fixture.keys[KEY_SPARE];
	json_t	   *first = fixture_role_body(NULL, NULL);

	fixture_put_role(&fixture, "child", fixture_role_body("x/a", "child"), key);
	fixture_delegate(first, "child", key, "x/*", false);
	fixture_put_role(&fixture, "first", first, key);
	fixture_put_role(&fixture, "second", fixture_role_body("x/a", "second"), key);
	fixture_delegate(fixture.targets, "first", key, "x/*", false);
	fixture_delegate(fixture.targets, "second", key, "x/*", false);
	client = refreshed();
	assert_true(depot_tuf_find_target(client, "x/a", &target, &error));
	assert_string_equal(target.role, "child");
	expect_requests("1.first.json 1.child.json ");
	assert_false(depot_tuf_find_target(client, "x/b", &target, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TARGET_UNKNOWN);
	depot_tuf_close(client);
}

static void
s5_6_7_cycle_ends(void **state)
{
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;
	DepotKey   *key = fixture.keys[KEY_SPARE];
	json_t	   *first = fixture_role_body(NULL, NULL);
	json_t	   *second = fixture_role_body("x/a", "found");

	fixture_delegate(first, "second", key, "x/*", false);
	fixture_delegate(second, "first", key, "x/*", false);
	fixture_put_role(&fixture, "first", first, key);
	fixture_put_role(&fixture, "second", second, key);
	fixture_delegate(fixture.targets, "first", key, "x/*", false);
	client = refreshed();
	assert_true(depot_tuf_find_target(client, "x/a", &target, &error));
	assert_false(depot_tuf_find_target(client, "x/b", &target, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TARGET_UNKNOWN);
	depot_tuf_close(client);
}

static void
s5_6_7_roles_are_limited_in_number(void **state)
{
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;
	DepotKey   *key = fixture.keys[KEY_SPARE];

	for (int i = 0; i <= DEPOT_TUF_MAX_DELEGATIONS; i++)
	{
		char		name[32];

		snprintf(name, sizeof(name), "role%02d", i);
		fixture_put_role(&fixture, name, fixture_role_body(i == 20 ? "x/a" : NULL, "found"), key);
		fixture_delegate(fixture.targets, name, key, "x/*", false);
	}
	client = refreshed();
	assert_true(depot_tuf_find_target(client, "x/a", &target, &error));
	assert_false(depot_tuf_find_target(client, "x/b", &target, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TOO_LARGE);
	depot_tuf_close(client);
}

/* ---- 5.7: the file of a target ---- */

static bool
file_is_target(const DepotTufTarget *target, const char *content, DepotError *error)
{
	bool		ok;
	int			fd;

	assert_true(scratch_write(fixture.scratch.fd, "file", content));
	fd = openat(fixture.scratch.fd, "file", O_RDONLY | O_CLOEXEC);
	ok = depot_tuf_verify_target(target, fd, error);
	close(fd);
	if (!ok)
		assert_int_equal(error->code, DEPOT_ERROR_DIGEST_MISMATCH);
	return ok;
}

static void
s5_7_file_has_the_signed_length_and_hash(void **state)
{
	DepotTufClient *client = refreshed();
	DepotTufTarget target;
	DepotError	error;

	assert_true(depot_tuf_find_target(client, FIXTURE_TARGET, &target, &error));
	assert_true(file_is_target(&target, "hll", &error));
	assert_false(file_is_target(&target, "hl", &error));
	assert_false(file_is_target(&target, "hlll", &error));
	assert_string_equal(error.detail, "It has 4 bytes, the signed metadata says 3.");
	assert_false(file_is_target(&target, "hlL", &error));
	assert_false(file_is_target(&target, "", &error));
	depot_tuf_close(client);
}

/* Lists x with these hashes (taken over) in the top-level targets role, and finds it. */
static bool
find_with_hashes(json_t *hashes, DepotTufTarget *target, DepotTufClient **client, DepotError *error)
{
	json_object_set_new(json_object_get(fixture.targets, "targets"), "x",
						json_pack("{s:i, s:o}", "length", 3, "hashes", hashes));
	fixture_bump(fixture.targets);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	*client = refreshed();
	return depot_tuf_find_target(*client, "x", target, error);
}

static void
s5_7_every_known_hash_must_fit(void **state)
{
	uint8_t		digest[crypto_hash_sha512_BYTES];
	char		sha256[65];
	char		sha512[129];
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;

	depot_digest_sha256_hex("abc", 3, sha256);
	crypto_hash_sha512(digest, (const unsigned char *) "abc", 3);
	depot_digest_to_hex(digest, sizeof(digest), sha512);
	assert_true(find_with_hashes(json_pack("{s:s, s:s, s:s}", "sha256", sha256, "sha512", sha512, "new", "00"),
								 &target, &client, &error));
	assert_true(file_is_target(&target, "abc", &error));
	depot_tuf_close(client);
	assert_true(find_with_hashes(json_pack("{s:s}", "sha512", sha512), &target, &client, &error));
	assert_true(file_is_target(&target, "abc", &error));
	assert_false(file_is_target(&target, "abd", &error));
	depot_tuf_close(client);
	sha512[5] = sha512[5] == '0' ? '1' : '0';
	assert_true(find_with_hashes(json_pack("{s:s, s:s}", "sha256", sha256, "sha512", sha512), &target, &client,
								 &error));
	assert_false(file_is_target(&target, "abc", &error));
	depot_tuf_close(client);
}

static void
s5_7_one_hash_must_be_known(void **state)
{
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;

	assert_false(find_with_hashes(json_pack("{s:s}", "blake2b-256", "00"), &target, &client, &error));
	assert_int_equal(error.code, DEPOT_ERROR_UNSUPPORTED);
	depot_tuf_close(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(s5_5_0_trusted_snapshot_is_used_while_it_fits), TEST(s5_5_2_snapshot_has_the_announced_hash),
		TEST(s5_5_3_snapshot_is_signed), TEST(s5_5_4_snapshot_has_the_announced_version),
		TEST(s5_5_5_snapshot_takes_no_role_back), TEST(s5_5_6_snapshot_must_not_be_expired),
		TEST(s5_6_1_targets_are_listed_in_the_snapshot),
		TEST(s5_6_2_targets_have_the_announced_hash_signature_and_version), TEST(s5_6_5_targets_must_not_be_expired),
		TEST(s5_6_7_search_is_pre_order), TEST(s5_6_7_cycle_ends), TEST(s5_6_7_roles_are_limited_in_number),
		TEST(s5_7_file_has_the_signed_length_and_hash), TEST(s5_7_every_known_hash_must_fit),
		TEST(s5_7_one_hash_must_be_known),
	};

	return cmocka_run_group_tests_name("tuf checklist, targets", tests, NULL, NULL);
}
