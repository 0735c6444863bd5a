/*-------------------------------------------------------------------------
 *
 * fuzz_version.c
 *	  The order of versions: three of them, each on a line.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_version.h"

/* A later version in place of an equal one, or the other way round, must not change any answer. */
static void
check_order(const char *a, const char *b, const char *c)
{
	int			ab = fuzz_version_order(a, b);
	int			bc = fuzz_version_order(b, c);
	int			ac = fuzz_version_order(a, c);

	FUZZ_REQUIRE(fuzz_version_order(a, a) == 0);
	FUZZ_REQUIRE(ab == -fuzz_version_order(b, a));
	if (ab <= 0 && bc <= 0)
		FUZZ_REQUIRE(ac <= 0 && (ac < 0) == (ab < 0 || bc < 0));
	if (ab >= 0 && bc >= 0)
		FUZZ_REQUIRE(ac >= 0 && (ac > 0) == (ab > 0 || bc > 0));
}

/* Requires that the operators of constraints mean the order. */
static void
check_operators(const char *a, const char *b)
{
	int			order = fuzz_version_order(a, b);

	FUZZ_REQUIRE(fuzz_version_satisfies(a, "", b) == (order == 0));
	FUZZ_REQUIRE(fuzz_version_satisfies(a, "=", b) == (order == 0));
	FUZZ_REQUIRE(fuzz_version_satisfies(a, "!= ", b) == (order != 0));
	FUZZ_REQUIRE(fuzz_version_satisfies(a, "<", b) == (order < 0));
	FUZZ_REQUIRE(fuzz_version_satisfies(a, "<= ", b) == (order <= 0));
	FUZZ_REQUIRE(fuzz_version_satisfies(a, "> ", b) == (order > 0));
	FUZZ_REQUIRE(fuzz_version_satisfies(a, ">=", b) == (order >= 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_string(data, size);
	char	   *rest = text;
	char		versions[3][DEPOT_NAME_MAX_BYTES + 1];
	char		earlier[DEPOT_NAME_MAX_BYTES + 2];

	for (int i = 0; i < 3; i++)
	{
		if (!fuzz_version_from(fuzz_line(&rest), versions[i]))
			goto done;
	}
	for (int i = 0; i < 3; i++)
	{
		check_order(versions[i], versions[(i + 1) % 3], versions[(i + 2) % 3]);
		check_operators(versions[i], versions[(i + 1) % 3]);
		check_operators(versions[i], versions[i]);
		/* What deb-version(7) has '~' for. */
		snprintf(earlier, sizeof(earlier), "%.*s~", DEPOT_NAME_MAX_BYTES, versions[i]);
		FUZZ_REQUIRE(fuzz_version_order(earlier, versions[i]) < 0);
	}
done:
	free(text);
	return 0;
}
