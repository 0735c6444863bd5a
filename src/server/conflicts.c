/*-------------------------------------------------------------------------
 *
 * conflicts.c
 *	  What both the depot and the server installation have.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "server/conflicts.h"
#include "server/paths.h"

static bool
has_suffix(const char *path, const char *suffix)
{
	size_t		length = strlen(path);

	return length > strlen(suffix) && strcmp(path + length - strlen(suffix), suffix) == 0;
}

static const char *
kind_of(const char *path)
{
	if (has_suffix(path, ".control"))
		return "extension";
	return has_suffix(path, ".so") ? "library" : "file";
}

/* A package's conflicts: its scripts and data (is_rest), or what is looked for by name. */
static int
find_in_package(const DepotAppliedPackage *package, bool is_rest,
				DepotConflictCallback callback, void *context)
{
	DepotConflict conflict = {.package = package->package};
	int			count = 0;

	for (int i = 0; i < package->file_count; i++)
	{
		struct stat status;

		conflict.kind = kind_of(package->files[i].path);
		if ((strcmp(conflict.kind, "file") == 0) != is_rest ||
			!depot_store_system_path(depot_paths_layout(), package->files[i].path, depot_paths_system_share(),
									 depot_paths_system_lib(), conflict.path) ||
			lstat(conflict.path, &status) != 0)
			continue;
		count++;
		if (callback != NULL)
			callback(&conflict, context);
	}
	return count;
}

int
depot_conflicts_find(const DepotState *state, DepotConflictCallback callback, void *context)
{
	int			total = 0;

	for (int i = 0; i < state->package_count; i++)
	{
		int			count = find_in_package(&state->packages[i], false, callback, context);

		if (count == 0)
			count = find_in_package(&state->packages[i], true, callback, context);
		total += count;
	}
	return total;
}

static void
warn(const DepotConflict *conflict, void *context)
{
	ereport(WARNING,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("package \"%s\" conflicts with the server installation", conflict->package),
			 errdetail("The file \"%s\" exists.", conflict->path),
			 errhint("Uninstall the package, or remove the file from the installation.")));
}

void
depot_conflicts_warn(const DepotState *state)
{
	(void) depot_conflicts_find(state, warn, NULL);
}
