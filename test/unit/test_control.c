/*-------------------------------------------------------------------------
 *
 * test_control.c
 *	  Control files: their syntax, the names of scripts, versions within reach.
 *	  Whole packages against these rules are cases of test_archive.c.
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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/control.h"

/*
 * Parses a copy of exactly that many bytes, so that a memory checker sees every step beyond the end.
 */
static DepotControl *
parse(const char *text, DepotError *error)
{
	size_t		length = strlen(text);
	char	   *copy = malloc(length + (length == 0));
	DepotControl *control;

	assert_non_null(copy);
	memcpy(copy, text, length);
	control = depot_control_parse(copy, length, "x.control", error);
	free(copy);
	return control;
}

static void
test_good(void **state)
{
	DepotError	error = {0};
	DepotControl *control = parse("# a comment\n"
								  "comment = 'it''s a \\'test\\'\\041'  # more\n"
								  "default_version '1.0'\r\n"
								  "\n  \t\n"
								  "module_pathname='$libdir/x'\n"
								  "relocatable = no\n"
								  "superuser = off\n"
								  "trusted = TRUE\n"
								  "schema = pg_catalog\n"
								  "encoding=UTF8\n"
								  "no_relocate = 'a, b'\n"
								  "requires = 'plpgsql, \"Mixed\" ,CUBE'", &error);

	(void) state;
	if (control == NULL)
		fail_msg("%s", error.message);
	assert_string_equal(control->comment, "it's a 'test'!");
	assert_string_equal(control->default_version, "1.0");
	assert_string_equal(control->module_pathname, "$libdir/x");
	assert_string_equal(control->schema, "pg_catalog");
	assert_string_equal(control->encoding, "UTF8");
	assert_null(control->directory);
	assert_false(control->relocatable);
	assert_false(control->superuser);
	assert_true(control->trusted);
	assert_int_equal(control->require_count, 3);
	assert_string_equal(control->requires[0], "plpgsql");
	assert_string_equal(control->requires[1], "Mixed");
	assert_string_equal(control->requires[2], "cube");
	depot_control_free(control);
}

static void
test_defaults_and_last_value(void **state)
{
	DepotError	error = {0};
	DepotControl *control = parse("", &error);

	(void) state;
	assert_non_null(control);
	assert_null(control->default_version);
	assert_true(control->superuser);
	assert_false(control->trusted);
	assert_false(control->relocatable);
	assert_int_equal(control->require_count, 0);
	depot_control_free(control);
	control = parse("default_version = 1.5\ndefault_version = v2-rc:1/x\nrequires = 'a'\nrequires = 'b, b'",
					&error);
	assert_non_null(control);
	assert_string_equal(control->default_version, "v2-rc:1/x");
	assert_int_equal(control->require_count, 1);
	assert_string_equal(control->requires[0], "b");
	depot_control_free(control);
	control = parse("default_version = -1.5e+3 # a number", &error);
	assert_non_null(control);
	assert_string_equal(control->default_version, "-1.5e+3");
	depot_control_free(control);
	control = parse("requires = ' '\ndefault_version = 0x1FkB", &error);
	assert_non_null(control);
	assert_int_equal(control->require_count, 0);
	assert_string_equal(control->default_version, "0x1FkB");
	depot_control_free(control);
}

static void
test_booleans(void **state)
{
	static const char *const yes[] = {"true", "t", "TR", "yes", "y", "on", "ON", "1", "'true'"};
	static const char *const no[] = {"false", "f", "no", "n", "off", "of", "0"};
	static const char *const neither[] = {"o", "2", "truer", "''", "onn", "maybe"};
	char		text[64];
	DepotError	error = {0};
	DepotControl *control;

	(void) state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
	{
		snprintf(text, sizeof(text), "trusted = %s", yes[i]);
		control = parse(text, &error);
		assert_non_null(control);
		assert_true(control->trusted);
		depot_control_free(control);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
	{
		snprintf(text, sizeof(text), "superuser = %s", no[i]);
		control = parse(text, &error);
		assert_non_null(control);
		assert_false(control->superuser);
		depot_control_free(control);
	}
	for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++)
	{
		snprintf(text, sizeof(text), "trusted = %s", neither[i]);
		assert_null(parse(text, &error));
		assert_int_equal(error.code, DEPOT_ERROR_CONTROL_FILE);
	}
}

static void
test_faults(void **state)
{
	static const struct
	{
		const char *text;
		const char *message;
	}			faults[] = {
		{"default_version = '1.0", "line 1: string is not ended"},
		{"\ndefault_version = '1.0\n'", "line 2: string is not ended"},
		{"default_version = '1.0\\", "string is not ended"},
		{"default_version = '1.0\\'", "string is not ended"},
		{"default_version = '1\\000'", "zero byte"},
		{"default_version = '1\\0", "zero byte"},
		{"default_version = 1.0.1", "line 1: syntax error"},
		{"default_version = 'a' 'b'", "syntax error"},
		{"default_version = a b", "syntax error"},
		{"default_version =", "value is missing"},
		{"default_version", "value is missing"},
		{"default_version = = 1", "value is missing"},
		{"default_version = \"1.0\"", "value is missing"},
		{"default-version = 1", "syntax error"},
		{"= 1", "syntax error"},
		{"'comment' = 1", "syntax error"},
		{"unknown = 1", "unrecognized parameter \"unknown\""},
		{"Comment = 'x'", "unrecognized parameter"},
		{"a.b = 'x'", "unrecognized parameter"},
		{"include '/etc/passwd'", "cannot include"},
		{"INCLUDE_dir = '/etc'", "cannot include"},
		{"include_if_exists 'x'", "cannot include"},
		{"requires = 'a,,b'", "not a list"},
		{"requires = 'a b'", "not a list"},
		{"requires = 'a,'", "not a list"},
		{"requires = '\"a'", "not a list"},
		{"requires = '../a'", "requires"},
		{"requires = '\"a'';DROP\"'", "requires"},
		{"relocatable = true\nschema = 'x'", "cannot be specified"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
	{
		DepotError	error = {0};

		if (parse(faults[i].text, &error) != NULL)
			fail_msg("accepted: %s", faults[i].text);
		if (error.code != DEPOT_ERROR_CONTROL_FILE || strstr(error.message, faults[i].message) == NULL ||
			strncmp(error.message, "x.control", strlen("x.control")) != 0)
			fail_msg("%s: refused with \"%s\"", faults[i].text, error.message);
	}
}

static void
test_zero_byte_and_size(void **state)
{
	static char large[DEPOT_CONTROL_MAX_BYTES + 1];
	DepotError	error = {0};

	(void) state;
	assert_null(depot_control_parse("trusted = on\0", 13, "x.control", &error));
	assert_non_null(strstr(error.message, "zero byte"));
	memset(large, '\n', sizeof(large));
	assert_null(depot_control_parse(large, sizeof(large), "x.control", &error));
	assert_non_null(strstr(error.message, "are allowed"));
}

static void
test_file_names(void **state)
{
	static const char *const data[] = {
		"hll.sql", "hll--1.0.txt", "hll", ".control", ".sql", "--1.0.sql", "a--1.0--2.0.control", "a--b--c--d.sql",
		"a--.sql", "a---1.0.sql", "a--1.0-.sql", "a--1.0---2.sql", "-a--1.sql", "a+b--1.sql", "a--1+2.sqlx"
	};
	DepotExtensionFile file;

	(void) state;
	assert_true(depot_control_parse_file_name("hll.control", &file));
	assert_int_equal(file.kind, DEPOT_FILE_CONTROL);
	assert_string_equal(file.extension, "hll");
	assert_string_equal(file.version, "");
	assert_true(depot_control_parse_file_name("pg_proctab--0.0.10-compat.control", &file));
	assert_int_equal(file.kind, DEPOT_FILE_SECONDARY_CONTROL);
	assert_string_equal(file.version, "0.0.10-compat");
	assert_true(depot_control_parse_file_name("hll--2.17.sql", &file));
	assert_int_equal(file.kind, DEPOT_FILE_INSTALL_SCRIPT);
	assert_string_equal(file.version, "2.17");
	assert_string_equal(file.target_version, "");
	assert_true(depot_control_parse_file_name("postgis_topology--ANY--3.3.2.sql", &file));
	assert_int_equal(file.kind, DEPOT_FILE_UPDATE_SCRIPT);
	assert_string_equal(file.extension, "postgis_topology");
	assert_string_equal(file.version, "ANY");
	assert_string_equal(file.target_version, "3.3.2");
	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++)
	{
		if (depot_control_parse_file_name(data[i], &file))
			fail_msg("taken for a script: %s", data[i]);
	}
}

static void
test_versions(void **state)
{
	static const char *const names[] = {
		"x--1.10.sql", "x--1.9--1.10.sql", "x--1.2.sql", "x--1.2--ANY.sql", "x--ANY--2.0.sql", "x--2.0--2.1.sql",
		"x--0.5--1.2.sql", "x--unpackaged--1.2.sql", "y--7.sql", "y--7--8.sql", "x.control", "x--2.1.control"
	};
	static const char *const wanted[] = {"1.2", "1.10", "2.0", "2.1"};
	DepotExtensionFile files[sizeof(names) / sizeof(names[0])];
	DepotError	error = {0};
	char	  **versions;
	int			count;

	(void) state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(depot_control_parse_file_name(names[i], &files[i]));
	assert_true(depot_control_list_versions(files, sizeof(names) / sizeof(names[0]), "x", &versions, &count,
											&error));
	assert_int_equal(count, sizeof(wanted) / sizeof(wanted[0]));
	for (int i = 0; i < count; i++)
	{
		assert_string_equal(versions[i], wanted[i]);
		free(versions[i]);
	}
	free(versions);
	assert_true(depot_control_list_versions(files, 0, "x", &versions, &count, &error));
	assert_int_equal(count, 0);
	free(versions);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_defaults_and_last_value),
		cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_zero_byte_and_size),
		cmocka_unit_test(test_file_names),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
