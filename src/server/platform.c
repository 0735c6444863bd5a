/*-------------------------------------------------------------------------
 *
 * platform.c
 *	  What this server is, in the words packages use, and what its
 *	  installation provides.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <gnu/libc-version.h>
#include <time.h>
#include <unistd.h>

#include "common/name.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "server/paths.h"
#include "server/platform.h"
#include "storage/fd.h"
#include "utils/guc.h"

/* 2026-01-01 00:00:00 UTC: a clock that says less has been reset, and to it nothing ever expires. */
#define CLOCK_FLOOR_S INT64CONST(1767225600)

#if defined(__x86_64__)
#define PLATFORM_ARCH "amd64"
#elif defined(__aarch64__)
#define PLATFORM_ARCH "arm64"
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define PLATFORM_ARCH "ppc64el"
#elif defined(__s390x__)
#define PLATFORM_ARCH "s390x"
#elif defined(__riscv) && __riscv_xlen == 64
#define PLATFORM_ARCH "riscv64"
#else
#error "pg_depot has no name for this architecture"
#endif

const char *
depot_platform_os(void)
{
	return "linux";
}

const char *
depot_platform_arch(void)
{
	return PLATFORM_ARCH;
}

const char *
depot_platform_libc_version(void)
{
	return gnu_get_libc_version();
}

const char *
depot_platform_name(void)
{
	return "linux-" PLATFORM_ARCH;
}

const char *
depot_platform_role(void)
{
	return "pg" CppAsString2(PG_MAJORVERSION_NUM) "-linux-" PLATFORM_ARCH;
}

/* Of the running server, not of the headers the library was built with. */
int
depot_platform_minor(void)
{
	const char *number = GetConfigOption("server_version_num", false, false);

	return atoi(number) % 100;
}

void
depot_platform_append(StringInfo out)
{
	appendStringInfo(out, "{\"major\":%d,\"minor\":%d,\"os\":\"%s\",\"arch\":\"%s\",\"libc\":\"glibc\","
					 "\"libc_version\":\"%s\"}",
					 PG_MAJORVERSION_NUM, depot_platform_minor(), depot_platform_os(), depot_platform_arch(),
					 depot_platform_libc_version());
}

const char *
depot_platform_agent_program(const char *name)
{
	static char program[MAXPGPATH];
	char		bin[MAXPGPATH];

	strlcpy(bin, my_exec_path, sizeof(bin));
	get_parent_directory(bin);

	snprintf(program, sizeof(program), "%s/%s", pkglib_path, name);
	if (access(program, X_OK) == 0)
		return program;
	snprintf(program, sizeof(program), "%s/%s", bin, name);
	if (access(program, X_OK) == 0)
		return program;
	return NULL;
}

/*
 * Reads only what is asked for, by the plainest rule: a line that begins with
 * default_version.  The installation's own control files are written that way.
 */
bool
depot_platform_system_extension(const char *extension, char version[DEPOT_NAME_MAX_BYTES + 1])
{
	char		path[MAXPGPATH];
	char		line[1024];
	FILE	   *file;

	version[0] = '\0';
	if (!depot_name_is_extension(extension))
		return false;
	snprintf(path, sizeof(path), "%s/extension/%s.control", depot_paths_system_share(), extension);
	file = AllocateFile(path, "r");
	if (file == NULL)
		return false;

	while (fgets(line, sizeof(line), file) != NULL)
	{
		const char *name = "default_version";
		char	   *value;
		size_t		length;

		if (strncmp(line, name, strlen(name)) != 0)
			continue;
		value = line + strlen(name);
		value += strspn(value, " \t='");
		length = strcspn(value, "'\r\n \t#");
		if (length <= DEPOT_NAME_MAX_BYTES)
			strlcpy(version, value, length + 1);
	}
	FreeFile(file);
	return true;
}

int64
depot_platform_reference_time(void)
{
	pg_time_t	now = (pg_time_t) time(NULL);
	char		text[64];

	if (now >= CLOCK_FLOOR_S)
		return (int64) now;
	pg_strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", pg_gmtime(&now));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the clock of this server is wrong"),
			 errdetail("It says %s UTC, when pg_depot was not made yet.", text),
			 errhint("Set the clock: by this one, metadata that expired long ago would pass for valid.")));
	pg_unreachable();
}
