/*-------------------------------------------------------------------------
 *
 * repo_sign.c
 *	  "pg_depot repo sign": shows what waits for signatures, adds some, or
 *	  merges those that were added elsewhere.
 *
 * What is signed is what was shown: should the file change in between, nothing
 * is signed.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/repo_common.h"
#include "common/files.h"

#define COMMAND "repo sign"
#define MAX_MERGED 64

typedef struct Sign
{
	const char *path;
	DepotRepoKeyOptions key_options;
	const char *merged[MAX_MERGED];
	int			merged_count;
	bool		discard;
} Sign;

static int	parse_options(int argc, char **argv, Sign *sign);
static bool run(const Sign *sign, DepotError *error);
static bool open_place(DepotRepo *repo, const char *path, bool exclusive, DepotError *error);
static bool discard(const DepotRepo *repo, DepotError *error);
static bool check_same(const DepotRepo *shown, const DepotRepo *repo, DepotError *error);
static bool add_signatures(DepotRepo *repo, const DepotRepoKeys *keys, const Sign *sign, DepotError *error);
static void print_state(const DepotRepo *repo);

static void
print_help(void)
{
	puts("Usage: pg_depot repo sign DIR|FILE [--key FILE]... [--passphrase-file FILE]\n"
		 "       pg_depot repo sign DIR --merge FILE...\n"
		 "       pg_depot repo sign DIR --discard\n"
		 "\n"
		 "Shows what waits for signatures: versions, expiry, and what they change of what is\n"
		 "published.  Works on a repository, on a copy of it, and on a copy of its signing.json\n"
		 "alone.  Without --key nothing is changed.\n"
		 "\n"
		 "  --key FILE              a secret key to sign with, after showing\n"
		 "  --merge FILE            add the signatures in this copy of signing.json (or of the\n"
		 "                          repository); repeat it for each copy\n"
		 "  --discard               give up what waits; nothing published changes\n"
		 "  --passphrase-file FILE  its first line opens sealed keys");
}

int
depot_cmd_repo_sign(int argc, char **argv)
{
	static Sign sign;
	DepotError	error = {0};
	int			result;

	sign = (Sign)
	{
		.path = NULL
	};
	result = parse_options(argc, argv, &sign);
	if (sign.path == NULL)
		return result;
	return run(&sign, &error) ? DEPOT_EXIT_OK : depot_cli_report_error(&error);
}

/* Sets the path when there is something to do; else what is returned is the exit code. */
static int
parse_options(int argc, char **argv, Sign *sign)
{
	static const struct option options[] = {
		{"key", required_argument, NULL, 'k'},
		{"merge", required_argument, NULL, 'm'},
		{"discard", no_argument, NULL, 'd'},
		{"passphrase-file", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	int			option;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
	{
		if (option == 'h')
		{
			print_help();
			return DEPOT_EXIT_OK;
		}
		if (option == 'f')
			sign->key_options.passphrase_file = optarg;
		else if (option == 'd')
			sign->discard = true;
		else if (option == 'm' && sign->merged_count < MAX_MERGED)
			sign->merged[sign->merged_count++] = optarg;
		else if (option != 'k')
			return depot_cli_option_error(COMMAND, option, argv);
		else if (!depot_repo_key_option(&sign->key_options, optarg))
			return depot_cli_usage_error(COMMAND, "more than %d keys", DEPOT_REPO_MAX_KEYS);
	}
	if (optind != argc - 1)
		return depot_cli_usage_error(COMMAND, "exactly one directory or file is needed");
	if ((sign->discard ? 1 : 0) + (sign->merged_count > 0 ? 1 : 0) + (sign->key_options.count > 0 ? 1 : 0) > 1)
		return depot_cli_usage_error(COMMAND, "--key, --merge and --discard are used one at a time");
	sign->path = argv[optind];
	return DEPOT_EXIT_OK;
}

static bool
run(const Sign *sign, DepotError *error)
{
	static DepotRepoKeys keys;
	DepotRepo	shown;
	DepotRepo	repo;
	bool		ok = true;

	if (sign->discard)
	{
		/* What cannot be read can still be given up. */
		if (!depot_repo_open(&repo, sign->path, true, error))
			return false;
		ok = discard(&repo, error);
		depot_repo_close(&repo);
		return ok;
	}
	if (!open_place(&shown, sign->path, false, error))
		return false;
	depot_repo_describe(&shown);
	if (!shown.waiting)
		printf("nothing waits for signatures\n");
	else if (sign->key_options.count > 0 || sign->merged_count > 0)
	{
		/* A passphrase is asked for after the signer has seen what it is for, and before the lock. */
		ok = depot_repo_keys_load_all(&keys, &sign->key_options, error) &&
			open_place(&repo, sign->path, true, error);
		if (ok)
		{
			ok = check_same(&shown, &repo, error) && add_signatures(&repo, &keys, sign, error);
			depot_repo_close(&repo);
		}
		depot_repo_keys_free(&keys);
	}
	else
		print_state(&shown);
	if (ok && !shown.waiting && (sign->key_options.count > 0 || sign->merged_count > 0))
		ok = depot_error_set(error, DEPOT_ERROR_WRONG_STATE, "\"%s\" has nothing to sign", sign->path);
	depot_repo_close(&shown);
	return ok;
}

/* Opens a repository, or a signing.json without one. */
static bool
open_place(DepotRepo *repo, const char *path, bool exclusive, DepotError *error)
{
	char		config[PATH_MAX];
	struct stat status;

	snprintf(config, sizeof(config), "%s/%s", path, DEPOT_REPO_CONFIG);
	if (stat(config, &status) != 0 && stat(path, &status) == 0)
		return depot_repo_request_open(repo, path, exclusive, error);
	if (!depot_repo_open(repo, path, exclusive, error))
		return false;
	if (depot_repo_request_load(repo, error))
		return true;
	depot_repo_close(repo);
	return false;
}

static bool
discard(const DepotRepo *repo, DepotError *error)
{
	const bool	there = depot_files_exists(repo->fd, repo->request_file);

	if (!depot_repo_request_remove(repo, error))
		return false;
	printf(there ? "given up: %s/%s\n" : "nothing waits for signatures: there is no %s/%s\n", repo->path,
		   repo->request_file);
	return true;
}

static bool
check_same(const DepotRepo *shown, const DepotRepo *repo, DepotError *error)
{
	bool		same = shown->role_count == repo->role_count;

	for (int i = 0; i < repo->role_count && same; i++)
	{
		const DepotRepoRole *before = &shown->roles[i];
		const DepotRepoRole *now = &repo->roles[i];

		same = strcmp(before->name, now->name) == 0 && json_equal(before->entry, now->entry) &&
			(before->next == NULL ? now->next == NULL : json_equal(before->next, now->next));
	}
	return same || depot_error_set(error, DEPOT_ERROR_WRONG_STATE,
								   "what waits for signatures has changed since it was shown; nothing was signed");
}

static bool
add_signatures(DepotRepo *repo, const DepotRepoKeys *keys, const Sign *sign, DepotError *error)
{
	int			added = 0;

	for (int i = 0; i < sign->merged_count; i++)
	{
		if (!depot_repo_request_merge(repo, sign->merged[i], &added, error))
			return false;
	}
	for (int i = 0; i < repo->role_count; i++)
	{
		const int	before = added;

		if (repo->roles[i].next == NULL)
			continue;
		if (!depot_repo_sign(&repo->roles[i], keys, &added, error))
			return false;
		if (added > before)
			printf("signed %s\n", repo->roles[i].name);
	}
	if (added == 0 && keys->count > 0)
	{
		depot_error_set(error, DEPOT_ERROR_KEY, "none of the given keys can add a signature");
		return depot_error_hint(error, "What waits shows the keys that count, and which of them have signed.");
	}
	if (sign->merged_count > 0)
		printf("merged %d new signature%s\n", added, added == 1 ? "" : "s");
	if (added > 0 && !depot_repo_request_write(repo, error))
		return false;
	print_state(repo);
	return true;
}

static void
print_state(const DepotRepo *repo)
{
	DepotError	ignored;
	bool		complete = true;

	for (int i = 0; i < repo->role_count; i++)
	{
		if (repo->roles[i].next != NULL && !depot_repo_is_signed(&repo->roles[i], &ignored))
			complete = false;
	}
	printf(complete ? "all signatures are there: \"pg_depot repo publish\" publishes\n"
		   : "more signatures are needed\n");
}
