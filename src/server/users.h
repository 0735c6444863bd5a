/*-------------------------------------------------------------------------
 *
 * users.h
 *	  What uses a package, in words: a clause for each user.
 *
 * The words are a line each, so that they travel through shared memory as one
 * text.  Not all that is counted needs to be named.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_USERS_H
#define DEPOT_USERS_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "server/catalog.h"
#include "server/errors.h"

typedef struct DepotUsers
{
	StringInfoData lines;		/* each with its newline */
	int			count;
} DepotUsers;

/* Makes an empty list in the current memory context. */
extern void depot_users_init(DepotUsers *users);

/* Add users that were found, of count in all; a package that needs it; a database that may be one. */
extern void depot_users_add_rows(DepotUsers *users, const DepotUserRow *rows, int row_count, int count);
extern void depot_users_add_package(DepotUsers *users, const char *package, const char *needed_by);
extern void depot_users_add_database(DepotUsers *users, const char *database);

/* Adds lines that were made in another database, of count in all, and names it in them. */
extern void depot_users_add_lines(DepotUsers *users, const char *lines, int count, const char *database);

/* Adds the users of another list. */
extern void depot_users_append(DepotUsers *users, const DepotUsers *more);

/* Cuts the lines to less than so many bytes; the count stays. */
extern void depot_users_cut(DepotUsers *users, Size bytes);

/* Tells of at least one user with 2BP01: the first is the message, the others are the detail. */
extern void depot_users_to_report(const DepotUsers *users, DepotReport *report);

/* Tells of them all as the detail of a message that the caller has put there. */
extern void depot_users_to_detail(const DepotUsers *users, DepotReport *report);

#endif							/* DEPOT_USERS_H */
