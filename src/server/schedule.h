/*-------------------------------------------------------------------------
 *
 * schedule.h
 *	  What the leader does of its own accord, and when.
 *
 * Reconciling the served tree with the rows (at its start, and after a growing pause when
 * something could not be done), builds for rows that have none, the declared list, and a refresh of all
 * repositories once in depot.refresh_interval.  One such job runs at a time; with nothing due the leader sleeps,
 * and with depot.hold all of it waits.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_SCHEDULE_H
#define DEPOT_SCHEDULE_H

#include "postgres.h"

#include "server/job.h"

/* Plans what is due at the leader's start. */
extern void depot_schedule_begin(void);

/*
 * Looks whether this server is a primary.  When it has just become one, what a primary does of its own
 * accord is planned.
 */
extern bool depot_schedule_is_primary(void);

/* What is installed has changed: a standby reconciles, a primary reports what it has applied itself. */
extern void depot_schedule_note_change(void);

/* Looks at settings that were read again. */
extern void depot_schedule_note_reload(void);

/* Makes the next job that is due, for the leader to start; NULL: none is.  is_busy: requests are being worked on. */
extern DepotJob *depot_schedule_take(bool is_busy);

/* When the next job is due; 0: none is planned. */
extern TimestampTz depot_schedule_next_at(bool is_busy);

/* Takes note of a job's end. */
extern void depot_schedule_note_end(const DepotJob *job);

#endif							/* DEPOT_SCHEDULE_H */
