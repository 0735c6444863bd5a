/*-------------------------------------------------------------------------
 *
 * applied_report.h
 *	  The leader's report of what this server has applied (shmem.h), and the
 *	  same as a file for those who ask while the server is down.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_APPLIED_REPORT_H
#define DEPOT_APPLIED_REPORT_H

#include "postgres.h"

#include "server/errors.h"
#include "server/rows.h"

/* Whether the files of a row's build are served here, as far as a cheap look tells. */
extern bool depot_applied_report_is_served(const DepotInstalledRow *row);

/* Whether this server has to be restarted for the libraries of a served build that it shall preload. */
extern bool depot_applied_needs_restart(const DepotInstalledRow *row);

/*
 * Notes what of these rows, read at a generation, is applied.  reasons (per row; it and each may be NULL) say
 * why one is not; error (may be NULL) is what went wrong last.  Then var/applied.json says the same.
 * Never ereports more than a WARNING.
 */
extern void depot_applied_report(const DepotInstalledRow *rows, int count, const char *const *reasons,
								 int64 generation, const DepotReport *error);

/* Notes that nothing could be read, and why; what was applied before still is. */
extern void depot_applied_report_error(const DepotReport *error);

#endif							/* DEPOT_APPLIED_REPORT_H */
