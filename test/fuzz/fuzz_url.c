/*-------------------------------------------------------------------------
 *
 * fuzz_url.c
 *	  URLs of repositories, and of files in them: a URL, then a path, each on
 *	  a line.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "common/fetch.h"

/*
 * Requires that the path leads to the same place before and after it is decoded; names in it may have odd
 * characters where has_any_name.
 */
static void
check_path(const char *path, bool has_any_name)
{
	size_t		bytes = strlen(path);
	char	   *decoded = malloc(bytes + 2);
	size_t		length = 0;
	int			slashes = 0;

	FUZZ_REQUIRE(decoded != NULL);
	for (size_t i = 0; i < bytes; i++)
	{
		unsigned	value = (unsigned char) path[i];

		slashes += path[i] == '/';
		if (path[i] == '%')
		{
			FUZZ_REQUIRE(sscanf(path + i + 1, "%2x", &value) == 1);
			i += 2;
		}
		FUZZ_REQUIRE(value != 0 && (has_any_name || (value >= ' ' && value != 0x7f && value != '\\')));
		decoded[length++] = (char) value;
		slashes -= value == '/';
	}
	FUZZ_REQUIRE(slashes == 0);
	strcpy(decoded + length, "/");
	FUZZ_REQUIRE(strstr(decoded, "/../") == NULL && strstr(decoded, "/./") == NULL);
	free(decoded);
}

/* What two readers of one URL could take for different hosts or files must not be in it. */
static void
check_url(const char *url, bool allow_http)
{
	const char *authority = strstr(url, "://") + 3;
	size_t		authority_bytes = strcspn(authority, "/");

	FUZZ_REQUIRE(strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0 ||
				 strncmp(url, "file:///", 8) == 0);
	FUZZ_REQUIRE(strlen(url) <= DEPOT_FETCH_MAX_URL_BYTES);
	FUZZ_REQUIRE(strpbrk(url, " ?#\\\"<>^`{|}\t\r\n\x7f") == NULL && memchr(authority, '@', authority_bytes) == NULL);
	check_path(authority + authority_bytes, false);
	for (const char *p = url; *p != '\0'; p++)
		FUZZ_REQUIRE(*p > ' ' && *p <= '~');
	if (!allow_http && strncmp(url, "http://", 7) == 0)
		FUZZ_REQUIRE(strncmp(authority, "localhost", 9) == 0 || strncmp(authority, "127.", 4) == 0 ||
					 strncmp(authority, "[::1]", 5) == 0);
}

/* Requires that what is built of a good base and a good path is good, and within the base. */
static void
check_built(const char *base, const char *path)
{
	DepotError	error = {0};
	DepotBuffer url;

	depot_buffer_init(&url);
	if (depot_fetch_build_url(base, path, &url, &error))
	{
		size_t		base_bytes = strlen(base);

		/* One slash stands between the two, however many the base ends with. */
		while (base_bytes > 0 && base[base_bytes - 1] == '/')
			base_bytes--;
		FUZZ_REQUIRE(strncmp(url.data, base, base_bytes) == 0);
		FUZZ_REQUIRE(strstr(path, "..") == NULL || (strstr(url.data + base_bytes, "/../") == NULL));
		if (url.length_bytes <= DEPOT_FETCH_MAX_URL_BYTES)
			FUZZ_REQUIRE(depot_fetch_check_url(url.data, true, &error));
	}
	else
		fuzz_require_refusal(&error);
	depot_buffer_free(&url);
}

/* The same for a path that is encoded already; of a file: base, decoding must not lead out of it. */
static void
check_built_encoded(const char *base, const char *path)
{
	DepotError	error = {0};
	DepotBuffer url;

	depot_buffer_init(&url);
	if (depot_fetch_build_encoded_url(base, path, &url, &error))
	{
		if (strncmp(base, "file:", 5) == 0)
			check_path(url.data + strlen("file://"), true);
		FUZZ_REQUIRE(url.length_bytes > strlen(path) &&
					 strcmp(url.data + url.length_bytes - strlen(path), path) == 0);
	}
	else
		fuzz_require_refusal(&error);
	depot_buffer_free(&url);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_string(data, size);
	char	   *rest = text;
	const char *url = fuzz_line(&rest);
	const char *path = fuzz_line(&rest);
	DepotError	error = {0};
	bool		is_good = depot_fetch_check_url(url, true, &error);

	if (is_good)
		check_url(url, true);
	else
		fuzz_require_refusal(&error);
	if (depot_fetch_check_url(url, false, NULL))
	{
		FUZZ_REQUIRE(is_good);
		check_url(url, false);
	}
	/* Beside all good ones, this takes those with a slash encoded. */
	if (depot_fetch_check_encoded_url(url, true, NULL))
		FUZZ_REQUIRE(is_good || strstr(url, "%2f") != NULL || strstr(url, "%2F") != NULL);
	else
		FUZZ_REQUIRE(!is_good);
	if (is_good && path != NULL)
	{
		check_built(url, path);
		check_built_encoded(url, path);
	}
	free(text);
	return 0;
}
