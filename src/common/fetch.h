/*-------------------------------------------------------------------------
 *
 * fetch.h
 *	  Downloading one file from a repository (libcurl).
 *
 * https and file: always, http where allowed or to loopback.  No redirects, no
 * environment proxies, no .netrc, no cookies, no content decoding, path sent as is; credentials to the origins
 * that their file names and nowhere else; bytes are counted in the
 * write callback and never exceed the caller's limit; connect and stall time-outs; retries with back-off for
 * what may pass, going on where the last one broke; the mirrors in turn. Trusted for nothing: the check
 * agent decides what the bytes are worth.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FETCH_H
#define DEPOT_FETCH_H

#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

#define DEPOT_FETCH_MAX_BASES 16
#define DEPOT_FETCH_MAX_URL_BYTES 1024

/* A path whose every byte may take three. */
#define DEPOT_FETCH_MAX_ENCODED_BYTES 4096

/*
 * A transfer that brings less than this over the whole stall time-out is ended. Small enough for the worst
 * line, large enough that a server dripping single bytes cannot hold a job for hours.
 */
#define DEPOT_FETCH_MIN_BYTES_PER_SECOND 128

typedef struct DepotFetchOptions
{
	int			connect_timeout_ms;
	int			stall_timeout_ms;	/* no byte, or fewer than the minimum, over this long ends the transfer */
	int			retries;		/* per base, for connect failures, 5xx and broken transfers that got no
								 * further */
	bool		allow_http;		/* http to other hosts than loopback */
	const char *proxy;			/* NULL: none, whatever the environment says */
	const char *ca_file;		/* NULL: the system's */
	const char *credentials_file;	/* NULL: none; read anew for each transfer by http or https */
} DepotFetchOptions;

typedef struct DepotFetchRequest
{
	const char *const *bases;	/* URL prefixes: the repository's and its mirrors' */
	int			base_count;
	const char *path;			/* relative, parts of [A-Za-z0-9._+~:-]; percent-encoded as needed */
	uint64_t	max_bytes;
	uint64_t	expected_bytes; /* 0: unknown; fewer is TRANSFER ("truncated"), more TOO_LARGE */
	const char *sha256;			/* NULL: unknown; a base with other bytes is DIGEST_MISMATCH */
	bool		encoded;		/* path is percent-encoded already, and may mean any name */
	bool		optional;		/* one base that says "missing" is believed, whatever ails the others */
	int			fd;				/* written from 0; what is in it is overwritten */
} DepotFetchRequest;

/* A base that did not deliver what another one did, and why. */
typedef struct DepotFetchSkipped
{
	int			base_index;
	DepotError	error;
} DepotFetchSkipped;

typedef struct DepotFetchResult
{
	bool		missing;		/* every base, or with optional any, said 404 or 410 (or ENOENT) */
	uint64_t	bytes;
	int			base_index;		/* the one that delivered */
	int			skipped_count;
	DepotFetchSkipped skipped[DEPOT_FETCH_MAX_BASES];
} DepotFetchResult;

/* bytes so far and expected (0: unknown); returns false to stop (CANCELED). */
typedef bool (*DepotFetchProgress) (uint64_t bytes_done, uint64_t bytes_total, void *context);

typedef struct DepotFetch DepotFetch;

extern DepotFetch *depot_fetch_open(const DepotFetchOptions *options, DepotError *error);
extern void depot_fetch_close(DepotFetch *fetch);

/*
 * Errors: UNREACHABLE, TRANSFER, STALLED, TOO_LARGE, DIGEST_MISMATCH, DISK_FULL, IO, CONFIGURATION, CANCELED;
 * each names the base's host and the path, not the query.
 */
extern bool depot_fetch_file(DepotFetch *fetch, const DepotFetchRequest *request, DepotFetchResult *result,
							 DepotFetchProgress progress, void *context, DepotError *error);

/*
 * Tells how much an error says about the address that something came from: 0 nothing, as another address would
 * not do better; else the more the larger, from a file that is not there to one that is not what was signed.
 * Needs no libcurl either.
 */
extern int	depot_fetch_blame(DepotErrorCode code);

/*
 * Whether a URL may be a repository's: https://, http:// (loopback or allowed), file:/// with an absolute
 * path; no user info, query or fragment; at most 1024 printable ASCII bytes, no ".." part. Used by the server
 * too, so it is in fetch_url.c and needs no libcurl.
 */
extern bool depot_fetch_check_url(const char *url, bool allow_http, DepotError *error);

/* The same for the base of an encoded path, where a name may hold an encoded '/' (not with file:). */
extern bool depot_fetch_check_encoded_url(const char *url, bool allow_http, DepotError *error);

/*
 * Appends base "/" path to url, everything in path but unreserved characters and '/' percent-encoded; checks
 * the path, not the base.
 */
extern bool depot_fetch_build_url(const char *base, const char *path, DepotBuffer *url, DepotError *error);

/*
 * Appends base "/" path, where path is percent-encoded already: unreserved characters, '/' and %XX, no part
 * empty, "." or "..".  An encoded '/' is one of a name, so a file: base, which has no such names, refuses it.
 */
extern bool depot_fetch_build_encoded_url(const char *base, const char *path, DepotBuffer *url,
										  DepotError *error);

#endif							/* DEPOT_FETCH_H */
