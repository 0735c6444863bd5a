/*-------------------------------------------------------------------------
 *
 * fuzz_declaration.c
 *	  The declared list as text: depot.extensions.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "common/declaration.h"

/* Reads a list that can be read; the entries are malloc'd. */
static DepotDeclaration *
read_list(const char *list, int *count)
{
	DepotError	error = {0};
	DepotDeclaration *entries;

	*count = depot_declaration_count(list);
	FUZZ_REQUIRE(*count >= 0 && *count <= DEPOT_DECLARATION_MAX_ENTRIES);
	/* Exactly as many as were counted: one more is a write behind the end. */
	entries = malloc(*count > 0 ? (size_t) *count * sizeof(DepotDeclaration) : 1);
	FUZZ_REQUIRE(entries != NULL && depot_declaration_parse(list, entries, &error));
	return entries;
}

/* Requires that good entries have passed the gate, bad ones say why, and all stand where they say. */
static void
check_entries(const char *list, const DepotDeclaration *entries, int count)
{
	DepotVersionConstraint constraint;
	size_t		position = 0;

	for (int i = 0; i < count; i++)
	{
		const DepotDeclaration *entry = &entries[i];

		FUZZ_REQUIRE(entry->ordinal == i + 1);
		FUZZ_REQUIRE(entry->position_bytes > position && entry->position_bytes <= strlen(list));
		position = entry->position_bytes;
		FUZZ_REQUIRE(strchr(" \t\r\n,", list[position - 1]) == NULL);
		FUZZ_REQUIRE(entry->is_bad == (entry->reason[0] != '\0'));
		if (entry->is_bad)
			continue;
		FUZZ_REQUIRE(strncmp(list + position - 1, entry->name, strlen(entry->name)) == 0);
		FUZZ_REQUIRE(depot_name_is_extension(entry->name));
		FUZZ_REQUIRE(depot_version_constraint_parse(entry->constraint, &constraint, NULL));
		for (int j = 0; j < i && count <= 100; j++)
			FUZZ_REQUIRE(strcmp(entries[j].name, entry->name) != 0);
	}
}

/* Requires that the good entries alone, written in order, are the same good entries. */
static void
check_rewritten(const DepotDeclaration *entries, int count)
{
	DepotBuffer list;
	DepotDeclaration *again;
	int			again_count;
	int			next = 0;

	depot_buffer_init(&list);
	FUZZ_REQUIRE(depot_buffer_append_string(&list, ""));
	for (int i = 0; i < count; i++)
	{
		if (!entries[i].is_bad)
			FUZZ_REQUIRE(depot_buffer_append_format(&list, "%s %s,\n", entries[i].name, entries[i].constraint));
	}
	again = read_list(list.data, &again_count);
	check_entries(list.data, again, again_count);
	for (int i = 0; i < count; i++)
	{
		if (entries[i].is_bad)
			continue;
		FUZZ_REQUIRE(next < again_count && !again[next].is_bad);
		FUZZ_REQUIRE(strcmp(again[next].name, entries[i].name) == 0);
		FUZZ_REQUIRE(strcmp(again[next].constraint, entries[i].constraint) == 0);
		next++;
	}
	FUZZ_REQUIRE(next == again_count);
	free(again);
	depot_buffer_free(&list);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *list = fuzz_string(data, size);
	DepotError	error = {0};
	DepotDeclaration *entries;
	int			count;

	if (!depot_declaration_check(list, &error))
	{
		fuzz_require_refusal(&error);
		free(list);
		return 0;
	}
	entries = read_list(list, &count);
	check_entries(list, entries, count);
	check_rewritten(entries, count);
	free(entries);
	free(list);
	return 0;
}
