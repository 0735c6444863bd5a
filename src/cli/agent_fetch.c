/*-------------------------------------------------------------------------
 *
 * agent_fetch.c
 *	  The fetch agent: downloads files into its job directory.
 *
 * The only process that talks to a network.  It knows nothing of metadata,
 * signatures or packages, and what it writes is believed by nobody.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/agent.h"
#include "common/fetch.h"
#include "common/files.h"
#include "common/json.h"
#include "common/name.h"
#include "common/testpoint.h"

#define MAX_TIMEOUT_MS (24 * 60 * 60 * 1000)
#define MAX_RETRIES 100

/* A download and what its progress callback needs. */
typedef struct FetchCommand
{
	const char *bases[DEPOT_FETCH_MAX_BASES];
	int			base_count;
	const char *path;
	const char *file;
	int64_t		max_bytes;
	int64_t		expected_bytes;
	const char *sha256;
	bool		optional;
	bool		encoded;
} FetchCommand;

static bool run_configure(DepotAgent *agent, const json_t *command, DepotError *error);
static bool run_fetch(DepotAgent *agent, const json_t *command, DepotError *error);

/* Holds the job directory, which keeps it from being cleaned away while this process lives. */
static bool
begin_fetch(DepotAgent *agent, DepotError *error)
{
	if (flock(agent->directory_fd, LOCK_SH | LOCK_NB) != 0)
		return depot_error_set_errno(error, errno, "could not lock the job directory");
	return true;
}

static void
end_fetch(DepotAgent *agent)
{
	depot_fetch_close(agent->state);
	agent->state = NULL;
}

static const DepotAgentCommand fetch_commands[] = {
	{"configure", run_configure},
	{"fetch", run_fetch},
	{NULL, NULL}
};

const DepotAgentKind depot_agent_fetch = {
	.name = "fetch",
	.commands = fetch_commands,
	.begin = begin_fetch,
	.end = end_fetch,
};

/* Reads a string that may be null or absent. */
static bool
get_optional_string(const json_t *command, const char *member, const char **out, DepotError *error)
{
	if (json_is_null(json_object_get(command, member)))
		return true;
	return depot_json_get_string(command, member, false, out, DEPOT_ERROR_AGENT, error);
}

static bool
run_configure(DepotAgent *agent, const json_t *command, DepotError *error)
{
	DepotFetchOptions options = {0};
	int64_t		connect_timeout_ms;
	int64_t		stall_timeout_ms;
	int64_t		retries;
	DepotFetch *fetch;

	if (!depot_json_get_integer(command, "connect_timeout_ms", true, 1, &connect_timeout_ms,
								DEPOT_ERROR_AGENT, error) ||
		!depot_json_get_integer(command, "stall_timeout_ms", true, 1, &stall_timeout_ms, DEPOT_ERROR_AGENT,
								error) ||
		!depot_json_get_integer(command, "retries", true, 0, &retries, DEPOT_ERROR_AGENT, error) ||
		!depot_json_get_bool(command, "allow_http", true, &options.allow_http, DEPOT_ERROR_AGENT, error) ||
		!get_optional_string(command, "proxy", &options.proxy, error) ||
		!get_optional_string(command, "ca_file", &options.ca_file, error) ||
		!get_optional_string(command, "credentials_file", &options.credentials_file, error))
		return false;
	options.connect_timeout_ms = (int) (connect_timeout_ms < MAX_TIMEOUT_MS ? connect_timeout_ms :
										MAX_TIMEOUT_MS);
	options.stall_timeout_ms = (int) (stall_timeout_ms < MAX_TIMEOUT_MS ? stall_timeout_ms : MAX_TIMEOUT_MS);
	options.retries = (int) (retries < MAX_RETRIES ? retries : MAX_RETRIES);

	fetch = depot_fetch_open(&options, error);
	if (fetch == NULL)
		return false;
	depot_fetch_close(agent->state);
	agent->state = fetch;
	(void) depot_channel_send(&agent->channel, json_pack("{s:s}", "type", "done"));
	return true;
}

static bool
parse_fetch(const json_t *command, FetchCommand *parsed, DepotError *error)
{
	json_t	   *bases;

	memset(parsed, 0, sizeof(*parsed));
	if (!depot_json_get_array(command, "bases", true, &bases, DEPOT_ERROR_AGENT, error) ||
		!depot_json_get_string(command, "path", true, &parsed->path, DEPOT_ERROR_AGENT, error) ||
		!depot_agent_get_file(command, "file", &parsed->file, error) ||
		!depot_json_get_integer(command, "max_bytes", true, 1, &parsed->max_bytes, DEPOT_ERROR_AGENT,
								error) ||
		!depot_json_get_integer(command, "expected_bytes", false, 0, &parsed->expected_bytes,
								DEPOT_ERROR_AGENT, error) ||
		!get_optional_string(command, "sha256", &parsed->sha256, error) ||
		!depot_json_get_bool(command, "optional", false, &parsed->optional, DEPOT_ERROR_AGENT, error) ||
		!depot_json_get_bool(command, "encoded", false, &parsed->encoded, DEPOT_ERROR_AGENT, error))
		return false;
	if (parsed->sha256 != NULL && !depot_name_is_sha256(parsed->sha256))
		return depot_error_set(error, DEPOT_ERROR_AGENT, "member \"sha256\" is not a digest");
	if (json_array_size(bases) < 1 || json_array_size(bases) > DEPOT_FETCH_MAX_BASES)
		return depot_error_set(error, DEPOT_ERROR_AGENT, "a repository needs 1 to %d addresses",
							   DEPOT_FETCH_MAX_BASES);
	for (size_t i = 0; i < json_array_size(bases); i++)
	{
		parsed->bases[i] = json_string_value(json_array_get(bases, i));
		if (parsed->bases[i] == NULL)
			return depot_error_set(error, DEPOT_ERROR_AGENT, "member \"bases\" is not an array of strings");
	}
	parsed->base_count = (int) json_array_size(bases);
	return true;
}

static bool
report_progress(uint64_t bytes_done, uint64_t bytes_total, void *context)
{
	DepotAgent *agent = context;

	return depot_channel_send_progress(&agent->channel, NULL, bytes_done, bytes_total);
}

/* Names the addresses that failed where another one did not. */
static void
report_skipped(DepotAgent *agent, const DepotFetchResult *result)
{
	for (int i = 0; i < result->skipped_count; i++)
	{
		const DepotError *error = &result->skipped[i].error;

		(void) depot_channel_send(&agent->channel,
								  json_pack("{s:s, s:i, s:s, s:s, s:s, s:s}", "type", "skipped",
											"base", result->skipped[i].base_index,
											"code", depot_error_wire_name(error->code), "message", error->message,
											"detail", error->detail, "hint", error->hint));
	}
}

static bool
run_fetch(DepotAgent *agent, const json_t *command, DepotError *error)
{
	FetchCommand parsed;
	DepotFetchRequest request = {0};
	DepotFetchResult result;
	bool		ok = false;

	request.fd = -1;
	if (agent->state == NULL)
		return depot_error_set(error, DEPOT_ERROR_AGENT, "the fetch agent has not been configured");
	if (!parse_fetch(command, &parsed, error))
		return false;
	depot_test_point("fetch_begin");
	if (!depot_files_remove(agent->directory_fd, parsed.file, error))
		return false;
	request.fd = depot_files_open(agent->directory_fd, parsed.file, O_WRONLY | O_CREAT | O_EXCL, 0600, error);
	if (request.fd < 0)
		return false;
	request.bases = parsed.bases;
	request.base_count = parsed.base_count;
	request.path = parsed.path;
	request.max_bytes = (uint64_t) parsed.max_bytes;
	request.expected_bytes = (uint64_t) parsed.expected_bytes;
	request.sha256 = parsed.sha256;
	request.optional = parsed.optional;
	request.encoded = parsed.encoded;
	ok = depot_fetch_file(agent->state, &request, &result, report_progress, agent, error);
	if (close(request.fd) != 0 && ok)
		ok = depot_error_set_errno(error, errno, "could not close the download of \"%s\"", parsed.path);
	if (!ok || result.missing)
	{
		DepotError	ignored;

		/* a part of a file is of no use to anybody, and may fill the disk */
		(void) depot_files_remove(agent->directory_fd, parsed.file, &ignored);
	}
	if (!ok)
		return false;
	depot_test_point("fetch_end");
	if (!result.missing)
		report_skipped(agent, &result);
	(void) depot_channel_send(&agent->channel,
							  json_pack("{s:s, s:b, s:I, s:i}", "type", "done", "missing",
										(int) result.missing,
										"bytes", (json_int_t) result.bytes, "base", result.base_index));
	return true;
}
