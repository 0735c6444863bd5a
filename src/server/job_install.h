/*-------------------------------------------------------------------------
 *
 * job_install.h
 *	  What the two files of the installation job share.
 *
 * job_install.c finds out what to do, job_install_apply.c does it and answers.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_JOB_INSTALL_H
#define DEPOT_JOB_INSTALL_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "server/job.h"
#include "server/plan.h"

typedef struct InstalledItem
{
	DepotStaging *staging;		/* NULL: its files are served already */
	DepotManifest *manifest;	/* of the staged tree, malloc'd */
	char	   *digest;			/* of what was staged */
	char	   *source;
	bool		is_stored;		/* depot.payload has it, or need not */
	bool		is_prepared;	/* its directories are made; taken back unless a commit follows */
} InstalledItem;

typedef struct RefreshFailure
{
	char	   *repository;
	DepotReport report;
} RefreshFailure;

typedef struct InstallJob
{
	DepotPlanRequest request;
	bool		is_lock;		/* what lock names, instead of what request does */
	bool		is_pruning;		/* and what it does not name goes */
	DepotLockfile lock;
	bool		is_dry_run;
	char	   *why;			/* recorded of what is asked for, instead of what follows from who asks; or
								 * NULL */
	int			wait_for;		/* servers, as common/wait_for.h has it */
	bool		is_optional;	/* what nobody offers is an answer without rows, not an error */
	int			rounds;
	bool		is_refreshed;	/* repositories have been refreshed for this request */

	/* of the present round */
	MemoryContext round_context;
	DepotRepositoryRow *repositories;
	int			repository_count;
	int			next_repository;
	List	   *refresh_failures;	/* RefreshFailure */
	int64		generation;
	DepotPlan  *plan;
	DepotJobStep after_look;	/* what follows the look for users of what is removed */
	const char *rows;			/* of the answer, while other servers are waited for */
	InstalledItem items[DEPOT_PLAN_MAX_ITEMS];
	int			next_item;
	uint64		reconcile_number;	/* that was waited for; 0: none */
} InstallJob;

/* Makes the state of such a job, whose memory that is not the job's own goes with it. */
extern InstallJob *depot_install_create_state(DepotJob *job);

/* Makes the plan, and goes on with whatever it asks for; also when others changed the rows meanwhile. */
extern void depot_install_resolve(DepotJob *job);

/* Fetches and checks the plan's packages, records and activates them, and answers. */
extern void depot_install_apply(DepotJob *job);

/*
 * Whether the answer has to wait for files of what the plan keeps; then the request begins anew when the leader has
 * tried to bring them back.  Raises 58030 when it could not.
 */
extern bool depot_install_waits_for_files(DepotJob *job);

/* Raises 58030: what was asked for is recorded, and for this reason, without its full stop, not served. */
extern void depot_install_raise_inactive(const InstallJob *state, const char *reason) pg_attribute_noreturn();

/* Answers with the plan: what was done, or with dry_run what would be. */
extern void depot_install_answer(DepotJob *job);

/* The repository of that name among those the plan was made with; ereports when it is not there. */
extern const DepotRepositoryRow *depot_install_repository(const InstallJob *state, const char *name);

/* Whether the plan removes something. */
extern bool depot_install_has_removals(const InstallJob *state);

/* Looks for users of what the plan removes: raises 2BP01 when there is one, else goes on with then. */
extern void depot_install_look_for_use(DepotJob *job, DepotJobStep then);

/* Marks the files of what is removed as moving, before the commit that records it. */
extern void depot_install_begin_removals(const InstallJob *state);

/* Removes them, after that commit. false: *error is the first reason. */
extern bool depot_install_remove(const InstallJob *state, DepotError *error);

#endif							/* DEPOT_JOB_INSTALL_H */
