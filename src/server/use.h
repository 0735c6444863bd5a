/*-------------------------------------------------------------------------
 *
 * use.h
 *	  Locks and counters between CREATE EXTENSION and the removal of files.
 *
 * CREATE EXTENSION and ALTER EXTENSION ... UPDATE hold a shared lock of each
 * extension they touch until their transaction ends, prepared transactions included.
 * The leader takes the exclusive one, without waiting, in the transaction that
 * records a removal.  The lock is that of an object of class pg_extension in
 * no database (0), which the server itself never locks; its oid is a hash of the name.
 *
 * The race, told from the removal's side:
 *
 * 1. The leader reads how many uses were begun, and finds the lock free: every use
 *    begun before has ended, and what it made can be seen.
 * 2. It looks into each database, holding nothing.
 * 3. It takes the exclusive lock, and reads the number again.  Whoever began
 *    since holds the lock, or has been counted; then it looks again.
 * 4. It marks the files as moving, commits, which frees the lock, and removes
 *    them.  Whoever begins now waits until they have moved.
 *
 * An extension that another one's CASCADE creates is locked when its row is
 * made, after its control file was read: there, and at the end of the command,
 * 40001 is raised when files have moved since the command began.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_USE_H
#define DEPOT_USE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "server/shmem_use.h"

/* One CREATE EXTENSION or ALTER EXTENSION ... UPDATE of this session while it runs. */
typedef struct DepotUse
{
	struct DepotUse *outer;
	MemoryContext context;
	List	   *extensions;		/* names of those it has touched so far */
	uint64		moves[DEPOT_USE_COUNTERS];	/* when it began */
} DepotUse;

/* Locks the extension, after waiting for files that move; end or fail must follow.  May ereport. */
extern void depot_use_begin(DepotUse *use, const char *extension);

/* The command has succeeded: raises 40001 when files of its extensions moved meanwhile. */
extern void depot_use_end(DepotUse *use);

/* The command has failed, inside PG_CATCH: raises 40001 in place of its error when files moved; else returns. */
extern void depot_use_fail(DepotUse *use);

/* The object id by which pg_locks shows the lock of an extension. */
extern Oid	depot_use_lock_oid(const char *extension);

/* Leader, in a transaction: takes the exclusive lock until its end; false when it is not free now. */
extern bool depot_use_try_lock(const char *extension);

#endif							/* DEPOT_USE_H */
