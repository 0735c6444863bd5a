/*-------------------------------------------------------------------------
 *
 * bundle_write.c
 *	  Writing a bundle (libarchive).
 *
 * The same files in the same order give the same bytes: owner, times and modes are fixed.  Nothing is
 * compressed: packages are, and the fetch agent looks files up where they lie.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/files.h"

#define COPY_BYTES ((size_t) 64 * 1024)

struct DepotBundleWriter
{
	struct archive *handle;
	int			fd;
	bool		discard;		/* the rest goes nowhere; libarchive need not know */
	DepotError	failure;		/* of the first write that failed */
};

/* Takes bytes of the tar.  It never tells libarchive of a failure: libarchive 3.6 would leak its buffers. */
static la_ssize_t
write_bytes(struct archive *handle, void *context, const void *bytes, size_t length)
{
	DepotBundleWriter *writer = context;

	(void) handle;
	if (!writer->discard && !depot_files_write_all(writer->fd, bytes, length, &writer->failure))
		writer->discard = true;
	return (la_ssize_t) length;
}

static bool
fail(const DepotBundleWriter *writer, const char *path, DepotError *error)
{
	const char *reason = archive_error_string(writer->handle);

	if (writer->discard)
	{
		*error = writer->failure;
		return depot_error_prefix(error, "writing the bundle");
	}
	return depot_error_set(error, DEPOT_ERROR_IO, "could not write \"%s\" into the bundle: %s", path,
						   reason != NULL ? reason : "unknown error");
}

DepotBundleWriter *
depot_bundle_create(int fd, DepotError *error)
{
	DepotBundleWriter *writer = calloc(1, sizeof(*writer));

	if (writer != NULL)
	{
		writer->fd = fd;
		writer->handle = archive_write_new();
	}
	if (writer == NULL || writer->handle == NULL ||
		archive_write_set_format_pax_restricted(writer->handle) != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(writer->handle, 1) != ARCHIVE_OK ||
		archive_write_open(writer->handle, writer, NULL, write_bytes, NULL) != ARCHIVE_OK)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		if (writer != NULL)
			archive_write_free(writer->handle);
		free(writer);
		return NULL;
	}
	return writer;
}

static bool
write_header(DepotBundleWriter *writer, const char *path, uint64_t size_bytes, DepotError *error)
{
	struct archive_entry *entry = archive_entry_new();
	bool		ok;

	if (entry == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	archive_entry_set_pathname(entry, path);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, (la_int64_t) size_bytes);
	archive_entry_set_mtime(entry, 0, 0);
	ok = (archive_write_header(writer->handle, entry) == ARCHIVE_OK && !writer->discard) || fail(writer, path, error);
	archive_entry_free(entry);
	return ok;
}

static bool
write_contents(DepotBundleWriter *writer, const char *path, const void *bytes, size_t length, DepotError *error)
{
	return (archive_write_data(writer->handle, bytes, length) == (la_ssize_t) length && !writer->discard) ||
		fail(writer, path, error);
}

static bool
refuse_other(const char *path, DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH, "\"%s\" is not the file that was signed", path);
}

static bool
copy_contents(DepotBundleWriter *writer, int fd, const char *path, uint64_t size_bytes, const char *sha256,
			  DepotError *error)
{
	DepotDigest state;
	char		hex[DEPOT_SHA256_HEX_BYTES];
	char		bytes[COPY_BYTES];
	uint64_t	done = 0;

	depot_digest_begin(&state);
	for (;;)
	{
		ssize_t		count = read(fd, bytes, sizeof(bytes));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return depot_error_set_errno(error, errno, "could not read \"%s\"", path);
		if (count == 0)
			break;
		if ((uint64_t) count > size_bytes - done)
			return refuse_other(path, error);
		done += (uint64_t) count;
		depot_digest_add(&state, bytes, (size_t) count);
		if (!write_contents(writer, path, bytes, (size_t) count, error))
			return false;
	}
	depot_digest_end_hex(&state, hex);
	return (done == size_bytes && strcmp(hex, sha256) == 0) || refuse_other(path, error);
}

bool
depot_bundle_add_file(DepotBundleWriter *writer, int directory_fd, const char *path, uint64_t size_bytes,
					  const char *sha256, DepotError *error)
{
	struct stat status;
	int			fd = depot_files_open(directory_fd, path, O_RDONLY | O_NONBLOCK, 0, error);
	bool		ok = false;

	if (fd < 0)
		return false;
	if (fstat(fd, &status) != 0)
		depot_error_set_errno(error, errno, "could not stat \"%s\"", path);
	else if (!S_ISREG(status.st_mode) || (uint64_t) status.st_size != size_bytes)
		refuse_other(path, error);
	else
		ok = write_header(writer, path, size_bytes, error) &&
			copy_contents(writer, fd, path, size_bytes, sha256, error);
	(void) close(fd);
	return ok;
}

bool
depot_bundle_finish(DepotBundleWriter *writer, bool is_whole, DepotError *error)
{
	bool		ok = is_whole;

	if (is_whole)
		ok = (archive_write_close(writer->handle) == ARCHIVE_OK && !writer->discard) || fail(writer, "end", error);
	/* What is given up must not get an end that makes it look whole. */
	writer->discard = true;
	archive_write_free(writer->handle);
	free(writer);
	return ok;
}
