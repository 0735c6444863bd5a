/*-------------------------------------------------------------------------
 *
 * bases.c
 *	  A repository's addresses: its URL and then its mirrors, one after the other.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/fetch.h"
#include "server/bases.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long an address that was out of reach is tried last. */
#define UNREACHABLE_MS INT64CONST(300000)

typedef struct Unreachable
{
	char	   *url;
	TimestampTz until;
} Unreachable;

/* What this leader has found out of reach: Unreachable, in TopMemoryContext. */
static List *unreachable = NIL;

void
depot_bases_note(const char *url, bool is_reached)
{
	TimestampTz now = GetCurrentTimestamp();
	Unreachable *noted;
	ListCell   *cell;
	MemoryContext old_context;

	foreach(cell, unreachable)
	{
		noted = lfirst(cell);
		if (noted->until > now && strcmp(noted->url, url) != 0)
			continue;
		unreachable = foreach_delete_current(unreachable, cell);
		pfree(noted->url);
		pfree(noted);
	}
	if (is_reached)
		return;
	old_context = MemoryContextSwitchTo(TopMemoryContext);
	noted = palloc(sizeof(Unreachable));
	noted->url = pstrdup(url);
	noted->until = TimestampTzPlusMilliseconds(now, UNREACHABLE_MS);
	unreachable = lappend(unreachable, noted);
	MemoryContextSwitchTo(old_context);
}

static bool
is_unreachable(const char *url)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell   *cell;

	foreach(cell, unreachable)
	{
		const Unreachable *noted = lfirst(cell);

		if (noted->until > now && strcmp(noted->url, url) == 0)
			return true;
	}
	return false;
}

void
depot_bases_prefer_reachable(DepotRepositoryRow *row)
{
	const int	count = row->mirror_count + 1;
	const char **ordered = palloc(sizeof(char *) * count);
	int			filled = 0;

	for (int pass = 0; pass <= 1; pass++)
		for (int i = 0; i < count; i++)
			if (is_unreachable(depot_bases_url(row, i)) == (pass == 1))
				ordered[filled++] = depot_bases_url(row, i);
	row->url = ordered[0];
	row->mirrors = ordered + 1;
}

void
depot_bases_begin(DepotBases *bases, const DepotRepositoryRow *row)
{
	bases->row = row;
	bases->current = 0;
	bases->worst.code = DEPOT_OK;
	initStringInfo(&bases->failures);
}

const char *
depot_bases_url(const DepotRepositoryRow *row, int index)
{
	if (index < 0 || index > row->mirror_count)
		return NULL;
	return index == 0 ? row->url : row->mirrors[index - 1];
}

/* An error's message without the repository's name in front, where the check agent puts it. */
static const char *
message_of(const DepotRepositoryRow *row, const DepotError *error)
{
	char	   *prefix = psprintf("repository \"%s\": ", row->name);

	return strncmp(error->message, prefix, strlen(prefix)) == 0 ? error->message + strlen(prefix) : error->message;
}

void
depot_bases_warn(DepotJob *job, const DepotRepositoryRow *row, int index, const DepotError *error)
{
	const char *url = depot_bases_url(row, index);
	DepotReport report;

	depot_errors_to_report(error, &report);
	strlcpy(report.message, message_of(row, error), sizeof(report.message));
	depot_job_warn(job, &report, "repository \"%s\": address \"%s\" is skipped", row->name, url != NULL ? url : "");
}

pg_noreturn static void
raise_failure(const DepotBases *bases)
{
	DepotError	error = bases->worst;
	char		detail[DEPOT_ERROR_DETAIL_BYTES];

	strlcpy(detail, error.detail, sizeof(detail));
	if (bases->row->mirror_count > 0)
		depot_error_detail(&error, "%s%sThe repository has %d addresses, and each failed.%s", detail,
						   detail[0] != '\0' ? " " : "", bases->row->mirror_count + 1, bases->failures.data);
	depot_job_raise(&error);
}

void
depot_bases_skip(DepotJob *job, DepotBases *bases, const DepotError *error)
{
	if (bases->worst.code == DEPOT_OK ||
		depot_fetch_blame(error->code) > depot_fetch_blame(bases->worst.code))
		bases->worst = *error;
	if (error->code == DEPOT_ERROR_UNREACHABLE)
		depot_bases_note(depot_bases_url(bases->row, bases->current), false);
	if (bases->row->mirror_count > 0)
		appendStringInfo(&bases->failures, " %s: %s.", depot_bases_url(bases->row, bases->current),
						 message_of(bases->row, error));
	if (bases->current == bases->row->mirror_count)
		raise_failure(bases);
	depot_bases_warn(job, bases->row, bases->current, error);
	bases->current++;
}
