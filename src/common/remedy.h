/*-------------------------------------------------------------------------
 *
 * remedy.h
 *	  What to do about a server that is not ready, in the words of all who say so:
 *	  extension_files_ready, depot.health and "pg_depot ready".
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_REMEDY_H
#define DEPOT_REMEDY_H

#define DEPOT_REMEDY_IF_IT_LASTS "see the server's log, if this lasts"
#define DEPOT_REMEDY_IN_THE_LOG "see the server's log; it is tried again after a pause"
#define DEPOT_REMEDY_HOLD "turn off depot.hold and reload"

/* sql/views.sql has the same. */
#define DEPOT_REMEDY_MISSING "SELECT problem FROM depot.nodes; it is tried again after a pause"

#endif							/* DEPOT_REMEDY_H */
