/*-------------------------------------------------------------------------
 *
 * fetch_main.c
 *	  pg_depot_fetch: the fetch agent, in a program of its own.
 *
 * It links what talks to a network and nothing that reads packages; pg_depot, with the
 * check agent, the other way round.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/agent.h"
#include "cli/cli.h"

int
main(int argc, char **argv)
{
	opterr = 0;
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
	{
		puts(DEPOT_PROGRAM_NAME "_fetch " DEPOT_PROGRAM_VERSION);
		return fflush(stdout) == 0 ? DEPOT_EXIT_OK : DEPOT_EXIT_FAILED;
	}
	if (argc > 1 && strcmp(argv[1], "agent") == 0)
		return depot_agent_main(&depot_agent_fetch, argc - 1, argv + 1);
	return depot_cli_usage_error("", "this program is started by the server only");
}
