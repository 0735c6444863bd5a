/*-------------------------------------------------------------------------
 *
 * test_files.c
 *	  File operations relative to a directory descriptor, links not followed.
 *
 * SPDX-License-Identifier: PostgreSQL
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "scratch.h"

static int
set_up(void **state)
{
	static Scratch scratch;

	umask(077);
	scratch = scratch_make();
	*state = &scratch;
	return scratch.fd >= 0 ? 0 : -1;
}

/* Every test also shows that it leaves no descriptor open. */
static int
count_descriptors(void)
{
	DIR		   *directory = opendir("/proc/self/fd");
	int			count = 0;

	while (directory != NULL && readdir(directory) != NULL)
		count++;
	if (directory != NULL)
		closedir(directory);
	return count;
}

static int
tear_down(void **state)
{
	scratch_remove(*state);
	return 0;
}

static int
root_fd(void **state)
{
	return ((Scratch *) *state)->fd;
}

static void
test_paths_that_are_never_followed(void **state)
{
	static const char *const bad[] = {
		"", ".", "..", "/", "/etc/passwd", "../x", "a/..", "a/../b", "a/./b", "./a", "a//b", "a/", "dir/",
	};
	int			root = root_fd(state);
	int			before = count_descriptors();
	char		long_part[NAME_MAX + 2];
	DepotError	error;

	assert_int_equal(mkdirat(root, "a", 0700), 0);
	assert_true(scratch_write(root, "a/inside", "x"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		assert_int_equal(depot_files_open(root, bad[i], O_RDONLY, 0, &error), -1);
		assert_int_equal(error.code, DEPOT_ERROR_IO);
		assert_false(depot_files_write_durable(root, bad[i], "x", 1, 0600, &error));
		assert_false(depot_files_remove(root, bad[i], &error));
		assert_false(depot_files_remove_tree(root, bad[i], &error));
		assert_false(depot_files_exists(root, bad[i]));
		assert_false(depot_files_rename(root, "a", root, bad[i], &error));
		assert_false(depot_files_rename(root, bad[i], root, "b", &error));
		if (strlen(bad[i]) > 1)
		{
			assert_false(depot_files_make_directories(root, bad[i], 0700, false, &error));
			assert_int_equal(depot_files_open_directory(root, bad[i], &error), -1);
		}
	}
	memset(long_part, 'x', sizeof(long_part));
	long_part[sizeof(long_part) - 1] = '\0';
	assert_int_equal(depot_files_open(root, long_part, O_RDONLY, 0, &error), -1);
	assert_true(scratch_has(root, "a/inside", "x"));
	assert_int_equal(count_descriptors(), before);
}

static void
test_links_are_not_followed(void **state)
{
	int			root = root_fd(state);
	int			before = count_descriptors();
	DepotBuffer buffer;
	DepotError	error;

	assert_int_equal(mkdirat(root, "real", 0700), 0);
	assert_true(scratch_write(root, "real/file", "text"));
	assert_int_equal(symlinkat("real", root, "to_directory"), 0);
	assert_int_equal(symlinkat("real/file", root, "to_file"), 0);
	assert_int_equal(symlinkat("nowhere", root, "dangling"), 0);
	depot_buffer_init(&buffer);

	assert_int_equal(depot_files_open(root, "to_file", O_RDONLY, 0, &error), -1);
	assert_int_equal(depot_files_open(root, "to_directory/file", O_RDONLY, 0, &error), -1);
	assert_int_equal(depot_files_open(root, "dangling", O_WRONLY | O_CREAT, 0600, &error), -1);
	assert_int_equal(depot_files_open_directory(root, "to_directory", &error), -1);
	assert_false(depot_files_read(root, "to_file", 100, &buffer, &error));
	assert_false(depot_files_make_directories(root, "to_directory/new", 0700, false, &error));
	assert_false(depot_files_make_directories(root, "to_directory", 0700, true, &error));
	assert_false(depot_files_write_durable(root, "to_directory/new", "x", 1, 0600, &error));
	assert_false(depot_files_remove(root, "to_directory/file", &error));
	assert_false(depot_files_remove_tree(root, "to_directory/file", &error));
	assert_false(depot_files_rename(root, "real/file", root, "to_directory/moved", &error));
	assert_false(depot_files_fsync(root, "to_file", &error));
	assert_false(depot_files_exists(root, "to_directory/file"));
	assert_true(depot_files_exists(root, "dangling"));

	/* Writing to a link's name replaces the link, not what it points to. */
	assert_true(depot_files_write_durable(root, "to_file", "new", 3, 0600, &error));
	assert_true(scratch_has(root, "to_file", "new"));
	assert_true(scratch_has(root, "real/file", "text"));
	/* Removing a link removes the link. */
	assert_true(depot_files_remove_tree(root, "to_directory", &error));
	assert_true(depot_files_remove(root, "dangling", &error));
	assert_false(depot_files_exists(root, "dangling"));
	assert_true(scratch_has(root, "real/file", "text"));
	depot_buffer_free(&buffer);
	assert_int_equal(count_descriptors(), before);
}

static void
test_open(void **state)
{
	int			root = root_fd(state);
	DepotError	error;
	int			fd;

	fd = depot_files_open(root, "new", O_WRONLY | O_CREAT | O_EXCL, 0640, &error);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	assert_int_equal(depot_files_open(root, "new", O_WRONLY | O_CREAT | O_EXCL, 0640, &error), -1);
	assert_int_equal(error.code, DEPOT_ERROR_FILE_EXISTS);
	assert_int_equal(depot_files_open(root, "absent", O_RDONLY, 0, &error), -1);
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_string_equal(error.message, "could not open \"absent\": No such file or directory");
	assert_int_equal(depot_files_open(root, "absent/a", O_RDONLY, 0, &error), -1);
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_int_equal(depot_files_open(root, "new/a", O_RDONLY, 0, &error), -1);
	assert_int_equal(depot_files_open(root, "\n\xC3\xA9", O_RDONLY, 0, &error), -1);
	assert_non_null(strstr(error.message, "\"???\""));
	fd = depot_files_open_directory(root, "", &error);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_true(depot_files_exists(fd, "new"));
	close(fd);
	fd = depot_files_open_directory(root, ".", &error);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(depot_files_open_directory(root, "new", &error), -1);
	assert_int_equal(depot_files_open_directory(-1, ".", &error), -1);
}

static void
test_make_directories(void **state)
{
	int			root = root_fd(state);
	int			before = count_descriptors();
	DepotError	error;

	assert_true(depot_files_make_directories(root, "usr/share/postgresql/15", 0755, true, &error));
	/* Whatever the umask (here 077). */
	assert_int_equal(scratch_mode(root, "usr") & 07777, 0755);
	assert_int_equal(scratch_mode(root, "usr/share/postgresql/15") & 07777, 0755);
	assert_true(depot_files_make_directories(root, "usr/share/postgresql/15", 0700, true, &error));
	assert_int_equal(scratch_mode(root, "usr/share/postgresql/15") & 07777, 0755);
	assert_true(depot_files_make_directories(root, "usr/lib", 0700, false, &error));
	assert_int_equal(scratch_mode(root, "usr/lib") & 07777, 0700);
	assert_true(depot_files_make_directories(root, "", 0700, false, &error));
	assert_true(scratch_write(root, "usr/file", "x"));
	assert_false(depot_files_make_directories(root, "usr/file", 0700, false, &error));
	assert_false(depot_files_make_directories(root, "usr/file/x", 0700, true, &error));
	assert_non_null(strstr(error.message, "usr/file/x"));
	assert_true(scratch_has(root, "usr/file", "x"));
	assert_int_equal(count_descriptors(), before);
}

static void
test_read(void **state)
{
	int			root = root_fd(state);
	int			before = count_descriptors();
	size_t		size_bytes = 200000;
	char	   *bytes = malloc(size_bytes);
	DepotBuffer buffer;
	DepotError	error;

	assert_non_null(bytes);
	for (size_t i = 0; i < size_bytes; i++)
		bytes[i] = (char) (i * 7);
	depot_buffer_init(&buffer);
	assert_true(depot_files_write_durable(root, "large", bytes, size_bytes, 0600, &error));
	assert_true(depot_files_read(root, "large", size_bytes, &buffer, &error));
	assert_int_equal(buffer.length_bytes, size_bytes);
	assert_memory_equal(buffer.data, bytes, size_bytes);
	depot_buffer_reset(&buffer);
	assert_false(depot_files_read(root, "large", size_bytes - 1, &buffer, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TOO_LARGE);
	assert_true(buffer.length_bytes <= size_bytes - 1);
	depot_buffer_reset(&buffer);

	assert_true(depot_files_write_durable(root, "empty", "", 0, 0600, &error));
	assert_true(depot_files_read(root, "empty", 0, &buffer, &error));
	assert_string_equal(buffer.data, "");
	assert_true(depot_buffer_append_string(&buffer, "kept "));
	assert_true(scratch_write(root, "small", "text"));
	assert_true(depot_files_read(root, "small", 4, &buffer, &error));
	assert_string_equal(buffer.data, "kept text");

	assert_false(depot_files_read(root, "absent", 10, &buffer, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_int_equal(mkdirat(root, "dir", 0700), 0);
	assert_false(depot_files_read(root, "dir", 10, &buffer, &error));
	assert_int_equal(mkfifoat(root, "fifo", 0600), 0);
	assert_false(depot_files_read(root, "fifo", 10, &buffer, &error));
	assert_string_equal(error.message, "\"fifo\" is not a regular file");
	depot_buffer_free(&buffer);
	free(bytes);
	assert_int_equal(count_descriptors(), before);
}

static void
test_write_durable(void **state)
{
	int			root = root_fd(state);
	int			before = count_descriptors();
	struct stat first;
	struct stat second;
	DepotError	error;

	assert_true(depot_files_write_durable(root, "f", "one", 3, 0644, &error));
	assert_int_equal(scratch_mode(root, "f"), S_IFREG | 0644);
	assert_int_equal(fstatat(root, "f", &first, 0), 0);
	/* Never in place: another inode. */
	assert_int_equal(linkat(root, "f", root, "old", 0), 0);
	assert_true(depot_files_write_durable(root, "f", "three", 5, 0600, &error));
	assert_int_equal(fstatat(root, "f", &second, 0), 0);
	assert_true(first.st_ino != second.st_ino);
	assert_true(scratch_has(root, "old", "one"));
	assert_true(scratch_has(root, "f", "three"));
	assert_int_equal(scratch_mode(root, "f"), S_IFREG | 0600);

	/* What a crash left under the temporary name is in nobody's way. */
	assert_true(scratch_write(root, "f.new", "half"));
	assert_true(depot_files_write_durable(root, "f", "four", 4, 0600, &error));
	assert_true(scratch_has(root, "f", "four"));
	assert_false(depot_files_exists(root, "f.new"));
	assert_int_equal(symlinkat("old", root, "f.new"), 0);
	assert_true(depot_files_write_durable(root, "f", "five", 4, 0600, &error));
	assert_true(scratch_has(root, "old", "one"));

	assert_false(depot_files_write_durable(root, "absent/f", "x", 1, 0600, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_int_equal(mkdirat(root, "dir", 0700), 0);
	assert_false(depot_files_write_durable(root, "dir", "x", 1, 0600, &error));
	assert_false(depot_files_exists(root, "dir.new"));
	assert_int_equal(count_descriptors(), before);
}

/* RLIMIT_FSIZE makes write(2) fail half way, as a full disk does: the old file stands, nothing is left. */
static void
test_write_failure_keeps_the_old_file(void **state)
{
	int			root = root_fd(state);
	int			status;
	pid_t		child;

	assert_true(scratch_write(root, "f", "old"));
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
	{
		struct rlimit limit = {1000, 1000};
		char		bytes[5000] = {0};
		DepotError	error;

		signal(SIGXFSZ, SIG_IGN);
		if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
			_exit(2);
		_exit(depot_files_write_durable(root, "f", bytes, sizeof(bytes), 0600, &error) ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(scratch_has(root, "f", "old"));
	assert_false(depot_files_exists(root, "f.new"));
}

static void
test_write_all(void **state)
{
	DepotError	error;
	int			full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int			pipes[2];
	char		bytes[10];

	(void) state;
	assert_true(full >= 0);
	assert_true(depot_files_write_all(full, "", 0, &error));
	assert_false(depot_files_write_all(full, "abc", 3, &error));
	assert_int_equal(error.code, DEPOT_ERROR_DISK_FULL);
	close(full);
	assert_int_equal(pipe(pipes), 0);
	assert_true(depot_files_write_all(pipes[1], "abcdef", 6, &error));
	assert_int_equal(read(pipes[0], bytes, sizeof(bytes)), 6);
	assert_memory_equal(bytes, "abcdef", 6);
	assert_false(depot_files_write_all(pipes[0], "x", 1, &error));
	assert_int_equal(error.code, DEPOT_ERROR_IO);
	close(pipes[0]);
	close(pipes[1]);
}

static void
test_rename_remove_exists_fsync(void **state)
{
	int			root = root_fd(state);
	int			before = count_descriptors();
	DepotError	error;

	assert_true(depot_files_make_directories(root, "a/b", 0700, false, &error));
	assert_true(scratch_write(root, "a/b/f", "x"));
	assert_true(depot_files_exists(root, "a/b/f"));
	assert_false(depot_files_exists(root, "a/c/f"));
	assert_true(depot_files_rename(root, "a/b/f", root, "g", &error));
	assert_false(depot_files_exists(root, "a/b/f"));
	assert_true(scratch_has(root, "g", "x"));
	assert_false(depot_files_rename(root, "a/b/f", root, "h", &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_false(depot_files_rename(root, "g", root, "no/h", &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_true(scratch_has(root, "g", "x"));

	assert_true(depot_files_fsync(root, "g", &error));
	assert_true(depot_files_fsync(root, "a/b", &error));
	assert_true(depot_files_fsync(root, "", &error));
	assert_true(depot_files_fsync(root, ".", &error));
	assert_false(depot_files_fsync(root, "absent", &error));

	assert_true(depot_files_remove(root, "g", &error));
	assert_true(depot_files_remove(root, "g", &error));
	assert_true(depot_files_remove(root, "no/g", &error));
	assert_false(depot_files_remove(root, "a/b", &error));
	assert_true(depot_files_exists(root, "a/b"));
	assert_int_equal(count_descriptors(), before);
}

static void
test_remove_tree(void **state)
{
	int			root = root_fd(state);
	int			before = count_descriptors();
	DepotError	error;

	assert_true(depot_files_make_directories(root, "a/b/c", 0700, false, &error));
	assert_true(depot_files_make_directories(root, "outside", 0700, false, &error));
	assert_true(scratch_write(root, "outside/f", "kept"));
	assert_true(scratch_write(root, "a/f", "x"));
	assert_true(scratch_write(root, "a/b/c/f", "x"));
	assert_int_equal(symlinkat("../../outside", root, "a/b/link"), 0);
	assert_int_equal(mkfifoat(root, "a/b/fifo", 0600), 0);
	assert_true(depot_files_remove_tree(root, "a/b", &error));
	assert_false(depot_files_exists(root, "a/b"));
	assert_true(depot_files_exists(root, "a/f"));
	assert_true(scratch_has(root, "outside/f", "kept"));
	assert_true(depot_files_remove_tree(root, "a/b", &error));
	assert_true(depot_files_remove_tree(root, "no/b", &error));
	assert_true(depot_files_remove_tree(root, "a/f", &error));
	assert_true(depot_files_remove_tree(root, "a", &error));
	assert_false(depot_files_exists(root, "a"));
	assert_int_equal(count_descriptors(), before);
}

static bool
record(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context, DepotError *error)
{
	DepotBuffer *seen = context;

	if (strcmp(path, "stop") == 0)
		return depot_error_set(error, DEPOT_ERROR_CANCELED, "stopped");
	if (!depot_files_exists(directory_fd, path))
		return depot_error_set(error, DEPOT_ERROR_IO, "path is not below the descriptor");
	return depot_buffer_append_format(seen, "%s%s=%d ", path, S_ISDIR(mode) ? "/" : "",
									  S_ISREG(mode) ? (int) size_bytes : -1);
}

static void
test_walk(void **state)
{
	int			root = root_fd(state);
	int			before = count_descriptors();
	DepotBuffer seen;
	DepotError	error;

	depot_buffer_init(&seen);
	assert_true(depot_files_make_directories(root, "t/b/d", 0700, false, &error));
	assert_true(scratch_write(root, "t/b/e", "12"));
	assert_true(scratch_write(root, "t/B", "1"));
	assert_true(scratch_write(root, "t/c", ""));
	assert_true(scratch_write(root, "t/b.x", "123"));
	assert_int_equal(symlinkat("b", root, "t/a"), 0);
	assert_true(depot_files_walk(root, "t", record, &seen, &error));
	assert_string_equal(seen.data, "B=1 a=-1 b/=-1 b/d/=-1 b/e=2 b.x=3 c=0 ");
	depot_buffer_reset(&seen);
	assert_true(depot_files_walk(root, "t/b", record, &seen, &error));
	assert_string_equal(seen.data, "d/=-1 e=2 ");
	depot_buffer_reset(&seen);
	assert_true(scratch_write(root, "t/stop", ""));
	assert_false(depot_files_walk(root, "t", record, &seen, &error));
	assert_int_equal(error.code, DEPOT_ERROR_CANCELED);
	assert_false(depot_files_walk(root, "absent", record, &seen, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	depot_buffer_free(&seen);
	assert_int_equal(count_descriptors(), before);
}

static void
test_deep_trees_are_refused(void **state)
{
	int			root = root_fd(state);
	int			before = count_descriptors();
	DepotError	error;
	DepotBuffer seen;
	int			fd = openat(root, ".", O_RDONLY | O_DIRECTORY);

	depot_buffer_init(&seen);
	for (int i = 0; i < 200; i++)
	{
		int			next;

		assert_int_equal(mkdirat(fd, "d", 0700), 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
	assert_false(depot_files_walk(root, "d", record, &seen, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TOO_LARGE);
	assert_false(depot_files_remove_tree(root, "d", &error));
	assert_int_equal(error.code, DEPOT_ERROR_TOO_LARGE);
	depot_buffer_free(&seen);
	assert_int_equal(count_descriptors(), before);

	/* Two steps for the test's own litter. */
	fd = openat(root, ".", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 100; i++)
	{
		int			next = openat(fd, "d", O_RDONLY | O_DIRECTORY);

		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	assert_true(depot_files_remove_tree(fd, "d", &error));
	close(fd);
}

int
main(void)
{
#define FILES_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		FILES_TEST(test_paths_that_are_never_followed),
		FILES_TEST(test_links_are_not_followed),
		FILES_TEST(test_open),
		FILES_TEST(test_make_directories),
		FILES_TEST(test_read),
		FILES_TEST(test_write_durable),
		FILES_TEST(test_write_failure_keeps_the_old_file),
		FILES_TEST(test_write_all),
		FILES_TEST(test_rename_remove_exists_fsync),
		FILES_TEST(test_remove_tree),
		FILES_TEST(test_walk),
		FILES_TEST(test_deep_trees_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
