/*-------------------------------------------------------------------------
 *
 * served_agent.c
 *	  Has the check agent verify what the seal does not hold.
 *
 * The one place where something waits for an agent: the postmaster, which has
 * nothing else to do before it has started.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "common/files.h"
#include "common/name.h"
#include "portability/instr_time.h"
#include "server/agent.h"
#include "server/message.h"
#include "server/paths.h"
#include "server/platform.h"
#include "server/served.h"
#include "server/settings.h"
#include "utils/json.h"
#include "utils/memutils.h"

/* A file of the largest size allowed is read in less than the first; nobody waits longer than the second to start. */
#define SILENCE_MS 60000
#define LONGEST_MS 600000

static void send_command(DepotAgent *agent, const char *stamp, bool is_complete);
static void read_answers(DepotServedCheck *check, DepotAgent *agent);
static bool take_line(DepotServedCheck *check, const char *line);
static bool take_message(DepotServedCheck *check, const DepotMessage *message);

char *
depot_served_ask_agent(DepotServedCheck *check, const char *stamp, bool is_complete)
{
	MemoryContext context = CurrentMemoryContext;
	DepotAgent *volatile agent = NULL;
	char	   *volatile failure = NULL;
	DepotError	error;
	int			var_fd = depot_files_open_directory(check->root_fd, "var", &error);

	if (var_fd < 0)
		return pstrdup(error.message);
	PG_TRY();
	{
		agent = depot_agent_start(DEPOT_AGENT_CHECK, var_fd, depot_settings_agent_memory_mb * DEPOT_MEGABYTE);
		send_command(agent, stamp, is_complete);
		read_answers(check, agent);
	}
	PG_CATCH();
	{
		ErrorData  *error_data;

		MemoryContextSwitchTo(context);
		error_data = CopyErrorData();
		FlushErrorState();
		failure = pstrdup(error_data->message);
		FreeErrorData(error_data);
	}
	PG_END_TRY();
	depot_agent_stop(agent);
	close(var_fd);
	return failure;
}

static void
append_member(StringInfo line, const char *name, const char *value)
{
	appendStringInfo(line, ",\"%s\":", name);
	escape_json(line, value);
}

static void
send_command(DepotAgent *agent, const char *stamp, bool is_complete)
{
	StringInfoData line;

	initStringInfo(&line);
	appendStringInfo(&line, "{\"command\":\"verify_tree\",\"complete\":%s", is_complete ? "true" : "false");
	append_member(&line, "share", depot_paths_layout()->share);
	append_member(&line, "lib", depot_paths_layout()->lib);
	append_member(&line, "stamp", stamp);
	append_member(&line, "trusted_roots", depot_settings_trusted_roots != NULL ? depot_settings_trusted_roots : "");
	appendStringInfoString(&line, ",\"server\":");
	depot_platform_append(&line);
	appendStringInfoChar(&line, '}');
	depot_agent_send(agent, line.data);
}

/* Waits until the agent has said something, or is gone. */
static void
wait_for_agent(DepotAgent *agent, int64 left_ms)
{
	struct pollfd poll_fd = {.fd = agent->socket, .events = POLLIN};
	int			ready = poll(&poll_fd, 1, (int) Min(left_ms, SILENCE_MS));

	if (ready < 0 && errno != EINTR)
		ereport(ERROR, (errcode_for_socket_access(), errmsg("could not wait for an agent: %m")));
	if (ready == 0)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED), errmsg("the check agent did not answer in time")));
}

static void
read_answers(DepotServedCheck *check, DepotAgent *agent)
{
	instr_time	started;
	instr_time	now;

	INSTR_TIME_SET_CURRENT(started);
	for (;;)
	{
		char	   *line;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, started);
		wait_for_agent(agent, Max(LONGEST_MS - (int64) INSTR_TIME_GET_MILLISEC(now), 0));
		depot_agent_receive(agent);
		while ((line = depot_agent_next_line(agent)) != NULL)
		{
			bool		is_done = take_line(check, line);

			pfree(line);
			if (is_done)
				return;
		}
		if (agent->is_at_end)
			ereport(ERROR,
					(errcode(ERRCODE_SYSTEM_ERROR), errmsg("the check agent ended unexpectedly")));
	}
}

/* Tells whether it was the last. */
static bool
take_line(DepotServedCheck *check, const char *line)
{
	DepotError	error;
	DepotMessage *message = depot_message_parse(line, strlen(line), &error);
	bool		is_done = false;

	if (message == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("the check agent sent nonsense: %s", error.message)));
	PG_TRY();
	{
		is_done = take_message(check, message);
	}
	PG_FINALLY();
	{
		depot_message_free(message);
	}
	PG_END_TRY();
	return is_done;
}

/* The served path of a member that a line names, palloc'd. */
static char *
served_path(const DepotMessage *message)
{
	const char *member = depot_message_string(message, "path");
	char		path[DEPOT_SERVED_PATH_BYTES];
	DepotError	error;

	if (member == NULL || !depot_store_served_path(depot_paths_layout(), member, path, &error))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("the check agent sent nonsense: no served path")));
	return pstrdup(path);
}

/* A required member, palloc'd. */
static char *
required(const DepotMessage *message, const char *member)
{
	const char *value = depot_message_string(message, member);

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("the check agent sent nonsense: no \"%s\"", member)));
	return pstrdup(value);
}

static void
note_problem(DepotServedCheck *check, const DepotMessage *message)
{
	DepotServedFile *file = depot_served_find(check, served_path(message));

	if (file == NULL || file->package != NULL)
		return;
	file->package = required(message, "package");
	file->problem = required(message, "problem");
}

static void
note_package(DepotServedCheck *check, const DepotMessage *message)
{
	DepotServedPackage package = {
		.package = required(message, "package"),
		.digest = required(message, "digest"),
		.manifest_sha256 = required(message, "manifest_sha256"),
		.is_whole = depot_message_bool(message, "whole")
	};
	const int	count = check->package_count;

	if (!depot_name_is_package(package.package) || !depot_name_is_sha256(package.digest) ||
		!depot_name_is_sha256(package.manifest_sha256))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("the check agent sent nonsense: no package")));
	check->packages = count == 0 ? palloc(sizeof(package)) : repalloc(check->packages, sizeof(package) * (count + 1));
	check->packages[check->package_count++] = package;
}

/* A control file that is sealed is none of the unsealed files, and leaves all the same. */
static void
note_withheld(DepotServedCheck *check, const DepotMessage *message)
{
	char	   *path = served_path(message);
	DepotServedFile *file = depot_served_find(check, path);
	const int	count = check->withheld_count;

	if (file != NULL)
	{
		file->is_withheld = true;
		return;
	}
	check->withheld = count == 0 ? palloc(sizeof(char *)) : repalloc(check->withheld, sizeof(char *) * (count + 1));
	check->withheld[check->withheld_count++] = path;
}

static bool
take_message(DepotServedCheck *check, const DepotMessage *message)
{
	const char *type = depot_message_string(message, "type");

	if (type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("the check agent sent nonsense: a line without a type")));
	if (strcmp(type, "done") == 0)
		return true;
	if (strcmp(type, "hello") == 0 && depot_message_integer(message, "protocol", 0) != DEPOT_AGENT_PROTOCOL)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("the check agent speaks another protocol version")));
	if (strcmp(type, "error") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR), errmsg("%s", required(message, "message"))));
	if (strcmp(type, "file") == 0)
	{
		DepotServedFile *file = depot_served_find(check, served_path(message));

		if (file != NULL)
			file->is_verified = true;
	}
	else if (strcmp(type, "problem") == 0)
		note_problem(check, message);
	else if (strcmp(type, "package") == 0)
		note_package(check, message);
	else if (strcmp(type, "withhold") == 0)
		note_withheld(check, message);
	return false;
}
