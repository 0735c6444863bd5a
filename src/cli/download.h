/*-------------------------------------------------------------------------
 *
 * download.h
 *	  Downloading for a command: the fetch agent as a child process.
 *
 * The program itself has no network library, and the process that has one judges
 * nothing: it writes bytes into a directory, as it does for a server.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_DOWNLOAD_H
#define DEPOT_DOWNLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/cli.h"
#include "common/buffer.h"
#include "common/error.h"

/* The working directory, below the one that the caller gives; it is there while the download is open. */
#define DEPOT_DOWNLOAD_DIRECTORY ".pg_depot"

typedef struct DepotDownload DepotDownload;

/*
 * Makes the working directory below directory_fd (the caller's, open until depot_download_close) and holds
 * its lock: of two commands with the same directory one waits.  Starts the fetch agent, pg_depot_fetch beside
 * this program.  ca_file NULL: the system's certificate authorities; credentials_file NULL: none.
 */
extern DepotDownload *depot_download_open(int directory_fd, const char *ca_file, const char *credentials_file,
										  DepotError *error);

/* Ends the agent and removes the working directory; NULL does nothing. */
extern void depot_download_close(DepotDownload *download);

/*
 * Reads <base>/<encoded_path>, percent-encoded already, into out.  *missing is set (and true returned) when
 * there is none, which for an optional one a server may also say by status 403.  Errors are those of depot_fetch_file.
 */
extern bool depot_download_read(DepotDownload *download, const char *base, const char *encoded_path,
								bool optional, size_t max_bytes, DepotBuffer *out, bool *missing,
								DepotError *error);

/*
 * Downloads the same into a file of the working directory and returns a descriptor to read it; the caller
 * checks it, then takes it with depot_download_take or leaves it to the next download.  sha256 "": unknown.
 * NOT_FOUND when there is none; -1 and error on failure.
 */
extern int	depot_download_file(DepotDownload *download, const char *base, const char *encoded_path,
								uint64_t size_bytes, const char *sha256, DepotCliProgress *progress,
								DepotError *error);

/*
 * Moves the file downloaded last to path below the caller's directory, durably and with mode 0644; missing
 * directories are made.
 */
extern bool depot_download_take(DepotDownload *download, const char *path, DepotError *error);

#endif							/* DEPOT_DOWNLOAD_H */
