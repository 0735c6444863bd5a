/*-------------------------------------------------------------------------
 *
 * seal.h
 *	  Which served files this server has verified itself.
 *
 * The seal names each verified file with what only a file of this file system
 * can have: device, inode, size, and the times of its last change in
 * nanoseconds.  A copy of the file, however exact, has another inode or
 * another ctime, so what came with a base backup, a restore, pg_rewind or by
 * hand is told from what was verified here by a look at each file's status.
 * The seal itself lies where base backups and pg_rewind leave it out.
 *
 * It is a note to save work, and no more: without it, or with less in it, files
 * are verified again.  So it is not flushed to disk.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_SEAL_H
#define DEPOT_SEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/store.h"

#define DEPOT_SEAL_FORMAT 1
#define DEPOT_SEAL_DIRECTORY "var/pgsql_tmp_seal"
#define DEPOT_SEAL_FILE DEPOT_SEAL_DIRECTORY "/seal.json"
/* Where files of the served tree go that no signature proves, and those that could not be verified at all. */
#define DEPOT_SEAL_REFUSED DEPOT_SEAL_DIRECTORY "/refused"
#define DEPOT_SEAL_UNVERIFIED DEPOT_SEAL_DIRECTORY "/unverified"

/* Room for what identifies a file: five numbers. */
#define DEPOT_SEAL_IDENTITY_BYTES 128

typedef struct DepotSeal DepotSeal;

/*
 * Reads the seal of the depot directory root_fd.  One that is absent, unreadable or has another stamp
 * is an empty one.  NULL only when out of memory.  Freed by depot_seal_free.
 */
extern DepotSeal *depot_seal_read(int root_fd, const char *stamp);

/* Returns an empty one; NULL when out of memory. */
extern DepotSeal *depot_seal_new(const char *stamp);

/* Reads a seal's text; NULL with an error when it is none, or has another stamp. */
extern DepotSeal *depot_seal_parse(const char *text, size_t length_bytes, const char *stamp, DepotError *error);

/* Appends a seal's text to out; the same seal has one. */
extern bool depot_seal_format(const DepotSeal *seal, DepotBuffer *out, DepotError *error);

extern void depot_seal_free(DepotSeal *seal);	/* NULL is fine */

/* Replaces the seal in the depot directory, not durably. */
extern bool depot_seal_write(const DepotSeal *seal, int root_fd, DepotError *error);

/* Puts what identifies a regular file into out; false: there is none at path, or it cannot be examined. */
extern bool depot_seal_identify(int root_fd, const char *path, char out[DEPOT_SEAL_IDENTITY_BYTES]);

/* Tells whether the seal names the file at path as it is now. */
extern bool depot_seal_holds(const DepotSeal *seal, int root_fd, const char *path);

/* Names a file that identity was just taken of.  Fails when out of memory. */
extern bool depot_seal_add(DepotSeal *seal, const char *path, const char *identity, DepotError *error);

/* Names a file no more. */
extern void depot_seal_remove(DepotSeal *seal, const char *path);

/*
 * Visits everything in the served tree that is not a directory and that the seal does not hold; identity is "" for
 * what is no regular file.  *file_count counts all of them, held or not.  Stops when visit returns false.
 */
typedef bool (*DepotSealVisit) (const char *path, const char *identity, void *context, DepotError *error);
extern bool depot_seal_survey(const DepotSeal *seal, int root_fd, const DepotLayout *layout,
							  DepotSealVisit visit, void *context, int *file_count, DepotError *error);

/*
 * Takes what is at a served path, of any kind, out of the served tree, into directory (one of the two above) under its
 * own path; where that fails it is removed.
 */
extern bool depot_seal_set_aside(int root_fd, const char *path, const char *directory, DepotError *error);

/* Puts what could not be verified back where nothing else has been put, to be verified now. */
extern bool depot_seal_bring_back(int root_fd, const DepotLayout *layout, DepotError *error);

#endif							/* DEPOT_SEAL_H */
