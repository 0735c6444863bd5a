/*-------------------------------------------------------------------------
 *
 * repo_publish.c
 *	  "pg_depot repo publish": signs what was added, renews what expires, and
 *	  publishes what has been signed by everybody whose signature it needs.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/repo_common.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/publisher.h"
#include "common/withdrawn.h"

#define COMMAND "repo publish"
#define MAX_RENEWED 64

typedef struct Publish
{
	const char *path;
	DepotRepoKeyOptions key_options;
	DepotRepoKeys keys;
	const char *renewed[MAX_RENEWED];	/* roles named by --renew */
	int			renewed_count;
} Publish;

static int	parse_options(int argc, char **argv, Publish *publish);
static int	run(Publish *publish, DepotError *error);
static bool prepare(const Publish *publish, DepotRepo *repo, int *new_count, DepotError *error);
static bool take_pending(DepotRepo *repo, const DepotRepoKeys *keys, int *new_count, DepotError *error);
static bool is_for_later(DepotRepo *repo, const DepotRepoKeys *keys, const char *role_name);
static bool take_target(DepotRepo *repo, const json_t *entry, bool *is_new, DepotError *error);
static bool check_file(const DepotRepo *repo, const char *file, const char *sha256, int64_t length,
					   DepotError *error);
static DepotRepoRole *delegate(DepotRepo *repo, const char *name, DepotError *error);
static bool renew(const Publish *publish, DepotRepo *repo, DepotError *error);
static bool is_named(const Publish *publish, const char *role);
static bool finish_pending(DepotRepo *repo, DepotError *error);
static void warn_unused_keys(const DepotRepo *repo, const DepotRepoKeys *keys);

static void
print_help(void)
{
	puts("Usage: pg_depot repo publish DIR --key FILE... [--renew ROLE]...\n"
		 "                             [--passphrase-file FILE]\n"
		 "\n"
		 "Publishes what \"pg_depot repo add\" put in, and renews metadata: timestamp always,\n"
		 "other roles when half of their lifetime is over and their keys are given.  What\n"
		 "needs signatures of keys that are not given is left in DIR/signing.json, with\n"
		 "exit code 3; the next publish ends it once \"pg_depot repo sign\" has added them.\n"
		 "\n"
		 "  --key FILE              a secret key; repeat it for each key that is needed\n"
		 "  --renew ROLE            give this role a new version, though it is not due\n"
		 "  --passphrase-file FILE  its first line opens sealed keys");
}

int
depot_cmd_repo_publish(int argc, char **argv)
{
	static Publish publish;
	DepotError	error = {0};
	int			result;

	publish = (Publish)
	{
		.path = NULL
	};
	result = parse_options(argc, argv, &publish);
	if (publish.path == NULL)
		return result;
	/* A passphrase may be asked for: before the lock. */
	if (depot_repo_keys_load_all(&publish.keys, &publish.key_options, &error))
		result = run(&publish, &error);
	else
		result = depot_cli_report_error(&error);
	depot_repo_keys_free(&publish.keys);
	return result;
}

/* Sets the path when there is something to do; else what is returned is the exit code. */
static int
parse_options(int argc, char **argv, Publish *publish)
{
	static const struct option options[] = {
		{"key", required_argument, NULL, 'k'},
		{"renew", required_argument, NULL, 'r'},
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
			publish->key_options.passphrase_file = optarg;
		else if (option == 'r' && publish->renewed_count < MAX_RENEWED)
			publish->renewed[publish->renewed_count++] = optarg;
		else if (option != 'k')
			return depot_cli_option_error(COMMAND, option, argv);
		else if (!depot_repo_key_option(&publish->key_options, optarg))
			return depot_cli_usage_error(COMMAND, "more than %d keys", DEPOT_REPO_MAX_KEYS);
	}
	if (optind != argc - 1)
		return depot_cli_usage_error(COMMAND, "exactly one directory is needed (repeat --key for each key)");
	publish->path = argv[optind];
	return DEPOT_EXIT_OK;
}

static int
run(Publish *publish, DepotError *error)
{
	DepotRepo	repo;
	int			new_count = 0;
	bool		published;
	bool		ok;

	if (!depot_repo_open(&repo, publish->path, true, error))
		return depot_cli_report_error(error);
	if (publish->keys.count == 0 && publish->renewed_count == 0 &&
		!depot_files_exists(repo.fd, repo.request_file))
	{
		depot_repo_close(&repo);
		return depot_cli_usage_error(COMMAND, "option \"--key\" is missing");
	}
	ok = prepare(publish, &repo, &new_count, error) &&
		depot_repo_release(&repo, &publish->keys, &published, error);
	if (ok && published)
	{
		ok = finish_pending(&repo, error);
		printf("published %d new package%s\n", new_count, new_count == 1 ? "" : "s");
		depot_repo_print_published(&repo);
		if (json_array_size(repo.pending) > 0)
			printf("%zu added since, for the next publish\n", json_array_size(repo.pending));
	}
	else if (ok)
	{
		depot_repo_print_waiting(&repo, &publish->keys);
		/* What waits must not let the present state expire. */
		ok = depot_repo_refresh_after(&repo, &publish->keys, error);
	}
	depot_repo_close(&repo);
	return !ok ? depot_cli_report_error(error) : published ? DEPOT_EXIT_OK : DEPOT_EXIT_ATTENTION;
}

/* Makes the next versions: those that wait for signatures, else of what was added and what is due. */
static bool
prepare(const Publish *publish, DepotRepo *repo, int *new_count, DepotError *error)
{
	for (int i = 0; i < publish->renewed_count; i++)
	{
		if (depot_repo_find_role(repo, publish->renewed[i]) == NULL)
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the repository has no role \"%s\"",
								   publish->renewed[i]);
	}
	if (!depot_repo_request_load(repo, error))
		return false;
	warn_unused_keys(repo, &publish->keys);
	if (repo->waiting && publish->renewed_count > 0)
	{
		depot_error_set(error, DEPOT_ERROR_WRONG_STATE, "%s waits for signatures", DEPOT_REPO_REQUEST);
		return depot_error_hint(error, "Publish it, or give it up with \"pg_depot repo sign DIR --discard\", "
								"then renew.");
	}
	if (repo->waiting)
	{
		if (!depot_repo_check_waiting(repo, new_count, error))
			return false;
	}
	else if (!take_pending(repo, &publish->keys, new_count, error))
		return false;
	return renew(publish, repo, error);
}

bool
depot_repo_check_waiting(const DepotRepo *repo, int *new_count, DepotError *error)
{
	for (int i = DEPOT_REPO_TARGETS; i < repo->role_count; i++)
	{
		const json_t *published = json_object_get(repo->roles[i].body, "targets");
		const char *path;
		json_t	   *target;

		json_object_foreach(json_object_get(repo->roles[i].next, "targets"), path, target)
		{
			const json_t *before = json_object_get(published, path);
			const char *sha256 = json_string_value(json_object_get(json_object_get(target, "hashes"), "sha256"));
			char		file[DEPOT_REPO_PATH_BYTES];

			if (json_equal(before, target))
				continue;
			if (sha256 == NULL || strstr(path, "..") != NULL || strlen(path) + 96 > sizeof(file))
				return depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT, "%s names a target that cannot be",
									   DEPOT_REPO_REQUEST);
			depot_repo_target_file(path, sha256, file);
			if (!check_file(repo, file, sha256, json_integer_value(json_object_get(target, "length")), error))
				return false;
			if (before == NULL && strcmp(path, DEPOT_WITHDRAWN_TARGET) != 0)
				(*new_count)++;
		}
	}
	return true;
}

static bool
take_pending(DepotRepo *repo, const DepotRepoKeys *keys, int *new_count, DepotError *error)
{
	const json_t *entry;
	size_t		index;

	json_array_foreach(repo->pending, index, entry)
	{
		bool		is_new;

		if (is_for_later(repo, keys, json_string_value(json_object_get(entry, "role"))))
			continue;

		if (!take_target(repo, entry, &is_new, error))
			return false;
		if (is_new)
			(*new_count)++;
	}
	return true;
}

/*
 * Publishers publish each for himself: what is added for one waits for his key, and he does not publish what others
 * have added.
 */
static bool
is_for_later(DepotRepo *repo, const DepotRepoKeys *keys, const char *role_name)
{
	const DepotRepoRole *of = depot_repo_find_role(repo, role_name);
	const DepotRepoRole *targets = &repo->roles[DEPOT_REPO_TARGETS];
	bool		is_publishers = depot_publisher_is_role(role_name);

	if (depot_repo_count_signers((of != NULL ? of : targets)->entry, keys) > 0)
		return false;
	for (int i = DEPOT_REPO_TOP_LEVEL_COUNT; i < repo->role_count && !is_publishers; i++)
		is_publishers = depot_publisher_is_role(repo->roles[i].name) &&
			depot_repo_count_signers(repo->roles[i].entry, keys) > 0;
	return is_publishers;
}

/*
 * Enters a pending target into the next version of its role, which is made and delegated
 * to when there is none.
 */
static bool
take_target(DepotRepo *repo, const json_t *entry, bool *is_new, DepotError *error)
{
	const char *path = json_string_value(json_object_get(entry, "path"));
	const char *sha256 = json_string_value(json_object_get(entry, "sha256"));
	const char *role_name = json_string_value(json_object_get(entry, "role"));
	DepotRepoRole *role = depot_repo_find_role(repo, role_name);
	const json_t *published;
	const char *other;
	json_t	   *target;
	char		file[DEPOT_REPO_PATH_BYTES];

	*is_new = false;
	if (role == NULL && depot_publisher_is_role(role_name))
	{
		depot_error_set(error, DEPOT_ERROR_WRONG_STATE, "%s was added for role \"%s\", which there is no more",
						path, role_name);
		return depot_error_hint(error, "Delegate the path again, or take the entry out of %s.", DEPOT_REPO_PENDING);
	}
	published = role == NULL || role->disowned ? NULL :
		json_object_get(json_object_get(role->body, "targets"), path);
	other = json_string_value(json_object_get(json_object_get(published, "hashes"), "sha256"));
	if (published != NULL && strcmp(path, DEPOT_WITHDRAWN_TARGET) != 0 &&
		(other == NULL || strcmp(other, sha256) != 0))
		return depot_error_set(error, DEPOT_ERROR_DUPLICATE, "another package was published as %s", path);
	if (other != NULL && strcmp(other, sha256) == 0 &&
		json_equal(json_object_get(published, "custom"), json_object_get(entry, "custom")))
		return true;
	depot_repo_target_file(path, sha256, file);
	if (!check_file(repo, file, sha256, json_integer_value(json_object_get(entry, "length")), error))
		return false;
	if (role == NULL)
		role = delegate(repo, role_name, error);
	if (role == NULL || !depot_repo_begin_next(repo, role, error))
		return false;
	target = json_pack("{s:O, s:{s:s}, s:O}", "length", json_object_get(entry, "length"), "hashes", "sha256",
					   sha256,
					   "custom", json_object_get(entry, "custom"));
	if (json_object_set_new(json_object_get(role->next, "targets"), path, target) != 0)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	*is_new = published == NULL && strcmp(path, DEPOT_WITHDRAWN_TARGET) != 0;
	return true;
}

/* What lies in the repository is signed only after another look at it. */
static bool
check_file(const DepotRepo *repo, const char *file, const char *sha256, int64_t length, DepotError *error)
{
	char		hex[DEPOT_SHA256_HEX_BYTES];
	uint64_t	size_bytes;

	if (!depot_digest_file(repo->fd, file, hex, &size_bytes, error))
		return false;
	if (strcmp(hex, sha256) == 0 && size_bytes == (uint64_t) length)
		return true;
	depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH, "\"%s\" has changed since it was added", file);
	return depot_error_hint(error, "Find out who changed it. Remove it and its entry in %s, then add the "
							"package again.",
							DEPOT_REPO_PENDING);
}

/* Delegates pg15/linux-amd64/... to a new role pg15-linux-amd64 with the keys of targets. */
static DepotRepoRole *
delegate(DepotRepo *repo, const char *name, DepotError *error)
{
	DepotRepoRole *role = depot_repo_add_role(repo, name, error);
	DepotRepoRole *targets = &repo->roles[DEPOT_REPO_TARGETS];
	const char *dash = strchr(name, '-');
	json_t	   *delegations;
	json_t	   *entry;
	const json_t *keyid;
	size_t		index;
	char		pattern[96];

	if (role == NULL || !depot_repo_begin_next(repo, targets, error))
		return NULL;
	snprintf(pattern, sizeof(pattern), "%.*s/%s/*/*/*", dash == NULL ? 0 : (int) (dash - name), name,
			 dash == NULL ? "" : dash + 1);
	delegations = json_object_get(targets->next, "delegations");
	json_array_foreach(json_object_get(targets->entry, "keyids"), index, keyid)
	{
		const char *id = json_string_value(keyid);

		json_object_set(json_object_get(delegations, "keys"), id, json_object_get(targets->keys, id));
	}
	entry = json_pack("{s:s, s:O, s:O, s:b, s:[s]}", "name", name, "keyids",
					  json_object_get(targets->entry, "keyids"),
					  "threshold", json_object_get(targets->entry, "threshold"), "terminating", 1, "paths",
					  pattern);
	if (json_array_append_new(json_object_get(delegations, "roles"), entry) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	role->keys = json_incref(json_object_get(delegations, "keys"));
	role->entry = json_incref(entry);
	return role;
}

/* Picks the roles that get a new version though nothing was added to them. */
static bool
renew(const Publish *publish, DepotRepo *repo, DepotError *error)
{
	const DepotRepoKeys *keys = &publish->keys;

	for (int i = 0; i < repo->role_count; i++)
	{
		DepotRepoRole *role = &repo->roles[i];
		const int64_t left_s = role->expires_epoch_s - repo->now_s;
		const bool	due = left_s * 100 < role->lifetime_s * DEPOT_REPO_RENEW_PERCENT;
		const bool	collected = i != DEPOT_REPO_SNAPSHOT && i != DEPOT_REPO_TIMESTAMP;
		const bool	have_keys = collected ? depot_repo_count_signers(role->entry, keys) > 0
		: depot_repo_have_keys(role, keys);

		if (role->envelope == NULL || (collected && repo->waiting))
			continue;

		/*
		 * One that has expired must be renewed: nothing that is published with it could be used.  Of a
		 * publisher servers leave out what has expired; he renews it himself.
		 */
		if (((left_s <= 0 && !depot_publisher_is_role(role->name)) || (due && have_keys) ||
			 is_named(publish, role->name)) &&
			!depot_repo_begin_next(repo, role, error))
			return false;
	}
	/* A new root alone needs no timestamp. */
	return (repo->waiting && !depot_repo_have_keys(&repo->roles[DEPOT_REPO_TIMESTAMP], keys)) ||
		depot_repo_begin_next(repo, &repo->roles[DEPOT_REPO_TIMESTAMP], error);
}

static bool
is_named(const Publish *publish, const char *role)
{
	for (int i = 0; i < publish->renewed_count; i++)
	{
		if (strcmp(publish->renewed[i], role) == 0)
			return true;
	}
	return false;
}

/* Takes off the pending list what is published now; what a publish killed here leaves, the next one finds. */
static bool
finish_pending(DepotRepo *repo, DepotError *error)
{
	bool		changed = false;

	for (size_t i = json_array_size(repo->pending); i > 0; i--)
	{
		const json_t *entry = json_array_get(repo->pending, i - 1);
		const DepotRepoRole *role = depot_repo_find_role(repo, json_string_value(json_object_get(entry, "role")));
		const json_t *body = role == NULL ? NULL : role->next != NULL ? role->next : role->body;
		const json_t *target = json_object_get(json_object_get(body, "targets"),
											   json_string_value(json_object_get(entry, "path")));

		if (!json_equal(json_object_get(json_object_get(target, "hashes"), "sha256"),
						json_object_get(entry, "sha256")) ||
			!json_equal(json_object_get(target, "custom"), json_object_get(entry, "custom")))
			continue;
		json_array_remove(repo->pending, i - 1);
		changed = true;
	}
	return !changed || depot_repo_write_pending(repo, error);
}

static void
warn_unused_keys(const DepotRepo *repo, const DepotRepoKeys *keys)
{
	for (int i = 0; i < keys->count; i++)
	{
		bool		used = false;

		for (int j = 0; j < repo->role_count && !used; j++)
		{
			const DepotRepoKeys one = {.keys = {keys->keys[i]}, .count = 1};
			DepotRepoSigners signers[DEPOT_REPO_MAX_SIGNERS];
			const int	count = depot_repo_signers(&repo->roles[j], signers);

			for (int k = 0; k < count; k++)
				used = used || depot_repo_count_signers(signers[k].entry, &one) > 0;
		}
		if (!used)
			depot_cli_warning("key %.16s is not a key of this repository", keys->keys[i]->keyid);
	}
}
