/*-------------------------------------------------------------------------
 *
 * reporter.h
 *	  The process that reports to the primary, on a standby.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_REPORTER_H
#define DEPOT_REPORTER_H

#include "postgres.h"

/*
 * Leader: starts the reporter where this server is a standby that shall report and there is none yet.  false: no
 * background worker is left for it now.
 */
extern bool depot_reporter_start(void);

/* Entry point of the background worker, found by name in the library. */
extern PGDLLEXPORT void depot_reporter_main(Datum argument);

#endif							/* DEPOT_REPORTER_H */
