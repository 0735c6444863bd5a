/*-------------------------------------------------------------------------
 *
 * job_wait.c
 *	  What an installation waits for besides this server: others that have the
 *	  files, too.
 *
 * Whatever comes of it, the installation stands: it was committed before.  The
 * job holds nothing that others could wait for, and its caller may give it up.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/settings.h"
#include "server/shmem_nodes.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* More are only counted in the WARNING. */
#define NAMED_MAX 8

/* A server whose files are waited for. */
typedef struct Wanted
{
	char		name[DEPOT_NAME_MAX_BYTES + 1];
	bool		is_shared;		/* several servers stream under this name, so a report says nothing */
} Wanted;

typedef struct Wait
{
	int			wait_for;
	int64		generation;
	const char *subject;
	Wanted	   *wanted;
	int			wanted_count;
	int			wanted_room;
	DepotNode  *nodes;			/* as they were at the last look */
	int			node_count;
	DepotJobStep then;
} Wait;

static void look(DepotJob *job);

/* ---- who is waited for ---- */

static Wanted *
find_wanted(const Wait *wait, const char *name)
{
	for (int i = 0; i < wait->wanted_count; i++)
		if (strcmp(wait->wanted[i].name, name) == 0)
			return &wait->wanted[i];
	return NULL;
}

static void
add_wanted(Wait *wait, const char *name)
{
	strlcpy(wait->wanted[wait->wanted_count++].name, name, sizeof(wait->wanted[0].name));
}

/* Servers that stream from here, and those that report: a cascading one does only that. */
static void
note_servers(Wait *wait)
{
	TimestampTz now = GetCurrentTimestamp();
	const char **streaming;
	int			count;

	depot_catalog_begin();
	count = depot_catalog_read_streaming(&streaming);
	depot_catalog_commit();
	wait->nodes = palloc(sizeof(DepotNode) * DEPOT_NODE_COUNT);
	wait->node_count = depot_shmem_read_nodes(wait->nodes);
	wait->wanted_room = count + DEPOT_NODE_COUNT;
	wait->wanted = palloc0(sizeof(Wanted) * wait->wanted_room);
	for (int i = 0; i < count; i++)
	{
		Wanted	   *other = find_wanted(wait, streaming[i]);

		if (other != NULL)
			other->is_shared = true;
		else
			add_wanted(wait, streaming[i]);
	}
	for (int i = 0; i < wait->node_count; i++)
		if (depot_shmem_is_node_current(&wait->nodes[i], now) && find_wanted(wait, wait->nodes[i].row.name) == NULL)
			add_wanted(wait, wait->nodes[i].row.name);
}

/* ---- how far they are ---- */

/* What a server reported last since this one started, or NULL. */
static const DepotNode *
find_report(const Wait *wait, const char *name)
{
	for (int i = 0; i < wait->node_count; i++)
		if (strcmp(wait->nodes[i].row.name, name) == 0 && wait->nodes[i].reported_at != 0)
			return &wait->nodes[i];
	return NULL;
}

static bool
has_files(const Wait *wait, const Wanted *wanted)
{
	const DepotNode *node = wanted->is_shared ? NULL : find_report(wait, wanted->name);

	return node != NULL && node->applied_generation >= wait->generation;
}

static int
count_with_files(const Wait *wait)
{
	int			count = 0;

	for (int i = 0; i < wait->wanted_count; i++)
		if (has_files(wait, &wait->wanted[i]))
			count++;
	return count;
}

/* A number of standbys is reached by those that come later, too. */
static void
add_newcomers(Wait *wait)
{
	for (int i = 0; i < wait->node_count && wait->wait_for != DEPOT_WAIT_FOR_ALL; i++)
		if (wait->nodes[i].reported_at != 0 && wait->wanted_count < wait->wanted_room &&
			find_wanted(wait, wait->nodes[i].row.name) == NULL)
			add_wanted(wait, wait->nodes[i].row.name);
}

/* ---- what is said of those that have not come ---- */

static void
append_missing(StringInfo out, const Wait *wait, const Wanted *wanted)
{
	const DepotNode *node = find_report(wait, wanted->name);

	appendStringInfo(out, "%s\"%s\" ", out->len > 0 ? ", " : "", wanted->name);
	if (wanted->is_shared)
		appendStringInfoString(out, "(a name that several servers have)");
	else if (node == NULL)
		appendStringInfoString(out, "(does not report)");
	else if (!depot_shmem_is_node_current(node, GetCurrentTimestamp()))
		appendStringInfoString(out, "(reports no more)");
	else if (node->row.content.missing[0] != '\0' || node->row.content.error[0] != '\0')
		appendStringInfo(out, "(failed: %.80s)",
						 node->row.content.missing[0] != '\0' ? node->row.content.missing : node->row.content.error);
	else
		appendStringInfo(out, "(" INT64_FORMAT " behind)", wait->generation - node->applied_generation);
}

static void
warn(DepotJob *job)
{
	const Wait *wait = job->wait;
	DepotReport report = {.sqlstate = "01000"};
	StringInfoData missing;
	int			named = 0;
	int			unnamed = 0;

	initStringInfo(&missing);
	for (int i = 0; i < wait->wanted_count; i++)
	{
		if (has_files(wait, &wait->wanted[i]))
			continue;
		if (named++ < NAMED_MAX)
			append_missing(&missing, wait, &wait->wanted[i]);
		else
			unnamed++;
	}
	if (unnamed > 0)
		appendStringInfo(&missing, " and %d others", unnamed);
	snprintf(report.message, sizeof(report.message), "%d of %d servers that were waited for have the files of \"%s\"",
			 count_with_files(wait), wait->wait_for == DEPOT_WAIT_FOR_ALL ? wait->wanted_count : wait->wait_for,
			 wait->subject);
	snprintf(report.detail, sizeof(report.detail), "After %d s they are not known to be on: %s.",
			 depot_settings_wait_for_timeout_s, missing.len > 0 ? missing.data : "any standby");
	strlcpy(report.hint, "The installation stands, and standbys follow by themselves; "
			"depot.nodes shows how far each is.", sizeof(report.hint));
	depot_job_warn(job, &report, "%s", report.message);
}

/* ---- the wait ---- */

void
depot_wait_begin(DepotJob *job, int wait_for, int64 generation, const char *subject, DepotJobStep then)
{
	Wait	   *wait = MemoryContextAllocZero(job->context, sizeof(Wait));
	MemoryContext old_context = MemoryContextSwitchTo(job->context);

	wait->wait_for = wait_for;
	wait->generation = generation;
	wait->subject = subject;
	wait->then = then;
	note_servers(wait);
	MemoryContextSwitchTo(old_context);

	depot_job_let_go(job);
	depot_job_unlock_packages(job);
	job->wait = wait;
	job->wait_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												  depot_settings_wait_for_timeout_s * INT64CONST(1000));
	/* Not overdue in its caller's eyes from here on; one that has gone needs no answer. */
	if (!depot_shmem_begin_commit(job->slot))
		job->wait_until = GetCurrentTimestamp();
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_WAITING_FOR_SERVERS, 0, 0);
	job->on_wake = look;
	look(job);
}

static void
look(DepotJob *job)
{
	Wait	   *wait = job->wait;

	wait->node_count = depot_shmem_read_nodes(wait->nodes);
	add_newcomers(wait);
	if (count_with_files(wait) < (wait->wait_for == DEPOT_WAIT_FOR_ALL ? wait->wanted_count : wait->wait_for))
	{
		if (GetCurrentTimestamp() < job->wait_until)
			return;
		warn(job);
	}
	job->on_wake = NULL;
	job->wait_until = 0;
	wait->then(job);
}
