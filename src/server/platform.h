/*-------------------------------------------------------------------------
 *
 * platform.h
 *	  What this server is, in the words packages use, and what its
 *	  installation provides.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_PLATFORM_H
#define DEPOT_PLATFORM_H

#include "common/name.h"
#include "lib/stringinfo.h"

/* The version of this library. */
#define DEPOT_LIBRARY_VERSION "1.0.0"

/* "linux", "amd64", "2.36", "linux-amd64", "pg15-linux-amd64". */
extern const char *depot_platform_os(void);
extern const char *depot_platform_arch(void);
extern const char *depot_platform_libc_version(void);
extern const char *depot_platform_name(void);
extern const char *depot_platform_role(void);

/* The server's minor version: 20 of 15.20. */
extern int	depot_platform_minor(void);

/*
 * Seconds since 1970 by this server's clock, as of which metadata counts as expired or not; raises an error when
 * that is before pg_depot was made.
 */
extern int64 depot_platform_reference_time(void);

/* Appends what a check agent is told of this server: the member "server" of its commands. */
extern void depot_platform_append(StringInfo out);

/* Finds the agents' program beside the library or in the server's bindir; NULL when it is in neither. */
extern const char *depot_platform_agent_program(const char *name);

/* Whether the installation has a control file for extension; fills its default version ("" when it names none). */
extern bool depot_platform_system_extension(const char *extension, char version[DEPOT_NAME_MAX_BYTES + 1]);

#endif							/* DEPOT_PLATFORM_H */
