/*-------------------------------------------------------------------------
 *
 * repo_verify_target.c
 *	  The files of "pg_depot repo verify": is each what was signed, and each
 *	  package what its signed description says?
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cli/repo_common.h"
#include "common/archive.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/manifest.h"

static bool verify_package(int fd, const char *path, const json_t *custom, DepotError *error);

bool
depot_repo_verify_target(int repository_fd, const char *file, const char *path, const json_t *target,
						 DepotError *error)
{
	const char *sha256 = json_string_value(json_object_get(json_object_get(target, "hashes"), "sha256"));
	const json_t *custom = json_object_get(json_object_get(target, "custom"), "pg_depot");
	char		hex[DEPOT_SHA256_HEX_BYTES];
	uint64_t	size_bytes;
	int			fd;
	bool		ok;

	if (!depot_digest_file(repository_fd, file, hex, &size_bytes, error))
		return false;
	if (size_bytes != (uint64_t) json_integer_value(json_object_get(target, "length")))
		return depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH,
							   "its file has %" PRIu64 " bytes, signed are %" JSON_INTEGER_FORMAT, size_bytes,
							   json_integer_value(json_object_get(target, "length")));
	if (strcmp(hex, sha256) != 0)
		return depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH, "its file has sha256 %s, signed is %s", hex, sha256);
	/* What is not described as a package, such as the list of withdrawn builds, is a file. */
	if (custom == NULL)
		return true;
	fd = depot_files_open(repository_fd, file, O_RDONLY, 0, error);
	if (fd < 0)
		return false;
	ok = verify_package(fd, path, custom, error);
	close(fd);
	return ok;
}

/* A package must be what its signed description says, which servers resolve from. */
static bool
verify_package(int fd, const char *path, const json_t *custom, DepotError *error)
{
	char		manifest_sha256[65];
	DepotManifest *described = depot_manifest_from_custom(custom, path, manifest_sha256, error);
	DepotManifest *manifest = NULL;
	json_t	   *signed_custom = NULL;
	json_t	   *found_custom = NULL;
	char		found_sha256[65];
	bool		ok = false;

	if (described != NULL)
		manifest = depot_archive_verify(fd, NULL, manifest_sha256, found_sha256, NULL, NULL, error);
	if (manifest != NULL)
	{
		signed_custom = depot_manifest_custom(described, manifest_sha256, error);
		found_custom = signed_custom == NULL ? NULL : depot_manifest_custom(manifest, manifest_sha256, error);
		/* A description has no files, so it cannot give their sum again. */
		(void) json_object_del(signed_custom, "unpacked_bytes");
		(void) json_object_del(found_custom, "unpacked_bytes");
		ok = found_custom != NULL &&
			(json_equal(signed_custom, found_custom) ||
			 depot_error_set(error, DEPOT_ERROR_MANIFEST,
							 "its manifest says other things than its signed description"));
	}
	json_decref(signed_custom);
	json_decref(found_custom);
	depot_manifest_free(described);
	depot_manifest_free(manifest);
	return ok;
}
