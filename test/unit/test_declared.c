/*-------------------------------------------------------------------------
 *
 * test_declared.c
 *	  Tests of the decisions about a declared list.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "server/declared.h"

/* One build in a few words; NULL where a part is absent. */
typedef struct Build
{
	const char *package;
	const char *version;
	const char *extension;
	const char *requires;
} Build;

/* The rows of one test and what they point to. */
typedef struct Catalog
{
	int			count;
	DepotManifest *manifests;
	DepotManifestExtension *extensions;
	char	  **requires;
	DepotAvailableRow *available;
	DepotInstalledRow *installed;
	DepotPlanInput input;
} Catalog;

static bool
system_extension(const char *extension, char version[64])
{
	snprintf(version, 64, "1.0");
	return strcmp(extension, "plpgsql") == 0;
}

/* Makes rows of builds: the first available_count are on offer, the others installed. */
static void
offer(Catalog *catalog, const Build *builds, int count, int available_count)
{
	size_t		rows = (size_t) count + 1;

	catalog->manifests = calloc(rows, sizeof(DepotManifest));
	catalog->extensions = calloc(rows, sizeof(DepotManifestExtension));
	catalog->requires = calloc(rows, sizeof(char *));
	catalog->available = calloc(rows, sizeof(DepotAvailableRow));
	catalog->installed = calloc(rows, sizeof(DepotInstalledRow));
	for (int i = 0; i < count; i++)
	{
		DepotManifest *manifest = &catalog->manifests[i];

		manifest->package = (char *) builds[i].package;
		manifest->version = (char *) builds[i].version;
		manifest->platform_libc_min = "";
		manifest->extensions = &catalog->extensions[i];
		manifest->extension_count = builds[i].extension != NULL ? 1 : 0;
		catalog->requires[i] = (char *) builds[i].requires;
		manifest->extensions->name = (char *) builds[i].extension;
		manifest->extensions->default_version = "";
		manifest->extensions->requires = &catalog->requires[i];
		manifest->extensions->require_count = builds[i].requires != NULL ? 1 : 0;
		if (i < available_count)
		{
			catalog->available[i].repository = "main";
			catalog->available[i].target = builds[i].package;
			catalog->available[i].manifest = manifest;
		}
		else
		{
			DepotInstalledRow *row = &catalog->installed[i - available_count];

			row->package = builds[i].package;
			row->version = builds[i].version;
			row->why = "declared";
			row->repository = "main";
			row->has_build = true;
			row->manifest = manifest;
		}
	}
	catalog->input = (DepotPlanInput)
	{
		.available = catalog->available, .available_count = available_count, .installed = catalog->installed,
			.installed_count = count - available_count, .libc_version = "2.36",.system_extension = system_extension
	};
}

static void
withdraw(Catalog *catalog)
{
	free(catalog->manifests);
	free(catalog->extensions);
	free(catalog->requires);
	free(catalog->available);
	free(catalog->installed);
}

/* Reads and decides a list; the entries are malloc'd. */
static DepotDeclaredEntry *
decide(const Catalog *catalog, const char *list, int *count)
{
	DepotDeclaredEntry *entries;
	DepotDeclaration *declarations;
	DepotError	error;

	*count = depot_declaration_count(list);
	declarations = calloc((size_t) *count + 1, sizeof(DepotDeclaration));
	entries = calloc((size_t) *count + 1, sizeof(DepotDeclaredEntry));
	assert_true(depot_declaration_parse(list, declarations, &error));
	for (int i = 0; i < *count; i++)
		entries[i].declaration = declarations[i];
	free(declarations);
	assert_true(depot_declared_decide_installed(&catalog->input, entries, *count, &error));
	assert_true(depot_declared_decide_available(&catalog->input, entries, *count, &error));
	return entries;
}

/* Decides a list and compares what comes of it, written as "keep a 1, refused b". */
static void
expect(const Catalog *catalog, const char *list, const char *expected)
{
	int			count;
	DepotDeclaredEntry *entries = decide(catalog, list, &count);
	char		text[512] = "";

	for (int i = 0; i < count; i++)
	{
		size_t		length = strlen(text);

		snprintf(text + length, sizeof(text) - length, "%s%s %s%s%s", i > 0 ? ", " : "",
				 depot_declared_action_name(entries[i].action), entries[i].declaration.name,
				 entries[i].action != DEPOT_DECLARED_REFUSED ? " " : "",
				 entries[i].action != DEPOT_DECLARED_REFUSED ? entries[i].version : "");
	}
	free(entries);
	assert_string_equal(text, expected);
}

static void
expect_reason(const Catalog *catalog, const char *list, int index, const char *reason, bool is_unknown)
{
	int			count;
	DepotDeclaredEntry *entries = decide(catalog, list, &count);

	assert_true(index < count);
	assert_string_equal(entries[index].reason, reason);
	assert_int_equal(entries[index].is_unknown, is_unknown);
	free(entries);
}

static const Build some_builds[] = {
	{"hll", "2.9", "hll", NULL},
	{"hll", "2.10", "hll", NULL},
	{"top", "1", "top", "middle"},
	{"mid", "1", "middle", "base"},
	{"base", "2", "base", NULL},
	{"lost", "1", "lost", "nowhere"},
	{"circle_a", "1", "circle_a", "circle_b"},
	{"circle_b", "1", "circle_b", "circle_a"},
	/* installed */
	{"hll", "2.9", "hll", NULL},
	{"rational", "2022a", "pg_rational", NULL},
};

static void
test_decisions(void **state)
{
	Catalog		catalog;

	(void) state;
	offer(&catalog, some_builds, 10, 8);
	expect(&catalog, "", "");
	expect(&catalog, "hll", "keep hll 2.9");
	expect(&catalog, "hll 2.*", "keep hll 2.9");
	expect(&catalog, "hll >= 2.10", "update hll 2.10");
	expect(&catalog, "hll 3", "refused hll");
	expect(&catalog, "top, base", "install top 1, install base 2");
	expect(&catalog, "circle_a, circle_b", "install circle_a 1, install circle_b 1");
	expect(&catalog, "plpgsql, plpgsqlx", "keep plpgsql 1.0, refused plpgsqlx");
	expect(&catalog, "pg_rational, lost, mid, a--b, middle",
		   "keep pg_rational 2022a, refused lost, install mid 1, refused a--b, install middle 1");
	expect(&catalog, "rational 9", "refused rational");
	withdraw(&catalog);
}

static void
test_reasons(void **state)
{
	Catalog		catalog;

	(void) state;
	offer(&catalog, some_builds, 10, 8);
	expect_reason(&catalog, "plpgsql", 0, "provided by the server installation", false);
	expect_reason(&catalog, "nobody", 0, "extension \"nobody\" is not available", true);
	expect_reason(&catalog, "lost", 0, "extension \"nowhere\" is not available. Package \"lost\" needs it.", true);
	expect_reason(&catalog, "hll 3", 0,
				  "no build of \"hll\" satisfies \"3\". Repository \"main\" has 2.9, 2.10.", true);
	expect_reason(&catalog, "a--b", 0, "invalid extension name: \"a--b\"", false);
	expect_reason(&catalog, "hll, hll 3", 1, "\"hll\" stands in the list before, as entry 1", false);
	withdraw(&catalog);
}

/* Package and extension may have different names: entries that mean one package must agree. */
static void
test_one_package_by_two_names(void **state)
{
	const Build builds[] = {
		{"rational", "1.0", "pg_rational", NULL},
		{"rational", "2.0", "pg_rational", NULL},
		{"rational", "1.0", "pg_rational", NULL},
	};
	Catalog		catalog;

	(void) state;
	offer(&catalog, builds, 3, 2);
	expect(&catalog, "rational, pg_rational", "keep rational 1.0, keep pg_rational 1.0");
	expect(&catalog, "rational 2.*, pg_rational", "update rational 2.0, update pg_rational 2.0");
	expect(&catalog, "rational, pg_rational 2.*", "keep rational 1.0, refused pg_rational");
	expect(&catalog, "rational 2.*, pg_rational 1.*", "update rational 2.0, refused pg_rational");
	expect_reason(&catalog, "rational 2.*, pg_rational 1.*", 1,
				  "it means package \"rational\", of which entry 1 asks for version 2.0", false);
	withdraw(&catalog);
}

/* What is removed, or has no build for this server, satisfies nothing. */
static void
test_rows_that_do_not_count(void **state)
{
	Catalog		catalog;

	(void) state;
	offer(&catalog, some_builds, 10, 8);
	catalog.installed[0].is_removed = true;
	expect(&catalog, "hll", "install hll 2.10");
	catalog.installed[0].is_removed = false;
	catalog.installed[0].has_build = false;
	expect(&catalog, "hll", "install hll 2.10");
	withdraw(&catalog);
}

static void
test_names(void **state)
{
	Catalog		catalog;
	int			count;
	DepotDeclaredEntry *entries;

	(void) state;
	offer(&catalog, some_builds, 10, 8);
	entries = decide(&catalog, "a b c, pg_rational ???", &count);
	assert_false(depot_declared_names(entries, count, &catalog.installed[0]));
	assert_true(depot_declared_names(entries, count, &catalog.installed[1]));
	free(entries);
	withdraw(&catalog);
}

/* Ten thousand entries, ten thousand packages in three versions: time must not grow with the square. */
static void
test_many(void **state)
{
	enum
	{
		COUNT = 10000, VERSIONS = 3
	};
	static char names[COUNT][16];
	static const char *const versions[VERSIONS] = {"1", "2", "3"};
	Build	   *builds = calloc(COUNT * VERSIONS, sizeof(Build));
	char	   *list = malloc((size_t) COUNT * 32);
	DepotDeclaredEntry *entries;
	Catalog		catalog;
	size_t		length = 0;
	int			count;
	int			installs = 0;
	clock_t		start;

	(void) state;
	for (int i = 0; i < COUNT; i++)
	{
		snprintf(names[i], sizeof(names[i]), "name%d", i);
		for (int j = 0; j < VERSIONS; j++)
		{
			Build	   *build = &builds[i * VERSIONS + j];

			build->package = build->extension = names[i];
			build->version = versions[j];
			build->requires = i % 10 > 0 ? names[i - 1] : NULL;
		}
		length += (size_t) snprintf(list + length, 32, "name%d < 3,", i);
	}
	offer(&catalog, builds, COUNT * VERSIONS, COUNT * VERSIONS);
	start = clock();
	entries = decide(&catalog, list, &count);
	assert_true((double) (clock() - start) / CLOCKS_PER_SEC < 5.0);
	for (int i = 0; i < count; i++)
		installs += entries[i].action == DEPOT_DECLARED_INSTALL && strcmp(entries[i].version, "2") == 0;
	assert_int_equal(installs, COUNT);
	free(entries);
	withdraw(&catalog);
	free(builds);
	free(list);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_one_package_by_two_names),
		cmocka_unit_test(test_rows_that_do_not_count),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
