/*-------------------------------------------------------------------------
 *
 * conflicts.h
 *	  What both the depot and the server installation have.
 *
 * A package is refused when the installation has one of its files, but an
 * installation changes: a new image may bring what the depot serves already.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_CONFLICTS_H
#define DEPOT_CONFLICTS_H

#include "common/store.h"

typedef struct DepotConflict
{
	const char *package;
	const char *kind;			/* "extension", "library" or "file" */
	char		path[DEPOT_SYSTEM_PATH_BYTES];	/* in the installation */
} DepotConflict;

typedef void (*DepotConflictCallback) (const DepotConflict *conflict, void *context);

/*
 * Finds the conflicts of the packages in state and calls back with each: an extension by its control file, a
 * library, and other files where the package has no such conflict.  callback may be NULL.
 * Returns how many.
 */
extern int	depot_conflicts_find(const DepotState *state, DepotConflictCallback callback, void *context);

/* Says each in the server's log as a WARNING; for the leader's start. */
extern void depot_conflicts_warn(const DepotState *state);

#endif							/* DEPOT_CONFLICTS_H */
