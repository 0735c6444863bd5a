/*-------------------------------------------------------------------------
 *
 * test_tuf_client_bugs.c
 *	  Bugs that other clients of the framework had, each by its published number, tried on ours.
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

#include "common/name.h"
#include "tuf_expect.h"

#define PAST "2026-11-19T00:00:00Z"

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
publish_new_snapshot(void)
{
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish_snapshot(&fixture);
}

/* Publishes what was made, and opens a client that knows nothing yet. */
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
expect_found(DepotTufClient *client, const char *path, const char *role)
{
	DepotTufTarget target;
	DepotError	error;

	if (!depot_tuf_find_target(client, path, &target, &error))
		fail_msg("%s: %s", path, error.message);
	assert_string_equal(target.role, role);
}

static void
expect_not_found(DepotTufClient *client, const char *path, DepotErrorCode code)
{
	DepotTufTarget target;
	DepotError	error;

	assert_false(depot_tuf_find_target(client, path, &target, &error));
	if (error.code != code)
		fail_msg("%s: %s", path, error.message);
}

/* The root's threshold of two, with one key's signature as often as it takes. */
static json_t *
doubled_root(void)
{
	json_t	   *envelope = fixture_sign(fixture.root, fixture.keys, 1);
	json_t	   *signatures = json_object_get(envelope, "signatures");

	json_array_append(signatures, json_array_get(signatures, 0));
	return envelope;
}

/* Also GHSA-pwqf-9h7j-7mv8, GHSA-5q2r-92f9-4m49 and CVE-2026-6966: a signature counted twice. */
static void
cve_2020_6174_duplicate_signatures(void **state)
{
	json_t	   *envelope = doubled_root();
	char	   *text = json_dumps(envelope, 0);
	DepotError	error;

	assert_false(depot_tuf_verify_envelope(envelope, json_object_get(fixture.root, "keys"),
										   json_object_get(json_object_get(fixture.root, "roles"), "root"), "it",
										   &error));
	assert_non_null(strstr(error.message, "have 1 of 2"));
	expect_failure_from(text, DEPOT_ERROR_ROOT_INVALID, "twice");
	free(text);
	json_decref(envelope);
	first_refresh();
}

/* The same for a root that comes later. */
static void
python_tuf_83ac7be_duplicate_signatures_of_a_new_root(void **state)
{
	fixture_set_version(fixture.root, 2);
	fixture_put_envelope(&fixture, "2.root.json", doubled_root());
	first_refresh_fails(DEPOT_ERROR_METADATA_FORMAT, "twice");
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 1);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "have 1 of 2");
	expect_trusted("root.json", "1.root.json");
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	expect_refresh(true);
}

static void
cve_2026_23992_threshold_of_zero(void **state)
{
	json_t	   *entry = json_object_get(json_object_get(fixture.root, "roles"), "timestamp");

	fixture_set_version(fixture.root, 2);
	json_object_set_new(entry, "threshold", json_integer(0));
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	first_refresh_fails(DEPOT_ERROR_METADATA_FORMAT, "threshold");
	expect_trusted("root.json", "1.root.json");
	json_object_set_new(entry, "threshold", json_integer(1));
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	expect_refresh(true);
}

static void
cve_2025_2885_root_of_any_version(void **state)
{
	fixture_set_version(fixture.root, 9);
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	first_refresh_fails(DEPOT_ERROR_METADATA_ROLLBACK, "version 9 where version 2 was expected");
	fixture_set_version(fixture.root, 2);
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	expect_refresh(true);
}

/* Nothing was compared with what was trusted before, and files were kept before they were checked. */
static void
cve_2022_29173_persisted_before_compared(void **state)
{
	fixture_set_version(fixture.role, 5);
	fixture_publish(&fixture);
	first_refresh();
	fixture_set_version(fixture.role, 4);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	for (int i = 0; i < 3; i++)
	{
		expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "\"" FIXTURE_ROLE "\" version 4, but version 5");
		expect_trusted("snapshot.json", "1.snapshot.json");
		expect_trusted(FIXTURE_ROLE ".json", "5." FIXTURE_ROLE ".json");
	}
	fixture_set_version(fixture.role, 5);
	bump_all();
	expect_refresh(true);
}

/* A timestamp that was refused stayed, and blocked the good ones after it. */
static void
cve_2025_2888_refused_timestamp_stays(void **state)
{
	fixture_set_version(fixture.snapshot, 5);
	fixture_publish(&fixture);
	first_refresh();
	fixture_set_version(fixture.timestamp, 1000);
	json_object_set_new(json_object_get(fixture.timestamp, "meta"), "snapshot.json", json_pack("{s:i}", "version", 4));
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "snapshot metadata version 4, but version 5");
	fixture_set_version(fixture.timestamp, 1);
	bump_all();
	expect_refresh(true);
	expect_trusted("timestamp.json", "timestamp.json");
}

/* A terminating delegation did not end the search. */
static void
cve_2025_2886_terminating_delegation(void **state)
{
	DepotKey   *key = fixture.keys[KEY_SPARE];
	DepotTufClient *client;

	fixture_put_role(&fixture, "first", fixture_role_body("x/a", "first"), key);
	fixture_put_role(&fixture, "second", fixture_role_body("x/b", "second"), key);
	fixture_delegate(fixture.targets, "first", key, "x/*", true);
	fixture_delegate(fixture.targets, "second", key, "x/*", false);
	client = refreshed();
	expect_found(client, "x/a", "first");
	expect_not_found(client, "x/b", DEPOT_ERROR_TARGET_UNKNOWN);
	expect_requests("1.first.json ");
	depot_tuf_close(client);
}

static void
cve_2025_2887_rollback_of_a_delegated_role(void **state)
{
	const DepotErrorCode code = DEPOT_ERROR_METADATA_ROLLBACK;

	fixture_set_version(fixture.role, 2);
	fixture_publish(&fixture);
	first_refresh();
	fixture_set_version(fixture.role, 1);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	expect_failure(code, "\"" FIXTURE_ROLE "\" version 1, but version 2");
	/* nor does a way round it: the role goes away, and comes back older */
	json_object_del(json_object_get(fixture.snapshot, "meta"), FIXTURE_ROLE ".json");
	publish_new_snapshot();
	expect_failure(code, "does not list");
	fixture_set_version(fixture.role, 2);
	bump_all();
	expect_refresh(true);
}

static void
cve_2024_47534_order_of_delegations(void **state)
{
	static const char *const names[] = {"zulu", "alpha", "mike", "bravo"};
	DepotKey   *key = fixture.keys[KEY_SPARE];
	DepotTufClient *client;

	for (int i = 0; i < 4; i++)
	{
		fixture_put_role(&fixture, names[i], fixture_role_body(i < 2 ? NULL : "x/a", names[i]), key);
		fixture_delegate(fixture.targets, names[i], key, "x/*", false);
	}
	client = refreshed();
	expect_found(client, "x/a", "mike");
	expect_requests("1.zulu.json 1.alpha.json 1.mike.json ");
	depot_tuf_close(client);
}

/* Expiry, hash and length of delegated roles were not looked at. */
static void
cve_2026_6967_unchecked_delegated_role(void **state)
{
	json_t	   *entry;

	fixture_set_expires(fixture.role, PAST);
	fixture_publish(&fixture);
	first_refresh_fails(DEPOT_ERROR_METADATA_EXPIRED,
						"metadata of role \"" FIXTURE_ROLE "\" of the repository expired");
	fixture_set_expires(fixture.role, FIXTURE_FUTURE);
	bump_all();
	entry = json_object_get(json_object_get(fixture.snapshot, "meta"), FIXTURE_ROLE ".json");
	json_object_set_new(json_object_get(entry, "hashes"), "sha256", json_string("00"));
	publish_new_snapshot();
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "announced digest");
	json_object_del(entry, "hashes");
	json_object_set_new(entry, "length", json_integer(100000));
	publish_new_snapshot();
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "announced length");
	assert_false(depot_files_exists(fixture.scratch.fd, FIXTURE_ROLE ".json"));
	bump_all();
	expect_refresh(true);
}

/* A role's name led its file out of the directory. */
static void
cve_2021_41131_path_in_a_role_name(void **state)
{
	static const char *const names[] = {"../escaped", "/tmp/escaped", "a/b", ".."};
	static const char *const served[] = {
		"1...%2Fescaped.json", "1.%2Ftmp%2Fescaped.json", "1.a%2Fb.json", "1....json"
	};
	DepotKey   *key = fixture.keys[KEY_SPARE];
	DepotTufClient *client;

	for (int i = 0; i < 4; i++)
	{
		fixture_put_role(&fixture, names[i], fixture_role_body(i < 3 ? NULL : "x/a", "found"), key);
		json_object_set(fixture.files, served[i],
						json_object_get(fixture.files,
										fixture_name(fixture.role, names[i])));
		fixture_delegate(fixture.targets, names[i], key, "x/*", false);
	}
	client = refreshed();
	expect_found(client, "x/a", "..");
	expect_requests("1...%2Fescaped.json 1.%2Ftmp%2Fescaped.json 1.a%2Fb.json 1....json ");
	expect_trusted("..%2Fescaped.json", served[0]);
	expect_trusted("%2Ftmp%2Fescaped.json", served[1]);
	assert_false(depot_files_exists(fixture.scratch.fd, "a"));
	assert_int_not_equal(access("/tmp/escaped.json", F_OK), 0);
	depot_tuf_close(client);
}

/* The same for targets: also CVE-2021-41150 and CVE-2026-6968, absolute names. */
static void
cve_2021_41149_path_in_a_target_name(void **state)
{
	static const char *const bad[] = {"/etc/passwd", "../x", "a/../x", "a/..", "..", ".", "a/./x", "a//x", "a/", ""};
	DepotTufClient *client = refreshed();
	DepotTufTarget target;
	DepotBuffer location;
	DepotError	error;

	depot_buffer_init(&location);
	assert_true(depot_tuf_find_target(client, FIXTURE_TARGET, &target, &error));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		target.path = bad[i];
		if (depot_tuf_target_location(client, &target, &location, &error))
			fail_msg("\"%s\" is at \"%s\"", bad[i], location.data);
		assert_int_equal(error.code, DEPOT_ERROR_INVALID_NAME);
	}
	target.path = "a/..x/y z";
	assert_true(depot_tuf_target_location(client, &target, &location, &error));
	assert_non_null(strstr(location.data, "a/..x/"));
	assert_non_null(strstr(location.data, ".y%20z"));
	depot_buffer_free(&location);
	depot_tuf_close(client);
}

/* A repository's name, which names a directory. */
static void
cve_2026_24686_path_in_a_repository_name(void **state)
{
	static const char *const bad[] = {"../main", "..", ".", "/main", "a/b", "", "-x", "a\nb"};
	DepotError	error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(depot_name_check_package(bad[i], "repository", &error));
	assert_true(depot_name_check_package("main", "repository", &error));
}

/* Valid JSON of another shape than expected ended the client, before any signature was looked at. */
static void
ghsa_846p_jg2w_w324_wrong_shapes(void **state)
{
	static const char *const types[] = {"root", "timestamp", "snapshot", "targets"};
	json_t	   *bodies[] = {fixture.root, fixture.timestamp, fixture.snapshot, fixture.targets};
	const char *member;
	json_t	   *value;
	int			count = 0;

	for (int i = 0; i < 4; i++)
	{
		json_object_foreach(bodies[i], member, value)
		{
			json_t	   *others[] = {json_null(), json_integer(7), json_string("x"), json_array(), json_pack("[n]"),
			json_pack("{s:n}", "targets.json"), json_true()};

			for (size_t j = 0; j < sizeof(others) / sizeof(others[0]); j++)
			{
				json_t	   *body = json_deep_copy(bodies[i]);
				json_t	   *envelope;
				char	   *text;
				DepotError	error;

				json_object_set_new(body, member, others[j]);
				envelope = json_pack("{s:o, s:[]}", "signed", body, "signatures");
				text = json_dumps(envelope, 0);
				json_decref(depot_tuf_parse_metadata(text, strlen(text), types[i], "it", &error));
				free(text);
				json_decref(envelope);
				count++;
			}
		}
	}
	assert_true(count > 100);
}

/* Also go-tuf #759: a role that two others delegate to, with different keys, counts for the one that trusts it. */
static void
python_tuf_2977_diamond_delegation(void **state)
{
	DepotKey   *key = fixture.keys[KEY_SPARE];
	json_t	   *left = fixture_role_body(NULL, NULL);
	json_t	   *right = fixture_role_body(NULL, NULL);
	json_t	   *shared = fixture_role_body("x/a", "found");
	DepotTufClient *client;

	json_object_set_new(json_object_get(shared, "targets"), "y/a", fixture_target("found"));
	fixture_delegate(left, "shared", key, "x/*", false);
	fixture_delegate(right, "shared", fixture.keys[KEY_ROOT_A], "y/*", false);
	fixture_put_role(&fixture, "shared", shared, key);
	fixture_put_role(&fixture, "left", left, key);
	fixture_put_role(&fixture, "right", right, key);
	fixture_delegate(fixture.targets, "left", key, "*/*", false);
	fixture_delegate(fixture.targets, "right", key, "*/*", false);
	client = refreshed();
	expect_not_found(client, "y/a", DEPOT_ERROR_METADATA_THRESHOLD);
	expect_found(client, "x/a", "shared");
	expect_not_found(client, "y/a", DEPOT_ERROR_METADATA_THRESHOLD);
	expect_found(client, "x/a", "shared");
	depot_tuf_close(client);
}

/* What had not changed was not looked at again, however old it had become. */
static void
python_tuf_322_expiry_of_unchanged_files(void **state)
{
	json_t	   *bodies[] = {fixture.snapshot, fixture.targets, fixture.role};
	static const char *const words[] = {"snapshot metadata", "targets metadata", "role \"" FIXTURE_ROLE "\""};

	for (int i = 0; i < 3; i++)
	{
		fixture_set_expires(bodies[i], "2026-11-21T00:00:00Z");
		bump_all();
		if (i == 0)
			first_refresh();
		else
			expect_refresh(true);
		fixture.now += 86400;
		expect_failure(DEPOT_ERROR_METADATA_EXPIRED, words[i]);
		fixture.now -= 86400;
		fixture_set_expires(bodies[i], FIXTURE_FUTURE);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cve_2020_6174_duplicate_signatures), TEST(python_tuf_83ac7be_duplicate_signatures_of_a_new_root),
		TEST(cve_2026_23992_threshold_of_zero), TEST(cve_2025_2885_root_of_any_version),
		TEST(cve_2022_29173_persisted_before_compared), TEST(cve_2025_2888_refused_timestamp_stays),
		TEST(cve_2025_2886_terminating_delegation), TEST(cve_2025_2887_rollback_of_a_delegated_role),
		TEST(cve_2024_47534_order_of_delegations), TEST(cve_2026_6967_unchecked_delegated_role),
		TEST(cve_2021_41131_path_in_a_role_name), TEST(cve_2021_41149_path_in_a_target_name),
		TEST(cve_2026_24686_path_in_a_repository_name), TEST(ghsa_846p_jg2w_w324_wrong_shapes),
		TEST(python_tuf_2977_diamond_delegation), TEST(python_tuf_322_expiry_of_unchanged_files),
	};

	return cmocka_run_group_tests_name("tuf client bugs", tests, NULL, NULL);
}
