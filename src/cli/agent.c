/*-------------------------------------------------------------------------
 *
 * agent.c
 *	  pg_depot agent fetch|check: the child processes of the leader.
 *
 * The server starts them; on a command line they have no use.  Descriptor 0
 * (and 1) is a socket to the leader, 3 is a directory.  An agent lives until
 * the leader closes the socket or dies.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/agent.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/agent_start.h"
#include "cli/cli.h"
#include "common/json.h"
#include "common/name.h"

/* Larger than any package may be; the leader gives what is configured. */
#define DEFAULT_FILE_BYTES (INT64_C(16) * 1024 * 1024 * 1024)

typedef struct AgentOptions
{
	int64_t		parent;
	int64_t		memory_bytes;
	int64_t		file_bytes;
} AgentOptions;

/* The line that an agent without memory for JSON ends with. */
static char last_words[1024];
static size_t last_words_bytes;

static int	parse_options(const DepotAgentKind *kind, int argc, char **argv, AgentOptions *options);
static int	run_agent(const DepotAgentKind *kind, const AgentOptions *options);
static int	serve(DepotAgent *agent, const DepotAgentKind *kind);
static void add_hint(DepotError *error);
static void add_memory_hint(DepotError *error);
static bool guard_memory(DepotError *error);
static void *allocate_or_end(size_t size_bytes);
static bool run_command(DepotAgent *agent, const DepotAgentKind *kind, const json_t *message,
						DepotError *error);

int
depot_agent_main(const DepotAgentKind *kind, int argc, char **argv)
{
	AgentOptions options = {.memory_bytes = -1, .file_bytes = DEFAULT_FILE_BYTES};
	DepotError	error = {0};
	int			exit_code;

	/* first of all, before any library can have opened or used something */
	if (!depot_agent_close_descriptors(&error))
		return DEPOT_EXIT_FAILED;
	exit_code = parse_options(kind, argc, argv, &options);
	return exit_code == DEPOT_EXIT_OK ? run_agent(kind, &options) : exit_code;
}

static int
parse_options(const DepotAgentKind *kind, int argc, char **argv, AgentOptions *options)
{
	static const struct option long_options[] = {
		{"parent", required_argument, NULL, 'p'},
		{"memory-bytes", required_argument, NULL, 'm'},
		{"max-file-bytes", required_argument, NULL, 'f'},
		{NULL, 0, NULL, 0}
	};
	int			option;

	if (argc < 2 || strcmp(argv[1], kind->name) != 0)
		return depot_cli_usage_error("", "agents are started by the server only");

	while ((option = getopt_long(argc - 1, argv + 1, ":", long_options, NULL)) != -1)
	{
		int64_t    *number = option == 'p' ? &options->parent : option == 'm' ? &options->memory_bytes :
		&options->file_bytes;

		if (option == '?' || option == ':')
			return depot_cli_option_error("", option, argv + 1);
		if (!depot_cli_parse_number(optarg, 0, INT64_MAX, number))
			return depot_cli_usage_error("", "\"%s\" is not a number", optarg);
	}
	if (options->parent <= 0 || options->parent > INT32_MAX)
		return depot_cli_usage_error("", "agents are started by the server only");
	if (options->memory_bytes < 0)
		options->memory_bytes = (int64_t) kind->memory_bytes;
	return DEPOT_EXIT_OK;
}

/* Sets the process up, serves, and cleans up.  What fails before hello is told in place of it. */
static int
run_agent(const DepotAgentKind *kind, const AgentOptions *options)
{
	DepotAgentLimits limits = {
		.memory_bytes = (uint64_t) options->memory_bytes,
		.file_bytes = (uint64_t) options->file_bytes
	};
	DepotAgent	agent = {.directory_fd = DEPOT_AGENT_DIRECTORY_FD};
	DepotError	error = {0};
	int			exit_code = DEPOT_EXIT_FAILED;

	depot_channel_init(&agent.channel, DEPOT_AGENT_CHANNEL_FD);
	if (depot_agent_start((pid_t) options->parent, &limits, &error) && guard_memory(&error) &&
		(kind->begin == NULL || kind->begin(&agent, &error)))
		exit_code = serve(&agent, kind);
	else
		(void) depot_channel_send_error(&agent.channel, &error);
	if (kind->end != NULL)
		kind->end(&agent);
	depot_channel_free(&agent.channel);
	return exit_code;
}

/* Answers commands until the leader closes the connection. */
static int
serve(DepotAgent *agent, const DepotAgentKind *kind)
{
	if (!depot_channel_send(&agent->channel,
							json_pack("{s:s, s:i, s:s, s:s}", "type", "hello",
									  "protocol", DEPOT_CHANNEL_PROTOCOL, "agent", kind->name,
									  "version", DEPOT_PROGRAM_VERSION)))
		return DEPOT_EXIT_FAILED;
	for (;;)
	{
		json_t	   *message;
		DepotError	error = {0};
		bool		ok = false;

		switch (depot_channel_read(&agent->channel, &message, &error))
		{
			case DEPOT_CHANNEL_MESSAGE:
				ok = run_command(agent, kind, message, &error);
				break;
			case DEPOT_CHANNEL_INVALID:
				break;
			case DEPOT_CHANNEL_CLOSED:
				return DEPOT_EXIT_OK;
			case DEPOT_CHANNEL_BROKEN:
				return DEPOT_EXIT_FAILED;
		}
		json_decref(message);
		/* an agent waits longer than it works, and not with the memory of its largest command */
		(void) malloc_trim(0);
		if (!ok)
		{
			add_hint(&error);
			(void) depot_channel_send_error(&agent->channel, &error);
		}
	}
}

/* Says what to do about errors that come from anywhere and always have the same remedy. */
static void
add_hint(DepotError *error)
{
	if (error->hint[0] != '\0')
		return;
	if (error->code == DEPOT_ERROR_DISK_FULL)
		(void) depot_error_hint(error, "Free space on the depot directory's file system and repeat the call.");
	else if (error->code == DEPOT_ERROR_OUT_OF_MEMORY)
		add_memory_hint(error);
}

static void
add_memory_hint(DepotError *error)
{
	struct rlimit limit = {.rlim_cur = RLIM_INFINITY};

	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		(void) depot_error_hint(error, "An agent may use %llu MB; what it was given needs more. "
								"Raise \"depot.agent_memory\".", (unsigned long long) limit.rlim_cur >> 20);
}

/* ---- memory for JSON ---- */

/*
 * libjansson's reader goes on with a text cut short when it cannot get memory, and then
 * reads and writes beyond its end.  So no allocation of it fails: the agent says so and ends.
 */
static bool
guard_memory(DepotError *error)
{
	DepotError	no_memory = {0};
	json_t	   *line;

	/* made now, while there is memory for it */
	depot_error_set(&no_memory, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	add_memory_hint(&no_memory);
	line = depot_channel_error_line(&no_memory);
	if (line != NULL)
		last_words_bytes = json_dumpb(line, last_words, sizeof(last_words) - 1, JSON_COMPACT);
	json_decref(line);
	if (last_words_bytes == 0 || last_words_bytes >= sizeof(last_words))
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	last_words[last_words_bytes++] = '\n';
	json_set_alloc_funcs(allocate_or_end, free);
	return true;
}

static void *
allocate_or_end(size_t size_bytes)
{
	void	   *memory = malloc(size_bytes);

	if (memory == NULL)
	{
		for (size_t sent = 0; sent < last_words_bytes;)
		{
			ssize_t		n = write(DEPOT_AGENT_CHANNEL_FD, last_words + sent, last_words_bytes - sent);

			if (n <= 0 && errno != EINTR)
				break;
			sent += n > 0 ? (size_t) n : 0;
		}
		_exit(DEPOT_EXIT_FAILED);
	}
	return memory;
}

static bool
run_command(DepotAgent *agent, const DepotAgentKind *kind, const json_t *message, DepotError *error)
{
	const char *name;

	if (!depot_json_get_string(message, "command", true, &name, DEPOT_ERROR_AGENT, error))
		return false;
	for (const DepotAgentCommand *command = kind->commands; command->name != NULL; command++)
	{
		if (strcmp(command->name, name) == 0)
		{
			agent->channel.next_progress_ms = 0;
			return command->run(agent, message, error);
		}
	}
	return depot_error_set(error, DEPOT_ERROR_AGENT, "agent %s has no such command", kind->name);
}

bool
depot_agent_get_file(const json_t *command, const char *member, const char **out, DepotError *error)
{
	if (!depot_json_get_string(command, member, true, out, DEPOT_ERROR_AGENT, error))
		return false;
	if (!depot_name_is_relative_path(*out) || strchr(*out, '/') != NULL)
		return depot_error_set(error, DEPOT_ERROR_AGENT, "member \"%s\" is not a plain file name", member);
	return true;
}

bool
depot_agent_get_key_types(const json_t *command, DepotTufKeyTypes *key_types, DepotError *error)
{
	bool		all = false;

	if (!depot_json_get_bool(command, "all_key_types", false, &all, DEPOT_ERROR_AGENT, error))
		return false;
	*key_types = all ? DEPOT_TUF_ALL_KEY_TYPES : DEPOT_TUF_ED25519_ONLY;
	return true;
}
