/*-------------------------------------------------------------------------
 *
 * served.h
 *	  Nothing is served that this server has not verified itself.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_SERVED_H
#define DEPOT_SERVED_H

#include "postgres.h"

#include "common/seal.h"
#include "common/store.h"

/*
 * In the postmaster, before any session: looks at each file of the served tree, has those verified that the seal
 * does not hold, and takes out of the tree what no signature proves.  NULL: what is left may be served; else
 * a sentence, palloc'd, that says why the depot must stay inactive.  Never ereports an ERROR.
 */
extern char *depot_served_verify(int root_fd);

/* ---- what served_agent.c finds out for served.c ---- */

/* A file that the seal does not hold. */
typedef struct DepotServedFile
{
	char	   *path;
	char		identity[DEPOT_SEAL_IDENTITY_BYTES];	/* "": no regular file */
	bool		is_verified;
	bool		is_withheld;	/* it is what was signed, but its package is damaged */
	bool		is_reported;
	char	   *package;		/* whose it is, as far as is known; or NULL */
	char	   *problem;		/* or NULL */
} DepotServedFile;

/* A package whose served manifest is proven. */
typedef struct DepotServedPackage
{
	char	   *package;
	char	   *digest;
	char	   *manifest_sha256;
	bool		is_whole;
} DepotServedPackage;

typedef struct DepotServedCheck
{
	int			root_fd;
	DepotServedFile *files;		/* sorted by path */
	int			file_count;
	int			capacity;
	DepotServedPackage *packages;
	int			package_count;
	char	  **withheld;		/* sealed files of damaged packages: served paths */
	int			withheld_count;
} DepotServedCheck;

/* Returns the file of a path, or NULL. */
extern DepotServedFile *depot_served_find(const DepotServedCheck *check, const char *path);

/*
 * Has an agent verify the files, and waits for it.  is_complete: packages that are sealed as a whole are wanted, too.
 * NULL, or why it could not, palloc'd.
 */
extern char *depot_served_ask_agent(DepotServedCheck *check, const char *stamp, bool is_complete);

#endif							/* DEPOT_SERVED_H */
