/*-------------------------------------------------------------------------
 *
 * repo_fixture.h
 *	  A scratch directory with keys and a package, and the program to run in
 *	  it, for tests of the repository commands.
 *
 * Included after cmocka.h.  The program is build/pg_depot, or what
 * PG_DEPOT_PROGRAM names.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_REPO_FIXTURE_H
#define DEPOT_TEST_REPO_FIXTURE_H

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "common/digest.h"
#include "common/key.h"
#include "common/testpoint.h"
#include "common/tuf.h"
#include "scratch.h"

#define REPO_ROLE "pg15-linux-amd64"
#define REPO_MAX_ARGUMENTS 32

static Scratch scratch;
static char program[PATH_MAX];
static char output[65536];

/* Starts the program in the scratch directory; words are separated by single spaces. */
static inline pid_t
repo_start(const char *command_line, const char *output_file)
{
	pid_t		pid = fork();

	if (pid == 0)
	{
		static char words[4096];
		char	   *arguments[REPO_MAX_ARGUMENTS] = {program};
		char	   *rest = NULL;
		int			count = 1;
		int			fd;

		snprintf(words, sizeof(words), "%s", command_line);
		for (char *word = strtok_r(words, " ", &rest); word != NULL && count < REPO_MAX_ARGUMENTS - 1;
			 word = strtok_r(NULL, " ", &rest))
			arguments[count++] = word;
		if (fchdir(scratch.fd) != 0 ||
			(fd = open(output_file, O_WRONLY | O_CREAT | O_TRUNC, 0600)) < 0 ||
			dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
			_exit(126);
		execv(program, arguments);
		_exit(127);
	}
	return pid;
}

/* Waits; returns the exit code, or minus the signal that ended it. */
static inline int
repo_wait(pid_t pid, const char *output_file)
{
	DepotBuffer buffer;
	DepotError	error;
	int			status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	depot_buffer_init(&buffer);
	output[0] = '\0';
	if (depot_files_read(scratch.fd, output_file, sizeof(output) - 1, &buffer, &error) && buffer.data != NULL)
		snprintf(output, sizeof(output), "%s", buffer.data);
	depot_buffer_free(&buffer);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int
repo_run(const char *command_line)
{
	return repo_wait(repo_start(command_line, "output"), "output");
}

/* Runs the program and expects an exit code, and words in what it printed (both streams). */
static inline void
repo_expect(int expected, const char *words, const char *command_line)
{
	int			result = repo_run(command_line);

	if (result != expected || strstr(output, words) == NULL)
		fail_msg("pg_depot %s: exit %d, expected %d and \"%s\"; output:\n%s", command_line, result, expected,
				 words,
				 output);
}

static inline void
repo_make_key(const char *name, const char *passphrase)
{
	DepotError	error;
	char		path[PATH_MAX];
	DepotKey   *key = depot_key_generate(&error);

	snprintf(path, sizeof(path), "%s/%s", scratch.path, name);
	if (key == NULL || !depot_key_save(key, path, passphrase, &error))
		fail_msg("%s", error.message);
	depot_key_free(key);
}

/* Packs a small extension whose script has the given body into out/demo-<version>.tar.zst. */
static inline void
repo_make_package(const char *version, const char *body)
{
	static const char *const directory = "tree/usr/share/postgresql/15/extension";
	DepotError	error;
	char		text[256];
	char		path[256];

	assert_true(depot_files_remove_tree(scratch.fd, "tree", &error));
	assert_true(depot_files_make_directories(scratch.fd, directory, 0755, false, &error));
	assert_true(depot_files_make_directories(scratch.fd, "out", 0755, false, &error));
	snprintf(text, sizeof(text), "comment = 'demo'\ndefault_version = '%s'\nrelocatable = true\n", version);
	snprintf(path, sizeof(path), "%s/demo.control", directory);
	assert_true(scratch_write(scratch.fd, path, text));
	snprintf(path, sizeof(path), "%s/demo--%s.sql", directory, version);
	assert_true(scratch_write(scratch.fd, path, body));
	snprintf(path, sizeof(path), "out/demo-%s.tar.zst", version);
	assert_true(depot_files_remove(scratch.fd, path, &error));
	snprintf(text, sizeof(text), "pack --from-tree tree --package demo --version %s -o out", version);
	repo_expect(0, "", text);
}

/* A DepotTufFetch that reads the repository's directory. */
static inline bool
repo_fetch(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing,
		   DepotError *error)
{
	char		path[256];

	snprintf(path, sizeof(path), "repo/metadata/%s", file_name);
	if (depot_files_read(scratch.fd, path, max_bytes, out, error))
		return true;
	*missing = error->code == DEPOT_ERROR_FILE_MISSING;
	return *missing;
}

static inline bool
repo_count_target(const DepotTufTarget *target, void *context, DepotError *error)
{
	++*(int *) context;
	return true;
}

/*
 * Refreshes the client whose trusted metadata is in trust (made when absent) and returns
 * how many targets it sees; fails the test when the repository is not valid.
 */
static inline int
repo_client(const char *trust)
{
	DepotError	error;
	DepotBuffer pin;
	DepotTufClient *client;
	bool		changed;
	int			count = 0;
	int			fd;

	depot_buffer_init(&pin);
	assert_true(depot_files_make_directories(scratch.fd, trust, 0700, false, &error));
	fd = depot_files_open_directory(scratch.fd, trust, &error);
	assert_true(fd >= 0);
	assert_true(depot_files_read(scratch.fd, "repo/metadata/1.root.json", 1 << 20, &pin, &error));
	client = depot_tuf_open(fd, pin.data, pin.length_bytes, (int64_t) time(NULL), &error);
	if (client == NULL || !depot_tuf_refresh(client, REPO_ROLE, repo_fetch, NULL, &changed, &error) ||
		!depot_tuf_visit_targets(client, REPO_ROLE, repo_count_target, &count, &error))
		fail_msg("client %s: %s", trust, error.message);
	depot_tuf_close(client);
	depot_buffer_free(&pin);
	close(fd);
	return count;
}

static inline bool
repo_digest_entry(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
				  DepotError *error)
{
	char		hex[DEPOT_SHA256_HEX_BYTES] = "";

	return (!S_ISREG(mode) || depot_digest_file(directory_fd, path, hex, NULL, error)) &&
		depot_buffer_append_format(context, "%s %o %s\n", path, (unsigned) mode, hex);
}

/* Visits all that is in the repository. */
static inline void
repo_walk(DepotFilesVisit visit, void *context)
{
	DepotError	error;

	if (!depot_files_walk(scratch.fd, "repo", visit, context, &error))
		fail_msg("%s", error.message);
}

/* Everything in the repository, with digests, as one malloc'd text to compare. */
static inline char *
repo_picture(void)
{
	DepotBuffer text;

	depot_buffer_init(&text);
	repo_walk(repo_digest_entry, &text);
	return text.data;
}

static inline int
repo_set_up(void **state)
{
	const char *named = getenv("PG_DEPOT_PROGRAM");
	DepotError	error;

	if (realpath(named == NULL ? "build/pg_depot" : named, program) == NULL)
	{
		fprintf(stderr, "build the program first: %s\n", program);
		return -1;
	}
	scratch = scratch_make();
	if (scratch.fd < 0 || !depot_digest_init(&error))
		return -1;
	repo_make_key("root", NULL);
	repo_make_key("targets", NULL);
	repo_make_key("snapshot", NULL);
	repo_make_key("timestamp", NULL);
	repo_make_key("stranger", NULL);
	return 0;
}

static inline int
repo_tear_down(void **state)
{
	unsetenv(DEPOT_TEST_POINTS_VARIABLE);
	scratch_remove(&scratch);
	return 0;
}

#define REPO_INIT "repo init repo --root-key root --targets-key targets --snapshot-key snapshot " \
	"--timestamp-key timestamp"
#define REPO_PUBLISH "repo publish repo --key targets --key snapshot --key timestamp"

#endif							/* DEPOT_TEST_REPO_FIXTURE_H */
