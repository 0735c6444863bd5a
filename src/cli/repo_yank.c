/*-------------------------------------------------------------------------
 *
 * repo_yank.c
 *	  "pg_depot repo yank": withdraws published builds, or takes that back.
 *
 * A mark in the description of a target is signed by the role that lists it.
 * The list withdrawn.json is signed by the targets role and counts whoever
 * signed the build, for a publisher who does not react.  Both stay pending
 * until the next publish; the build itself stays where it is.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/repo_common.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/json.h"
#include "common/name.h"
#include "common/tuf.h"
#include "common/withdrawn.h"

#define COMMAND "repo yank"

typedef struct Yank
{
	DepotWithdrawal withdrawal;
	const char *platform;		/* "pg15-linux-amd64"; NULL: all */
	bool		is_undone;
	bool		is_for_all_roles;
	char	  **arguments;		/* after the directory: TARGET; or PACKAGE VERSION; or digests */
	int			argument_count;
} Yank;

/* What is looked for among targets, and what was found. */
typedef struct Search
{
	const Yank *yank;
	int			found_count;
	int			changed_count;
} Search;

static int	parse_options(int argc, char **argv, Yank *yank);
static int	check_options(const Yank *yank);
static bool mark_targets(DepotRepo *repo, const Yank *yank, DepotError *error);
static bool is_meant(const Yank *yank, const char *path);
static bool mark_one(DepotRepo *repo, Search *search, const char *role, const char *path, const char *sha256,
					 const json_t *length, json_t *custom, DepotError *error);
static bool add_mark(const Yank *yank, const char *path, json_t *custom, json_t **changed, DepotError *error);
static json_t *find_pending(const DepotRepo *repo, const char *path);
static bool write_pending(DepotRepo *repo, DepotError *error);
static bool change_list(DepotRepo *repo, const Yank *yank, DepotError *error);
static bool read_list(const DepotRepo *repo, json_t **entries, DepotError *error);
static bool change_entries(const Yank *yank, json_t *entries, int *changed_count, DepotError *error);
static bool put_list(DepotRepo *repo, json_t *entries, DepotError *error);
static bool out_of_memory(DepotError *error);

static void
print_help(void)
{
	puts("Usage: pg_depot repo yank DIR TARGET --reason TEXT [--advisory ID]\n"
		 "       pg_depot repo yank DIR PACKAGE VERSION [--platform P] --reason TEXT [--advisory ID]\n"
		 "       pg_depot repo yank DIR --all-roles SHA256... --reason TEXT [--advisory ID]\n"
		 "       pg_depot repo yank DIR ... --undo\n"
		 "\n"
		 "Withdraws builds: after the next \"pg_depot repo publish\", servers neither install nor\n"
		 "offer them, and name installed ones.  The files stay, and so does what is installed.\n"
		 "\n"
		 "  --reason TEXT     why, for the people who have it installed\n"
		 "  --advisory ID     a security advisory: CVE-2026-1234\n"
		 "  --platform P      of a package's builds, those for P only: pg15-linux-amd64\n"
		 "  --all-roles       by digest, whichever role lists the build; needs the targets keys\n"
		 "  --undo            offer them again");
}

int
depot_cmd_repo_yank(int argc, char **argv)
{
	Yank		yank = {.platform = NULL};
	DepotRepo	repo;
	DepotError	error = {0};
	int			result = parse_options(argc, argv, &yank);
	bool		ok;

	if (result != -1)
		return result;
	if (!yank.is_undone && !depot_withdrawn_check(&yank.withdrawal, &error))
		return depot_cli_report_error(&error);
	if (!depot_repo_open(&repo, argv[optind], true, &error))
		return depot_cli_report_error(&error);
	ok = yank.is_for_all_roles ? change_list(&repo, &yank, &error) : mark_targets(&repo, &yank, &error);
	depot_repo_close(&repo);
	return ok ? DEPOT_EXIT_OK : depot_cli_report_error(&error);
}

static int
parse_options(int argc, char **argv, Yank *yank)
{
	static const struct option options[] = {
		{"reason", required_argument, NULL, 'r'},
		{"advisory", required_argument, NULL, 'a'},
		{"platform", required_argument, NULL, 'p'},
		{"all-roles", no_argument, NULL, 'A'},
		{"undo", no_argument, NULL, 'u'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	int			option;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
	{
		switch (option)
		{
			case 'h':
				print_help();
				return DEPOT_EXIT_OK;
			case 'r':
				yank->withdrawal.reason = optarg;
				break;
			case 'a':
				yank->withdrawal.advisory = optarg;
				break;
			case 'p':
				yank->platform = optarg;
				break;
			case 'A':
				yank->is_for_all_roles = true;
				break;
			case 'u':
				yank->is_undone = true;
				break;
			default:
				return depot_cli_option_error(COMMAND, option, argv);
		}
	}
	yank->arguments = argv + optind + 1;
	yank->argument_count = argc - optind - 1;
	return check_options(yank);
}

static int
check_options(const Yank *yank)
{
	if (yank->argument_count < 1)
		return depot_cli_usage_error(COMMAND, "a directory and what to withdraw are needed");
	if (yank->is_undone && (yank->withdrawal.reason != NULL || yank->withdrawal.advisory != NULL))
		return depot_cli_usage_error(COMMAND, "\"--undo\" takes neither \"--reason\" nor \"--advisory\"");
	if (!yank->is_undone && yank->withdrawal.reason == NULL)
		return depot_cli_usage_error(COMMAND, "option \"--reason\" is missing");
	if (!yank->is_for_all_roles && yank->argument_count > 2)
		return depot_cli_usage_error(COMMAND, "give one target, or a package and one version");
	if (yank->platform != NULL && (yank->is_for_all_roles || yank->argument_count != 2))
		return depot_cli_usage_error(COMMAND, "\"--platform\" goes with a package and its version");
	for (int i = 0; i < yank->argument_count && yank->is_for_all_roles; i++)
		if (!depot_name_is_sha256(yank->arguments[i]))
			return depot_cli_usage_error(COMMAND, "\"%s\" is not a SHA-256 digest", yank->arguments[i]);
	return -1;
}

/*----- marks ----------------------------------------------------------------------*/

/* Looks among what is published and what is pending; a pending entry stands for the published one of its path. */
static bool
mark_targets(DepotRepo *repo, const Yank *yank, DepotError *error)
{
	Search		search = {.yank = yank};
	const size_t pending_count = json_array_size(repo->pending);

	for (int i = DEPOT_REPO_TARGETS; i < repo->role_count; i++)
	{
		const char *path;
		json_t	   *target;

		json_object_foreach(json_object_get(repo->roles[i].body, "targets"), path, target)
		{
			if (is_meant(yank, path) && find_pending(repo, path) == NULL &&
				!mark_one(repo, &search, repo->roles[i].name, path,
						  json_string_value(json_object_get(json_object_get(target, "hashes"), "sha256")),
						  json_object_get(target, "length"), json_object_get(target, "custom"), error))
				return false;
		}
	}
	for (size_t i = 0; i < pending_count; i++)
	{
		json_t	   *entry = json_array_get(repo->pending, i);
		const char *path = json_string_value(json_object_get(entry, "path"));

		if (is_meant(yank, path) &&
			!mark_one(repo, &search, NULL, path, NULL, NULL, json_object_get(entry, "custom"), error))
			return false;
	}
	if (search.found_count == 0)
	{
		depot_error_set(error, DEPOT_ERROR_TARGET_UNKNOWN, "the repository has no such build");
		return depot_error_hint(error, "Give the target's path, as \"pg_depot repo add\" printed it, or the "
								"package and its version.");
	}
	return search.changed_count == 0 || write_pending(repo, error);
}

/* A package's targets are pg15/linux-amd64/PACKAGE/VERSION/FILE. */
static bool
is_meant(const Yank *yank, const char *path)
{
	char		pattern[DEPOT_REPO_PATH_BYTES];
	const char *platform = yank->platform != NULL ? yank->platform : "*-*";
	const char *dash = strchr(platform, '-');

	if (dash == NULL || yank->arguments == NULL)
		return false;
	if (yank->argument_count == 1)
		return strcmp(path, yank->arguments[0]) == 0;
	snprintf(pattern, sizeof(pattern), "%.*s/%s/%s/%s/*", (int) (dash - platform), platform, dash + 1,
			 yank->arguments[0], yank->arguments[1]);
	return depot_tuf_path_matches(pattern, path);
}

/* Enters a published target as pending with its changed description; role NULL: changes the pending entry. */
static bool
mark_one(DepotRepo *repo, Search *search, const char *role, const char *path, const char *sha256,
		 const json_t *length, json_t *custom, DepotError *error)
{
	json_t	   *changed = NULL;
	json_t	   *entry;

	search->found_count++;
	if (!add_mark(search->yank, path, custom, &changed, error))
		return false;
	if (json_equal(changed, custom))
	{
		printf("%s %s\n", search->yank->is_undone ? "not withdrawn" : "withdrawn already", path);
		json_decref(changed);
		return true;
	}
	search->changed_count++;
	printf("%s %s\n", search->yank->is_undone ? "offered again" : "withdrawn", path);
	if (role == NULL)
		return json_object_set_new(find_pending(repo, path), "custom", changed) == 0 || out_of_memory(error);
	entry = json_pack("{s:s, s:s, s:s, s:O, s:o}", "path", path, "role", role, "sha256", sha256, "length", length,
					  "custom", changed);
	return json_array_append_new(repo->pending, entry) == 0 || out_of_memory(error);
}

/* Makes a copy of a description with or without the mark; a server must be able to read it. */
static bool
add_mark(const Yank *yank, const char *path, json_t *custom, json_t **changed, DepotError *error)
{
	json_t	   *copy = json_deep_copy(custom);
	json_t	   *described = json_object_get(copy, "pg_depot");

	if (!json_is_object(described))
	{
		json_decref(copy);
		depot_error_set(error, DEPOT_ERROR_PACKAGE, "target \"%s\" does not describe a package", path);
		return depot_error_hint(error, "Withdraw it by its digest, with \"--all-roles\".");
	}
	if (yank->is_undone)
		(void) json_object_del(described, "yanked");
	else if (json_object_set_new(described, "yanked", depot_withdrawn_to_json(&yank->withdrawal)) != 0)
	{
		json_decref(copy);
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the reason is not UTF-8");
		return false;
	}
	*changed = copy;
	return true;
}

static json_t *
find_pending(const DepotRepo *repo, const char *path)
{
	json_t	   *entry;
	size_t		index;

	json_array_foreach(repo->pending, index, entry)
	{
		if (strcmp(json_string_value(json_object_get(entry, "path")), path) == 0)
			return entry;
	}
	return NULL;
}

/* Writes what is pending, without what has become again as it is published. */
static bool
write_pending(DepotRepo *repo, DepotError *error)
{
	for (size_t i = json_array_size(repo->pending); i-- > 0;)
	{
		const json_t *entry = json_array_get(repo->pending, i);
		const DepotRepoRole *role = depot_repo_find_role(repo, json_string_value(json_object_get(entry, "role")));
		const json_t *targets = role == NULL ? NULL : json_object_get(role->body, "targets");
		const json_t *target = json_object_get(targets, json_string_value(json_object_get(entry, "path")));
		const json_t *hashes = json_object_get(target, "hashes");

		if (json_equal(json_object_get(hashes, "sha256"), json_object_get(entry, "sha256")) &&
			json_equal(json_object_get(target, "custom"), json_object_get(entry, "custom")))
			(void) json_array_remove(repo->pending, i);
	}
	return depot_repo_write_pending(repo, error);
}

/*----- the list --------------------------------------------------------------------*/

static bool
change_list(DepotRepo *repo, const Yank *yank, DepotError *error)
{
	json_t	   *entries = NULL;
	int			changed_count = 0;
	bool		ok = read_list(repo, &entries, error) && change_entries(yank, entries, &changed_count, error) &&
	(changed_count == 0 || put_list(repo, entries, error));

	json_decref(entries);
	return ok;
}

/* Reads the list as it will be published next; it is empty where there is none. */
static bool
read_list(const DepotRepo *repo, json_t **entries, DepotError *error)
{
	const json_t *target = json_object_get(json_object_get(repo->roles[DEPOT_REPO_TARGETS].body, "targets"),
										   DEPOT_WITHDRAWN_TARGET);
	const json_t *pending = find_pending(repo, DEPOT_WITHDRAWN_TARGET);
	const char *sha256 = pending != NULL ? json_string_value(json_object_get(pending, "sha256")) :
	json_string_value(json_object_get(json_object_get(target, "hashes"), "sha256"));
	char		file[DEPOT_REPO_PATH_BYTES];
	DepotBuffer text;

	if (sha256 == NULL)
	{
		*entries = json_array();
		return *entries != NULL || out_of_memory(error);
	}
	depot_repo_target_file(DEPOT_WITHDRAWN_TARGET, sha256, file);
	depot_buffer_init(&text);
	if (depot_files_read(repo->fd, file, DEPOT_WITHDRAWN_MAX_BYTES, &text, error))
		*entries = depot_withdrawn_parse(text.data != NULL ? text.data : "", text.length_bytes, error);
	depot_buffer_free(&text);
	return *entries != NULL;
}

static bool
change_entries(const Yank *yank, json_t *entries, int *changed_count, DepotError *error)
{
	for (int i = 0; i < yank->argument_count; i++)
	{
		DepotWithdrawal withdrawal = yank->withdrawal;
		json_t	   *entry = NULL;
		json_t	   *old;
		size_t		index;

		withdrawal.sha256 = yank->arguments[i];
		json_array_foreach(entries, index, old)
		{
			if (strcmp(json_string_value(json_object_get(old, "sha256")), withdrawal.sha256) == 0)
				break;
		}
		if (!yank->is_undone && (entry = depot_withdrawn_to_json(&withdrawal)) == NULL)
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the reason is not UTF-8");
		old = json_array_get(entries, index);
		if ((old == NULL && entry == NULL) || (old != NULL && entry != NULL && json_equal(old, entry)))
		{
			printf("%s %s\n", yank->is_undone ? "not withdrawn" : "withdrawn already", withdrawal.sha256);
			json_decref(entry);
			continue;
		}
		if (old != NULL)
			(void) json_array_remove(entries, index);
		if (entry != NULL && json_array_append_new(entries, entry) != 0)
			return out_of_memory(error);
		printf("%s %s\n", yank->is_undone ? "offered again" : "withdrawn", withdrawal.sha256);
		(*changed_count)++;
	}
	return true;
}

/* Writes the list under its digest and makes it pending, in place of one that was. */
static bool
put_list(DepotRepo *repo, json_t *entries, DepotError *error)
{
	json_t	   *document = json_pack("{s:i, s:O}", "format", DEPOT_WITHDRAWN_FORMAT, "withdrawn", entries);
	json_t	   *entry = find_pending(repo, DEPOT_WITHDRAWN_TARGET);
	char		sha256[DEPOT_SHA256_HEX_BYTES];
	char		file[DEPOT_REPO_PATH_BYTES];
	DepotBuffer text;
	bool		ok = false;

	depot_buffer_init(&text);
	if (document == NULL || !depot_json_canonical(document, &text, DEPOT_ERROR_METADATA_FORMAT, error) ||
		!depot_buffer_append_string(&text, "\n"))
		goto done;
	if (text.length_bytes > DEPOT_WITHDRAWN_MAX_BYTES)
	{
		depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "%s would have more than %zu bytes", DEPOT_WITHDRAWN_TARGET,
						DEPOT_WITHDRAWN_MAX_BYTES);
		depot_error_hint(error, "Take builds out of it that no role lists any more.");
		goto done;
	}
	depot_digest_sha256_hex(text.data, text.length_bytes, sha256);
	depot_repo_target_file(DEPOT_WITHDRAWN_TARGET, sha256, file);
	if (!depot_files_make_directories(repo->fd, "targets", 0755, true, error) ||
		!depot_files_write_durable(repo->fd, file, text.data, text.length_bytes, 0644, error))
		goto done;
	if (entry == NULL)
	{
		entry = json_pack("{s:s, s:s, s:{}}", "path", DEPOT_WITHDRAWN_TARGET, "role", "targets", "custom");
		if (json_array_append_new(repo->pending, entry) != 0)
		{
			out_of_memory(error);
			goto done;
		}
	}
	if (json_object_set_new(entry, "sha256", json_string(sha256)) != 0 ||
		json_object_set_new(entry, "length", json_integer((json_int_t) text.length_bytes)) != 0)
		out_of_memory(error);
	else
		ok = write_pending(repo, error);

done:
	json_decref(document);
	depot_buffer_free(&text);
	return ok;
}

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}
