/*-------------------------------------------------------------------------
 *
 * test_json.c
 *	  Strict JSON and canonical JSON, with known answers.
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

#include "common/digest.h"
#include "common/json.h"
#include "scratch.h"

#define VECTORS "test/unit/data/canonical-json-vectors.json"

static json_t *
parse(const char *text, DepotError *error)
{
	return depot_json_parse(text, strlen(text), DEPOT_ERROR_METADATA_FORMAT, "test text", error);
}

/*
 * Inputs of the vectors that python's reader takes and ours refuses, with the
 * words of the refusal: a NUL would end a C string early, a duplicate member
 * has no one meaning, a large integer is not what a double says it is.
 */
static const struct
{
	const char *note;
	const char *reason;
}			stricter[] = {
	{"prefix sorts first", "\\u0000"},
	{"embedded NUL", "\\u0000"},
	{"big integer kept exactly", "integer out of range"},
	{"duplicate member (python: last wins; a strict client refuses)", "duplicate member"},
};

static const char *
stricter_reason(const char *note)
{
	for (size_t i = 0; i < sizeof(stricter) / sizeof(stricter[0]); i++)
	{
		if (strcmp(stricter[i].note, note) == 0)
			return stricter[i].reason;
	}
	return NULL;
}

static void
check_canonical(const char *note, const char *text, const char *canonical_hex, const char *sha256)
{
	DepotError	error;
	DepotBuffer out;
	json_t	   *value = parse(text, &error);
	char	   *hex;
	char		digest[DEPOT_SHA256_HEX_BYTES];

	if (value == NULL)
		fail_msg("%s: %s", note, error.message);
	depot_buffer_init(&out);
	assert_true(depot_json_canonical(value, &out, DEPOT_ERROR_METADATA_FORMAT, &error));
	hex = malloc(2 * out.length_bytes + 1);
	assert_non_null(hex);
	depot_digest_to_hex((const uint8_t *) out.data, out.length_bytes, hex);
	assert_string_equal(hex, canonical_hex);
	depot_digest_sha256_hex(out.data, out.length_bytes, digest);
	assert_string_equal(digest, sha256);
	free(hex);
	depot_buffer_free(&out);
	json_decref(value);
}

/* Whatever refuses it, the parser or the canonical form: it must not get through. */
static void
check_refused(const char *note, const char *text, const char *reason)
{
	DepotError	error;
	DepotBuffer out;
	json_t	   *value = parse(text, &error);

	depot_buffer_init(&out);
	if (value != NULL && depot_json_canonical(value, &out, DEPOT_ERROR_METADATA_FORMAT, &error))
		fail_msg("%s: accepted", note);
	assert_int_equal(error.code, DEPOT_ERROR_METADATA_FORMAT);
	if (reason != NULL && strstr(error.message, reason) == NULL)
		fail_msg("%s: refused with \"%s\", expected \"%s\"", note, error.message, reason);
	depot_buffer_free(&out);
	json_decref(value);
}

static void
test_canonical_vectors(void **state)
{
	json_t	   *vectors = json_load_file(VECTORS, 0, NULL);
	size_t		refused_by_us = 0;
	size_t		refused_by_all = 0;
	size_t		equal = 0;

	(void) state;
	if (vectors == NULL)
		fail_msg("run from the top of the source tree: %s is missing", VECTORS);
	for (size_t i = 0; i < json_array_size(vectors); i++)
	{
		json_t	   *vector = json_array_get(vectors, i);
		const char *note = json_string_value(json_object_get(vector, "note"));
		const char *text = json_string_value(json_object_get(vector, "json"));
		const char *reason;

		assert_non_null(note);
		assert_non_null(text);
		reason = stricter_reason(note);
		if (reason != NULL)
		{
			check_refused(note, text, reason);
			refused_by_us++;
		}
		else if (json_object_get(vector, "error") != NULL)
		{
			check_refused(note, text, NULL);
			refused_by_all++;
		}
		else
		{
			check_canonical(note, text, json_string_value(json_object_get(vector, "canonical_hex")),
							json_string_value(json_object_get(vector, "sha256")));
			equal++;
		}
	}
	assert_int_equal(refused_by_us, 4);
	assert_int_equal(refused_by_all, 5);
	assert_int_equal(equal, 8);
	json_decref(vectors);
}

static void
test_refused_texts(void **state)
{
	static const struct
	{
		const char *text;
		const char *message;
	}			cases[] = {
		{"", "test text: unexpected end at byte 0"},
		{"{", "test text: unexpected end"},
		{"[1", "test text: unexpected end"},
		{"{} x", "test text: bytes after the end"},
		{"{}{}", "test text: bytes after the end"},
		{"{\"a\":1,\"a\":1}", "test text: duplicate member at byte 10"},
		{"{\"a\":{\"b\":1,\"\\u0062\":2}}", "test text: duplicate member"},
		{"{\"a\":\"\\u0000\"}", "test text: \\u0000 in a string"},
		{"{\"\\u0000\":1}", "test text: \\u0000 in a string"},
		{"{\"a\":\"\\ud800\"}", "test text: not valid JSON"},
		{"{\"a\":\"\\udc00\\ud800\"}", "test text: not valid JSON"},
		{"{\"a\":\"\xC3(\"}", "test text: not UTF-8"},
		{"{\"a\":\"\xFF\"}", "test text: not UTF-8"},
		{"{\"a\":\"\xC0\xAF\"}", "test text: not UTF-8"},
		{"{\"a\":\"\xED\xA0\x80\"}", "test text: not UTF-8"},
		{"\xEF\xBB\xBF{}", "test text: not valid JSON"},
		{"{\"a\":9007199254740992}", "test text: integer out of range at byte 5"},
		{"{\"a\":-9007199254740992}", "test text: integer out of range at byte 5"},
		{"[18446744073709551617]", "test text: integer out of range at byte 1"},
		{"[1,12345678901234567]", "test text: integer out of range at byte 3"},
		{"[\"\\\"\",99999999999999999999999]", "test text: integer out of range at byte 6"},
		{"[1e999]", "test text: number out of range"},
		{"[01]", "test text: not valid JSON"},
		{"[+1]", "test text: not valid JSON"},
		{"[1.]", "test text: not valid JSON"},
		{"[.5]", "test text: not valid JSON"},
		{"[-]", "test text: not valid JSON"},
		{"[0x10]", "test text: not valid JSON"},
		{"[NaN]", "test text: not valid JSON"},
		{"[Infinity]", "test text: not valid JSON"},
		{"['a']", "test text: not valid JSON"},
		{"[1,]", "test text: not valid JSON"},
		{"{\"a\":1,}", "test text: not valid JSON"},
		{"{a:1}", "test text: not valid JSON"},
		{"[\"a\nb\"]", "test text: not valid JSON"},
		{"[\"a\\x\"]", "test text: not valid JSON"},
		{"/* */{}", "test text: not valid JSON"},
		{"\"a\"", "test text: not valid JSON"},
		{"1", "test text: not valid JSON"},
		{"null", "test text: not valid JSON"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		DepotError	error;
		json_t	   *value = parse(cases[i].text, &error);

		if (value != NULL)
			fail_msg("accepted: %s", cases[i].text);
		assert_int_equal(error.code, DEPOT_ERROR_METADATA_FORMAT);
		if (strncmp(error.message, cases[i].message, strlen(cases[i].message)) != 0)
			fail_msg("%s: \"%s\", expected \"%s\"", cases[i].text, error.message, cases[i].message);
		assert_non_null(strstr(error.message, " at byte "));
	}
}

static void
test_messages_do_not_quote_input(void **state)
{
	static const char *const texts[] = {
		"{\"zzz\": SECRET}", "{\"SECRET\":1,\"SECRET\":2}", "[\"SECRET\n\"]", "[1] SECRET",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		DepotError	error;

		assert_null(parse(texts[i], &error));
		assert_null(strstr(error.message, "SECRET"));
		assert_null(strstr(error.detail, "SECRET"));
	}
}

static void
test_embedded_nul_byte(void **state)
{
	DepotError	error;

	(void) state;
	assert_null(depot_json_parse("{}\0", 3, DEPOT_ERROR_MANIFEST, "manifest", &error));
	assert_int_equal(error.code, DEPOT_ERROR_MANIFEST);
	assert_null(depot_json_parse("[\"a\0b\"]", 7, DEPOT_ERROR_MANIFEST, "manifest", &error));
	/* The length counts, not a NUL behind it. */
	assert_null(depot_json_parse("[1]", 2, DEPOT_ERROR_MANIFEST, "manifest", &error));
}

static void
test_limits_are_exact(void **state)
{
	DepotError	error;
	json_t	   *value = parse("[9007199254740991, -9007199254740991, -0, 0, 1.5, 12345678901234567890.0]",
							  &error);

	(void) state;
	assert_non_null(value);
	assert_true(json_integer_value(json_array_get(value, 0)) == DEPOT_JSON_MAX_INTEGER);
	assert_true(json_integer_value(json_array_get(value, 1)) == -DEPOT_JSON_MAX_INTEGER);
	assert_true(json_is_integer(json_array_get(value, 2)));
	assert_true(json_is_real(json_array_get(value, 4)));
	json_decref(value);
}

/* Builds depth opening brackets, mixed with members and strings full of brackets, and their closing ones. */
static void
build_nested(DepotBuffer *text, int depth)
{
	for (int i = 0; i < depth; i++)
		depot_buffer_append_string(text, i % 2 == 0 ? "[\"]]]\\\"[[{{\"," : "{\"[[[\":");
	depot_buffer_append_string(text, "1");
	for (int i = depth - 1; i >= 0; i--)
		depot_buffer_append_string(text, i % 2 == 0 ? "]" : "}");
}

static void
test_depth(void **state)
{
	static const int deep[] = {DEPOT_JSON_MAX_DEPTH + 1, 2048, 5000, 100000};
	DepotBuffer text;
	DepotBuffer out;
	DepotError	error;
	json_t	   *value;

	(void) state;
	depot_buffer_init(&text);
	depot_buffer_init(&out);
	build_nested(&text, DEPOT_JSON_MAX_DEPTH);
	value = parse(text.data, &error);
	assert_non_null(value);
	assert_true(depot_json_canonical(value, &out, DEPOT_ERROR_METADATA_FORMAT, &error));
	assert_string_equal(out.data, text.data);
	json_decref(value);
	for (size_t i = 0; i < sizeof(deep) / sizeof(deep[0]); i++)
	{
		depot_buffer_reset(&text);
		build_nested(&text, deep[i]);
		assert_null(parse(text.data, &error));
		assert_int_equal(error.code, DEPOT_ERROR_METADATA_FORMAT);
		assert_non_null(strstr(error.message, "test text: nested deeper than 64 levels at byte "));
	}
	/* Brackets in strings are no nesting, closed ones none either. */
	depot_buffer_reset(&text);
	depot_buffer_append_string(&text, "[");
	for (int i = 0; i < 1000; i++)
		depot_buffer_append_string(&text, "[],\"[[[[\\\\\",");
	depot_buffer_append_string(&text, "{}]");
	value = parse(text.data, &error);
	assert_non_null(value);
	json_decref(value);
	depot_buffer_free(&text);
	depot_buffer_free(&out);
}

/* Values that were built and not parsed go through the same gate when they are signed. */
static void
test_canonical_of_built_values(void **state)
{
	DepotBuffer out;
	DepotError	error;
	json_t	   *value = json_array();
	json_t	   *inner = value;

	(void) state;
	depot_buffer_init(&out);
	for (int i = 1; i < DEPOT_JSON_MAX_DEPTH; i++)
	{
		json_array_append_new(inner, json_array());
		inner = json_array_get(inner, 0);
	}
	assert_true(depot_json_canonical(value, &out, DEPOT_ERROR_KEY, &error));
	json_array_append_new(inner, json_object());
	assert_false(depot_json_canonical(value, &out, DEPOT_ERROR_KEY, &error));
	assert_int_equal(error.code, DEPOT_ERROR_KEY);
	json_decref(value);

	value = json_pack("[I]", (json_int_t) DEPOT_JSON_MAX_INTEGER + 1);
	assert_false(depot_json_canonical(value, &out, DEPOT_ERROR_KEY, &error));
	json_decref(value);
	value = json_pack("{s:f}", "a", 1.0);
	assert_false(depot_json_canonical(value, &out, DEPOT_ERROR_KEY, &error));
	assert_non_null(strstr(error.message, "fractions"));
	json_decref(value);
	assert_false(depot_json_canonical(NULL, &out, DEPOT_ERROR_KEY, &error));

	/* Lengths count: bytes behind a NUL are signed, and sort. */
	depot_buffer_reset(&out);
	value = json_object();
	assert_int_equal(json_object_setn_new(value, "a\0b", 3, json_stringn("c\0d", 3)), 0);
	assert_int_equal(json_object_set_new(value, "a", json_integer(1)), 0);
	assert_true(depot_json_canonical(value, &out, DEPOT_ERROR_KEY, &error));
	assert_int_equal(out.length_bytes, 19);
	assert_memory_equal(out.data, "{\"a\":1,\"a\0b\":\"c\0d\"}", 19);
	json_decref(value);

	/* A buffer that ran out of memory before is no success. */
	out.failed = true;
	value = json_object();
	assert_false(depot_json_canonical(value, &out, DEPOT_ERROR_KEY, &error));
	assert_int_equal(error.code, DEPOT_ERROR_OUT_OF_MEMORY);
	json_decref(value);
	depot_buffer_free(&out);
}

static void
test_getters(void **state)
{
	const DepotErrorCode code = DEPOT_ERROR_MANIFEST;
	DepotError	error;
	json_t	   *object = parse("{\"s\":\"x\",\"i\":7,\"b\":true,\"f\":false,\"a\":[1],"
							   "\"o\":{\"p\":1},\"n\":null}",
							   &error);
	const char *string = "default";
	int64_t		integer = -1;
	bool		boolean = false;
	json_t	   *value = NULL;

	(void) state;
	assert_non_null(object);
	assert_true(depot_json_get_string(object, "s", true, &string, code, &error));
	assert_string_equal(string, "x");
	assert_true(depot_json_get_integer(object, "i", true, 7, &integer, code, &error));
	assert_int_equal(integer, 7);
	assert_true(depot_json_get_bool(object, "b", true, &boolean, code, &error));
	assert_true(boolean);
	assert_true(depot_json_get_bool(object, "f", true, &boolean, code, &error));
	assert_false(boolean);
	assert_true(depot_json_get_array(object, "a", true, &value, code, &error));
	assert_int_equal(json_array_size(value), 1);
	assert_true(depot_json_get_object(object, "o", true, &value, code, &error));
	assert_int_equal(json_object_size(value), 1);

	/* Absent: an error when required, the default otherwise. */
	string = "default";
	assert_true(depot_json_get_string(object, "z", false, &string, code, &error));
	assert_string_equal(string, "default");
	assert_false(depot_json_get_string(object, "z", true, &string, code, &error));
	assert_int_equal(error.code, code);
	assert_string_equal(error.message, "member \"z\" is missing");
	integer = 5;
	assert_true(depot_json_get_integer(object, "z", false, 0, &integer, code, &error));
	assert_int_equal(integer, 5);
	boolean = true;
	assert_true(depot_json_get_bool(object, "z", false, &boolean, code, &error));
	assert_true(boolean);
	value = NULL;
	assert_true(depot_json_get_array(object, "z", false, &value, code, &error));
	assert_true(depot_json_get_object(object, "z", false, &value, code, &error));
	assert_null(value);

	/* Wrong types are errors, required or not; null is a wrong type. */
	assert_false(depot_json_get_string(object, "i", false, &string, code, &error));
	assert_string_equal(error.message, "member \"i\" is not a string");
	assert_false(depot_json_get_string(object, "n", false, &string, code, &error));
	assert_false(depot_json_get_integer(object, "s", false, 0, &integer, code, &error));
	assert_false(depot_json_get_integer(object, "b", false, 0, &integer, code, &error));
	assert_false(depot_json_get_bool(object, "i", false, &boolean, code, &error));
	assert_false(depot_json_get_array(object, "o", false, &value, code, &error));
	assert_false(depot_json_get_object(object, "a", false, &value, code, &error));
	assert_false(depot_json_get_integer(object, "i", true, 8, &integer, code, &error));
	assert_string_equal(error.message, "member \"i\" is less than 8");
	assert_int_equal(integer, 5);

	/* What is no object has no members. */
	assert_false(depot_json_get_string(json_object_get(object, "a"), "s", false, &string, code, &error));
	assert_false(depot_json_get_string(NULL, "s", false, &string, code, &error));
	json_decref(object);
}

static void
test_only_members(void **state)
{
	static const char *const allowed[] = {"a", "b", NULL};
	DepotError	error;
	json_t	   *object = parse("{\"a\":1}", &error);

	(void) state;
	assert_true(depot_json_only_members(object, allowed, "manifest", DEPOT_ERROR_MANIFEST, &error));
	json_object_set_new(object, "x\n\xC3\xA9", json_null());
	assert_false(depot_json_only_members(object, allowed, "manifest", DEPOT_ERROR_MANIFEST, &error));
	assert_int_equal(error.code, DEPOT_ERROR_MANIFEST);
	assert_string_equal(error.message, "manifest has an unknown member \"x???\"");
	json_decref(object);
	object = parse("[]", &error);
	assert_false(depot_json_only_members(object, allowed, "manifest", DEPOT_ERROR_MANIFEST, &error));
	json_decref(object);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical_vectors),
		cmocka_unit_test(test_refused_texts),
		cmocka_unit_test(test_messages_do_not_quote_input),
		cmocka_unit_test(test_embedded_nul_byte),
		cmocka_unit_test(test_limits_are_exact),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_canonical_of_built_values),
		cmocka_unit_test(test_getters),
		cmocka_unit_test(test_only_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
