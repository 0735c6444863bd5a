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

/* Waits out the pause after starts that failed, and commands that want the home database alone. */
extern void depot_leader_wait_for_start(void);

/*
 * Ends this process when the server shuts down or somebody terminates it, and when a session's command needs the
 * home database alone; the postmaster starts another.
 */
extern void depot_leader_go_when_told(void);

/* Reads the configuration file again when it was signalled to. */
extern void depot_leader_reload_settings(void);

#endif							/* DEPOT_LEADER_H */
