/*-------------------------------------------------------------------------
 *
 * shmem_nodes.c
 *	  Shared memory: what the servers of the cluster report, on the primary;
 *	  how reporting goes, on a standby.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "server/shmem_internal.h"
#include "server/shmem_nodes.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

/* So many reports may be late or lost before their sender counts as gone. */
#define INTERVALS_WITHOUT_REPORT 3

typedef struct NodeBoard
{
	bool		is_loaded;
	Oid			generation_table;	/* of this server's rows */
	uint64		last_number;
	DepotNode	nodes[DEPOT_NODE_COUNT];	/* free: without a name */
	pid_t		reporter;
	TimestampTz accepted_at;
	char		reporting_error[DEPOT_ERROR_MESSAGE_BYTES];
} NodeBoard;

static NodeBoard *board = NULL;
static LWLock *board_lock = NULL;

void
depot_shmem_request_nodes(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(NodeBoard)));
	RequestNamedLWLockTranche("pg_depot_nodes", 1);
}

void
depot_shmem_start_nodes(void)
{
	bool		found;

	board = ShmemInitStruct("pg_depot nodes", sizeof(NodeBoard), &found);
	if (!found)
		memset(board, 0, sizeof(NodeBoard));
	board_lock = &GetNamedLWLockTranche("pg_depot_nodes")->lock;
}

/* ---- the servers ---- */

/* The slot of a server, or with name "" a free one; NULL when there is none.  The lock is held. */
static DepotNode *
find_node(const char *name)
{
	for (int i = 0; i < DEPOT_NODE_COUNT; i++)
		if (strcmp(board->nodes[i].row.name, name) == 0)
			return &board->nodes[i];
	return NULL;
}

static bool
is_same_content(const DepotNodeContent *a, const DepotNodeContent *b)
{
	return strcmp(a->version, b->version) == 0 && strcmp(a->server_version, b->server_version) == 0 &&
		strcmp(a->libc_version, b->libc_version) == 0 && strcmp(a->platform, b->platform) == 0 &&
		a->restart_required == b->restart_required && strcmp(a->missing, b->missing) == 0 &&
		strcmp(a->sqlstate, b->sqlstate) == 0 && strcmp(a->error, b->error) == 0;
}

static bool
has_row(const DepotNodeRow *rows, int count, const DepotNode *node)
{
	for (int i = 0; i < count; i++)
		if (strcmp(rows[i].name, node->row.name) == 0 && rows[i].role == node->row.role)
			return true;
	return false;
}

void
depot_shmem_load_nodes(const DepotNodeRow *rows, int count, Oid generation_table)
{
	bool		is_same_table;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	is_same_table = board->generation_table == generation_table;
	board->generation_table = generation_table;
	for (int i = 0; i < DEPOT_NODE_COUNT; i++)
	{
		if (!has_row(rows, count, &board->nodes[i]))
			memset(&board->nodes[i], 0, sizeof(DepotNode));
		else if (!is_same_table)
			board->nodes[i].applied_generation = 0;
	}
	for (int i = 0; i < count; i++)
	{
		DepotNode  *node = find_node(rows[i].name);

		if (node != NULL)
		{
			/* What was reported and is not in the row has to be written. */
			if (node->row.has_content &&
				!(rows[i].has_content && is_same_content(&node->row.content, &rows[i].content)))
				node->content_number = ++board->last_number;
			continue;
		}
		node = find_node("");
		if (node == NULL)
			break;
		node->row = rows[i];
		node->content_number = ++board->last_number;
		node->saved_number = node->content_number;
	}
	board->is_loaded = true;
	LWLockRelease(board_lock);
}

bool
depot_shmem_has_unsaved_nodes(void)
{
	bool		is_unsaved = false;

	LWLockAcquire(board_lock, LW_SHARED);
	for (int i = 0; i < DEPOT_NODE_COUNT; i++)
		is_unsaved |= board->nodes[i].content_number != board->nodes[i].saved_number;
	LWLockRelease(board_lock);
	return is_unsaved;
}

void
depot_shmem_note_saved_node(const DepotNode *saved)
{
	DepotNode  *node;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	node = find_node(saved->row.name);
	if (node != NULL)
		node->saved_number = saved->content_number;
	LWLockRelease(board_lock);
}

int
depot_shmem_read_nodes(DepotNode *nodes)
{
	int			count = 0;

	LWLockAcquire(board_lock, LW_SHARED);
	for (int i = 0; i < DEPOT_NODE_COUNT; i++)
		if (board->nodes[i].row.name[0] != '\0')
			nodes[count++] = board->nodes[i];
	LWLockRelease(board_lock);
	return count;
}

/* ---- reports ---- */

/*
 * Puts a report into its slot; the lock is held.  Returns whether it says something new.  Whoever has not replayed yet
 * that the extension was created anew has nothing of these rows, however far he has come with those before.
 */
static bool
put_report(DepotNode *node, const DepotNodeReport *report)
{
	bool		is_same_table = report->generation_table == board->generation_table;
	int64		applied_generation = is_same_table ? report->applied_generation : 0;
	bool		is_new = node->reported_at == 0 || node->applied_generation != applied_generation;

	node->applied_generation = applied_generation;
	node->interval_s = report->interval_s;
	node->reported_at = GetCurrentTimestamp();
	node->session = MyProcPid;
	if (!node->row.has_content || !is_same_content(&node->row.content, &report->content))
	{
		node->row.content = report->content;
		node->row.has_content = true;
		node->content_number = ++board->last_number;
		is_new = true;
	}
	return is_new;
}

DepotReportOutcome
depot_shmem_take_report(const DepotNodeReport *report, Oid role, const char *own_name)
{
	DepotReportOutcome outcome;
	DepotNode  *node;
	bool		is_new = false;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	node = find_node(report->name);
	if (!board->is_loaded)
		outcome = DEPOT_REPORT_TOO_EARLY;
	else if (node == NULL || !OidIsValid(role) || node->row.role != role)
		outcome = DEPOT_REPORT_REFUSED;
	else if (strcmp(report->name, own_name) == 0)
		outcome = DEPOT_REPORT_OWN_NAME;
	else
	{
		outcome = DEPOT_REPORT_TAKEN;
		is_new = put_report(node, report);
	}
	LWLockRelease(board_lock);
	if (is_new)
		depot_shmem_wake_leader();
	return outcome;
}

void
depot_shmem_forget_session(void)
{
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	for (int i = 0; i < DEPOT_NODE_COUNT; i++)
		if (board->nodes[i].session == MyProcPid)
			board->nodes[i].session = 0;
	LWLockRelease(board_lock);
}

bool
depot_shmem_is_node_current(const DepotNode *node, TimestampTz now)
{
	return node->reported_at != 0 && node->session != 0 &&
		!TimestampDifferenceExceeds(node->reported_at, now, node->interval_s * INTERVALS_WITHOUT_REPORT * 1000);
}

/* ---- reporting ---- */

static void
withdraw_reporter(int code, Datum argument)
{
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	if (board->reporter == MyProcPid)
		board->reporter = 0;
	LWLockRelease(board_lock);
}

bool
depot_shmem_announce_reporter(void)
{
	bool		is_ours;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	is_ours = board->reporter == 0 || BackendPidGetProc(board->reporter) == NULL;
	if (is_ours)
		board->reporter = MyProcPid;
	LWLockRelease(board_lock);
	if (is_ours)
		before_shmem_exit(withdraw_reporter, (Datum) 0);
	return is_ours;
}

pid_t
depot_shmem_reporter(void)
{
	pid_t		pid;

	LWLockAcquire(board_lock, LW_SHARED);
	pid = board->reporter;
	LWLockRelease(board_lock);
	return pid;
}

void
depot_shmem_wake_reporter(void)
{
	depot_shmem_wake(depot_shmem_reporter());
}

void
depot_shmem_note_reporting(const char *error)
{
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	if (error[0] == '\0')
		board->accepted_at = GetCurrentTimestamp();
	strlcpy(board->reporting_error, error, sizeof(board->reporting_error));
	LWLockRelease(board_lock);
}

TimestampTz
depot_shmem_last_reporting(char *error, Size error_bytes)
{
	TimestampTz at;

	LWLockAcquire(board_lock, LW_SHARED);
	at = board->accepted_at;
	strlcpy(error, board->reporting_error, error_bytes);
	LWLockRelease(board_lock);
	return at;
}
