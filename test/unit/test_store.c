/*-------------------------------------------------------------------------
 *
 * test_store.c
 *	  The depot directory: layout, staging, preparation.
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

#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>

#include "store_fixture.h"

static void
test_served_path(void **state)
{
	static const char *const bad[] = {
		"", "lib", "share", "licenses", "etc/passwd", "var/state.json", "../lib/x", "lib/../../x", "/lib/x",
		"lib//x", "lib/x/", "lib/a b", "libx/y", "LIB/x",
	};
	static const DepotLayout newer = {.share = "share",.lib = "lib"};
	DepotLayout long_layout = {.share = "share"};
	char		member[1024] = "lib/";
	char		out[DEPOT_SERVED_PATH_BYTES];
	DepotError	error;

	(void) state;
	assert_true(depot_store_served_path(&layout, "lib/private/x.so.1", out, &error));
	assert_string_equal(out, LIB "/private/x.so.1");
	assert_true(depot_store_served_path(&layout, "share/extension/x.control", out, &error));
	assert_string_equal(out, SHARE "/extension/x.control");
	assert_true(depot_store_served_path(&layout, "licenses/x/copyright", out, &error));
	assert_string_equal(out, "licenses/x/copyright");
	assert_true(depot_store_served_path(&newer, "share/extension/x.control", out, &error));
	assert_string_equal(out, "share/extension/x.control");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		assert_false(depot_store_served_path(&layout, bad[i], out, &error));
		assert_int_equal(error.code, DEPOT_ERROR_PACKAGE);
	}
	assert_false(depot_store_served_path(&layout, NULL, out, &error));

	memset(long_layout.lib, 'l', 500);
	while (strlen(member) < 1000)
		strcat(member, "abcdefghi/");
	strcat(member, "x");
	assert_true(depot_store_served_path(&newer, member, out, &error));
	assert_false(depot_store_served_path(&long_layout, member, out, &error));
	assert_int_equal(error.code, DEPOT_ERROR_PACKAGE);
}

static void
test_prepare(void **state)
{
	static const char *const directories[] = {
		"var", "var/pgsql_tmp_staging", "var/metadata", "usr", LIB, SHARE, SHARE "/extension",
	};
	int			root = root_fd(state);
	DepotBuffer before = take_snapshot(root);
	DepotBuffer after;
	DepotError	error;
	Scratch		other;

	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
		assert_int_equal(scratch_mode(root, directories[i]), S_IFDIR | 0700);
	assert_true(depot_store_prepare(root, &layout, &error));
	after = take_snapshot(root);
	assert_string_equal(before.data, after.data);
	depot_buffer_free(&before);
	depot_buffer_free(&after);

	other = scratch_make();
	assert_true(scratch_write(other.fd, "usr", "a file in the way"));
	assert_false(depot_store_prepare(other.fd, &layout, &error));
	assert_true(scratch_has(other.fd, "usr", "a file in the way"));
	assert_true(depot_files_remove(other.fd, "usr", &error));
	assert_int_equal(symlinkat("/tmp", other.fd, "usr"), 0);
	assert_false(depot_store_prepare(other.fd, &layout, &error));
	scratch_remove(&other);
}

static void
test_jobs(void **state)
{
	int			root = root_fd(state);
	char		first[DEPOT_JOB_NAME_BYTES];
	char		second[DEPOT_JOB_NAME_BYTES];
	char		path[256];
	DepotError	error;
	int			first_fd = depot_store_begin_job(root, first, &error);
	int			second_fd = depot_store_begin_job(root, second, &error);

	assert_true(first_fd >= 0 && second_fd >= 0);
	assert_int_equal(strspn(first, "0123456789abcdef"), 32);
	assert_int_equal(strlen(first), 32);
	assert_string_not_equal(first, second);
	snprintf(path, sizeof(path), "%s/%s", DEPOT_STAGING, first);
	assert_int_equal(scratch_mode(root, path), S_IFDIR | 0700);
	assert_int_equal(fcntl(first_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_true(write_with_parents(first_fd, "tree/lib/x.so", "x", 0644));
	assert_true(depot_files_exists(root, path));
	depot_store_end_job(root, first, first_fd);
	assert_int_equal(fcntl(first_fd, F_GETFD), -1);
	assert_false(depot_files_exists(root, path));
	depot_store_end_job(root, first, -1);
	/* Names that are none remove nothing. */
	depot_store_end_job(root, "", -1);
	depot_store_end_job(root, ".", -1);
	depot_store_end_job(root, "../metadata", -1);
	depot_store_end_job(root, "0123456789abcdef0123456789abcdeg", -1);
	assert_true(depot_files_exists(root, DEPOT_METADATA));
	snprintf(path, sizeof(path), "%s/%s", DEPOT_STAGING, second);
	assert_true(depot_files_exists(root, path));
	close(second_fd);

	assert_true(depot_files_remove_tree(root, DEPOT_STAGING, &error));
	assert_int_equal(depot_store_begin_job(root, first, &error), -1);
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_string_equal(first, "");
}

static void
test_marks(void **state)
{
	int			root = root_fd(state);
	char		job[DEPOT_JOB_NAME_BYTES];
	char		other[DEPOT_JOB_NAME_BYTES];
	char		found_job[DEPOT_JOB_NAME_BYTES];
	char		path[256];
	bool		found = true;
	DepotError	error;

	assert_true(depot_store_find_staged(root, DIGEST_1, found_job, &found, &error));
	assert_false(found);
	assert_true(stage(root, &hll_1, job));
	assert_true(stage(root, &hll_2, other));
	assert_true(depot_store_find_staged(root, DIGEST_1, found_job, &found, &error));
	assert_true(found);
	assert_string_equal(found_job, job);
	assert_true(depot_store_find_staged(root, DIGEST_2, found_job, &found, &error));
	assert_true(found);
	assert_string_equal(found_job, other);
	assert_true(depot_store_find_staged(root, MANIFEST_1, found_job, &found, &error));
	assert_false(found);
	assert_string_equal(found_job, "");

	/* A mark that is damaged, or in a directory that is no job, is none. */
	snprintf(path, sizeof(path), "%s/%s/staged.json", DEPOT_STAGING, job);
	assert_true(scratch_write(root, path, "{\"format\":1,\"digest\":\"" DIGEST_1));
	assert_true(depot_store_find_staged(root, DIGEST_1, found_job, &found, &error));
	assert_false(found);
	assert_true(scratch_write(root, path, "{\"format\":2,\"digest\":\"" DIGEST_1 "\"}"));
	assert_true(depot_store_find_staged(root, DIGEST_1, found_job, &found, &error));
	assert_false(found);
	assert_true(write_with_parents(root, DEPOT_STAGING "/stray/staged.json",
								   "{\"format\":1,\"digest\":\"" DIGEST_1 "\"}", 0600));
	assert_true(depot_store_find_staged(root, DIGEST_1, found_job, &found, &error));
	assert_false(found);

	assert_false(depot_store_mark_staged(root, "../x", "hll", DIGEST_1, MANIFEST_1, &error));
	assert_false(depot_store_mark_staged(root, job, "h/l", DIGEST_1, MANIFEST_1, &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_NAME);
	assert_false(depot_store_mark_staged(root, job, "hll", "x", MANIFEST_1, &error));
	assert_false(depot_store_mark_staged(root, job, "hll", DIGEST_1, "", &error));
	depot_store_end_job(root, job, -1);
	assert_false(depot_store_mark_staged(root, job, "hll", DIGEST_1, MANIFEST_1, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
}

static void
test_clean_staging(void **state)
{
	int			root = root_fd(state);
	char		jobs[4][DEPOT_JOB_NAME_BYTES];
	char		paths[4][256];
	const char *keep[2] = {jobs[0], NULL};
	DepotError	error;
	int			locked_fd;

	for (int i = 0; i < 4; i++)
	{
		assert_true(stage(root, &ip4r, jobs[i]));
		snprintf(paths[i], sizeof(paths[i]), "%s/%s", DEPOT_STAGING, jobs[i]);
	}
	assert_true(scratch_write(root, DEPOT_STAGING "/stray", "x"));
	assert_int_equal(symlinkat("../metadata", root, DEPOT_STAGING "/link"), 0);
	assert_true(scratch_write(root, DEPOT_METADATA "/kept", "x"));
	locked_fd = depot_files_open_directory(root, paths[1], &error);
	assert_int_equal(flock(locked_fd, LOCK_SH), 0);

	assert_true(depot_store_clean_staging(root, keep, &error));
	assert_true(depot_files_exists(root, paths[0]));
	assert_true(depot_files_exists(root, paths[1]));
	assert_false(depot_files_exists(root, paths[2]));
	assert_false(depot_files_exists(root, paths[3]));
	assert_false(depot_files_exists(root, DEPOT_STAGING "/stray"));
	assert_false(depot_files_exists(root, DEPOT_STAGING "/link"));
	assert_true(scratch_has(root, DEPOT_METADATA "/kept", "x"));

	close(locked_fd);
	assert_true(depot_store_clean_staging(root, NULL, &error));
	assert_false(depot_files_exists(root, paths[0]));
	assert_false(depot_files_exists(root, paths[1]));
	assert_true(depot_files_exists(root, DEPOT_STAGING));

	/* One that cannot be removed does not keep the others. */
	assert_true(stage(root, &ip4r, jobs[0]));
	assert_true(stage(root, &ip4r, jobs[1]));
	set_fault(FAULT_DISK_FULL, 2);
	assert_false(depot_store_clean_staging(root, NULL, &error));
	set_fault(FAULT_NONE, 0);
	assert_int_equal(error.code, DEPOT_ERROR_DISK_FULL);
	snprintf(paths[0], sizeof(paths[0]), "%s/%s", DEPOT_STAGING, jobs[0]);
	snprintf(paths[1], sizeof(paths[1]), "%s/%s", DEPOT_STAGING, jobs[1]);
	assert_true(depot_files_exists(root, paths[0]) != depot_files_exists(root, paths[1]));
}

/* An agent that was killed still holds its lock for a moment. */
static void
test_clean_staging_waits(void **state)
{
	const struct timespec moment = {.tv_nsec = 200 * 1000000L};
	int			root = root_fd(state);
	char		job[DEPOT_JOB_NAME_BYTES];
	char		path[256];
	int			locked[2];
	char		byte;
	pid_t		child;
	int			status;
	DepotError	error;

	assert_true(stage(root, &ip4r, job));
	snprintf(path, sizeof(path), "%s/%s", DEPOT_STAGING, job);
	assert_int_equal(pipe(locked), 0);
	child = fork();
	if (child == 0)
	{
		int			fd = openat(root, path, O_RDONLY | O_DIRECTORY);

		if (fd < 0 || flock(fd, LOCK_SH) != 0 || write(locked[1], "x", 1) != 1)
			_exit(1);
		(void) nanosleep(&moment, NULL);
		_exit(0);
	}
	assert_int_equal(read(locked[0], &byte, 1), 1);
	assert_true(depot_store_clean_staging(root, NULL, &error));
	assert_false(depot_files_exists(root, path));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(locked[0]);
	close(locked[1]);
}

/* Prepares package and expects a refusal that changes nothing. */
static void
check_refused(int root, const DepotState *applied, const TestPackage *package, int data_prefix_bytes,
			  const char *system_share, const char *system_lib, DepotErrorCode code, const char *named)
{
	DepotManifest *manifest = make_manifest(package);
	DepotBuffer before = take_snapshot(root);
	DepotBuffer after;
	DepotError	error;

	assert_false(depot_store_prepare_activation(root, &layout, applied, manifest, data_prefix_bytes,
												system_share, system_lib, &error));
	assert_int_equal(error.code, code);
	if (strstr(error.message, named) == NULL && strstr(error.detail, named) == NULL)
		fail_msg("'%s' is neither in \"%s\" nor in \"%s\"", named, error.message, error.detail);
	after = take_snapshot(root);
	assert_string_equal(before.data, after.data);
	depot_buffer_free(&before);
	depot_buffer_free(&after);
	free_manifest(manifest);
}

static void
test_prepare_activation(void **state)
{
	static const TestPackage thief = {"thief", "1", DIGEST_2, MANIFEST_2, {
			"lib/thief.so", "share/extension/ip4r.control", NULL,
	}};
	int			root = root_fd(state);
	Scratch		system = scratch_make();
	DepotManifest *manifest = make_manifest(&hll_1);
	int			longest = (int) strlen(SHARE "/extension/hll--2.16--2.17.sql");
	char		system_share[128];
	char		system_lib[128];
	DepotBuffer before = take_snapshot(root);
	DepotBuffer after;
	DepotState	applied;
	DepotError	error;

	snprintf(system_share, sizeof(system_share), "%s/share", system.path);
	snprintf(system_lib, sizeof(system_lib), "%s/lib", system.path);
	load(root, &applied, true);

	/* A path of exactly 100 bytes is one too long. */
	check_refused(root, &applied, &hll_1, 100 - longest, NULL, NULL, DEPOT_ERROR_PACKAGE,
				  "hll--2.16--2.17.sql\" has 100 bytes");
	assert_true(depot_store_prepare_activation(root, &layout, &applied, manifest, 99 - longest, system_share,
											   system_lib, &error));
	assert_int_equal(scratch_mode(root, LIB "/private"), S_IFDIR | 0700);
	assert_int_equal(scratch_mode(root, SHARE "/hll/data"), S_IFDIR | 0700);
	assert_true(depot_store_prepare_activation(root, &layout, &applied, manifest, 0, NULL, NULL, &error));
	depot_store_cancel_activation(root, &layout, manifest);
	after = take_snapshot(root);
	assert_string_equal(before.data, after.data);
	depot_buffer_free(&before);
	depot_buffer_free(&after);

	/* What the server installation has. */
	assert_true(write_with_parents(system.fd, "share/extension/hll.control", "x", 0644));
	check_refused(root, &applied, &hll_1, 0, system_share, system_lib, DEPOT_ERROR_CONFLICT,
				  "/share/extension/hll.control\" exists");
	assert_true(depot_files_remove_tree(system.fd, "share", &error));
	assert_true(write_with_parents(system.fd, "lib/private/libx.so.1", "x", 0644));
	check_refused(root, &applied, &hll_1, 0, system_share, system_lib, DEPOT_ERROR_CONFLICT,
				  "/lib/private/libx.so.1\" exists");

	/* What another package has; its own files are no conflict. */
	install(root, &applied, &ip4r);
	check_refused(root, &applied, &thief, 0, NULL, NULL, DEPOT_ERROR_CONFLICT, "package \"ip4r\"");
	free_manifest(manifest);
	manifest = make_manifest(&ip4r);
	assert_true(depot_store_prepare_activation(root, &layout, &applied, manifest, 0, NULL, NULL, &error));
	depot_store_cancel_activation(root, &layout, manifest);
	assert_true(is_served(root, &ip4r));

	/* Directories and files in each other's place. */
	assert_int_equal(mkdirat(root, SHARE "/extension/hll.control", 0700), 0);
	check_refused(root, &applied, &hll_1, 0, NULL, NULL, DEPOT_ERROR_CONFLICT, "hll.control\" in the depot");
	assert_true(depot_files_remove_tree(root, SHARE "/extension/hll.control", &error));
	assert_true(scratch_write(root, SHARE "/hll", "a file"));
	check_refused(root, &applied, &hll_1, 0, NULL, NULL, DEPOT_ERROR_IO, "Not a directory");
	assert_true(depot_files_remove(root, SHARE "/hll", &error));
	assert_int_equal(symlinkat("/tmp", root, SHARE "/hll"), 0);
	check_refused(root, &applied, &hll_1, 0, NULL, NULL, DEPOT_ERROR_IO, "hll/data");
	depot_store_free_state(&applied);
	free_manifest(manifest);
	scratch_remove(&system);
}

/* A server that died between preparing and committing leaves directories; the next start sweeps them. */
static void
test_sweep_directories(void **state)
{
	int			root = root_fd(state);
	DepotManifest *manifest = make_manifest(&hll_1);
	DepotBuffer before;
	DepotBuffer after;
	DepotState	applied;
	DepotError	error;

	load(root, &applied, true);
	before = take_snapshot(root);
	assert_true(depot_store_sweep_directories(root, &layout, &error));
	assert_true(depot_store_prepare_activation(root, &layout, &applied, manifest, 0, NULL, NULL, &error));
	assert_true(depot_files_make_directories(root, SHARE "/stray/a/b", 0700, false, &error));
	assert_true(depot_store_sweep_directories(root, &layout, &error));
	after = take_snapshot(root);
	assert_string_equal(before.data, after.data);
	depot_buffer_free(&before);
	depot_buffer_free(&after);

	/* What holds something stays. */
	install(root, &applied, &ip4r);
	assert_true(scratch_write(root, SHARE "/stray", "a file"));
	before = take_snapshot(root);
	assert_true(depot_store_prepare_activation(root, &layout, &applied, manifest, 0, NULL, NULL, &error));
	assert_true(depot_store_sweep_directories(root, &layout, &error));
	after = take_snapshot(root);
	assert_string_equal(before.data, after.data);
	depot_buffer_free(&before);
	depot_buffer_free(&after);
	depot_store_free_state(&applied);
	free_manifest(manifest);
}

static void
test_read_manifest(void **state)
{
	int			root = root_fd(state);
	char		job[DEPOT_JOB_NAME_BYTES];
	char		path[256];
	DepotState	applied;
	DepotBuffer text;
	DepotError	error;

	depot_buffer_init(&text);
	load(root, &applied, true);
	assert_true(stage(root, &hll_2, job));
	assert_true(depot_store_read_manifest(root, &layout, job, "hll", &text, &error));
	assert_string_equal(text.data, "manifest of hll 2.18");
	assert_false(depot_store_read_manifest(root, &layout, NULL, "hll", &text, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_false(depot_store_read_manifest(root, &layout, job, "../hll", &text, &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_NAME);
	install(root, &applied, &hll_1);
	depot_buffer_reset(&text);
	assert_true(depot_store_read_manifest(root, &layout, NULL, "hll", &text, &error));
	assert_string_equal(text.data, "manifest of hll 2.17");
	/* Something that is no file in staging is not made up for by what is served. */
	snprintf(path, sizeof(path), "%s/%s/tree/share/depot/hll.json", DEPOT_STAGING, job);
	assert_true(depot_files_remove(root, path, &error));
	assert_int_equal(mkdirat(root, path, 0700), 0);
	assert_false(depot_store_read_manifest(root, &layout, job, "hll", &text, &error));
	depot_store_free_state(&applied);
	depot_buffer_free(&text);
}

/* Whatever fails in preparing for want of space leaves the tree as it was. */
static void
test_prepare_activation_on_a_full_disk(void **state)
{
	int			root = root_fd(state);
	DepotManifest *manifest = make_manifest(&hll_1);
	DepotBuffer before = take_snapshot(root);
	DepotState	applied;
	DepotError	error;
	int			number = 0;

	load(root, &applied, true);
	for (bool done = false; !done;)
	{
		DepotBuffer after;

		set_fault(FAULT_DISK_FULL, ++number);
		done = depot_store_prepare_activation(root, &layout, &applied, manifest, 0, NULL, NULL, &error);
		set_fault(FAULT_NONE, 0);
		if (done)
			break;
		assert_int_equal(error.code, DEPOT_ERROR_DISK_FULL);
		after = take_snapshot(root);
		assert_string_equal(before.data, after.data);
		depot_buffer_free(&after);
	}
	assert_true(number > 10);
	depot_buffer_free(&before);
	free_manifest(manifest);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_served_path),
		STORE_TEST(test_prepare),
		STORE_TEST(test_jobs),
		STORE_TEST(test_marks),
		STORE_TEST(test_clean_staging),
		STORE_TEST(test_clean_staging_waits),
		STORE_TEST(test_prepare_activation),
		STORE_TEST(test_sweep_directories),
		STORE_TEST(test_read_manifest),
		STORE_TEST(test_prepare_activation_on_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
