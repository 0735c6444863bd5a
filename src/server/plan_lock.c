/*-------------------------------------------------------------------------
 *
 * plan_lock.c
 *	  Decides what applying a lock means.
 *
 * Nothing is chosen here: the lock names each build by digest, and the signed
 * metadata says what that digest is.  What is decided is whether the outcome
 * holds together, what is there already, and in which order to go.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "server/plan.h"

#include <string.h>

/* What the server will have: the manifests of the plan, and of what the plan leaves alone. */
typedef struct Outcome
{
	const DepotPlanInput *input;
	const DepotPlan *plan;
} Outcome;

static bool add_entry(const DepotPlanInput *input, const DepotLockEntry *entry, DepotPlan *plan, DepotError *error);
static bool add_removals(const DepotPlanInput *input, const DepotLockfile *lock, DepotPlan *plan, DepotError *error);
static bool check_outcome(const DepotPlanInput *input, const DepotPlan *plan, DepotError *error);
static void put_needs_first(DepotPlan *plan);

bool
depot_plan_lock(const DepotPlanInput *input, const DepotLockfile *lock, bool is_pruning, DepotPlan *plan,
				DepotError *error)
{
	memset(plan, 0, sizeof(*plan));
	for (int i = 0; i < lock->count; i++)
		if (!add_entry(input, &lock->entries[i], plan, error))
			return false;
	if (is_pruning && !add_removals(input, lock, plan, error))
		return false;
	if (!check_outcome(input, plan, error))
		return false;
	put_needs_first(plan);
	return true;
}

static const DepotInstalledRow *
find_package(const DepotPlanInput *input, const char *package)
{
	for (int i = 0; i < input->installed_count; i++)
		if (!input->installed[i].is_removed && strcmp(input->installed[i].package, package) == 0)
			return &input->installed[i];
	return NULL;
}

/* The build with the entry's digest; of several repositories that list it, the first by priority. */
static const DepotAvailableRow *
find_build(const DepotPlanInput *input, const DepotLockEntry *entry)
{
	const DepotAvailableRow *found = NULL;

	for (int i = 0; i < input->available_count; i++)
		if (strcmp(input->available[i].sha256, entry->sha256) == 0 &&
			(found == NULL || input->available[i].priority < found->priority))
			found = &input->available[i];
	return found;
}

/* Whether the build that the entry's digest is of, is of the package and version that the entry names. */
static bool
check_identity(const DepotLockEntry *entry, const char *package, const char *version, DepotError *error)
{
	if (strcmp(package, entry->package) == 0 && strcmp(version, entry->version) == 0)
		return true;
	depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
					"the lock's build of package \"%s\" %s is one of package \"%s\" %s",
					entry->package, entry->version, package, version);
	return depot_error_hint(error, "Give what extension_lock() returned; was this one edited?");
}

static bool
check_build(const DepotPlanInput *input, const DepotLockEntry *entry, const DepotAvailableRow *build,
			DepotError *error)
{
	char		reason[128];

	if (build == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_UNKNOWN_VERSION, "no repository lists the build of package \"%s\" %s "
						"that the lock names", entry->package, entry->version);
		depot_error_detail(error, "Its sha256 is %s.", entry->sha256);
		return depot_error_hint(error, "Add the repository it came from; or its publisher has withdrawn it.");
	}
	if (!check_identity(entry, build->manifest->package, build->manifest->version, error))
		return false;
	if (build->withdrawn_reason != NULL)
	{
		depot_plan_set_withdrawn_error(input, build, error);
		return depot_error_hint(error, "Update the package where the lock was made, and make a new lock.");
	}
	if (depot_plan_misfit(input, build->manifest, reason, sizeof(reason)) != NULL)
		return depot_error_set(error, DEPOT_ERROR_UNKNOWN_VERSION, "package \"%s\" %s %s, which this server has not",
							   entry->package, entry->version, reason);
	return true;
}

static bool
add_item(DepotPlan *plan, const DepotPlanItem *item, DepotError *error)
{
	if (plan->count == DEPOT_PLAN_MAX_ITEMS)
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "the lock means more than %d packages",
							   DEPOT_PLAN_MAX_ITEMS);
	plan->items[plan->count++] = *item;
	return true;
}

static int
build_count(const DepotPlan *plan)
{
	int			count = 0;

	for (int i = 0; i < plan->count; i++)
		count += plan->items[i].build != NULL;
	return count;
}

static bool
add_entry(const DepotPlanInput *input, const DepotLockEntry *entry, DepotPlan *plan, DepotError *error)
{
	DepotPlanItem item = {
		.is_requested = strcmp(entry->why, "dependency") != 0,
		.installed = find_package(input, entry->package)
	};

	if (item.installed != NULL && item.installed->has_build && strcmp(item.installed->digest, entry->sha256) == 0)
	{
		item.action = DEPOT_PLAN_KEEP;
		return check_identity(entry, item.installed->package, item.installed->version, error) &&
			add_item(plan, &item, error);
	}
	if (build_count(plan) == DEPOT_PLAN_MAX_BUILDS)
	{
		depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "the lock has more than %d packages that this server has not",
						DEPOT_PLAN_MAX_BUILDS);
		return depot_error_hint(error, "Apply it in parts: first with some of its packages, then whole.");
	}
	item.build = find_build(input, entry);
	item.action = item.installed != NULL ? DEPOT_PLAN_UPDATE : DEPOT_PLAN_INSTALL;
	return check_build(input, entry, item.build, error) && add_item(plan, &item, error);
}

static bool
add_removals(const DepotPlanInput *input, const DepotLockfile *lock, DepotPlan *plan, DepotError *error)
{
	for (int i = 0; i < input->installed_count; i++)
	{
		DepotPlanItem item = {.action = DEPOT_PLAN_REMOVE, .installed = &input->installed[i]};
		bool		is_locked = false;

		for (int j = 0; j < lock->count; j++)
			is_locked |= strcmp(lock->entries[j].package, item.installed->package) == 0;
		if (!is_locked && !item.installed->is_removed && !add_item(plan, &item, error))
			return false;
	}
	return true;
}

/* ---- the outcome ---- */

static const DepotManifest *
manifest_of(const DepotPlanItem *item)
{
	if (item->action == DEPOT_PLAN_REMOVE)
		return NULL;
	if (item->build != NULL)
		return item->build->manifest;
	return item->installed->has_build ? item->installed->manifest : NULL;
}

static bool
is_in_plan(const DepotPlan *plan, const DepotInstalledRow *row)
{
	for (int i = 0; i < plan->count; i++)
		if (plan->items[i].installed == row)
			return true;
	return false;
}

/* Calls visit for each manifest of the outcome until one says true. */
static bool
any_manifest(const Outcome *outcome, bool (*visit) (const DepotManifest *manifest, const void *argument),
			 const void *argument)
{
	for (int i = 0; i < outcome->plan->count; i++)
	{
		const DepotManifest *manifest = manifest_of(&outcome->plan->items[i]);

		if (manifest != NULL && visit(manifest, argument))
			return true;
	}
	for (int i = 0; i < outcome->input->installed_count; i++)
	{
		const DepotInstalledRow *row = &outcome->input->installed[i];

		if (!row->is_removed && row->has_build && !is_in_plan(outcome->plan, row) && visit(row->manifest, argument))
			return true;
	}
	return false;
}

static bool
fulfils_depend(const DepotManifest *manifest, const void *argument)
{
	const DepotManifestDepend *depend = argument;
	DepotVersionConstraint constraint;

	return strcmp(manifest->package, depend->package) == 0 &&
		depot_version_constraint_parse(depend->constraint, &constraint, NULL) &&
		depot_version_satisfies(manifest->version, &constraint);
}

static bool
provides_extension(const DepotManifest *manifest, const void *argument)
{
	return depot_plan_provides(manifest, argument);
}

/* Whether all that manifest needs is in the outcome. */
static bool
check_needs(const Outcome *outcome, const DepotManifest *manifest, DepotError *error)
{
	char		version[64];

	for (int i = 0; i < manifest->depend_count; i++)
	{
		const DepotManifestDepend *depend = &manifest->depends[i];

		if (any_manifest(outcome, fulfils_depend, depend))
			continue;
		depot_error_set(error, DEPOT_ERROR_CONFLICT, "package \"%s\" %s needs package \"%s\", which the lock has not",
						manifest->package, manifest->version, depend->package);
		if (depend->constraint != NULL && depend->constraint[0] != '\0')
			depot_error_detail(error, "It needs version %s.", depend->constraint);
		return depot_error_hint(error, "A lock as extension_lock() makes it has everything; was this one edited?");
	}
	for (int i = 0; i < manifest->extension_count; i++)
		for (int j = 0; j < manifest->extensions[i].require_count; j++)
		{
			const char *required = manifest->extensions[i].requires[j];

			if (any_manifest(outcome, provides_extension, required) ||
				outcome->input->system_extension(required, version))
				continue;
			depot_error_set(error, DEPOT_ERROR_CONFLICT,
							"package \"%s\" %s needs extension \"%s\", which the lock has not",
							manifest->package, manifest->version, required);
			return depot_error_hint(error, "A lock as extension_lock() makes it has everything; was this one edited?");
		}
	return true;
}

/* What stays is asked as well: it may need what is removed, or another version than the lock's. */
static bool
check_outcome(const DepotPlanInput *input, const DepotPlan *plan, DepotError *error)
{
	const Outcome outcome = {.input = input, .plan = plan};

	for (int i = 0; i < plan->count; i++)
	{
		const DepotManifest *manifest = manifest_of(&plan->items[i]);

		if (manifest != NULL && !check_needs(&outcome, manifest, error))
			return false;
	}
	for (int i = 0; i < input->installed_count; i++)
	{
		const DepotInstalledRow *row = &input->installed[i];

		if (!row->is_removed && row->has_build && !is_in_plan(plan, row) &&
			!check_needs(&outcome, row->manifest, error))
			return false;
	}
	return true;
}

/* ---- order ---- */

static bool
needs(const DepotManifest *manifest, const DepotManifest *other)
{
	for (int i = 0; i < manifest->depend_count; i++)
		if (strcmp(manifest->depends[i].package, other->package) == 0)
			return true;
	for (int i = 0; i < manifest->extension_count; i++)
		for (int j = 0; j < manifest->extensions[i].require_count; j++)
			if (depot_plan_provides(other, manifest->extensions[i].requires[j]))
				return true;
	return false;
}

static void
place(const DepotPlan *plan, int index, bool *is_placed, DepotPlan *ordered)
{
	const DepotManifest *manifest = manifest_of(&plan->items[index]);

	if (is_placed[index])
		return;
	/* Set before what it needs is placed: packages may need each other. */
	is_placed[index] = true;
	for (int i = 0; i < plan->count && manifest != NULL; i++)
	{
		const DepotManifest *other = manifest_of(&plan->items[i]);

		if (i != index && other != NULL && needs(manifest, other))
			place(plan, i, is_placed, ordered);
	}
	ordered->items[ordered->count++] = plan->items[index];
}

static void
put_needs_first(DepotPlan *plan)
{
	bool		is_placed[DEPOT_PLAN_MAX_ITEMS] = {false};
	DepotPlan	ordered = {.count = 0};

	for (int i = 0; i < plan->count; i++)
		place(plan, i, is_placed, &ordered);
	*plan = ordered;
}
