/*-------------------------------------------------------------------------
 *
 * store_aside.c
 *	  Taking files out of the served tree that must not be served.
 *
 * One rename each, below the seal's directory and so on the same file system.
 * Nothing is flushed: what a power failure brings back is found again.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/files.h"
#include "common/seal.h"
#include "common/store_internal.h"

#define ASIDE_PATH_BYTES (DEPOT_SERVED_PATH_BYTES + sizeof(DEPOT_SEAL_UNVERIFIED) + 1)

static bool
move_file(int root_fd, const char *from, const char *to, DepotError *error)
{
	char		parent[ASIDE_PATH_BYTES];

	snprintf(parent, sizeof(parent), "%s", to);
	*strrchr(parent, '/') = '\0';
	return depot_files_make_directories(root_fd, parent, STORE_DIRECTORY_MODE, false, error) &&
		depot_files_rename(root_fd, from, root_fd, to, error);
}

bool
depot_seal_set_aside(int root_fd, const char *path, const char *directory, DepotError *error)
{
	char		aside[ASIDE_PATH_BYTES];

	snprintf(aside, sizeof(aside), "%s/%s", directory, path);
	return move_file(root_fd, path, aside, error) || depot_files_remove_tree(root_fd, path, error);
}

/* What is brought back, and where to. */
typedef struct Return
{
	int			root_fd;
	const DepotLayout *layout;
} Return;

/* A DepotFilesVisit.  Whoever wrote here can bring nothing anywhere else than into the served tree. */
static bool
bring_back(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context, DepotError *error)
{
	const Return *back = context;
	char		aside[ASIDE_PATH_BYTES];
	const char *rest;

	(void) directory_fd;
	(void) size_bytes;
	if (S_ISDIR(mode) || strlen(path) >= DEPOT_SERVED_PATH_BYTES || depot_files_exists(back->root_fd, path) ||
		(depot_store_place(back->layout, path, &rest) == STORE_ELSEWHERE &&
		 strncmp(path, STORE_LICENSES "/", strlen(STORE_LICENSES "/")) != 0))
		return true;
	snprintf(aside, sizeof(aside), DEPOT_SEAL_UNVERIFIED "/%s", path);
	return move_file(back->root_fd, aside, path, error);
}

bool
depot_seal_bring_back(int root_fd, const DepotLayout *layout, DepotError *error)
{
	Return		back = {.root_fd = root_fd, .layout = layout};

	return !depot_files_exists(root_fd, DEPOT_SEAL_UNVERIFIED) ||
		(depot_files_walk(root_fd, DEPOT_SEAL_UNVERIFIED, bring_back, &back, error) &&
		 depot_files_remove_tree(root_fd, DEPOT_SEAL_UNVERIFIED, error));
}
