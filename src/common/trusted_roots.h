/*-------------------------------------------------------------------------
 *
 * trusted_roots.h
 *	  Reads a list of pinned roots: "main = <sha256>, other = /etc/depot/root.json".
 *
 * Entries are separated by commas: the name of a repository, "=", and the SHA-256 digest
 * of its root metadata (64 lower-case hexadecimal digits) or the absolute path of
 * that file.  A path has no comma, quote or control character, and blanks only inside.
 * No allocation.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TRUSTED_ROOTS_H
#define DEPOT_TRUSTED_ROOTS_H

#include <stdbool.h>

#include "common/error.h"
#include "common/name.h"

#define DEPOT_TRUSTED_ROOTS_PATH_BYTES 1024

typedef struct DepotTrustedRoot
{
	char		repository[DEPOT_NAME_MAX_BYTES + 1];
	char		sha256[65];		/* "": path says it */
	char		path[DEPOT_TRUSTED_ROOTS_PATH_BYTES];	/* "": sha256 says it */
} DepotTrustedRoot;

/* Checks a list, every entry of it; a repository has at most one.  Error: INVALID_ARGUMENT, INVALID_NAME. */
extern bool depot_trusted_roots_check(const char *list, DepotError *error);

/* Tells whether a list has any entry. */
extern bool depot_trusted_roots_has_entries(const char *list);

/* Finds the entry of a repository in a list that passes the check; false: it has none. */
extern bool depot_trusted_roots_find(const char *list, const char *repository, DepotTrustedRoot *root);

#endif							/* DEPOT_TRUSTED_ROOTS_H */
