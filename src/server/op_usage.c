/*-------------------------------------------------------------------------
 *
 * op_usage.c
 *	  Operation: look into every database for extensions in use.
 *
 * pg_extension is each database's own, so a short-lived worker connects to one
 * database after the other, databases that allow no connections included, and
 * answers through shared memory.  There is one look at a time on a server.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "server/catalog.h"
#include "server/job.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* How long a worker waits for a database that somebody creates another from, renames or drops. */
#define CONNECT_LOCK_TIMEOUT "5s"

typedef struct Usage
{
	char	   *names;
	DepotJobStep then;
	DepotDatabaseRow *databases;
	int			count;
	int			next;
	uint64		number;			/* of the look in flight */
	BackgroundWorkerHandle *worker; /* NULL: none in flight */
}			Usage;

/* The job whose worker is in flight: shared memory has room for one look. */
static const DepotJob *usage_owner = NULL;

static void look_into_next(DepotJob *job);
static void start_worker(DepotJob *job);
static void take_answer(DepotJob *job);
static void raise_in_use(const char *extension, const char *database) pg_attribute_noreturn();
static void release_owner(void *job);

void
depot_usage_begin(DepotJob *job, const char *names, DepotJobStep then)
{
	MemoryContext old_context = MemoryContextSwitchTo(job->context);
	MemoryContextCallback *callback = palloc0(sizeof(*callback));
	Usage	   *usage = palloc0(sizeof(Usage));
	char	   *found;

	usage->names = pstrdup(names);
	usage->then = then;
	callback->func = release_owner;
	callback->arg = job;
	MemoryContextRegisterResetCallback(job->context, callback);
	MemoryContextSwitchTo(old_context);

	job->operation = usage;
	job->on_message = NULL;
	if (strlen(names) >= DEPOT_USAGE_NAMES_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the package has too many extensions to look for"),
				 errdetail("Their names have more than %d bytes.", DEPOT_USAGE_NAMES_BYTES - 1)));
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_LOOKING_FOR_USE, 0, 0);

	depot_catalog_begin();
	found = depot_catalog_find_extension(names);
	if (found != NULL)
		raise_in_use(found, get_database_name(MyDatabaseId));
	usage->count = depot_catalog_read_databases(&usage->databases);
	depot_catalog_commit();

	job->on_wake = look_into_next;
	look_into_next(job);
}

static void
release_owner(void *job)
{
	if (usage_owner == job)
		usage_owner = NULL;
}

static void
raise_in_use(const char *extension, const char *database)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("extension \"%s\" is used in database \"%s\"", extension, database),
			 errhint("Connect to that database and DROP EXTENSION %s, or keep the package.", extension)));
	pg_unreachable();
}

/* Called whenever the leader wakes: a worker's answer and its end both wake it. */
static void
look_into_next(DepotJob *job)
{
	Usage	   *usage = job->operation;

	if (usage->worker != NULL)
	{
		take_answer(job);
		return;
	}
	if (usage_owner != NULL && usage_owner != job)
		return;
	if (usage->next == usage->count)
	{
		release_owner(job);
		job->on_wake = NULL;
		usage->then(job);
		return;
	}
	usage_owner = job;
	start_worker(job);
}

static void
start_worker(DepotJob *job)
{
	Usage	   *usage = job->operation;
	BackgroundWorker worker;
	MemoryContext old_context;

	usage->number = depot_shmem_begin_usage(usage->databases[usage->next].oid, usage->names);

	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "pg_depot usage check");
	snprintf(worker.bgw_type, BGW_MAXLEN, "pg_depot usage check");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, DEPOT_WORKER_LIBRARY);
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "depot_usage_main");
	worker.bgw_notify_pid = MyProcPid;

	old_context = MemoryContextSwitchTo(job->context);
	if (!RegisterDynamicBackgroundWorker(&worker, &usage->worker))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no background worker is left to look into database \"%s\"",
						usage->databases[usage->next].name),
				 errhint("Raise \"max_worker_processes\", or try again when other workers have ended.")));
	MemoryContextSwitchTo(old_context);
}

static void
take_answer(DepotJob *job)
{
	Usage	   *usage = job->operation;
	const DepotDatabaseRow *database = &usage->databases[usage->next];
	DepotUsage	answer;
	pid_t		pid;

	depot_shmem_read_usage(&answer);
	if (!answer.is_done)
	{
		if (GetBackgroundWorkerPid(usage->worker, &pid) != BGWH_STOPPED)
			return;

		/* It may have answered between the two looks. */
		depot_shmem_read_usage(&answer);
		if (!answer.is_done)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("could not look into database \"%s\" for extensions in use", database->name),
					 errhint("The server's log says why; the call can be repeated.")));
	}
	usage->worker = NULL;
	if (answer.is_found)
		raise_in_use(answer.found, database->name);
	usage->next++;
	look_into_next(job);
}

/* Entry point of the worker: one database, one question, one answer. */
void
depot_usage_main(Datum argument)
{
	DepotUsage	usage;
	char	   *found;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	depot_shmem_read_usage(&usage);

	/* The caller itself may hold a lock on the database, which no deadlock detector would find. */
	SetConfigOption("lock_timeout", CONNECT_LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
	BackgroundWorkerInitializeConnectionByOid(usage.database, InvalidOid, BGWORKER_BYPASS_ALLOWCONN);
	depot_catalog_pin_session();

	depot_catalog_begin();
	found = depot_catalog_find_extension(usage.names);
	depot_catalog_commit();
	depot_shmem_answer_usage(usage.number, found);
}
