/*-------------------------------------------------------------------------
 *
 * test_store_activate.c
 *	  Activation, update and removal of a package.
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

#include "store_operations.h"

static void
test_promise_2_nothing_is_written_in_place(void **state)
{
	Depot		depot = make_depot(OPERATION_UPDATE);
	struct stat before;
	struct stat after;
	DepotError	error;
	char		text[64] = "";
	int			old_fd;

	(void) state;
	old_fd = openat(depot.root_fd, LIB "/hll.so", O_RDONLY);
	assert_true(old_fd >= 0);
	assert_int_equal(fstat(old_fd, &before), 0);
	assert_true(operate(&depot, OPERATION_UPDATE, &error));
	assert_int_equal(fstatat(depot.root_fd, LIB "/hll.so", &after, 0), 0);
	assert_true(before.st_ino != after.st_ino);
	/* A session that has the old one mapped keeps its bytes. */
	assert_int_equal(read(old_fd, text, sizeof(text) - 1), strlen("2.17 lib/hll.so"));
	assert_string_equal(text, "2.17 lib/hll.so");
	close(old_fd);
	free_depot(&depot);
}

static void
test_update_removes_what_is_obsolete(void **state)
{
	static const char *const obsolete[] = {
		LIB "/private", SHARE "/extension/hll--2.16--2.17.sql", SHARE "/extension/hll--2.17.control",
		SHARE "/extension/hll--2.17.sql", SHARE "/extension/hll_old.control", SHARE "/hll/data",
	};
	Depot		depot = make_depot(OPERATION_UPDATE);
	DepotError	error;

	(void) state;
	assert_true(operate(&depot, OPERATION_UPDATE, &error));
	assert_true(is_served(depot.root_fd, &hll_2));
	for (size_t i = 0; i < sizeof(obsolete) / sizeof(obsolete[0]); i++)
		assert_false(depot_files_exists(depot.root_fd, obsolete[i]));
	free_depot(&depot);
}

static void
test_install_and_remove_leave_no_trace(void **state)
{
	Depot		depot = make_depot(OPERATION_INSTALL);
	DepotBuffer before = take_snapshot(depot.root_fd);
	DepotBuffer after;
	DepotError	error;

	(void) state;
	assert_true(operate(&depot, OPERATION_INSTALL, &error));
	/* The name may be the state's own string. */
	assert_true(depot_store_deactivate(depot.root_fd, &layout, &depot.applied,
									   depot.applied.packages[0].package, &error));
	after = take_snapshot(depot.root_fd);
	assert_string_equal(before.data, after.data);
	depot_buffer_free(&before);
	depot_buffer_free(&after);

	/* Of the last package too, but what the server looks for stays. */
	assert_true(depot_store_deactivate(depot.root_fd, &layout, &depot.applied, "ip4r", &error));
	assert_true(depot_files_exists(depot.root_fd, SHARE "/extension"));
	assert_true(depot_files_exists(depot.root_fd, LIB));
	assert_false(depot_files_exists(depot.root_fd, SHARE "/depot"));
	assert_false(depot_files_exists(depot.root_fd, "licenses"));
	assert_true(depot_store_deactivate(depot.root_fd, &layout, &depot.applied, "ip4r", &error));
	assert_true(depot_store_deactivate(depot.root_fd, &layout, &depot.applied, "never", &error));
	free_depot(&depot);
}

/* Nothing starts that cannot be finished. */
static void
test_incomplete_staging_changes_nothing(void **state)
{
	static const char *const missing[] = {
		"tree/lib/hll.so", "tree/share/extension/hll.control", "tree/share/depot/hll.json",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]) + 2; i++)
	{
		Depot		depot = make_depot(OPERATION_INSTALL);
		DepotBuffer before = take_snapshot(depot.root_fd);
		DepotBuffer after;
		char		path[256];
		bool		resumed;
		DepotError	error;

		snprintf(path, sizeof(path), "%s/%s/%s", DEPOT_STAGING, depot.job, missing[i % 3]);
		assert_true(depot_files_remove(depot.root_fd, path, &error));
		if (i == 3)
			assert_true(scratch_write(depot.root_fd, path, "another size"));
		if (i == 4)
			assert_int_equal(symlinkat("/etc/passwd", depot.root_fd, path), 0);
		assert_false(activate(&depot, &hll_1, depot.job, &resumed, &error));
		assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
		assert_non_null(strstr(error.message, "package \"hll\" is not completely staged"));
		after = take_snapshot(depot.root_fd);
		assert_string_equal(before.data, after.data);
		assert_null(depot_store_find(&depot.applied, "hll"));
		reload(&depot);
		assert_null(depot_store_find(&depot.applied, "hll"));
		depot_buffer_free(&before);
		depot_buffer_free(&after);
		free_depot(&depot);
	}
}

static void
test_resumed_and_adopted(void **state)
{
	Depot		depot = make_depot(OPERATION_REMOVE);
	bool		resumed = false;
	DepotError	error;

	(void) state;
	/* state.json is lost, the files are not: they are adopted, after the caller has had them verified. */
	depot_store_free_state(&depot.applied);
	assert_true(activate(&depot, &hll_1, NULL, &resumed, &error));
	assert_true(resumed);
	assert_true(depot_store_find(&depot.applied, "hll")->is_complete);
	assert_true(is_served(depot.root_fd, &hll_1));
	assert_true(activate(&depot, &hll_1, "0123456789abcdef0123456789abcdef", &resumed, &error));
	assert_true(resumed);
	assert_false(activate(&depot, &hll_2, NULL, &resumed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_string_equal(depot_store_find(&depot.applied, "hll")->version, "2.17");
	free_depot(&depot);
}

static void
test_bad_arguments(void **state)
{
	Depot		depot = make_depot(OPERATION_INSTALL);
	DepotManifest *manifest = make_manifest(&hll_1);
	DepotBuffer before = take_snapshot(depot.root_fd);
	DepotBuffer after;
	bool		resumed;
	DepotError	error;

	(void) state;
	assert_false(depot_store_activate(depot.root_fd, &layout, &depot.applied, depot.job, manifest, "x",
									  MANIFEST_1, &resumed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_ARGUMENT);
	assert_false(depot_store_activate(depot.root_fd, &layout, &depot.applied, depot.job, manifest, DIGEST_1,
									  "", &resumed, &error));
	assert_false(depot_store_activate(depot.root_fd, &layout, &depot.applied, "../x", manifest, DIGEST_1,
									  MANIFEST_1, &resumed, &error));
	free(manifest->files[0].path);
	manifest->files[0].path = strdup("../../postgresql.conf");
	assert_false(depot_store_activate(depot.root_fd, &layout, &depot.applied, depot.job, manifest, DIGEST_1,
									  MANIFEST_1, &resumed, &error));
	assert_int_equal(error.code, DEPOT_ERROR_PACKAGE);
	after = take_snapshot(depot.root_fd);
	assert_string_equal(before.data, after.data);
	depot_buffer_free(&before);
	depot_buffer_free(&after);
	free_manifest(manifest);
	free_depot(&depot);
}

/* A file that moved to another package in the meantime is not the old owner's to remove. */
static void
test_files_of_others_stay(void **state)
{
	static const TestPackage heir = {"heir", "1", DIGEST_2, MANIFEST_2, {
			"share/hll/data/words.txt", NULL,
	}};
	Depot		depot = make_depot(OPERATION_REMOVE);
	DepotError	error;

	(void) state;
	install_in(&depot, &heir);
	assert_true(depot_store_deactivate(depot.root_fd, &layout, &depot.applied, "hll", &error));
	assert_true(is_served(depot.root_fd, &heir));
	assert_false(depot_files_exists(depot.root_fd, LIB "/hll.so"));
	free_depot(&depot);
}

/* Directories that vanished after the preparation (a restart lies between) are made again. */
static void
test_directories_are_made_again(void **state)
{
	Depot		depot = make_depot(OPERATION_INSTALL);
	DepotError	error;

	(void) state;
	assert_true(depot_files_remove_tree(depot.root_fd, "licenses", &error));
	assert_true(operate(&depot, OPERATION_INSTALL, &error));
	assert_true(is_served(depot.root_fd, &hll_1));
	free_depot(&depot);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_promise_2_nothing_is_written_in_place),
		cmocka_unit_test(test_update_removes_what_is_obsolete),
		cmocka_unit_test(test_install_and_remove_leave_no_trace),
		cmocka_unit_test(test_incomplete_staging_changes_nothing),
		cmocka_unit_test(test_resumed_and_adopted),
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_files_of_others_stay),
		cmocka_unit_test(test_directories_are_made_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
