/*-------------------------------------------------------------------------
 *
 * agent_check_files.h
 *	  The check agent: compares served files with a signed manifest.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_CHECK_FILES_H
#define DEPOT_AGENT_CHECK_FILES_H

#include "cli/agent.h"
#include "common/manifest.h"
#include "common/store.h"

/* The problem of a file that is not there. */
#define DEPOT_AGENT_FILE_MISSING "missing"

/*
 * Says what is wrong with what is served at path, where file should be; *problem NULL: nothing.  Constant strings.
 * False: it could not be examined.
 */
extern bool depot_agent_examine_file(int depot_fd, const char *path, const DepotManifestFile *file,
									 const char **problem, DepotError *error);

/* Reads where packages are served: the members "share" and "lib". */
extern bool depot_agent_parse_layout(const json_t *command, DepotLayout *layout, DepotError *error);

/* Opens the depot directory, in whose "var" the agent was started.  Returns -1 with an error. */
extern int	depot_agent_open_depot(const DepotAgent *agent, DepotError *error);

#endif							/* DEPOT_AGENT_CHECK_FILES_H */
