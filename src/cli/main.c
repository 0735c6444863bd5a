/*-------------------------------------------------------------------------
 *
 * main.c
 *	  The program pg_depot: its table of commands.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/agent.h"
#include "cli/bundle.h"
#include "cli/cli.h"
#include "common/digest.h"

static int	run_check_agent(int argc, char **argv);

static const DepotCommand commands[] = {
	{"keygen", depot_cmd_keygen, "make a signing key"},
	{"pack", depot_cmd_pack, "make a package from an installed tree, Debian packages or an image"},
	{"inspect", depot_cmd_inspect, "show what a package holds"},
	{"verify", depot_cmd_verify, "check a package against the rules of the format"},
	{"repo", depot_cmd_repo, "make and maintain a repository"},
	{"bundle", depot_cmd_bundle, "put packages and their proof into one file"},
	{"tuf", depot_cmd_tuf, "follow any repository of The Update Framework"},
	{"ready", depot_cmd_ready, "tell whether a server has the files of its packages"},
	{"agent", run_check_agent, NULL},
	{NULL, NULL, NULL}
};

static int	finish(int exit_code);

int
main(int argc, char **argv)
{
	DepotError	error = {0};

	opterr = 0;
	/* Agents are started with almost nothing open and set themselves up. */
	if (argc > 1 && strcmp(argv[1], "agent") == 0)
		return run_check_agent(argc - 1, argv + 1);

	if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0))
	{
		puts(DEPOT_PROGRAM_NAME " " DEPOT_PROGRAM_VERSION);
		return finish(DEPOT_EXIT_OK);
	}
	if (!depot_digest_init(&error))
		return depot_cli_report_error(&error);
	return finish(depot_cli_dispatch(commands, DEPOT_PROGRAM_NAME, argc, argv));
}

static int
run_check_agent(int argc, char **argv)
{
	return depot_agent_main(&depot_agent_check, argc, argv);
}

/* Makes sure that what was printed has been written: a full disk must not look like success. */
static int
finish(int exit_code)
{
	bool		failed = ferror(stdout) != 0;

	if (fflush(stdout) != 0)
		failed = true;
	if (failed)
	{
		fprintf(stderr, "%s: error: could not write to standard output: %s\n", DEPOT_PROGRAM_NAME,
				strerror(errno));
		if (exit_code == DEPOT_EXIT_OK || exit_code == DEPOT_EXIT_ATTENTION)
			exit_code = DEPOT_EXIT_FAILED;
	}
	return exit_code;
}
