/*-------------------------------------------------------------------------
 *
 * paths.h
 *	  Where the depot is, and how the server comes to look there.
 *
 * The path settings of the server (dynamic_library_path, and extension_destdir
 * on Debian's 15-17 or extension_control_path from 18 on) are never written to
 * a file: their check hooks are wrapped, so that every value, from wherever it
 * comes, gets our directory added.  An extension_destdir that the administrator set
 * is left alone, and the depot is then inactive.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_PATHS_H
#define DEPOT_PATHS_H

#include "postgres.h"

#include "common/store.h"

/*
 * Makes the empty served tree and wraps the settings; called once, from the
 * postmaster's _PG_init.  Never fails: what is wrong is a WARNING, and the reason
 * of depot_paths_inactive_reason from then on.
 */
extern void depot_paths_init(void);

/* Whether the depot directory is there with its tree; when it could not be made, not before a restart. */
extern bool depot_paths_is_made(void);

/* Absolute path of the depot directory; valid after depot_paths_init. */
extern const char *depot_paths_directory(void);

/* Opens the depot directory; the caller closes it.  May ereport. */
extern int	depot_paths_open_directory(void);

extern const DepotLayout *depot_paths_layout(void);

/* Length of the depot's path below the data directory with its slash, or 0 when it is elsewhere. */
extern int	depot_paths_data_prefix_bytes(void);

/* The server installation's own directories. */
extern const char *depot_paths_system_share(void);
extern const char *depot_paths_system_lib(void);

/* Says why nothing can be served from the depot at present, in a sentence, or returns NULL. */
extern const char *depot_paths_inactive_reason(void);

/*
 * Maps a file of the depot executable, once; a mount or policy that forbids it makes the depot inactive.
 * For the leader.
 */
extern void depot_paths_probe_executable(void);

#endif							/* DEPOT_PATHS_H */
