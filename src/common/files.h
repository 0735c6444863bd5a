/*-------------------------------------------------------------------------
 *
 * files.h
 *	  Small file operations, all relative to a directory descriptor.
 *
 * No function follows a symbolic link in any part of the relative path it is
 * given, every descriptor is close-on-exec, and everything "durable" is
 * fsynced, file first and then its directory.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FILES_H
#define DEPOT_FILES_H

#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/error.h"

/*
 * Opens path below directory_fd with O_CLOEXEC, and O_NOFOLLOW in every part;
 * -1 and error on failure.  flags and mode as for open(2).
 */
extern int	depot_files_open(int directory_fd, const char *path, int flags, mode_t mode, DepotError *error);

/* Opens a directory below directory_fd (path "" or "." means itself). */
extern int	depot_files_open_directory(int directory_fd, const char *path, DepotError *error);

/*
 * Makes path and its missing parents with exactly mode, whatever the umask.
 * When durable, every new directory and the parent of every directory on the way is fsynced,
 * of those that existed too: an earlier attempt may have ended before its fsync.
 */
extern bool depot_files_make_directories(int directory_fd, const char *path, mode_t mode, bool durable,
										 DepotError *error);

/* Reads a whole regular file of at most limit_bytes (more: TOO_LARGE) into buffer (appends). */
extern bool depot_files_read(int directory_fd, const char *path, size_t limit_bytes, DepotBuffer *buffer,
							 DepotError *error);

/*
 * Writes a file whole, with exactly mode: O_EXCL temporary beside it ("<path>.new"),
 * fsync, rename over path, fsync of the directory.  On failure the old file
 * stands.  What a crash left under the temporary name is replaced; two
 * processes must not write the same path at the same time.
 */
extern bool depot_files_write_durable(int directory_fd, const char *path, const void *bytes,
									  size_t length_bytes, mode_t mode, DepotError *error);

/* Calls write(2) until all is written. */
extern bool depot_files_write_all(int fd, const void *bytes, size_t length_bytes, DepotError *error);

/* Calls fsync(2) for a file or directory by path ("" or "." means directory_fd's own directory). */
extern bool depot_files_fsync(int directory_fd, const char *path, DepotError *error);

/* Renames without a durability promise of its own; the caller fsyncs the directories. */
extern bool depot_files_rename(int from_fd, const char *from, int to_fd, const char *to, DepotError *error);

/* Removes a file; absent is success. */
extern bool depot_files_remove(int directory_fd, const char *path, DepotError *error);

/*
 * Removes an empty directory and fsyncs its parent; tells whether it is gone.
 * For tidying up: why it is still there does not matter to the caller.
 */
extern bool depot_files_remove_if_empty(int directory_fd, const char *path);

/* Removes a file or a directory with all below it, never following links; absent is success. */
extern bool depot_files_remove_tree(int directory_fd, const char *path, DepotError *error);

/*
 * Calls visit for each entry below path in byte order of names, directories
 * before what is in them.  visit gets an open descriptor of path and the
 * entry's own path below it, and returns false to stop with its error.
 */
typedef bool (*DepotFilesVisit) (int directory_fd, const char *path, mode_t mode, uint64_t size_bytes,
								 void *context, DepotError *error);
extern bool depot_files_walk(int directory_fd, const char *path, DepotFilesVisit visit, void *context,
							 DepotError *error);

/* Tells whether anything, a symbolic link included, has this path. */
extern bool depot_files_exists(int directory_fd, const char *path);

#endif							/* DEPOT_FILES_H */
