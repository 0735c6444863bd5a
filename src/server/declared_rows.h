/*-------------------------------------------------------------------------
 *
 * declared_rows.h
 *	  Decides a declared list by the rows as they are now, and notes what became of it.
 *
 * Used to carry the list out and to tell what it would do.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_DECLARED_ROWS_H
#define DEPOT_DECLARED_ROWS_H

#include "postgres.h"

#include "server/declared.h"
#include "server/job.h"

typedef struct DepotDeclaredList
{
	DepotDeclaredEntry *entries;
	int			count;
	DepotInstalledRow *installed;
	int			installed_count;
	DepotRepositoryRow *repositories;
	int			repository_count;
} DepotDeclaredList;

/* The setting that holds the list, for messages, and for history instead of a role. */
#define DEPOT_DECLARED_ORIGIN "depot.extensions"

/* A look at the list that the setting holds. */
typedef struct DepotDeclaredLook
{
	DepotDeclaredList list;
	uint64		requests;		/* made before it */
	bool		may_act;		/* else it only notes states */
	bool		is_stale;		/* a repository could not be asked for news */
	bool		is_asking;		/* repositories are asked for news before anything is done */
} DepotDeclaredLook;

/*
 * Reads and decides a list that depot_declaration_check lets pass; the result lives in the job's memory.  One
 * reading of the catalog for all entries, in short transactions.  ereports unless the depot can be used.
 */
extern void depot_declared_read(DepotJob *job, const char *text, DepotDeclaredList *list);

/* declared_states.c: writes the state of every entry, in a transaction, and logs what has changed. */
extern void depot_declared_note_states(const DepotDeclaredLook *look);

#endif							/* DEPOT_DECLARED_ROWS_H */
