/*-------------------------------------------------------------------------
 *
 * agent_harness.h
 *	  Starts the built program as an agent, the way the leader does.
 *
 * The program is ./pg_depot, or what PG_DEPOT_PROGRAM names.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_HARNESS_H
#define DEPOT_AGENT_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A silent agent fails the test instead of hanging it. */
#define AGENT_PATIENCE_MS 20000

/* As many descriptors as a careless server leaves open. */
#define LEAKED_DESCRIPTORS 52

/* Directory of test points that agents are started with; NULL: none. */
static const char *agent_test_points;

typedef struct Agent
{
	pid_t		pid;
	int			fd;
	char		input[70000];
	size_t		length;
} Agent;

/* The fetch agent is a program of its own, beside the other. */
static inline void
agent_program(const char *kind, char *path, size_t path_bytes)
{
	const char *program = getenv("PG_DEPOT_PROGRAM");

	snprintf(path, path_bytes, "%s%s", program != NULL ? program : "./pg_depot",
			 strcmp(kind, "fetch") == 0 ? "_fetch" : "");
}

/* In the child: only what the leader hands over, and a lot that it did not mean to. */
static inline void
agent_exec(const char *kind, int socket_fd, int directory_fd, pid_t parent, const char *const *more)
{
	/* the last is for sanitized builds: looking for leaks at exit needs what the sandbox refuses */
	char	   *environment[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "ASAN_OPTIONS=detect_leaks=0",
	NULL, NULL};
	char		points[128];
	char		program[1024];
	char	   *arguments[12] = {"pg_depot", "agent", (char *) kind, "--parent"};
	char		number[16];
	int			count = 4;
	int			null_fd = open("/dev/null", O_RDWR);

	if (agent_test_points != NULL)
	{
		snprintf(points, sizeof(points), "PG_DEPOT_TEST_POINTS=%s", agent_test_points);
		environment[4] = points;
	}
	snprintf(number, sizeof(number), "%d", (int) parent);
	arguments[count++] = number;
	while (more != NULL && *more != NULL)
		arguments[count++] = (char *) *more++;
	for (int fd = 200; fd < 200 + LEAKED_DESCRIPTORS; fd++)
		dup2(null_fd, fd);
	socket_fd = fcntl(socket_fd, F_DUPFD, 300);
	directory_fd = fcntl(directory_fd, F_DUPFD, 300);
	dup2(socket_fd, 0);
	dup2(socket_fd, 1);
	if (getenv("AGENT_STDERR") == NULL)
		dup2(null_fd, 2);
	dup2(directory_fd, 3);
	agent_program(kind, program, sizeof(program));
	execve(program, arguments, environment);
	_exit(127);
}

/* Starts an agent; parent 0 means the truth. */
static inline void
agent_start_as(Agent *agent, const char *kind, int directory_fd, pid_t parent, const char *const *more)
{
	int			sockets[2];
	pid_t		self = getpid();

	memset(agent, 0, sizeof(*agent));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	agent->pid = fork();
	assert_true(agent->pid >= 0);
	if (agent->pid == 0)
		agent_exec(kind, sockets[1], directory_fd, parent != 0 ? parent : self, more);
	close(sockets[1]);
	agent->fd = sockets[0];
}

/* Reads a line; NULL at the end of the stream. */
static inline json_t *
agent_read(Agent *agent)
{
	for (;;)
	{
		char	   *newline = memchr(agent->input, '\n', agent->length);
		struct pollfd poll_fd = {.fd = agent->fd, .events = POLLIN};
		ssize_t		n;

		if (newline != NULL)
		{
			json_error_t problem;
			json_t	   *line = json_loadb(agent->input, (size_t) (newline - agent->input), 0, &problem);

			if (line == NULL)
				fail_msg("not a line of JSON: %.*s", (int) (newline - agent->input), agent->input);
			agent->length -= (size_t) (newline + 1 - agent->input);
			memmove(agent->input, newline + 1, agent->length);
			return line;
		}
		if (poll(&poll_fd, 1, AGENT_PATIENCE_MS) != 1)
			fail_msg("the agent says nothing");
		n = read(agent->fd, agent->input + agent->length, sizeof(agent->input) - agent->length);
		if (n <= 0)
			return NULL;
		agent->length += (size_t) n;
	}
}

static inline const char *
agent_string(const json_t *line, const char *member)
{
	const char *value = json_string_value(json_object_get(line, member));

	return value != NULL ? value : "";
}

static inline void
agent_send_raw(Agent *agent, const char *text, size_t length)
{
	while (length > 0)
	{
		ssize_t		n = send(agent->fd, text, length, MSG_NOSIGNAL);

		assert_true(n > 0);
		text += n;
		length -= (size_t) n;
	}
}

/* Sends a command and drops it. */
static inline void
agent_send(Agent *agent, json_t *command)
{
	char	   *text = json_dumps(command, JSON_COMPACT);

	assert_non_null(text);
	agent_send_raw(agent, text, strlen(text));
	agent_send_raw(agent, "\n", 1);
	free(text);
	json_decref(command);
}

/* Reads on to the "done" or "error" that answers a command; new reference. */
static inline json_t *
agent_result(Agent *agent)
{
	for (;;)
	{
		json_t	   *line = agent_read(agent);

		if (line == NULL)
			fail_msg("the agent has ended");
		if (strcmp(agent_string(line, "type"), "done") == 0 ||
			strcmp(agent_string(line, "type"), "error") == 0)
			return line;
		json_decref(line);
	}
}

static inline void
assert_line_type(const json_t *line, const char *type)
{
	if (line == NULL || strcmp(agent_string(line, "type"), type) != 0)
		fail_msg("expected %s, got %s: %s (%s)", type, agent_string(line, "type"),
				 agent_string(line, "message"),
				 agent_string(line, "detail"));
}

/* Checks an error line and drops it. */
static inline void
assert_error_line(json_t *line, const char *code, const char *words)
{
	assert_line_type(line, "error");
	if (strcmp(agent_string(line, "code"), code) != 0)
		fail_msg("code is %s: %s", agent_string(line, "code"), agent_string(line, "message"));
	if (strstr(agent_string(line, "message"), words) == NULL &&
		strstr(agent_string(line, "detail"), words) == NULL)
		fail_msg("\"%s\" (%s) does not say \"%s\"", agent_string(line, "message"),
				 agent_string(line, "detail"), words);
	json_decref(line);
}

/* Starts an agent and takes its hello. */
static inline void
agent_start(Agent *agent, const char *kind, int directory_fd)
{
	json_t	   *hello;

	agent_start_as(agent, kind, directory_fd, 0, NULL);
	hello = agent_read(agent);
	assert_line_type(hello, "hello");
	assert_int_equal(json_integer_value(json_object_get(hello, "protocol")), 1);
	assert_string_equal(agent_string(hello, "agent"), kind);
	json_decref(hello);
}

/* Waits for the end and returns the wait status. */
static inline int
agent_wait(pid_t pid)
{
	int			status = -1;

	for (int i = 0; i < AGENT_PATIENCE_MS / 10; i++)
	{
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	fail_msg("the agent does not end");
	return -1;
}

/* Sends a command that must end the agent at a test point. */
static inline void
assert_killed_at(Agent *agent, const char *point, json_t *command)
{
	char		path[160];
	int			status;
	int			fd;

	snprintf(path, sizeof(path), "%s/%s", agent_test_points, point);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	agent_send(agent, command);
	status = agent_wait(agent->pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_int_equal(access(path, F_OK), -1);
	close(agent->fd);
}

/* Closes the connection; a good agent then exits with 0. */
static inline void
agent_stop(Agent *agent)
{
	int			status;

	close(agent->fd);
	status = agent_wait(agent->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#endif							/* DEPOT_AGENT_HARNESS_H */
