/*-------------------------------------------------------------------------
 *
 * repo_rotate.c
 *	  "pg_depot repo rotate": gives a role other keys, or another threshold.
 *
 * A plan is printed first.  Top-level roles have their keys in root, delegated
 * ones in targets; whatever the new keys have not signed gets a new version.
 * The roles of platforms have the keys of targets, and follow it.
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
#include "common/publisher.h"

#define COMMAND "repo rotate"
#define MIN_KEYID_DIGITS 8

typedef struct Rotate
{
	const char *path;
	const char *role;
	const char *added_paths[DEPOT_REPO_MAX_KEYS];
	int			added_count;
	const char *removed[DEPOT_REPO_MAX_KEYS];	/* keyids, their beginnings, or files */
	int			removed_count;
	int64_t		threshold;		/* 0: stays */
	bool		dry_run;
	DepotRepoKeyOptions key_options;
	DepotRepoKeys added;
	DepotRepoKeys keys;
} Rotate;

static int	parse_options(int argc, char **argv, Rotate *rotate);
static int	run(Rotate *rotate, DepotError *error);
static bool change(const Rotate *rotate, DepotRepo *repo, DepotError *error);
static bool change_top_level(const Rotate *rotate, DepotRepo *repo, int index, DepotError *error);
static bool change_delegated(const Rotate *rotate, DepotRepo *repo, const char *name, DepotError *error);
static json_t *make_entry(const Rotate *rotate, const json_t *old, DepotError *error);
static bool remove_key(const char *word, const char *role, json_t *keyids, DepotError *error);
static bool set_signers(json_t *entry, const json_t *from);
static bool add_keys(const Rotate *rotate, json_t *keys, DepotError *error);
static bool names_key(const json_t *entry, const char *keyid);
static void print_plan(const DepotRepo *repo);
static void print_other_uses(const Rotate *rotate, const DepotRepo *repo);

static void
print_help(void)
{
	puts("Usage: pg_depot repo rotate DIR ROLE [--add FILE]... [--remove KEYID|FILE]...\n"
		 "                            [--threshold N] [--key FILE]... [OPTIONS]\n"
		 "\n"
		 "Changes the keys or the threshold of a role, root included.  Prints the plan, then\n"
		 "publishes it if all keys that must sign are given; else it waits in\n"
		 "DIR/signing.json for \"pg_depot repo sign\" and \"publish\" (exit code 3), where a\n"
		 "second rotate can add to it.\n"
		 "\n"
		 "  --add FILE              a new key of the role (FILE.pub will do)\n"
		 "  --remove KEYID|FILE     a key to remove: its keyid, 8 or more digits of its\n"
		 "                          beginning, or its public file\n"
		 "  --threshold N           signatures that the role needs from now on\n"
		 "  --key FILE              a secret key to sign with; repeat it for each\n"
		 "  --dry-run               print the plan only\n"
		 "  --passphrase-file FILE  its first line opens sealed keys");
}

int
depot_cmd_repo_rotate(int argc, char **argv)
{
	static Rotate rotate;
	DepotError	error = {0};
	int			result;
	bool		ok = true;

	rotate = (Rotate)
	{
		.path = NULL
	};
	result = parse_options(argc, argv, &rotate);
	if (rotate.path == NULL)
		return result;
	for (int i = 0; i < rotate.added_count && ok; i++)
		ok = depot_repo_keys_load(&rotate.added, rotate.added_paths[i], rotate.key_options.passphrase_file, true,
								  &error);
	/* A passphrase may be asked for: before the lock. */
	if (ok && (rotate.dry_run || depot_repo_keys_load_all(&rotate.keys, &rotate.key_options, &error)))
		result = run(&rotate, &error);
	else
		result = depot_cli_report_error(&error);
	depot_repo_keys_free(&rotate.added);
	depot_repo_keys_free(&rotate.keys);
	return result;
}

/* Sets the path when there is something to do; else what is returned is the exit code. */
static int
parse_options(int argc, char **argv, Rotate *rotate)
{
	static const struct option options[] = {
		{"add", required_argument, NULL, 'a'},
		{"remove", required_argument, NULL, 'r'},
		{"threshold", required_argument, NULL, 't'},
		{"key", required_argument, NULL, 'k'},
		{"dry-run", no_argument, NULL, 'n'},
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
		if (option == 'a' && rotate->added_count < DEPOT_REPO_MAX_KEYS)
			rotate->added_paths[rotate->added_count++] = optarg;
		else if (option == 'r' && rotate->removed_count < DEPOT_REPO_MAX_KEYS)
			rotate->removed[rotate->removed_count++] = optarg;
		else if (option == 'n')
			rotate->dry_run = true;
		else if (option == 'f')
			rotate->key_options.passphrase_file = optarg;
		else if (option == 't')
		{
			if (!depot_cli_parse_number(optarg, 1, DEPOT_REPO_MAX_KEYS, &rotate->threshold))
				return depot_cli_usage_error(COMMAND, "--threshold is not a number from 1 to %d", DEPOT_REPO_MAX_KEYS);
		}
		else if (option != 'k' || !depot_repo_key_option(&rotate->key_options, optarg))
			return option == 'k' || option == 'a' || option == 'r'
				? depot_cli_usage_error(COMMAND, "more than %d keys", DEPOT_REPO_MAX_KEYS)
				: depot_cli_option_error(COMMAND, option, argv);
	}
	if (optind != argc - 2)
		return depot_cli_usage_error(COMMAND, "a directory and a role are needed");
	if (rotate->added_count == 0 && rotate->removed_count == 0 && rotate->threshold == 0)
		return depot_cli_usage_error(COMMAND, "nothing to change: give --add, --remove or --threshold");
	rotate->role = argv[optind + 1];
	rotate->path = argv[optind];
	return DEPOT_EXIT_OK;
}

static int
run(Rotate *rotate, DepotError *error)
{
	DepotRepo	repo;
	bool		published = true;
	bool		collected;
	bool		ok;

	if (!depot_repo_open(&repo, rotate->path, true, error))
		return depot_cli_report_error(error);
	ok = depot_repo_request_load(&repo, error) && change(rotate, &repo, error) &&
		depot_repo_bind_roles(&repo, error) && depot_repo_follow(&repo, &collected, error);
	if (ok)
	{
		print_plan(&repo);
		print_other_uses(rotate, &repo);
	}
	if (ok && !rotate->dry_run)
	{
		int			new_count = 0;

		ok = depot_repo_check_waiting(&repo, &new_count, error) &&
			depot_repo_release(&repo, &rotate->keys, &published, error);
		if (ok && published)
		{
			printf("published\n");
			depot_repo_print_published(&repo);
		}
		else if (ok)
			depot_repo_print_waiting(&repo, &rotate->keys);
	}
	depot_repo_close(&repo);
	return !ok ? depot_cli_report_error(error) : published ? DEPOT_EXIT_OK : DEPOT_EXIT_ATTENTION;
}

static bool
change(const Rotate *rotate, DepotRepo *repo, DepotError *error)
{
	for (int i = 0; i < repo->role_count; i++)
	{
		if (strcmp(repo->roles[i].name, rotate->role) == 0)
			return i < DEPOT_REPO_TOP_LEVEL_COUNT ? change_top_level(rotate, repo, i, error)
				: change_delegated(rotate, repo, rotate->role, error);
	}
	depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the repository has no role \"%s\"", rotate->role);
	return depot_error_hint(error, "\"pg_depot repo status\" lists its roles.");
}

static bool
change_top_level(const Rotate *rotate, DepotRepo *repo, int index, DepotError *error)
{
	DepotRepoRole *root = &repo->roles[DEPOT_REPO_ROOT];
	DepotRepoRole *targets = &repo->roles[DEPOT_REPO_TARGETS];
	json_t	   *old;
	json_t	   *entry;
	json_t	   *roles;
	json_t	   *delegation;
	size_t		place;
	bool		ok;

	if (!depot_repo_begin_next(repo, root, error))
		return false;
	roles = json_object_get(root->next, "roles");
	old = json_deep_copy(json_object_get(roles, repo->roles[index].name));
	entry = make_entry(rotate, old, error);
	ok = entry != NULL && set_signers(json_object_get(roles, repo->roles[index].name), entry) &&
		add_keys(rotate, json_object_get(root->next, "keys"), error);
	depot_repo_drop_unused_keys(json_object_get(root->next, "keys"), roles);
	depot_repo_drop_signatures(root);
	if (ok && index == DEPOT_REPO_TARGETS)
	{
		/* The roles of platforms are signed by the same people. */
		ok = depot_repo_begin_next(repo, targets, error);
		json_array_foreach(json_object_get(json_object_get(targets->next, "delegations"), "roles"), place,
						   delegation)
		{
			if (json_equal(json_object_get(delegation, "keyids"), json_object_get(old, "keyids")) &&
				json_equal(json_object_get(delegation, "threshold"), json_object_get(old, "threshold")))
				ok = ok && set_signers(delegation, entry);
		}
		delegation = json_object_get(targets->next, "delegations");
		ok = ok && add_keys(rotate, json_object_get(delegation, "keys"), error);
		depot_repo_drop_unused_keys(json_object_get(delegation, "keys"), json_object_get(delegation, "roles"));
		depot_repo_drop_signatures(targets);
	}
	json_decref(entry);
	json_decref(old);
	return ok;
}

static bool
change_delegated(const Rotate *rotate, DepotRepo *repo, const char *name, DepotError *error)
{
	DepotRepoRole *targets = &repo->roles[DEPOT_REPO_TARGETS];
	json_t	   *delegations;
	json_t	   *delegation;
	size_t		place;
	bool		ok;

	if (!depot_repo_begin_next(repo, targets, error))
		return false;
	delegations = json_object_get(targets->next, "delegations");
	ok = add_keys(rotate, json_object_get(delegations, "keys"), error);
	json_array_foreach(json_object_get(delegations, "roles"), place, delegation)
	{
		json_t	   *entry;

		if (!ok || strcmp(json_string_value(json_object_get(delegation, "name")), name) != 0)
			continue;
		entry = make_entry(rotate, delegation, error);
		ok = entry != NULL && set_signers(delegation, entry);
		json_decref(entry);
	}
	depot_repo_drop_unused_keys(json_object_get(delegations, "keys"), json_object_get(delegations, "roles"));
	depot_repo_drop_signatures(targets);
	if (ok && depot_publisher_is_role(name))
	{
		DepotRepoRole *role = depot_repo_find_role(repo, name);

		/* Servers leave his role out until he has signed it with his new keys. */
		ok = role->body == NULL || depot_repo_begin_next(repo, role, error);
	}
	return ok;
}

/* Returns {keyids, threshold} as they shall be, new reference, or NULL and error. */
static json_t *
make_entry(const Rotate *rotate, const json_t *old, DepotError *error)
{
	json_t	   *keyids = json_deep_copy(json_object_get(old, "keyids"));
	json_int_t	threshold = json_integer_value(json_object_get(old, "threshold"));
	bool		ok = true;

	for (int i = 0; i < rotate->added.count && ok; i++)
	{
		const char *keyid = rotate->added.keys[i]->keyid;

		if (names_key(old, keyid))
			ok = depot_error_set(error, DEPOT_ERROR_DUPLICATE, "key %.16s is a key of role \"%s\" already", keyid,
								 rotate->role);
		else
			json_array_append_new(keyids, json_string(keyid));
	}
	for (int i = 0; i < rotate->removed_count && ok; i++)
		ok = remove_key(rotate->removed[i], rotate->role, keyids, error);
	if (rotate->threshold != 0)
		threshold = rotate->threshold;
	if (ok && (json_int_t) json_array_size(keyids) < threshold)
	{
		ok = depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
							 "role \"%s\" would need %" JSON_INTEGER_FORMAT " signature%s, but have %zu key%s",
							 rotate->role, threshold, threshold == 1 ? "" : "s", json_array_size(keyids),
							 json_array_size(keyids) == 1 ? "" : "s");
		depot_error_hint(error, "Add a key in the same command, or lower the threshold with --threshold.");
	}
	if (ok)
		return json_pack("{s:o, s:I}", "keyids", keyids, "threshold", threshold);
	json_decref(keyids);
	return NULL;
}

static bool
remove_key(const char *word, const char *role, json_t *keyids, DepotError *error)
{
	const size_t length = strlen(word);
	DepotKey   *key = NULL;
	const char *wanted = word;
	const json_t *keyid;
	size_t		index;
	size_t		found = 0;
	int			count = 0;

	if (length > 64 || length < MIN_KEYID_DIGITS || strspn(word, "0123456789abcdef") != length)
	{
		key = depot_key_load_public(word, error);
		if (key == NULL)
			return depot_error_hint(error, "--remove takes a keyid, %d or more digits of its beginning, or the public "
									"file of a key.", MIN_KEYID_DIGITS);
		wanted = key->keyid;
	}
	json_array_foreach(keyids, index, keyid)
	{
		if (strncmp(json_string_value(keyid), wanted, strlen(wanted)) == 0)
		{
			found = index;
			count++;
		}
	}
	if (count == 1)
		json_array_remove(keyids, found);
	else if (count == 0)
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "%.64s is not a key of role \"%s\"", wanted, role);
	else
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "%d keys of role \"%s\" begin with %s", count, role,
						wanted);
	depot_key_free(key);
	return count == 1;
}

static bool
set_signers(json_t *entry, const json_t *from)
{
	return json_object_set_new(entry, "keyids", json_deep_copy(json_object_get(from, "keyids"))) == 0 &&
		json_object_set(entry, "threshold", json_object_get(from, "threshold")) == 0;
}

static bool
add_keys(const Rotate *rotate, json_t *keys, DepotError *error)
{
	for (int i = 0; i < rotate->added.count; i++)
	{
		json_t	   *key = depot_key_to_json(rotate->added.keys[i], error);

		if (key == NULL || json_object_set_new(keys, rotate->added.keys[i]->keyid, key) != 0)
			return false;
	}
	return true;
}

void
depot_repo_drop_unused_keys(json_t *keys, const json_t *roles)
{
	const char *keyid;
	const char *name;
	json_t	   *key;
	json_t	   *entry;
	void	   *next;
	size_t		index;

	json_object_foreach_safe(keys, next, keyid, key)
	{
		bool		used = false;

		json_object_foreach((json_t *) roles, name, entry)
		{
			used = used || names_key(entry, keyid);
		}
		json_array_foreach(roles, index, entry)
		{
			used = used || names_key(entry, keyid);
		}
		if (!used)
			json_object_del(keys, keyid);
	}
}

static bool
names_key(const json_t *entry, const char *keyid)
{
	const json_t *other;
	size_t		index;

	json_array_foreach(json_object_get(entry, "keyids"), index, other)
	{
		if (strcmp(json_string_value(other), keyid) == 0)
			return true;
	}
	return false;
}

static void
print_plan(const DepotRepo *repo)
{
	const DepotRepoRole *root = &repo->roles[DEPOT_REPO_ROOT];
	const bool	timestamp = repo->roles[DEPOT_REPO_TIMESTAMP].stale;
	const bool	snapshot = repo->roles[DEPOT_REPO_SNAPSHOT].stale;

	printf("plan for %s\n", repo->path);
	depot_repo_describe(repo);
	for (int i = DEPOT_REPO_SNAPSHOT; i >= DEPOT_REPO_TIMESTAMP; i--)
	{
		const DepotRepoRole *role = &repo->roles[i];

		if (role->next != NULL)
			printf("%s: version %" PRId64 " -> %" JSON_INTEGER_FORMAT "%s\n", role->name, role->version,
				   json_integer_value(json_object_get(role->next, "version")),
				   role->stale ? ", by its new keys" : "");
	}
	if (root->next != NULL)
		printf("servers: follow root to version %" JSON_INTEGER_FORMAT " by themselves, one version after the other\n",
			   json_integer_value(json_object_get(root->next, "version")));
	if (timestamp || snapshot)
		printf("servers: forget the trusted %s, and take version numbers of %s anew\n",
			   timestamp && snapshot ? "timestamp and snapshot" : timestamp ? "timestamp" : "snapshot",
			   timestamp && snapshot ? "both" : "it");
	printf("servers: refuse what only removed keys have signed, from their next refresh on\n"
		   "servers: what is installed stays and keeps working\n");
}

/* A key that is removed from one role because it was lost or stolen is no better in another. */
static void
print_other_uses(const Rotate *rotate, const DepotRepo *repo)
{
	const DepotRepoRole *of = depot_repo_find_role((DepotRepo *) repo, rotate->role);
	const json_t *roles = json_object_get(repo->roles[DEPOT_REPO_ROOT].body, "roles");
	const json_t *published = strcmp(of->name, "root") == 0 ? of->entry : json_object_get(roles, of->name);
	const json_t *keyid;
	size_t		index;

	json_array_foreach(json_object_get(published, "keyids"), index, keyid)
	{
		const char *id = json_string_value(keyid);
		DepotRepoSigners signers[DEPOT_REPO_MAX_SIGNERS];

		if (names_key(signers[depot_repo_signers(of, signers) - 1].entry, id))
			continue;
		for (int i = 0; i < repo->role_count; i++)
		{
			const int	count = depot_repo_signers(&repo->roles[i], signers);

			if (names_key(signers[count - 1].entry, id))
				depot_cli_warning("key %.16s is still a key of role \"%s\"", id, repo->roles[i].name);
		}
	}
}
