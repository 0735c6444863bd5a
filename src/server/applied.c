/*-------------------------------------------------------------------------
 *
 * applied.c
 *	  What this server serves: the leader's hold on the depot directory.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/files.h"
#include "common/seal.h"
#include "common/testpoint.h"
#include "miscadmin.h"
#include "server/applied.h"
#include "server/errors.h"
#include "server/paths.h"
#include "server/shmem_use.h"
#include "server/stamp.h"

static int	root_fd = -1;
static int	var_fd = -1;
static DepotState state;
static DepotSeal *seal;			/* of what was verified */

void
depot_applied_open(void)
{
	DepotStamp	stamp;
	DepotError	error;
	bool		is_fresh;

	Assert(root_fd < 0);
	root_fd = depot_paths_open_directory();
	var_fd = depot_files_open_directory(root_fd, "var", &error);
	if (var_fd < 0)
		depot_errors_raise(ERROR, &error);
	depot_stamp_fill(&stamp);
	if (!depot_store_load_state(root_fd, &stamp, &state, &is_fresh, &error))
		depot_errors_raise(ERROR, &error);
	seal = depot_seal_read(root_fd, depot_stamp_of_seal());
	if (seal == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

bool
depot_applied_read(DepotState *copy, DepotError *error)
{
	int			fd = open(depot_paths_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DepotStamp	stamp;
	bool		is_fresh;
	bool		ok;

	if (fd < 0)
		return depot_error_set_errno(error, errno, "could not open directory \"%s\"", depot_paths_directory());
	depot_stamp_fill(&stamp);
	ok = depot_store_load_state(fd, &stamp, copy, &is_fresh, error);
	close(fd);
	return ok;
}

int
depot_applied_root_fd(void)
{
	return root_fd;
}

int
depot_applied_var_fd(void)
{
	return var_fd;
}

const DepotState *
depot_applied_state(void)
{
	return &state;
}

const DepotAppliedPackage *
depot_applied_find(const char *package)
{
	return depot_store_find(&state, package);
}

bool
depot_applied_is_whole(const DepotAppliedPackage *package)
{
	return depot_store_is_whole(root_fd, package);
}

DepotManifest *
depot_applied_read_manifest(const char *staging, const char *package)
{
	DepotBuffer buffer;
	DepotError	error;
	DepotManifest *manifest = NULL;

	depot_buffer_init(&buffer);
	if (depot_store_read_manifest(root_fd, depot_paths_layout(), staging, package, &buffer, &error))
		manifest = depot_manifest_parse(buffer.data, buffer.length_bytes, &error);
	depot_buffer_free(&buffer);
	if (manifest == NULL)
		depot_errors_raise(ERROR, &error);
	return manifest;
}

void
depot_applied_prepare(const DepotManifest *manifest, const char *staging, const char *digest,
					  const char *manifest_sha256)
{
	DepotError	error;

	if (!depot_store_prepare_activation(root_fd, depot_paths_layout(), &state, manifest,
										depot_paths_data_prefix_bytes(), depot_paths_system_share(),
										depot_paths_system_lib(), &error))
		depot_errors_raise(ERROR, &error);
	if (!depot_store_mark_staged(root_fd, staging, manifest->package, digest, manifest_sha256, &error))
	{
		depot_applied_cancel(manifest);
		depot_errors_raise(ERROR, &error);
	}
}

void
depot_applied_reserve(int package_count, uint64 added_bytes)
{
	DepotError	error;

	if (!depot_store_reserve_state(root_fd, DEPOT_STORE_STATE_WRITES * package_count, added_bytes, &error))
		depot_errors_raise(ERROR, &error);
}

void
depot_applied_release(void)
{
	depot_store_release_state(root_fd);
}

void
depot_applied_cancel(const DepotManifest *manifest)
{
	depot_store_cancel_activation(root_fd, depot_paths_layout(), manifest);
}

void
depot_applied_clean_up(void)
{
	DepotError	error;

	depot_applied_release();
	if (!depot_store_clean_staging(root_fd, NULL, &error) ||
		!depot_store_sweep_directories(root_fd, depot_paths_layout(), &error))
		depot_errors_raise(WARNING, &error);
}

/*
 * The name that a served file has below directory, without its suffix, palloc'd; NULL when it is elsewhere or
 * has another suffix.
 */
static char *
served_name(const DepotAppliedFile *file, const char *directory, const char *suffix)
{
	size_t		directory_length = strlen(directory);
	size_t		length = strlen(file->path);
	const char *name = file->path + directory_length;

	if (length <= directory_length + strlen(suffix) || strncmp(file->path, directory, directory_length) != 0 ||
		strcmp(file->path + length - strlen(suffix), suffix) != 0)
		return NULL;
	return pnstrdup(name, length - directory_length - strlen(suffix));
}

List *
depot_applied_extensions(const DepotAppliedPackage *package)
{
	char	   *directory = psprintf("%s/extension/", depot_paths_layout()->share);
	List	   *names = NIL;

	for (int i = 0; i < package->file_count; i++)
	{
		char	   *name = served_name(&package->files[i], directory, ".control");

		/* A version's own control file has its version in the name. */
		if (name != NULL && strstr(name, "--") == NULL)
			names = lappend(names, name);
	}
	return names;
}

List *
depot_applied_libraries(const DepotAppliedPackage *package)
{
	char	   *directory = psprintf("%s/", depot_paths_layout()->lib);
	List	   *names = NIL;

	for (int i = 0; i < package->file_count; i++)
	{
		char	   *name = served_name(&package->files[i], directory, ".so");

		if (name != NULL)
			names = lappend(names, name);
	}
	return names;
}

/* ---- changes of the tree ---- */

void
depot_applied_begin_move(const char *package)
{
	const DepotAppliedPackage *applied = depot_applied_find(package);
	ListCell   *cell;

	if (applied == NULL)
		return;
	foreach(cell, depot_applied_extensions(applied))
		depot_shmem_begin_move(lfirst(cell));
}

/* Ends what a change of the tree itself has begun; a caller that began more than that ends it all. */
static void
end_moves(bool is_outermost)
{
	if (is_outermost)
		depot_shmem_end_moves();
}

/*
 * Seals the files of a package that were made served just now, before which an agent verified them.  Where that fails
 * they are verified at the next start, so it is no error.
 */
static void
seal_package(const char *package)
{
	const DepotAppliedPackage *applied = depot_applied_find(package);
	DepotError	error;
	bool		ok = true;

	for (int i = 0; applied != NULL && i < applied->file_count && ok; i++)
	{
		char		identity[DEPOT_SEAL_IDENTITY_BYTES];

		if (depot_seal_identify(root_fd, applied->files[i].path, identity))
			ok = depot_seal_add(seal, applied->files[i].path, identity, &error);
	}
	if (!ok || !depot_seal_write(seal, root_fd, &error))
		depot_errors_raise(LOG, &error);
}

/* What leaves the served tree is sealed no more. */
static void
unseal_package(const char *package)
{
	const DepotAppliedPackage *applied = depot_applied_find(package);

	for (int i = 0; applied != NULL && i < applied->file_count; i++)
		depot_seal_remove(seal, applied->files[i].path);
}

/* Once begun it is carried through: neither a cancel nor a shutdown shall leave half of it in memory. */
bool
depot_applied_activate(const char *staging, const DepotManifest *manifest, const char *digest,
					   const char *manifest_sha256, bool *resumed, DepotError *error)
{
	bool		is_outermost = !depot_shmem_are_moving();
	bool		ok;

	HOLD_INTERRUPTS();
	depot_applied_begin_move(manifest->package);
	unseal_package(manifest->package);
	ok = depot_store_activate(root_fd, depot_paths_layout(), &state, staging, manifest, digest,
							  manifest_sha256, resumed, error);
	depot_test_point("activate_seal");
	if (ok)
		seal_package(manifest->package);
	end_moves(is_outermost);
	RESUME_INTERRUPTS();
	return ok;
}

bool
depot_applied_deactivate(const char *package, DepotError *error)
{
	bool		is_outermost = !depot_shmem_are_moving();
	bool		ok;

	HOLD_INTERRUPTS();
	depot_applied_begin_move(package);
	unseal_package(package);
	ok = depot_store_deactivate(root_fd, depot_paths_layout(), &state, package, error);
	end_moves(is_outermost);
	RESUME_INTERRUPTS();
	return ok;
}
