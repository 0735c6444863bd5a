/*-------------------------------------------------------------------------
 *
 * repo_publish.c
 *	  "pg_depot repo publish": signs what was added, renews what expires.
 *
 * Order: root, delegated roles, targets, snapshot, timestamp.  Each file is
 * new and nobody is told of it before the timestamp, which is written last by
 * one rename; so a publish that dies at any instant leaves the repository as it was, and the next one
 * begins again with what is still pending.  Only a new root counts at once,
 * and it says nothing about packages.
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
#include "common/testpoint.h"
#include "common/withdrawn.h"

#define COMMAND "repo publish"

static int	parse_options(int argc, char **argv, const char **key_paths, int *key_count,
						  const char **passphrase_file);
static bool publish(DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error);
static bool take_pending(DepotRepo *repo, int *new_count, DepotError *error);
static bool take_target(DepotRepo *repo, const json_t *entry, bool *is_new, DepotError *error);
static bool check_file(const DepotRepo *repo, const char *file, const char *sha256, int64_t length,
					   DepotError *error);
static DepotRepoRole *delegate(DepotRepo *repo, const char *name, DepotError *error);
static bool renew(DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error);
static bool begin_next(DepotRepo *repo, DepotRepoRole *role, DepotError *error);
static int64_t next_version(const DepotRepo *repo, const DepotRepoRole *role);
static bool check_keys(const DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error);
static void warn_unused_keys(const DepotRepo *repo, const DepotRepoKeys *keys);
static bool write_all(DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error);
static bool write_role(DepotRepo *repo, DepotRepoRole *role, const DepotRepoKeys *keys, json_t *meta,
					   DepotError *error);
static json_t *next_meta(DepotRepoRole *role, DepotError *error);

static void
print_help(void)
{
	puts("Usage: pg_depot repo publish DIR --key FILE... [--passphrase-file FILE]\n"
		 "\n"
		 "Publishes what \"pg_depot repo add\" put in, and renews metadata: timestamp always,\n"
		 "other roles when half of their lifetime is over and their keys are given.\n"
		 "\n"
		 "  --key FILE              a secret key; repeat it for each key that is needed\n"
		 "  --passphrase-file FILE  its first line opens sealed keys");
}

int
depot_cmd_repo_publish(int argc, char **argv)
{
	static DepotRepoKeys keys;
	static const char *key_paths[DEPOT_REPO_MAX_KEYS];
	const char *passphrase_file = NULL;
	DepotRepo	repo;
	DepotError	error = {0};
	int			key_count = 0;
	int			result = parse_options(argc, argv, key_paths, &key_count, &passphrase_file);
	bool		ok = true;

	if (result != -1)
		return result;
	/* A passphrase may be asked for: before the lock. */
	for (int i = 0; i < key_count && ok; i++)
		ok = depot_repo_keys_load(&keys, key_paths[i], passphrase_file, false, &error);
	ok = ok && depot_repo_open(&repo, argv[optind], true, &error);
	if (ok)
	{
		ok = publish(&repo, &keys, &error);
		depot_repo_close(&repo);
	}
	depot_repo_keys_free(&keys);
	return ok ? DEPOT_EXIT_OK : depot_cli_report_error(&error);
}

static int
parse_options(int argc, char **argv, const char **key_paths, int *key_count, const char **passphrase_file)
{
	static const struct option options[] = {
		{"key", required_argument, NULL, 'k'},
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
			*passphrase_file = optarg;
		else if (option != 'k')
			return depot_cli_option_error(COMMAND, option, argv);
		else if (*key_count == DEPOT_REPO_MAX_KEYS)
			return depot_cli_usage_error(COMMAND, "more than %d keys", DEPOT_REPO_MAX_KEYS);
		else
			key_paths[(*key_count)++] = optarg;
	}
	if (optind != argc - 1)
		return depot_cli_usage_error(COMMAND, "exactly one directory is needed (repeat --key for each key)");
	if (*key_count == 0)
		return depot_cli_usage_error(COMMAND, "option \"--key\" is missing");
	return -1;
}

static bool
publish(DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error)
{
	int			new_count = 0;

	if (!take_pending(repo, &new_count, error) || !renew(repo, keys, error))
		return false;
	warn_unused_keys(repo, keys);
	if (!check_keys(repo, keys, error) || !write_all(repo, keys, error))
		return false;

	/* Entries that a publish killed here leaves pending are found published by the next. */
	json_array_clear(repo->pending);
	if (!depot_repo_write_pending(repo, error))
		return false;
	printf("published %d new package%s\n", new_count, new_count == 1 ? "" : "s");
	for (int i = 0; i < repo->role_count; i++)
	{
		const json_t *next = repo->roles[i].next;

		if (next != NULL)
			printf("%-24s version %" JSON_INTEGER_FORMAT ", expires %s\n", repo->roles[i].name,
				   json_integer_value(json_object_get(next, "version")),
				   json_string_value(json_object_get(next, "expires")));
	}
	return true;
}

static bool
take_pending(DepotRepo *repo, int *new_count, DepotError *error)
{
	const json_t *entry;
	size_t		index;

	json_array_foreach(repo->pending, index, entry)
	{
		bool		is_new;

		if (!take_target(repo, entry, &is_new, error))
			return false;
		if (is_new)
			(*new_count)++;
	}
	return true;
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
	published = role == NULL ? NULL : json_object_get(json_object_get(role->body, "targets"), path);
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
	if (role == NULL || !begin_next(repo, role, error))
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

	if (role == NULL || !begin_next(repo, targets, error))
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
renew(DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error)
{
	bool		changed = false;

	for (int i = 0; i < repo->role_count; i++)
	{
		DepotRepoRole *role = &repo->roles[i];
		const int64_t left_s = role->expires_epoch_s - repo->now_s;
		const bool	have_keys = depot_repo_count_signers(role->entry, keys) >=
		json_integer_value(json_object_get(role->entry, "threshold"));
		const bool	due = left_s * 100 < role->lifetime_s * DEPOT_REPO_RENEW_PERCENT;

		/* One that has expired must be renewed: nothing that is published with it could be used. */
		if ((left_s <= 0 || (due && have_keys)) && !begin_next(repo, role, error))
			return false;
		if (i >= DEPOT_REPO_TARGETS && role->next != NULL)
			changed = true;
	}
	return (!changed || begin_next(repo, &repo->roles[DEPOT_REPO_SNAPSHOT], error)) &&
		begin_next(repo, &repo->roles[DEPOT_REPO_TIMESTAMP], error);
}

/* Makes role->next, a copy of what is published with the next version and a fresh expiry. */
static bool
begin_next(DepotRepo *repo, DepotRepoRole *role, DepotError *error)
{
	const int64_t version = next_version(repo, role);
	const int64_t expires = repo->now_s + role->lifetime_s;

	if (role->next != NULL)
		return true;
	if (role->body != NULL)
	{
		role->next = json_deep_copy(role->body);
		if (role->next == NULL)
			return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return depot_repo_stamp(role->next, version, expires, error);
	}
	role->next = depot_repo_new_body("targets", version, expires, error);
	return role->next != NULL &&
		(json_object_set_new(role->next, "targets", json_object()) == 0 ||
		 depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory"));
}

/*
 * The next number no file has. A publish that was killed may have left a file of a
 * version that nothing refers to; a copy of it may stand in somebody's cache, so its name
 * is not used again.
 */
static int64_t
next_version(const DepotRepo *repo, const DepotRepoRole *role)
{
	int64_t		version = role->version + 1;
	char		path[DEPOT_REPO_PATH_BYTES];

	if (strcmp(role->name, "timestamp") == 0)
		return version;
	for (;; version++)
	{
		snprintf(path, sizeof(path), "metadata/%" PRId64 ".%s.json", version, role->name);
		if (!depot_files_exists(repo->fd, path))
			return version;
	}
}

/* Every role that needs a new version needs a threshold of its keys; says for all of them what is missing. */
static bool
check_keys(const DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error)
{
	DepotBuffer roles;
	DepotBuffer detail;
	int			count = 0;

	depot_buffer_init(&roles);
	depot_buffer_init(&detail);
	for (int i = 0; i < repo->role_count; i++)
	{
		const DepotRepoRole *role = &repo->roles[i];
		const int	have = depot_repo_count_signers(role->entry, keys);
		const json_int_t threshold = json_integer_value(json_object_get(role->entry, "threshold"));
		const json_t *keyid;
		size_t		index;

		if (role->next == NULL || have >= threshold)
			continue;
		depot_buffer_append_format(&roles, "%s\"%s\"", count == 0 ? "" : ", ", role->name);
		depot_buffer_append_format(&detail, "%s\"%s\" needs %" JSON_INTEGER_FORMAT " of these keys, %d "
								   "given:",
								   count == 0 ? "" : " ", role->name, threshold, have);
		json_array_foreach(json_object_get(role->entry, "keyids"), index, keyid)
		{
			depot_buffer_append_format(&detail, "%s %.16s", index == 0 ? "" : ",", json_string_value(keyid));
		}
		depot_buffer_append_string(&detail, ".");
		count++;
	}
	if (count > 0)
	{
		depot_error_set(error, DEPOT_ERROR_KEY, "keys are missing for role%s %s", count == 1 ? "" : "s",
						roles.data == NULL ? "" : roles.data);
		depot_error_detail(error, "%s", detail.data == NULL ? "" : detail.data);
		depot_error_hint(error, "Give every key that is needed with its own --key. Nothing was published.");
	}
	depot_buffer_free(&roles);
	depot_buffer_free(&detail);
	return count == 0;
}

static void
warn_unused_keys(const DepotRepo *repo, const DepotRepoKeys *keys)
{
	for (int i = 0; i < keys->count; i++)
	{
		bool		used = false;

		for (int j = 0; j < repo->role_count && !used; j++)
		{
			DepotRepoKeys one = {.keys = {keys->keys[i]}, .count = 1};

			used = depot_repo_count_signers(repo->roles[j].entry, &one) > 0;
		}
		if (!used)
			depot_cli_warning("key %.16s is not a key of this repository", keys->keys[i]->keyid);
	}
}

static bool
write_all(DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error)
{
	DepotRepoRole *root = &repo->roles[DEPOT_REPO_ROOT];
	DepotRepoRole *snapshot = &repo->roles[DEPOT_REPO_SNAPSHOT];
	DepotRepoRole *timestamp = &repo->roles[DEPOT_REPO_TIMESTAMP];
	json_t	   *meta = next_meta(snapshot, error);

	if ((snapshot->next != NULL && meta == NULL) || !write_role(repo, root, keys, NULL, error))
		return false;
	/* Delegated roles first: a targets file never names a role that is not there yet. */
	for (int i = repo->role_count - 1; i >= DEPOT_REPO_TARGETS; i--)
	{
		if (!write_role(repo, &repo->roles[i], keys, meta, error))
			return false;
	}
	depot_test_point("publish_targets");
	meta = next_meta(timestamp, error);
	if (meta == NULL || !write_role(repo, snapshot, keys, meta, error))
		return false;
	depot_test_point("publish_snapshot");
	if (!write_role(repo, timestamp, keys, NULL, error))
		return false;
	depot_test_point("publish_timestamp");
	return true;
}

static bool
write_role(DepotRepo *repo, DepotRepoRole *role, const DepotRepoKeys *keys, json_t *meta, DepotError *error)
{
	return role->next == NULL ||
		depot_repo_sign_and_write(repo->fd, role->name, role->next, role->keys, role->entry, keys, meta,
								  error);
}

/* The meta of the next snapshot or timestamp, NULL when there is no next. */
static json_t *
next_meta(DepotRepoRole *role, DepotError *error)
{
	json_t	   *meta = json_object_get(role->next, "meta");

	if (role->next != NULL && meta == NULL)
		depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT, "%s metadata has no meta", role->name);
	return meta;
}
