/*-------------------------------------------------------------------------
 *
 * digest.h
 *	  SHA-256 (libnettle) and hexadecimal.
 *
 * Linked into the program only: the server has no use for digests, its agents
 * compute them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_DIGEST_H
#define DEPOT_DIGEST_H

#include <nettle/sha2.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define DEPOT_SHA256_BYTES 32
#define DEPOT_SHA256_HEX_BYTES 65	/* with the final NUL */

/* Calls sodium_init once; every program entry point calls it first. */
extern bool depot_digest_init(DepotError *error);

/* A digest of what comes in pieces: begin, add as often as needed, end.  Holds nothing that has to be freed. */
typedef struct sha256_ctx DepotDigest;

extern void depot_digest_begin(DepotDigest *state);
extern void depot_digest_add(DepotDigest *state, const void *bytes, size_t length_bytes);
extern void depot_digest_end(DepotDigest *state, uint8_t digest[DEPOT_SHA256_BYTES]);

/* Like depot_digest_end, in hexadecimal. */
extern void depot_digest_end_hex(DepotDigest *state, char hex[DEPOT_SHA256_HEX_BYTES]);

extern void depot_digest_sha256(const void *bytes, size_t length_bytes, uint8_t digest[DEPOT_SHA256_BYTES]);
extern void depot_digest_sha256_hex(const void *bytes, size_t length_bytes, char hex[DEPOT_SHA256_HEX_BYTES]);

/*
 * Digests a regular file below directory_fd (no symbolic link on the way is
 * followed).  Fills size_bytes when not NULL.
 */
extern bool depot_digest_file(int directory_fd, const char *path, char hex[DEPOT_SHA256_HEX_BYTES],
							  uint64_t *size_bytes, DepotError *error);

/* Lower-case hex of length_bytes bytes into hex (2 * length_bytes + 1). */
extern void depot_digest_to_hex(const uint8_t *bytes, size_t length_bytes, char *hex);

/* Reads exactly 2 * length_bytes lower-case hex digits; false for anything else. */
extern bool depot_digest_from_hex(const char *hex, uint8_t *bytes, size_t length_bytes);

#endif							/* DEPOT_DIGEST_H */
