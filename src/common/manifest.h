/*-------------------------------------------------------------------------
 *
 * manifest.h
 *	  The manifest of a package, format version 1 (docs/package-format.md).
 *
 * A manifest lists every other member of its archive with size, digest and
 * mode, and says what the package provides and needs.  Reading is strict:
 * unknown format, unknown or duplicate members, wrong types, names that do not
 * pass name.h, and paths outside lib/, share/ and licenses/ are errors.
 * Written by the packer, read by the check agent, the leader and the program.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_MANIFEST_H
#define DEPOT_MANIFEST_H

#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

/* Named, not included: jansson.h and the server's fmgrprotos.h both declare json_object. */
typedef struct json_t json_t;

#define DEPOT_MANIFEST_FORMAT 1
#define DEPOT_MANIFEST_MAX_BYTES (8 << 20)	/* 8 MB: 20000 files at 400 bytes each */
#define DEPOT_MANIFEST_MAX_FILES 20000
#define DEPOT_MANIFEST_FILE_PATH_BYTES 256	/* longest member path, with its NUL */

typedef enum DepotPackageKind
{
	DEPOT_KIND_EXTENSION,
	DEPOT_KIND_MODULE,
	DEPOT_KIND_LIBRARY
} DepotPackageKind;

typedef enum DepotPreload
{
	DEPOT_PRELOAD_NONE,
	DEPOT_PRELOAD_SESSION,
	DEPOT_PRELOAD_SHARED
} DepotPreload;

typedef struct DepotManifestExtension
{
	char	   *name;
	char	   *default_version;	/* "" when the control file has none */
	char	  **versions;		/* what CREATE EXTENSION ... VERSION can reach */
	int			version_count;
	char	  **requires;		/* extension names */
	int			require_count;
	bool		trusted;
} DepotManifestExtension;

typedef struct DepotManifestModule
{
	char	   *name;			/* file name in lib/ without .so */
	DepotPreload preload;
	bool		required;
} DepotManifestModule;

typedef struct DepotManifestDepend
{
	char	   *package;
	char	   *constraint;		/* "" for any */
} DepotManifestDepend;

typedef struct DepotManifestSetting
{
	char	   *name;
	char	   *value;
	char	   *why;
} DepotManifestSetting;

typedef struct DepotManifestFile
{
	char	   *path;			/* member path: lib/hll.so */
	uint64_t	size_bytes;
	char		sha256[65];
	uint32_t	mode;			/* 0644 or 0755 */
} DepotManifestFile;

typedef struct DepotManifestComponent
{
	char	   *purl;
	char	   *version;
	char	   *license;
} DepotManifestComponent;

/* Strings are owned by the struct; optional ones are "" when absent, never NULL. */
typedef struct DepotManifest
{
	DepotPackageKind kind;
	char	   *package;
	char	   *version;
	char	   *summary;
	char	   *license;
	char	   *homepage;
	int			postgresql_major;
	int			postgresql_minimum_minor;	/* 0: any */
	char	   *postgresql_flavor;	/* "postgresql" */
	char	   *platform_os;	/* "linux" */
	char	   *platform_arch;	/* "amd64": Debian's names */
	char	   *platform_libc;	/* "glibc" */
	char	   *platform_libc_min;	/* "2.34", "" when nothing needs it */
	DepotManifestExtension *extensions;
	int			extension_count;
	DepotManifestModule *modules;
	int			module_count;
	DepotManifestDepend *depends;
	int			depend_count;
	char	  **system_libraries;
	int			system_library_count;
	DepotManifestSetting *settings;
	int			setting_count;
	DepotManifestFile *files;	/* sorted by path, without the manifest itself */
	int			file_count;
	DepotManifestComponent *components;
	int			component_count;
	char	   *source_kind;
	char	   *source_name;
	char	   *source_version;
	uint64_t	custom_unpacked_bytes;	/* of depot_manifest_from_custom, which has no files; else 0 */
} DepotManifest;

extern DepotManifest *depot_manifest_parse(const char *text, size_t length_bytes, DepotError *error);

/*
 * Appends the manifest's one spelling: canonical JSON with a final newline, files sorted.  Refuses what
 * depot_manifest_parse would refuse, so nothing can be packed that cannot be read.
 */
extern bool depot_manifest_write(const DepotManifest *manifest, DepotBuffer *out, DepotError *error);
extern void depot_manifest_free(DepotManifest *manifest);	/* NULL is fine */

/*
 * Member path of the manifest of a package: share/depot/<package>.json, into out of
 * DEPOT_MANIFEST_PATH_BYTES.
 */
#define DEPOT_MANIFEST_PATH_BYTES 96
extern void depot_manifest_path(const char *package, char *out);

/* Returns the sum of all file sizes; of a manifest made from custom metadata, what that says. */
extern uint64_t depot_manifest_unpacked_bytes(const DepotManifest *manifest);
extern const DepotManifestFile *depot_manifest_find_file(const DepotManifest *manifest, const char *path);

/*
 * Calls visit once for every directory that the files stand in, parents first, without a final slash;
 * visit returns false to stop with its error.  The manifest is none of the files, so share/depot is not
 * visited.
 */
typedef bool (*DepotManifestVisitDirectory) (const char *path, void *context, DepotError *error);
extern bool depot_manifest_visit_directories(const DepotManifest *manifest, DepotManifestVisitDirectory visit,
											 void *context, DepotError *error);

/*
 * What a target's custom.pg_depot holds (design section 7): a new object with format, kind, package,
 * version, summary, license, extensions, modules, depends, system_libraries, postgresql, platform,
 * unpacked_bytes and manifest_sha256 (given).  The same shapes as in the manifest.
 */
extern json_t *depot_manifest_custom(const DepotManifest *manifest, const char *manifest_sha256,
									 DepotError *error);

/*
 * Checks a target's custom.pg_depot as it comes out of signed metadata against what its target path says
 * (pg15/linux-amd64/hll/2.17/hll-2.17.tar.zst), with the manifest's own rules, and returns it as a manifest
 * without files.  Unknown members are ignored here (a newer publisher), wrong types are not.
 */
extern DepotManifest *depot_manifest_from_custom(const json_t *custom, const char *target_path,
												 char manifest_sha256[65], DepotError *error);

extern const char *depot_manifest_kind_name(DepotPackageKind kind);
extern const char *depot_manifest_preload_name(DepotPreload preload);

#endif							/* DEPOT_MANIFEST_H */
