/*-------------------------------------------------------------------------
 *
 * store_prepare.c
 *	  What has to be right before a package's rows are committed.
 *
 * After the commit only renames remain; whatever could make one fail is looked
 * for here: paths that are too long, that belong to somebody else, that are
 * directories, that lie on another file system, and directories that cannot
 * be made.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/name.h"
#include "common/store.h"
#include "common/store_internal.h"

#define MANIFEST_MODE 0644

bool
depot_store_plan_package(const DepotLayout *layout, const DepotManifest *manifest,
						 const char *manifest_sha256, DepotAppliedPackage *package, DepotError *error)
{
	DepotAppliedFile own = {.mode = MANIFEST_MODE};
	char		member[DEPOT_MANIFEST_PATH_BYTES];
	char		served[DEPOT_SERVED_PATH_BYTES];
	bool		ok;

	if (manifest_sha256 != NULL)
		memcpy(own.sha256, manifest_sha256, sizeof(own.sha256));
	memset(package, 0, sizeof(*package));
	package->is_complete = true;
	package->package = strdup(manifest->package);
	package->version = strdup(manifest->version);
	package->files = calloc((size_t) manifest->file_count + 1, sizeof(*package->files));
	ok = package->package != NULL && package->version != NULL && package->files != NULL;
	if (!ok)
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	for (int i = 0; i < manifest->file_count && ok; i++)
	{
		const DepotManifestFile *listed = &manifest->files[i];
		DepotAppliedFile file = {.size_bytes = listed->size_bytes, .mode = listed->mode};

		memcpy(file.sha256, listed->sha256, sizeof(file.sha256));
		ok = depot_store_served_path(layout, listed->path, served, error) &&
			depot_store_add_file(package, served, &file, error);
	}
	if (ok)
	{
		depot_manifest_path(manifest->package, member);
		ok = depot_store_served_path(layout, member, served, error) &&
			depot_store_add_file(package, served, &own, error);
	}
	if (ok)
		depot_store_sort_files(package);
	else
		depot_store_free_package(package);
	return ok;
}

/* What the checks of one preparation have in common. */
typedef struct Preparation
{
	int			root_fd;
	const DepotLayout *layout;
	const DepotState *state;
	const char *package;
	int			data_prefix_bytes;
	const char *system_share;
	const char *system_lib;
} Preparation;

static bool
check_length(const Preparation *preparation, const char *path, DepotError *error)
{
	size_t		length = strlen(path) + (size_t) preparation->data_prefix_bytes;

	if (preparation->data_prefix_bytes <= 0 || length < DEPOT_INSTALLED_PATH_LIMIT_BYTES)
		return true;
	depot_error_set(error, DEPOT_ERROR_PACKAGE, "package \"%s\" has a file whose path would be too long here",
					preparation->package);
	depot_error_detail(error, "Counted from the data directory, the path of \"%s\" has %zu bytes;"
					   " one of %d or more makes every base backup fail.",
					   path, length, DEPOT_INSTALLED_PATH_LIMIT_BYTES);
	return depot_error_hint(error, "Set depot.directory to a shorter name, or to a directory outside"
							" the data directory.");
}

static bool
check_owner(const Preparation *preparation, const char *path, DepotError *error)
{
	const DepotAppliedPackage *owner = depot_store_owner(preparation->state, path, preparation->package);

	if (owner == NULL)
		return true;
	depot_error_set(error, DEPOT_ERROR_CONFLICT, "package \"%s\" conflicts with package \"%s\"",
					preparation->package, owner->package);
	depot_error_detail(error, "Both have the file \"%s\".", path);
	return depot_error_hint(error, "Uninstall one of them first.");
}

bool
depot_store_system_path(const DepotLayout *layout, const char *served_path, const char *system_share,
						const char *system_lib, char out[DEPOT_SYSTEM_PATH_BYTES])
{
	const char *directory = NULL;
	const char *rest;
	int			length;

	switch (depot_store_place(layout, served_path, &rest))
	{
		case STORE_IN_SHARE:
			directory = system_share;
			break;
		case STORE_IN_LIB:
			directory = system_lib;
			break;
		case STORE_ELSEWHERE:
			break;
	}
	if (directory == NULL)
		return false;
	length = snprintf(out, DEPOT_SYSTEM_PATH_BYTES, "%s/%s", directory, rest);
	return length >= 0 && length < DEPOT_SYSTEM_PATH_BYTES;
}

/* Refuses a file that the server installation has too (design promise 9). */
static bool
check_system(const Preparation *preparation, const char *path, DepotError *error)
{
	char		system_path[DEPOT_SYSTEM_PATH_BYTES];
	struct stat status;

	if (!depot_store_system_path(preparation->layout, path, preparation->system_share, preparation->system_lib,
								 system_path))
		return true;
	if (lstat(system_path, &status) != 0)
	{
		if (errno == ENOENT || errno == ENOTDIR)
			return true;
		return depot_error_set_errno(error, errno, "could not stat file \"%s\"", system_path);
	}
	depot_error_set(error, DEPOT_ERROR_CONFLICT, "package \"%s\" conflicts with the server installation",
					preparation->package);
	depot_error_detail(error, "The file \"%s\" exists.", system_path);
	return depot_error_hint(error, "The server already provides this; use it,"
							" or remove it from the installation.");
}

/* A file can be renamed over anything but a directory. */
static bool
check_target(const Preparation *preparation, const char *path, DepotError *error)
{
	DepotError	open_error;
	int			fd = depot_files_open_directory(preparation->root_fd, path, &open_error);

	if (fd < 0)
		return true;
	close(fd);
	depot_error_set(error, DEPOT_ERROR_CONFLICT, "package \"%s\" has a file where a directory is",
					preparation->package);
	return depot_error_detail(error, "\"%s\" in the depot directory is a directory.", path);
}

/* Returns how many bytes of path are directories that it shares with the path last, without the slash. */
static size_t
shared_bytes(const char *path, const char *last)
{
	size_t		shared = 0;
	size_t		i;

	for (i = 0; path[i] != '\0' && path[i] == last[i]; i++)
		if (path[i] == '/')
			shared = i;
	/* One of them may end where the other goes on. */
	if ((path[i] == '\0' || path[i] == '/') && (last[i] == '\0' || last[i] == '/'))
		shared = i;
	return shared;
}

/*
 * Makes directory below root_fd, except what it shares with directories that are there: last and those of the
 * layout.  durable: fsyncs it too.
 */
static bool
make_directory(int root_fd, const DepotLayout *layout, const char *last, const char *directory, bool durable,
			   DepotError *error)
{
	const char *there[3] = {last, layout->share, layout->lib};
	char		base[DEPOT_SERVED_PATH_BYTES];
	size_t		shared = 0;
	bool		ok;
	int			fd;

	for (int i = 0; i < 3; i++)
		if (shared_bytes(directory, there[i]) > shared)
			shared = shared_bytes(directory, there[i]);
	memcpy(base, directory, shared);
	base[shared] = '\0';
	fd = depot_files_open_directory(root_fd, base, error);
	if (fd < 0)
		/* Somebody has removed it: then all of them are made anew. */
		return depot_files_make_directories(root_fd, directory, STORE_DIRECTORY_MODE, durable, error);
	ok = depot_files_make_directories(fd, directory + shared + (directory[shared] == '/' ? 1 : 0),
									  STORE_DIRECTORY_MODE, durable, error);
	close(fd);
	return ok && (!durable || depot_files_fsync(root_fd, directory, error));
}

/* Makes each directory of package's files; durable and was_prepared as above and below. */
static bool
make_each_directory(int root_fd, const DepotLayout *layout, const DepotAppliedPackage *package, bool durable,
					bool was_prepared, DepotError *error)
{
	char		last[DEPOT_SERVED_PATH_BYTES] = "";

	for (int i = 0; i < package->file_count; i++)
	{
		char		directory[DEPOT_SERVED_PATH_BYTES];

		depot_store_parent(package->files[i].path, directory);
		if (strcmp(directory, last) == 0)
			continue;
		if (!(was_prepared && depot_files_exists(root_fd, directory)) &&
			!make_directory(root_fd, layout, last, directory, durable, error))
			return false;
		memcpy(last, directory, sizeof(last));
	}
	return true;
}

/* Checks that a rename from staging can reach a directory. */
static bool
check_device(int root_fd, const char *directory, dev_t staging_device, DepotError *error)
{
	struct stat status;
	bool		ok;
	int			fd;

	fd = depot_files_open_directory(root_fd, directory, error);
	if (fd < 0)
		return false;
	if (fstat(fd, &status) != 0)
		ok = depot_error_set_errno(error, errno, "could not stat directory \"%s\"", directory);
	else if (status.st_dev != staging_device)
		ok = depot_error_set(error, DEPOT_ERROR_UNSUPPORTED,
							 "directory \"%s\" is on another file system than \"%s\"",
							 directory, DEPOT_STAGING);
	else
		ok = true;
	close(fd);
	return ok;
}

bool
depot_store_make_directories(int root_fd, const DepotLayout *layout, const DepotAppliedPackage *package,
							 bool was_prepared, DepotError *error)
{
	char		last[DEPOT_SERVED_PATH_BYTES] = "";
	struct stat status;
	int			staging_fd = depot_files_open_directory(root_fd, DEPOT_STAGING, error);
	bool		ok;

	if (staging_fd < 0)
		return false;
	ok = fstat(staging_fd, &status) == 0;
	if (!ok)
		depot_error_set_errno(error, errno, "could not stat directory \"%s\"", DEPOT_STAGING);
	close(staging_fd);
	/* All are made before the first is fsynced, so that the file system's journal is waited for once. */
	ok = ok && (was_prepared || make_each_directory(root_fd, layout, package, false, false, error)) &&
		make_each_directory(root_fd, layout, package, true, was_prepared, error);
	if (!ok)
		return false;
	for (int i = 0; i < package->file_count; i++)
	{
		char		directory[DEPOT_SERVED_PATH_BYTES];

		depot_store_parent(package->files[i].path, directory);
		if (strcmp(directory, last) == 0)
			continue;
		if (!check_device(root_fd, directory, status.st_dev, error))
			return false;
		memcpy(last, directory, sizeof(last));
	}
	return true;
}

bool
depot_store_prepare_activation(int root_fd, const DepotLayout *layout, const DepotState *state,
							   const DepotManifest *manifest, int data_prefix_bytes, const char *system_share,
							   const char *system_lib, DepotError *error)
{
	const Preparation preparation = {root_fd, layout, state, manifest->package, data_prefix_bytes,
	system_share, system_lib};
	DepotAppliedPackage planned;
	bool		ok = true;

	if (!depot_store_plan_package(layout, manifest, NULL, &planned, error))
		return false;
	for (int i = 0; i < planned.file_count && ok; i++)
	{
		const char *path = planned.files[i].path;

		ok = check_length(&preparation, path, error) && check_owner(&preparation, path, error) &&
			check_system(&preparation, path, error) && check_target(&preparation, path, error);
	}
	if (ok && !depot_store_make_directories(root_fd, layout, &planned, false, error))
	{
		depot_store_prune_directories(root_fd, layout, &planned);
		ok = false;
	}
	depot_store_free_package(&planned);
	return ok;
}

void
depot_store_cancel_activation(int root_fd, const DepotLayout *layout, const DepotManifest *manifest)
{
	DepotAppliedPackage planned;
	DepotError	error;

	if (!depot_store_plan_package(layout, manifest, NULL, &planned, &error))
		return;
	depot_store_prune_directories(root_fd, layout, &planned);
	depot_store_free_package(&planned);
}
