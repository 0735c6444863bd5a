/*-------------------------------------------------------------------------
 *
 * manifest_internal.h
 *	  What the files of the manifest module share with each other.
 *
 * Included by manifest*.c only; callers include manifest.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_MANIFEST_INTERNAL_H
#define DEPOT_MANIFEST_INTERNAL_H

#include "common/json.h"
#include "common/manifest.h"

/* Longest texts a manifest may carry; each is shown to people somewhere. */
#define MANIFEST_SUMMARY_MAX_BYTES 500
#define MANIFEST_TEXT_MAX_BYTES 1000
#define MANIFEST_WORD_MAX_BYTES 255

/*
 * Most elements a list may have: well above what real packages need
 * (PostGIS: 7 extensions of 90 versions), low enough to bound the work that a signed but
 * nonsensical manifest can cause.
 */
#define MANIFEST_MAX_EXTENSIONS 256
#define MANIFEST_MAX_VERSIONS 4096
#define MANIFEST_MAX_REQUIRES 64
#define MANIFEST_MAX_MODULES 256
#define MANIFEST_MAX_DEPENDS 64
#define MANIFEST_MAX_SYSTEM_LIBRARIES 1024
#define MANIFEST_MAX_SETTINGS 64
#define MANIFEST_MAX_COMPONENTS 1024

typedef enum ManifestSource
{
	MANIFEST_FROM_PACKAGE,		/* every member present, none unknown */
	MANIFEST_FROM_CUSTOM		/* the part that signed metadata carries; unknown members are a newer
								 * publisher's */
} ManifestSource;

/* Reads the members of object into an all-zero manifest; on failure the caller frees what was read. */
extern bool depot_manifest_read_members(const json_t *object, ManifestSource source, DepotManifest *manifest,
										DepotError *error);

/* Reads the file list, a part of packages only. */
extern bool depot_manifest_read_files(const json_t *object, DepotManifest *manifest, DepotError *error);

/*
 * Checks what no single member can tell: lists without repetitions, kind and contents, one name in one
 * place.
 */
extern bool depot_manifest_check_members(const DepotManifest *manifest, DepotError *error);

/*
 * Checks the file list: order, places, names that differ in case only, files that are also directories,
 * modules present.
 */
extern bool depot_manifest_check_files(const DepotManifest *manifest, DepotError *error);

#endif							/* DEPOT_MANIFEST_INTERNAL_H */
