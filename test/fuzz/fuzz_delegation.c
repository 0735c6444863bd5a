/*-------------------------------------------------------------------------
 *
 * fuzz_delegation.c
 *	  Which role a delegation means for a path, and what a publisher's role
 *	  may sign: {"delegations": DELEGATIONS, "path": PATH, "custom": DESCRIPTION}.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_metadata.h"

#include <inttypes.h>
#include <sodium.h>

#include "common/manifest.h"
#include "common/name.h"
#include "common/publisher.h"
#include "common/tuf_internal.h"

/* Puts delegations into metadata of their own and has its form checked, as that comes before any question. */
static json_t *
read_body(json_t *delegations)
{
	json_t	   *envelope = json_pack("{s:[], s:{s:s, s:s, s:i, s:s, s:{}, s:O}}",
									 "signatures", "signed", "_type", "targets",
									 "spec_version", "1.0.34", "version", 1, "expires", "2027-01-01T00:00:00Z",
									 "targets", "delegations", delegations);
	char	   *text = json_dumps(envelope, JSON_COMPACT);
	json_t	   *taken;

	FUZZ_REQUIRE(text != NULL);
	taken = fuzz_metadata_parse(text, strlen(text), "targets");
	free(text);
	json_decref(envelope);
	return taken;
}

static void
hash_path(const char *path, char hex[65])
{
	unsigned char digest[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(digest, (const unsigned char *) path, strlen(path));
	sodium_bin2hex(hex, 65, digest, sizeof(digest));
}

/* The rules of the specification, and of TAP 15, as they are worded there. */
static bool
should_cover(const json_t *entry, const char *path)
{
	const json_t *value;
	size_t		index;
	char		hex[65];

	hash_path(path, hex);
	json_array_foreach(json_object_get(entry, "paths"), index, value)
	{
		if (depot_tuf_path_matches(json_string_value(value), path))
			return true;
	}
	json_array_foreach(json_object_get(entry, "path_hash_prefixes"), index, value)
	{
		if (strstr(hex, json_string_value(value)) == hex)
			return true;
	}
	return false;
}

static void
check_bin(const json_t *body, const json_t *succinct, const char *path)
{
	char		name[DEPOT_TUF_ROLE_NAME_BYTES];
	char		expected[DEPOT_TUF_ROLE_NAME_BYTES];
	char		last[17];
	char		hex[65];
	int			bits = (int) json_integer_value(json_object_get(succinct, "bit_length"));
	uint64_t	start;
	DepotTufDelegation delegation;

	FUZZ_REQUIRE(bits >= 1 && bits <= 32);
	FUZZ_REQUIRE(depot_tuf_bin_delegation(body, path, name, &delegation));
	hash_path(path, hex);
	hex[8] = '\0';
	start = strtoull(hex, NULL, 16);
	/* As wide as the number of the last bin. */
	snprintf(last, sizeof(last), "%" PRIx64, (UINT64_C(1) << bits) - 1);
	snprintf(expected, sizeof(expected), "%s-%0*" PRIx64, json_string_value(json_object_get(succinct, "name_prefix")),
			 (int) strlen(last), start >> (32 - bits));
	FUZZ_REQUIRE(strcmp(name, expected) == 0 && strcmp(delegation.name, expected) == 0);
	FUZZ_REQUIRE(depot_tuf_delegation_covers(&delegation, path));
	delegation.name = "bin";
	FUZZ_REQUIRE(!depot_tuf_delegation_covers(&delegation, path));
}

/* Requires that a library counts by its file name or, without ".so", as a module. */
static void
check_libraries(json_t *grant, json_t *provides, const DepotManifest *manifest)
{
	static char library[] = "lib/private/libfuzz.so.1";
	static char module[] = "lib/fuzz.so";
	DepotManifestFile files[] = {{.path = library}, {.path = module}};
	DepotManifest with_files = *manifest;
	DepotError	error = {0};

	with_files.files = files;
	with_files.file_count = 2;
	FUZZ_REQUIRE(!depot_publisher_check_package(grant, &with_files, &error));
	FUZZ_REQUIRE(json_array_append_new(provides, json_string("fuzz")) == 0);
	FUZZ_REQUIRE(!depot_publisher_check_package(grant, &with_files, &error));
	FUZZ_REQUIRE(json_array_append_new(provides, json_string("libfuzz.so.1")) == 0);
	FUZZ_REQUIRE(depot_publisher_check_package(grant, &with_files, &error));
}

/* Requires that a role with nothing granted provides nothing, and one with a package's names that package. */
static void
check_publisher(const json_t *entry, const DepotManifest *manifest)
{
	DepotError	error = {0};
	json_t	   *provides = json_array();
	json_t	   *grant = json_pack("{s:s, s:{s:[], s:b, s:b}}",
								  "name", "pub-x", "pg_depot", "provides", "preload", 1, "trusted", 1);
	json_t	   *all = json_pack("{s:s, s:{s:o, s:b, s:b}}",
								"name", "pub-x", "pg_depot", "provides", provides, "preload", 1, "trusted", 1);

	if (!depot_publisher_check_package(entry, manifest, &error))
		FUZZ_REQUIRE(error.code == DEPOT_ERROR_NOT_ALLOWED && error.message[0] != '\0');
	FUZZ_REQUIRE(!depot_publisher_check_package(grant, manifest, &error));
	FUZZ_REQUIRE(json_array_append_new(provides, json_string(manifest->package)) == 0);
	for (int i = 0; i < manifest->extension_count; i++)
		FUZZ_REQUIRE(json_array_append_new(provides, json_string(manifest->extensions[i].name)) == 0);
	for (int i = 0; i < manifest->module_count; i++)
		FUZZ_REQUIRE(json_array_append_new(provides, json_string(manifest->modules[i].name)) == 0);
	FUZZ_REQUIRE(depot_publisher_check_package(all, manifest, &error));
	check_libraries(all, provides, manifest);
	json_decref(grant);
	json_decref(all);
}

/* Requires that a publisher who may have a name has a role by it that is a publisher's. */
static void
check_names(const char *role)
{
	DepotError	error = {0};
	bool		is_name = depot_publisher_is_role(role) &&
	depot_publisher_check_name(role + strlen(DEPOT_PUBLISHER_ROLE_PREFIX), &error);

	if (is_name)
		FUZZ_REQUIRE(depot_name_is_delegated_role(role));
	if (depot_name_is_package(role))
		FUZZ_REQUIRE(depot_publisher_check_provided_name(role, &error));
	if (depot_publisher_check_provided_name(role, &error))
		FUZZ_REQUIRE(strchr(role, '/') == NULL && strcmp(role, "..") != 0 && role[0] != '\0');
}

static void
check_roles(const json_t *body, const char *path, const DepotManifest *manifest)
{
	const json_t *entry;
	size_t		index;

	json_array_foreach(json_object_get(json_object_get(body, "delegations"), "roles"), index, entry)
	{
		DepotTufDelegation delegation = depot_tuf_listed_delegation(body, entry);

		FUZZ_REQUIRE(strcmp(delegation.name, json_string_value(json_object_get(entry, "name"))) == 0);
		check_names(delegation.name);
		FUZZ_REQUIRE(depot_tuf_delegation_covers(&delegation, path) == should_cover(entry, path));
		if (manifest != NULL)
			check_publisher(entry, manifest);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotError	error = {0};
	json_t	   *input = depot_json_parse((const char *) data, size, DEPOT_ERROR_METADATA_FORMAT, "text", &error);
	json_t	   *delegations = json_object_get(input, "delegations");
	const char *path = json_string_value(json_object_get(input, "path"));
	json_t	   *envelope = delegations != NULL && path != NULL ? read_body(delegations) : NULL;
	char		sha256[65];

	if (envelope != NULL)
	{
		const json_t *body = json_object_get(envelope, "signed");
		const json_t *succinct = json_object_get(delegations, "succinct_roles");
		DepotManifest *manifest = depot_manifest_from_custom(json_object_get(input, "custom"), path, sha256, &error);

		if (depot_publisher_check_pattern(path, &error))
			FUZZ_REQUIRE(depot_tuf_path_matches("*/*/*/*/*", path));
		if (succinct != NULL)
			check_bin(body, json_object_get(json_object_get(body, "delegations"), "succinct_roles"), path);
		else
			check_roles(body, path, manifest);
		depot_manifest_free(manifest);
	}
	json_decref(envelope);
	json_decref(input);
	return 0;
}
