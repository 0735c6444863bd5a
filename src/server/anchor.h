/*-------------------------------------------------------------------------
 *
 * anchor.h
 *	  Which trust anchor the trusted metadata of a repository began with.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_ANCHOR_H
#define DEPOT_ANCHOR_H

#include "server/rows.h"

/*
 * Makes the metadata directory of a repository that is being added; true: it is
 * new and empty.  Trusted metadata that began with the same anchor is kept: a
 * repository that was dropped, or whose row was lost, does not come back with
 * less than was seen before.  With another anchor it is another repository,
 * whose metadata starts empty; what was there waits for the day its own anchor
 * comes back.  Called in a transaction: PostgreSQL's digests need a resource owner.
 */
extern bool depot_anchor_prepare(const DepotRepositoryRow *row);

/* Where trust in a repository begins on this server: root, or sha256 of it, the other is NULL. */
typedef struct DepotAnchor
{
	bool		is_pinned;		/* whatever was trusted so far */
	const char *root;
	size_t		root_bytes;
	const char *sha256;
} DepotAnchor;

/*
 * Tells where: as depot.trusted_roots pins, else as the row says.  Inside a transaction.  Strings live in the
 * current memory context or as long as the row.  Raises an error when the setting pins another root than the
 * repository was added with, or names a file that cannot be read, or has entries of which none is this
 * repository's, which was not added on this server.
 */
extern void depot_anchor_resolve(const DepotRepositoryRow *row, DepotAnchor *anchor);

#endif							/* DEPOT_ANCHOR_H */
