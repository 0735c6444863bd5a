/*-------------------------------------------------------------------------
 *
 * temporary.h
 *	  A private directory for the time of a command, removed also after an
 *	  interrupt; a file under a temporary name until it is whole.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEMPORARY_H
#define DEPOT_TEMPORARY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define DEPOT_TEMPORARY_PATH_BYTES 4096

/* A directory of our own, and the one it stands in. */
typedef struct DepotTemporary
{
	int			parent_fd;
	int			fd;
	char		path[DEPOT_TEMPORARY_PATH_BYTES];
} DepotTemporary;

#define DEPOT_TEMPORARY_NONE {.parent_fd = -1, .fd = -1}

/* Makes one, mode 0700, below $TMPDIR; directory is DEPOT_TEMPORARY_NONE before. */
extern bool depot_temporary_make(DepotTemporary *directory, DepotError *error);

/* Removes it with all that is in it; one that was not made is fine. Warns when something stays. */
extern void depot_temporary_remove(DepotTemporary *directory);

/* Writes the contents of a file to fd, which is open for reading, too; false with an error. */
typedef bool (*DepotTemporaryFill) (int fd, void *context, DepotError *error);

/*
 * Writes a file in directory_fd, or replaces it: fill writes "NAME.new", which is durably renamed when it is whole.
 * On failure it is removed.
 */
extern bool depot_temporary_write_file(int directory_fd, const char *name, DepotTemporaryFill fill, void *context,
									   DepotError *error);

/* From here on SIGINT, SIGTERM and SIGHUP only set what the next two tell. */
extern void depot_temporary_catch_interrupts(void);
extern bool depot_temporary_is_interrupted(void);

/* Shows progress (context: a DepotCliProgress) and tells to go on; has the shape of DepotArchiveProgress. */
extern bool depot_temporary_progress(uint64_t bytes_done, void *context);

#endif							/* DEPOT_TEMPORARY_H */
