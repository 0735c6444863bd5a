/*-------------------------------------------------------------------------
 *
 * declared.c
 *	  Decides what a declared list asks for.
 *
 * A list may have thousands of entries, so rows are found by name through a
 * sorted index, and each entry is planned from the few builds that it can reach.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "server/declared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One name that a row answers to. */
typedef struct NamedRow
{
	const char *name;
	int			row;
} NamedRow;

typedef struct NameIndex
{
	NamedRow   *items;
	int			count;
} NameIndex;

/* The builds that one entry can reach, and the names on the way to them. */
typedef struct Reach
{
	const DepotAvailableRow *rows;	/* all there are */
	NameIndex	index;
	int		   *marks;			/* per row: the entry it was last taken for */
	DepotAvailableRow *taken;
	int			taken_count;
	const char **names;
	int			name_count;
	int			name_capacity;
} Reach;

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

static int
compare_named(const void *a, const void *b)
{
	const NamedRow *left = a;
	const NamedRow *right = b;
	int			order = strcmp(left->name, right->name);

	return order != 0 ? order : left->row - right->row;
}

static void
add_names(NameIndex *index, const DepotManifest *manifest, int row)
{
	index->items[index->count++] = (NamedRow)
	{
		manifest->package, row
	};
	for (int i = 0; i < manifest->extension_count; i++)
		index->items[index->count++] = (NamedRow)
	{
		manifest->extensions[i].name, row
	};
}

static bool
index_installed(const DepotPlanInput *input, NameIndex *index)
{
	size_t		names = 1;

	for (int i = 0; i < input->installed_count; i++)
		if (input->installed[i].has_build)
			names += 1 + (size_t) input->installed[i].manifest->extension_count;
	index->items = malloc(sizeof(NamedRow) * names);
	if (index->items == NULL)
		return false;
	for (int i = 0; i < input->installed_count; i++)
		if (!input->installed[i].is_removed && input->installed[i].has_build)
			add_names(index, input->installed[i].manifest, i);
	qsort(index->items, (size_t) index->count, sizeof(NamedRow), compare_named);
	return true;
}

static bool
index_available(const DepotPlanInput *input, NameIndex *index)
{
	size_t		names = 1;

	for (int i = 0; i < input->available_count; i++)
		names += 1 + (size_t) input->available[i].manifest->extension_count;
	index->items = malloc(sizeof(NamedRow) * names);
	if (index->items == NULL)
		return false;
	for (int i = 0; i < input->available_count; i++)
		add_names(index, input->available[i].manifest, i);
	qsort(index->items, (size_t) index->count, sizeof(NamedRow), compare_named);
	return true;
}

/* The first place of name in the index; its count when it is not there. */
static int
find_name(const NameIndex *index, const char *name)
{
	int			low = 0;
	int			high = index->count;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (strcmp(index->items[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < index->count && strcmp(index->items[low].name, name) == 0 ? low : index->count;
}

static void
refuse(DepotDeclaredEntry *entry, const char *message, const char *detail)
{
	static const char ellipsis[] = "...";
	int			length = snprintf(entry->reason, sizeof(entry->reason), "%s%s%s", message,
								  detail[0] != '\0' ? ". " : "", detail);

	entry->action = DEPOT_DECLARED_REFUSED;
	if (length >= (int) sizeof(entry->reason))
		memcpy(entry->reason + sizeof(entry->reason) - sizeof(ellipsis), ellipsis, sizeof(ellipsis));
}

static DepotPlanRequest
request_of(const DepotDeclaredEntry *entry)
{
	const char *constraint = entry->declaration.constraint;

	return (DepotPlanRequest)
	{
		.name = entry->declaration.name, .constraint = constraint[0] != '\0' ? constraint : NULL
	};
}

/* Takes over what the plan says of the package that the entry itself means. */
static void
take_plan(DepotDeclaredEntry *entry, const DepotPlan *plan)
{
	entry->action = DEPOT_DECLARED_KEEP;
	if (plan->is_system)
	{
		snprintf(entry->version, sizeof(entry->version), "%s", plan->system_version);
		snprintf(entry->reason, sizeof(entry->reason), "provided by the server installation");
	}
	for (int i = 0; i < plan->count; i++)
	{
		const DepotPlanItem *item = &plan->items[i];
		const DepotManifest *manifest = item->build != NULL ? item->build->manifest : item->installed->manifest;

		if (!item->is_requested)
			continue;
		entry->package = manifest->package;
		entry->repository = item->build != NULL ? item->build->repository : NULL;
		snprintf(entry->version, sizeof(entry->version), "%s", manifest->version);
		if (item->action == DEPOT_PLAN_INSTALL)
			entry->action = DEPOT_DECLARED_INSTALL;
		else if (item->action == DEPOT_PLAN_UPDATE)
			entry->action = DEPOT_DECLARED_UPDATE;
	}
}

bool
depot_declared_decide_installed(const DepotPlanInput *input, DepotDeclaredEntry *entries, int count,
								DepotError *error)
{
	NameIndex	index = {0};

	if (!index_installed(input, &index))
		return out_of_memory(error);
	for (int i = 0; i < count; i++)
	{
		DepotDeclaredEntry *entry = &entries[i];
		DepotPlanRequest request = request_of(entry);
		DepotPlanInput narrow = *input;
		DepotPlan	plan;
		DepotError	unsatisfied;
		int			place;

		if (entry->declaration.is_bad)
		{
			refuse(entry, entry->declaration.reason, "");
			continue;
		}
		place = find_name(&index, entry->declaration.name);
		narrow.available_count = 0;
		narrow.installed_count = place < index.count ? 1 : 0;
		if (place < index.count)
			narrow.installed = &input->installed[index.items[place].row];
		if (depot_plan_install(&narrow, &request, &plan, &unsatisfied))
			take_plan(entry, &plan);
	}
	free(index.items);
	return true;
}

static bool
reach_name(Reach *reach, const char *name)
{
	for (int i = 0; i < reach->name_count; i++)
		if (strcmp(reach->names[i], name) == 0)
			return true;
	if (reach->name_count == reach->name_capacity)
	{
		int			capacity = reach->name_capacity > 0 ? reach->name_capacity * 2 : 64;
		const char **names = realloc(reach->names, sizeof(char *) * (size_t) capacity);

		if (names == NULL)
			return false;
		reach->names = names;
		reach->name_capacity = capacity;
	}
	reach->names[reach->name_count++] = name;
	return true;
}

/* Takes a build, unless the entry has it already, and goes on with what it needs. */
static bool
reach_row(Reach *reach, int row, int entry)
{
	const DepotManifest *manifest = reach->rows[row].manifest;

	if (reach->marks[row] == entry)
		return true;
	reach->marks[row] = entry;
	reach->taken[reach->taken_count++] = reach->rows[row];
	for (int i = 0; i < manifest->depend_count; i++)
		if (!reach_name(reach, manifest->depends[i].package))
			return false;
	for (int i = 0; i < manifest->extension_count; i++)
		for (int j = 0; j < manifest->extensions[i].require_count; j++)
			if (!reach_name(reach, manifest->extensions[i].requires[j]))
				return false;
	return true;
}

/* Collects the builds that provide name, those that provide what these need, and so on. */
static bool
reach_all(Reach *reach, const char *name, int entry)
{
	reach->taken_count = 0;
	reach->name_count = 0;
	if (!reach_name(reach, name))
		return false;
	for (int next = 0; next < reach->name_count; next++)
	{
		const char *wanted = reach->names[next];

		for (int i = find_name(&reach->index, wanted);
			 i < reach->index.count && strcmp(reach->index.items[i].name, wanted) == 0; i++)
			if (!reach_row(reach, reach->index.items[i].row, entry))
				return false;
	}
	return true;
}

static bool
decide_one(const DepotPlanInput *input, Reach *reach, DepotDeclaredEntry *entry)
{
	DepotPlanRequest request = request_of(entry);
	DepotPlanInput narrow = *input;
	DepotPlan	plan;
	DepotError	error;

	if (!reach_all(reach, entry->declaration.name, entry->declaration.ordinal))
		return false;
	narrow.available = reach->taken;
	narrow.available_count = reach->taken_count;
	if (depot_plan_install(&narrow, &request, &plan, &error))
	{
		take_plan(entry, &plan);
		return true;
	}
	entry->is_unknown = error.code == DEPOT_ERROR_UNKNOWN_EXTENSION || error.code == DEPOT_ERROR_UNKNOWN_VERSION ||
		error.code == DEPOT_ERROR_WITHDRAWN;
	refuse(entry, error.message, error.detail);
	return true;
}

typedef struct SortedEntry
{
	DepotDeclaredEntry *entry;
} SortedEntry;

/* By package, then by place in the list. */
static int
compare_packages(const void *a, const void *b)
{
	const DepotDeclaredEntry *left = ((const SortedEntry *) a)->entry;
	const DepotDeclaredEntry *right = ((const SortedEntry *) b)->entry;
	int			order = strcmp(left->package, right->package);

	return order != 0 ? order : left->declaration.ordinal - right->declaration.ordinal;
}

/*
 * An entry that means the package of an earlier one has to do with the version that one leads to;
 * otherwise the two would replace each other's for ever.
 */
static void
settle_package(const DepotDeclaredEntry *first, DepotDeclaredEntry *entry)
{
	DepotPlanRequest request = request_of(entry);
	DepotVersionConstraint constraint;
	char		reason[DEPOT_ERROR_MESSAGE_BYTES];

	if (strcmp(first->version, entry->version) == 0)
		return;
	if (depot_version_constraint_parse(request.constraint, &constraint, NULL) &&
		depot_version_satisfies(first->version, &constraint))
	{
		entry->action = first->action;
		memcpy(entry->version, first->version, sizeof(entry->version));
		return;
	}
	snprintf(reason, sizeof(reason), "it means package \"%s\", of which entry %d asks for version %s",
			 entry->package, first->declaration.ordinal, first->version);
	refuse(entry, reason, "");
}

static bool
settle_packages(DepotDeclaredEntry *entries, int count)
{
	SortedEntry *sorted = malloc(sizeof(SortedEntry) * ((size_t) count + 1));
	const DepotDeclaredEntry *first = NULL;
	int			sorted_count = 0;

	if (sorted == NULL)
		return false;
	for (int i = 0; i < count; i++)
		if (entries[i].package != NULL && entries[i].action != DEPOT_DECLARED_REFUSED)
			sorted[sorted_count++].entry = &entries[i];
	qsort(sorted, (size_t) sorted_count, sizeof(SortedEntry), compare_packages);
	for (int i = 0; i < sorted_count; i++)
	{
		if (first == NULL || strcmp(first->package, sorted[i].entry->package) != 0)
			first = sorted[i].entry;
		else
			settle_package(first, sorted[i].entry);
	}
	free(sorted);
	return true;
}

bool
depot_declared_decide_available(const DepotPlanInput *input, DepotDeclaredEntry *entries, int count,
								DepotError *error)
{
	Reach		reach = {.rows = input->available};
	size_t		rows = (size_t) input->available_count + 1;
	bool		ok = false;

	reach.marks = calloc(rows, sizeof(int));
	reach.taken = malloc(rows * sizeof(DepotAvailableRow));
	if (reach.marks == NULL || reach.taken == NULL || !index_available(input, &reach.index))
		goto done;
	for (int i = 0; i < count; i++)
		if (entries[i].action == DEPOT_DECLARED_UNDECIDED && !decide_one(input, &reach, &entries[i]))
			goto done;
	ok = settle_packages(entries, count);

done:
	free(reach.marks);
	free(reach.taken);
	free(reach.names);
	free(reach.index.items);
	return ok || out_of_memory(error);
}

bool
depot_declared_names(const DepotDeclaredEntry *entries, int count, const DepotInstalledRow *row)
{
	for (int i = 0; i < count; i++)
	{
		const char *name = entries[i].declaration.name;

		if (strcmp(name, row->package) == 0 || (row->has_build && depot_plan_provides(row->manifest, name)))
			return true;
	}
	return false;
}

const char *
depot_declared_action_name(DepotDeclaredAction action)
{
	switch (action)
	{
		case DEPOT_DECLARED_UNDECIDED:
			return "undecided";
		case DEPOT_DECLARED_KEEP:
			return "keep";
		case DEPOT_DECLARED_INSTALL:
			return "install";
		case DEPOT_DECLARED_UPDATE:
			return "update";
		case DEPOT_DECLARED_REFUSED:
			return "refused";
	}
	return "undecided";
}
