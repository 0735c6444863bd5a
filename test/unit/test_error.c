/*-------------------------------------------------------------------------
 *
 * test_error.c
 *	  Errors as values: cutting, joining, codes.
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

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"

static void
test_set_clears_the_rest(void **state)
{
	DepotError	error;

	(void) state;
	memset(&error, 'x', sizeof(error));
	assert_false(depot_error_set(&error, DEPOT_ERROR_KEY, "key %d of %s", 3, "root"));
	assert_int_equal(error.code, DEPOT_ERROR_KEY);
	assert_string_equal(error.message, "key 3 of root");
	assert_string_equal(error.detail, "");
	assert_string_equal(error.hint, "");
	assert_false(depot_error_detail(&error, "Found %s.", "two"));
	assert_false(depot_error_hint(&error, "Ask %s.", "again"));
	assert_string_equal(error.message, "key 3 of root");
	assert_string_equal(error.detail, "Found two.");
	assert_string_equal(error.hint, "Ask again.");
}

static void
test_null_error_is_allowed(void **state)
{
	(void) state;
	assert_false(depot_error_set(NULL, DEPOT_ERROR_IO, "x"));
	assert_false(depot_error_set_errno(NULL, EIO, "x"));
	assert_false(depot_error_detail(NULL, "x"));
	assert_false(depot_error_hint(NULL, "x"));
	assert_false(depot_error_prefix(NULL, "x"));
}

static void
test_errno_picks_the_code(void **state)
{
	static const struct
	{
		int			saved_errno;
		DepotErrorCode code;
	}			cases[] = {
		{ENOSPC, DEPOT_ERROR_DISK_FULL},
		{EDQUOT, DEPOT_ERROR_DISK_FULL},
		{ENOENT, DEPOT_ERROR_FILE_MISSING},
		{EEXIST, DEPOT_ERROR_FILE_EXISTS},
		{ENOMEM, DEPOT_ERROR_OUT_OF_MEMORY},
		{EIO, DEPOT_ERROR_IO},
		{EACCES, DEPOT_ERROR_IO},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		DepotError	error;
		char		expected[256];

		assert_false(depot_error_set_errno(&error, cases[i].saved_errno, "could not open \"%s\"", "a"));
		assert_int_equal(error.code, cases[i].code);
		snprintf(expected, sizeof(expected), "could not open \"a\": %s", strerror(cases[i].saved_errno));
		assert_string_equal(error.message, expected);
		assert_string_equal(error.detail, "");
		assert_string_equal(error.hint, "");
	}
}

static void
test_long_texts_are_cut(void **state)
{
	DepotError	error;
	char		text[4096];

	(void) state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	depot_error_set(&error, DEPOT_ERROR_IO, "%s", text);
	assert_int_equal(strlen(error.message), DEPOT_ERROR_MESSAGE_BYTES - 1);
	depot_error_detail(&error, "%s", text);
	assert_int_equal(strlen(error.detail), DEPOT_ERROR_DETAIL_BYTES - 1);
	depot_error_hint(&error, "%s", text);
	assert_int_equal(strlen(error.hint), DEPOT_ERROR_HINT_BYTES - 1);

	/* What failed is worth more than a long path: the reason stays whole. */
	depot_error_set_errno(&error, ENOSPC, "%s", text);
	assert_int_equal(strlen(error.message), DEPOT_ERROR_MESSAGE_BYTES - 1);
	assert_non_null(strstr(error.message, strerror(ENOSPC)));
}

static void
test_cuts_leave_whole_characters(void **state)
{
	/* Two, three and four bytes of UTF-8, at every distance from the cut. */
	static const char *const characters[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};

	(void) state;
	for (size_t c = 0; c < sizeof(characters) / sizeof(characters[0]); c++)
	{
		size_t		bytes = strlen(characters[c]);

		for (size_t shift = 0; shift < 4; shift++)
		{
			char		text[1024] = "";
			DepotError	error;
			size_t		length;

			memset(text, 'a', shift);
			while (strlen(text) < 900)
				strcat(text, characters[c]);
			depot_error_set(&error, DEPOT_ERROR_IO, "%s", text);
			length = strlen(error.message);
			assert_true(length > DEPOT_ERROR_MESSAGE_BYTES - 1 - bytes);
			assert_int_equal((length - shift) % bytes, 0);
			assert_memory_equal(error.message, text, length);

			depot_error_set(&error, DEPOT_ERROR_IO, "tail");
			depot_error_prefix(&error, "%s", text);
			length = strlen(error.message) - strlen(": tail");
			assert_int_equal((length - shift) % bytes, 0);
			assert_string_equal(error.message + length, ": tail");
		}
	}
}

static void
test_prefix(void **state)
{
	DepotError	error;

	(void) state;
	depot_error_set(&error, DEPOT_ERROR_ARCHIVE, "no manifest");
	depot_error_detail(&error, "Detail.");
	assert_false(depot_error_prefix(&error, "package %s", "hll"));
	assert_string_equal(error.message, "package hll: no manifest");
	assert_int_equal(error.code, DEPOT_ERROR_ARCHIVE);
	assert_string_equal(error.detail, "Detail.");

	/* Its own message as an argument. */
	depot_error_set(&error, DEPOT_ERROR_ARCHIVE, "x");
	depot_error_set(&error, DEPOT_ERROR_KEY, "again %s", error.message);
	assert_string_equal(error.message, "again x");
}

static void
test_codes(void **state)
{
	static const DepotErrorCode codes[] = {
#define X(suffix, wire, sqlstate) DEPOT_ERROR_##suffix,
		DEPOT_ERROR_CODES(X)
#undef X
	};

	(void) state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
	{
		const char *sqlstate = depot_error_sqlstate(codes[i]);

		/* A wire name that two codes share would come back as the first. */
		assert_int_equal(depot_error_from_wire_name(depot_error_wire_name(codes[i])), codes[i]);
		assert_int_equal(strlen(sqlstate), 5);
		for (const char *c = sqlstate; *c != '\0'; c++)
			assert_true(isdigit((unsigned char) *c) || isupper((unsigned char) *c));
		assert_string_not_equal(sqlstate, "XX000");
	}
	assert_string_equal(depot_error_wire_name(DEPOT_ERROR_DISK_FULL), "disk_full");
	assert_string_equal(depot_error_sqlstate(DEPOT_ERROR_DISK_FULL), "53100");
	assert_string_equal(depot_error_wire_name(DEPOT_OK), "ok");
	assert_string_equal(depot_error_sqlstate(DEPOT_OK), "00000");
	assert_string_equal(depot_error_wire_name((DepotErrorCode) 9999), "agent");
	assert_string_equal(depot_error_sqlstate((DepotErrorCode) -1), "58000");
	assert_int_equal(depot_error_from_wire_name("no_such_code"), DEPOT_ERROR_AGENT);
	assert_int_equal(depot_error_from_wire_name(""), DEPOT_ERROR_AGENT);
	assert_int_equal(depot_error_from_wire_name(NULL), DEPOT_ERROR_AGENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_clears_the_rest),
		cmocka_unit_test(test_null_error_is_allowed),
		cmocka_unit_test(test_errno_picks_the_code),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_cuts_leave_whole_characters),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
