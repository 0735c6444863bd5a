/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Strict JSON on top of jansson, and OLPC canonical JSON.
 *
 * Text as programs write it is read by json_plain.c.  For the rest, and for whatever is wrong, there is
 * jansson.  A scan over the raw text comes before it: it bounds the nesting, so
 * that no recursion over a parsed value can run out of stack, and refuses
 * integers that a double could not hold.  The scan agrees with jansson about
 * where strings and numbers begin and end up to the first syntax error, and
 * there jansson stops.
 *
 * jansson's own error text quotes the input; errors here are made from its
 * error code and position instead, because the input may be hostile.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_plain.h"
#include "common/name.h"

/* 2^53 - 1 has 16 digits. */
#define MAX_INTEGER_DIGITS 16

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_number_character(char c)
{
	return is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* Tells whether a number is an integer and too large; anything odd is left to jansson. */
static bool
is_oversized_integer(const char *token, size_t length)
{
	int64_t		value = 0;

	if (length > 0 && token[0] == '-')
	{
		token++;
		length--;
	}
	for (size_t i = 0; i < length; i++)
	{
		if (!is_digit(token[i]))
			return false;
	}
	if (length > MAX_INTEGER_DIGITS)
		return true;
	for (size_t i = 0; i < length; i++)
		value = value * 10 + (token[i] - '0');
	return value > DEPOT_JSON_MAX_INTEGER;
}

/* Returns the position behind the string whose opening quote is at position. */
static size_t
skip_string(const char *text, size_t length_bytes, size_t position)
{
	for (position++; position < length_bytes && text[position] != '"'; position++)
	{
		if (text[position] == '\\')
			position++;
	}
	return position + 1;
}

static bool
check_text(const char *text, size_t length_bytes, DepotErrorCode code, const char *what, DepotError *error)
{
	size_t		position = 0;
	int			depth = 0;

	while (position < length_bytes)
	{
		char		c = text[position];
		size_t		start = position;

		if (c == '"')
		{
			position = skip_string(text, length_bytes, position);
			continue;
		}
		if (is_digit(c) || c == '-')
		{
			while (position < length_bytes && is_number_character(text[position]))
				position++;
			if (is_oversized_integer(text + start, position - start))
				return depot_error_set(error, code, "%s: integer out of range at byte %zu", what, start);
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
		if (depth > DEPOT_JSON_MAX_DEPTH)
			return depot_error_set(error, code, "%s: nested deeper than %d levels at byte %zu",
								   what, DEPOT_JSON_MAX_DEPTH, start);
		position++;
	}
	return true;
}

static const char *
describe_json_error(enum json_error_code json_code)
{
	switch (json_code)
	{
		case json_error_invalid_utf8:
			return "not UTF-8";
		case json_error_premature_end_of_input:
			return "unexpected end";
		case json_error_end_of_input_expected:
			return "bytes after the end";
		case json_error_null_character:
		case json_error_null_byte_in_key:
			return "\\u0000 in a string";
		case json_error_duplicate_key:
			return "duplicate member";
		case json_error_numeric_overflow:
			return "number out of range";
		default:
			return "not valid JSON";
	}
}

json_t *
depot_json_parse(const char *text, size_t length_bytes, DepotErrorCode code,
				 const char *what, DepotError *error)
{
	return depot_json_parse_member(text, length_bytes, NULL, code, what, error);
}

json_t *
depot_json_parse_member(const char *text, size_t length_bytes, DepotJsonMember *member, DepotErrorCode code,
						const char *what, DepotError *error)
{
	json_error_t json_error;
	json_t	   *value = depot_json_read_plain(text, length_bytes, member);

	if (value != NULL)
		return value;
	if (!check_text(text, length_bytes, code, what, error))
		return NULL;
	value = json_loadb(text, length_bytes, JSON_REJECT_DUPLICATES, &json_error);
	if (value != NULL)
		return value;
	if (json_error_code(&json_error) == json_error_out_of_memory)
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "%s: out of memory", what);
	else
		depot_error_set(error, code, "%s: %s at byte %d", what,
						describe_json_error(json_error_code(&json_error)), json_error.position);
	return NULL;
}

static void
append_canonical_string(DepotBuffer *out, const char *bytes, size_t length_bytes)
{
	size_t		start = 0;

	depot_buffer_append(out, "\"", 1);
	for (size_t i = 0; i < length_bytes; i++)
	{
		if (bytes[i] == '"' || bytes[i] == '\\')
		{
			depot_buffer_append(out, bytes + start, i - start);
			depot_buffer_append(out, "\\", 1);
			start = i;
		}
	}
	depot_buffer_append(out, bytes + start, length_bytes - start);
	depot_buffer_append(out, "\"", 1);
}

typedef struct CanonicalMember
{
	const char *key;
	size_t		key_bytes;
	const json_t *value;
} CanonicalMember;

/* Bytewise order of UTF-8 is the order of code points. */
static int
compare_members(const void *a, const void *b)
{
	const CanonicalMember *left = a;
	const CanonicalMember *right = b;
	size_t		common = left->key_bytes < right->key_bytes ? left->key_bytes : right->key_bytes;
	int			order = memcmp(left->key, right->key, common);

	if (order != 0)
		return order;
	return (left->key_bytes > right->key_bytes) - (left->key_bytes < right->key_bytes);
}

static bool append_canonical(const json_t *value, int depth, DepotBuffer *out, DepotErrorCode code,
							 DepotError *error);

static bool
append_canonical_object(const json_t *object, int depth, DepotBuffer *out, DepotErrorCode code,
						DepotError *error)
{
	/* jansson's iterators take a pointer to non-const, but change nothing. */
	json_t	   *source = (json_t *) object;
	size_t		count = json_object_size(object);
	size_t		filled = 0;
	CanonicalMember *members;
	bool		ok = true;

	members = malloc((count > 0 ? count : 1) * sizeof(*members));
	if (members == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	for (void *iterator = json_object_iter(source); iterator != NULL && filled < count;
		 iterator = json_object_iter_next(source, iterator))
	{
		members[filled].key = json_object_iter_key(iterator);
		members[filled].key_bytes = json_object_iter_key_len(iterator);
		members[filled].value = json_object_iter_value(iterator);
		filled++;
	}
	qsort(members, filled, sizeof(*members), compare_members);

	depot_buffer_append(out, "{", 1);
	for (size_t i = 0; i < filled && ok; i++)
	{
		if (i > 0)
			depot_buffer_append(out, ",", 1);
		append_canonical_string(out, members[i].key, members[i].key_bytes);
		depot_buffer_append(out, ":", 1);
		ok = append_canonical(members[i].value, depth, out, code, error);
	}
	depot_buffer_append(out, "}", 1);
	free(members);
	return ok;
}

static bool
append_canonical_array(const json_t *array, int depth, DepotBuffer *out, DepotErrorCode code,
					   DepotError *error)
{
	depot_buffer_append(out, "[", 1);
	for (size_t i = 0; i < json_array_size(array); i++)
	{
		if (i > 0)
			depot_buffer_append(out, ",", 1);
		if (!append_canonical(json_array_get(array, i), depth, out, code, error))
			return false;
	}
	depot_buffer_append(out, "]", 1);
	return true;
}

/* Appends one value; memory running out is found once, by the caller at the top. */
static bool
append_canonical(const json_t *value, int depth, DepotBuffer *out, DepotErrorCode code, DepotError *error)
{
	json_int_t	integer;

	if (value == NULL)
		return depot_error_set(error, code, "canonical JSON needs a value");
	if (depth >= DEPOT_JSON_MAX_DEPTH && (json_is_object(value) || json_is_array(value)))
		return depot_error_set(error, code, "nested deeper than %d levels", DEPOT_JSON_MAX_DEPTH);
	switch (json_typeof(value))
	{
		case JSON_OBJECT:
			return append_canonical_object(value, depth + 1, out, code, error);
		case JSON_ARRAY:
			return append_canonical_array(value, depth + 1, out, code, error);
		case JSON_STRING:
			append_canonical_string(out, json_string_value(value), json_string_length(value));
			return true;
		case JSON_INTEGER:
			integer = json_integer_value(value);
			if (integer > DEPOT_JSON_MAX_INTEGER || integer < -DEPOT_JSON_MAX_INTEGER)
				return depot_error_set(error, code, "integer out of range");
			depot_buffer_append_format(out, "%" JSON_INTEGER_FORMAT, integer);
			return true;
		case JSON_TRUE:
			depot_buffer_append_string(out, "true");
			return true;
		case JSON_FALSE:
			depot_buffer_append_string(out, "false");
			return true;
		case JSON_NULL:
			depot_buffer_append_string(out, "null");
			return true;
		case JSON_REAL:
			break;
	}
	return depot_error_set(error, code, "canonical JSON has no fractions or exponents");
}

bool
depot_json_canonical(const json_t *value, DepotBuffer *out, DepotErrorCode code, DepotError *error)
{
	if (!append_canonical(value, 0, out, code, error))
		return false;
	if (out->failed)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return true;
}

/* Finds a member.  *found is NULL when it is absent and need not be there. */
static bool
find_member(const json_t *object, const char *member, bool required, json_t **found,
			DepotErrorCode code, DepotError *error)
{
	*found = NULL;
	if (!json_is_object(object))
		return depot_error_set(error, code, "not an object where member \"%s\" is looked for", member);
	*found = json_object_get(object, member);
	if (*found == NULL && required)
		return depot_error_set(error, code, "member \"%s\" is missing", member);
	return true;
}

static bool
wrong_type(const char *member, const char *type, DepotErrorCode code, DepotError *error)
{
	return depot_error_set(error, code, "member \"%s\" is not %s", member, type);
}

bool
depot_json_get_string(const json_t *object, const char *member, bool required, const char **out,
					  DepotErrorCode code, DepotError *error)
{
	json_t	   *value;

	if (!find_member(object, member, required, &value, code, error))
		return false;
	if (value == NULL)
		return true;
	if (!json_is_string(value))
		return wrong_type(member, "a string", code, error);
	*out = json_string_value(value);
	return true;
}

bool
depot_json_get_integer(const json_t *object, const char *member, bool required, int64_t minimum,
					   int64_t *out, DepotErrorCode code, DepotError *error)
{
	json_t	   *value;

	if (!find_member(object, member, required, &value, code, error))
		return false;
	if (value == NULL)
		return true;
	if (!json_is_integer(value))
		return wrong_type(member, "an integer", code, error);
	if (json_integer_value(value) < minimum)
		return depot_error_set(error, code, "member \"%s\" is less than %" PRId64, member, minimum);
	*out = json_integer_value(value);
	return true;
}

bool
depot_json_get_bool(const json_t *object, const char *member, bool required, bool *out,
					DepotErrorCode code, DepotError *error)
{
	json_t	   *value;

	if (!find_member(object, member, required, &value, code, error))
		return false;
	if (value == NULL)
		return true;
	if (!json_is_boolean(value))
		return wrong_type(member, "true or false", code, error);
	*out = json_is_true(value);
	return true;
}

bool
depot_json_get_array(const json_t *object, const char *member, bool required, json_t **out,
					 DepotErrorCode code, DepotError *error)
{
	json_t	   *value;

	if (!find_member(object, member, required, &value, code, error))
		return false;
	if (value == NULL)
		return true;
	if (!json_is_array(value))
		return wrong_type(member, "an array", code, error);
	*out = value;
	return true;
}

bool
depot_json_get_object(const json_t *object, const char *member, bool required, json_t **out,
					  DepotErrorCode code, DepotError *error)
{
	json_t	   *value;

	if (!find_member(object, member, required, &value, code, error))
		return false;
	if (value == NULL)
		return true;
	if (!json_is_object(value))
		return wrong_type(member, "an object", code, error);
	*out = value;
	return true;
}

bool
depot_json_only_members(const json_t *object, const char *const *allowed, const char *what,
						DepotErrorCode code, DepotError *error)
{
	json_t	   *source = (json_t *) object;
	char		shown[DEPOT_NAME_MAX_BYTES + 1];

	if (!json_is_object(object))
		return depot_error_set(error, code, "%s is not an object", what);
	for (void *iterator = json_object_iter(source); iterator != NULL;
		 iterator = json_object_iter_next(source, iterator))
	{
		const char *key = json_object_iter_key(iterator);
		bool		known = false;

		for (const char *const *name = allowed; *name != NULL && !known; name++)
			known = strcmp(*name, key) == 0;
		if (!known)
			return depot_error_set(error, code, "%s has an unknown member \"%s\"", what,
								   depot_name_printable(key, shown, sizeof(shown)));
	}
	return true;
}
