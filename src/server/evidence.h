/*-------------------------------------------------------------------------
 *
 * evidence.h
 *	  The signed metadata that proves what is installed, kept in files and rows.
 *
 * The check agent judges it; here it is moved.  On its way to be judged or kept it is in the directory
 * DEPOT_EVIDENCE_DIRECTORY of a job's staging; what was judged is in var/evidence before anything is
 * recorded or served.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_SERVER_EVIDENCE_H
#define DEPOT_SERVER_EVIDENCE_H

#include "postgres.h"

#include "server/job.h"

/*
 * Puts what the rows hold as evidence of a build, and where they lack it var/evidence, into the newest staging
 * directory.  Makes a transaction.  false: nobody says what proves it.
 */
extern bool depot_evidence_stage(DepotJob *job, const DepotPackageRequest *request);

/*
 * Moves what the check agent has kept or judged in a staging directory to var/evidence, durably, before the package is
 * recorded or served.  Raises an error, 40001 when a part is no longer there.
 */
extern void depot_evidence_keep(const DepotStaging *staging, const char *digest);

/* Whether var/evidence says what proves this build. */
extern bool depot_evidence_is_kept(const DepotAvailableRow *build);

/* In a transaction: records a build as depot_catalog_record_install does, and what is kept of its evidence. */
extern void depot_evidence_record(const DepotAvailableRow *build, const char *why);

/* The same for a build for another platform; false: the package is not installed in this version any more. */
extern bool depot_evidence_record_other(const DepotAvailableRow *build, const char *platform);

/* Brings the rows of a build that was recorded before to what is kept.  Makes a transaction; not on a standby. */
extern void depot_evidence_heal(const DepotInstalledRow *row);

/*
 * Removes evidence that nothing needs: rows, unless this is a standby, and files of builds that are neither
 * recorded nor served.  Makes a transaction.  Does nothing while a job other than this one has something in staging.
 */
extern void depot_evidence_tidy(const DepotJob *job);

#endif							/* DEPOT_SERVER_EVIDENCE_H */
