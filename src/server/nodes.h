/*-------------------------------------------------------------------------
 *
 * nodes.h
 *	  What a server reports of itself, as text and back.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_NODES_H
#define DEPOT_NODES_H

#include "postgres.h"

#include "server/shmem_nodes.h"

/*
 * Fills in what this server would report, as its leader noted it last.  false: the leader has noted nothing since the
 * server started.
 */
extern bool depot_nodes_own_report(DepotNodeReport *report, TimestampTz *noted_at);

/* Returns a report as a JSON text in ASCII, palloc'd. */
extern char *depot_nodes_report_text(const DepotNodeReport *report);

/* Reads such a text from anybody, within its bounds.  Raises an error when it is none. */
extern void depot_nodes_read_report(const char *text, DepotNodeReport *report);

#endif							/* DEPOT_NODES_H */
