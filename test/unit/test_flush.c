/*-------------------------------------------------------------------------
 *
 * test_flush.c
 *	  Making many new files durable.
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

#include <errno.h>
#include <stdio.h>

#include "common/flush.h"
#include "scratch.h"

#define FILES (DEPOT_FLUSH_RUNNING_MAX + 2 * DEPOT_FLUSH_BATCH + 3)

/* Adds that many new files, and behind the last of them what cannot be fsynced; closed tells whether all were. */
static bool
flush_files(bool by_kernel, int count, int bad_fd, bool *closed, DepotError *error)
{
	Scratch		scratch = scratch_make();
	int			fds[FILES];
	DepotFlush	flush;
	bool		ok;

	assert_true(scratch.fd >= 0);
	depot_flush_begin(&flush);
	flush.is_refused = !by_kernel;
	for (int i = 0; i < count; i++)
	{
		char		name[16];

		snprintf(name, sizeof(name), "%d", i);
		fds[i] = openat(scratch.fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_int_equal(write(fds[i], name, strlen(name)), strlen(name));
		depot_flush_add(&flush, fds[i]);
	}
	if (bad_fd >= 0)
		depot_flush_add(&flush, bad_fd);
	ok = depot_flush_end(&flush, error);
	*closed = true;
	for (int i = 0; i < count; i++)
		*closed &= fcntl(fds[i], F_GETFD) < 0 && errno == EBADF;
	scratch_remove(&scratch);
	return ok;
}

static void
test_files(void **state)
{
	static const int counts[] = {
		0, 1, 7, 8, DEPOT_FLUSH_BATCH, DEPOT_FLUSH_BATCH + 1, DEPOT_FLUSH_RUNNING_MAX + 1, FILES
	};
	DepotError	error = {0};
	bool		closed;

	(void) state;
	for (int by_kernel = 0; by_kernel < 2; by_kernel++)
	{
		for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		{
			assert_true(flush_files(by_kernel != 0, counts[i], -1, &closed, &error));
			assert_true(closed);
		}
	}
}

/* A pipe cannot be fsynced: the failure is told, and the files beside it are closed all the same. */
static void
test_failure(void **state)
{
	DepotError	error = {0};
	bool		closed;

	(void) state;
	for (int by_kernel = 0; by_kernel < 2; by_kernel++)
	{
		int			pipe_fds[2];

		assert_int_equal(pipe(pipe_fds), 0);
		assert_false(flush_files(by_kernel != 0, DEPOT_FLUSH_BATCH + 2, pipe_fds[1], &closed, &error));
		assert_true(closed);
		assert_non_null(strstr(error.message, "could not write a file"));
		assert_int_equal(fcntl(pipe_fds[1], F_GETFD), -1);
		close(pipe_fds[0]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
