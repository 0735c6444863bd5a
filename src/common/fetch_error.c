/*-------------------------------------------------------------------------
 *
 * fetch_error.c
 *	  What became of a transfer, in words.
 *
 * Nothing that a server sent gets into a message: an error that quotes a
 * response would turn a repository's address into a way to read other services.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/fetch_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/digest.h"

DepotErrorCode
depot_fetch_setup_error(CURLcode code)
{
	return code == CURLE_OUT_OF_MEMORY ? DEPOT_ERROR_OUT_OF_MEMORY : DEPOT_ERROR_AGENT;
}

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
DepotFetchOutcome
depot_fetch_fail(const DepotFetchRequest *request, int base_index, DepotFetchOutcome outcome,
				 DepotError *error, DepotErrorCode code,
				 const char *reason)
{
	char		host[256];

	depot_error_set(error, code, "could not fetch \"%s\" from %s: %s", request->path,
					base_name(request->bases[base_index], host, sizeof(host)), reason);
	return outcome;
}

static DepotFetchOutcome
fail_too_large(const DepotFetchRequest *request, int base_index, uint64_t limit_bytes, DepotError *error)
{
	char		reason[80];

	snprintf(reason, sizeof(reason), "it is larger than %" PRIu64 " bytes", limit_bytes);
	depot_fetch_fail(request, base_index, DEPOT_FETCH_NEXT, error, DEPOT_ERROR_TOO_LARGE, reason);
	if (request->expected_bytes > 0)
		depot_error_detail(error, "The signed metadata says that it has %" PRIu64 " bytes.",
						   request->expected_bytes);
	return DEPOT_FETCH_NEXT;
}

static DepotFetchOutcome
fail_truncated(const DepotFetchRequest *request, int base_index, uint64_t bytes, uint64_t expected_bytes,
			   DepotError *error)
{
	char		reason[80];

	snprintf(reason, sizeof(reason), "truncated: got %" PRIu64 " of %" PRIu64 " bytes", bytes,
			 expected_bytes);
	return depot_fetch_fail(request, base_index, DEPOT_FETCH_RETRY, error, DEPOT_ERROR_TRANSFER, reason);
}

static DepotFetchOutcome
fail_status(const DepotFetch *fetch, const DepotFetchRequest *request, int base_index,
			const DepotFetchTransfer *transfer, long status, DepotError *error)
{
	char		reason[80];
	bool		passing = status >= 500 || status == 429 || status == 408;

	if (status >= 300 && status < 400)
	{
		depot_fetch_fail(request, base_index, DEPOT_FETCH_NEXT, error, DEPOT_ERROR_TRANSFER,
						 "the server answered with a redirect");
		depot_error_detail(error, "Redirects are not followed (status %ld).", status);
		depot_error_hint(error, "Give the repository's final address.");
		return DEPOT_FETCH_NEXT;
	}
	snprintf(reason, sizeof(reason), "the server answered with status %ld", status);
	depot_fetch_fail(request, base_index, DEPOT_FETCH_NEXT, error, DEPOT_ERROR_TRANSFER, reason);
	if (status == 401 || status == 403)
		depot_fetch_explain_denial(fetch, transfer, error);
	return passing ? DEPOT_FETCH_RETRY : DEPOT_FETCH_NEXT;
}

/*
 * Explains a failed transfer by libcurl's code; curl_easy_strerror is libcurl's own text, not the server's.
 */
static DepotFetchOutcome
fail_curl(const DepotFetch *fetch, const DepotFetchRequest *request, int base_index, CURLcode code,
		  bool connected,
		  DepotError *error)
{
	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			return depot_fetch_fail(request, base_index, DEPOT_FETCH_RETRY, error, DEPOT_ERROR_UNREACHABLE,
									"the host name could not be resolved");
		case CURLE_COULDNT_RESOLVE_PROXY:
			return depot_fetch_fail(request, base_index, DEPOT_FETCH_RETRY, error, DEPOT_ERROR_UNREACHABLE,
									"the proxy's name could not be resolved");
		case CURLE_COULDNT_CONNECT:
			return depot_fetch_fail(request, base_index, DEPOT_FETCH_RETRY, error, DEPOT_ERROR_UNREACHABLE,
									fetch->proxy != NULL ? "no connection (a proxy is set)" : "no connection");
		case CURLE_OPERATION_TIMEDOUT:
			return depot_fetch_fail(request, base_index, DEPOT_FETCH_RETRY, error, DEPOT_ERROR_UNREACHABLE,
									"no connection within the connect time-out");
		case CURLE_PEER_FAILED_VERIFICATION:
			depot_fetch_fail(request, base_index, DEPOT_FETCH_NEXT, error, DEPOT_ERROR_UNREACHABLE,
							 "the server's certificate is not trusted for this host");
			depot_error_hint(error,
							 "Set depot.ca_file if the repository uses a certificate authority of yours.");
			return DEPOT_FETCH_NEXT;
		case CURLE_SSL_CACERT_BADFILE:
			depot_fetch_fail(request, base_index, DEPOT_FETCH_FATAL, error, DEPOT_ERROR_UNREACHABLE,
							 "the file of certificate authorities cannot be read");
			depot_error_hint(error, "Check depot.ca_file.");
			return DEPOT_FETCH_FATAL;
		case CURLE_SSL_CERTPROBLEM:
			depot_fetch_fail(request, base_index, DEPOT_FETCH_FATAL, error, DEPOT_ERROR_CONFIGURATION,
							 "the client certificate or its key cannot be used");
			depot_error_hint(error, "Check the files that depot.credentials_file names for this address: "
							 "PEM, readable for the server's user, the key without a password.");
			return DEPOT_FETCH_FATAL;
		case CURLE_OUT_OF_MEMORY:
			return depot_fetch_fail(request, base_index, DEPOT_FETCH_FATAL, error, DEPOT_ERROR_OUT_OF_MEMORY,
									"out of memory");
		case CURLE_UNSUPPORTED_PROTOCOL:
			if (connected)
				return depot_fetch_fail(request, base_index, DEPOT_FETCH_NEXT, error, DEPOT_ERROR_TRANSFER,
										"the server does not speak HTTP");
			/* FALLTHROUGH */
		case CURLE_URL_MALFORMAT:
			return depot_fetch_fail(request, base_index, DEPOT_FETCH_NEXT, error,
									DEPOT_ERROR_INVALID_ARGUMENT, curl_easy_strerror(code));
		default:
			return depot_fetch_fail(request, base_index, DEPOT_FETCH_RETRY, error,
									connected ? DEPOT_ERROR_TRANSFER : DEPOT_ERROR_UNREACHABLE,
									curl_easy_strerror(code));
	}
}

/* Says what a finished transfer came to, most certain reasons first. */
DepotFetchOutcome
depot_fetch_judge(const DepotFetch *fetch, const DepotFetchRequest *request, int base_index,
				  const DepotFetchTransfer *transfer,
				  CURLcode code, DepotError *error)
{
	long		status = 0;
	curl_off_t	connected_us = 0;
	curl_off_t	announced = -1;

	(void) curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
	(void) curl_easy_getinfo(fetch->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
	(void) curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);

	if (transfer->canceled)
		return depot_fetch_fail(request, base_index, DEPOT_FETCH_FATAL, error, DEPOT_ERROR_CANCELED,
								"canceled");
	if (transfer->write_errno != 0)
	{
		depot_error_set_errno(error, transfer->write_errno, "could not write the download of \"%s\"",
							  request->path);
		return DEPOT_FETCH_FATAL;
	}
	if (transfer->too_large)
		return fail_too_large(request, base_index, transfer->limit_bytes, error);
	if (transfer->start_bytes > 0 &&
		(status == 416 || (status == 206 && !transfer->begun && !depot_fetch_range_fits(transfer))))
		return DEPOT_FETCH_ANEW;
	if (transfer->header_too_large)
		return depot_fetch_fail(request, base_index, DEPOT_FETCH_NEXT, error, DEPOT_ERROR_TRANSFER,
								"the response headers are too large");
	if (transfer->stalled)
	{
		depot_fetch_fail(request, base_index, DEPOT_FETCH_RETRY, error, DEPOT_ERROR_STALLED,
						 "the transfer stalled");
		depot_error_detail(error,
						   "Less than %d bytes per second arrived over %d ms, after %" PRIu64 " bytes.",
						   DEPOT_FETCH_MIN_BYTES_PER_SECOND, fetch->options.stall_timeout_ms,
						   transfer->part->bytes);
		depot_error_hint(error, "If the line is slow, raise depot.stall_timeout.");
		return DEPOT_FETCH_RETRY;
	}

	/*
	 * A status counts even when the connection broke, or was left, in the middle of an error page.  Object
	 * stores say 403 of a file that is not there to whoever may not list; where a file is usually absent,
	 * that is what it means.
	 */
	if (status == 404 || status == 410 || (status == 403 && request->optional))
		return DEPOT_FETCH_MISSING;
	if (status == 206 && transfer->start_bytes > 0)
	{
		status = 200;
		announced += announced > 0 ? (curl_off_t) transfer->start_bytes : 0;
	}
	if (status != 0 && status != 200 && (code == CURLE_OK || code == CURLE_WRITE_ERROR ||
										 code == CURLE_PARTIAL_FILE))
		return fail_status(fetch, request, base_index, transfer, status, error);
	if (code == CURLE_PARTIAL_FILE && announced > 0)
		return fail_truncated(request, base_index, transfer->part->bytes, (uint64_t) announced, error);
	if (code != CURLE_OK)
		return fail_curl(fetch, request, base_index, code, connected_us != 0, error);
	if (transfer->part->bytes < request->expected_bytes)
		return fail_truncated(request, base_index, transfer->part->bytes, request->expected_bytes, error);
	return DEPOT_FETCH_DONE;
}

DepotFetchOutcome
depot_fetch_compare_digest(const DepotFetchRequest *request, int base_index, DepotFetchPart *part,
						   DepotError *error)
{
	char		hex[DEPOT_SHA256_HEX_BYTES];

	depot_digest_end_hex(&part->digest, hex);
	if (strcmp(hex, request->sha256) == 0)
		return DEPOT_FETCH_DONE;
	if (part->pieces > 1)
		return DEPOT_FETCH_ANEW;
	depot_fetch_fail(request, base_index, DEPOT_FETCH_NEXT, error, DEPOT_ERROR_DIGEST_MISMATCH,
					 "it is not the file that was signed");
	depot_error_detail(error, "Its sha256 is %s, the signed metadata says %s.", hex, request->sha256);
	depot_error_hint(error, "It was altered or damaged there or on its way; tell the repository's publisher.");
	return DEPOT_FETCH_NEXT;
}
