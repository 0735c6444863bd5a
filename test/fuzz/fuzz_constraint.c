/*-------------------------------------------------------------------------
 *
 * fuzz_constraint.c
 *	  Constraints: a version on the first line, and what it may satisfy.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_version.h"

static const char *
spell_operator(DepotVersionOperator operator)
{
	switch (operator)
	{
		case DEPOT_VERSION_ANY:
		case DEPOT_VERSION_PREFIX:
			return "";
		case DEPOT_VERSION_EQ:
			return "= ";
		case DEPOT_VERSION_NE:
			return "!=\t";
		case DEPOT_VERSION_LT:
			return "<";
		case DEPOT_VERSION_LE:
			return "<=";
		case DEPOT_VERSION_GT:
			return " > ";
		case DEPOT_VERSION_GE:
			return ">= ";
	}
	return "";
}

/* Writes the constraint in another spelling; out has room for any. */
static void
spell(const DepotVersionConstraint *constraint, int first, int count, char out[1024])
{
	size_t		length = 0;

	out[0] = '\0';
	for (int i = first; i < first + count; i++)
		length += (size_t) snprintf(out + length, 1024 - length, "%s%s%s%s", i > first ? " , " : "",
									spell_operator(constraint->terms[i].operator), constraint->terms[i].version,
									constraint->terms[i].operator == DEPOT_VERSION_PREFIX ? ".*" : "");
}

static bool
same_terms(const DepotVersionConstraint *a, const DepotVersionConstraint *b)
{
	for (int i = 0; i < a->term_count && i < b->term_count; i++)
	{
		if (a->terms[i].operator != b->terms[i].operator || strcmp(a->terms[i].version, b->terms[i].version) != 0)
			return false;
	}
	return a->term_count == b->term_count;
}

/* Requires that all terms must hold, and that each of them means what it does alone. */
static void
check_terms(const char *version, const DepotVersionConstraint *constraint)
{
	DepotVersionConstraint one;
	char		text[1024];
	bool		all = true;

	for (int i = 0; i < constraint->term_count; i++)
	{
		FUZZ_REQUIRE(depot_name_is_version(constraint->terms[i].version));
		spell(constraint, i, 1, text);
		FUZZ_REQUIRE(depot_version_constraint_parse(text, &one, NULL) && one.term_count == 1);
		all = all && depot_version_satisfies(version, &one);
	}
	FUZZ_REQUIRE(depot_version_satisfies(version, constraint) == all);
	spell(constraint, 0, constraint->term_count, text);
	/* The other spelling may be longer than constraints may be. */
	if (strlen(text) <= DEPOT_CONSTRAINT_MAX_BYTES)
		FUZZ_REQUIRE(depot_version_constraint_parse(text, &one, NULL) && same_terms(&one, constraint));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_string(data, size);
	char	   *rest = text;
	char		version[DEPOT_NAME_MAX_BYTES + 1];
	DepotVersionConstraint constraint;
	DepotError	error = {0};

	if (fuzz_version_from(fuzz_line(&rest), version) && rest != NULL)
	{
		bool		is_blank = rest[strspn(rest, " \t\n\r")] == '\0';
		bool		ok = depot_version_constraint_parse(rest, &constraint, &error);

		FUZZ_REQUIRE(depot_version_constraint_check(rest, NULL) == (ok && !is_blank));
		if (ok)
			check_terms(version, &constraint);
		else
		{
			FUZZ_REQUIRE(error.code == DEPOT_ERROR_INVALID_VERSION && error.detail[0] != '\0');
			FUZZ_REQUIRE(constraint.term_count == 0);
		}
	}
	free(text);
	return 0;
}
