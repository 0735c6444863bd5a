/*-------------------------------------------------------------------------
 *
 * link.h
 *	  A standby's connection to its primary, as the reporter sees it.
 *
 * libpq is in a module of its own (src/link/), which only the reporter loads:
 * no other process of the server maps it for us.  One connection, and nothing
 * here waits but for names that have to be resolved.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_LINK_H
#define DEPOT_LINK_H

#include <stdbool.h>

typedef enum DepotLinkState
{
	DEPOT_LINK_FAILED,			/* error() says why; close it */
	DEPOT_LINK_READING,			/* advance it when its socket is readable */
	DEPOT_LINK_WRITING,			/* advance it when its socket is writable */
	DEPOT_LINK_IDLE				/* connected: send, or advance it when its socket is readable */
} DepotLinkState;

typedef struct DepotLinkFunctions
{
	/*
	 * Begins to connect.  conninfo is as the operator wrote it; what it does not name is database, the
	 * application name node, and a session that can write.
	 */
	DepotLinkState (*open) (const char *conninfo, const char *database, const char *node);
	/* Goes on with what has begun. */
	DepotLinkState (*advance) (void);
	/* Begins to send a report. */
	DepotLinkState (*send) (const char *report);
	/* The socket to wait for, which changes while it connects; -1: none. */
	int			(*socket) (void);
	/* Why it failed, with the SQLSTATE and the hint that the primary gave or "", until it is opened again. */
	const char *(*error) (const char **sqlstate, const char **hint);
	void		(*close) (void);
} DepotLinkFunctions;

/* What the module is found by, and its one function. */
#define DEPOT_LINK_LIBRARY "$libdir/pg_depot_libpq"
#define DEPOT_LINK_SYMBOL "depot_link_functions"

typedef const DepotLinkFunctions *(*DepotLinkEntry) (void);

#endif							/* DEPOT_LINK_H */
