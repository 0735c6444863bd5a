/*-------------------------------------------------------------------------
 *
 * stamp.h
 *	  Which server it is whose depot this is.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_STAMP_H
#define DEPOT_STAMP_H

#include "postgres.h"

#include "common/store.h"

/* Fills what state.json is stamped with: with another stamp it counts for nothing. */
extern void depot_stamp_fill(DepotStamp *stamp);

/*
 * Returns what the seal is stamped with, palloc'd: also what decides whether a package can be used here, the
 * minor version and the C library.
 */
extern char *depot_stamp_of_seal(void);

#endif							/* DEPOT_STAMP_H */
