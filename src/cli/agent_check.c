/*-------------------------------------------------------------------------
 *
 * agent_check.c
 *	  The check agent: what it shares, and refreshing a repository's metadata.
 *
 * It runs the client workflow of The Update Framework on the metadata that is
 * trusted so far.  What it lacks it asks the leader for, who has the fetch agent
 * put it into the job directory; the answer to a "need" line is the one
 * place where commands are read inside of a command.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/agent.h"
#include "cli/agent_check_verified.h"
#include "cli/agent_sandbox.h"
#include "cli/agent_trust.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/json.h"
#include "common/manifest.h"
#include "common/name.h"
#include "common/publisher.h"
#include "common/store.h"
#include "common/tuf.h"

/* Address space; enough for 20 MB of metadata or a package of any size, too little to hurt the server. */
#define DEFAULT_MEMORY_BYTES (UINT64_C(256) * 1024 * 1024)

#define MAX_WARNINGS 20

/* A target line must fit beside its path and digest. */
#define CUSTOM_LIMIT_BYTES (DEPOT_CHANNEL_LINE_BYTES - 4096)

typedef struct Refresh
{
	DepotAgent *agent;
	const char *repository;
	const char *role;			/* of the server's platform */
	bool		only_if_changed;
	int			job_fd;
	int			need_count;
	int			target_count;
	int			warning_count;
	DepotBuffer text;			/* of a target's description */
} Refresh;

static bool
begin_check(DepotAgent *agent, DepotError *error)
{
	(void) agent;
	return depot_digest_init(error) && depot_agent_enter_sandbox(error);
}

static const DepotAgentCommand check_commands[] = {
	{"refresh", depot_agent_check_refresh},
	{"prepare", depot_agent_check_prepare},
	{"package", depot_agent_check_package},
	{"verify_files", depot_agent_check_verify_files},
	{"verify_tree", depot_agent_check_verify_tree},
	{NULL, NULL}
};

const DepotAgentKind depot_agent_check = {
	.name = "check",
	.memory_bytes = DEFAULT_MEMORY_BYTES,
	.commands = check_commands,
	.begin = begin_check,
};

/*----- asking for files ---------------------------------------------------------*/

/* Reads the leader's answer to a need. */
static bool
read_answer(Refresh *refresh, const char *path, const char *file, bool *missing, DepotError *error)
{
	json_t	   *message;
	const char *command = "";
	const char *given = "";
	bool		ok = false;

	if (depot_channel_read(&refresh->agent->channel, &message, error) != DEPOT_CHANNEL_MESSAGE)
		return false;
	if (!depot_json_get_string(message, "command", true, &command, DEPOT_ERROR_AGENT, error))
		goto done;
	*missing = strcmp(command, "missing") == 0;
	if (strcmp(command, "have") == 0)
	{
		if (!depot_agent_get_file(message, "file", &given, error))
			goto done;
		if (strcmp(given, file) != 0)
		{
			depot_error_set(error, DEPOT_ERROR_AGENT, "the leader answered with another file than asked for");
			goto done;
		}
	}
	else if (strcmp(command, "failed") == 0)
	{
		depot_error_set(error, DEPOT_ERROR_UNREACHABLE, "\"%s\" could not be fetched", path);
		goto done;
	}
	else if (!*missing)
	{
		depot_error_set(error, DEPOT_ERROR_AGENT, "expected an answer to a need");
		goto done;
	}
	ok = true;
done:
	json_decref(message);
	return ok;
}

/* Has the leader fetch a file; sha256 NULL: what it is must be found out from its contents. */
static bool
bring_file(void *context, const char *path, size_t max_bytes, const char *sha256, DepotBuffer *out, bool *missing,
		   DepotError *error)
{
	Refresh    *refresh = context;
	char		file[32];
	bool		ok;

	snprintf(file, sizeof(file), "need-%d", ++refresh->need_count);
	if (!depot_channel_send(&refresh->agent->channel,
							json_pack("{s:s, s:s, s:I, s:s, s:s?}", "type", "need", "path", path,
									  "max_bytes", (json_int_t) max_bytes, "file", file, "sha256", sha256)))
		return depot_error_set(error, DEPOT_ERROR_AGENT, "could not ask the leader for a file");
	if (!read_answer(refresh, path, file, missing, error))
		return false;
	if (*missing)
		return true;
	ok = depot_files_read(refresh->job_fd, file, max_bytes, out, error);
	if (ok)
		ok = depot_files_remove(refresh->job_fd, file, error);
	return ok;
}

/* Has the leader fetch metadata/<file_name>; the DepotTufFetch of this agent. */
static bool
fetch_through_leader(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing,
					 DepotError *error)
{
	char		path[sizeof("metadata/") + 256];

	snprintf(path, sizeof(path), "metadata/%s", file_name);
	return bring_file(context, path, max_bytes, NULL, out, missing, error);
}

/*----- the first root -------------------------------------------------------------*/

/* Fetches version 1 of the root and compares it with a digest; the DepotAgentFetchRoot of this agent. */
static bool
fetch_initial_root(void *context, const char *sha256, DepotBuffer *root, DepotError *error)
{
	Refresh    *refresh = context;
	bool		missing = false;
	char		found[DEPOT_SHA256_HEX_BYTES];

	if (!fetch_through_leader(refresh, "1.root.json", DEPOT_TUF_ROOT_MAX_BYTES, root, &missing, error))
		return false;
	if (missing)
	{
		depot_error_set(error, DEPOT_ERROR_ROOT_INVALID, "it has no metadata/1.root.json");
		return depot_error_hint(error, "Check the repository's address.");
	}
	depot_digest_sha256_hex(root->data, root->length_bytes, found);
	if (strcmp(found, sha256) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_ROOT_INVALID, "its first root is not the one that was given");
		depot_error_detail(error, "Expected sha256 %s, found %s.", sha256, found);
		return depot_error_hint(error,
								"Ask the publisher for the digest, by another way than the repository.");
	}
	return true;
}

/*----- targets ----------------------------------------------------------------------*/

static bool
warn(Refresh *refresh, const DepotTufTarget *target, const char *reason)
{
	char		shown[200];
	char		role[DEPOT_NAME_MAX_BYTES + 2];

	if (++refresh->warning_count > MAX_WARNINGS)
		return true;
	return depot_channel_send_warning(&refresh->agent->channel,
									  "target \"%s\" of role \"%s\" is ignored: %s",
									  depot_name_printable(target->path, shown, sizeof(shown)),
									  depot_name_printable(target->role, role, sizeof(role)), reason);
}

/* Queues a target's line.  A path that is one of a package needs no escapes in JSON. */
static bool
queue_target(Refresh *refresh, const DepotTufTarget *target)
{
	char		line[DEPOT_CHANNEL_LINE_BYTES];
	size_t		length;

	length = (size_t) snprintf(line, sizeof(line), "{\"type\":\"target\",\"path\":\"%s\",\"length\":%" PRIu64
							   ",\"sha256\":\"%s\",\"custom\":",
							   target->path, target->length_bytes, target->sha256);
	refresh->target_count++;
	if (length + refresh->text.length_bytes + 1 >= sizeof(line))
		return false;
	memcpy(line + length, refresh->text.data, refresh->text.length_bytes);
	length += refresh->text.length_bytes;
	line[length++] = '}';
	return depot_channel_queue(&refresh->agent->channel, line, length);
}

/* Sends one target of the slice when it is a package of ours that its role may provide; a DepotTufVisit. */
static bool
send_target(const DepotTufTarget *target, void *context, DepotError *error)
{
	Refresh    *refresh = context;
	json_t	   *custom = target->custom != NULL ? json_object_get(target->custom, "pg_depot") : NULL;
	DepotError	reason = {0};
	DepotManifest *manifest = NULL;
	char		manifest_sha256[65];
	bool		sent;

	/* A publisher's role may hold what is for other servers. */
	if (!depot_tuf_slice_has_path(refresh->role, target->path))
		return true;
	depot_buffer_reset(&refresh->text);
	if (custom == NULL)
		sent = warn(refresh, target, "it does not describe a package");
	else if (!depot_json_append_text(custom, CUSTOM_LIMIT_BYTES, &refresh->text))
		sent = warn(refresh, target, "its description is too large");
	else if ((manifest = depot_manifest_from_custom(custom, target->path, manifest_sha256, &reason)) == NULL ||
			 !depot_publisher_check_package(target->delegation, manifest, &reason) ||
			 !depot_agent_send_mark(refresh->agent, target, &reason))
		sent = warn(refresh, target, reason.message);
	else
		sent = queue_target(refresh, target);
	depot_manifest_free(manifest);
	return sent || depot_error_set(error, DEPOT_ERROR_AGENT, "could not send a target to the leader");
}

/* Says what there is to say about the targets that were sent. */
static void
send_warnings(Refresh *refresh, const DepotTufRole *roles, int role_count)
{
	DepotChannel *channel = &refresh->agent->channel;
	bool		delegated = false;

	for (int i = 0; i < role_count; i++)
	{
		delegated = delegated || roles[i].is_publisher || strcmp(roles[i].name, refresh->role) == 0;
		if (roles[i].is_left_out)
			(void) depot_channel_send_warning(channel, "no package of role \"%s\" is taken: %s", roles[i].name,
											  roles[i].reason);
	}
	if (!delegated)
		(void) depot_channel_send_warning(channel, "it has no packages for \"%s\"", refresh->role);
	if (refresh->warning_count > MAX_WARNINGS)
		(void) depot_channel_send_warning(channel, "%d more targets are ignored",
										  refresh->warning_count - MAX_WARNINGS);
}

/* Builds the final line: versions and expiry of every role that counts. */
static json_t *
make_done(const DepotTufRole *roles, int role_count, bool changed)
{
	json_t	   *list = json_array();
	int64_t		soonest = INT64_MAX;

	for (int i = 0; i < role_count; i++)
	{
		if (!roles[i].loaded)
			continue;
		if (roles[i].expires_epoch_s < soonest)
			soonest = roles[i].expires_epoch_s;
		if (json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "name", roles[i].name,
												  "version", (json_int_t) roles[i].version,
												  "expires", (json_int_t) roles[i].expires_epoch_s)) != 0)
		{
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{s:s, s:b, s:o, s:I}", "type", "done", "changed", (int) changed, "roles", list,
					 "expires", (json_int_t) (soonest == INT64_MAX ? 0 : soonest));
}

/*----- the command ---------------------------------------------------------------------*/

static bool
finish_refresh(Refresh *refresh, const DepotTufRole *roles, int role_count, bool changed, DepotError *error)
{
	if (changed || !refresh->only_if_changed)
		send_warnings(refresh, roles, role_count);
	return depot_channel_send(&refresh->agent->channel, make_done(roles, role_count, changed)) ||
		depot_error_set(error, DEPOT_ERROR_AGENT, "could not tell the leader that the refresh is done");
}

/* The leader asks for packages by their digests. */
static bool
check_layout(const DepotTufClient *client, DepotError *error)
{
	return depot_tuf_has_consistent_snapshots(client) ||
		depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "it does not use consistent snapshots");
}

/*
 * Runs the workflow; when nothing has changed since it was run last, only as far as that shows.  What was adopted is a
 * change, too.
 */
static bool
refresh_repository(Refresh *refresh, DepotTufClient *client, int metadata_fd, int64_t reference_time, int key_types,
				   bool adopted, DepotError *error)
{
	DepotTufRole *roles = calloc(DEPOT_TUF_MAX_ROLES, sizeof(DepotTufRole));
	char		timestamp_sha256[DEPOT_SHA256_HEX_BYTES];
	int			count = 0;
	const bool	only_if_changed = refresh->only_if_changed && !adopted;
	const DepotAgentSource source = {.bring = bring_file, .context = refresh};
	bool		changed = false;
	bool		ok;

	if (roles == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	if (only_if_changed)
		count = depot_agent_verified_read(metadata_fd, refresh->role, key_types, reference_time, timestamp_sha256,
										  roles);
	if (count > 0)
		depot_tuf_stop_at_timestamp(client, timestamp_sha256);
	depot_tuf_visit_slice(client, only_if_changed, send_target, refresh);
	ok = depot_tuf_refresh(client, refresh->role, fetch_through_leader, refresh, &changed, error) &&
		check_layout(client, error);
	if (ok && !depot_tuf_is_unchanged(client))
		count = depot_tuf_roles(client, roles, DEPOT_TUF_MAX_ROLES);
	if (ok && (changed || !only_if_changed))
		ok = depot_agent_send_withdrawn_list(refresh->agent, client, metadata_fd, &source, error);
	if (ok && (changed || !only_if_changed))
		depot_agent_verified_write(metadata_fd, refresh->role, key_types, depot_tuf_timestamp_sha256(client), roles,
								   count);
	ok = ok && finish_refresh(refresh, roles, count, changed || adopted, error);
	free(roles);
	return ok;
}

/* Says what to do about an error that does not say it by itself. */
static void
add_hint(DepotError *error)
{
	if (error->hint[0] != '\0')
		return;
	if (error->code == DEPOT_ERROR_ROOT_INVALID)
		depot_error_hint(error, "Give the publisher's root.json as it is, from a source you trust.");
	else if (error->code == DEPOT_ERROR_METADATA_FORMAT || error->code == DEPOT_ERROR_METADATA_MISMATCH)
		depot_error_hint(error, "The file was altered or damaged there or on its way; "
						 "tell the publisher of the repository.");
}

bool
depot_agent_check_refresh(DepotAgent *agent, const json_t *command, DepotError *error)
{
	Refresh		refresh = {.agent = agent, .job_fd = -1};
	DepotTufClient *client = NULL;
	DepotTufKeyTypes key_types;
	int64_t		reference_time;
	int			metadata_fd = -1;
	bool		adopted = false;
	bool		ok = false;

	if (!depot_json_get_string(command, "repository", true, &refresh.repository, DEPOT_ERROR_AGENT, error) ||
		!depot_json_get_string(command, "role", true, &refresh.role, DEPOT_ERROR_AGENT, error) ||
		!depot_json_get_integer(command, "reference_time", true, 0, &reference_time, DEPOT_ERROR_AGENT,
								error) ||
		!depot_json_get_bool(command, "only_if_changed", false, &refresh.only_if_changed, DEPOT_ERROR_AGENT, error) ||
		!depot_agent_get_key_types(command, &key_types, error))
		goto done;
	if (!depot_name_is_delegated_role(refresh.role))
	{
		depot_error_set(error, DEPOT_ERROR_AGENT, "member \"role\" is not the name of a delegated role");
		goto done;
	}
	metadata_fd = depot_agent_open_metadata(agent, command, true, error);
	if (metadata_fd < 0)
		goto done;
	refresh.job_fd = depot_agent_open_job(agent, command, error);
	if (refresh.job_fd < 0)
		goto done;
	client = depot_agent_open_trusted(command, metadata_fd, refresh.job_fd, reference_time, fetch_initial_root,
									  &refresh, error);
	ok = client != NULL &&
		depot_agent_adopt_rows(agent, command, client, metadata_fd, refresh.job_fd, refresh.role, &adopted, error) &&
		refresh_repository(&refresh, client, metadata_fd, reference_time, (int) key_types, adopted, error);
	if (!ok)
	{
		depot_error_prefix(error, "repository \"%s\"", refresh.repository);
		add_hint(error);
	}
done:
	depot_buffer_free(&refresh.text);
	depot_tuf_close(client);
	if (refresh.job_fd >= 0)
		(void) close(refresh.job_fd);
	if (metadata_fd >= 0)
		(void) close(metadata_fd);
	return ok;
}
