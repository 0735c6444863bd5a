/*-------------------------------------------------------------------------
 *
 * bundle_find.c
 *	  Looking a file up in a bundle.
 *
 * The fetch agent does this, and to load libarchive takes it longer than a
 * whole download; so here is the little of tar that "pg_depot bundle" writes
 * (POSIX.1-2001, pax: headers of 512 bytes, regular files, and an extended header where a path is
 * long).  Anything else is refused.  Only headers are read; what they say is
 * bounded by the file's size, and the bytes that are found are believed by
 * nobody.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/bundle.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES 512

/* Where things stand in a header block. */
#define NAME_OFFSET 0
#define NAME_BYTES 100
#define SIZE_OFFSET 124
#define SIZE_BYTES 12
#define CHECKSUM_OFFSET 148
#define CHECKSUM_BYTES 8
#define TYPE_OFFSET 156
#define MAGIC_OFFSET 257
#define PREFIX_OFFSET 345
#define PREFIX_BYTES 155

/* An extended header holds one path and its key. */
#define EXTENDED_MAX_BYTES (DEPOT_BUNDLE_PATH_BYTES + 64)

typedef struct BundleReader
{
	int			fd;
	uint64_t	file_bytes;
	uint64_t	offset;			/* of the next header */
	unsigned char block[BLOCK_BYTES];
	char		path[DEPOT_BUNDLE_PATH_BYTES];	/* of the member whose header was read */
	bool		has_long_path;	/* path is from an extended header, and the next header's */
	DepotError *error;
} BundleReader;

static bool
refuse(BundleReader *reader, const char *reason)
{
	depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE, "the file is not a bundle: %s", reason);
	return depot_error_hint(reader->error, "Make it with \"pg_depot bundle\", and copy it whole.");
}

static bool
read_at(BundleReader *reader, uint64_t offset, void *bytes, size_t length)
{
	size_t		done = 0;

	if (offset > reader->file_bytes || length > reader->file_bytes - offset)
		return refuse(reader, "it is cut off");
	while (done < length)
	{
		ssize_t		count = pread(reader->fd, (char *) bytes + done, length - done, (off_t) (offset + done));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return depot_error_set_errno(reader->error, errno, "could not read the bundle");
		if (count == 0)
			return refuse(reader, "it is cut off");
		done += (size_t) count;
	}
	return true;
}

/* Reads octal digits, which a blank or a NUL may end; false for anything else. */
static bool
read_octal(const unsigned char *text, size_t length, uint64_t *value)
{
	size_t		i = 0;

	*value = 0;
	for (; i < length && text[i] >= '0' && text[i] <= '7'; i++)
		*value = *value * 8 + (uint64_t) (text[i] - '0');
	if (i == 0)
		return false;
	for (; i < length; i++)
		if (text[i] != ' ' && text[i] != '\0')
			return false;
	return true;
}

static bool
check_header(BundleReader *reader)
{
	uint64_t	sum = 0;
	uint64_t	expected;

	for (size_t i = 0; i < BLOCK_BYTES; i++)
		sum += i >= CHECKSUM_OFFSET && i < CHECKSUM_OFFSET + CHECKSUM_BYTES ? ' ' : reader->block[i];
	if (memcmp(reader->block + MAGIC_OFFSET, "ustar\0" "00", 8) != 0)
		return refuse(reader, "it has a header of another kind");
	if (!read_octal(reader->block + CHECKSUM_OFFSET, CHECKSUM_BYTES, &expected) || expected != sum)
		return refuse(reader, "a header of it is damaged");
	return true;
}

/* Puts prefix and name of a header together, unless an extended header has given the path. */
static void
take_path(BundleReader *reader)
{
	const char *name = (const char *) reader->block + NAME_OFFSET;
	const char *prefix = (const char *) reader->block + PREFIX_OFFSET;
	size_t		name_length = strnlen(name, NAME_BYTES);
	size_t		prefix_length = strnlen(prefix, PREFIX_BYTES);
	char	   *end = reader->path;

	if (reader->has_long_path)
		return;
	if (prefix_length > 0)
	{
		memcpy(end, prefix, prefix_length);
		end[prefix_length] = '/';
		end += prefix_length + 1;
	}
	memcpy(end, name, name_length);
	end[name_length] = '\0';
}

/* Takes the path out of an extended header: one record, "LENGTH path=PATH\n". */
static bool
take_long_path(BundleReader *reader, uint64_t offset, uint64_t size_bytes)
{
	char		text[EXTENDED_MAX_BYTES + 1];
	char	   *equals;
	uint64_t	length = 0;
	size_t		digits = 0;

	if (size_bytes == 0 || size_bytes > EXTENDED_MAX_BYTES)
		return refuse(reader, "it has an extended header of another size than a path needs");
	if (!read_at(reader, offset, text, (size_t) size_bytes))
		return false;
	text[size_bytes] = '\0';
	for (; digits < 5 && text[digits] >= '0' && text[digits] <= '9'; digits++)
		length = length * 10 + (uint64_t) (text[digits] - '0');
	equals = text + digits + strlen(" path");
	if (digits == 0 || length != size_bytes || strlen(text) != size_bytes || text[size_bytes - 1] != '\n' ||
		strncmp(text + digits, " path=", strlen(" path=")) != 0 ||
		size_bytes - 1 - (size_t) (equals + 1 - text) >= sizeof(reader->path))
		return refuse(reader, "it has an extended header with something else than a path");
	text[size_bytes - 1] = '\0';
	memcpy(reader->path, equals + 1, strlen(equals + 1) + 1);
	reader->has_long_path = true;
	return true;
}

/* Moves to the next member.  *type is '0' for a file, 'x' for what belongs to the next, NUL at the end. */
static bool
next_member(BundleReader *reader, char *type, DepotBundleMember *member)
{
	static const unsigned char zeros[BLOCK_BYTES];
	uint64_t	size_bytes;

	if (!read_at(reader, reader->offset, reader->block, BLOCK_BYTES))
		return false;
	*type = '\0';
	if (memcmp(reader->block, zeros, BLOCK_BYTES) == 0)
		return true;
	if (!check_header(reader))
		return false;
	*type = (char) reader->block[TYPE_OFFSET];
	if (*type != '0' && *type != 'x')
		return refuse(reader, "it holds something else than files");
	if (!read_octal(reader->block + SIZE_OFFSET, SIZE_BYTES, &size_bytes) || size_bytes > reader->file_bytes)
		return refuse(reader, "it is cut off");
	member->offset = reader->offset + BLOCK_BYTES;
	member->size_bytes = size_bytes;
	reader->offset = member->offset + (size_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
	if (*type == 'x')
		return take_long_path(reader, member->offset, size_bytes);
	take_path(reader);
	reader->has_long_path = false;
	return true;
}

bool
depot_bundle_find(int fd, const char *path, DepotBundleMember *member, bool *found, DepotError *error)
{
	BundleReader reader = {.fd = fd, .error = error};
	struct stat status;

	*found = false;
	if (fstat(fd, &status) != 0)
		return depot_error_set_errno(error, errno, "could not read the bundle");
	reader.file_bytes = (uint64_t) status.st_size;
	for (int i = 0; i < DEPOT_BUNDLE_MAX_MEMBERS; i++)
	{
		char		type;

		if (!next_member(&reader, &type, member))
			return false;
		if (type == '\0')
			return true;
		if (type == '0' && strcmp(reader.path, path) == 0)
		{
			if (member->size_bytes > reader.file_bytes - member->offset)
				return refuse(&reader, "it is cut off");
			*found = true;
			return true;
		}
	}
	return refuse(&reader, "it holds too many files");
}
