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

#include "mb/pg_wchar.h"
#include "server/errors.h"
#include "utils/json.h"

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

/*
 * Copies what fits of a text, whole characters only.  A text that is none in the
 * database's encoding, an agent's perhaps, loses what is not ASCII.
 */
static void
copy_text(char *to, size_t bytes, const char *from)
{
	int			length = pg_mbcliplen(from, (int) strlen(from), (int) bytes - 1);

	memcpy(to, from, length);
	to[length] = '\0';
	if (pg_verifymbstr(to, length, true))
		return;
	for (char *c = to; *c != '\0'; c++)
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
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
	copy_text(report->message, sizeof(report->message), error->message);
	copy_text(report->detail, sizeof(report->detail), error->detail);
	copy_text(report->hint, sizeof(report->hint), error->hint);
}

void
depot_errors_data_to_report(const ErrorData *error_data, DepotReport *report)
{
	strlcpy(report->sqlstate, unpack_sql_state(error_data->sqlerrcode), sizeof(report->sqlstate));
	copy_text(report->message, sizeof(report->message), error_data->message ? error_data->message : "");
	copy_text(report->detail, sizeof(report->detail), error_data->detail ? error_data->detail : "");
	copy_text(report->hint, sizeof(report->hint), error_data->hint ? error_data->hint : "");
}

void
depot_errors_raise_hold(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("pg_depot changes nothing on this server"),
			 errdetail("\"depot.hold\" is on."),
			 errhint("Set it to off in the configuration file and reload it.")));
	pg_unreachable();
}

void
depot_errors_append_json(StringInfo out, const char *text)
{
	char	   *copy = pstrdup(text);

	if (GetDatabaseEncoding() != PG_UTF8)
		for (char *c = copy; *c != '\0'; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	escape_json(out, copy);
	pfree(copy);
}
