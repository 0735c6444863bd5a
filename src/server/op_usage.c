/*-------------------------------------------------------------------------
 *
 * op_usage.c
 *	  Operation: look for what uses the extensions and libraries of a package.
 *
 * What all databases share is read here.  For the rest a short-lived worker connects to one database
 * after the other, databases that allow no connections included, and
 * answers through shared memory.  There is one look at a time on a server.
 * Nothing is held meanwhile: use.h tells how it is known that nobody has begun since.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "common/testpoint.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/paths.h"
#include "server/use.h"
#include "server/users.h"
#include "server/worker.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* How long a worker waits for a database that somebody creates another from, renames or drops. */
#define CONNECT_LOCK_TIMEOUT "5s"

typedef struct Usage
{
	DepotUsageRequest request;
	const List *extensions;		/* names */
	bool		is_forced;
	DepotJobStep then;
	DepotUsers	users;
	uint64		uses;			/* begun before the look */
	DepotDatabaseRow *databases;
	int			count;
	int			next;
	uint64		number;			/* of the look in flight */
	bool		is_looking;		/* there is one */
} Usage;

/* The job whose worker is in flight: shared memory has room for one look. */
static const DepotJob *usage_owner = NULL;

/* The last one that was started; it may not have ended when its answer is there. */
static BackgroundWorkerHandle *last_worker = NULL;

static uint64 count_uses(const Usage *usage);
static void lock_extensions(const Usage *usage);
pg_noreturn static void raise_open(const char *extension);
static void look_into_next(DepotJob *job);
static bool start_worker(DepotJob *job);
static bool take_answer(DepotJob *job);
static void note_no_look(DepotJob *job, bool is_for_want_of_worker);
static void release_owner(void *job);

static char *
library_directory(void)
{
	return psprintf("%s/%s/", depot_paths_directory(), depot_paths_layout()->lib);
}

static char *
join_names(const List *names)
{
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	foreach(cell, names)
		appendStringInfo(&text, "%s%s", text.len > 0 ? " " : "", (const char *) lfirst(cell));
	return text.data;
}

void
depot_usage_begin(DepotJob *job, const List *extensions, const List *libraries, bool is_forced, DepotJobStep then)
{
	MemoryContext old_context = MemoryContextSwitchTo(job->context);
	MemoryContextCallback *callback = palloc0(sizeof(*callback));
	Usage	   *usage = palloc0(sizeof(Usage));
	DepotUsers	here;
	DepotUserRow *rows;
	int			row_count;
	int			user_count;

	usage->request.extensions = join_names(extensions);
	usage->request.libraries = join_names(libraries);
	usage->request.library_directory = library_directory();
	usage->extensions = extensions;
	usage->is_forced = is_forced;
	usage->then = then;
	depot_users_init(&usage->users);
	callback->func = release_owner;
	callback->arg = job;
	MemoryContextRegisterResetCallback(job->context, callback);

	job->operation = usage;
	job->on_message = NULL;
	if (strlen(usage->request.extensions) >= DEPOT_USAGE_NAMES_BYTES ||
		strlen(usage->request.libraries) >= DEPOT_USAGE_NAMES_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the package has too many extensions to look for"),
				 errdetail("Their names, or those of its libraries, have more than %d bytes.",
						   DEPOT_USAGE_NAMES_BYTES - 1)));
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_LOOKING_FOR_USE, 0, 0);

	depot_users_init(&here);
	depot_catalog_begin();
	usage->uses = count_uses(usage);
	lock_extensions(usage);
	row_count = depot_catalog_read_users(&usage->request, &rows, &user_count);
	depot_users_add_rows(&here, rows, row_count, user_count);
	depot_users_add_lines(&usage->users, here.lines.data, here.count, get_database_name(MyDatabaseId));
	row_count = depot_catalog_read_shared_users(&usage->request, &rows, &user_count);
	depot_users_add_rows(&usage->users, rows, row_count, user_count);
	usage->count = depot_catalog_read_databases(&usage->databases);
	depot_catalog_commit();
	MemoryContextSwitchTo(old_context);

	job->on_wake = look_into_next;
	look_into_next(job);
}

void
depot_usage_find_local(const List *extensions, const List *libraries, DepotUsers *users)
{
	DepotUsageRequest request = {
		.extensions = join_names(extensions),
		.libraries = join_names(libraries),
		.library_directory = library_directory()
	};
	DepotUserRow *rows;
	int			row_count;
	int			user_count;

	depot_users_init(users);
	depot_catalog_begin();
	row_count = depot_catalog_read_local_users(&request, &rows, &user_count);
	depot_catalog_commit();
	depot_users_add_rows(users, rows, row_count, user_count);
}

const DepotUsers *
depot_usage_found(DepotJob *job)
{
	return &((Usage *) job->operation)->users;
}

void
depot_usage_note_skipped(DepotJob *job)
{
	const Usage *usage = job->operation;

	for (int i = 0; i < usage->count; i++)
		if (usage->databases[i].is_invalid)
			depot_job_notice(job, "database \"%s\" is invalid and was not looked into", usage->databases[i].name);
}

/* ---- locks ---- */

static uint64
count_uses(const Usage *usage)
{
	uint64		uses = 0;
	ListCell   *cell;

	foreach(cell, usage->extensions)
		uses += depot_shmem_uses(lfirst(cell));
	return uses;
}

/* Takes the locks until the end of the transaction, without waiting. */
static void
lock_extensions(const Usage *usage)
{
	ListCell   *cell;

	foreach(cell, usage->extensions)
		if (!depot_use_try_lock(lfirst(cell)))
		raise_open(lfirst(cell));
}

static void
raise_open(const char *extension)
{
	StringInfoData holders;
	DepotHolderRow *rows;
	int			count = depot_catalog_read_holders(depot_use_lock_oid(extension), &rows);

	initStringInfo(&holders);
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(&holders, '\n');
		if (rows[i].gid != NULL)
			appendStringInfo(&holders, "It is prepared transaction \"%s\" in database \"%s\".",
							 rows[i].gid, rows[i].database);
		else
			appendStringInfo(&holders, "It is the transaction of process %s in database \"%s\".",
							 rows[i].pid, rows[i].database);
	}
	if (count == 0)
		appendStringInfoString(&holders, "It has ended meanwhile.");
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("extension \"%s\" is being created or updated by an open transaction", extension),
			 errdetail("%s", holders.data),
			 errhint("Repeat the call when the transaction has ended.")));
	pg_unreachable();
}

/* Whether every database that there is now was looked into. */
static bool
databases_are_known(const Usage *usage)
{
	DepotDatabaseRow *databases;
	int			count = depot_catalog_read_databases(&databases);

	for (int i = 0; i < count; i++)
	{
		bool		is_known = false;

		for (int j = 0; j < usage->count && !is_known; j++)
			is_known = usage->databases[j].oid == databases[i].oid;
		if (!is_known)
			return false;
	}
	return true;
}

bool
depot_usage_lock(DepotJob *job)
{
	const Usage *usage = job->operation;

	lock_extensions(usage);
	return count_uses(usage) == usage->uses && databases_are_known(usage);
}

/* ---- one database after the other ---- */

static void
release_owner(void *job)
{
	if (usage_owner == job)
		usage_owner = NULL;
}

/* Called whenever the leader wakes: a worker's answer and its end both wake it. */
static void
look_into_next(DepotJob *job)
{
	Usage	   *usage = job->operation;

	if (usage->is_looking && !take_answer(job))
		return;
	if (usage_owner != NULL && usage_owner != job)
		return;
	usage_owner = job;
	for (; usage->next < usage->count; usage->next++)
		if (!usage->databases[usage->next].is_invalid && start_worker(job))
			return;
	release_owner(job);
	depot_test_point("usage_looked");
	job->on_wake = NULL;
	usage->then(job);
}

static bool
last_worker_is_gone(void)
{
	pid_t		pid;

	return last_worker == NULL || GetBackgroundWorkerPid(last_worker, &pid) == BGWH_STOPPED;
}

/* Starts a look into the next database; when a worker must end first, its end wakes us.  false: it cannot be. */
static bool
start_worker(DepotJob *job)
{
	Usage	   *usage = job->operation;
	BackgroundWorkerHandle *handle;
	BackgroundWorker worker;
	MemoryContext old_context;

	depot_worker_describe(&worker, "pg_depot usage check", "depot_usage_main");
	worker.bgw_notify_pid = MyProcPid;

	usage->number = depot_shmem_begin_usage(usage->databases[usage->next].oid, usage->request.extensions,
											usage->request.libraries);
	old_context = MemoryContextSwitchTo(TopMemoryContext);
	usage->is_looking = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(old_context);
	if (usage->is_looking)
	{
		if (last_worker != NULL)
			pfree(last_worker);
		last_worker = handle;
		return true;
	}
	if (!last_worker_is_gone())
		return true;
	note_no_look(job, true);
	return false;
}

/* Takes the answer of the look in flight; false: it is not there yet. */
static bool
take_answer(DepotJob *job)
{
	Usage	   *usage = job->operation;
	DepotUsage *answer = palloc(sizeof(DepotUsage));
	bool		is_gone = last_worker_is_gone();	/* first: it may answer between the two looks */
	bool		is_done;

	depot_shmem_read_usage(answer);
	is_done = answer->is_done;
	if (is_done || is_gone)
	{
		usage->is_looking = false;
		if (is_done)
			depot_users_add_lines(&usage->users, answer->found, answer->count, usage->databases[usage->next].name);
		else
			note_no_look(job, false);
		usage->next++;
	}
	pfree(answer);
	return is_done || is_gone;
}

/* The next database could not be looked into.  One that was dropped meanwhile need not be. */
static void
note_no_look(DepotJob *job, bool is_for_want_of_worker)
{
	Usage	   *usage = job->operation;
	const DepotDatabaseRow *database = &usage->databases[usage->next];
	DepotDatabaseRow *databases;
	int			count;
	bool		is_there = false;

	depot_catalog_begin();
	count = depot_catalog_read_databases(&databases);
	depot_catalog_commit();
	for (int i = 0; i < count; i++)
		is_there |= databases[i].oid == database->oid && !databases[i].is_invalid;
	if (!is_there)
		return;
	if (usage->is_forced)
	{
		depot_users_add_database(&usage->users, database->name);
		return;
	}
	if (is_for_want_of_worker)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no background worker is left to look into database \"%s\"", database->name),
				 errhint("Raise \"max_worker_processes\", or try again when other workers have ended.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("could not look into database \"%s\" for extensions in use", database->name),
			 errhint("The server's log says why; the call can be repeated.")));
}

/* Entry point of the worker: one database, one question, one answer. */
void
depot_usage_main(Datum argument)
{
	DepotUsage *usage = palloc(sizeof(DepotUsage));
	DepotUsageRequest request;
	DepotUsers	users;
	DepotUserRow *rows;
	int			row_count;
	int			count;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	depot_shmem_read_usage(usage);

	/* The caller itself may hold a lock on the database, which no deadlock detector would find. */
	SetConfigOption("lock_timeout", CONNECT_LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
	BackgroundWorkerInitializeConnectionByOid(usage->database, InvalidOid, BGWORKER_BYPASS_ALLOWCONN);
	depot_catalog_pin_session();
	depot_test_point("usage_look");

	request.extensions = usage->extensions;
	request.libraries = usage->libraries;
	request.library_directory = library_directory();
	depot_users_init(&users);
	depot_catalog_begin();
	row_count = depot_catalog_read_users(&request, &rows, &count);
	depot_catalog_commit();
	depot_users_add_rows(&users, rows, row_count, count);
	depot_users_cut(&users, DEPOT_USAGE_ANSWER_BYTES);
	depot_shmem_answer_usage(usage->number, users.count, users.lines.data);
}
