/*-------------------------------------------------------------------------
 *
 * catalog_available.c
 *	  The depot's tables: the builds that a plan may have to look at.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/name.h"
#include "executor/spi.h"
#include "server/catalog.h"
#include "server/catalog_spi.h"
#include "server/errors.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* Builds as they are read. */
typedef struct AvailableList
{
	DepotAvailableRow *rows;
	int			count;
	int			capacity;
} AvailableList;

#define SELECT_AVAILABLE \
	"SELECT a.repository, r.priority::bigint, a.target, a.sha256, a.size_bytes::bigint, a.custom," \
	" w.reason, w.advisory" \
	" FROM depot.available a JOIN depot.repository r ON r.name = a.repository" \
	" LEFT JOIN depot.withdrawn w ON w.repository = a.repository AND w.sha256 = a.sha256" \
	" WHERE a.target IS NOT NULL AND a.sha256 ~ '^[0-9a-f]{64}$' AND a.custom IS NOT NULL"
#define ORDER_AVAILABLE " ORDER BY r.priority, a.repository, a.target"

/* Adds a row of the current result; returns its manifest, or NULL (and has said why) when it has none. */
static const DepotManifest *
add_available(AvailableList *list, uint64 index)
{
	DepotAvailableRow *row;
	DepotError	error;

	if (list->count == list->capacity)
	{
		int			capacity = list->capacity > 0 ? list->capacity * 2 : 64;
		DepotAvailableRow *larger = depot_catalog_alloc(sizeof(DepotAvailableRow) * capacity);

		if (list->count > 0)
			memcpy(larger, list->rows, sizeof(DepotAvailableRow) * list->count);
		list->rows = larger;
		list->capacity = capacity;
	}
	row = &list->rows[list->count];
	row->repository = depot_catalog_text(index, 1);
	row->priority = (int) depot_catalog_int64(index, 2);
	row->target = depot_catalog_text(index, 3);
	row->sha256 = depot_catalog_text(index, 4);
	row->size_bytes = depot_catalog_int64(index, 5);
	row->custom = depot_catalog_text(index, 6);
	row->withdrawn_reason = depot_catalog_text(index, 7);
	row->withdrawn_advisory = depot_catalog_text(index, 8);
	row->manifest = depot_catalog_manifest(row->custom, row->target, row->manifest_sha256, &error);
	if (row->manifest == NULL)
	{
		depot_error_prefix(&error, "row of depot.available for \"%s\"", row->target);
		depot_errors_raise(WARNING, &error);
		return NULL;
	}
	list->count++;
	return row->manifest;
}

int
depot_catalog_read_available_digests(const char *const *digests, int count, DepotAvailableRow **rows)
{
	Oid			types[] = {TEXTARRAYOID};
	Datum		values[] = {depot_catalog_text_array(digests, count)};
	AvailableList list = {0};
	uint64		found = depot_catalog_execute(SPI_OK_SELECT,
											  SELECT_AVAILABLE " AND a.sha256 = ANY ($1)" ORDER_AVAILABLE,
											  1, types, values, NULL);

	for (uint64 i = 0; i < found; i++)
		(void) add_available(&list, i);
	*rows = list.rows;
	return list.count;
}

/* ---- by names ---- */

/* So many are looked up in the index; with more, the whole table is read once. */
#define FEW_NAMES 64
/* A plan has no more packages, so what is further away is in none; it also bounds a malicious chain. */
#define ROUNDS_MAX 128

/* A name that was or is looked for, in the round of that number. */
typedef struct AskedName
{
	char		name[DEPOT_NAME_MAX_BYTES + 1];
	int			round;
} AskedName;

typedef struct Asked
{
	HTAB	   *names;
	const char **next;			/* to be looked for in the next round */
	int			next_count;
	int			next_capacity;
	int			round;			/* of the names in next */
} Asked;

static void
ask_for(Asked *asked, const char *name)
{
	AskedName  *entry;
	bool		is_found;

	if (strlen(name) > DEPOT_NAME_MAX_BYTES)
		return;
	entry = hash_search(asked->names, name, HASH_ENTER, &is_found);
	if (is_found)
		return;
	entry->round = asked->round;
	if (asked->next_count == asked->next_capacity)
	{
		int			capacity = asked->next_capacity * 2;
		const char **larger = depot_catalog_alloc(sizeof(char *) * capacity);

		memcpy(larger, asked->next, sizeof(char *) * asked->next_count);
		asked->next = larger;
		asked->next_capacity = capacity;
	}
	asked->next[asked->next_count++] = name;
}

/* Whether name was looked for in a round before this one, so that its builds are there. */
static bool
was_asked_for(const Asked *asked, const char *name)
{
	const AskedName *entry = hash_search(asked->names, name, HASH_FIND, NULL);

	return entry != NULL && entry->round < asked->round - 1;
}

static bool
was_read(const Asked *asked, const DepotManifest *manifest)
{
	bool		is_there = was_asked_for(asked, manifest->package);

	for (int i = 0; i < manifest->extension_count; i++)
		is_there |= was_asked_for(asked, manifest->extensions[i].name);
	return is_there;
}

static void
ask_for_needs(Asked *asked, const DepotManifest *manifest)
{
	for (int i = 0; i < manifest->depend_count; i++)
		ask_for(asked, manifest->depends[i].package);
	for (int i = 0; i < manifest->extension_count; i++)
		for (int j = 0; j < manifest->extensions[i].require_count; j++)
			ask_for(asked, manifest->extensions[i].requires[j]);
}

/* One look for all names of a round; what the builds need is asked for in the next. */
static void
read_round(Asked *asked, AvailableList *list)
{
	Oid			types[] = {TEXTARRAYOID};
	Datum		values[] = {depot_catalog_text_array(asked->next, asked->next_count)};
	bool		is_few = asked->next_count <= FEW_NAMES;
	uint64		found;

	asked->next_count = 0;
	asked->round++;
	found = depot_catalog_execute(SPI_OK_SELECT,
								  is_few ? SELECT_AVAILABLE " AND a.names && $1" ORDER_AVAILABLE :
								  SELECT_AVAILABLE
								  " AND EXISTS (SELECT FROM unnest(a.names) n WHERE n = ANY ($1))" ORDER_AVAILABLE,
								  1, types, values, NULL);
	for (uint64 i = 0; i < found; i++)
	{
		const DepotManifest *manifest = add_available(list, i);

		if (manifest == NULL)
			continue;
		if (was_read(asked, manifest))
			list->count--;
		else
			ask_for_needs(asked, manifest);
	}
}

int
depot_catalog_read_available(const char *const *names, int name_count, DepotAvailableRow **rows)
{
	AvailableList list = {0};
	HASHCTL		control = {
		.keysize = DEPOT_NAME_MAX_BYTES + 1,
		.entrysize = sizeof(AskedName),
		.hcxt = CurrentMemoryContext
	};
	Asked		asked = {
		.names = hash_create("pg_depot names", Max(name_count, 16), &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT),
		.next_capacity = Max(name_count, 16)
	};

	asked.next = depot_catalog_alloc(sizeof(char *) * asked.next_capacity);
	for (int i = 0; i < name_count; i++)
		ask_for(&asked, names[i]);
	while (asked.next_count > 0 && asked.round < ROUNDS_MAX)
		read_round(&asked, &list);
	hash_destroy(asked.names);
	*rows = list.rows;
	return list.count;
}
