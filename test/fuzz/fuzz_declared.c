/*-------------------------------------------------------------------------
 *
 * fuzz_declared.c
 *	  What a declared list asks for of a small repository and a server with
 *	  some of its packages.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "server/declared.h"

#define MOST_ENTRIES 64

/* A build; extension and requires are names or "". */
typedef struct Build
{
	const char *package;
	const char *version;
	const char *extension;
	const char *requires;
	const char *depends;
	int			priority;
} Build;

static const Build builds[] = {
	/* on offer */
	{"a", "1.0", "a", "", "", 100},
	{"a", "1.1", "a", "", "", 100},
	{"a", "2.0", "a", "b", "", 100},
	{"b", "1.0", "b", "", "lib", 100},
	{"b", "1.0-2", "other_b", "", "lib", 100},
	{"lib", "3.14.1", "", "", "", 100},
	{"lonely", "1", "lonely", "nowhere", "", 100},
	{"ring_a", "1", "ring_a", "ring_b", "", 100},
	{"ring_b", "1", "ring_b", "ring_a", "", 100},
	{"a", "9.9", "a", "", "", 200},
	{"new", "1.0~rc1", "new", "", "", 200},
	{"plpgsql", "7", "plpgsql", "", "", 200},
	/* installed */
	{"a", "1.0", "a", "", "", 0},
	{"lib", "3.14.1", "", "", "", 0},
	{"gone", "1.0", "gone_too", "", "", 0},
};

#define BUILD_COUNT ((int) (sizeof(builds) / sizeof(builds[0])))
#define OFFERED_COUNT 12
#define INSTALLED_COUNT (BUILD_COUNT - OFFERED_COUNT)

static DepotManifest manifests[BUILD_COUNT];
static DepotManifestExtension extensions[BUILD_COUNT];
static DepotManifestDepend depends[BUILD_COUNT];
static char *requires[BUILD_COUNT];
static DepotAvailableRow available[OFFERED_COUNT];
static DepotInstalledRow installed[INSTALLED_COUNT];

static bool
system_extension(const char *extension, char version[64])
{
	snprintf(version, 64, "1.0");
	return strcmp(extension, "plpgsql") == 0;
}

static void
describe(int i)
{
	const Build *build = &builds[i];
	DepotManifest *manifest = &manifests[i];

	requires[i] = (char *) build->requires;
	depends[i].package = (char *) build->depends;
	depends[i].constraint = "";
	extensions[i].name = (char *) build->extension;
	extensions[i].default_version = "";
	extensions[i].requires = &requires[i];
	extensions[i].require_count = build->requires[0] != '\0' ? 1 : 0;
	manifest->package = (char *) build->package;
	manifest->version = (char *) build->version;
	manifest->platform_libc_min = "";
	manifest->extensions = &extensions[i];
	manifest->extension_count = build->extension[0] != '\0' ? 1 : 0;
	manifest->depends = &depends[i];
	manifest->depend_count = build->depends[0] != '\0' ? 1 : 0;
}

static void
describe_all(void)
{
	for (int i = 0; i < BUILD_COUNT; i++)
		describe(i);
	for (int i = 0; i < OFFERED_COUNT; i++)
	{
		available[i].repository = builds[i].priority == 100 ? "main" : "second";
		available[i].priority = builds[i].priority;
		available[i].target = builds[i].package;
		available[i].manifest = &manifests[i];
	}
	for (int i = 0; i < INSTALLED_COUNT; i++)
	{
		const Build *build = &builds[OFFERED_COUNT + i];

		installed[i].package = build->package;
		installed[i].version = build->version;
		installed[i].why = "declared";
		installed[i].repository = "main";
		installed[i].has_build = true;
		installed[i].manifest = &manifests[OFFERED_COUNT + i];
	}
}

/* Requires an answer for each entry, one that the entry allows. */
static void
check_entry(const DepotDeclaredEntry *entry)
{
	DepotVersionConstraint constraint;

	FUZZ_REQUIRE(entry->action != DEPOT_DECLARED_UNDECIDED);
	FUZZ_REQUIRE(strcmp(depot_declared_action_name(entry->action), "undecided") != 0);
	if (entry->declaration.is_bad)
		FUZZ_REQUIRE(entry->action == DEPOT_DECLARED_REFUSED);
	if (entry->action == DEPOT_DECLARED_REFUSED)
	{
		FUZZ_REQUIRE(entry->reason[0] != '\0');
		return;
	}
	FUZZ_REQUIRE(entry->version[0] != '\0');
	FUZZ_REQUIRE(depot_version_constraint_parse(entry->declaration.constraint, &constraint, NULL));
	FUZZ_REQUIRE(depot_version_satisfies(entry->version, &constraint));
	if (entry->action == DEPOT_DECLARED_INSTALL || entry->action == DEPOT_DECLARED_UPDATE)
		FUZZ_REQUIRE(entry->package != NULL && entry->repository != NULL);
}

static void
check_entries(const DepotDeclaredEntry *entries, int count)
{
	for (int i = 0; i < count; i++)
	{
		check_entry(&entries[i]);
		for (int j = 0; j < i; j++)
		{
			/* Two entries that lead to two versions of one package would replace each other's for ever. */
			if (entries[i].action != DEPOT_DECLARED_REFUSED && entries[j].action != DEPOT_DECLARED_REFUSED &&
				entries[i].package != NULL && entries[j].package != NULL &&
				strcmp(entries[i].package, entries[j].package) == 0)
				FUZZ_REQUIRE(strcmp(entries[i].version, entries[j].version) == 0);
		}
	}
	for (int i = 0; i < INSTALLED_COUNT; i++)
	{
		bool		is_named = false;

		for (int j = 0; j < count; j++)
			is_named = is_named || strcmp(entries[j].declaration.name, installed[i].package) == 0 ||
				depot_plan_provides(installed[i].manifest, entries[j].declaration.name);
		FUZZ_REQUIRE(depot_declared_names(entries, count, &installed[i]) == is_named);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static DepotDeclaration declarations[MOST_ENTRIES];
	static DepotDeclaredEntry entries[MOST_ENTRIES];
	char	   *list = fuzz_string(data, size);
	DepotError	error = {0};
	DepotPlanInput input = {
		.available = available, .available_count = OFFERED_COUNT, .installed = installed,
		.installed_count = INSTALLED_COUNT, .libc_version = "2.36",.system_extension = system_extension
	};
	int			count;

	describe_all();
	count = depot_declaration_count(list);
	if (count <= MOST_ENTRIES && depot_declaration_check(list, &error))
	{
		FUZZ_REQUIRE(depot_declaration_parse(list, declarations, &error));
		memset(entries, 0, sizeof(entries));
		for (int i = 0; i < count; i++)
			entries[i].declaration = declarations[i];
		FUZZ_REQUIRE(depot_declared_decide_installed(&input, entries, count, &error));
		FUZZ_REQUIRE(depot_declared_decide_available(&input, entries, count, &error));
		check_entries(entries, count);
	}
	free(list);
	return 0;
}
