/*-------------------------------------------------------------------------
 *
 * json_plain.c
 *	  JSON as programs write it, read in one pass.
 *
 * Plain is a text without white space but at its end, without escapes but \"
 * and \\ (and none in names), without fractions, and within the bounds of
 * json.h.  Metadata and the lines of agents are, and jansson takes three times
 * as long for them: it passes each byte through four functions.  Nothing is refused
 * here: what is not plain is left to jansson, whose judgement alone counts, and what is
 * taken is what jansson would take, with the same value.  The fuzz target compares the
 * two.
 *
 * In the same pass it is seen whether a text is canonical, which for a plain
 * one means: the names in each object ascend.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/json_plain.h"

#include <string.h>

/* 2^53 - 1 has as many. */
#define MAX_DIGITS 16

typedef struct Reader
{
	const char *position;
	const char *end;
	int			depth;
	bool		is_canonical;	/* as far as it was read */
	DepotJsonMember *member;	/* to be found, or NULL */
	json_t	   *empty;			/* an object; json_object() is also a function of the server, which would be
								 * called */
	DepotBuffer unescaped;
} Reader;

/* The bytes between the quotes of a string. */
typedef struct Word
{
	const char *bytes;
	size_t		length_bytes;
	bool		is_ascii;
	bool		has_escapes;
} Word;

static json_t *read_value(Reader *reader);

static inline bool
take(Reader *reader, char wanted)
{
	if (reader->position == reader->end || *reader->position != wanted)
		return false;
	reader->position++;
	return true;
}

static bool
read_word(Reader *reader, Word *word)
{
	const char *p;

	if (!take(reader, '"'))
		return false;
	word->bytes = reader->position;
	word->is_ascii = true;
	word->has_escapes = false;
	for (p = reader->position; p < reader->end && *p != '"'; p++)
	{
		const unsigned char c = (unsigned char) *p;

		if (c < 0x20)
			return false;
		if (c >= 0x80)
			word->is_ascii = false;
		else if (c == '\\')
		{
			word->has_escapes = true;
			if (++p == reader->end || (*p != '"' && *p != '\\'))
				return false;
		}
	}
	word->length_bytes = (size_t) (p - word->bytes);
	reader->position = p;
	return take(reader, '"');
}

/* Makes word stand without its escapes, until the next one is. */
static bool
unescape(Reader *reader, Word *word)
{
	const char *end = word->bytes + word->length_bytes;
	const char *start = word->bytes;

	depot_buffer_reset(&reader->unescaped);
	for (const char *p = start; p < end; p++)
	{
		if (*p != '\\')
			continue;
		depot_buffer_append(&reader->unescaped, start, (size_t) (p - start));
		start = ++p;
	}
	if (!depot_buffer_append(&reader->unescaped, start, (size_t) (end - start)) || reader->unescaped.failed)
		return false;
	word->bytes = reader->unescaped.data;
	word->length_bytes = reader->unescaped.length_bytes;
	return true;
}

/* jansson looks at the bytes again where they may not be UTF-8. */
static json_t *
read_string(Reader *reader)
{
	Word		word;

	if (!read_word(reader, &word) || (word.has_escapes && !unescape(reader, &word)))
		return NULL;
	return word.is_ascii ? json_stringn_nocheck(word.bytes, word.length_bytes) :
		json_stringn(word.bytes, word.length_bytes);
}

static json_t *
read_integer(Reader *reader)
{
	const bool	is_negative = take(reader, '-');
	const char *start = reader->position;
	json_int_t	value = 0;
	size_t		digits;

	while (reader->position < reader->end && *reader->position >= '0' && *reader->position <= '9')
	{
		if (reader->position - start == MAX_DIGITS)
			return NULL;
		value = value * 10 + (*reader->position++ - '0');
	}
	digits = (size_t) (reader->position - start);
	if (digits == 0 || (*start == '0' && (digits > 1 || is_negative)) || value > DEPOT_JSON_MAX_INTEGER)
		return NULL;
	return json_integer(is_negative ? -value : value);
}

/* Returns a value that is the same for all who read it. */
static json_t *
read_literal(Reader *reader, const char *literal, json_t *value)
{
	const size_t length = strlen(literal);

	if ((size_t) (reader->end - reader->position) < length || memcmp(reader->position, literal, length) != 0)
		return NULL;
	reader->position += length;
	return value;
}

static json_t *
read_array(Reader *reader)
{
	json_t	   *array = json_array();

	if (array == NULL || take(reader, ']'))
		return array;
	do
	{
		if (json_array_append_new(array, read_value(reader)) != 0)
			goto failed;
	} while (take(reader, ','));
	if (take(reader, ']'))
		return array;
failed:
	json_decref(array);
	return NULL;
}

/* Bytewise, as canonical JSON orders names. */
static bool
is_after(const Word *name, const Word *previous)
{
	const size_t common = name->length_bytes < previous->length_bytes ? name->length_bytes : previous->length_bytes;
	const int	order = memcmp(name->bytes, previous->bytes, common);

	return order > 0 || (order == 0 && name->length_bytes > previous->length_bytes);
}

/* Reads the value of the member that is looked for, and notes where it stands. */
static json_t *
read_found(Reader *reader)
{
	const bool	was_canonical = reader->is_canonical;
	DepotJsonMember *member = reader->member;
	json_t	   *value;

	reader->is_canonical = true;
	member->text = reader->position;
	value = read_value(reader);
	member->length_bytes = (size_t) (reader->position - member->text);
	member->is_canonical = reader->is_canonical;
	reader->is_canonical = reader->is_canonical && was_canonical;
	return value;
}

static bool
is_looked_for(const Reader *reader, const Word *name)
{
	return reader->member != NULL && reader->depth == 1 && strlen(reader->member->name) == name->length_bytes &&
		memcmp(reader->member->name, name->bytes, name->length_bytes) == 0;
}

/* While names ascend none can stand there twice. */
static json_t *
read_object(Reader *reader)
{
	json_t	   *object = json_copy(reader->empty);
	Word		previous = {.bytes = NULL};
	bool		ascends = true;

	if (object == NULL || take(reader, '}'))
		return object;
	do
	{
		Word		name;
		json_t	   *value;

		if (!read_word(reader, &name) || name.has_escapes || !take(reader, ':'))
			goto failed;
		ascends = ascends && (previous.bytes == NULL || is_after(&name, &previous));
		if (!ascends)
		{
			reader->is_canonical = false;
			if (json_object_getn(object, name.bytes, name.length_bytes) != NULL)
				goto failed;
		}
		previous = name;
		value = is_looked_for(reader, &name) ? read_found(reader) : read_value(reader);
		if ((name.is_ascii ? json_object_setn_new_nocheck(object, name.bytes, name.length_bytes, value) :
			 json_object_setn_new(object, name.bytes, name.length_bytes, value)) != 0)
			goto failed;
	} while (take(reader, ','));
	if (take(reader, '}'))
		return object;
failed:
	json_decref(object);
	return NULL;
}

static json_t *
read_value(Reader *reader)
{
	json_t	   *value = NULL;

	if (reader->position == reader->end)
		return NULL;
	switch (*reader->position)
	{
		case '"':
			return read_string(reader);
		case 't':
			return read_literal(reader, "true", json_true());
		case 'f':
			return read_literal(reader, "false", json_false());
		case 'n':
			return read_literal(reader, "null", json_null());
		case '{':
		case '[':
			if (reader->depth == DEPOT_JSON_MAX_DEPTH)
				return NULL;
			reader->depth++;
			value = *reader->position++ == '{' ? read_object(reader) : read_array(reader);
			reader->depth--;
			return value;
		default:
			return read_integer(reader);
	}
}

json_t *
depot_json_read_plain(const char *text, size_t length_bytes, DepotJsonMember *member)
{
	Reader		reader = {.position = text, .end = text + length_bytes, .is_canonical = true, .member = member};
	json_t	   *value = NULL;

	if (member != NULL)
		member->text = NULL;
	if (length_bytes == 0 || (text[0] != '{' && text[0] != '['))
		return NULL;
	depot_buffer_init(&reader.unescaped);
	reader.empty = json_pack("{}");
	value = read_value(&reader);
	json_decref(reader.empty);
	depot_buffer_free(&reader.unescaped);
	(void) take(&reader, '\n');
	if (value != NULL && reader.position == reader.end)
		return value;
	json_decref(value);
	if (member != NULL)
		member->text = NULL;
	return NULL;
}
