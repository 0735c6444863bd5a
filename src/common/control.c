/*-------------------------------------------------------------------------
 *
 * control.c
 *	  Control files as values.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/control.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/control_internal.h"
#include "common/name.h"

/* As many extensions as one may require; the manifest has the same limit. */
#define MAX_REQUIRES 64

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

static bool
set_string(char **slot, const char *value, DepotError *error)
{
	char	   *copy = strdup(value);

	if (copy == NULL)
		return out_of_memory(error);
	free(*slot);
	*slot = copy;
	return true;
}

/*
 * Reads a Boolean as the server does: on, off, 1, 0 and unambiguous beginnings of true, false, yes, no, on,
 * off.
 */
static bool
set_bool(bool *slot, const char *name, const char *value, DepotError *error)
{
	static const struct
	{
		const char *word;
		size_t		shortest;
		bool		value;
	}			words[] = {
		{"true", 1, true}, {"false", 1, false}, {"yes", 1, true}, {"no", 1, false},
		{"on", 2, true}, {"off", 2, false}, {"1", 1, true}, {"0", 1, false}
	};
	size_t		length = strlen(value);

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (length >= words[i].shortest && length <= strlen(words[i].word) &&
			strncasecmp(value, words[i].word, length) == 0)
		{
			*slot = words[i].value;
			return true;
		}
	}
	return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE, "parameter \"%s\" requires a Boolean value", name);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static const char *
skip_spaces(const char *p)
{
	while (is_space(*p))
		p++;
	return p;
}

/*
 * Reads one identifier at *p, quoted or folded to lower case, into out; false when there is none or it is
 * too long.
 */
static bool
read_identifier(const char **p, char out[DEPOT_NAME_MAX_BYTES + 1])
{
	size_t		length = 0;
	bool		quoted = **p == '"';

	if (quoted)
		(*p)++;
	for (;;)
	{
		char		c = **p;

		if (c == '\0' && quoted)
			return false;
		if (quoted && c == '"')
		{
			(*p)++;
			if (**p != '"')
				break;
		}
		else if (!quoted && (c == '\0' || c == ',' || is_space(c)))
			break;
		if (length == DEPOT_NAME_MAX_BYTES)
			return false;
		out[length++] = (char) (!quoted && c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
		(*p)++;
	}
	out[length] = '\0';
	return length > 0;
}

static void
free_requires(DepotControl *control)
{
	for (int i = 0; i < control->require_count; i++)
		free(control->requires[i]);
	free(control->requires);
	control->requires = NULL;
	control->require_count = 0;
}

static bool
add_require(DepotControl *control, const char *name, DepotError *error)
{
	char	  **larger;

	if (control->require_count == MAX_REQUIRES)
		return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE, "more than %d extensions are required",
							   MAX_REQUIRES);
	larger = realloc(control->requires, (size_t) (control->require_count + 1) * sizeof(control->requires[0]));
	if (larger == NULL)
		return out_of_memory(error);
	control->requires = larger;
	larger[control->require_count] = strdup(name);
	if (larger[control->require_count] == NULL)
		return out_of_memory(error);
	control->require_count++;
	return true;
}

/* Reads a comma-separated list of extension names; a name given twice counts once. */
static bool
set_requires(DepotControl *control, const char *value, DepotError *error)
{
	const char *p = skip_spaces(value);
	char		name[DEPOT_NAME_MAX_BYTES + 1];

	free_requires(control);
	while (*p != '\0')
	{
		bool		known = false;

		if (!read_identifier(&p, name))
			return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
								   "parameter \"requires\" is not a list of extension names");
		if (!depot_name_check_extension(name, error))
		{
			if (error != NULL)
				error->code = DEPOT_ERROR_CONTROL_FILE;
			return depot_error_prefix(error, "parameter \"requires\"");
		}
		for (int i = 0; i < control->require_count; i++)
			known = known || strcmp(control->requires[i], name) == 0;
		if (!known && !add_require(control, name, error))
			return false;
		p = skip_spaces(p);
		if (*p == ',')
		{
			p = skip_spaces(p + 1);
			if (*p != '\0')
				continue;
		}
		else if (*p == '\0')
			break;
		return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
							   "parameter \"requires\" is not a list of extension names");
	}
	return true;
}

/* Takes one parameter over; the last of several counts, as in the server. */
static bool
set_parameter(const char *name, const char *value, void *context, DepotError *error)
{
	DepotControl *control = context;
	char		shown[96];

	if (strcmp(name, "default_version") == 0)
		return set_string(&control->default_version, value, error);
	if (strcmp(name, "comment") == 0)
		return set_string(&control->comment, value, error);
	if (strcmp(name, "directory") == 0)
		return set_string(&control->directory, value, error);
	if (strcmp(name, "module_pathname") == 0)
		return set_string(&control->module_pathname, value, error);
	if (strcmp(name, "encoding") == 0)
		return set_string(&control->encoding, value, error);
	if (strcmp(name, "schema") == 0)
		return set_string(&control->schema, value, error);
	if (strcmp(name, "superuser") == 0)
		return set_bool(&control->superuser, name, value, error);
	if (strcmp(name, "trusted") == 0)
		return set_bool(&control->trusted, name, value, error);
	if (strcmp(name, "relocatable") == 0)
		return set_bool(&control->relocatable, name, value, error);
	if (strcmp(name, "requires") == 0)
		return set_requires(control, value, error);
	/* PostgreSQL 16+: names out of "requires" that must not be moved; nothing of ours depends on which. */
	if (strcmp(name, "no_relocate") == 0)
		return true;
	/* The server would read the other file, wherever it is. */
	if (strncasecmp(name, "include", strlen("include")) == 0)
		return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE, "control files cannot include other files");
	return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE, "unrecognized parameter \"%s\"",
						   depot_name_printable(name, shown, sizeof(shown)));
}

DepotControl *
depot_control_parse(const char *text, size_t length_bytes, const char *what, DepotError *error)
{
	DepotControl *control;

	if (length_bytes > DEPOT_CONTROL_MAX_BYTES)
	{
		depot_error_set(error, DEPOT_ERROR_CONTROL_FILE, "%s: has %zu bytes, %d are allowed", what, length_bytes,
						DEPOT_CONTROL_MAX_BYTES);
		return NULL;
	}
	control = calloc(1, sizeof(*control));
	if (control == NULL)
	{
		out_of_memory(error);
		return NULL;
	}
	control->superuser = true;
	if (!depot_control_scan(text, length_bytes, what, set_parameter, control, error))
		goto fail;
	if (control->relocatable && control->schema != NULL)
	{
		depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
						"%s: parameter \"schema\" cannot be specified when \"relocatable\" is true", what);
		goto fail;
	}
	return control;

fail:
	depot_control_free(control);
	return NULL;
}

void
depot_control_free(DepotControl *control)
{
	if (control == NULL)
		return;
	free(control->default_version);
	free(control->comment);
	free(control->directory);
	free(control->module_pathname);
	free(control->encoding);
	free(control->schema);
	free_requires(control);
	free(control);
}
