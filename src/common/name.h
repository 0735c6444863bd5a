/*-------------------------------------------------------------------------
 *
 * name.h
 *	  The one gate for names (design promise 7).
 *
 * No path, SQL, library name, environment entry or URL is built from a name
 * that has not passed one of these predicates.  They take C strings, look at
 * bytes only (no locale) and allocate nothing.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_NAME_H
#define DEPOT_NAME_H

#include <stddef.h>

#include "common/error.h"

#define DEPOT_NAME_MAX_BYTES 63 /* as NAMEDATALEN - 1 */
#define DEPOT_PATH_PART_MAX_BYTES 255
#define DEPOT_PATH_MAX_BYTES 1023

/*
 * A path counted from the data directory must stay below this, or base
 * backups fail ("file name too long for tar format").
 */
#define DEPOT_INSTALLED_PATH_LIMIT_BYTES 100

/* Tells whether name is [a-z0-9][a-z0-9_.-]*, 1 to 63 bytes, no "--", no trailing '-', no "..": packages and repositories. */
extern bool depot_name_is_package(const char *name);

/* As a package name, upper case allowed: extensions whose upstream name needs it. */
extern bool depot_name_is_extension(const char *name);

/* A file name part of a module without its .so: as an extension name, '+' allowed too. */
extern bool depot_name_is_module(const char *name);

/* [A-Za-z0-9.+~:_-], 1 to 63 bytes, no "--", no leading or trailing '-': a version. */
extern bool depot_name_is_version(const char *version);

/* A delegated role in our repositories: [a-z0-9_-]{1,64}, none of the four top-level names. */
extern bool depot_name_is_delegated_role(const char *name);

/*
 * A relative path of ASCII parts [A-Za-z0-9._+-] (one part at least) joined
 * by single '/', no part empty, "." or "..", each part at most 255 bytes and
 * all of it at most 1023: members of a package, files of a repository.
 */
extern bool depot_name_is_relative_path(const char *path);

/* ed25519-style 64 lower-case hex digits. */
extern bool depot_name_is_sha256(const char *hex);

/* The same as errors, with the value quoted when it is printable and shortened when it is long. what says what it names: "extension". */
extern bool depot_name_check_package(const char *name, const char *what, DepotError *error);
extern bool depot_name_check_extension(const char *name, DepotError *error);
extern bool depot_name_check_version(const char *version, DepotError *error);

/*
 * Copies value into out for display: printable ASCII only, others as '?', cut
 * at out_bytes with "...".  Returns out.
 */
extern char *depot_name_printable(const char *value, char *out, size_t out_bytes);

#endif							/* DEPOT_NAME_H */
