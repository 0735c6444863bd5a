/*-------------------------------------------------------------------------
 *
 * declared_rows.c
 *	  Decides a declared list by the rows as they are now.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/catalog.h"
#include "server/declared_rows.h"
#include "server/platform.h"

/* A transaction of its own: what can be read of builds may be much. */
static int
read_available(const DepotDeclaredList *list, DepotAvailableRow **rows)
{
	const char **names = palloc(sizeof(char *) * (list->count + 1));
	int			name_count = 0;
	int			count = 0;

	for (int i = 0; i < list->count; i++)
		if (list->entries[i].action == DEPOT_DECLARED_UNDECIDED)
			names[name_count++] = list->entries[i].declaration.name;
	*rows = NULL;
	if (name_count > 0)
	{
		depot_catalog_begin();
		count = depot_catalog_read_available(names, name_count, rows);
		depot_catalog_commit();
	}
	return count;
}

void
depot_declared_read(DepotJob *job, const char *text, DepotDeclaredList *list)
{
	DepotDeclaration *declarations;
	DepotAvailableRow *available;
	DepotPlanInput input;
	DepotError	error;

	memset(list, 0, sizeof(*list));
	list->count = depot_declaration_count(text);
	declarations = palloc(sizeof(DepotDeclaration) * (list->count + 1));
	list->entries = palloc0(sizeof(DepotDeclaredEntry) * (list->count + 1));
	if (!depot_declaration_parse(text, declarations, &error))
		depot_job_raise(&error);
	for (int i = 0; i < list->count; i++)
		list->entries[i].declaration = declarations[i];
	pfree(declarations);

	depot_catalog_begin();
	depot_job_check_usable(job);
	list->repository_count = depot_catalog_read_repositories(NULL, &list->repositories);
	list->installed_count = depot_catalog_read_installed(&list->installed);
	depot_catalog_commit();

	input = (DepotPlanInput)
	{
		.installed = list->installed,
			.installed_count = list->installed_count,
			.server_minor = depot_platform_minor(),
			.libc_version = depot_platform_libc_version(),
			.system_extension = depot_platform_system_extension
	};
	if (!depot_declared_decide_installed(&input, list->entries, list->count, &error))
		depot_job_raise(&error);
	input.available_count = read_available(list, &available);
	input.available = available;
	if (!depot_declared_decide_available(&input, list->entries, list->count, &error))
		depot_job_raise(&error);
}
