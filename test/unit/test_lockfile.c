/*-------------------------------------------------------------------------
 *
 * test_lockfile.c
 *	  Tests of reading locks, good and bad.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/lockfile.h"

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define BUILD(major, platform, sha256) \
	"{\"major\":" major ",\"platform\":\"" platform "\",\"sha256\":\"" sha256 "\"}"
#define PACKAGE(name, version, builds) \
	"{\"package\":\"" name "\",\"version\":\"" version "\",\"builds\":[" builds "]}"
#define LOCK(packages) "{\"format\":1,\"packages\":[" packages "]}"
#define HERE BUILD("15", "linux-amd64", DIGEST_A)

static bool
parse(const char *text, DepotLockfile *lock, DepotError *error)
{
	return depot_lockfile_parse(text, strlen(text), 15, "linux-amd64", lock, error);
}

static void
test_good(void **state)
{
	DepotLockfile lock;
	DepotError	error;

	(void) state;
	assert_true(parse(LOCK(""), &lock, &error));
	assert_int_equal(lock.count, 0);
	depot_lockfile_free(&lock);

	assert_true(parse("{\"format\":1,\"later\":true,\"packages\":["
					  "{\"package\":\"hll\",\"version\":\"2.17\",\"why\":\"dependency\",\"later\":[],\"builds\":["
					  BUILD("17", "linux-amd64", DIGEST_B) "," BUILD("15", "linux-arm64", DIGEST_B) "," HERE "]},"
					  PACKAGE("vector", "0.8.0", HERE) "]}", &lock, &error));
	assert_int_equal(lock.count, 2);
	assert_string_equal(lock.entries[0].package, "hll");
	assert_string_equal(lock.entries[0].version, "2.17");
	assert_string_equal(lock.entries[0].why, "dependency");
	assert_string_equal(lock.entries[0].sha256, DIGEST_A);
	assert_string_equal(lock.entries[1].package, "vector");
	assert_string_equal(lock.entries[1].why, "requested");
	depot_lockfile_free(&lock);
}

typedef struct BadLock
{
	const char *text;
	DepotErrorCode code;
	const char *message;
}			BadLock;

static void
test_bad(void **state)
{
	static const BadLock cases[] = {
		{"", DEPOT_ERROR_INVALID_ARGUMENT, "lock: unexpected end at byte 0"},
		{"[]", DEPOT_ERROR_INVALID_ARGUMENT, "lock is not a JSON object"},
		{"1", DEPOT_ERROR_INVALID_ARGUMENT, "lock is not a JSON object"},
		{"\"{}\"", DEPOT_ERROR_INVALID_ARGUMENT, "lock is not a JSON object"},
		{"{}", DEPOT_ERROR_INVALID_ARGUMENT, "\"format\""},
		{"{\"format\":1}", DEPOT_ERROR_INVALID_ARGUMENT, "\"packages\""},
		{"{\"format\":2,\"packages\":[]}", DEPOT_ERROR_INVALID_ARGUMENT, "lock has format 2, which is not known"},
		{"{\"format\":1,\"packages\":{}}", DEPOT_ERROR_INVALID_ARGUMENT, "\"packages\""},
		{LOCK("1"), DEPOT_ERROR_INVALID_ARGUMENT, "a package is not a JSON object"},
		{LOCK("{}"), DEPOT_ERROR_INVALID_ARGUMENT, "lock, a package: member \"package\" is missing"},
		{LOCK("{\"package\":\"hll\"}"), DEPOT_ERROR_INVALID_ARGUMENT,
			"lock, package \"hll\": member \"version\" is missing"},
		{LOCK("{\"package\":\"hll\",\"version\":\"1\",\"why\":1}"), DEPOT_ERROR_INVALID_ARGUMENT,
			"lock, package \"hll\": member \"why\" is not a string"},
		{LOCK("{\"package\":\"hll\",\"version\":\"1\",\"builds\":{}}"), DEPOT_ERROR_INVALID_ARGUMENT,
			"lock, package \"hll\": member \"builds\" is not an array"},
		{LOCK(PACKAGE("../etc", "1", HERE)), DEPOT_ERROR_INVALID_NAME, "invalid package name"},
		{LOCK(PACKAGE("hll", "1 2", HERE)), DEPOT_ERROR_INVALID_VERSION,
			"lock, package \"hll\": invalid version"},
		{LOCK("{\"package\":\"hll\",\"version\":\"1\",\"why\":\"because\",\"builds\":[" HERE "]}"),
			DEPOT_ERROR_INVALID_ARGUMENT, "is none of requested, dependency, declared"},
		{LOCK(PACKAGE("hll", "1", "{}")), DEPOT_ERROR_INVALID_ARGUMENT, "lock, package \"hll\""},
		{LOCK(PACKAGE("hll", "1", BUILD("15", "linux-amd64", "abc"))), DEPOT_ERROR_INVALID_ARGUMENT,
			"a digest of package \"hll\" is not 64 lower-case hexadecimal digits"},
		{LOCK(PACKAGE("hll", "1", HERE "," BUILD("15", "linux-amd64", DIGEST_B))), DEPOT_ERROR_INVALID_ARGUMENT,
			"lock has two builds of package \"hll\" for PostgreSQL 15 on linux-amd64"},
		{LOCK(PACKAGE("hll", "1", HERE) "," PACKAGE("hll", "1", HERE)), DEPOT_ERROR_INVALID_ARGUMENT,
			"lock names package \"hll\" twice"},
		{LOCK(PACKAGE("hll", "1", "")), DEPOT_ERROR_UNKNOWN_VERSION,
			"lock has no build of package \"hll\" for PostgreSQL 15 on linux-amd64"},
		{LOCK(PACKAGE("hll", "1", BUILD("18", "linux-arm64", DIGEST_A))), DEPOT_ERROR_UNKNOWN_VERSION,
			"lock has no build of package \"hll\" for PostgreSQL 15 on linux-amd64"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		DepotLockfile lock;
		DepotError	error;

		if (parse(cases[i].text, &lock, &error) || error.code != cases[i].code ||
			strstr(error.message, cases[i].message) == NULL)
			fail_msg("case %zu: \"%s\"", i, error.message);
		assert_null(lock.entries);
		assert_int_equal(lock.count, 0);
	}
}

/* The error about a missing build lists what there is. */
static void
test_other_builds(void **state)
{
	DepotLockfile lock;
	DepotError	error;

	(void) state;
	assert_false(parse(LOCK(PACKAGE("hll", "1", BUILD("18", "linux-arm64", DIGEST_A) ","
									BUILD("17", "linux-amd64", DIGEST_B))), &lock, &error));
	assert_string_equal(error.detail, "It has builds for: PostgreSQL 18 on linux-arm64, PostgreSQL 17 on linux-amd64.");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_other_builds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
