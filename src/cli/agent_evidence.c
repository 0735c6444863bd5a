/*-------------------------------------------------------------------------
 *
 * agent_evidence.c
 *	  The check agent: the signed documents that prove a package.
 *
 * Where a package is accepted from trusted metadata, they are kept.  Everywhere
 * else, on a standby, on a clone, after a restore, they are all that is looked
 * at, and where they come from may have been written by anybody: what decides is the root that
 * this server pins.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/agent_evidence.h"

#include <string.h>
#include <unistd.h>

#include "cli/agent_trust.h"
#include "common/files.h"
#include "common/json.h"
#include "common/store.h"

bool
depot_agent_has_evidence(const json_t *command)
{
	return json_object_get(command, "evidence") != NULL;
}

/* Opens the directory of evidence that the command names, and reads the list in it. */
static int
open_evidence(const json_t *command, int job_fd, DepotEvidence *listed, DepotError *error)
{
	const char *directory;
	int			fd;

	if (!depot_agent_get_file(command, "evidence", &directory, error))
		return -1;
	fd = depot_files_open_directory(job_fd, directory, error);
	if (fd >= 0 && !depot_evidence_read(fd, DEPOT_EVIDENCE_LIST, listed, error))
	{
		(void) close(fd);
		fd = -1;
	}
	return fd;
}

/* The list is about the package that the command is about. */
static bool
check_list(const json_t *command, const DepotEvidence *listed, DepotError *error)
{
	const char *repository;
	const char *target;

	if (!depot_json_get_string(command, "repository", true, &repository, DEPOT_ERROR_AGENT, error) ||
		!depot_json_get_string(command, "target", true, &target, DEPOT_ERROR_AGENT, error))
		return false;
	return (strcmp(listed->repository, repository) == 0 && strcmp(listed->target, target) == 0) ||
		depot_error_set(error, DEPOT_ERROR_AGENT, "the evidence is about another target");
}

DepotTufClient *
depot_agent_prove_target(DepotAgent *agent, const json_t *command, int job_fd, DepotTufTarget *target,
						 DepotError *error)
{
	DepotTufClient *client = NULL;
	DepotTufKeyTypes key_types;
	DepotEvidence listed = {.root_count = 0};
	DepotEvidence used = {.root_count = 0};
	DepotAgentPin pin;
	int			evidence_fd;

	depot_buffer_init(&pin.root);
	evidence_fd = open_evidence(command, job_fd, &listed, error);
	if (evidence_fd < 0 || !check_list(command, &listed, error) ||
		!depot_agent_get_key_types(command, &key_types, error) ||
		!depot_agent_find_pin(agent, command, job_fd, evidence_fd, &pin, error))
		goto done;
	client = depot_tuf_prove(&listed, evidence_fd, pin.root.data, pin.root.length_bytes, key_types, &used, target,
							 error);
	if (client == NULL)
		goto done;
	if ((pin.is_new && !depot_agent_remember_pin(agent, command, &pin, key_types, error)) ||
		!depot_evidence_save(evidence_fd, DEPOT_EVIDENCE_LIST, &used, error))
	{
		depot_tuf_close(client);
		client = NULL;
	}

done:
	if (evidence_fd >= 0)
		(void) close(evidence_fd);
	depot_buffer_free(&pin.root);
	depot_evidence_free(&listed);
	depot_evidence_free(&used);
	return client;
}

bool
depot_agent_keep_evidence(DepotAgent *agent, const json_t *command, const DepotTufClient *client,
						  const DepotTufTarget *target, int job_fd, DepotError *error)
{
	DepotTufKeep keep = {.kept_fd = -1, .new_fd = -1};
	DepotEvidence evidence = {.root_count = 0};
	const char *repository;
	int			metadata_fd = -1;
	DepotError	ignored;
	bool		ok;

	ok = depot_json_get_string(command, "repository", true, &repository, DEPOT_ERROR_AGENT, error) &&
		depot_files_remove_tree(job_fd, DEPOT_EVIDENCE_DIRECTORY, error) &&
		depot_files_make_directories(job_fd, DEPOT_EVIDENCE_DIRECTORY, 0700, false, error) &&
		(keep.new_fd = depot_files_open_directory(job_fd, DEPOT_EVIDENCE_DIRECTORY, error)) >= 0 &&
		(metadata_fd = depot_agent_open_metadata(agent, command, false, error)) >= 0;
	if (ok)
	{
		keep.kept_fd = depot_files_open_directory(agent->directory_fd, strchr(DEPOT_EVIDENCE, '/') + 1, &ignored);
		ok = depot_tuf_keep_evidence(client, metadata_fd, repository, target, &keep, &evidence, error);
	}
	depot_evidence_free(&evidence);
	if (metadata_fd >= 0)
		(void) close(metadata_fd);
	if (keep.kept_fd >= 0)
		(void) close(keep.kept_fd);
	if (keep.new_fd >= 0)
		(void) close(keep.new_fd);
	return ok;
}
