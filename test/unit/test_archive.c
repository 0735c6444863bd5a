/*-------------------------------------------------------------------------
 *
 * test_archive.c
 *	  Packages written, read, unpacked; and every hostile one refused.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "common/control.h"
#include "scratch.h"

#define HOSTILE_LIBRARY
#include "../tools/hostile.c"

#define PACKAGE_FILE "package"
#define REFUSAL_MAX_SECONDS 2.0
#define REFUSAL_MAX_KILOBYTES (64L * 1024)
#define FULL_BOMB_ENTRIES 10000000
#define SMALL_BOMB_ENTRIES 100000

static Scratch scratch;

/* Tells whether time and memory mean anything here: not under a tool that watches every access. */
static bool
is_instrumented(void)
{
	char		line[512];
	FILE	   *maps;
	bool		found = false;

#if defined(__SANITIZE_ADDRESS__)
	return true;
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
	return true;
#endif
#endif
	maps = fopen("/proc/self/maps", "r");
	if (maps == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), maps) != NULL)
		found = strstr(line, "vgpreload") != NULL;
	fclose(maps);
	return found;
}

static void
path_of(const char *name, char out[128])
{
	snprintf(out, 128, "%s/%s", scratch.path, name);
}

static int
open_package(void)
{
	int			fd = openat(scratch.fd, PACKAGE_FILE, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void
make_case(const HostileCase *hostile)
{
	HostileOptions options = {.major = 15,
	.entries = is_instrumented() ? SMALL_BOMB_ENTRIES : FULL_BOMB_ENTRIES};
	DepotError	error = {0};
	char		path[128];

	path_of(PACKAGE_FILE, path);
	assert_true(hostile_make(hostile, &options, path, NULL, &error));
}

/* Makes an empty directory below the scratch directory and opens it. */
static int
make_directory_for_test(const char *name)
{
	DepotError	error = {0};
	int			fd;

	assert_true(depot_files_remove_tree(scratch.fd, name, &error));
	assert_int_equal(mkdirat(scratch.fd, name, 0700), 0);
	fd = openat(scratch.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Reads, unpacks and checks the package, as a check agent does. */
static bool
check_package(DepotError *error)
{
	char		sha256[65];
	int			fd = open_package();
	DepotManifest *manifest = depot_archive_verify(fd, NULL, NULL, sha256, NULL, NULL, error);
	bool		ok = manifest != NULL;

	if (ok)
	{
		int			tree_fd = make_directory_for_test("tree");

		assert_true(depot_archive_unpack(fd, manifest, sha256, NULL, tree_fd, NULL, NULL, error));
		ok = depot_control_check_package(tree_fd, manifest, error);
		close(tree_fd);
	}
	depot_manifest_free(manifest);
	close(fd);
	return ok;
}

static bool
is_as_expected(const HostileCase *hostile, bool ok, const DepotError *error)
{
	if (hostile->code == DEPOT_OK)
	{
		if (!ok)
			print_error("%s: refused: %s\n", hostile->name, error->message);
		return ok;
	}
	if (!ok && error->code == hostile->code && strstr(error->message, hostile->message) != NULL)
		return true;
	print_error("%s: %s (%s)\n", hostile->name, ok ? "accepted" : error->message,
				depot_error_wire_name(error->code));
	return false;
}

/* Runs the check in a child of its own, whose time and memory can be told apart. */
static void
check_measured(const HostileCase *hostile)
{
	struct timespec begin;
	struct timespec end;
	struct rusage usage;
	double		seconds;
	int			status;
	pid_t		pid;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		DepotError	error = {0};
		bool		ok = check_package(&error);

		_exit(is_as_expected(hostile, ok, &error) ? 0 : 1);
	}
	assert_int_equal(wait4(pid, &status, 0, &usage), pid);
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (double) (end.tv_sec - begin.tv_sec) + (double) (end.tv_nsec - begin.tv_nsec) / 1e9;
	assert_int_equal(status, 0);
	if (is_instrumented())
		return;
	print_message("           %s: %.3f s, %ld kB\n", hostile->name, seconds, usage.ru_maxrss);
	assert_true(seconds < REFUSAL_MAX_SECONDS);
	assert_true(usage.ru_maxrss < REFUSAL_MAX_KILOBYTES);
}

static void
test_every_case(void **state)
{
	(void) state;
	for (const HostileCase *hostile = hostile_cases; hostile->name != NULL; hostile++)
	{
		make_case(hostile);
		check_measured(hostile);
	}
}

/* In the process itself, so that leaks and bad accesses of every refusal are seen. */
static void
test_every_case_in_process(void **state)
{
	(void) state;
	for (const HostileCase *hostile = hostile_cases; hostile->name != NULL; hostile++)
	{
		DepotError	error = {0};
		bool		ok;

		if (strcmp(hostile->name, "entries-bomb") == 0)
			continue;
		make_case(hostile);
		ok = check_package(&error);
		assert_true(is_as_expected(hostile, ok, &error));
	}
}

static void
test_first_pass_writes_nothing(void **state)
{
	DepotError	error = {0};
	char		sha256[65];
	int			fd;
	int			status;
	pid_t		pid;

	(void) state;
	make_case(find_case("zeros-bomb"));
	fd = open_package();
	/* With a file size limit of zero, a single byte written to any file would end the process. */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		struct rlimit none = {0, 0};

		setrlimit(RLIMIT_FSIZE, &none);
		_exit(depot_archive_verify(fd, NULL, NULL, sha256, NULL, NULL, &error) == NULL &&
			  error.code == DEPOT_ERROR_ARCHIVE_LIMIT ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
}

static void
test_truncated(void **state)
{
	char		path[128];

	(void) state;
	path_of(PACKAGE_FILE, path);
	for (const HostileCase *hostile = hostile_cases; hostile->name != NULL; hostile++)
	{
		struct stat status;
		off_t		lengths[8];

		if (strcmp(hostile->name, "entries-bomb") == 0)
			continue;
		make_case(hostile);
		assert_int_equal(stat(path, &status), 0);
		lengths[0] = status.st_size - 1;
		lengths[1] = status.st_size - 3;
		lengths[2] = status.st_size - 600;
		lengths[3] = status.st_size / 2;
		lengths[4] = 530;
		lengths[5] = 18;
		lengths[6] = 5;
		lengths[7] = 0;
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		{
			DepotError	error = {0};

			assert_int_equal(truncate(path, lengths[i]), 0);
			/* What is cut off may be the fault itself. */
			if (strcmp(hostile->name, "trailing-frame") == 0 && i < 2)
				continue;
			assert_false(check_package(&error));
			assert_true(error.code != DEPOT_OK);
			assert_true(error.message[0] != '\0');
		}
	}
}

/* Any byte may be another: no crash, and what is accepted still holds what its manifest says. */
static void
test_flipped_bytes(void **state)
{
	static char bytes[64 * 1024];
	char		path[128];
	FILE	   *file;
	size_t		length;

	(void) state;
	path_of(PACKAGE_FILE, path);
	make_case(find_case("valid"));
	file = fopen(path, "rb");
	assert_non_null(file);
	length = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	for (size_t i = 0; i < length; i += 7)
	{
		char		sha256[65];
		DepotError	error = {0};
		DepotManifest *manifest;
		int			fd;

		bytes[i] = (char) ~bytes[i];
		assert_true(depot_files_write_durable(scratch.fd, PACKAGE_FILE, bytes, length, 0644, &error));
		bytes[i] = (char) ~bytes[i];
		fd = open_package();
		manifest = depot_archive_verify(fd, NULL, NULL, sha256, NULL, NULL, &error);
		assert_true(manifest != NULL || error.code != DEPOT_OK);
		if (manifest != NULL)
			assert_string_equal(manifest->package, "evil");
		depot_manifest_free(manifest);
		close(fd);
	}
}

static bool
stop_at_once(uint64_t bytes_done, void *context)
{
	(void) bytes_done;
	*(int *) context += 1;
	return false;
}

static int
setup(void **state)
{
	DepotError	error = {0};

	(void) state;
	scratch = scratch_make();
	return scratch.fd >= 0 && depot_digest_init(&error) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void) state;
	scratch_remove(&scratch);
	return 0;
}

#include "test_archive_write.h"

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_case),
		cmocka_unit_test(test_every_case_in_process),
		cmocka_unit_test(test_first_pass_writes_nothing),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped_bytes),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_expected_manifest),
		cmocka_unit_test(test_changed_file),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_canceled),
		cmocka_unit_test(test_large_does_not_fit),
		cmocka_unit_test(test_not_empty),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
