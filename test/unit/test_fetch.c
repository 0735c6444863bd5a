/*-------------------------------------------------------------------------
 *
 * test_fetch.c
 *	  The downloader against a server that misbehaves, and URL checks.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fetch.h"
#include "fetch_server.h"

static Server server;

/* What one download came to. */
typedef struct Download
{
	bool		ok;
	DepotFetchResult result;
	DepotError	error;
	char		text[256];		/* the file, when it is short */
	off_t		file_bytes;
	int64_t		took_ms;
	int			progress_calls;
	int			cancel_after;	/* calls; 0: never */
}			Download;

static const DepotFetchOptions default_options = {.connect_timeout_ms = 2000, .stall_timeout_ms = 400,
												  .retries = 0};

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool
count_progress(uint64_t bytes_done, uint64_t bytes_total, void *context)
{
	Download   *download = context;

	(void) bytes_done;
	(void) bytes_total;
	download->progress_calls++;
	return download->cancel_after == 0 || download->progress_calls < download->cancel_after;
}

/* Downloads path with an open handle; bases is NULL-terminated, "%d" in it stands for the server's port. */
static void
run_with(DepotFetch *fetch, Download *download, const char *const *bases, const char *path,
		 uint64_t max_bytes,
		 uint64_t expected_bytes)
{
	char		urls[4][256];
	const char *list[4];
	DepotFetchRequest request = {.bases = list, .path = path, .max_bytes = max_bytes,
								 .expected_bytes = expected_bytes};
	int64_t		start = clock_ms();
	struct stat status;
	ssize_t		n;

	for (; bases[request.base_count] != NULL; request.base_count++)
	{
		const char *mark = strstr(bases[request.base_count], "%d");
		int			before = mark != NULL ? (int) (mark - bases[request.base_count]) : 255;

		snprintf(urls[request.base_count], sizeof(urls[0]), mark != NULL ? "%.*s%d%s" : "%.*s", before,
				 bases[request.base_count], server.port, mark != NULL ? mark + 2 : "");
		list[request.base_count] = urls[request.base_count];
	}
	request.fd = memfd_create("download", MFD_CLOEXEC);
	assert_true(request.fd >= 0);
	/* a try must not keep what an earlier one left */
	assert_int_equal(pwrite(request.fd, "rest of an earlier try", 22, 0), 22);
	download->ok = depot_fetch_file(fetch, &request, &download->result, count_progress, download,
									&download->error);
	download->took_ms = clock_ms() - start;
	assert_int_equal(fstat(request.fd, &status), 0);
	download->file_bytes = status.st_size;
	n = pread(request.fd, download->text, sizeof(download->text) - 1, 0);
	download->text[n > 0 ? n : 0] = '\0';
	close(request.fd);
}

static void
run(Download *download, const DepotFetchOptions *options, const char *const *bases, const char *path)
{
	DepotError	error;
	DepotFetch *fetch = depot_fetch_open(options, &error);

	assert_non_null(fetch);
	memset(download, 0, offsetof(Download, cancel_after));
	run_with(fetch, download, bases, path, 1000, 0);
	depot_fetch_close(fetch);
}

static void
run_path(Download *download, const char *path)
{
	static const char *const bases[] = {"http://127.0.0.1:%d", NULL};

	download->cancel_after = 0;
	run(download, &default_options, bases, path);
}

static void
assert_failed(const Download *download, DepotErrorCode code, const char *words)
{
	assert_false(download->ok);
	assert_int_equal(download->error.code, code);
	if (strstr(download->error.message, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", download->error.message, words);
	/* nothing of what the server sent */
	assert_null(strstr(download->error.message, "secret"));
	assert_null(strstr(download->error.detail, "secret"));
	assert_null(strstr(download->error.hint, "secret"));
}

/*----- what should work -----------------------------------------------------*/

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
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	run_path(&download, "a+b/1:2~3/x-1.0_c.tar.zst");
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
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
	static const char *const none[] = {"http://127.0.0.1:%d/missing", "http://127.0.0.1:%d/gone", NULL};
	Download	download = {0};

	(void) state;
	run(&download, &default_options, bases, "file");
	assert_true(download.ok);
	assert_int_equal(download.result.base_index, 3);
	assert_string_equal(download.text, SERVER_BODY);

	run(&download, &default_options, unsure, "file");
	assert_failed(&download, DEPOT_ERROR_UNREACHABLE, "127.0.0.1");
	assert_non_null(strstr(download.error.detail, "2 addresses"));

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

/*----- what a server may do wrong ----------------------------------------------*/

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
	DepotFetchRequest request = {.bases = bases, .base_count = 2, .path = "plain", .max_bytes = 1000};
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

/*----- URLs and paths --------------------------------------------------------------*/

static void
test_good_urls(void **state)
{
	static const char *const urls[] = {
		"https://depot.example.org", "https://depot.example.org/", "https://depot.example.org:8443/a/b/",
		"https://[2001:db8::1]:443/x", "https://10.0.0.1/x", "http://localhost:80/x", "http://127.0.0.1:8080",
		"http://[::1]/x", "file:///srv/depot", "file:///srv/depot%20one/", "https://h/a..b/...",
		"https://h/%7Euser",
		NULL
	};
	DepotError	error;

	(void) state;
	for (int i = 0; urls[i] != NULL; i++)
		if (!depot_fetch_check_url(urls[i], false, &error))
			fail_msg("%s: %s", urls[i], error.message);
	assert_true(depot_fetch_check_url("http://depot.example.org/", true, &error));
}

static void
test_bad_urls(void **state)
{
	static const char *const urls[] = {
		"", "depot.example.org", "ftp://h/", "gopher://h/", "HTTPS://h/", "https:/h", "https://",
		"https:///x", "https://user@h/", "https://user:word@h/", "https://h:/x", "https://h:0/",
		"https://h:65536/", "https://h:8a/", "https://h:443443/", "https://h?x", "https://h/x?y",
		"https://h/x#y", "https://h#y", "https://h/../x", "https://h/x/..", "https://h/./x",
		"https://h/%2e%2e/x", "https://h/.%2E/x", "https://h/%2f", "https://h/%00", "https://h/%5c",
		"https://h/%", "https://h/%2", "https://h/%zz", "https://h/a b", "https://h/a\nb", "https://h/a\\b",
		"https://h\\x/", "https://h/\"", "https://h/\xc3\xa4", "https://[::1/", "https://[]/", "https://[x]/",
		"https://[::1]x/", "https://-h/", "https://.h/", "file:/srv", "file://srv/x", "file:///",
		"file:////x", "file:///srv/../etc", "file:///srv?x", "file:", NULL
	};
	static const char *const remote_http[] = {
		"http://depot.example.org/", "http://127.0.0.1.example.org/", "http://localhost.example.org/",
		"http://127.1/", "http://127.0.0.1234/", "http://127..0.1/", "http://[::2]/", "http://10.0.0.1/", NULL
	};
	char		long_url[1100];
	DepotError	error;

	(void) state;
	for (int i = 0; urls[i] != NULL; i++)
	{
		if (depot_fetch_check_url(urls[i], true, &error))
			fail_msg("%s was taken", urls[i]);
		assert_int_equal(error.code, DEPOT_ERROR_INVALID_ARGUMENT);
	}
	for (int i = 0; remote_http[i] != NULL; i++)
	{
		if (depot_fetch_check_url(remote_http[i], false, &error))
			fail_msg("%s was taken", remote_http[i]);
		assert_int_equal(error.code, DEPOT_ERROR_NOT_ALLOWED);
	}
	memset(long_url, 'a', sizeof(long_url));
	memcpy(long_url, "https://h/", 10);
	long_url[1024] = '\0';
	assert_true(depot_fetch_check_url(long_url, false, &error));
	long_url[1024] = 'a';
	long_url[1025] = '\0';
	assert_false(depot_fetch_check_url(long_url, false, &error));
}

static void
test_build_url(void **state)
{
	static const char *const bad[] = {"", "/x", "x/", "x//y", ".", "..", "x/../y", "x/.", "x y", "x?y", "x#y",
									  "x%2fy",
	"x\\y", "x\ny", "\xc3\xa4", NULL};
	DepotBuffer url;
	DepotError	error;

	(void) state;
	depot_buffer_init(&url);
	assert_true(depot_fetch_build_url("https://h/base//", "a/b+c~1:2", &url, &error));
	assert_string_equal(url.data, "https://h/base/a/b%2Bc~1%3A2");
	for (int i = 0; bad[i] != NULL; i++)
	{
		depot_buffer_reset(&url);
		if (depot_fetch_build_url("https://h", bad[i], &url, &error))
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(error.code, DEPOT_ERROR_INVALID_NAME);
	}
	depot_buffer_free(&url);
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
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_request_as_sent),
		cmocka_unit_test(test_connection_is_kept),
		cmocka_unit_test(test_unmeasured),
		cmocka_unit_test(test_no_decoding),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_retry_until_it_works),
		cmocka_unit_test(test_mirrors),
		cmocka_unit_test(test_unreachable_base_is_tried_last),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_stalled),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_file_scheme),
		cmocka_unit_test(test_good_urls),
		cmocka_unit_test(test_bad_urls),
		cmocka_unit_test(test_build_url),
		cmocka_unit_test(test_bad_options),
	};
	int			failures;

	server_start(&server);
	failures = cmocka_run_group_tests(tests, NULL, NULL);
	server_stop(&server);
	return failures;
}
