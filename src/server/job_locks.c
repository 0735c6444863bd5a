/*-------------------------------------------------------------------------
 *
 * job_locks.c
 *	  What jobs of the leader keep each other from: repositories, packages,
 *	  agents.
 *
 * All of it lives in the leader's memory and nobody blocks: a job that does not
 * get what it asks for sets on_wake and asks again.  What is given back wakes the
 * leader, so asking takes nothing that it may have to give back at once: a leader
 * that is always awake never looks at its agents' sockets.
 *
 * A job takes agents and a repository together or has agents first, so that
 * whoever holds a repository can always go on; nobody keeps agents while waiting
 * for agents.  Of those that wait for agents, the first to have asked gets them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "server/job.h"
#include "server/settings.h"
#include "storage/latch.h"
#include "utils/memutils.h"

/* Jobs that hold something: each at most one repository, one permit for agents, and any packages and payloads. */
static List *holders = NIL;

/* Jobs that want agents, in the order in which they asked. */
static List *waiters = NIL;

static void
note_holder(DepotJob *job)
{
	MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);

	holders = list_append_unique_ptr(holders, job);
	MemoryContextSwitchTo(old_context);
}

/* Forgets a job that holds nothing any more, and has others ask again. */
static void
note_release(DepotJob *job)
{
	if (job->locked_repository == NULL && job->locked_packages == NIL && job->agents_repository == NULL &&
		job->held_payloads == NIL)
		holders = list_delete_ptr(holders, job);
	SetLatch(MyLatch);
}

/* Whether no other job has a repository. */
static bool
is_repository_free(const DepotJob *job, const char *repository)
{
	ListCell   *cell;

	foreach(cell, holders)
	{
		const DepotJob *other = lfirst(cell);

		if (other != job && other->locked_repository != NULL && strcmp(other->locked_repository, repository) == 0)
			return false;
	}
	return true;
}

bool
depot_job_lock_repository(DepotJob *job, const char *repository)
{
	if (job->locked_repository != NULL && strcmp(job->locked_repository, repository) == 0)
		return true;
	depot_job_unlock_repository(job);
	if (!is_repository_free(job, repository))
		return false;
	job->locked_repository = MemoryContextStrdup(job->context, repository);
	note_holder(job);
	return true;
}

void
depot_job_unlock_repository(DepotJob *job)
{
	if (job->locked_repository == NULL)
		return;
	job->locked_repository = NULL;
	note_release(job);
}

static bool
is_package_locked(const DepotJob *job, const char *package)
{
	ListCell   *cell;

	foreach(cell, job->locked_packages)
		if (strcmp(lfirst(cell), package) == 0)
		return true;
	return false;
}

bool
depot_job_lock_packages(DepotJob *job, const char *const *packages, int count)
{
	MemoryContext old_context;
	ListCell   *cell;

	foreach(cell, holders)
	{
		const DepotJob *other = lfirst(cell);

		for (int i = 0; other != job && i < count; i++)
			if (is_package_locked(other, packages[i]))
				return false;
	}

	old_context = MemoryContextSwitchTo(job->context);
	for (int i = 0; i < count; i++)
		if (!is_package_locked(job, packages[i]))
			job->locked_packages = lappend(job->locked_packages, pstrdup(packages[i]));
	MemoryContextSwitchTo(old_context);
	if (job->locked_packages != NIL)
		note_holder(job);
	return true;
}

void
depot_job_unlock_packages(DepotJob *job)
{
	if (job->locked_packages == NIL)
		return;
	list_free(job->locked_packages);
	job->locked_packages = NIL;
	note_release(job);
}

static bool
holds_payload(const DepotJob *job, const char *digest)
{
	ListCell   *cell;

	foreach(cell, job->held_payloads)
		if (strcmp(lfirst(cell), digest) == 0)
		return true;
	return false;
}

void
depot_job_hold_payload(DepotJob *job, const char *digest)
{
	MemoryContext old_context = MemoryContextSwitchTo(job->context);

	if (!holds_payload(job, digest))
		job->held_payloads = lappend(job->held_payloads, pstrdup(digest));
	MemoryContextSwitchTo(old_context);
	note_holder(job);
}

bool
depot_job_is_payload_held(const char *digest)
{
	ListCell   *cell;

	foreach(cell, holders)
		if (holds_payload(lfirst(cell), digest))
		return true;
	return false;
}

/* Nobody else looks after what was stored for rows that did not come. */
void
depot_job_release_payloads(DepotJob *job)
{
	if (job->held_payloads == NIL)
		return;
	job->held_payloads = NIL;
	note_release(job);
	depot_payload_request_tidy();
}

/* Whether the limits leave agents for a job that wants them for a repository. */
static bool
may_have_agents(const DepotJob *job, const char *repository)
{
	int			in_use = 0;
	int			of_repository = 0;
	ListCell   *cell;

	foreach(cell, holders)
	{
		const DepotJob *other = lfirst(cell);

		if (other == job || other->agents_repository == NULL)
			continue;
		in_use++;
		if (*repository != '\0' && strcmp(other->agents_repository, repository) == 0)
			of_repository++;
	}
	return in_use < depot_settings_max_agents && of_repository < Max(depot_settings_max_agents - 1, 1);
}

/* Whether it is the turn of a job that has waited longer. */
static bool
is_other_first(const DepotJob *job)
{
	ListCell   *cell;

	foreach(cell, waiters)
	{
		const DepotJob *other = lfirst(cell);

		if (other == job)
			break;
		if (may_have_agents(other, other->wanted_agents))
			return true;
	}
	return false;
}

static void
note_waiter(DepotJob *job, const char *repository)
{
	MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);

	job->wanted_agents = MemoryContextStrdup(job->context, repository);
	waiters = list_append_unique_ptr(waiters, job);
	MemoryContextSwitchTo(old_context);
}

/* Those that let it go first ask again. */
static void
forget_waiter(DepotJob *job)
{
	if (job->wanted_agents == NULL)
		return;
	job->wanted_agents = NULL;
	waiters = list_delete_ptr(waiters, job);
	SetLatch(MyLatch);
}

bool
depot_job_lock_agents(DepotJob *job, const char *repository)
{
	if (job->agents_repository != NULL && strcmp(job->agents_repository, repository) == 0)
		return true;

	/*
	 * Who waits for one repository while it has agents for another may wait for somebody who does the
	 * reverse.
	 */
	if (job->agents_repository != NULL && !may_have_agents(job, repository))
	{
		depot_job_stop_agents(job);
		depot_job_unlock_agents(job);
	}
	if (job->agents_repository == NULL && (is_other_first(job) || !may_have_agents(job, repository)))
	{
		if (job->wanted_agents == NULL)
			note_waiter(job, repository);
		return false;
	}
	forget_waiter(job);
	job->agents_repository = MemoryContextStrdup(job->context, repository);
	note_holder(job);
	return true;
}

/* Taking one and giving it back for want of the other would wake everybody, this job included, for ever. */
bool
depot_job_lock_repository_with_agents(DepotJob *job, const char *repository)
{
	return is_repository_free(job, repository) && depot_job_lock_agents(job, repository) &&
		depot_job_lock_repository(job, repository);
}

void
depot_job_unlock_agents(DepotJob *job)
{
	forget_waiter(job);
	if (job->agents_repository == NULL)
		return;
	job->agents_repository = NULL;
	note_release(job);
}
