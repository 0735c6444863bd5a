/*-------------------------------------------------------------------------
 *
 * errors.c
 *	  The one place where an error value becomes an ereport.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/errors.h"

/* Raises report at elevel with its own SQLSTATE, detail and hint. */
void
depot_errors_raise_report(int elevel, const DepotReport *report)
{
	const char *state = report->sqlstate;

	ereport(elevel,
			(errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
			 errmsg("%s", report->message),
			 report->detail[0] != '\0' ? errdetail("%s", report->detail) : 0,
			 report->hint[0] != '\0' ? errhint("%s", report->hint) : 0));
}

void
depot_errors_raise(int elevel, const DepotError *error)
{
	DepotReport report;

	depot_errors_to_report(error, &report);
	depot_errors_raise_report(elevel, &report);
}

void
depot_errors_to_report(const DepotError *error, DepotReport *report)
{
	strlcpy(report->sqlstate, depot_error_sqlstate(error->code), sizeof(report->sqlstate));
	strlcpy(report->message, error->message, sizeof(report->message));
	strlcpy(report->detail, error->detail, sizeof(report->detail));
	strlcpy(report->hint, error->hint, sizeof(report->hint));
}

void
depot_errors_data_to_report(const ErrorData *error_data, DepotReport *report)
{
	strlcpy(report->sqlstate, unpack_sql_state(error_data->sqlerrcode), sizeof(report->sqlstate));
	strlcpy(report->message, error_data->message ? error_data->message : "", sizeof(report->message));
	strlcpy(report->detail, error_data->detail ? error_data->detail : "", sizeof(report->detail));
	strlcpy(report->hint, error_data->hint ? error_data->hint : "", sizeof(report->hint));
}
