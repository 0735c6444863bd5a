/*-------------------------------------------------------------------------
 *
 * declared_states.c
 *	  What became of the entries of the declared list: in depot.declared, and in the log.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/string.h"
#include "server/catalog.h"
#include "server/declared_rows.h"

/* So many entries have a line of their own in the log when they all change at once. */
#define LOGGED_ENTRIES 20

/* What a person reads in depot.desired; NULL where there is nothing to say. */
static const char *
state_of(const DepotDeclaredEntry *entry, const DepotDeclaredLook *look, const char **reason)
{
	*reason = entry->reason[0] != '\0' ? entry->reason : NULL;
	switch (entry->action)
	{
		case DEPOT_DECLARED_KEEP:
			return "ok";
		case DEPOT_DECLARED_REFUSED:
			if (!entry->is_unknown)
				return "refused";
			if (!look->is_asking)
				return look->is_stale ? "failed" : "refused";
			*reason = "repositories are asked for news first";
			return "pending";
		case DEPOT_DECLARED_UNDECIDED:
		case DEPOT_DECLARED_INSTALL:
		case DEPOT_DECLARED_UPDATE:
			break;
	}
	if (!look->may_act)
		*reason = "changed since; carried out when the list is looked at again";
	return "pending";
}

static void
log_changes(const DepotDeclaredRow *rows, int count, const bool *is_new)
{
	const DepotDeclaredRow *first = NULL;
	int			refused_count = 0;
	int			logged_count = 0;

	for (int i = 0; i < count; i++)
	{
		bool		is_refused = strcmp(rows[i].state, "refused") == 0;

		refused_count += is_refused;
		if (!is_new[i] || strcmp(rows[i].state, "pending") == 0)
			continue;
		if (is_refused && first == NULL)
		{
			first = &rows[i];	/* the WARNING below has it */
			continue;
		}
		if (logged_count++ < LOGGED_ENTRIES)
			ereport(LOG,
					(errmsg("entry %d of \"" DEPOT_DECLARED_ORIGIN "\", \"%s\": %s", rows[i].ordinal, rows[i].name,
							rows[i].state),
					 rows[i].reason != NULL ? errdetail_log("%s", rows[i].reason) : 0));
	}
	if (logged_count > LOGGED_ENTRIES)
		ereport(LOG, (errmsg("and %d more entries of \"" DEPOT_DECLARED_ORIGIN "\"", logged_count - LOGGED_ENTRIES)));
	if (first != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d of %d entries of \"" DEPOT_DECLARED_ORIGIN "\" cannot be carried out", refused_count,
						count),
				 errdetail("Entry %d, \"%s\": %s%s", first->ordinal, first->name, first->reason,
						   pg_str_endswith(first->reason, ".") ? "" : "."),
				 errhint("The view depot.desired lists them; the others are carried out.")));
}

void
depot_declared_note_states(const DepotDeclaredLook *look)
{
	const DepotDeclaredList *list = &look->list;
	DepotDeclaredRow *rows = palloc0(sizeof(DepotDeclaredRow) * (list->count + 1));
	const char **packages = palloc(sizeof(char *) * (list->count + 1));
	bool	   *is_new = palloc0(sizeof(bool) * (list->count + 1));
	int			package_count = 0;

	for (int i = 0; i < list->count; i++)
	{
		const DepotDeclaredEntry *entry = &list->entries[i];

		rows[i].ordinal = entry->declaration.ordinal;
		rows[i].name = entry->declaration.name;
		if (entry->declaration.constraint[0] != '\0')
			rows[i].version_constraint = entry->declaration.constraint;
		rows[i].package = entry->package;
		rows[i].version = entry->version[0] != '\0' ? entry->version : NULL;
		rows[i].state = state_of(entry, look, &rows[i].reason);
		if (entry->action == DEPOT_DECLARED_KEEP && entry->package != NULL)
			packages[package_count++] = entry->package;
	}
	depot_catalog_begin();
	depot_catalog_write_declared(rows, list->count, is_new);
	if (package_count > 0)
		depot_catalog_mark_declared(packages, package_count);
	depot_catalog_commit();
	log_changes(rows, list->count, is_new);
}
