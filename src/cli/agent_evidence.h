/*-------------------------------------------------------------------------
 *
 * agent_evidence.h
 *	  The check agent: the signed documents that prove a package.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_EVIDENCE_H
#define DEPOT_AGENT_EVIDENCE_H

#include "cli/agent.h"
#include "common/tuf.h"

/* Tells whether the command comes with evidence, which is then all that counts. */
extern bool depot_agent_has_evidence(const json_t *command);

/*
 * Proves the command's "target" from its "evidence", a directory in the job's, beginning at the root that this
 * server pins for "repository".  The list there then names what was relied on, and nothing else.  A root that is
 * the first of its repository here is remembered.  Returns the client that *target borrows from, or NULL
 * with an error.
 */
extern DepotTufClient *depot_agent_prove_target(DepotAgent *agent, const json_t *command, int job_fd,
												DepotTufTarget *target, DepotError *error);

/*
 * Puts what proves a target of trusted metadata into the job's directory DEPOT_EVIDENCE_DIRECTORY: the list, and those
 * documents that D/var/evidence lacks.  METADATA_MISMATCH: a refresh came between.
 */
extern bool depot_agent_keep_evidence(DepotAgent *agent, const json_t *command, const DepotTufClient *client,
									  const DepotTufTarget *target, int job_fd, DepotError *error);

#endif							/* DEPOT_AGENT_EVIDENCE_H */
