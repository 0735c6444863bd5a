/*-------------------------------------------------------------------------
 *
 * download.c
 *	  Downloading for a command: the fetch agent as a child process.
 *
 * The agent gets a directory of its own inside the working one: it locks what
 * it is given through the same open file, which would end our lock.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/download.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/agent_channel.h"
#include "cli/agent_start.h"
#include "common/files.h"
#include "common/json.h"
#include "common/testpoint.h"

#define JOB "job"
#define FILE_NAME "download"
#define FILE_PATH JOB "/" FILE_NAME

/* A person waits, and may repeat the command. */
#define CONNECT_TIMEOUT_MS 10000
#define STALL_TIMEOUT_MS 30000
#define RETRIES 2

static const char fetch_program[] = DEPOT_PROGRAM_NAME "_fetch";

struct DepotDownload
{
	int			directory_fd;	/* the caller's */
	int			work_fd;		/* locked */
	pid_t		pid;			/* 0: not started */
	DepotChannel channel;
};

/* What the agent's last line says of a download. */
typedef struct Answer
{
	bool		missing;
} Answer;

static bool open_work_directory(DepotDownload *download, DepotError *error);
static bool start_agent(DepotDownload *download, DepotError *error);
static int	spawn_agent(DepotDownload *download, int job_fd, int socket_fd);
static bool find_program(char path[PATH_MAX], DepotError *error);
static bool run_command(DepotDownload *download, json_t *command, DepotCliProgress *progress, Answer *answer,
						DepotError *error);
static bool read_line(DepotDownload *download, const char *wanted, DepotCliProgress *progress, Answer *answer,
					  bool *ended, DepotError *error);
static json_t *fetch_command(const char *base, const char *encoded_path, bool optional, uint64_t max_bytes,
							 uint64_t expected_bytes, const char *sha256);
static void copy_error(const json_t *line, DepotError *error);
static bool translate(const char *text, DepotBuffer *out);

DepotDownload *
depot_download_open(int directory_fd, const char *ca_file, const char *credentials_file, DepotError *error)
{
	DepotDownload *download = calloc(1, sizeof(*download));
	Answer		answer;

	if (download == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	download->directory_fd = directory_fd;
	download->work_fd = -1;
	depot_channel_init(&download->channel, -1);
	if (open_work_directory(download, error) && start_agent(download, error) &&
		run_command(download, json_pack("{s:s, s:i, s:i, s:i, s:b, s:n, s:s?, s:s?}", "command", "configure",
										"connect_timeout_ms", CONNECT_TIMEOUT_MS,
										"stall_timeout_ms", STALL_TIMEOUT_MS, "retries", RETRIES,
										"allow_http", 1, "proxy", "ca_file", ca_file,
										"credentials_file", credentials_file), NULL, &answer, error))
		return download;
	depot_download_close(download);
	return NULL;
}

void
depot_download_close(DepotDownload *download)
{
	DepotError	ignored;

	if (download == NULL)
		return;
	if (download->channel.fd >= 0)
		(void) close(download->channel.fd);
	if (download->pid > 0)
		while (waitpid(download->pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	depot_channel_free(&download->channel);
	if (download->work_fd >= 0)
	{
		(void) depot_files_remove_tree(download->directory_fd, DEPOT_DOWNLOAD_DIRECTORY, &ignored);
		(void) close(download->work_fd);
	}
	free(download);
}

bool
depot_download_read(DepotDownload *download, const char *base, const char *encoded_path, bool optional,
					size_t max_bytes, DepotBuffer *out, bool *missing, DepotError *error)
{
	Answer		answer = {0};

	if (!run_command(download, fetch_command(base, encoded_path, optional, max_bytes, 0, ""), NULL, &answer, error))
		return false;
	*missing = answer.missing;
	return *missing || depot_files_read(download->work_fd, FILE_PATH, max_bytes, out, error);
}

int
depot_download_file(DepotDownload *download, const char *base, const char *encoded_path, uint64_t size_bytes,
					const char *sha256, DepotCliProgress *progress, DepotError *error)
{
	Answer		answer = {0};

	if (!run_command(download, fetch_command(base, encoded_path, false, size_bytes, size_bytes, sha256), progress,
					 &answer, error))
		return -1;
	if (answer.missing)
	{
		depot_error_set(error, DEPOT_ERROR_NOT_FOUND, "repository lacks the file \"%s\"", encoded_path);
		depot_error_hint(error, "A mirror may not be complete yet.");
		return -1;
	}
	return depot_files_open(download->work_fd, FILE_PATH, O_RDONLY, 0, error);
}

bool
depot_download_take(DepotDownload *download, const char *path, DepotError *error)
{
	const char *slash = strrchr(path, '/');
	char		directory[PATH_MAX] = "";
	int			fd;
	bool		ok;

	if (slash != NULL && slash - path >= (ptrdiff_t) sizeof(directory))
		return depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "path of a target is too long");
	if (slash != NULL)
		memcpy(directory, path, (size_t) (slash - path));
	fd = depot_files_open(download->work_fd, FILE_PATH, O_RDONLY, 0, error);
	if (fd < 0)
		return false;
	ok = (fchmod(fd, 0644) == 0 && fsync(fd) == 0) ||
		depot_error_set_errno(error, errno, "could not make the download durable");
	(void) close(fd);
	return ok && (slash == NULL ||
				  depot_files_make_directories(download->directory_fd, directory, 0755, true, error)) &&
		depot_files_rename(download->work_fd, FILE_PATH, download->directory_fd, path, error) &&
		depot_files_fsync(download->directory_fd, directory, error);
}

/*
 * A command that ends removes the directory while others wait for its lock, which is then worth nothing:
 * they look whether it is still the one of that name.
 */
static bool
open_work_directory(DepotDownload *download, DepotError *error)
{
	for (;;)
	{
		struct stat named;
		struct stat locked;
		int			fd;

		if (mkdirat(download->directory_fd, DEPOT_DOWNLOAD_DIRECTORY, 0700) != 0 && errno != EEXIST)
			return depot_error_set_errno(error, errno, "could not make the working directory \"%s\"",
										 DEPOT_DOWNLOAD_DIRECTORY);
		fd = openat(download->directory_fd, DEPOT_DOWNLOAD_DIRECTORY,
					O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return depot_error_set_errno(error, errno, "could not open the working directory \"%s\"",
										 DEPOT_DOWNLOAD_DIRECTORY);
		while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
			continue;
		if (fstat(fd, &locked) == 0 &&
			fstatat(download->directory_fd, DEPOT_DOWNLOAD_DIRECTORY, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
			named.st_ino == locked.st_ino && named.st_dev == locked.st_dev)
		{
			download->work_fd = fd;
			break;
		}
		(void) close(fd);
	}
	/* what a command that was killed left */
	return depot_files_remove_tree(download->work_fd, JOB, error) &&
		depot_files_make_directories(download->work_fd, JOB, 0700, false, error);
}

static bool
start_agent(DepotDownload *download, DepotError *error)
{
	int			sockets[2];
	int			job_fd = depot_files_open_directory(download->work_fd, JOB, error);
	int			code;
	bool		ended;

	if (job_fd < 0)
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
	{
		depot_error_set_errno(error, errno, "could not make a socket for the fetch agent");
		(void) close(job_fd);
		return false;
	}
	download->channel.fd = sockets[0];
	code = spawn_agent(download, job_fd, sockets[1]);
	(void) close(sockets[1]);
	(void) close(job_fd);
	if (code == 0)
		return read_line(download, "hello", NULL, NULL, &ended, error);
	download->pid = 0;
	depot_error_set_errno(error, code, "could not start %s", fetch_program);
	return depot_error_hint(error, "It belongs beside %s itself.", DEPOT_PROGRAM_NAME);
}

/* Returns 0, or what went wrong as an errno.  The environment is built: proxies come from no variable. */
static int
spawn_agent(DepotDownload *download, int job_fd, int socket_fd)
{
	const char *test_points = getenv(DEPOT_TEST_POINTS_VARIABLE);
	char		points[PATH_MAX];
	char		parent[16];
	char		program[PATH_MAX];
	char	   *arguments[] = {(char *) fetch_program, "agent", "fetch", "--parent", parent, NULL};
	char	   *environment[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", NULL, NULL};
	posix_spawn_file_actions_t actions;
	DepotError	ignored;
	int			code;

	snprintf(parent, sizeof(parent), "%d", (int) getpid());
	if (test_points != NULL)
	{
		snprintf(points, sizeof(points), DEPOT_TEST_POINTS_VARIABLE "=%s", test_points);
		environment[3] = points;
	}
	if (!find_program(program, &ignored))
		return ENOENT;
	code = posix_spawn_file_actions_init(&actions);
	if (code != 0)
		return code;
	code = posix_spawn_file_actions_adddup2(&actions, socket_fd, DEPOT_AGENT_CHANNEL_FD);
	if (code == 0)
		code = posix_spawn_file_actions_adddup2(&actions, socket_fd, STDOUT_FILENO);
	if (code == 0)
		code = posix_spawn_file_actions_adddup2(&actions, job_fd, DEPOT_AGENT_DIRECTORY_FD);
	if (code == 0)
		code = posix_spawn(&download->pid, program, &actions, NULL, arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
	return code;
}

/* The fetch agent's program stands beside this one, and is named after it. */
static bool
find_program(char path[PATH_MAX], DepotError *error)
{
	static const char suffix[] = "_fetch";
	ssize_t		length = readlink("/proc/self/exe", path, PATH_MAX - sizeof(suffix));

	if (length <= 0)
		return depot_error_set_errno(error, errno, "could not find this program's own file");
	memcpy(path + length, suffix, sizeof(suffix));
	return true;
}

/* Sends a command (and drops it) and reads on to the agent's answer. */
static bool
run_command(DepotDownload *download, json_t *command, DepotCliProgress *progress, Answer *answer,
			DepotError *error)
{
	bool		ended = false;

	if (!depot_channel_send(&download->channel, command))
		return depot_error_set(error, DEPOT_ERROR_AGENT, "could not ask the fetch agent for a file");
	while (!ended)
	{
		if (!read_line(download, "done", progress, answer, &ended, error))
			return false;
	}
	return true;
}

/* Takes one line.  *ended: it was of the wanted type.  False with the agent's error when it sent one. */
static bool
read_line(DepotDownload *download, const char *wanted, DepotCliProgress *progress, Answer *answer,
		  bool *ended, DepotError *error)
{
	json_t	   *line;
	const char *type = "";
	bool		ok = true;

	*ended = false;
	if (depot_channel_read(&download->channel, &line, error) != DEPOT_CHANNEL_MESSAGE)
		return depot_error_set(error, DEPOT_ERROR_AGENT, "the fetch agent ended unexpectedly");
	ok = depot_json_get_string(line, "type", true, &type, DEPOT_ERROR_AGENT, error);
	if (strcmp(type, "error") == 0)
	{
		copy_error(line, error);
		ok = false;
	}
	else if (strcmp(type, "progress") == 0 && progress != NULL)
		depot_cli_progress_update(progress, (uint64_t) json_integer_value(json_object_get(line, "bytes")));
	else if (strcmp(type, wanted) == 0)
	{
		if (answer != NULL)
			answer->missing = json_is_true(json_object_get(line, "missing"));
		*ended = true;
	}
	json_decref(line);
	return ok;
}

/* Builds the command; the agent wants at least one byte, and the caller checks what it gets. */
static json_t *
fetch_command(const char *base, const char *encoded_path, bool optional, uint64_t max_bytes,
			  uint64_t expected_bytes, const char *sha256)
{
	return json_pack("{s:s, s:[s], s:s, s:b, s:b, s:s, s:I, s:I, s:s?}", "command", "fetch", "bases", base,
					 "path", encoded_path, "encoded", 1, "optional", (int) optional, "file", FILE_NAME,
					 "max_bytes", (json_int_t) (max_bytes > 0 ? max_bytes : 1),
					 "expected_bytes", (json_int_t) expected_bytes,
					 "sha256", sha256[0] != '\0' ? sha256 : NULL);
}

/* The agent speaks to a server's administrator: what is a setting there is an option here. */
static void
copy_error(const json_t *line, DepotError *error)
{
	const char *code = json_string_value(json_object_get(line, "code"));
	const char *message = json_string_value(json_object_get(line, "message"));
	DepotBuffer text;

	depot_buffer_init(&text);
	depot_error_set(error, depot_error_from_wire_name(code != NULL ? code : ""), "%s",
					message != NULL ? message : "the fetch agent failed");
	if (translate(json_string_value(json_object_get(line, "detail")), &text))
		depot_error_detail(error, "%s", text.data);
	if (translate(json_string_value(json_object_get(line, "hint")), &text))
		depot_error_hint(error, "%s", text.data);
	depot_buffer_free(&text);
}

/* False when there is no text, or it speaks of a setting that is no option here. */
static bool
translate(const char *text, DepotBuffer *out)
{
	static const struct
	{
		const char *setting;
		const char *option;
	}			names[] = {{"depot.ca_file", "--ca-file"}, {"depot.credentials_file", "--credentials-file"}};
	const char *setting;

	depot_buffer_reset(out);
	if (text == NULL || text[0] == '\0')
		return false;
	while ((setting = strstr(text, "depot.")) != NULL)
	{
		size_t		name = 0;

		while (name < sizeof(names) / sizeof(names[0]) &&
			   strncmp(setting, names[name].setting, strlen(names[name].setting)) != 0)
			name++;
		if (name == sizeof(names) / sizeof(names[0]))
			return false;
		depot_buffer_append(out, text, (size_t) (setting - text));
		depot_buffer_append_string(out, names[name].option);
		text = setting + strlen(names[name].setting);
	}
	return depot_buffer_append_string(out, text);
}
