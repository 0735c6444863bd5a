/*-------------------------------------------------------------------------
 *
 * repo.c
 *	  "pg_depot repo": the commands that make and maintain a repository.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/cli.h"
#include "cli/repo_common.h"

static const DepotCommand commands[] = {
	{"init", depot_cmd_repo_init, "make an empty repository"},
	{"add", depot_cmd_repo_add, "check packages and put them in, unpublished"},
	{"publish", depot_cmd_repo_publish, "sign what was added, and renew what expires"},
	{"yank", depot_cmd_repo_yank, "withdraw builds"},
	{"sign", depot_cmd_repo_sign, "add signatures to what waits for them"},
	{"delegate", depot_cmd_repo_delegate, "give paths and names to a publisher's keys"},
	{"rotate", depot_cmd_repo_rotate, "change the keys or the threshold of a role"},
	{"refresh", depot_cmd_repo_refresh, "renew timestamp and snapshot, from a job"},
	{"status", depot_cmd_repo_status, "show versions, expiry and what is due"},
	{"verify", depot_cmd_repo_verify, "walk the whole repository as a client would"},
	{NULL, NULL, NULL}
};

int
depot_cmd_repo(int argc, char **argv)
{
	return depot_cli_dispatch(commands, DEPOT_PROGRAM_NAME " repo", argc, argv);
}
