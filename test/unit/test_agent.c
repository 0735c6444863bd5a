/*-------------------------------------------------------------------------
 *
 * test_agent.c
 *	  How agents start, what they answer to nonsense, and the fetch agent.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "agent_harness.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "scratch.h"

static const char *const kinds[] = {"fetch", "check", NULL};

/* Reads a small file of /proc/PID into out. */
static void
read_proc(pid_t pid, const char *name, char *out, size_t out_bytes)
{
	char		path[64];
	size_t		length;
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
	file = fopen(path, "r");
	assert_non_null(file);
	length = fread(out, 1, out_bytes - 1, file);
	out[length] = '\0';
	fclose(file);
}

/* Soft and hard value of a limit, as /proc shows them. */
static void
assert_limit(const char *limits, const char *name, const char *soft, const char *hard)
{
	char		found_soft[32];
	char		found_hard[32];
	const char *line = strstr(limits, name);

	assert_non_null(line);
	assert_int_equal(sscanf(line + strlen(name), "%31s %31s", found_soft, found_hard), 2);
	assert_string_equal(found_soft, soft);
	assert_string_equal(found_hard, hard);
}

/*----- start --------------------------------------------------------------------*/

/* Counts the open descriptors of a process and tells what 0 to 3 are. */
static int
list_descriptors(pid_t pid, char links[4][128])
{
	char		path[64];
	DIR		   *directory;
	struct dirent *entry;
	int			count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
	directory = opendir(path);
	assert_non_null(directory);
	while ((entry = readdir(directory)) != NULL)
	{
		int			fd = atoi(entry->d_name);
		ssize_t		length;

		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (fd > 3)
			fail_msg("descriptor %d is open", fd);
		length = readlinkat(dirfd(directory), entry->d_name, links[fd], sizeof(links[0]) - 1);
		assert_true(length > 0);
		links[fd][length] = '\0';
	}
	closedir(directory);
	return count;
}

static void
test_descriptors(void **state)
{
	Scratch		scratch = scratch_make();

	(void) state;
	for (int i = 0; kinds[i] != NULL; i++)
	{
		Agent		agent;
		char		links[4][128] = {{0}};

		agent_start(&agent, kinds[i], scratch.fd);
		assert_int_equal(list_descriptors(agent.pid, links), 4);
		assert_int_equal(strncmp(links[0], "socket:", 7), 0);
		assert_string_equal(links[1], links[0]);
		assert_string_equal(links[2], "/dev/null");
		assert_string_equal(links[3], scratch.path);
		agent_stop(&agent);
	}
	scratch_remove(&scratch);
}

static void
test_process_limits(void **state)
{
	static const char *const given[] = {"--memory-bytes", "300000000", "--max-file-bytes", "1000000", NULL};
	Scratch		scratch = scratch_make();
	Agent		agent;
	char		text[8192];

	(void) state;
	for (int i = 0; kinds[i] != NULL; i++)
	{
		agent_start(&agent, kinds[i], scratch.fd);
		read_proc(agent.pid, "oom_score_adj", text, sizeof(text));
		assert_true(atoi(text) >= 500);
		read_proc(agent.pid, "limits", text, sizeof(text));
		assert_limit(text, "Max core file size", "0", "0");
		assert_limit(text, "Max open files", "256", "256");
		if (strcmp(kinds[i], "check") == 0 && strstr(text, "unlimited") != NULL &&
			getenv("AGENT_SANITIZED") == NULL)
			assert_limit(text, "Max address space", "268435456", "268435456");
		read_proc(agent.pid, "status", text, sizeof(text));
		assert_non_null(strstr(text, "NoNewPrivs:\t1"));
		assert_non_null(strstr(text, strcmp(kinds[i], "check") == 0 ? "Seccomp:\t2" : "Seccomp:\t0"));
		agent_stop(&agent);
	}

	agent_start_as(&agent, "check", scratch.fd, 0, given);
	json_decref(agent_read(&agent));
	read_proc(agent.pid, "limits", text, sizeof(text));
	assert_limit(text, "Max file size", "1000000", "1000000");
	if (getenv("AGENT_SANITIZED") == NULL)
		assert_limit(text, "Max address space", "300000000", "300000000");
	agent_stop(&agent);
	scratch_remove(&scratch);
}

static void
test_dies_with_its_parent(void **state)
{
	Scratch		scratch = scratch_make();

	(void) state;
	/* the orphan comes to us, so that we see how it ended */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	for (int i = 0; kinds[i] != NULL; i++)
	{
		int			told[2];
		int			sockets[2];
		pid_t		leader;
		pid_t		agent_pid;
		int			status;

		assert_int_equal(pipe2(told, O_CLOEXEC), 0);
		/* both ends stay open here: it is not the end of the stream that ends the agent */
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
		leader = fork();
		assert_true(leader >= 0);
		if (leader == 0)
		{
			pid_t		self = getpid();
			char		byte;

			agent_pid = fork();
			if (agent_pid == 0)
				agent_exec(kinds[i], sockets[1], scratch.fd, self, NULL);
			if (read(sockets[0], &byte, 1) != 1 || write(told[1], &agent_pid, sizeof(agent_pid)) < 0)
				_exit(1);
			pause();
			_exit(0);
		}
		assert_int_equal(read(told[0], &agent_pid, sizeof(agent_pid)), sizeof(agent_pid));
		assert_int_equal(kill(leader, SIGKILL), 0);
		assert_int_equal(waitpid(leader, NULL, 0), leader);
		status = agent_wait(agent_pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGKILL);
		close(sockets[0]);
		close(sockets[1]);
		close(told[0]);
		close(told[1]);
	}
	scratch_remove(&scratch);
}

static void
test_refuses_another_parent(void **state)
{
	static const char *const nonsense[] = {"--memory-bytes", "many", NULL};
	Scratch		scratch = scratch_make();
	Agent		agent;
	int			status;

	(void) state;
	/* as when the leader has died before the agent could ask for the signal */
	agent_start_as(&agent, "check", scratch.fd, 1, NULL);
	assert_error_line(agent_read(&agent), "agent", "leader is gone");
	status = agent_wait(agent.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	close(agent.fd);

	agent_start_as(&agent, "nothing", scratch.fd, 0, NULL);
	status = agent_wait(agent.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
	close(agent.fd);

	agent_start_as(&agent, "fetch", scratch.fd, 0, nonsense);
	status = agent_wait(agent.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
	close(agent.fd);
	scratch_remove(&scratch);
}

/*----- the protocol -----------------------------------------------------------------*/

static void
test_nonsense_is_answered(void **state)
{
	static const char *const lines[] = {
		"hello\n", "\n", "[]\n", "{}\n", "\"fetch\"\n", "{\"command\":1}\n", "{\"command\":\"nothing\"}\n",
		"{\"command\":\"fetch\",\"command\":\"fetch\"}\n", "{\"command\":\"fetch\"} {}\n",
		"{\"command\":\"\\u0000\"}\n", "{\"command\":\"fetch\"}\n", "{\"command\":\"configure\"}\n",
		"{\"command\":\"refresh\"}\n", "{\"command\":\"package\",\"server\":[]}\n",
		"{\"command\":\"verify_files\",\"share\":\"../x\"}\n", NULL
	};
	Scratch		scratch = scratch_make();

	(void) state;
	for (int i = 0; kinds[i] != NULL; i++)
	{
		Agent		agent;

		agent_start(&agent, kinds[i], scratch.fd);
		for (int j = 0; lines[j] != NULL; j++)
		{
			agent_send_raw(&agent, lines[j], strlen(lines[j]));
			assert_error_line(agent_read(&agent), "agent", "");
		}
		/* a NUL and bytes that are no UTF-8 */
		agent_send_raw(&agent, "{\"command\":\"a\0b\"}\n", 18);
		assert_error_line(agent_read(&agent), "agent", "");
		agent_send_raw(&agent, "{\"command\":\"\xff\"}\n", 16);
		assert_error_line(agent_read(&agent), "agent", "");
		/* several in one piece are answered one by one */
		agent_send_raw(&agent, "{}\n{}\n{}\n", 9);
		for (int j = 0; j < 3; j++)
			assert_error_line(agent_read(&agent), "agent", "command");
		agent_stop(&agent);
	}
	scratch_remove(&scratch);
}

static void
test_long_lines(void **state)
{
	Scratch		scratch = scratch_make();
	Agent		agent;
	char	   *line = malloc(65537);
	int			status;

	(void) state;
	/* the longest line that is one, newline included, is answered */
	agent_start(&agent, "fetch", scratch.fd);
	memset(line, 'x', 65537);
	line[65535] = '\n';
	agent_send_raw(&agent, line, 65536);
	assert_error_line(agent_read(&agent), "agent", "JSON");
	line[65535] = 'x';
	/* one byte more ends it, newline or not */
	agent_send_raw(&agent, line, 65536);
	status = agent_wait(agent.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	close(agent.fd);
	free(line);
	scratch_remove(&scratch);
}

/*----- fetch --------------------------------------------------------------------------*/

static json_t *
configuration(void)
{
	return json_pack("{s:s, s:i, s:i, s:b, s:n, s:n, s:i}", "command", "configure", "connect_timeout_ms",
					 1000,
					 "stall_timeout_ms", 1000, "allow_http", 0, "proxy", "ca_file", "retries", 0);
}

static json_t *
fetch_command(const Scratch *repository, const char *path, const char *file, int max_bytes)
{
	char		base[128];

	snprintf(base, sizeof(base), "file://%s", repository->path);
	return json_pack("{s:s, s:[s], s:s, s:s, s:i, s:i}", "command", "fetch", "bases", base, "path", path,
					 "file", file,
					 "max_bytes", max_bytes, "expected_bytes", 0);
}

static void
test_fetch(void **state)
{
	Scratch		repository = scratch_make();
	Scratch		job = scratch_make();
	Agent		agent;
	json_t	   *line;

	(void) state;
	assert_int_equal(mkdirat(repository.fd, "metadata", 0755), 0);
	assert_true(scratch_write(repository.fd, "metadata/1.root.json", "a root"));
	agent_start(&agent, "fetch", job.fd);

	agent_send(&agent, fetch_command(&repository, "metadata/1.root.json", "need-1", 100));
	assert_error_line(agent_result(&agent), "agent", "not been configured");
	agent_send(&agent, configuration());
	json_decref(agent_result(&agent));

	agent_send(&agent, fetch_command(&repository, "metadata/1.root.json", "need-1", 100));
	line = agent_result(&agent);
	assert_line_type(line, "done");
	assert_true(json_is_false(json_object_get(line, "missing")));
	assert_int_equal(json_integer_value(json_object_get(line, "bytes")), 6);
	assert_int_equal(json_integer_value(json_object_get(line, "base")), 0);
	json_decref(line);
	assert_true(scratch_has(job.fd, "need-1", "a root"));
	assert_int_equal(scratch_mode(job.fd, "need-1") & 07777, 0600);

	agent_send(&agent, fetch_command(&repository, "metadata/2.root.json", "need-2", 100));
	line = agent_result(&agent);
	assert_line_type(line, "done");
	assert_true(json_is_true(json_object_get(line, "missing")));
	json_decref(line);
	assert_int_equal(scratch_mode(job.fd, "need-2"), 0);

	/* what failed leaves no part of a file */
	agent_send(&agent, fetch_command(&repository, "metadata/1.root.json", "need-3", 5));
	assert_error_line(agent_result(&agent), "too_large", "larger than 5 bytes");
	assert_int_equal(scratch_mode(job.fd, "need-3"), 0);
	agent_stop(&agent);
	scratch_remove(&repository);
	scratch_remove(&job);
}

static void
test_fetch_replaces_what_is_there(void **state)
{
	Scratch		repository = scratch_make();
	Scratch		job = scratch_make();
	Agent		agent;

	(void) state;
	assert_true(scratch_write(repository.fd, "file", "from the repository"));
	assert_true(scratch_write(repository.fd, "victim", "untouched"));
	assert_int_equal(symlinkat("../victim", job.fd, "need-1"), 0);
	assert_int_equal(linkat(repository.fd, "victim", job.fd, "need-2", 0), 0);
	agent_start(&agent, "fetch", job.fd);
	agent_send(&agent, configuration());
	json_decref(agent_result(&agent));
	for (int i = 1; i <= 2; i++)
	{
		char		file[] = {'n', 'e', 'e', 'd', '-', (char) ('0' + i), '\0'};
		json_t	   *line;

		agent_send(&agent, fetch_command(&repository, "file", file, 100));
		line = agent_result(&agent);
		assert_line_type(line, "done");
		json_decref(line);
		assert_true(scratch_has(job.fd, file, "from the repository"));
	}
	assert_true(scratch_has(repository.fd, "victim", "untouched"));
	agent_stop(&agent);
	scratch_remove(&repository);
	scratch_remove(&job);
}

static void
test_fetch_bad_commands(void **state)
{
	static const char *const files[] = {"../x", "/etc/x", "a/b", "", ".", "..", "a b", NULL};
	Scratch		job = scratch_make();
	Agent		agent;

	(void) state;
	agent_start(&agent, "fetch", job.fd);
	agent_send(&agent, configuration());
	json_decref(agent_result(&agent));
	for (int i = 0; files[i] != NULL; i++)
	{
		agent_send(&agent, fetch_command(&job, "x", files[i], 100));
		assert_error_line(agent_result(&agent), "agent", "plain file name");
	}
	agent_send(&agent, fetch_command(&job, "../x", "need-1", 100));
	assert_error_line(agent_result(&agent), "invalid_name", "repository path");
	agent_send(&agent, json_pack("{s:s, s:[], s:s, s:s, s:i}", "command", "fetch", "bases", "path", "x",
								 "file", "x",
								 "max_bytes", 1));
	assert_error_line(agent_result(&agent), "agent", "addresses");
	agent_send(&agent, json_pack("{s:s, s:[i], s:s, s:s, s:i}", "command", "fetch", "bases", 1, "path", "x",
								 "file", "x",
								 "max_bytes", 1));
	assert_error_line(agent_result(&agent), "agent", "bases");
	agent_send(&agent, json_pack("{s:s, s:[s], s:s, s:s, s:i}", "command", "fetch", "bases",
								 "http://h.invalid/", "path",
								 "x", "file", "x", "max_bytes", 1));
	assert_error_line(agent_result(&agent), "not_allowed", "http");
	agent_stop(&agent);
	scratch_remove(&job);
}

static void
test_fetch_holds_its_job(void **state)
{
	Scratch		job = scratch_make();
	Agent		agent;
	int			other = open(job.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			own = open(job.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void) state;
	/* a lock belongs to the open file that was handed over, so the agent gets one of its own */
	agent_start(&agent, "fetch", own);
	close(own);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
	agent_stop(&agent);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
	close(other);
	scratch_remove(&job);
}

static void
test_fetch_test_points(void **state)
{
	Scratch		job = scratch_make();
	Scratch		points = scratch_make();

	(void) state;
	assert_true(scratch_write(job.fd, "file", "text"));
	agent_test_points = points.path;
	for (int i = 0; i < 2; i++)
	{
		Agent		agent;

		agent_start(&agent, "fetch", job.fd);
		agent_send(&agent, configuration());
		json_decref(agent_result(&agent));
		assert_killed_at(&agent, i == 0 ? "fetch_begin" : "fetch_end", fetch_command(&job, "file", "copy", 100));
		assert_true(scratch_has(job.fd, "copy", "text") == (i == 1));
	}
	agent_test_points = NULL;
	scratch_remove(&points);
	scratch_remove(&job);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_process_limits),
		cmocka_unit_test(test_dies_with_its_parent),
		cmocka_unit_test(test_refuses_another_parent),
		cmocka_unit_test(test_nonsense_is_answered),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_fetch_replaces_what_is_there),
		cmocka_unit_test(test_fetch_bad_commands),
		cmocka_unit_test(test_fetch_holds_its_job),
		cmocka_unit_test(test_fetch_test_points),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
