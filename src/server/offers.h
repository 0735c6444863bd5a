/*-------------------------------------------------------------------------
 *
 * offers.h
 *	  What the check agent says that a repository offers.
 *
 * Its lines come one by one and are kept until it says that all is well; then
 * they replace the rows of depot.available and depot.withdrawn.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_OFFERS_H
#define DEPOT_OFFERS_H

#include "nodes/pg_list.h"
#include "server/agent.h"
#include "server/job.h"
#include "server/rows.h"

/* All zero: nothing. */
typedef struct DepotOffers
{
	MemoryContext context;		/* of all the rest, below the one in which the first line came */
	DepotOfferRow *rows;
	int			count;
	int			capacity;
	List	   *withdrawn;		/* DepotWithdrawnRow, the last about a build counts */
} DepotOffers;

/* Keep a target's line, whose description must be one, and that of a withdrawn build; raise an error about nonsense. */
extern void depot_offers_add(DepotOffers *offers, const char *repository, DepotAgent *agent,
							 const DepotMessage *message);
extern void depot_offers_add_withdrawn(DepotOffers *offers, DepotAgent *agent, const DepotMessage *message);

/* Replaces a repository's rows, in the transaction of the caller. */
extern void depot_offers_record(const DepotOffers *offers, const char *repository);

/* What the last refresh of a job has found of a slice that is not this server's; borrowed. */
extern DepotOffers *depot_refresh_offers(DepotJob *job);

/* Frees everything. */
extern void depot_offers_forget(DepotOffers *offers);

#endif							/* DEPOT_OFFERS_H */
