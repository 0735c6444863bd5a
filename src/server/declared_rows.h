/*-------------------------------------------------------------------------
 *
 * declared_rows.h
 *	  Decides a declared list by the rows as they are now.
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
}			DepotDeclaredList;

/*
 * Reads and decides a list that depot_declaration_check lets pass; the result lives in the job's memory.  One
 * reading of the catalog for all entries, in short transactions.  ereports unless the depot can be used.
 */
extern void depot_declared_read(DepotJob *job, const char *text, DepotDeclaredList *list);

#endif							/* DEPOT_DECLARED_ROWS_H */
