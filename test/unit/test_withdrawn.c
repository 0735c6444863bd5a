/*-------------------------------------------------------------------------
 *
 * test_withdrawn.c
 *	  Marks of withdrawn builds, and the list of them.
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

#include "common/json.h"
#include "common/withdrawn.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static json_t *
parse_object(const char *text)
{
	DepotError	error;
	json_t	   *object = depot_json_parse(text, strlen(text), DEPOT_ERROR_MANIFEST, "test", &error);

	if (object == NULL)
		fail_msg("%s", error.message);
	return object;
}

static void
test_marks(void **state)
{
	json_t	   *custom = parse_object("{\"yanked\":{\"reason\":\"loses r\\u00f8ws\","
									  "\"advisory\":\"CVE-2026-1\",\"x\":1}}");
	DepotWithdrawal withdrawal;
	DepotError	error;
	bool		is_marked = false;

	(void) state;
	assert_true(depot_withdrawn_read_mark(custom, &is_marked, &withdrawal, &error));
	assert_true(is_marked);
	assert_string_equal(withdrawal.reason, "loses r\xc3\xb8ws");
	assert_string_equal(withdrawal.advisory, "CVE-2026-1");
	assert_null(withdrawal.sha256);
	json_decref(custom);

	custom = parse_object("{\"yanked\":{\"reason\":\"x\",\"advisory\":null}}");
	assert_true(depot_withdrawn_read_mark(custom, &is_marked, &withdrawal, &error));
	assert_true(is_marked);
	assert_null(withdrawal.advisory);
	json_decref(custom);

	custom = parse_object("{}");
	assert_true(depot_withdrawn_read_mark(custom, &is_marked, &withdrawal, &error));
	assert_false(is_marked);
	json_decref(custom);
}

static void
test_bad_marks(void **state)
{
	static const char *const cases[][2] = {
		{"true", "member \"yanked\" is not an object"},
		{"{}", "\"yanked\": member \"reason\" is missing"},
		{"{\"reason\":1}", "\"yanked\": member \"reason\" is not a string"},
		{"{\"reason\":\"\"}", "\"yanked\": \"reason\" is empty"},
		{"{\"reason\":\"  \"}", "\"yanked\": \"reason\" is empty"},
		{"{\"reason\":\"a\\nb\"}", "\"yanked\": \"reason\" has a control character in it"},
		{"{\"reason\":\"a\\u001b[2J\"}", "\"yanked\": \"reason\" has a control character in it"},
		{"{\"reason\":\"a\\u009b2J\"}", "\"yanked\": \"reason\" has a control character in it"},
		{"{\"reason\":\"a\",\"advisory\":7}", "\"yanked\": member \"advisory\" is not a string"},
		{"{\"reason\":\"a\",\"advisory\":\"\"}", "\"yanked\": \"advisory\" is empty"},
		{"{\"reason\":\"a\",\"advisory\":\"CVE 1\"}", "\"yanked\": \"advisory\" has a blank in it"},
	};
	char		text[512];
	char		reason[DEPOT_WITHDRAWN_REASON_MAX_BYTES + 2];
	DepotWithdrawal withdrawal;
	DepotError	error;
	bool		is_marked;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		json_t	   *custom;

		snprintf(text, sizeof(text), "{\"yanked\":%s}", cases[i][0]);
		custom = parse_object(text);
		assert_false(depot_withdrawn_read_mark(custom, &is_marked, &withdrawal, &error));
		assert_string_equal(error.message, cases[i][1]);
		assert_int_equal(error.code, DEPOT_ERROR_MANIFEST);
		json_decref(custom);
	}
	memset(reason, 'r', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	withdrawal = (DepotWithdrawal)
	{
		.reason = reason
	};
	assert_false(depot_withdrawn_check(&withdrawal, &error));
	assert_string_equal(error.message, "\"reason\" has 201 bytes, 200 are allowed");
	reason[DEPOT_WITHDRAWN_REASON_MAX_BYTES] = '\0';
	assert_true(depot_withdrawn_check(&withdrawal, &error));
}

static void
test_list(void **state)
{
	const DepotWithdrawal withdrawals[] = {
		{.sha256 = DIGEST, .reason = "x",.advisory = "CVE-1"},
		{.sha256 = DIGEST, .reason = "y"},
	};
	json_t	   *document = json_pack("{s:i, s:[o, o], s:s}", "format", 1, "withdrawn",
									 depot_withdrawn_to_json(&withdrawals[0]),
									 depot_withdrawn_to_json(&withdrawals[1]), "later", "member");
	char	   *text = json_dumps(document, 0);
	DepotWithdrawal read;
	DepotError	error;
	json_t	   *entries;

	(void) state;
	entries = depot_withdrawn_parse(text, strlen(text), &error);
	if (entries == NULL)
		fail_msg("%s", error.message);
	assert_int_equal(json_array_size(entries), 2);
	for (size_t i = 0; i < 2; i++)
	{
		depot_withdrawn_read_entry(json_array_get(entries, i), &read);
		assert_string_equal(read.sha256, DIGEST);
		assert_string_equal(read.reason, withdrawals[i].reason);
	}
	assert_null(read.advisory);
	json_decref(entries);
	json_decref(document);
	free(text);
}

static void
test_bad_lists(void **state)
{
	static const struct
	{
		const char *text;
		const char *message;
		DepotErrorCode code;
	}			cases[] = {
		{"", "withdrawn.json: ", DEPOT_ERROR_METADATA_FORMAT},
		{"[]", "withdrawn.json: ", DEPOT_ERROR_METADATA_FORMAT},
		{"{\"withdrawn\":[]}",
			"withdrawn.json: member \"format\" is missing",
		DEPOT_ERROR_METADATA_FORMAT},
		{"{\"format\":2,\"withdrawn\":[]}",
			"withdrawn.json: format 2 is not known",
		DEPOT_ERROR_UNSUPPORTED},
		{"{\"format\":1}",
			"withdrawn.json: member \"withdrawn\" is missing",
		DEPOT_ERROR_METADATA_FORMAT},
		{"{\"format\":1,\"withdrawn\":{}}",
			"withdrawn.json: member \"withdrawn\" is not an array",
		DEPOT_ERROR_METADATA_FORMAT},
		{"{\"format\":1,\"withdrawn\":[7]}",
			"withdrawn.json: entry 1: ",
		DEPOT_ERROR_METADATA_FORMAT},
		{"{\"format\":1,\"withdrawn\":[{\"sha256\":\"" DIGEST "\"}]}",
			"withdrawn.json: entry 1: member \"reason\" is missing",
		DEPOT_ERROR_METADATA_FORMAT},
		{"{\"format\":1,\"withdrawn\":[{\"sha256\":\"abc\",\"reason\":\"x\"}]}",
			"withdrawn.json: entry 1: \"sha256\" is not a digest",
		DEPOT_ERROR_METADATA_FORMAT},
		{"{\"format\":1,\"withdrawn\":[{\"sha256\":\"" DIGEST "\",\"reason\":\"\\n\"}]}",
			"withdrawn.json: entry 1: \"reason\" has a control character in it",
		DEPOT_ERROR_METADATA_FORMAT},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		DepotError	error = {0};

		assert_null(depot_withdrawn_parse(cases[i].text, strlen(cases[i].text), &error));
		if (strncmp(error.message, cases[i].message, strlen(cases[i].message)) != 0)
			fail_msg("case %zu: %s", i, error.message);
		assert_int_equal(error.code, cases[i].code);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_bad_marks),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_bad_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
