/*-------------------------------------------------------------------------
 *
 * test_trusted_roots.c
 *	  Tests of lists of pinned roots.
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

#include "common/trusted_roots.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER_DIGEST "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static const struct
{
	const char *list;
	const char *repository;
	const char *sha256;			/* NULL: it has no entry */
	const char *path;
}			good_lists[] = {
	{"", "main", NULL, NULL},
	{" , ,\n", "main", NULL, NULL},
	{"main = " DIGEST, "main", DIGEST, ""},
	{"main=" DIGEST, "main", DIGEST, ""},
	{"main=" DIGEST, "mai", NULL, NULL},
	{"main=" DIGEST, "main2", NULL, NULL},
	{" main\t=\n" DIGEST " ,", "main", DIGEST, ""},
	{"main = /etc/depot/root.json", "main", "", "/etc/depot/root.json"},
	{"main = /etc/my depot/root.json , other=" DIGEST, "main", "", "/etc/my depot/root.json"},
	{"main = /etc/my depot/root.json , other=" DIGEST, "other", DIGEST, ""},
	{"main = /a=b", "main", "", "/a=b"},
	{"main = " DIGEST ", main=" DIGEST, "main", DIGEST, ""},
};

static void
read_good_lists(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(good_lists) / sizeof(good_lists[0]); i++)
	{
		DepotTrustedRoot root;
		DepotError	error;
		bool		found;

		if (!depot_trusted_roots_check(good_lists[i].list, &error))
			fail_msg("\"%s\": %s", good_lists[i].list, error.message);
		assert_int_equal(depot_trusted_roots_has_entries(good_lists[i].list),
						 strchr(good_lists[i].list, '=') != NULL);
		found = depot_trusted_roots_find(good_lists[i].list, good_lists[i].repository, &root);
		assert_int_equal(found, good_lists[i].sha256 != NULL);
		if (found)
		{
			assert_string_equal(root.repository, good_lists[i].repository);
			assert_string_equal(root.sha256, good_lists[i].sha256);
			assert_string_equal(root.path, good_lists[i].path);
		}
	}
}

static const char *const bad_lists[][2] = {
	{"main", "\"main\" is not of the form \"repository = sha256 or path\""},
	{"main " DIGEST, "\"main 0123456789abcdef0123456789abcdef0123456789abcdef0123456\" is not of the form"},
	{"a = " DIGEST ", \x01", "\"?\" is not of the form"},
	{"= " DIGEST, "invalid repository name: \"\""},
	{"../main = " DIGEST, "invalid repository name: \"../main\""},
	{"Main = " DIGEST, "invalid repository name: \"Main\""},
	{"aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbb1234 = " DIGEST, "longer than 63 bytes"},
	{"main =", "neither 64 lower-case hexadecimal digits nor an absolute path"},
	{"main = /", "neither 64 lower-case hexadecimal digits nor an absolute path"},
	{"main = root.json", "neither 64 lower-case hexadecimal digits nor an absolute path"},
	{"main = " DIGEST "0", "neither 64 lower-case hexadecimal digits nor an absolute path"},
	{"main = ABCDEF6789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "neither 64 lower-case"},
	{"main = /etc/\x1Froot.json", "the path for repository \"main\" has a quote or a control character"},
	{"main = '/etc/root.json'", "neither 64 lower-case hexadecimal digits nor an absolute path"},
	{"main = /etc/'root.json", "the path for repository \"main\" has a quote or a control character"},
	{"main = " DIGEST ", main = " OTHER_DIGEST, "repository \"main\" has two different roots"},
	{"main = /a, other = /a, main = /b", "repository \"main\" has two different roots"},
};

static void
refuse_bad_lists(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(bad_lists) / sizeof(bad_lists[0]); i++)
	{
		DepotError	error;

		if (depot_trusted_roots_check(bad_lists[i][0], &error))
			fail_msg("\"%s\" passes", bad_lists[i][0]);
		if (strstr(error.message, bad_lists[i][1]) == NULL)
			fail_msg("\"%s\": \"%s\"", bad_lists[i][0], error.message);
	}
}

static void
refuse_long_path(void **state)
{
	char		list[DEPOT_TRUSTED_ROOTS_PATH_BYTES + 16];
	DepotError	error;

	(void) state;
	memset(list, 'a', sizeof(list) - 1);
	list[sizeof(list) - 1] = '\0';
	memcpy(list, "main=/", 6);
	assert_false(depot_trusted_roots_check(list, &error));
	assert_non_null(strstr(error.message, "is longer than 1023 bytes"));
	list[5 + DEPOT_TRUSTED_ROOTS_PATH_BYTES - 1] = '\0';
	assert_true(depot_trusted_roots_check(list, &error));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_good_lists),
		cmocka_unit_test(refuse_bad_lists),
		cmocka_unit_test(refuse_long_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
