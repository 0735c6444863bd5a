/*-------------------------------------------------------------------------
 *
 * agent_check_server.c
 *	  The check agent: can this server use a package?
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/agent_check_server.h"

#include <inttypes.h>
#include <string.h>

#include "common/version.h"

bool
depot_agent_parse_server(const json_t *command, DepotAgentServer *server, DepotError *error)
{
	const DepotErrorCode code = DEPOT_ERROR_AGENT;
	json_t	   *object;

	return depot_json_get_object(command, "server", true, &object, code, error) &&
		depot_json_get_integer(object, "major", true, 1, &server->major, code, error) &&
		depot_json_get_integer(object, "minor", true, 0, &server->minor, code, error) &&
		depot_json_get_string(object, "os", true, &server->os, code, error) &&
		depot_json_get_string(object, "arch", true, &server->arch, code, error) &&
		depot_json_get_string(object, "libc", true, &server->libc, code, error) &&
		depot_json_get_string(object, "libc_version", true, &server->libc_version, code, error);
}

static bool
refuse_server(const DepotManifest *manifest, DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "package %s %s is not built for this server",
						   manifest->package, manifest->version);
}

bool
depot_agent_fits_server(const DepotManifest *manifest, const DepotAgentServer *server, DepotError *error)
{
	if (manifest->postgresql_major != server->major || strcmp(manifest->postgresql_flavor, "postgresql") != 0)
	{
		refuse_server(manifest, error);
		return depot_error_detail(error, "It is for %s %d, this server is postgresql %" PRId64 ".",
								  manifest->postgresql_flavor, manifest->postgresql_major, server->major);
	}
	if (manifest->postgresql_minimum_minor > server->minor)
	{
		refuse_server(manifest, error);
		depot_error_detail(error,
						   "It needs PostgreSQL %d.%d or later, this server is %" PRId64 ".%" PRId64 ".",
						   manifest->postgresql_major, manifest->postgresql_minimum_minor,
						   server->major, server->minor);
		return depot_error_hint(error, "Update the server to the latest minor version.");
	}
	if (strcmp(manifest->platform_os, server->os) != 0 ||
		strcmp(manifest->platform_arch, server->arch) != 0 ||
		strcmp(manifest->platform_libc, server->libc) != 0)
	{
		refuse_server(manifest, error);
		return depot_error_detail(error, "It is for %s-%s with %s, this server runs on %s-%s with %s.",
								  manifest->platform_os, manifest->platform_arch, manifest->platform_libc,
								  server->os, server->arch, server->libc);
	}
	if (manifest->platform_libc_min[0] != '\0' &&
		depot_version_compare(manifest->platform_libc_min, server->libc_version) > 0)
	{
		refuse_server(manifest, error);
		return depot_error_detail(error, "It needs %s %s or later, this server has %s.",
								  manifest->platform_libc, manifest->platform_libc_min,
								  server->libc_version);
	}
	return true;
}
