/*-------------------------------------------------------------------------
 *
 * job_nodes.c
 *	  Jobs: let a server report or not any more; keep depot.node and the
 *	  reports in shared memory together.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/name.h"
#include "miscadmin.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/paths.h"
#include "server/shmem_nodes.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

/* What could not be written is tried again after this. */
#define RETRY_PAUSE_MS 10000
/* A role that reports something else all the time has no more than this written. */
#define WRITE_PAUSE_MS 1000

static TimestampTz pause_until = 0;

/* The schema whose rows are in shared memory: an extension that is created anew lets nobody report yet. */
static uint64 loaded_schema = 0;

/* ---- add and drop ---- */

static void
read_argument(DepotJob *job, const char **node, const char **role)
{
	DepotError	error;
	DepotMessage *argument = depot_message_parse(job->argument, strlen(job->argument), &error);
	const char *value;

	if (argument == NULL)
		depot_job_raise(&error);
	value = depot_message_string(argument, "node");
	*node = pstrdup(value != NULL ? value : "");
	value = depot_message_string(argument, "role");
	*role = pstrdup(value != NULL ? value : "");
	depot_message_free(argument);
	if (!depot_name_check_node(*node, &error))
		depot_job_raise(&error);
}

/* Records the change with its history, and makes it count at once. */
static void
commit_change(DepotJob *job, const char *action, const char *node)
{
	DepotHistoryRow history = {
		.action = action,
		.source = node,
		.role = job->role,
		.database = job->database,
		.started_at = job->started_at
	};

	DepotNodeRow *rows;
	int			count = depot_catalog_read_nodes(&rows);
	Oid			generation_table = depot_catalog_generation_table();

	if (!depot_shmem_begin_commit(job->slot))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceled by its caller")));
	depot_catalog_add_history(&history);
	depot_catalog_commit();
	depot_shmem_load_nodes(rows, Min(count, DEPOT_NODE_COUNT), generation_table);
	depot_job_finish(job, "");
}

/* The role is meant to have no other rights, so one that has them all is a mistake. */
static void
check_role(const char *role)
{
	Oid			oid = get_role_oid(role, false);

	if (superuser_arg(oid))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("role \"%s\" is a superuser", role),
				 errhint("Create a role for each server that can do nothing but log in.")));
}

void
depot_add_node_start(DepotJob *job)
{
	const char *node;
	const char *role;
	DepotNodeRow *rows;

	read_argument(job, &node, &role);
	depot_catalog_begin();
	depot_job_check_may_change(job);
	check_role(role);
	if (depot_catalog_has_node(node, role))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("there is a server \"%s\" already, or one that reports as role \"%s\"", node, role),
				 errhint("Each server reports as a role of its own; drop_extension_node takes it back.")));
	if (depot_catalog_read_nodes(&rows) >= DEPOT_NODE_COUNT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("at most %d servers can report", DEPOT_NODE_COUNT)));
	depot_catalog_add_node(node, role);
	commit_change(job, "add node", node);
}

void
depot_drop_node_start(DepotJob *job)
{
	const char *node;
	const char *role;

	read_argument(job, &node, &role);
	depot_catalog_begin();
	depot_job_check_may_change(job);
	if (!depot_catalog_drop_node(node))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", node)));
	commit_change(job, "drop node", node);
}

/* ---- depot.node and shared memory ---- */

static void
load_nodes(void)
{
	uint64		schema = depot_catalog_schema_changes();
	DepotNodeRow *rows = NULL;
	int			count = 0;
	Oid			generation_table;

	depot_catalog_begin();
	if (depot_catalog_exists())
		count = depot_catalog_read_nodes(&rows);
	generation_table = depot_catalog_generation_table();
	depot_catalog_commit();
	depot_shmem_load_nodes(rows, Min(count, DEPOT_NODE_COUNT), generation_table);
	loaded_schema = schema;
}

TimestampTz
depot_nodes_next_at(void)
{
	if (RecoveryInProgress() || depot_paths_inactive_reason() != NULL)
		return 0;
	if (depot_catalog_schema_changes() == loaded_schema && !depot_shmem_has_unsaved_nodes())
		return 0;
	/* At once, unless there is a pause; any time that has passed would do. */
	return Max(pause_until, PgStartTime);
}

static void
note_end(DepotJob *job, const DepotReport *report)
{
	pause_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), report == NULL ? WRITE_PAUSE_MS : RETRY_PAUSE_MS);
	if (report != NULL)
		depot_errors_raise_report(WARNING, report);
}

/* Only content that changed is written, so that a cluster where nothing happens writes no WAL. */
void
depot_nodes_start(DepotJob *job)
{
	DepotNode  *nodes = palloc(sizeof(DepotNode) * DEPOT_NODE_COUNT);
	bool		exists;
	int			count;

	job->on_end = note_end;
	if (depot_catalog_schema_changes() != loaded_schema)
		load_nodes();
	count = depot_shmem_read_nodes(nodes);
	depot_catalog_begin();
	exists = depot_catalog_exists();
	for (int i = 0; i < count; i++)
		if (exists && nodes[i].content_number != nodes[i].saved_number)
		{
			depot_catalog_write_node(nodes[i].row.name, &nodes[i].row.content);
			depot_platforms_request();
		}
	depot_catalog_commit();
	for (int i = 0; i < count; i++)
		depot_shmem_note_saved_node(&nodes[i]);
	depot_job_finish(job, "");
}
