/*-------------------------------------------------------------------------
 *
 * test_repo_verify.c
 *	  "pg_depot repo verify" names every fault, and each kind of it.
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

#include <string.h>

#include "repo_fixture.h"

static const char *damage_suffix;
static int	damage_count;

static int
set_up(void **state)
{
	if (repo_set_up(state) != 0)
		return -1;
	repo_make_key("root2", NULL);
	repo_expect(0, "", REPO_INIT);
	repo_make_package("1.0", "SELECT 1;");
	repo_make_package("1.1", "SELECT 2;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst out/demo-1.1.tar.zst");
	repo_expect(0, "", REPO_PUBLISH);
	repo_expect(0, "root                     version 2",
				"repo rotate repo root --add root2.pub --remove root.pub --key root --key root2");
	repo_expect(0, "in order: root version 2, 5 roles, 2 targets, 0 faults", "repo verify repo");
	return 0;
}

static bool
flip_last_byte(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
			   DepotError *error)
{
	const size_t length = strlen(path);
	const size_t suffix = strlen(damage_suffix);
	DepotBuffer text;
	bool		ok;

	if (length < suffix || strcmp(path + length - suffix, damage_suffix) != 0)
		return true;
	damage_count++;
	depot_buffer_init(&text);
	ok = depot_files_read(directory_fd, path, 1 << 20, &text, error);
	if (ok)
	{
		text.data[text.length_bytes - 1] ^= 1;
		ok = depot_files_write_durable(directory_fd, path, text.data, text.length_bytes, 0644, error);
	}
	depot_buffer_free(&text);
	return ok;
}

/* Damages the files that end so, and expects these words among the faults. */
static void
expect_fault(const char *suffix, int expected_count, const char *words)
{
	damage_suffix = suffix;
	damage_count = 0;
	repo_walk(flip_last_byte, NULL);
	assert_int_equal(damage_count, expected_count);
	repo_expect(1, words, "repo verify repo");
	assert_non_null(strstr(output, "not in order"));
	damage_count = 0;
	repo_walk(flip_last_byte, NULL);
	repo_expect(0, "0 faults", "repo verify repo");
}

static void
faults_are_named(void **state)
{
	expect_fault(".demo-1.0.tar.zst", 1, "demo-1.0.tar.zst: its file has sha256");
	assert_null(strstr(output, "fault: "));
	/* All of them, and in every role. */
	damage_suffix = ".tar.zst";
	repo_walk(flip_last_byte, NULL);
	repo_expect(1, "2 targets, 2 faults", "repo verify repo");
	repo_walk(flip_last_byte, NULL);
	expect_fault("1.pg15-linux-amd64.json", 1, "metadata/1.pg15-linux-amd64.json: ");
	expect_fault("2.targets.json", 1, "metadata/2.targets.json: ");
	expect_fault("2.snapshot.json", 1, "metadata/2.snapshot.json: ");
	expect_fault("timestamp.json", 1, "metadata/timestamp.json: ");
	expect_fault("2.root.json", 1, "metadata/2.root.json: ");
	/* An old version that no client reads any more is no fault. */
	damage_suffix = "1.snapshot.json";
	damage_count = 0;
	repo_walk(flip_last_byte, NULL);
	assert_int_equal(damage_count, 1);
	repo_expect(0, "0 faults", "repo verify repo");
}

static bool
remove_package(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
			   DepotError *error)
{
	return strstr(path, ".demo-1.1.tar.zst") == NULL || depot_files_remove(directory_fd, path, error);
}

static void
missing_files(void **state)
{
	DepotError	error;

	repo_walk(remove_package, NULL);
	repo_expect(1, "demo-1.1.tar.zst: could not open", "repo verify repo");
	assert_non_null(strstr(output, "1 fault\n"));
	assert_true(depot_files_remove(scratch.fd, "repo/metadata/2.targets.json", &error));
	repo_expect(1, "metadata/2.targets.json: could not open", "repo verify repo");
	assert_non_null(strstr(output, "a client stops at: "));
	assert_true(depot_files_remove(scratch.fd, "repo/metadata/1.root.json", &error));
	repo_expect(1, "there is no root metadata that can be read", "repo verify repo");
	assert_non_null(strstr(output, "metadata/1.root.json is missing"));
	repo_expect(1, "could not open repository", "repo verify absent");
	repo_expect(2, "exactly one directory", "repo verify");
}

/* A root signed by nobody who may. */
static void
foreign_root(void **state)
{
	DepotBuffer text;
	DepotError	error;

	repo_expect(0, "", "repo init other --root-key stranger --targets-key targets --snapshot-key snapshot "
				"--timestamp-key timestamp");
	depot_buffer_init(&text);
	assert_true(depot_files_read(scratch.fd, "other/metadata/1.root.json", 1 << 20, &text, &error));
	assert_true(scratch_write(scratch.fd, "repo/metadata/3.root.json", text.data));
	depot_buffer_free(&text);
	repo_expect(1, "metadata/3.root.json holds version 1, not 3", "repo verify repo");
	assert_non_null(strstr(output, "metadata/3.root.json: by the keys of the version before: "));
	assert_non_null(strstr(output, "a client stops at: "));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(faults_are_named, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(missing_files, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(foreign_root, set_up, repo_tear_down),
	};

	return cmocka_run_group_tests_name("repo_verify", tests, NULL, NULL);
}
