/*-------------------------------------------------------------------------
 *
 * job_repository.c
 *	  Jobs: add, drop and refresh repositories.
 *
 * A repository is recorded only when its metadata has been fetched and found
 * valid from the given trust anchor, in the transaction that records what it
 * offers; a failed call leaves nothing.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "common/fetch.h"
#include "common/files.h"
#include "common/name.h"
#include "common/tuf_limits.h"
#include "miscadmin.h"
#include "server/anchor.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/paths.h"
#include "server/settings.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

typedef struct RepositoryJob
{
	DepotRepositoryRow *rows;
	int			count;
	int			next;
	bool		is_single;		/* asked for by name: an error is the call's error */
	bool		is_new_directory;	/* add: made by this job, so removed when it fails */
	StringInfoData result;
} RepositoryJob;

static void add_when_free(DepotJob *job);
static void read_added(DepotJob *job, DepotRepositoryRow *row);
static void check_added(const DepotRepositoryRow *row);
static bool is_same(const DepotRepositoryRow *a, const DepotRepositoryRow *b);
static void record_added(DepotJob *job);
static void finish_added(DepotJob *job);
static void clean_up_added(DepotJob *job);
static void drop_when_free(DepotJob *job);
static void refresh_next(DepotJob *job);
static void note_refreshed(DepotJob *job);
static void skip_failed(DepotJob *job, const DepotReport *report);

static RepositoryJob *
begin_state(DepotJob *job)
{
	RepositoryJob *state = palloc0(sizeof(RepositoryJob));

	initStringInfo(&state->result);
	job->state = state;
	return state;
}

static void
append_expiry(StringInfo out, int64 expires_epoch_s)
{
	TimestampTz expires = time_t_to_timestamptz((pg_time_t) expires_epoch_s);

	appendStringInfoString(out, ",\"expires_at\":");
	escape_json(out, timestamptz_to_str(expires));
	appendStringInfoChar(out, '}');
}

/* ---- add ---- */

void
depot_add_repository_start(DepotJob *job)
{
	RepositoryJob *state = begin_state(job);

	state->rows = palloc0(sizeof(DepotRepositoryRow));
	state->count = 1;
	read_added(job, state->rows);
	check_added(state->rows);
	job->on_wake = add_when_free;
	add_when_free(job);
}

/*
 * Somebody else may be adding or refreshing a repository of that name.  Agents are asked for at once: who has
 * them may be waiting for the repository.
 */
static void
add_when_free(DepotJob *job)
{
	RepositoryJob *state = job->state;
	DepotRepositoryRow *existing;

	if (!depot_job_lock_repository_with_agents(job, state->rows->name))
		return;
	job->on_wake = NULL;

	depot_catalog_begin();
	depot_job_check_usable(job);
	if (depot_catalog_read_repositories(state->rows->name, &existing) > 0)
	{
		if (!is_same(existing, state->rows))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("repository \"%s\" already exists with another URL, trust anchor, priority, mirrors or "
							"key types", existing->name),
					 errhint("Drop it with drop_extension_repository first, or choose another name.")));
		depot_job_notice(job, "repository \"%s\" already exists", existing->name);
		*state->rows = *existing;
		depot_catalog_commit();
		depot_refresh_begin(job, state->rows, NULL, finish_added);
		return;
	}

	job->on_failure = clean_up_added;
	state->is_new_directory = depot_anchor_prepare(state->rows);
	depot_catalog_commit();
	depot_refresh_begin(job, state->rows, record_added, finish_added);
}

/* Reads the caller's arguments; strings live as long as the job. */
static void
read_added(DepotJob *job, DepotRepositoryRow *row)
{
	DepotError	error;
	DepotMessage *argument = depot_message_parse(job->argument, strlen(job->argument), &error);
	const char *name;
	const char *url;
	const char *root;
	const char *sha256;

	if (argument == NULL)
		depot_job_raise(&error);
	name = depot_message_string(argument, "name");
	url = depot_message_string(argument, "url");
	root = depot_message_string(argument, "trusted_root");
	sha256 = depot_message_string(argument, "root_sha256");
	row->name = name != NULL ? pstrdup(name) : NULL;
	row->url = pstrdup(url != NULL ? url : "");
	row->trusted_root = root != NULL ? pstrdup(root) : NULL;
	row->root_sha256 = sha256 != NULL ? pstrdup(sha256) : NULL;
	row->priority = (int) depot_message_integer(argument, "priority", 100);
	row->all_key_types = depot_message_bool(argument, "all_key_types");
	row->mirror_count = (int) Min(depot_message_array_size(argument, "mirrors"), DEPOT_FETCH_MAX_BASES);
	row->mirrors = palloc0(sizeof(char *) * Max(row->mirror_count, 1));
	for (int i = 0; i < row->mirror_count; i++)
	{
		const char *mirror = depot_message_array_string(argument, "mirrors", i);

		row->mirrors[i] = pstrdup(mirror != NULL ? mirror : "");
	}
	depot_message_free(argument);
}

/* The longest name of a file below a repository's metadata directory, when it has been replaced. */
#define LONGEST_METADATA_FILE "/whole.old/pg15-linux-amd64.json"

/* Its metadata must not make paths that no base backup takes. */
static void
check_name_length(const char *name)
{
	int			prefix = depot_paths_data_prefix_bytes();
	int			limit = DEPOT_INSTALLED_PATH_LIMIT_BYTES - 1 - prefix -
	(int) (strlen(DEPOT_METADATA "/") + strlen(LONGEST_METADATA_FILE));

	if (prefix > 0 && (int) strlen(name) > limit)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("repository name \"%s\" is too long here", name),
				 errdetail("Its metadata would have paths of %d bytes or more, counted from the data directory, "
						   "which make every base backup fail.", DEPOT_INSTALLED_PATH_LIMIT_BYTES),
				 errhint("Choose a name of at most %d characters.", limit)));
}

static void
check_name(const char *name)
{
	DepotError	error;

	if (!depot_name_check_package(name, "repository", &error))
		depot_job_raise(&error);
}

static void
check_added(const DepotRepositoryRow *row)
{
	DepotError	error;

	check_name(row->name);
	if (!depot_fetch_check_url(row->url, depot_settings_allow_http, &error))
		depot_job_raise(&error);
	check_name_length(row->name);
	for (int i = 0; i < row->mirror_count; i++)
		if (!depot_fetch_check_url(row->mirrors[i], depot_settings_allow_http, &error))
			depot_job_raise(&error);
	if (row->mirror_count >= DEPOT_FETCH_MAX_BASES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a repository has at most %d mirrors", DEPOT_FETCH_MAX_BASES - 1)));
	if ((row->trusted_root == NULL) == (row->root_sha256 == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("exactly one of trusted_root and root_sha256 must be given"),
				 errhint("Take the publisher's root.json, or the sha256 of its 1.root.json, "
						 "from a source you trust.")));
	if (row->trusted_root != NULL && strlen(row->trusted_root) > DEPOT_TUF_ROOT_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("trusted_root is too large"),
				 errdetail("It has %zu bytes, root metadata has at most %d.", strlen(row->trusted_root),
						   DEPOT_TUF_ROOT_MAX_BYTES),
				 errhint("Give the publisher's root.json as it is, from a source you trust.")));
	if (row->root_sha256 != NULL && !depot_name_is_sha256(row->root_sha256))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("root_sha256 must be 64 lower-case hexadecimal digits")));
}

static bool
equal_or_both_null(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
is_same(const DepotRepositoryRow *a, const DepotRepositoryRow *b)
{
	if (strcmp(a->url, b->url) != 0 || a->priority != b->priority || a->mirror_count != b->mirror_count ||
		a->all_key_types != b->all_key_types ||
		!equal_or_both_null(a->trusted_root, b->trusted_root) ||
		!equal_or_both_null(a->root_sha256, b->root_sha256))
		return false;
	for (int i = 0; i < a->mirror_count; i++)
		if (strcmp(a->mirrors[i], b->mirrors[i]) != 0)
			return false;
	return true;
}

/* Runs in the transaction that records what the repository offers. */
static void
record_added(DepotJob *job)
{
	RepositoryJob *state = job->state;
	DepotHistoryRow history = {
		.action = "add repository",
		.repository = state->rows->name,
		.source = state->rows->url,
		.role = job->role,
		.database = job->database,
		.started_at = job->started_at
	};
	char	   *added_by = GetUserNameFromId(job->role, true);

	if (!depot_shmem_begin_commit(job->slot))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceled by its caller")));
	depot_catalog_add_repository(state->rows, added_by != NULL ? added_by : "");
	depot_catalog_add_history(&history);
	depot_catalog_bump_generation();
}

static void
finish_added(DepotJob *job)
{
	RepositoryJob *state = job->state;
	const DepotRefreshResult *refreshed = depot_refresh_result(job);

	depot_job_notice(job, "repository \"%s\" offers %d package%s for this server", state->rows->name,
					 refreshed->target_count, refreshed->target_count == 1 ? "" : "s");
	appendStringInfoString(&state->result, "{\"repository\":");
	escape_json(&state->result, state->rows->name);
	appendStringInfo(&state->result, ",\"packages\":%d", refreshed->target_count);
	append_expiry(&state->result, refreshed->expires_epoch_s);
	depot_job_finish(job, state->result.data);
}

/* A repository that was not recorded leaves no metadata. */
static void
clean_up_added(DepotJob *job)
{
	RepositoryJob *state = job->state;
	DepotError	error;

	if (state->is_new_directory &&
		!depot_files_remove_tree(depot_applied_root_fd(), psprintf("%s/%s", DEPOT_METADATA, state->rows->name), &error))
		depot_errors_raise(LOG, &error);
}

/* ---- drop ---- */

void
depot_drop_repository_start(DepotJob *job)
{
	RepositoryJob *state = begin_state(job);

	state->rows = palloc0(sizeof(DepotRepositoryRow));
	read_added(job, state->rows);
	check_name(state->rows->name);
	job->on_wake = drop_when_free;
	drop_when_free(job);
}

/* A refresh that runs is waited for: it would record what nobody wants any more. */
static void
drop_when_free(DepotJob *job)
{
	RepositoryJob *state = job->state;
	DepotHistoryRow history = {
		.action = "drop repository",
		.role = job->role,
		.database = job->database,
		.started_at = job->started_at
	};

	if (!depot_job_lock_repository(job, state->rows->name))
		return;
	job->on_wake = NULL;
	history.repository = state->rows->name;

	depot_catalog_begin();
	depot_job_check_may_change(job);
	if (!depot_catalog_drop_repository(state->rows->name))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("repository \"%s\" does not exist", state->rows->name)));
	if (!depot_shmem_begin_commit(job->slot))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceled by its caller")));
	depot_catalog_add_history(&history);
	depot_catalog_bump_generation();
	depot_catalog_commit();
	depot_job_finish(job, "");
}

/* ---- refresh ---- */

void
depot_refresh_repository_start(DepotJob *job)
{
	RepositoryJob *state = begin_state(job);
	DepotRepositoryRow *asked = palloc0(sizeof(DepotRepositoryRow));

	read_added(job, asked);
	state->is_single = asked->name != NULL;
	if (state->is_single)
		check_name(asked->name);

	depot_catalog_begin();
	depot_job_check_usable(job);
	state->count = depot_catalog_read_repositories(state->is_single ? asked->name : NULL, &state->rows);
	depot_catalog_commit();
	if (state->is_single && state->count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("repository \"%s\" does not exist", asked->name)));
	if (state->count == 0)
		depot_job_notice(job, "there is no repository; add one with add_extension_repository");
	if (!state->is_single)
		job->on_error = skip_failed;
	refresh_next(job);
}

static void
refresh_next(DepotJob *job)
{
	RepositoryJob *state = job->state;

	if (state->next == state->count)
	{
		job->on_error = NULL;
		depot_job_finish(job, state->result.data);
		return;
	}
	depot_refresh_begin(job, &state->rows[state->next], NULL, note_refreshed);
}

static void
note_refreshed(DepotJob *job)
{
	RepositoryJob *state = job->state;
	const DepotRefreshResult *refreshed = depot_refresh_result(job);

	appendStringInfoString(&state->result, state->result.len > 0 ? ",{\"repository\":" : "{\"repository\":");
	escape_json(&state->result, state->rows[state->next].name);
	appendStringInfo(&state->result, ",\"changed\":%s,\"packages\":%d",
					 refreshed->is_changed ? "true" : "false", refreshed->target_count);
	append_expiry(&state->result, refreshed->expires_epoch_s);
	state->next++;
	refresh_next(job);
}

/* One of several failed: say so and go on with the others. */
static void
skip_failed(DepotJob *job, const DepotReport *report)
{
	RepositoryJob *state = job->state;

	depot_job_let_go(job);
	depot_job_warn(job, report, "repository \"%s\"", state->rows[state->next].name);
	state->next++;
	refresh_next(job);
}
