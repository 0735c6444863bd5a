/*-------------------------------------------------------------------------
 *
 * test_tuf_refused.c
 *	  The TUF client: what it does not believe, and what stands on disk after.
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

#include "tuf_expect.h"

static void
timestamp_rollback(void **state)
{
	fixture_set_version(fixture.timestamp, 5);
	fixture_publish_timestamp(&fixture);
	first_refresh();
	fixture_set_version(fixture.timestamp, 4);
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "timestamp metadata version 4, but version 5");
	/* The same version with other contents changes nothing. */
	fixture_set_version(fixture.timestamp, 5);
	fixture_set_expires(fixture.timestamp, "2028-01-01T00:00:00Z");
	fixture_publish_timestamp(&fixture);
	expect_refresh(false);
	assert_false(scratch_has(fixture.scratch.fd, "timestamp.json", fixture_text(&fixture, "timestamp.json")));
}

static void
snapshot_rollback(void **state)
{
	char	   *first;

	fixture_set_version(fixture.snapshot, 5);
	fixture_publish(&fixture);
	first_refresh();
	first = strdup(fixture_text(&fixture, "timestamp.json"));
	fixture_set_version(fixture.snapshot, 4);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "snapshot metadata version 4, but version 5");
	assert_true(scratch_has(fixture.scratch.fd, "timestamp.json", first));
	free(first);
}

static void
targets_rollback(void **state)
{
	fixture_set_version(fixture.role, 5);
	fixture_set_version(fixture.targets, 5);
	fixture_publish(&fixture);
	first_refresh();
	fixture_set_version(fixture.role, 4);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "\"" FIXTURE_ROLE "\" version 4, but version 5");
	expect_trusted("snapshot.json", "1.snapshot.json");
	fixture_set_version(fixture.role, 5);
	fixture_set_version(fixture.targets, 4);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "targets metadata version 4, but version 5");
	fixture_set_version(fixture.targets, 5);
	json_object_del(json_object_get(fixture.snapshot, "meta"), FIXTURE_ROLE ".json");
	fixture_bump(fixture.timestamp);
	fixture_publish_snapshot(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "does not list");
}

static void
expiry_of_each(void **state)
{
	json_t	   *bodies[] = {fixture.timestamp, fixture.snapshot, fixture.targets, fixture.role};
	static const char *const words[] = {
		"timestamp metadata of the repository expired on 2026-11-18 12:00:00 UTC (2 days ago)",
		"snapshot metadata of the repository expired", "targets metadata of the repository expired",
		"metadata of role \"" FIXTURE_ROLE "\" of the repository expired"
	};
	DepotError	error;
	bool		changed;

	first_refresh();
	for (int i = 0; i < 4; i++)
	{
		fixture_set_expires(bodies[i], "2026-11-18T12:00:00Z");
		for (int j = 0; j < 4; j++)
			fixture_bump(bodies[j]);
		fixture_publish(&fixture);
		expect_failure(DEPOT_ERROR_METADATA_EXPIRED, words[i]);
		fixture_set_expires(bodies[i], FIXTURE_FUTURE);
	}
	assert_false(fixture_refresh(&fixture, NULL, NULL, &changed, &error));
	assert_non_null(strstr(error.hint, "pg_depot repo publish"));
	assert_non_null(strstr(error.detail, "2026-11-20 12:00:00 UTC"));

	/* The instant itself is too late, the second before is not. */
	for (int j = 0; j < 4; j++)
		fixture_bump(bodies[j]);
	fixture_set_expires(fixture.timestamp, "2026-11-20T12:00:00Z");
	fixture_publish(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_EXPIRED, "(0 seconds ago)");
	fixture.now--;
	expect_refresh(true);
	/* What is kept ages, too. */
	fixture.now++;
	expect_failure(DEPOT_ERROR_METADATA_EXPIRED, "timestamp");
}

/* Other bytes than announced under a name: longer, altered at the same length, absent. */
static void
expect_altered_refused(const char *name, const char *trusted)
{
	const size_t length = strlen(fixture_text(&fixture, name));
	char	   *original = strdup(fixture_text(&fixture, name));
	char	   *altered = calloc(length + 2, 1);

	memcpy(altered, original, length);
	altered[length] = ' ';
	serve(name, altered);
	expect_failure(DEPOT_ERROR_TOO_LARGE, "larger");
	altered[length - 1] = '\0';
	serve(name, altered);
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "announced length");
	memcpy(altered, original, length + 1);
	*strchr(altered, '\n') = ' ';
	serve(name, altered);
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "announced digest");
	json_object_del(fixture.files, name);
	expect_failure(DEPOT_ERROR_NOT_FOUND, "repository lacks version 1");
	assert_false(depot_files_exists(fixture.scratch.fd, trusted));
	serve(name, original);
	free(altered);
	free(original);
}

static void
altered_files_refused(void **state)
{
	DepotError	error;
	bool		changed;
	char	   *original = strdup(fixture_text(&fixture, "timestamp.json"));

	serve("timestamp.json", "{}");
	assert_false(fixture_refresh(&fixture, fixture.pin, NULL, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_METADATA_FORMAT);
	*strstr(original, "2027-") = '3';
	serve("timestamp.json", original);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "have 0 of 1");
	json_object_del(fixture.files, "timestamp.json");
	expect_failure(DEPOT_ERROR_NOT_FOUND, "timestamp.json");
	assert_false(depot_files_exists(fixture.scratch.fd, "timestamp.json"));
	free(original);

	fixture_publish(&fixture);
	expect_altered_refused("1.snapshot.json", "snapshot.json");
	expect_altered_refused("1.targets.json", "targets.json");
	expect_altered_refused("1." FIXTURE_ROLE ".json", FIXTURE_ROLE ".json");
	expect_refresh(true);
}

static void
oversized_files_refused(void **state)
{
	char	   *large = malloc(DEPOT_TUF_TIMESTAMP_MAX_BYTES + 2);

	first_refresh();
	memset(large, ' ', DEPOT_TUF_TIMESTAMP_MAX_BYTES + 1);
	large[DEPOT_TUF_TIMESTAMP_MAX_BYTES + 1] = '\0';
	serve("timestamp.json", large);
	expect_failure(DEPOT_ERROR_TOO_LARGE, "larger");
	free(large);
	/* An announced length is no way around the limit. */
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	json_object_set_new(json_object_get(json_object_get(fixture.timestamp, "meta"), "snapshot.json"),
						"length",
						json_integer(INT64_C(1) << 40));
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_TOO_LARGE, "1099511627776 bytes, more than the limit of 640000");
}

/* Every role signed by a key that may sign another one. */
static void
wrong_keys_refused(void **state)
{
	DepotKey  **wrong = &fixture.keys[KEY_SPARE];

	first_refresh();
	fixture_bump(fixture.timestamp);
	fixture_put(&fixture, "timestamp.json", fixture.timestamp, wrong, 1);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "timestamp metadata is not signed by enough trusted keys");

	fixture_bump(fixture.snapshot);
	fixture_put(&fixture, "2.snapshot.json", fixture.snapshot, wrong, 1);
	fixture_list(&fixture, fixture.timestamp, "snapshot", fixture.snapshot);
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "snapshot metadata is not");
	expect_trusted("snapshot.json", "1.snapshot.json");

	fixture_bump(fixture.targets);
	fixture_put(&fixture, "2.targets.json", fixture.targets, &fixture.keys[KEY_ROLE], 1);
	fixture_list(&fixture, fixture.snapshot, "targets", fixture.targets);
	fixture_bump(fixture.timestamp);
	fixture_publish_snapshot(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "targets metadata is not");

	/* The delegated role takes its delegator's word, not root's. */
	fixture_bump(fixture.timestamp);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.role);
	fixture_publish(&fixture);
	fixture_put(&fixture, "2." FIXTURE_ROLE ".json", fixture.role, &fixture.keys[KEY_TARGETS], 1);
	fixture_list(&fixture, fixture.snapshot, FIXTURE_ROLE, fixture.role);
	fixture_bump(fixture.timestamp);
	fixture_publish_snapshot(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "metadata of role \"" FIXTURE_ROLE "\" is not");
	expect_trusted(FIXTURE_ROLE ".json", "1." FIXTURE_ROLE ".json");
}

/* Names a version in the parent that the file does not have. */
static void
announce_version(json_t *parent, const char *file, int version)
{
	json_t	   *entry = json_object_get(json_object_get(parent, "meta"), file);

	json_object_set_new(entry, "version", json_integer(version));
	json_object_del(entry, "length");
	json_object_del(entry, "hashes");
}

static void
announced_versions(void **state)
{
	first_refresh();
	fixture_bump(fixture.timestamp);
	announce_version(fixture.timestamp, "snapshot.json", 3);
	serve("3.snapshot.json", fixture_text(&fixture, "1.snapshot.json"));
	fixture_publish_timestamp(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "snapshot metadata has version 1, but version 3 was "
				   "announced");

	fixture_set_version(fixture.snapshot, 4);
	announce_version(fixture.snapshot, "targets.json", 3);
	serve("3.targets.json", fixture_text(&fixture, "1.targets.json"));
	fixture_bump(fixture.timestamp);
	fixture_publish_snapshot(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "targets metadata has version 1, but version 3 was "
				   "announced");
}

static void
unknown_hash_refused(void **state)
{
	json_t	   *entry = json_object_get(json_object_get(fixture.timestamp, "meta"), "snapshot.json");
	DepotError	error;
	bool		changed;

	json_object_set_new(entry, "hashes", json_pack("{s:s}", "md5", "00"));
	fixture_publish_timestamp(&fixture);
	assert_false(fixture_refresh(&fixture, fixture.pin, NULL, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_METADATA_MISMATCH);
	/* No length and no hashes are allowed: the signature and the version still bind. */
	json_object_del(entry, "hashes");
	json_object_del(entry, "length");
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_refresh(true);
}

static void
role_not_in_snapshot(void **state)
{
	DepotError	error;
	bool		changed;

	json_object_del(json_object_get(fixture.snapshot, "meta"), FIXTURE_ROLE ".json");
	fixture_publish_snapshot(&fixture);
	assert_false(fixture_refresh(&fixture, fixture.pin, NULL, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_METADATA_MISMATCH);
	expect_requests("2.root.json timestamp.json 1.snapshot.json 1.targets.json ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timestamp_rollback, set_up, tear_down),
		cmocka_unit_test_setup_teardown(snapshot_rollback, set_up, tear_down),
		cmocka_unit_test_setup_teardown(targets_rollback, set_up, tear_down),
		cmocka_unit_test_setup_teardown(expiry_of_each, set_up, tear_down),
		cmocka_unit_test_setup_teardown(altered_files_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(oversized_files_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_keys_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(announced_versions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unknown_hash_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(role_not_in_snapshot, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("tuf refused", tests, NULL, NULL);
}
