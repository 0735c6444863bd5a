/*-------------------------------------------------------------------------
 *
 * pack_postinst.c
 *	  Alternatives in the text of a maintainer script.
 *
 * A Debian package may ship postgis-3.control and have its postinst link
 * postgis.control to it through update-alternatives.  A package for a depot
 * has no scripts that run, so the packer reads the names out of the text.
 * This is no shell: it knows words, quotes, comments, joined lines, and
 * variables that the script itself sets to plain text.  A word with anything
 * else in it (commands, unset variables, patterns) is unknown, and an
 * alternative with an unknown word is left alone.
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

#define MAX_VARIABLES 64
#define MAX_WORDS 512
#define MAX_WORD_BYTES 1024

typedef struct Variable
{
	char		name[64];
	char		value[MAX_WORD_BYTES];
	bool		assigned;
	bool		known;			/* value is what the script sets it to, wherever it is looked at */
} Variable;

typedef struct Reader
{
	const char *rest;
	Variable	variables[MAX_VARIABLES];
	int			variable_count;
	char	   *words[MAX_WORDS];	/* of one command; NULL for an unknown word */
	int			word_count;
} Reader;

static const Variable *find_variable(const Reader *reader, const char *name, size_t name_bytes);
static bool expand_variable(Reader *reader, DepotBuffer *word);
static bool read_quoted(Reader *reader, DepotBuffer *word);
static bool read_word(Reader *reader, DepotBuffer *word);
static bool read_command(Reader *reader, DepotError *error);
static Variable *assigned_variable(Reader *reader, const char *word);
static void forget_assignment(Reader *reader, const char *word);
static void take_assignment(Reader *reader, const char *word);
static bool visit_command(const Reader *reader, DepotAlternativeVisit visit, void *context,
						  DepotError *error);
static void clear_words(Reader *reader);

static const Variable *
find_variable(const Reader *reader, const char *name, size_t name_bytes)
{
	for (int i = 0; i < reader->variable_count; i++)
	{
		if (strncmp(reader->variables[i].name, name, name_bytes) == 0 &&
			reader->variables[i].name[name_bytes] == '\0')
			return &reader->variables[i];
	}
	return NULL;
}

/* Reads "$NAME" or "${NAME}" and appends its value; false for any other use of "$". */
static bool
expand_variable(Reader *reader, DepotBuffer *word)
{
	const char *name = reader->rest + 1;
	bool		braces = *name == '{';
	const Variable *variable;
	size_t		length = 0;

	if (braces)
		name++;
	while (isalnum((unsigned char) name[length]) || name[length] == '_')
		length++;
	reader->rest = name + length;
	if (braces && *reader->rest != '}')
		return false;
	if (braces)
		reader->rest++;
	variable = length == 0 ? NULL : find_variable(reader, name, length);
	if (variable == NULL || !variable->known)
		return false;
	return depot_buffer_append_string(word, variable->value);
}

/* Reads a quoted part of a word; false when it holds what we do not know. */
static bool
read_quoted(Reader *reader, DepotBuffer *word)
{
	char		quote = *reader->rest++;
	bool		known = true;

	while (*reader->rest != '\0' && *reader->rest != quote)
	{
		if (quote == '"' && *reader->rest == '$')
		{
			known = expand_variable(reader, word) && known;
			continue;
		}
		if (quote == '"' && *reader->rest == '`')
			known = false;
		if (quote == '"' && *reader->rest == '\\' && reader->rest[1] != '\0')
			reader->rest++;
		depot_buffer_append(word, reader->rest, 1);
		reader->rest++;
	}
	if (*reader->rest == '\0')
		return false;
	reader->rest++;
	return known;
}

/* Reads one word up to white space or an operator; false when it is unknown. */
static bool
read_word(Reader *reader, DepotBuffer *word)
{
	bool		known = true;

	while (*reader->rest != '\0' && strchr(" \t\n;&|()<>", *reader->rest) == NULL)
	{
		char		c = *reader->rest;

		if (c == '\\' && reader->rest[1] == '\n')
			reader->rest += 2;
		else if (c == '"' || c == '\'')
			known = read_quoted(reader, word) && known;
		else if (c == '$')
			known = expand_variable(reader, word) && known;
		else
		{
			if (strchr("`*?[]~{}", c) != NULL)
				known = false;
			if (c == '\\' && reader->rest[1] != '\0')
				reader->rest++;
			depot_buffer_append(word, reader->rest, 1);
			reader->rest++;
		}
	}
	return known && word->length_bytes < MAX_WORD_BYTES;
}

/* Reads the words of one simple command, up to its end. */
static bool
read_command(Reader *reader, DepotError *error)
{
	clear_words(reader);
	for (;;)
	{
		DepotBuffer word;
		bool		known;

		while (*reader->rest == ' ' || *reader->rest == '\t' || strncmp(reader->rest, "\\\n", 2) == 0)
			reader->rest += *reader->rest == '\\' ? 2 : 1;
		if (*reader->rest == '#')
			reader->rest += strcspn(reader->rest, "\n");
		if (*reader->rest == '\0')
			return true;
		if (strchr("\n;&|()<>", *reader->rest) != NULL)
		{
			reader->rest++;
			return true;
		}
		depot_buffer_init(&word);
		depot_buffer_append(&word, "", 0);
		known = read_word(reader, &word);
		if (word.failed)
			return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		if (reader->word_count == MAX_WORDS)
			known = false;
		if (!known)
		{
			forget_assignment(reader, word.data);
			depot_buffer_free(&word);
		}
		if (reader->word_count < MAX_WORDS)
			reader->words[reader->word_count++] = word.data;
	}
}

/*
 * Returns the variable that a word NAME=value sets, a new unknown one if need
 * be; NULL for another word, or when there are too many.
 */
static Variable *
assigned_variable(Reader *reader, const char *word)
{
	size_t		length = strcspn(word, "=");
	Variable   *variable;

	if (word[length] != '=' || length == 0 || length >= sizeof(variable->name) ||
		isdigit((unsigned char) word[0]))
		return NULL;
	for (size_t i = 0; i < length; i++)
	{
		if (!isalnum((unsigned char) word[i]) && word[i] != '_')
			return NULL;
	}
	variable = (Variable *) find_variable(reader, word, length);
	if (variable != NULL || reader->variable_count == MAX_VARIABLES)
		return variable;
	variable = &reader->variables[reader->variable_count++];
	memcpy(variable->name, word, length);
	variable->name[length] = '\0';
	return variable;
}

static void
forget_assignment(Reader *reader, const char *word)
{
	Variable   *variable = assigned_variable(reader, word);

	if (variable != NULL)
	{
		variable->assigned = true;
		variable->known = false;
	}
}

static void
take_assignment(Reader *reader, const char *word)
{
	Variable   *variable = assigned_variable(reader, word);
	const char *value = strchr(word, '=');

	if (variable == NULL)
		return;
	if (!variable->assigned)
	{
		variable->known = true;
		snprintf(variable->value, sizeof(variable->value), "%s", value + 1);
	}
	/* Set twice, perhaps in two branches: which one holds cannot be told without running it. */
	else if (variable->known && strcmp(variable->value, value + 1) != 0)
		variable->known = false;
	variable->assigned = true;
}

static bool
visit_command(const Reader *reader, DepotAlternativeVisit visit, void *context, DepotError *error)
{
	int			start = 0;
	const char *first;

	/* "if ...; then COMMAND" */
	while (start < reader->word_count && reader->words[start] != NULL &&
		   (strcmp(reader->words[start], "then") == 0 || strcmp(reader->words[start], "else") == 0 ||
			strcmp(reader->words[start], "do") == 0))
		start++;
	first = start < reader->word_count ? reader->words[start] : NULL;
	if (first == NULL ||
		(strcmp(first, "update-alternatives") != 0 && strcmp(first, "/usr/bin/update-alternatives") != 0))
		return true;
	for (int i = start + 1; i + 3 < reader->word_count; i++)
	{
		const char *word = reader->words[i];

		if (word == NULL || (strcmp(word, "--install") != 0 && strcmp(word, "--slave") != 0))
			continue;
		/* link, name, path (and a priority after --install) */
		if (reader->words[i + 1] != NULL && reader->words[i + 3] != NULL &&
			!visit(reader->words[i + 1], reader->words[i + 3], context, error))
			return false;
	}
	return true;
}

static void
clear_words(Reader *reader)
{
	for (int i = 0; i < reader->word_count; i++)
		free(reader->words[i]);
	reader->word_count = 0;
}

bool
depot_postinst_visit_alternatives(const char *text, DepotAlternativeVisit visit, void *context,
								  DepotError *error)
{
	Reader	   *reader = calloc(1, sizeof(*reader));
	bool		ok = true;

	if (reader == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	reader->rest = text;
	while (ok && *reader->rest != '\0')
	{
		ok = read_command(reader, error) && visit_command(reader, visit, context, error);
		if (ok && reader->word_count == 1 && reader->words[0] != NULL)
			take_assignment(reader, reader->words[0]);
	}
	clear_words(reader);
	free(reader);
	return ok;
}
