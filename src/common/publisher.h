/*-------------------------------------------------------------------------
 *
 * publisher.h
 *	  Roles of publishers: which paths and which names they were given.
 *
 * The top-level targets role delegates a package's path to its publisher's
 * keys in a role "pub-<publisher>".  The delegation binds names, too: its
 * member "pg_depot" says what the packages of that role may provide, and
 * whether they may ask to be preloaded or to be trusted.  Whoever signs the
 * role cannot change it, because the delegator has signed it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_PUBLISHER_H
#define DEPOT_PUBLISHER_H

#include <stdbool.h>

#include "common/error.h"
#include "common/manifest.h"

#define DEPOT_PUBLISHER_ROLE_PREFIX "pub-"

/* Longest name of a publisher: his role's name has 64 bytes at most. */
#define DEPOT_PUBLISHER_NAME_MAX_BYTES 60

/* Tells whether a delegated role is one of a publisher by its name. */
extern bool depot_publisher_is_role(const char *role);

/* Checks the name of a publisher: [a-z0-9_-], 1 to 60 bytes; INVALID_NAME otherwise. */
extern bool depot_publisher_check_name(const char *publisher, DepotError *error);

/*
 * Checks a path that is to be delegated to a publisher: <major>/<platform>/<package>/<*>/<*> with
 * "pg15" or "*", "linux-amd64" or "*", and the name of one package; INVALID_ARGUMENT otherwise.
 */
extern bool depot_publisher_check_pattern(const char *pattern, DepotError *error);

/* Checks a name that a publisher may be given: of a package, extension or module, or a library's file name. */
extern bool depot_publisher_check_provided_name(const char *name, DepotError *error);

/*
 * Checks that a package provides nothing that its role was not given: its own name, every extension, every
 * module, every library file; that it asks for preloading only with "preload", and is trusted only with
 * "trusted".  delegation is the top-level targets role's entry for the role; roles that are no publisher's and have
 * no member "pg_depot" are not bound.  A manifest without files (from custom) is checked without them.
 * Errors: NOT_ALLOWED, which names role and name.
 */
extern bool depot_publisher_check_package(const json_t *delegation, const DepotManifest *manifest,
										  DepotError *error);

#endif							/* DEPOT_PUBLISHER_H */
