/*-------------------------------------------------------------------------
 *
 * op_refresh.c
 *	  Operation: fetch and check a repository's metadata, note what it offers.
 *
 * The check agent leads: it runs the TUF workflow and asks for files by name;
 * the leader has the fetch agent bring each and says so.  What the repository
 * offers replaces the rows of depot.available in one transaction.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/fetch.h"
#include "common/files.h"
#include "common/name.h"
#include "common/testpoint.h"
#include "nodes/pg_list.h"
#include "server/applied.h"
#include "server/bases.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/offers.h"
#include "server/platform.h"
#include "server/trust.h"
#include "utils/json.h"
#include "utils/memutils.h"

/* Metadata younger than this is not fetched again before an installation. */
#define FRESH_SECONDS 3600
/* The target that lists withdrawn builds (common/withdrawn.h, which the server's headers do not go with). */
#define WITHDRAWN_TARGET "withdrawn.json"

typedef struct Refresh
{
	DepotRepositoryRow row;
	DepotJobStep record;
	DepotJobStep then;
	DepotOffers offers;
	DepotBases	bases;
	DepotRoleRow *roles;
	int			role_count;
	DepotTrust *trust;
	char		needed_file[64];	/* what the fetch agent is bringing */
	bool		has_fetch_failed;	/* the check agent was told so, and is going to give up */
	DepotError	fetch_error;	/* why */
	bool		with_targets;	/* list them even when nothing has changed */
	bool		is_changed;		/* the agent has accepted newer metadata */
	bool		has_targets;	/* targets are all that it offers now */
	int64		snapshot_version;
	DepotRefreshResult result;
} Refresh;

static void begin_when_free(DepotJob *job);
static void send_refresh(DepotJob *job);
static bool on_agent_error(DepotJob *job, DepotAgent *agent, const DepotError *error);
static void on_message(DepotJob *job, DepotAgent *agent, const DepotMessage *message);
static void on_check_message(DepotJob *job, const DepotMessage *message, const char *type);
static void on_fetch_message(DepotJob *job, const DepotMessage *message, const char *type);
static void finish(DepotJob *job, const DepotMessage *message);
static void record_refresh(DepotJob *job);

void
depot_refresh_begin(DepotJob *job, const DepotRepositoryRow *row, DepotJobStep record, DepotJobStep then)
{
	Refresh    *refresh = MemoryContextAllocZero(job->context, sizeof(Refresh));

	refresh->row = *row;
	refresh->with_targets = !row->is_refreshed || !row->has_available;
	refresh->record = record;
	refresh->then = then;
	depot_bases_begin(&refresh->bases, &refresh->row);
	refresh->trust = depot_trust_begin(job, row);
	job->operation = refresh;
	job->on_message = NULL;
	job->on_wake = begin_when_free;
	begin_when_free(job);
}

const DepotRefreshResult *
depot_refresh_result(DepotJob *job)
{
	return &((Refresh *) job->operation)->result;
}

DepotOffers *
depot_refresh_offers(DepotJob *job)
{
	return &((Refresh *) job->operation)->offers;
}

bool
depot_refresh_is_stale(const DepotRepositoryRow *row)
{
	return !row->is_refreshed || row->is_expired || row->refreshed_age_s > FRESH_SECONDS ||
		!depot_refresh_has_metadata(row->name);
}

bool
depot_refresh_has_metadata(const char *repository)
{
	char	   *path = psprintf("metadata/%s/%s.json", repository, depot_platform_role());
	bool		is_there = faccessat(depot_applied_var_fd(), path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;

	pfree(path);
	return is_there;
}

static void
begin_when_free(DepotJob *job)
{
	Refresh    *refresh = job->operation;

	if (!depot_job_lock_repository_with_agents(job, refresh->row.name))
		return;
	job->on_wake = NULL;
	job->on_message = on_message;
	job->refreshing = refresh->row.name;
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_REFRESHING, 0, 0);

	/* Agents of an earlier operation may still have something to say. */
	depot_job_stop_agents(job);
	depot_job_begin_staging(job);
	depot_job_need_agents(job, true);
	job->on_agent_error = on_agent_error;
	depot_job_transact(job, send_refresh);
}

static void
send_refresh(DepotJob *job)
{
	Refresh    *refresh = job->operation;
	StringInfoData line;

	initStringInfo(&line);
	appendStringInfoString(&line, "{\"command\":\"refresh\",\"repository\":");
	escape_json(&line, refresh->row.name);
	appendStringInfo(&line, ",\"job\":\"%s\",\"role\":\"%s\",\"reference_time\":" INT64_FORMAT
					 ",\"all_key_types\":%s,\"only_if_changed\":%s",
					 depot_job_staging(job)->name,
					 refresh->row.slice != NULL ? refresh->row.slice : depot_platform_role(),
					 depot_platform_reference_time(),
					 refresh->row.all_key_types ? "true" : "false", refresh->with_targets ? "false" : "true");
	depot_trust_append(refresh->trust, &line);
	appendStringInfoChar(&line, '}');
	depot_agent_send(job->check, line.data);
}

/*
 * What is wrong with an address makes the refresh begin again with the next one, from what is trusted by then:
 * so all files are of one address, and none can be mixed with another's.  An agent's own trouble is an error.
 */
static bool
on_agent_error(DepotJob *job, DepotAgent *agent, const DepotError *error)
{
	Refresh    *refresh = job->operation;

	if (agent->kind == DEPOT_AGENT_FETCH)
	{
		if (depot_fetch_blame(error->code) == 0)
			return false;
		refresh->has_fetch_failed = true;
		refresh->fetch_error = *error;
		depot_agent_send(job->check, "{\"command\":\"failed\"}");
		return true;
	}
	if (refresh->has_fetch_failed)
		error = &refresh->fetch_error;
	else if (depot_fetch_blame(error->code) == 0)
		return false;
	depot_bases_skip(job, &refresh->bases, error);
	refresh->has_fetch_failed = false;
	depot_offers_forget(&refresh->offers);
	depot_job_transact(job, send_refresh);
	return true;
}

static void
on_message(DepotJob *job, DepotAgent *agent, const DepotMessage *message)
{
	const char *type = depot_message_string(message, "type");

	if (agent->kind == DEPOT_AGENT_CHECK)
		on_check_message(job, message, type);
	else
		on_fetch_message(job, message, type);
}

/*
 * The next root is looked for until it is not found.  One address that says so is enough: the others may be
 * out of reach, and what an old root hides, expiry ends.
 */
static bool
is_root(const char *path)
{
	const char *end = strstr(path, ".root.json");

	return end != NULL && strcmp(end, ".root.json") == 0 && strcmp(path, "metadata/1.root.json") != 0;
}

/* The list of withdrawn builds, which is named by its digest. */
static bool
is_withdrawn_list(const char *path, const char *sha256)
{
	return sha256 != NULL && depot_name_is_sha256(sha256) &&
		strcmp(path, psprintf("targets/%s." WITHDRAWN_TARGET, sha256)) == 0;
}

/* Has the fetch agent bring what the check agent lacks; with a digest its length is known, too. */
static void
fetch_needed(DepotJob *job, const DepotMessage *message)
{
	Refresh    *refresh = job->operation;
	const char *path = depot_message_string(message, "path");
	const char *file = depot_message_string(message, "file");
	const char *sha256 = depot_message_string(message, "sha256");
	int64		max_bytes = depot_message_integer(message, "max_bytes", 0);
	StringInfoData line;

	if (path == NULL || file == NULL ||
		!(sha256 == NULL ? strncmp(path, "metadata/", 9) == 0 : is_withdrawn_list(path, sha256)) ||
		!depot_name_is_relative_path(path) || !depot_name_is_relative_path(file) ||
		strchr(file, '/') != NULL || strlen(file) >= sizeof(refresh->needed_file))
		depot_job_raise_agent_nonsense(job->check, "a file that is none of a repository's metadata");
	strlcpy(refresh->needed_file, file, sizeof(refresh->needed_file));

	initStringInfo(&line);
	appendStringInfoString(&line, "{\"command\":\"fetch\",\"bases\":[");
	escape_json(&line, depot_bases_url(&refresh->row, refresh->bases.current));
	appendStringInfo(&line, "],\"path\":\"%s\",\"file\":\"%s\",\"max_bytes\":" INT64_FORMAT
					 ",\"expected_bytes\":" INT64_FORMAT,
					 path, file, max_bytes, sha256 == NULL ? INT64CONST(0) : max_bytes);
	if (sha256 != NULL)
		appendStringInfo(&line, ",\"sha256\":\"%s\"", sha256);
	appendStringInfo(&line, ",\"optional\":%s}", is_root(path) ? "true" : "false");
	depot_agent_send(job->fetch, line.data);
}

static void
on_check_message(DepotJob *job, const DepotMessage *message, const char *type)
{
	Refresh    *refresh = job->operation;

	if (strcmp(type, "need") == 0)
		fetch_needed(job, message);
	else if (strcmp(type, "target") == 0)
		depot_offers_add(&refresh->offers, refresh->row.name, job->check, message);
	else if (strcmp(type, "withdrawn") == 0)
		depot_offers_add_withdrawn(&refresh->offers, job->check, message);
	else if (strcmp(type, "warning") == 0)
	{
		const char *text = depot_message_string(message, "message");
		DepotReport report = {.sqlstate = "01000"};

		strlcpy(report.message, text != NULL ? text : "", sizeof(report.message));
		depot_job_warn(job, &report, "repository \"%s\"", refresh->row.name);
	}
	else if (strcmp(type, "done") == 0)
		finish(job, message);
	else if (strcmp(type, "progress") != 0 && !depot_trust_take_line(refresh->trust, message, type))
		depot_job_raise_agent_nonsense(job->check, "an unknown type of line");
}

/* A done without a "base" answers the configuration. */
static void
on_fetch_message(DepotJob *job, const DepotMessage *message, const char *type)
{
	Refresh    *refresh = job->operation;

	if (strcmp(type, "progress") == 0)
		depot_shmem_set_phase(job->slot, DEPOT_PHASE_REFRESHING,
							  depot_message_integer(message, "bytes", 0),
							  depot_message_integer(message, "total", 0));
	else if (strcmp(type, "done") != 0)
		depot_job_raise_agent_nonsense(job->fetch, "an unknown type of line");
	else if (depot_message_bool(message, "missing"))
		depot_agent_send(job->check, "{\"command\":\"missing\"}");
	else if (depot_message_integer(message, "base", -1) >= 0)
		depot_agent_send(job->check, psprintf("{\"command\":\"have\",\"file\":\"%s\"}", refresh->needed_file));
}

/* Keeps the roles of the agent's closing line. */
static void
read_roles(Refresh *refresh, const DepotMessage *message)
{
	size_t		count = depot_message_array_size(message, "roles");

	refresh->roles = palloc0(sizeof(DepotRoleRow) * Max(count, 1));
	refresh->role_count = 0;
	for (size_t i = 0; i < count; i++)
	{
		const DepotMessage *element = depot_message_array_object(message, "roles", i);
		const char *name = element != NULL ? depot_message_string(element, "name") : NULL;
		DepotRoleRow *row = &refresh->roles[refresh->role_count];

		if (name == NULL)
			continue;
		row->name = pstrdup(name);
		row->version = depot_message_integer(element, "version", 0);
		row->expires_epoch_s = depot_message_integer(element, "expires", 0);
		refresh->role_count++;
	}
}

/* Version of a role; 0 when it is not there. */
static int64
role_version(const Refresh *refresh, const char *role)
{
	for (int i = 0; i < refresh->role_count; i++)
		if (strcmp(refresh->roles[i].name, role) == 0)
			return refresh->roles[i].version;
	return 0;
}

/*
 * The trusted files may be newer than the rows: a transaction that failed, a
 * crash between the two, or a table emptied by hand.  Then the targets are asked for once more, whole.
 */
static void
finish(DepotJob *job, const DepotMessage *message)
{
	Refresh    *refresh = job->operation;

	read_roles(refresh, message);
	refresh->snapshot_version = role_version(refresh, "snapshot");
	refresh->is_changed = depot_message_bool(message, "changed");
	refresh->has_targets = refresh->with_targets || refresh->is_changed;
	if (!refresh->has_targets && refresh->snapshot_version != refresh->row.snapshot_version)
	{
		refresh->with_targets = true;
		depot_job_transact(job, send_refresh);
		return;
	}
	refresh->result.expires_epoch_s = depot_message_integer(message, "expires", 0);
	job->on_message = NULL;
	job->on_agent_error = NULL;
	depot_bases_note(depot_bases_url(&refresh->row, refresh->bases.current), true);
	depot_trust_read_files(refresh->trust, message);
	depot_job_transact(job, record_refresh);
}

static void
record_refresh(DepotJob *job)
{
	Refresh    *refresh = job->operation;

	/*
	 * On a standby the agent's files are all that is kept: rows come from the primary.  Rows are of its own
	 * slice.
	 */
	if (RecoveryInProgress() || refresh->row.slice != NULL)
	{
		job->refreshing = NULL;
		depot_job_let_go(job);
		refresh->then(job);
		return;
	}
	depot_catalog_begin();
	depot_job_check_may_change(job);
	if (refresh->record != NULL)
		refresh->record(job);
	if (refresh->has_targets)
	{
		depot_offers_record(&refresh->offers, refresh->row.name);
	}
	depot_catalog_write_roles(refresh->row.name, refresh->roles, refresh->role_count);
	if (!depot_catalog_note_refresh(refresh->row.name, refresh->snapshot_version, refresh->result.expires_epoch_s))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("repository \"%s\" was dropped meanwhile", refresh->row.name)));
	depot_trust_record(refresh->trust);
	refresh->result.target_count = depot_catalog_count_available(refresh->row.name);
	refresh->result.is_changed = refresh->is_changed ||
		refresh->snapshot_version != refresh->row.snapshot_version ||
		(refresh->result.target_count > 0) != refresh->row.has_available;
	depot_test_point("refresh_before_commit");
	depot_catalog_commit();
	job->refreshing = NULL;
	depot_test_point("refresh_after_commit");
	depot_trust_note_recorded(refresh->trust);
	if (refresh->result.is_changed)
		depot_declared_request(true);

	depot_offers_forget(&refresh->offers);
	depot_job_let_go(job);
	refresh->then(job);
}
