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

#endif							/* DEPOT_ANCHOR_H */
