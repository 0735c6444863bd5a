/*-------------------------------------------------------------------------
 *
 * shmem_internal.h
 *	  The board itself, for the shmem_*.c files alone.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_SHMEM_INTERNAL_H
#define DEPOT_SHMEM_INTERNAL_H

#include "server/shmem.h"
#include "storage/lwlock.h"

typedef struct DepotBoard
{
	pid_t		leader_pid;
	uint64		incarnation;
	uint64		last_request_id;
	int			failed_starts;
	bool		is_home_missing;
	pid_t		sent_away_by;	/* the session that wants no leader in the home database; 0: none */
	bool		has_restored_rows;	/* sessions have committed some since the leader looked */
	TimestampTz reconciled_at;	/* last end of it; 0: none since the server started */
	int			reconcile_failures; /* in a row */
	DepotAppliedReport applied;
	DepotSlot	slots[DEPOT_SLOT_COUNT];
} DepotBoard;

/* Set when the server's start gets to shared memory. */
extern DepotBoard *depot_shmem_board;
extern LWLock *depot_shmem_board_lock;
extern const char *depot_shmem_home_database;

/* The part of shmem_use.c in the server's start: asks for room; makes or finds it, with AddinShmemInitLock held. */
extern void depot_shmem_request_use(void);
extern void depot_shmem_start_use(void);

/* The part of shmem_nodes.c likewise. */
extern void depot_shmem_request_nodes(void);
extern void depot_shmem_start_nodes(void);

/* Sets the latch of a process by pid; a process that is gone needs none. */
extern void depot_shmem_wake(pid_t pid);

/* Marks slot answered, or frees it when nobody waits; the lock is held.  Returns the pid to wake. */
extern pid_t depot_shmem_finish_slot(DepotSlot *slot);

#endif							/* DEPOT_SHMEM_INTERNAL_H */
