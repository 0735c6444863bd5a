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

/*
 * Connects to the home database: after the pause that starts that failed call for, and when no command wants that
 * database alone.  While there is no such database this process waits for it, and then ends.
 */
extern void depot_leader_connect(void);

/* Whether requests can be taken: not before the first reconciliation where nobody could look at rows in recovery. */
extern bool depot_leader_may_serve(void);

/*
 * Ends this process when the server shuts down or somebody terminates it, and when a session's command needs the
 * home database alone; the postmaster starts another.
 */
extern void depot_leader_go_when_told(void);

/* Reads the configuration file again when it was signalled to. */
extern void depot_leader_reload_settings(void);

#endif							/* DEPOT_LEADER_H */
