/*-------------------------------------------------------------------------
 *
 * repo_delegate.c
 *	  "pg_depot repo delegate": gives paths of a repository to a publisher.
 *
 * The entry goes into the top-level targets role, which its keys sign, before
 * the roles of platforms and terminating: nobody else can publish under these
 * paths any more.  Its member "pg_depot" binds the publisher to the names that
 * he was given.  His own role is made by his first publish, with his key.
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
#include "common/name.h"
#include "common/publisher.h"
#include "common/tuf.h"

#define COMMAND "repo delegate"
#define MAX_WORDS 256

typedef struct Words
{
	const char *words[MAX_WORDS];
	int			count;
} Words;

typedef struct Delegate
{
	const char *path;
	const char *publisher;
	char		role[DEPOT_PUBLISHER_NAME_MAX_BYTES + sizeof(DEPOT_PUBLISHER_ROLE_PREFIX)];
	Words		added;			/* files of the publisher's keys */
	Words		patterns;
	Words		names;
	int64_t		threshold;
	bool		preload;
	bool		trusted;
	bool		remove;
	DepotRepoKeyOptions key_options;
	DepotRepoKeys publisher_keys;
	DepotRepoKeys keys;
} Delegate;

static int	parse_options(int argc, char **argv, Delegate *delegate);
static int	check_words(Delegate *delegate, DepotError *error);
static int	run(Delegate *delegate, DepotError *error);
static bool change(const Delegate *delegate, DepotRepo *repo, DepotError *error);
static bool check_others(const Delegate *delegate, const json_t *roles, DepotError *error);
static bool overlaps(const char *a, const char *b);
static bool put_entry(const Delegate *delegate, json_t *delegations, DepotError *error);
static json_t *make_entry(const Delegate *delegate);
static json_t *make_list(const Words *words);
static bool drop_pending(const Delegate *delegate, DepotRepo *repo, DepotError *error);
static void print_change(const Delegate *delegate);

static void
print_help(void)
{
	puts("Usage: pg_depot repo delegate DIR PUBLISHER --add FILE... --path PATTERN...\n"
		 "           --provides NAME... [--threshold N] [--preload] [--trusted] [--key FILE]...\n"
		 "       pg_depot repo delegate DIR PUBLISHER --remove [--key FILE]...\n"
		 "\n"
		 "Gives paths to a publisher: from then on only the role pub-PUBLISHER, which his keys\n"
		 "sign, can have packages there, and only with the names that it was given.  A second\n"
		 "delegate replaces the first whole.  Published at once if the keys of targets,\n"
		 "snapshot and timestamp are given; else it waits in DIR/signing.json (exit code 3).\n"
		 "\n"
		 "  --add FILE              a key of the publisher (his FILE.pub); repeat it\n"
		 "  --path PATTERN          pg15/linux-amd64/PACKAGE/*/*, or */*/PACKAGE/*/*; repeat it\n"
		 "  --provides NAME         a package, extension, module or library file that he may\n"
		 "                          provide; repeat it\n"
		 "  --threshold N           signatures that his role needs (1)\n"
		 "  --preload               his modules may ask to be preloaded\n"
		 "  --trusted               his extensions may be trusted\n"
		 "  --remove                takes the paths back; servers offer his packages no more\n"
		 "  --key FILE              a secret key to sign with; repeat it for each\n"
		 "  --passphrase-file FILE  its first line opens sealed keys");
}

int
depot_cmd_repo_delegate(int argc, char **argv)
{
	static Delegate delegate;
	DepotError	error = {0};
	int			result;

	delegate = (Delegate)
	{
		.threshold = 1
	};
	result = parse_options(argc, argv, &delegate);
	if (delegate.path == NULL)
		return result;
	result = check_words(&delegate, &error);
	if (result == DEPOT_EXIT_OK)
		result = run(&delegate, &error);
	depot_repo_keys_free(&delegate.publisher_keys);
	depot_repo_keys_free(&delegate.keys);
	return result;
}

static bool
add_word(Words *words, const char *word)
{
	if (words->count == MAX_WORDS)
		return false;
	words->words[words->count++] = word;
	return true;
}

/* Sets the path when there is something to do; else what is returned is the exit code. */
static int
parse_options(int argc, char **argv, Delegate *delegate)
{
	static const struct option options[] = {
		{"add", required_argument, NULL, 'a'},
		{"path", required_argument, NULL, 'p'},
		{"provides", required_argument, NULL, 'n'},
		{"threshold", required_argument, NULL, 't'},
		{"preload", no_argument, NULL, 'l'},
		{"trusted", no_argument, NULL, 's'},
		{"remove", no_argument, NULL, 'r'},
		{"key", required_argument, NULL, 'k'},
		{"passphrase-file", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	bool		fits = true;
	int			option;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
	{
		switch (option)
		{
			case 'h':
				print_help();
				return DEPOT_EXIT_OK;
			case 'a':
				fits = fits && add_word(&delegate->added, optarg);
				break;
			case 'p':
				fits = fits && add_word(&delegate->patterns, optarg);
				break;
			case 'n':
				fits = fits && add_word(&delegate->names, optarg);
				break;
			case 'k':
				fits = fits && depot_repo_key_option(&delegate->key_options, optarg);
				break;
			case 't':
				if (!depot_cli_parse_number(optarg, 1, DEPOT_REPO_MAX_KEYS, &delegate->threshold))
					return depot_cli_usage_error(COMMAND, "--threshold is not from 1 to %d", DEPOT_REPO_MAX_KEYS);
				break;
			case 'l':
				delegate->preload = true;
				break;
			case 's':
				delegate->trusted = true;
				break;
			case 'r':
				delegate->remove = true;
				break;
			case 'f':
				delegate->key_options.passphrase_file = optarg;
				break;
			default:
				return depot_cli_option_error(COMMAND, option, argv);
		}
	}
	if (!fits)
		return depot_cli_usage_error(COMMAND, "more than %d keys, or %d paths or names", DEPOT_REPO_MAX_KEYS,
									 MAX_WORDS);
	if (optind != argc - 2)
		return depot_cli_usage_error(COMMAND, "a directory and the name of a publisher are needed");
	if (delegate->remove && delegate->added.count + delegate->patterns.count + delegate->names.count > 0)
		return depot_cli_usage_error(COMMAND, "--remove goes with --key only");
	if (!delegate->remove &&
		(delegate->added.count == 0 || delegate->patterns.count == 0 || delegate->names.count == 0))
		return depot_cli_usage_error(COMMAND, "--add, --path and --provides are each needed once at least");
	delegate->path = argv[optind];
	delegate->publisher = argv[optind + 1];
	return DEPOT_EXIT_OK;
}

static bool
has_word(const Words *words, const char *word)
{
	for (int i = 0; i < words->count; i++)
	{
		if (strcmp(words->words[i], word) == 0)
			return true;
	}
	return false;
}

/* The package that a checked pattern is for. */
static const char *
pattern_package(const char *pattern, char out[DEPOT_NAME_MAX_BYTES + 1])
{
	const char *start = strchr(strchr(pattern, '/') + 1, '/') + 1;

	snprintf(out, DEPOT_NAME_MAX_BYTES + 1, "%.*s", (int) strcspn(start, "/"), start);
	return out;
}

/* Checks names and paths, and reads the keys; a passphrase may be asked for: before the lock. */
static int
check_words(Delegate *delegate, DepotError *error)
{
	bool		ok = depot_publisher_check_name(delegate->publisher, error);

	for (int i = 0; i < delegate->names.count && ok; i++)
		ok = depot_publisher_check_provided_name(delegate->names.words[i], error);
	for (int i = 0; i < delegate->patterns.count && ok; i++)
	{
		const char *pattern = delegate->patterns.words[i];
		char		package[DEPOT_NAME_MAX_BYTES + 1];

		ok = depot_publisher_check_pattern(pattern, error);
		if (ok && !has_word(&delegate->names, pattern_package(pattern, package)))
		{
			ok = depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								 "path %s is for package \"%s\", which is not among the names to be provided",
								 pattern, package);
			depot_error_hint(error, "Add --provides %s, and one for each extension, module and library in it.",
							 package);
		}
	}
	for (int i = 0; i < delegate->added.count && ok; i++)
		ok = depot_repo_keys_load(&delegate->publisher_keys, delegate->added.words[i],
								  delegate->key_options.passphrase_file, true, error);
	if (ok && !delegate->remove && delegate->publisher_keys.count < delegate->threshold)
		ok = depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
							 "the publisher's role would need %d signatures, but has %d key%s",
							 (int) delegate->threshold, delegate->publisher_keys.count,
							 delegate->publisher_keys.count == 1 ? "" : "s");
	if (!ok || !depot_repo_keys_load_all(&delegate->keys, &delegate->key_options, error))
		return depot_cli_report_error(error);
	snprintf(delegate->role, sizeof(delegate->role), DEPOT_PUBLISHER_ROLE_PREFIX "%s", delegate->publisher);
	return DEPOT_EXIT_OK;
}

static int
run(Delegate *delegate, DepotError *error)
{
	DepotRepo	repo;
	bool		published = false;
	bool		ok;

	if (!depot_repo_open(&repo, delegate->path, true, error))
		return depot_cli_report_error(error);
	ok = depot_repo_request_load(&repo, error) && change(delegate, &repo, error) &&
		depot_repo_bind_roles(&repo, error);
	if (ok)
	{
		int			new_count = 0;

		print_change(delegate);
		ok = depot_repo_check_waiting(&repo, &new_count, error) &&
			depot_repo_release(&repo, &delegate->keys, &published, error) &&
			(!delegate->remove || drop_pending(delegate, &repo, error));
		if (ok && published)
		{
			printf("published\n");
			depot_repo_print_published(&repo);
		}
		else if (ok)
			depot_repo_print_waiting(&repo, &delegate->keys);
	}
	depot_repo_close(&repo);
	return !ok ? depot_cli_report_error(error) : published ? DEPOT_EXIT_OK : DEPOT_EXIT_ATTENTION;
}

/* Puts the delegation into the next targets, or takes it out there. */
static bool
change(const Delegate *delegate, DepotRepo *repo, DepotError *error)
{
	DepotRepoRole *targets = &repo->roles[DEPOT_REPO_TARGETS];
	json_t	   *delegations;
	json_t	   *roles;
	const json_t *entry;
	size_t		index;
	bool		found = false;

	if (!depot_repo_begin_next(repo, targets, error))
		return false;
	delegations = json_object_get(targets->next, "delegations");
	roles = json_object_get(delegations, "roles");
	json_array_foreach(roles, index, entry)
	{
		if (strcmp(json_string_value(json_object_get(entry, "name")), delegate->role) == 0)
		{
			json_array_remove(roles, index);
			found = true;
			break;
		}
	}
	if (delegate->remove && !found)
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the repository has no publisher \"%s\"",
						delegate->publisher);
		return depot_error_hint(error, "\"pg_depot repo status\" lists its roles; those of publishers begin with "
								"\"" DEPOT_PUBLISHER_ROLE_PREFIX "\".");
	}
	if (!delegate->remove && (!check_others(delegate, roles, error) || !put_entry(delegate, delegations, error)))
		return false;
	depot_repo_drop_unused_keys(json_object_get(delegations, "keys"), roles);
	depot_repo_drop_signatures(targets);
	return true;
}

/* A path belongs to one publisher. */
static bool
check_others(const Delegate *delegate, const json_t *roles, DepotError *error)
{
	const json_t *entry;
	const json_t *pattern;
	size_t		index;
	size_t		place;

	json_array_foreach(roles, index, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name"));

		if (!depot_publisher_is_role(name))
			continue;
		json_array_foreach(json_object_get(entry, "paths"), place, pattern)
		{
			for (int i = 0; i < delegate->patterns.count; i++)
			{
				if (!overlaps(delegate->patterns.words[i], json_string_value(pattern)))
					continue;
				depot_error_set(error, DEPOT_ERROR_DUPLICATE, "path %s is delegated to role \"%s\" already, as %s",
								delegate->patterns.words[i], name, json_string_value(pattern));
				return depot_error_hint(error, "Take it from that publisher first: delegate again to him without it, "
										"or with --remove.");
			}
		}
	}
	return true;
}

/* Whether two checked patterns have a path in common: "*" stands for a whole part in them. */
static bool
overlaps(const char *a, const char *b)
{
	for (;;)
	{
		const size_t a_bytes = strcspn(a, "/");
		const size_t b_bytes = strcspn(b, "/");

		if (*a != '*' && *b != '*' && (a_bytes != b_bytes || memcmp(a, b, a_bytes) != 0))
			return false;
		a += a_bytes;
		b += b_bytes;
		if (*a == '\0' || *b == '\0')
			return *a == *b;
		a++;
		b++;
	}
}

/* Behind the other publishers, before the platforms: the first that matches a path has it. */
static bool
put_entry(const Delegate *delegate, json_t *delegations, DepotError *error)
{
	json_t	   *roles = json_object_get(delegations, "roles");
	json_t	   *entry = make_entry(delegate);
	size_t		place = 0;

	while (place < json_array_size(roles) &&
		   depot_publisher_is_role(json_string_value(json_object_get(json_array_get(roles, place), "name"))))
		place++;
	if (entry == NULL || json_array_insert_new(roles, place, entry) != 0)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	for (int i = 0; i < delegate->publisher_keys.count; i++)
	{
		json_t	   *key = depot_key_to_json(delegate->publisher_keys.keys[i], error);

		if (key == NULL ||
			json_object_set_new(json_object_get(delegations, "keys"), delegate->publisher_keys.keys[i]->keyid,
								key) != 0)
			return false;
	}
	return true;
}

static json_t *
make_entry(const Delegate *delegate)
{
	json_t	   *keyids = json_array();

	for (int i = 0; i < delegate->publisher_keys.count; i++)
		json_array_append_new(keyids, json_string(delegate->publisher_keys.keys[i]->keyid));
	return json_pack("{s:s, s:o, s:I, s:b, s:o, s:{s:o, s:b, s:b}}", "name", delegate->role, "keyids", keyids,
					 "threshold", (json_int_t) delegate->threshold, "terminating", 1,
					 "paths", make_list(&delegate->patterns), "pg_depot",
					 "provides", make_list(&delegate->names), "preload", (int) delegate->preload,
					 "trusted", (int) delegate->trusted);
}

/* Each word once. */
static json_t *
make_list(const Words *words)
{
	json_t	   *list = json_array();

	for (int i = 0; i < words->count; i++)
	{
		bool		known = false;

		for (int j = 0; j < i && !known; j++)
			known = strcmp(words->words[j], words->words[i]) == 0;
		if (!known)
			json_array_append_new(list, json_string(words->words[i]));
	}
	return list;
}

/* What was added for a publisher who is none any more can never be published. */
static bool
drop_pending(const Delegate *delegate, DepotRepo *repo, DepotError *error)
{
	int			dropped = 0;

	for (size_t i = json_array_size(repo->pending); i > 0; i--)
	{
		const json_t *role = json_object_get(json_array_get(repo->pending, i - 1), "role");

		if (strcmp(json_string_value(role), delegate->role) == 0)
		{
			json_array_remove(repo->pending, i - 1);
			dropped++;
		}
	}
	if (dropped == 0)
		return true;
	printf("forgot %d added package%s that only role %s could have published\n", dropped, dropped == 1 ? "" : "s",
		   delegate->role);
	return depot_repo_write_pending(repo, error);
}

static void
print_change(const Delegate *delegate)
{
	if (delegate->remove)
	{
		printf("%s: removed\n", delegate->role);
		return;
	}
	printf("%s: %d of %d key%s; may%s be preloaded, may%s be trusted\n", delegate->role, (int) delegate->threshold,
		   delegate->publisher_keys.count, delegate->publisher_keys.count == 1 ? "" : "s",
		   delegate->preload ? "" : " not", delegate->trusted ? "" : " not");
	for (int i = 0; i < delegate->patterns.count; i++)
		printf("  path     %s\n", delegate->patterns.words[i]);
	for (int i = 0; i < delegate->names.count; i++)
		printf("  provides %s\n", delegate->names.words[i]);
}
