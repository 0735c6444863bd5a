/*-------------------------------------------------------------------------
 *
 * test_tuf_targets.c
 *	  The TUF client: digests and places of targets, names of roles, and roles that are fetched on demand.
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
#include <unistd.h>

#include "tuf_roles.h"

#define ZEROS "00000000000000000000000000000000"

/*----- digests -------------------------------------------------------------------*/

/* The digests of "x", from sha256sum and sha512sum. */
static const char x_sha256[] = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
static const char x_sha512[] =
"a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238b"
"c13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62";

/* Lists "x" with these digests (of "x" itself; NULL: not that kind). */
static void
list_x(const char *sha256, const char *sha512)
{
	json_t	   *hashes = json_object();

	if (sha256 != NULL)
		json_object_set_new(hashes, "sha256", json_string(sha256));
	if (sha512 != NULL)
		json_object_set_new(hashes, "sha512", json_string(sha512));
	json_object_set_new(hashes, "md4", json_string("whatever"));
	json_object_set_new(json_object_get(fixture.targets, "targets"), "d/x",
						json_pack("{s:i, s:o}", "length", 1, "hashes", hashes));
}

/* Whether a file with these bytes is the target as it was signed. */
static bool
verifies(const DepotTufTarget *target, const char *bytes, DepotErrorCode code, const char *words)
{
	DepotError	error = {0};
	int			fd;
	bool		ok;

	assert_true(scratch_write(fixture.scratch.fd, "download", bytes));
	fd = depot_files_open(fixture.scratch.fd, "download", O_RDONLY, 0, &error);
	assert_true(fd >= 0);
	ok = depot_tuf_verify_target(target, fd, &error);
	close(fd);
	if (!ok && (error.code != code || strstr(error.detail, words) == NULL))
		fail_msg("%s: \"%s\" does not hold \"%s\"", depot_error_wire_name(error.code), error.detail, words);
	return ok;
}

static void
expect_location(DepotTufClient *client, const DepotTufTarget *target, const char *expected)
{
	DepotBuffer location;
	DepotError	error;

	depot_buffer_init(&location);
	if (!depot_tuf_target_location(client, target, &location, &error))
		fail_msg("%s", error.message);
	assert_string_equal(location.data, expected);
	depot_buffer_free(&location);
}

static void
digest_kinds(void **state)
{
	static const struct
	{
		const char *sha256;
		const char *sha512;
		const char *named_by;
	}			cases[] = {{x_sha256, NULL, x_sha256}, {NULL, x_sha512, x_sha512}, {x_sha256, x_sha512, x_sha256}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		DepotTufClient *client;
		DepotTufTarget target;
		DepotError	error;
		char		expected[256];

		list_x(cases[i].sha256, cases[i].sha512);
		fixture_bump(fixture.targets);
		fixture_bump(fixture.snapshot);
		fixture_bump(fixture.timestamp);
		client = refreshed_client();
		assert_true(depot_tuf_find_target(client, "d/x", &target, &error));
		assert_string_equal(target.sha256, cases[i].sha256 != NULL ? cases[i].sha256 : "");
		assert_string_equal(target.sha512, cases[i].sha512 != NULL ? cases[i].sha512 : "");
		assert_true(verifies(&target, "x", DEPOT_OK, ""));
		assert_false(verifies(&target, "y", DEPOT_ERROR_DIGEST_MISMATCH, cases[i].sha256 != NULL ? x_sha256 : ""));
		assert_false(verifies(&target, "xx", DEPOT_ERROR_DIGEST_MISMATCH, "It has 2 bytes"));
		assert_false(verifies(&target, "", DEPOT_ERROR_DIGEST_MISMATCH, "It has 0 bytes"));
		snprintf(expected, sizeof(expected), "d/%s.x", cases[i].named_by);
		expect_location(client, &target, expected);
		depot_tuf_close(client);
	}
}

/* All known digests must be right, not just the first one. */
static void
one_of_two_digests_wrong(void **state)
{
	char		wrong_sha512[sizeof(x_sha512)];
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;

	memcpy(wrong_sha512, x_sha512, sizeof(x_sha512));
	wrong_sha512[127] = wrong_sha512[127] == '0' ? '1' : '0';
	list_x(x_sha256, wrong_sha512);
	client = refreshed_client();
	assert_true(depot_tuf_find_target(client, "d/x", &target, &error));
	assert_false(verifies(&target, "x", DEPOT_ERROR_DIGEST_MISMATCH, ""));
	depot_tuf_close(client);
}

static bool
no_visit(const DepotTufTarget *target, void *context, DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_DUPLICATE, "%s was shown", target->path);
}

/* A target without a usable digest is no target; packages need a sha256. */
static void
unusable_digests(void **state)
{
	static const struct
	{
		const char *sha256;
		const char *sha512;
		DepotErrorCode code;
		const char *words;
	}			cases[] = {
		{NULL, NULL, DEPOT_ERROR_UNSUPPORTED, "no digest of a kind that is known here"},
		{"2d71", NULL, DEPOT_ERROR_METADATA_FORMAT, "not lower-case hexadecimal"},
		{x_sha256, ZEROS ZEROS ZEROS "0000000000000000000000000000000G", DEPOT_ERROR_METADATA_FORMAT, "not lower-case"},
		{NULL, ZEROS ZEROS ZEROS "0000000000000000000000000000000A", DEPOT_ERROR_METADATA_FORMAT, "not lower-case"},
	};
	DepotTufClient *client;
	DepotError	error;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		list_x(cases[i].sha256, cases[i].sha512);
		fixture_bump(fixture.targets);
		fixture_bump(fixture.snapshot);
		fixture_bump(fixture.timestamp);
		client = refreshed_client();
		expect_not_found(client, "d/x", cases[i].code, cases[i].words);
		assert_true(depot_tuf_visit_targets(client, "targets", no_visit, NULL, &error));
		depot_tuf_close(client);
	}
	list_x(NULL, x_sha512);
	fixture_bump(fixture.targets);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	client = refreshed_client();
	assert_true(depot_tuf_visit_targets(client, "targets", no_visit, NULL, &error));
	depot_tuf_close(client);
}

/*----- places -----------------------------------------------------------------------*/

static void
locations(void **state)
{
	DepotTufClient *client = refreshed_client();
	DepotTufTarget target = {.sha256 = "abc"};
	static const char *const refused[] = {"", "/x", "x/", "a//b", "..", "../x", "a/../b", "a/..", ".", "./x"};

	target.path = "x";
	expect_location(client, &target, "abc.x");
	target.path = "a/b c/\xc3\xbc?#%.tar~";
	expect_location(client, &target, "a/b%20c/abc.%C3%BC%3F%23%25.tar~");
	target.path = "..a/b..";
	expect_location(client, &target, "..a/abc.b..");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		DepotBuffer location;
		DepotError	error;

		target.path = refused[i];
		depot_buffer_init(&location);
		assert_false(depot_tuf_target_location(client, &target, &location, &error));
		assert_int_equal(error.code, DEPOT_ERROR_INVALID_NAME);
		depot_buffer_free(&location);
	}
	depot_tuf_close(client);
}

/*----- names of roles ------------------------------------------------------------------*/

/* Names that mean something in URLs or directories name files like any other. */
static void
odd_role_names(void **state)
{
	static const struct
	{
		const char *name;
		const char *encoded;
	}			cases[] = {
		{"?", "%3F"}, {"#", "%23"}, {"/role", "%2Frole"}, {"../role", "..%2Frole"}, {"..", ".."}, {"a b%", "a%20b%25"},
		{"\xc3\xbc", "%C3%BC"}, {"2.root", "2.root"},
	};
	DepotTufClient *client;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		delegate_to(fixture.targets, cases[i].name, fixture.keys[KEY_SPARE], paths("*"), false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		json_t	   *role = new_role();

		if (i == sizeof(cases) / sizeof(cases[0]) - 1)
			add_target(role, "x", "x");
		publish_role(role, cases[i].name, cases[i].encoded, &fixture.keys[KEY_SPARE], 1);
	}
	client = refreshed_client();
	expect_found(client, "x", "x", "2.root");
	depot_tuf_close(client);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		file[64];
		char		served[64];

		snprintf(file, sizeof(file), "%s.json", cases[i].encoded);
		snprintf(served, sizeof(served), "1.%s.json", cases[i].encoded);
		expect_trusted(file, served);
	}
	expect_trusted("root.json", "1.root.json");
}

static void
role_name_without_a_file_name(void **state)
{
	char		name[257];
	DepotTufClient *client;

	memset(name, 'n', sizeof(name) - 1);
	name[230] = '\0';
	delegate_to(fixture.targets, name, fixture.keys[KEY_SPARE], paths("*"), false);
	publish_plain_role(new_role(), name, KEY_SPARE);
	client = refreshed_client();
	expect_not_found(client, "x", DEPOT_ERROR_METADATA_FORMAT, "too long for a file name");
	expect_requests("");
	depot_tuf_close(client);

	name[230] = 'n';
	name[256] = '\0';
	delegate_to(fixture.targets, name, fixture.keys[KEY_SPARE], paths("*"), false);
	fixture_bump(fixture.targets);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	expect_failure(DEPOT_ERROR_METADATA_FORMAT, "its name is longer than 255 bytes");
}

/*----- roles on demand -------------------------------------------------------------------*/

/* Asks for "x", which a role of one path signs. */
static void
publish_on_demand(int version, const char *expires, DepotKey *const *key)
{
	json_t	   *role = new_role();

	fixture_set_version(role, version);
	fixture_set_expires(role, expires);
	add_target(role, "x", "x");
	publish_role(role, "demanded", "demanded", key, 1);
}

static void
fetched_when_needed(void **state)
{
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;

	delegate_to(fixture.targets, "demanded", fixture.keys[KEY_SPARE], paths("x"), false);
	publish_on_demand(1, FIXTURE_FUTURE, &fixture.keys[KEY_SPARE]);
	client = refreshed_client();
	assert_false(depot_files_exists(fixture.scratch.fd, "demanded.json"));
	expect_not_found(client, "y", DEPOT_ERROR_TARGET_UNKNOWN, "\"y\"");
	expect_requests("");
	expect_found(client, "x", "x", "demanded");
	expect_found(client, "x", "x", "demanded");
	expect_requests("1.demanded.json ");
	expect_trusted("demanded.json", "1.demanded.json");
	depot_tuf_close(client);

	/* The next client has it from disk, with a network and without. */
	client = refreshed_client();
	expect_found(client, "x", "x", "demanded");
	expect_requests("");
	assert_true(depot_tuf_load_trusted(client, NULL, true, &error));
	expect_found(client, "x", "x", "demanded");
	depot_tuf_close(client);

	/* Without a network what is not on disk is not there. */
	assert_true(depot_files_remove(fixture.scratch.fd, "demanded.json", &error));
	client = depot_tuf_open(fixture.scratch.fd, NULL, 0, fixture.now, &error);
	assert_true(depot_tuf_load_trusted(client, NULL, true, &error));
	assert_false(depot_tuf_find_target(client, "x", &target, &error));
	assert_int_equal(error.code, DEPOT_ERROR_WRONG_STATE);
	depot_tuf_close(client);
}

/* What is refused replaces nothing, and the next client is not kept from the right one. */
static void
refused_when_needed(void **state)
{
	static const struct
	{
		int			served_version;
		const char *expires;
		int			key;
		DepotErrorCode code;
		const char *words;
	}			cases[] = {
		{2, "2026-01-01T00:00:00Z", KEY_SPARE, DEPOT_ERROR_METADATA_EXPIRED, "\"demanded\""},
		{2, FIXTURE_FUTURE, KEY_TARGETS, DEPOT_ERROR_METADATA_THRESHOLD, "\"demanded\""},
		{3, FIXTURE_FUTURE, KEY_SPARE, DEPOT_ERROR_METADATA_MISMATCH, "has version 3, but version 2"},
	};
	char	   *old;
	DepotTufClient *client;

	delegate_to(fixture.targets, "demanded", fixture.keys[KEY_SPARE], paths("x"), false);
	publish_on_demand(1, FIXTURE_FUTURE, &fixture.keys[KEY_SPARE]);
	client = refreshed_client();
	expect_found(client, "x", "x", "demanded");
	depot_tuf_close(client);
	old = strdup(fixture_text(&fixture, "1.demanded.json"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		served[32];

		publish_on_demand(cases[i].served_version, cases[i].expires, &fixture.keys[cases[i].key]);
		snprintf(served, sizeof(served), "%d.demanded.json", cases[i].served_version);
		json_object_set(fixture.files, "2.demanded.json", json_object_get(fixture.files, served));
		json_object_set_new(json_object_get(fixture.snapshot, "meta"), "demanded.json",
							json_pack("{s:i}", "version", 2));
		fixture_bump(fixture.snapshot);
		fixture_bump(fixture.timestamp);
		client = refreshed_client();
		expect_not_found(client, "x", cases[i].code, cases[i].words);
		assert_true(scratch_has(fixture.scratch.fd, "demanded.json", old));
		depot_tuf_close(client);
	}
	free(old);
	json_object_del(fixture.files, "2.demanded.json");
	client = refreshed_client();
	expect_not_found(client, "x", DEPOT_ERROR_NOT_FOUND, "lacks version 2");
	depot_tuf_close(client);
	publish_on_demand(2, FIXTURE_FUTURE, &fixture.keys[KEY_SPARE]);
	client = refreshed_client();
	expect_found(client, "x", "x", "demanded");
	expect_trusted("demanded.json", "2.demanded.json");
	depot_tuf_close(client);
}

/* A refresh that fails falls back to the role that was fetched on demand after the last one, not to the one before. */
static void
replaced_when_needed(void **state)
{
	DepotTufClient *client;
	DepotError	error;
	bool		changed;

	delegate_to(fixture.targets, "demanded", fixture.keys[KEY_SPARE], paths("x"), false);
	for (int version = 1; version <= 2; version++)
	{
		publish_on_demand(version, FIXTURE_FUTURE, &fixture.keys[KEY_SPARE]);
		fixture_bump(fixture.snapshot);
		fixture_bump(fixture.timestamp);
		client = refreshed_client();
		expect_found(client, "x", "x", "demanded");
		depot_tuf_close(client);
	}
	expect_trusted("demanded.json", "2.demanded.json");
	assert_false(depot_files_exists(fixture.scratch.fd, "whole"));

	publish_on_demand(3, FIXTURE_FUTURE, &fixture.keys[KEY_SPARE]);
	fixture_bump(fixture.targets);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	json_object_del(fixture.files, "2.targets.json");
	assert_false(fixture_refresh(&fixture, NULL, NULL, &changed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_NOT_FOUND);
	client = depot_tuf_open(fixture.scratch.fd, NULL, 0, fixture.now, &error);
	assert_true(depot_tuf_load_trusted(client, NULL, true, &error));
	expect_found(client, "x", "x", "demanded");
	depot_tuf_close(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(digest_kinds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_of_two_digests_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unusable_digests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(locations, set_up, tear_down),
		cmocka_unit_test_setup_teardown(odd_role_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(role_name_without_a_file_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fetched_when_needed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused_when_needed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaced_when_needed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
