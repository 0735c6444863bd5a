/*-------------------------------------------------------------------------
 *
 * policy.h
 *	  Decides who may do what: a superuser, and nobody else.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_POLICY_H
#define DEPOT_POLICY_H

#include <stdbool.h>

#include "common/error.h"

/*
 * Decides whether a role may call function ("install_extension").  Called by
 * the SQL function for a quick answer, and again by the leader, whose word counts.
 */
extern bool depot_policy_allows(const char *function, bool is_superuser, DepotError *error);

#endif							/* DEPOT_POLICY_H */
