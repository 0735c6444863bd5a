/*-------------------------------------------------------------------------
 *
 * test_tuf_delegations.c
 *	  The TUF client: the search through delegations of every kind (section 5.6.7, TAP 15).
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

#include "tuf_roles.h"

/* What matches each path that is asked for here. */
#define ANY "?/?"

/* The first digits of a path's digest. */
static const char *
digest_prefix(const char *path, int digits)
{
	static char prefix[DEPOT_SHA256_HEX_BYTES];

	depot_digest_sha256_hex(path, strlen(path), prefix);
	prefix[digits] = '\0';
	return prefix;
}

/*----- prefixes of the path's digest ------------------------------------------*/

static void
hash_prefixes(void **state)
{
	static const int digits[] = {1, 2, 63, 64};

	for (size_t i = 0; i < sizeof(digits) / sizeof(digits[0]); i++)
	{
		json_t	   *role = new_role();
		DepotTufClient *client;

		add_target(role, "a/x", "x");
		clear_delegations(fixture.targets);
		delegate_to(fixture.targets, "prefixed", fixture.keys[KEY_SPARE],
					json_pack("{s:[s,s]}", "path_hash_prefixes", "00000000", digest_prefix("a/x", digits[i])),
					false);
		publish_plain_role(role, "prefixed", KEY_SPARE);
		client = refreshed_client();
		expect_found(client, "a/x", "x", "prefixed");
		depot_tuf_close(client);
		/* files of the round before are no newer version of these */
		tear_down(NULL);
		set_up(NULL);
	}
}

/* A role is not asked for what it may not sign, and its target of that path does not count. */
static void
other_hash_prefixes(void **state)
{
	const char	other[] = {digest_prefix("a/x", 1)[0] == '0' ? '1' : '0', '\0'};
	json_t	   *role = new_role();
	DepotTufClient *client;

	add_target(role, "a/x", "x");
	delegate_to(fixture.targets, "prefixed", fixture.keys[KEY_SPARE],
				json_pack("{s:[s]}", "path_hash_prefixes", other), false);
	publish_plain_role(role, "prefixed", KEY_SPARE);
	client = refreshed_client();
	expect_not_found(client, "a/x", DEPOT_ERROR_TARGET_UNKNOWN, "has no target \"a/x\"");
	expect_requests("");
	depot_tuf_close(client);
}

/* Publishes the next version of everything; its targets are refused for their form. */
static void
expect_refused(const char *words)
{
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	fixture_publish(&fixture);
	first_refresh_fails(DEPOT_ERROR_METADATA_FORMAT, words);
}

static void
odd_hash_prefixes_refused(void **state)
{
	static const char *const cases[] = {"[\"\"]", "[\"A\"]", "[\"0g\"]", "[\"0x1\"]", "[1]",
		"[\"00000000000000000000000000000000000000000000000000000000000000000\"]"
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		clear_delegations(fixture.targets);
		delegate_to(fixture.targets, "prefixed", fixture.keys[KEY_SPARE],
					json_pack("{s:o}", "path_hash_prefixes", json_loads(cases[i], 0, NULL)), false);
		expect_refused("path hash prefix");
		assert_false(depot_files_exists(fixture.scratch.fd, "targets.json"));
	}
}

/*----- hash bins ----------------------------------------------------------------*/

static void
set_bins(int bit_length, const char *name_prefix)
{
	json_t	   *succinct = fixture_role_entry(fixture.keys[KEY_SPARE], NULL, 1);
	json_t	   *keys = json_object();

	fixture_add_key(keys, fixture.keys[KEY_SPARE]);
	json_object_set_new(succinct, "bit_length", json_integer(bit_length));
	json_object_set_new(succinct, "name_prefix", json_string(name_prefix));
	json_object_set_new(fixture.targets, "delegations",
						json_pack("{s:o, s:o}", "keys", keys, "succinct_roles", succinct));
}

/* The name is the first bits of the digest in as many digits as the last bin needs. */
static void
bins(void **state)
{
	static const struct
	{
		int			bit_length;
		int			digits;		/* in the name */
		int			dropped_bits;	/* of the digits that the name would have without them */
	}			cases[] = {{1, 1, 3}, {3, 1, 1}, {4, 1, 0}, {5, 2, 3}, {8, 2, 0}, {10, 3, 2}, {16, 4, 0}, {31, 8, 1},
	{32, 8, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		unsigned long bin = strtoul(digest_prefix("a/x", cases[i].digits), NULL, 16) >> cases[i].dropped_bits;
		json_t	   *role = new_role();
		DepotTufClient *client;
		char		name[32];
		char		request[64];

		snprintf(name, sizeof(name), "bin-%0*lx", cases[i].digits, bin);
		set_bins(cases[i].bit_length, "bin");
		add_target(role, "a/x", "x");
		publish_plain_role(role, name, KEY_SPARE);
		client = refreshed_client();
		expect_found(client, "a/x", "x", name);
		snprintf(request, sizeof(request), "1.%s.json ", name);
		expect_requests(request);
		expect_found(client, "a/x", "x", name);
		expect_requests(request);
		depot_tuf_close(client);
		tear_down(NULL);
		set_up(NULL);
	}
}

static void
wrong_bins(void **state)
{
	char		name[80];
	json_t	   *role = new_role();
	DepotTufClient *client;

	set_bins(8, "bin");
	snprintf(name, sizeof(name), "bin-%s", digest_prefix("a/x", 2));
	client = refreshed_client();
	expect_not_found(client, "a/x", DEPOT_ERROR_METADATA_MISMATCH, "snapshot metadata does not list");
	expect_requests("");
	depot_tuf_close(client);

	/* signed by somebody else */
	add_target(role, "a/x", "x");
	publish_plain_role(role, name, KEY_ROLE);
	fixture_bump(fixture.snapshot);
	fixture_bump(fixture.timestamp);
	client = refreshed_client();
	expect_not_found(client, "a/x", DEPOT_ERROR_METADATA_THRESHOLD, name);
	depot_tuf_close(client);
	assert_int_equal(json_array_size(fixture.requests), 1);
}

static void
odd_bins_refused(void **state)
{
	char		long_prefix[202];

	memset(long_prefix, 'b', sizeof(long_prefix) - 1);
	long_prefix[sizeof(long_prefix) - 1] = '\0';
	set_bins(0, "bin");
	expect_refused("bit_length");
	set_bins(33, "bin");
	expect_refused("bit_length is more than 32");
	set_bins(8, long_prefix);
	expect_refused("name_prefix is longer than 200 bytes");
	set_bins(8, "bin");
	json_object_del(json_object_get(json_object_get(fixture.targets, "delegations"), "succinct_roles"),
					"name_prefix");
	expect_refused("name_prefix");
	set_bins(8, "bin");
	json_object_set_new(json_object_get(fixture.targets, "delegations"), "roles", json_array());
	expect_refused("either roles or succinct_roles");
}

/*----- graphs ---------------------------------------------------------------------*/

/*
 * Two branches delegate the role "release" for paths of their own, each to another key.  What one key signed
 * is trusted through its branch only, whichever branch comes first and however often it is asked.
 */
static void
make_diamond(DepotKey *const *signers, int count)
{
	json_t	   *a = new_role();
	json_t	   *b = new_role();
	json_t	   *release = new_role();

	add_target(release, "team-a/x", "a");
	add_target(release, "team-b/x", "b");
	delegate_to(a, "release", fixture.keys[KEY_SPARE], paths("team-a/*"), false);
	delegate_to(b, "release", fixture.keys[KEY_ROLE], paths("team-b/*"), false);
	delegate_to(fixture.targets, "parent-a", fixture.keys[KEY_SPARE], paths("team-a/*"), false);
	delegate_to(fixture.targets, "parent-b", fixture.keys[KEY_SPARE], paths("team-b/*"), false);
	publish_role(release, "release", "release", signers, count);
	publish_plain_role(a, "parent-a", KEY_SPARE);
	publish_plain_role(b, "parent-b", KEY_SPARE);
}

static void
diamond(void **state)
{
	DepotTufClient *client;

	make_diamond(&fixture.keys[KEY_SPARE], 1);
	client = refreshed_client();
	for (int i = 0; i < 2; i++)
	{
		expect_found(client, "team-a/x", "a", "release");
		expect_not_found(client, "team-b/x", DEPOT_ERROR_METADATA_THRESHOLD, "\"release\"");
	}
	depot_tuf_close(client);
	/* the other branch first, and the file on disk */
	client = refreshed_client();
	expect_not_found(client, "team-b/x", DEPOT_ERROR_METADATA_THRESHOLD, "\"release\"");
	expect_found(client, "team-a/x", "a", "release");
	depot_tuf_close(client);
}

/* One that both keys signed is trusted through both, and fetched once. */
static void
diamond_of_both(void **state)
{
	DepotKey   *both[] = {fixture.keys[KEY_SPARE], fixture.keys[KEY_ROLE]};
	DepotTufClient *client;

	make_diamond(both, 2);
	client = refreshed_client();
	expect_found(client, "team-a/x", "a", "release");
	expect_found(client, "team-b/x", "b", "release");
	expect_requests("1.parent-a.json 1.release.json 1.parent-b.json ");
	depot_tuf_close(client);
}

/* Within one search a role is looked into once, by the way that comes first. */
static void
diamond_within_a_search(void **state)
{
	json_t	   *a = new_role();
	json_t	   *b = new_role();
	json_t	   *shared = new_role();
	DepotTufClient *client;

	add_target(b, "a/x", "theirs");
	delegate_to(a, "shared", fixture.keys[KEY_SPARE], paths(ANY), false);
	delegate_to(b, "shared", fixture.keys[KEY_SPARE], paths(ANY), false);
	delegate_to(fixture.targets, "a", fixture.keys[KEY_SPARE], paths(ANY), false);
	delegate_to(fixture.targets, "b", fixture.keys[KEY_SPARE], paths(ANY), false);
	publish_plain_role(shared, "shared", KEY_SPARE);
	publish_plain_role(a, "a", KEY_SPARE);
	publish_plain_role(b, "b", KEY_SPARE);
	client = refreshed_client();
	expect_found(client, "a/x", "theirs", "b");
	expect_not_found(client, "a/y", DEPOT_ERROR_TARGET_UNKNOWN, "a/y");
	expect_requests("1.a.json 1.shared.json 1.b.json ");
	depot_tuf_close(client);
}

static void
cycle(void **state)
{
	json_t	   *a = new_role();
	json_t	   *b = new_role();
	DepotTufClient *client;

	add_target(b, "a/x", "x");
	delegate_to(a, "a", fixture.keys[KEY_SPARE], paths(ANY), false);
	delegate_to(a, "b", fixture.keys[KEY_SPARE], paths(ANY), false);
	delegate_to(b, "a", fixture.keys[KEY_SPARE], paths(ANY), false);
	delegate_to(fixture.targets, "a", fixture.keys[KEY_SPARE], paths(ANY), false);
	publish_plain_role(a, "a", KEY_SPARE);
	publish_plain_role(b, "b", KEY_SPARE);
	client = refreshed_client();
	expect_not_found(client, "a/y", DEPOT_ERROR_TARGET_UNKNOWN, "a/y");
	expect_found(client, "a/x", "x", "b");
	expect_requests("1.a.json 1.b.json ");
	depot_tuf_close(client);
}

/* A terminating delegation deep down ends the search at every level, but not before its own subtree. */
static void
terminating_below(void **state)
{
	json_t	   *a = new_role();
	json_t	   *last = new_role();
	json_t	   *below = new_role();
	json_t	   *never = new_role();
	DepotTufClient *client;

	add_target(below, "a/x", "x");
	add_target(never, "a/y", "y");
	delegate_to(a, "last", fixture.keys[KEY_SPARE], paths("a/*"), true);
	delegate_to(a, "never", fixture.keys[KEY_SPARE], paths("a/*"), false);
	delegate_to(last, "below", fixture.keys[KEY_SPARE], paths("a/*"), false);
	delegate_to(fixture.targets, "a", fixture.keys[KEY_SPARE], paths("a/*"), false);
	delegate_to(fixture.targets, "never", fixture.keys[KEY_SPARE], paths("a/*"), false);
	publish_plain_role(a, "a", KEY_SPARE);
	publish_plain_role(last, "last", KEY_SPARE);
	publish_plain_role(below, "below", KEY_SPARE);
	publish_plain_role(never, "never", KEY_SPARE);
	client = refreshed_client();
	expect_found(client, "a/x", "x", "below");
	expect_not_found(client, "a/y", DEPOT_ERROR_TARGET_UNKNOWN, "a/y");
	expect_requests("1.a.json 1.last.json 1.below.json ");
	depot_tuf_close(client);
}

static void
add_flat_roles(int count)
{
	for (int i = 0; i < count; i++)
	{
		char		name[16];

		snprintf(name, sizeof(name), "r%d", i);
		delegate_to(fixture.targets, name, fixture.keys[KEY_SPARE], paths(ANY), false);
		publish_plain_role(new_role(), name, KEY_SPARE);
	}
}

static void
as_many_roles_as_allowed(void **state)
{
	DepotTufClient *client;

	add_flat_roles(DEPOT_TUF_MAX_DELEGATIONS);
	client = refreshed_client();
	expect_not_found(client, "a/x", DEPOT_ERROR_TARGET_UNKNOWN, "a/x");
	assert_int_equal(json_array_size(fixture.requests), DEPOT_TUF_MAX_DELEGATIONS);
	/* What one search asked for does not count against the next. */
	expect_not_found(client, "a/y", DEPOT_ERROR_TARGET_UNKNOWN, "a/y");
	depot_tuf_close(client);
}

static void
too_many_roles(void **state)
{
	DepotTufClient *client;

	add_flat_roles(DEPOT_TUF_MAX_DELEGATIONS + 1);
	client = refreshed_client();
	expect_not_found(client, "a/x", DEPOT_ERROR_TOO_LARGE, "more than 32 delegated roles");
	assert_int_equal(json_array_size(fixture.requests), DEPOT_TUF_MAX_DELEGATIONS);
	depot_tuf_close(client);
}

/* Every role on the way must be let sign the path. */
static void
paths_of_the_whole_way_count(void **state)
{
	json_t	   *a = new_role();
	json_t	   *b = new_role();
	DepotTufClient *client;

	add_target(b, "b/x", "x");
	delegate_to(a, "b", fixture.keys[KEY_SPARE], paths("b/*"), false);
	delegate_to(fixture.targets, "a", fixture.keys[KEY_SPARE], paths("a/*"), false);
	publish_plain_role(a, "a", KEY_SPARE);
	publish_plain_role(b, "b", KEY_SPARE);
	client = refreshed_client();
	expect_not_found(client, "b/x", DEPOT_ERROR_TARGET_UNKNOWN, "b/x");
	expect_requests("");
	depot_tuf_close(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hash_prefixes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_hash_prefixes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(odd_hash_prefixes_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_bins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(odd_bins_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(diamond, set_up, tear_down),
		cmocka_unit_test_setup_teardown(diamond_of_both, set_up, tear_down),
		cmocka_unit_test_setup_teardown(diamond_within_a_search, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cycle, set_up, tear_down),
		cmocka_unit_test_setup_teardown(terminating_below, set_up, tear_down),
		cmocka_unit_test_setup_teardown(as_many_roles_as_allowed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_many_roles, set_up, tear_down),
		cmocka_unit_test_setup_teardown(paths_of_the_whole_way_count, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
