/*-------------------------------------------------------------------------
 *
 * applied_restart.c
 *	  Whether a served package waits for a restart of this server.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "miscadmin.h"
#include "server/applied.h"
#include "server/applied_report.h"
#include "server/paths.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

/* Whether "shared_preload_libraries" names a library, with or without directory and ".so". */
static bool
is_preloaded(const char *library)
{
	char	   *setting = pstrdup(shared_preload_libraries_string != NULL ? shared_preload_libraries_string : "");
	List	   *names = NIL;
	ListCell   *cell;
	bool		is_named = false;

	/* The server has read the list before, so it is one. */
	(void) SplitDirectoriesString(setting, ',', &names);
	foreach(cell, names)
	{
		const char *name = lfirst(cell);
		const char *slash = strrchr(name, '/');
		const char *base = slash != NULL ? slash + 1 : name;
		size_t		length = strlen(library);

		is_named |= strncmp(base, library, length) == 0 &&
			(base[length] == '\0' || strcmp(base + length, DLSUFFIX) == 0);
	}
	list_free_deep(names);
	pfree(setting);
	return is_named;
}

/* Whether a served library came after the server's start, so that the server has another or none; a rename tells. */
static bool
came_after_start(const char *library)
{
	char	   *path = psprintf("%s/%s" DLSUFFIX, depot_paths_layout()->lib, library);
	struct stat status;
	bool		is_later = fstatat(depot_applied_root_fd(), path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	time_t_to_timestamptz(status.st_ctim.tv_sec) + status.st_ctim.tv_nsec / 1000 > PgStartTime;

	pfree(path);
	return is_later;
}

bool
depot_applied_needs_restart(const DepotInstalledRow *row)
{
	for (int i = 0; row->manifest != NULL && i < row->manifest->module_count; i++)
	{
		const DepotManifestModule *module = &row->manifest->modules[i];

		if (module->preload == DEPOT_PRELOAD_SHARED && (!is_preloaded(module->name) || came_after_start(module->name)))
			return true;
	}
	return false;
}
