/*-------------------------------------------------------------------------
 *
 * wait_for.h
 *	  How many servers a call waits for: the values of wait_for.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_WAIT_FOR_H
#define DEPOT_WAIT_FOR_H

#include "common/error.h"

/* As many servers can report (shmem_nodes.h), so no larger number can ever be reached. */
#define DEPOT_WAIT_FOR_MAX 64

#define DEPOT_WAIT_FOR_LOCAL 0
#define DEPOT_WAIT_FOR_ALL (-1)

/*
 * Reads "local", "all" or a number of standbys from 0 to DEPOT_WAIT_FOR_MAX into *count: DEPOT_WAIT_FOR_LOCAL,
 * DEPOT_WAIT_FOR_ALL or that number.  false: *error says what the value may be.
 */
extern bool depot_wait_for_parse(const char *value, int *count, DepotError *error);

#endif							/* DEPOT_WAIT_FOR_H */
