/*-------------------------------------------------------------------------
 *
 * tuf_text.c
 *	  TUF's spelling of times, its path patterns, and names in URLs and files.
 *
 * Own code for the first two: strptime and fnmatch depend on the locale and take more
 * than the specification allows.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <stdio.h>
#include <string.h>

#define SECONDS_PER_DAY INT64_C(86400)

static bool read_digits(const char *text, int count, int *value);
static int64_t days_from_date(int64_t year, int month, int day);
static bool part_matches(const char *pattern, size_t pattern_bytes, const char *part, size_t part_bytes);

bool
depot_tuf_time_parse(const char *text, int64_t *epoch_s)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int			year,
				month,
				day,
				hour,
				minute,
				second,
				last_day;

	if (strlen(text) != 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
		text[16] != ':' || text[19] != 'Z')
		return false;
	if (!read_digits(text, 4, &year) || !read_digits(text + 5, 2, &month) ||
		!read_digits(text + 8, 2, &day) || !read_digits(text + 11, 2, &hour) ||
		!read_digits(text + 14, 2, &minute) || !read_digits(text + 17, 2, &second))
		return false;
	if (year < 1 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59)
		return false;
	last_day = month_days[month - 1];
	if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
		last_day = 29;
	if (day < 1 || day > last_day)
		return false;
	*epoch_s = days_from_date(year, month, day) * SECONDS_PER_DAY + INT64_C(3600) * hour +
		INT64_C(60) * minute + second;
	return true;
}

void
depot_tuf_time_format(int64_t epoch_s, char out[21])
{
	static const char latest[] = "9999-12-31T23:59:59Z";
	time_t		when = (time_t) epoch_s;
	struct tm	parts;

	/* What does not fit four digits of a year cannot come from depot_tuf_time_parse. */
	if (gmtime_r(&when, &parts) == NULL || parts.tm_year < 1 - 1900 || parts.tm_year > 9999 - 1900)
	{
		memcpy(out, latest, sizeof(latest));
		return;
	}
	snprintf(out, 21, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned) (parts.tm_year + 1900) % 10000,
			 (unsigned) (parts.tm_mon + 1) % 100, (unsigned) parts.tm_mday % 100,
			 (unsigned) parts.tm_hour % 100,
			 (unsigned) parts.tm_min % 100, (unsigned) parts.tm_sec % 100);
}

bool
depot_tuf_path_matches(const char *pattern, const char *path)
{
	for (;;)
	{
		size_t		pattern_bytes = strcspn(pattern, "/");
		size_t		part_bytes = strcspn(path, "/");

		if (!part_matches(pattern, pattern_bytes, path, part_bytes))
			return false;
		pattern += pattern_bytes;
		path += part_bytes;
		if (*pattern == '\0' || *path == '\0')
			return *pattern == *path;
		pattern++;
		path++;
	}
}

void
depot_tuf_encode(const char *text, size_t length_bytes, const char *keep, DepotBuffer *out)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";

	for (size_t i = 0; i < length_bytes; i++)
	{
		if (strchr(plain, text[i]) != NULL || strchr(keep, text[i]) != NULL)
			depot_buffer_append(out, text + i, 1);
		else
			depot_buffer_append_format(out, "%%%02X", (unsigned char) text[i]);
	}
}

static bool
read_digits(const char *text, int count, int *value)
{
	*value = 0;
	for (int i = 0; i < count; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		*value = *value * 10 + (text[i] - '0');
	}
	return true;
}

/*
 * Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March so
 * that leap days come last.
 */
static int64_t
days_from_date(int64_t year, int month, int day)
{
	int64_t		shifted_year = month <= 2 ? year - 1 : year;
	int64_t		era = shifted_year / 400;
	int64_t		year_of_era = shifted_year - era * 400;
	int64_t		day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t		day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

/*
 * Matches one part against '*' (any run) and '?' (any byte). On a mismatch only the last
 * '*' is widened, which is enough and keeps the cost at the product of the lengths
 * whatever the pattern.
 */
static bool
part_matches(const char *pattern, size_t pattern_bytes, const char *part, size_t part_bytes)
{
	size_t		p = 0;
	size_t		s = 0;
	size_t		after_star = 0;
	size_t		star_end = 0;
	bool		star = false;

	while (s < part_bytes)
	{
		if (p < pattern_bytes && pattern[p] == '*')
		{
			star = true;
			after_star = ++p;
			star_end = s;
		}
		else if (p < pattern_bytes && (pattern[p] == '?' || pattern[p] == part[s]))
		{
			p++;
			s++;
		}
		else if (star)
		{
			p = after_star;
			s = ++star_end;
		}
		else
			return false;
	}
	while (p < pattern_bytes && pattern[p] == '*')
		p++;
	return p == pattern_bytes;
}
