/*-------------------------------------------------------------------------
 *
 * repo_refresh.c
 *	  "pg_depot repo refresh": renews timestamp and snapshot with their keys
 *	  only, for a job that runs by the clock.
 *
 * It changes nothing else: no package is published, nothing that waits for
 * signatures is touched.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/repo_common.h"

#define COMMAND "repo refresh"

static bool is_due(const DepotRepo *repo, const DepotRepoRole *role);
static bool refresh(DepotRepo *repo, const DepotRepoKeys *keys, bool force, DepotError *error);
static int	print_result(const DepotRepo *repo);

static void
print_help(void)
{
	puts("Usage: pg_depot repo refresh DIR --key FILE... [--force] [--passphrase-file FILE]\n"
		 "\n"
		 "Renews timestamp and snapshot when half of their lifetime is over, with their keys\n"
		 "only; does nothing else.  For cron: prints one line.  Exit code 0 when they are\n"
		 "renewed or not due, 1 when it failed, 3 when another role needs attention, which\n"
		 "\"pg_depot repo status\" explains.\n"
		 "\n"
		 "  --key FILE              a secret key of snapshot or timestamp\n"
		 "  --force                 renew both though they are not due\n"
		 "  --passphrase-file FILE  its first line opens sealed keys");
}

int
depot_cmd_repo_refresh(int argc, char **argv)
{
	static const struct option options[] = {
		{"key", required_argument, NULL, 'k'},
		{"force", no_argument, NULL, 'F'},
		{"passphrase-file", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	static DepotRepoKeyOptions key_options;
	static DepotRepoKeys keys;
	DepotRepo	repo;
	DepotError	error = {0};
	bool		force = false;
	bool		ok;
	int			option;
	int			result;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
	{
		if (option == 'h')
		{
			print_help();
			return DEPOT_EXIT_OK;
		}
		if (option == 'f')
			key_options.passphrase_file = optarg;
		else if (option == 'F')
			force = true;
		else if (option != 'k')
			return depot_cli_option_error(COMMAND, option, argv);
		else if (!depot_repo_key_option(&key_options, optarg))
			return depot_cli_usage_error(COMMAND, "more than %d keys", DEPOT_REPO_MAX_KEYS);
	}
	if (optind != argc - 1)
		return depot_cli_usage_error(COMMAND, "exactly one directory is needed (repeat --key for each key)");
	if (key_options.count == 0)
		return depot_cli_usage_error(COMMAND, "option \"--key\" is missing");

	ok = depot_repo_keys_load_all(&keys, &key_options, &error) &&
		depot_repo_open(&repo, argv[optind], true, &error);
	if (ok)
	{
		ok = refresh(&repo, &keys, force, &error);
		result = ok ? print_result(&repo) : DEPOT_EXIT_FAILED;
		depot_repo_close(&repo);
	}
	depot_repo_keys_free(&keys);
	return ok ? result : depot_cli_report_error(&error);
}

bool
depot_repo_refresh_after(DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error)
{
	DepotRepoRole *timestamp = &repo->roles[DEPOT_REPO_TIMESTAMP];
	DepotRepoRole *snapshot = &repo->roles[DEPOT_REPO_SNAPSHOT];
	bool		ignored;

	for (int i = 0; i < repo->role_count; i++)
	{
		json_decref(repo->roles[i].next);
		json_decref(repo->roles[i].signatures);
		repo->roles[i].next = NULL;
		repo->roles[i].signatures = NULL;
	}
	repo->waiting = false;
	if (!depot_repo_bind_roles(repo, error))
		return false;
	/* A role that must be signed anew by others comes first; it is what waits. */
	for (int i = 0; i < repo->role_count; i++)
	{
		if (repo->roles[i].stale && !repo->roles[i].disowned)
			return true;
	}
	if (!depot_repo_have_keys(timestamp, keys))
		return true;
	if ((is_due(repo, snapshot) && depot_repo_have_keys(snapshot, keys) &&
		 !depot_repo_begin_next(repo, snapshot, error)) ||
		!depot_repo_begin_next(repo, timestamp, error) ||
		!depot_repo_release(repo, keys, &ignored, error))
		return false;
	printf("renewed what is published:\n");
	depot_repo_print_published(repo);
	return true;
}

static bool
is_due(const DepotRepo *repo, const DepotRepoRole *role)
{
	return role->stale ||
		(role->expires_epoch_s - repo->now_s) * 100 < role->lifetime_s * DEPOT_REPO_RENEW_PERCENT;
}

static bool
refresh(DepotRepo *repo, const DepotRepoKeys *keys, bool force, DepotError *error)
{
	DepotRepoRole *timestamp = &repo->roles[DEPOT_REPO_TIMESTAMP];
	DepotRepoRole *snapshot = &repo->roles[DEPOT_REPO_SNAPSHOT];
	const bool	snapshot_due = force || is_due(repo, snapshot);
	bool		published;

	for (int i = DEPOT_REPO_TARGETS; i < repo->role_count; i++)
	{
		if (repo->roles[i].stale && !repo->roles[i].disowned)
		{
			depot_error_set(error, DEPOT_ERROR_WRONG_STATE, "%s has not been signed by its new keys yet",
							repo->roles[i].name);
			return depot_error_hint(error, "End what was begun with \"pg_depot repo publish\".");
		}
	}
	if (!snapshot_due && !is_due(repo, timestamp))
		return true;
	return (!snapshot_due || depot_repo_begin_next(repo, snapshot, error)) &&
		depot_repo_begin_next(repo, timestamp, error) &&
		depot_repo_release(repo, keys, &published, error);
}

static int
print_result(const DepotRepo *repo)
{
	const char *separator = "";
	bool		attention = false;

	for (int i = DEPOT_REPO_TIMESTAMP; i <= DEPOT_REPO_SNAPSHOT; i++)
	{
		const DepotRepoRole *role = &repo->roles[i];
		const json_t *body = role->next != NULL ? role->next : role->body;

		printf("%s%s %s: version %" JSON_INTEGER_FORMAT ", expires %s", separator, role->name,
			   role->next != NULL ? "renewed" : "not due", json_integer_value(json_object_get(body, "version")),
			   json_string_value(json_object_get(body, "expires")));
		separator = "; ";
	}
	for (int i = 0; i < repo->role_count; i++)
	{
		if (repo->roles[i].next == NULL && depot_repo_needs_attention(repo, &repo->roles[i]))
		{
			printf("%s%s", attention ? ", " : "; attention: ", repo->roles[i].name);
			attention = true;
		}
	}
	putchar('\n');
	return attention ? DEPOT_EXIT_ATTENTION : DEPOT_EXIT_OK;
}
