/*-------------------------------------------------------------------------
 *
 * applied_report.c
 *	  The leader's report of what this server has applied.
 *
 * var/applied.json: format (1), incarnation (of the leader that wrote it: the server's start in
 * microseconds of PostgreSQL's epoch, a dash, the number of the leader since then), generation_seen,
 * generation_applied, ready (files equal the rows of generation_seen), missing, error (the last one, "" if there is
 * none).  It is written when that changes, and removed where it cannot be written.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/xlog.h"
#include "common/files.h"
#include "server/applied.h"
#include "server/applied_report.h"
#include "server/catalog.h"
#include "server/paths.h"
#include "server/platform.h"
#include "server/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static char *last_written = NULL;

static void add_missing(StringInfo list, DepotAppliedReport *report, const DepotInstalledRow *row,
						const char *reason);
static void publish(DepotAppliedReport *report);
static void write_file(const DepotAppliedReport *report);

bool
depot_applied_report_is_served(const DepotInstalledRow *row)
{
	const DepotAppliedPackage *package = depot_applied_find(row->package);

	return package != NULL && row->has_build && strcmp(package->digest, row->digest) == 0 &&
		depot_applied_is_whole(package);
}

static const char *
default_reason(const DepotInstalledRow *row)
{
	if (row->has_build)
		return "its files are not here yet";
	if (row->digest != NULL)
		return "its row of depot.installed_build cannot be used";
	return psprintf("no build for %s is recorded", depot_platform_role());
}

static void
set_error(DepotAppliedReport *report, const DepotReport *error)
{
	StaticAssertStmt(sizeof(report->error) == sizeof(error->message), "no character is cut in two");

	strlcpy(report->sqlstate, error != NULL ? error->sqlstate : "", sizeof(report->sqlstate));
	strlcpy(report->error, error != NULL ? error->message : "", sizeof(report->error));
}

void
depot_applied_report(const DepotInstalledRow *rows, int count, const char *const *reasons, int64 generation,
					 const DepotReport *error)
{
	DepotAppliedReport report;
	StringInfoData missing;
	bool		is_equal = error == NULL;

	depot_shmem_read_applied_report(&report);
	if (report.generation_table != depot_catalog_watched_table())
		report.applied_generation = 0;
	report.generation_table = depot_catalog_watched_table();
	report.missing_count = 0;
	report.restart_required = false;
	initStringInfo(&missing);
	for (int i = 0; i < count; i++)
	{
		const char *reason = reasons != NULL && reasons[i] != NULL ? reasons[i] : default_reason(&rows[i]);

		if (rows[i].is_removed)
			is_equal &= depot_applied_find(rows[i].package) == NULL;
		else if (!depot_applied_report_is_served(&rows[i]))
			add_missing(&missing, &report, &rows[i], reason);
		else if (depot_applied_needs_restart(&rows[i]))
			report.restart_required = true;
	}
	snprintf(report.missing, sizeof(report.missing), "[%s]", missing.data);
	report.seen_generation = generation;
	if (is_equal && report.missing_count == 0)
		report.applied_generation = generation;
	set_error(&report, error);
	publish(&report);
}

/* Adds a row to the list, as long as the report has room for it. */
static void
add_missing(StringInfo list, DepotAppliedReport *report, const DepotInstalledRow *row, const char *reason)
{
	StringInfoData entry;

	report->missing_count++;
	initStringInfo(&entry);
	appendStringInfo(&entry, "%s{\"package\":", list->len > 0 ? "," : "");
	depot_errors_append_json(&entry, row->package);
	appendStringInfoString(&entry, ",\"version\":");
	depot_errors_append_json(&entry, row->version);
	appendStringInfoString(&entry, ",\"reason\":");
	depot_errors_append_json(&entry, reason);
	appendStringInfoChar(&entry, '}');
	if (list->len + entry.len + strlen("[]") < sizeof(report->missing))
		appendStringInfoString(list, entry.data);
	pfree(entry.data);
}

void
depot_applied_report_error(const DepotReport *error)
{
	DepotAppliedReport report;

	depot_shmem_read_applied_report(&report);
	set_error(&report, error);
	publish(&report);
}

static void
publish(DepotAppliedReport *report)
{
	report->at = GetCurrentTimestamp();
	report->is_in_recovery = RecoveryInProgress();
	depot_shmem_note_applied_report(report);
	if (depot_paths_is_made())
		write_file(report);
}

static void
write_file(const DepotAppliedReport *report)
{
	bool		is_ready = report->sqlstate[0] == '\0' && report->missing_count == 0 &&
	report->seen_generation == report->applied_generation;
	uint64		incarnation;
	StringInfoData text;
	DepotError	error;

	(void) depot_shmem_leader(&incarnation);
	initStringInfo(&text);
	appendStringInfo(&text, "{\"format\":%d,\"incarnation\":\"" INT64_FORMAT "-" UINT64_FORMAT "\""
					 ",\"generation_seen\":" INT64_FORMAT ",\"generation_applied\":" INT64_FORMAT
					 ",\"ready\":%s,\"missing\":%s,\"error\":",
					 DEPOT_APPLIED_FORMAT, PgStartTime, incarnation, report->seen_generation,
					 report->applied_generation, is_ready ? "true" : "false", report->missing);
	depot_errors_append_json(&text, report->sqlstate[0] != '\0' ? report->error : "");
	appendStringInfoString(&text, "}\n");
	if (last_written == NULL || strcmp(last_written, text.data) != 0)
	{
		if (last_written != NULL)
			pfree(last_written);
		last_written = NULL;
		if (depot_files_write_durable(depot_applied_root_fd(), DEPOT_APPLIED_FILE, text.data, text.len,
									  S_IRUSR | S_IWUSR, &error))
			last_written = MemoryContextStrdup(TopMemoryContext, text.data);
		else
		{
			depot_errors_raise(WARNING, &error);
			(void) depot_files_remove(depot_applied_root_fd(), DEPOT_APPLIED_FILE, &error);
		}
	}
	pfree(text.data);
}
