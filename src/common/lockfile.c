/*-------------------------------------------------------------------------
 *
 * lockfile.c
 *	  The lock of a server: exactly which builds it has, as JSON.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/lockfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

#define LOCK "lock"
/* Builds that an error about a missing one lists. */
#define LISTED_BUILDS 8

static bool read_entry(const json_t *object, int major, const char *platform, DepotLockEntry *entry,
					   DepotError *error);
static bool find_build(const json_t *builds, int major, const char *platform, DepotLockEntry *entry,
					   DepotError *error);
static bool no_build_error(const json_t *builds, int major, const char *platform, const DepotLockEntry *entry,
						   DepotError *error);

bool
depot_lockfile_parse(const char *text, size_t length_bytes, int major, const char *platform,
					 DepotLockfile *lock, DepotError *error)
{
	bool		ok = false;
	json_t	   *root = NULL;
	json_t	   *packages = NULL;
	int64_t		format = 0;
	size_t		count;

	memset(lock, 0, sizeof(*lock));
	/* A number or string is valid JSON for the caller, and none for the parser. */
	if (length_bytes > 0 && text[0] != '{')
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, LOCK " is not a JSON object");
		depot_error_hint(error, "Give what extension_lock() returned.");
		goto done;
	}
	root = depot_json_parse(text, length_bytes, DEPOT_ERROR_INVALID_ARGUMENT, LOCK, error);
	if (root == NULL)
		goto done;
	if (!depot_json_get_integer(root, "format", true, 0, &format, DEPOT_ERROR_INVALID_ARGUMENT, error) ||
		!depot_json_get_array(root, "packages", true, &packages, DEPOT_ERROR_INVALID_ARGUMENT, error))
	{
		depot_error_prefix(error, LOCK);
		depot_error_hint(error, "Give what extension_lock() returned.");
		goto done;
	}
	if (format != DEPOT_LOCKFILE_FORMAT)
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, LOCK " has format %lld, which is not known",
						(long long) format);
		depot_error_detail(error, "This version of pg_depot reads format %d.", DEPOT_LOCKFILE_FORMAT);
		goto done;
	}
	count = json_array_size(packages);
	if (count > DEPOT_LOCKFILE_MAX_ENTRIES)
	{
		depot_error_set(error, DEPOT_ERROR_TOO_LARGE, LOCK " has more than %d packages", DEPOT_LOCKFILE_MAX_ENTRIES);
		goto done;
	}

	lock->entries = calloc(count + 1, sizeof(DepotLockEntry));
	if (lock->entries == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	for (; (size_t) lock->count < count; lock->count++)
	{
		DepotLockEntry *entry = &lock->entries[lock->count];

		if (!read_entry(json_array_get(packages, (size_t) lock->count), major, platform, entry, error))
			goto done;
		for (int i = 0; i < lock->count; i++)
			if (strcmp(lock->entries[i].package, entry->package) == 0)
			{
				depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, LOCK " names package \"%s\" twice",
								entry->package);
				goto done;
			}
	}
	ok = true;

done:
	if (!ok)
		depot_lockfile_free(lock);
	json_decref(root);
	return ok;
}

void
depot_lockfile_free(DepotLockfile *lock)
{
	free(lock->entries);
	lock->entries = NULL;
	lock->count = 0;
}

static bool
read_entry(const json_t *object, int major, const char *platform, DepotLockEntry *entry, DepotError *error)
{
	const char *package = NULL;
	const char *version = NULL;
	const char *why = "requested";
	json_t	   *builds = NULL;

	if (!json_is_object(object))
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, LOCK ": a package is not a JSON object");
		return depot_error_hint(error, "Give what extension_lock() returned.");
	}
	if (!depot_json_get_string(object, "package", true, &package, DEPOT_ERROR_INVALID_ARGUMENT, error))
	{
		depot_error_prefix(error, LOCK ", a package");
		return depot_error_hint(error, "Give what extension_lock() returned.");
	}
	if (!depot_name_check_package(package, "package", error))
		return depot_error_prefix(error, LOCK);
	if (!depot_json_get_string(object, "version", true, &version, DEPOT_ERROR_INVALID_ARGUMENT, error) ||
		!depot_json_get_string(object, "why", false, &why, DEPOT_ERROR_INVALID_ARGUMENT, error) ||
		!depot_json_get_array(object, "builds", true, &builds, DEPOT_ERROR_INVALID_ARGUMENT, error))
	{
		depot_error_prefix(error, LOCK ", package \"%s\"", package);
		return depot_error_hint(error, "Give what extension_lock() returned.");
	}
	if (!depot_name_check_version(version, error))
		return depot_error_prefix(error, LOCK ", package \"%s\"", package);
	if (strcmp(why, "requested") != 0 && strcmp(why, "dependency") != 0 && strcmp(why, "declared") != 0)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
							   LOCK ": \"why\" of package \"%s\" is none of requested, dependency, declared", package);
	snprintf(entry->package, sizeof(entry->package), "%s", package);
	snprintf(entry->version, sizeof(entry->version), "%s", version);
	snprintf(entry->why, sizeof(entry->why), "%s", why);
	return find_build(builds, major, platform, entry, error);
}

static bool
read_build(const json_t *build, int64_t *major, const char **platform, const char **sha256, DepotError *error)
{
	if (!json_is_object(build))
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "a build is not a JSON object");
	return depot_json_get_integer(build, "major", true, 1, major, DEPOT_ERROR_INVALID_ARGUMENT, error) &&
		depot_json_get_string(build, "platform", true, platform, DEPOT_ERROR_INVALID_ARGUMENT, error) &&
		depot_json_get_string(build, "sha256", true, sha256, DEPOT_ERROR_INVALID_ARGUMENT, error);
}

static bool
find_build(const json_t *builds, int major, const char *platform, DepotLockEntry *entry, DepotError *error)
{
	for (size_t i = 0; i < json_array_size(builds); i++)
	{
		int64_t		build_major = 0;
		const char *build_platform = NULL;
		const char *sha256 = NULL;

		if (!read_build(json_array_get(builds, i), &build_major, &build_platform, &sha256, error))
			return depot_error_prefix(error, LOCK ", package \"%s\"", entry->package);
		if (!depot_name_is_sha256(sha256))
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								   LOCK ": a digest of package \"%s\" is not 64 lower-case hexadecimal digits",
								   entry->package);
		if (build_major != major || build_platform == NULL || strcmp(build_platform, platform) != 0)
			continue;
		if (entry->sha256[0] != '\0' && strcmp(entry->sha256, sha256) != 0)
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								   LOCK " has two builds of package \"%s\" for PostgreSQL %d on %s",
								   entry->package, major, platform);
		snprintf(entry->sha256, sizeof(entry->sha256), "%s", sha256);
	}
	return entry->sha256[0] != '\0' || no_build_error(builds, major, platform, entry, error);
}

static bool
no_build_error(const json_t *builds, int major, const char *platform, const DepotLockEntry *entry, DepotError *error)
{
	char		listed[512] = "none";
	size_t		length = 0;

	for (size_t i = 0; i < json_array_size(builds) && i < LISTED_BUILDS; i++)
	{
		const json_t *build = json_array_get(builds, i);
		char		printable[DEPOT_NAME_MAX_BYTES + 1];
		int			added;

		added = snprintf(listed + length, sizeof(listed) - length, "%sPostgreSQL %lld on %s", i > 0 ? ", " : "",
						 (long long) json_integer_value(json_object_get(build, "major")),
						 depot_name_printable(json_string_value(json_object_get(build, "platform")),
											  printable, sizeof(printable)));
		if (added < 0 || (size_t) added >= sizeof(listed) - length)
			break;
		length += (size_t) added;
	}
	depot_error_set(error, DEPOT_ERROR_UNKNOWN_VERSION, LOCK " has no build of package \"%s\" for PostgreSQL %d on %s",
					entry->package, major, platform);
	depot_error_detail(error, "It has builds for: %s.", listed);
	return depot_error_hint(error, "Make the lock on a server like this one.");
}
