/*-------------------------------------------------------------------------
 *
 * test_archive_queue.c
 *	  What a sink is told by a second thread.
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

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/archive_internal.h"
#include "common/digest.h"

#define MEGABYTE ((size_t) 1024 * 1024)
#define FILES 2000

/* What the sink has heard; the digest is that of its calls and all their bytes, in order. */
typedef struct Heard
{
	pthread_t	thread;			/* the one that called */
	int			begun;
	int			calls;
	int			fail_at;		/* the number of the call that fails; 0: none */
	int			calls_after_failure;
	size_t		written_bytes;
	DepotDigest digest;
} Heard;

static bool
hear(Heard *heard, const void *bytes, size_t length, DepotError *error)
{
	heard->thread = pthread_self();
	heard->calls++;
	if (heard->fail_at > 0 && heard->calls > heard->fail_at)
		heard->calls_after_failure++;
	depot_digest_add(&heard->digest, bytes, length);
	return heard->calls != heard->fail_at || depot_error_set(error, DEPOT_ERROR_DISK_FULL, "call %d", heard->calls);
}

static bool
begin(const DepotManifest *manifest, void *context, DepotError *error)
{
	Heard	   *heard = context;

	assert_null(manifest);
	heard->begun++;
	return heard->fail_at >= 0 || depot_error_set(error, DEPOT_ERROR_IO, "begin");
}

static bool
begin_file(const char *path, uint32_t mode, void *context, DepotError *error)
{
	Heard	   *heard = context;

	depot_digest_add(&heard->digest, &mode, sizeof(mode));
	return hear(heard, path, strlen(path) + 1, error);
}

/* How many bytes come at once may differ. */
static bool
write_file(const void *bytes, size_t length, void *context, DepotError *error)
{
	Heard	   *heard = context;

	heard->written_bytes += length;
	return hear(heard, bytes, length, error);
}

static bool
end_file(void *context, DepotError *error)
{
	return hear(context, "end", 3, error);
}

static ArchiveSink
make_sink(Heard *heard, int fail_at)
{
	memset(heard, 0, sizeof(*heard));
	heard->fail_at = fail_at;
	depot_digest_begin(&heard->digest);
	return (ArchiveSink)
	{
		.begin = begin, .begin_file = begin_file, .write = write_file, .end_file = end_file, .context = heard
	};
}

/* Tells a sink of files of many sizes, one of them larger than any batch; false as soon as it fails. */
static bool
tell(const ArchiveSink *sink, DepotError *error)
{
	static unsigned char bytes[3 * 1024 * 1024 + 7];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char) (i * 31 >> 7);
	if (!sink->begin(NULL, sink->context, error))
		return false;
	for (int i = 0; i < FILES; i++)
	{
		char		path[64];
		size_t		length = i == 1000 ? sizeof(bytes) : (size_t) (i * 7919 % 9001);

		snprintf(path, sizeof(path), "share/extension/file-%d", i);
		if (!sink->begin_file(path, i % 2 == 0 ? 0644 : 0755, sink->context, error) ||
			(i % 3 > 0 && !sink->write(bytes, length, sink->context, error)) ||
			(i % 3 > 1 && !sink->write(bytes + 1, length / 2, sink->context, error)) ||
			!sink->end_file(sink->context, error))
			return false;
	}
	return true;
}

static void
test_same_calls(void **state)
{
	Heard		direct;
	Heard		queued;
	ArchiveSink direct_sink = make_sink(&direct, 0);
	ArchiveSink sink = make_sink(&queued, 0);
	ArchiveSink queue_sink;
	ArchiveQueue *queue;
	uint8_t		digests[2][DEPOT_SHA256_BYTES];
	DepotError	error = {0};

	(void) state;
	assert_true(tell(&direct_sink, &error));
	queue = depot_archive_queue_start(&sink, &queue_sink);
	assert_non_null(queue);
	assert_true(tell(&queue_sink, &error));
	assert_true(depot_archive_queue_finish(queue, &error));
	assert_int_equal(queued.begun, 1);
	assert_int_equal(queued.written_bytes, direct.written_bytes);
	assert_true(queued.written_bytes > 10 * MEGABYTE);
	depot_digest_end(&direct.digest, digests[0]);
	depot_digest_end(&queued.digest, digests[1]);
	assert_memory_equal(digests[0], digests[1], DEPOT_SHA256_BYTES);
	assert_false(pthread_equal(queued.thread, pthread_self()));
}

/* A failure is told once it is known, at the latest in the end, and the sink hears nothing more. */
static void
test_failure(void **state)
{
	static const int fail_at[] = {1, 2, 3, 100, 3000, 0};
	Heard		direct;
	ArchiveSink direct_sink = make_sink(&direct, 0);
	DepotError	error = {0};

	(void) state;
	assert_true(tell(&direct_sink, &error));
	for (int i = 0; i < 6; i++)
	{
		Heard		heard;

		/* The last one is the last call of all, which a larger write makes a later one. */
		ArchiveSink sink = make_sink(&heard, fail_at[i] > 0 ? fail_at[i] : direct.calls);
		ArchiveSink queue_sink;
		ArchiveQueue *queue = depot_archive_queue_start(&sink, &queue_sink);
		DepotError	told = {0};
		DepotError	finished = {0};
		char		expected[32];

		assert_non_null(queue);
		snprintf(expected, sizeof(expected), "call %d", heard.fail_at);
		if (!tell(&queue_sink, &told))
			assert_string_equal(told.message, expected);
		assert_false(depot_archive_queue_finish(queue, &finished));
		assert_int_equal(finished.code, DEPOT_ERROR_DISK_FULL);
		assert_string_equal(finished.message, expected);
		assert_int_equal(heard.calls_after_failure, 0);
		/* Early failures end the telling early. */
		assert_true(fail_at[i] == 0 || fail_at[i] > 100 || told.code == DEPOT_ERROR_DISK_FULL);
	}
}

/* Who is not interested in the reason gets none; what was not told of is nobody's failure. */
static void
test_edges(void **state)
{
	Heard		heard;
	ArchiveSink sink = make_sink(&heard, 0);
	ArchiveSink queue_sink;
	ArchiveQueue *queue = depot_archive_queue_start(&sink, &queue_sink);
	DepotError	error = {0};

	(void) state;
	assert_non_null(queue);
	assert_true(depot_archive_queue_finish(queue, &error));
	assert_int_equal(heard.calls, 0);

	sink = make_sink(&heard, 1);
	queue = depot_archive_queue_start(&sink, &queue_sink);
	assert_non_null(queue);
	(void) tell(&queue_sink, NULL);
	assert_false(depot_archive_queue_finish(queue, NULL));

	sink = make_sink(&heard, -1);
	queue = depot_archive_queue_start(&sink, &queue_sink);
	assert_non_null(queue);
	assert_false(tell(&queue_sink, &error));
	assert_string_equal(error.message, "begin");
	assert_true(depot_archive_queue_finish(queue, &error));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_calls),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
