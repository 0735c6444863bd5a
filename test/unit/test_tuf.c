/*-------------------------------------------------------------------------
 *
 * test_tuf.c
 *	  The TUF client: what a refresh asks for and keeps, and the chain of roots.
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

static bool
count_target(const DepotTufTarget *target, void *context, DepotError *error)
{
	assert_string_equal(target->role, FIXTURE_ROLE);
	assert_string_equal(target->path, FIXTURE_TARGET);
	++*(int *) context;
	return true;
}

static void
refresh_and_lookup(void **state)
{
	DepotTufClient *client = NULL;
	DepotTufTarget target;
	DepotTufRole roles[8];
	DepotError	error;
	bool		changed;
	int			count = 0;
	char		hex[DEPOT_SHA256_HEX_BYTES];

	assert_true(fixture_refresh(&fixture, fixture.pin, &client, &changed, &error));
	assert_true(changed);
	expect_requests("2.root.json timestamp.json 1.snapshot.json 1.targets.json 1." FIXTURE_ROLE ".json ");
	expect_trusted("root.json", "1.root.json");
	expect_trusted("root_history/1.root.json", "1.root.json");
	expect_trusted("timestamp.json", "timestamp.json");
	expect_trusted("snapshot.json", "1.snapshot.json");
	expect_trusted("targets.json", "1.targets.json");
	expect_trusted(FIXTURE_ROLE ".json", "1." FIXTURE_ROLE ".json");

	assert_true(depot_tuf_find_target(client, FIXTURE_TARGET, &target, &error));
	depot_digest_sha256_hex("hll", 3, hex);
	assert_string_equal(target.sha256, hex);
	assert_int_equal(target.length_bytes, 3);
	assert_string_equal(target.role, FIXTURE_ROLE);
	assert_non_null(json_object_get(target.custom, "pg_depot"));
	assert_false(depot_tuf_find_target(client, "pg15/linux-amd64/hll/2.18/hll-2.18.tar.zst", &target,
									   &error));
	assert_int_equal(error.code, DEPOT_ERROR_TARGET_UNKNOWN);
	assert_true(depot_tuf_visit_targets(client, FIXTURE_ROLE, count_target, &count, &error));
	assert_true(depot_tuf_visit_targets(client, "targets", count_target, &count, &error));
	assert_true(depot_tuf_visit_targets(client, "pg99-none", count_target, &count, &error));
	assert_int_equal(count, 1);

	assert_int_equal(depot_tuf_roles(client, roles, 8), 5);
	assert_string_equal(roles[0].name, "root");
	assert_string_equal(roles[4].name, FIXTURE_ROLE);
	assert_true(roles[4].loaded && roles[4].version == 1 && roles[4].expires_epoch_s > FIXTURE_NOW);
	assert_int_equal(depot_tuf_roles(client, roles, 2), 2);
	depot_tuf_close(client);
}

static void
second_refresh_asks_little(void **state)
{
	first_refresh();
	expect_refresh(false);
	expect_requests("2.root.json timestamp.json ");
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	expect_refresh(true);
	expect_requests("2.root.json timestamp.json ");
	fixture_bump(fixture.role);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	expect_refresh(true);
	expect_requests("2.root.json timestamp.json 2.snapshot.json 2." FIXTURE_ROLE ".json ");
}

static void
root_must_be_given(void **state)
{
	DepotError	error;
	bool		changed;

	expect_failure(DEPOT_ERROR_ROOT_INVALID, "no trusted root");
	assert_int_equal(json_array_size(fixture.requests), 0);
	fixture_put(&fixture, "1.root.json", fixture.root, fixture.keys, 1);
	assert_false(fixture_refresh(&fixture, fixture_text(&fixture, "1.root.json"), NULL, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_ROOT_INVALID);
	assert_non_null(strstr(error.message, "have 1 of 2 valid signatures"));
	assert_int_equal(json_array_size(fixture.requests), 0);
	assert_false(depot_files_exists(fixture.scratch.fd, "root.json"));
	assert_false(fixture_refresh(&fixture, "{}", NULL, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_ROOT_INVALID);
}

static void
root_rotation(void **state)
{
	DepotKey  **keys = fixture.keys;
	DepotKey   *signers[3] = {keys[KEY_ROOT_A], keys[KEY_ROOT_B], keys[KEY_SPARE]};
	json_t	   *roles = json_object_get(fixture.root, "roles");

	first_refresh();
	/* Version 2 gives root to B and the spare key. */
	fixture_bump(fixture.root);
	fixture_add_key(json_object_get(fixture.root, "keys"), keys[KEY_SPARE]);
	json_object_set_new(roles, "root", fixture_role_entry(keys[KEY_ROOT_B], keys[KEY_SPARE], 2));

	fixture_put(&fixture, "2.root.json", fixture.root, &signers[1], 2);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "have 1 of 2");	/* old keys */
	fixture_put(&fixture, "2.root.json", fixture.root, &signers[0], 2);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "have 1 of 2");	/* its own keys */
	expect_trusted("root.json", "1.root.json");
	fixture_put(&fixture, "2.root.json", fixture.root, signers, 3);
	expect_refresh(true);
	expect_trusted("root.json", "2.root.json");
	expect_trusted("root_history/1.root.json", "1.root.json");
	expect_trusted("root_history/2.root.json", "2.root.json");

	/* Old keys are worth nothing any more. */
	fixture_bump(fixture.root);
	fixture_put(&fixture, "3.root.json", fixture.root, &signers[0], 2);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "have 1 of 2");
	json_object_del(fixture.files, "3.root.json");
	/* From the pinned root on, the chain on disk is walked without asking for it again. */
	fixture_bump(fixture.timestamp);
	fixture_publish_timestamp(&fixture);
	first_refresh();
	expect_requests("3.root.json timestamp.json ");
}

static void
root_version_must_be_next(void **state)
{
	first_refresh();
	fixture_set_version(fixture.root, 3);
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "version 3 where version 2");
	fixture_set_version(fixture.root, 1);
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "version 1 where version 2");
	expect_trusted("root.json", "1.root.json");
}

/* An expired root in the middle of the chain does not matter, at its end it does; the chain is kept. */
static void
root_expiry(void **state)
{
	first_refresh();
	fixture_bump(fixture.root);
	fixture_set_expires(fixture.root, "2026-01-01T00:00:00Z");
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	expect_failure(DEPOT_ERROR_METADATA_EXPIRED, "root metadata");
	expect_requests("2.root.json 3.root.json ");
	expect_trusted("root.json", "2.root.json");
	fixture_bump(fixture.root);
	fixture_set_expires(fixture.root, FIXTURE_FUTURE);
	fixture_put(&fixture, "3.root.json", fixture.root, fixture.keys, 2);
	expect_refresh(true);
	expect_trusted("root.json", "3.root.json");
}

static void
too_many_roots(void **state)
{
	char		name[32];

	first_refresh();
	for (int version = 2; version <= DEPOT_TUF_MAX_ROOT_ROTATIONS + 2; version++)
	{
		snprintf(name, sizeof(name), "%d.root.json", version);
		fixture_set_version(fixture.root, version);
		fixture_put(&fixture, name, fixture.root, fixture.keys, 2);
	}
	expect_failure(DEPOT_ERROR_TOO_LARGE, "more than 256");
	expect_refresh(true);
}

/* A damaged or foreign chain on disk is not believed; the pinned root leads on. */
static void
pin_wins_over_disk(void **state)
{
	DepotError	error;
	DepotTufClient *client;

	first_refresh();
	fixture_bump(fixture.root);
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	expect_refresh(true);
	assert_true(scratch_write(fixture.scratch.fd, "root.json", "{}"));
	assert_true(scratch_write(fixture.scratch.fd, "root_history/2.root.json", "{}"));
	client = depot_tuf_open(fixture.scratch.fd, NULL, 0, FIXTURE_NOW, &error);
	assert_null(client);
	assert_int_equal(error.code, DEPOT_ERROR_ROOT_INVALID);
	first_refresh();
	expect_trusted("root.json", "2.root.json");
	expect_trusted("root_history/2.root.json", "2.root.json");
}

/* New keys for timestamp and snapshot undo version numbers that the old ones signed. */
static void
key_rotation_recovers(void **state)
{
	json_t	   *roles = json_object_get(fixture.root, "roles");

	fixture_set_version(fixture.timestamp, 1000);
	fixture_set_version(fixture.snapshot, 1000);
	fixture_set_version(fixture.role, 1000);
	fixture_publish(&fixture);
	first_refresh();
	fixture_set_version(fixture.timestamp, 2);
	fixture_set_version(fixture.snapshot, 2);
	fixture_set_version(fixture.role, 2);
	fixture_publish(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_ROLLBACK, "version 2, but version 1000");

	fixture_bump(fixture.root);
	fixture_add_key(json_object_get(fixture.root, "keys"), fixture.keys[KEY_SPARE]);
	json_object_set_new(roles, "timestamp", fixture_role_entry(fixture.keys[KEY_SPARE], NULL, 1));
	json_object_set_new(roles, "snapshot", fixture_role_entry(fixture.keys[KEY_SPARE], NULL, 1));
	fixture_put(&fixture, "2.root.json", fixture.root, fixture.keys, 2);
	expect_failure(DEPOT_ERROR_METADATA_THRESHOLD, "timestamp metadata");
	fixture_put(&fixture, "2.snapshot.json", fixture.snapshot, &fixture.keys[KEY_SPARE], 1);
	fixture_list(&fixture, fixture.timestamp, "snapshot", fixture.snapshot);
	fixture_put(&fixture, "timestamp.json", fixture.timestamp, &fixture.keys[KEY_SPARE], 1);
	expect_refresh(true);
	expect_trusted("timestamp.json", "timestamp.json");
	expect_trusted(FIXTURE_ROLE ".json", "2." FIXTURE_ROLE ".json");
}

/* A repository that has nothing for this platform is no error. */
static void
role_not_delegated(void **state)
{
	json_array_clear(json_object_get(json_object_get(fixture.targets, "delegations"), "roles"));
	fixture_publish(&fixture);
	first_refresh();
	expect_requests("2.root.json timestamp.json 1.snapshot.json 1.targets.json ");
}

/* Serves a file under its name without a version instead. */
static void
serve_plainly(const char *versioned)
{
	json_object_set(fixture.files, strchr(versioned, '.') + 1, json_object_get(fixture.files, versioned));
	json_object_del(fixture.files, versioned);
}

/* Without consistent snapshots only root has versions in its file names. */
static void
plain_snapshots(void **state)
{
	DepotTufClient *client = NULL;
	DepotTufTarget target;
	DepotError	error;
	DepotBuffer location;
	bool		changed;

	json_object_set_new(fixture.root, "consistent_snapshot", json_false());
	fixture_put(&fixture, "1.root.json", fixture.root, fixture.keys, 2);
	free(fixture.pin);
	fixture.pin = strdup(fixture_text(&fixture, "1.root.json"));
	first_refresh_fails(DEPOT_ERROR_NOT_FOUND, "lacks version 1 of its snapshot metadata");
	serve_plainly("1.snapshot.json");
	serve_plainly("1.targets.json");
	serve_plainly("1." FIXTURE_ROLE ".json");
	assert_true(fixture_refresh(&fixture, NULL, &client, &changed, &error));
	expect_requests("2.root.json timestamp.json snapshot.json targets.json " FIXTURE_ROLE ".json ");
	assert_false(depot_tuf_has_consistent_snapshots(client));
	assert_true(depot_tuf_find_target(client, FIXTURE_TARGET, &target, &error));
	depot_buffer_init(&location);
	assert_true(depot_tuf_target_location(client, &target, &location, &error));
	assert_string_equal(location.data, FIXTURE_TARGET);
	depot_buffer_free(&location);
	depot_tuf_close(client);

	/* A plain file can be replaced by one that the snapshot does not announce. */
	fixture_bump(fixture.targets);
	fixture_put(&fixture, "targets.json", fixture.targets, &fixture.keys[KEY_TARGETS], 1);
	assert_true(depot_files_remove(fixture.scratch.fd, "targets.json", &error));
	expect_failure(DEPOT_ERROR_METADATA_MISMATCH, "targets metadata does not have its announced");
}

static bool
failing_fetch(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing,
			  DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_UNREACHABLE, "no route");
}

static void
fetch_errors_pass_through(void **state)
{
	DepotError	error;
	DepotTufClient *client = depot_tuf_open(fixture.scratch.fd, fixture.pin, strlen(fixture.pin), FIXTURE_NOW,
											&error);
	bool		changed = true;

	assert_non_null(client);
	assert_false(depot_tuf_refresh(client, FIXTURE_ROLE, failing_fetch, NULL, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_UNREACHABLE);
	assert_false(changed);
	depot_tuf_close(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refresh_and_lookup, set_up, tear_down),
		cmocka_unit_test_setup_teardown(second_refresh_asks_little, set_up, tear_down),
		cmocka_unit_test_setup_teardown(root_must_be_given, set_up, tear_down),
		cmocka_unit_test_setup_teardown(root_rotation, set_up, tear_down),
		cmocka_unit_test_setup_teardown(root_version_must_be_next, set_up, tear_down),
		cmocka_unit_test_setup_teardown(root_expiry, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_many_roots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pin_wins_over_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(key_rotation_recovers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(role_not_delegated, set_up, tear_down),
		cmocka_unit_test_setup_teardown(plain_snapshots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fetch_errors_pass_through, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("tuf", tests, NULL, NULL);
}
