/*-------------------------------------------------------------------------
 *
 * archive.h
 *	  Reading and writing package archives (tar in zstd, through libarchive).
 *
 * There is one bounded reader, used by the check agent, "pg_depot inspect" and
 * "pg_depot verify", so that verifying and installing cannot disagree.  It
 * enforces rules A2 to A11 of docs/package-format.md and knows two passes:
 * the first reads everything and creates nothing, the second writes.  Digest and length of
 * the whole archive (A1) are the caller's duty, before it opens it here.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_ARCHIVE_H
#define DEPOT_ARCHIVE_H

#include <stdint.h>

#include "common/error.h"
#include "common/manifest.h"

typedef struct DepotArchiveLimits
{
	uint64_t	unpacked_bytes; /* all members together, counted on real bytes */
	uint64_t	file_bytes;		/* one member */
	int			entries;
	int			ratio;			/* unpacked : archive size, applied above 16 MB; 0: any */
} DepotArchiveLimits;

/* Used where a caller gives NULL: 2 GiB, 1 GiB, 40000, 250. */
extern const DepotArchiveLimits depot_archive_default_limits;

/* Called now and then with unpacked bytes so far; returns false to stop (CANCELED). */
typedef bool (*DepotArchiveProgress) (uint64_t bytes_done, void *context);

/*
 * Reads the manifest at the start of the archive in fd, and no further.  It is whole and valid, within the
 * limits, and has the digest expected_manifest_sha256; what follows it has not been looked at.
 */
extern DepotManifest *depot_archive_read_manifest(int fd, const DepotArchiveLimits *limits,
												  const char *expected_manifest_sha256, DepotError *error);

/*
 * Reads the archive in fd from its start, checks every rule, and returns the manifest
 * together with the digest of its bytes; nothing is written anywhere.  expected_manifest_sha256 may be NULL.
 * Refuses as early as the rule allows: a bad name, a bad type or a passed limit ends it at that header.
 */
extern DepotManifest *depot_archive_verify(int fd, const DepotArchiveLimits *limits,
										   const char *expected_manifest_sha256, char manifest_sha256[65],
										   DepotArchiveProgress progress, void *context, DepotError *error);

/*
 * Does what depot_archive_verify does and writes exactly the manifest's files (and the manifest itself) below
 * directory_fd, which must be empty: new inodes (O_EXCL, O_NOFOLLOW), modes 0644/0755 whatever the umask,
 * every file and directory fsynced.  manifest and manifest_sha256 are what one of the functions above gave
 * or expected.  On error what was written stays for the caller to remove.
 */
extern bool depot_archive_unpack(int fd, const DepotManifest *manifest, const char *manifest_sha256,
								 const DepotArchiveLimits *limits, int directory_fd,
								 DepotArchiveProgress progress, void *context, DepotError *error);

/*
 * Writes a package: the manifest first, then every manifest file read from tree_fd (which
 * holds lib/, share/, licenses/), reproducibly.  fd is written from its present position; the digests in
 * the manifest are compared with what was read.  zstd level 19 with no thread- or time-dependent bytes.
 * Neither fsyncs nor closes fd.
 */
extern bool depot_archive_write(int fd, const DepotManifest *manifest, int tree_fd,
								DepotArchiveProgress progress, void *context, DepotError *error);

#endif							/* DEPOT_ARCHIVE_H */
