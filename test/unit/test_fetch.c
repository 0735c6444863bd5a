/*-------------------------------------------------------------------------
 *
 * test_fetch.c
 *	  The downloader where nothing worse than a busy server is met.
 *
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fetch_download.h"

static void
test_plain(void **state)
{
	Download	download;

	(void) state;
	run_path(&download, "plain/file.json");
	assert_true(download.ok);
	assert_false(download.result.missing);
	assert_int_equal(download.result.bytes, strlen(SERVER_BODY));
	assert_string_equal(download.text, SERVER_BODY);
	assert_true(download.progress_calls > 0);
}

static void
test_request_as_sent(void **state)
{
	Download	download;

	(void) state;
	run_path(&download, "a+b/1:2~3/x-1.0_c.tar.zst");
	assert_true(download.ok);
	assert_non_null(strstr(server.log->last_request, "GET /a%2Bb/1%3A2~3/x-1.0_c.tar.zst HTTP/1.1\r\n"));
	assert_null(strcasestr(server.log->last_request, "accept-encoding"));
	assert_null(strcasestr(server.log->last_request, "cookie"));
	assert_null(strcasestr(server.log->last_request, "authorization"));
}

static void
test_connection_is_kept(void **state)
{
	static const char *const bases[] = {"http://127.0.0.1:%d/", NULL};
	DepotError	error;
	DepotFetch *fetch = depot_fetch_open(&default_options, &error);
	Download	download = {0};
	int			before = server.log->connections;

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		run_with(fetch, &download, bases, i == 1 ? "missing" : "plain", 1000, 0);
		assert_true(download.ok);
		assert_true(download.result.missing == (i == 1));
	}
	depot_fetch_close(fetch);
	assert_int_equal(server.log->connections, before + 1);
}

static void
test_unmeasured(void **state)
{
	Download	download;

	(void) state;
	run_path(&download, "unmeasured");
	assert_true(download.ok);
	assert_string_equal(download.text, SERVER_BODY);
}

static void
test_no_decoding(void **state)
{
	Download	download;

	(void) state;
	run_path(&download, "gzip");
	assert_true(download.ok);
	assert_string_equal(download.text, SERVER_BODY);
}

static void
test_missing(void **state)
{
	Download	download;

	(void) state;
	run_path(&download, "missing");
	assert_true(download.ok);
	assert_true(download.result.missing);
	assert_int_equal(download.file_bytes, 0);
	run_path(&download, "gone");
	assert_true(download.ok && download.result.missing);
	run_path(&download, "page404");
	assert_true(download.ok && download.result.missing);
}

static void
test_retry_until_it_works(void **state)
{
	static const char *const bases[] = {"http://127.0.0.1:%d", NULL};
	DepotFetchOptions options = default_options;
	Download	download = {0};

	(void) state;
	options.retries = 2;
	server.log->busy = 0;
	run(&download, &options, bases, "busy");
	assert_true(download.ok);
	assert_string_equal(download.text, SERVER_BODY);
	assert_int_equal(server.log->busy, 3);
	/* 0.2 s and 0.4 s, each with up to half as much again */
	assert_in_range(download.took_ms, 600, 1500);

	options.retries = 1;
	server.log->busy = 0;
	run(&download, &options, bases, "busy");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "status 503");
	assert_int_equal(server.log->busy, 2);
}

static void
test_mirrors(void **state)
{
	static const char *const bases[] = {"http://127.0.0.1:1", "http://127.0.0.1:%d/missing",
		"http://127.0.0.1:%d/endless",
	"http://127.0.0.1:%d/plain", NULL};
	static const char *const unsure[] = {"http://127.0.0.1:%d/missing", "http://127.0.0.1:1", NULL};
	static const char *const worst[] = {"http://127.0.0.1:1", "http://127.0.0.1:%d/endless",
	"http://127.0.0.1:%d/broken", NULL};
	static const char *const none[] = {"http://127.0.0.1:%d/missing", "http://127.0.0.1:%d/gone", NULL};
	Download	download = {0};

	(void) state;
	run(&download, &default_options, bases, "file");
	assert_true(download.ok);
	assert_int_equal(download.result.base_index, 3);
	assert_string_equal(download.text, SERVER_BODY);
	assert_int_equal(download.result.skipped_count, 3);
	assert_int_equal(download.result.skipped[0].error.code, DEPOT_ERROR_UNREACHABLE);
	assert_int_equal(download.result.skipped[1].error.code, DEPOT_ERROR_NOT_FOUND);
	assert_int_equal(download.result.skipped[2].error.code, DEPOT_ERROR_TOO_LARGE);
	assert_int_equal(download.result.skipped[2].base_index, 2);

	run(&download, &default_options, unsure, "file");
	assert_failed(&download, DEPOT_ERROR_UNREACHABLE, "127.0.0.1");
	assert_string_equal(download.error.detail, "None of the repository's 2 addresses delivered it. "
						"127.0.0.1: there is no such file. 127.0.0.1: no connection.");
	/* the error is that of the address that is worst, wherever it stands */
	run(&download, &default_options, worst, "file");
	assert_failed(&download, DEPOT_ERROR_TOO_LARGE, "larger than 1000 bytes");

	run(&download, &default_options, none, "file");
	assert_true(download.ok && download.result.missing);
}

static void
test_unreachable_base_is_tried_last(void **state)
{
	static const char *const bases[] = {"http://127.0.0.1:1", "http://127.0.0.1:%d", NULL};
	DepotFetchOptions options = default_options;
	DepotError	error;
	DepotFetch *fetch;
	Download	download = {0};

	(void) state;
	options.retries = 1;
	fetch = depot_fetch_open(&options, &error);
	run_with(fetch, &download, bases, "plain", 1000, 0);
	assert_true(download.ok && download.result.base_index == 1);
	assert_true(download.took_ms >= 200);
	run_with(fetch, &download, bases, "plain", 1000, 0);
	assert_true(download.ok && download.result.base_index == 1);
	assert_true(download.took_ms < 200);
	depot_fetch_close(fetch);
}

static void
test_proxy(void **state)
{
	static const char *const bases[] = {"http://depot.invalid/x", NULL};
	DepotFetchOptions options = default_options;
	Download	download = {0};
	char		proxy[64];

	(void) state;
	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", server.port);
	options.proxy = proxy;
	options.allow_http = true;
	run(&download, &options, bases, "file");
	assert_non_null(strstr(server.log->last_request, "GET http://depot.invalid/x/file HTTP/1.1\r\n"));
}

static void
test_no_proxy_from_environment(void **state)
{
	static const char *const bases[] = {"http://depot.invalid/x", NULL};
	DepotFetchOptions options = default_options;
	Download	download = {0};
	char		proxy[64];
	int			before = server.log->requests;

	(void) state;
	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", server.port);
	setenv("http_proxy", proxy, 1);
	setenv("ALL_PROXY", proxy, 1);
	options.allow_http = true;
	run(&download, &options, bases, "file");
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	assert_failed(&download, DEPOT_ERROR_UNREACHABLE, "depot.invalid");
	assert_int_equal(server.log->requests, before);
}

/*----- file: --------------------------------------------------------------------*/

static void
test_file_scheme(void **state)
{
	char		directory[] = "/tmp/test fetch.XXXXXX";
	char		base[128];
	char		path[128];
	const char *bases[] = {base, NULL};
	const char *absent[] = {"file:///nonexistent/depot", NULL};
	Download	download = {0};
	FILE	   *file;

	(void) state;
	assert_non_null(mkdtemp(directory));
	snprintf(base, sizeof(base), "file:///tmp/test%%20fetch%s", strrchr(directory, '.'));
	snprintf(path, sizeof(path), "%s/a+b~1:2", directory);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(SERVER_BODY, file);
	assert_int_equal(fclose(file), 0);

	run(&download, &default_options, bases, "a+b~1:2");
	assert_true(download.ok);
	assert_string_equal(download.text, SERVER_BODY);
	run(&download, &default_options, bases, "absent");
	assert_true(download.ok && download.result.missing);
	run(&download, &default_options, absent, "absent");
	assert_failed(&download, DEPOT_ERROR_UNREACHABLE, "/nonexistent/depot");

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	run(&download, &default_options, bases, "a+b~1:2");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "not a regular file");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	run(&download, &default_options, bases, "a+b~1:2");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "not a regular file");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_request_as_sent),
		cmocka_unit_test(test_connection_is_kept),
		cmocka_unit_test(test_unmeasured),
		cmocka_unit_test(test_no_decoding),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_retry_until_it_works),
		cmocka_unit_test(test_mirrors),
		cmocka_unit_test(test_unreachable_base_is_tried_last),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_no_proxy_from_environment),
		cmocka_unit_test(test_file_scheme),
	};
	int			failures;

	server_start(&server);
	failures = cmocka_run_group_tests(tests, NULL, NULL);
	server_stop(&server);
	return failures;
}
