/*-------------------------------------------------------------------------
 *
 * archive_stream.c
 *	  A package as a stream of tar members.
 *
 * Of libarchive only two readers are used: zstd and tar.  Filters are not
 * guessed, so a zstd stream inside the zstd stream stays what it is, no archive.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/archive_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/name.h"

#define TAR_BLOCK_BYTES UINT64_C(512)
#define TAR_END_BYTES (2 * TAR_BLOCK_BYTES)

/* Sets the error of a failed libarchive call, unless a callback has set a better one. */
static bool
stream_error(ArchiveStream *stream, struct archive *handle, const char *problem)
{
	const char *reason = archive_error_string(handle);
	char		shown[128];

	if (stream->failed)
		return false;
	stream->failed = true;
	if (archive_errno(handle) == ENOMEM)
		return depot_error_set(stream->error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	depot_error_set(stream->error, DEPOT_ERROR_ARCHIVE, "%s", problem);
	if (reason != NULL)
		depot_error_detail(stream->error, "The archive library says: %s.",
						   depot_name_printable(reason, shown, sizeof(shown)));
	return false;
}

/* Feeds the file to the zstd reader. */
static la_ssize_t
read_file(struct archive *raw, void *context, const void **bytes)
{
	ArchiveStream *stream = context;
	ssize_t		count;

	do
		count = pread(stream->fd, stream->buffer, sizeof(stream->buffer), stream->offset);
	while (count < 0 && errno == EINTR);
	if (count < 0)
	{
		stream->failed = true;
		depot_error_set_errno(stream->error, errno, "could not read the archive");
		archive_set_error(raw, EIO, "read error");
		return ARCHIVE_FATAL;
	}
	stream->offset += count;
	*bytes = stream->buffer;
	return count;
}

/*
 * Takes the next decompressed piece, counts it, and notes where it has bytes other than zero. *length 0 at
 * the end.
 */
static bool
next_piece(ArchiveStream *stream, const void **bytes, size_t *length)
{
	la_int64_t	offset;
	int			rc;

	do
		rc = archive_read_data_block(stream->raw, bytes, length, &offset);
	while (rc == ARCHIVE_OK && *length == 0);
	if (rc == ARCHIVE_EOF)
	{
		*length = 0;
		return true;
	}
	if (rc != ARCHIVE_OK)
		return stream_error(stream, stream->raw, "archive is damaged: it cannot be decompressed");
	for (size_t i = *length; i-- > 0;)
	{
		if (((const unsigned char *) *bytes)[i] != 0)
		{
			stream->nonzero_end = stream->stream_bytes + i + 1;
			break;
		}
	}
	stream->stream_bytes += *length;
	if (stream->stream_bytes <= stream->stream_limit)
		return true;
	stream->failed = true;
	depot_error_set(stream->error, DEPOT_ERROR_ARCHIVE_LIMIT,
					"archive unpacks to more than the %llu bytes that its manifest accounts for",
					(unsigned long long) stream->stream_limit);
	return false;
}

/* Feeds the decompressed bytes to the tar reader. */
static la_ssize_t
read_piece(struct archive *tar, void *context, const void **bytes)
{
	size_t		length = 0;

	if (next_piece(context, bytes, &length))
		return (la_ssize_t) length;
	archive_set_error(tar, EIO, "read error");
	return ARCHIVE_FATAL;
}

static bool
open_handles(ArchiveStream *stream)
{
	struct archive_entry *entry;

	stream->raw = archive_read_new();
	stream->tar = archive_read_new();
	if (stream->raw == NULL || stream->tar == NULL)
		return depot_error_set(stream->error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	if (archive_read_support_format_raw(stream->raw) != ARCHIVE_OK ||
		archive_read_append_filter(stream->raw, ARCHIVE_FILTER_ZSTD) != ARCHIVE_OK ||
		archive_read_support_format_tar(stream->tar) != ARCHIVE_OK)
	{
		depot_error_set(stream->error, DEPOT_ERROR_UNSUPPORTED, "libarchive was built without zstd or tar");
		return false;
	}
	if (archive_read_open(stream->raw, stream, NULL, read_file, NULL) != ARCHIVE_OK ||
		archive_read_next_header(stream->raw, &entry) != ARCHIVE_OK)
		return stream_error(stream, stream->raw, "archive is damaged: it cannot be decompressed");
	if (archive_read_open(stream->tar, stream, NULL, read_piece, NULL) != ARCHIVE_OK)
		return stream_error(stream, stream->tar, "archive is not a tar archive");
	return true;
}

ArchiveStream *
depot_archive_stream_open(int fd, uint64_t stream_limit, DepotError *error)
{
	ArchiveStream *stream;
	struct stat status;

	if (fstat(fd, &status) != 0)
	{
		depot_error_set_errno(error, errno, "could not read the archive");
		return NULL;
	}
	if (!S_ISREG(status.st_mode))
	{
		depot_error_set(error, DEPOT_ERROR_ARCHIVE, "archive is not a regular file");
		return NULL;
	}
	if (!depot_archive_check_frame(fd, (uint64_t) status.st_size, error))
		return NULL;
	stream = calloc(1, sizeof(*stream));
	if (stream == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	stream->fd = fd;
	stream->file_bytes = (uint64_t) status.st_size;
	stream->stream_limit = stream_limit;
	stream->error = error;
	if (!open_handles(stream))
	{
		depot_archive_stream_close(stream);
		return NULL;
	}
	return stream;
}

void
depot_archive_stream_close(ArchiveStream *stream)
{
	if (stream == NULL)
		return;
	/* The tar reader reads through the other one. */
	if (stream->tar != NULL)
		archive_read_free(stream->tar);
	if (stream->raw != NULL)
		archive_read_free(stream->raw);
	free(stream);
}

bool
depot_archive_stream_next(ArchiveStream *stream, struct archive_entry **entry)
{
	int			rc = archive_read_next_header(stream->tar, entry);

	if (rc == ARCHIVE_EOF)
	{
		*entry = NULL;
		return true;
	}
	/* A warning means that libarchive made something up for what it could not read. */
	return rc == ARCHIVE_OK ||
		stream_error(stream, stream->tar, "archive is damaged: a member's header cannot be read");
}

bool
depot_archive_stream_data(ArchiveStream *stream, const char *shown_name, uint64_t done_bytes,
						  const void **bytes, size_t *length)
{
	la_int64_t	offset = 0;
	int			rc;

	do
		rc = archive_read_data_block(stream->tar, bytes, length, &offset);
	while (rc == ARCHIVE_OK && *length == 0);
	if (rc == ARCHIVE_EOF)
		*length = 0;
	else if (rc != ARCHIVE_OK)
		return stream_error(stream, stream->tar, "archive is damaged: a member's contents cannot be read");
	else if ((uint64_t) offset != done_bytes)
		return depot_error_set(stream->error, DEPOT_ERROR_ARCHIVE, "member \"%s\" of the archive is a sparse file",
							   shown_name);
	return true;
}

bool
depot_archive_stream_finish(ArchiveStream *stream)
{
	uint64_t	end = (uint64_t) archive_read_header_position(stream->tar);
	const void *bytes;
	size_t		length = 0;

	do
	{
		if (!next_piece(stream, &bytes, &length))
			return false;
	} while (length > 0);
	if (stream->nonzero_end > end)
		return depot_error_set(stream->error, DEPOT_ERROR_ARCHIVE, "archive has data after its last member");
	if (stream->stream_bytes < end + TAR_END_BYTES || stream->stream_bytes % TAR_BLOCK_BYTES != 0)
		return depot_error_set(stream->error, DEPOT_ERROR_ARCHIVE,
							   "archive is cut off: the end of the tar is missing");
	return true;
}
