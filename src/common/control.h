/*-------------------------------------------------------------------------
 *
 * control.h
 *	  PostgreSQL's extension control files, read by the rules of design section 6.
 *
 * The syntax is that of postgresql.conf (guc-file.l): name = value or name
 * value, quoted values with doubled quotes and backslash escapes, # comments.
 * The packer reads control files to describe a package and to refuse what the
 * format cannot carry; the check agent reads them again after unpacking and
 * refuses the same things, by the same functions.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_CONTROL_H
#define DEPOT_CONTROL_H

#include "common/buffer.h"
#include "common/error.h"
#include "common/manifest.h"

#define DEPOT_CONTROL_MAX_BYTES (64 << 10)

typedef struct DepotControl
{
	char	   *default_version;	/* NULL when absent, as the other strings */
	char	   *comment;
	char	   *directory;
	char	   *module_pathname;
	char	   *encoding;
	char	   *schema;
	char	  **requires;
	int			require_count;
	bool		superuser;		/* true unless set */
	bool		trusted;
	bool		relocatable;
} DepotControl;

/* Parses text; unknown parameters are an error, as in the server. what names the file in errors. */
extern DepotControl *depot_control_parse(const char *text, size_t length_bytes, const char *what,
										 DepotError *error);
extern void depot_control_free(DepotControl *control);

/*
 * Parses a file name of share/extension: "hll.control" (extension hll), "x--1.0.control" (secondary),
 * "x--1.0.sql", "x--1.0--1.1.sql" (script).  Version parts are "" where absent.  Returns false when
 * it is none of these (a data file).
 */
typedef enum DepotExtensionFileKind
{
	DEPOT_FILE_CONTROL,
	DEPOT_FILE_SECONDARY_CONTROL,
	DEPOT_FILE_INSTALL_SCRIPT,
	DEPOT_FILE_UPDATE_SCRIPT
} DepotExtensionFileKind;

typedef struct DepotExtensionFile
{
	DepotExtensionFileKind kind;
	char		extension[64];
	char		version[64];
	char		target_version[64];
} DepotExtensionFile;

extern bool depot_control_parse_file_name(const char *file_name, DepotExtensionFile *file);

/*
 * Checks the name of one member path of a package: what the server would take for a control file or script
 * must be one of an extension that the manifest names.  Any other path passes with *is_extension_file
 * false; with true, *file is filled. A packer calls it before it packs a file, to leave out or refuse what
 * a server would refuse.
 */
extern bool depot_control_check_file_name(const char *path, const DepotManifest *manifest,
										  bool *is_extension_file, DepotExtensionFile *file,
										  DepotError *error);

/*
 * Checks every control file and script of an unpacked package (tree_fd is the directory that holds lib/ and
 * share/) against its manifest: no directory, module_pathname one of this package's libraries ("x" or
 * "$libdir/x"; of the extension's own name it may be missing, as the control files of extensions in SQL
 * often keep the line of a template), scripts and control files only for extensions the manifest names,
 * each named extension has its control file, default version, requires and trusted equal to the manifest,
 * nothing for lib/plugins/.  Errors: CONTROL_FILE.
 */
extern bool depot_control_check_package(int tree_fd, const DepotManifest *manifest, DepotError *error);

/*
 * Lists the versions that can be created from the scripts at hand: install scripts and what update scripts
 * reach from them, sorted by depot_version_compare, "ANY" left out.  versions is malloc'd, as are its
 * strings.
 */
extern bool depot_control_list_versions(const DepotExtensionFile *files, int file_count,
										const char *extension, char ***versions, int *version_count,
										DepotError *error);

#endif							/* DEPOT_CONTROL_H */
