/*-------------------------------------------------------------------------
 *
 * stamp.c
 *	  Which server it is whose depot this is.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "lib/stringinfo.h"
#include "server/paths.h"
#include "server/platform.h"
#include "server/stamp.h"

void
depot_stamp_fill(DepotStamp *stamp)
{
	memset(stamp, 0, sizeof(*stamp));
	snprintf(stamp->system_identifier, sizeof(stamp->system_identifier), UINT64_FORMAT, GetSystemIdentifier());
	stamp->postgresql_major = PG_MAJORVERSION_NUM;
	strlcpy(stamp->platform, depot_platform_name(), sizeof(stamp->platform));
	strlcpy(stamp->path, depot_paths_directory(), sizeof(stamp->path));
}

/* Any path is one in hexadecimal digits too, and JSON can hold those. */
char *
depot_stamp_of_seal(void)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT " %d.%d %s glibc-%s ", GetSystemIdentifier(), PG_MAJORVERSION_NUM,
					 depot_platform_minor(), depot_platform_name(), depot_platform_libc_version());
	for (const char *byte = depot_paths_directory(); *byte != '\0'; byte++)
		appendStringInfo(&text, "%02x", (unsigned char) *byte);
	return text.data;
}
