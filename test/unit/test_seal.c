/*-------------------------------------------------------------------------
 *
 * test_seal.c
 *	  The seal: which served files are those that were verified here.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/files.h"
#include "common/seal.h"
#include "scratch.h"

#define STAMP "this server"
#define LIBRARY "lib/a.so"
#define CONTROL "share/extension/a.control"

static const DepotLayout layout = {.share = "share",.lib = "lib"};

static int
set_up(void **state)
{
	static Scratch scratch;

	scratch = scratch_make();
	*state = &scratch;
	return scratch.fd >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	scratch_remove(*state);
	return 0;
}

/* A depot directory with two files, and a seal that holds both. */
static DepotSeal *
begin(Scratch *scratch)
{
	DepotSeal  *seal;
	char		identity[DEPOT_SEAL_IDENTITY_BYTES];
	DepotError	error;

	assert_true(depot_store_prepare(scratch->fd, &layout, &error));
	assert_true(scratch_write(scratch->fd, LIBRARY, "library"));
	assert_true(scratch_write(scratch->fd, CONTROL, "control"));
	seal = depot_seal_read(scratch->fd, STAMP);
	assert_non_null(seal);
	assert_false(depot_seal_holds(seal, scratch->fd, LIBRARY));
	assert_true(depot_seal_identify(scratch->fd, LIBRARY, identity));
	assert_true(depot_seal_add(seal, LIBRARY, identity, &error));
	assert_true(depot_seal_identify(scratch->fd, CONTROL, identity));
	assert_true(depot_seal_add(seal, CONTROL, identity, &error));
	assert_true(depot_seal_write(seal, scratch->fd, &error));
	return seal;
}

typedef struct Found
{
	char		paths[1024];
} Found;

static bool
note(const char *path, const char *identity, void *context, DepotError *error)
{
	Found	   *found = context;
	size_t		length = strlen(found->paths);

	snprintf(found->paths + length, sizeof(found->paths) - length, "%s%s%s", length > 0 ? " " : "", path,
			 identity[0] == '\0' ? "!" : "");
	return true;
}

/* Requires that exactly these are found not to be sealed; those that are no regular files with a '!'. */
static void
assert_unsealed(const DepotSeal *seal, const Scratch *scratch, const char *expected)
{
	Found		found = {.paths = ""};
	DepotError	error;
	int			count;

	assert_true(depot_seal_survey(seal, scratch->fd, &layout, note, &found, &count, &error));
	assert_string_equal(found.paths, expected);
}

static void
test_read_again(void **state)
{
	Scratch    *scratch = *state;
	DepotSeal  *seal = begin(scratch);
	DepotSeal  *again = depot_seal_read(scratch->fd, STAMP);
	DepotSeal  *other = depot_seal_read(scratch->fd, "another server");

	assert_unsealed(seal, scratch, "");
	assert_unsealed(again, scratch, "");
	assert_unsealed(other, scratch, LIBRARY " " CONTROL);
	depot_seal_remove(again, LIBRARY);
	assert_unsealed(again, scratch, LIBRARY);
	depot_seal_free(other);
	depot_seal_free(again);
	depot_seal_free(seal);
}

/* A seal that is none is an empty one. */
static void
test_damaged(void **state)
{
	static const char *const texts[] = {
		"", "{}", "[]", "{\"format\":1,\"stamp\":\"this server\",\"files\":[]}",
		"{\"format\":1,\"stamp\":\"this server\",\"files\":{\"lib/a.so\":1}}",
		"{\"format\":1,\"stamp\":\"this server\",\"files\":{\"lib/a.so\":\"x y\"}}",
		"{\"format\":2,\"stamp\":\"this server\",\"files\":{}}"
	};
	Scratch    *scratch = *state;

	depot_seal_free(begin(scratch));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		DepotSeal  *seal;

		assert_true(scratch_write(scratch->fd, DEPOT_SEAL_FILE, texts[i]));
		seal = depot_seal_read(scratch->fd, STAMP);
		assert_unsealed(seal, scratch, LIBRARY " " CONTROL);
		depot_seal_free(seal);
	}
}

/* Whatever is done to a file, it is found. */
static void
test_changes(void **state)
{
	Scratch    *scratch = *state;
	DepotSeal  *seal = begin(scratch);
	struct stat before;
	struct stat after;
	struct timespec times[2];
	int			fd;

	/* written in place with the same size, its times set back */
	assert_int_equal(fstatat(scratch->fd, LIBRARY, &before, 0), 0);
	fd = openat(scratch->fd, LIBRARY, O_WRONLY);
	times[0] = before.st_atim;
	times[1] = before.st_mtim;
	do							/* the kernel's clock for files may stand still for some milliseconds */
	{
		assert_int_equal(pwrite(fd, "LIBRARY", 7, 0), 7);
		assert_int_equal(futimens(fd, times), 0);
		assert_int_equal(fstat(fd, &after), 0);
	} while (after.st_ctim.tv_sec == before.st_ctim.tv_sec && after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
	close(fd);
	assert_unsealed(seal, scratch, LIBRARY);

	/* the same contents and times in another file */
	assert_true(scratch_write(scratch->fd, CONTROL ".copy", "control"));
	assert_int_equal(fstatat(scratch->fd, CONTROL, &before, 0), 0);
	times[0] = before.st_atim;
	times[1] = before.st_mtim;
	assert_int_equal(utimensat(scratch->fd, CONTROL ".copy", times, 0), 0);
	assert_int_equal(renameat(scratch->fd, CONTROL ".copy", scratch->fd, CONTROL), 0);
	assert_unsealed(seal, scratch, LIBRARY " " CONTROL);

	/* what is no file */
	assert_int_equal(unlinkat(scratch->fd, LIBRARY, 0), 0);
	assert_int_equal(symlinkat("/dev/null", scratch->fd, LIBRARY), 0);
	assert_int_equal(unlinkat(scratch->fd, CONTROL, 0), 0);
	assert_int_equal(mkdirat(scratch->fd, CONTROL, 0700), 0);
	assert_true(scratch_write(scratch->fd, CONTROL "/x", "x"));
	assert_int_equal(symlinkat("/tmp", scratch->fd, "licenses"), 0);
	assert_unsealed(seal, scratch, LIBRARY "! " CONTROL "/x licenses!");
	depot_seal_free(seal);
}

/* One name more changes the file's ctime, and whoever has that name can write to it. */
static void
test_hard_link(void **state)
{
	Scratch    *scratch = *state;
	DepotSeal  *seal = begin(scratch);

	assert_int_equal(linkat(scratch->fd, LIBRARY, scratch->fd, "var/name", 0), 0);
	assert_unsealed(seal, scratch, LIBRARY);
	depot_seal_free(seal);
}

static void
test_set_aside(void **state)
{
	Scratch    *scratch = *state;
	DepotSeal  *seal = begin(scratch);
	DepotError	error;

	assert_true(depot_seal_set_aside(scratch->fd, LIBRARY, DEPOT_SEAL_UNVERIFIED, &error));
	assert_true(depot_seal_set_aside(scratch->fd, CONTROL, DEPOT_SEAL_REFUSED, &error));
	assert_false(depot_files_exists(scratch->fd, LIBRARY));
	assert_false(depot_files_exists(scratch->fd, CONTROL));
	assert_true(depot_files_exists(scratch->fd, DEPOT_SEAL_REFUSED "/" CONTROL));

	/* only into the served tree, and only where nothing is */
	assert_true(scratch_write(scratch->fd, DEPOT_SEAL_UNVERIFIED "/elsewhere", "x"));
	assert_true(depot_seal_bring_back(scratch->fd, &layout, &error));
	assert_true(depot_files_exists(scratch->fd, LIBRARY));
	assert_false(depot_files_exists(scratch->fd, "elsewhere"));
	assert_false(depot_files_exists(scratch->fd, DEPOT_SEAL_UNVERIFIED));
	assert_true(depot_seal_bring_back(scratch->fd, &layout, &error));
	assert_unsealed(seal, scratch, LIBRARY);
	depot_seal_free(seal);
}

/* What was staged and marked counts as verified: a copy of it does not. */
static void
test_staged_copy(void **state)
{
	static const char digest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	Scratch    *scratch = *state;
	char		job[DEPOT_JOB_NAME_BYTES];
	char		path[256];
	DepotError	error;
	bool		is_found;
	int			job_fd;

	depot_seal_free(begin(scratch));
	job_fd = depot_store_begin_job(scratch->fd, job, &error);
	assert_true(job_fd >= 0);
	assert_true(depot_files_make_directories(job_fd, "tree/lib", 0700, false, &error));
	assert_true(scratch_write(job_fd, "tree/lib/a.so", "library"));
	assert_true(scratch_write(job_fd, "tree/lib/b.so", "library"));
	assert_true(depot_store_mark_staged(scratch->fd, job, "a", digest, digest, &error));
	snprintf(path, sizeof(path), DEPOT_STAGING "/%s/tree/lib/b.so", job);
	assert_true(depot_files_rename(scratch->fd, path, scratch->fd, "lib/b.so", &error));
	assert_true(depot_store_find_staged(scratch->fd, digest, job, &is_found, &error));
	assert_true(is_found);

	assert_true(scratch_write(job_fd, "tree/lib/a.so", "library"));
	assert_true(depot_store_find_staged(scratch->fd, digest, job, &is_found, &error));
	assert_false(is_found);
	close(job_fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hard_link, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_set_aside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_staged_copy, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
