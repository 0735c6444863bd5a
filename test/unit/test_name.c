/*-------------------------------------------------------------------------
 *
 * test_name.c
 *	  The one gate for names (design promise 7).
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

#include "common/name.h"

#define TEN "abcdefghij"
#define SIXTY TEN TEN TEN TEN TEN TEN

/* Which of the predicates take a value: one letter each, as in predicates below. */
typedef struct NameCase
{
	const char *value;
	const char *accepted_by;	/* p package, e extension, m module, v version, r role, f file path, n server */
} NameCase;

static const NameCase cases[] = {
	{"hll", "pemvrfn"},
	{"3d", "pemvrfn"},
	{"a", "pemvrfn"},
	{"pg_depot", "pemvrfn"},
	{"pg-semver", "pemvrfn"},
	{"postgis-3", "pemvrfn"},
	{"a.b", "pemvfn"},
	{"a.", "pemvfn"},
	{"PostGIS", "emvfn"},
	{"libstdc++", "mvf"},
	{"1.2.3", "pemvfn"},
	{"1.2+dfsg", "mvf"},
	{"1.2~rc1", "v"},
	{"1:2.0", "vn"},
	{"_x", "vrf"},
	{".x", "vf"},
	{"+x", "vf"},
	{"~x", "v"},
	{"-x", "rf"},
	{"x-", "rfn"},
	{"-", "rf"},
	{"a--b", "rfn"},
	{"a..b", "vfn"},
	{"..", "v"},
	{".", "v"},
	{"...", "vf"},
	{"", ""},
	{" ", ""},
	{"a b", ""},
	{"a/b", "fn"},
	{"/a", ""},
	{"a/", "n"},
	{"a//b", "n"},
	{"a/./b", "n"},
	{"a/../b", "n"},
	{"../a", ""},
	{"a/..", "n"},
	{"a\\b", ""},
	{"a\nb", ""},
	{"a\tb", ""},
	{"a'b", ""},
	{"a\"b", ""},
	{"a;b", ""},
	{"$libdir", ""},
	{"a\x7F", ""},
	{"\xC3\xA9", ""},
	{"\xE9", ""},
	{"\xFF", ""},
	{"a*", ""},
	{"%", ""},
	{"root", "pemvfn"},
	{"targets", "pemvfn"},
	{"snapshot", "pemvfn"},
	{"timestamp", "pemvfn"},
	{"roots", "pemvrfn"},
	{"pg15-linux-amd64", "pemvrfn"},
	{"pg15/linux-amd64/hll/2.17/hll-2.17.tar.zst", "fn"},
	{SIXTY "abc", "pemvrfn"},
	{SIXTY "abcd", "rf"},
	{SIXTY "abcde", "f"},
	{NULL, ""},
};

static const struct
{
	char		letter;
	bool		(*predicate) (const char *);
}			predicates[] = {
	{'p', depot_name_is_package},
	{'e', depot_name_is_extension},
	{'m', depot_name_is_module},
	{'v', depot_name_is_version},
	{'r', depot_name_is_delegated_role},
	{'f', depot_name_is_relative_path},
	{'n', depot_name_is_node},
};

static void
test_predicates(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		for (size_t p = 0; p < sizeof(predicates) / sizeof(predicates[0]); p++)
		{
			bool		expected = strchr(cases[i].accepted_by, predicates[p].letter) != NULL;

			if (predicates[p].predicate(cases[i].value) != expected)
				fail_msg("'%s' should %sbe accepted by %c",
						 cases[i].value != NULL ? cases[i].value : "(null)", expected ? "" : "not ",
						 predicates[p].letter);
		}
	}
}

/* Every single byte, alone and inside a name: no locale and no signedness of char in the way. */
static void
test_every_byte(void **state)
{
	static const char *const allowed_inside[] = {
		"abcdefghijklmnopqrstuvwxyz0123456789_.-",
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-",
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-+",
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+~:_-",
		"abcdefghijklmnopqrstuvwxyz0123456789_-",
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-/",
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-",
	};

	(void) state;
	for (int byte = 1; byte < 256; byte++)
	{
		char		value[4] = {'a', (char) byte, 'b', '\0'};

		for (size_t p = 0; p < sizeof(predicates) / sizeof(predicates[0]); p++)
			assert_int_equal(predicates[p].predicate(value), strchr(allowed_inside[p], byte) != NULL);
	}
}

static void
test_path_lengths(void **state)
{
	char		path[2048];

	(void) state;
	memset(path, 'a', sizeof(path));
	path[255] = '\0';
	assert_true(depot_name_is_relative_path(path));
	path[255] = 'a';
	path[256] = '\0';
	assert_false(depot_name_is_relative_path(path));
	path[256] = 'a';
	for (size_t i = 200; i < sizeof(path); i += 200)
		path[i] = '/';
	path[DEPOT_PATH_MAX_BYTES] = '\0';
	assert_true(depot_name_is_relative_path(path));
	path[DEPOT_PATH_MAX_BYTES] = 'a';
	path[DEPOT_PATH_MAX_BYTES + 1] = '\0';
	assert_false(depot_name_is_relative_path(path));
}

static void
test_sha256(void **state)
{
	(void) state;
	assert_true(depot_name_is_sha256("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
	assert_false(depot_name_is_sha256("E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
	assert_false(depot_name_is_sha256("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85"));
	assert_false(depot_name_is_sha256("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555"));
	assert_false(depot_name_is_sha256("g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
	assert_false(depot_name_is_sha256(""));
	assert_false(depot_name_is_sha256(NULL));
}

static void
test_checks(void **state)
{
	char		huge[65537];
	DepotError	error;

	(void) state;
	assert_true(depot_name_check_package("main", "repository", &error));
	assert_true(depot_name_check_extension("PostGIS", &error));
	assert_true(depot_name_check_version("1:2.0~rc1", &error));

	assert_false(depot_name_check_package("../etc", "repository", &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_NAME);
	assert_string_equal(error.message, "invalid repository name: \"../etc\"");
	assert_non_null(strstr(error.detail, "1 to 63"));

	assert_false(depot_name_check_extension("a\n\xC3\xA9", &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_NAME);
	assert_string_equal(error.message, "invalid extension name: \"a???\"");

	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_false(depot_name_check_version(huge, &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_VERSION);
	assert_true(strlen(error.message) < 120);
	assert_non_null(strstr(error.message, "xxx...\""));

	assert_true(depot_name_check_node("15/main", &error));
	assert_false(depot_name_check_node("db 1", &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_NAME);
	assert_string_equal(error.message, "invalid server name: \"db 1\"");
	assert_non_null(strstr(error.detail, "1 to 63"));

	assert_false(depot_name_check_extension(NULL, &error));
	assert_string_equal(error.message, "invalid extension name: \"\"");
}

static void
test_printable(void **state)
{
	char		out[8];

	(void) state;
	assert_string_equal(depot_name_printable("abc", out, sizeof(out)), "abc");
	assert_string_equal(depot_name_printable("abcdefg", out, sizeof(out)), "abcdefg");
	assert_string_equal(depot_name_printable("abcdefgh", out, sizeof(out)), "abcd...");
	assert_string_equal(depot_name_printable("\x1B[2J\x80", out, sizeof(out)), "?[2J?");
	assert_string_equal(depot_name_printable(NULL, out, sizeof(out)), "");
	assert_string_equal(depot_name_printable("abc", out, 2), "a");
	assert_string_equal(depot_name_printable("abc", out, 1), "");
	out[0] = '!';
	assert_ptr_equal(depot_name_printable("abc", out, 0), out);
	assert_int_equal(out[0], '!');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_predicates),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_path_lengths),
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
