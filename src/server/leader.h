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

/* Registers the leader as a static background worker; from _PG_init. */
extern void depot_leader_register(void);

/* Entry point of the background worker, found by name in the library. */
extern PGDLLEXPORT void depot_leader_main(Datum argument);

#endif							/* DEPOT_LEADER_H */
