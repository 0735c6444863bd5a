/*-------------------------------------------------------------------------
 *
 * flush.h
 *	  Making many new files and directories durable side by side.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FLUSH_H
#define DEPOT_FLUSH_H

#include "common/error.h"

/* So many files are handed to the kernel at once, and so many it may have; both together are open at most. */
#define DEPOT_FLUSH_BATCH 40
#define DEPOT_FLUSH_RUNNING_MAX 160

typedef struct DepotFlush
{
	bool		by_kernel;		/* it has been asked, and has agreed */
	bool		is_refused;		/* do not ask it */
	int			waiting[DEPOT_FLUSH_BATCH];
	int			waiting_count;
	int			running_count;
	int			failure_errno;	/* of the first that failed */
} DepotFlush;

extern void depot_flush_begin(DepotFlush *flush);

/* Takes over fd, a file that is completely written or a directory; it is fsynced and closed sooner or later. */
extern void depot_flush_add(DepotFlush *flush, int fd);

/*
 * Waits until every file that was added has been fsynced and closed, and frees what flush holds.  false: one
 * could not be, and error says why (it may be NULL).
 */
extern bool depot_flush_end(DepotFlush *flush, DepotError *error);

#endif							/* DEPOT_FLUSH_H */
