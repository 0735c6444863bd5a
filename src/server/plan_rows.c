/*-------------------------------------------------------------------------
 *
 * plan_rows.c
 *	  What plans, jobs and views ask about rows and their manifests.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "server/plan.h"

#include <stdio.h>
#include <string.h>

const char *
depot_plan_misfit(const DepotPlanInput *input, const DepotManifest *manifest, char *reason, size_t reason_bytes)
{
	if (manifest->postgresql_minimum_minor > input->server_minor)
	{
		snprintf(reason, reason_bytes, "needs PostgreSQL %d.%d", manifest->postgresql_major,
				 manifest->postgresql_minimum_minor);
		return reason;
	}
	if (manifest->platform_libc_min[0] != '\0' &&
		depot_version_compare(manifest->platform_libc_min, input->libc_version) > 0)
	{
		snprintf(reason, reason_bytes, "needs glibc %.32s", manifest->platform_libc_min);
		return reason;
	}
	return NULL;
}

const DepotAvailableRow *
depot_plan_find_withdrawn(const DepotPlanInput *input, const DepotInstalledRow *installed)
{
	for (int i = 0; i < input->available_count; i++)
	{
		const DepotAvailableRow *row = &input->available[i];

		if (row->withdrawn_reason != NULL && strcmp(row->sha256, installed->digest) == 0)
			return row;
	}
	return NULL;
}

void
depot_plan_set_withdrawn_error(const DepotPlanInput *input, const DepotAvailableRow *build, DepotError *error)
{
	const char *package = build->manifest->package;
	const DepotAvailableRow *other = NULL;
	char		reason[128];

	for (int i = 0; i < input->available_count; i++)
	{
		const DepotAvailableRow *row = &input->available[i];

		if (strcmp(row->repository, build->repository) == 0 && strcmp(row->manifest->package, package) == 0 &&
			row->withdrawn_reason == NULL &&
			depot_plan_misfit(input, row->manifest, reason, sizeof(reason)) == NULL &&
			(other == NULL || depot_version_compare(row->manifest->version, other->manifest->version) > 0))
			other = row;
	}
	depot_error_set(error, DEPOT_ERROR_WITHDRAWN, "package \"%s\" %s was withdrawn by its publisher", package,
					build->manifest->version);
	if (build->withdrawn_advisory != NULL)
		depot_error_detail(error, "Reason: %s. Advisory: %s.", build->withdrawn_reason, build->withdrawn_advisory);
	else
		depot_error_detail(error, "Reason: %s.", build->withdrawn_reason);
	if (other != NULL)
		depot_error_hint(error, "Install another version: repository \"%s\" has %s.", other->repository,
						 other->manifest->version);
	else
		depot_error_hint(error, "Repository \"%s\" has no other version; ask its publisher for one.",
						 build->repository);
}

const DepotInstalledRow *
depot_plan_find_installed(const DepotInstalledRow *installed, int installed_count, const char *name)
{
	for (int i = 0; i < installed_count; i++)
	{
		const DepotInstalledRow *row = &installed[i];

		if (!row->is_removed &&
			(strcmp(row->package, name) == 0 || (row->has_build && depot_plan_provides(row->manifest, name))))
			return row;
	}
	return NULL;
}

const DepotInstalledRow *
depot_plan_find_dependent(const DepotInstalledRow *installed, int installed_count, const DepotInstalledRow *row)
{
	for (int i = 0; i < installed_count; i++)
	{
		const DepotInstalledRow *other = &installed[i];

		if (other == row || other->is_removed || !other->has_build)
			continue;
		for (int j = 0; j < other->manifest->depend_count; j++)
			if (strcmp(other->manifest->depends[j].package, row->package) == 0)
				return other;
		for (int j = 0; j < other->manifest->extension_count; j++)
			for (int k = 0; k < other->manifest->extensions[j].require_count; k++)
				if (row->has_build && depot_plan_provides(row->manifest, other->manifest->extensions[j].requires[k]))
					return other;
	}
	return NULL;
}

bool
depot_plan_provides(const DepotManifest *manifest, const char *extension)
{
	for (int i = 0; i < manifest->extension_count; i++)
		if (strcmp(manifest->extensions[i].name, extension) == 0)
			return true;
	return false;
}

bool
depot_plan_needs_restart(const DepotManifest *manifest)
{
	for (int i = 0; i < manifest->module_count; i++)
		if (manifest->modules[i].preload == DEPOT_PRELOAD_SHARED)
			return true;
	return false;
}

const char *
depot_plan_action_name(DepotPlanAction action)
{
	switch (action)
	{
		case DEPOT_PLAN_KEEP:
			return "keep";
		case DEPOT_PLAN_INSTALL:
			return "install";
		case DEPOT_PLAN_UPDATE:
			return "update";
		case DEPOT_PLAN_REMOVE:
			return "remove";
	}
	return "unknown";
}
