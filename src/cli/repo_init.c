/*-------------------------------------------------------------------------
 *
 * repo_init.c
 *	  "pg_depot repo init": makes an empty repository, all roles signed.
 *
 * repository.json is written last: a directory without it is no repository,
 * so an init that was killed leaves nothing that could be taken for one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/repo_common.h"
#include "common/digest.h"
#include "common/files.h"

#define COMMAND "repo init"
#define SECONDS_PER_DAY 86400

/* What getopt_long returns: one of these times ROLE_SPAN, plus the index of a role. */
#define ROLE_SPAN 16
enum
{
	OPTION_KEY = 100,
	OPTION_THRESHOLD,
	OPTION_DAYS
};
#define ROLE_OPTION(kind, role) ((kind) * ROLE_SPAN + (role))

typedef struct Init
{
	const char *path;
	const char *passphrase_file;
	const char *key_paths[DEPOT_REPO_TOP_LEVEL_COUNT][DEPOT_REPO_MAX_KEYS];
	int			key_path_count[DEPOT_REPO_TOP_LEVEL_COUNT];
	DepotRepoKeys keys[DEPOT_REPO_TOP_LEVEL_COUNT];
	int64_t		thresholds[DEPOT_REPO_TOP_LEVEL_COUNT];
	int64_t		days[DEPOT_REPO_TOP_LEVEL_COUNT];
} Init;

static int	parse_options(Init *init, int argc, char **argv);
static int	take_option(Init *init, int option, const char *name);
static bool load_keys(Init *init, DepotError *error);
static int	open_empty_directory(const char *path, DepotError *error);
static bool write_repository(const Init *init, int fd, DepotError *error);
static bool make_root(const Init *init, int64_t now_s, json_t **root, DepotError *error);
static json_t *make_entry(const DepotRepoKeys *keys, int64_t threshold);
static bool print_result(int fd, const char *path, DepotError *error);

static void
print_help(void)
{
	puts("Usage: pg_depot repo init DIR --root-key FILE... --targets-key FILE...\n"
		 "                          --snapshot-key FILE --timestamp-key FILE [OPTIONS]\n"
		 "\n"
		 "Makes an empty repository in DIR, which must be empty or absent, and publishes\n"
		 "version 1 of it.  Key options may be repeated; a .pub file will do where the\n"
		 "threshold is reached without its secret half.\n"
		 "\n"
		 "  --root-key FILE           a key of root\n"
		 "  --targets-key FILE        a key of targets, and of the roles of each platform\n"
		 "  --snapshot-key FILE       a key of snapshot\n"
		 "  --timestamp-key FILE      a key of timestamp\n"
		 "  --root-threshold N        signatures that root needs (1)\n"
		 "  --targets-threshold N     signatures that targets needs (1)\n"
		 "  --root-days N             how long root is valid (365)\n"
		 "  --targets-days N          how long targets is valid (180)\n"
		 "  --snapshot-days N         how long snapshot is valid (7)\n"
		 "  --timestamp-days N        how long timestamp is valid (1)\n"
		 "  --passphrase-file FILE    its first line opens sealed keys");
}

int
depot_cmd_repo_init(int argc, char **argv)
{
	static Init init;
	DepotError	error = {0};
	DepotError	ignored;
	int			result;
	int			fd = -1;

	init = (Init)
	{
		.thresholds =
		{
			1, 1, 1, 1
		}
	};
	init.days[DEPOT_REPO_ROOT] = 365;
	init.days[DEPOT_REPO_TARGETS] = 180;
	init.days[DEPOT_REPO_SNAPSHOT] = 7;
	init.days[DEPOT_REPO_TIMESTAMP] = 1;
	result = parse_options(&init, argc, argv);
	if (init.path == NULL)
		return result;

	result = DEPOT_EXIT_FAILED;
	if (load_keys(&init, &error))
	{
		fd = open_empty_directory(init.path, &error);
		if (fd >= 0 && write_repository(&init, fd, &error) && print_result(fd, init.path, &error))
			result = DEPOT_EXIT_OK;
		else if (fd >= 0)
		{
			/* It was empty, so that the command can be repeated. */
			(void) depot_files_remove_tree(fd, "metadata", &ignored);
			(void) depot_files_remove_tree(fd, "targets", &ignored);
			(void) depot_files_remove(fd, DEPOT_REPO_CONFIG, &ignored);
		}
	}
	if (result != DEPOT_EXIT_OK)
		depot_cli_report_error(&error);
	if (fd >= 0)
		close(fd);
	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT; i++)
		depot_repo_keys_free(&init.keys[i]);
	return result;
}

/* Sets the path when there is something to do; else what is returned is the exit code. */
static int
parse_options(Init *init, int argc, char **argv)
{
	static const struct option options[] = {
		{"root-key", required_argument, NULL, ROLE_OPTION(OPTION_KEY, DEPOT_REPO_ROOT)},
		{"targets-key", required_argument, NULL, ROLE_OPTION(OPTION_KEY, DEPOT_REPO_TARGETS)},
		{"snapshot-key", required_argument, NULL, ROLE_OPTION(OPTION_KEY, DEPOT_REPO_SNAPSHOT)},
		{"timestamp-key", required_argument, NULL, ROLE_OPTION(OPTION_KEY, DEPOT_REPO_TIMESTAMP)},
		{"root-threshold", required_argument, NULL, ROLE_OPTION(OPTION_THRESHOLD, DEPOT_REPO_ROOT)},
		{"targets-threshold", required_argument, NULL, ROLE_OPTION(OPTION_THRESHOLD, DEPOT_REPO_TARGETS)},
		{"root-days", required_argument, NULL, ROLE_OPTION(OPTION_DAYS, DEPOT_REPO_ROOT)},
		{"targets-days", required_argument, NULL, ROLE_OPTION(OPTION_DAYS, DEPOT_REPO_TARGETS)},
		{"snapshot-days", required_argument, NULL, ROLE_OPTION(OPTION_DAYS, DEPOT_REPO_SNAPSHOT)},
		{"timestamp-days", required_argument, NULL, ROLE_OPTION(OPTION_DAYS, DEPOT_REPO_TIMESTAMP)},
		{"passphrase-file", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	int			option;
	int			index = 0;

	while ((option = getopt_long(argc, argv, ":h", options, &index)) != -1)
	{
		if (option == 'h')
		{
			print_help();
			return DEPOT_EXIT_OK;
		}
		if (option == 'f')
			init->passphrase_file = optarg;
		else if (option >= OPTION_KEY * ROLE_SPAN)
		{
			int			result = take_option(init, option, options[index].name);

			if (result != -1)
				return result;
		}
		else
			return depot_cli_option_error(COMMAND, option, argv);
	}
	if (optind != argc - 1)
		return depot_cli_usage_error(COMMAND, "exactly one directory is needed");
	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT; i++)
	{
		if (init->key_path_count[i] == 0)
			return depot_cli_usage_error(COMMAND, "option \"--%s-key\" is missing", depot_repo_role_names[i]);
	}
	init->path = argv[optind];
	return DEPOT_EXIT_OK;
}

static int
take_option(Init *init, int option, const char *name)
{
	const int	kind = option / ROLE_SPAN;
	const int	role = option % ROLE_SPAN;

	if (role >= DEPOT_REPO_TOP_LEVEL_COUNT)
		return depot_cli_usage_error(COMMAND, "unknown option \"--%s\"", name);
	if (kind == OPTION_KEY)
	{
		if (init->key_path_count[role] == DEPOT_REPO_MAX_KEYS)
			return depot_cli_usage_error(COMMAND, "option \"--%s\" is given more than %d times", name,
										 DEPOT_REPO_MAX_KEYS);
		init->key_paths[role][init->key_path_count[role]++] = optarg;
	}
	else if (kind == OPTION_THRESHOLD)
	{
		if (!depot_cli_parse_number(optarg, 1, DEPOT_REPO_MAX_KEYS, &init->thresholds[role]))
			return depot_cli_usage_error(COMMAND, "--%s is not a number from 1 to %d", name,
										 DEPOT_REPO_MAX_KEYS);
	}
	else if (!depot_cli_parse_number(optarg, 1, DEPOT_REPO_MAX_DAYS, &init->days[role]))
		return depot_cli_usage_error(COMMAND, "--%s is not a number from 1 to %d", name, DEPOT_REPO_MAX_DAYS);
	return -1;
}

static bool
load_keys(Init *init, DepotError *error)
{
	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT; i++)
	{
		DepotRepoKeys *keys = &init->keys[i];
		int			secret = 0;

		for (int j = 0; j < init->key_path_count[i]; j++)
		{
			if (!depot_repo_keys_load(keys, init->key_paths[i][j], init->passphrase_file, true, error))
				return false;
		}
		for (int j = 0; j < keys->count; j++)
		{
			if (keys->keys[j]->secret_key != NULL)
				secret++;
		}
		if (keys->count < init->thresholds[i])
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								   "role \"%s\" needs %d signatures, but has %d different key%s",
								   depot_repo_role_names[i], (int) init->thresholds[i], keys->count,
								   keys->count == 1 ? "" : "s");
		if (secret < init->thresholds[i])
		{
			depot_error_set(error, DEPOT_ERROR_KEY,
							"role \"%s\" needs %d signature%s, but secret keys were given for only %d",
							depot_repo_role_names[i], (int) init->thresholds[i],
							init->thresholds[i] == 1 ? "" : "s", secret);
			return depot_error_hint(error, "Give the secret key file instead of the .pub file for enough of "
									"them.");
		}
	}
	return true;
}

/* Makes the directory, or opens it when it is there and empty. */
static int
open_empty_directory(const char *path, DepotError *error)
{
	int			fd;
	DIR		   *directory;
	const struct dirent *entry;
	bool		empty = true;

	if (mkdir(path, 0755) != 0 && errno != EEXIST)
	{
		depot_error_set_errno(error, errno, "could not make directory \"%s\"", path);
		return -1;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	directory = fd < 0 ? NULL : fdopendir(fd);
	if (directory == NULL)
	{
		depot_error_set_errno(error, errno, "could not open directory \"%s\"", path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	/* cppcheck-suppress readdirCalled ; readdir_r is deprecated, and this stream is nobody else's */
	while ((entry = readdir(directory)) != NULL)
	{
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			empty = false;
	}
	fd = empty ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	closedir(directory);
	if (!empty)
	{
		depot_error_set(error, DEPOT_ERROR_FILE_EXISTS, "directory \"%s\" is not empty", path);
		depot_error_hint(error, "A repository is made once. \"pg_depot repo add\" and \"publish\" change "
						 "it.");
	}
	else if (fd < 0)
		depot_error_set_errno(error, errno, "could not open directory \"%s\"", path);
	return fd;
}

static bool
write_repository(const Init *init, int fd, DepotError *error)
{
	const int64_t now_s = (int64_t) time(NULL);
	const DepotRepoRoleIndex order[] = {DEPOT_REPO_TARGETS, DEPOT_REPO_SNAPSHOT, DEPOT_REPO_TIMESTAMP};
	json_t	   *root = NULL;
	json_t	   *meta = NULL;
	bool		ok;

	ok = depot_files_make_directories(fd, "metadata", 0755, true, error) &&
		depot_files_make_directories(fd, "targets", 0755, true, error) &&
		make_root(init, now_s, &root, error) &&
		depot_repo_sign_and_write(fd, "root", root, json_object_get(root, "keys"),
								  json_object_get(json_object_get(root, "roles"), "root"),
								  &init->keys[DEPOT_REPO_ROOT], NULL, error);
	for (int i = 0; i < 3 && ok; i++)
	{
		const char *name = depot_repo_role_names[order[i]];
		json_t	   *body = depot_repo_new_body(name, 1, now_s + init->days[order[i]] * SECONDS_PER_DAY,
											   error);

		ok = body != NULL;
		if (ok && order[i] == DEPOT_REPO_TARGETS)
		{
			json_object_set_new(body, "targets", json_object());
			json_object_set_new(body, "delegations", json_pack("{s:{}, s:[]}", "keys", "roles"));
		}
		else if (ok)
			json_object_set(body, "meta", meta);
		json_decref(meta);
		meta = json_object();
		ok = ok && depot_repo_sign_and_write(fd, name, body, json_object_get(root, "keys"),
											 json_object_get(json_object_get(root, "roles"), name),
											 &init->keys[order[i]], meta, error);
		json_decref(body);
	}
	json_decref(meta);
	json_decref(root);
	return ok && depot_repo_write_config(fd, init->days, error);
}

static bool
make_root(const Init *init, int64_t now_s, json_t **root, DepotError *error)
{
	json_t	   *keys = json_object();
	json_t	   *roles = json_object();

	*root = depot_repo_new_body("root", 1, now_s + init->days[DEPOT_REPO_ROOT] * SECONDS_PER_DAY, error);
	if (*root == NULL)
	{
		json_decref(keys);
		json_decref(roles);
		return false;
	}
	json_object_set_new(*root, "consistent_snapshot", json_true());
	json_object_set_new(*root, "keys", keys);
	json_object_set_new(*root, "roles", roles);
	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT; i++)
	{
		for (int j = 0; j < init->keys[i].count; j++)
		{
			json_t	   *key = depot_key_to_json(init->keys[i].keys[j], error);

			if (key == NULL)
				return false;
			json_object_set_new(keys, init->keys[i].keys[j]->keyid, key);
		}
		json_object_set_new(roles, depot_repo_role_names[i], make_entry(&init->keys[i], init->thresholds[i]));
	}
	return true;
}

static json_t *
make_entry(const DepotRepoKeys *keys, int64_t threshold)
{
	json_t	   *keyids = json_array();

	for (int i = 0; i < keys->count; i++)
		json_array_append_new(keyids, json_string(keys->keys[i]->keyid));
	return json_pack("{s:o, s:I}", "keyids", keyids, "threshold", (json_int_t) threshold);
}

/* What a server must be told to trust: the root itself, or its digest. */
static bool
print_result(int fd, const char *path, DepotError *error)
{
	char		hex[DEPOT_SHA256_HEX_BYTES];

	if (!depot_digest_file(fd, "metadata/1.root.json", hex, NULL, error))
		return false;
	printf("repository %s\nroot       %s/metadata/1.root.json\nsha256     %s\n", path, path, hex);
	return true;
}
