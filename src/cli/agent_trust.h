/*-------------------------------------------------------------------------
 *
 * agent_trust.h
 *	  The check agent: where trust in a repository begins, and what else
 *	  remembers its metadata.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_TRUST_H
#define DEPOT_AGENT_TRUST_H

#include "cli/agent.h"
#include "common/tuf.h"

/* Brings the root whose digest is sha256 into root (empty before); false with an error when it cannot. */
typedef bool (*DepotAgentFetchRoot) (void *context, const char *sha256, DepotBuffer *root, DepotError *error);

/*
 * Opens the trusted metadata of a repository as the command's members "initial_root", "initial_root_sha256"
 * and "pinned" say: from the given root when it is pinned, none is trusted yet or the trusted one is damaged,
 * else from the trusted one.
 * A root of which only the digest is known is looked for beside the metadata, among the rows and with fetch
 * (NULL: not).  job_fd may be -1 when the command names no file.  NULL with an error.
 */
extern DepotTufClient *depot_agent_open_trusted(const json_t *command, int metadata_fd, int job_fd,
												int64_t reference_time_s, DepotAgentFetchRoot fetch,
												void *context, DepotError *error);

/* The root with which trust in a repository begins on this server. */
typedef struct DepotAgentPin
{
	DepotBuffer root;
	bool		is_new;			/* the first that was ever seen of it here */
} DepotAgentPin;

/*
 * Finds it, from the same members: the pinned root; else the first one that this server remembers; else the one that is
 * given.  A root of which only the digest is known may be among the documents in evidence_fd.  pin->root is
 * empty before.  ROOT_INVALID where there is none.
 */
extern bool depot_agent_find_pin(DepotAgent *agent, const json_t *command, int job_fd, int evidence_fd,
								 DepotAgentPin *pin, DepotError *error);

/* Remembers a pin that is new, durably: from now on it takes a proper chain to replace it. */
extern bool depot_agent_remember_pin(DepotAgent *agent, const json_t *command, const DepotAgentPin *pin,
									 DepotTufKeyTypes key_types, DepotError *error);

/* Tells whether the command comes with rows of depot.repository_metadata. */
extern bool depot_agent_has_rows(const json_t *command);

/*
 * Takes from the rows what verifies and is newer than the client's metadata, and tells the leader: a line
 * "refused" for each row that counts for nothing, then "adopted".  Does nothing without rows.  *changed as
 * in depot_tuf_adopt.
 */
extern bool depot_agent_adopt_rows(DepotAgent *agent, const json_t *command, DepotTufClient *client,
								   int metadata_fd, int job_fd,
								   const char *role, bool *changed, DepotError *error);

/*
 * Takes what the rows of a command remember, then loads what is needed to find one target, and finds it; the
 * target borrows from the client.  *metadata_fd is the repository's metadata, locked, for the caller to close.
 * NULL with an error.
 */
extern DepotTufClient *depot_agent_load_target(DepotAgent *agent, const json_t *command, const char *path,
											   int64_t reference_time_s, bool check_expiry,
											   DepotTufTarget *target, int *metadata_fd,
											   DepotError *error);

#endif							/* DEPOT_AGENT_TRUST_H */
