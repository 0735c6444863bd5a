/*-------------------------------------------------------------------------
 *
 * shmem_names.c
 *	  Names of what stands on the board, for views, messages and policy.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/shmem.h"

const char *
depot_shmem_kind_name(DepotRequestKind kind)
{
	switch (kind)
	{
		case DEPOT_REQUEST_INSTALL:
			return "install_extension";
		case DEPOT_REQUEST_UPDATE:
			return "update_extension";
		case DEPOT_REQUEST_UNINSTALL:
			return "uninstall_extension";
		case DEPOT_REQUEST_READ_LOCK:
			return "extension_lock";
		case DEPOT_REQUEST_APPLY_LOCK:
			return "apply_extension_lock";
		case DEPOT_REQUEST_ADD_REPOSITORY:
			return "add_extension_repository";
		case DEPOT_REQUEST_DROP_REPOSITORY:
			return "drop_extension_repository";
		case DEPOT_REQUEST_REFRESH_REPOSITORY:
			return "refresh_extension_repository";
		case DEPOT_REQUEST_VERIFY_FILES:
			return "verify_extension_files";
		case DEPOT_REQUEST_READ_VIEW:
			return "home_rows";
		case DEPOT_REQUEST_CHECK_LIST:
			return "check_extension_list";
		case DEPOT_REQUEST_ADD_NODE:
			return "add_extension_node";
		case DEPOT_REQUEST_DROP_NODE:
			return "drop_extension_node";
	}
	return "unknown";
}

const char *
depot_shmem_phase_name(DepotPhase phase)
{
	switch (phase)
	{
		case DEPOT_PHASE_WAITING:
			return "waiting";
		case DEPOT_PHASE_REFRESHING:
			return "refreshing";
		case DEPOT_PHASE_RESOLVING:
			return "resolving";
		case DEPOT_PHASE_FETCHING:
			return "fetching";
		case DEPOT_PHASE_CHECKING:
			return "checking";
		case DEPOT_PHASE_UNPACKING:
			return "unpacking";
		case DEPOT_PHASE_LOOKING_FOR_USE:
			return "looking for use";
		case DEPOT_PHASE_RECORDING:
			return "recording";
		case DEPOT_PHASE_ACTIVATING:
			return "activating";
		case DEPOT_PHASE_VERIFYING:
			return "verifying";
		case DEPOT_PHASE_WAITING_FOR_SERVERS:
			return "waiting for servers";
	}
	return "unknown";
}
