/*-------------------------------------------------------------------------
 *
 * agent.c
 *	  Child processes of the leader for all work on foreign bytes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/testpoint.h"
#include "miscadmin.h"
#include "server/agent.h"
#include "server/platform.h"
#include "server/settings.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define DISMISSED_MAX 16

/* Killed, and not yet reaped. */
static pid_t dismissed[DISMISSED_MAX];
static int	dismissed_count = 0;

static void spawn(DepotAgent *agent, const char *program, int child_socket, int directory_fd, int64 memory_bytes);

DepotAgent *
depot_agent_start(DepotAgentKind kind, int directory_fd, int64 memory_bytes)
{
	const char *name = kind == DEPOT_AGENT_FETCH ? "pg_depot_fetch" : "pg_depot";
	const char *program = depot_platform_agent_program(name);
	DepotAgent *agent;
	int			sockets[2];

	if (program == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("the program %s is not installed", name),
				 errdetail("It is looked for beside the library and in the server's bindir."),
				 errhint("Install pg_depot again; the program belongs to it.")));
	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no file descriptor is left to start an agent")));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
	{
		int			saved_errno = errno;

		ReleaseExternalFD();
		errno = saved_errno;
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not create a socket pair for an agent: %m")));
	}

	agent = MemoryContextAllocZero(TopMemoryContext, sizeof(DepotAgent));
	agent->kind = kind;
	agent->pid = 0;
	agent->socket = sockets[0];
	depot_buffer_init(&agent->input);

	PG_TRY();
	{
		if (fcntl(sockets[0], F_SETFL, O_NONBLOCK) != 0)
			ereport(ERROR,
					(errcode_for_socket_access(),
					 errmsg("could not set up an agent's socket: %m")));
		spawn(agent, program, sockets[1], directory_fd, memory_bytes);
	}
	PG_CATCH();
	{
		close(sockets[1]);
		depot_agent_stop(agent);
		PG_RE_THROW();
	}
	PG_END_TRY();
	close(sockets[1]);
	return agent;
}

/* The socket becomes 0 and 1, the directory 3; 2 is /dev/null and nothing else stays open. */
static int
set_descriptors(posix_spawn_file_actions_t *actions, int socket, int directory)
{
	int			result = posix_spawn_file_actions_adddup2(actions, socket, 0);

	if (result == 0)
		result = posix_spawn_file_actions_adddup2(actions, socket, 1);
	if (result == 0)
		result = posix_spawn_file_actions_adddup2(actions, directory, 3);
	if (result == 0)
		result = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_RDWR, 0);
	if (result == 0)
		result = posix_spawn_file_actions_addclosefrom_np(actions, 4);
	return result;
}

/* A process group of its own, no signal blocked or handled. */
static int
set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t	no_signals;
	sigset_t	all_signals;
	int			result;

	sigemptyset(&no_signals);
	sigfillset(&all_signals);
	result = posix_spawnattr_setpgroup(attributes, 0);
	if (result == 0)
		result = posix_spawnattr_setsigmask(attributes, &no_signals);
	if (result == 0)
		result = posix_spawnattr_setsigdefault(attributes, &all_signals);
	if (result == 0)
		result = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
										  POSIX_SPAWN_SETSIGDEF);
	return result;
}

/*
 * posix_spawn with a process group of its own, an empty signal mask, default
 * signals, and no descriptor but the socket (0, 1), /dev/null (2) and the
 * directory (3): PostgreSQL 15 opens its data files without close-on-exec.
 */
static void
spawn(DepotAgent *agent, const char *program, int child_socket, int directory_fd, int64 memory_bytes)
{
	const char *test_points = getenv(DEPOT_TEST_POINTS_VARIABLE);
	char		parent[32];
	char		memory[32];
	char		file_size[32];
	char	   *arguments[] = {
		"pg_depot", "agent", (char *) depot_agent_kind_name(agent->kind),
		"--parent", parent, "--memory-bytes", memory, "--max-file-bytes", file_size, NULL
	};
	char	   *environment[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", NULL, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int			socket_copy;
	int			directory_copy;
	int			result;

	snprintf(parent, sizeof(parent), "%d", MyProcPid);
	snprintf(memory, sizeof(memory), INT64_FORMAT, memory_bytes);
	snprintf(file_size, sizeof(file_size), INT64_FORMAT,
			 Max(depot_settings_max_package_mb, depot_settings_max_unpacked_mb) * DEPOT_MEGABYTE);
	if (test_points != NULL)
		environment[3] = psprintf("%s=%s", DEPOT_TEST_POINTS_VARIABLE, test_points);

	if (posix_spawn_file_actions_init(&actions) != 0)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (posix_spawnattr_init(&attributes) != 0)
	{
		posix_spawn_file_actions_destroy(&actions);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}

	/* Copies above the numbers they go to, so that none is replaced before it is used. */
	socket_copy = fcntl(child_socket, F_DUPFD_CLOEXEC, 4);
	directory_copy = fcntl(directory_fd, F_DUPFD_CLOEXEC, 4);
	result = socket_copy < 0 || directory_copy < 0 ? errno : 0;
	if (result == 0)
		result = set_descriptors(&actions, socket_copy, directory_copy);
	if (result == 0)
		result = set_attributes(&attributes);
	if (result == 0)
		result = posix_spawn(&agent->pid, program, &actions, &attributes, arguments, environment);

	if (socket_copy >= 0)
		close(socket_copy);
	if (directory_copy >= 0)
		close(directory_copy);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	if (result != 0)
	{
		agent->pid = 0;
		errno = result;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not start \"%s\": %m", program)));
	}
}

static void
kill_group(pid_t pid)
{
	(void) kill(-pid, SIGKILL);
	(void) kill(pid, SIGKILL);
}

static void
wait_for_end(pid_t pid)
{
	int			status;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

static void
free_agent(DepotAgent *agent)
{
	close(agent->socket);
	ReleaseExternalFD();
	depot_buffer_free(&agent->input);
	pfree(agent);
}

void
depot_agent_stop(DepotAgent *agent)
{
	if (agent == NULL)
		return;
	if (agent->pid != 0)
	{
		kill_group(agent->pid);
		wait_for_end(agent->pid);
	}
	free_agent(agent);
}

void
depot_agent_dismiss(DepotAgent *agent)
{
	if (agent == NULL)
		return;
	(void) depot_agent_reap();
	if (agent->pid != 0)
	{
		kill_group(agent->pid);
		if (dismissed_count < DISMISSED_MAX)
			dismissed[dismissed_count++] = agent->pid;
		else
			wait_for_end(agent->pid);
	}
	free_agent(agent);
}

bool
depot_agent_reap(void)
{
	int			left_count = 0;

	for (int i = 0; i < dismissed_count; i++)
	{
		int			status;
		pid_t		ended = waitpid(dismissed[i], &status, WNOHANG);

		if (ended == 0 || (ended < 0 && errno == EINTR))
			dismissed[left_count++] = dismissed[i];
	}
	dismissed_count = left_count;
	return left_count > 0;
}

/* Commands are far smaller than a socket's buffer: one that does not fit means an agent that does not read. */
void
depot_agent_send(DepotAgent *agent, const char *line)
{
	char	   *text = psprintf("%s\n", line);
	size_t		length = strlen(text);
	ssize_t		sent;

	do
		sent = send(agent->socket, text, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 || (size_t) sent != length)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("the %s agent does not take commands", depot_agent_kind_name(agent->kind)),
				 errhint("It may have been killed; the call can be repeated.")));
	pfree(text);
}

void
depot_agent_receive(DepotAgent *agent)
{
	char		chunk[16 * 1024];

	/* Lines were taken off many at a time: what is left of them is moved once. */
	depot_buffer_consume(&agent->input, agent->taken_bytes);
	agent->taken_bytes = 0;
	for (;;)
	{
		ssize_t		received = recv(agent->socket, chunk, sizeof(chunk), MSG_DONTWAIT);

		if (received > 0)
		{
			if (!depot_buffer_append(&agent->input, chunk, (size_t) received))
				ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));

			/* What is there is worked off before more is read, so that a flood stays in the socket. */
			if (agent->input.length_bytes > DEPOT_AGENT_LINE_BYTES)
				return;
			continue;
		}
		if (received < 0 && errno == EINTR)
			continue;
		if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		agent->is_at_end = true;
		return;
	}
}

char *
depot_agent_next_line(DepotAgent *agent)
{
	DepotBuffer *input = &agent->input;
	const size_t left_bytes = input->length_bytes - agent->taken_bytes;
	const char *start = left_bytes > 0 ? input->data + agent->taken_bytes : NULL;
	const char *end = left_bytes > 0 ? memchr(start, '\n', left_bytes) : NULL;
	size_t		length;
	char	   *line;

	if (end == NULL)
	{
		if (left_bytes > DEPOT_AGENT_LINE_BYTES)
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("the %s agent sent a line of more than %zu bytes",
							depot_agent_kind_name(agent->kind), DEPOT_AGENT_LINE_BYTES)));
		return NULL;
	}
	length = (size_t) (end - start);
	line = pnstrdup(start, length);
	agent->taken_bytes += length + 1;
	return line;
}

const char *
depot_agent_kind_name(DepotAgentKind kind)
{
	return kind == DEPOT_AGENT_FETCH ? "fetch" : "check";
}
