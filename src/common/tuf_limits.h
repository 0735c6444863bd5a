/*-------------------------------------------------------------------------
 *
 * tuf_limits.h
 *	  Size caps of metadata that carries no length from its parent.
 *
 * Apart from tuf.h because the server checks what it is given too, and the JSON
 * library that tuf.h needs does not go with PostgreSQL's headers.  The values
 * are python-tuf's defaults, targets larger.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TUF_LIMITS_H
#define DEPOT_TUF_LIMITS_H

#define DEPOT_TUF_ROOT_MAX_BYTES 512000
#define DEPOT_TUF_TIMESTAMP_MAX_BYTES 16384

/*
 * Read before a signature was looked at: full of empty objects it takes 50 MB of memory.  The entries of 16,000
 * roles fit in.
 */
#define DEPOT_TUF_SNAPSHOT_MAX_BYTES 640000
#define DEPOT_TUF_TARGETS_MAX_BYTES 32000000

/* Publishers' roles in the slice of one server: each is a file to fetch, and held in memory while it is read. */
#define DEPOT_TUF_MAX_PUBLISHERS 256

#endif							/* DEPOT_TUF_LIMITS_H */
