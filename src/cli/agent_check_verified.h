/*-------------------------------------------------------------------------
 *
 * agent_check_verified.h
 *	  The check agent: what the last refresh has verified, so that a refresh
 *	  that finds nothing new need not do it again.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_CHECK_VERIFIED_H
#define DEPOT_AGENT_CHECK_VERIFIED_H

#include <stdint.h>

#include "common/tuf.h"

/*
 * Reads which roles (into roles, of DEPOT_TUF_MAX_ROLES) were verified last for the platform's role with
 * these types of keys, and the digest of the timestamp that they belong to.  Returns their number; 0 when nothing is
 * known, one has expired by reference_time, or a file of theirs is not as it was.
 */
extern int	depot_agent_verified_read(int metadata_fd, const char *platform_role, int key_types,
									  int64_t reference_time, char timestamp_sha256[65], DepotTufRole *roles);

/* Keeps the roles of a refresh that succeeded; forgets what was kept when one of them was left out. */
extern void depot_agent_verified_write(int metadata_fd, const char *platform_role, int key_types,
									   const char *timestamp_sha256, const DepotTufRole *roles, int count);

#endif							/* DEPOT_AGENT_CHECK_VERIFIED_H */
