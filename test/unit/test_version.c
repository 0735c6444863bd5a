/*-------------------------------------------------------------------------
 *
 * test_version.c
 *	  Order of versions and constraints on them.
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

#include "common/version.h"

static const struct
{
	const char *a;
	int			order;			/* -1, 0, 1 */
	const char *b;
}			orders[] = {
	{"1.0", 0, "1.0"},
	{"1.0", -1, "1.1"},
	{"1.9", -1, "1.10"},
	{"1.2", -1, "1.2.0"},
	{"1.0", 0, "1.00"},
	{"1.01", 0, "1.1"},
	{"1", -1, "2"},
	{"0.9.9", -1, "1"},
	{"10", 1, "9"},
	{"2.17", 1, "2.16"},
	{"1.a", -1, "1.b"},
	{"1a", 1, "1"},
	{"1a", -1, "1a1"},
	{"1.0a", -1, "1.0b"},
	{"1.0A", -1, "1.0a"},
	{"1.0a", -1, "1.0+"},
	{"1.0z", -1, "1.0.1"},
	{"1.0+dfsg", -1, "1.0.1"},
	{"1.0+dfsg", 1, "1.0"},
	{"1.0_1", 1, "1.0a"},
	{"1.0~rc1", -1, "1.0"},
	{"1.0~rc1", -1, "1.0~rc2"},
	{"1.0~rc1", 1, "1.0~beta"},
	{"1.0~~", -1, "1.0~"},
	{"1.0~", -1, "1.0"},
	{"1.0~~a", -1, "1.0~"},
	{"1.0~", -1, "1.0a"},
	{"1.0~1", -1, "1.0"},
	{"~", -1, "a"},
	{"1.0-1", -1, "1.0-2"},
	{"1.0-1", 1, "1.0"},
	{"1.0-0", 0, "1.0"},
	{"1.0-1", -1, "1.0.0-1"},
	{"1.0-1~bpo12", -1, "1.0-1"},
	{"1.0-rc-1", 1, "1.0-1"},
	{"1.2-9", -1, "1.2-10"},
	{"1:0.1", 1, "9.9"},
	{"0:1.0", 0, "1.0"},
	{"1:1.0", -1, "2:0.1"},
	{"01:1.0", 0, "1:1.0"},
	{"1:2:3", 1, "1:2"},
	{"99999999999999999999:1", 1, "99999999999999999998:1"},
	{"123456789012345678901234567890", -1, "123456789012345678901234567891"},
	{"00000000000000000000000000000000000001", 0, "1"},
	{"a:1", 1, "a"},
	{":1", 1, "1"},
	{"3.3.2+dfsg-1+b1", 1, "3.3.2+dfsg-1"},
	{"20230101", 1, "2.0"},
};

static int
sign(int order)
{
	return (order > 0) - (order < 0);
}

static void
test_order(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
	{
		if (sign(depot_version_compare(orders[i].a, orders[i].b)) != orders[i].order ||
			sign(depot_version_compare(orders[i].b, orders[i].a)) != -orders[i].order)
			fail_msg("'%s' against '%s': %d and %d, expected %d", orders[i].a, orders[i].b,
					 depot_version_compare(orders[i].a, orders[i].b),
					 depot_version_compare(orders[i].b, orders[i].a), orders[i].order);
	}
}

/* An order must be one: for all values of the table, a <= b and b <= c give a <= c. */
static void
test_order_is_transitive(void **state)
{
	enum
	{
		COUNT = sizeof(orders) / sizeof(orders[0])
	};

	(void) state;
	for (size_t i = 0; i < COUNT; i++)
	{
		for (size_t j = 0; j < COUNT; j++)
		{
			int			ij = sign(depot_version_compare(orders[i].a, orders[j].a));

			assert_int_equal(ij, -sign(depot_version_compare(orders[j].a, orders[i].a)));
			for (size_t k = 0; k < COUNT && ij <= 0; k++)
			{
				if (depot_version_compare(orders[j].a, orders[k].a) <= 0)
					assert_true(depot_version_compare(orders[i].a, orders[k].a) <= 0);
			}
		}
	}
}

static const struct
{
	const char *constraint;
	const char *satisfied_by;	/* separated by blanks */
	const char *not_by;
}			constraints[] = {
	{NULL, "0 1.2.3 ~", ""},
	{"", "0 1.2.3", ""},
	{"  ", "0 1.2.3", ""},
	{"*", "0 1.2.3", ""},
	{" * ", "0 1.2.3", ""},
	{"1.2.3", "1.2.3 1.2.03 0:1.2.3", "1.2.4 1.2 1.2.3.0 1.2.3-1"},
	{"= 1.2.3", "1.2.3", "1.2.4"},
	{"=1.2.3", "1.2.3", "1.2.4"},
	{"!= 1.4", "1.3 1.5 1.4.0", "1.4"},
	{"1.2.*", "1.2 1.2.0 1.2.3 1.2.3-1 1.2.10~rc1", "1.20 1.3 1.2a 1.2~rc1 1.2-1 1 1:1.2.3"},
	{"1.*", "1 1.0 1.99.1", "10 2 0.1"},
	{"1:2.*", "1:2 1:2.5", "2.5 1:3"},
	{">= 1.2", "1.2 1.2.0 2 1:0", "1.1 1.2~rc1"},
	{"> 1.2", "1.2.0 1.3", "1.2 1.1"},
	{"<= 2", "2 1.9 2~", "2.0 3"},
	{"< 2", "1.99 2~rc1", "2 3"},
	{">= 1.2, < 2", "1.2 1.9", "1.1 2 2.1"},
	{">=1.2,<2", "1.2 1.9", "1.1 2 2.1"},
	{" \t>=\t1.2 \n,\r< 2 ", "1.2 1.9", "1.1 2 2.1"},
	{">= 1, *, != 1.5", "1 1.6", "1.5 0"},
	{">= 1, 1.5.*", "1.5 1.5.1", "1.6"},
	{"> 1, < 1", "", "1 0 2"},
	{"1,1,1,1,1,1,1,1", "1", "2"},
};

/* Goes through the words of list and checks each. */
static void
check_words(const char *text, const DepotVersionConstraint *constraint, const char *list, bool expected)
{
	while (*list != '\0')
	{
		char		version[64];
		size_t		length = strcspn(list, " ");

		memcpy(version, list, length);
		version[length] = '\0';
		if (depot_version_satisfies(version, constraint) != expected)
			fail_msg("'%s' should %ssatisfy '%s'", version, expected ? "" : "not ",
					 text != NULL ? text : "(null)");
		list += length;
		list += strspn(list, " ");
	}
}

static void
test_constraints(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(constraints) / sizeof(constraints[0]); i++)
	{
		DepotVersionConstraint constraint;
		DepotError	error;

		if (!depot_version_constraint_parse(constraints[i].constraint, &constraint, &error))
			fail_msg("'%s' was refused: %s", constraints[i].constraint, error.message);
		check_words(constraints[i].constraint, &constraint, constraints[i].satisfied_by, true);
		check_words(constraints[i].constraint, &constraint, constraints[i].not_by, false);
	}
}

static void
test_any_has_no_terms(void **state)
{
	static const char *const any[] = {NULL, "", " ", "*", "*, *"};
	DepotVersionConstraint constraint;
	DepotError	error;

	(void) state;
	for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++)
	{
		assert_true(depot_version_constraint_parse(any[i], &constraint, &error));
		assert_int_equal(constraint.term_count, 0);
	}
}

static void
test_bad_constraints(void **state)
{
	static const char *const bad[] = {
		",", "1,", ",1", "1,,2", "1, ,2", ">", ">=", "> ,1", "= =1", "=> 1", "== 1", "~> 1", "1 2", "1.2 .3",
		"1.2.**", "1*", ".*", "**", "*.1", "= 1.2.*", ">= 1.*", "!= *", "> *", "1--2", "-1", "1-", "1/2",
		"1'2", "1\"2", "1;2", "\xC3\xA9", "1\n2", "1,1,1,1,1,1,1,1,1", "<>1", "!1", "1 ||2", "--",
		"1234567890123456789012345678901234567890123456789012345678901234",
	};
	char		huge[65537];
	DepotVersionConstraint constraint;
	DepotError	error;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		if (depot_version_constraint_parse(bad[i], &constraint, &error))
			fail_msg("'%s' was accepted", bad[i]);
		assert_int_equal(error.code, DEPOT_ERROR_INVALID_VERSION);
		assert_non_null(strstr(error.message, "invalid version constraint"));
		assert_true(strlen(error.hint) > 0);
		assert_int_equal(constraint.term_count, 0);
	}
	memset(huge, ' ', sizeof(huge));
	huge[0] = '1';
	huge[DEPOT_CONSTRAINT_MAX_BYTES] = '\0';
	assert_true(depot_version_constraint_parse(huge, &constraint, &error));
	huge[DEPOT_CONSTRAINT_MAX_BYTES] = ' ';
	huge[DEPOT_CONSTRAINT_MAX_BYTES + 1] = '\0';
	assert_false(depot_version_constraint_parse(huge, &constraint, &error));
	memset(huge, '1', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_false(depot_version_constraint_parse(huge, &constraint, &error));
}

/* The detail is about this constraint. */
static void
test_reasons(void **state)
{
	static const char *const reasons[][2] = {
		{"1--2", "\"1--2\" is not a version."},
		{">= 1, < -2", "\"-2\" is not a version."},
		{"1 2", "\"1 2\" is not a version."},
		{"1\n2", "\"1?2\" is not a version."},
		{">= 1.*", "\"1.*\" is not a version: \"*\" stands alone, or behind the last \".\" without an operator."},
		{">= 1, >=", "No version follows \">=\"."},
		{"> ,1", "No version follows \">\"."},
		{"1,,2", "Nothing stands before or after a comma."},
		{"1,", "Nothing stands before or after a comma."},
		{"1,1,1,1,1,1,1,1,1", "It has more than 8 terms."},
	};
	char		huge[DEPOT_CONSTRAINT_MAX_BYTES + 2];
	DepotVersionConstraint constraint;
	DepotError	error;

	(void) state;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
	{
		assert_false(depot_version_constraint_parse(reasons[i][0], &constraint, &error));
		assert_string_equal(error.detail, reasons[i][1]);
		assert_false(depot_version_constraint_check(reasons[i][0], &error));
	}
	memset(huge, '1', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_false(depot_version_constraint_parse(huge, &constraint, &error));
	assert_string_equal(error.detail, "It has more than 255 bytes.");
	/* one term of the most bytes that fit: longer than a version, shown shortened */
	huge[sizeof(huge) - 2] = '\0';
	assert_false(depot_version_constraint_parse(huge, &constraint, &error));
	assert_non_null(strstr(error.detail, "...\" is not a version."));
}

/* Nothing is any version in a manifest, and a mistake in a request. */
static void
test_empty(void **state)
{
	static const char *const empty[] = {"", " ", "\t\n"};
	DepotVersionConstraint constraint;
	DepotError	error;

	(void) state;
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++)
	{
		assert_true(depot_version_constraint_parse(empty[i], &constraint, &error));
		assert_false(depot_version_constraint_check(empty[i], &error));
		assert_int_equal(error.code, DEPOT_ERROR_INVALID_VERSION);
		assert_string_equal(error.detail, "It is empty.");
	}
	assert_true(depot_version_constraint_check(NULL, &error));
	assert_true(depot_version_constraint_check("*", &error));
	assert_true(depot_version_constraint_check(">= 1, < 2", &error));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_order_is_transitive),
		cmocka_unit_test(test_constraints),
		cmocka_unit_test(test_any_has_no_terms),
		cmocka_unit_test(test_bad_constraints),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
