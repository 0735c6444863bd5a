/*-------------------------------------------------------------------------
 *
 * test_fetch_hostile.c
 *	  The downloader against a server that misbehaves, and against full disks.
 *
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fetch_download.h"

static void
test_too_large(void **state)
{
	static const char *const bases[] = {"http://127.0.0.1:%d", NULL};
	Download	download;
	DepotError	error;
	DepotFetch *fetch = depot_fetch_open(&default_options, &error);

	(void) state;
	run_path(&download, "endless");
	assert_failed(&download, DEPOT_ERROR_TOO_LARGE, "larger than 1000 bytes");
	assert_true(download.file_bytes <= 1000);
	run_path(&download, "announced");
	assert_failed(&download, DEPOT_ERROR_TOO_LARGE, "larger than 1000 bytes");
	assert_int_equal(download.file_bytes, 0);

	/* what was signed is the limit when it is the smaller one */
	run_with(fetch, &download, bases, "plain", 1000, strlen(SERVER_BODY) - 1);
	assert_failed(&download, DEPOT_ERROR_TOO_LARGE, "larger than 12 bytes");
	assert_non_null(strstr(download.error.detail, "signed metadata"));
	run_with(fetch, &download, bases, "plain", strlen(SERVER_BODY), strlen(SERVER_BODY));
	assert_true(download.ok);
	depot_fetch_close(fetch);
}

static void
test_truncated(void **state)
{
	static const char *const bases[] = {"http://127.0.0.1:%d", NULL};
	Download	download;
	DepotError	error;
	DepotFetch *fetch = depot_fetch_open(&default_options, &error);

	(void) state;
	run_path(&download, "torn");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "truncated: got 10 of 100 bytes");
	run_with(fetch, &download, bases, "unmeasured", 1000, 100);
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "truncated: got 13 of 100 bytes");
	run_path(&download, "hangup");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "127.0.0.1");
	depot_fetch_close(fetch);
}

static void
test_stalled(void **state)
{
	Download	download;

	(void) state;
	run_path(&download, "silent");
	assert_failed(&download, DEPOT_ERROR_STALLED, "stalled");
	assert_in_range(download.took_ms, 400, 1200);
	run_path(&download, "burst");
	assert_failed(&download, DEPOT_ERROR_STALLED, "stalled");
	assert_in_range(download.took_ms, 400, 700);
	run_path(&download, "drip");
	assert_failed(&download, DEPOT_ERROR_STALLED, "stalled");
	assert_in_range(download.took_ms, 400, 1500);
}

static void
test_status(void **state)
{
	Download	download;

	(void) state;
	run_path(&download, "broken");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "status 500");
	assert_int_equal(download.file_bytes, 0);
	run_path(&download, "partial");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "status 206");
	run_path(&download, "forbidden");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "status 403");
	assert_non_null(strstr(download.error.hint, "404"));
	run_path(&download, "headers");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "headers are too large");
}

static void
test_redirect(void **state)
{
	Download	download;

	(void) state;
	run_path(&download, "redirect");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "redirect");
	assert_non_null(strstr(download.error.detail, "not followed"));
}

static void
test_unreachable(void **state)
{
	static const char *const nobody[] = {"http://127.0.0.1:1/depot", NULL};
	static const char *const nowhere[] = {"https://depot.invalid/", NULL};
	static const char *const bases[] = {"http://127.0.0.1:%d", NULL};
	DepotFetchOptions options = default_options;
	Download	download = {0};

	(void) state;
	run(&download, &default_options, nobody, "file");
	assert_failed(&download, DEPOT_ERROR_UNREACHABLE,
				  "could not fetch \"file\" from 127.0.0.1: no connection");
	run(&download, &default_options, nowhere, "file");
	assert_failed(&download, DEPOT_ERROR_UNREACHABLE, "depot.invalid");
	/* loopback does not go through the proxy */
	options.proxy = "http://127.0.0.1:1";
	run(&download, &options, bases, "plain");
	assert_true(download.ok);
	run(&download, &options, nowhere, "plain");
	assert_failed(&download, DEPOT_ERROR_UNREACHABLE, "proxy");
}

static void
test_cancel(void **state)
{
	static const char *const bases[] = {"http://127.0.0.1:%d", NULL};
	DepotFetchOptions options = default_options;
	Download	download = {.cancel_after = 3};

	(void) state;
	options.stall_timeout_ms = 30000;
	run(&download, &options, bases, "silent");
	assert_failed(&download, DEPOT_ERROR_CANCELED, "cancel");
	assert_true(download.took_ms < 1000);

	/* while waiting for the next try, too */
	options.retries = 20;
	run(&download, &options, bases, "broken");
	assert_failed(&download, DEPOT_ERROR_CANCELED, "cancel");
	assert_true(download.took_ms < 1000);
}

static void
test_disk_full(void **state)
{
	DepotError	error;
	DepotFetch *fetch = depot_fetch_open(&default_options, &error);
	char		url[64];
	const char *bases[] = {url, "file:///nonexistent"};
	DepotFetchResult result;
	DepotFetchRequest request = {.bases = bases, .base_count = 2, .path = "plain",.max_bytes = 1000};
	char		name[] = "/tmp/test_fetch.XXXXXX";
	struct rlimit limit;
	struct rlimit small;

	(void) state;
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", server.port);
	request.fd = mkstemp(name);
	assert_true(request.fd >= 0);
	unlink(name);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 5;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_false(depot_fetch_file(fetch, &request, &result, NULL, NULL, &error));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	/* a file that may not grow is the same path as a full disk, with another errno */
	assert_int_equal(error.code, DEPOT_ERROR_IO);
	assert_non_null(strstr(error.message, strerror(EFBIG)));
	close(request.fd);
	depot_fetch_close(fetch);
}

static void
test_bad_options(void **state)
{
	static const char *const bases[] = {"https://h/x", "ftp://h/x", NULL};
	DepotFetchOptions options = default_options;
	Download	download = {0};
	DepotError	error;

	(void) state;
	options.stall_timeout_ms = 0;
	assert_null(depot_fetch_open(&options, &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_ARGUMENT);
	/* one bad address is not passed over in favour of a good one */
	run(&download, &default_options, bases, "file");
	assert_failed(&download, DEPOT_ERROR_INVALID_ARGUMENT, "invalid repository URL");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_stalled),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_bad_options),
	};
	int			failures;

	server_start(&server);
	failures = cmocka_run_group_tests(tests, NULL, NULL);
	server_stop(&server);
	return failures;
}
