/*-------------------------------------------------------------------------
 *
 * version.h
 *	  Order of versions, and constraints on them.
 *
 * Versions are ordered by Debian's rule (deb-version(7), without splitting
 * off an epoch twice: "1:2" has epoch 1).  A constraint is a comma-separated list
 * of terms that must all hold: "1.2.3", "= 1.2.3", "1.2.*", ">= 1.2", "> 1",
 * "<= 2", "< 2", "!= 1.4", or "*" for any.  White space around terms and operators is free.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_VERSION_H
#define DEPOT_VERSION_H

#include "common/error.h"

#define DEPOT_CONSTRAINT_MAX_BYTES 255
#define DEPOT_CONSTRAINT_MAX_TERMS 8

typedef enum DepotVersionOperator
{
	DEPOT_VERSION_ANY,
	DEPOT_VERSION_EQ,
	DEPOT_VERSION_NE,
	DEPOT_VERSION_LT,
	DEPOT_VERSION_LE,
	DEPOT_VERSION_GT,
	DEPOT_VERSION_GE,
	DEPOT_VERSION_PREFIX		/* "1.2.*": equals 1.2 or begins with "1.2." */
} DepotVersionOperator;

typedef struct DepotVersionConstraint
{
	int			term_count;		/* 0: any version */
	struct
	{
		DepotVersionOperator operator;
		char		version[64];
	}			terms[DEPOT_CONSTRAINT_MAX_TERMS];
} DepotVersionConstraint;

/* Returns <0, 0, >0 as a sorts before, with or after b. Both are valid versions. */
extern int	depot_version_compare(const char *a, const char *b);

/*
 * Parses text; NULL and, as in a manifest, "" or white space mean any version. Error INVALID_VERSION, whose
 * detail says what is wrong with this text.
 */
extern bool depot_version_constraint_parse(const char *text, DepotVersionConstraint *constraint,
										   DepotError *error);

/*
 * Checks what somebody asks for: like the above, but no text is an error too. It is what a variable that was
 * never set becomes, and any version is not what was meant.
 */
extern bool depot_version_constraint_check(const char *text, DepotError *error);

extern bool depot_version_satisfies(const char *version, const DepotVersionConstraint *constraint);

#endif							/* DEPOT_VERSION_H */
