/*-------------------------------------------------------------------------
 *
 * shmem_use.c
 *	  Shared memory between what uses extensions and what removes them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "server/shmem_internal.h"
#include "server/shmem_use.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

typedef struct UseBoard
{
	pg_atomic_uint64 uses[DEPOT_USE_COUNTERS];
	pg_atomic_uint64 moves[DEPOT_USE_COUNTERS];
	DepotUsage	usage;			/* guarded by the lock */
} UseBoard;

static UseBoard *board = NULL;
static LWLock *board_lock = NULL;

void
depot_shmem_request_use(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(UseBoard)));
	RequestNamedLWLockTranche("pg_depot_use", 1);
}

void
depot_shmem_start_use(void)
{
	bool		found;

	board = ShmemInitStruct("pg_depot use", sizeof(UseBoard), &found);
	if (!found)
	{
		memset(board, 0, sizeof(UseBoard));
		for (int i = 0; i < DEPOT_USE_COUNTERS; i++)
		{
			pg_atomic_init_u64(&board->uses[i], 0);
			pg_atomic_init_u64(&board->moves[i], 0);
		}
	}
	board_lock = &GetNamedLWLockTranche("pg_depot_use")->lock;
}

/* ---- counters ---- */

static int
counter_of(const char *extension)
{
	return (int) (hash_bytes((const unsigned char *) extension, (int) strlen(extension)) % DEPOT_USE_COUNTERS);
}

void
depot_shmem_count_use(const char *extension)
{
	pg_atomic_fetch_add_u64(&board->uses[counter_of(extension)], 1);
}

uint64
depot_shmem_uses(const char *extension)
{
	pg_memory_barrier();
	return pg_atomic_read_u64(&board->uses[counter_of(extension)]);
}

void
depot_shmem_read_moves(uint64 moves[DEPOT_USE_COUNTERS])
{
	pg_memory_barrier();
	for (int i = 0; i < DEPOT_USE_COUNTERS; i++)
		moves[i] = pg_atomic_read_u64(&board->moves[i]);
	pg_memory_barrier();
}

bool
depot_shmem_is_moving(const char *extension)
{
	pg_memory_barrier();
	return pg_atomic_read_u64(&board->moves[counter_of(extension)]) % 2 != 0;
}

bool
depot_shmem_has_moved(const char *extension, const uint64 moves[DEPOT_USE_COUNTERS])
{
	int			counter = counter_of(extension);
	uint64		now;

	pg_memory_barrier();
	now = pg_atomic_read_u64(&board->moves[counter]);
	return now % 2 != 0 || now != moves[counter];
}

void
depot_shmem_begin_move(const char *extension)
{
	pg_atomic_uint64 *moves = &board->moves[counter_of(extension)];

	if (pg_atomic_read_u64(moves) % 2 == 0)
		pg_atomic_fetch_add_u64(moves, 1);
}

void
depot_shmem_end_moves(void)
{
	for (int i = 0; i < DEPOT_USE_COUNTERS; i++)
		if (pg_atomic_read_u64(&board->moves[i]) % 2 != 0)
			pg_atomic_fetch_add_u64(&board->moves[i], 1);
}

bool
depot_shmem_are_moving(void)
{
	for (int i = 0; i < DEPOT_USE_COUNTERS; i++)
		if (pg_atomic_read_u64(&board->moves[i]) % 2 != 0)
			return true;
	return false;
}

/* ---- the look into a database ---- */

uint64
depot_shmem_begin_usage(Oid database, const char *extensions, const char *libraries)
{
	DepotUsage *usage = &board->usage;
	uint64		number;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	number = ++usage->number;
	usage->database = database;
	strlcpy(usage->extensions, extensions, sizeof(usage->extensions));
	strlcpy(usage->libraries, libraries, sizeof(usage->libraries));
	usage->is_done = false;
	usage->count = 0;
	usage->found[0] = '\0';
	LWLockRelease(board_lock);
	return number;
}

void
depot_shmem_read_usage(DepotUsage *usage)
{
	LWLockAcquire(board_lock, LW_SHARED);
	*usage = board->usage;
	LWLockRelease(board_lock);
}

void
depot_shmem_answer_usage(uint64 number, int count, const char *found)
{
	DepotUsage *usage = &board->usage;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	if (usage->number == number)
	{
		usage->is_done = true;
		usage->count = count;
		strlcpy(usage->found, found, sizeof(usage->found));
	}
	LWLockRelease(board_lock);
	depot_shmem_wake_leader();
}
