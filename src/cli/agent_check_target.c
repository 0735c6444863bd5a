/*-------------------------------------------------------------------------
 *
 * agent_check_target.c
 *	  The check agent: the signed target that a package belongs to.
 *
 * On a primary it is looked up in trusted metadata, which is verified again from its
 * root while the package is on its way; what proves it is kept.  Where evidence is given,
 * nothing else counts.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/agent_check_target.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/agent_evidence.h"
#include "cli/agent_trust.h"
#include "common/json.h"
#include "common/name.h"

/* Metadata that "prepare" has verified, for the next "package" of the same target; client NULL: none. */
typedef struct Prepared
{
	DepotTufClient *client;
	DepotTufTarget target;		/* borrows from client */
	char		repository[DEPOT_NAME_MAX_BYTES + 1];
	bool		check_expiry;
	DepotTufKeyTypes key_types;
	json_t	   *withdrawn;		/* entries of the list that is kept; NULL: none */
} Prepared;

static Prepared prepared;

void
depot_agent_forget_target(void)
{
	depot_tuf_close(prepared.client);
	json_decref(prepared.withdrawn);
	memset(&prepared, 0, sizeof(prepared));
}

/* Verifies the trusted metadata on disk again from its root, down to the role that the target belongs to. */
static void
load_metadata(DepotAgent *agent, const json_t *command, const char *path, int64_t reference_time, bool check_expiry,
			  DepotError *error)
{
	DepotTufKeyTypes key_types;
	int			metadata_fd;

	if (!depot_agent_get_key_types(command, &key_types, error))
		return;
	prepared.check_expiry = check_expiry;
	prepared.key_types = key_types;
	prepared.client = depot_agent_load_target(agent, command, path, reference_time, check_expiry, &prepared.target,
											  &metadata_fd, error);
	if (prepared.client == NULL)
	{
		depot_agent_forget_target();
		return;
	}
	prepared.withdrawn = depot_agent_read_withdrawn_list(prepared.client, metadata_fd);
	/* What follows looks into what was read, and others may change the files again. */
	(void) close(metadata_fd);
}

bool
depot_agent_check_prepare(DepotAgent *agent, const json_t *command, DepotError *error)
{
	const DepotErrorCode code = DEPOT_ERROR_AGENT;
	const char *repository;
	const char *target;
	int64_t		reference_time;
	bool		check_expiry;
	DepotError	ignored;

	depot_agent_forget_target();
	if (!depot_json_get_string(command, "repository", true, &repository, code, error) ||
		!depot_json_get_string(command, "target", true, &target, code, error) ||
		!depot_json_get_integer(command, "reference_time", true, 0, &reference_time, code, error) ||
		!depot_json_get_bool(command, "check_expiry", true, &check_expiry, code, error))
		return false;
	/* What is wrong with it is told by "package", which knows for what it is needed. */
	load_metadata(agent, command, target, reference_time, check_expiry, &ignored);
	snprintf(prepared.repository, sizeof(prepared.repository), "%s", repository);
	return depot_channel_send(&agent->channel, json_pack("{s:s}", "type", "prepared")) ||
		depot_error_set(error, code, "could not tell the leader that the metadata is loaded");
}

static bool
is_prepared(const DepotAgentWanted *wanted)
{
	return prepared.client != NULL && strcmp(prepared.repository, wanted->repository) == 0 &&
		strcmp(prepared.target.path, wanted->path) == 0 && prepared.check_expiry == wanted->check_expiry &&
		prepared.key_types == wanted->key_types;
}

static void
load_anew(DepotAgent *agent, const json_t *command, const DepotAgentWanted *wanted, DepotError *error)
{
	depot_agent_forget_target();
	load_metadata(agent, command, wanted->path, wanted->reference_time, wanted->check_expiry, error);
}

/* Keeps what proves the target.  A refresh may have come since its metadata was read: then that is read again. */
static bool
keep_evidence(DepotAgent *agent, const json_t *command, const DepotAgentWanted *wanted, int job_fd, DepotError *error)
{
	if (depot_agent_keep_evidence(agent, command, prepared.client, &prepared.target, job_fd, error))
		return true;
	if (error->code != DEPOT_ERROR_METADATA_MISMATCH)
		return false;
	load_anew(agent, command, wanted, error);
	return prepared.client != NULL &&
		depot_agent_keep_evidence(agent, command, prepared.client, &prepared.target, job_fd, error);
}

const DepotTufTarget *
depot_agent_find_target(DepotAgent *agent, const json_t *command, const DepotAgentWanted *wanted, int job_fd,
						const json_t **withdrawn, DepotError *error)
{
	bool		ok;

	if (depot_agent_has_evidence(command))
	{
		depot_agent_forget_target();
		prepared.client = depot_agent_prove_target(agent, command, job_fd, &prepared.target, error);
		ok = prepared.client != NULL;
	}
	else
	{
		if (!is_prepared(wanted) || depot_agent_has_rows(command))
			load_anew(agent, command, wanted, error);
		ok = prepared.client != NULL && keep_evidence(agent, command, wanted, job_fd, error);
	}
	*withdrawn = prepared.withdrawn;
	return ok ? &prepared.target : NULL;
}
