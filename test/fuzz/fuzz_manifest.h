/*-------------------------------------------------------------------------
 *
 * fuzz_manifest.h
 *	  What a manifest and a target's description have in common: a description
 *	  that was read, written and read again says the same.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FUZZ_MANIFEST_H
#define DEPOT_FUZZ_MANIFEST_H

#include "fuzz.h"

#include "common/json.h"
#include "common/manifest.h"
#include "common/name.h"
#include "common/version.h"

/* The path at which a package's target stands; out has room for two names, two versions and the platform. */
static inline void
fuzz_manifest_target_path(const DepotManifest *manifest, char out[512])
{
	snprintf(out, 512, "pg%d/%s-%s/%s/%s/%s-%s.tar.zst", manifest->postgresql_major, manifest->platform_os,
			 manifest->platform_arch, manifest->package, manifest->version, manifest->package, manifest->version);
}

/* Requires that every name of a manifest has passed the one gate. */
static inline void
fuzz_manifest_check_names(const DepotManifest *manifest)
{
	DepotVersionConstraint constraint;

	FUZZ_REQUIRE(depot_name_is_package(manifest->package) && depot_name_is_version(manifest->version));
	for (int i = 0; i < manifest->extension_count; i++)
	{
		FUZZ_REQUIRE(depot_name_is_extension(manifest->extensions[i].name));
		for (int j = 0; j < manifest->extensions[i].require_count; j++)
			FUZZ_REQUIRE(depot_name_is_extension(manifest->extensions[i].requires[j]));
		for (int j = 0; j < manifest->extensions[i].version_count; j++)
			FUZZ_REQUIRE(depot_name_is_version(manifest->extensions[i].versions[j]));
	}
	for (int i = 0; i < manifest->module_count; i++)
		FUZZ_REQUIRE(depot_name_is_module(manifest->modules[i].name));
	for (int i = 0; i < manifest->depend_count; i++)
	{
		FUZZ_REQUIRE(depot_name_is_package(manifest->depends[i].package));
		FUZZ_REQUIRE(depot_version_constraint_parse(manifest->depends[i].constraint, &constraint, NULL));
	}
}

/* Requires that custom, which stands for a target at path, gives a description that gives custom's known part. */
static inline void
fuzz_manifest_check_custom(const json_t *custom, const char *path)
{
	DepotError	error = {0};
	char		sha256[65];
	char		sha256_again[65];
	char		target_path[512];
	DepotManifest *manifest = depot_manifest_from_custom(custom, path, sha256, &error);
	DepotManifest *again;
	json_t	   *written;
	json_t	   *rewritten;

	if (manifest == NULL)
	{
		fuzz_require_refusal(&error);
		return;
	}
	fuzz_manifest_check_names(manifest);
	fuzz_manifest_target_path(manifest, target_path);
	FUZZ_REQUIRE(strcmp(path, target_path) == 0);
	FUZZ_REQUIRE(depot_name_is_sha256(sha256) && manifest->file_count == 0);
	written = depot_manifest_custom(manifest, sha256, &error);
	FUZZ_REQUIRE(written != NULL);
	again = depot_manifest_from_custom(written, path, sha256_again, &error);
	FUZZ_REQUIRE(again != NULL && strcmp(sha256, sha256_again) == 0);
	rewritten = depot_manifest_custom(again, sha256, &error);
	FUZZ_REQUIRE(json_equal(written, rewritten));
	FUZZ_REQUIRE(depot_manifest_from_custom(written, "pg15/linux-amd64/x/1/y-1.tar.zst", sha256, NULL) == NULL);
	json_decref(written);
	json_decref(rewritten);
	depot_manifest_free(again);
	depot_manifest_free(manifest);
}

#endif							/* DEPOT_FUZZ_MANIFEST_H */
