/*-------------------------------------------------------------------------
 *
 * test_plan.c
 *	  Tests of the resolver and the policy: which packages a request means.
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
#include <string.h>

#include <cmocka.h>

#include "server/plan.h"
#include "server/policy.h"

#define BUILDS_MAX 16

/* One build in a few words; NULL where a part is absent. */
typedef struct Build
{
	const char *repository;
	int			priority;
	const char *package;
	const char *version;
	const char *extension;
	const char *extension_version;
	const char *older_version;	/* that its scripts can make as well */
	const char *requires;		/* of the extension */
	const char *depends;		/* package */
	const char *depends_constraint;
	int			minimum_minor;
	const char *libc_min;
	bool		is_preloaded;
	const char *withdrawn;		/* why */
}			Build;

/* Memory of the manifests that the builds of one test become. */
typedef struct Catalog
{
	DepotManifest manifests[BUILDS_MAX];
	DepotManifestExtension extensions[BUILDS_MAX];
	DepotManifestModule modules[BUILDS_MAX];
	DepotManifestDepend depends[BUILDS_MAX];
	char	   *requires[BUILDS_MAX];
	char	   *versions[BUILDS_MAX][2];
	DepotAvailableRow available[BUILDS_MAX];
	DepotInstalledRow installed[BUILDS_MAX];
	DepotPlanInput input;
}			Catalog;

static Catalog catalog;
static bool is_update = false;
static const char *extension_version = NULL;
static bool is_extension = false;

static bool
system_extension(const char *extension, char version[64])
{
	version[0] = '\0';
	if (strcmp(extension, "cube") != 0)
		return false;
	strcpy(version, "1.5");
	return true;
}

static DepotManifest *
describe(const Build *build, int index)
{
	DepotManifest *manifest = &catalog.manifests[index];

	memset(manifest, 0, sizeof(*manifest));
	manifest->package = (char *) build->package;
	manifest->version = (char *) build->version;
	manifest->postgresql_major = 15;
	manifest->postgresql_minimum_minor = build->minimum_minor;
	manifest->platform_libc_min = (char *) (build->libc_min != NULL ? build->libc_min : "");
	if (build->extension != NULL)
	{
		DepotManifestExtension *extension = &catalog.extensions[index];

		memset(extension, 0, sizeof(*extension));
		extension->name = (char *) build->extension;
		extension->default_version = (char *) (build->extension_version != NULL ? build->extension_version : "");
		extension->versions = catalog.versions[index];
		if (build->extension_version != NULL)
			extension->versions[extension->version_count++] = (char *) build->extension_version;
		if (build->older_version != NULL)
			extension->versions[extension->version_count++] = (char *) build->older_version;
		catalog.requires[index] = (char *) build->requires;
		extension->requires = &catalog.requires[index];
		extension->require_count = build->requires != NULL ? 1 : 0;
		manifest->extensions = extension;
		manifest->extension_count = 1;
	}
	if (build->depends != NULL)
	{
		catalog.depends[index].package = (char *) build->depends;
		catalog.depends[index].constraint =
			(char *) (build->depends_constraint != NULL ? build->depends_constraint : "");
		manifest->depends = &catalog.depends[index];
		manifest->depend_count = 1;
	}
	if (build->is_preloaded)
	{
		catalog.modules[index].name = (char *) build->package;
		catalog.modules[index].preload = DEPOT_PRELOAD_SHARED;
		manifest->modules = &catalog.modules[index];
		manifest->module_count = 1;
	}
	return manifest;
}

/* Fills the catalog: the first available_count builds are on offer, the others installed. */
static void
offer(const Build *builds, int count, int available_count)
{
	assert_true(count <= BUILDS_MAX);
	memset(&catalog, 0, sizeof(catalog));
	for (int i = 0; i < count; i++)
	{
		DepotManifest *manifest = describe(&builds[i], i);

		if (i < available_count)
			catalog.available[i] = (DepotAvailableRow)
			{
				.repository = builds[i].repository,
					.priority = builds[i].priority,
					.target = builds[i].package, .sha256 = builds[i].version,
					.manifest = manifest,
					.withdrawn_reason = builds[i].withdrawn
			};
		else
			catalog.installed[i - available_count] = (DepotInstalledRow)
			{
				.package = builds[i].package,
					.version = builds[i].version,
					.repository = builds[i].repository,
					.has_build = true, .digest = builds[i].version,
					.manifest = manifest
			};
	}
	catalog.input = (DepotPlanInput)
	{
		.available = catalog.available,
			.available_count = available_count,
			.installed = catalog.installed,
			.installed_count = count - available_count,
			.server_minor = 18,
			.libc_version = "2.36",
			.system_extension = system_extension
	};
}

/* Writes the plan as "install a 1, keep b 2" and compares; expected NULL: it must fail with code. */
static void
expect(const char *name, const char *constraint, const char *repository, const char *expected, DepotErrorCode code)
{
	DepotPlanRequest request = {
		.name = name, .constraint = constraint, .repository = repository, .is_update = is_update,
		.extension_version = extension_version, .is_extension = is_extension
	};
	DepotPlan	plan;
	DepotError	error;
	char		text[512] = "";

	if (!depot_plan_install(&catalog.input, &request, &plan, &error))
	{
		if (expected != NULL)
			fail_msg("%s: %s (%s)", name, error.message, error.detail);
		assert_int_equal(error.code, code);
		return;
	}
	assert_non_null(expected);
	for (int i = 0; i < plan.count; i++)
	{
		const DepotPlanItem *item = &plan.items[i];
		const DepotManifest *manifest = item->build != NULL ? item->build->manifest : item->installed->manifest;
		size_t		length = strlen(text);

		snprintf(text + length, sizeof(text) - length, "%s%s %s %s", i > 0 ? ", " : "",
				 depot_plan_action_name(item->action), manifest->package, manifest->version);
	}
	assert_string_equal(text, expected);
}

static void
test_newest_that_fits(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "hll", .version = "2.9", .extension = "hll", .extension_version = "2.9"},
		{.repository = "main", .package = "hll", .version = "2.10", .extension = "hll", .extension_version = "2.10"},
		{.repository = "main", .package = "hll", .version = "2.11", .extension = "hll", .minimum_minor = 19},
		{.repository = "main", .package = "hll", .version = "2.12", .extension = "hll", .libc_min = "2.38"},
	};

	offer(builds, 4, 4);
	expect("hll", NULL, NULL, "install hll 2.10", 0);
	expect("hll", "2.9", NULL, "install hll 2.9", 0);
	expect("hll", "< 2.10", NULL, "install hll 2.9", 0);
	expect("hll", "2.11", NULL, NULL, DEPOT_ERROR_UNKNOWN_VERSION);
	expect("hll", ">= 3", NULL, NULL, DEPOT_ERROR_UNKNOWN_VERSION);
	expect("hll", "not a version!", NULL, NULL, DEPOT_ERROR_INVALID_VERSION);
	expect("hlll", NULL, NULL, NULL, DEPOT_ERROR_UNKNOWN_EXTENSION);
}

static void
test_lists_what_exists(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "hll", .version = "2.9", .extension = "hll"},
		{.repository = "main", .package = "hll", .version = "2.11", .extension = "hll", .minimum_minor = 19},
	};
	DepotPlanRequest request = {.name = "hll", .constraint = "3"};
	DepotPlan	plan;
	DepotError	error;

	offer(builds, 2, 2);
	assert_false(depot_plan_install(&catalog.input, &request, &plan, &error));
	assert_string_equal(error.message, "no build of \"hll\" satisfies \"3\"");
	assert_string_equal(error.detail, "Repository \"main\" has 2.9, 2.11 (needs PostgreSQL 15.19).");
}

static void
test_extension_version_counts_too(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "rational", .version = "2022a", .extension = "pg_rational",
		.extension_version = "0.0.2"},
	};

	offer(builds, 1, 1);
	expect("pg_rational", "0.0.*", NULL, "install rational 2022a", 0);
	expect("rational", "2022a", NULL, "install rational 2022a", 0);
	expect("rational", "0.0.2", NULL, NULL, DEPOT_ERROR_UNKNOWN_VERSION);
	is_extension = true;
	expect("pg_rational", NULL, NULL, "install rational 2022a", 0);
	expect("rational", NULL, NULL, NULL, DEPOT_ERROR_UNKNOWN_EXTENSION);
	is_extension = false;
}

/* A name belongs to the first repository by priority that lists it, in whatever version. */
static void
test_priorities(void **state)
{
	const Build builds[] = {
		{.repository = "extra", .priority = 200, .package = "hll", .version = "9", .extension = "hll"},
		{.repository = "main", .priority = 100, .package = "hll", .version = "2", .extension = "hll"},
		{.repository = "also", .priority = 100, .package = "ip4r", .version = "1", .extension = "ip4r"},
		{.repository = "main", .priority = 100, .package = "ip4r", .version = "2", .extension = "ip4r"},
	};

	offer(builds, 4, 4);
	expect("hll", NULL, NULL, "install hll 2", 0);
	expect("hll", "9", NULL, NULL, DEPOT_ERROR_UNKNOWN_VERSION);
	expect("hll", NULL, "extra", "install hll 9", 0);
	expect("ip4r", NULL, NULL, "install ip4r 1", 0);
}

static void
test_needs_come_first(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "top", .version = "1", .extension = "top", .requires = "middle"},
		{.repository = "main", .package = "mid", .version = "1", .extension = "middle", .depends = "base",
		.depends_constraint = "< 3"},
		{.repository = "main", .package = "base", .version = "2"},
		{.repository = "main", .package = "base", .version = "3"},
		{.repository = "main", .package = "cubic", .version = "1", .extension = "cubic", .requires = "cube"},
		{.repository = "main", .package = "lost", .version = "1", .extension = "lost", .requires = "nowhere"},
	};

	offer(builds, 6, 6);
	expect("top", NULL, NULL, "install base 2, install mid 1, install top 1", 0);
	expect("cubic", NULL, NULL, "install cubic 1", 0);
	expect("lost", NULL, NULL, NULL, DEPOT_ERROR_UNKNOWN_EXTENSION);
}

static void
test_circle(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "a", .version = "1", .extension = "a", .requires = "b"},
		{.repository = "main", .package = "b", .version = "1", .extension = "b", .requires = "a"},
	};

	offer(builds, 2, 2);
	expect("a", NULL, NULL, "install b 1, install a 1", 0);
}

static void
test_keep_and_update(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "hll", .version = "3", .extension = "hll"},
		{.repository = "other", .priority = 200, .package = "hll", .version = "2", .extension = "hll"},
		{.repository = "main", .package = "hll", .version = "2", .extension = "hll"},
	};

	offer(builds, 3, 2);
	expect("hll", NULL, NULL, "keep hll 2", 0);
	expect("hll", "2", NULL, "keep hll 2", 0);
	expect("hll", "3", NULL, "update hll 3", 0);
	expect("hll", "2", "other", "update hll 2", 0);
	catalog.installed[0].is_removed = true;
	expect("hll", NULL, NULL, "install hll 3", 0);
}

/* Writes the plan of an update and compares; expected NULL: it must fail with code. */
static void
expect_update(const char *name, const char *constraint, const char *expected, DepotErrorCode code)
{
	is_update = true;
	expect(name, constraint, NULL, expected, code);
	is_update = false;
}

static void
test_update(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "base", .version = "1"},
		{.repository = "main", .package = "base", .version = "2"},
		{.repository = "main", .package = "base", .version = "3"},
		{.repository = "main", .package = "base", .version = "2"},
		{.repository = "main", .package = "top", .version = "1", .depends = "base", .depends_constraint = "< 3"},
	};

	offer(builds, 4, 3);
	expect_update("base", NULL, "update base 3", 0);
	expect_update("base", "2", "keep base 2", 0);
	expect_update("base", "< 2", "update base 1", 0);
	expect_update("base", "> 3", NULL, DEPOT_ERROR_UNKNOWN_VERSION);
	expect_update("top", NULL, NULL, DEPOT_ERROR_WRONG_STATE);
	catalog.input.available_count = 2;
	expect_update("base", NULL, "keep base 2", 0);

	/* Another package may have a say. */
	offer(builds, 5, 3);
	expect_update("base", NULL, NULL, DEPOT_ERROR_CONFLICT);
	expect_update("base", "1", "update base 1", 0);
}

static void
test_installation_provides(void **state)
{
	DepotPlanRequest request = {.name = "cube"};
	DepotPlan	plan;
	DepotError	error;

	offer(NULL, 0, 0);
	assert_true(depot_plan_install(&catalog.input, &request, &plan, &error));
	assert_true(plan.is_system);
	assert_int_equal(plan.count, 0);
	assert_string_equal(plan.system_version, "1.5");
	request.constraint = ">= 2";
	assert_false(depot_plan_install(&catalog.input, &request, &plan, &error));
	assert_int_equal(error.code, DEPOT_ERROR_UNKNOWN_EXTENSION);
}

static void
test_dependents(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "mid", .version = "1", .extension = "middle", .depends = "base"},
		{.repository = "main", .package = "base", .version = "2"},
		{.repository = "main", .package = "top", .version = "1", .extension = "top", .requires = "middle"},
	};

	offer(builds, 3, 0);
	assert_ptr_equal(depot_plan_find_dependent(catalog.installed, 3, &catalog.installed[0]), &catalog.installed[2]);
	assert_ptr_equal(depot_plan_find_dependent(catalog.installed, 3, &catalog.installed[1]), &catalog.installed[0]);
	assert_null(depot_plan_find_dependent(catalog.installed, 3, &catalog.installed[2]));
	assert_ptr_equal(depot_plan_find_installed(catalog.installed, 3, "middle"), &catalog.installed[0]);
	assert_null(depot_plan_find_installed(catalog.installed, 3, "nothing"));
}

static void
test_restart(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "pg_cron", .version = "1", .is_preloaded = true},
		{.repository = "main", .package = "hll", .version = "1"},
	};

	offer(builds, 2, 2);
	assert_true(depot_plan_needs_restart(catalog.available[0].manifest));
	assert_false(depot_plan_needs_restart(catalog.available[1].manifest));
}

static void
test_policy(void **state)
{
	DepotError	error;

	assert_true(depot_policy_allows("install_extension", true, &error));
	assert_false(depot_policy_allows("install_extension", false, &error));
	assert_string_equal(error.message, "permission denied for function install_extension");
	assert_string_equal(depot_error_sqlstate(error.code), "42501");
}

/* A version that scripts must be able to make: the newest build that has it, and never an older one than is there. */
static void
test_version_by_scripts(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "gis", .version = "1", .extension = "gis", .extension_version = "1.0"},
		{
			.repository = "main", .package = "gis", .version = "2", .extension = "gis", .extension_version = "2.0",
			.older_version = "1.0"
		},
		{.repository = "main", .package = "gis", .version = "3", .extension = "gis", .extension_version = "3.0"},
		{.repository = "main", .package = "gis", .version = "2", .extension = "gis", .extension_version = "2.0"},
	};

	extension_version = "1.0";
	offer(builds, 3, 3);
	expect("gis", NULL, NULL, "install gis 2", 0);
	expect("cube", NULL, NULL, NULL, DEPOT_ERROR_UNKNOWN_EXTENSION);
	extension_version = "1.5";
	expect("cube", NULL, NULL, "", 0);
	expect("gis", NULL, NULL, NULL, DEPOT_ERROR_UNKNOWN_VERSION);

	offer(builds, 4, 3);
	extension_version = "2.0";
	expect("gis", NULL, NULL, "keep gis 2", 0);
	extension_version = "3.0";
	expect("gis", NULL, NULL, "update gis 3", 0);
	extension_version = "1.0";
	expect("gis", NULL, NULL, NULL, DEPOT_ERROR_UNKNOWN_VERSION);
	extension_version = NULL;
}

/* What was withdrawn is passed over; it still makes its repository the owner of the name, and stays installed. */
static void
test_withdrawn(void **state)
{
	const Build builds[] = {
		{.repository = "main", .package = "hll", .version = "1", .extension = "hll"},
		{.repository = "main", .package = "hll", .version = "2", .extension = "hll", .withdrawn = "crashes"},
		{.repository = "main", .package = "sem", .version = "1", .extension = "sem", .withdrawn = "crashes"},
		{.repository = "other", .priority = 9, .package = "sem", .version = "1", .extension = "sem"},
		{
			.repository = "main", .package = "top", .version = "1", .extension = "top", .depends = "hll",
			.depends_constraint = "> 1"
		},
		{.repository = "main", .package = "hll", .version = "2", .extension = "hll"},
	};
	const DepotPlanRequest top = {.name = "top"};
	DepotPlan	plan;
	DepotError	error;

	offer(builds, 5, 5);
	expect("hll", NULL, NULL, "install hll 1", 0);
	expect("hll", "2", NULL, NULL, DEPOT_ERROR_WITHDRAWN);
	expect("hll", "3", NULL, NULL, DEPOT_ERROR_UNKNOWN_VERSION);
	expect("sem", NULL, NULL, NULL, DEPOT_ERROR_WITHDRAWN);
	expect("sem", NULL, "other", "install sem 1", 0);
	assert_false(depot_plan_install(&catalog.input, &top, &plan, &error));
	assert_string_equal(error.message,
						"package \"top\" needs what cannot be had: package \"hll\" 2 was withdrawn by its publisher");
	assert_string_equal(error.detail, "Reason: crashes.");
	assert_string_equal(error.hint, "Ask the publisher of package \"top\" for a version that does without it.");

	offer(builds, 6, 5);
	expect("hll", NULL, NULL, "keep hll 2", 0);
	expect("hll", "2", NULL, "keep hll 2", 0);
	expect("hll", "1", NULL, "update hll 1", 0);
	is_update = true;
	expect("hll", NULL, NULL, "keep hll 2", 0);
	is_update = false;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest_that_fits),
		cmocka_unit_test(test_lists_what_exists),
		cmocka_unit_test(test_extension_version_counts_too),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_needs_come_first),
		cmocka_unit_test(test_circle),
		cmocka_unit_test(test_keep_and_update),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_version_by_scripts),
		cmocka_unit_test(test_installation_provides),
		cmocka_unit_test(test_dependents),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_withdrawn),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
