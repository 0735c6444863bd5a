/*-------------------------------------------------------------------------
 *
 * test_store_state.c
 *	  state.json: round trip, and what makes it count for nothing.
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

static void
test_state_round_trip(void **state)
{
	int			root = root_fd(state);
	DepotState	applied;
	DepotState	loaded;
	const DepotAppliedPackage *package;
	DepotBuffer first;
	DepotBuffer second;
	DepotError	error;

	load(root, &applied, true);
	assert_int_equal(applied.package_count, 0);
	assert_string_equal(applied.stamp.path, stamp.path);
	install(root, &applied, &ip4r);
	install(root, &applied, &hll_1);
	assert_int_equal(scratch_mode(root, DEPOT_STATE_FILE), S_IFREG | 0600);

	load(root, &loaded, false);
	assert_int_equal(loaded.package_count, 2);
	assert_string_equal(loaded.packages[0].package, "hll");
	assert_string_equal(loaded.packages[1].package, "ip4r");
	package = depot_store_find(&loaded, "hll");
	assert_non_null(package);
	assert_string_equal(package->version, "2.17");
	assert_string_equal(package->digest, DIGEST_1);
	assert_string_equal(package->manifest_sha256, MANIFEST_1);
	assert_true(package->is_complete);
	assert_int_equal(package->file_count, member_count(&hll_1) + 1);
	for (int i = 0; i < package->file_count; i++)
	{
		struct stat status;

		assert_int_equal(fstatat(root, package->files[i].path, &status, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(package->files[i].size_bytes, status.st_size);
		assert_int_equal(strlen(package->files[i].sha256), 64);
		if (i > 0)
			assert_true(strcmp(package->files[i - 1].path, package->files[i].path) < 0);
	}
	assert_null(depot_store_find(&loaded, "hl"));
	assert_null(depot_store_find(&loaded, "zzz"));
	package = depot_store_owner(&loaded, SHARE "/depot/hll.json", NULL);
	assert_ptr_equal(package, depot_store_find(&loaded, "hll"));
	assert_null(depot_store_owner(&loaded, SHARE "/depot/hll.json", "hll"));
	assert_null(depot_store_owner(&loaded, SHARE "/depot", NULL));

	/* Saving what was loaded gives the same bytes. */
	depot_buffer_init(&first);
	depot_buffer_init(&second);
	assert_true(depot_files_read(root, DEPOT_STATE_FILE, 1 << 20, &first, &error));
	assert_true(depot_store_save_state(root, &loaded, &error));
	assert_true(depot_files_read(root, DEPOT_STATE_FILE, 1 << 20, &second, &error));
	assert_string_equal(first.data, second.data);
	depot_buffer_free(&first);
	depot_buffer_free(&second);
	depot_store_free_state(&applied);
	depot_store_free_state(&loaded);
	assert_int_equal(loaded.package_count, 0);
	depot_store_free_state(&loaded);
}

static void
test_another_stamp_is_fresh(void **state)
{
	int			root = root_fd(state);
	DepotStamp	others[5] = {stamp, stamp, stamp, stamp, stamp};
	DepotState	applied;
	DepotError	error;

	load(root, &applied, true);
	install(root, &applied, &ip4r);
	depot_store_free_state(&applied);
	strcpy(others[0].system_identifier, "7300000000000000002");
	others[1].postgresql_major = 16;
	strcpy(others[2].platform, "linux-arm64");
	strcpy(others[3].path, "/elsewhere/pg_depot");
	strcpy(others[4].path, "/data/pg_depot/");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
	{
		bool		fresh = false;

		assert_true(depot_store_load_state(root, &others[i], &applied, &fresh, &error));
		assert_true(fresh);
		assert_int_equal(applied.package_count, 0);
		assert_memory_equal(&applied.stamp, &others[i], sizeof(DepotStamp));
	}
	load(root, &applied, false);
	depot_store_free_state(&applied);
}

static void
test_odd_path_in_stamp(void **state)
{
	int			root = root_fd(state);
	DepotStamp	odd = stamp;
	DepotState	applied = {0};
	bool		fresh = true;
	DepotError	error;

	strcpy(odd.path, "/d\xE9j\xC3\xA0 \"vu\"\\100%25\n/pg_depot%");
	applied.stamp = odd;
	assert_true(depot_store_save_state(root, &applied, &error));
	assert_true(depot_store_load_state(root, &odd, &applied, &fresh, &error));
	assert_false(fresh);
	depot_store_free_state(&applied);
	load(root, &applied, true);
}

/* The state that install wrote with old replaced by new_text must be refused. */
static void
check_damaged_state(int root, const DepotBuffer *good, const char *old, const char *new_text)
{
	DepotState	applied;
	DepotBuffer text;
	const char *position = strstr(good->data, old);

	if (position == NULL)
		fail_msg("'%s' is not in state.json", old);
	depot_buffer_init(&text);
	depot_buffer_append(&text, good->data, (size_t) (position - good->data));
	depot_buffer_append_string(&text, new_text);
	depot_buffer_append_string(&text, position + strlen(old));
	assert_true(scratch_write(root, DEPOT_STATE_FILE, text.data));
	load(root, &applied, true);
	assert_int_equal(applied.package_count, 0);
	depot_buffer_free(&text);
}

static void
test_unreadable_state_is_fresh(void **state)
{
	static const struct
	{
		const char *old;
		const char *new_text;
	}			damages[] = {
		{"\"format\":1", "\"format\":2"},
		{"\"format\":1", "\"format\":\"1\""},
		{"\"format\":1,", ""},
		{"{", ""},
		{"\"packages\"", "\"parcels\""},
		{"\"stamp\"", "\"stump\""},
		{"\"package\":\"ip4r\"", "\"package\":\"../ip4r\""},
		{"\"package\":\"ip4r\"", "\"package\":7"},
		{"\"version\":\"2.4\"", "\"version\":\"2/4\""},
		{"\"digest\":\"" DIGEST_1, "\"digest\":\"" "1"},
		{"\"digest\":\"" DIGEST_1, "\"digest\":\""},
		{"\"manifest_sha256\":\"" MANIFEST_1, "\"manifest_sha256\":\"" MANIFEST_1 "a"},
		{"\"complete\":true", "\"complete\":false"},
		{"\"complete\":true", "\"complete\":1"},
		{"\"mode\":420", "\"mode\":511"},
		{"\"mode\":420", "\"mode\":2541"},
		{"\"size\":", "\"size\":-"},
		{"\"path\":\"licenses/", "\"path\":\"/licenses/"},
		{"\"path\":\"licenses/", "\"path\":\"var/metadata/"},
		{"\"path\":\"licenses/ip4r/copyright\"", "\"path\":\"\""},
		{"\"sha256\":\"c", "\"sha256\":\"C"},
		{"\"files\":[", "\"files\":[1,"},
	};
	int			root = root_fd(state);
	DepotState	applied;
	DepotBuffer good;
	bool		fresh;
	DepotError	error;

	load(root, &applied, true);
	install(root, &applied, &ip4r);
	depot_store_free_state(&applied);
	depot_buffer_init(&good);
	assert_true(depot_files_read(root, DEPOT_STATE_FILE, 1 << 20, &good, &error));
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++)
		check_damaged_state(root, &good, damages[i].old, damages[i].new_text);
	assert_true(scratch_write(root, DEPOT_STATE_FILE, ""));
	load(root, &applied, true);
	assert_true(scratch_write(root, DEPOT_STATE_FILE, good.data));
	load(root, &applied, false);
	depot_store_free_state(&applied);
	depot_buffer_free(&good);

	/* What cannot be read at all is an error, not an empty state. */
	assert_true(depot_files_remove(root, DEPOT_STATE_FILE, &error));
	assert_int_equal(mkdirat(root, DEPOT_STATE_FILE, 0700), 0);
	assert_false(depot_store_load_state(root, &stamp, &applied, &fresh, &error));
	assert_int_equal(applied.package_count, 0);
	assert_false(depot_store_save_state(root, &applied, &error));
}

static void
test_package_twice_is_fresh(void **state)
{
	int			root = root_fd(state);
	DepotState	applied;
	DepotAppliedPackage twice[2];
	DepotError	error;

	load(root, &applied, true);
	install(root, &applied, &ip4r);
	twice[0] = twice[1] = applied.packages[0];
	applied.package_count = 2;
	free(applied.packages);
	applied.packages = twice;
	assert_true(depot_store_save_state(root, &applied, &error));
	applied.package_count = 1;
	applied.packages = malloc(sizeof(twice[0]));
	assert_non_null(applied.packages);
	applied.packages[0] = twice[0];
	depot_store_free_state(&applied);
	load(root, &applied, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_state_round_trip),
		STORE_TEST(test_another_stamp_is_fresh),
		STORE_TEST(test_odd_path_in_stamp),
		STORE_TEST(test_unreadable_state_is_fresh),
		STORE_TEST(test_package_twice_is_fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
