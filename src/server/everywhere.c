/*-------------------------------------------------------------------------
 *
 * everywhere.c
 *	  ALTER EXTENSION ... UPDATE in every database: the calling session.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "common/name.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "server/compat.h"
#include "server/everywhere.h"
#include "server/worker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/syscache.h"

/* datconnlimit of a database whose DROP DATABASE was interrupted; the first minors of 15 have no name for it. */
#define INVALID_DATABASE (-2)
/* How long an update waits for a lock unless the session's lock_timeout says something else. */
#define LOCK_TIMEOUT_MS 10000

/* A database as the caller saw it. */
typedef struct Place
{
	Oid			oid;
	char	   *name;
	const char *obstacle;		/* why it cannot be looked into, or NULL */
} Place;

static void check_arguments(const char *extension, const char *version);
static void check_login(void);
static List *list_places(void);
static int	compare_places(const ListCell *a, const ListCell *b);
static DepotEverywhereRow *update_in(const Place *place, dsm_segment *segment);
static void run_worker(dsm_segment *segment);
static void stop_worker(int code, Datum handle);
static DepotEverywhereRow *make_row(const Place *place, const char *result, char *message);
static char *error_text(const DepotEverywhereTask *task);
static char *server_text(const char *text, int encoding);

List *
depot_everywhere_update(const char *extension, const char *version)
{
	List	   *rows = NIL;
	ListCell   *cell;
	dsm_segment *segment;
	DepotEverywhereTask *task;

	check_arguments(extension, version);
	check_login();
	segment = dsm_create(sizeof(DepotEverywhereTask), 0);
	task = dsm_segment_address(segment);
	memset(task, 0, sizeof(*task));
	task->role = GetUserId();
	task->is_superuser = superuser();
	task->lock_timeout_ms = LockTimeout > 0 ? LockTimeout : LOCK_TIMEOUT_MS;
	strlcpy(task->extension, extension, sizeof(task->extension));
	strlcpy(task->version, version != NULL ? version : "", sizeof(task->version));

	foreach(cell, list_places())
	{
		const Place *place = lfirst(cell);
		DepotEverywhereRow *row = place->obstacle == NULL ? update_in(place, segment) :
		make_row(place, "skipped", pstrdup(place->obstacle));

		if (row != NULL)
			rows = lappend(rows, row);
	}
	dsm_detach(segment);
	if (rows == NIL)
		ereport(NOTICE,
				(errmsg("extension \"%s\" exists in no database", extension)));
	return rows;
}

static void
check_arguments(const char *extension, const char *version)
{
	DepotError	error;

	if (!depot_name_check_extension(extension, &error))
		depot_errors_raise(ERROR, &error);
	if (version != NULL && (version[0] == '\0' || strlen(version) >= DEPOT_EVERYWHERE_VERSION_BYTES))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid extension version: \"%s\"", pnstrdup(version, Min(strlen(version), NAMEDATALEN))),
				 errdetail("A version is 1 to %d bytes.", DEPOT_EVERYWHERE_VERSION_BYTES - 1)));
}

/* Said once here, rather than by every worker. */
static void
check_login(void)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool		can_login = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (!can_login && DEPOT_WORKER_BYPASS_LOGIN == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("role \"%s\" is not permitted to log in", GetUserNameFromId(GetUserId(), false)),
				 errhint("It has to connect to every database: call as a role with LOGIN that has its rights.")));
}

/* ---- databases ---- */

/* Why the role in force cannot look into a database, or NULL. */
static const char *
find_obstacle(Form_pg_database database)
{
	if (database->datconnlimit == INVALID_DATABASE)
		return "the database is invalid: dropping it was interrupted, and DROP DATABASE can be repeated";
	if (superuser())
		return NULL;
	if (!database->datallowconn)
		return "the database allows no connections";
	if (!depot_compat_may_connect(database->oid, GetUserId()))
		return "permission denied to connect to the database";
	return NULL;
}

static List *
list_places(void)
{
	List	   *places = NIL;
	Relation	relation = table_open(DatabaseRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		Place	   *place = palloc(sizeof(Place));

		place->oid = database->oid;
		place->name = pstrdup(NameStr(database->datname));
		place->obstacle = find_obstacle(database);
		places = lappend(places, place);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	list_sort(places, compare_places);
	return places;
}

static int
compare_places(const ListCell *a, const ListCell *b)
{
	return strcmp(((const Place *) lfirst(a))->name, ((const Place *) lfirst(b))->name);
}

/* ---- one database ---- */

/* Returns NULL for a database that does not have the extension. */
static DepotEverywhereRow *
update_in(const Place *place, dsm_segment *segment)
{
	DepotEverywhereTask *task = dsm_segment_address(segment);
	DepotEverywhereRow *row;

	task->database = place->oid;
	task->is_done = false;
	task->has_failed = false;
	task->from_version[0] = '\0';
	task->to_version[0] = '\0';
	run_worker(segment);

	if (!task->is_done)
		row = make_row(place, "failed", error_text(task));
	else if (task->from_version[0] == '\0')
		return NULL;
	else if (strcmp(task->from_version, task->to_version) == 0)
		row = make_row(place, "unchanged", NULL);
	else
		row = make_row(place, "updated", NULL);
	if (task->from_version[0] != '\0')
		row->from_version = server_text(task->from_version, task->encoding);
	if (task->is_done)
		row->to_version = server_text(task->to_version, task->encoding);
	return row;
}

/* Starts a worker on the task in the segment, and waits for its end. */
static void
run_worker(dsm_segment *segment)
{
	DepotEverywhereTask *task = dsm_segment_address(segment);
	BackgroundWorkerHandle *handle;
	BackgroundWorker worker;

	depot_worker_describe(&worker, "pg_depot extension update", "depot_everywhere_main");
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;

	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		task->has_failed = true;
		task->encoding = GetDatabaseEncoding();
		strlcpy(task->report.message, "no background worker is left", sizeof(task->report.message));
		snprintf(task->report.detail, sizeof(task->report.detail),
				 "Raise \"max_worker_processes\", or try again when other workers have ended.");
		return;
	}
	PG_ENSURE_ERROR_CLEANUP(stop_worker, PointerGetDatum(handle));
	{
		(void) WaitForBackgroundWorkerShutdown(handle);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_worker, PointerGetDatum(handle));
	pfree(handle);
}

/* Also when this session is terminated: nobody would learn what the worker did. */
static void
stop_worker(int code, Datum handle)
{
	TerminateBackgroundWorker((BackgroundWorkerHandle *) DatumGetPointer(handle));
}

/* ---- rows ---- */

static DepotEverywhereRow *
make_row(const Place *place, const char *result, char *message)
{
	DepotEverywhereRow *row = palloc0(sizeof(DepotEverywhereRow));

	row->database = place->name;
	row->result = result;
	row->message = message;
	return row;
}

/* What the worker ended with, in one line. */
static char *
error_text(const DepotEverywhereTask *task)
{
	char	   *message;

	if (!task->has_failed)
		return pstrdup("the background worker ended without an answer; the server's log says why");
	message = server_text(task->report.message, task->encoding);
	if (task->report.detail[0] == '\0')
		return message;
	return psprintf("%s (%s)", message, server_text(task->report.detail, task->encoding));
}

/* A text of another database's encoding, or without what is not ASCII where the two do not go together. */
static char *
server_text(const char *text, int encoding)
{
	char	   *copy;

	if (encoding == GetDatabaseEncoding())
		return pstrdup(text);
	if (encoding != PG_SQL_ASCII && GetDatabaseEncoding() == PG_UTF8)
		return pstrdup(pg_any_to_server(text, (int) strlen(text), encoding));
	copy = pstrdup(text);
	for (char *c = copy; *c != '\0'; c++)
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	return copy;
}
