/*-------------------------------------------------------------------------
 *
 * fetch_internal.h
 *	  What fetch.c and the fetch_*.c files share and nobody else includes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FETCH_INTERNAL_H
#define DEPOT_FETCH_INTERNAL_H

#include <curl/curl.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/fetch.h"

/* How often a transfer or a pause is looked at: cancellation and stalls. */
#define DEPOT_FETCH_POLL_MS 100

/* Room for an ETag or a date; a longer one is not used. */
#define DEPOT_FETCH_VALIDATOR_BYTES 128

/* What a try of one base came to. */
typedef enum DepotFetchOutcome
{
	DEPOT_FETCH_DONE,
	DEPOT_FETCH_MISSING,
	DEPOT_FETCH_RETRY,			/* may pass: this base again, then the next */
	DEPOT_FETCH_ANEW,			/* what was kept is of no use: this base at once for the whole file */
	DEPOT_FETCH_NEXT,			/* this base will not do better: the next */
	DEPOT_FETCH_FATAL			/* nothing to do with the base: give up */
} DepotFetchOutcome;

/*
 * What the file holds so far, across tries and bases. The digest goes along, so that nothing is read again.
 */
typedef struct DepotFetchPart
{
	uint64_t	bytes;
	DepotDigest digest;			/* of these bytes */
	int			pieces;			/* answers that they came in */
	int			validator_base; /* index of the base that sent the validator; -1: none */
	char		validator[DEPOT_FETCH_VALIDATOR_BYTES];
} DepotFetchPart;

/* What callbacks recorded about one transfer. */
typedef struct DepotFetchTransfer
{
	CURL	   *easy;
	const DepotFetchRequest *request;
	int			base_index;
	uint64_t	limit_bytes;	/* of the whole file */
	DepotFetchPart *part;
	uint64_t	start_bytes;	/* where this transfer was asked to go on; 0: whole file */
	const char *if_range;		/* the validator asked with; NULL: none */
	bool		begun;			/* bytes of the file have come */
	struct curl_slist *headers; /* to send */
	char		credentials_prefix[DEPOT_FETCH_MAX_URL_BYTES + 1];	/* of the entry that was sent; "": none */
	int			content_ranges; /* how many such headers */
	char		content_range[64];
	char		etag[DEPOT_FETCH_VALIDATOR_BYTES];
	char		last_modified[DEPOT_FETCH_VALIDATOR_BYTES];
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
} DepotFetchTransfer;

/* A base that could not be reached a moment ago. */
typedef struct DepotFetchAvoided
{
	char	   *base;
	int64_t		until_ms;
} DepotFetchAvoided;

struct DepotFetch
{
	CURLM	   *multi;
	CURL	   *easy;
	DepotFetchOptions options;	/* its strings are the three below */
	char	   *proxy;
	char	   *ca_file;
	char	   *credentials_file;
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

/*
 * Tries one base once, from where part ends, which is moved on. A caller who wants the whole file forgets the
 * part first.
 */
extern DepotFetchOutcome depot_fetch_try_base(DepotFetch *fetch, const DepotFetchRequest *request,
											  int base_index, DepotFetchPart *part,
											  DepotFetchProgress progress, void *context,
											  DepotError *error);

/* Sets "could not fetch PATH from HOST: reason" and returns outcome. */
extern DepotFetchOutcome depot_fetch_fail(const DepotFetchRequest *request, int base_index,
										  DepotFetchOutcome outcome, DepotError *error, DepotErrorCode code,
										  const char *reason);

/*
 * Says what a finished transfer came to, most certain reasons first, and sets error for all but DONE, MISSING
 * and ANEW.
 */
extern DepotFetchOutcome depot_fetch_judge(const DepotFetch *fetch, const DepotFetchRequest *request,
										   int base_index,
										   const DepotFetchTransfer *transfer, CURLcode code,
										   DepotError *error);

/*
 * Compares what was written with the digest asked for: DONE, ANEW if it was put together from pieces, else
 * NEXT with an error.
 */
extern DepotFetchOutcome depot_fetch_compare_digest(const DepotFetchRequest *request, int base_index,
													DepotFetchPart *part, DepotError *error);

/*----- fetch_file.c -----------------------------------------------------------*/

/* Two numbers and a dash. */
#define DEPOT_FETCH_RANGE_BYTES 48

/*
 * Looks at a file: base before libcurl does.  DONE: url can be read; when the base is a bundle, url becomes
 * that of the bundle, and range where the file lies in it.  MISSING, NEXT and FATAL as for any try.
 */
extern DepotFetchOutcome depot_fetch_locate_file(const DepotFetch *fetch, const DepotFetchRequest *request,
												 int base_index, DepotBuffer *url,
												 char range[DEPOT_FETCH_RANGE_BYTES], DepotError *error);

/*----- fetch_range.c ----------------------------------------------------------*/

/* Tells whether a download that broke may be gone on with: its length and digest must be known. */
extern bool depot_fetch_may_resume(const DepotFetchRequest *request);

/* Returns how many more bytes make it worth to count the retries of a base from the start again. */
extern uint64_t depot_fetch_step_bytes(const DepotFetchRequest *request);

/* Makes part that of an empty file. */
extern void depot_fetch_part_forget(DepotFetchPart *part);

/* Cuts the file to what part says, and goes to its end; false with errno set. */
extern bool depot_fetch_part_rewind(const DepotFetchPart *part, int fd);

/* Records what one header line (not terminated) says about ranges and versions of the file. */
extern void depot_fetch_note_header(DepotFetchTransfer *transfer, const char *line, size_t length);

/* Tells whether an answer with status 206 goes on where the part ends, with the same file. */
extern bool depot_fetch_range_fits(const DepotFetchTransfer *transfer);

/* Counts a piece whose first bytes have come, and remembers the validator of the base that sent them. */
extern void depot_fetch_part_begin_piece(DepotFetchTransfer *transfer);

/*
 * Sets the option that asks for what the part lacks, or for the whole file if it is empty, and adds to the
 * transfer's headers.
 */
extern bool depot_fetch_ask_range(DepotFetch *fetch, DepotFetchTransfer *transfer, DepotError *error);

/*----- fetch_authorize.c ------------------------------------------------------*/

/*
 * Reads the file of credentials, if there is one, and sets what its entry for url says; that is taken back by
 * depot_fetch_withdraw, also after an error.
 */
extern bool depot_fetch_authorize(DepotFetch *fetch, DepotFetchTransfer *transfer, const char *url,
								  DepotError *error);
extern void depot_fetch_withdraw(DepotFetch *fetch);

/* Adds "NAME: VALUE" to the headers of a transfer. */
extern bool depot_fetch_add_header(DepotFetchTransfer *transfer, const char *name, const char *value,
								   DepotError *error);

/* Says of an answer with status 401 or 403 which credentials were sent, and what to do. */
extern void depot_fetch_explain_denial(const DepotFetch *fetch, const DepotFetchTransfer *transfer, DepotError *error);

#endif							/* DEPOT_FETCH_INTERNAL_H */
