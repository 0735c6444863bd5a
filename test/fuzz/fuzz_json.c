/*-------------------------------------------------------------------------
 *
 * fuzz_json.c
 *	  Strict JSON: what is accepted has one canonical form, which says the
 *	  same, whatever white space and escapes it came with.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "common/json.h"
#include "common/json_plain.h"

#define CODE DEPOT_ERROR_METADATA_FORMAT
#define MANY_MEMBERS 64

static json_t *
parse(const char *text, size_t length_bytes)
{
	DepotError	error = {0};
	json_t	   *value = depot_json_parse(text, length_bytes, CODE, "text", &error);

	if (value == NULL)
	{
		fuzz_require_refusal(&error);
		FUZZ_REQUIRE(strncmp(error.message, "text: ", 6) == 0);
	}
	return value;
}

/* Numbers with a fraction or an exponent are JSON, but have no canonical form. */
static bool
has_real(const json_t *value)
{
	const char *name;
	const json_t *element;
	json_t	   *member;
	size_t		index;

	json_array_foreach(value, index, element)
	{
		if (has_real(element))
			return true;
	}
	json_object_foreach((json_t *) value, name, member)
	{
		if (has_real(member))
			return true;
	}
	return json_is_real(value);
}

/* Requires that text is the canonical form of what other says, and that both say the same as value. */
static void
check_same(const json_t *value, const DepotBuffer *text, const char *other, size_t other_bytes)
{
	json_t	   *again = parse(other, other_bytes);
	DepotBuffer canonical;
	DepotError	error = {0};

	FUZZ_REQUIRE(again != NULL && json_equal(value, again));
	depot_buffer_init(&canonical);
	FUZZ_REQUIRE(depot_json_canonical(again, &canonical, CODE, &error));
	FUZZ_REQUIRE(fuzz_same_bytes(&canonical, text));
	depot_buffer_free(&canonical);
	json_decref(again);
}

/* Requires that text is the canonical form of value, however value is written. */
static void
check_canonical(const json_t *value, const DepotBuffer *text)
{
	static const size_t ways[] = {JSON_COMPACT, JSON_INDENT(3), JSON_ENSURE_ASCII | JSON_ESCAPE_SLASH, JSON_SORT_KEYS};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
	{
		char	   *other = json_dumps(value, ways[i]);

		FUZZ_REQUIRE(other != NULL);
		check_same(value, text, other, strlen(other));
		free(other);
	}
	if (fuzz_has_control_character(text))
		FUZZ_REQUIRE(parse(text->data, text->length_bytes) == NULL);
	else
		check_same(value, text, text->data, text->length_bytes);
}

/* Requires that each getter takes the members of its type, and no other. */
static void
check_getters(const json_t *object)
{
	const char *names[MANY_MEMBERS + 1];
	size_t		count = 0;
	const char *name;
	json_t	   *member;
	DepotError	error = {0};

	json_object_foreach((json_t *) object, name, member)
	{
		const char *string = NULL;
		int64_t		integer = 0;
		bool		boolean = false;
		json_t	   *container = NULL;

		FUZZ_REQUIRE(depot_json_get_string(object, name, true, &string, CODE, &error) == json_is_string(member));
		FUZZ_REQUIRE(string == NULL || strlen(string) == json_string_length(member));
		FUZZ_REQUIRE(depot_json_get_integer(object, name, true, INT64_MIN, &integer, CODE, &error) ==
					 json_is_integer(member));
		FUZZ_REQUIRE(!depot_json_get_integer(object, name, true, DEPOT_JSON_MAX_INTEGER + 1, &integer, CODE, &error));
		FUZZ_REQUIRE(integer >= -DEPOT_JSON_MAX_INTEGER && integer <= DEPOT_JSON_MAX_INTEGER);
		FUZZ_REQUIRE(depot_json_get_bool(object, name, true, &boolean, CODE, &error) == json_is_boolean(member));
		FUZZ_REQUIRE(boolean == json_is_true(member));
		FUZZ_REQUIRE(depot_json_get_array(object, name, true, &container, CODE, &error) == json_is_array(member));
		FUZZ_REQUIRE(depot_json_get_object(object, name, true, &container, CODE, &error) == json_is_object(member));
		if (count < MANY_MEMBERS)
			names[count++] = name;
	}
	names[count] = NULL;
	FUZZ_REQUIRE(depot_json_only_members(object, names, "text", CODE, &error) ==
				 (json_is_object(object) && count == json_object_size(object)));
	names[0] = NULL;
	FUZZ_REQUIRE(depot_json_only_members(object, names, "text", CODE, &error) ==
				 (json_is_object(object) && count == 0));
}

/* Requires that an absent member is an error only where one is wanted. */
static void
check_absent(const json_t *object)
{
	static const char absent[] = "a name that no corpus has";
	const char *string = "default";
	int64_t		integer = 7;
	bool		boolean = true;
	json_t	   *container = NULL;
	DepotError	error = {0};

	if (!json_is_object(object) || json_object_get(object, absent) != NULL)
		return;
	FUZZ_REQUIRE(!depot_json_get_string(object, absent, true, &string, CODE, &error));
	FUZZ_REQUIRE(depot_json_get_string(object, absent, false, &string, CODE, &error));
	FUZZ_REQUIRE(depot_json_get_integer(object, absent, false, 0, &integer, CODE, &error));
	FUZZ_REQUIRE(depot_json_get_bool(object, absent, false, &boolean, CODE, &error));
	FUZZ_REQUIRE(depot_json_get_array(object, absent, false, &container, CODE, &error));
	FUZZ_REQUIRE(depot_json_get_object(object, absent, false, &container, CODE, &error));
	FUZZ_REQUIRE(strcmp(string, "default") == 0 && integer == 7 && boolean && container == NULL);
}

/* Requires that bytes are the canonical form of value, or are not, as the member says. */
static void
check_member(const json_t *value, const DepotJsonMember *member)
{
	DepotBuffer canonical;
	DepotError	error = {0};

	depot_buffer_init(&canonical);
	FUZZ_REQUIRE(depot_json_canonical(value, &canonical, CODE, &error));
	FUZZ_REQUIRE(member->is_canonical == (canonical.length_bytes == member->length_bytes &&
										  memcmp(canonical.data, member->text, member->length_bytes) == 0));
	depot_buffer_free(&canonical);
}

/* Requires of a text that is taken as plain that jansson reads the same; and looks at each member by its name. */
static void
check_plain(const char *text, size_t length_bytes)
{
	json_t	   *plain = depot_json_read_plain(text, length_bytes, NULL);
	json_t	   *wanted = json_loadb(text, length_bytes, JSON_REJECT_DUPLICATES, NULL);
	const char *name;
	json_t	   *value;
	int			count = 0;

	if (plain != NULL)
		FUZZ_REQUIRE(wanted != NULL && json_equal(plain, wanted));
	json_object_foreach(plain, name, value)
	{
		DepotJsonMember member = {.name = name};

		if (++count > MANY_MEMBERS)
			break;
		json_decref(depot_json_read_plain(text, length_bytes, &member));
		FUZZ_REQUIRE(member.text != NULL && member.text > text);
		FUZZ_REQUIRE(member.text + member.length_bytes < text + length_bytes);
		check_member(value, &member);
	}
	json_decref(plain);
	json_decref(wanted);
}

/* Requires that the text that is made of value is the one that jansson makes. */
static void
check_text(const json_t *value)
{
	char	   *wanted = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII);
	DepotBuffer text;

	FUZZ_REQUIRE(wanted != NULL);
	depot_buffer_init(&text);
	FUZZ_REQUIRE(depot_json_append_text(value, strlen(wanted), &text) && strcmp(text.data, wanted) == 0);
	depot_buffer_free(&text);
	free(wanted);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t	   *value = parse((const char *) data, size);
	DepotBuffer text;
	DepotError	error = {0};

	check_plain((const char *) data, size);
	if (value == NULL)
		return 0;
	FUZZ_REQUIRE(json_is_object(value) || json_is_array(value));
	depot_buffer_init(&text);
	if (depot_json_canonical(value, &text, CODE, &error))
	{
		FUZZ_REQUIRE(!has_real(value));
		check_canonical(value, &text);
	}
	else
		FUZZ_REQUIRE(has_real(value));
	check_text(value);
	check_getters(value);
	check_absent(value);
	depot_buffer_free(&text);
	json_decref(value);
	return 0;
}
