/*-------------------------------------------------------------------------
 *
 * bundle.h
 *	  A repository, or a part of one, in one file.
 *
 * A bundle is a plain tar of metadata/ and targets/ as a repository serves
 * them, so "tar xf" makes a mirror of it.  What makes it trustworthy is the
 * signed metadata inside, never the file itself.  "pg_depot bundle" writes
 * one; the fetch agent looks single files up in one, where a repository's
 * URL is file:///PATH of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_BUNDLE_H
#define DEPOT_BUNDLE_H

#include <stdint.h>

#include "common/error.h"

#define DEPOT_BUNDLE_MAX_MEMBERS 100000
#define DEPOT_BUNDLE_PATH_BYTES 1024

/* Where the contents of a file lie in the bundle. */
typedef struct DepotBundleMember
{
	uint64_t	offset;
	uint64_t	size_bytes;
} DepotBundleMember;

/*
 * Finds the file path ("metadata/timestamp.json") in the bundle that fd is.  *found is false when the whole
 * bundle has been read and does not have it.  Reads headers only, by the narrow rules of what
 * "pg_depot bundle" writes.  Errors: ARCHIVE (not a bundle, or a damaged one), IO.
 */
extern bool depot_bundle_find(int fd, const char *path, DepotBundleMember *member, bool *found,
							  DepotError *error);

/* A bundle that is being written. */
typedef struct DepotBundleWriter DepotBundleWriter;

/* Begins a bundle in the empty file fd, which stays the caller's; NULL and OUT_OF_MEMORY on failure. */
extern DepotBundleWriter *depot_bundle_create(int fd, DepotError *error);

/*
 * Copies the file path below directory_fd into the bundle under the same path.  Its contents must have that
 * size and digest (DIGEST_MISMATCH).
 */
extern bool depot_bundle_add_file(DepotBundleWriter *writer, int directory_fd, const char *path,
								  uint64_t size_bytes, const char *sha256, DepotError *error);

/* Ends the bundle and frees writer.  is_whole false: gives up, and what was written is no bundle. */
extern bool depot_bundle_finish(DepotBundleWriter *writer, bool is_whole, DepotError *error);

#endif							/* DEPOT_BUNDLE_H */
