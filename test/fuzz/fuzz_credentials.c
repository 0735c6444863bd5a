/*-------------------------------------------------------------------------
 *
 * fuzz_credentials.c
 *	  The file of credentials: a URL on the first line, then the file's text.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <sys/stat.h>

#include "fuzz_file.h"

#include "common/fetch.h"
#include "common/fetch_credentials.h"
#include "common/json.h"

static bool
is_printable(const char *text)
{
	for (const char *p = text; p != NULL && *p != '\0'; p++)
	{
		if (*p < ' ' || *p > '~')
			return false;
	}
	return true;
}

/* Requires that what is sent fits in one header of a request, and goes where it was written for. */
static void
check_credential(const DepotCredential *credential, const char *url)
{
	int			kinds = (credential->bearer != NULL) + (credential->user != NULL) + (credential->header_name != NULL) +
	(credential->certificate != NULL) + (credential->access_key != NULL);

	FUZZ_REQUIRE(kinds == 1);
	FUZZ_REQUIRE((credential->user == NULL) == (credential->password == NULL));
	FUZZ_REQUIRE((credential->header_name == NULL) == (credential->header_value == NULL));
	FUZZ_REQUIRE((credential->certificate == NULL) == (credential->key == NULL));
	FUZZ_REQUIRE((credential->access_key == NULL) == (credential->secret_key == NULL));
	FUZZ_REQUIRE(is_printable(credential->bearer) && is_printable(credential->user) &&
				 is_printable(credential->password) && is_printable(credential->header_name) &&
				 is_printable(credential->header_value) && is_printable(credential->session_token));
	FUZZ_REQUIRE(credential->header_name == NULL || strpbrk(credential->header_name, ": ") == NULL);
	FUZZ_REQUIRE(credential->certificate == NULL || credential->certificate[0] == '/');
	/* Plain http only to this machine, whatever depot.allow_http says. */
	FUZZ_REQUIRE(depot_fetch_check_url(credential->prefix, false, NULL));
	FUZZ_REQUIRE(depot_credentials_cover(credential->prefix, url));
	FUZZ_REQUIRE((strncmp(url, "https:", 6) == 0) == (strncmp(credential->prefix, "https:", 6) == 0));
	FUZZ_REQUIRE(depot_credentials_cover(url, url));
}

/* Requires that no longer prefix would have covered the URL, and none at all when none was found. */
static void
check_choice(const json_t *document, const char *url, const DepotCredential *chosen)
{
	json_t	   *entry;
	size_t		index;

	json_array_foreach(json_object_get(document, "credentials"), index, entry)
	{
		const char *prefix = json_string_value(json_object_get(entry, "prefix"));

		if (!depot_credentials_cover(prefix, url))
			continue;
		FUZZ_REQUIRE(chosen != NULL);
		/* Both cover the URL, so one of them covers the other: the longer one counts. */
		FUZZ_REQUIRE(depot_credentials_cover(prefix, chosen->prefix));
	}
}

/* Requires that a file of the text, if nobody else can read it, says what the text says, or may be a key. */
static void
check_file(const char *text, size_t length_bytes, const json_t *document)
{
	int			fd = fuzz_file(text, length_bytes);
	char		path[64];
	DepotError	error = {0};
	json_t	   *again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	FUZZ_REQUIRE(fchmod(fd, 0600) == 0);
	again = depot_credentials_read(path, &error);
	FUZZ_REQUIRE(document == NULL ? again == NULL : json_equal(document, again));
	json_decref(again);
	FUZZ_REQUIRE(depot_credentials_check_key(path, &error));
	FUZZ_REQUIRE(fchmod(fd, 0644) == 0);
	FUZZ_REQUIRE(!depot_credentials_check_key(path, &error) && error.code == DEPOT_ERROR_CONFIGURATION);
	FUZZ_REQUIRE(fchmod(fd, 0640) == 0);
	FUZZ_REQUIRE(depot_credentials_read(path, &error) == NULL && error.code == DEPOT_ERROR_CONFIGURATION);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_string(data, size);
	char	   *rest = text;
	const char *url = fuzz_line(&rest);
	DepotError	error = {0};
	DepotCredential credential;
	json_t	   *document = NULL;

	if (rest != NULL)
	{
		size_t		length_bytes = size - (size_t) (rest - text);

		document = depot_credentials_parse(rest, length_bytes, "credentials.json", &error);
		if (document == NULL)
		{
			fuzz_require_refusal(&error);
			FUZZ_REQUIRE(error.code == DEPOT_ERROR_CONFIGURATION);
		}
		check_file(rest, length_bytes, document);
	}
	if (document != NULL && depot_fetch_check_url(url, true, NULL))
	{
		bool		is_found = depot_credentials_find(document, url, &credential);

		if (is_found)
			check_credential(&credential, url);
		check_choice(document, url, is_found ? &credential : NULL);
	}
	json_decref(document);
	free(text);
	return 0;
}
