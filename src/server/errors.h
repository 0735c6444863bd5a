/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  The one place where an error value becomes an ereport.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_ERRORS_H
#define DEPOT_ERRORS_H

#include "postgres.h"

#include "common/error.h"
#include "lib/stringinfo.h"
#include "server/compat.h"

/* An error as it travels through shared memory from the leader to the caller. */
typedef struct DepotReport
{
	char		sqlstate[6];
	char		message[DEPOT_ERROR_MESSAGE_BYTES];
	char		detail[DEPOT_ERROR_DETAIL_BYTES];
	char		hint[DEPOT_ERROR_HINT_BYTES];
} DepotReport;

/* Raises error at elevel; does not return for ERROR. */
extern void depot_errors_raise(int elevel, const DepotError *error);
extern void depot_errors_raise_report(int elevel, const DepotReport *report);

/* Raises 55000: depot.hold is on. */
pg_noreturn extern void depot_errors_raise_hold(void);

/* Turn an error value, or an error the server raised, into a report. */
extern void depot_errors_to_report(const DepotError *error, DepotReport *report);
extern void depot_errors_data_to_report(const ErrorData *error_data, DepotReport *report);

/*
 * Appends a text as a JSON string, which is UTF-8 whatever the database's encoding.  Where that is
 * another one what is not ASCII becomes '?': outside a transaction nothing can be converted.
 */
extern void depot_errors_append_json(StringInfo out, const char *text);

#endif							/* DEPOT_ERRORS_H */
