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
#include "common/fetch_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define RETRY_FIRST_MS 200
#define RETRY_LIMIT_MS 5000

/*
 * A base that could not be reached is tried last for this long, so that a dead one does not cost each file
 * its time-out.
 */
#define AVOID_MS (60 * 1000)

int64_t
depot_fetch_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*----- the handle -----------------------------------------------------------*/

static bool
set_fixed_options(DepotFetch *fetch, DepotError *error)
{
	bool		ok = false;

	DEPOT_FETCH_SETOPT(CURLOPT_NOSIGNAL, 1L);
	DEPOT_FETCH_SETOPT(CURLOPT_FOLLOWLOCATION, 0L);
	DEPOT_FETCH_SETOPT(CURLOPT_PATH_AS_IS, 1L);
	DEPOT_FETCH_SETOPT(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	DEPOT_FETCH_SETOPT(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	DEPOT_FETCH_SETOPT(CURLOPT_HTTP09_ALLOWED, 0L);
	/* one file at a time gains nothing from HTTP/2, and its parser stays out */
	DEPOT_FETCH_SETOPT(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	DEPOT_FETCH_SETOPT(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	DEPOT_FETCH_SETOPT(CURLOPT_SSL_VERIFYPEER, 1L);
	DEPOT_FETCH_SETOPT(CURLOPT_SSL_VERIFYHOST, 2L);
	/* "" keeps the environment's proxy variables out; NULL would let them in */
	DEPOT_FETCH_SETOPT(CURLOPT_PROXY, fetch->proxy != NULL ? fetch->proxy : "");
	DEPOT_FETCH_SETOPT(CURLOPT_NOPROXY, "localhost,127.0.0.0/8,::1");
	/* what is for the repository's eyes is not for a proxy's, and no password is asked for at a terminal */
	DEPOT_FETCH_SETOPT(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	DEPOT_FETCH_SETOPT(CURLOPT_KEYPASSWD, "");
	if (fetch->ca_file != NULL)
	{
		/* without the second line the system's directory would be trusted as well */
		DEPOT_FETCH_SETOPT(CURLOPT_CAINFO, fetch->ca_file);
		DEPOT_FETCH_SETOPT(CURLOPT_CAPATH, NULL);
	}
	DEPOT_FETCH_SETOPT(CURLOPT_CONNECTTIMEOUT_MS, (long) fetch->options.connect_timeout_ms);
	DEPOT_FETCH_SETOPT(CURLOPT_USERAGENT, "pg_depot");
	ok = depot_fetch_set_callbacks(fetch, error);
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
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
						"time-outs must be positive, and retries not negative");
		return NULL;
	}
	DEPOT_FETCH_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT));
	fetch = calloc(1, sizeof(*fetch));
	if (fetch == NULL || !copy_string(options->proxy, &fetch->proxy) ||
		!copy_string(options->ca_file, &fetch->ca_file) ||
		!copy_string(options->credentials_file, &fetch->credentials_file))
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	fetch->options = *options;
	fetch->options.proxy = fetch->proxy;
	fetch->options.ca_file = fetch->ca_file;
	fetch->options.credentials_file = fetch->credentials_file;
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
	free(fetch->credentials_file);
	free(fetch);
	curl_global_cleanup();
}

/*----- bases that could not be reached ---------------------------------------*/

static bool
is_avoided(const DepotFetch *fetch, const char *base)
{
	for (int i = 0; i < DEPOT_FETCH_MAX_BASES; i++)
		if (fetch->avoided[i].base != NULL && strcmp(fetch->avoided[i].base, base) == 0)
			return fetch->avoided[i].until_ms > depot_fetch_now_ms();
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
	fetch->avoided[slot].until_ms = unreachable ? depot_fetch_now_ms() + AVOID_MS : 0;
}

/*----- retries and mirrors ------------------------------------------------------*/

/* Sleeps before try number try (1 the first repetition): doubling, up to half as much again at random. */
static bool
back_off(const DepotFetchRequest *request, int try, uint64_t bytes, DepotFetchProgress progress,
		 void *context, DepotError *error)
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
	end_ms = depot_fetch_now_ms() + delay_ms + noise % (delay_ms / 2);
	for (;;)
	{
		int64_t		left_ms = end_ms - depot_fetch_now_ms();
		int64_t		nap_ms = left_ms < DEPOT_FETCH_POLL_MS ? left_ms : DEPOT_FETCH_POLL_MS;
		struct timespec nap = {.tv_sec = 0, .tv_nsec = nap_ms * 1000000};

		if (left_ms <= 0)
			return true;
		if (progress != NULL && !progress(bytes, request->expected_bytes, context))
			return depot_error_set(error, DEPOT_ERROR_CANCELED, "download of \"%s\" canceled", request->path);
		(void) nanosleep(&nap, NULL);
	}
}

/*
 * Tries one base as often as it is worth it. What a try leaves is gone on with, by the next base too, unless
 * the base cannot do that or what was put together proved wrong: then it delivers in one piece, or not at
 * all.
 */
static DepotFetchOutcome
fetch_from_base(DepotFetch *fetch, const DepotFetchRequest *request, int base_index, DepotFetchPart *part,
				DepotFetchProgress progress, void *context, DepotError *error)
{
	bool		may_resume = depot_fetch_may_resume(request);
	uint64_t	credited_bytes = part->bytes;
	int			try = 0;

	for (;;)
	{
		DepotFetchOutcome outcome;

		if (!may_resume || part->bytes >= request->expected_bytes)
			depot_fetch_part_forget(part);
		if (try > 0 && !back_off(request, try, part->bytes, progress, context, error))
			return DEPOT_FETCH_FATAL;
		outcome = depot_fetch_try_base(fetch, request, base_index, part, progress, context, error);
		if (outcome == DEPOT_FETCH_DONE || outcome == DEPOT_FETCH_MISSING)
			set_avoided(fetch, request->bases[base_index], false);
		if (outcome == DEPOT_FETCH_ANEW)
		{
			may_resume = false;
			try = 0;
			continue;
		}
		if (outcome != DEPOT_FETCH_RETRY)
			return outcome;
		if (may_resume && part->bytes >= credited_bytes + depot_fetch_step_bytes(request))
		{
			credited_bytes = part->bytes;
			try = 0;
		}
		if (try++ >= fetch->options.retries)
		{
			if (error->code == DEPOT_ERROR_UNREACHABLE)
				set_avoided(fetch, request->bases[base_index], true);
			return DEPOT_FETCH_NEXT;
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

/* Says what to do about an error that does not say it by itself. */
static void
add_hint(DepotError *error)
{
	if (error->hint[0] != '\0')
		return;
	if (error->code == DEPOT_ERROR_UNREACHABLE)
		depot_error_hint(error, "Check the repository's address and the network of this server; "
						 "a mirror would help.");
	else if (error->code == DEPOT_ERROR_TRANSFER)
		depot_error_hint(error, "The call can be repeated. If it fails again, "
						 "tell the publisher of the repository.");
	else if (error->code == DEPOT_ERROR_TOO_LARGE)
		depot_error_hint(error, "Another file is served than was signed; tell the publisher of the repository.");
}

/* A message without the path, which is the same for all: "HOST: reason". */
static const char *
reason_of(const DepotError *error)
{
	const char *mark = strstr(error->message, "\" from ");

	return mark != NULL ? mark + strlen("\" from ") : error->message;
}

/* Sets the error of the base whose failure tells most, with what became of the others in its detail. */
static bool
fail_all(const DepotFetchResult *result, DepotError *error)
{
	const DepotError *worst = &result->skipped[0].error;
	DepotBuffer detail;

	depot_buffer_init(&detail);
	for (int i = 1; i < result->skipped_count; i++)
		if (depot_fetch_blame(result->skipped[i].error.code) > depot_fetch_blame(worst->code))
			worst = &result->skipped[i].error;
	*error = *worst;
	add_hint(error);
	if (result->skipped_count > 1)
	{
		depot_buffer_append_format(&detail, "%s%sNone of the repository's %d addresses delivered it.", worst->detail,
								   worst->detail[0] != '\0' ? " " : "", result->skipped_count);
		for (int i = 0; i < result->skipped_count; i++)
			depot_buffer_append_format(&detail, " %s.", reason_of(&result->skipped[i].error));
		if (!detail.failed)
			depot_error_detail(error, "%s", detail.data);
	}
	depot_buffer_free(&detail);
	return false;
}

bool
depot_fetch_file(DepotFetch *fetch, const DepotFetchRequest *request, DepotFetchResult *result,
				 DepotFetchProgress progress, void *context, DepotError *error)
{
	DepotFetchPart part;
	int			order[DEPOT_FETCH_MAX_BASES] = {0};
	int			missing = 0;

	memset(result, 0, sizeof(*result));
	if (request->base_count < 1 || request->base_count > DEPOT_FETCH_MAX_BASES)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "a repository needs 1 to %d addresses",
							   DEPOT_FETCH_MAX_BASES);
	for (int i = 0; i < request->base_count; i++)
		if (!(request->encoded ? depot_fetch_check_encoded_url : depot_fetch_check_url)
			(request->bases[i], fetch->options.allow_http, error))
			return false;

	depot_fetch_part_forget(&part);
	order_bases(fetch, request, order);
	for (int i = 0; i < request->base_count; i++)
	{
		DepotFetchOutcome outcome = fetch_from_base(fetch, request, order[i], &part, progress, context,
													error);

		if (outcome == DEPOT_FETCH_DONE)
		{
			result->base_index = order[i];
			result->bytes = part.bytes;
			return true;
		}
		if (outcome == DEPOT_FETCH_FATAL)
			return false;
		if (outcome == DEPOT_FETCH_MISSING)
		{
			missing++;
			depot_fetch_fail(request, order[i], outcome, error, DEPOT_ERROR_NOT_FOUND, "there is no such file");
		}
		result->skipped[i].base_index = order[i];
		result->skipped[i].error = *error;
		result->skipped_count = i + 1;
		/* the bytes of a base that served another file are not gone on with */
		if (outcome == DEPOT_FETCH_NEXT &&
			(error->code == DEPOT_ERROR_TOO_LARGE || error->code == DEPOT_ERROR_DIGEST_MISMATCH))
			depot_fetch_part_forget(&part);
	}

	/* one that says "no such file" while another cannot be asked proves nothing, but may have to do */
	result->missing = missing == request->base_count || (request->optional && missing > 0);
	return result->missing || fail_all(result, error);
}
