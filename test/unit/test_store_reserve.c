/*-------------------------------------------------------------------------
 *
 * test_store_reserve.c
 *	  Space for state.json, set aside before a commit.
 *
 * Holds promise 3 (nothing half-done).
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

#include "store_fixture.h"

#define RESERVE "var/reserve"

static ino_t
inode_of(int root, const char *path)
{
	struct stat status;

	assert_int_equal(fstatat(root, path, &status, AT_SYMLINK_NOFOLLOW), 0);
	return status.st_ino;
}

/* The reserved file itself becomes state.json: its blocks are what was set aside. */
static void
test_reserve_is_used(void **state)
{
	int			root = root_fd(state);
	DepotState	applied;
	DepotError	error;
	ino_t		first;
	ino_t		second;

	load(root, &applied, true);
	assert_true(depot_store_reserve_state(root, 2, 100, &error));
	first = inode_of(root, RESERVE "/0");
	second = inode_of(root, RESERVE "/1");
	assert_true(depot_store_save_state(root, &applied, &error));
	assert_int_equal(inode_of(root, DEPOT_STATE_FILE), first);
	assert_true(depot_store_save_state(root, &applied, &error));
	assert_int_equal(inode_of(root, DEPOT_STATE_FILE), second);

	/* Used up: it is written as ever. */
	assert_true(depot_store_save_state(root, &applied, &error));
	assert_int_not_equal(inode_of(root, DEPOT_STATE_FILE), second);
	depot_store_release_state(root);
	assert_false(depot_files_exists(root, RESERVE));
	depot_store_free_state(&applied);
	load(root, &applied, false);
	depot_store_free_state(&applied);
}

/* What a kill left, whole or half made, goes; without any, releasing is nothing. */
static void
test_release_takes_all(void **state)
{
	int			root = root_fd(state);
	DepotError	error;

	depot_store_release_state(root);
	assert_true(depot_store_reserve_state(root, 3, 0, &error));
	assert_true(scratch_write(root, RESERVE "/3.new", "half"));
	depot_store_release_state(root);
	assert_false(depot_files_exists(root, RESERVE));
}

/* One that is too small, or not a file, is passed over. */
static void
test_useless_reserve(void **state)
{
	int			root = root_fd(state);
	DepotState	applied;
	DepotError	error;

	load(root, &applied, true);
	assert_true(depot_store_reserve_state(root, 1, 0, &error));
	assert_true(scratch_write(root, RESERVE "/0", ""));
	assert_int_equal(mkdirat(root, RESERVE "/1", 0700), 0);
	assert_true(depot_store_save_state(root, &applied, &error));
	depot_store_release_state(root);
	depot_store_free_state(&applied);
	load(root, &applied, false);
	depot_store_free_state(&applied);
}

static void
test_too_many(void **state)
{
	int			root = root_fd(state);
	DepotError	error;

	assert_false(depot_store_reserve_state(root, 100000, 0, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TOO_LARGE);
	assert_false(depot_files_exists(root, RESERVE));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_reserve_is_used),
		STORE_TEST(test_release_takes_all),
		STORE_TEST(test_useless_reserve),
		STORE_TEST(test_too_many),
	};

	return cmocka_run_group_tests_name("store_reserve", tests, NULL, NULL);
}
