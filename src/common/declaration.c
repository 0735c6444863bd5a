/*-------------------------------------------------------------------------
 *
 * declaration.c
 *	  Reads a declared list: "postgis 3.5.*, vector, pg_cron >= 1.2, < 2".
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/declaration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An entry as it stands in the list: from text to end, white space around it gone. */
typedef struct Piece
{
	const char *text;
	const char *end;
} Piece;

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
begins_operator(char c)
{
	return c == '<' || c == '>' || c == '=' || c == '!';
}

static const char *
skip_spaces(const char *text, const char *end)
{
	while (text < end && is_space(*text))
		text++;
	return text;
}

/* Takes the next entry off *cursor: up to a comma behind which no operator follows.  false: there is none. */
static bool
take_piece(const char **cursor, Piece *piece)
{
	const char *text = *cursor;

	while (is_space(*text) || *text == ',')
		text++;
	piece->text = text;
	if (*text == '\0')
		return false;
	for (;;)
	{
		text += strcspn(text, ",");
		piece->end = text;
		if (*text == '\0')
			break;
		/* An empty piece may stand between the entry and its next operator: the constraint is then bad. */
		while (*text == ',' || is_space(*text))
			text++;
		if (!begins_operator(*text))
			break;
	}
	*cursor = text;
	while (is_space(piece->end[-1]))
		piece->end--;
	return true;
}

int
depot_declaration_count(const char *list)
{
	Piece		piece;
	int			count = 0;

	while (take_piece(&list, &piece))
		count++;
	return count;
}

bool
depot_declaration_check(const char *list, DepotError *error)
{
	size_t		length = strnlen(list, DEPOT_DECLARATION_MAX_BYTES + 1);
	int			count;

	if (length > DEPOT_DECLARATION_MAX_BYTES)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the list is longer than %d bytes",
							   DEPOT_DECLARATION_MAX_BYTES);
	for (size_t i = 0; i < length; i++)
		if (((unsigned char) list[i] < 0x20 && !is_space(list[i])) || list[i] == 0x7F)
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								   "the list has a control character at position %zu", i + 1);
	count = depot_declaration_count(list);
	if (count > DEPOT_DECLARATION_MAX_ENTRIES)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the list has %d entries; at most %d are read",
							   count, DEPOT_DECLARATION_MAX_ENTRIES);
	return true;
}

static void
refuse(DepotDeclaration *entry, const char *reason)
{
	entry->is_bad = true;
	snprintf(entry->reason, sizeof(entry->reason), "%s", reason);
}

/*
 * Copies text up to end, white space of any kind as one blank, as much as out holds: what is cut is too long
 * for the checks all the same.
 */
static void
copy_line(char *out, size_t out_bytes, const char *text, const char *end)
{
	size_t		length = 0;

	for (; text < end && length < out_bytes - 1; text++)
	{
		if (!is_space(*text))
			out[length++] = *text;
		else if (!is_space(text[-1]))
			out[length++] = ' ';
	}
	out[length] = '\0';
}

static void
read_entry(const Piece *piece, DepotDeclaration *entry)
{
	char		name[DEPOT_NAME_MAX_BYTES + 2];
	char		constraint[DEPOT_CONSTRAINT_MAX_BYTES + 2];
	const char *name_end = piece->text;
	const char *constraint_start;
	DepotVersionConstraint parsed;
	DepotError	error;

	while (name_end < piece->end && !is_space(*name_end) && !begins_operator(*name_end) && *name_end != ',')
		name_end++;
	constraint_start = skip_spaces(name_end, piece->end);
	if (constraint_start < piece->end && *constraint_start == ',')
		constraint_start = skip_spaces(constraint_start + 1, piece->end);
	copy_line(name, sizeof(name), piece->text, name_end);
	copy_line(constraint, sizeof(constraint), constraint_start, piece->end);
	(void) depot_name_printable(name, entry->name, sizeof(entry->name));
	(void) depot_name_printable(constraint, entry->constraint, sizeof(entry->constraint));

	if (name[0] == '\0')
		refuse(entry, "a name is missing before the version");
	else if (!depot_name_check_extension(name, &error) ||
			 (constraint[0] != '\0' && !depot_version_constraint_parse(constraint, &parsed, &error)))
		refuse(entry, error.message);
}

typedef struct SortedEntry
{
	DepotDeclaration *entry;
} SortedEntry;

/* By name, then by place in the list. */
static int
compare_entries(const void *a, const void *b)
{
	const DepotDeclaration *left = ((const SortedEntry *) a)->entry;
	const DepotDeclaration *right = ((const SortedEntry *) b)->entry;
	int			order = strcmp(left->name, right->name);

	return order != 0 ? order : left->ordinal - right->ordinal;
}

/* The first entry of a name counts. */
static bool
refuse_repeated(DepotDeclaration *entries, int count, DepotError *error)
{
	SortedEntry *sorted = malloc(sizeof(SortedEntry) * ((size_t) count + 1));
	const DepotDeclaration *first = NULL;
	char		reason[DEPOT_ERROR_MESSAGE_BYTES];

	if (sorted == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	for (int i = 0; i < count; i++)
		sorted[i].entry = &entries[i];
	qsort(sorted, (size_t) count, sizeof(SortedEntry), compare_entries);
	for (int i = 0; i < count; i++)
	{
		DepotDeclaration *entry = sorted[i].entry;

		if (first == NULL || strcmp(entry->name, first->name) != 0)
			first = entry;
		else if (!entry->is_bad)
		{
			snprintf(reason, sizeof(reason), "\"%s\" stands in the list before, as entry %d", first->name,
					 first->ordinal);
			refuse(entry, reason);
		}
	}
	free(sorted);
	return true;
}

bool
depot_declaration_parse(const char *list, DepotDeclaration *entries, DepotError *error)
{
	const char *cursor = list;
	Piece		piece;
	int			count = 0;

	while (take_piece(&cursor, &piece))
	{
		DepotDeclaration *entry = &entries[count++];

		memset(entry, 0, sizeof(*entry));
		entry->ordinal = count;
		entry->position_bytes = (size_t) (piece.text - list) + 1;
		read_entry(&piece, entry);
	}
	return refuse_repeated(entries, count, error);
}
