/*-------------------------------------------------------------------------
 *
 * call.c
 *	  A session's request to the leader: put it, wait, return its rows.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "server/call.h"
#include "server/compat.h"
#include "server/message.h"
#include "server/policy.h"
#include "server/settings.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* How often a waiting caller makes sure that the leader lives. */
#define LEADER_CHECK_MS 1000
/* How long a call made while the leader is starting waits for it. */
#define LEADER_START_MS 5000
#define LEADER_START_POLL_MS 20
/* What the leader has beyond depot.request_timeout to say that it is over. */
#define LEADER_GRACE_SECONDS 5
/* Larger arguments are a mistake: a root is at most 512 kB, doubled by escaping. */
#define ARGUMENT_MAX_BYTES (2 * 1024 * 1024)

/* A request in flight. */
typedef struct Call
{
	int			slot;
	uint64		incarnation;	/* of the leader when it was made */
	dsm_segment *argument_segment;
	dsm_segment *result_segment;
} Call;

/* The transaction that created or altered pg_depot, to refuse its calls. */
static LocalTransactionId altered_in = InvalidLocalTransactionId;

static char *wait_for_answer(Call *call);

void
depot_call_require_preload(void)
{
	if (!depot_shmem_is_attached())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_depot is not loaded by the server"),
				 errhint("Add pg_depot to \"shared_preload_libraries\" and restart the server.")));
}

void
depot_call_note_alteration(void)
{
	altered_in = depot_compat_local_transaction();
}

/* ---- arguments ---- */

void
depot_call_append_utf8(StringInfo out, const char *value)
{
	escape_json(out, pg_server_to_any(value, (int) strlen(value), PG_UTF8));
}

static void
append_name(StringInfo out, const char *name)
{
	appendStringInfo(out, "%s\"%s\":", out->len > 1 ? "," : "", name);
}

void
depot_call_append_text(StringInfo out, const char *name, const char *value)
{
	if (value == NULL)
		return;
	append_name(out, name);
	depot_call_append_utf8(out, value);
}

void
depot_call_append_bool(StringInfo out, const char *name, bool value)
{
	append_name(out, name);
	appendStringInfoString(out, value ? "true" : "false");
}

/* ---- the call ---- */

/* Refuses what can be refused without the leader. */
static void
check_call(DepotRequestKind kind, bool is_read_only)
{
	const char *function = depot_shmem_kind_name(kind);
	DepotError	error;

	depot_call_require_preload();
	/* Who may read a view, the home database's privileges say. */
	if (kind == DEPOT_REQUEST_READ_VIEW)
		return;
	if (!depot_policy_allows(function, superuser(), &error))
		depot_errors_raise(ERROR, &error);
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s() during recovery", function),
				 errhint("Call it on the primary; what it records reaches this server by replication.")));
	if (altered_in != InvalidLocalTransactionId && altered_in == depot_compat_local_transaction())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this transaction has created or altered extension pg_depot"),
				 errdetail("The leader, which does the work in a transaction of its own, does not see that yet."),
				 errhint("Commit first, then call it again.")));
	if (!is_read_only && depot_settings_hold)
		depot_errors_raise_hold();
	if (!is_read_only && XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s() in a read-only transaction", function)));
}

static void
abandon_at_exit(int code, Datum slot)
{
	depot_shmem_abandon(DatumGetInt32(slot));
}

static void
raise_leader_gone(void)
{
	DepotReport report;

	depot_shmem_leader_gone_report(&report);
	depot_errors_raise_report(ERROR, &report);
}

/* Just after the server's start, or the leader's end, it is on its way. */
static void
wait_for_leader(uint64 *incarnation)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LEADER_START_MS);

	while (depot_shmem_leader(incarnation) == 0)
	{
		if (GetCurrentTimestamp() >= until)
			raise_leader_gone();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LEADER_START_POLL_MS,
						 depot_compat_wait_event("DepotLeaderStart"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

char *
depot_call_leader(DepotRequestKind kind, const char *subject, const StringInfo argument, bool is_read_only)
{
	Call		call = {0};
	char		short_subject[DEPOT_NAME_MAX_BYTES + 1];
	char	   *answer = NULL;

	check_call(kind, is_read_only);
	if (argument->len > ARGUMENT_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the arguments of %s are too large", depot_shmem_kind_name(kind))));
	wait_for_leader(&call.incarnation);

	if (argument->len > DEPOT_SLOT_ARGUMENT_BYTES)
	{
		call.argument_segment = dsm_create(argument->len, 0);
		memcpy(dsm_segment_address(call.argument_segment), argument->data, argument->len);
	}
	call.slot = depot_shmem_claim();
	if (call.slot < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("too many requests wait for pg_depot"),
				 errdetail("There is room for %d.", DEPOT_SLOT_COUNT),
				 errhint("The view depot.activity lists them; try again later.")));

	PG_ENSURE_ERROR_CLEANUP(abandon_at_exit, Int32GetDatum(call.slot));
	{
		depot_shmem_submit(call.slot, kind, depot_name_printable(subject, short_subject, sizeof(short_subject)),
						   argument->data, argument->len,
						   call.argument_segment != NULL ?
						   dsm_segment_handle(call.argument_segment) : DSM_HANDLE_INVALID);
		answer = wait_for_answer(&call);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon_at_exit, Int32GetDatum(call.slot));

	depot_shmem_release(call.slot);
	if (call.argument_segment != NULL)
		dsm_detach(call.argument_segment);
	if (call.result_segment != NULL)
		dsm_detach(call.result_segment);
	return answer;
}

/* The leader itself ends what takes too long; one that does not even do that is stopped, or hangs. */
static void
raise_if_overdue(const DepotSlot *slot)
{
	long		limit_ms = (depot_settings_request_timeout_s + LEADER_GRACE_SECONDS) * 1000L;

	if (depot_settings_request_timeout_s == 0 || slot->state == DEPOT_SLOT_ANSWERED ||
		slot->state == DEPOT_SLOT_COMMITTING ||
		!TimestampDifferenceExceeds(slot->started_at, GetCurrentTimestamp(), (int) limit_ms))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("the pg_depot leader does not answer"),
			 errdetail("It was waited for longer than \"depot.request_timeout\"."),
			 errhint("Look at process %d and the server's log; the call can be repeated.",
					 (int) depot_shmem_leader(NULL))));
}

static char *
wait_for_answer(Call *call)
{
	DepotSlot  *slot = palloc(sizeof(DepotSlot));

	for (;;)
	{
		uint64		incarnation;

		depot_shmem_read(call->slot, slot);
		raise_if_overdue(slot);
		if (slot->state == DEPOT_SLOT_ANSWERED)
			break;
		if (slot->state == DEPOT_SLOT_RESULT_WAITS && call->result_segment == NULL)
		{
			call->result_segment = dsm_create(slot->result_bytes, 0);
			depot_shmem_offer_segment(call->slot, dsm_segment_handle(call->result_segment));
		}
		if (depot_shmem_leader(&incarnation) == 0 || incarnation != call->incarnation)
			raise_leader_gone();

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LEADER_CHECK_MS,
						 depot_compat_wait_event("DepotRequest"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}

	if (slot->has_failed)
		depot_errors_raise_report(ERROR, &slot->report);
	if (call->result_segment != NULL)
		return pnstrdup(dsm_segment_address(call->result_segment), slot->result_bytes);
	return pnstrdup(slot->result, slot->result_bytes);
}

/* ---- the answer ---- */

static DepotMessage *
parse_answer(const char *text)
{
	DepotError	error;
	DepotMessage *answer = depot_message_parse(text, strlen(text), &error);

	if (answer == NULL)
		depot_errors_raise(ERROR, &error);
	return answer;
}

static void
emit_notices(const DepotMessage *answer)
{
	for (size_t i = 0; i < depot_message_array_size(answer, "notices"); i++)
	{
		const DepotMessage *notice = depot_message_array_object(answer, "notices", i);
		DepotReport report = {.sqlstate = "00000"};
		const char *text;

		if (notice == NULL)
			continue;
		if ((text = depot_message_string(notice, "sqlstate")) != NULL)
			strlcpy(report.sqlstate, text, sizeof(report.sqlstate));
		if ((text = depot_message_string(notice, "message")) != NULL)
			strlcpy(report.message, text, sizeof(report.message));
		if ((text = depot_message_string(notice, "detail")) != NULL)
			strlcpy(report.detail, text, sizeof(report.detail));
		if ((text = depot_message_string(notice, "hint")) != NULL)
			strlcpy(report.hint, text, sizeof(report.hint));
		depot_errors_raise_report(depot_message_bool(notice, "is_warning") ? WARNING : NOTICE, &report);
	}
}

size_t
depot_call_emit_notices(const char *text)
{
	DepotMessage *answer = parse_answer(text);
	size_t		row_count = depot_message_array_size(answer, "rows");

	PG_TRY();
	{
		emit_notices(answer);
	}
	PG_FINALLY();
	{
		depot_message_free(answer);
	}
	PG_END_TRY();
	return row_count;
}

/* Value of a column out of a row object; the column's type says how to read it. */
static Datum
column_value(const DepotMessage *row, Form_pg_attribute column, bool *is_null)
{
	const char *text = depot_message_string(row, NameStr(column->attname));

	*is_null = false;
	switch (column->atttypid)
	{
		case INT4OID:
			return Int32GetDatum((int32) depot_message_integer(row, NameStr(column->attname), 0));
		case INT8OID:
			return Int64GetDatum(depot_message_integer(row, NameStr(column->attname), 0));
		case BOOLOID:
			return BoolGetDatum(depot_message_bool(row, NameStr(column->attname)));
		default:
			*is_null = text == NULL;
			if (text == NULL)
				return (Datum) 0;
			if (column->atttypid == TIMESTAMPTZOID)
				return DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
										   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
			return CStringGetTextDatum(pg_any_to_server(text, (int) strlen(text), PG_UTF8));
	}
}

void
depot_call_return_rows(FunctionCallInfo fcinfo, char *text)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DepotMessage *answer;

	InitMaterializedSRF(fcinfo, 0);
	answer = parse_answer(text);

	PG_TRY();
	{
		TupleDesc	columns = result->setDesc;

		emit_notices(answer);
		for (size_t i = 0; i < depot_message_array_size(answer, "rows"); i++)
		{
			const DepotMessage *row = depot_message_array_object(answer, "rows", i);
			Datum		values[MaxTupleAttributeNumber];
			bool		nulls[MaxTupleAttributeNumber];

			for (int j = 0; j < columns->natts; j++)
				values[j] = column_value(row, TupleDescAttr(columns, j), &nulls[j]);
			tuplestore_putvalues(result->setResult, columns, values, nulls);
		}
	}
	PG_FINALLY();
	{
		depot_message_free(answer);
	}
	PG_END_TRY();
}
