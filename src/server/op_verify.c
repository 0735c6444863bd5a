/*-------------------------------------------------------------------------
 *
 * op_verify.c
 *	  Operation: have served files compared with their manifests.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/job.h"
#include "server/paths.h"
#include "utils/json.h"
#include "utils/memutils.h"

typedef struct Verify
{
	DepotVerifyRequest *requests;
	int			count;
	int			next;
	DepotJobStep then;
	StringInfoData rows;
	int			problem_count;
	bool	   *is_damaged;		/* per request */
} Verify;

static void begin_when_free(DepotJob *job);
static void send_next(DepotJob *job);
static void on_message(DepotJob *job, DepotAgent *agent, const DepotMessage *message);

void
depot_verify_begin(DepotJob *job, const DepotVerifyRequest *requests, int count, DepotJobStep then)
{
	MemoryContext old_context = MemoryContextSwitchTo(job->context);
	Verify	   *verify = palloc0(sizeof(Verify));

	verify->requests = palloc(sizeof(DepotVerifyRequest) * Max(count, 1));
	if (count > 0)
		memcpy(verify->requests, requests, sizeof(DepotVerifyRequest) * count);
	verify->is_damaged = palloc0(sizeof(bool) * Max(count, 1));
	verify->count = count;
	verify->then = then;
	initStringInfo(&verify->rows);
	MemoryContextSwitchTo(old_context);

	job->operation = verify;
	job->on_message = NULL;
	job->on_wake = begin_when_free;
	begin_when_free(job);
}

static void
begin_when_free(DepotJob *job)
{
	if (!depot_job_lock_agents(job, ""))
		return;
	job->on_wake = NULL;
	job->on_message = on_message;
	send_next(job);
}

const char *
depot_verify_rows(DepotJob *job, int *problem_count)
{
	Verify	   *verify = job->operation;

	*problem_count = verify->problem_count;
	return verify->rows.data;
}

bool
depot_verify_is_damaged(DepotJob *job, int index)
{
	return ((Verify *) job->operation)->is_damaged[index];
}

static void
send_next(DepotJob *job)
{
	Verify	   *verify = job->operation;
	const DepotVerifyRequest *request;
	StringInfoData line;

	if (verify->next == verify->count)
	{
		job->on_message = NULL;
		verify->then(job);
		return;
	}
	request = &verify->requests[verify->next];
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_VERIFYING, verify->next, verify->count);
	depot_job_need_agents(job, false);

	initStringInfo(&line);
	appendStringInfoString(&line, "{\"command\":\"verify_files\",\"share\":");
	escape_json(&line, depot_paths_layout()->share);
	appendStringInfoString(&line, ",\"lib\":");
	escape_json(&line, depot_paths_layout()->lib);
	appendStringInfoString(&line, ",\"package\":");
	escape_json(&line, request->package);
	appendStringInfoString(&line, ",\"manifest_sha256\":");
	escape_json(&line, request->manifest_sha256);
	appendStringInfoChar(&line, '}');
	depot_agent_send(job->check, line.data);
}

static void
on_message(DepotJob *job, DepotAgent *agent, const DepotMessage *message)
{
	Verify	   *verify = job->operation;
	const char *type = depot_message_string(message, "type");

	if (strcmp(type, "problem") == 0)
	{
		const char *path = depot_message_string(message, "path");
		const char *problem = depot_message_string(message, "problem");

		if (path == NULL || problem == NULL)
			depot_job_raise_agent_nonsense(agent, "a problem without a path");
		appendStringInfoString(&verify->rows, verify->rows.len > 0 ? ",{\"package\":" : "{\"package\":");
		escape_json(&verify->rows, verify->requests[verify->next].package);
		appendStringInfoString(&verify->rows, ",\"path\":");
		escape_json(&verify->rows, path);
		appendStringInfoString(&verify->rows, ",\"problem\":");
		escape_json(&verify->rows, problem);
		appendStringInfoChar(&verify->rows, '}');
		verify->problem_count++;
		verify->is_damaged[verify->next] = true;
	}
	else if (strcmp(type, "done") == 0)
	{
		verify->next++;
		send_next(job);
	}
	else if (strcmp(type, "progress") != 0)
		depot_job_raise_agent_nonsense(agent, "an unknown type of line");
}
