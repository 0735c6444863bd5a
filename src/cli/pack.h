/*-------------------------------------------------------------------------
 *
 * pack.h
 *	  What the parts of "pg_depot pack" share.
 *
 * Packing goes through a list of entries: each names a member of the package and
 * either a regular file below the source root or a text of our own.
 *
 *   pack_oci.c       reads the index and manifest of an image layout
 *   pack_oci_layer.c     applies an image's layers to a private source root
 *   pack_oci_describe.c  what an image says, and which directories count
 *   pack_deb.c       unpacks Debian packages into a private source root
 *   pack_debian.c    reads Debian's words: control fields, versions, licenses
 *   pack_postinst.c  finds alternatives in the text of a maintainer script
 *   pack_tree.c      collects entries from a source root, following links
 *   pack_entry.c     the list of entries, and writing it as a tree
 *   pack_control.c   alternatives, "directory" and "$libdir/" of control files
 *   pack_scripts.c   links to ANY scripts become one-line scripts
 *   pack_elf.c       what a library needs and is
 *   pack_name.c      package name and version
 *   pack_describe.c  the manifest: what the files say
 *   pack_origin.c    the manifest: what Debian, an image and the publisher say
 *   pack_options.c   the command line
 *   pack.c           the order of it all, the output
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_PACK_H
#define DEPOT_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/manifest.h"

#define DEPOT_PACK_MAX_DEBS 16
#define DEPOT_PACK_MAX_OPTIONS 64	/* of each repeatable kind */
#define DEPOT_PACK_PATH_BYTES 4096
#define DEPOT_PACK_DEFAULT_DEPOT "pg_depot" /* depot.directory when it is not set */

/* What is left out of a package, each kind with one note. */
typedef enum DepotPackDrop
{
	DEPOT_DROP_NONE,			/* not left out */
	DEPOT_DROP_BITCODE,
	DEPOT_DROP_PROGRAM,
	DEPOT_DROP_HEADER,
	DEPOT_DROP_DOCUMENTATION,
	DEPOT_DROP_PLUGIN,
	DEPOT_DROP_BUILD,
	DEPOT_DROP_UNSERVABLE,
	DEPOT_DROP_SCRIPT,
	DEPOT_DROP_SYSTEM,
	DEPOT_DROP_MANIFEST,
	DEPOT_DROP_OTHER,
	DEPOT_DROP_KINDS
} DepotPackDrop;

typedef struct DepotPackModuleOption
{
	const char *module;
	DepotPreload preload;
	bool		has_preload;
	bool		required;
} DepotPackModuleOption;

typedef struct DepotPackOptions
{
	const char *tree;			/* NULL: from an image or Debian packages */
	const char *oci;			/* NULL: from a tree or Debian packages */
	const char *platform;		/* of the image: "linux/arm64"; NULL where not given */
	const char *const *debs;
	int			deb_count;
	const char *output_directory;
	const char *package;		/* NULL where not given, as the other strings */
	const char *version;
	const char *summary;
	const char *license;
	const char *homepage;
	const char *arch;
	int			major;			/* 0 where not given */
	int			minimum_minor;	/* -1 where not given */
	DepotPackModuleOption modules[DEPOT_PACK_MAX_OPTIONS];
	int			module_count;
	const char *depends[DEPOT_PACK_MAX_OPTIONS];	/* "pkg constraint" */
	int			depend_count;
	const char *without_depends[DEPOT_PACK_MAX_OPTIONS];
	int			without_depend_count;
	const char *settings[DEPOT_PACK_MAX_OPTIONS];	/* "name=value why" */
	int			setting_count;
	const char *license_files[DEPOT_PACK_MAX_OPTIONS];
	int			license_file_count;
	bool		json;
	bool		quiet;
} DepotPackOptions;

/* One Debian package as read from its control archive. Strings are "" when absent. */
typedef struct DepotPackDeb
{
	const char *file;			/* borrowed from the options */
	char	   *name;
	char	   *version;
	char	   *architecture;
	char	   *source_name;
	char	   *source_version;
	char	   *depends;		/* Pre-Depends and Depends, comma-joined */
	char	   *homepage;
	char	   *summary;
	char	   *postinst;		/* its text; never run */
} DepotPackDeb;

/* What an OCI image says about itself. Strings are "" when it does not, or NULL before it was read. */
typedef struct DepotPackImage
{
	char		sha256[65];		/* of its manifest */
	const char *arch;			/* Debian's name; NULL when it does not say */
	int			major;			/* 0 when it does not say */
	int			entry_count;	/* of all layers, against the limit */
	char	   *package;		/* NULL when its title does not name one */
	char	   *version;
	char	   *license;
	char	   *homepage;
	char	   *source;
	char	   *summary;
} DepotPackImage;

typedef struct DepotPackEntry
{
	char	   *member;			/* "share/extension/hll.control" */
	char	   *source;			/* regular file below the source root; NULL: text */
	char	   *link_target;	/* where a symbolic link of the same directory pointed, else NULL */
	char	   *text;
	size_t		text_bytes;
	uint32_t	mode;			/* 0644 or 0755 */
} DepotPackEntry;

typedef struct DepotPack
{
	const DepotPackOptions *options;
	int			work_fd;		/* private directory: source/ and tree/ */
	int			source_fd;		/* root of the installed tree */
	int			tree_fd;		/* lib/, share/, licenses/ as they are packed */
	int			major;
	DepotPackDeb debs[DEPOT_PACK_MAX_DEBS];
	int			deb_count;
	DepotPackImage image;
	DepotPackEntry *entries;
	int			entry_count;
	int			entry_capacity;
	char	   *package;
	char	   *version;
	uint64_t	source_bytes;	/* of everything collected, against the limits */
	int			dropped[DEPOT_DROP_KINDS];
	char		dropped_example[DEPOT_DROP_KINDS][256];
	int			links_followed;
	int			links_shortened;	/* became one-line scripts */
	DepotManifest *manifest;
} DepotPack;

/* pack.c */

/* Whether a signal asked to stop; long loops look at it and fail with CANCELED. */
extern bool depot_pack_interrupted(DepotError *error);

/* Prints a note unless --quiet or --json. */
extern void depot_pack_note(const DepotPack *pack, const char *format,...) DEPOT_PRINTF(2, 3);

/* pack_options.c */

/* Fills options from the command line; -1 to go on, else the exit code to end with. */
extern int	depot_pack_parse_options(int argc, char **argv, DepotPackOptions *options);

/* pack_oci.c */

/*
 * Unpacks the image of the options into pack->source_fd, in the image's own layout, and fills pack->image.
 * Every blob is checked against the digest that names it.
 */
extern bool depot_pack_read_image(DepotPack *pack, DepotError *error);

/* pack_oci_describe.c */

/* Does for an image what depot_pack_collect does for a tree. */
extern bool depot_pack_collect_image(DepotPack *pack, DepotError *error);
extern void depot_pack_free_image(DepotPackImage *image);

/* Returns Debian's name of the machine we run on. */
extern const char *depot_pack_host_arch(void);

/* pack_deb.c */

/*
 * Unpacks the Debian packages of the options into pack->source_fd and fills
 * pack->debs, the main one first.
 */
extern bool depot_pack_read_debs(DepotPack *pack, DepotError *error);
extern void depot_pack_free_debs(DepotPack *pack);

/* pack_debian.c */

/* Reads a binary package's control file into deb. */
extern bool depot_debian_parse_control(const char *text, DepotPackDeb *deb, DepotError *error);

/* Upstream part of a Debian version, without "+dfsg" and its like: malloc'd, NULL when out of memory. */
extern char *depot_debian_upstream_version(const char *version);

/* "postgresql-15-hll" -> 15 and "hll"; false for other names. */
extern bool depot_debian_split_name(const char *name, int *major, const char **stem);

/* pkg:deb/debian/NAME@VERSION: malloc'd. */
extern char *depot_debian_purl(const char *name, const char *version);

/*
 * The SPDX expression of "Files: *" in a machine-readable copyright file, or of its header: a constant or
 * part of buffer; NULL when it does not say or is not machine-readable.
 */
extern const char *depot_debian_license(const char *copyright, char *buffer, size_t buffer_bytes);

/* Calls visit for the first alternative of each dependency; constraint is one of version.h, "" for any. */
typedef bool (*DepotDebianDependVisit) (const char *name, const char *constraint, void *context,
										DepotError *error);
extern bool depot_debian_visit_depends(const char *depends, DepotDebianDependVisit visit, void *context,
									   DepotError *error);

/* pack_postinst.c */

/*
 * Calls visit for each pair of an update-alternatives --install line whose
 * words are plain text once variables set in the script are filled in.
 */
typedef bool (*DepotAlternativeVisit) (const char *link, const char *path, void *context, DepotError *error);
extern bool depot_postinst_visit_alternatives(const char *text, DepotAlternativeVisit visit, void *context,
											  DepotError *error);

/* pack_tree.c */

/* Which kind of left-out file a path below the root of an installation is. */
extern DepotPackDrop depot_pack_classify(const char *path);
extern void depot_pack_count_drop(DepotPack *pack, DepotPackDrop kind, const char *path);

/* Adds every file of the source root that belongs into the package; sets pack->major. */
extern bool depot_pack_collect(DepotPack *pack, DepotError *error);

/*
 * Adds the files of directory real below the source root as if it were logical, a path of an installed
 * server.  An absent one is fine.
 */
extern bool depot_pack_collect_directory(DepotPack *pack, const char *logical, const char *real,
										 DepotError *error);

/*
 * Resolves path below root_fd as a server that has it as "/" would, links and all, into out. Errors name
 * the path: dangling, a loop, out of the tree.
 */
extern bool depot_pack_resolve(int root_fd, const char *path, char out[DEPOT_PACK_PATH_BYTES],
							   DepotError *error);

/* pack_entry.c */

/* Adds an entry; takes ownership of nothing. With source NULL the text is copied. */
extern bool depot_pack_add(DepotPack *pack, const char *member, const char *source, const char *text,
						   size_t text_bytes, uint32_t mode, DepotError *error);
extern DepotPackEntry *depot_pack_find(const DepotPack *pack, const char *member);
extern void depot_pack_remove(DepotPack *pack, int index);
extern bool depot_pack_rename(DepotPackEntry *entry, const char *member, DepotError *error);

/* Reads an entry's bytes (at most limit_bytes) into buffer. */
extern bool depot_pack_read_entry(const DepotPack *pack, const DepotPackEntry *entry, size_t limit_bytes,
								  DepotBuffer *buffer, DepotError *error);

/* Replaces what an entry holds by text. */
extern bool depot_pack_set_text(DepotPackEntry *entry, const char *text, size_t text_bytes,
								DepotError *error);

/* Sorts the entries and writes them below pack->tree_fd; two of one name are an error. */
extern bool depot_pack_materialise(DepotPack *pack, DepotError *error);
extern void depot_pack_free_entries(DepotPack *pack);

/* pack_control.c */

/* Gives control files the names that update-alternatives would link them by. */
extern bool depot_pack_apply_alternatives(DepotPack *pack, DepotError *error);

/*
 * Moves scripts out of a control file's "directory" and drops the line; from
 * 18 on takes "$libdir/" off module_pathname.
 */
extern bool depot_pack_flatten_controls(DepotPack *pack, DepotError *error);

/*
 * Leaves out scripts of extensions that have no control file here (pgtap-core--1.2.0.sql beside
 * pgtap.control): no server can use them, and the names may be another package's.  It is an error when no
 * script has a control file.
 */
extern bool depot_pack_drop_orphans(DepotPack *pack, DepotError *error);

/* pack_scripts.c */

/* Turns links to ANY scripts into one-line scripts where every update path stays the same. */
extern bool depot_pack_shorten_links(DepotPack *pack, DepotError *error);

/* pack_elf.c */

typedef struct DepotPackElf
{
	char		arch[16];		/* Debian's name */
	char		libc_min[16];	/* "2.34", "" when none */
	bool		is_module;		/* defines Pg_magic_func */
	bool		finds_private;	/* RUNPATH has $ORIGIN/private */
	char	  **needed;			/* DT_NEEDED, malloc'd */
	int			needed_count;
} DepotPackElf;

/* Reads a shared library; member names it in errors (PACKAGE). */
extern bool depot_elf_read(int fd, const char *member, DepotPackElf *elf, DepotError *error);
extern void depot_elf_free(DepotPackElf *elf);

/* Whether a soname is part of the C library or the compiler's run time, which every server has. */
extern bool depot_elf_is_base_library(const char *soname);

/* pack_name.c */

/*
 * Chooses package name and version from the options, the image or the Debian packages,
 * and names the license files by it.
 */
extern bool depot_pack_choose_name(DepotPack *pack, DepotError *error);
extern bool depot_pack_has_extension(const DepotPack *pack, const char *name);

/* pack_describe.c */

/* Makes pack->manifest from pack->tree_fd, the options and the Debian packages. */
extern bool depot_pack_describe(DepotPack *pack, DepotError *error);

/* pack_origin.c */

/* Fills the texts, components, dependencies and settings of pack->manifest, whose extensions are known. */
extern bool depot_pack_describe_origin(DepotPack *pack, DepotError *error);

#endif							/* DEPOT_PACK_H */
