/*-------------------------------------------------------------------------
 *
 * archive_write.c
 *	  Writing a package, the same bytes from the same input.
 *
 * Whatever differs between two machines or two moments is fixed: owner 0,
 * time 0, the order of the manifest, one thread.  With another libarchive or
 * libzstd the compressed bytes may differ, the tar inside does not.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/archive_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/digest.h"
#include "common/files.h"

#define COMPRESSION_LEVEL "19"
#define DIRECTORY_MODE 0755
#define MANIFEST_MODE 0644

typedef struct Writer
{
	int			fd;
	int			tree_fd;
	struct archive *handle;
	DepotArchiveProgress progress;
	void	   *progress_context;
	uint64_t	done_bytes;
	bool		discard;		/* the rest goes nowhere; with an error set where it was a failed write */
	DepotError *error;
} Writer;

static bool
writer_error(Writer *writer, const char *path)
{
	const char *reason = archive_error_string(writer->handle);

	if (writer->discard)
		return false;
	if (archive_errno(writer->handle) == ENOMEM)
		return depot_error_set(writer->error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return depot_error_set(writer->error, DEPOT_ERROR_IO, "could not write \"%s\" into the archive: %s", path,
						   reason == NULL ? "unknown error" : reason);
}

/* Takes compressed bytes.  It never tells libarchive of a failure: libarchive 3.6 would leak its buffers. */
static la_ssize_t
write_archive(struct archive *handle, void *context, const void *bytes, size_t length)
{
	Writer	   *writer = context;

	(void) handle;
	if (!writer->discard && !depot_files_write_all(writer->fd, bytes, length, writer->error))
	{
		depot_error_prefix(writer->error, "writing the archive");
		writer->discard = true;
	}
	return (la_ssize_t) length;
}

static bool
open_handle(Writer *writer)
{
	writer->handle = archive_write_new();
	if (writer->handle == NULL)
		return depot_error_set(writer->error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	if (archive_write_set_format_pax_restricted(writer->handle) != ARCHIVE_OK ||
		archive_write_add_filter_zstd(writer->handle) != ARCHIVE_OK ||
		archive_write_set_filter_option(writer->handle, "zstd", "compression-level", COMPRESSION_LEVEL) !=
		ARCHIVE_OK)
		return depot_error_set(writer->error, DEPOT_ERROR_UNSUPPORTED, "libarchive was built without zstd");
	/* No padding after the zstd frame, where nothing may stand. */
	if (archive_write_set_bytes_in_last_block(writer->handle, 1) != ARCHIVE_OK ||
		archive_write_open(writer->handle, writer, NULL, write_archive, NULL) != ARCHIVE_OK)
		return writer_error(writer, "header");
	return true;
}

static bool
write_header(Writer *writer, const char *path, mode_t type, mode_t mode, uint64_t size_bytes)
{
	struct archive_entry *entry = archive_entry_new();
	bool		ok;

	if (entry == NULL)
		return depot_error_set(writer->error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	archive_entry_set_pathname(entry, path);
	archive_entry_set_filetype(entry, type);
	archive_entry_set_perm(entry, mode);
	archive_entry_set_size(entry, (la_int64_t) size_bytes);
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	archive_entry_set_mtime(entry, 0, 0);
	ok = (archive_write_header(writer->handle, entry) == ARCHIVE_OK && !writer->discard) ||
		writer_error(writer, path);
	archive_entry_free(entry);
	return ok;
}

static bool
write_bytes(Writer *writer, const char *path, const void *bytes, size_t length)
{
	if (archive_write_data(writer->handle, bytes, length) != (la_ssize_t) length || writer->discard)
		return writer_error(writer, path);
	writer->done_bytes += length;
	return writer->progress == NULL || writer->progress(writer->done_bytes, writer->progress_context) ||
		depot_error_set(writer->error, DEPOT_ERROR_CANCELED, "canceled");
}

static bool
write_directory(const char *path, void *context, DepotError *error)
{
	(void) error;				/* the writer's own */
	/* These two stand before the manifest. */
	if (strcmp(path, "share") == 0 || strcmp(path, "share/depot") == 0)
		return true;
	return write_header(context, path, AE_IFDIR, DIRECTORY_MODE, 0);
}

static bool
write_manifest(Writer *writer, const DepotManifest *manifest)
{
	char		path[DEPOT_MANIFEST_PATH_BYTES];
	DepotBuffer text;
	bool		ok;

	depot_buffer_init(&text);
	depot_manifest_path(manifest->package, path);
	ok = depot_manifest_write(manifest, &text, writer->error) &&
		write_header(writer, "share", AE_IFDIR, DIRECTORY_MODE, 0) &&
		write_header(writer, "share/depot", AE_IFDIR, DIRECTORY_MODE, 0) &&
		write_header(writer, path, AE_IFREG, MANIFEST_MODE, text.length_bytes) &&
		write_bytes(writer, path, text.data, text.length_bytes);
	depot_buffer_free(&text);
	return ok;
}

static bool
refuse_changed(Writer *writer, const char *path)
{
	return depot_error_set(writer->error, DEPOT_ERROR_DIGEST_MISMATCH,
						   "file \"%s\" is not what the manifest says: it has changed since it was read", path);
}

/* Copies one file's contents into the archive, whose header already says how long it is. */
static bool
copy_contents(Writer *writer, int fd, const DepotManifestFile *file)
{
	DepotDigest state;
	char		hex[DEPOT_SHA256_HEX_BYTES];
	char		bytes[64 * 1024];
	uint64_t	done = 0;

	depot_digest_begin(&state);
	for (;;)
	{
		ssize_t		count = read(fd, bytes, sizeof(bytes));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return depot_error_set_errno(writer->error, errno, "could not read \"%s\"", file->path);
		if (count == 0)
			break;
		if ((uint64_t) count > file->size_bytes - done)
			return refuse_changed(writer, file->path);
		done += (uint64_t) count;
		depot_digest_add(&state, bytes, (size_t) count);
		if (!write_bytes(writer, file->path, bytes, (size_t) count))
			return false;
	}
	depot_digest_end_hex(&state, hex);
	return (done == file->size_bytes && strcmp(hex, file->sha256) == 0) || refuse_changed(writer, file->path);
}

static bool
write_file(Writer *writer, const DepotManifestFile *file)
{
	struct stat status;
	int			fd = depot_files_open(writer->tree_fd, file->path, O_RDONLY | O_NONBLOCK, 0, writer->error);
	bool		ok = false;

	if (fd < 0)
		return false;
	if (fstat(fd, &status) != 0)
		depot_error_set_errno(writer->error, errno, "could not read \"%s\"", file->path);
	else if (!S_ISREG(status.st_mode))
		depot_error_set(writer->error, DEPOT_ERROR_PACKAGE, "\"%s\" is not a regular file", file->path);
	else if ((uint64_t) status.st_size != file->size_bytes)
		refuse_changed(writer, file->path);
	else
		ok = write_header(writer, file->path, AE_IFREG, file->mode, file->size_bytes) &&
			copy_contents(writer, fd, file);
	close(fd);
	return ok;
}

bool
depot_archive_write(int fd, const DepotManifest *manifest, int tree_fd, DepotArchiveProgress progress,
					void *context, DepotError *error)
{
	Writer		writer = {
		.fd = fd,
		.tree_fd = tree_fd,
		.progress = progress,
		.progress_context = context,
		.error = error
	};
	bool		ok = false;

	if (!open_handle(&writer) || !write_manifest(&writer, manifest) ||
		!depot_manifest_visit_directories(manifest, write_directory, &writer, error))
		goto done;
	for (int i = 0; i < manifest->file_count; i++)
	{
		if (!write_file(&writer, &manifest->files[i]))
			goto done;
	}
	ok = (archive_write_close(writer.handle) == ARCHIVE_OK && !writer.discard) || writer_error(&writer, "end");

done:
	/* A half-written archive must not get an end that makes it look whole. */
	writer.discard = true;
	if (writer.handle != NULL)
		archive_write_free(writer.handle);
	return ok;
}
