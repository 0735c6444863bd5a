/*-------------------------------------------------------------------------
 *
 * fuzz_pattern.c
 *	  Path patterns and times of metadata: a pattern, a path, a time, each on
 *	  a line of its own.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "common/tuf.h"

/* With longer ones, or more stars, the rule below, which tries everything, would take too long. */
#define LONGEST_BYTES 32
#define MOST_STARS 5

/* The rule as the specification words it, one character at a time. */
static bool
matches(const char *pattern, const char *path)
{
	if (*pattern == '\0')
		return *path == '\0';
	if (*pattern == '*')
		return matches(pattern + 1, path) || (*path != '\0' && *path != '/' && matches(pattern, path + 1));
	if (*path == '\0' || (*pattern == '?' ? *path == '/' : *pattern != *path))
		return false;
	return matches(pattern + 1, path + 1);
}

static bool
is_quick(const char *pattern, const char *path)
{
	int			stars = 0;

	for (const char *p = pattern; *p != '\0'; p++)
		stars += *p == '*';
	return stars <= MOST_STARS && strlen(pattern) <= LONGEST_BYTES && strlen(path) <= LONGEST_BYTES;
}

static void
check_time(const char *text)
{
	int64_t		epoch_s = 0;
	int64_t		again = 0;
	char		formatted[21];

	if (depot_tuf_time_parse(text, &epoch_s))
	{
		depot_tuf_time_format(epoch_s, formatted);
		FUZZ_REQUIRE(strcmp(text, formatted) == 0);
	}
	/* Any number of seconds becomes a time that can be read. */
	memcpy(&epoch_s, text, strlen(text) < sizeof(epoch_s) ? strlen(text) : sizeof(epoch_s));
	depot_tuf_time_format(epoch_s, formatted);
	FUZZ_REQUIRE(depot_tuf_time_parse(formatted, &again));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_string(data, size);
	char	   *rest = text;
	const char *pattern = fuzz_line(&rest);
	const char *path = fuzz_line(&rest);

	if (path != NULL)
	{
		bool		result = depot_tuf_path_matches(pattern, path);

		if (is_quick(pattern, path))
			FUZZ_REQUIRE(result == matches(pattern, path));
		if (strpbrk(pattern, "*?") == NULL)
			FUZZ_REQUIRE(result == (strcmp(pattern, path) == 0));
		if (rest != NULL)
			check_time(rest);
	}
	free(text);
	return 0;
}
