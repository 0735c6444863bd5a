/*-------------------------------------------------------------------------
 *
 * job_report.c
 *	  Job: report what is applied, without changing anything.
 *
 * For a primary, whose own jobs apply what they record, and while depot.hold is on.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/applied_report.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/paths.h"
#include "server/settings.h"

void
depot_report_applied_start(DepotJob *job)
{
	DepotInstalledRow *rows = NULL;
	const char **reasons = NULL;
	int64		generation = 0;
	int			count = 0;
	bool		exists;

	depot_catalog_begin();
	depot_catalog_watch_again();
	exists = depot_catalog_exists();
	if (exists)
	{
		generation = depot_catalog_generation();
		count = depot_catalog_read_installed(&rows);
	}
	depot_catalog_commit();

	if (depot_settings_hold)
	{
		reasons = palloc0(sizeof(char *) * (count + 1));
		for (int i = 0; i < count; i++)
			reasons[i] = rows[i].has_build ? "\"depot.hold\" is on" : NULL;
	}
	if (exists && depot_paths_is_made())
		depot_applied_report(rows, count, reasons, generation, NULL);
	depot_job_finish(job, "");
}
