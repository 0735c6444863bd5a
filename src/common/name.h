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

/*
 * Tells whether name is that of a package or repository: [a-z0-9][a-z0-9_.-]*,
 * 1 to 63 bytes, no "--", no trailing '-', no "..".
 */
extern bool depot_name_is_package(const char *name);

/* Tells the same with upper case allowed: extensions whose upstream name needs it. */
extern bool depot_name_is_extension(const char *name);

/* Tells whether name can be a module: a file name without .so, as an extension name with '+' allowed too. */
extern bool depot_name_is_module(const char *name);

/* Tells whether version is [A-Za-z0-9.+~:_-], 1 to 63 bytes, no "--", no leading or trailing '-'. */
extern bool depot_name_is_version(const char *version);

/* Tells whether name can be a delegated role: [a-z0-9_-]{1,64}, none of the four top-level names. */
extern bool depot_name_is_delegated_role(const char *name);

/*
 * Tells whether name can be a server's: [A-Za-z0-9][A-Za-z0-9_.:/-]*, 1 to 63 bytes, which lets the cluster names
 * of Debian ("17/main") and host names pass.  No path is ever built from it.
 */
extern bool depot_name_is_node(const char *name);

/*
 * Tells whether path is relative and made of ASCII parts [A-Za-z0-9._+-]
 * (one at least) joined by single '/', no part empty, "." or "..", each part
 * at most 255 bytes and all of it at most 1023: members of a package, files
 * of a repository.
 */
extern bool depot_name_is_relative_path(const char *path);

/* Tells whether hex is 64 lower-case hexadecimal digits. */
extern bool depot_name_is_sha256(const char *hex);

/*
 * Check the same and set an error that quotes the value, unprintable bytes as
 * '?' and shortened when it is long.  what says what is named: "repository".
 */
extern bool depot_name_check_package(const char *name, const char *what, DepotError *error);
extern bool depot_name_check_extension(const char *name, DepotError *error);
extern bool depot_name_check_version(const char *version, DepotError *error);
extern bool depot_name_check_node(const char *name, DepotError *error);

/*
 * Copies value into out for display: printable ASCII only, others as '?', cut
 * at out_bytes with "...".  Returns out.
 */
extern char *depot_name_printable(const char *value, char *out, size_t out_bytes);

#endif							/* DEPOT_NAME_H */
