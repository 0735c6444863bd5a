/*-------------------------------------------------------------------------
 *
 * module.c
 *	  Loading the library.
 *
 * In the postmaster (shared_preload_libraries) it defines the settings, adds
 * the depot to the server's path settings, asks for shared memory and registers
 * the leader.  Under binary upgrade it stops after the paths.  In a single-user
 * server it only defines the settings, in a session that loads it by itself not
 * even those; its functions then say what is missing.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "server/hook.h"
#include "server/leader.h"
#include "server/paths.h"
#include "server/platform.h"
#include "server/settings.h"
#include "server/shmem.h"

#ifdef PG_MODULE_MAGIC_EXT
PG_MODULE_MAGIC_EXT(.name = "pg_depot",.version = DEPOT_LIBRARY_VERSION);
#else
PG_MODULE_MAGIC;
#endif

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	/* Loaded by a session, when settings can no longer be defined: the functions say what is missing. */
	if (!process_shared_preload_libraries_in_progress)
		return;
	depot_settings_define();
	if (!IsPostmasterEnvironment || IsUnderPostmaster)
		return;

	depot_paths_init();
	if (IsBinaryUpgrade)
		return;
	depot_shmem_register(depot_settings_database);
	depot_hook_register();
	depot_leader_register();
}
