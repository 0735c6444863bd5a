/*-------------------------------------------------------------------------
 *
 * leader.h
 *	  The one background worker of pg_depot on each server.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_LEADER_H
#define DEPOT_LEADER_H

#include "postgres.h"

/* Not a bare name: that one is only found while dynamic_library_path has $libdir. */
#define DEPOT_WORKER_LIBRARY "$libdir/pg_depot"

/* Registers the leader as a static background worker; from _PG_init. */
extern void depot_leader_register(void);

/* Entry points of background workers, found by name in the library. */
extern PGDLLEXPORT void depot_leader_main(Datum argument);
extern PGDLLEXPORT void depot_usage_main(Datum argument);

/* Has the leader reconcile again after a growing pause; for a reconcile that could not finish. */
extern void depot_leader_retry_reconcile(void);

#endif							/* DEPOT_LEADER_H */
