/*-------------------------------------------------------------------------
 *
 * lockfile.h
 *	  The lock of a server: exactly which builds it has, as JSON.
 *
 * Written by extension_lock() and read by apply_extension_lock(), on the same
 * server or on others of a fleet.  It names digests, not trust: what a digest
 * stands for is decided by the signed metadata of the repositories that the
 * server it is applied to knows.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_LOCKFILE_H
#define DEPOT_LOCKFILE_H

#include <stddef.h>

#include "common/error.h"
#include "common/name.h"

#define DEPOT_LOCKFILE_FORMAT 1
#define DEPOT_LOCKFILE_MAX_ENTRIES 1024

typedef struct DepotLockEntry
{
	char		package[DEPOT_NAME_MAX_BYTES + 1];
	char		version[DEPOT_NAME_MAX_BYTES + 1];
	char		why[DEPOT_NAME_MAX_BYTES + 1];	/* as in depot.installed */
	char		sha256[65];		/* of the build for the server it was read for */
} DepotLockEntry;

typedef struct DepotLockfile
{
	DepotLockEntry *entries;	/* malloc'd, by depot_lockfile_free; in the order of the text */
	int			count;
} DepotLockfile;

/*
 * Reads a lock for a server of a major version and platform ("linux-amd64").  Members that it does not know
 * are left to later versions of us.  Errors: INVALID_ARGUMENT (not a lock, or one that contradicts itself),
 * UNKNOWN_VERSION (a package without a build for this server; the detail lists those it has).  *lock is then empty.
 */
extern bool depot_lockfile_parse(const char *text, size_t length_bytes, int major, const char *platform,
								 DepotLockfile *lock, DepotError *error);
extern void depot_lockfile_free(DepotLockfile *lock);

#endif							/* DEPOT_LOCKFILE_H */
