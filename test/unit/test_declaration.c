/*-------------------------------------------------------------------------
 *
 * test_declaration.c
 *	  Tests of declared lists: what their entries are, and what is wrong with them.
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
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/declaration.h"

#define ENTRIES_MAX 8

/* A list, and its entries written out: "name[constraint]", bad ones as "position!name: reason". */
static const struct
{
	const char *list;
	const char *entries;
}			lists[] = {
	{"", ""},
	{" \t\n", ""},
	{",", ""},
	{" , ,", ""},
	{"vector", "vector[]"},
	{"vector,", "vector[]"},
	{",vector,,hll,", "vector[] hll[]"},
	{"postgis 3.5.*, vector, pg_cron >= 1.2, < 2", "postgis[3.5.*] vector[] pg_cron[>= 1.2, < 2]"},
	{"pg_cron >= 1.2, < 2, vector", "pg_cron[>= 1.2, < 2] vector[]"},
	{"pg_cron>=1.2,<2,vector=1", "pg_cron[>=1.2,<2] vector[=1]"},
	{"pg_cron != 1.4 , != 1.5,hll *", "pg_cron[!= 1.4 , != 1.5] hll[*]"},
	{"  a\t 1.0\n,\r\n b  ", "a[1.0] b[]"},
	{"a >=\n\t1", "a[>= 1]"},
	{"Upper 1", "Upper[1]"},
	/* bad entries, and good ones around them */
	{">= 1, vector", "1!: a name is missing before the version vector[]"},
	{"a,>= 1,b", "a[>= 1] b[]"},
	{"vector >= 1,, < 2", "1!vector: invalid version constraint: \">= 1,, < 2\""},
	{"a,, >= 1", "1!a: invalid version constraint: \", >= 1\""},
	{"a b c, hll", "1!a: invalid version constraint: \"b c\" hll[]"},
	{"hll, ../x 1", "hll[] 6!../x: invalid extension name: \"../x\""},
	{"hll, a--b", "hll[] 6!a--b: invalid extension name: \"a--b\""},
	{"\"hll\"", "1!\"hll\": invalid extension name: \"\"hll\"\""},
	{"hll;pgtap", "1!hll;pgtap: invalid extension name: \"hll;pgtap\""},
	{"a\xc3\xa4, b", "1!a??: invalid extension name: \"a??\" b[]"},
	{"a 1\xff", "1!a: invalid version constraint: \"1?\""},
	{"a 1--2", "1!a: invalid version constraint: \"1--2\""},
	{"a >=", "1!a: invalid version constraint: \">=\""},
	/* two entries for one name */
	{"a 1, b, a 2", "a[1] b[] 9!a: \"a\" stands in the list before, as entry 1"},
	{"a, a, a", "a[] 4!a: \"a\" stands in the list before, as entry 1"
	" 7!a: \"a\" stands in the list before, as entry 1"},
	{"a >, a", "1!a: invalid version constraint: \">\" 6!a: \"a\" stands in the list before, as entry 1"},
	{"A, a", "A[] a[]"},
};

static void
write_out(const DepotDeclaration *entries, int count, char *out, size_t out_bytes)
{
	size_t		length = 0;

	out[0] = '\0';
	for (int i = 0; i < count; i++)
	{
		const DepotDeclaration *entry = &entries[i];
		const char *blank = i > 0 ? " " : "";

		assert_int_equal(entry->ordinal, i + 1);
		if (entry->is_bad)
			length += (size_t) snprintf(out + length, out_bytes - length, "%s%zu!%s: %s", blank,
										entry->position_bytes, entry->name, entry->reason);
		else
			length += (size_t) snprintf(out + length, out_bytes - length, "%s%s[%s]", blank, entry->name,
										entry->constraint);
		assert_true(length < out_bytes);
	}
}

static void
test_lists(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		DepotDeclaration entries[ENTRIES_MAX];
		DepotError	error;
		char		out[2048];
		int			count = depot_declaration_count(lists[i].list);

		assert_true(count <= ENTRIES_MAX);
		assert_true(depot_declaration_check(lists[i].list, &error));
		assert_true(depot_declaration_parse(lists[i].list, entries, &error));
		write_out(entries, count, out, sizeof(out));
		if (strcmp(out, lists[i].entries) != 0)
			fail_msg("'%s' gives '%s', not '%s'", lists[i].list, out, lists[i].entries);
	}
}

/* Builds a list of one text again and again. */
static char *
repeat(const char *text, int count)
{
	size_t		length = strlen(text);
	char	   *list = malloc(length * (size_t) count + 1);

	assert_non_null(list);
	list[0] = '\0';
	for (int i = 0; i < count; i++)
		memcpy(list + length * (size_t) i, text, length + 1);
	return list;
}

static void
test_long_parts(void **state)
{
	DepotDeclaration entry;
	DepotError	error;
	char	   *name = repeat("a", DEPOT_NAME_MAX_BYTES);
	char	   *longer = repeat("a", DEPOT_NAME_MAX_BYTES + 1);
	char	   *constraint = repeat(" ,!= 1", 60);
	char		list[512];

	(void) state;
	assert_true(depot_declaration_parse(name, &entry, &error));
	assert_false(entry.is_bad);
	assert_string_equal(entry.name, name);
	assert_true(depot_declaration_parse(longer, &entry, &error));
	assert_true(entry.is_bad);
	snprintf(list, sizeof(list), "hll%s", constraint);
	assert_true(depot_declaration_parse(list, &entry, &error));
	assert_true(entry.is_bad);
	assert_string_equal(entry.name, "hll");
	free(name);
	free(longer);
	free(constraint);
}

static void
check_refused(char *list, const char *message)
{
	DepotError	error;

	assert_false(depot_declaration_check(list, &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, message);
	free(list);
}

static void
test_unreadable(void **state)
{
	char	   *longest = repeat(" ", DEPOT_DECLARATION_MAX_BYTES);
	char	   *most = repeat("a,", DEPOT_DECLARATION_MAX_ENTRIES);
	DepotError	error;

	(void) state;
	assert_true(depot_declaration_check(longest, &error));
	assert_true(depot_declaration_check(most, &error));
	check_refused(repeat(" ", DEPOT_DECLARATION_MAX_BYTES + 1), "the list is longer than 1048576 bytes");
	check_refused(repeat("a,", DEPOT_DECLARATION_MAX_ENTRIES + 1),
				  "the list has 16385 entries; at most 16384 are read");
	check_refused(repeat("a\033", 1), "the list has a control character at position 2");
	check_refused(repeat("\177", 1), "the list has a control character at position 1");
	free(longest);
	free(most);
}

/* The largest list of all, every name twice: seconds would mean that time grows with the square. */
static void
test_many_entries(void **state)
{
	int			count = DEPOT_DECLARATION_MAX_ENTRIES;
	DepotDeclaration *entries = malloc(sizeof(DepotDeclaration) * (size_t) count);
	char	   *list = malloc((size_t) count * 32);
	size_t		length = 0;
	int			bad = 0;
	clock_t		start = clock();
	DepotError	error;

	(void) state;
	assert_non_null(entries);
	assert_non_null(list);
	for (int i = 0; i < count; i++)
		length += (size_t) snprintf(list + length, 32, "name%d >= 1, < %d,", i / 2, i);
	assert_true(depot_declaration_check(list, &error));
	assert_int_equal(depot_declaration_count(list), count);
	assert_true(depot_declaration_parse(list, entries, &error));
	for (int i = 0; i < count; i++)
		bad += entries[i].is_bad;
	assert_int_equal(bad, count / 2);
	assert_string_equal(entries[count - 1].reason, "\"name8191\" stands in the list before, as entry 16383");
	assert_true((double) (clock() - start) / CLOCKS_PER_SEC < 2.0);
	free(list);
	free(entries);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_long_parts),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_many_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
