/*-------------------------------------------------------------------------
 *
 * job_install_served.c
 *	  What is installed already, and not served by this server yet.
 *
 * So it is on a standby that was promoted before it had finished, and where files were lost.  Whoever asks for such
 * a package is answered when the leader has brought its files back.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/applied.h"
#include "server/job.h"
#include "server/job_install.h"
#include "server/settings.h"

static void look(DepotJob *job);

void
depot_install_raise_inactive(const InstallJob *state, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_IO_ERROR),
			 errmsg("installation of \"%s\" is recorded, but not yet active here", state->request.name),
			 errdetail("%s.", reason),
			 errhint("The leader tries again by itself; depot.installed_packages shows when it is active.")));
}

/* As the leader remembers it: a look at each file would take longer than all else of such a request. */
static bool
is_lacking(const InstallJob *state)
{
	for (int i = 0; i < state->plan->count; i++)
	{
		const DepotPlanItem *item = &state->plan->items[i];
		const DepotAppliedPackage *package;

		if (item->action != DEPOT_PLAN_KEEP || !item->installed->has_build)
			continue;
		package = depot_applied_find(item->installed->package);
		if (package == NULL || strcmp(package->digest, item->installed->digest) != 0)
			return true;
	}
	return false;
}

bool
depot_install_waits_for_files(DepotJob *job)
{
	InstallJob *state = job->state;
	DepotAppliedReport report;

	/* What the leader asks of itself is done where reconciling would be. */
	if (job->slot < 0 || state->is_dry_run || !is_lacking(state))
		return false;
	if (depot_settings_hold)
		depot_errors_raise_hold();
	if (state->reconcile_number != 0)
	{
		depot_shmem_read_applied_report(&report);
		depot_install_raise_inactive(state, report.sqlstate[0] != '\0' ? report.error : "Its files are not here");
	}
	depot_job_let_go(job);
	state->reconcile_number = depot_job_request_reconcile();
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_WAITING, 0, 0);
	job->on_wake = look;
	return true;
}

/* The rows may have changed meanwhile, so the request begins anew. */
static void
look(DepotJob *job)
{
	InstallJob *state = job->state;

	if (is_lacking(state) && !depot_job_has_reconciled(state->reconcile_number) && !depot_settings_hold)
		return;
	job->on_wake = NULL;
	depot_install_resolve(job);
}
