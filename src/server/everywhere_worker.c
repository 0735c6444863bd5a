/*-------------------------------------------------------------------------
 *
 * everywhere_worker.c
 *	  ALTER EXTENSION ... UPDATE in every database: the worker in one of them.
 *
 * It connects as the calling role, so that the server's own rules decide what that
 * role may do there, and nothing in an extension's script leads back to another
 * role.  Errors are left to the server, which logs them and ends the worker; a hook
 * copies the first for the caller on the way.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/testpoint.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "server/catalog.h"
#include "server/compat.h"
#include "server/everywhere.h"
#include "storage/dsm.h"
#include "tcop/tcopprot.h"
#include "utils/elog.h"
#include "utils/guc.h"
#include "utils/resowner.h"

static DepotEverywhereTask *task = NULL;
static emit_log_hook_type previous_log_hook = NULL;

static void pin_session(void);
static void note_error(ErrorData *error);

void
depot_everywhere_main(Datum argument)
{
	bits32		flags = DEPOT_WORKER_BYPASS_LOGIN;
	dsm_segment *segment;
	char	   *from_version;
	char	   *to_version = NULL;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "pg_depot extension update");
	segment = dsm_attach(DatumGetUInt32(argument));
	if (segment == NULL)
		return;					/* the caller has gone */
	dsm_pin_mapping(segment);
	task = dsm_segment_address(segment);
	previous_log_hook = emit_log_hook;
	emit_log_hook = note_error;

	pin_session();
	if (task->is_superuser)
		flags |= BGWORKER_BYPASS_ALLOWCONN;
	BackgroundWorkerInitializeConnectionByOid(task->database, task->role, flags);
	task->encoding = GetDatabaseEncoding();

	depot_catalog_begin();
	from_version = depot_catalog_extension_version(task->extension);
	if (from_version != NULL)
	{
		strlcpy(task->from_version, from_version, sizeof(task->from_version));
		depot_catalog_update_extension(task->extension, task->version[0] != '\0' ? task->version : NULL);
		to_version = depot_catalog_extension_version(task->extension);
		depot_test_point("everywhere_before_commit");
	}
	depot_catalog_commit();
	if (to_version != NULL)
		depot_test_point("everywhere_after_commit");
	strlcpy(task->to_version, to_version != NULL ? to_version : "", sizeof(task->to_version));
	task->is_done = true;
}

/*
 * Settings of the database or the role apply, as in any session of theirs, but for these.  An error that
 * is not logged would not reach the hook.
 */
static void
pin_session(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"log_min_messages", "warning"},
		{"session_replication_role", "origin"},
		{"role", "none"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	/* For the connection itself, too: somebody may be making another database from this one. */
	SetConfigOption("lock_timeout", psprintf("%d", task->lock_timeout_ms), PGC_SUSET, PGC_S_OVERRIDE);
}

/* Must not raise anything: it runs while an error is reported. */
static void
note_error(ErrorData *error)
{
	if (error->elevel >= ERROR && !task->has_failed && !task->is_done)
	{
		task->encoding = GetDatabaseEncoding();
		depot_errors_data_to_report(error, &task->report);
		task->has_failed = true;
	}
	if (previous_log_hook)
		previous_log_hook(error);
}
