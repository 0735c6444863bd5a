/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  Rows of the depot's tables as C structs.
 *
 * Filled by the catalog, read by the decisions and the leader.  Plain C, so
 * that the decisions can be tested without a server.  Memory belongs to
 * whoever filled them (the catalog: a memory context).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_ROWS_H
#define DEPOT_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/manifest.h"
#include "common/name.h"

typedef struct DepotRepositoryRow
{
	const char *name;
	const char *url;
	const char **mirrors;
	int			mirror_count;
	int			priority;
	const char *trusted_root;	/* NULL when root_sha256 is there */
	const char *root_sha256;
	bool		all_key_types;	/* a superuser lets it be signed with others than ed25519 */
	bool		is_refreshed;	/* has been, at least once */
	int64_t		refreshed_age_s;	/* seconds since the last success */
	bool		is_expired;
	int64_t		snapshot_version;	/* whose targets the rows are */
	bool		has_available;	/* there are such rows */
	const char *slice;			/* role of the platform whose packages are meant; NULL: this server's */
	const char *pinned_as;		/* name that depot.trusted_roots has it by; NULL: its own */
} DepotRepositoryRow;

/* A row of depot.repository_metadata. */
typedef struct DepotMetadataRow
{
	const char *role;
	int64_t		version;
	const char *stamp;			/* another one when the row has changed */
	int64_t		size_bytes;
	char	   *content;		/* NULL: not read */
	bool		is_refused;		/* it counts for nothing */
} DepotMetadataRow;

/* A row of depot.evidence. */
typedef struct DepotEvidenceRow
{
	const char *role;
	int64_t		version;
	const char *sha256;
	int64_t		size_bytes;
	char	   *content;		/* NULL: not read */
} DepotEvidenceRow;

typedef struct DepotAvailableRow
{
	const char *repository;
	int			priority;
	const char *target;
	const char *sha256;
	int64_t		size_bytes;
	char		manifest_sha256[65];
	const char *custom;			/* JSON text */
	const DepotManifest *manifest;	/* read from custom: no files */
	const char *withdrawn_reason;	/* NULL: it is offered */
	const char *withdrawn_advisory; /* NULL: none */
} DepotAvailableRow;

/* A target as a refresh records it: what depot.available says of a package. */
typedef struct DepotOfferRow
{
	const char *target;
	const char *package;
	const char *version;
	const char *kind;
	const char **names;			/* the package's, then those of its extensions */
	int			name_count;
	int64_t		size_bytes;
	int64_t		unpacked_bytes;
	const char *sha256;
	const char *summary;		/* UTF-8 */
	const char *custom;			/* ASCII JSON */
} DepotOfferRow;

/* A build that a repository's publisher has withdrawn, whether it lists that or not. */
typedef struct DepotWithdrawnRow
{
	const char *sha256;
	const char *reason;
	const char *advisory;		/* NULL: none */
} DepotWithdrawnRow;

/* A role of a repository's accepted metadata. */
typedef struct DepotRoleRow
{
	const char *name;
	int64_t		version;
	int64_t		expires_epoch_s;
} DepotRoleRow;

typedef struct DepotInstalledRow
{
	const char *package;
	const char *version;
	const char *why;
	bool		is_removed;
	bool		has_build;		/* for this server's major and platform; else what follows is NULL or 0 */
	const char *digest;
	const char *manifest_sha256;
	const char *repository;
	const char *target;
	int64_t		size_bytes;
	int64_t		unpacked_bytes;
	const DepotManifest *manifest;
	bool		has_evidence;	/* the row names some */
} DepotInstalledRow;

/* An installed package without a build for a platform that a server reports from. */
typedef struct DepotLackingRow
{
	const char *package;
	const char *version;
	const char *repository;		/* of the build for this server */
	const char *platform;		/* as linux-amd64 */
	const char *role;			/* as pg18-linux-amd64 */
} DepotLackingRow;

/* An entry of the declared list as depot.declared has it; NULL where there is nothing to say. */
typedef struct DepotDeclaredRow
{
	int			ordinal;
	const char *name;
	const char *version_constraint;
	const char *package;		/* what it means */
	const char *version;		/* that satisfies it, or will */
	const char *state;			/* ok, pending, refused or failed */
	const char *reason;
} DepotDeclaredRow;

/* What a server says of itself that changes seldom; printable ASCII. */
typedef struct DepotNodeContent
{
	char		version[DEPOT_NAME_MAX_BYTES + 1];	/* of pg_depot, of the server, of its C library */
	char		server_version[DEPOT_NAME_MAX_BYTES + 1];
	char		libc_version[DEPOT_NAME_MAX_BYTES + 1];
	char		platform[DEPOT_NAME_MAX_BYTES + 1];
	bool		restart_required;
	char		missing[2048];	/* packages and why, or "" */
	char		sqlstate[6];	/* of error */
	char		error[512];		/* why not all that was seen is applied, or "" */
} DepotNodeContent;

/* A row of depot.node. */
typedef struct DepotNodeRow
{
	char		name[DEPOT_NAME_MAX_BYTES + 1];
	uint32_t	role;			/* oid of the role that it reports as; 0: there is none of its name */
	bool		has_content;
	DepotNodeContent content;
} DepotNodeRow;

#endif							/* DEPOT_ROWS_H */
