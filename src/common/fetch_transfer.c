/*-------------------------------------------------------------------------
 *
 * fetch_transfer.c
 *	  One transfer of the downloader: callbacks and stalls.
 *
 * Callbacks record what happened and return; what it means is decided in
 * fetch_error.c after libcurl has come back.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/fetch_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A real response needs 2 kB; libcurl alone bounds a single line only. */
#define HEADER_LIMIT_BYTES (64 * 1024)

/* Error pages up to this size are read to their end, which keeps the connection. */
#define DISCARD_LIMIT_BYTES (16 * 1024)

/*----- callbacks ----------------------------------------------------------*/

static size_t
discard_body(DepotFetchTransfer *transfer, size_t length)
{
	transfer->discarded_bytes += length;
	return transfer->discarded_bytes <= DISCARD_LIMIT_BYTES ? length : 0;
}

/* Makes ready for the first bytes of the file: an answer of 200 is the whole of it, whatever was asked. */
static bool
begin_body(DepotFetchTransfer *transfer, long status)
{
	curl_off_t	announced = -1;

	transfer->begun = true;
	if (status != 206 && transfer->part->bytes > 0)
	{
		depot_fetch_part_forget(transfer->part);
		transfer->window_bytes = 0;
		if (!depot_fetch_part_rewind(transfer->part, transfer->request->fd))
		{
			transfer->write_errno = errno;
			return false;
		}
	}
	if (curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced) == CURLE_OK &&
		announced > 0 && (uint64_t) announced > transfer->limit_bytes - transfer->part->bytes)
		transfer->too_large = true;
	depot_fetch_part_begin_piece(transfer);
	return true;
}

/* Tells whether the body of an answer is what was asked for; file: has no status and leaves 0. */
static bool
is_wanted(const DepotFetchTransfer *transfer, long status)
{
	if (status == 206)
		return transfer->begun || (transfer->start_bytes > 0 && depot_fetch_range_fits(transfer));
	return status == 0 || status == 200;
}

static size_t
write_body(char *bytes, size_t size, size_t count, void *context)
{
	DepotFetchTransfer *transfer = context;
	size_t		length = size * count;
	size_t		written = 0;
	long		status = 0;

	if (curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
		return 0;
	if (!is_wanted(transfer, status))
		return discard_body(transfer, length);
	if (!transfer->begun && !begin_body(transfer, status))
		return 0;
	if (length > transfer->limit_bytes - transfer->part->bytes)
		transfer->too_large = true;
	if (transfer->too_large)
		return 0;

	while (written < length)
	{
		ssize_t		n = write(transfer->request->fd, bytes + written, length - written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			transfer->write_errno = n < 0 ? errno : EIO;
			return 0;
		}
		written += (size_t) n;
	}
	depot_digest_add(&transfer->part->digest, bytes, length);
	transfer->part->bytes += length;
	transfer->last_byte_ms = depot_fetch_now_ms();
	return length;
}

static size_t
count_header(char *bytes, size_t size, size_t count, void *context)
{
	DepotFetchTransfer *transfer = context;

	transfer->header_bytes += size * count;
	if (transfer->header_bytes > HEADER_LIMIT_BYTES)
	{
		transfer->header_too_large = true;
		return 0;
	}
	depot_fetch_note_header(transfer, bytes, size * count);
	return size * count;
}

bool
depot_fetch_set_callbacks(DepotFetch *fetch, DepotError *error)
{
	bool		ok = false;

	DEPOT_FETCH_SETOPT(CURLOPT_WRITEFUNCTION, write_body);
	DEPOT_FETCH_SETOPT(CURLOPT_HEADERFUNCTION, count_header);
	ok = true;
done:
	return ok;
}

/*----- one transfer -----------------------------------------------------------*/

/*
 * Decides whether a running transfer has stalled; the time until the connection stands belongs to the connect
 * time-out.
 */
static bool
has_stalled(const DepotFetch *fetch, DepotFetchTransfer *transfer)
{
	int64_t		now = depot_fetch_now_ms();
	int64_t		stall_ms = fetch->options.stall_timeout_ms;
	curl_off_t	connected_us = 0;

	if (transfer->last_byte_ms == 0)
	{
		if (curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us) != CURLE_OK ||
			connected_us == 0)
			/* libcurl ends what does not connect; this is for what its time-out does not cover */
			return now - transfer->window_start_ms > stall_ms + fetch->options.connect_timeout_ms;
		transfer->last_byte_ms = now;
		transfer->window_start_ms = now;
	}
	if (now - transfer->last_byte_ms > stall_ms)
		return true;
	if (now - transfer->window_start_ms > stall_ms)
	{
		uint64_t	arrived = transfer->part->bytes - transfer->window_bytes;

		if (arrived * 1000 < (uint64_t) stall_ms * DEPOT_FETCH_MIN_BYTES_PER_SECOND)
			return true;
		transfer->window_start_ms = now;
		transfer->window_bytes = transfer->part->bytes;
	}
	return false;
}

/*
 * Runs the prepared easy handle to its end, or until it stalls or is cancelled. The handle is out of the
 * multi afterwards.
 */
static CURLcode
run_transfer(DepotFetch *fetch, const DepotFetchRequest *request, DepotFetchTransfer *transfer,
			 DepotFetchProgress progress, void *context)
{
	CURLcode	code = CURLE_FAILED_INIT;
	int			running = 1;
	CURLMsg    *message;
	int			queued;

	transfer->window_start_ms = depot_fetch_now_ms();
	transfer->window_bytes = transfer->part->bytes;
	if (curl_multi_add_handle(fetch->multi, fetch->easy) != CURLM_OK)
		return code;
	for (;;)
	{
		curl_off_t	announced = 0;

		if (curl_multi_perform(fetch->multi, &running) != CURLM_OK)
			break;
		if (request->expected_bytes > 0)
			announced = (curl_off_t) request->expected_bytes;
		else if (curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced) != CURLE_OK ||
				 announced < 0)
			announced = 0;
		transfer->canceled = progress != NULL && !progress(transfer->part->bytes, (uint64_t) announced, context);
		if (running == 0 || transfer->canceled)
			break;
		transfer->stalled = has_stalled(fetch, transfer);
		if (transfer->stalled ||
			curl_multi_poll(fetch->multi, NULL, 0, DEPOT_FETCH_POLL_MS, NULL) != CURLM_OK)
			break;
	}
	while ((message = curl_multi_info_read(fetch->multi, &queued)) != NULL)
		if (message->msg == CURLMSG_DONE)
			code = message->data.result;
	if (curl_multi_remove_handle(fetch->multi, fetch->easy) != CURLM_OK)
		code = CURLE_FAILED_INIT;
	return code;
}

DepotFetchOutcome
depot_fetch_try_base(DepotFetch *fetch, const DepotFetchRequest *request, int base_index,
					 DepotFetchPart *part, DepotFetchProgress progress, void *context, DepotError *error)
{
	const char *base = request->bases[base_index];
	bool		is_file = strncmp(base, "file:", 5) == 0;
	DepotFetchTransfer transfer = {.easy = fetch->easy, .request = request, .base_index = base_index,
	.limit_bytes = request->max_bytes, .part = part};
	DepotBuffer url;
	char		range[DEPOT_FETCH_RANGE_BYTES] = "";
	DepotFetchOutcome outcome = DEPOT_FETCH_FATAL;
	CURLcode	code;

	if (request->expected_bytes > 0 && request->expected_bytes < transfer.limit_bytes)
		transfer.limit_bytes = request->expected_bytes;
	depot_buffer_init(&url);
	/* reading a file again costs less than the care that going on in its middle would take */
	if (is_file)
		depot_fetch_part_forget(part);
	transfer.start_bytes = part->bytes;
	if (!depot_fetch_part_rewind(part, request->fd))
	{
		depot_error_set_errno(error, errno, "could not cut the download file");
		goto done;
	}
	if (!(request->encoded ? depot_fetch_build_encoded_url : depot_fetch_build_url)
		(base, request->path, &url, error))
		goto done;
	if (is_file)
	{
		outcome = depot_fetch_locate_file(fetch, request, base_index, &url, range, error);
		if (outcome != DEPOT_FETCH_DONE)
			goto done;
		outcome = DEPOT_FETCH_FATAL;
	}
	/* only the scheme of this base, which depot_fetch_check_url has let through */
	DEPOT_FETCH_SETOPT(CURLOPT_PROTOCOLS_STR, is_file ? "file" :
					   strncmp(base, "http:", 5) == 0 ? "http" : "https");
	DEPOT_FETCH_SETOPT(CURLOPT_URL, url.data);
	DEPOT_FETCH_SETOPT(CURLOPT_WRITEDATA, &transfer);
	DEPOT_FETCH_SETOPT(CURLOPT_HEADERDATA, &transfer);
	if (!depot_fetch_ask_range(fetch, &transfer, error) ||
		(!is_file && !depot_fetch_authorize(fetch, &transfer, url.data, error)))
		goto done;
	DEPOT_FETCH_SETOPT(CURLOPT_HTTPHEADER, transfer.headers);
	if (range[0] != '\0')
		DEPOT_FETCH_SETOPT(CURLOPT_RANGE, range);
	code = run_transfer(fetch, request, &transfer, progress, context);
	outcome = depot_fetch_judge(fetch, request, base_index, &transfer, code, error);
	if (outcome == DEPOT_FETCH_DONE && request->sha256 != NULL)
		outcome = depot_fetch_compare_digest(request, base_index, part, error);
done:
	depot_fetch_withdraw(fetch);
	curl_slist_free_all(transfer.headers);
	depot_buffer_free(&url);
	return outcome;
}
