/*-------------------------------------------------------------------------
 *
 * fuzz_version.h
 *	  Versions out of any bytes, and what is asked of them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FUZZ_VERSION_H
#define DEPOT_FUZZ_VERSION_H

#include "fuzz.h"

#include "common/name.h"
#include "common/version.h"

/* Makes a version of a line, bytes that versions cannot have replaced by some that they can. */
static inline bool
fuzz_version_from(const char *line, char version[DEPOT_NAME_MAX_BYTES + 1])
{
	static const char alphabet[] = "0123456789abzABZ.+~:_-";
	size_t		length = 0;

	if (line == NULL)
		return false;
	for (; line[length] != '\0' && length < DEPOT_NAME_MAX_BYTES; length++)
	{
		version[length] = line[length];
		version[length + 1] = '\0';
		if (!depot_name_is_version(version + length) && line[length] != '-')
			version[length] = alphabet[(unsigned char) line[length] % (sizeof(alphabet) - 1)];
	}
	version[length] = '\0';
	return depot_name_is_version(version);
}

static inline int
fuzz_version_order(const char *a, const char *b)
{
	int			order = depot_version_compare(a, b);

	return (order > 0) - (order < 0);
}

/* Tells whether version satisfies the constraint made of an operator and another version. */
static inline bool
fuzz_version_satisfies(const char *version, const char *operator, const char *other)
{
	DepotVersionConstraint constraint;
	char		text[DEPOT_NAME_MAX_BYTES + 4];

	snprintf(text, sizeof(text), "%s%s", operator, other);
	FUZZ_REQUIRE(depot_version_constraint_parse(text, &constraint, NULL) && constraint.term_count == 1);
	return depot_version_satisfies(version, &constraint);
}

#endif							/* DEPOT_FUZZ_VERSION_H */
