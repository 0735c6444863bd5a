/*-------------------------------------------------------------------------
 *
 * agent_check_open.c
 *	  The check agent: opening what its commands name, with locks.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "cli/agent.h"
#include "common/files.h"
#include "common/json.h"
#include "common/name.h"
#include "common/store.h"

/* How long a command waits for another one's refresh, and how often it looks. */
#define LOCK_PATIENCE_MS 30000
#define LOCK_NAP_MS 50

int
depot_agent_open_job(const DepotAgent *agent, const json_t *command, DepotError *error)
{
	const char *job;
	const char *staging = strchr(DEPOT_STAGING, '/') + 1;	/* below var, which is the agent's directory */
	char		path[sizeof(DEPOT_STAGING) + DEPOT_JOB_NAME_BYTES];
	int			fd;

	if (!depot_json_get_string(command, "job", true, &job, DEPOT_ERROR_AGENT, error))
		return -1;
	if (strlen(job) != DEPOT_JOB_NAME_BYTES - 1 ||
		strspn(job, "0123456789abcdef") != DEPOT_JOB_NAME_BYTES - 1)
	{
		depot_error_set(error, DEPOT_ERROR_AGENT, "member \"job\" is not the name of a job");
		return -1;
	}
	snprintf(path, sizeof(path), "%s/%s", staging, job);
	fd = depot_files_open_directory(agent->directory_fd, path, error);
	if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0)
	{
		depot_error_set_errno(error, errno, "could not lock the job directory");
		(void) close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * Waits for a lock on a repository's metadata, which a refresh replaces file by file: somebody who reads it
 * in the middle of that would take it for forged.
 */
static bool
lock_metadata(int fd, bool exclusive, const char *repository, DepotError *error)
{
	const struct timespec nap = {.tv_sec = 0, .tv_nsec = LOCK_NAP_MS * 1000000L};
	const int	operation = (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;

	for (int waited_ms = 0; flock(fd, operation) != 0; waited_ms += LOCK_NAP_MS)
	{
		if (errno != EWOULDBLOCK && errno != EINTR)
			return depot_error_set_errno(error, errno, "could not lock metadata of repository \"%s\"",
										 repository);
		if (waited_ms >= LOCK_PATIENCE_MS)
		{
			depot_error_set(error, DEPOT_ERROR_WRONG_STATE, "repository \"%s\" is being refreshed",
							repository);
			return depot_error_hint(error, "Repeat the call when the refresh is done.");
		}
		(void) nanosleep(&nap, NULL);
	}
	return true;
}

int
depot_agent_open_metadata(const DepotAgent *agent, const json_t *command, bool change, DepotError *error)
{
	int			fd;

	const char *repository;
	const char *metadata = strchr(DEPOT_METADATA, '/') + 1;
	char		path[sizeof(DEPOT_METADATA) + DEPOT_NAME_MAX_BYTES + 1];

	if (!depot_json_get_string(command, "repository", true, &repository, DEPOT_ERROR_AGENT, error) ||
		!depot_name_check_package(repository, "repository", error))
		return -1;
	snprintf(path, sizeof(path), "%s/%s", metadata, repository);
	if (change && !depot_files_make_directories(agent->directory_fd, path, 0700, true, error))
		return -1;
	fd = depot_files_open_directory(agent->directory_fd, path, error);
	if (fd >= 0 && !lock_metadata(fd, change, repository, error))
	{
		(void) close(fd);
		fd = -1;
	}
	return fd;
}
