/*-------------------------------------------------------------------------
 *
 * job_install_prune.c
 *	  Job: apply a lock: removing what it does not name.
 *
 * What goes is looked for in every database first, and refused as a whole when
 * any of it is used (op_usage.c, use.h).  The removals are recorded in the
 * transaction that records the installations.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/applied.h"
#include "server/job_install.h"
#include "server/users.h"

static void decide(DepotJob *job);

bool
depot_install_has_removals(const InstallJob *state)
{
	for (int i = 0; i < state->plan->count; i++)
		if (state->plan->items[i].action == DEPOT_PLAN_REMOVE)
			return true;
	return false;
}

void
depot_install_look_for_use(DepotJob *job, DepotJobStep then)
{
	InstallJob *state = job->state;
	List	   *extensions = NIL;
	List	   *libraries = NIL;

	state->after_look = then;
	for (int i = 0; i < state->plan->count; i++)
	{
		const DepotPlanItem *item = &state->plan->items[i];
		const DepotAppliedPackage *applied;

		if (item->action != DEPOT_PLAN_REMOVE)
			continue;
		applied = depot_applied_find(item->installed->package);
		if (applied != NULL)
		{
			extensions = list_concat(extensions, depot_applied_extensions(applied));
			libraries = list_concat(libraries, depot_applied_libraries(applied));
		}
		for (int j = 0; applied == NULL && item->installed->has_build &&
			 j < item->installed->manifest->extension_count; j++)
			extensions = lappend(extensions, item->installed->manifest->extensions[j].name);
	}
	depot_usage_begin(job, extensions, libraries, false, decide);
}

static void
decide(DepotJob *job)
{
	InstallJob *state = job->state;
	const DepotUsers *users = depot_usage_found(job);
	DepotReport report;

	if (users->count > 0)
	{
		depot_users_to_report(users, &report);
		strlcpy(report.hint, "Drop what uses it, or take it out of the setting; or apply the lock without prune.",
				sizeof(report.hint));
		depot_errors_raise_report(ERROR, &report);
	}
	depot_usage_note_skipped(job);
	depot_job_transact(job, state->after_look);
}

void
depot_install_begin_removals(const InstallJob *state)
{
	for (int i = 0; i < state->plan->count; i++)
		if (state->plan->items[i].action == DEPOT_PLAN_REMOVE)
			depot_applied_begin_move(state->plan->items[i].installed->package);
}

bool
depot_install_remove(const InstallJob *state, DepotError *error)
{
	bool		ok = true;

	for (int i = 0; i < state->plan->count; i++)
	{
		const DepotPlanItem *item = &state->plan->items[i];
		DepotError	this_error;

		if (item->action != DEPOT_PLAN_REMOVE || depot_applied_deactivate(item->installed->package, &this_error))
			continue;
		if (ok)
			*error = this_error;
		ok = false;
	}
	return ok;
}
