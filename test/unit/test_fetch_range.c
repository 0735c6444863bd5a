/*-------------------------------------------------------------------------
 *
 * test_fetch_range.c
 *	  Downloads that break and are gone on with.
 *
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fetch_download.h"

#include "common/digest.h"

#define ASK_FOR_REST "\r\nRange: bytes=400-\r\n"

static char right_sha256[DEPOT_SHA256_HEX_BYTES];

static const char *const server_only[] = {"http://127.0.0.1:%d/range", NULL};

/* Downloads the file of RANGE_BYTES bytes; sha256 may be NULL, expected_bytes 0. */
static void
run_range(Download *download, int retries, const char *const *bases, const char *path,
		  uint64_t expected_bytes, const char *sha256)
{
	DepotFetchOptions options = default_options;
	DepotError	error;
	DepotFetch *fetch;

	options.retries = retries;
	memset(download, 0, sizeof(*download));
	download->sha256 = sha256;
	server.log->wholes = 0;
	server.log->ranges = 0;
	server.log->requests = 0;
	fetch = depot_fetch_open(&options, &error);
	assert_non_null(fetch);
	run_with(fetch, download, bases, path, 100 * RANGE_BYTES, expected_bytes);
	depot_fetch_close(fetch);
}

static void
assert_delivered(const Download *download, int wholes, int ranges)
{
	if (!download->ok)
		fail_msg("%s (%s)", download->error.message, download->error.detail);
	assert_false(download->result.missing);
	assert_int_equal(download->result.bytes, RANGE_BYTES);
	assert_int_equal(download->file_bytes, RANGE_BYTES);
	for (int i = 0; i < (int) strlen(download->text); i++)
		assert_int_equal(download->text[i], range_byte(i, false));
	assert_int_equal(server.log->wholes, wholes);
	assert_int_equal(server.log->ranges, ranges);
}

static void
test_goes_on(void **state)
{
	static const char *const names[] = {"right", "unsized", "stall", NULL};
	Download	download;

	(void) state;
	for (int i = 0; names[i] != NULL; i++)
	{
		run_range(&download, 1, server_only, names[i], RANGE_BYTES, right_sha256);
		assert_delivered(&download, 1, 1);
		assert_non_null(strstr(server.log->last_request, ASK_FOR_REST));
		assert_non_null(strstr(server.log->last_request, "\r\nIf-Range: \"v1\"\r\n"));
		assert_false(download.went_back);
	}
}

/* What is asked of the server when it says less about the version of the file. */
static void
test_validators(void **state)
{
	Download	download;

	(void) state;
	run_range(&download, 1, server_only, "weak", RANGE_BYTES, right_sha256);
	assert_delivered(&download, 1, 1);
	assert_non_null(strstr(server.log->last_request,
						   "\r\nIf-Range: Sat, 03 Oct 2026 09:08:07 GMT\r\n"));
	run_range(&download, 1, server_only, "untagged-undated", RANGE_BYTES, right_sha256);
	assert_delivered(&download, 1, 1);
	assert_non_null(strstr(server.log->last_request, ASK_FOR_REST));
	assert_null(strstr(server.log->last_request, "If-Range"));
	run_range(&download, 1, server_only, "weak-undated", RANGE_BYTES, right_sha256);
	assert_delivered(&download, 1, 1);
	assert_null(strstr(server.log->last_request, "If-Range"));
}

/* Each of these answers to the request for the rest leads to the whole file, at once. */
static void
test_starts_anew(void **state)
{
	static const char *const names[] = {"shifted", "resized", "endlong", "unnamed", "garbled", "doubled",
	"retagged", "unsatisfied", "altered", NULL};
	Download	download;

	(void) state;
	for (int i = 0; names[i] != NULL; i++)
	{
		run_range(&download, 1, server_only, names[i], RANGE_BYTES, right_sha256);
		assert_delivered(&download, 2, 1);
		assert_null(strstr(server.log->last_request, "Range"));
	}
}

/* A server that does not know ranges answers with the whole file: it is the answer, not one more request. */
static void
test_whole_instead_of_rest(void **state)
{
	Download	download;

	(void) state;
	run_range(&download, 1, server_only, "rangeless", RANGE_BYTES, right_sha256);
	assert_delivered(&download, 1, 1);
	/* and if that is another file, it is nobody's fault but the server's */
	run_range(&download, 1, server_only, "rangeless-false", RANGE_BYTES, right_sha256);
	assert_failed(&download, DEPOT_ERROR_DIGEST_MISMATCH, "not the file that was signed");
	assert_int_equal(server.log->requests, 2);
}

static void
test_only_what_can_be_checked(void **state)
{
	Download	download;

	(void) state;
	run_range(&download, 1, server_only, "right", RANGE_BYTES, NULL);
	assert_delivered(&download, 2, 0);
	run_range(&download, 1, server_only, "right", 0, right_sha256);
	assert_delivered(&download, 2, 0);
}

static void
test_limits_hold_over_the_whole(void **state)
{
	Download	download;

	(void) state;
	run_range(&download, 3, server_only, "longer", RANGE_BYTES, right_sha256);
	assert_failed(&download, DEPOT_ERROR_TOO_LARGE, "larger than 1000 bytes");
	assert_true(download.file_bytes <= RANGE_BYTES);
	assert_int_equal(server.log->requests, 2);
}

static void
test_other_base_goes_on(void **state)
{
	static const char *const bases[] = {"http://127.0.0.1:%d/range/always", "http://127.0.0.1:%d/range/good",
	NULL};
	static const char *const poisoned[] = {"http://127.0.0.1:%d/range/always-false",
	"http://127.0.0.1:%d/range/complete", NULL};
	static const char *const three[] = {"http://127.0.0.1:%d/range/always", "http://127.0.0.1:%d/missing",
	"http://127.0.0.1:%d/range/good", NULL};
	Download	download;

	(void) state;
	run_range(&download, 0, bases, "file", RANGE_BYTES, right_sha256);
	assert_delivered(&download, 1, 1);
	assert_int_equal(download.result.base_index, 1);
	assert_non_null(strstr(server.log->last_request, ASK_FOR_REST));
	/* a tag is the business of the base that sent it */
	assert_null(strstr(server.log->last_request, "If-Range"));
	run_range(&download, 0, three, "file", RANGE_BYTES, right_sha256);
	assert_delivered(&download, 1, 1);
	assert_int_equal(download.result.base_index, 2);

	/* a base with other bytes does not spoil what a good one delivers */
	run_range(&download, 0, poisoned, "file", RANGE_BYTES, right_sha256);
	assert_delivered(&download, 2, 1);
	assert_int_equal(download.result.base_index, 1);
}

/* A file: base reads the file from its beginning. */
static void
test_file_scheme(void **state)
{
	char		directory[] = "/tmp/test_fetch_range.XXXXXX";
	char		base[128];
	char		path[128];
	const char *bases[] = {"http://127.0.0.1:%d/range", base, NULL};
	Download	download;
	FILE	   *file;

	(void) state;
	assert_non_null(mkdtemp(directory));
	snprintf(base, sizeof(base), "file://%s", directory);
	snprintf(path, sizeof(path), "%s/always", directory);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < RANGE_BYTES; i++)
		fputc(range_byte(i, false), file);
	assert_int_equal(fclose(file), 0);
	run_range(&download, 0, bases, "always", RANGE_BYTES, right_sha256);
	assert_delivered(&download, 1, 0);
	assert_int_equal(download.result.base_index, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void
test_number_of_tries(void **state)
{
	Download	download;

	(void) state;
	/* what gets on is stayed with: four answers, one retry */
	run_range(&download, 1, server_only, "quarter", RANGE_BYTES, right_sha256);
	assert_delivered(&download, 1, 3);
	assert_false(download.went_back);
	/* a byte with each connection is not getting on */
	run_range(&download, 2, server_only, "byte", RANGE_BYTES, right_sha256);
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "truncated: got 3 of 1000 bytes");
	assert_int_equal(server.log->requests, 3);
	/* no retries are none */
	run_range(&download, 0, server_only, "quarter", RANGE_BYTES, right_sha256);
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "truncated: got 250 of 1000 bytes");
	assert_int_equal(server.log->requests, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_validators),
		cmocka_unit_test(test_starts_anew),
		cmocka_unit_test(test_whole_instead_of_rest),
		cmocka_unit_test(test_only_what_can_be_checked),
		cmocka_unit_test(test_limits_hold_over_the_whole),
		cmocka_unit_test(test_other_base_goes_on),
		cmocka_unit_test(test_file_scheme),
		cmocka_unit_test(test_number_of_tries),
	};
	char		right[RANGE_BYTES];
	int			failures;

	for (int i = 0; i < RANGE_BYTES; i++)
		right[i] = range_byte(i, false);
	depot_digest_sha256_hex(right, sizeof(right), right_sha256);
	server_start(&server);
	failures = cmocka_run_group_tests(tests, NULL, NULL);
	server_stop(&server);
	return failures;
}
