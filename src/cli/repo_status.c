/*-------------------------------------------------------------------------
 *
 * repo_status.c
 *	  "pg_depot repo status": versions, expiry and keys of each role; says by
 *	  its exit code when something is due.
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
#include "common/files.h"
#include "common/tuf.h"

#define COMMAND "repo status"
#define SECONDS_PER_DAY INT64_C(86400)

static void print_text(const DepotRepo *repo);
static int64_t days_left(const DepotRepo *repo, const DepotRepoRole *role);
static json_t *describe_role(const DepotRepo *repo, const DepotRepoRole *role);
static int	print_json(const DepotRepo *repo);
static void format_left(int64_t seconds, char *out, size_t out_bytes);

static void
print_help(void)
{
	puts("Usage: pg_depot repo status DIR [--json]\n"
		 "\n"
		 "Verifies the published metadata and shows each role's version, expiry and keys, and\n"
		 "what is added but not published, or waits for signatures.  Exit code 3, with one line\n"
		 "for each role, when one has expired or has less than 20 % of its lifetime left, or\n"
		 "less than 14 days where its lifetime is 28 days or more.");
}

int
depot_cmd_repo_status(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	DepotRepo	repo;
	DepotError	error = {0};
	bool		json = false;
	int			option;
	int			result = DEPOT_EXIT_OK;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
	{
		if (option == 'h')
		{
			print_help();
			return DEPOT_EXIT_OK;
		}
		if (option != 'j')
			return depot_cli_option_error(COMMAND, option, argv);
		json = true;
	}
	if (optind != argc - 1)
		return depot_cli_usage_error(COMMAND, "exactly one directory is needed");
	if (!depot_repo_open(&repo, argv[optind], false, &error))
		return depot_cli_report_error(&error);
	if (json)
		result = print_json(&repo);
	else
		print_text(&repo);
	for (int i = 0; i < repo.role_count && result == DEPOT_EXIT_OK; i++)
	{
		if (repo.roles[i].stale || depot_repo_needs_attention(&repo, &repo.roles[i]))
			result = DEPOT_EXIT_ATTENTION;
	}
	depot_repo_close(&repo);
	return result;
}

bool
depot_repo_needs_attention(const DepotRepo *repo, const DepotRepoRole *role)
{
	const int64_t left_s = role->expires_epoch_s - repo->now_s;

	/* A publisher who has published nothing yet. */
	if (role->envelope == NULL)
		return false;

	/* Two weeks are for people to find their keys; what lives hardly longer is renewed by a job. */
	return left_s * 100 < role->lifetime_s * DEPOT_REPO_ATTENTION_PERCENT ||
		(left_s < SECONDS_PER_DAY * DEPOT_REPO_ATTENTION_DAYS &&
		 role->lifetime_s >= SECONDS_PER_DAY * DEPOT_REPO_ATTENTION_DAYS * 2);
}

static void
print_text(const DepotRepo *repo)
{
	char		expires[21];
	char		left[32];

	printf("%-24s %8s  %-20s  %-10s  %4s  %9s\n", "role", "version", "expires", "left", "keys", "threshold");
	for (int i = 0; i < repo->role_count; i++)
	{
		const DepotRepoRole *role = &repo->roles[i];

		snprintf(expires, sizeof(expires), "-");
		snprintf(left, sizeof(left), "-");
		if (role->envelope != NULL)
		{
			depot_tuf_time_format(role->expires_epoch_s, expires);
			format_left(role->expires_epoch_s - repo->now_s, left, sizeof(left));
		}
		printf("%-24s %8" PRId64 "  %-20s  %-10s  %4zu  %9" JSON_INTEGER_FORMAT "\n", role->name,
			   role->version, expires,
			   left, json_array_size(json_object_get(role->entry, "keyids")),
			   json_integer_value(json_object_get(role->entry, "threshold")));
	}
	if (json_array_size(repo->pending) > 0)
		printf("added or withdrawn, not published: %zu\n", json_array_size(repo->pending));
	if (depot_files_exists(repo->fd, repo->request_file))
		printf("waits for signatures: %s/%s (\"pg_depot repo sign\" shows what)\n", repo->path, repo->request_file);
	for (int i = 0; i < repo->role_count; i++)
	{
		const DepotRepoRole *role = &repo->roles[i];
		const int64_t left_s = role->expires_epoch_s - repo->now_s;

		if (role->stale)
			printf("attention: role \"%s\" is not signed by its new keys yet\n", role->name);
		if (!depot_repo_needs_attention(repo, role))
			continue;
		depot_tuf_time_format(role->expires_epoch_s, expires);
		format_left(left_s < 0 ? -left_s : left_s, left, sizeof(left));
		if (left_s <= 0)
			printf("attention: role \"%s\" expired on %.10s %.8s UTC (%s ago)\n", role->name, expires,
				   expires + 11, left);
		else
			printf("attention: role \"%s\" expires in %s\n", role->name, left);
	}
}

/* Whole days, negative once it has expired. */
static int64_t
days_left(const DepotRepo *repo, const DepotRepoRole *role)
{
	const int64_t left_s = role->expires_epoch_s - repo->now_s;

	return left_s >= 0 ? left_s / SECONDS_PER_DAY : -((SECONDS_PER_DAY - 1 - left_s) / SECONDS_PER_DAY);
}

/* The times are null for the role of a publisher who has published nothing yet. */
static json_t *
describe_role(const DepotRepo *repo, const DepotRepoRole *role)
{
	const bool	is_published = role->envelope != NULL;
	char		expires[21];

	depot_tuf_time_format(role->expires_epoch_s, expires);
	return json_pack("{s:s, s:I, s:s?, s:o, s:o, s:O, s:O, s:b}", "name", role->name, "version",
					 (json_int_t) role->version, "expires", is_published ? expires : NULL, "seconds_left",
					 is_published ? json_integer(role->expires_epoch_s - repo->now_s) : json_null(), "days_left",
					 is_published ? json_integer(days_left(repo, role)) : json_null(), "keyids",
					 json_object_get(role->entry, "keyids"), "threshold",
					 json_object_get(role->entry, "threshold"), "attention",
					 (int) (role->stale || depot_repo_needs_attention(repo, role)));
}

static int
print_json(const DepotRepo *repo)
{
	json_t	   *roles = json_array();
	json_t	   *pending = json_array();
	json_t	   *document = json_pack("{s:o, s:o, s:b}", "roles", roles, "pending", pending,
									 "waits_for_signatures",
									 (int) depot_files_exists(repo->fd, repo->request_file));
	const json_t *entry;
	size_t		index;
	int			result;

	for (int i = 0; i < repo->role_count; i++)
		json_array_append_new(roles, describe_role(repo, &repo->roles[i]));
	json_array_foreach(repo->pending, index, entry)
	{
		json_array_append(pending, json_object_get(entry, "path"));
	}
	result = depot_cli_print_json(document);
	json_decref(document);
	return result;
}

static void
format_left(int64_t seconds, char *out, size_t out_bytes)
{
	if (seconds <= 0)
		snprintf(out, out_bytes, seconds == 0 ? "0 seconds" : "expired");
	else if (seconds >= INT64_C(2) * 86400)
		snprintf(out, out_bytes, "%" PRId64 " days", seconds / 86400);
	else if (seconds >= INT64_C(2) * 3600)
		snprintf(out, out_bytes, "%" PRId64 " hours", seconds / 3600);
	else if (seconds >= 120)
		snprintf(out, out_bytes, "%" PRId64 " minutes", seconds / 60);
	else
		snprintf(out, out_bytes, "%" PRId64 " seconds", seconds);
}
