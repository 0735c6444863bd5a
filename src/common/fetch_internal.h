/*-------------------------------------------------------------------------
 *
 * fetch_internal.h
 *	  What fetch.c, fetch_transfer.c and fetch_error.c share and nobody else includes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FETCH_INTERNAL_H
#define DEPOT_FETCH_INTERNAL_H

#include <curl/curl.h>
#include <sodium.h>
#include <stdint.h>

#include "common/fetch.h"

/* How often a transfer or a pause is looked at: cancellation and stalls. */
#define DEPOT_FETCH_POLL_MS 100

/* What a try of one base came to. */
typedef enum DepotFetchOutcome
{
	DEPOT_FETCH_DONE,
	DEPOT_FETCH_MISSING,
	DEPOT_FETCH_RETRY,			/* may pass: this base again, then the next */
	DEPOT_FETCH_NEXT,			/* this base will not do better: the next */
	DEPOT_FETCH_FATAL			/* nothing to do with the base: give up */
}			DepotFetchOutcome;

/* What callbacks recorded about one transfer. */
typedef struct DepotFetchTransfer
{
	CURL	   *easy;
	int			fd;
	uint64_t	limit_bytes;
	uint64_t	bytes;
	crypto_hash_sha256_state digest;	/* of what was written */
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
}			DepotFetchTransfer;

/* A base that could not be reached a moment ago. */
typedef struct DepotFetchAvoided
{
	char	   *base;
	int64_t		until_ms;
}			DepotFetchAvoided;

struct DepotFetch
{
	CURLM	   *multi;
	CURL	   *easy;
	DepotFetchOptions options;	/* its strings are the two below */
	char	   *proxy;
	char	   *ca_file;
	DepotFetchAvoided avoided[DEPOT_FETCH_MAX_BASES];
};

/* The one macro with control flow: runs a libcurl call, and on failure fills error and goes to done. */
#define DEPOT_FETCH_CHECK(call) \
	do { \
		CURLcode	check_code = (call); \
		if (check_code != CURLE_OK) \
		{ \
			depot_error_set(error, depot_fetch_setup_error(check_code), "libcurl refused %s: %s", #call, \
							curl_easy_strerror(check_code)); \
			goto done; \
		} \
	} while (0)

#define DEPOT_FETCH_SETOPT(option, value) DEPOT_FETCH_CHECK(curl_easy_setopt(fetch->easy, option, value))

/* Says which error a refused option is. */
extern DepotErrorCode depot_fetch_setup_error(CURLcode code);

/* Milliseconds of the monotonic clock. */
extern int64_t depot_fetch_now_ms(void);

/* Sets the options that concern callbacks, once per handle. */
extern bool depot_fetch_set_callbacks(DepotFetch *fetch, DepotError *error);

/* Tries one base once, from an empty file. */
extern DepotFetchOutcome depot_fetch_try_base(DepotFetch *fetch, const DepotFetchRequest *request,
											  int base_index,
											  DepotFetchProgress progress, void *context, uint64_t *bytes,
											  DepotError *error);

/* Sets "could not fetch PATH from HOST: reason" and returns outcome. */
extern DepotFetchOutcome depot_fetch_fail(const DepotFetchRequest *request, int base_index,
										  DepotFetchOutcome outcome, DepotError *error, DepotErrorCode code,
										  const char *reason);

/*
 * Says what a finished transfer came to, most certain reasons first, and sets error for all but DONE and
 * MISSING.
 */
extern DepotFetchOutcome depot_fetch_judge(const DepotFetch *fetch, const DepotFetchRequest *request,
										   int base_index,
										   const DepotFetchTransfer *transfer, CURLcode code,
										   DepotError *error);

/* Compares what was written with the digest asked for: DONE, or NEXT with an error. */
extern DepotFetchOutcome depot_fetch_compare_digest(const DepotFetchRequest *request, int base_index,
													DepotFetchTransfer *transfer, DepotError *error);

#endif							/* DEPOT_FETCH_INTERNAL_H */
