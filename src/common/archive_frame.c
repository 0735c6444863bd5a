/*-------------------------------------------------------------------------
 *
 * archive_frame.c
 *	  The zstd frame of a package, checked without undoing it.
 *
 * A package is one frame and nothing else.  Its header says how much memory
 * decoding takes, and its block headers say where it ends; both are read here
 * (RFC 8878, section 3.1.1), because libarchive takes any window up to 128 MB, any number of frames, and
 * passes over what follows them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/archive_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_MAX_BYTES (UINT64_C(128) * 1024)
#define FRAME_HEADER_MAX_BYTES 18
#define BLOCK_HEADER_BYTES 3
#define CHECKSUM_BYTES 4

#define DESCRIPTOR_SINGLE_SEGMENT 0x20
#define DESCRIPTOR_RESERVED 0x08
#define DESCRIPTOR_CHECKSUM 0x04
#define DESCRIPTOR_DICTIONARY 0x03

typedef enum BlockType
{
	BLOCK_RAW,
	BLOCK_RLE,
	BLOCK_COMPRESSED,
	BLOCK_RESERVED
} BlockType;

/* A window on the file, so that neighbouring block headers cost one read. */
typedef struct FrameReader
{
	int			fd;
	uint64_t	file_bytes;
	uint64_t	start;			/* of buffer in the file */
	size_t		length;
	unsigned char buffer[16 * 1024];
} FrameReader;

/* Points *bytes at length bytes (few) at offset. */
static bool
look_at(FrameReader *reader, uint64_t offset, size_t length, const unsigned char **bytes, DepotError *error)
{
	if (offset + length > reader->file_bytes)
	{
		depot_error_set(error, DEPOT_ERROR_ARCHIVE, "archive is cut off");
		return false;
	}
	if (offset < reader->start || offset + length > reader->start + reader->length)
	{
		reader->start = offset;
		reader->length = 0;
		while (reader->length < length)
		{
			ssize_t		count = pread(reader->fd, reader->buffer + reader->length,
									  sizeof(reader->buffer) - reader->length,
									  (off_t) (offset + reader->length));

			if (count < 0 && errno == EINTR)
				continue;
			if (count < 0)
			{
				depot_error_set_errno(error, errno, "could not read the archive");
				return false;
			}
			if (count == 0)
			{
				depot_error_set(error, DEPOT_ERROR_ARCHIVE, "archive is cut off");
				return false;
			}
			reader->length += (size_t) count;
		}
	}
	*bytes = reader->buffer + (offset - reader->start);
	return true;
}

static uint64_t
little_endian(const unsigned char *bytes, size_t length)
{
	uint64_t	value = 0;

	for (size_t i = length; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

/* Reads the frame header; *offset becomes where the first block is. */
static bool
check_frame_header(FrameReader *reader, uint64_t *offset, bool *has_checksum, DepotError *error)
{
	static const unsigned char magic[] = {0x28, 0xB5, 0x2F, 0xFD};
	static const size_t content_size_bytes[] = {0, 2, 4, 8};
	const unsigned char *bytes;
	unsigned	descriptor;
	bool		single_segment;
	size_t		size_bytes;
	size_t		at = sizeof(magic) + 1;
	uint64_t	window;

	if (reader->file_bytes < FRAME_HEADER_MAX_BYTES)
		return depot_error_set(error, DEPOT_ERROR_ARCHIVE, "archive is cut off");
	if (!look_at(reader, 0, FRAME_HEADER_MAX_BYTES, &bytes, error))
		return false;
	if (memcmp(bytes, magic, sizeof(magic)) != 0)
		return depot_error_set(error, DEPOT_ERROR_ARCHIVE, "archive is not compressed with zstd");
	descriptor = bytes[sizeof(magic)];
	single_segment = (descriptor & DESCRIPTOR_SINGLE_SEGMENT) != 0;
	size_bytes = content_size_bytes[descriptor >> 6];
	if ((descriptor & (DESCRIPTOR_RESERVED | DESCRIPTOR_DICTIONARY)) != 0)
		return depot_error_set(error, DEPOT_ERROR_ARCHIVE, "archive needs a zstd feature that packages do not use");
	if (single_segment)
	{
		if (size_bytes == 0)
			size_bytes = 1;
		window = little_endian(bytes + at, size_bytes) + (size_bytes == 2 ? 256 : 0);
	}
	else
	{
		uint64_t	base = UINT64_C(1) << (10 + (bytes[at] >> 3));

		window = base + base / 8 * (bytes[at] & 7);
		at++;
	}
	if (window > ARCHIVE_WINDOW_MAX_BYTES)
	{
		depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT,
						"archive needs a zstd window of %llu bytes, %llu are allowed",
						(unsigned long long) window, (unsigned long long) ARCHIVE_WINDOW_MAX_BYTES);
		return depot_error_hint(error, "Compress it with level 19 or less, without the option --long.");
	}
	*offset = at + size_bytes;
	*has_checksum = (descriptor & DESCRIPTOR_CHECKSUM) != 0;
	return true;
}

bool
depot_archive_check_frame(int fd, uint64_t file_bytes, DepotError *error)
{
	FrameReader reader = {.fd = fd, .file_bytes = file_bytes};
	uint64_t	offset = 0;
	bool		has_checksum = false;
	bool		last = false;

	if (!check_frame_header(&reader, &offset, &has_checksum, error))
		return false;
	while (!last)
	{
		const unsigned char *bytes;
		uint64_t	header;
		BlockType	type;
		uint64_t	size;

		if (!look_at(&reader, offset, BLOCK_HEADER_BYTES, &bytes, error))
			return false;
		header = little_endian(bytes, BLOCK_HEADER_BYTES);
		last = (header & 1) != 0;
		type = (BlockType) (header >> 1 & 3);
		size = header >> 3;

		/*
		 * A block without contents is only ever the last one; a file full of them would keep a decoder busy
		 * for nothing.
		 */
		if (type == BLOCK_RESERVED || size > BLOCK_MAX_BYTES || (size == 0 && !last))
			return depot_error_set(error, DEPOT_ERROR_ARCHIVE,
								   "archive is damaged: its zstd frame has an invalid block");
		offset += BLOCK_HEADER_BYTES + (type == BLOCK_RLE ? 1 : size);
	}
	if (has_checksum)
		offset += CHECKSUM_BYTES;
	if (offset > file_bytes)
		return depot_error_set(error, DEPOT_ERROR_ARCHIVE, "archive is cut off");
	if (offset < file_bytes)
		return depot_error_set(error, DEPOT_ERROR_ARCHIVE, "archive has %llu bytes after the end of its zstd frame",
							   (unsigned long long) (file_bytes - offset));
	return true;
}
