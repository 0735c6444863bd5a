/*-------------------------------------------------------------------------
 *
 * fetch_download.h
 *	  Downloads for the tests of the downloader.
 *
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FETCH_DOWNLOAD_H
#define DEPOT_FETCH_DOWNLOAD_H

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
	bool		went_back;		/* progress did */
	uint64_t	most_bytes;
	const char *sha256;			/* asked for; NULL: none */
	int			cancel_after;	/* calls; 0: never */
} Download;

static const DepotFetchOptions default_options = {.connect_timeout_ms = 2000, .stall_timeout_ms = 400,
.retries = 0};

static inline int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline bool
count_progress(uint64_t bytes_done, uint64_t bytes_total, void *context)
{
	Download   *download = context;

	(void) bytes_total;
	download->went_back |= bytes_done < download->most_bytes;
	if (bytes_done > download->most_bytes)
		download->most_bytes = bytes_done;
	download->progress_calls++;
	return download->cancel_after == 0 || download->progress_calls < download->cancel_after;
}

/* Downloads path with an open handle; bases is NULL-terminated, "%d" in it stands for the server's port. */
static inline void
run_with(DepotFetch *fetch, Download *download, const char *const *bases, const char *path,
		 uint64_t max_bytes,
		 uint64_t expected_bytes)
{
	char		urls[4][256];
	const char *list[4];
	DepotFetchRequest request = {.bases = list, .path = path, .max_bytes = max_bytes,
	.expected_bytes = expected_bytes, .sha256 = download->sha256};
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

static inline void
run(Download *download, const DepotFetchOptions *options, const char *const *bases, const char *path)
{
	DepotError	error;
	DepotFetch *fetch = depot_fetch_open(options, &error);

	assert_non_null(fetch);
	memset(download, 0, offsetof(Download, cancel_after));
	run_with(fetch, download, bases, path, 1000, 0);
	depot_fetch_close(fetch);
}

static inline void
run_path(Download *download, const char *path)
{
	static const char *const bases[] = {"http://127.0.0.1:%d", NULL};

	download->cancel_after = 0;
	run(download, &default_options, bases, path);
}

static inline void
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

#endif							/* DEPOT_FETCH_DOWNLOAD_H */
