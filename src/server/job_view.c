/*-------------------------------------------------------------------------
 *
 * job_view.c
 *	  Job: read a view of the home database for a session in another one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/catalog.h"
#include "server/job.h"

void
depot_read_view_start(DepotJob *job)
{
	DepotError	error;
	DepotMessage *argument = depot_message_parse(job->argument, strlen(job->argument), &error);
	const char *view;
	char	   *rows;

	if (argument == NULL)
		depot_job_raise(&error);
	view = depot_message_string(argument, "view");
	view = pstrdup(view != NULL ? view : "");
	depot_message_free(argument);

	depot_catalog_begin();
	depot_job_check_exists();
	rows = depot_catalog_read_view(view, job->role);
	depot_catalog_commit();
	depot_job_finish(job, rows);
}
