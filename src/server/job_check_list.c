/*-------------------------------------------------------------------------
 *
 * job_check_list.c
 *	  Job: tell what a declared list would do, and what is wrong with it.
 *
 * Also decides the list for the job that carries it out.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/catalog.h"
#include "server/declared_rows.h"
#include "server/platform.h"
#include "utils/builtins.h"
#include "utils/json.h"

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

/* ---- check_extension_list ---- */

static void
append_member(StringInfo rows, const char *name, const char *value)
{
	appendStringInfo(rows, ",\"%s\":", name);
	if (value[0] != '\0')
		escape_json(rows, value);
	else
		appendStringInfoString(rows, "null");
}

static void
append_entry(StringInfo rows, const DepotDeclaredEntry *entry)
{
	appendStringInfo(rows, "%s{\"position\":%zu", rows->len > 0 ? "," : "", entry->declaration.position_bytes);
	append_member(rows, "name", entry->declaration.name);
	append_member(rows, "version_constraint", entry->declaration.constraint);
	append_member(rows, "action", depot_declared_action_name(entry->action));
	append_member(rows, "version", entry->version);
	append_member(rows, "reason", entry->reason);
	appendStringInfoChar(rows, '}');
}

void
depot_check_list_start(DepotJob *job)
{
	DepotDeclaredList list;
	DepotError	error;
	DepotMessage *argument = depot_message_parse(job->argument, strlen(job->argument), &error);
	const char *text;
	char	   *copy;
	StringInfoData rows;

	if (argument == NULL)
		depot_job_raise(&error);
	text = depot_message_string(argument, "list");
	copy = pstrdup(text != NULL ? text : "");
	depot_message_free(argument);
	if (!depot_declaration_check(copy, &error))
		depot_job_raise(&error);

	depot_declared_read(job, copy, &list);
	initStringInfo(&rows);
	for (int i = 0; i < list.count; i++)
		append_entry(&rows, &list.entries[i]);
	depot_job_finish(job, rows.data);
}
