/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  SHA-256 (libnettle) and hexadecimal.
 *
 * libnettle uses the processor's instructions for SHA-256 where there are some, and is then six times
 * as fast as libsodium, which never does.  libarchive brings it along anyway.
 *
 * Files are read in pieces of fixed size: memory does not grow with the file.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/version.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"

#define READ_PIECE_BYTES 32768

bool
depot_digest_init(DepotError *error)
{
	if (sodium_init() < 0)
		return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "could not initialize libsodium");
	return true;
}

void
depot_digest_begin(DepotDigest *state)
{
	sha256_init(state);
}

void
depot_digest_add(DepotDigest *state, const void *bytes, size_t length_bytes)
{
	/* A pointer to nothing may be NULL, which memcpy must not get. */
	if (length_bytes > 0)
		sha256_update(state, length_bytes, bytes);
}

void
depot_digest_end(DepotDigest *state, uint8_t digest[DEPOT_SHA256_BYTES])
{
#if NETTLE_VERSION_MAJOR >= 4
	sha256_digest(state, digest);
#else
	sha256_digest(state, DEPOT_SHA256_BYTES, digest);
#endif
}

void
depot_digest_end_hex(DepotDigest *state, char hex[DEPOT_SHA256_HEX_BYTES])
{
	uint8_t		digest[DEPOT_SHA256_BYTES];

	depot_digest_end(state, digest);
	depot_digest_to_hex(digest, sizeof(digest), hex);
}

void
depot_digest_sha256(const void *bytes, size_t length_bytes, uint8_t digest[DEPOT_SHA256_BYTES])
{
	DepotDigest state;

	depot_digest_begin(&state);
	depot_digest_add(&state, bytes, length_bytes);
	depot_digest_end(&state, digest);
}

void
depot_digest_sha256_hex(const void *bytes, size_t length_bytes, char hex[DEPOT_SHA256_HEX_BYTES])
{
	uint8_t		digest[DEPOT_SHA256_BYTES];

	depot_digest_sha256(bytes, length_bytes, digest);
	depot_digest_to_hex(digest, sizeof(digest), hex);
}

bool
depot_digest_file(int directory_fd, const char *path, char hex[DEPOT_SHA256_HEX_BYTES],
				  uint64_t *size_bytes, DepotError *error)
{
	DepotDigest state;
	uint8_t		piece[READ_PIECE_BYTES];
	uint64_t	total = 0;
	struct stat status;
	bool		ok = false;
	int			fd;

	/* O_NONBLOCK: a fifo put in the file's place must not stop us in open. */
	fd = depot_files_open(directory_fd, path, O_RDONLY | O_NONBLOCK, 0, error);
	if (fd < 0)
		return false;
	if (fstat(fd, &status) != 0)
	{
		depot_error_set_errno(error, errno, "could not stat file \"%s\"", path);
		goto done;
	}
	if (!S_ISREG(status.st_mode))
	{
		depot_error_set(error, DEPOT_ERROR_IO, "\"%s\" is not a regular file", path);
		goto done;
	}
	depot_digest_begin(&state);
	for (;;)
	{
		ssize_t		count = read(fd, piece, sizeof(piece));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
		{
			depot_error_set_errno(error, errno, "could not read file \"%s\"", path);
			goto done;
		}
		if (count == 0)
			break;
		depot_digest_add(&state, piece, (size_t) count);
		total += (uint64_t) count;
	}
	depot_digest_end_hex(&state, hex);
	if (size_bytes != NULL)
		*size_bytes = total;
	ok = true;

done:
	close(fd);
	return ok;
}

void
depot_digest_to_hex(const uint8_t *bytes, size_t length_bytes, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length_bytes; i++)
	{
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 0x0F];
	}
	hex[2 * length_bytes] = '\0';
}

static int
hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	return -1;
}

bool
depot_digest_from_hex(const char *hex, uint8_t *bytes, size_t length_bytes)
{
	if (hex == NULL)
		return false;
	for (size_t i = 0; i < length_bytes; i++)
	{
		int			high = hex_value(hex[2 * i]);
		int			low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);

		if (low < 0)
			return false;
		bytes[i] = (uint8_t) (high << 4 | low);
	}
	return hex[2 * length_bytes] == '\0';
}
