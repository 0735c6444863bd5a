/*-------------------------------------------------------------------------
 *
 * agent_start.h
 *	  An agent's first acts, before it says hello.
 *
 * PostgreSQL 15 opens its files without close-on-exec, so a child that did
 * nothing would hold the server's data files; a child that outlives the
 * server would work on a data directory that another server may own.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_START_H
#define DEPOT_AGENT_START_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

/* Descriptors that the leader hands over. */
#define DEPOT_AGENT_CHANNEL_FD 0
#define DEPOT_AGENT_DIRECTORY_FD 3

typedef struct DepotAgentLimits
{
	uint64_t	memory_bytes;	/* address space; 0: no limit */
	uint64_t	file_bytes;		/* largest file it may write; 0: no limit */
} DepotAgentLimits;

/* Closes every descriptor but 0 to 3; the first thing an agent does. */
extern bool depot_agent_close_descriptors(DepotError *error);

/*
 * Ties this process to its parent (SIGKILL when it dies; an error when it has died already), makes it the
 * kernel's first choice when memory is short, gives up new privileges, and sets limits.
 */
extern bool depot_agent_start(pid_t parent, const DepotAgentLimits *limits, DepotError *error);

#endif							/* DEPOT_AGENT_START_H */
