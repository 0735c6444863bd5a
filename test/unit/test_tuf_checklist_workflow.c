/*-------------------------------------------------------------------------
 *
 * test_tuf_checklist_workflow.c
 *	  The client workflow of the specification up to the top-level targets, step by step (sections 5.1 to
 *	  5.6.6), each with what passes, what does not, and what then stays on disk.
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

#define PAST "2026-11-19T00:00:00Z"

static void
publish_root(int version)
{
	char		name[32];

	snprintf(name, sizeof(name), "%d.root.json", version);
	fixture_set_version(fixture.root, version);
	fixture_put(&fixture, name, fixture.root, fixture.keys, 2);
}

/* Gives a top-level role another key, from the next root on. */
static void
rotate(const char *role, int root_version)
{
	fixture_add_key(json_object_get(fixture.root, "keys"), fixture.keys[KEY_SPARE]);
	json_object_set_new(json_object_get(fixture.root, "roles"), role,
						fixture_role_entry(fixture.keys[KEY_SPARE], NULL, 1));
	publish_root(root_version);
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

/* The reference time decides, and not what the clock of the machine says meanwhile. */
static void
s5_1_one_time_for_all_expiry_checks(void **state)
{
	fixture.now = INT64_C(1000000000);	/* 2001-09-09 01:46:40 */
	fixture_set_expires(fixture.timestamp, "2001-09-09T01:46:41Z");
	fixture_publish_timestamp(&fixture);
	first_refresh();
	fixture.now++;
	expect_failure(DEPOT_ERROR_METADATA_EXPIRED, "timestamp metadata of the repository expired");
}

static void
s5_2_trusted_root_is_verified_before_any_request(void **state)
{
	char	   *altered = strdup(fixture.pin);

	*strstr(altered, "2027-") = '3';
	expect_failure_from(altered, DEPOT_ERROR_ROOT_INVALID, "have 0 of 2");
	expect_requests("");
	assert_false(depot_files_exists(fixture.scratch.fd, "root.json"));
	free(altered);
	first_refresh();
	assert_true(scratch_write(fixture.scratch.fd, "root.json", "{}"));
	expect_failure(DEPOT_ERROR_ROOT_INVALID, "root kept on this server is not valid");
	expect_requests("");
}

static void
s5_2_expiry_of_the_trusted_root_does_not_matter(void **state)
{
	fixture_set_expires(fixture.root, PAST);
	publish_root(1);
	free(fixture.pin);
	fixture.pin = strdup(fixture_text(&fixture, "1.root.json"));
	fixture_set_expires(fixture.root, FIXTURE_FUTURE);
	publish_root(2);
	first_refresh();
	expect_trusted("root.json", "2.root.json");
}

static const char *unreachable;

static bool
fetch_all_but(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing,
			  DepotError *error)
{
	if (strcmp(file_name, unreachable) == 0)
		return depot_error_set(error, DEPOT_ERROR_UNREACHABLE, "no route");
	return fixture_fetch(context, file_name, max_bytes, out, missing, error);
}

static void
s5_3_3_only_a_missing_file_ends_the_roots(void **state)
{
	DepotError	error;
	bool		changed;
	DepotTufClient *client = depot_tuf_open(fixture.scratch.fd, fixture.pin, strlen(fixture.pin), FIXTURE_NOW, &error);

	publish_root(2);
	unreachable = "3.root.json";
	assert_false(depot_tuf_refresh(client, FIXTURE_ROLE, fetch_all_but, &fixture, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_UNREACHABLE);
	expect_trusted("root.json", "2.root.json");
	assert_false(depot_files_exists(fixture.scratch.fd, "timestamp.json"));
	unreachable = "";
	assert_true(depot_tuf_refresh(client, FIXTURE_ROLE, fetch_all_but, &fixture, &changed, &error));
	depot_tuf_close(client);
}

static void
s5_3_3_roots_are_limited_in_number(void **state)
{
	for (int version = 2; version <= DEPOT_TUF_MAX_ROOT_ROTATIONS + 2; version++)
		publish_root(version);
	first_refresh_fails(DEPOT_ERROR_TOO_LARGE, "more than 256 new versions");
	expect_trusted("root.json", "257.root.json");
	expect_refresh(true);
	expect_trusted("root.json", "258.root.json");
}

static void
s5_3_4_old_and_new_keys_sign_a_root(void **state)
{
	DepotKey   *signers[3] = {fixture.keys[KEY_ROOT_A], fixture.keys[KEY_ROOT_B], fixture.keys[KEY_SPARE]};

	fixture_set_version(fixture.root, 2);
	fixture_add_key(json_object_get(fixture.root, "keys"), signers[2]);
	json_object_set_new(json_object_get(fixture.root, "roles"), "root", fixture_role_entry(signers[1], signers[2], 2));
	fixture_put(&fixture, "2.root.json", fixture.root, &signers[1], 2);
	first_refresh_fails(DEPOT_ERROR_METADATA_THRESHOLD, "have 1 of 2");
	fixture_put(&fixture, "2.root.json", fixture.root, &signers[0], 2);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "have 1 of 2");
	expect_trusted("root.json", "1.root.json");
	fixture_put(&fixture, "2.root.json", fixture.root, signers, 3);
	expect_refresh(true);
	expect_trusted("root.json", "2.root.json");
}

static void
s5_3_5_root_versions_go_up_by_one(void **state)
{
	publish_root(3);
	serve("2.root.json", fixture_text(&fixture, "3.root.json"));
	first_refresh_fails(DEPOT_ERROR_METADATA_ROLLBACK, "version 3 where version 2 was expected");
	serve("2.root.json", fixture_text(&fixture, "1.root.json"));
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "version 1 where version 2 was expected");
	expect_trusted("root.json", "1.root.json");
	publish_root(2);
	expect_refresh(true);
	expect_trusted("root.json", "3.root.json");
}

/* Each root is kept as soon as it is accepted, expired or not; a bad one takes nothing away. */
static void
s5_3_9_accepted_roots_are_persisted_at_once(void **state)
{
	fixture_set_expires(fixture.root, PAST);
	publish_root(2);
	serve("3.root.json", "{}");
	first_refresh_fails(DEPOT_ERROR_METADATA_FORMAT, "root metadata");
	expect_trusted("root.json", "2.root.json");
	fixture_set_expires(fixture.root, FIXTURE_FUTURE);
	publish_root(3);
	expect_refresh(true);
	expect_trusted("root_history/2.root.json", "2.root.json");
	expect_trusted("root.json", "3.root.json");
}

static void
s5_3_10_the_last_root_must_not_be_expired(void **state)
{
	fixture_set_expires(fixture.root, PAST);
	publish_root(2);
	first_refresh_fails(DEPOT_ERROR_METADATA_EXPIRED, "root metadata of the repository expired");
	expect_requests("2.root.json 3.root.json ");
	expect_trusted("root.json", "2.root.json");
	assert_false(depot_files_exists(fixture.scratch.fd, "timestamp.json"));
	fixture_set_expires(fixture.root, FIXTURE_FUTURE);
	publish_root(3);
	expect_refresh(true);
}

/* What the old key of a role fast-forwarded, its new key takes back. */
static void
s5_3_11_new_timestamp_key_undoes_its_versions(void **state)
{
	fixture_set_version(fixture.timestamp, 1000000);
	fixture_publish_timestamp(&fixture);
	first_refresh();
	fixture_set_version(fixture.timestamp, 2);
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "timestamp metadata version 2, but version 1000000");
	rotate("timestamp", 2);
	fixture_put(&fixture, "timestamp.json", fixture.timestamp, &fixture.keys[KEY_SPARE], 1);
	expect_refresh(true);
	expect_trusted("timestamp.json", "timestamp.json");
}

static void
s5_3_11_new_snapshot_key_undoes_what_it_listed(void **state)
{
	fixture_set_version(fixture.targets, 1000000);
	fixture_publish(&fixture);
	first_refresh();
	fixture_set_version(fixture.targets, 2);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "targets metadata version 2, but version 1000000");
	rotate("snapshot", 2);
	fixture_put(&fixture, "2.snapshot.json", fixture.snapshot, &fixture.keys[KEY_SPARE], 1);
	fixture_list(&fixture, fixture.timestamp, "snapshot", fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_refresh(true);
	expect_trusted("targets.json", "2.targets.json");
}

static void
s5_3_12_last_root_says_how_files_are_named(void **state)
{
	first_refresh();
	json_object_set_new(fixture.root, "consistent_snapshot", json_false());
	publish_root(2);
	bump_all();
	expect_failure(DEPOT_ERROR_NOT_FOUND, "lacks version 2 of its snapshot metadata");
	expect_requests("2.root.json 3.root.json timestamp.json snapshot.json ");
	json_object_set_new(fixture.root, "consistent_snapshot", json_true());
	publish_root(3);
	expect_refresh(true);
	expect_requests("3.root.json 4.root.json timestamp.json 2.snapshot.json 2.targets.json 2." FIXTURE_ROLE ".json ");
}

static void
s5_4_0_trusted_timestamp_counts_only_when_it_verifies(void **state)
{
	fixture_set_version(fixture.timestamp, 5);
	fixture_set_expires(fixture.timestamp, "2026-11-20T12:00:01Z");
	fixture_publish_timestamp(&fixture);
	first_refresh();
	fixture.now += 10;
	fixture_set_version(fixture.timestamp, 4);
	fixture_set_expires(fixture.timestamp, FIXTURE_FUTURE);
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "version 4, but version 5");	/* expired, it still counts */
	assert_true(scratch_write(fixture.scratch.fd, "timestamp.json", "{}"));
	expect_refresh(true);
	expect_trusted("timestamp.json", "timestamp.json");
}

static void
s5_4_2_timestamp_is_signed(void **state)
{
	char	   *trusted;

	first_refresh();
	trusted = strdup(fixture_text(&fixture, "timestamp.json"));
	fixture_bump(fixture.timestamp);
	fixture_put(&fixture, "timestamp.json", fixture.timestamp, NULL, 0);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "timestamp metadata is not signed by enough");
	assert_true(scratch_has(fixture.scratch.fd, "timestamp.json", trusted));
	free(trusted);
	fixture_publish_timestamp(&fixture);
	expect_refresh(true);
}

static void
s5_4_3_timestamp_does_not_go_back(void **state)
{
	fixture_set_version(fixture.timestamp, 5);
	fixture_publish_timestamp(&fixture);
	first_refresh();
	fixture_set_version(fixture.timestamp, 4);
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "timestamp metadata version 4, but version 5");
	/* the same version with other contents is left aside, and that is a success */
	fixture_set_version(fixture.timestamp, 5);
	fixture_set_expires(fixture.timestamp, "2028-01-01T00:00:00Z");
	fixture_publish_timestamp(&fixture);
	expect_refresh(false);
	assert_false(scratch_has(fixture.scratch.fd, "timestamp.json", fixture_text(&fixture, "timestamp.json")));
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_refresh(true);
}

static void
s5_4_3_2_announced_snapshot_does_not_go_back(void **state)
{
	char	   *trusted;

	fixture_set_version(fixture.snapshot, 5);
	fixture_publish(&fixture);
	first_refresh();
	trusted = strdup(fixture_text(&fixture, "timestamp.json"));
	fixture_bump(fixture.timestamp);
	fixture_set_version(fixture.snapshot, 4);
	fixture_publish(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "snapshot metadata version 4, but version 5");
	assert_true(scratch_has(fixture.scratch.fd, "timestamp.json", trusted));
	free(trusted);
	fixture_set_version(fixture.snapshot, 5);
	fixture_publish(&fixture);
	expect_refresh(true);
}

static void
s5_4_4_timestamp_must_not_be_expired(void **state)
{
	char	   *trusted;

	first_refresh();
	trusted = strdup(fixture_text(&fixture, "timestamp.json"));
	fixture_bump(fixture.timestamp);
	fixture_set_expires(fixture.timestamp, PAST);
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_EXPIRED, "timestamp metadata of the repository expired");
	assert_true(scratch_has(fixture.scratch.fd, "timestamp.json", trusted));
	/* the kept one ages, too, when the repository has nothing newer */
	serve("timestamp.json", trusted);
	fixture.now += 365 * 86400;
	fixture_set_expires(fixture.root, "2030-01-01T00:00:00Z");
	publish_root(2);
	expect_failure(DEPOT_ERROR_METADATA_EXPIRED, "timestamp metadata of the repository expired");
	free(trusted);
}

static void
s5_4_5_timestamp_is_persisted_before_the_snapshot_is_fetched(void **state)
{
	first_refresh();
	bump_all();
	json_object_del(fixture.files, "2.snapshot.json");
	expect_failure(DEPOT_ERROR_NOT_FOUND, "snapshot metadata");
	expect_trusted("timestamp.json", "timestamp.json");
	expect_trusted("snapshot.json", "1.snapshot.json");
	fixture_publish(&fixture);
	expect_refresh(true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(s5_1_one_time_for_all_expiry_checks), TEST(s5_2_trusted_root_is_verified_before_any_request),
		TEST(s5_2_expiry_of_the_trusted_root_does_not_matter), TEST(s5_3_3_only_a_missing_file_ends_the_roots),
		TEST(s5_3_3_roots_are_limited_in_number), TEST(s5_3_4_old_and_new_keys_sign_a_root),
		TEST(s5_3_5_root_versions_go_up_by_one), TEST(s5_3_9_accepted_roots_are_persisted_at_once),
		TEST(s5_3_10_the_last_root_must_not_be_expired), TEST(s5_3_11_new_timestamp_key_undoes_its_versions),
		TEST(s5_3_11_new_snapshot_key_undoes_what_it_listed), TEST(s5_3_12_last_root_says_how_files_are_named),
		TEST(s5_4_0_trusted_timestamp_counts_only_when_it_verifies), TEST(s5_4_2_timestamp_is_signed),
		TEST(s5_4_3_timestamp_does_not_go_back), TEST(s5_4_3_2_announced_snapshot_does_not_go_back),
		TEST(s5_4_4_timestamp_must_not_be_expired), TEST(s5_4_5_timestamp_is_persisted_before_the_snapshot_is_fetched),
	};

	return cmocka_run_group_tests_name("tuf checklist, workflow", tests, NULL, NULL);
}
