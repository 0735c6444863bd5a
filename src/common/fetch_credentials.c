/*-------------------------------------------------------------------------
 *
 * fetch_credentials.c
 *	  The file of credentials for private repositories.
 *
 * Read anew for each request by the process that sends them, so that nobody
 * else ever holds a secret and a file that was replaced counts at once.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/fetch_credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fetch.h"
#include "common/json.h"

#define VALUE_MAX_BYTES 16384

/* What a value may hold: each rule keeps it from being read as anything else by whoever gets it. */
typedef enum ValueRule
{
	VALUE_TEXT,					/* printable ASCII */
	VALUE_WORD,					/* the same without blanks */
	VALUE_USER,					/* text without a colon, which ends a user's name */
	VALUE_HEADER_NAME,
	VALUE_PATH,					/* absolute */
	VALUE_NAME					/* of a region or service: lower-case letters, digits, '-' */
} ValueRule;

typedef struct MemberRule
{
	const char *name;
	ValueRule	rule;
	size_t		offset;			/* in DepotCredential */
	bool		optional;
} MemberRule;

#define MEMBER(name, rule, field) {name, rule, offsetof(DepotCredential, field), false}
#define OPTIONAL_MEMBER(name, rule, field) {name, rule, offsetof(DepotCredential, field), true}

typedef struct KindRule
{
	const char *name;
	bool		is_string;		/* the value itself, which is the one member */
	MemberRule	members[6];		/* ended by a NULL name */
} KindRule;

static const KindRule kinds[] = {
	{"bearer", true, {MEMBER("bearer", VALUE_WORD, bearer)}},
	{"basic", false, {MEMBER("user", VALUE_USER, user), MEMBER("password", VALUE_TEXT, password)}},
	{"header", false, {MEMBER("name", VALUE_HEADER_NAME, header_name), MEMBER("value", VALUE_TEXT, header_value)}},
	{"client_certificate", false, {MEMBER("certificate", VALUE_PATH, certificate), MEMBER("key", VALUE_PATH, key)}},
	{"aws_sigv4", false, {MEMBER("access_key", VALUE_WORD, access_key), MEMBER("secret_key", VALUE_WORD, secret_key),
			OPTIONAL_MEMBER("session_token", VALUE_WORD, session_token),
	MEMBER("region", VALUE_NAME, region), MEMBER("service", VALUE_NAME, service)}},
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* Headers that are libcurl's own, or would make another request of it. */
static const char *const reserved_headers[] = {
	"Host", "Range", "If-Range", "Connection", "Content-Length", "Transfer-Encoding", "Accept-Encoding", "Expect",
	"User-Agent", "Proxy-Authorization", NULL
};

/*----- the file ---------------------------------------------------------------*/

/* Checks that nobody but this process's user can have read or written what stands in the file. */
static bool
check_file(int fd, const char *path, DepotError *error)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		return depot_error_set_errno(error, errno, "could not look at the credentials file \"%s\"", path);
	if (!S_ISREG(status.st_mode))
	{
		depot_error_set(error, DEPOT_ERROR_CONFIGURATION, "the credentials file \"%s\" is not a regular file", path);
		return depot_error_hint(error, "Correct depot.credentials_file.");
	}
	if (status.st_uid != geteuid())
	{
		depot_error_set(error, DEPOT_ERROR_CONFIGURATION,
						"the credentials file \"%s\" does not belong to the server's user", path);
		depot_error_detail(error, "Its owner has the user id %u, the server's user has %u.",
						   (unsigned) status.st_uid, (unsigned) geteuid());
		return depot_error_hint(error, "Change its owner with chown.");
	}
	if ((status.st_mode & 07777 & ~0600) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_CONFIGURATION,
						"the credentials file \"%s\" has mode %04o, which is more than 0600", path,
						(unsigned) status.st_mode & 07777);
		return depot_error_hint(error, "Run chmod 0600 on it; others may have read it, so think of new credentials.");
	}
	if (status.st_size > DEPOT_CREDENTIALS_MAX_BYTES)
		return depot_error_set(error, DEPOT_ERROR_CONFIGURATION,
							   "the credentials file \"%s\" is larger than %d bytes", path,
							   DEPOT_CREDENTIALS_MAX_BYTES);
	return true;
}

bool
depot_credentials_check_key(const char *path, DepotError *error)
{
	struct stat status;
	mode_t		excess;

	if (stat(path, &status) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_CONFIGURATION, "could not look at the client certificate's key \"%s\": %s",
						path, strerror(errno));
		return depot_error_hint(error, "Correct the path in depot.credentials_file.");
	}
	if (!S_ISREG(status.st_mode))
	{
		depot_error_set(error, DEPOT_ERROR_CONFIGURATION, "the client certificate's key \"%s\" is not a regular file",
						path);
		return depot_error_hint(error, "Correct the path in depot.credentials_file.");
	}
	if (status.st_uid != geteuid() && status.st_uid != 0)
	{
		depot_error_set(error, DEPOT_ERROR_CONFIGURATION,
						"the client certificate's key \"%s\" belongs neither to the server's user nor to root", path);
		depot_error_detail(error, "Its owner has the user id %u, the server's user has %u.",
						   (unsigned) status.st_uid, (unsigned) geteuid());
		return depot_error_hint(error, "Change its owner with chown.");
	}
	excess = status.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
	if ((status.st_mode & excess) == 0)
		return true;
	depot_error_set(error, DEPOT_ERROR_CONFIGURATION,
					"the client certificate's key \"%s\" has mode %04o, which is more than %s", path,
					(unsigned) status.st_mode & 07777, status.st_uid == 0 ? "0640" : "0600");
	return depot_error_hint(error, "Run chmod %s on it; others may have read it, so think of a new key.",
							status.st_uid == 0 ? "0640" : "0600");
}

/* Reads up to one byte more than there may be; returns how many, or -1 with errno set. */
static ssize_t
read_text(int fd, char *text, size_t text_bytes)
{
	size_t		length = 0;

	while (length < text_bytes)
	{
		ssize_t		n = read(fd, text + length, text_bytes - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		length += (size_t) n;
	}
	return (ssize_t) length;
}

json_t *
depot_credentials_read(const char *path, DepotError *error)
{
	char		text[DEPOT_CREDENTIALS_MAX_BYTES + 1];
	json_t	   *document = NULL;
	ssize_t		length;
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
	{
		depot_error_set(error, DEPOT_ERROR_CONFIGURATION, "could not open the credentials file \"%s\": %s", path,
						strerror(errno));
		depot_error_hint(error, "Correct depot.credentials_file, or make the file, for the server's user only.");
		return NULL;
	}
	if (!check_file(fd, path, error))
		goto done;
	length = read_text(fd, text, sizeof(text));
	if (length < 0)
		depot_error_set_errno(error, errno, "could not read the credentials file \"%s\"", path);
	else
		document = depot_credentials_parse(text, (size_t) length, path, error);
	explicit_bzero(text, sizeof(text));
done:
	(void) close(fd);
	return document;
}

/*----- what stands in it --------------------------------------------------------*/

static bool
has_only(const char *value, const char *set)
{
	return value[0] != '\0' && value[strspn(value, set)] == '\0';
}

#define LOWER_CASE "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define LETTERS LOWER_CASE "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool
is_free_header(const char *name)
{
	for (int i = 0; reserved_headers[i] != NULL; i++)
		if (strcasecmp(reserved_headers[i], name) == 0)
			return false;
	return has_only(name, LETTERS DIGITS "!#$%&'*+-.^_`|~");
}

/* Returns what is wrong with a value, or NULL. */
static const char *
find_fault(const json_t *value, ValueRule rule)
{
	const char *text = json_string_value(value);

	if (text == NULL)
		return "is not a string";
	if (text[0] == '\0')
		return "is empty";
	if (strlen(text) > VALUE_MAX_BYTES)
		return "is too long";
	for (const char *p = text; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			return "may hold printable ASCII characters only";
	switch (rule)
	{
		case VALUE_TEXT:
			return NULL;
		case VALUE_WORD:
			return strchr(text, ' ') == NULL ? NULL : "may not hold blanks";
		case VALUE_USER:
			return strchr(text, ':') == NULL ? NULL : "may not hold a colon";
		case VALUE_HEADER_NAME:
			return is_free_header(text) ? NULL : "is not the name of a header that may be set";
		case VALUE_PATH:
			return text[0] == '/' ? NULL : "is not an absolute path";
		case VALUE_NAME:
			return has_only(text, LOWER_CASE DIGITS "-") ? NULL : "may hold lower-case letters, digits and \"-\" only";
	}
	return NULL;
}

/* Sets "credentials file PATH, entry N: REASON"; N counts from 1, 0 means the file as a whole. */
static bool
fail_entry(const char *path, size_t number, DepotError *error, const char *member, const char *reason)
{
	char		entry[32] = "";
	char		shown[64] = "";

	if (number > 0)
		(void) snprintf(entry, sizeof(entry), ", entry %zu", number);
	if (member != NULL)
		(void) snprintf(shown, sizeof(shown), "member \"%s\" ", member);
	depot_error_set(error, DEPOT_ERROR_CONFIGURATION, "credentials file \"%s\"%s: %s%s", path, entry, shown, reason);
	return depot_error_hint(error, "docs/private-repositories.md describes the file.");
}

/* Reads and checks what one entry holds of a kind. */
static bool
read_kind(const KindRule *kind, const json_t *value, DepotCredential *credential, const char *path, size_t number,
		  DepotError *error)
{
	size_t		found = 0;

	if (!kind->is_string && !json_is_object(value))
		return fail_entry(path, number, error, kind->name, "is not an object");
	for (const MemberRule *member = kind->members; member->name != NULL; member++)
	{
		const json_t *text = kind->is_string ? value : json_object_get(value, member->name);
		char		shown[64];
		const char *fault;

		if (text == NULL && member->optional)
			continue;
		(void) snprintf(shown, sizeof(shown), kind->is_string ? "%s" : "%s.%s", kind->name, member->name);
		fault = text == NULL ? "is missing" : find_fault(text, member->rule);
		if (fault != NULL)
			return fail_entry(path, number, error, shown, fault);
		*(const char **) ((char *) credential + member->offset) = json_string_value(text);
		found++;
	}
	if (!kind->is_string && json_object_size(value) > found)
		return fail_entry(path, number, error, kind->name, "has a member that is not known");
	return true;
}

/* Checks where the credentials may go. */
static bool
check_prefix(const json_t *value, const char *path, size_t number, DepotError *error)
{
	const char *prefix = json_string_value(value);
	DepotError	ignored;

	if (value == NULL)
		return fail_entry(path, number, error, "prefix", "is missing");
	if (prefix == NULL)
		return fail_entry(path, number, error, "prefix", "is not a string");
	if (strncmp(prefix, "file:", 5) == 0 || !depot_fetch_check_url(prefix, true, &ignored))
		return fail_entry(path, number, error, "prefix",
						  "is not a URL of the form https://HOST/PATH, without user name, query or fragment");
	if (!depot_fetch_check_url(prefix, false, &ignored))
		return fail_entry(path, number, error, "prefix",
						  "is an http URL of another host: credentials are sent over https, or to this machine");
	return true;
}

/* Reads and checks one entry; an error says which (number, from 1) and why. */
static bool
read_entry(const json_t *entry, DepotCredential *credential, const char *path, size_t number, DepotError *error)
{
	const KindRule *chosen = NULL;

	memset(credential, 0, sizeof(*credential));
	if (!json_is_object(entry))
		return fail_entry(path, number, error, NULL, "it is not an object");
	if (!check_prefix(json_object_get(entry, "prefix"), path, number, error))
		return false;
	credential->prefix = json_string_value(json_object_get(entry, "prefix"));
	for (size_t i = 0; i < KIND_COUNT; i++)
	{
		if (json_object_get(entry, kinds[i].name) == NULL)
			continue;
		if (chosen != NULL)
			return fail_entry(path, number, error, NULL, "it has more than one kind of credentials");
		chosen = &kinds[i];
	}
	if (json_object_size(entry) > (chosen != NULL ? 2 : 1))
		return fail_entry(path, number, error, NULL, "it has a member that is not known");
	if (chosen == NULL)
		return fail_entry(path, number, error, NULL,
						  "it has none of \"bearer\", \"basic\", \"header\", \"client_certificate\" and \"aws_sigv4\"");
	if (chosen->members[0].rule == VALUE_PATH && strncmp(credential->prefix, "https:", 6) != 0)
		return fail_entry(path, number, error, chosen->name, "needs a prefix that begins with https://");
	return read_kind(chosen, json_object_get(entry, chosen->name), credential, path, number, error);
}

static bool
check_document(const json_t *document, const char *path, DepotError *error)
{
	const json_t *entries = json_object_get(document, "credentials");
	size_t		count = json_array_size(entries);

	if (!json_is_array(entries) || json_object_size(document) != 1)
		return fail_entry(path, 0, error, NULL, "it is not an object with the one member \"credentials\", an array");
	if (count > DEPOT_CREDENTIALS_MAX_ENTRIES)
		return fail_entry(path, 0, error, "credentials", "has more than 256 entries");
	for (size_t i = 0; i < count; i++)
	{
		DepotCredential credential;

		if (!read_entry(json_array_get(entries, i), &credential, path, i + 1, error))
			return false;
		for (size_t j = 0; j < i; j++)
		{
			const char *other = json_string_value(json_object_get(json_array_get(entries, j), "prefix"));

			if (depot_credentials_cover(credential.prefix, other) && depot_credentials_cover(other, credential.prefix))
				return fail_entry(path, i + 1, error, "prefix", "is that of an earlier entry");
		}
	}
	return true;
}

json_t *
depot_credentials_parse(const char *text, size_t length_bytes, const char *path, DepotError *error)
{
	json_t	   *document;

	if (length_bytes > DEPOT_CREDENTIALS_MAX_BYTES)
	{
		(void) fail_entry(path, 0, error, NULL, "it is larger than 65536 bytes");
		return NULL;
	}
	document = depot_json_parse(text, length_bytes, DEPOT_ERROR_CONFIGURATION, "it", error);
	if (document == NULL)
		(void) depot_error_prefix(error, "credentials file \"%s\"", path);
	else if (!check_document(document, path, error))
	{
		json_decref(document);
		document = NULL;
	}
	return document;
}

/*----- which entry is for a URL ----------------------------------------------------*/

/* A URL in parts, in its own text. */
typedef struct UrlParts
{
	bool		is_plain;		/* http */
	const char *host;			/* with brackets, without port */
	size_t		host_length;
	long		port;
	const char *path;			/* without trailing slashes; may be empty */
	size_t		path_length;
} UrlParts;

/* Takes a URL apart that depot_fetch_check_url has let through; false for file:. */
static bool
split_url(const char *url, UrlParts *parts)
{
	const char *end;

	parts->is_plain = strncmp(url, "http://", 7) == 0;
	if (!parts->is_plain && strncmp(url, "https://", 8) != 0)
		return false;
	parts->host = url + (parts->is_plain ? 7 : 8);
	end = parts->host + (parts->host[0] == '[' ? strcspn(parts->host, "]") : 0);
	parts->host_length = (size_t) (end - parts->host) + strcspn(end, ":/");
	end = parts->host + parts->host_length;
	parts->port = parts->is_plain ? 80 : 443;
	if (*end == ':')
		for (parts->port = 0, end++; *end >= '0' && *end <= '9'; end++)
			parts->port = parts->port * 10 + (*end - '0');
	parts->path = end;
	parts->path_length = strlen(end);
	while (parts->path_length > 0 && parts->path[parts->path_length - 1] == '/')
		parts->path_length--;
	return true;
}

bool
depot_credentials_cover(const char *prefix, const char *url)
{
	UrlParts	p;
	UrlParts	u;

	return split_url(prefix, &p) && split_url(url, &u) && p.is_plain == u.is_plain && p.port == u.port &&
		p.host_length == u.host_length && strncasecmp(p.host, u.host, p.host_length) == 0 &&
		p.path_length <= u.path_length && memcmp(p.path, u.path, p.path_length) == 0 &&
		(p.path_length == u.path_length || u.path[p.path_length] == '/');
}

bool
depot_credentials_find(const json_t *document, const char *url, DepotCredential *credential)
{
	const json_t *entries = json_object_get(document, "credentials");
	const json_t *best = NULL;
	size_t		best_length = 0;
	DepotError	ignored;

	for (size_t i = 0; i < json_array_size(entries); i++)
	{
		const json_t *entry = json_array_get(entries, i);
		UrlParts	parts;
		const char *prefix = json_string_value(json_object_get(entry, "prefix"));

		if (!depot_credentials_cover(prefix, url) || !split_url(prefix, &parts))
			continue;
		if (best == NULL || parts.path_length > best_length)
		{
			best = entry;
			best_length = parts.path_length;
		}
	}
	return best != NULL && read_entry(best, credential, "", 0, &ignored);
}
