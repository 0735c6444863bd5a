/*-------------------------------------------------------------------------
 *
 * test_fetch_url.c
 *	  Which URLs may be a repository's, and how a file's URL is made.
 *
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/fetch.h"

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

/* Encoded paths name anything; what a file system would read as a way to elsewhere is none for file:. */
static void
test_encoded_urls(void **state)
{
	static const struct
	{
		const char *base;
		const char *path;
		const char *url;
	}			good[] = {
		{"https://h/t%5Ba%2Fb%5D/metadata/", "1...%2Frole.json", "https://h/t%5Ba%2Fb%5D/metadata/1...%2Frole.json"},
		{"http://127.0.0.1:1", "%3F.json", "http://127.0.0.1:1/%3F.json"},
		{"https://h", "a/b/%c3%bc~", "https://h/a/b/%c3%bc~"},
		{"file:///srv", "1.%3F.json", "file:///srv/1.%3F.json"},
		{"file:///srv", "%2e%2e./..%2e.json", "file:///srv/%2e%2e./..%2e.json"},
	};
	static const struct
	{
		const char *base;
		const char *path;
	}			bad[] = {
		{"https://h", ""}, {"https://h", "/a"}, {"https://h", "a//b"}, {"https://h", "a/"}, {"https://h", ".."},
		{"https://h", "a/../b"}, {"https://h", "./a"}, {"https://h", "a b"}, {"https://h", "a?b"}, {"https://h", "a#b"},
		{"https://h", "%"}, {"https://h", "%2"}, {"https://h", "%zz"}, {"https://h", "%00"}, {"https://h", "a\\b"},
		{"https://h", "a\nb"}, {"https://h", "\xc3\xbc"}, {"file:///srv", "..%2Fetc"}, {"file:///srv", "..%2fetc"},
		{"file:///srv", "%2e%2e/etc"}, {"file:///srv", "a/.%2E/etc"}, {"https://h", "a/%2e"}, {"https://h", "%2E%2E"},
	};
	char		long_path[DEPOT_FETCH_MAX_ENCODED_BYTES + 2];
	DepotBuffer url;
	DepotError	error;

	depot_buffer_init(&url);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		depot_buffer_reset(&url);
		assert_true(depot_fetch_check_encoded_url(good[i].base, false, &error));
		assert_true(depot_fetch_build_encoded_url(good[i].base, good[i].path, &url, &error));
		assert_string_equal(url.data, good[i].url);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		if (depot_fetch_build_encoded_url(bad[i].base, bad[i].path, &url, &error))
			fail_msg("%s was taken", bad[i].path);
		assert_int_equal(error.code, DEPOT_ERROR_INVALID_NAME);
	}
	memset(long_path, 'a', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_false(depot_fetch_build_encoded_url("https://h", long_path, &url, &error));
	long_path[sizeof(long_path) - 2] = '\0';
	assert_true(depot_fetch_build_encoded_url("https://h", long_path, &url, &error));
	depot_buffer_free(&url);

	assert_false(depot_fetch_check_encoded_url("file:///srv%2Fx", false, &error));
	assert_false(depot_fetch_check_encoded_url("https://h/%5C", false, &error));
	assert_false(depot_fetch_check_encoded_url("https://user@h/%2F", false, &error));
	assert_false(depot_fetch_check_encoded_url("http://depot.example.org/%2F", false, &error));
	assert_false(depot_fetch_check_url("https://h/%2F", false, &error));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_urls),
		cmocka_unit_test(test_bad_urls),
		cmocka_unit_test(test_build_url),
		cmocka_unit_test(test_encoded_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
