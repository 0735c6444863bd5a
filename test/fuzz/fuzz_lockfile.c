/*-------------------------------------------------------------------------
 *
 * fuzz_lockfile.c
 *	  The lock of a server, read for PostgreSQL 15 on linux-amd64.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <jansson.h>

#include "common/lockfile.h"

#define MAJOR 15
#define PLATFORM "linux-amd64"

static void
check_entries(const DepotLockfile *lock)
{
	for (int i = 0; i < lock->count; i++)
	{
		const DepotLockEntry *entry = &lock->entries[i];

		FUZZ_REQUIRE(depot_name_is_package(entry->package) && depot_name_is_version(entry->version));
		FUZZ_REQUIRE(depot_name_is_sha256(entry->sha256));
		FUZZ_REQUIRE(strcmp(entry->why, "requested") == 0 || strcmp(entry->why, "dependency") == 0 ||
					 strcmp(entry->why, "declared") == 0);
		for (int j = 0; j < i; j++)
			FUZZ_REQUIRE(strcmp(lock->entries[j].package, entry->package) != 0);
	}
}

/* Requires that a lock of what was read reads the same. */
static void
check_rewritten(const DepotLockfile *lock)
{
	json_t	   *packages = json_array();
	json_t	   *object = json_pack("{s:i, s:o}", "format", DEPOT_LOCKFILE_FORMAT, "packages", packages);
	DepotLockfile again;
	DepotError	error = {0};
	char	   *text;

	for (int i = 0; i < lock->count; i++)
	{
		const DepotLockEntry *entry = &lock->entries[i];

		FUZZ_REQUIRE(json_array_append_new(packages, json_pack("{s:s, s:s, s:s, s:[{s:i, s:s, s:s}]}",
															   "package", entry->package, "version", entry->version,
															   "why", entry->why, "builds", "major", MAJOR,
															   "platform", PLATFORM, "sha256", entry->sha256)) == 0);
	}
	text = json_dumps(object, JSON_COMPACT);
	FUZZ_REQUIRE(text != NULL);
	FUZZ_REQUIRE(depot_lockfile_parse(text, strlen(text), MAJOR, PLATFORM, &again, &error));
	FUZZ_REQUIRE(again.count == lock->count);
	for (int i = 0; i < lock->count; i++)
	{
		FUZZ_REQUIRE(strcmp(again.entries[i].package, lock->entries[i].package) == 0);
		FUZZ_REQUIRE(strcmp(again.entries[i].version, lock->entries[i].version) == 0);
		FUZZ_REQUIRE(strcmp(again.entries[i].why, lock->entries[i].why) == 0);
		FUZZ_REQUIRE(strcmp(again.entries[i].sha256, lock->entries[i].sha256) == 0);
	}
	depot_lockfile_free(&again);
	free(text);
	json_decref(object);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotLockfile lock;
	DepotError	error = {0};

	if (depot_lockfile_parse((const char *) data, size, MAJOR, PLATFORM, &lock, &error))
	{
		check_entries(&lock);
		check_rewritten(&lock);
	}
	else
	{
		fuzz_require_refusal(&error);
		FUZZ_REQUIRE(lock.count == 0 && lock.entries == NULL);
	}
	depot_lockfile_free(&lock);
	return 0;
}
