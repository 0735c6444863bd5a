/*-------------------------------------------------------------------------
 *
 * job.h
 *	  A request as the leader works on it.
 *
 * A job runs in steps.  A step either finishes the job, or starts something
 * that takes time (an agent's work, a look into another database) and names the
 * function that goes on when it is there; the leader's loop calls that.  A step
 * may ereport: the loop then hands the error to on_error, or fails the job.
 * Everything a job holds (memory, agents, staging) goes when it ends.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_JOB_H
#define DEPOT_JOB_H

#include "postgres.h"

#include "common/store.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "server/agent.h"
#include "server/errors.h"
#include "server/message.h"
#include "server/rows.h"
#include "server/shmem.h"
#include "server/users.h"

#define DEPOT_JOB_MAX_STAGINGS 129	/* a plan's packages, and one for metadata */

typedef struct DepotJob DepotJob;
typedef void (*DepotJobStep) (DepotJob *job);

typedef struct DepotStaging
{
	char		name[DEPOT_JOB_NAME_BYTES];
	int			fd;
	bool		has_package;	/* a package was unpacked into it */
	bool		is_kept;		/* recorded but not yet served: the next reconcile needs it */
} DepotStaging;

struct DepotJob
{
	MemoryContext context;
	int			slot;			/* -1: the leader's own */
	DepotJobStep begin;			/* of the leader's own: its first step */
	DepotRequestKind kind;
	Oid			role;
	const char *origin;			/* the setting that asks instead of a role; or NULL */
	Oid			database;
	TimestampTz started_at;
	char	   *argument;		/* JSON text */
	bool		is_finished;

	/* what it waits for */
	void		(*on_message) (DepotJob *job, DepotAgent *agent, const DepotMessage *message);
	DepotJobStep on_wake;		/* called whenever the leader wakes */
	bool		is_eager;		/* on_wake is work: the leader looks at everything else and comes back at
								 * once */
	/* takes an agent's error, or returns false: then it is raised; NULL: it is raised */
	bool		(*on_agent_error) (DepotJob *job, DepotAgent *agent, const DepotError *error);
	void		(*on_error) (DepotJob *job, const DepotReport *report); /* NULL: the job fails */

	/*
	 * of the leader's own: takes note of its end, with the error unless all is well, and logs that; must not
	 * raise
	 */
	void		(*on_end) (DepotJob *job, const DepotReport *report);

	/* of a job that is done, and waits for other servers (job_wait.c): for how long; 0: it is not done */
	TimestampTz wait_until;

	/* undoes what the job did outside transactions, before its error is answered; NULL: nothing */
	DepotJobStep on_failure;

	DepotAgent *fetch;
	DepotAgent *check;
	DepotStaging stagings[DEPOT_JOB_MAX_STAGINGS];
	int			staging_count;

	/* what it has for itself (job_locks.c) */
	char	   *locked_repository;	/* whose metadata, or NULL */
	List	   *locked_packages;	/* names of packages it installs */
	List	   *held_payloads;	/* digests of payloads that no row may name yet */
	char	   *agents_repository;	/* for which repository it may have agents ("": none), or NULL: it may
									 * not */
	const char *refreshing;		/* whose refresh has begun and not succeeded yet, or NULL */
	char	   *wanted_agents;	/* for which repository it waits to have agents, or NULL */

	/* a step that could not have a lock, to be taken again (job_transact.c) */
	DepotJobStep blocked_step;
	TimestampTz blocked_until;
	int			blocked_pause_ms;
	DepotJobStep on_blocked;	/* undoes what the step did outside its transaction; NULL: nothing */

	StringInfoData notices;		/* JSON objects, separated by commas */
	char	   *result;			/* of a finished job: JSON, kept while it does not fit its slot */
	void	   *state;			/* of the kind of job */
	void	   *operation;		/* of the operation that runs (refresh, package, usage) */
	void	   *restore;		/* of op_restore, which runs other operations */
	void	   *wait;			/* of job_wait */
	void	   *payload;		/* of op_payload, which others run beside their own */
};

/* Makes a job in its own memory context; the loop starts it with depot_job_begin. */
extern DepotJob *depot_job_create(int slot, const DepotSlot *request);
extern void depot_job_begin(DepotJob *job);
extern void depot_job_destroy(DepotJob *job);

/* Starts the agents if they do not run; the fetch agent sees the newest staging directory. */
extern void depot_job_need_agents(DepotJob *job, bool with_fetch);
extern void depot_job_stop_agents(DepotJob *job);

/* Makes a new staging directory the newest (and so ends a fetch agent that sees another). */
extern DepotStaging *depot_job_begin_staging(DepotJob *job);
extern DepotStaging *depot_job_staging(DepotJob *job);

/* Whether other jobs have staging directories. */
extern bool depot_job_is_staging_elsewhere(const DepotJob *job);

/* Ends agents, staging and the hold on a repository: what a step that failed may have left behind. */
extern void depot_job_let_go(DepotJob *job);

/* The same, and then has the leader take a step from its loop, where nothing of what went before is in the way. */
extern void depot_job_resume(DepotJob *job, DepotJobStep step);

extern void depot_job_notice(DepotJob *job, const char *format,...) DEPOT_PRINTF(2, 3);

/* Tells the caller, and the server's log, of a change to what the server may run. */
extern void depot_job_note_change(DepotJob *job, const char *format,...) DEPOT_PRINTF(2, 3);

/* Passes an error on to the caller as a WARNING whose message begins with what the format says. */
extern void depot_job_warn(DepotJob *job, const DepotReport *report, const char *format,...) DEPOT_PRINTF(3, 4);

/* Finishes with rows: JSON objects separated by commas, "" for none. */
extern void depot_job_finish(DepotJob *job, const char *rows);
extern void depot_job_fail(DepotJob *job, const DepotReport *report);

/* Reads what an agent reported; raises a complaint about what it said. */
extern void depot_job_read_agent_error(const DepotMessage *message, DepotError *error);
pg_noreturn extern void depot_job_raise_agent_nonsense(const DepotAgent *agent, const char *what);

/* ereports unless the extension is there, committed.  Inside a transaction. */
extern void depot_job_check_exists(void);

/* ereports unless the depot can be used: directory active, extension there, role allowed.  Inside a transaction. */
extern void depot_job_check_usable(DepotJob *job);

/* The same, and that depot.hold lets it change something. */
extern void depot_job_check_may_change(DepotJob *job);

/* Appends a repository's URL and mirrors as a JSON array. */
extern void depot_job_append_bases(StringInfo out, const DepotRepositoryRow *row);

/* Raises an error value; the one-line form for steps. */
pg_noreturn extern void depot_job_raise(const DepotError *error);

/*
 * Takes a step that makes a transaction and may be repeated until it commits: now, and again when a lock
 * was in its way.  Raises 55P03 when the requester itself holds that lock.
 */
extern void depot_job_transact(DepotJob *job, DepotJobStep step);

/*
 * One job at a time reads or writes the trusted metadata of a repository.  false: another has it;
 * set on_wake to try again.  Released with the job at the latest.
 */
extern bool depot_job_lock_repository(DepotJob *job, const char *repository);
extern void depot_job_unlock_repository(DepotJob *job);

/* One job at a time installs a package: all of packages, or none and false; then it waits, and looks anew. */
extern bool depot_job_lock_packages(DepotJob *job, const char *const *packages, int count);
extern void depot_job_unlock_packages(DepotJob *job);

/* Keeps a payload from being removed because no row names it, until the job ends. */
extern void depot_job_hold_payload(DepotJob *job, const char *digest);
extern bool depot_job_is_payload_held(const char *digest);
extern void depot_job_release_payloads(DepotJob *job);

/*
 * No more than depot.max_agents jobs have agents at a time, of which one repository ("": none) has all but
 * one.  false: it is another's turn.  Given back by depot_job_let_go at the latest.
 */
extern bool depot_job_lock_agents(DepotJob *job, const char *repository);

/* A repository and agents for it, or neither and false. */
extern bool depot_job_lock_repository_with_agents(DepotJob *job, const char *repository);
extern void depot_job_unlock_agents(DepotJob *job);

/* Operations.  Each begins at once and calls then when it is done; an error goes the job's way. */

/* Fetches and checks a repository's metadata.  row may be one that is not recorded yet. */
typedef struct DepotRefreshResult
{
	bool		is_changed;
	int64		expires_epoch_s;
	int			target_count;
} DepotRefreshResult;

/* record is called in the transaction that notes the result (to insert the repository's row); may be NULL. */
extern void depot_refresh_begin(DepotJob *job, const DepotRepositoryRow *row, DepotJobStep record, DepotJobStep then);
extern const DepotRefreshResult *depot_refresh_result(DepotJob *job);

/* Called after an error was cleaned up: where it ended a refresh, depot.repository says so.  Does not raise. */
extern void depot_refresh_note_failure(DepotJob *job, const DepotReport *report);

/* Tells whether a repository should be asked for news before its rows are relied on. */
extern bool depot_refresh_is_stale(const DepotRepositoryRow *row);

/* Tells whether this server holds trusted metadata of a repository, without which no package of it can be checked. */
extern bool depot_refresh_has_metadata(const char *repository);

/*
 * Payloads: packages in depot.payload, moved in transactions of at most 1 MB while other jobs go on.
 *
 * Store writes what a staging directory holds and was checked there, unless it is in the table already; with
 * is_damaged what is there goes first.  With depot.replicate_payloads off it does nothing.  The job holds the payload.
 * Load brings it into a staging directory; depot_payload_is_loaded then tells whether all of it was there.
 */
extern void depot_payload_store_begin(DepotJob *job, const char *digest, int64 size_bytes, int directory_fd,
									  bool is_damaged, DepotJobStep then);
extern void depot_payload_load_begin(DepotJob *job, const char *digest, int64 size_bytes, int directory_fd,
									 DepotJobStep then);
extern bool depot_payload_is_loaded(DepotJob *job);

/* Has the leader look soon for installed packages that servers of another platform have no build of. */
extern void depot_platforms_request(void);

/* The file in a staging directory that holds the package as it was fetched. */
#define DEPOT_PACKAGE_FILE "package"

/* Has the leader look soon for payloads that no row names, and remove them. */
extern void depot_payload_request_tidy(void);

/* Has what could not be tidied up, as another job stages, looked for again when a job's staging ends. */
extern void depot_payload_put_off_tidy(void);
extern void depot_job_note_staging_end(void);

/* The same, and for installed packages that have none, which are fetched again. */
extern void depot_payload_request_supply(void);

/* Fetches a package and has it checked and unpacked into a new staging directory. */
typedef struct DepotPackageRequest
{
	const char *repository;
	const char *target;
	const char *sha256;
	const char *manifest_sha256;
	int64		size_bytes;
	int64		unpacked_bytes;
	bool		check_expiry;
	bool		is_payload;		/* depot.payload has it, rather than the repository */
	const char *evidence_of;	/* package whose recorded evidence proves it first; NULL: trusted metadata
								 * does */
} DepotPackageRequest;

extern void depot_package_begin(DepotJob *job, const DepotPackageRequest *request,
								const DepotRepositoryRow *repository, DepotJobStep then);

/* Whether it failed because what is recorded does not prove it: its bytes were not even looked at. */
extern bool depot_package_is_unproved(DepotJob *job);

/* URL of the base that delivered it. */
extern const char *depot_package_source(DepotJob *job);

/* Has the served files of packages compared with their manifests. problem is called for each difference. */
typedef struct DepotVerifyRequest
{
	const char *package;
	const char *manifest_sha256;
} DepotVerifyRequest;

extern void depot_verify_begin(DepotJob *job, const DepotVerifyRequest *requests, int count, DepotJobStep then);

/* Rows of problems found, as depot_job_finish wants them, and how many. */
extern const char *depot_verify_rows(DepotJob *job, int *problem_count);

/* Whether it found something about the package of request number index. */
extern bool depot_verify_is_damaged(DepotJob *job, int index);

/*
 * Fetches a recorded build again and makes it served.  row and repositories live as long as the
 * operation; trusted metadata that is gone is fetched first.
 */
extern void depot_restore_begin(DepotJob *job, const DepotInstalledRow *row, const DepotRepositoryRow *repositories,
								int repository_count, DepotJobStep then);

/*
 * Looks for what uses extensions and libraries (lists of names, libraries without ".so"): in each database, in
 * settings and in slots.  The lists live as long as the operation.  Raises an error where it cannot look; with
 * is_forced that counts as a user.
 */
extern void depot_usage_begin(DepotJob *job, const List *extensions, const List *libraries, bool is_forced,
							  DepotJobStep then);

/*
 * Looks at once for what uses extensions and libraries in this server's own configuration and slots alone; users are
 * made in the current memory context.  May ereport.
 */
extern void depot_usage_find_local(const List *extensions, const List *libraries, DepotUsers *users);

/* What it found, until the next operation of the job. */
extern const DepotUsers *depot_usage_found(DepotJob *job);

/* Names in notices the databases that nobody can connect to. */
extern void depot_usage_note_skipped(DepotJob *job);

/*
 * In a transaction, after a look: takes the exclusive locks of the extensions (use.h) until the end of the transaction.
 * Raises an error that names who holds one.  false: somebody has begun to use one since the look.
 */
extern bool depot_usage_lock(DepotJob *job);

/* Entry point of its background workers, found by name in the library. */
extern PGDLLEXPORT void depot_usage_main(Datum argument);

/*
 * The declared list.  request: it is looked at and carried out as soon as may be; is_refreshed: repositories have
 * just been asked for news.  note_change: others changed what is installed, so the states of its entries are
 * looked at, without carrying out anything.
 */
extern void depot_declared_request(bool is_refreshed);
extern void depot_declared_note_change(void);

/* Requests it after the settings were read again, unless there was and is none. */
extern void depot_declared_note_reload(void);

/* When its next job is due (0: none is planned); is_busy: requests are being worked on, which come first. */
extern TimestampTz depot_declared_next_at(bool is_busy);

/* The first step of its jobs. */
extern void depot_declared_start(DepotJob *job);

/*
 * Packages that are recorded without a build for this server.  request: they are looked for, with repositories asked
 * for news; next_at: when their next job is due (0: none is planned); start: its first step.
 */
extern void depot_builds_request(void);
extern TimestampTz depot_builds_next_at(void);
extern void depot_builds_start(DepotJob *job);

/* Has the leader reconcile again after a growing pause: what was recorded could not all be carried out. */
extern void depot_job_retry_reconcile(void);

/* Likewise soon, because replay was in the way. */
extern void depot_job_repeat_reconcile(void);

/* Likewise at once.  Returns the number of the reconcile that is to come, for has_reconciled: whether it has ended. */
extern uint64 depot_job_request_reconcile(void);
extern bool depot_job_has_reconciled(uint64 number);

/*
 * The servers that report: when depot.node has to be read or written (0: not), and the first step of the job that does
 * it.
 */
extern TimestampTz depot_nodes_next_at(void);
extern void depot_nodes_start(DepotJob *job);

/*
 * Waits, after a commit, until wait_for servers (common/wait_for.h) report that their files have reached generation, or
 * depot.wait_for_timeout has passed: then a WARNING names those that have not.  Goes on with then either way; subject,
 * of the WARNING, lives as long as the job.
 */
extern void depot_wait_begin(DepotJob *job, int wait_for, int64 generation, const char *subject, DepotJobStep then);

/* Kinds of jobs. */
extern void depot_install_start(DepotJob *job);
extern void depot_read_lock_start(DepotJob *job);
extern void depot_apply_lock_start(DepotJob *job);
extern void depot_uninstall_start(DepotJob *job);
extern void depot_add_repository_start(DepotJob *job);
extern void depot_drop_repository_start(DepotJob *job);
extern void depot_refresh_repository_start(DepotJob *job);
extern void depot_verify_files_start(DepotJob *job);
extern void depot_read_view_start(DepotJob *job);
extern void depot_check_list_start(DepotJob *job);
extern void depot_add_node_start(DepotJob *job);
extern void depot_drop_node_start(DepotJob *job);
extern void depot_reconcile_start(DepotJob *job);
extern void depot_report_applied_start(DepotJob *job);
extern void depot_payload_tidy_start(DepotJob *job);
extern void depot_platforms_start(DepotJob *job);

#endif							/* DEPOT_JOB_H */
