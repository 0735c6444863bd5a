/*-------------------------------------------------------------------------
 *
 * version.c
 *	  Order of versions, and constraints on them.
 *
 * A version is [epoch:]upstream[-revision].  The epoch is a number; a colon
 * after anything else belongs to the upstream part.  The parts are compared
 * one after the other, each as alternating runs of other characters and of
 * digits, where '~' sorts before the end of a run, letters before all other
 * characters, and digits by their value.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/version.h"

#include <stdio.h>
#include <string.h>

#include "common/name.h"

/* Room for what is wrong with a constraint, and for a part of it in quotes. */
#define REASON_BYTES 160
#define SHOWN_BYTES 84

#define WHITE_SPACE " \t\n\r"

/* A part of a version, not NUL-terminated. */
typedef struct VersionPart
{
	const char *text;
	size_t		length;
} VersionPart;

typedef struct SplitVersion
{
	VersionPart epoch;
	VersionPart upstream;
	VersionPart revision;
} SplitVersion;

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static SplitVersion
split_version(const char *version)
{
	SplitVersion split = {{version, 0}, {version, strlen(version)}, {"", 0}};
	size_t		digits = strspn(version, "0123456789");
	const char *dash;

	if (digits > 0 && version[digits] == ':')
	{
		split.epoch.length = digits;
		split.upstream.text += digits + 1;
		split.upstream.length -= digits + 1;
	}
	dash = strrchr(split.upstream.text, '-');
	if (dash != NULL)
	{
		split.revision.text = dash + 1;
		split.revision.length = strlen(dash + 1);
		split.upstream.length = (size_t) (dash - split.upstream.text);
	}
	return split;
}

/* Returns where the character at the front of a non-digit run sorts; a digit or the end close the run. */
static int
weigh_character(const VersionPart *part)
{
	char		c;

	if (part->length == 0)
		return 0;
	c = part->text[0];
	if (is_digit(c))
		return 0;
	if (c == '~')
		return -1;
	if (is_letter(c))
		return (unsigned char) c;
	return (unsigned char) c + 256;
}

static void
advance(VersionPart *part, size_t count)
{
	part->text += count;
	part->length -= count;
}

/* Takes the run of digits off the front of part and returns it without its leading zeros. */
static VersionPart
take_digits(VersionPart *part)
{
	VersionPart digits;

	while (part->length > 0 && part->text[0] == '0')
		advance(part, 1);
	digits.text = part->text;
	digits.length = 0;
	while (digits.length < part->length && is_digit(part->text[digits.length]))
		digits.length++;
	advance(part, digits.length);
	return digits;
}

static int
compare_parts(VersionPart a, VersionPart b)
{
	while (a.length > 0 || b.length > 0)
	{
		VersionPart a_digits;
		VersionPart b_digits;
		int			order;

		for (;;)
		{
			int			a_weight = weigh_character(&a);
			int			b_weight = weigh_character(&b);

			if (a_weight != b_weight)
				return a_weight < b_weight ? -1 : 1;
			if (a_weight == 0)
				break;
			advance(&a, 1);
			advance(&b, 1);
		}
		a_digits = take_digits(&a);
		b_digits = take_digits(&b);
		if (a_digits.length != b_digits.length)
			return a_digits.length < b_digits.length ? -1 : 1;
		order = a_digits.length == 0 ? 0 : memcmp(a_digits.text, b_digits.text, a_digits.length);
		if (order != 0)
			return order < 0 ? -1 : 1;
	}
	return 0;
}

int
depot_version_compare(const char *a, const char *b)
{
	SplitVersion split_a = split_version(a);
	SplitVersion split_b = split_version(b);
	int			order;

	order = compare_parts(split_a.epoch, split_b.epoch);
	if (order == 0)
		order = compare_parts(split_a.upstream, split_b.upstream);
	if (order == 0)
		order = compare_parts(split_a.revision, split_b.revision);
	return order;
}

static bool
is_space(char c)
{
	return c != '\0' && strchr(WHITE_SPACE, c) != NULL;
}

static bool
is_blank(const char *text)
{
	return text[strspn(text, WHITE_SPACE)] == '\0';
}

/* Reads the operator at the front of *text and moves *text behind it. */
static DepotVersionOperator
take_operator(const char **text)
{
	static const struct
	{
		const char *spelling;
		DepotVersionOperator operator;
	}			operators[] = {
		{">=", DEPOT_VERSION_GE},
		{"<=", DEPOT_VERSION_LE},
		{"!=", DEPOT_VERSION_NE},
		{"=", DEPOT_VERSION_EQ},
		{">", DEPOT_VERSION_GT},
		{"<", DEPOT_VERSION_LT},
	};

	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
	{
		size_t		length = strlen(operators[i].spelling);

		if (strncmp(*text, operators[i].spelling, length) == 0)
		{
			*text += length;
			return operators[i].operator;
		}
	}
	return DEPOT_VERSION_ANY;
}

/* Writes into reason that the length bytes at text are no version; returns false. */
static bool
refuse_version(const char *text, size_t length, char reason[REASON_BYTES])
{
	char		copy[DEPOT_CONSTRAINT_MAX_BYTES + 1];
	char		shown[SHOWN_BYTES];
	bool		has_star = memchr(text, '*', length) != NULL;

	memcpy(copy, text, length);
	copy[length] = '\0';
	(void) snprintf(reason, REASON_BYTES, "\"%s\" is not a version%s.",
					depot_name_printable(copy, shown, sizeof(shown)), has_star ?
					": \"*\" stands alone, or behind the last \".\" without an operator" : "");
	return false;
}

/*
 * Reads one term, text[0 .. length), white space around it gone; "*" adds nothing to the constraint. Says in
 * reason what is wrong.
 */
static bool
parse_term(const char *text, size_t length, DepotVersionConstraint *constraint, char reason[REASON_BYTES])
{
	const char *start = text;
	const char *operand;
	const char *end = text + length;
	DepotVersionOperator operator;
	char		version[sizeof(constraint->terms[0].version)];

	if (length == 1 && text[0] == '*')
		return true;
	operator = take_operator(&text);
	operand = text;
	while (text < end && is_space(*text))
		text++;
	length = (size_t) (end - text);
	if (length == 0)
	{
		(void) snprintf(reason, REASON_BYTES, "No version follows \"%.*s\".", (int) (operand - start), start);
		return false;
	}
	if (operator == DEPOT_VERSION_ANY)
	{
		operator = DEPOT_VERSION_EQ;
		if (length > 2 && end[-1] == '*' && end[-2] == '.')
		{
			operator = DEPOT_VERSION_PREFIX;
			length -= 2;
		}
	}
	if (constraint->term_count >= DEPOT_CONSTRAINT_MAX_TERMS)
	{
		(void) snprintf(reason, REASON_BYTES, "It has more than %d terms.", DEPOT_CONSTRAINT_MAX_TERMS);
		return false;
	}
	if (length >= sizeof(version))
		return refuse_version(text, length, reason);
	memcpy(version, text, length);
	version[length] = '\0';
	if (!depot_name_is_version(version))
		return refuse_version(text, (size_t) (end - text), reason);
	constraint->terms[constraint->term_count].operator = operator;
	memcpy(constraint->terms[constraint->term_count].version, version, length + 1);
	constraint->term_count++;
	return true;
}

/* Moves *start and *end inwards over white space. */
static void
trim_spaces(const char **start, const char **end)
{
	while (*start < *end && is_space(**start))
		(*start)++;
	while (*start < *end && is_space((*end)[-1]))
		(*end)--;
}

static bool
parse_terms(const char *text, DepotVersionConstraint *constraint, char reason[REASON_BYTES])
{
	const char *start = text;
	const char *text_end = text + strlen(text);

	trim_spaces(&start, &text_end);
	for (;;)
	{
		const char *comma = memchr(start, ',', (size_t) (text_end - start));
		const char *term_start = start;
		const char *term_end = comma != NULL ? comma : text_end;

		trim_spaces(&term_start, &term_end);
		if (term_start == term_end)
		{
			(void) snprintf(reason, REASON_BYTES, "Nothing stands before or after a comma.");
			return false;
		}
		if (!parse_term(term_start, (size_t) (term_end - term_start), constraint, reason))
			return false;
		if (comma == NULL)
			return true;
		start = comma + 1;
	}
}

/* Sets the error for a constraint of which reason says what is wrong. */
static bool
refuse_constraint(const char *text, const char *reason, DepotError *error)
{
	char		shown[SHOWN_BYTES];

	depot_error_set(error, DEPOT_ERROR_INVALID_VERSION, "invalid version constraint: \"%s\"",
					depot_name_printable(text, shown, sizeof(shown)));
	depot_error_detail(error, "%s", reason);
	return depot_error_hint(error, "Write a version (\"1.2.3\"), a prefix (\"1.2.*\"), comparisons"
							" joined by commas (\">= 1.2, < 2\"), or \"*\".");
}

bool
depot_version_constraint_parse(const char *text, DepotVersionConstraint *constraint, DepotError *error)
{
	char		reason[REASON_BYTES] = "";

	memset(constraint, 0, sizeof(*constraint));
	if (text == NULL || is_blank(text))
		return true;
	if (strnlen(text, DEPOT_CONSTRAINT_MAX_BYTES + 1) > DEPOT_CONSTRAINT_MAX_BYTES)
		(void) snprintf(reason, sizeof(reason), "It has more than %d bytes.", DEPOT_CONSTRAINT_MAX_BYTES);
	else if (parse_terms(text, constraint, reason))
		return true;
	memset(constraint, 0, sizeof(*constraint));
	return refuse_constraint(text, reason, error);
}

bool
depot_version_constraint_check(const char *text, DepotError *error)
{
	DepotVersionConstraint constraint;

	if (text != NULL && is_blank(text))
		return refuse_constraint(text, "It is empty.", error);
	return depot_version_constraint_parse(text, &constraint, error);
}

/* Tells whether version is "1.2" (by the rule above) or goes on behind "1.2.". */
static bool
has_prefix(const char *version, const char *prefix)
{
	size_t		length = strlen(prefix);

	if (depot_version_compare(version, prefix) == 0)
		return true;
	return strncmp(version, prefix, length) == 0 && version[length] == '.';
}

static bool
satisfies_term(const char *version, DepotVersionOperator operator, const char *wanted)
{
	int			order = depot_version_compare(version, wanted);

	switch (operator)
	{
		case DEPOT_VERSION_ANY:
			return true;
		case DEPOT_VERSION_EQ:
			return order == 0;
		case DEPOT_VERSION_NE:
			return order != 0;
		case DEPOT_VERSION_LT:
			return order < 0;
		case DEPOT_VERSION_LE:
			return order <= 0;
		case DEPOT_VERSION_GT:
			return order > 0;
		case DEPOT_VERSION_GE:
			return order >= 0;
		case DEPOT_VERSION_PREFIX:
			return has_prefix(version, wanted);
	}
	return false;
}

bool
depot_version_satisfies(const char *version, const DepotVersionConstraint *constraint)
{
	for (int i = 0; i < constraint->term_count; i++)
	{
		if (!satisfies_term(version, constraint->terms[i].operator, constraint->terms[i].version))
			return false;
	}
	return true;
}
