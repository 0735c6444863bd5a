/*-------------------------------------------------------------------------
 *
 * test_plan_lock.c
 *	  Tests of what applying a lock means.
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

#define PACKAGES_MAX 8

/* One package in a few words: an extension of its own name, which may require another's. */
typedef struct Package
{
	DepotManifest manifest;
	DepotManifestExtension extension;
	DepotManifestDepend depend;
	char	   *require;
	char		digest[65];
} Package;

typedef struct World
{
	Package		packages[PACKAGES_MAX];
	DepotAvailableRow available[PACKAGES_MAX];
	int			available_count;
	DepotInstalledRow installed[PACKAGES_MAX];
	int			installed_count;
	int			package_count;
	DepotLockEntry entries[PACKAGES_MAX];
	DepotLockfile lock;
	DepotPlan	plan;
	DepotError	error;
} World;

static World world;

static bool
system_extension(const char *extension, char version[64])
{
	version[0] = '\0';
	return strcmp(extension, "plpgsql") == 0;
}

/* Makes a package whose digest is one letter; requires and depends may be NULL. */
static Package *
make(char letter, const char *name, const char *version, const char *requires, const char *depends,
	 const char *constraint)
{
	Package    *package = &world.packages[world.package_count++];

	memset(package->digest, letter, 64);
	package->manifest.package = (char *) name;
	package->manifest.version = (char *) version;
	package->manifest.platform_libc_min = "";
	package->manifest.extensions = &package->extension;
	package->manifest.extension_count = 1;
	package->extension.name = (char *) name;
	package->extension.default_version = (char *) version;
	package->require = (char *) requires;
	package->extension.requires = &package->require;
	package->extension.require_count = requires != NULL;
	package->depend.package = (char *) depends;
	package->depend.constraint = (char *) constraint;
	package->manifest.depends = &package->depend;
	package->manifest.depend_count = depends != NULL;
	return package;
}

static void
offer(const Package *package)
{
	DepotAvailableRow *row = &world.available[world.available_count++];

	row->repository = "main";
	row->target = "target";
	row->sha256 = package->digest;
	row->manifest = &package->manifest;
}

static void
install(const Package *package)
{
	DepotInstalledRow *row = &world.installed[world.installed_count++];

	row->package = package->manifest.package;
	row->version = package->manifest.version;
	row->why = "requested";
	row->has_build = true;
	row->digest = package->digest;
	row->manifest = &package->manifest;
}

static void
name_in_lock(const Package *package)
{
	DepotLockEntry *entry = &world.entries[world.lock.count++];

	snprintf(entry->package, sizeof(entry->package), "%s", package->manifest.package);
	snprintf(entry->version, sizeof(entry->version), "%s", package->manifest.version);
	snprintf(entry->why, sizeof(entry->why), "requested");
	snprintf(entry->sha256, sizeof(entry->sha256), "%s", package->digest);
	world.lock.entries = world.entries;
}

static bool
plan(bool is_pruning)
{
	const DepotPlanInput input = {
		.available = world.available,
		.available_count = world.available_count,
		.installed = world.installed,
		.installed_count = world.installed_count,
		.server_minor = 5,
		.libc_version = "2.36",
		.system_extension = system_extension
	};

	return depot_plan_lock(&input, &world.lock, is_pruning, &world.plan, &world.error);
}

static void
assert_item(int index, const char *package, DepotPlanAction action)
{
	const DepotPlanItem *item = &world.plan.items[index];

	assert_in_range(index, 0, world.plan.count - 1);
	assert_string_equal(item->build != NULL ? item->build->manifest->package : item->installed->package, package);
	assert_int_equal(item->action, action);
}

static void
assert_error(DepotErrorCode code, const char *message)
{
	assert_int_equal(world.error.code, code);
	assert_string_equal(world.error.message, message);
}

static int
clear(void **state)
{
	(void) state;
	memset(&world, 0, sizeof(world));
	return 0;
}

static void
test_actions(void **state)
{
	Package    *kept = make('a', "kept", "1.0", NULL, NULL, NULL);
	Package    *old = make('b', "changed", "2.0", NULL, NULL, NULL);
	Package    *locked = make('c', "changed", "1.0", NULL, NULL, NULL);
	Package    *new = make('d', "new", "1.0", "plpgsql", NULL, NULL);
	Package    *other = make('e', "other", "1.0", NULL, NULL, NULL);

	(void) state;
	install(kept);
	install(old);
	install(other);
	offer(locked);
	offer(new);
	name_in_lock(kept);
	name_in_lock(locked);
	name_in_lock(new);
	assert_true(plan(false));
	assert_int_equal(world.plan.count, 3);
	assert_item(0, "kept", DEPOT_PLAN_KEEP);
	assert_item(1, "changed", DEPOT_PLAN_UPDATE);
	assert_item(2, "new", DEPOT_PLAN_INSTALL);

	assert_true(plan(true));
	assert_int_equal(world.plan.count, 4);
	assert_item(3, "other", DEPOT_PLAN_REMOVE);
}

/* What others need comes first, whatever the lock's order; a cycle is no obstacle. */
static void
test_order(void **state)
{
	Package    *top = make('a', "top", "1.0", "middle", NULL, NULL);
	Package    *middle = make('b', "middle", "1.0", NULL, "bottom", ">= 1");
	Package    *bottom = make('c', "bottom", "1.0", NULL, NULL, NULL);
	Package    *ring_a = make('d', "ring_a", "1.0", "ring_b", NULL, NULL);
	Package    *ring_b = make('e', "ring_b", "1.0", "ring_a", NULL, NULL);

	(void) state;
	for (int i = 0; i < world.package_count; i++)
		offer(&world.packages[i]);
	name_in_lock(top);
	name_in_lock(ring_a);
	name_in_lock(middle);
	name_in_lock(ring_b);
	name_in_lock(bottom);
	assert_true(plan(false));
	assert_int_equal(world.plan.count, 5);
	assert_item(0, "bottom", DEPOT_PLAN_INSTALL);
	assert_item(1, "middle", DEPOT_PLAN_INSTALL);
	assert_item(2, "top", DEPOT_PLAN_INSTALL);
	assert_item(3, "ring_b", DEPOT_PLAN_INSTALL);
	assert_item(4, "ring_a", DEPOT_PLAN_INSTALL);
}

static void
test_unknown_digest(void **state)
{
	Package    *package = make('a', "gone", "1.0", NULL, NULL, NULL);

	(void) state;
	name_in_lock(package);
	assert_false(plan(false));
	assert_error(DEPOT_ERROR_UNKNOWN_VERSION,
				 "no repository lists the build of package \"gone\" 1.0 that the lock names");
}

static void
test_digest_of_another(void **state)
{
	Package    *package = make('a', "real", "1.0", NULL, NULL, NULL);

	(void) state;
	offer(package);
	name_in_lock(package);
	snprintf(world.entries[0].package, sizeof(world.entries[0].package), "claimed");
	assert_false(plan(false));
	assert_error(DEPOT_ERROR_INVALID_ARGUMENT,
				 "the lock's build of package \"claimed\" 1.0 is one of package \"real\" 1.0");
}

/* A lock that was edited is no less wrong where its build is installed already. */
static void
test_digest_of_another_version(void **state)
{
	Package    *package = make('a', "real", "1.0", NULL, NULL, NULL);

	(void) state;
	install(package);
	name_in_lock(package);
	assert_true(plan(false));
	snprintf(world.entries[0].version, sizeof(world.entries[0].version), "1.1");
	assert_false(plan(false));
	assert_error(DEPOT_ERROR_INVALID_ARGUMENT,
				 "the lock's build of package \"real\" 1.1 is one of package \"real\" 1.0");
}

static void
test_misfit(void **state)
{
	Package    *package = make('a', "later", "1.0", NULL, NULL, NULL);

	(void) state;
	package->manifest.postgresql_major = 15;
	package->manifest.postgresql_minimum_minor = 6;
	offer(package);
	name_in_lock(package);
	assert_false(plan(false));
	assert_error(DEPOT_ERROR_UNKNOWN_VERSION, "package \"later\" 1.0 needs PostgreSQL 15.6, which this server has not");
}

/* Something would be missing: for what the lock names, or for what it leaves alone. */
static void
test_missing_needs(void **state)
{
	Package    *needs = make('a', "needs", "1.0", NULL, "base", ">= 2");
	Package    *base = make('b', "base", "1.0", NULL, NULL, NULL);
	Package    *stays = make('c', "stays", "1.0", "base", NULL, NULL);

	(void) state;
	offer(needs);
	offer(base);
	name_in_lock(needs);
	name_in_lock(base);
	assert_false(plan(false));
	assert_error(DEPOT_ERROR_CONFLICT, "package \"needs\" 1.0 needs package \"base\", which the lock has not");
	assert_string_equal(world.error.detail, "It needs version >= 2.");

	world.lock.count = 0;
	install(base);
	install(stays);
	name_in_lock(stays);
	assert_true(plan(false));
	assert_false(plan(true));
	assert_error(DEPOT_ERROR_CONFLICT, "package \"stays\" 1.0 needs extension \"base\", which the lock has not");
}

/* A withdrawn build is refused, unless it is there already. */
static void
test_withdrawn(void **state)
{
	Package    *bad = make('a', "bad", "1.0", NULL, NULL, NULL);

	(void) state;
	offer(bad);
	world.available[0].withdrawn_reason = "crashes";
	world.available[0].withdrawn_advisory = "CVE-2026-1";
	name_in_lock(bad);
	assert_false(plan(false));
	assert_error(DEPOT_ERROR_WITHDRAWN, "package \"bad\" 1.0 was withdrawn by its publisher");
	assert_string_equal(world.error.detail, "Reason: crashes. Advisory: CVE-2026-1.");
	assert_string_equal(world.error.hint, "Update the package where the lock was made, and make a new lock.");

	install(bad);
	assert_true(plan(false));
	assert_item(0, "bad", DEPOT_PLAN_KEEP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_actions, clear),
		cmocka_unit_test_setup(test_withdrawn, clear),
		cmocka_unit_test_setup(test_order, clear),
		cmocka_unit_test_setup(test_unknown_digest, clear),
		cmocka_unit_test_setup(test_digest_of_another, clear),
		cmocka_unit_test_setup(test_digest_of_another_version, clear),
		cmocka_unit_test_setup(test_misfit, clear),
		cmocka_unit_test_setup(test_missing_needs, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
