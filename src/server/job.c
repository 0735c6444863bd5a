/*-------------------------------------------------------------------------
 *
 * job.c
 *	  A request as the leader works on it: its agents, staging and answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/paths.h"
#include "server/policy.h"
#include "server/settings.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

DepotJob *
depot_job_create(int slot, const DepotSlot *request)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_depot job", ALLOCSET_DEFAULT_SIZES);
	DepotJob   *job = MemoryContextAllocZero(context, sizeof(DepotJob));
	MemoryContext old_context = MemoryContextSwitchTo(context);

	job->context = context;
	job->slot = slot;
	job->started_at = request != NULL ? request->started_at : GetCurrentTimestamp();
	if (request != NULL)
	{
		job->kind = request->kind;
		job->role = request->role;
		job->database = request->database;
	}
	initStringInfo(&job->notices);
	for (int i = 0; i < DEPOT_JOB_MAX_STAGINGS; i++)
		job->stagings[i].fd = -1;
	MemoryContextSwitchTo(old_context);
	return job;
}

/* Copies the argument out of the slot, or out of the segment the caller made for it. */
static void
read_argument(DepotJob *job, const DepotSlot *request)
{
	dsm_segment *segment;

	if (request->argument_segment == DSM_HANDLE_INVALID)
	{
		job->argument = pnstrdup(request->argument, request->argument_bytes);
		return;
	}
	segment = dsm_attach(request->argument_segment);
	if (segment == NULL || dsm_segment_map_length(segment) < request->argument_bytes)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the caller of the request has gone")));
	job->argument = pnstrdup(dsm_segment_address(segment), request->argument_bytes);
	dsm_detach(segment);
}

void
depot_job_begin(DepotJob *job)
{
	DepotSlot  *request;

	if (job->slot < 0)
	{
		job->begin(job);
		return;
	}
	if (job->argument == NULL)
	{
		request = palloc(sizeof(DepotSlot));
		depot_shmem_read(job->slot, request);
		read_argument(job, request);
	}

	switch (job->kind)
	{
		case DEPOT_REQUEST_INSTALL:
		case DEPOT_REQUEST_UPDATE:
			depot_install_start(job);
			break;
		case DEPOT_REQUEST_READ_LOCK:
			depot_read_lock_start(job);
			break;
		case DEPOT_REQUEST_APPLY_LOCK:
			depot_apply_lock_start(job);
			break;
		case DEPOT_REQUEST_UNINSTALL:
			depot_uninstall_start(job);
			break;
		case DEPOT_REQUEST_ADD_REPOSITORY:
			depot_add_repository_start(job);
			break;
		case DEPOT_REQUEST_DROP_REPOSITORY:
			depot_drop_repository_start(job);
			break;
		case DEPOT_REQUEST_REFRESH_REPOSITORY:
			depot_refresh_repository_start(job);
			break;
		case DEPOT_REQUEST_VERIFY_FILES:
			depot_verify_files_start(job);
			break;
		case DEPOT_REQUEST_READ_VIEW:
			depot_read_view_start(job);
			break;
		case DEPOT_REQUEST_CHECK_LIST:
			depot_check_list_start(job);
			break;
		case DEPOT_REQUEST_ADD_NODE:
			depot_add_node_start(job);
			break;
		case DEPOT_REQUEST_DROP_NODE:
			depot_drop_node_start(job);
			break;
	}
}

void
depot_job_destroy(DepotJob *job)
{
	Assert(job->is_finished && job->check == NULL && job->staging_count == 0);
	MemoryContextDelete(job->context);
}

void
depot_job_stop_agents(DepotJob *job)
{
	depot_agent_stop(job->fetch);
	depot_agent_stop(job->check);
	job->fetch = NULL;
	job->check = NULL;
}

/* Appends a setting as a JSON string, or null where it is empty. */
static void
append_text_or_null(StringInfo out, const char *text)
{
	if (text[0] != '\0')
		escape_json(out, text);
	else
		appendStringInfoString(out, "null");
}

/* Tells the fetch agent the settings as they are now; of credentials only where they are. */
static void
configure_fetch(DepotAgent *agent)
{
	StringInfoData line;

	initStringInfo(&line);
	appendStringInfo(&line, "{\"command\":\"configure\",\"connect_timeout_ms\":%d,\"stall_timeout_ms\":%d,"
					 "\"allow_http\":%s,\"retries\":2,\"proxy\":",
					 depot_settings_connect_timeout_ms, depot_settings_stall_timeout_ms,
					 depot_settings_allow_http ? "true" : "false");
	append_text_or_null(&line, depot_settings_proxy);
	appendStringInfoString(&line, ",\"ca_file\":");
	append_text_or_null(&line, depot_settings_ca_file);
	appendStringInfoString(&line, ",\"credentials_file\":");
	append_text_or_null(&line, depot_settings_credentials_file);
	appendStringInfoChar(&line, '}');
	depot_agent_send(agent, line.data);
}

static int64
agent_memory_bytes(void)
{
	return depot_settings_agent_memory_mb * DEPOT_MEGABYTE;
}

void
depot_job_need_agents(DepotJob *job, bool with_fetch)
{
	/* The one whose work comes first is started first. */
	if (with_fetch && job->fetch == NULL)
	{
		job->fetch = depot_agent_start(DEPOT_AGENT_FETCH, depot_job_staging(job)->fd, agent_memory_bytes());
		configure_fetch(job->fetch);
	}
	if (job->check == NULL)
		job->check = depot_agent_start(DEPOT_AGENT_CHECK, depot_applied_var_fd(), agent_memory_bytes());
}

/* Of all jobs. */
static int	staging_total = 0;

DepotStaging *
depot_job_begin_staging(DepotJob *job)
{
	DepotStaging *staging;
	DepotError	error;

	if (job->staging_count == DEPOT_JOB_MAX_STAGINGS)
		elog(ERROR, "a job has too many staging directories");
	depot_agent_stop(job->fetch);
	job->fetch = NULL;

	staging = &job->stagings[job->staging_count];
	staging->fd = depot_store_begin_job(depot_applied_root_fd(), staging->name, &error);
	if (staging->fd < 0)
		depot_errors_raise(ERROR, &error);
	job->staging_count++;
	staging_total++;
	return staging;
}

DepotStaging *
depot_job_staging(DepotJob *job)
{
	if (job->staging_count == 0)
		return depot_job_begin_staging(job);
	return &job->stagings[job->staging_count - 1];
}

bool
depot_job_is_staging_elsewhere(const DepotJob *job)
{
	return staging_total > job->staging_count;
}

static void
end_stagings(DepotJob *job)
{
	if (job->staging_count > 0)
		depot_job_note_staging_end();
	while (job->staging_count > 0)
	{
		DepotStaging *staging = &job->stagings[--job->staging_count];

		staging_total--;
		if (staging->is_kept)
			close(staging->fd);
		else
			depot_store_end_job(depot_applied_root_fd(), staging->name, staging->fd);
		staging->fd = -1;
		staging->has_package = false;
		staging->is_kept = false;
	}
}

void
depot_job_let_go(DepotJob *job)
{
	job->on_agent_error = NULL;
	job->is_eager = false;
	depot_job_stop_agents(job);
	end_stagings(job);
	depot_job_unlock_repository(job);
	depot_job_unlock_agents(job);
}

void
depot_job_resume(DepotJob *job, DepotJobStep step)
{
	depot_job_let_go(job);
	job->on_message = NULL;
	job->on_wake = step;
	SetLatch(MyLatch);
}

/* What the caller shall be told besides the answer; the leader's own jobs tell the log. */
static void
append_notice(DepotJob *job, int elevel, const DepotReport *report)
{
	if (job->slot < 0)
	{
		depot_errors_raise_report(elevel == NOTICE ? LOG : elevel, report);
		return;
	}
	if (job->notices.len > 0)
		appendStringInfoChar(&job->notices, ',');
	appendStringInfo(&job->notices, "{\"is_warning\":%s,\"sqlstate\":\"%s\",\"message\":",
					 elevel == WARNING ? "true" : "false", report->sqlstate);
	depot_errors_append_json(&job->notices, report->message);
	appendStringInfoString(&job->notices, ",\"detail\":");
	depot_errors_append_json(&job->notices, report->detail);
	appendStringInfoString(&job->notices, ",\"hint\":");
	depot_errors_append_json(&job->notices, report->hint);
	appendStringInfoChar(&job->notices, '}');
}

static void append_formatted(DepotJob *job, bool is_logged, const char *format, va_list arguments) DEPOT_PRINTF(3, 0);

static void
append_formatted(DepotJob *job, bool is_logged, const char *format, va_list arguments)
{
	DepotReport report = {.sqlstate = "00000"};

	vsnprintf(report.message, sizeof(report.message), format, arguments);
	append_notice(job, NOTICE, &report);
	/* The leader's own jobs tell the log anyway. */
	if (is_logged && job->slot >= 0)
		depot_errors_raise_report(LOG, &report);
}

void
depot_job_notice(DepotJob *job, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	append_formatted(job, false, format, arguments);
	va_end(arguments);
}

void
depot_job_note_change(DepotJob *job, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	append_formatted(job, true, format, arguments);
	va_end(arguments);
}

void
depot_job_warn(DepotJob *job, const DepotReport *report, const char *format,...)
{
	DepotReport warning = *report;
	char		prefix[DEPOT_ERROR_MESSAGE_BYTES];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(prefix, sizeof(prefix), format, arguments);
	va_end(arguments);
	/* The check agent names the repository already. */
	if (strncmp(report->message, prefix, strlen(prefix)) != 0)
		snprintf(warning.message, sizeof(warning.message), "%s: %s", prefix, report->message);
	append_notice(job, WARNING, &warning);
}

/* Everything the job held outside its memory is gone before its caller hears of the end. */
static void
end(DepotJob *job)
{
	job->is_finished = true;
	job->result = NULL;
	job->on_message = NULL;
	job->on_wake = NULL;
	job->blocked_step = NULL;
	depot_job_let_go(job);
	depot_job_unlock_packages(job);
	depot_job_release_payloads(job);
}

void
depot_job_finish(DepotJob *job, const char *rows)
{
	end(job);
	/* Whatever happens to the answer, what was done stands. */
	job->on_error = NULL;
	job->on_failure = NULL;
	if (job->on_end != NULL)
		job->on_end(job, NULL);
	if (job->slot < 0)
		return;
	job->result = MemoryContextStrdup(job->context, psprintf("{\"notices\":[%s],\"rows\":[%s]}",
															 job->notices.data, rows));
	if (depot_shmem_answer(job->slot, job->result, strlen(job->result)))
		job->result = NULL;
}

void
depot_job_fail(DepotJob *job, const DepotReport *report)
{
	end(job);
	if (job->on_failure != NULL)
		job->on_failure(job);
	if (job->slot >= 0)
		depot_shmem_answer_error(job->slot, report);
	else if (job->on_end != NULL)
		job->on_end(job, report);
	else
		depot_errors_raise_report(WARNING, report);
}

void
depot_job_read_agent_error(const DepotMessage *message, DepotError *error)
{
	const char *code = depot_message_string(message, "code");
	const char *text = depot_message_string(message, "message");
	const char *detail = depot_message_string(message, "detail");
	const char *hint = depot_message_string(message, "hint");

	depot_error_set(error, depot_error_from_wire_name(code != NULL ? code : ""), "%s",
					text != NULL ? text : "an agent failed without a message");
	if (detail != NULL)
		depot_error_detail(error, "%s", detail);
	if (hint != NULL)
		depot_error_hint(error, "%s", hint);
}

void
depot_job_raise_agent_nonsense(const DepotAgent *agent, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("unexpected answer of the %s agent: %s", depot_agent_kind_name(agent->kind), what),
			 errhint("Library and program must be of the same version; restart the server after an upgrade.")));
	pg_unreachable();
}

void
depot_job_raise(const DepotError *error)
{
	depot_errors_raise(ERROR, error);
	pg_unreachable();
}

void
depot_job_check_exists(void)
{
	if (!depot_catalog_exists())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension pg_depot does not exist in database \"%s\" for other sessions",
						get_database_name(MyDatabaseId)),
				 errhint("Create it there; if this transaction created or dropped it, commit first.")));
}

void
depot_job_check_usable(DepotJob *job)
{
	const char *reason = depot_paths_inactive_reason();
	DepotError	error;

	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_depot is inactive on this server"),
				 errdetail("%s", reason)));
	depot_job_check_exists();
	if (job->slot >= 0 &&
		!depot_policy_allows(depot_shmem_kind_name(job->kind), depot_catalog_role_is_superuser(job->role), &error))
		depot_job_raise(&error);
}

void
depot_job_check_may_change(DepotJob *job)
{
	depot_job_check_usable(job);
	if (depot_settings_hold)
		depot_errors_raise_hold();
}

void
depot_job_append_bases(StringInfo out, const DepotRepositoryRow *row)
{
	appendStringInfoChar(out, '[');
	escape_json(out, row->url);
	for (int i = 0; i < row->mirror_count; i++)
	{
		appendStringInfoChar(out, ',');
		escape_json(out, row->mirrors[i]);
	}
	appendStringInfoChar(out, ']');
}
