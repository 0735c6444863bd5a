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

#include "catalog/namespace.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "server/call.h"
#include "server/compat.h"
#include "utils/builtins.h"

DEPOT_SQL_FUNCTION(depot_home_rows);

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

Datum
depot_home_rows(PG_FUNCTION_ARGS)
{
	char	   *view = text_to_cstring(PG_GETARG_TEXT_PP(0));
	StringInfoData argument;
	char	   *answer;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "view", view);
	appendStringInfoChar(&argument, '}');
	answer = depot_call_leader(DEPOT_REQUEST_READ_VIEW, view, &argument, true);
	return DirectFunctionCall2(json_object_field, CStringGetTextDatum(to_server(answer)), CStringGetTextDatum("rows"));
}
