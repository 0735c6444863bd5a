/*-------------------------------------------------------------------------
 *
 * control_scan.c
 *	  The syntax of postgresql.conf, as far as control files use it.
 *
 * A line is empty, or a name, an optional '=', and one value; '#' begins a
 * comment.  A value stands in single quotes, or is a number or a word.  What is
 * accepted here must mean the same to the server, so a token ends only where
 * the server's scanner would end it, and anything else on the line is an error.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/control_internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct Scanner
{
	const char *position;
	const char *end;
	const char *what;
	int			line;
	DepotError *error;
} Scanner;

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_hex_digit(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool
scan_error(const Scanner *scanner, const char *problem)
{
	return depot_error_set(scanner->error, DEPOT_ERROR_CONTROL_FILE, "%s: line %d: %s", scanner->what,
						   scanner->line, problem);
}

static void
skip_blanks(Scanner *scanner)
{
	while (scanner->position < scanner->end &&
		   (*scanner->position == ' ' || *scanner->position == '\t' || *scanner->position == '\r'))
		scanner->position++;
}

/* Goes to the start of the next line when only blanks and a comment are left on this one. */
static bool
finish_line(Scanner *scanner)
{
	skip_blanks(scanner);
	if (scanner->position < scanner->end && *scanner->position == '#')
	{
		while (scanner->position < scanner->end && *scanner->position != '\n')
			scanner->position++;
	}
	if (scanner->position == scanner->end)
		return true;
	if (*scanner->position != '\n')
		return scan_error(scanner, "syntax error");
	scanner->position++;
	scanner->line++;
	return true;
}

static char *
copy_token(const Scanner *scanner, const char *start, const char *end)
{
	char	   *copy = strndup(start, (size_t) (end - start));

	if (copy == NULL)
		depot_error_set(scanner->error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return copy;
}

static const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && is_digit(*p))
		p++;
	return p;
}

/* Returns the end of an integer with an optional unit at p, or p. */
static const char *
match_integer(const char *p, const char *end)
{
	const char *start = p;
	const char *digits;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	digits = p;
	p = skip_digits(p, end);
	if (p == digits)
		return start;
	if (p == digits + 1 && *digits == '0' && p + 1 < end && *p == 'x' && is_hex_digit(p[1]))
	{
		for (p++; p < end && is_hex_digit(*p); p++)
			;
	}
	while (p < end && is_letter(*p) && *p != '_' && (*p & 0x80) == 0)
		p++;
	return p;
}

/* Returns the end of a decimal fraction with an optional exponent at p, or p. */
static const char *
match_real(const char *p, const char *end)
{
	const char *start = p;
	const char *exponent;
	const char *digits;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	p = skip_digits(p, end);
	if (p == end || *p != '.')
		return start;
	p = skip_digits(p + 1, end);
	if (p == end || (*p != 'e' && *p != 'E'))
		return p;
	exponent = p++;
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	digits = p;
	p = skip_digits(p, end);
	return p == digits ? exponent : p;
}

/* Returns the end of a word at p: a letter, then letters, digits and -._:/ */
static const char *
match_word(const char *p, const char *end)
{
	if (p == end || !is_letter(*p))
		return p;
	while (p < end && (is_letter(*p) || is_digit(*p) || strchr("-._:/", *p) != NULL))
		p++;
	return p;
}

/* Reads the name: a word without -:/, and at most one '.'.  The longest word decides, as in the server. */
static char *
scan_name(Scanner *scanner)
{
	const char *start = scanner->position;
	const char *end = match_word(start, scanner->end);

	for (const char *p = start; p < end; p++)
	{
		if (*p == '-' || *p == ':' || *p == '/')
			end = start;
	}
	if (end == start)
	{
		scan_error(scanner, "syntax error");
		return NULL;
	}
	scanner->position = end;
	return copy_token(scanner, start, end);
}

/* Reads one escape after a backslash at *p (before end) into *out; false for a NUL byte. */
static bool
unescape(const char **p, const char *end, char *out)
{
	static const char *const names = "bfnrt";
	static const char values[] = "\b\f\n\r\t";
	const char *name = strchr(names, **p);
	unsigned	value = 0;

	if (**p >= '0' && **p <= '7')
	{
		for (int i = 0; i < 3 && *p < end && **p >= '0' && **p <= '7'; i++)
			value = value * 8 + (unsigned) (*(*p)++ - '0');
		*out = (char) value;
		return (value & 0xff) != 0;
	}
	*out = (char) (name != NULL ? values[name - names] : **p);
	(*p)++;
	return true;
}

/* Reads a value in single quotes; the scanner stands on the first one. */
static char *
scan_quoted(Scanner *scanner)
{
	const char *p = scanner->position + 1;
	char	   *value = malloc((size_t) (scanner->end - p) + 1);
	size_t		length = 0;

	if (value == NULL)
	{
		depot_error_set(scanner->error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	while (p < scanner->end && *p != '\n')
	{
		if (*p == '\'')
		{
			if (p + 1 == scanner->end || p[1] != '\'')
			{
				value[length] = '\0';
				scanner->position = p + 1;
				return value;
			}
			value[length++] = '\'';
			p += 2;
		}
		else if (*p != '\\')
			value[length++] = *p++;
		else if (++p == scanner->end || *p == '\n' || !unescape(&p, scanner->end, &value[length++]))
			break;
	}
	free(value);
	scan_error(scanner, "string is not ended on its line, or holds a zero byte");
	return NULL;
}

static char *
scan_value(Scanner *scanner)
{
	const char *start = scanner->position;
	const char *end;
	const char *real_end;

	if (start < scanner->end && *start == '\'')
		return scan_quoted(scanner);
	end = match_word(start, scanner->end);
	if (end == start)
		end = match_integer(start, scanner->end);
	real_end = match_real(start, scanner->end);
	if (real_end > end)
		end = real_end;
	if (end == start)
	{
		scan_error(scanner, "a value is missing or not readable");
		return NULL;
	}
	scanner->position = end;
	return copy_token(scanner, start, end);
}

static bool
scan_assignment(Scanner *scanner, ControlSet set, void *context)
{
	char	   *name = scan_name(scanner);
	char	   *value = NULL;
	bool		ok = false;

	if (name == NULL)
		goto done;
	skip_blanks(scanner);
	if (scanner->position < scanner->end && *scanner->position == '=')
		scanner->position++;
	skip_blanks(scanner);
	value = scan_value(scanner);
	if (value == NULL)
		goto done;
	if (!set(name, value, context, scanner->error))
	{
		depot_error_prefix(scanner->error, "%s: line %d", scanner->what, scanner->line);
		goto done;
	}
	ok = finish_line(scanner);

done:
	free(name);
	free(value);
	return ok;
}

bool
depot_control_scan(const char *text, size_t length_bytes, const char *what, ControlSet set, void *context,
				   DepotError *error)
{
	Scanner		scanner = {.position = text, .end = text + length_bytes, .what = what, .line = 1, .error = error};

	if (length_bytes == 0)
		return true;
	if (memchr(text, '\0', length_bytes) != NULL)
		return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE, "%s: contains a zero byte", what);
	while (scanner.position < scanner.end)
	{
		skip_blanks(&scanner);
		if (scanner.position == scanner.end || *scanner.position == '\n' || *scanner.position == '#')
		{
			if (!finish_line(&scanner))
				return false;
		}
		else if (!scan_assignment(&scanner, set, context))
			return false;
	}
	return true;
}
