/*-------------------------------------------------------------------------
 *
 * fetch.c
 *	  Downloading one file from a repository (libcurl).
 *
 * One easy handle is reused, so that the files of one refresh share a
 * connection; a multi handle drives it only because that lets this file own
 * the clock: cancellation and stalls are looked at ten times a second.
 * Callbacks record what happened and return; what it means is decided after
 * libcurl has come back.  Nothing that a server sent ever gets into an error
 * message: an error that quotes a response would turn a repository's address
 * into a way to read other services.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define POLL_INTERVAL_MS 100
#define RETRY_FIRST_MS 200
#define RETRY_LIMIT_MS 5000

/* A real response needs 2 kB; libcurl alone bounds a single line only. */
#define HEADER_LIMIT_BYTES (64 * 1024)

/* Error pages up to this size are read to their end, which keeps the connection. */
#define DISCARD_LIMIT_BYTES (16 * 1024)

/* A base that could not be reached is tried last for this long, so that a dead one does not cost each file its time-out. */
#define AVOID_MS (60 * 1000)

/* What a try of one base came to. */
typedef enum Outcome
{
	OUTCOME_DONE,
	OUTCOME_MISSING,
	OUTCOME_RETRY,				/* may pass: this base again, then the next */
	OUTCOME_NEXT,				/* this base will not do better: the next */
	OUTCOME_FATAL				/* nothing to do with the base: give up */
}			Outcome;

/* What callbacks recorded about one transfer. */
typedef struct Transfer
{
	CURL	   *easy;
	int			fd;
	uint64_t	limit_bytes;
	uint64_t	bytes;
	uint64_t	discarded_bytes;
	size_t		header_bytes;
	int			write_errno;
	bool		too_large;
	bool		header_too_large;
	bool		stalled;
	bool		canceled;
	int64_t		last_byte_ms;	/* 0: not connected yet */
	int64_t		window_start_ms;
	uint64_t	window_bytes;
}			Transfer;

typedef struct Avoided
{
	char	   *base;
	int64_t		until_ms;
}			Avoided;

struct DepotFetch
{
	CURLM	   *multi;
	CURL	   *easy;
	DepotFetchOptions options;
	char	   *proxy;
	char	   *ca_file;
	Avoided		avoided[DEPOT_FETCH_MAX_BASES];
	char		curl_error[CURL_ERROR_SIZE];
};

/* The one macro with control flow: runs a libcurl call, and on failure fills error and goes to done. */
#define CHECK(call) \
	do { \
		CURLcode	check_code = (call); \
		if (check_code != CURLE_OK) \
		{ \
			depot_error_set(error, check_code == CURLE_OUT_OF_MEMORY ? DEPOT_ERROR_OUT_OF_MEMORY : DEPOT_ERROR_AGENT, \
							"libcurl refused %s: %s", #call, curl_easy_strerror(check_code)); \
			goto done; \
		} \
	} while (0)

#define SETOPT(option, value) CHECK(curl_easy_setopt(fetch->easy, option, value))

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*----- callbacks ----------------------------------------------------------*/

static size_t
discard_body(Transfer *transfer, size_t length)
{
	transfer->discarded_bytes += length;
	return transfer->discarded_bytes <= DISCARD_LIMIT_BYTES ? length : 0;
}

static size_t
write_body(char *bytes, size_t size, size_t count, void *context)
{
	Transfer   *transfer = context;
	size_t		length = size * count;
	size_t		written = 0;
	long		status = 0;
	curl_off_t	announced = -1;

	/* file: has no status and leaves 0 */
	if (curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
		return 0;
	if (status != 0 && status != 200)
		return discard_body(transfer, length);

	if (transfer->bytes == 0 &&
		curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced) == CURLE_OK &&
		announced > 0 && (uint64_t) announced > transfer->limit_bytes)
		transfer->too_large = true;
	if (length > transfer->limit_bytes - transfer->bytes)
		transfer->too_large = true;
	if (transfer->too_large)
		return 0;

	while (written < length)
	{
		ssize_t		n = write(transfer->fd, bytes + written, length - written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			transfer->write_errno = n < 0 ? errno : EIO;
			return 0;
		}
		written += (size_t) n;
	}
	transfer->bytes += length;
	transfer->last_byte_ms = now_ms();
	return length;
}

static size_t
count_header(char *bytes, size_t size, size_t count, void *context)
{
	Transfer   *transfer = context;

	(void) bytes;
	transfer->header_bytes += size * count;
	if (transfer->header_bytes > HEADER_LIMIT_BYTES)
	{
		transfer->header_too_large = true;
		return 0;
	}
	return size * count;
}

/*----- the handle -----------------------------------------------------------*/

static bool
set_fixed_options(DepotFetch *fetch, DepotError *error)
{
	bool		ok = false;

	SETOPT(CURLOPT_NOSIGNAL, 1L);
	SETOPT(CURLOPT_FOLLOWLOCATION, 0L);
	SETOPT(CURLOPT_PATH_AS_IS, 1L);
	SETOPT(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SETOPT(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	SETOPT(CURLOPT_HTTP09_ALLOWED, 0L);
	/* one file at a time gains nothing from HTTP/2, and its parser stays out */
	SETOPT(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SETOPT(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SETOPT(CURLOPT_SSL_VERIFYPEER, 1L);
	SETOPT(CURLOPT_SSL_VERIFYHOST, 2L);
	/* "" keeps the environment's proxy variables out; NULL would let them in */
	SETOPT(CURLOPT_PROXY, fetch->proxy != NULL ? fetch->proxy : "");
	SETOPT(CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
	if (fetch->ca_file != NULL)
	{
		/* without the second line the system's directory would be trusted as well */
		SETOPT(CURLOPT_CAINFO, fetch->ca_file);
		SETOPT(CURLOPT_CAPATH, NULL);
	}
	SETOPT(CURLOPT_CONNECTTIMEOUT_MS, (long) fetch->options.connect_timeout_ms);
	SETOPT(CURLOPT_USERAGENT, "pg_depot");
	SETOPT(CURLOPT_ERRORBUFFER, fetch->curl_error);
	SETOPT(CURLOPT_WRITEFUNCTION, write_body);
	SETOPT(CURLOPT_HEADERFUNCTION, count_header);
	ok = true;
done:
	return ok;
}

static bool
copy_string(const char *value, char **copy)
{
	*copy = value != NULL ? strdup(value) : NULL;
	return value == NULL || *copy != NULL;
}

DepotFetch *
depot_fetch_open(const DepotFetchOptions *options, DepotError *error)
{
	DepotFetch *fetch = NULL;
	bool		ok = false;

	if (options->connect_timeout_ms <= 0 || options->stall_timeout_ms <= 0 || options->retries < 0)
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "time-outs must be positive, and retries not negative");
		return NULL;
	}
	CHECK(curl_global_init(CURL_GLOBAL_DEFAULT));
	fetch = calloc(1, sizeof(*fetch));
	if (fetch == NULL || !copy_string(options->proxy, &fetch->proxy) || !copy_string(options->ca_file, &fetch->ca_file))
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	fetch->options = *options;
	fetch->options.proxy = fetch->proxy;
	fetch->options.ca_file = fetch->ca_file;
	fetch->multi = curl_multi_init();
	fetch->easy = curl_easy_init();
	if (fetch->multi == NULL || fetch->easy == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	ok = set_fixed_options(fetch, error);
done:
	if (!ok && fetch != NULL)
	{
		depot_fetch_close(fetch);
		fetch = NULL;
	}
	return fetch;
}

void
depot_fetch_close(DepotFetch *fetch)
{
	if (fetch == NULL)
		return;
	curl_easy_cleanup(fetch->easy);
	curl_multi_cleanup(fetch->multi);
	for (int i = 0; i < DEPOT_FETCH_MAX_BASES; i++)
		free(fetch->avoided[i].base);
	free(fetch->proxy);
	free(fetch->ca_file);
	free(fetch);
	curl_global_cleanup();
}

/*----- bases that could not be reached ---------------------------------------*/

static bool
is_avoided(const DepotFetch *fetch, const char *base)
{
	for (int i = 0; i < DEPOT_FETCH_MAX_BASES; i++)
		if (fetch->avoided[i].base != NULL && strcmp(fetch->avoided[i].base, base) == 0)
			return fetch->avoided[i].until_ms > now_ms();
	return false;
}

/* Remembers a base as unreachable, or as fine again; a lack of memory only makes later fetches slower. */
static void
set_avoided(DepotFetch *fetch, const char *base, bool unreachable)
{
	int			slot = 0;

	for (int i = 0; i < DEPOT_FETCH_MAX_BASES; i++)
	{
		if (fetch->avoided[i].base != NULL && strcmp(fetch->avoided[i].base, base) == 0)
		{
			slot = i;
			break;
		}
		if (fetch->avoided[i].until_ms < fetch->avoided[slot].until_ms)
			slot = i;
		if (i == DEPOT_FETCH_MAX_BASES - 1 && !unreachable)
			return;
	}
	if (fetch->avoided[slot].base == NULL || strcmp(fetch->avoided[slot].base, base) != 0)
	{
		free(fetch->avoided[slot].base);
		fetch->avoided[slot].base = strdup(base);
	}
	fetch->avoided[slot].until_ms = unreachable ? now_ms() + AVOID_MS : 0;
}

/*----- errors ---------------------------------------------------------------*/

/* Host part of a checked base, or its path for file:, into out. */
static const char *
base_name(const char *base, char *out, size_t out_bytes)
{
	const char *start = strstr(base, "//");
	size_t		length;

	start = start != NULL ? start + 2 : base;
	length = *start == '/' ? strlen(start) : strcspn(start, "/:");
	if (*start == '[')
		length = strcspn(start, "]") + 1;
	if (length >= out_bytes)
		length = out_bytes - 1;
	memcpy(out, start, length);
	out[length] = '\0';
	return out;
}

/* Sets "could not fetch PATH from HOST: reason" and returns the outcome. */
static Outcome
fail(const DepotFetchRequest *request, int base_index, Outcome outcome, DepotError *error, DepotErrorCode code,
	 const char *reason)
{
	char		host[256];

	depot_error_set(error, code, "could not fetch \"%s\" from %s: %s", request->path,
					base_name(request->bases[base_index], host, sizeof(host)), reason);
	return outcome;
}

static Outcome
fail_too_large(const DepotFetchRequest *request, int base_index, uint64_t limit_bytes, DepotError *error)
{
	char		reason[80];

	snprintf(reason, sizeof(reason), "it is larger than %" PRIu64 " bytes", limit_bytes);
	fail(request, base_index, OUTCOME_NEXT, error, DEPOT_ERROR_TOO_LARGE, reason);
	if (request->expected_bytes > 0)
		depot_error_detail(error, "The signed metadata says that it has %" PRIu64 " bytes.", request->expected_bytes);
	return OUTCOME_NEXT;
}

static Outcome
fail_truncated(const DepotFetchRequest *request, int base_index, uint64_t bytes, uint64_t expected_bytes,
			   DepotError *error)
{
	char		reason[80];

	snprintf(reason, sizeof(reason), "truncated: got %" PRIu64 " of %" PRIu64 " bytes", bytes, expected_bytes);
	return fail(request, base_index, OUTCOME_RETRY, error, DEPOT_ERROR_TRANSFER, reason);
}

static Outcome
fail_status(const DepotFetchRequest *request, int base_index, long status, DepotError *error)
{
	char		reason[80];
	bool		passing = status >= 500 || status == 429 || status == 408;

	if (status >= 300 && status < 400)
	{
		fail(request, base_index, OUTCOME_NEXT, error, DEPOT_ERROR_TRANSFER, "the server answered with a redirect");
		depot_error_detail(error, "Redirects are not followed (status %ld).", status);
		depot_error_hint(error, "Give the repository's final address.");
		return OUTCOME_NEXT;
	}
	snprintf(reason, sizeof(reason), "the server answered with status %ld", status);
	fail(request, base_index, OUTCOME_NEXT, error, DEPOT_ERROR_TRANSFER, reason);
	if (status == 401 || status == 403)
		depot_error_hint(error, "The files of a repository must be readable without credentials, and an absent one must be answered with status 404.");
	return passing ? OUTCOME_RETRY : OUTCOME_NEXT;
}

/* Explains a failed transfer by libcurl's code; curl_easy_strerror is libcurl's own text, not the server's. */
static Outcome
fail_curl(const DepotFetch *fetch, const DepotFetchRequest *request, int base_index, CURLcode code, bool connected,
		  DepotError *error)
{
	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			return fail(request, base_index, OUTCOME_RETRY, error, DEPOT_ERROR_UNREACHABLE, "the host name could not be resolved");
		case CURLE_COULDNT_RESOLVE_PROXY:
			return fail(request, base_index, OUTCOME_RETRY, error, DEPOT_ERROR_UNREACHABLE, "the proxy's name could not be resolved");
		case CURLE_COULDNT_CONNECT:
			return fail(request, base_index, OUTCOME_RETRY, error, DEPOT_ERROR_UNREACHABLE,
						fetch->proxy != NULL ? "no connection (a proxy is set)" : "no connection");
		case CURLE_OPERATION_TIMEDOUT:
			return fail(request, base_index, OUTCOME_RETRY, error, DEPOT_ERROR_UNREACHABLE, "no connection within the connect time-out");
		case CURLE_PEER_FAILED_VERIFICATION:
			fail(request, base_index, OUTCOME_NEXT, error, DEPOT_ERROR_UNREACHABLE, "the server's certificate is not trusted for this host");
			depot_error_hint(error, "Set depot.ca_file when the repository uses a certificate authority of your own.");
			return OUTCOME_NEXT;
		case CURLE_SSL_CACERT_BADFILE:
			fail(request, base_index, OUTCOME_FATAL, error, DEPOT_ERROR_UNREACHABLE, "the file of certificate authorities cannot be read");
			depot_error_hint(error, "Check depot.ca_file.");
			return OUTCOME_FATAL;
		case CURLE_OUT_OF_MEMORY:
			return fail(request, base_index, OUTCOME_FATAL, error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_URL_MALFORMAT:
			return fail(request, base_index, OUTCOME_NEXT, error, DEPOT_ERROR_INVALID_ARGUMENT, curl_easy_strerror(code));
		default:
			return fail(request, base_index, OUTCOME_RETRY, error,
						connected ? DEPOT_ERROR_TRANSFER : DEPOT_ERROR_UNREACHABLE, curl_easy_strerror(code));
	}
}

/*----- one transfer -----------------------------------------------------------*/

/*
 * Looks at a file: base before libcurl does, because libcurl has one code for
 * everything that can be wrong with a file, and opens fifos.
 */
static Outcome
probe_file(const DepotFetch *fetch, const DepotFetchRequest *request, int base_index, const char *url, DepotError *error)
{
	const char *base = request->bases[base_index];
	char	   *path = curl_easy_unescape(fetch->easy, url + strlen("file://"), 0, NULL);
	char	   *directory = curl_easy_unescape(fetch->easy, base + strlen("file://"), 0, NULL);
	struct stat status;
	Outcome		outcome = OUTCOME_DONE;

	if (path == NULL || directory == NULL)
		outcome = fail(request, base_index, OUTCOME_FATAL, error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	else if (stat(path, &status) == 0)
	{
		if (!S_ISREG(status.st_mode))
			outcome = fail(request, base_index, OUTCOME_NEXT, error, DEPOT_ERROR_TRANSFER, "it is not a regular file");
		else if (access(path, R_OK) != 0)
			outcome = fail(request, base_index, OUTCOME_NEXT, error, DEPOT_ERROR_UNREACHABLE, strerror(errno));
	}
	else if (errno != ENOENT && errno != ENOTDIR)
		outcome = fail(request, base_index, OUTCOME_NEXT, error, DEPOT_ERROR_UNREACHABLE, strerror(errno));
	else if (stat(directory, &status) != 0)
		outcome = fail(request, base_index, OUTCOME_NEXT, error, DEPOT_ERROR_UNREACHABLE, "the repository's directory does not exist");
	else
		outcome = OUTCOME_MISSING;
	curl_free(path);
	curl_free(directory);
	return outcome;
}

/* Decides whether a running transfer has stalled; the time until the connection stands belongs to the connect time-out. */
static bool
has_stalled(const DepotFetch *fetch, Transfer *transfer)
{
	int64_t		now = now_ms();
	int64_t		stall_ms = fetch->options.stall_timeout_ms;
	curl_off_t	connected_us = 0;

	if (transfer->last_byte_ms == 0)
	{
		if (curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us) != CURLE_OK || connected_us == 0)
			/* libcurl ends what does not connect; this is for what its time-out does not cover */
			return now - transfer->window_start_ms > stall_ms + fetch->options.connect_timeout_ms;
		transfer->last_byte_ms = now;
		transfer->window_start_ms = now;
	}
	if (now - transfer->last_byte_ms > stall_ms)
		return true;
	if (now - transfer->window_start_ms > stall_ms)
	{
		if ((transfer->bytes - transfer->window_bytes) * 1000 / DEPOT_FETCH_MIN_BYTES_PER_SECOND < (uint64_t) stall_ms)
			return true;
		transfer->window_start_ms = now;
		transfer->window_bytes = transfer->bytes;
	}
	return false;
}

/* Runs the prepared easy handle to its end, or until it stalls or is cancelled.  The handle is out of the multi afterwards. */
static CURLcode
run_transfer(DepotFetch *fetch, const DepotFetchRequest *request, Transfer *transfer, DepotFetchProgress progress,
			 void *context)
{
	CURLcode	code = CURLE_FAILED_INIT;
	int			running = 1;
	CURLMsg    *message;
	int			queued;

	transfer->window_start_ms = now_ms();
	if (curl_multi_add_handle(fetch->multi, fetch->easy) != CURLM_OK)
		return code;
	for (;;)
	{
		curl_off_t	announced = 0;

		if (curl_multi_perform(fetch->multi, &running) != CURLM_OK)
			break;
		if (request->expected_bytes > 0)
			announced = (curl_off_t) request->expected_bytes;
		else if (curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced) != CURLE_OK || announced < 0)
			announced = 0;
		transfer->canceled = progress != NULL && !progress(transfer->bytes, (uint64_t) announced, context);
		if (running == 0 || transfer->canceled)
			break;
		transfer->stalled = has_stalled(fetch, transfer);
		if (transfer->stalled || curl_multi_poll(fetch->multi, NULL, 0, POLL_INTERVAL_MS, NULL) != CURLM_OK)
			break;
	}
	while ((message = curl_multi_info_read(fetch->multi, &queued)) != NULL)
		if (message->msg == CURLMSG_DONE)
			code = message->data.result;
	if (curl_multi_remove_handle(fetch->multi, fetch->easy) != CURLM_OK)
		code = CURLE_FAILED_INIT;
	return code;
}

/* Says what a finished transfer came to, most certain reasons first. */
static Outcome
judge_transfer(const DepotFetch *fetch, const DepotFetchRequest *request, int base_index, const Transfer *transfer,
			   CURLcode code, DepotError *error)
{
	long		status = 0;
	curl_off_t	connected_us = 0;
	curl_off_t	announced = -1;

	(void) curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
	(void) curl_easy_getinfo(fetch->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
	(void) curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);

	if (transfer->canceled)
		return fail(request, base_index, OUTCOME_FATAL, error, DEPOT_ERROR_CANCELED, "canceled");
	if (transfer->write_errno != 0)
	{
		depot_error_set_errno(error, transfer->write_errno, "could not write the download of \"%s\"", request->path);
		return OUTCOME_FATAL;
	}
	if (transfer->too_large)
		return fail_too_large(request, base_index, transfer->limit_bytes, error);
	if (transfer->header_too_large)
		return fail(request, base_index, OUTCOME_NEXT, error, DEPOT_ERROR_TRANSFER, "the response headers are too large");
	if (transfer->stalled)
	{
		fail(request, base_index, OUTCOME_RETRY, error, DEPOT_ERROR_STALLED, "the transfer stalled");
		depot_error_detail(error, "Less than %d bytes per second arrived over %d ms, after %" PRIu64 " bytes.",
						   DEPOT_FETCH_MIN_BYTES_PER_SECOND, fetch->options.stall_timeout_ms, transfer->bytes);
		depot_error_hint(error, "If the line is slow, raise depot.stall_timeout.");
		return OUTCOME_RETRY;
	}
	/* a status counts even when the connection broke, or was left, in the middle of an error page */
	if (status == 404 || status == 410)
		return OUTCOME_MISSING;
	if (status != 0 && status != 200 && (code == CURLE_OK || code == CURLE_WRITE_ERROR || code == CURLE_PARTIAL_FILE))
		return fail_status(request, base_index, status, error);
	if (code == CURLE_PARTIAL_FILE && announced > 0)
		return fail_truncated(request, base_index, transfer->bytes, (uint64_t) announced, error);
	if (code != CURLE_OK)
		return fail_curl(fetch, request, base_index, code, connected_us != 0, error);
	if (transfer->bytes < request->expected_bytes)
		return fail_truncated(request, base_index, transfer->bytes, request->expected_bytes, error);
	return OUTCOME_DONE;
}

/* Tries one base once. */
static Outcome
try_base(DepotFetch *fetch, const DepotFetchRequest *request, int base_index, DepotFetchProgress progress,
		 void *context, uint64_t *bytes, DepotError *error)
{
	const char *base = request->bases[base_index];
	Transfer	transfer = {.easy = fetch->easy, .fd = request->fd, .limit_bytes = request->max_bytes};
	DepotBuffer url;
	Outcome		outcome = OUTCOME_FATAL;
	CURLcode	code;

	if (request->expected_bytes > 0 && request->expected_bytes < transfer.limit_bytes)
		transfer.limit_bytes = request->expected_bytes;
	depot_buffer_init(&url);
	if (ftruncate(request->fd, 0) != 0 || lseek(request->fd, 0, SEEK_SET) != 0)
	{
		depot_error_set_errno(error, errno, "could not empty the download file");
		goto done;
	}
	if (!depot_fetch_build_url(base, request->path, &url, error))
		goto done;
	if (strncmp(base, "file:", 5) == 0)
	{
		outcome = probe_file(fetch, request, base_index, url.data, error);
		if (outcome != OUTCOME_DONE)
			goto done;
		outcome = OUTCOME_FATAL;
	}
	/* only the scheme of this base, which depot_fetch_check_url has let through */
	SETOPT(CURLOPT_PROTOCOLS_STR, strncmp(base, "file:", 5) == 0 ? "file" :
		   strncmp(base, "http:", 5) == 0 ? "http" : "https");
	SETOPT(CURLOPT_URL, url.data);
	SETOPT(CURLOPT_WRITEDATA, &transfer);
	SETOPT(CURLOPT_HEADERDATA, &transfer);
	fetch->curl_error[0] = '\0';
	code = run_transfer(fetch, request, &transfer, progress, context);
	outcome = judge_transfer(fetch, request, base_index, &transfer, code, error);
	*bytes = transfer.bytes;
done:
	depot_buffer_free(&url);
	return outcome;
}

/*----- retries and mirrors ------------------------------------------------------*/

/* Sleeps before try number try (1 the first repetition): doubling, with up to half as much again at random. */
static bool
back_off(const DepotFetchRequest *request, int try, DepotFetchProgress progress, void *context, DepotError *error)
{
	int64_t		delay_ms = RETRY_FIRST_MS;
	uint32_t	noise = 0;
	int64_t		end_ms;

	while (--try > 0 && delay_ms < RETRY_LIMIT_MS)
		delay_ms *= 2;
	if (delay_ms > RETRY_LIMIT_MS)
		delay_ms = RETRY_LIMIT_MS;
	if (getrandom(&noise, sizeof(noise), GRND_NONBLOCK) != (ssize_t) sizeof(noise))
		noise = 0;
	end_ms = now_ms() + delay_ms + noise % (delay_ms / 2);
	for (int64_t left_ms = end_ms - now_ms(); left_ms > 0; left_ms = end_ms - now_ms())
	{
		int64_t		nap_ms = left_ms < POLL_INTERVAL_MS ? left_ms : POLL_INTERVAL_MS;
		struct timespec nap = {.tv_sec = 0, .tv_nsec = nap_ms * 1000000};

		if (progress != NULL && !progress(0, request->expected_bytes, context))
			return depot_error_set(error, DEPOT_ERROR_CANCELED, "download of \"%s\" canceled", request->path);
		(void) nanosleep(&nap, NULL);
	}
	return true;
}

/* Tries one base as often as it is worth it. */
static Outcome
fetch_from_base(DepotFetch *fetch, const DepotFetchRequest *request, int base_index, DepotFetchProgress progress,
				void *context, DepotFetchResult *result, DepotError *error)
{
	for (int try = 0;; try++)
	{
		Outcome		outcome;

		if (try > 0 && !back_off(request, try, progress, context, error))
			return OUTCOME_FATAL;
		outcome = try_base(fetch, request, base_index, progress, context, &result->bytes, error);
		if (outcome == OUTCOME_DONE || outcome == OUTCOME_MISSING)
			set_avoided(fetch, request->bases[base_index], false);
		if (outcome != OUTCOME_RETRY)
			return outcome;
		if (try >= fetch->options.retries)
		{
			if (error->code == DEPOT_ERROR_UNREACHABLE)
				set_avoided(fetch, request->bases[base_index], true);
			return OUTCOME_NEXT;
		}
	}
}

/* Fills order with base indexes: the ones of late unreachable last. */
static void
order_bases(const DepotFetch *fetch, const DepotFetchRequest *request, int *order)
{
	int			count = 0;

	for (int avoided = 0; avoided <= 1; avoided++)
		for (int i = 0; i < request->base_count; i++)
			if (is_avoided(fetch, request->bases[i]) == (avoided == 1))
				order[count++] = i;
}

bool
depot_fetch_file(DepotFetch *fetch, const DepotFetchRequest *request, DepotFetchResult *result,
				 DepotFetchProgress progress, void *context, DepotError *error)
{
	DepotError	first_error;
	int			order[DEPOT_FETCH_MAX_BASES];
	int			failed = 0;

	memset(result, 0, sizeof(*result));
	memset(&first_error, 0, sizeof(first_error));
	if (request->base_count < 1 || request->base_count > DEPOT_FETCH_MAX_BASES)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "a repository needs 1 to %d addresses",
							   DEPOT_FETCH_MAX_BASES);
	for (int i = 0; i < request->base_count; i++)
		if (!depot_fetch_check_url(request->bases[i], fetch->options.allow_http, error))
			return false;

	order_bases(fetch, request, order);
	for (int i = 0; i < request->base_count; i++)
	{
		Outcome		outcome = fetch_from_base(fetch, request, order[i], progress, context, result, error);

		if (outcome == OUTCOME_DONE)
		{
			result->base_index = order[i];
			return true;
		}
		if (outcome == OUTCOME_FATAL)
			return false;
		if (outcome == OUTCOME_NEXT && failed++ == 0)
			first_error = *error;
	}

	result->bytes = 0;
	/* one that says "no such file" while another cannot be asked proves nothing */
	result->missing = failed == 0;
	if (result->missing)
		return true;
	*error = first_error;
	if (request->base_count > 1 && error->detail[0] == '\0')
		depot_error_detail(error, "None of the repository's %d addresses delivered it.", request->base_count);
	return false;
}
