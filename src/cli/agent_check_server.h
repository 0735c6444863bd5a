/*-------------------------------------------------------------------------
 *
 * agent_check_server.h
 *	  The check agent: can this server use a package?
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_CHECK_SERVER_H
#define DEPOT_AGENT_CHECK_SERVER_H

#include <stdint.h>

#include "common/json.h"
#include "common/manifest.h"

/* What the server says of itself; strings are borrowed from the command. */
typedef struct DepotAgentServer
{
	int64_t		major;
	int64_t		minor;
	const char *os;
	const char *arch;
	const char *libc;
	const char *libc_version;
} DepotAgentServer;

/* Reads a command's member "server". */
extern bool depot_agent_parse_server(const json_t *command, DepotAgentServer *server, DepotError *error);

/* Decides whether the server can use the package; UNSUPPORTED with the reason when it cannot. */
extern bool depot_agent_fits_server(const DepotManifest *manifest, const DepotAgentServer *server,
									DepotError *error);

#endif							/* DEPOT_AGENT_CHECK_SERVER_H */
