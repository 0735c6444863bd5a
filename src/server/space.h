/*-------------------------------------------------------------------------
 *
 * space.h
 *	  Free space on the file systems of the depot and of the WAL.
 *
 * Asked before a package is fetched, before it is unpacked and before it is
 * recorded, so that what pg_depot does never takes the last space from the server
 * (depot.min_free_space).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_SPACE_H
#define DEPOT_SPACE_H

#include "postgres.h"

/* Reads the bytes this user can still write to the file system of a path below the data directory, or -1 with errno. */
extern int64 depot_space_free_bytes(const char *path);

/*
 * Raises 53100 with the numbers unless depot_bytes more in the depot leave depot.min_free_space there, and
 * the WAL's file system has that much.
 */
extern void depot_space_check(int64 depot_bytes);

/* The same for bytes that go into a table, and so into the write-ahead log as well. */
extern void depot_space_check_table(int64 table_bytes);

#endif							/* DEPOT_SPACE_H */
