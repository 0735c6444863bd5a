/*-------------------------------------------------------------------------
 *
 * bases.h
 *	  A repository's addresses: its URL and then its mirrors, one after the other.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_BASES_H
#define DEPOT_BASES_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "server/job.h"

/* The addresses that an operation has tried, and the one that it is at. */
typedef struct DepotBases
{
	const DepotRepositoryRow *row;
	int			current;
	DepotError	worst;			/* the most telling error so far */
	StringInfoData failures;	/* in words, each address with its reason */
} DepotBases;

/* Begins with the repository's URL.  row lives as long as bases, which belongs to CurrentMemoryContext. */
extern void depot_bases_begin(DepotBases *bases, const DepotRepositoryRow *row);

/* Returns address number index of a repository: 0 its URL, from 1 its mirrors; NULL when there is none. */
extern const char *depot_bases_url(const DepotRepositoryRow *row, int index);

/*
 * Goes on to the next address with a WARNING that names the current one and says why.  Raises an error where
 * there is none: of the address whose failure tells most, with the others in its detail.
 */
extern void depot_bases_skip(DepotJob *job, DepotBases *bases, const DepotError *error);

/* Notes whether an address was reached; one that was not is out of reach for some minutes, for all of this leader. */
extern void depot_bases_note(const char *url, bool is_reached);

/*
 * Puts the addresses that are out of reach behind the others, so that they cost their time-out only where no other
 * one delivers.  The order is made in CurrentMemoryContext.
 */
extern void depot_bases_prefer_reachable(DepotRepositoryRow *row);

/* Tells the caller that an address was passed over, and why. */
extern void depot_bases_warn(DepotJob *job, const DepotRepositoryRow *row, int index, const DepotError *error);

#endif							/* DEPOT_BASES_H */
