/*-------------------------------------------------------------------------
 *
 * test_fetch_nginx.c
 *	  The downloader against a real web server, with and without TLS.
 *
 * Starts a private nginx on two free ports of the loopback interface; is
 * skipped where nginx or the openssl program is missing.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/digest.h"
#include "common/fetch.h"
#include "scratch.h"

#define LARGE_BYTES (5 * 1024 * 1024)
/* Where a relay breaks its first connection. */
#define CUT_BYTES (2 * 1024 * 1024)
#define ODD_NAME "a+b~1:2.tar.zst"

typedef struct Nginx
{
	Scratch		scratch;
	pid_t		pid;
	int			port;
	int			tls_port;
	char		ca_file[128];
	char		large_sha256[DEPOT_SHA256_HEX_BYTES];
}			Nginx;

typedef struct Download
{
	bool		ok;
	DepotFetchResult result;
	DepotError	error;
	char		sha256[DEPOT_SHA256_HEX_BYTES];
	char		text[64];
}			Download;

static Nginx nginx;

/*----- the server ---------------------------------------------------------------*/

static int
free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	length = sizeof(address);
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &length), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static bool
is_listening(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t) port)
	};
	int			fd = socket(AF_INET, SOCK_STREAM, 0);
	bool		listening = connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0;

	close(fd);
	return listening;
}

static void
write_configuration(void)
{
	const char *p = nginx.scratch.path;
	char		path[128];
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/nginx.conf", p);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file,
			"daemon off;\nmaster_process off;\npid %s/pid;\nerror_log %s/error.log;\nevents {}\nhttp {\n"
			"client_body_temp_path %s/t1;\nproxy_temp_path %s/t2;\nfastcgi_temp_path %s/t3;\n"
			"uwsgi_temp_path %s/t4;\nscgi_temp_path %s/t5;\n"
			"log_format short '$connection $request_uri $status $http_range';\naccess_log %s/access.log short;\n"
			"gzip on;\ngzip_types *;\ngzip_min_length 1;\n"
			"server {\nlisten 127.0.0.1:%d;\nlisten 127.0.0.1:%d ssl;\n"
			"ssl_certificate %s/cert.pem;\nssl_certificate_key %s/key.pem;\nroot %s/www;\n"
			"location /moved { return 302 /large; }\n}\n}\n",
			p, p, p, p, p, p, p, p, nginx.port, nginx.tls_port, p, p, p);
	assert_int_equal(fclose(file), 0);
}

static void
write_files(void)
{
	char		path[128];
	char		block[4096];
	DepotError	error;
	FILE	   *file;

	assert_int_equal(mkdirat(nginx.scratch.fd, "www", 0755), 0);
	assert_true(scratch_write(nginx.scratch.fd, "www/kept-too", "kept"));
	assert_true(scratch_write(nginx.scratch.fd, "www/" ODD_NAME, "odd"));
	snprintf(path, sizeof(path), "%s/www/large", nginx.scratch.path);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < LARGE_BYTES / (int) sizeof(block); i++)
	{
		memset(block, 'a' + i % 26, sizeof(block));
		assert_int_equal(fwrite(block, 1, sizeof(block), file), sizeof(block));
	}
	assert_int_equal(fclose(file), 0);
	assert_true(depot_digest_file(nginx.scratch.fd, "www/large", nginx.large_sha256, NULL, &error));
}

static int
start_nginx(void **state)
{
	char		command[512];
	char		configuration[128];
	char		error_log[128];
	DepotError	error;

	(void) state;
	assert_true(depot_digest_init(&error));
	nginx.scratch = scratch_make();
	snprintf(command, sizeof(command),
			 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
			 "-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout %s/key.pem "
			 "-out %s/cert.pem >/dev/null 2>&1",
			 nginx.scratch.path, nginx.scratch.path);
	/* a test that needs a shell to find two programs; nothing in the command comes from outside */
	if (system("PATH=$PATH:/usr/sbin:/sbin; command -v nginx >/dev/null") != 0 || system(command) != 0)
		return 0;
	nginx.port = free_port();
	nginx.tls_port = free_port();
	snprintf(nginx.ca_file, sizeof(nginx.ca_file), "%s/cert.pem", nginx.scratch.path);
	write_files();
	write_configuration();
	snprintf(configuration, sizeof(configuration), "%s/nginx.conf", nginx.scratch.path);
	snprintf(error_log, sizeof(error_log), "%s/error.log", nginx.scratch.path);
	nginx.pid = fork();
	if (nginx.pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", 1);
		execlp("nginx", "nginx", "-e", error_log, "-c", configuration, NULL);
		_exit(127);
	}
	for (int i = 0; i < 500 && !(is_listening(nginx.port) && is_listening(nginx.tls_port)); i++)
		usleep(10000);
	return 0;
}

static int
stop_nginx(void **state)
{
	(void) state;
	if (nginx.pid > 0)
	{
		kill(nginx.pid, SIGKILL);
		waitpid(nginx.pid, NULL, 0);
	}
	scratch_remove(&nginx.scratch);
	return 0;
}

/*----- a relay that breaks connections ---------------------------------------------*/

/* Passes on what is there to read; false at the end, or once as much as left_bytes has passed. */
static bool
relay_some(int from, int to, size_t *left_bytes)
{
	char		block[65536];
	ssize_t		n = read(from, block, *left_bytes < sizeof(block) ? *left_bytes : sizeof(block));

	for (ssize_t written = 0; written < n;)
	{
		ssize_t		m = write(to, block + written, (size_t) (n - written));

		if (m <= 0)
			return false;
		written += m;
	}
	if (n > 0)
		*left_bytes -= (size_t) n;
	return n > 0 && *left_bytes > 0;
}

/* Joins a client to nginx until either ends, or until answer_bytes have come back. */
static void
relay_connection(int client, size_t answer_bytes)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t) nginx.port)
	};
	struct pollfd ends[2] = {{.fd = client, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
	size_t		request_bytes = SIZE_MAX;
	bool		open;

	ends[1].fd = socket(AF_INET, SOCK_STREAM, 0);
	open = connect(ends[1].fd, (struct sockaddr *) &address, sizeof(address)) == 0;
	while (open && poll(ends, 2, -1) > 0)
	{
		if (ends[0].revents != 0)
			open = relay_some(client, ends[1].fd, &request_bytes);
		if (open && ends[1].revents != 0)
			open = relay_some(ends[1].fd, client, &answer_bytes);
	}
	close(ends[1].fd);
	close(client);
}

/* Starts a process that relays to nginx, one connection after the other, and breaks the first. */
static pid_t
start_relay(int *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	length = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM, 0);
	pid_t		pid;

	assert_int_equal(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &length), 0);
	*port = ntohs(address.sin_port);
	pid = fork();
	if (pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		for (size_t answer_bytes = CUT_BYTES;; answer_bytes = SIZE_MAX)
			relay_connection(accept(listener, NULL, NULL), answer_bytes);
	}
	close(listener);
	return pid;
}

/*----- downloads ------------------------------------------------------------------*/

static void
fetch_request(DepotFetch *fetch, Download *download, DepotFetchRequest request)
{
	char		block[65536];
	DepotBuffer content;
	ssize_t		n;

	memset(download, 0, sizeof(*download));
	request.fd = memfd_create("download", MFD_CLOEXEC);
	download->ok = depot_fetch_file(fetch, &request, &download->result, NULL, NULL, &download->error);
	n = pread(request.fd, download->text, sizeof(download->text) - 1, 0);
	download->text[n > 0 ? n : 0] = '\0';
	depot_buffer_init(&content);
	assert_int_equal(lseek(request.fd, 0, SEEK_SET), 0);
	while ((n = read(request.fd, block, sizeof(block))) > 0)
		assert_true(depot_buffer_append(&content, block, (size_t) n));
	depot_digest_sha256_hex(content.length_bytes > 0 ? content.data : "", content.length_bytes,
							download->sha256);
	depot_buffer_free(&content);
	close(request.fd);
}

static void
fetch_with(DepotFetch *fetch, Download *download, const char *host, bool tls, const char *path)
{
	char		base[64];
	const char *bases[] = {base};

	snprintf(base, sizeof(base), "%s://%s:%d/", tls ? "https" : "http", host, tls ? nginx.tls_port :
			 nginx.port);
	fetch_request(fetch, download, (DepotFetchRequest) {
		.bases = bases, .base_count = 1, .path = path, .max_bytes = LARGE_BYTES
	});
}

static void
fetch_one(Download *download, const char *ca_file, const char *host, bool tls, const char *path)
{
	DepotFetchOptions options = {.connect_timeout_ms = 5000, .stall_timeout_ms = 5000, .ca_file = ca_file};
	DepotError	error;
	DepotFetch *fetch;

	if (nginx.pid == 0)
		skip();
	fetch = depot_fetch_open(&options, &error);
	assert_non_null(fetch);
	fetch_with(fetch, download, host, tls, path);
	depot_fetch_close(fetch);
}

static void
assert_failed(const Download *download, DepotErrorCode code, const char *words)
{
	assert_false(download->ok);
	assert_int_equal(download->error.code, code);
	if (strstr(download->error.message, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", download->error.message, words);
}

static void
test_http(void **state)
{
	Download	download;

	(void) state;
	fetch_one(&download, NULL, "127.0.0.1", false, "large");
	assert_true(download.ok);
	assert_int_equal(download.result.bytes, LARGE_BYTES);
	assert_string_equal(download.sha256, nginx.large_sha256);
	fetch_one(&download, NULL, "localhost", false, ODD_NAME);
	assert_true(download.ok);
	assert_string_equal(download.text, "odd");
	fetch_one(&download, NULL, "127.0.0.1", false, "absent/file");
	assert_true(download.ok && download.result.missing);
	fetch_one(&download, NULL, "127.0.0.1", false, "moved");
	assert_failed(&download, DEPOT_ERROR_TRANSFER, "redirect");
}

static void
test_https(void **state)
{
	Download	download;

	(void) state;
	fetch_one(&download, nginx.ca_file, "localhost", true, "large");
	if (!download.ok)
		fail_msg("%s", download.error.message);
	assert_string_equal(download.sha256, nginx.large_sha256);
	fetch_one(&download, nginx.ca_file, "localhost", true, ODD_NAME);
	assert_true(download.ok);
	assert_string_equal(download.text, "odd");
}

static void
test_https_refused(void **state)
{
	Download	download;

	(void) state;
	/* an authority that this machine does not know */
	fetch_one(&download, NULL, "localhost", true, "large");
	assert_failed(&download, DEPOT_ERROR_UNREACHABLE, "certificate is not trusted");
	assert_non_null(strstr(download.error.hint, "depot.ca_file"));
	/* the right authority, another host */
	fetch_one(&download, nginx.ca_file, "127.0.0.1", true, "large");
	assert_failed(&download, DEPOT_ERROR_UNREACHABLE, "certificate is not trusted");
	fetch_one(&download, "/nonexistent/ca.pem", "localhost", true, "large");
	assert_failed(&download, DEPOT_ERROR_UNREACHABLE, "certificate authorities");
}

/* Reads the server's log once it has count lines with mark: it writes a line after it has answered. */
static void
read_log_of(DepotBuffer *log, const char *mark, int count)
{
	DepotError	error;

	depot_buffer_init(log);
	for (int tries = 0; tries < 500; tries++)
	{
		int			found = 0;

		depot_buffer_reset(log);
		assert_true(depot_files_read(nginx.scratch.fd, "access.log", 1 << 20, log, &error));
		for (const char *p = log->data; p != NULL && (p = strstr(p, mark)) != NULL; p++)
			found++;
		if (found >= count)
			return;
		(void) usleep(10000);
	}
}

/* Every request of one handle came over one connection, by the server's own log. */
static void
test_connection_is_kept(void **state)
{
	DepotFetchOptions options = {.connect_timeout_ms = 5000, .stall_timeout_ms = 5000,
								 .ca_file = nginx.ca_file};
	DepotError	error;
	DepotFetch *fetch;
	Download	download;
	DepotBuffer log;
	int			first = -1;
	int			lines = 0;

	(void) state;
	if (nginx.pid == 0)
		skip();
	fetch = depot_fetch_open(&options, &error);
	for (int i = 0; i < 4; i++)
	{
		fetch_with(fetch, &download, "localhost", true, i % 2 == 0 ? "kept-absent" : "kept-too");
		assert_true(download.ok);
	}
	depot_fetch_close(fetch);
	read_log_of(&log, "kept-", 4);
	for (char *line = strtok(log.data, "\n"); line != NULL; line = strtok(NULL, "\n"))
	{
		int			connection = atoi(line);

		if (strstr(line, "kept-") == NULL)
			continue;
		lines++;
		if (first < 0)
			first = connection;
		assert_int_equal(connection, first);
	}
	assert_int_equal(lines, 4);
	depot_buffer_free(&log);
}

/* A connection that breaks in the middle: the rest comes over the next one, by the server's own log. */
static void
test_goes_on(void **state)
{
	DepotFetchOptions options = {.connect_timeout_ms = 5000, .stall_timeout_ms = 5000, .retries = 1};
	char		base[64];
	const char *bases[] = {base};
	DepotError	error;
	DepotFetch *fetch;
	Download	download;
	DepotBuffer log;
	const char *line;
	int			port;
	pid_t		relay;

	(void) state;
	if (nginx.pid == 0)
		skip();
	relay = start_relay(&port);
	snprintf(base, sizeof(base), "http://127.0.0.1:%d", port);
	fetch = depot_fetch_open(&options, &error);
	assert_non_null(fetch);
	fetch_request(fetch, &download, (DepotFetchRequest) {
		.bases = bases, .base_count = 1, .path = "large", .max_bytes = LARGE_BYTES,
			.expected_bytes = LARGE_BYTES, .sha256 = nginx.large_sha256
	});
	depot_fetch_close(fetch);
	kill(relay, SIGKILL);
	waitpid(relay, NULL, 0);
	if (!download.ok)
		fail_msg("%s", download.error.message);
	assert_int_equal(download.result.bytes, LARGE_BYTES);
	assert_string_equal(download.sha256, nginx.large_sha256);

	read_log_of(&log, " /large 206 bytes=", 1);
	line = strstr(log.data, " /large 206 bytes=");
	assert_non_null(line);
	/* the answer's head was part of what the relay let through */
	assert_in_range(atoi(line + strlen(" /large 206 bytes=")), CUT_BYTES - 1024, CUT_BYTES - 1);
	depot_buffer_free(&log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_https),
		cmocka_unit_test(test_https_refused),
		cmocka_unit_test(test_connection_is_kept),
		cmocka_unit_test(test_goes_on),
	};

	return cmocka_run_group_tests(tests, start_nginx, stop_nginx);
}
