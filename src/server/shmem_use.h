/*-------------------------------------------------------------------------
 *
 * shmem_use.h
 *	  Shared memory between what uses extensions and what removes them.
 *
 * Two sets of counters by a hash of the extension's name, so that two names
 * may share one, which costs a repetition and is never wrong.  Uses are counted by
 * sessions once they hold the shared lock of the name (use.h).  Moves are
 * counted by the leader: odd while files of the extension come and go, even
 * otherwise.  Besides, there is room for one look into a database.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_SHMEM_USE_H
#define DEPOT_SHMEM_USE_H

#include "postgres.h"

#define DEPOT_USE_COUNTERS 64
#define DEPOT_USAGE_NAMES_BYTES 8192
#define DEPOT_USAGE_ANSWER_BYTES 4096

/* A look into one database for users of a package: one at a time, by a worker the leader starts. */
typedef struct DepotUsage
{
	uint64		number;			/* of this look, so that a late worker's answer is not taken for another's */
	Oid			database;
	char		extensions[DEPOT_USAGE_NAMES_BYTES];	/* separated by spaces */
	char		libraries[DEPOT_USAGE_NAMES_BYTES]; /* separated by spaces */
	bool		is_done;
	int			count;			/* of users found */
	char		found[DEPOT_USAGE_ANSWER_BYTES];	/* the first of them, a line each */
} DepotUsage;

/* Sessions: count a use of an extension; the leader reads how many there were. */
extern void depot_shmem_count_use(const char *extension);
extern uint64 depot_shmem_uses(const char *extension);

/* Sessions: copy all counters of moves, to be compared later.  has_moved is true as well while files move. */
extern void depot_shmem_read_moves(uint64 moves[DEPOT_USE_COUNTERS]);
extern bool depot_shmem_is_moving(const char *extension);
extern bool depot_shmem_has_moved(const char *extension, const uint64 moves[DEPOT_USE_COUNTERS]);

/* Leader: from here to end_moves the files of an extension move; repeated calls count once. */
extern void depot_shmem_begin_move(const char *extension);

/* Ends all that were begun, by this leader or one before it. */
extern void depot_shmem_end_moves(void);
extern bool depot_shmem_are_moving(void);

/*
 * The look: the leader begins and reads, the worker reads and answers with count users, of which found
 * names the first, a line each, cut after DEPOT_USAGE_ANSWER_BYTES.
 */
extern uint64 depot_shmem_begin_usage(Oid database, const char *extensions, const char *libraries);
extern void depot_shmem_read_usage(DepotUsage *usage);
extern void depot_shmem_answer_usage(uint64 number, int count, const char *found);

#endif							/* DEPOT_SHMEM_USE_H */
