/*-------------------------------------------------------------------------
 *
 * views_home.c
 *	  The way of the views of any other database to those of the home database.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "server/call.h"
#include "server/compat.h"
#include "server/errors.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

DEPOT_SQL_FUNCTION(depot_home_rows);
DEPOT_SQL_FUNCTION(depot_home_health);

/* Takes a text in UTF-8 into the database's encoding; a character that this lacks becomes '?'. */
static char *
to_server(char *text)
{
	int			encoding = GetDatabaseEncoding();
	int			length = (int) strlen(text);
	Oid			conversion;
	char	   *converted;
	StringInfoData out;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pg_any_to_server(text, length, PG_UTF8);

	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	converted = palloc((Size) length * MAX_CONVERSION_GROWTH + 1);
	initStringInfo(&out);
	while (length > 0)
	{
		int			taken = !OidIsValid(conversion) ? 0 :
		pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding, (unsigned char *) text, length,
									  (unsigned char *) converted, length * MAX_CONVERSION_GROWTH + 1, true);

		if (taken > 0)
			appendStringInfoString(&out, converted);
		if (taken < length)
		{
			appendStringInfoChar(&out, IS_HIGHBIT_SET(text[taken]) ? '?' : text[taken]);
			taken += Min(pg_encoding_mblen(PG_UTF8, text + taken), length - taken);
		}
		text += taken;
		length -= taken;
	}
	return out.data;
}

/* Asks for a view; a JSON array of its rows. */
static Datum
read_view(const char *view)
{
	StringInfoData argument;
	char	   *answer;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "view", view);
	appendStringInfoChar(&argument, '}');
	answer = depot_call_leader(DEPOT_REQUEST_READ_VIEW, view, &argument, true);
	return DirectFunctionCall2(json_object_field, CStringGetTextDatum(to_server(answer)), CStringGetTextDatum("rows"));
}

Datum
depot_home_rows(PG_FUNCTION_ARGS)
{
	return read_view(text_to_cstring(PG_GETARG_TEXT_PP(0)));
}

/* The row of depot.health that says why there are no others. */
static Datum
unreachable_row(const DepotReport *report)
{
	StringInfoData row;

	initStringInfo(&row);
	appendStringInfoString(&row, "[{\"check_name\":\"home database\",\"state\":\"critical\",\"value\":");
	escape_json(&row, report->message);
	appendStringInfoString(&row, ",\"what_to_do\":");
	escape_json(&row, report->hint);
	appendStringInfoString(&row, "}]");
	return CStringGetTextDatum(row.data);
}

/* In a subtransaction, because an answer is wanted whatever is wrong in the home database. */
Datum
depot_home_health(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile Datum rows = (Datum) 0;
	DepotReport report;

	if (!depot_shmem_is_attached())
		return CStringGetTextDatum("[]");
	if (depot_shmem_leader(NULL) == 0)
	{
		depot_shmem_leader_gone_report(&report);
		return unreachable_row(&report);
	}

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		rows = read_view("health");
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error_data;

		MemoryContextSwitchTo(context);
		error_data = CopyErrorData();
		if (error_data->sqlerrcode == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		depot_errors_data_to_report(error_data, &report);
		rows = unreachable_row(&report);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return rows;
}
