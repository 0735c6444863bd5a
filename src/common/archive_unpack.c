/*-------------------------------------------------------------------------
 *
 * archive_unpack.c
 *	  Members become files.
 *
 * Paths come from the manifest, never from the archive.  Every file is a new inode below a directory that
 * was empty, so nothing can be followed, replaced or overwritten.
 *
 * A file is made durable while the next ones are unpacked; at the end only the last few are waited for.
 * Of a large package, a second thread writes what the first has read and compared.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/archive_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/flush.h"
#include "common/name.h"

#define DIRECTORY_MODE 0755

/* Smaller packages are unpacked before a thread has started. */
#define QUEUE_WORTH_BYTES (UINT64_C(4) * 1024 * 1024)

typedef struct Unpacker
{
	int			directory_fd;
	int			file_fd;
	DepotFlush	flush;
	char		path[ARCHIVE_MEMBER_NAME_MAX_BYTES + 1];	/* of the file being written */
} Unpacker;

static bool
check_empty(int directory_fd, DepotError *error)
{
	/* A descriptor of its own: reading moves the position, and closedir closes. */
	int			fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR		   *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool		empty = true;

	if (directory == NULL)
	{
		depot_error_set_errno(error, errno, "could not read the directory to unpack into");
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (empty && (entry = readdir(directory)) != NULL)
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	closedir(directory);
	return empty || depot_error_set(error, DEPOT_ERROR_FILE_EXISTS, "the directory to unpack into is not empty");
}

static bool
make_directory(const char *path, void *context, DepotError *error)
{
	Unpacker   *unpacker = context;
	int			fd;
	bool		ok;

	if (!depot_files_make_directories(unpacker->directory_fd, path, DIRECTORY_MODE, false, error))
		return false;
	fd = depot_files_open_directory(unpacker->directory_fd, path, error);
	if (fd < 0)
		return false;
	ok = fchmod(fd, DIRECTORY_MODE) == 0 ||
		depot_error_set_errno(error, errno, "could not set the mode of \"%s\"", path);
	close(fd);
	return ok;
}

static bool
begin(const DepotManifest *manifest, void *context, DepotError *error)
{
	return make_directory("share", context, error) && make_directory("share/depot", context, error) &&
		depot_manifest_visit_directories(manifest, make_directory, context, error);
}

static bool
begin_file(const char *path, uint32_t mode, void *context, DepotError *error)
{
	Unpacker   *unpacker = context;

	depot_name_printable(path, unpacker->path, sizeof(unpacker->path));
	unpacker->file_fd = depot_files_open(unpacker->directory_fd, path, O_WRONLY | O_CREAT | O_EXCL, mode, error);
	if (unpacker->file_fd < 0)
		return false;
	return fchmod(unpacker->file_fd, mode) == 0 ||
		depot_error_set_errno(error, errno, "could not set the mode of \"%s\"", unpacker->path);
}

static bool
write_file(const void *bytes, size_t length, void *context, DepotError *error)
{
	Unpacker   *unpacker = context;

	return depot_files_write_all(unpacker->file_fd, bytes, length, error) ||
		depot_error_prefix(error, "unpacking \"%s\"", unpacker->path);
}

static bool
end_file(void *context, DepotError *error)
{
	Unpacker   *unpacker = context;

	(void) error;
	depot_flush_add(&unpacker->flush, unpacker->file_fd);
	unpacker->file_fd = -1;
	return true;
}

static bool
flush_directory(const char *path, void *context, DepotError *error)
{
	Unpacker   *unpacker = context;
	int			fd = depot_files_open_directory(unpacker->directory_fd, path, error);

	if (fd >= 0)
		depot_flush_add(&unpacker->flush, fd);
	return fd >= 0;
}

bool
depot_archive_unpack(int fd, const DepotManifest *manifest, const char *manifest_sha256,
					 const DepotArchiveLimits *limits, int directory_fd, DepotArchiveProgress progress, void *context,
					 DepotError *error)
{
	Unpacker	unpacker = {.directory_fd = directory_fd, .file_fd = -1};
	ArchiveQueue *queue = NULL;
	ArchiveSink queue_sink;
	const ArchiveSink sink = {
		.begin = begin,
		.begin_file = begin_file,
		.write = write_file,
		.end_file = end_file,
		.context = &unpacker
	};
	ArchiveReadOptions options = {
		.limits = limits != NULL ? limits : &depot_archive_default_limits,
		.expected_manifest_sha256 = manifest_sha256,
		.sink = &sink,
		.progress = progress,
		.progress_context = context
	};
	char		digest[65];
	DepotManifest *again;
	bool		ok;

	if (!check_empty(directory_fd, error))
		return false;
	depot_flush_begin(&unpacker.flush);
	if (depot_manifest_unpacked_bytes(manifest) >= QUEUE_WORTH_BYTES)
		queue = depot_archive_queue_start(&sink, &queue_sink);
	if (queue != NULL)
		options.sink = &queue_sink;
	/* With the same digest it is the same manifest, so every path is one the caller has seen. */
	again = depot_archive_read(fd, &options, digest, error);
	ok = again != NULL;
	if (queue != NULL)
		ok = depot_archive_queue_finish(queue, ok ? error : NULL) && ok;
	if (unpacker.file_fd >= 0)
		close(unpacker.file_fd);
	ok = ok && depot_manifest_visit_directories(manifest, flush_directory, &unpacker, error) &&
		flush_directory("share", &unpacker, error) && flush_directory("share/depot", &unpacker, error) &&
		flush_directory(".", &unpacker, error);
	depot_manifest_free(again);
	/* Whatever has failed, what was begun is waited for; the first error is told. */
	return depot_flush_end(&unpacker.flush, ok ? error : NULL) && ok;
}
