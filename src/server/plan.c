/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Decides which packages a request means.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "server/plan.h"

/* How many builds an error lists before it says "and more". */
#define LISTED_BUILDS 8

typedef struct Wanted
{
	const char *name;
	const char *constraint;
	const char *repository;
	const char *extension_version;
	const char *needed_by;		/* NULL: the request itself */
	bool		is_update;
	bool		is_package;		/* name is a package's, from depends */
	bool		is_extension;	/* it is an extension's; if neither, either will do */
	const struct Wanted *outer; /* what was being planned when this came up */
	const DepotManifest *chosen;	/* the build that was decided on, while what it needs is planned */
} Wanted;

static bool plan_one(const DepotPlanInput *input, Wanted *wanted, DepotPlan *plan, DepotError *error);
static bool plan_needs(const DepotPlanInput *input, const Wanted *wanted, DepotPlan *plan, DepotError *error);
static bool keeps_dependents(const DepotPlanInput *input, const DepotPlan *plan, DepotError *error);
static bool is_planned(const DepotPlan *plan, const Wanted *wanted);
static const DepotAvailableRow *newest_build(const DepotPlanInput *input, const Wanted *wanted, const char *repository,
											 const DepotVersionConstraint *constraint);
static bool has_newer(const DepotPlanInput *input, const Wanted *wanted, const DepotInstalledRow *row,
					  const DepotVersionConstraint *constraint);
static const DepotManifestDepend *find_depend(const DepotPlan *plan, const DepotInstalledRow *row,
											  const char *package);
static bool is_provided_by_system(const DepotPlanInput *input, const Wanted *wanted,
								  const DepotVersionConstraint *constraint, DepotPlan *plan);
static bool add_item(DepotPlan *plan, const DepotPlanItem *item, DepotError *error);
static bool satisfies(const DepotManifest *manifest, const Wanted *wanted, const DepotVersionConstraint *constraint);
static bool can_make(const DepotManifest *manifest, const char *extension, const char *version);
static const char *owning_repository(const DepotPlanInput *input, const Wanted *wanted);
static bool is_withdrawn_error(const DepotPlanInput *input, const Wanted *wanted, const char *repository,
							   const DepotVersionConstraint *constraint, DepotError *error);
static bool no_build_error(const DepotPlanInput *input, const Wanted *wanted, const char *repository,
						   DepotError *error);

bool
depot_plan_install(const DepotPlanInput *input, const DepotPlanRequest *request, DepotPlan *plan,
				   DepotError *error)
{
	Wanted		wanted = {
		.name = request->name,
		.constraint = request->constraint,
		.repository = request->repository,
		.extension_version = request->extension_version,
		.is_extension = request->is_extension, .is_update = request->is_update
	};
	char		version[64];

	memset(plan, 0, sizeof(*plan));
	if (request->is_update &&
		depot_plan_find_installed(input->installed, input->installed_count, request->name) == NULL)
	{
		if (input->system_extension(request->name, version))
		{
			depot_error_set(error, DEPOT_ERROR_WRONG_STATE,
							"extension \"%s\" was not installed by pg_depot", request->name);
			depot_error_detail(error, "Version %s is provided by the server installation.", version);
			return depot_error_hint(error, "Update the server installation.");
		}
		depot_error_set(error, DEPOT_ERROR_WRONG_STATE, "extension \"%s\" is not installed", request->name);
		return depot_error_hint(error, "Install it with install_extension; the view depot.installed_packages "
								"lists what is.");
	}
	return plan_one(input, &wanted, plan, error) && keeps_dependents(input, plan, error);
}

/* Another version of a package must still do for the installed packages that stay and depend on it. */
static bool
keeps_dependents(const DepotPlanInput *input, const DepotPlan *plan, DepotError *error)
{
	for (int i = 0; i < plan->count; i++)
	{
		const DepotPlanItem *item = &plan->items[i];

		for (int j = 0; j < input->installed_count && item->action == DEPOT_PLAN_UPDATE; j++)
		{
			const DepotInstalledRow *other = &input->installed[j];
			const DepotManifestDepend *depend = find_depend(plan, other, item->build->manifest->package);
			DepotVersionConstraint constraint;

			if (depend == NULL)
				continue;
			if (!depot_version_constraint_parse(depend->constraint, &constraint, error))
				return false;
			if (depot_version_satisfies(item->build->manifest->version, &constraint))
				continue;
			depot_error_set(error, DEPOT_ERROR_CONFLICT, "package \"%s\" %s does not suit package \"%s\" %s",
							item->build->manifest->package, item->build->manifest->version,
							other->package, other->version);
			return depot_error_detail(error, "Package \"%s\" needs version %s.", other->package, depend->constraint);
		}
	}
	return true;
}

/* What an installed package that the plan leaves alone says about package, or NULL. */
static const DepotManifestDepend *
find_depend(const DepotPlan *plan, const DepotInstalledRow *row, const char *package)
{
	if (row->is_removed || !row->has_build)
		return NULL;
	for (int i = 0; i < plan->count; i++)
		if (plan->items[i].action != DEPOT_PLAN_KEEP && plan->items[i].installed == row)
			return NULL;
	for (int i = 0; i < row->manifest->depend_count; i++)
		if (strcmp(row->manifest->depends[i].package, package) == 0)
			return &row->manifest->depends[i];
	return NULL;
}

/* Whether a row is what wanted asks for. */
static bool
is_wanted(const DepotManifest *manifest, const Wanted *wanted)
{
	return (!wanted->is_extension && strcmp(manifest->package, wanted->name) == 0) ||
		(!wanted->is_package && depot_plan_provides(manifest, wanted->name));
}

/* Plans one name and, before it, what it needs. */
static bool
plan_one(const DepotPlanInput *input, Wanted *wanted, DepotPlan *plan, DepotError *error)
{
	DepotVersionConstraint constraint;
	DepotPlanItem item = {.is_requested = wanted->needed_by == NULL};
	const char *repository;

	if (!depot_version_constraint_parse(wanted->constraint, &constraint, error))
		return false;
	if (is_planned(plan, wanted))
		return true;

	for (int i = 0; i < input->installed_count && item.installed == NULL; i++)
	{
		const DepotInstalledRow *row = &input->installed[i];

		if (!row->is_removed && row->has_build && is_wanted(row->manifest, wanted))
			item.installed = row;
	}
	if (item.installed != NULL && satisfies(item.installed->manifest, wanted, &constraint) &&
		(wanted->repository == NULL || strcmp(item.installed->repository, wanted->repository) == 0) &&
		(!wanted->is_update || !has_newer(input, wanted, item.installed, &constraint)))
	{
		item.action = DEPOT_PLAN_KEEP;
		item.withdrawn = depot_plan_find_withdrawn(input, item.installed);
		return add_item(plan, &item, error);
	}
	if (item.installed == NULL && is_provided_by_system(input, wanted, &constraint, plan))
		return true;

	repository = owning_repository(input, wanted);
	if (repository == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_UNKNOWN_EXTENSION, "extension \"%s\" is not available", wanted->name);
		if (wanted->needed_by != NULL)
			depot_error_detail(error, "Package \"%s\" needs it.", wanted->needed_by);
		return false;
	}
	item.build = newest_build(input, wanted, repository, &constraint);
	if (item.build == NULL ||
		(wanted->extension_version != NULL && item.installed != NULL &&
		 depot_version_compare(item.build->manifest->version, item.installed->version) <= 0))
		return !is_withdrawn_error(input, wanted, repository, &constraint, error) &&
			no_build_error(input, wanted, repository, error);

	/*
	 * The package of that name may be there in a version that does not do, under whatever extension name it
	 * was found.
	 */
	for (int i = 0; i < input->installed_count && item.installed == NULL; i++)
		if (!input->installed[i].is_removed && input->installed[i].has_build &&
			strcmp(input->installed[i].package, item.build->manifest->package) == 0)
			item.installed = &input->installed[i];

	item.action = item.installed != NULL ? DEPOT_PLAN_UPDATE : DEPOT_PLAN_INSTALL;
	wanted->chosen = item.build->manifest;
	return plan_needs(input, wanted, plan, error) && add_item(plan, &item, error);
}

/* Whether the repository that wanted belongs to has a build that is newer than row and does. */
static bool
has_newer(const DepotPlanInput *input, const Wanted *wanted, const DepotInstalledRow *row,
		  const DepotVersionConstraint *constraint)
{
	const char *repository = owning_repository(input, wanted);
	const DepotAvailableRow *newest = NULL;

	if (repository != NULL)
		newest = newest_build(input, wanted, repository, constraint);
	return newest != NULL && depot_version_compare(newest->manifest->version, row->version) > 0;
}

/*
 * Whether wanted is in the plan, or is what is being planned right now: packages may
 * need each other, and each is then planned once.
 */
static bool
is_planned(const DepotPlan *plan, const Wanted *wanted)
{
	for (int i = 0; i < plan->count; i++)
	{
		const DepotPlanItem *item = &plan->items[i];

		if (is_wanted(item->build != NULL ? item->build->manifest : item->installed->manifest, wanted))
			return true;
	}
	for (const Wanted *outer = wanted->outer; outer != NULL; outer = outer->outer)
		if (is_wanted(outer->chosen, wanted))
			return true;
	return false;
}

/* What the installation has needs no package, unless one was asked for by its repository. */
static bool
is_provided_by_system(const DepotPlanInput *input, const Wanted *wanted,
					  const DepotVersionConstraint *constraint, DepotPlan *plan)
{
	char		version[64];

	if (wanted->is_package || wanted->repository != NULL || !input->system_extension(wanted->name, version) ||
		(wanted->extension_version != NULL && strcmp(version, wanted->extension_version) != 0) ||
		(constraint->term_count > 0 && (version[0] == '\0' || !depot_version_satisfies(version, constraint))))
		return false;
	if (wanted->needed_by == NULL)
	{
		plan->is_system = true;
		snprintf(plan->system_version, sizeof(plan->system_version), "%s", version);
	}
	return true;
}

/* The newest of a repository's builds that satisfies, runs here and was not withdrawn, or NULL. */
static const DepotAvailableRow *
newest_build(const DepotPlanInput *input, const Wanted *wanted, const char *repository,
			 const DepotVersionConstraint *constraint)
{
	const DepotAvailableRow *newest = NULL;

	for (int i = 0; i < input->available_count; i++)
	{
		const DepotAvailableRow *row = &input->available[i];
		char		reason[128];

		if (strcmp(row->repository, repository) == 0 && is_wanted(row->manifest, wanted) &&
			row->withdrawn_reason == NULL && satisfies(row->manifest, wanted, constraint) &&
			depot_plan_misfit(input, row->manifest, reason, sizeof(reason)) == NULL &&
			(newest == NULL || depot_version_compare(row->manifest->version, newest->manifest->version) > 0))
			newest = row;
	}
	return newest;
}

/* Plans what the chosen build depends on and what its extensions require, other than itself. */
static bool
plan_needs(const DepotPlanInput *input, const Wanted *wanted, DepotPlan *plan, DepotError *error)
{
	const DepotManifest *manifest = wanted->chosen;

	for (int i = 0; i < manifest->depend_count; i++)
	{
		Wanted		needed = {
			.name = manifest->depends[i].package,
			.constraint = manifest->depends[i].constraint,
			.needed_by = manifest->package,
			.is_package = true,
			.outer = wanted
		};

		if (!plan_one(input, &needed, plan, error))
			return false;
	}
	for (int i = 0; i < manifest->extension_count; i++)
		for (int j = 0; j < manifest->extensions[i].require_count; j++)
		{
			Wanted		needed = {
				.name = manifest->extensions[i].requires[j],
				.needed_by = manifest->package,
				.is_extension = true,
				.outer = wanted
			};

			if (!plan_one(input, &needed, plan, error))
				return false;
		}
	return true;
}

/* Two names may lead to one package: an item is added once. */
static bool
add_item(DepotPlan *plan, const DepotPlanItem *item, DepotError *error)
{
	for (int i = 0; i < plan->count; i++)
		if (plan->items[i].build == item->build && plan->items[i].installed == item->installed)
		{
			plan->items[i].is_requested |= item->is_requested;
			return true;
		}
	if (plan->count == DEPOT_PLAN_MAX_BUILDS)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "the request needs more than %d packages",
							   DEPOT_PLAN_MAX_BUILDS);
	plan->items[plan->count++] = *item;
	return true;
}

/* People know the extension's version or the package's: either may be meant. */
static bool
satisfies(const DepotManifest *manifest, const Wanted *wanted, const DepotVersionConstraint *constraint)
{
	if (wanted->extension_version != NULL && !can_make(manifest, wanted->name, wanted->extension_version))
		return false;
	if (depot_version_satisfies(manifest->version, constraint))
		return true;
	for (int i = 0; i < manifest->extension_count; i++)
	{
		const DepotManifestExtension *extension = &manifest->extensions[i];

		if (strcmp(extension->name, wanted->name) == 0)
			return extension->default_version[0] != '\0' &&
				depot_version_satisfies(extension->default_version, constraint);
	}
	return false;
}

/* Whether CREATE EXTENSION with the package's scripts can reach a version of an extension. */
static bool
can_make(const DepotManifest *manifest, const char *extension, const char *version)
{
	for (int i = 0; i < manifest->extension_count; i++)
		for (int j = 0; j < manifest->extensions[i].version_count; j++)
			if (strcmp(manifest->extensions[i].name, extension) == 0 &&
				strcmp(manifest->extensions[i].versions[j], version) == 0)
				return true;
	return false;
}

/* The first repository by priority, then name, that lists what is wanted in any version. */
static const char *
owning_repository(const DepotPlanInput *input, const Wanted *wanted)
{
	const DepotAvailableRow *owner = NULL;

	for (int i = 0; i < input->available_count; i++)
	{
		const DepotAvailableRow *row = &input->available[i];

		if (!is_wanted(row->manifest, wanted) ||
			(wanted->repository != NULL && strcmp(row->repository, wanted->repository) != 0))
			continue;
		if (owner == NULL || row->priority < owner->priority ||
			(row->priority == owner->priority && strcmp(row->repository, owner->repository) < 0))
			owner = row;
	}
	return owner != NULL ? owner->repository : NULL;
}

/* Whether all that would have done was withdrawn: then the error says so of the newest of these builds. */
static bool
is_withdrawn_error(const DepotPlanInput *input, const Wanted *wanted, const char *repository,
				   const DepotVersionConstraint *constraint, DepotError *error)
{
	const DepotAvailableRow *newest = NULL;

	for (int i = 0; i < input->available_count; i++)
	{
		const DepotAvailableRow *row = &input->available[i];
		char		reason[128];

		if (strcmp(row->repository, repository) != 0 || !is_wanted(row->manifest, wanted) ||
			!satisfies(row->manifest, wanted, constraint) ||
			depot_plan_misfit(input, row->manifest, reason, sizeof(reason)) != NULL)
			continue;
		if (row->withdrawn_reason == NULL)
			return false;
		if (newest == NULL || depot_version_compare(row->manifest->version, newest->manifest->version) > 0)
			newest = row;
	}
	if (newest == NULL)
		return false;
	depot_plan_set_withdrawn_error(input, newest, error);
	if (wanted->needed_by != NULL)
	{
		depot_error_prefix(error, "package \"%s\" needs what cannot be had", wanted->needed_by);
		depot_error_hint(error, "Ask the publisher of package \"%s\" for a version that does without it.",
						 wanted->needed_by);
	}
	return true;
}

/* Lists what the repository has instead. */
static bool
no_build_error(const DepotPlanInput *input, const Wanted *wanted, const char *repository, DepotError *error)
{
	char		listed[768] = "";
	size_t		length = 0;
	int			count = 0;
	int			hidden = 0;

	for (int i = 0; i < input->available_count; i++)
	{
		const DepotAvailableRow *row = &input->available[i];
		char		reason[128];
		int			added;

		if (strcmp(row->repository, repository) != 0 || !is_wanted(row->manifest, wanted))
			continue;
		if (count >= LISTED_BUILDS)
		{
			hidden++;
			continue;
		}
		if (row->withdrawn_reason != NULL)
			snprintf(reason, sizeof(reason), "withdrawn");
		if (row->withdrawn_reason != NULL ||
			depot_plan_misfit(input, row->manifest, reason, sizeof(reason)) != NULL)
			added = snprintf(listed + length, sizeof(listed) - length, "%s%s (%s)", count > 0 ? ", " : "",
							 row->manifest->version, reason);
		else
			added = snprintf(listed + length, sizeof(listed) - length, "%s%s", count > 0 ? ", " : "",
							 row->manifest->version);
		if (added < 0 || (size_t) added >= sizeof(listed) - length)
			break;
		length += (size_t) added;
		count++;
	}

	if (wanted->extension_version != NULL)
		depot_error_set(error, DEPOT_ERROR_UNKNOWN_VERSION,
						"extension \"%s\" is not available in version \"%s\"%s",
						wanted->name, wanted->extension_version,
						depot_plan_find_installed(input->installed, input->installed_count, wanted->name) == NULL ?
						"" : " from a newer build");
	else if (wanted->constraint != NULL && wanted->constraint[0] != '\0')
		depot_error_set(error, DEPOT_ERROR_UNKNOWN_VERSION, "no build of \"%s\" satisfies \"%s\"",
						wanted->name, wanted->constraint);
	else
		depot_error_set(error, DEPOT_ERROR_UNKNOWN_VERSION, "no build of \"%s\" fits this server", wanted->name);
	if (hidden > 0)
		depot_error_detail(error, "Repository \"%s\" has %s and %d more.", repository, listed, hidden);
	else
		depot_error_detail(error, "Repository \"%s\" has %s.", repository, listed);
	if (wanted->needed_by != NULL)
		depot_error_hint(error, "Package \"%s\" needs it.", wanted->needed_by);
	return false;
}
