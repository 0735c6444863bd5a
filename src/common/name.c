/*-------------------------------------------------------------------------
 *
 * name.c
 *	  The one gate for names (design promise 7).
 *
 * Every predicate is one scan over bytes with a table-free character test, so
 * that neither locale nor the signedness of char can change an answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/name.h"

#include <string.h>

/* Enough to recognise a value in a message without filling the screen. */
#define SHOWN_VALUE_BYTES 84

#define DELEGATED_ROLE_MAX_BYTES 64
#define SHA256_HEX_DIGITS 64

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter_or_digit(char c)
{
	return is_lower(c) || is_upper(c) || is_digit(c);
}

/* Tells whether each of these bytes is a letter, a digit or one of extra. */
static bool
has_only(const char *text, size_t length, const char *extra)
{
	for (size_t i = 0; i < length; i++)
		if (!is_letter_or_digit(text[i]) && strchr(extra, text[i]) == NULL)
			return false;
	return true;
}

/* Returns the length of a name or version, 0 when it has none that is allowed. */
static size_t
allowed_length(const char *name)
{
	const size_t length = name == NULL ? 0 : strnlen(name, DEPOT_NAME_MAX_BYTES + 1);

	return length <= DEPOT_NAME_MAX_BYTES ? length : 0;
}

/* What all names of things that PostgreSQL knows have in common; extra lists further characters. */
static bool
is_name(const char *name, bool upper_allowed, const char *extra)
{
	const size_t length = allowed_length(name);

	if (length == 0)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		char		c = name[i];
		bool		first_allowed = is_lower(c) || is_digit(c) || (upper_allowed && is_upper(c));

		if (!first_allowed && (i == 0 || strchr(extra, c) == NULL))
			return false;
		if (i > 0 && name[i - 1] == c && (c == '-' || c == '.'))
			return false;
	}
	return name[length - 1] != '-';
}

bool
depot_name_is_package(const char *name)
{
	return is_name(name, false, "_.-");
}

bool
depot_name_is_extension(const char *name)
{
	return is_name(name, true, "_.-");
}

bool
depot_name_is_module(const char *name)
{
	return is_name(name, true, "_.-+");
}

bool
depot_name_is_version(const char *version)
{
	const size_t length = allowed_length(version);

	return length > 0 && has_only(version, length, ".+~:_-") && version[0] != '-' && version[length - 1] != '-' &&
		strstr(version, "--") == NULL;
}

bool
depot_name_is_delegated_role(const char *name)
{
	static const char *const top_level[] = {"root", "targets", "snapshot", "timestamp"};
	size_t		length;

	if (name == NULL)
		return false;
	length = strnlen(name, DELEGATED_ROLE_MAX_BYTES + 1);
	if (length == 0 || length > DELEGATED_ROLE_MAX_BYTES)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (!is_lower(name[i]) && !is_digit(name[i]) && name[i] != '_' && name[i] != '-')
			return false;
	}
	for (size_t i = 0; i < sizeof(top_level) / sizeof(top_level[0]); i++)
	{
		if (strcmp(name, top_level[i]) == 0)
			return false;
	}
	return true;
}

bool
depot_name_is_node(const char *name)
{
	const size_t length = allowed_length(name);

	return length > 0 && has_only(name, length, "_.:/-") && is_letter_or_digit(name[0]);
}

/* One part of a path, not NUL-terminated. */
static bool
is_path_part(const char *part, size_t length)
{
	if (length == 0 || length > DEPOT_PATH_PART_MAX_BYTES)
		return false;
	if (part[0] == '.' && (length == 1 || (length == 2 && part[1] == '.')))
		return false;
	return has_only(part, length, "._+-");
}

bool
depot_name_is_relative_path(const char *path)
{
	const char *part = path;

	if (path == NULL || strnlen(path, DEPOT_PATH_MAX_BYTES + 1) > DEPOT_PATH_MAX_BYTES)
		return false;
	for (;;)
	{
		size_t		length = strcspn(part, "/");

		if (!is_path_part(part, length))
			return false;
		if (part[length] == '\0')
			return true;
		part += length + 1;
	}
}

bool
depot_name_is_sha256(const char *hex)
{
	if (hex == NULL)
		return false;
	for (size_t i = 0; i < SHA256_HEX_DIGITS; i++)
	{
		if (!is_digit(hex[i]) && !(hex[i] >= 'a' && hex[i] <= 'f'))
			return false;
	}
	return hex[SHA256_HEX_DIGITS] == '\0';
}

bool
depot_name_check_package(const char *name, const char *what, DepotError *error)
{
	char		shown[SHOWN_VALUE_BYTES];

	if (depot_name_is_package(name))
		return true;
	depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "invalid %s name: \"%s\"", what,
					depot_name_printable(name, shown, sizeof(shown)));
	return depot_error_detail(error, "A %s name is 1 to %d characters from a-z, 0-9, \"_\", \".\" and \"-\","
							  " begins with a letter or digit, does not end with \"-\""
							  " and has no \"--\" or \"..\" in it.", what, DEPOT_NAME_MAX_BYTES);
}

bool
depot_name_check_extension(const char *name, DepotError *error)
{
	char		shown[SHOWN_VALUE_BYTES];

	if (depot_name_is_extension(name))
		return true;
	depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "invalid extension name: \"%s\"",
					depot_name_printable(name, shown, sizeof(shown)));
	return depot_error_detail(error, "An extension name is 1 to %d characters from a-z, A-Z, 0-9, \"_\","
							  " \".\" and \"-\", begins with a letter or digit, does not end with \"-\""
							  " and has no \"--\" or \"..\" in it.", DEPOT_NAME_MAX_BYTES);
}

bool
depot_name_check_version(const char *version, DepotError *error)
{
	char		shown[SHOWN_VALUE_BYTES];

	if (depot_name_is_version(version))
		return true;
	depot_error_set(error, DEPOT_ERROR_INVALID_VERSION, "invalid version: \"%s\"",
					depot_name_printable(version, shown, sizeof(shown)));
	return depot_error_detail(error, "A version is 1 to %d characters from a-z, A-Z, 0-9, \".\", \"+\","
							  " \"~\", \":\", \"_\" and \"-\", does not begin or end with \"-\""
							  " and has no \"--\" in it.", DEPOT_NAME_MAX_BYTES);
}

bool
depot_name_check_node(const char *name, DepotError *error)
{
	char		shown[SHOWN_VALUE_BYTES];

	if (depot_name_is_node(name))
		return true;
	depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "invalid server name: \"%s\"",
					depot_name_printable(name, shown, sizeof(shown)));
	return depot_error_detail(error, "A server's name is 1 to %d characters from a-z, A-Z, 0-9, \"_\", \".\", \":\","
							  " \"/\" and \"-\", and begins with a letter or digit.", DEPOT_NAME_MAX_BYTES);
}

char *
depot_name_printable(const char *value, char *out, size_t out_bytes)
{
	static const char ellipsis[] = "...";
	size_t		length = 0;

	if (out_bytes == 0)
		return out;
	for (; value != NULL && value[length] != '\0' && length < out_bytes - 1; length++)
	{
		out[length] = value[length];
		if (value[length] < 0x20 || value[length] > 0x7E)
			out[length] = '?';
	}
	out[length] = '\0';
	if (value != NULL && value[length] != '\0' && length >= sizeof(ellipsis) - 1)
		memcpy(out + length - (sizeof(ellipsis) - 1), ellipsis, sizeof(ellipsis));
	return out;
}
