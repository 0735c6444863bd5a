/*-------------------------------------------------------------------------
 *
 * test_tuf_trusted.c
 *	  The TUF client: loading from disk, and the search through delegations.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tuf_expect.h"

static bool
load(int64_t now, bool check_expiry, DepotTufClient **client, DepotError *error)
{
	*client = depot_tuf_open(fixture.scratch.fd, NULL, 0, now, error);
	return *client != NULL && depot_tuf_load_trusted(*client, FIXTURE_ROLE, check_expiry, error);
}

static void
expect_load_failure(int64_t now, bool check_expiry, DepotErrorCode code, const char *words)
{
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;

	assert_false(load(now, check_expiry, &client, &error));
	if (error.code != code || strstr(error.message, words) == NULL)
		fail_msg("%s: \"%s\" does not hold \"%s\"", depot_error_wire_name(error.code), error.message, words);
	/* A failed load leaves nothing to be found. */
	assert_false(client != NULL && depot_tuf_find_target(client, FIXTURE_TARGET, &target, &error));
	depot_tuf_close(client);
}

static void
load_and_find(void **state)
{
	const int64_t much_later = FIXTURE_NOW + 86400 * 1000;
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;

	first_refresh();
	assert_true(load(FIXTURE_NOW, true, &client, &error));
	assert_true(depot_tuf_find_target(client, FIXTURE_TARGET, &target, &error));
	assert_string_equal(target.path, FIXTURE_TARGET);
	depot_tuf_close(client);

	expect_load_failure(much_later, true, DEPOT_ERROR_METADATA_EXPIRED, "expired on 2027-01-01 00:00:00 UTC");
	assert_true(load(much_later, false, &client, &error));
	assert_true(depot_tuf_find_target(client, FIXTURE_TARGET, &target, &error));
	depot_tuf_close(client);
}

static void
load_before_refresh(void **state)
{
	DepotError	error;
	DepotTufClient *client;

	expect_load_failure(FIXTURE_NOW, true, DEPOT_ERROR_ROOT_INVALID, "no trusted root");
	client = depot_tuf_open(fixture.scratch.fd, fixture.pin, strlen(fixture.pin), FIXTURE_NOW, &error);
	assert_non_null(client);
	depot_tuf_close(client);
	expect_load_failure(FIXTURE_NOW, true, DEPOT_ERROR_WRONG_STATE, "timestamp metadata");
}

/* What another hand wrote into the directory is found out, file by file. */
static void
damaged_files(void **state)
{
	static const struct
	{
		const char *file;
		const char *served;
		DepotErrorCode code;
	}			cases[] = {
		{"timestamp.json", "timestamp.json", DEPOT_ERROR_METADATA_THRESHOLD},
		{"snapshot.json", "1.snapshot.json", DEPOT_ERROR_METADATA_MISMATCH},
		{"targets.json", "1.targets.json", DEPOT_ERROR_METADATA_MISMATCH},
		{FIXTURE_ROLE ".json", "1." FIXTURE_ROLE ".json", DEPOT_ERROR_METADATA_MISMATCH},
		{"root.json", "1.root.json", DEPOT_ERROR_ROOT_INVALID},
	};

	first_refresh();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *good = fixture_text(&fixture, cases[i].served);
		char	   *bad = strdup(good);

		*strstr(bad, "2027-") = '3';
		assert_true(scratch_write(fixture.scratch.fd, cases[i].file, bad));
		expect_load_failure(FIXTURE_NOW, true, cases[i].code, "kept on this server");
		assert_true(scratch_write(fixture.scratch.fd, cases[i].file, good));
		free(bad);
	}
}

/* A refresh that ended half-way leaves a timestamp that names another snapshot; what was whole before still counts. */
static void
half_refreshed(void **state)
{
	DepotTufClient *client;
	DepotTufRole roles[5];
	DepotError	error;
	bool		changed;
	char	   *snapshot;

	first_refresh();
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish_snapshot(&fixture);
	snapshot = strdup(fixture_text(&fixture, "2.snapshot.json"));
	json_object_del(fixture.files, "2.snapshot.json");
	expect_failure(DEPOT_ERROR_NOT_FOUND, "version 2 of its snapshot metadata");
	assert_true(load(FIXTURE_NOW, true, &client, &error));
	assert_int_equal(depot_tuf_roles(client, roles, 5), 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(roles[i].version, 1);
	depot_tuf_close(client);
	expect_load_failure(FIXTURE_NOW + INT64_C(100) * 365 * 86400, true, DEPOT_ERROR_METADATA_EXPIRED, "expired");
	assert_true(depot_files_remove_tree(fixture.scratch.fd, "whole", &error));
	expect_load_failure(FIXTURE_NOW, true, DEPOT_ERROR_METADATA_MISMATCH, "snapshot metadata");

	/* The next refresh goes on from there, and says that something changed. */
	serve("2.snapshot.json", snapshot);
	free(snapshot);
	expect_refresh(true);
	assert_true(load(FIXTURE_NOW, true, &client, &error));
	depot_tuf_close(client);
	assert_true(fixture_refresh(&fixture, NULL, NULL, &changed, &error));
	assert_false(changed);
}

static void
expect_stored(const char *path, const char *served)
{
	DepotBuffer bytes;
	DepotError	error;

	depot_buffer_init(&bytes);
	assert_true(depot_files_read(fixture.scratch.fd, path, 1 << 20, &bytes, &error));
	assert_int_equal(bytes.length_bytes, strlen(served));
	assert_memory_equal(bytes.data, served, bytes.length_bytes);
	depot_buffer_free(&bytes);
}

/* What a refresh replaces stays until it has ended well, in the one that ended well last. */
static void
replaced_files(void **state)
{
	DepotTufClient *client;
	DepotError	error;
	char	   *first;
	char	   *second;
	char	   *targets;

	first_refresh();
	assert_false(depot_files_exists(fixture.scratch.fd, "whole"));
	first = strdup(fixture_text(&fixture, "timestamp.json"));
	fixture_bump(fixture.targets);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	targets = strdup(fixture_text(&fixture, "2.targets.json"));
	json_object_del(fixture.files, "2.targets.json");
	expect_failure(DEPOT_ERROR_NOT_FOUND, "version 2 of its targets metadata");
	expect_stored("whole/timestamp.json", first);
	expect_stored("whole/snapshot.json", fixture_text(&fixture, "1.snapshot.json"));
	assert_false(depot_files_exists(fixture.scratch.fd, "whole/targets.json"));
	assert_true(load(FIXTURE_NOW, true, &client, &error));
	depot_tuf_close(client);

	/* A second one that fails replaces what is not of that set. */
	second = strdup(fixture_text(&fixture, "timestamp.json"));
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_NOT_FOUND, "version 2 of its targets metadata");
	expect_stored("whole/timestamp.json", first);
	assert_true(load(FIXTURE_NOW, true, &client, &error));
	depot_tuf_close(client);

	/* The repository goes back to what was replaced meanwhile, which is refused. */
	serve("timestamp.json", second);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "timestamp");
	fixture_publish_timestamp(&fixture);
	serve("2.targets.json", targets);
	expect_refresh(true);
	assert_false(depot_files_exists(fixture.scratch.fd, "whole"));
	assert_false(depot_files_exists(fixture.scratch.fd, "whole.old"));
	free(first);
	free(second);
	free(targets);
}

/* A crash after a file was moved away, and one before the replaced files were removed. */
static void
crashes_while_replacing(void **state)
{
	const int	fd = fixture.scratch.fd;
	DepotTufClient *client;
	DepotError	error;
	char	   *older;

	first_refresh();
	older = strdup(fixture_text(&fixture, "timestamp.json"));
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_refresh(true);

	assert_int_equal(mkdirat(fd, "whole", 0700), 0);
	assert_int_equal(renameat(fd, "timestamp.json", fd, "whole/timestamp.json"), 0);
	assert_true(load(FIXTURE_NOW, true, &client, &error));
	depot_tuf_close(client);
	serve("timestamp.json", older);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "timestamp");
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_refresh(true);
	assert_false(depot_files_exists(fd, "whole"));

	/*
	 * The newer files count as long as they are valid together; the next refresh cleans up, also with
	 * nothing new.
	 */
	assert_int_equal(mkdirat(fd, "whole", 0700), 0);
	assert_int_equal(mkdirat(fd, "whole.old", 0700), 0);
	assert_true(scratch_write(fd, "whole/timestamp.json", older));
	assert_true(load(FIXTURE_NOW, true, &client, &error));
	depot_tuf_close(client);
	expect_refresh(false);
	assert_false(depot_files_exists(fd, "whole"));
	assert_false(depot_files_exists(fd, "whole.old"));
	free(older);
}

/* One that cannot be written leaves the old one where it was. */
static void
not_to_be_written(void **state)
{
	const int	fd = fixture.scratch.fd;
	char	   *older;

	first_refresh();
	older = strdup(fixture_text(&fixture, "timestamp.json"));
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	assert_int_equal(mkdirat(fd, "timestamp.json.new", 0700), 0);
	expect_failure(DEPOT_ERROR_IO, "timestamp.json.new");
	expect_stored("timestamp.json", older);
	assert_int_equal(unlinkat(fd, "timestamp.json.new", AT_REMOVEDIR), 0);
	expect_refresh(true);
	free(older);
}

/* Adds a role that lists FIXTURE_TARGET with its own contents, before the entry at index. */
static void
add_role(const char *name, const DepotKey *key, const char *pattern, bool terminating, const char *contents,
		 size_t index)
{
	json_t	   *delegations = json_object_get(fixture.targets, "delegations");
	json_t	   *body = fixture_body("targets");
	DepotKey   *signer = (DepotKey *) key;

	json_object_set_new(body, "targets", contents == NULL ? json_object() :
						json_pack("{s:o}", FIXTURE_TARGET, fixture_target(contents)));
	fixture_add_key(json_object_get(delegations, "keys"), key);
	json_array_insert_new(json_object_get(delegations, "roles"), index,
						  fixture_delegation(name, key, pattern, terminating));
	fixture_put(&fixture, fixture_name(body, name), body, &signer, 1);
	fixture_list(&fixture, fixture.snapshot, name, body);
	/* What asks for it percent-encodes its name. */
	if (strcmp(name, "odd/role") == 0)
		json_object_set(fixture.files, "1.odd%2Frole.json", json_object_get(fixture.files, "1.odd/role.json"));
	json_decref(body);
}

static bool
find(char sha256[65], DepotError *error)
{
	DepotTufClient *client = NULL;
	DepotTufTarget target;
	bool		changed;
	bool		found;

	fixture_publish(&fixture);
	if (!fixture_refresh(&fixture, fixture.pin, &client, &changed, error))
		fail_msg("%s", error->message);
	found = depot_tuf_find_target(client, FIXTURE_TARGET, &target, error);
	if (found)
		memcpy(sha256, target.sha256, 65);
	depot_tuf_close(client);
	return found;
}

static void
expect_contents(const char *contents)
{
	char		found[65];
	char		expected[65];
	DepotError	error;

	if (!find(found, &error))
		fail_msg("%s", error.message);
	depot_digest_sha256_hex(contents, strlen(contents), expected);
	assert_string_equal(found, expected);
}

static void
earlier_delegation_wins(void **state)
{
	add_role("odd/role", fixture.keys[KEY_SPARE], "pg15/*/hll/*/*", false, "theirs", 0);
	expect_contents("theirs");
}

static void
later_delegation_loses(void **state)
{
	add_role("odd/role", fixture.keys[KEY_SPARE], "pg15/*/hll/*/*", false, "theirs", 1);
	expect_contents("hll");
}

static void
other_paths_do_not_count(void **state)
{
	add_role("odd/role", fixture.keys[KEY_SPARE], "pg15/*/vector/*/*", true, "theirs", 0);
	expect_contents("hll");
}

static void
search_goes_on_after_no(void **state)
{
	add_role("odd/role", fixture.keys[KEY_SPARE], "pg15/*/hll/*/*", false, NULL, 0);
	expect_contents("hll");
}

static void
terminating_delegation_ends_search(void **state)
{
	char		found[65];
	DepotError	error;

	add_role("odd/role", fixture.keys[KEY_SPARE], "pg15/*/hll/*/*", true, NULL, 0);
	assert_false(find(found, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TARGET_UNKNOWN);
}

/* A role that comes first and cannot be read must not be passed over. */
static void
unreadable_role_ends_search(void **state)
{
	char		found[65];
	DepotError	error;

	add_role("nowhere", fixture.keys[KEY_SPARE], "pg15/*/hll/*/*", false, "theirs", 0);
	json_object_del(fixture.files, "1.nowhere.json");
	assert_false(find(found, &error));
	assert_int_equal(error.code, DEPOT_ERROR_NOT_FOUND);
}

/* A role lists what it was not delegated: it is neither found nor shown. */
static bool
no_target(const DepotTufTarget *target, void *context, DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_DUPLICATE, "%s was shown", target->path);
}

static void
foreign_targets_do_not_count(void **state)
{
	DepotTufClient *client = NULL;
	DepotTufTarget target;
	DepotError	error;
	bool		changed;

	json_object_clear(json_object_get(fixture.role, "targets"));
	json_object_set_new(json_object_get(fixture.role, "targets"),
						"pg16/linux-amd64/hll/2.17/hll-2.17.tar.zst",
						fixture_target("hll"));
	fixture_publish(&fixture);
	assert_true(fixture_refresh(&fixture, fixture.pin, &client, &changed, &error));
	assert_true(depot_tuf_visit_targets(client, FIXTURE_ROLE, no_target, NULL, &error));
	assert_false(depot_tuf_find_target(client, "pg16/linux-amd64/hll/2.17/hll-2.17.tar.zst", &target,
									   &error));
	assert_int_equal(error.code, DEPOT_ERROR_TARGET_UNKNOWN);
	depot_tuf_close(client);
}

/*
 * Each install loads the role again: ten thousand targets must not be felt. The limit is
 * many times what it takes.
 */
static void
large_role_is_fast(void **state)
{
	json_t	   *targets = json_object_get(fixture.role, "targets");
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;
	clock_t		start;
	double		seconds;

	for (int i = 0; i < 10000; i++)
	{
		char		path[96];

		snprintf(path, sizeof(path), "pg15/linux-amd64/p%d/1.0/p%d-1.0.tar.zst", i, i);
		json_object_set_new(targets, path, fixture_target(path));
	}
	fixture_publish(&fixture);
	first_refresh();
	start = clock();
	assert_true(load(FIXTURE_NOW, true, &client, &error));
	assert_true(depot_tuf_find_target(client, "pg15/linux-amd64/p9999/1.0/p9999-1.0.tar.zst", &target,
									  &error));
	seconds = (double) (clock() - start) / CLOCKS_PER_SEC;
	print_message("10001 targets loaded in %.3f s\n", seconds);
	assert_true(seconds < 5.0);
	depot_tuf_close(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(load_and_find, set_up, tear_down),
		cmocka_unit_test_setup_teardown(load_before_refresh, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damaged_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(half_refreshed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaced_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(crashes_while_replacing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(not_to_be_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(earlier_delegation_wins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(later_delegation_loses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_paths_do_not_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(search_goes_on_after_no, set_up, tear_down),
		cmocka_unit_test_setup_teardown(terminating_delegation_ends_search, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unreadable_role_ends_search, set_up, tear_down),
		cmocka_unit_test_setup_teardown(foreign_targets_do_not_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(large_role_is_fast, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("tuf trusted", tests, NULL, NULL);
}
