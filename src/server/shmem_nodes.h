/*-------------------------------------------------------------------------
 *
 * shmem_nodes.h
 *	  Shared memory: what the servers of the cluster report, on the primary;
 *	  how reporting goes, on a standby.
 *
 * The leader fills the slots from depot.node; sessions of the registered roles put
 * reports into them.  One LWLock guards everything here, for memory copies only.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_SHMEM_NODES_H
#define DEPOT_SHMEM_NODES_H

#include "postgres.h"

#include "common/wait_for.h"
#include "datatype/timestamp.h"
#include "server/rows.h"

#define DEPOT_NODE_COUNT DEPOT_WAIT_FOR_MAX

/* A report as it arrives. */
typedef struct DepotNodeReport
{
	char		name[DEPOT_NAME_MAX_BYTES + 1];
	Oid			generation_table;	/* whose number the generation is */
	int64		applied_generation;
	int			interval_s;		/* until the next one */
	DepotNodeContent content;
} DepotNodeReport;

/* A server and its last report; copied out whole by readers. */
typedef struct DepotNode
{
	DepotNodeRow row;
	uint64		content_number; /* another one when the content changed */
	uint64		saved_number;	/* of the content that depot.node has */
	int64		applied_generation;
	int			interval_s;
	TimestampTz reported_at;	/* 0: not since this server started */
	pid_t		session;		/* that reported last; 0: it has ended */
} DepotNode;

typedef enum DepotReportOutcome
{
	DEPOT_REPORT_TAKEN,
	DEPOT_REPORT_REFUSED,		/* the role may not report under that name */
	DEPOT_REPORT_OWN_NAME,		/* it may, but it is this server's own */
	DEPOT_REPORT_TOO_EARLY		/* the leader has not read depot.node yet */
} DepotReportOutcome;

/*
 * Leader: makes the slots those of rows, DEPOT_NODE_COUNT at most; what was reported stays, but for generations of
 * another table than this one, InvalidOid where there is none.
 */
extern void depot_shmem_load_nodes(const DepotNodeRow *rows, int count, Oid generation_table);

/* Whether there is content that depot.node does not have. */
extern bool depot_shmem_has_unsaved_nodes(void);

/* Notes that depot.node has the content of a copy. */
extern void depot_shmem_note_saved_node(const DepotNode *node);

/* Copies all servers into nodes, which has room for DEPOT_NODE_COUNT; returns how many there are. */
extern int	depot_shmem_read_nodes(DepotNode *nodes);

/*
 * Takes a report of a session of role, and wakes the leader when it says something new.  own_name is this server's.
 * Nothing is noted of a report that is not taken.
 */
extern DepotReportOutcome depot_shmem_take_report(const DepotNodeReport *report, Oid role, const char *own_name);

/* The session reports no more. */
extern void depot_shmem_forget_session(void);

/* Whether a server's last report counts: its session is there, and it is not late. */
extern bool depot_shmem_is_node_current(const DepotNode *node, TimestampTz now);

/* Reporter: announces this process; false: another one is there.  Withdraws it at exit. */
extern bool depot_shmem_announce_reporter(void);
extern pid_t depot_shmem_reporter(void);
extern void depot_shmem_wake_reporter(void);

/* Notes how reporting goes: error "" when the last report was taken. */
extern void depot_shmem_note_reporting(const char *error);

/* When the last report was taken (0: never), and what is in the way since, into error: "" for nothing. */
extern TimestampTz depot_shmem_last_reporting(char *error, Size error_bytes);

#endif							/* DEPOT_SHMEM_NODES_H */
