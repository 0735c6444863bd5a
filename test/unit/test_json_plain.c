/*-------------------------------------------------------------------------
 *
 * test_json_plain.c
 *	  JSON as programs write it: what is read and written without jansson is
 *	  what jansson reads and writes.
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
#include <string.h>

#include "common/json_plain.h"

/* Reads text as plain, requires that jansson reads the same, and returns whether its member "m" is canonical. */
static bool
read_plain(const char *text, size_t length_bytes)
{
	DepotJsonMember member = {.name = "m"};
	json_t	   *plain = depot_json_read_plain(text, length_bytes, &member);
	json_t	   *wanted = json_loadb(text, length_bytes, JSON_REJECT_DUPLICATES, NULL);
	DepotBuffer canonical;
	DepotError	error;
	bool		is_canonical;

	if (plain == NULL || wanted == NULL || !json_equal(plain, wanted))
		fail_msg("%s: not read as jansson reads it", text);
	depot_buffer_init(&canonical);
	is_canonical = member.text != NULL && member.is_canonical;
	if (member.text != NULL)
	{
		assert_true(depot_json_canonical(json_object_get(plain, "m"), &canonical, DEPOT_ERROR_METADATA_FORMAT, &error));
		assert_int_equal(is_canonical, canonical.length_bytes == member.length_bytes &&
						 memcmp(canonical.data, member.text, member.length_bytes) == 0);
	}
	depot_buffer_free(&canonical);
	json_decref(plain);
	json_decref(wanted);
	return is_canonical;
}

static void
test_plain_texts(void **state)
{
	static const struct
	{
		const char *text;
		bool		is_canonical;
	}			cases[] = {
		{"{}", false},
		{"[]", false},
		{"[{\"m\":1}]", false},
		{"{\"a\":{\"m\":1}}", false},
		{"{\"m\":{}}", true},
		{"{\"m\":[]}\n", true},
		{"{\"m\":0}", true},
		{"{\"m\":[-1,9007199254740991,-9007199254740991,true,false,null]}", true},
		{"{\"m\":\"a\\\"b\\\\\\\\c\\\"\"}", true},
		{"{\"m\":{\"\":1,\"A\":2,\"a\":{\"b\":[{}]},\"ab\":4,"
		"\"\xc3\xa9\":\"\xf0\x9f\x90\x98\"}}", true},
		{"{\"z\":{\"b\":1,\"a\":1},\"m\":{\"a\":1,\"b\":1}}", true},
		{"{\"m\":{\"a\":1,\"b\":1},\"z\":{\"b\":1,\"a\":1}}", true},
		{"{\"m\":{\"b\":1,\"a\":1}}", false},
		{"{\"m\":[1,{\"a\":[{\"b\":1,\"a\":1}]},2]}", false},
		{"{\"m\":{\"ab\":1,\"a\":1}}", false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		if (read_plain(cases[i].text, strlen(cases[i].text)) != cases[i].is_canonical)
			fail_msg("%s: canonical or not", cases[i].text);
	}
}

static void
test_texts_that_are_not_plain(void **state)
{
	static const char *const cases[] = {
		"", " ", "1", "\"a\"", "true", "{", "[", "{\"m\"", "{\"m\":", "{\"m\":1", "{\"m\":1,",
		"{\"m\":1,}", "[1,]", "[,1]", "{\"m\":1}}", "{\"m\":1}\n\n", "{\"m\":1} ", " {\"m\":1}",
		"{ \"m\":1}", "{\"m\" :1}", "{\"m\": 1}", "{\"m\":1 }", "{\"m\":\"\\n\"}", "{\"m\":\"\\u0041\"}",
		"{\"m\":\"\\/\"}", "{\"m\":\"\\\"}", "{\"m\":\"\t\"}", "{\"\\\"\":1}", "{\"m\":-0}", "{\"m\":01}",
		"{\"m\":-}", "{\"m\":+1}", "{\"m\":1.0}", "{\"m\":1e0}", "{\"m\":9007199254740992}",
		"{\"m\":-9007199254740992}", "{\"m\":99999999999999999999}", "{\"m\":tru}", "{\"m\":truee}",
		"{\"m\":nul}", "{\"m\":1,\"m\":1}", "{\"m\":{\"b\":1,\"a\":1,\"b\":1}}",
		"{\"m\":{\"b\":1,\"a\":1,\"a\":1}}", "{\"m\":\"\xff\"}", "{\"m\":\"\xc3\"}",
		"{\"\xed\xa0\x80\":1}", "{\"m\":\"\xc0\xaf\"}", "{m:1}", "[1 2]", "{\"m\"1}", "[}", "{]"
	};
	char		deep[2 * (DEPOT_JSON_MAX_DEPTH + 1) + 1];

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		DepotJsonMember member = {.name = "m",.text = "before"};

		if (depot_json_read_plain(cases[i], strlen(cases[i]), &member) != NULL)
			fail_msg("%s: taken as plain", cases[i]);
		assert_null(member.text);
	}
	assert_null(depot_json_read_plain("{\"m\":\"\0\"}", 9, NULL));
	memset(deep, '[', DEPOT_JSON_MAX_DEPTH + 1);
	memset(deep + DEPOT_JSON_MAX_DEPTH + 1, ']', DEPOT_JSON_MAX_DEPTH + 1);
	assert_null(depot_json_read_plain(deep, 2 * (DEPOT_JSON_MAX_DEPTH + 1), NULL));
	(void) read_plain(deep + 1, 2 * DEPOT_JSON_MAX_DEPTH);
}

/* Each way to cut or to change one byte of a text: whatever is taken as plain says what jansson says. */
static void
test_plain_beside_jansson(void **state)
{
	static const char text[] =
	"{\"a\":[{},[],\"\\\"\xc3\xa9\"],\"m\":{\"b\":-10,\"bc\":{\"x\":null,\"y\":true}}}\n";
	char		changed[sizeof(text)];
	int			taken = 0;

	(void) state;
	for (size_t length = 0; length < sizeof(text) - 2; length++)
		assert_null(depot_json_read_plain(text, length, NULL));
	for (size_t at = 0; at < sizeof(text) - 1; at++)
	{
		for (int byte = 0; byte < 256; byte++)
		{
			json_t	   *plain;

			memcpy(changed, text, sizeof(text));
			changed[at] = (char) byte;
			plain = depot_json_read_plain(changed, sizeof(text) - 1, NULL);
			if (plain == NULL)
				continue;
			json_decref(plain);
			(void) read_plain(changed, sizeof(text) - 1);
			taken++;
		}
	}
	assert_true(taken > (int) sizeof(text));
}

static void
check_text(const char *text)
{
	json_t	   *value = json_loads(text, JSON_DECODE_ANY, NULL);
	char	   *wanted = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
	DepotBuffer out;

	assert_non_null(wanted);
	for (size_t limit_bytes = 0; limit_bytes <= strlen(wanted); limit_bytes++)
	{
		depot_buffer_init(&out);
		assert_int_equal(depot_json_append_text(value, limit_bytes, &out), limit_bytes == strlen(wanted));
		assert_true(out.length_bytes <= limit_bytes);
		if (limit_bytes == strlen(wanted))
			assert_string_equal(out.data, wanted);
		depot_buffer_free(&out);
	}
	free(wanted);
	json_decref(value);
}

static void
test_text(void **state)
{
	static const char *const cases[] = {
		"{}", "[]", "[[],{}]", "{ \"b\" : [ 1, -2, 9007199254740991, true, false, null ], \"a\" : {\"c\": \"x\"} }",
		"[1.5, -0.0, 1e300, 0.1]", "[\"\", \"/\", \"\\\"\", \"\\\\\", \"\\n\\t\\b\\f\\r\\u0001\\u001f\", \"\x7f\"]",
		"{\"\xc3\xa9\": \"\xe2\x82\xac\", \"\\n\": \"\xf0\x9f\x90\x98\", \"\": \"\"}", "\"a\"", "1", "null"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_text(cases[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_texts),
		cmocka_unit_test(test_texts_that_are_not_plain),
		cmocka_unit_test(test_plain_beside_jansson),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
