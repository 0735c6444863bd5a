/*-------------------------------------------------------------------------
 *
 * pack_debian.c
 *	  Debian's words: control fields, versions, dependencies, licenses.
 *
 * Pure functions on text.  They know Debian policy chapters 5 (control files)
 * and 7 (relationships), deb-version(7) and the machine-readable copyright
 * format, as far as a packer needs them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pack.h"

static char *control_field(const char *text, const char *name, bool first_line);
static bool split_source(DepotPackDeb *deb, DepotError *error);
static bool parse_alternative(char *text, char **name, char constraint[80]);
static const char *spdx_name(const char *debian_name, char *buffer, size_t buffer_bytes);

/*
 * Finds a field of a one-paragraph control file: its first line, or with its continuation lines, which
 * begin with a space.  malloc'd, "" when absent, NULL when out of memory.
 */
static char *
control_field(const char *text, const char *name, bool first_line)
{
	size_t		name_bytes = strlen(name);
	DepotBuffer value;
	bool		taking = false;

	depot_buffer_init(&value);
	depot_buffer_append(&value, "", 0);
	while (*text != '\0')
	{
		size_t		length = strcspn(text, "\n");

		if (text[0] == ' ' || text[0] == '\t')
		{
			if (taking && !first_line)
				depot_buffer_append(&value, text, length);
		}
		else
		{
			taking = strncasecmp(text, name, name_bytes) == 0 && text[name_bytes] == ':';
			if (taking)
			{
				const char *start = text + name_bytes + 1;

				while (*start == ' ' || *start == '\t')
					start++;
				depot_buffer_append(&value, start, (size_t) (text + length - start));
			}
		}
		text += length + (text[length] == '\n' ? 1 : 0);
	}
	if (value.failed || value.data == NULL)
	{
		bool		failed = value.failed;

		depot_buffer_free(&value);
		return failed ? NULL : strdup("");
	}
	return value.data;
}

/* "Source: postgis (3.3.2+dfsg-1)"; absent parts are those of the binary package. */
static bool
split_source(DepotPackDeb *deb, DepotError *error)
{
	char	   *open = strchr(deb->source_name, '(');

	if (open != NULL)
	{
		deb->source_version = strndup(open + 1, strcspn(open + 1, ")"));
		*open = '\0';
	}
	else
		deb->source_version = strdup(deb->version);
	deb->source_name[strcspn(deb->source_name, " ")] = '\0';
	if (deb->source_name[0] == '\0')
	{
		free(deb->source_name);
		deb->source_name = strdup(deb->name);
	}
	if (deb->source_name == NULL || deb->source_version == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return true;
}

bool
depot_debian_parse_control(const char *text, DepotPackDeb *deb, DepotError *error)
{
	char	   *pre_depends = control_field(text, "Pre-Depends", false);
	char	   *depends = control_field(text, "Depends", false);
	bool		ok = false;

	deb->name = control_field(text, "Package", false);
	deb->version = control_field(text, "Version", false);
	deb->architecture = control_field(text, "Architecture", false);
	deb->source_name = control_field(text, "Source", false);
	deb->homepage = control_field(text, "Homepage", false);
	deb->summary = control_field(text, "Description", true);
	if (pre_depends != NULL && depends != NULL &&
		(deb->depends = malloc(strlen(pre_depends) + strlen(depends) + 3)) != NULL)
		sprintf(deb->depends, "%s, %s", pre_depends, depends);
	if (deb->name == NULL || deb->version == NULL || deb->architecture == NULL || deb->source_name == NULL ||
		deb->homepage == NULL || deb->summary == NULL || deb->depends == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	if (deb->name[0] == '\0' || deb->version[0] == '\0')
	{
		depot_error_set(error, DEPOT_ERROR_PACKAGE, "its control file names no package or no version");
		goto done;
	}
	ok = split_source(deb, error);
done:
	free(pre_depends);
	free(depends);
	return ok;
}

char *
depot_debian_upstream_version(const char *version)
{
	static const char *const marks[] = {"dfsg", "ds", "debian", "repack"};
	const char *colon = strchr(version, ':');
	char	   *result = strdup(colon == NULL ? version : colon + 1);
	char	   *end;

	if (result == NULL)
		return NULL;
	end = strrchr(result, '-');
	if (end != NULL)
		*end = '\0';

	/*
	 * 3.3.2+dfsg, 1.0+dfsg1, 2.1~ds.2: Debian removed something from upstream's sources, the version is
	 * upstream's.
	 */
	for (char *mark = strpbrk(result, "+~."); mark != NULL; mark = strpbrk(mark + 1, "+~."))
	{
		for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		{
			size_t		length = strlen(marks[i]);

			if (strncmp(mark + 1, marks[i], length) == 0 &&
				strspn(mark + 1 + length, "0123456789.") == strlen(mark + 1 + length))
			{
				*mark = '\0';
				return result;
			}
		}
	}
	return result;
}

bool
depot_debian_split_name(const char *name, int *major, const char **stem)
{
	static const char prefix[] = "postgresql-";
	const char *digits = name + sizeof(prefix) - 1;
	size_t		length;

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return false;
	length = strspn(digits, "0123456789");
	if (length == 0 || length > 3 || digits[length] != '-' || digits[length + 1] == '\0')
		return false;
	*major = atoi(digits);
	*stem = digits + length + 1;
	return true;
}

char *
depot_debian_purl(const char *name, const char *version)
{
	DepotBuffer purl;

	depot_buffer_init(&purl);
	depot_buffer_append_format(&purl, "pkg:deb/debian/%s@", name);
	for (; *version != '\0'; version++)
	{
		if (isalnum((unsigned char) *version) || strchr(".-_~", *version) != NULL)
			depot_buffer_append(&purl, version, 1);
		else
			depot_buffer_append_format(&purl, "%%%02X", (unsigned char) *version);
	}
	if (purl.failed)
		depot_buffer_free(&purl);
	return purl.data;
}

/* Splits "name:any (>= 1.2-3)" in place. */
static bool
parse_alternative(char *text, char **name, char constraint[80])
{
	static const struct
	{
		const char *debian;
		const char *ours;
	}			operators[] = {{"<<", "<"}, {">>", ">"}, {"<=", "<="}, {">=", ">="}, {"=", "="}};
	char	   *open;
	char	   *upstream;
	size_t		i = 0;

	text += strspn(text, " \t\n");
	text[strcspn(text, "|")] = '\0';
	open = strchr(text, '(');
	*name = text;
	constraint[0] = '\0';
	if (open != NULL)
		*open++ = '\0';
	text[strcspn(text, " \t\n:[<")] = '\0';
	if (open == NULL)
		return true;
	open += strspn(open, " \t");
	open[strcspn(open, ")")] = '\0';
	while (i < 5 && strncmp(open, operators[i].debian, strlen(operators[i].debian)) != 0)
		i++;
	if (i == 5)
		return true;
	open += strlen(operators[i].debian);
	open += strspn(open, " \t");
	open[strcspn(open, " \t")] = '\0';
	upstream = depot_debian_upstream_version(open);
	if (upstream == NULL)
		return false;
	snprintf(constraint, 80, "%s %s", operators[i].ours, upstream);
	free(upstream);
	return true;
}

bool
depot_debian_visit_depends(const char *depends, DepotDebianDependVisit visit, void *context,
						   DepotError *error)
{
	char	   *copy = strdup(depends);
	char	   *rest = copy;
	char	   *item;
	bool		ok = true;

	if (copy == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	while (ok && (item = strsep(&rest, ",")) != NULL)
	{
		char		constraint[80];
		char	   *name;

		if (!parse_alternative(item, &name, constraint))
			ok = depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		else if (name[0] != '\0')
			ok = visit(name, constraint, context, error);
	}
	free(copy);
	return ok;
}

/*
 * Debian's short license names to SPDX's; a name that SPDX has not becomes
 * NULL, as a wrong one is worse than none.
 */
static const char *
spdx_name(const char *debian_name, char *buffer, size_t buffer_bytes)
{
	static const struct
	{
		const char *debian;
		const char *spdx;
	}			names[] = {
		{"PostgreSQL", "PostgreSQL"}, {"Expat", "MIT"}, {"MIT", "MIT"}, {"ISC", "ISC"}, {"Zlib", "Zlib"},
		{"BSD-2-clause", "BSD-2-Clause"}, {"BSD-3-clause", "BSD-3-Clause"}, {"Apache-2.0", "Apache-2.0"},
		{"MPL-2.0", "MPL-2.0"}, {"BSL-1.0", "BSL-1.0"}, {"CC0-1.0", "CC0-1.0"},
	};
	static const char *const families[] = {"AGPL", "LGPL", "GPL"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcasecmp(debian_name, names[i].debian) == 0)
			return names[i].spdx;
	}
	/* GPL-2+ and LGPL-2.1 */
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
	{
		size_t		length = strlen(families[i]);
		const char *number = debian_name + length + 1;
		size_t		digits;

		if (strncasecmp(debian_name, families[i], length) != 0 || debian_name[length] != '-')
			continue;
		digits = strspn(number, "0123456789.");
		if (digits == 0 || digits > 3 || (number[digits] != '\0' && strcmp(number + digits, "+") != 0))
			return NULL;
		snprintf(buffer, buffer_bytes, "%s-%.*s%s-%s", families[i], (int) digits, number,
				 memchr(number, '.', digits) == NULL ? ".0" : "",
				 number[digits] == '+' ? "or-later" : "only");
		return buffer;
	}
	return NULL;
}

const char *
depot_debian_license(const char *copyright, char *buffer, size_t buffer_bytes)
{
	const char *paragraph = copyright;
	char	   *files = NULL;
	char	   *license = NULL;
	const char *result = NULL;

	if (strncmp(copyright, "Format:", 7) != 0 && strncmp(copyright, "Format-Specification:", 21) != 0)
		return NULL;
	while (paragraph != NULL && result == NULL)
	{
		const char *end = strstr(paragraph, "\n\n");
		size_t		length = end == NULL ? strlen(paragraph) : (size_t) (end - paragraph) + 1;
		char	   *text = strndup(paragraph, length);

		if (text == NULL)
			break;
		files = control_field(text, "Files", false);
		license = control_field(text, "License", true);
		if (files != NULL && license != NULL && strcmp(files, "*") == 0)
		{
			/* "GPL-2+ and Expat" has blanks in it and is none of the names. */
			result = spdx_name(license, buffer, buffer_bytes);
		}
		free(files);
		free(license);
		free(text);
		paragraph = end == NULL ? NULL : end + 2;
	}
	return result;
}
