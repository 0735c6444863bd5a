/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  One depot directory has one server.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_OWNER_H
#define DEPOT_OWNER_H

#include "postgres.h"

/*
 * Takes a depot directory, which has its var already, for this server until the postmaster ends; once, in the
 * postmaster.  false: another server has it, or it cannot be taken, and reason says so in a sentence.
 */
extern bool depot_owner_take(const char *directory, char *reason, Size reason_bytes);

#endif							/* DEPOT_OWNER_H */
