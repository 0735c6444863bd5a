/*-------------------------------------------------------------------------
 *
 * job_lockfile.c
 *	  Jobs: tell exactly what is installed, and bring a server to exactly that.
 *
 * Applying a lock is an installation whose plan is given: all packages are
 * fetched and checked first, then recorded in one transaction, or none is.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/catalog.h"
#include "server/job_install.h"
#include "server/platform.h"

void
depot_read_lock_start(DepotJob *job)
{
	char	   *lock;

	depot_catalog_begin();
	depot_job_check_usable(job);
	lock = depot_catalog_read_lock();
	depot_catalog_commit();
	depot_job_finish(job, psprintf("{\"lock\":%s}", lock));
}

void
depot_apply_lock_start(DepotJob *job)
{
	InstallJob *state = depot_install_create_state(job);
	DepotError	error;
	DepotMessage *argument = depot_message_parse(job->argument, strlen(job->argument), &error);
	const char *text;
	bool		is_read;

	if (argument == NULL)
		depot_job_raise(&error);
	state->is_lock = true;
	state->request.name = "lock";
	state->is_pruning = depot_message_bool(argument, "prune");
	state->is_dry_run = depot_message_bool(argument, "dry_run");
	text = depot_message_string(argument, "lock");
	if (text == NULL)
		text = "";
	is_read = depot_lockfile_parse(text, strlen(text), PG_MAJORVERSION_NUM, depot_platform_name(), &state->lock,
								   &error);
	depot_message_free(argument);
	if (!is_read)
		depot_job_raise(&error);
	depot_install_resolve(job);
}
