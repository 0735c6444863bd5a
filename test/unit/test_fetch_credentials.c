/*-------------------------------------------------------------------------
 *
 * test_fetch_credentials.c
 *	  The file of credentials: what it may hold, whom it is for, what is sent.
 *
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fetch_download.h"

#include "common/fetch_credentials.h"
#include "common/json.h"
#include "scratch.h"

#define ONE(members) "{\"credentials\":[{\"prefix\":\"https://h/p\"," members "}]}"

static Scratch scratch;
static char file_path[128];

static int
start(void **state)
{
	(void) state;
	scratch = scratch_make();
	snprintf(file_path, sizeof(file_path), "%s/credentials.json", scratch.path);
	server_start(&server);
	return scratch.fd < 0;
}

static int
stop(void **state)
{
	(void) state;
	server_stop(&server);
	scratch_remove(&scratch);
	return 0;
}

static void
write_credentials(const char *text, mode_t mode)
{
	DepotError	error;

	assert_true(depot_files_write_durable(scratch.fd, "credentials.json", text, strlen(text), mode, &error));
}

/*----- what it may hold -----------------------------------------------------------*/

static void
test_good_files(void **state)
{
	static const char *const texts[] = {
		"{\"credentials\":[]}",
		ONE("\"bearer\":\"t\""),
		ONE("\"basic\":{\"user\":\"u\",\"password\":\"p: \\\"q\\\"\"}"),
		ONE("\"header\":{\"name\":\"PRIVATE-TOKEN\",\"value\":\"v w\"}"),
		ONE("\"client_certificate\":{\"certificate\":\"/c\",\"key\":\"/k\"}"),
		ONE("\"aws_sigv4\":{\"access_key\":\"A\",\"secret_key\":\"s/+\",\"region\":\"eu-west-1\",\"service\":\"s3\"}"),
		ONE("\"aws_sigv4\":{\"access_key\":\"A\",\"secret_key\":\"s\",\"session_token\":\"t\",\"region\":\"r\","
			"\"service\":\"s3\"}"),
		"{\"credentials\":[{\"prefix\":\"http://127.0.0.1:80/\",\"bearer\":\"t\"},"
		"{\"prefix\":\"http://127.0.0.1:81/\",\"bearer\":\"t\"}]}",
		NULL
	};
	DepotError	error;

	(void) state;
	for (int i = 0; texts[i] != NULL; i++)
	{
		json_t	   *document = depot_credentials_parse(texts[i], strlen(texts[i]), "F", &error);

		if (document == NULL)
			fail_msg("%s: %s", texts[i], error.message);
		json_decref(document);
	}
}

static void
test_bad_files(void **state)
{
	/* the word SECRET must not come back */
	static const struct
	{
		const char *text;
		const char *words;
	}			cases[] = {
		{"", "credentials file \"F\": it: unexpected end at byte 0"},
		{"SECRET", "credentials file \"F\": it: not valid JSON at byte"},
		{"{\"credentials\":[],\"credentials\":[]}", "duplicate member"},
		{"[]", "the one member \"credentials\""},
		{"{\"credentials\":{}}", "the one member \"credentials\""},
		{"{\"credentials\":[],\"SECRET\":1}", "the one member \"credentials\""},
		{"{\"credentials\":[\"SECRET\"]}", "entry 1: it is not an object"},
		{"{\"credentials\":[{\"bearer\":\"SECRET\"}]}", "entry 1: member \"prefix\" is missing"},
		{"{\"credentials\":[{\"prefix\":1,\"bearer\":\"t\"}]}", "entry 1: member \"prefix\" is not a string"},
		{"{\"credentials\":[{\"prefix\":\"https://u:SECRET@h\",\"bearer\":\"t\"}]}",
		"member \"prefix\" is not a URL"},
		{"{\"credentials\":[{\"prefix\":\"https://h?t=SECRET\",\"bearer\":\"t\"}]}", "member \"prefix\" is not a URL"},
		{"{\"credentials\":[{\"prefix\":\"h\",\"bearer\":\"t\"}]}", "member \"prefix\" is not a URL"},
		{"{\"credentials\":[{\"prefix\":\"file:///srv\",\"bearer\":\"t\"}]}", "member \"prefix\" is not a URL"},
		{"{\"credentials\":[{\"prefix\":\"http://h/\",\"bearer\":\"t\"}]}", "http URL of another host"},
		{"{\"credentials\":[{\"prefix\":\"http://127.0.0.1.h/\",\"bearer\":\"t\"}]}", "http URL of another host"},
		{"{\"credentials\":[{\"prefix\":\"https://h/p\"}]}", "entry 1: it has none of"},
		{"{\"credentials\":[{\"prefix\":\"https://h/p\",\"bearer\":\"a\"},"
			"{\"prefix\":\"https://H:443/p/\",\"bearer\":\"b\"}]}",
		"entry 2: member \"prefix\" is that of an earlier entry"},
		{ONE("\"token\":\"SECRET\""), "entry 1: it has a member that is not known"},
		{ONE("\"bearer\":\"SECRET\",\"x\":1"), "entry 1: it has a member that is not known"},
		{ONE("\"bearer\":\"SECRET\",\"basic\":{}"), "entry 1: it has more than one kind"},
		{ONE("\"bearer\":1"), "member \"bearer\" is not a string"},
		{ONE("\"bearer\":\"\""), "member \"bearer\" is empty"},
		{ONE("\"bearer\":\"SEC RET\""), "member \"bearer\" may not hold blanks"},
		{ONE("\"bearer\":\"SECRET\\r\\nX: y\""), "member \"bearer\" may hold printable ASCII characters only"},
		{ONE("\"basic\":\"SECRET\""), "member \"basic\" is not an object"},
		{ONE("\"basic\":{\"user\":\"u\"}"), "member \"basic.password\" is missing"},
		{ONE("\"basic\":{\"user\":\"u:SECRET\",\"password\":\"p\"}"), "member \"basic.user\" may not hold a colon"},
		{ONE("\"basic\":{\"user\":\"u\",\"password\":\"SECRET\",\"x\":1}"),
		"member \"basic\" has a member that is not known"},
		{ONE("\"header\":{\"name\":\"a b\",\"value\":\"SECRET\"}"), "\"header.name\" is not the name of a header"},
		{ONE("\"header\":{\"name\":\"host\",\"value\":\"SECRET\"}"), "\"header.name\" is not the name of a header"},
		{ONE("\"header\":{\"name\":\"X\",\"value\":\"SECRET\\n\"}"), "\"header.value\" may hold printable"},
		{ONE("\"client_certificate\":{\"certificate\":\"c\",\"key\":\"/k\"}"), "certificate\" is not an absolute path"},
		{"{\"credentials\":[{\"prefix\":\"http://[::1]/\","
			"\"client_certificate\":{\"certificate\":\"/c\",\"key\":\"/k\"}}]}",
		"needs a prefix that begins with https://"},
		{ONE("\"aws_sigv4\":{\"access_key\":\"A\",\"secret_key\":\"SECRET\",\"region\":\"r:s\",\"service\":\"s3\"}"),
		"\"aws_sigv4.region\" may hold lower-case letters"},
		{ONE("\"aws_sigv4\":{\"access_key\":\"A\",\"secret_key\":\"SECRET\",\"service\":\"s3\"}"),
		"\"aws_sigv4.region\" is missing"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		DepotError	error = {0};

		if (depot_credentials_parse(cases[i].text, strlen(cases[i].text), "F", &error) != NULL)
			fail_msg("%s was taken", cases[i].text);
		assert_int_equal(error.code, DEPOT_ERROR_CONFIGURATION);
		if (strstr(error.message, cases[i].words) == NULL)
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, error.message, cases[i].words);
		assert_null(strstr(error.message, "SECRET"));
		assert_null(strstr(error.detail, "SECRET"));
	}
}

/* Text of count entries, or of one value with as many bytes. */
static void
assert_bound(int count, bool is_value, bool is_good)
{
	DepotBuffer text;
	DepotError	error = {0};
	json_t	   *document;

	depot_buffer_init(&text);
	depot_buffer_append_string(&text, "{\"credentials\":[");
	if (is_value)
		depot_buffer_append_format(&text, "{\"prefix\":\"https://h\",\"bearer\":\"%0*d\"}", count, 0);
	else
		for (int i = 0; i < count; i++)
			depot_buffer_append_format(&text, "%s{\"prefix\":\"https://h/%d\",\"bearer\":\"t\"}", i > 0 ? "," : "", i);
	depot_buffer_append_string(&text, "]}");
	document = depot_credentials_parse(text.data, text.length_bytes, "F", &error);
	assert_int_equal(document != NULL, is_good);
	assert_int_equal(error.code, is_good ? DEPOT_OK : DEPOT_ERROR_CONFIGURATION);
	json_decref(document);
	depot_buffer_free(&text);
}

static void
test_bounds(void **state)
{
	(void) state;
	assert_bound(DEPOT_CREDENTIALS_MAX_ENTRIES, false, true);
	assert_bound(DEPOT_CREDENTIALS_MAX_ENTRIES + 1, false, false);
	assert_bound(16384, true, true);
	assert_bound(16385, true, false);
	assert_bound(DEPOT_CREDENTIALS_MAX_BYTES, true, false);
}

/*----- whom it is for -------------------------------------------------------------*/

static void
test_prefixes(void **state)
{
	static const struct
	{
		const char *prefix;
		const char *url;
		bool		covers;
	}			cases[] = {
		{"https://h", "https://h/", true},
		{"https://h/", "https://h/metadata/x.json", true},
		{"https://h:443", "https://H/x", true},
		{"http://localhost", "http://localhost:80/x", true},
		{"https://[::1]", "https://[::1]:443/x", true},
		{"https://h/p", "https://h/p", true},
		{"https://h/p", "https://h/p/x", true},
		{"https://h/p/", "https://h/p/x", true},
		{"https://h/p/", "https://h/p", true},
		{"https://h/p//", "https://h/p/x", true},
		{"https://h/p", "https://h/private", false},
		{"https://h/p", "https://h/P/x", false},
		{"https://h/p", "https://h/%70/x", false},
		{"https://h/p/q", "https://h/p", false},
		{"https://h", "https://h.evil.example/", false},
		{"https://h.example", "https://h/", false},
		{"https://h", "https://x.h/", false},
		{"https://h", "https://h:8443/", false},
		{"https://h:8443", "https://h/", false},
		{"https://h:80", "http://h/", false},
		{"https://h", "http://h/", false},
		{"http://localhost:443", "https://localhost/", false},
		{"https://h", "file:///h/", false},
		{"https://[::1]", "https://[::2]/", false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (depot_credentials_cover(cases[i].prefix, cases[i].url) != cases[i].covers)
			fail_msg("%s and %s", cases[i].prefix, cases[i].url);
}

static void
test_longest(void **state)
{
	static const char text[] =
	"{\"credentials\":[{\"prefix\":\"https://h/a\",\"bearer\":\"1\"},{\"prefix\":\"https://h/a/b/\",\"bearer\":\"2\"},"
	"{\"prefix\":\"https://h:443\",\"bearer\":\"3\"}]}";
	DepotError	error;
	DepotCredential found;
	json_t	   *document = depot_credentials_parse(text, strlen(text), "F", &error);

	(void) state;
	assert_true(depot_credentials_find(document, "https://h/a/x", &found));
	assert_string_equal(found.bearer, "1");
	assert_true(depot_credentials_find(document, "https://h/a/b/c", &found));
	assert_string_equal(found.bearer, "2");
	assert_string_equal(found.prefix, "https://h/a/b/");
	assert_true(depot_credentials_find(document, "https://h/ab", &found));
	assert_string_equal(found.bearer, "3");
	assert_false(depot_credentials_find(document, "https://other/a", &found));
	json_decref(document);
}

/*----- the file itself --------------------------------------------------------------*/

static void
assert_file_refused(const char *path, const char *words)
{
	DepotError	error = {0};

	assert_null(depot_credentials_read(path, &error));
	assert_int_equal(error.code, DEPOT_ERROR_CONFIGURATION);
	if (strstr(error.message, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error.message, words);
	assert_non_null(strstr(error.message, path));
	assert_string_not_equal(error.hint, "");
}

static void
test_file(void **state)
{
	static const mode_t loose[] = {0640, 0604, 0602, 0660, 0700, 04600};
	char		words[64];
	char		fifo[160];
	DepotError	error;
	json_t	   *document;

	(void) state;
	for (size_t i = 0; i < sizeof(loose) / sizeof(loose[0]); i++)
	{
		write_credentials("{\"credentials\":[]}", loose[i]);
		snprintf(words, sizeof(words), "has mode %04o, which is more than 0600", (unsigned) loose[i]);
		assert_file_refused(file_path, words);
	}
	write_credentials("{\"credentials\":[]}", 0400);
	document = depot_credentials_read(file_path, &error);
	assert_non_null(document);
	json_decref(document);
	assert_file_refused(scratch.path, "is not a regular file");
	snprintf(fifo, sizeof(fifo), "%s/fifo", scratch.path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_file_refused(fifo, "is not a regular file");
	snprintf(fifo, sizeof(fifo), "%s/absent", scratch.path);
	assert_file_refused(fifo, "could not open the credentials file");
	if (geteuid() == 0)
	{
		write_credentials("{\"credentials\":[]}", 0600);
		assert_int_equal(chown(file_path, 1, 1), 0);
		assert_file_refused(file_path, "does not belong to the server's user");
	}
}

static void
test_large_file(void **state)
{
	char	   *text = calloc(1, DEPOT_CREDENTIALS_MAX_BYTES + 2);
	DepotError	error;

	(void) state;
	memset(text, ' ', DEPOT_CREDENTIALS_MAX_BYTES + 1);
	memcpy(text, "{\"credentials\":[]}", 18);
	write_credentials(text, 0600);
	assert_null(depot_credentials_read(file_path, &error));
	assert_non_null(strstr(error.message, "is larger than 65536 bytes"));
	text[DEPOT_CREDENTIALS_MAX_BYTES] = '\0';
	write_credentials(text, 0600);
	json_decref(depot_credentials_read(file_path, &error));
	free(text);
}

/*----- what is sent -----------------------------------------------------------------*/

/* Downloads path from this machine with credentials for prefix, both below the server's address. */
static void
run_with_credentials(Download *download, DepotFetch *fetch, const char *prefix, const char *kind, const char *path)
{
	static const char *const bases[] = {"http://127.0.0.1:%d/private", NULL};
	char		text[1024];

	snprintf(text, sizeof(text), "{\"credentials\":[{\"prefix\":\"http://127.0.0.1:%d%s\",%s}]}", server.port, prefix,
			 kind);
	write_credentials(text, 0600);
	memset(download, 0, sizeof(*download));
	run_with(fetch, download, bases, path, 1000, 0);
}

static void
test_sent(void **state)
{
	static const struct
	{
		const char *kind;
		const char *line;
	}			cases[] = {
		{"\"bearer\":\"my.token\"", "\r\nAuthorization: Bearer my.token\r\n"},
		{"\"basic\":{\"user\":\"Aladdin\",\"password\":\"open sesame\"}",
		"\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"},
		{"\"header\":{\"name\":\"PRIVATE-TOKEN\",\"value\":\"a, b\"}", "\r\nPRIVATE-TOKEN: a, b\r\n"},
		{"\"aws_sigv4\":{\"access_key\":\"AKID\",\"secret_key\":\"s\",\"region\":\"eu-west-1\",\"service\":\"s3\"}",
		"/eu-west-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="},
		{"\"aws_sigv4\":{\"access_key\":\"AKID\",\"secret_key\":\"s\",\"session_token\":\"st\","
		"\"region\":\"eu-west-1\",\"service\":\"s3\"}", "\r\nX-Amz-Security-Token: st\r\n"},
	};
	DepotFetchOptions options = default_options;
	DepotError	error;
	DepotFetch *fetch;
	Download	download;

	(void) state;
	options.credentials_file = file_path;
	fetch = depot_fetch_open(&options, &error);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		run_with_credentials(&download, fetch, "/private", cases[i].kind, "plain");
		assert_true(download.ok);
		if (strstr(server.log->last_request, cases[i].line) == NULL)
			fail_msg("%s: sent %s", cases[i].kind, server.log->last_request);

		/* the same handle, and the same connection: nothing is left of it */
		run_with_credentials(&download, fetch, "/other", cases[i].kind, "plain");
		assert_true(download.ok);
		assert_null(strcasestr(server.log->last_request, "authorization"));
		assert_null(strcasestr(server.log->last_request, "token"));
		assert_null(strcasestr(server.log->last_request, "x-amz"));
	}
	depot_fetch_close(fetch);
}

/* Whoever may not read is told what was sent, and never the secret. */
static void
test_denied(void **state)
{
	static const char *const two[] = {"http://127.0.0.1:%d", "http://127.0.0.1:%d", NULL};
	static const char *const private[] = {"http://127.0.0.1:%d/private", NULL};
	DepotFetchOptions options = default_options;
	DepotError	error;
	DepotFetch *fetch;
	Download	download;
	char		words[160];

	(void) state;
	options.credentials_file = file_path;
	fetch = depot_fetch_open(&options, &error);
	run_with_credentials(&download, fetch, "/private/", "\"bearer\":\"secret\"", "denied");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "status 401");
	snprintf(words, sizeof(words), "The credentials of the entry for \"http://127.0.0.1:%d/private/\"", server.port);
	assert_non_null(strstr(download.error.detail, words));
	run_with_credentials(&download, fetch, "/elsewhere", "\"bearer\":\"secret\"", "denied");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "status 401");
	assert_non_null(strstr(download.error.detail, "has no entry for this address"));
	write_credentials("{\"credentials\":\"secret\"}", 0600);
	run(&download, &options, two, "plain");
	assert_failed(&download, DEPOT_ERROR_CONFIGURATION, "credentials file \"");
	run(&download, &default_options, private, "denied");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "status 401");
	assert_non_null(strstr(download.error.detail, "depot.credentials_file is not set"));
	depot_fetch_close(fetch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_files),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_large_file),
		cmocka_unit_test(test_sent),
		cmocka_unit_test(test_denied),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
