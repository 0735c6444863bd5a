/*-------------------------------------------------------------------------
 *
 * fetch_url.c
 *	  What may be the URL of a repository, and how a file's URL is built.
 *
 * Apart from fetch.c because the server checks URLs too and must not load
 * libcurl.  The rules are narrower than RFC 3986 on purpose: two readers of
 * one URL (this file and libcurl) can only disagree about what is let
 * through here.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "common/name.h"

/* What may stand in a URL's path beside letters and digits; no quotes, no backslash, no '?' or '#'. */
#define URL_PATH_PUNCTUATION "/-._~:@!$&'()*+,;=%"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alphanumeric(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* What may hold a password is not repeated: messages end up in logs. */
static bool
reject(DepotError *error, const char *url, const char *reason)
{
	char		shown[128];

	if (strchr(url, '@') != NULL)
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "invalid repository URL: %s", reason);
	else
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "invalid repository URL \"%s\": %s",
						depot_name_printable(url, shown, sizeof(shown)), reason);
	return depot_error_hint(error, "Write https://HOST/PATH, http://HOST/PATH or file:///PATH.");
}

/* Tells whether the host at text is this machine by its spelling; nothing is resolved. */
static bool
host_is_loopback(const char *host, size_t length)
{
	int			parts = 1;
	int			digits = 0;

	if (length == strlen("localhost") && memcmp(host, "localhost", length) == 0)
		return true;
	if (length == strlen("[::1]") && memcmp(host, "[::1]", length) == 0)
		return true;
	if (length < strlen("127.0.0.1") || memcmp(host, "127.", 4) != 0)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (host[i] == '.')
		{
			if (digits == 0)
				return false;
			parts++;
			digits = 0;
		}
		else if (!is_digit(host[i]) || ++digits > 3)
			return false;
	}
	return parts == 4 && digits > 0;
}

/* Checks [host] or host, and an optional port; the authority is the length bytes at text. */
static const char *
check_authority(const char *text, size_t length, size_t *host_length)
{
	size_t		i = 0;
	long		port = 0;

	if (memchr(text, '@', length) != NULL)
		return "user names and passwords are not allowed";
	if (length > 0 && text[0] == '[')
	{
		for (i = 1; i < length && text[i] != ']'; i++)
			if (hex_value(text[i]) < 0 && text[i] != ':' && text[i] != '.')
				return "the host is not an IPv6 address";
		if (i == 1 || i == length)
			return "the host is not an IPv6 address";
		i++;
	}
	else
	{
		while (i < length && (is_alphanumeric(text[i]) || text[i] == '.' || text[i] == '-'))
			i++;
		if (i == 0)
			return "the host is missing";
		if (text[0] == '-' || text[0] == '.' || i > 253)
			return "the host is not a valid name";
	}
	*host_length = i;
	if (i == length)
		return NULL;
	if (text[i] != ':')
		return "the host is not a valid name";
	if (i + 1 == length || length - i > 6)
		return "the port is not a number between 1 and 65535";
	for (i++; i < length; i++)
	{
		if (!is_digit(text[i]))
			return "the port is not a number between 1 and 65535";
		port = port * 10 + (text[i] - '0');
	}
	return port >= 1 && port <= 65535 ? NULL : "the port is not a number between 1 and 65535";
}

/*
 * Checks the path of a URL; a percent-encoded dot counts as a dot, and what would decode to a separator is
 * refused, but for '/' where the caller takes it as a part of a name.
 */
static const char *
check_path(const char *path, bool encoded_slash)
{
	int			dots = 0;
	bool		only_dots = true;

	for (const char *p = path;; p++)
	{
		char		c = *p;

		if (c == '/' || c == '\0')
		{
			if (only_dots && (dots == 1 || dots == 2))
				return "\".\" and \"..\" are not allowed in the path";
			dots = 0;
			only_dots = true;
			if (c == '\0')
				return NULL;
			continue;
		}
		if (c == '%')
		{
			int			high = hex_value(p[1]);
			int			low = high < 0 ? -1 : hex_value(p[2]);

			if (low < 0)
				return "\"%\" is not followed by two hexadecimal digits";
			c = (char) (high * 16 + low);
			if ((unsigned char) c < 0x20 || c == 0x7f || (c == '/' && !encoded_slash) || c == '\\')
				return "a separator or control character is percent-encoded in the path";
			p += 2;
		}
		else if (!is_alphanumeric(c) && strchr(URL_PATH_PUNCTUATION, c) == NULL)
			return c == '?' ? "a query (\"?\") is not allowed" :
				c == '#' ? "a fragment (\"#\") is not allowed" :
				"the path has a character that must be percent-encoded";
		if (c == '.')
			dots++;
		else
			only_dots = false;
	}
}

static bool
check_url(const char *url, bool allow_http, bool encoded_slash, DepotError *error)
{
	const char *authority;
	const char *path;
	const char *reason;
	size_t		host_length = 0;
	bool		plain;

	if (strlen(url) > DEPOT_FETCH_MAX_URL_BYTES)
		return reject(error, url, "it is longer than 1024 bytes");
	for (const char *p = url; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return reject(error, url, "it may hold printable ASCII characters only");

	if (strncmp(url, "file:", 5) == 0)
	{
		if (strncmp(url, "file:///", 8) != 0 || url[8] == '\0' || url[8] == '/')
			return reject(error, url, "a file URL needs an absolute path");
		reason = check_path(url + 7, false);
		return reason == NULL || reject(error, url, reason);
	}

	plain = strncmp(url, "http://", 7) == 0;
	if (!plain && strncmp(url, "https://", 8) != 0)
		return reject(error, url, "it does not begin with https://, http:// or file:///");
	authority = url + (plain ? 7 : 8);
	path = authority + strcspn(authority, "/?#");
	reason = check_authority(authority, (size_t) (path - authority), &host_length);
	if (reason == NULL)
		reason = check_path(path, encoded_slash);
	if (reason != NULL)
		return reject(error, url, reason);
	if (plain && !allow_http && !host_is_loopback(authority, host_length))
	{
		depot_error_set(error, DEPOT_ERROR_NOT_ALLOWED,
						"repository URL with host \"%.*s\" uses http, which is not allowed",
						(int) host_length, authority);
		return depot_error_hint(error, "Use https, or set depot.allow_http in the configuration file.");
	}
	return true;
}

int
depot_fetch_blame(DepotErrorCode code)
{
	switch (code)
	{
		case DEPOT_ERROR_NOT_FOUND:
			return 1;
		case DEPOT_ERROR_UNREACHABLE:
		case DEPOT_ERROR_NOT_ALLOWED:
			return 2;
		case DEPOT_ERROR_TRANSFER:
		case DEPOT_ERROR_STALLED:
			return 3;
		case DEPOT_ERROR_TOO_LARGE:
		case DEPOT_ERROR_METADATA_FORMAT:
		case DEPOT_ERROR_METADATA_THRESHOLD:
		case DEPOT_ERROR_METADATA_EXPIRED:
		case DEPOT_ERROR_METADATA_ROLLBACK:
		case DEPOT_ERROR_METADATA_MISMATCH:
		case DEPOT_ERROR_ROOT_INVALID:
		case DEPOT_ERROR_DIGEST_MISMATCH:
			return 4;
		default:
			return 0;
	}
}

bool
depot_fetch_check_url(const char *url, bool allow_http, DepotError *error)
{
	return check_url(url, allow_http, false, error);
}

bool
depot_fetch_check_encoded_url(const char *url, bool allow_http, DepotError *error)
{
	return check_url(url, allow_http, true, error);
}

/* Tells whether path is parts of [A-Za-z0-9._+~:-] joined by single slashes, none empty, "." or "..". */
static bool
is_repository_path(const char *path)
{
	const char *part = path;

	if (strlen(path) > DEPOT_FETCH_MAX_URL_BYTES)
		return false;
	for (const char *p = path;; p++)
	{
		if (*p == '/' || *p == '\0')
		{
			size_t		length = (size_t) (p - part);

			if (length == 0 || length > DEPOT_PATH_PART_MAX_BYTES ||
				(part[0] == '.' && (length == 1 || (length == 2 && part[1] == '.'))))
				return false;
			if (*p == '\0')
				return true;
			part = p + 1;
		}
		else if (!is_alphanumeric(*p) && strchr("._+~:-", *p) == NULL)
			return false;
	}
}

static bool
reject_path(const char *path, DepotError *error)
{
	char		shown[128];

	return depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "invalid repository path \"%s\"",
						   depot_name_printable(path, shown, sizeof(shown)));
}

static void
append_base(const char *base, DepotBuffer *url)
{
	size_t		length = strlen(base);

	while (length > 0 && base[length - 1] == '/')
		length--;
	depot_buffer_append(url, base, length);
	depot_buffer_append(url, "/", 1);
}

/*
 * Tells whether path is parts of unreserved characters and %XX joined by single slashes; an encoded dot is a
 * dot, as whoever opens a file: URL decodes it first.
 */
static bool
is_encoded_path(const char *path, bool encoded_slash)
{
	size_t		length = 0;
	size_t		dots = 0;

	if (strlen(path) > DEPOT_FETCH_MAX_ENCODED_BYTES)
		return false;
	for (const char *p = path;; p++)
	{
		char		c = *p;

		if (c == '/' || c == '\0')
		{
			if (length == 0 || (length <= 2 && dots == length))
				return false;
			if (c == '\0')
				return true;
			length = 0;
			dots = 0;
			continue;
		}
		if (c == '%')
		{
			int			high = hex_value(p[1]);
			int			low = high < 0 ? -1 : hex_value(p[2]);

			if (low < 0 || (high == 0 && low == 0) || (high * 16 + low == '/' && !encoded_slash))
				return false;
			c = (char) (high * 16 + low);
			p += 2;
		}
		else if (!is_alphanumeric(c) && strchr("-._~", c) == NULL)
			return false;
		length++;
		dots += c == '.';
	}
}

bool
depot_fetch_build_encoded_url(const char *base, const char *path, DepotBuffer *url, DepotError *error)
{
	if (!is_encoded_path(path, strncmp(base, "file:", 5) != 0))
		return reject_path(path, error);
	append_base(base, url);
	depot_buffer_append_string(url, path);
	return !url->failed || depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

bool
depot_fetch_build_url(const char *base, const char *path, DepotBuffer *url, DepotError *error)
{
	static const char hex[] = "0123456789ABCDEF";

	if (!is_repository_path(path))
		return reject_path(path, error);
	append_base(base, url);
	for (const char *p = path; *p != '\0'; p++)
	{
		if (is_alphanumeric(*p) || strchr("-._~/", *p) != NULL)
			depot_buffer_append(url, p, 1);
		else
		{
			char		encoded[3] = {'%', hex[(unsigned char) *p >> 4], hex[(unsigned char) *p & 15]};

			depot_buffer_append(url, encoded, sizeof(encoded));
		}
	}
	if (url->failed)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return true;
}
