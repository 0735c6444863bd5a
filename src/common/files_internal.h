/*-------------------------------------------------------------------------
 *
 * files_internal.h
 *	  What files.c and files_tree.c share and nobody else includes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FILES_INTERNAL_H
#define DEPOT_FILES_INTERNAL_H

#include <fcntl.h>
#include <limits.h>

#include "common/files.h"

#define DEPOT_FILES_DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/*
 * Opens the directory that holds the last part of path and copies that part
 * into name.  Returns -1 with errno set and no error, as some callers have a
 * use for a missing directory.
 */
extern int	depot_files_open_parent(int directory_fd, const char *path, char name[NAME_MAX + 1]);

/* Sets the error "could not <action> "<path>": <errno's text>". Always returns false. */
extern bool depot_files_fail(DepotError *error, int saved_errno, const char *action, const char *path);

#endif							/* DEPOT_FILES_INTERNAL_H */
