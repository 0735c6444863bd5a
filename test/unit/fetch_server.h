/*-------------------------------------------------------------------------
 *
 * fetch_server.h
 *	  A small HTTP server that misbehaves, for the tests of the downloader.
 *
 * What nginx cannot be made to do: endless, torn, dripping and silent
 * answers.  The first part of the path chooses the behaviour.  Each connection is served
 * by a process of its own; counters are in shared memory.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FETCH_SERVER_H
#define DEPOT_FETCH_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVER_BODY "hello, depot\n"

typedef struct ServerLog
{
	int			connections;
	int			requests;
	int			busy;			/* requests for /busy */
	int			wholes;			/* requests under /range/ without a range */
	int			ranges;			/* and with one */
	char		last_request[4096];
} ServerLog;

typedef struct Server
{
	pid_t		pid;
	int			port;
	ServerLog  *log;
} Server;

static void
server_send(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		_exit(0);
}

static void
server_nap(int ms)
{
	struct timespec nap = {.tv_sec = ms / 1000, .tv_nsec = (long) (ms % 1000) * 1000000};

	nanosleep(&nap, NULL);
}

static void
server_answer(int fd, const char *status, const char *body)
{
	char		head[256];

	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", status, strlen(body));
	server_send(fd, head);
	server_send(fd, body);
}

/* Sends piece for ever, or until the client has had enough. */
static void
server_repeat(int fd, const char *head, const char *piece, int pause_ms)
{
	server_send(fd, head);
	for (;;)
	{
		server_send(fd, piece);
		if (pause_ms > 0)
			server_nap(pause_ms);
	}
}

/*----- files that can be gone on with ----------------------------------------*/

#define RANGE_BYTES 1000
#define RANGE_CUT_BYTES 400

/* One byte of the file; another file is served under names with "false". */
static inline char
range_byte(int i, bool is_false)
{
	return (char) ((is_false ? 'A' : 'a') + (i + i / 26) % 26);
}

static void
range_send(int fd, int first, int count, bool is_false)
{
	char		bytes[RANGE_BYTES];

	for (int i = 0; i < count; i++)
		bytes[i] = range_byte(first + i, is_false);
	if (write(fd, bytes, (size_t) count) < 0)
		_exit(0);
}

static inline bool
range_is(const char *name, const char *word)
{
	return strstr(name, word) != NULL;
}

/* Sends the header lines that tell one version of the file from another. */
static void
range_send_version(int fd, const char *name, const char *tag)
{
	if (!range_is(name, "untagged"))
	{
		server_send(fd, range_is(name, "weak") ? "ETag: W/" : "etag:");
		server_send(fd, tag);
		server_send(fd, " \r\n");
	}
	if (!range_is(name, "undated"))
		server_send(fd, "Last-Modified: Sat, 03 Oct 2026 09:08:07 GMT\r\n");
}

/* Answers with the whole file, or with as much of it as cut allows. */
static bool
range_whole(int fd, const char *name, int cut)
{
	char		head[64];

	server_send(fd, "HTTP/1.1 200 OK\r\n");
	range_send_version(fd, name, "\"v1\"");
	snprintf(head, sizeof(head), "Content-Length: %d\r\n\r\n", RANGE_BYTES);
	server_send(fd, head);
	range_send(fd, 0, cut, range_is(name, "false"));
	if (range_is(name, "stall") && cut < RANGE_BYTES)
		server_nap(60000);
	return cut == RANGE_BYTES;
}

/* Sends what the name has for a Content-Range. */
static void
range_send_range(int fd, const char *name, int first)
{
	char		line[128];
	int			last = RANGE_BYTES - 1;
	int			total = RANGE_BYTES;

	if (range_is(name, "unnamed"))
		return;
	if (range_is(name, "shifted"))
		first++;
	else if (range_is(name, "resized"))
		total++;
	else if (range_is(name, "endlong"))
		last++;
	snprintf(line, sizeof(line), "Content-Range: bytes %d-%d/%d\r\n", first, last, total);
	if (range_is(name, "endlong") || range_is(name, "unsized"))
		snprintf(line, sizeof(line), "content-range:bytes %d-%d/*\r\n", first, last);
	else if (range_is(name, "garbled"))
		snprintf(line, sizeof(line), "Content-Range: bytes %d-99999999999999999999/x\r\n", first);
	server_send(fd, line);
	if (range_is(name, "doubled"))
		server_send(fd, line);
}

/* How many bytes an answer brings before the connection breaks, if it does. */
static int
range_cut_bytes(const char *name, int otherwise)
{
	return range_is(name, "byte") ? 1 : range_is(name, "quarter") ? 250 : otherwise;
}

/* Answers a request for the bytes from first on, as the name says. */
static bool
range_rest(int fd, const char *name, int first)
{
	char		head[64];
	int			count = RANGE_BYTES - first;
	int			cut = range_cut_bytes(name, count);

	if (range_is(name, "unsatisfied"))
	{
		server_answer(fd, "416 Range Not Satisfiable", "secret words");
		return true;
	}
	if (range_is(name, "rangeless"))
		return range_whole(fd, name, RANGE_BYTES);
	server_send(fd, "HTTP/1.1 206 Partial Content\r\n");
	range_send_range(fd, name, first);
	range_send_version(fd, name, range_is(name, "retagged") ? "\"v2\"" : "\"v1\"");
	if (range_is(name, "longer"))
	{
		server_send(fd, "Connection: close\r\n\r\n");
		range_send(fd, first, count, false);
		range_send(fd, 0, 1, false);
		return false;
	}
	snprintf(head, sizeof(head), "Content-Length: %d\r\n\r\n", count);
	server_send(fd, head);
	range_send(fd, first, cut < count ? cut : count, range_is(name, "altered"));
	return cut >= count;
}

/*
 * Serves RANGE_BYTES bytes under /range/NAME: the first answer breaks off (unless the name has "complete"),
 * and the answers to requests for the rest are right unless the name says otherwise.
 */
static bool
range_behave(ServerLog *log, int fd, const char *name)
{
	static const char line[] = "\r\nRange: bytes=";
	const char *range = strstr(log->last_request, line);

	if (range != NULL)
	{
		log->ranges++;
		return range_rest(fd, name, atoi(range + strlen(line)));
	}
	log->wholes++;
	if (range_is(name, "complete") || (log->wholes > 1 && !range_is(name, "always")))
		return range_whole(fd, name, RANGE_BYTES);
	return range_whole(fd, name, range_cut_bytes(name, RANGE_CUT_BYTES));
}

/* Answers one request; returns false when the connection is to be closed. */
static bool
server_behave(Server *server, int fd, const char *path)
{
	static const char page[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

	if (strncmp(path, "/missing", 8) == 0)
		server_answer(fd, "404 Not Found", "<html>secret words</html>");
	else if (strncmp(path, "/gone", 5) == 0)
		server_answer(fd, "410 Gone", "");
	else if (strncmp(path, "/forbidden", 10) == 0)
		server_answer(fd, "403 Forbidden", "secret words");
	else if (strncmp(path, "/broken", 7) == 0)
		server_answer(fd, "500 Internal Server Error", "secret words");
	else if (strncmp(path, "/redirect", 9) == 0)
	{
		server_send(fd,
					"HTTP/1.1 302 Found\r\nLocation: file:///etc/secret-place\r\nContent-Length: 0\r\n\r\n");
	}
	else if (strncmp(path, "/busy", 5) == 0)
		server_answer(fd, ++server->log->busy <= 2 ? "503 Service Unavailable" : "200 OK", SERVER_BODY);
	else if (strncmp(path, "/endless", 8) == 0)
	{
		char		chunk[128];

		snprintf(chunk, sizeof(chunk), "40\r\n%s\r\n", page);
		server_repeat(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, 0);
	}
	else if (strncmp(path, "/headers", 8) == 0)
		server_repeat(fd, "HTTP/1.1 200 OK\r\n", "X-Nothing: 0123456789abcdef\r\n", 0);
	else if (strncmp(path, "/page404", 8) == 0)
		server_repeat(fd, "HTTP/1.1 404 Not Found\r\n\r\n", page, 0);
	else if (strncmp(path, "/announced", 10) == 0)
		server_repeat(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", page, 500);
	else if (strncmp(path, "/burst", 6) == 0)
	{
		/* more than the minimum for a while, and then nothing */
		server_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
		for (int i = 0; i < 5; i++)
			server_send(fd, page);
		server_nap(60000);
	}
	else if (strncmp(path, "/drip", 5) == 0)
		server_repeat(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x", 50);
	else if (strncmp(path, "/private/denied", 15) == 0)
		server_answer(fd, "401 Unauthorized", "you sent secret");
	else if (strncmp(path, "/silent", 7) == 0)
		server_nap(60000);
	else if (strncmp(path, "/hangup", 7) == 0)
		return false;
	else if (strncmp(path, "/torn", 5) == 0)
	{
		server_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
		return false;
	}
	else if (strncmp(path, "/unmeasured", 11) == 0)
	{
		server_send(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" SERVER_BODY);
		return false;
	}
	else if (strncmp(path, "/gzip", 5) == 0)
	{
		server_send(fd,
					"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 13\r\n\r\n" SERVER_BODY);
	}
	else if (strncmp(path, "/range/", 7) == 0)
		return range_behave(server->log, fd, path + 7);
	else if (strncmp(path, "/partial", 8) == 0)
		server_answer(fd, "206 Partial Content", SERVER_BODY);
	else
		server_answer(fd, "200 OK", SERVER_BODY);
	return true;
}

/* Serves one connection until it is closed. */
static void
server_connection(Server *server, int fd)
{
	char		request[4096];
	size_t		length = 0;

	server->log->connections++;
	for (;;)
	{
		ssize_t		n = read(fd, request + length, sizeof(request) - 1 - length);
		char		path[1024];

		if (n <= 0)
			return;
		length += (size_t) n;
		request[length] = '\0';
		if (strstr(request, "\r\n\r\n") == NULL)
			continue;
		server->log->requests++;
		memcpy(server->log->last_request, request, length + 1);
		if (sscanf(request, "GET %1023s", path) != 1 || !server_behave(server, fd, path))
			return;
		length = 0;
	}
}

static void
server_start(Server *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	address_bytes = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	server->log = mmap(NULL, sizeof(ServerLog), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (server->log == MAP_FAILED || listener < 0 ||
		bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 || listen(listener, 16) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &address_bytes) != 0)
	{
		perror("test server");
		exit(1);
	}
	server->port = ntohs(address.sin_port);
	server->pid = fork();
	if (server->pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGCHLD, SIG_IGN);
		for (;;)
		{
			int			fd = accept(listener, NULL, NULL);

			if (fork() == 0)
			{
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				signal(SIGPIPE, SIG_DFL);
				server_connection(server, fd);
				_exit(0);
			}
			close(fd);
		}
	}
	close(listener);
}

static void
server_stop(Server *server)
{
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	munmap(server->log, sizeof(ServerLog));
}

#endif							/* DEPOT_FETCH_SERVER_H */
