/*-------------------------------------------------------------------------
 *
 * everywhere.h
 *	  ALTER EXTENSION ... UPDATE in every database.
 *
 * everywhere.c, in the session that called the procedure, takes one database
 * after the other.  For each it starts a background worker (everywhere_worker.c),
 * which connects as the calling role, updates the extension in a transaction of its
 * own and leaves what came of it in a dynamic shared memory segment.  An error there is
 * that worker's end, and a row of the result.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_EVERYWHERE_H
#define DEPOT_EVERYWHERE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "server/errors.h"

#define DEPOT_EVERYWHERE_VERSION_BYTES 256

/* What a worker is told and answers.  The caller reads the answer when the worker has ended. */
typedef struct DepotEverywhereTask
{
	/* by the caller */
	Oid			database;
	Oid			role;
	bool		is_superuser;	/* the role */
	int			lock_timeout_ms;
	char		extension[NAMEDATALEN];
	char		version[DEPOT_EVERYWHERE_VERSION_BYTES];	/* "": the default version */

	/* by the worker; texts are in its database's encoding */
	int			encoding;
	bool		is_done;		/* committed, or there was nothing to do */
	char		from_version[DEPOT_EVERYWHERE_VERSION_BYTES];	/* "": the extension does not exist there */
	char		to_version[DEPOT_EVERYWHERE_VERSION_BYTES];
	bool		has_failed;
	DepotReport report;			/* when has_failed */
} DepotEverywhereTask;

/* A row of the result: strings, palloc'd; versions and message may be NULL. */
typedef struct DepotEverywhereRow
{
	char	   *database;
	char	   *from_version;
	char	   *to_version;
	const char *result;			/* "updated", "unchanged", "failed" or "skipped" */
	char	   *message;
} DepotEverywhereRow;

/*
 * Updates an extension in every database that has it, to version or (NULL) its default, as the role in
 * force.  Returns DepotEverywhereRow, by database name.  Raises an error for arguments that make no sense,
 * and when it is cancelled: the database at hand is then left as it was, those before it are done.
 */
extern List *depot_everywhere_update(const char *extension, const char *version);

/* Entry point of the workers, found by name in the library. */
extern PGDLLEXPORT void depot_everywhere_main(Datum segment);

#endif							/* DEPOT_EVERYWHERE_H */
