/*-------------------------------------------------------------------------
 *
 * use.c
 *	  Locks and counters between CREATE EXTENSION and the removal of files.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "server/compat.h"
#include "server/use.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Renames take milliseconds; longer than this the leader is not at work any more. */
#define MOVE_WAIT_MS 5000
#define MOVE_POLL_MS 5

static DepotUse *current = NULL;
static object_access_hook_type previous_access_hook = NULL;
static bool is_hooked = false;

static void note_access(ObjectAccessType access, Oid class_oid, Oid object_oid, int sub_id, void *argument);

/* ---- locks ---- */

Oid
depot_use_lock_oid(const char *extension)
{
	return (Oid) hash_bytes((const unsigned char *) extension, (int) strlen(extension));
}

static LockAcquireResult
lock(const char *extension, LOCKMODE mode, bool dont_wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, ExtensionRelationId, depot_use_lock_oid(extension), 0);
	return LockAcquire(&tag, mode, false, dont_wait);
}

bool
depot_use_try_lock(const char *extension)
{
	return lock(extension, AccessExclusiveLock, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* ---- the session's side ---- */

static void
raise_moved(const char *extension, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("files of extension \"%s\" were replaced or removed during the command", extension),
			 detail != NULL ? errdetail("The command failed with: %s", detail) : 0,
			 errhint("Repeat the transaction.")));
}

/* The first of the extensions whose files have moved since the command began, or NULL. */
static const char *
moved_extension(const DepotUse *use)
{
	ListCell   *cell;

	foreach(cell, use->extensions)
		if (depot_shmem_has_moved(lfirst(cell), use->moves))
		return lfirst(cell);
	return NULL;
}

/* Locks an extension, counts it, and remembers it; once. */
static void
add_extension(DepotUse *use, const char *extension)
{
	MemoryContext old_context;
	ListCell   *cell;

	foreach(cell, use->extensions)
		if (strcmp(lfirst(cell), extension) == 0)
		return;
	old_context = MemoryContextSwitchTo(use->context);
	lock(extension, AccessShareLock, false);
	depot_shmem_count_use(extension);
	use->extensions = lappend(use->extensions, pstrdup(extension));
	MemoryContextSwitchTo(old_context);
}

static void
wait_for_move(const char *extension)
{
	TimestampTz until = 0;

	while (depot_shmem_is_moving(extension))
	{
		if (until == 0)
			until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MOVE_WAIT_MS);
		else if (GetCurrentTimestamp() >= until)
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, MOVE_POLL_MS,
						 depot_compat_wait_event("DepotFilesMove"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * The access hook is there only while a command runs, because the server calls it for every function it looks
 * up.  Should a library that the command's script loads have put its own hook before ours, ours stays.
 */
static void
set_hook(void)
{
	if (is_hooked)
		return;
	previous_access_hook = object_access_hook;
	object_access_hook = note_access;
	is_hooked = true;
}

static void
leave(DepotUse *use)
{
	current = use->outer;
	if (current != NULL || object_access_hook != note_access)
		return;
	object_access_hook = previous_access_hook;
	is_hooked = false;
}

void
depot_use_begin(DepotUse *use, const char *extension)
{
	memset(use, 0, sizeof(*use));
	use->context = CurrentMemoryContext;
	add_extension(use, extension);
	wait_for_move(extension);
	depot_shmem_read_moves(use->moves);
	use->outer = current;
	current = use;
	set_hook();
}

void
depot_use_end(DepotUse *use)
{
	const char *moved = moved_extension(use);

	leave(use);
	if (moved != NULL)
		raise_moved(moved, NULL);
}

void
depot_use_fail(DepotUse *use)
{
	const char *moved = moved_extension(use);
	ErrorData  *error;
	int			category;

	leave(use);
	if (moved == NULL)
		return;
	MemoryContextSwitchTo(use->context);
	error = CopyErrorData();
	category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	/* A cancel, a shutdown or a failed serialization is what it was without us. */
	if (category == ERRCODE_TO_CATEGORY(ERRCODE_QUERY_CANCELED) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_T_R_SERIALIZATION_FAILURE))
		return;
	FlushErrorState();
	raise_moved(moved, error->message);
}

/* The name of an extension whose row this command has just made, which no snapshot shows yet. */
static char *
new_extension_name(Oid extension)
{
	Relation	relation = table_open(ExtensionRelationId, AccessShareLock);
	char	   *name = NULL;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(extension));
	scan = systable_beginscan(relation, ExtensionOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		name = pstrdup(NameStr(((Form_pg_extension) GETSTRUCT(tuple))->extname));
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return name;
}

/* CREATE EXTENSION has made a row and not yet run the script: its own, and one for each that CASCADE creates. */
static void
note_access(ObjectAccessType access, Oid class_oid, Oid object_oid, int sub_id, void *argument)
{
	char	   *name;

	if (previous_access_hook != NULL)
		previous_access_hook(access, class_oid, object_oid, sub_id, argument);
	if (current == NULL || access != OAT_POST_CREATE || class_oid != ExtensionRelationId)
		return;
	name = new_extension_name(object_oid);
	if (name == NULL)
		return;
	add_extension(current, name);
	if (depot_shmem_has_moved(name, current->moves))
		raise_moved(name, NULL);
}
