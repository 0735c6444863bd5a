/*-------------------------------------------------------------------------
 *
 * test_store_stops.c
 *	  Promises 2 and 3 on the file side: activation and removal, stopped
 *	  before every single change, and with every change failing.
 *
 * Holds promises 2 (never in place) and 3 (nothing half-done).
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

/* What PostgreSQL and the leader may rely on at every instant. */
static void
check_promises(const Depot *depot, Operation operation)
{
	const DepotAppliedPackage *entry = depot_store_find(&depot->applied, "hll");
	bool		has_control = depot_files_exists(depot->root_fd, HLL_CONTROL);

	assert_true(is_served(depot->root_fd, &ip4r));
	switch (operation)
	{
		case OPERATION_INSTALL:
			/* All of it or none of it can be created; the package's other extension has its own moment. */
			if (has_control)
				assert_true(is_served_but(depot->root_fd, &hll_1, OTHER_CONTROL));
			if (depot_files_exists(depot->root_fd, SHARE "/extension/hll_old.control"))
				assert_true(is_served_but(depot->root_fd, &hll_1, "share/extension/hll.control"));
			if (entry != NULL && entry->is_complete)
				assert_true(is_served(depot->root_fd, &hll_1));
			break;
		case OPERATION_UPDATE:
			/* Never absent; once it is the new one, all of the new version is there. */
			assert_true(has_control);
			if (!scratch_has(depot->root_fd, HLL_CONTROL, "2.17 share/extension/hll.control"))
				assert_true(is_served(depot->root_fd, &hll_2));
			assert_non_null(entry);
			if (entry->is_complete)
				assert_true(is_served(depot->root_fd, strcmp(entry->version, "2.18") == 0 ? &hll_2 : &hll_1));
			break;
		default:
			if (!is_served(depot->root_fd, &hll_1))
				assert_false(has_control);
			if (entry != NULL && entry->is_complete)
				assert_true(is_served(depot->root_fd, &hll_1));
			if (entry == NULL)
				assert_false(depot_files_exists(depot->root_fd, LIB "/hll.so"));
			break;
	}
	if (entry != NULL && !entry->is_complete)
	{
		assert_string_equal(entry->digest, "");
		assert_string_equal(entry->manifest_sha256, "");
	}
}

static bool
find_unowned(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
			 DepotError *error)
{
	const Depot *depot = context;

	(void) directory_fd;
	(void) size_bytes;
	if (S_ISREG(mode) && strncmp(path, "var/", 4) != 0 &&
		depot_store_owner(&depot->applied, path, NULL) == NULL)
		return depot_error_set(error, DEPOT_ERROR_IO, "\"%s\" is in no entry", path);
	return true;
}

/* No served file may be forgotten, whenever the process ends: what no entry names is never removed. */
static void
check_all_owned(Depot *depot)
{
	DepotError	error;

	if (!depot_files_walk(depot->root_fd, ".", find_unowned, depot, &error))
		fail_msg("%s", error.message);
}

/* Returns the tree that an undisturbed run of operation leaves. */
static DepotBuffer
expected_tree(Operation operation)
{
	Depot		depot = make_depot(operation);
	DepotBuffer snapshot;
	DepotError	error;

	assert_true(operate(&depot, operation, &error));
	snapshot = take_snapshot(depot.root_fd);
	free_depot(&depot);
	return snapshot;
}

/* The tree is as expected, and state.json says so. */
static void
check_result(Depot *depot, Operation operation, const DepotBuffer *expected)
{
	DepotBuffer found = take_snapshot(depot->root_fd);
	const DepotAppliedPackage *entry;

	assert_string_equal(found.data, expected->data);
	depot_buffer_free(&found);
	reload(depot);
	check_promises(depot, operation);
	check_all_owned(depot);
	entry = depot_store_find(&depot->applied, "hll");
	if (operation == OPERATION_REMOVE)
		assert_null(entry);
	else
	{
		const TestPackage *package = operation == OPERATION_UPDATE ? &hll_2 : &hll_1;

		assert_non_null(entry);
		assert_true(entry->is_complete);
		assert_string_equal(entry->version, package->version);
		assert_string_equal(entry->digest, package->digest);
		assert_string_equal(entry->manifest_sha256, package->manifest_sha256);
		assert_int_equal(entry->file_count, member_count(package) + 1);
	}
}

/* After a restart the leader needs the new manifest, wherever it is by then. */
static void
check_manifest(const Depot *depot, Operation operation)
{
	DepotBuffer text;
	DepotError	error;

	if (operation == OPERATION_REMOVE)
		return;
	depot_buffer_init(&text);
	assert_true(depot_store_read_manifest(depot->root_fd, &layout, depot->job, "hll", &text, &error));
	assert_string_equal(text.data,
						operation == OPERATION_UPDATE ? "manifest of hll 2.18" : "manifest of hll 2.17");
	depot_buffer_free(&text);
}

/* Runs operation in a child that ends before its change with this number; tells whether it got to its end. */
static bool
run_until_stopped(Depot *depot, Operation operation, int number)
{
	int			status;
	pid_t		child = fork();

	assert_true(child >= 0);
	if (child == 0)
	{
		DepotError	error;

		set_fault(FAULT_STOP, number);
		_exit(operate(depot, operation, &error) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0)
		assert_int_equal(WEXITSTATUS(status), EXIT_STOPPED);
	reload(depot);
	check_promises(depot, operation);
	check_all_owned(depot);
	check_manifest(depot, operation);
	return WEXITSTATUS(status) == 0;
}

static void
stop_everywhere(Operation operation)
{
	DepotBuffer expected = expected_tree(operation);
	int			number = 0;

	for (bool done = false; !done;)
	{
		Depot		depot = make_depot(operation);
		DepotError	error;

		done = run_until_stopped(&depot, operation, ++number);
		/* Stopped again, at places that differ from run to run, before it is let through. */
		if (!done && number % 3 == 0)
			(void) run_until_stopped(&depot, operation, 1 + number / 2);
		if (!done && number % 5 == 0)
			(void) run_until_stopped(&depot, operation, 4);
		if (!operate(&depot, operation, &error))
			fail_msg("after a stop at change %d: %s (%s)", number, error.message, error.detail);
		check_result(&depot, operation, &expected);
		free_depot(&depot);
	}
	/* Each file moves or goes, with directories fsynced and the state written twice. */
	assert_true(number > member_count(&hll_1) + 10);
	depot_buffer_free(&expected);
}

static void
test_promise_3_install_stopped_everywhere(void **state)
{
	(void) state;
	stop_everywhere(OPERATION_INSTALL);
}

static void
test_promise_3_update_stopped_everywhere(void **state)
{
	(void) state;
	stop_everywhere(OPERATION_UPDATE);
}

static void
test_promise_3_remove_stopped_everywhere(void **state)
{
	(void) state;
	stop_everywhere(OPERATION_REMOVE);
}

/* As the leader does it: the process stays, gets an error, and repeats the call with the state it has. */
static void
test_every_change_failing(void **state)
{
	(void) state;
	for (int operation = 0; operation < OPERATION_COUNT; operation++)
	{
		DepotBuffer expected = expected_tree((Operation) operation);
		int			number = 0;

		for (bool done = false; !done;)
		{
			Depot		depot = make_depot((Operation) operation);
			DepotError	error;

			set_fault(FAULT_DISK_FULL, ++number);
			done = operate(&depot, (Operation) operation, &error);
			/* Tidying up empty directories may fail without harm: the call succeeds all the same. */
			if (changes_until_fault > 0 || !done)
			{
				if (!done)
					assert_int_equal(error.code, DEPOT_ERROR_DISK_FULL);
				set_fault(FAULT_NONE, 0);
				check_promises(&depot, (Operation) operation);
				if (!operate(&depot, (Operation) operation, &error))
					fail_msg("after change %d failed: %s (%s)", number, error.message, error.detail);
				check_result(&depot, (Operation) operation, &expected);
			}
			else
				done = false;
			set_fault(FAULT_NONE, 0);
			free_depot(&depot);
		}
		depot_buffer_free(&expected);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_promise_3_install_stopped_everywhere),
		cmocka_unit_test(test_promise_3_update_stopped_everywhere),
		cmocka_unit_test(test_promise_3_remove_stopped_everywhere),
		cmocka_unit_test(test_every_change_failing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
