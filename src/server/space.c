/*-------------------------------------------------------------------------
 *
 * space.c
 *	  Free space on the file systems of the depot and of the WAL.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/statvfs.h>

#include "access/xlog_internal.h"
#include "server/settings.h"
#include "server/space.h"


int64
depot_space_free_bytes(const char *path)
{
	struct statvfs status;

	if (statvfs(path, &status) != 0)
		return -1;
	return (int64) status.f_bavail * (int64) status.f_frsize;
}

static void
check_path(const char *path, const char *what, int64 needed_bytes)
{
	int64		free_bytes = depot_space_free_bytes(path);
	int64		kept_bytes = depot_settings_min_free_mb * DEPOT_MEGABYTE;

	if (free_bytes < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read the free space of \"%s\": %m", path)));
	if (free_bytes - needed_bytes >= kept_bytes)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DISK_FULL),
			 errmsg("not enough free space for %s", what),
			 errdetail("%lld MB are free in \"%s\", %lld MB are needed, "
					   "and \"depot.min_free_space\" keeps %lld MB free.",
					   (long long) (free_bytes / DEPOT_MEGABYTE), path,
					   (long long) ((needed_bytes + DEPOT_MEGABYTE - 1) / DEPOT_MEGABYTE),
					   (long long) depot_settings_min_free_mb),
			 errhint("Make room on that file system, or lower the setting.")));
}

void
depot_space_check(int64 depot_bytes)
{
	if (depot_settings_min_free_mb == 0)
		return;
	check_path(depot_settings_directory, "the depot's files", depot_bytes);
	check_path(XLOGDIR, "the write-ahead log", 0);
}

void
depot_space_check_table(int64 table_bytes)
{
	if (depot_settings_min_free_mb == 0)
		return;
	check_path("base", "the packages that depot.payload keeps for standbys", table_bytes);
	check_path(XLOGDIR, "the write-ahead log", table_bytes);
}
