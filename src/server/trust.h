/*-------------------------------------------------------------------------
 *
 * trust.h
 *	  Trusted metadata is kept twice: in files, and in rows that replicate.
 *
 * Before the check agent relies on the files, it is given the rows that it has not seen in
 * this leader's life, and takes what verifies from the root that this server trusts and is
 * newer.  After a refresh the rows are brought to what the files hold.  So neither a table
 * that was rolled back nor a server without files forgets a version.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TRUST_H
#define DEPOT_TRUST_H

#include "server/job.h"

typedef struct DepotTrust DepotTrust;

/* Begins for one operation on a repository; lives as long as the job. */
extern DepotTrust *depot_trust_begin(DepotJob *job, const DepotRepositoryRow *row);

/*
 * Appends the members of a check agent's command that say where trust begins and what rows there are, and
 * writes both into the newest staging directory.  Makes a transaction.  Raises an error when the repository
 * was added with another root than depot.trusted_roots pins.
 */
extern void depot_trust_append(DepotTrust *trust, StringInfo line);

/* The same without the rows. */
extern void depot_trust_append_pin(DepotTrust *trust, StringInfo line);

/* Takes a line of the agent that is about rows, with a WARNING for each that counts for nothing; false: it is none. */
extern bool depot_trust_take_line(DepotTrust *trust, const DepotMessage *message, const char *type);

/* Reads the files that the rows lack, as the agent's closing line of a refresh lists the roles. */
extern void depot_trust_read_files(DepotTrust *trust, const DepotMessage *done);

/* In a transaction: brings the rows to that; after its commit: notes it. */
extern void depot_trust_record(DepotTrust *trust);
extern void depot_trust_note_recorded(const DepotTrust *trust);

#endif							/* DEPOT_TRUST_H */
