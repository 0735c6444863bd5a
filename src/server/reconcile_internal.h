/*-------------------------------------------------------------------------
 *
 * reconcile_internal.h
 *	  Reconciling, for the reconcile*.c files alone.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_RECONCILE_INTERNAL_H
#define DEPOT_RECONCILE_INTERNAL_H

#include "postgres.h"

#include "server/job.h"

typedef enum ReconcilePhase
{
	RECONCILE_REMOVING,
	RECONCILE_VERIFYING,
	RECONCILE_FETCHING
} ReconcilePhase;

typedef struct ReconcileJob
{
	DepotInstalledRow *rows;
	int			row_count;
	int			next;
	DepotRepositoryRow *repositories;
	int			repository_count;
	bool	   *is_resumed;		/* per row: activated from what a crash left, to be verified */
	bool	   *is_damaged;		/* per row: served, but not as its manifest says */
	ReconcilePhase phase;		/* what next counts */
	int			rounds;			/* looks for users of the row to be removed */
	int64		generation;		/* of the rows */
	const char **reasons;		/* per row: why its files are not here; or NULL */
	bool		has_rows;		/* the extension exists */
	bool		was_disturbed;	/* replay ended a query of ours */
	bool		has_failed;
	DepotReport failure;		/* the last, when has_failed */
} ReconcileJob;

/* Notes what went wrong and tells the log; row -1: with none in particular. */
extern void depot_reconcile_note_trouble(ReconcileJob *state, int row, const DepotReport *report);
extern void depot_reconcile_note_error(ReconcileJob *state, int row, const DepotError *error);

/* Carries out removals from row state->next on, then goes on with depot_reconcile_verify. */
extern void depot_reconcile_remove(DepotJob *job);

/* Verifies what a crash left half activated, then fetches what is missing, then finishes. */
extern void depot_reconcile_verify(DepotJob *job);

#endif							/* DEPOT_RECONCILE_INTERNAL_H */
