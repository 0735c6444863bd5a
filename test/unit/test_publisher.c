/*-------------------------------------------------------------------------
 *
 * test_publisher.c
 *	  Publishers' roles: which paths and names they were given, which of them a
 *	  server reads, and which role a path belongs to.
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

#include <stdlib.h>
#include <string.h>

#include "common/manifest.h"
#include "common/publisher.h"
#include "tuf_fixture.h"

#define HLL "pg15/linux-amd64/hll/2.17/hll-2.17.tar.zst"
#define VECTOR "pg15/linux-amd64/vector/1/vector-1.tar.zst"
#define OTHER_SERVER "pg16/linux-amd64/vector/1/vector-1.tar.zst"

/*----- names and paths ------------------------------------------------------------*/

static void
test_names_and_paths(void **state)
{
	static const char *const good[] = {
		"*/*/vector/*/*", "pg15/*/vector/*/*", "*/linux-amd64/vector/*/*", "pg18/linux-arm64/pg_cron/*/*", NULL
	};
	static const char *const bad[] = {
		"", "*", "*/*/*/*/*", "*/*/vec*/*/*", "*/*/vector/*", "*/*/vector/*/*/*", "*/*/vector/1.0/*",
		"pg5/*/vector/*/*", "pg155/*/vector/*/*", "pgxx/*/vector/*/*", "pg15/linux/vector/*/*",
		"pg15/linux-/vector/*/*", "pg15/-amd64/vector/*/*", "/*/vector/*/*",
		"../*/vector/*/*", "*/*/../*/*", "*/*//*/*", "*/*/Vector/*/*", "pg15/linux-amd64-x/v/*/*",
		"pg1?/*/vector/*/*", NULL
	};
	char		long_name[DEPOT_PUBLISHER_NAME_MAX_BYTES + 2];
	DepotError	error;

	(void) state;
	for (int i = 0; good[i] != NULL; i++)
		assert_true(depot_publisher_check_pattern(good[i], &error));
	for (int i = 0; bad[i] != NULL; i++)
	{
		if (depot_publisher_check_pattern(bad[i], &error))
			fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(error.code, DEPOT_ERROR_INVALID_ARGUMENT);
	}

	memset(long_name, 'a', sizeof(long_name));
	long_name[DEPOT_PUBLISHER_NAME_MAX_BYTES + 1] = '\0';
	assert_false(depot_publisher_check_name(long_name, &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_NAME);
	long_name[DEPOT_PUBLISHER_NAME_MAX_BYTES] = '\0';
	assert_true(depot_publisher_check_name(long_name, &error));
	assert_true(depot_publisher_check_name("citus-data_2", &error));
	assert_false(depot_publisher_check_name("", &error));
	assert_false(depot_publisher_check_name("Alice", &error));
	assert_false(depot_publisher_check_name("a/b", &error));
	assert_true(depot_publisher_is_role("pub-alice"));
	assert_false(depot_publisher_is_role("pg15-linux-amd64"));

	assert_true(depot_publisher_check_provided_name("libgeos_c.so.1", &error));
	assert_true(depot_publisher_check_provided_name("postgis-3", &error));
	assert_true(depot_publisher_check_provided_name("PostGIS", &error));
	assert_false(depot_publisher_check_provided_name("a/b", &error));
	assert_false(depot_publisher_check_provided_name("", &error));

	assert_true(depot_tuf_slice_has_path(FIXTURE_ROLE, HLL));
	assert_false(depot_tuf_slice_has_path(FIXTURE_ROLE, OTHER_SERVER));
	assert_false(depot_tuf_slice_has_path(FIXTURE_ROLE, "pg15-linux-amd64/hll/2.17/hll-2.17.tar.zst"));
	assert_false(depot_tuf_slice_has_path(FIXTURE_ROLE, "pg15/linux-amd64"));
	assert_false(depot_tuf_slice_has_path(FIXTURE_ROLE, "pg15/linux-amd642/hll/2.17/hll-2.17.tar.zst"));
}

/*----- what a package may provide -------------------------------------------------*/

static DepotManifest *
make_manifest(const char *extension, bool trusted, const char *module, const char *preload, const char *library)
{
	static const char *const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	json_t	   *files = json_array();
	json_t	   *json;
	char	   *text;
	char		path[128];
	DepotManifest *manifest;
	DepotError	error;

	if (library != NULL)
	{
		snprintf(path, sizeof(path), "lib/private/%s", library);
		json_array_append_new(files, json_pack("{s:s, s:i, s:s, s:s}", "path", path, "size", 0, "sha256", empty,
											   "mode", "0644"));
	}
	snprintf(path, sizeof(path), "lib/%s.so", module);
	json_array_append_new(files, json_pack("{s:s, s:i, s:s, s:s}", "path", path, "size", 0, "sha256", empty, "mode",
										   "0644"));
	snprintf(path, sizeof(path), "share/extension/%s.control", extension);
	json_array_append_new(files, json_pack("{s:s, s:i, s:s, s:s}", "path", path, "size", 0, "sha256", empty, "mode",
										   "0644"));
	json = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:i, s:i, s:s}, s:{s:s, s:s, s:s, s:s},"
					 " s:[{s:s, s:s, s:[s], s:[], s:b}], s:[{s:s, s:s, s:b}], s:[], s:[], s:[], s:o, s:[],"
					 " s:{s:s, s:s, s:s}}",
					 "format", 1, "kind", "extension", "package", "vector", "version", "1", "summary", "",
					 "license", "", "homepage", "", "postgresql", "major", 15, "minimum_minor", 0,
					 "flavor", "postgresql",
					 "platform", "os", "linux", "arch", "amd64", "libc", "glibc", "libc_min", "",
					 "extensions", "name", extension, "default_version", "1", "versions", "1", "requires",
					 "trusted", (int) trusted,
					 "modules", "name", module, "preload", preload, "required", 0,
					 "depends", "system_libraries", "settings", "files", files, "components",
					 "source", "kind", "tree", "name", "", "version", "");
	assert_non_null(json);
	text = json_dumps(json, 0);
	manifest = depot_manifest_parse(text, strlen(text), &error);
	if (manifest == NULL)
		fail_msg("%s", error.message);
	free(text);
	json_decref(json);
	return manifest;
}

/* Checks a package against a delegation that gives vector, vector_extra and libvec.so.1; NULL: it passes. */
static void
check(bool preload, bool trusted, DepotManifest *manifest, const char *refusal)
{
	json_t	   *delegation = json_pack("{s:s, s:{s:[s, s, s], s:b, s:b}}", "name", "pub-alice", "pg_depot",
									   "provides", "vector", "vector_extra", "libvec.so.1",
									   "preload", (int) preload, "trusted", (int) trusted);
	DepotError	error = {0};
	bool		passes = depot_publisher_check_package(delegation, manifest, &error);

	if (passes != (refusal == NULL) || (refusal != NULL && strcmp(error.message, refusal) != 0))
		fail_msg("expected \"%s\", got \"%s\"", refusal == NULL ? "" : refusal, error.message);
	if (refusal != NULL)
		assert_int_equal(error.code, DEPOT_ERROR_NOT_ALLOWED);
	depot_manifest_free(manifest);
	json_decref(delegation);
}

static void
test_provides(void **state)
{
	DepotManifest *manifest;
	json_t	   *delegation;
	DepotError	error;

	(void) state;
	check(false, false, make_manifest("vector", false, "vector", "none", NULL), NULL);
	check(false, false, make_manifest("vector_extra", false, "vector_extra", "none", "libvec.so.1"), NULL);
	check(false, false, make_manifest("postgis", false, "vector", "none", NULL),
		  "it provides extension \"postgis\", which role \"pub-alice\" was not given");
	check(false, false, make_manifest("vector", false, "hook", "none", NULL),
		  "it provides module \"hook\", which role \"pub-alice\" was not given");
	check(false, false, make_manifest("vector", false, "vector", "none", "libgeos_c.so.1"),
		  "it provides library \"libgeos_c.so.1\", which role \"pub-alice\" was not given");
	check(false, false, make_manifest("vector", false, "vector", "shared", NULL),
		  "its module \"vector\" has to be preloaded, which role \"pub-alice\" was not given");
	check(true, false, make_manifest("vector", false, "vector", "shared", NULL), NULL);
	check(false, false, make_manifest("vector", true, "vector", "none", NULL),
		  "its extension \"vector\" is trusted, which role \"pub-alice\" was not given");
	check(false, true, make_manifest("vector", true, "vector", "none", NULL), NULL);

	/* Without any names, nothing; a role that is none of a publisher's is free. */
	manifest = make_manifest("vector", false, "vector", "none", NULL);
	delegation = json_pack("{s:s}", "name", "pub-alice");
	assert_false(depot_publisher_check_package(delegation, manifest, &error));
	assert_string_equal(error.message, "it provides package \"vector\", which role \"pub-alice\" was not given");
	json_object_set_new(delegation, "pg_depot", json_pack("{s:s}", "provides", "vector"));
	assert_false(depot_publisher_check_package(delegation, manifest, &error));
	json_object_set_new(delegation, "name", json_string(FIXTURE_ROLE));
	assert_false(depot_publisher_check_package(delegation, manifest, &error));
	json_object_del(delegation, "pg_depot");
	assert_true(depot_publisher_check_package(delegation, manifest, &error));
	assert_true(depot_publisher_check_package(NULL, manifest, &error));
	json_decref(delegation);
	depot_manifest_free(manifest);
}

/*----- the slice ------------------------------------------------------------------*/

static json_t *
targets_of(const char *const *paths)
{
	json_t	   *targets = json_object();

	for (int i = 0; paths[i] != NULL; i++)
		json_object_set_new(targets, paths[i], fixture_target(paths[i]));
	return targets;
}

/* Delegates pattern to pub-<name> before all others, and serves its role with these targets (NULL: not yet). */
static void
add_publisher(Fixture *fixture, const char *role, const char *pattern, bool terminating, const char *const *paths,
			  const char *expires)
{
	json_t	   *delegations = json_object_get(fixture->targets, "delegations");
	json_t	   *body = fixture_body("targets");

	fixture_add_key(json_object_get(delegations, "keys"), fixture->keys[KEY_SPARE]);
	json_array_insert_new(json_object_get(delegations, "roles"), 0,
						  fixture_delegation(role, fixture->keys[KEY_SPARE], pattern, terminating));
	if (paths != NULL)
	{
		json_object_set_new(body, "targets", targets_of(paths));
		fixture_set_expires(body, expires);
		fixture_put(fixture, fixture_name(body, role), body, &fixture->keys[KEY_SPARE], 1);
		fixture_list(fixture, fixture->snapshot, role, body);
	}
	json_decref(body);
}

typedef struct Seen
{
	char		text[4096];
} Seen;

static bool
note_target(const DepotTufTarget *target, void *context, DepotError *error)
{
	Seen	   *seen = context;
	size_t		length = strlen(seen->text);

	(void) error;
	snprintf(seen->text + length, sizeof(seen->text) - length, "%s:%s\n", target->role, target->path);
	assert_non_null(target->delegation);
	assert_int_equal(target->depth, 1);
	return true;
}

static DepotTufClient *
refresh(Fixture *fixture, bool only_if_changed, Seen *seen, bool *changed)
{
	DepotError	error;
	DepotTufClient *client = depot_tuf_open(fixture->scratch.fd, fixture->pin, strlen(fixture->pin), fixture->now,
											&error);

	memset(seen, 0, sizeof(*seen));
	json_array_clear(fixture->requests);
	assert_non_null(client);
	depot_tuf_visit_slice(client, only_if_changed, note_target, seen);
	if (!depot_tuf_refresh(client, FIXTURE_ROLE, fixture_fetch, fixture, changed, &error))
		fail_msg("%s", error.message);
	return client;
}

static const DepotTufRole *
find_role(const DepotTufClient *client, const char *name)
{
	static DepotTufRole roles[DEPOT_TUF_MAX_ROLES];
	int			count = depot_tuf_roles(client, roles, DEPOT_TUF_MAX_ROLES);

	for (int i = 0; i < count; i++)
	{
		if (strcmp(roles[i].name, name) == 0)
			return &roles[i];
	}
	return NULL;
}

static void
test_slice(void **state)
{
	static const char *const alice[] = {VECTOR, OTHER_SERVER, "pg15/linux-amd64/other/1/other-1.tar.zst", NULL};
	static const char *const elsewhere[] = {OTHER_SERVER, NULL};
	static const char *const platform[] = {HLL, VECTOR, "pg15/linux-amd64/quiet/1/quiet-1.tar.zst", NULL};
	Fixture		fixture;
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;
	Seen		seen;
	bool		changed;

	(void) state;
	fixture_open(&fixture);
	add_publisher(&fixture, "pub-alice", "*/*/vector/*/*", true, alice, FIXTURE_FUTURE);
	add_publisher(&fixture, "pub-arm", "pg15/linux-arm64/vector/*/*", true, elsewhere, FIXTURE_FUTURE);
	add_publisher(&fixture, "pub-quiet", "*/*/quiet/*/*", true, NULL, NULL);
	json_object_set_new(fixture.role, "targets", targets_of(platform));
	fixture_publish(&fixture);

	/*
	 * The platform's vector and quiet belong to publishers; of alice's targets only what her path matches
	 * counts.
	 */
	client = refresh(&fixture, true, &seen, &changed);
	assert_true(changed);
	assert_non_null(strstr(seen.text, "pub-alice:" VECTOR "\n"));
	assert_non_null(strstr(seen.text, FIXTURE_ROLE ":" HLL "\n"));
	assert_null(strstr(seen.text, FIXTURE_ROLE ":" VECTOR));
	assert_null(strstr(seen.text, "quiet"));
	assert_null(strstr(seen.text, "other"));
	assert_non_null(find_role(client, "pub-alice"));
	assert_true(find_role(client, "pub-alice")->loaded);
	assert_null(find_role(client, "pub-arm"));
	assert_null(find_role(client, "pub-quiet"));
	for (size_t i = 0; i < json_array_size(fixture.requests); i++)
		assert_null(strstr(json_string_value(json_array_get(fixture.requests, i)), "pub-arm"));

	assert_true(depot_tuf_find_target(client, VECTOR, &target, &error));
	assert_string_equal(target.role, "pub-alice");
	assert_string_equal(json_string_value(json_object_get(target.delegation, "name")), "pub-alice");
	assert_true(depot_tuf_load_target(client, VECTOR, true, &target, &error));
	assert_string_equal(target.role, "pub-alice");
	assert_true(depot_tuf_load_target(client, HLL, true, &target, &error));
	assert_string_equal(target.role, FIXTURE_ROLE);
	assert_false(depot_tuf_load_target(client, "pg15/linux-amd64/quiet/1/quiet-1.tar.zst", true, &target, &error));
	assert_int_equal(error.code, DEPOT_ERROR_METADATA_MISMATCH);
	assert_false(depot_tuf_load_target(client, "pg15/linux-amd64/no/1/no-1.tar.zst", true, &target, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TARGET_UNKNOWN);
	depot_tuf_close(client);

	/* Nothing new: two requests, and nothing is visited; a file that is gone is fetched, and all is visited. */
	client = refresh(&fixture, true, &seen, &changed);
	assert_false(changed);
	assert_string_equal(seen.text, "");
	assert_int_equal(json_array_size(fixture.requests), 2);
	depot_tuf_close(client);
	assert_int_equal(unlinkat(fixture.scratch.fd, FIXTURE_ROLE ".json", 0), 0);
	client = refresh(&fixture, true, &seen, &changed);
	assert_true(changed);
	assert_non_null(strstr(seen.text, "pub-alice:" VECTOR "\n"));
	assert_non_null(strstr(seen.text, FIXTURE_ROLE ":" HLL "\n"));
	depot_tuf_close(client);
	fixture_close(&fixture);
}

/* One publisher's role that cannot be used does not keep the others' packages back. */
static void
test_left_out(void **state)
{
	static const char *const alice[] = {VECTOR, NULL};
	static const char *const bob[] = {"pg15/linux-amd64/bob/1/bob-1.tar.zst", NULL};
	static const char *const platform[] = {HLL, VECTOR, NULL};
	Fixture		fixture;
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;
	Seen		seen;
	bool		changed;
	json_t	   *entry;

	(void) state;
	fixture_open(&fixture);
	add_publisher(&fixture, "pub-alice", "*/*/vector/*/*", true, alice, "2026-11-01T00:00:00Z");
	add_publisher(&fixture, "pub-bob", "*/*/bob/*/*", true, bob, FIXTURE_FUTURE);
	json_object_set_new(fixture.role, "targets", targets_of(platform));

	/* Bob's path is given to another key, which has not signed yet. */
	entry = json_array_get(json_object_get(json_object_get(fixture.targets, "delegations"), "roles"), 0);
	assert_string_equal(json_string_value(json_object_get(entry, "name")), "pub-bob");
	json_object_set_new(entry, "keyids", json_pack("[s]", fixture.keys[KEY_ROLE]->keyid));
	fixture_publish(&fixture);

	client = refresh(&fixture, true, &seen, &changed);
	assert_string_equal(seen.text, FIXTURE_ROLE ":" HLL "\n");
	assert_true(find_role(client, "pub-alice")->is_left_out);
	assert_non_null(strstr(find_role(client, "pub-alice")->reason, "expired"));
	assert_true(find_role(client, "pub-bob")->is_left_out);
	assert_false(find_role(client, "pub-bob")->loaded);
	assert_false(depot_tuf_find_target(client, VECTOR, &target, &error));
	assert_false(depot_tuf_find_target(client, bob[0], &target, &error));
	depot_tuf_close(client);

	/* What does not come as the snapshot lists it is no publisher's fault. */
	json_object_set_new(fixture.files, "1.pub-alice.json", json_string("{}"));
	client = depot_tuf_open(fixture.scratch.fd, fixture.pin, strlen(fixture.pin), fixture.now, &error);
	assert_false(depot_tuf_refresh(client, FIXTURE_ROLE, fixture_fetch, &fixture, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_METADATA_MISMATCH);
	depot_tuf_close(client);
	fixture_close(&fixture);
}

/* A file that is missing fails the refresh, but not before the platform's role is there. */
static void
test_missing_file(void **state)
{
	static const char *const alice[] = {VECTOR, NULL};
	Fixture		fixture;
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;
	bool		changed;

	(void) state;
	fixture_open(&fixture);
	add_publisher(&fixture, "pub-alice", "*/*/vector/*/*", true, alice, FIXTURE_FUTURE);
	fixture_publish(&fixture);
	json_object_del(fixture.files, "1.pub-alice.json");
	client = depot_tuf_open(fixture.scratch.fd, fixture.pin, strlen(fixture.pin), fixture.now, &error);
	assert_false(depot_tuf_refresh(client, FIXTURE_ROLE, fixture_fetch, &fixture, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_NOT_FOUND);
	assert_non_null(strstr(error.message, "pub-alice"));
	assert_true(depot_tuf_load_target(client, HLL, true, &target, &error));
	assert_string_equal(target.role, FIXTURE_ROLE);
	assert_false(depot_tuf_load_target(client, VECTOR, true, &target, &error));
	depot_tuf_close(client);
	fixture_close(&fixture);
}

/* A role that does not end the search takes precedence only with what it lists. */
static void
test_not_terminating(void **state)
{
	static const char *const alice[] = {VECTOR, NULL};
	static const char *const platform[] = {VECTOR, "pg15/linux-amd64/vector/2/vector-2.tar.zst", NULL};
	Fixture		fixture;
	Seen		seen;
	bool		changed;

	(void) state;
	fixture_open(&fixture);
	add_publisher(&fixture, "pub-alice", "*/*/vector/*/*", false, alice, FIXTURE_FUTURE);
	json_object_set_new(fixture.role, "targets", targets_of(platform));
	fixture_publish(&fixture);
	depot_tuf_close(refresh(&fixture, true, &seen, &changed));
	assert_string_equal(seen.text, "pub-alice:" VECTOR "\n"
						FIXTURE_ROLE ":pg15/linux-amd64/vector/2/vector-2.tar.zst\n");
	fixture_close(&fixture);
}

static void
test_too_many_publishers(void **state)
{
	Fixture		fixture;
	DepotTufClient *client;
	DepotError	error;
	bool		changed;

	(void) state;
	fixture_open(&fixture);
	for (int i = 0; i <= DEPOT_TUF_MAX_PUBLISHERS; i++)
	{
		char		name[32];

		snprintf(name, sizeof(name), "pub-%d", i);
		add_publisher(&fixture, name, "*/*/vector/*/*", true, NULL, NULL);
	}
	fixture_publish(&fixture);
	client = depot_tuf_open(fixture.scratch.fd, fixture.pin, strlen(fixture.pin), fixture.now, &error);
	assert_false(depot_tuf_refresh(client, FIXTURE_ROLE, fixture_fetch, &fixture, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TOO_LARGE);
	assert_non_null(strstr(error.message, "more than 256 publishers"));
	depot_tuf_close(client);
	fixture_close(&fixture);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_paths),
		cmocka_unit_test(test_provides),
		cmocka_unit_test(test_slice),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_missing_file),
		cmocka_unit_test(test_not_terminating),
		cmocka_unit_test(test_too_many_publishers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
