/*-------------------------------------------------------------------------
 *
 * hook_call.c
 *	  CALL update_extension_everywhere, which returns a row per database.
 *
 * The server takes one row from a procedure.  So the procedure itself, after the
 * server has checked rights and evaluated arguments, only notes what it was
 * called with; its row goes nowhere.  The hook then does the work, and sends its
 * rows to where the server would have sent that one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "server/call.h"
#include "server/compat.h"
#include "server/everywhere.h"
#include "server/hook.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define PROCEDURE "update_extension_everywhere"
#define SYMBOL "depot_update_extension_everywhere"

/* Columns of the result, in the order of the procedure's INOUT arguments. */
enum
{
	COLUMN_DATABASE,
	COLUMN_FROM_VERSION,
	COLUMN_TO_VERSION,
	COLUMN_RESULT,
	COLUMN_MESSAGE,
	COLUMN_COUNT
};

/* What the procedure was called with; allocated in context. */
typedef struct Note
{
	MemoryContext context;
	char	   *extension;
	char	   *version;
	TupleDesc	columns;
} Note;

/* Of the CALL that the hook is running, or NULL. */
static Note *current_note = NULL;

DEPOT_SQL_FUNCTION(depot_update_extension_everywhere);

static bool is_ours(Oid procedure);
static void send_rows(const List *rows, TupleDesc columns, DestReceiver *receiver);

void
depot_hook_run_call(const DepotUtility *utility)
{
	DepotUtility silent = *utility;
	Note		note = {.context = CurrentMemoryContext};

	if (!is_ours(castNode(CallStmt, utility->statement->utilityStmt)->funcexpr->funcid))
	{
		depot_hook_proceed(utility);
		return;
	}
	PreventInTransactionBlock(utility->context == PROCESS_UTILITY_TOPLEVEL, "CALL " PROCEDURE);
	PreventCommandDuringRecovery("CALL " PROCEDURE);
	PreventCommandIfReadOnly("CALL " PROCEDURE);

	silent.receiver = None_Receiver;
	current_note = &note;
	PG_TRY();
	{
		depot_hook_proceed(&silent);
	}
	PG_FINALLY();
	{
		current_note = NULL;
	}
	PG_END_TRY();
	send_rows(depot_everywhere_update(note.extension, note.version), note.columns, utility->receiver);
}

/* By the function that the server would call, whatever its name and schema. */
static bool
is_ours(Oid procedure)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(procedure));
	FmgrInfo	function;
	bool		is_symbol = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
	{
		bool		is_null;
		Datum		symbol = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);

		is_symbol = !is_null && strcmp(TextDatumGetCString(symbol), SYMBOL) == 0;
	}
	ReleaseSysCache(tuple);
	if (!is_symbol)
		return false;
	fmgr_info(procedure, &function);
	return function.fn_addr == depot_update_extension_everywhere;
}

Datum
depot_update_extension_everywhere(PG_FUNCTION_ARGS)
{
	Note	   *note = current_note;
	Datum		values[COLUMN_COUNT] = {0};
	bool		nulls[COLUMN_COUNT];
	TupleDesc	columns;
	MemoryContext old_context;

	depot_call_require_preload();
	if (note == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_depot does not recognize its procedure " PROCEDURE),
				 errhint("Somebody has altered it: drop extension pg_depot and create it again.")));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("extension must not be null")));
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE || columns->natts != COLUMN_COUNT)
		elog(ERROR, "procedure " PROCEDURE " has other columns than its library knows");

	old_context = MemoryContextSwitchTo(note->context);
	note->extension = text_to_cstring(PG_GETARG_TEXT_PP(0));
	note->version = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	note->columns = CreateTupleDescCopy(columns);
	MemoryContextSwitchTo(old_context);

	memset(nulls, true, sizeof(nulls));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	values[column] = text != NULL ? CStringGetTextDatum(text) : (Datum) 0;
}

static void
send_rows(const List *rows, TupleDesc columns, DestReceiver *receiver)
{
	TupOutputState *output = begin_tup_output_tupdesc(receiver, columns, &TTSOpsVirtual);
	ListCell   *cell;

	foreach(cell, rows)
	{
		const DepotEverywhereRow *row = lfirst(cell);
		Datum		values[COLUMN_COUNT];
		bool		nulls[COLUMN_COUNT];

		set_text(values, nulls, COLUMN_DATABASE, row->database);
		set_text(values, nulls, COLUMN_FROM_VERSION, row->from_version);
		set_text(values, nulls, COLUMN_TO_VERSION, row->to_version);
		set_text(values, nulls, COLUMN_RESULT, row->result);
		set_text(values, nulls, COLUMN_MESSAGE, row->message);
		do_tup_output(output, values, nulls);
	}
	end_tup_output(output);
}
