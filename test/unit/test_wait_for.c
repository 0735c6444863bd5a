/*-------------------------------------------------------------------------
 *
 * test_wait_for.c
 *	  Tests of the values of wait_for.
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

#include "common/wait_for.h"

static void
test_values(void **state)
{
	static const struct
	{
		const char *value;
		int			count;
	}			cases[] = {
		{"local", DEPOT_WAIT_FOR_LOCAL},
		{"all", DEPOT_WAIT_FOR_ALL},
		{"0", DEPOT_WAIT_FOR_LOCAL},
		{"1", 1},
		{"02", 2},
		{"64", DEPOT_WAIT_FOR_MAX},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		DepotError	error;
		int			count = -2;

		assert_true(depot_wait_for_parse(cases[i].value, &count, &error));
		assert_int_equal(count, cases[i].count);
	}
}

static void
test_refused(void **state)
{
	static const char *const values[] = {
		"", " ", "Local", "ALL", "any", "-1", "65", "100", "4294967297", "1 ", "1x", "all\n"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
	{
		DepotError	error = {.code = DEPOT_OK};
		int			count;

		assert_false(depot_wait_for_parse(values[i], &count, &error));
		assert_int_equal(error.code, DEPOT_ERROR_INVALID_ARGUMENT);
		assert_non_null(strstr(error.message, "invalid value for wait_for: \""));
		assert_string_equal(error.hint, "It is \"local\", \"all\", or a number of standbys up to 64.");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
