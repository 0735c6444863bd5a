/*-------------------------------------------------------------------------
 *
 * agent_check_target.h
 *	  The check agent: the signed target that a package belongs to.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_CHECK_TARGET_H
#define DEPOT_AGENT_CHECK_TARGET_H

#include "cli/agent.h"
#include "common/tuf.h"

typedef struct DepotAgentWanted
{
	const char *repository;
	const char *path;
	int64_t		reference_time;
	bool		check_expiry;
	DepotTufKeyTypes key_types;
} DepotAgentWanted;

/*
 * Finds the target in trusted metadata, verified for this command or before it by "prepare", and keeps what proves
 * it; or proves it from the command's evidence.  What is returned, and *withdrawn (the list that is kept, or NULL),
 * is there until depot_agent_forget_target.  NULL with an error.
 */
extern const DepotTufTarget *depot_agent_find_target(DepotAgent *agent, const json_t *command,
													 const DepotAgentWanted *wanted, int job_fd,
													 const json_t **withdrawn, DepotError *error);
extern void depot_agent_forget_target(void);

#endif							/* DEPOT_AGENT_CHECK_TARGET_H */
