/*-------------------------------------------------------------------------
 *
 * tuf_target.c
 *	  Where a target's file is, and whether it is what was signed.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <nettle/version.h>
#include <string.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/name.h"

#define READ_PIECE_BYTES 32768

typedef struct Digests
{
	uint64_t	length_bytes;
	char		sha256[DEPOT_SHA256_HEX_BYTES];
	char		sha512[2 * SHA512_DIGEST_SIZE + 1];
} Digests;

static bool is_relative(const char *path);
static bool digest_file(int fd, Digests *found, DepotError *error);

bool
depot_tuf_target_location(const DepotTufClient *client, const DepotTufTarget *target, DepotBuffer *location,
						  DepotError *error)
{
	const char *slash = strrchr(target->path, '/');
	const char *name = slash == NULL ? target->path : slash + 1;
	char		shown[128];

	if (!is_relative(target->path))
		return depot_error_set(error, DEPOT_ERROR_INVALID_NAME,
							   "the path \"%s\" of a target is not a relative one without \".\" and \"..\"",
							   depot_name_printable(target->path, shown, sizeof(shown)));
	depot_tuf_encode(target->path, (size_t) (name - target->path), "/", location);
	if (depot_tuf_has_consistent_snapshots(client))
	{
		depot_buffer_append_string(location, target->sha256[0] != '\0' ? target->sha256 : target->sha512);
		depot_buffer_append_string(location, ".");
	}
	depot_tuf_encode(name, strlen(name), "", location);
	return !location->failed || depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

bool
depot_tuf_verify_target(const DepotTufTarget *target, int fd, DepotError *error)
{
	Digests		found;

	if (!digest_file(fd, &found, error))
		return false;
	if (found.length_bytes == target->length_bytes &&
		(target->sha256[0] != '\0' || target->sha512[0] != '\0') &&
		(target->sha256[0] == '\0' || strcmp(found.sha256, target->sha256) == 0) &&
		(target->sha512[0] == '\0' || strcmp(found.sha512, target->sha512) == 0))
		return true;
	depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH, "the downloaded file is not the one that was signed");
	if (found.length_bytes != target->length_bytes)
		depot_error_detail(error, "It has %" PRIu64 " bytes, the signed metadata says %" PRIu64 ".",
						   found.length_bytes, target->length_bytes);
	else if (target->sha256[0] != '\0')
		depot_error_detail(error, "Its sha256 is %s, the signed metadata says %s.", found.sha256, target->sha256);
	return depot_error_hint(error, "The file was altered or damaged on its way, or a mirror is out of step.");
}

static bool
is_relative(const char *path)
{
	for (const char *part = path;;)
	{
		size_t		length = strcspn(part, "/");

		if (length == 0 || (length == 1 && part[0] == '.') ||
			(length == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		if (part[length] == '\0')
			return true;
		part += length + 1;
	}
}

static bool
digest_file(int fd, Digests *found, DepotError *error)
{
	struct sha512_ctx sha512;
	uint8_t		bytes[READ_PIECE_BYTES];
	uint8_t		digest[SHA512_DIGEST_SIZE];
	DepotDigest sha256;
	ssize_t		n;

	found->length_bytes = 0;
	depot_digest_begin(&sha256);
	sha512_init(&sha512);
	while ((n = pread(fd, bytes, sizeof(bytes), (off_t) found->length_bytes)) != 0)
	{
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return depot_error_set_errno(error, errno, "could not read the file of a target");
		depot_digest_add(&sha256, bytes, (size_t) n);
		sha512_update(&sha512, (size_t) n, bytes);
		found->length_bytes += (uint64_t) n;
	}
	depot_digest_end_hex(&sha256, found->sha256);
#if NETTLE_VERSION_MAJOR >= 4
	sha512_digest(&sha512, digest);
#else
	sha512_digest(&sha512, sizeof(digest), digest);
#endif
	depot_digest_to_hex(digest, sizeof(digest), found->sha512);
	return true;
}
