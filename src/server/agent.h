/*-------------------------------------------------------------------------
 *
 * agent.h
 *	  Child processes of the leader for all work on foreign bytes.
 *
 * An agent is the pg_depot program, started with nothing but a socket pair and
 * a directory, and spoken to in JSON lines (docs/architecture.md, "Agents").
 * The leader never blocks on one: it reads what is there when the wait event
 * set says so.  Stopping one kills its process group and reaps it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_H
#define DEPOT_AGENT_H

#include "postgres.h"

#include "common/buffer.h"

#define DEPOT_AGENT_PROTOCOL 1
/* The longest line either side may write. */
#define DEPOT_AGENT_LINE_BYTES ((size_t) 64 * 1024)

typedef enum DepotAgentKind
{
	DEPOT_AGENT_FETCH,
	DEPOT_AGENT_CHECK
} DepotAgentKind;

typedef struct DepotAgent
{
	DepotAgentKind kind;
	pid_t		pid;
	int			socket;
	bool		is_at_end;		/* it closed its side */
	size_t		taken_bytes;	/* of input: lines that were returned */
	DepotBuffer input;
} DepotAgent;

/* Starts an agent that sees directory_fd only; memory_bytes limits its address space.  May ereport. */
extern DepotAgent *depot_agent_start(DepotAgentKind kind, int directory_fd, int64 memory_bytes);

/* Kills and reaps it, and frees it. NULL is fine. Never ereports. */
extern void depot_agent_stop(DepotAgent *agent);

/*
 * Like depot_agent_stop, for an agent that has answered its last command: it does nothing any more, so its end, which
 * takes the kernel up to 40 ms, is left to depot_agent_reap.
 */
extern void depot_agent_dismiss(DepotAgent *agent);

/* Reaps dismissed agents that have ended; tells whether there are others.  Never waits. */
extern bool depot_agent_reap(void);

/* Sends one line (without its end). May ereport. */
extern void depot_agent_send(DepotAgent *agent, const char *line);

/* Reads what the socket has, without waiting. May ereport. */
extern void depot_agent_receive(DepotAgent *agent);

/* Takes the next whole line out of what was received, as palloc'd text; NULL when there is none yet. */
extern char *depot_agent_next_line(DepotAgent *agent);

extern const char *depot_agent_kind_name(DepotAgentKind kind);

#endif							/* DEPOT_AGENT_H */
