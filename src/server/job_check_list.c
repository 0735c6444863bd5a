/*-------------------------------------------------------------------------
 *
 * job_check_list.c
 *	  Job: tell what a declared list would do, and what is wrong with it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/declared_rows.h"
#include "utils/json.h"

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
