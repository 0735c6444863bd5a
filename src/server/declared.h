/*-------------------------------------------------------------------------
 *
 * declared.h
 *	  Decides what a declared list asks for.
 *
 * Pure functions over rows, as plan.h, for many names at once.  What is installed
 * and satisfies an entry stays as it is: a newer build alone is no reason to
 * change anything.  Each entry is decided by itself; where two entries
 * mean one package, the first rules.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_DECLARED_H
#define DEPOT_DECLARED_H

#include "common/declaration.h"
#include "server/plan.h"

typedef enum DepotDeclaredAction
{
	DEPOT_DECLARED_UNDECIDED,	/* not yet satisfied */
	DEPOT_DECLARED_KEEP,
	DEPOT_DECLARED_INSTALL,
	DEPOT_DECLARED_UPDATE,
	DEPOT_DECLARED_REFUSED
} DepotDeclaredAction;

/* declaration is the caller's; the rest is zero until it is decided. */
typedef struct DepotDeclaredEntry
{
	DepotDeclaration declaration;
	DepotDeclaredAction action;
	bool		is_unknown;		/* refused because no repository lists what it needs: that may change */
	const char *package;		/* what it means; borrowed from the rows; NULL: not known, or no package's */
	const char *repository;		/* to install from; borrowed */
	char		version[DEPOT_NAME_MAX_BYTES + 1];	/* what satisfies it, or will; "": nothing */
	char		reason[DEPOT_ERROR_MESSAGE_BYTES];
} DepotDeclaredEntry;

/*
 * Decides the entries that are bad, and those that what is installed, or the server installation, satisfies.
 * The others stay undecided.  Error: OUT_OF_MEMORY.
 */
extern bool depot_declared_decide_installed(const DepotPlanInput *input, DepotDeclaredEntry *entries, int count,
											DepotError *error);

/*
 * Decides the others by what is available: input has everything that provides a name of theirs, or one that
 * these need.  To be called even when none is left: it also compares entries that mean one package.
 * Error: OUT_OF_MEMORY.
 */
extern bool depot_declared_decide_available(const DepotPlanInput *input, DepotDeclaredEntry *entries, int count,
											DepotError *error);

/* Tells whether a package, by its own name or an extension of it, stands in the list, in a good or a bad entry. */
extern bool depot_declared_names(const DepotDeclaredEntry *entries, int count, const DepotInstalledRow *row);

extern const char *depot_declared_action_name(DepotDeclaredAction action);

#endif							/* DEPOT_DECLARED_H */
