/*-------------------------------------------------------------------------
 *
 * bundle.h
 *	  What the two files of "pg_depot bundle" share.
 *
 * bundle.c			options, reading the repository, writing the file
 * bundle_choose.c	which packages go in
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_CLI_BUNDLE_H
#define DEPOT_CLI_BUNDLE_H

#include "cli/download.h"
#include "cli/repo_common.h"
#include "cli/temporary.h"
#include "common/buffer.h"
#include "common/bundle.h"
#include "common/tuf.h"

#define DEPOT_BUNDLE_MAX_PLATFORMS 64

/* A file that goes in; its contents are compared with these when it is written. */
typedef struct DepotBundleFile
{
	char	   *path;			/* below the repository, owned */
	char	   *location;		/* the same percent-encoded, owned; NULL for metadata */
	uint64_t	size_bytes;
	char		sha256[65];
	bool		is_package;
} DepotBundleFile;

typedef struct DepotBundleCommand
{
	const char *url;			/* of the repository; NULL: a directory */
	const char *ca_file;
	DepotDownload *download;	/* with url, while files are read */
	int			repository_fd;	/* the directory, or what was downloaded, in copy */
	DepotTemporary copy;
	DepotTemporary state;		/* trusted metadata, for the time of the command */
	DepotBuffer root;
	int64_t		now_s;
	const char *root_file;		/* NULL: the repository's first root */
	const char *output;
	bool		all;
	char	  **names;
	int			name_count;
	bool	   *is_found;		/* for each name: some platform has it */
	char		platforms[DEPOT_BUNDLE_MAX_PLATFORMS][65];
	int			platform_count;
	bool		is_every_platform;	/* none was named */
	DepotBundleFile *files;		/* metadata in the order it was read, then packages */
	int			file_count;
} DepotBundleCommand;

/* Notes a metadata file that was read, once. */
extern bool depot_bundle_note_metadata(DepotBundleCommand *command, const char *path, const DepotBuffer *contents,
									   DepotError *error);

/* Adds the names of all platforms' roles to platforms. */
extern bool depot_bundle_list_platforms(DepotBundleCommand *command, const DepotTufClient *client, DepotError *error);

/*
 * Notes the packages of one platform that were asked for, and what they depend on.  Errors: UNKNOWN_EXTENSION,
 * UNKNOWN_VERSION, INVALID_VERSION.
 */
extern bool depot_bundle_choose(DepotBundleCommand *command, DepotTufClient *client, const char *platform,
								DepotError *error);

/* Downloads the packages that were noted; metadata is there already. */
extern bool depot_bundle_download_packages(DepotBundleCommand *command, DepotError *error);

/* Copies what was noted into the bundle. */
extern bool depot_bundle_write_files(const DepotBundleCommand *command, DepotBundleWriter *writer, DepotError *error);

/* Frees what was noted. */
extern void depot_bundle_free(DepotBundleCommand *command);

extern int	depot_cmd_bundle(int argc, char **argv);

#endif							/* DEPOT_CLI_BUNDLE_H */
