/*-------------------------------------------------------------------------
 *
 * agent.h
 *	  The two agents as agent.c starts them.
 *
 * An agent is a table of commands.  Each command answers with lines on the
 * channel and ends with exactly one "done" or, by returning false, one
 * "error"; they run one at a time, in the order in which they came.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_H
#define DEPOT_AGENT_H

#include <jansson.h>

#include "cli/agent_channel.h"
#include "common/error.h"
#include "common/tuf.h"

typedef struct DepotAgent
{
	DepotChannel channel;
	int			directory_fd;	/* fetch: the job directory; check: D/var */
	void	   *state;			/* the agent's own */
} DepotAgent;

typedef bool (*DepotAgentRun) (DepotAgent *agent, const json_t *command, DepotError *error);

typedef struct DepotAgentCommand
{
	const char *name;
	DepotAgentRun run;
} DepotAgentCommand;

typedef struct DepotAgentKind
{
	const char *name;
	uint64_t	memory_bytes;	/* limit unless the leader gives one; 0: none */
	const DepotAgentCommand *commands;	/* ended by a NULL name */
	bool		(*begin) (DepotAgent *agent, DepotError *error);	/* before hello; NULL: nothing */
	void		(*end) (DepotAgent *agent); /* NULL: nothing */
} DepotAgentKind;

extern const DepotAgentKind depot_agent_fetch;
extern const DepotAgentKind depot_agent_check;

/* Runs the agent of this kind; argv begins with "agent" and the kind's name.  Returns the exit code. */
extern int	depot_agent_main(const DepotAgentKind *kind, int argc, char **argv);

/* The commands of check, each in its own file. */
extern bool depot_agent_check_refresh(DepotAgent *agent, const json_t *command, DepotError *error);
extern bool depot_agent_check_prepare(DepotAgent *agent, const json_t *command, DepotError *error);
extern bool depot_agent_check_package(DepotAgent *agent, const json_t *command, DepotError *error);
extern bool depot_agent_check_verify_files(DepotAgent *agent, const json_t *command, DepotError *error);
extern bool depot_agent_check_verify_tree(DepotAgent *agent, const json_t *command, DepotError *error);

/* Brings a file of the repository, of at most max_bytes and with this digest; *missing: it has none. */
typedef struct DepotAgentSource
{
	bool		(*bring) (void *context, const char *path, size_t max_bytes, const char *sha256, DepotBuffer *out,
						  bool *missing, DepotError *error);
	void	   *context;
} DepotAgentSource;

/*
 * Tell the leader of withdrawn builds, one line each: of the one that a target's description marks (MANIFEST
 * when the mark is malformed), and of those on the list withdrawn.json, which is fetched when it is not there.
 */
extern bool depot_agent_send_mark(DepotAgent *agent, const DepotTufTarget *target, DepotError *error);
extern bool depot_agent_send_withdrawn_list(DepotAgent *agent, DepotTufClient *client, int metadata_fd,
											const DepotAgentSource *source, DepotError *error);

/*
 * Keeps the list beside the metadata where rows_fd, a directory of rows (files "withdrawn.list.<version>"), has
 * the very one that the trusted metadata lists; refused is told of a row that should be it and is not.  *changed is
 * set when there was one or the other, and left alone otherwise.
 */
extern bool depot_agent_adopt_withdrawn_list(DepotTufClient *client, int metadata_fd, int rows_fd,
											 DepotTufRefused refused, void *context, bool *changed,
											 DepotError *error);

/*
 * Returns the entries of the list as a refresh has kept it, a new reference; NULL when it is not there or not the
 * one that the metadata lists.  The leader's rows have decided already, so that is no error.
 */
extern json_t *depot_agent_read_withdrawn_list(DepotTufClient *client, int metadata_fd);

/* Fails with WITHDRAWN when target is marked, or is one of entries (NULL: none). */
extern bool depot_agent_refuse_withdrawn(const json_t *entries, const DepotTufTarget *target, DepotError *error);

/*
 * Opens the job directory <staging>/job below D/var with a shared flock, which keeps it from being cleaned
 * away; closing it ends that. Returns -1 with an error.
 */
extern int	depot_agent_open_job(const DepotAgent *agent, const json_t *command, DepotError *error);

/*
 * Opens metadata/<repository> below D/var with a flock: shared to read, exclusive to change it, in which case
 * it is made (0700) when it is not there. Closing it ends the lock. Returns -1 with an error.
 */
extern int	depot_agent_open_metadata(const DepotAgent *agent, const json_t *command, bool change,
									  DepotError *error);

/* Reads a member that names a file directly in a job directory. */
extern bool depot_agent_get_file(const json_t *command, const char *member, const char **out,
								 DepotError *error);

/* Reads which types of keys a repository may be signed with: only ed25519 unless "all_key_types" is true. */
extern bool depot_agent_get_key_types(const json_t *command, DepotTufKeyTypes *key_types, DepotError *error);

#endif							/* DEPOT_AGENT_H */
