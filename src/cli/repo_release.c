/*-------------------------------------------------------------------------
 *
 * repo_release.c
 *	  Publishes what is next, or leaves it to be signed by others.
 *
 * Order: delegated roles, targets, snapshot, root, timestamp.  Each file is
 * new and nobody is told of it before the timestamp, which is written last by
 * one rename; so a release that dies at any instant leaves the repository as
 * it was.  Only a new root counts at once: it comes right before the timestamp
 * that its keys have signed, and is kept in signing.json with everything that
 * goes with it, so that whoever has the keys of snapshot and timestamp can end
 * what was begun.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/repo_common.h"
#include "common/files.h"
#include "common/publisher.h"
#include "common/testpoint.h"

/* Signatures of these are collected in signing.json; snapshot and timestamp are signed when all is there. */
static bool is_collected(const DepotRepo *repo, int index);
static int64_t next_version(const DepotRepo *repo, const DepotRepoRole *role);
static bool has_what_it_needs(const DepotRepo *repo, int index, const DepotRepoKeys *keys);
static bool lacks_keys(const DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error);
static void append_lacking(const DepotRepo *repo, int index, const DepotRepoKeys *keys, DepotBuffer *out);
static bool write_all(DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error);
static bool write_online(DepotRepo *repo, DepotRepoRole *role, const DepotRepoKeys *keys, json_t *meta,
						 DepotError *error);
static json_t *next_meta(const DepotRepoRole *role, DepotError *error);

bool
depot_repo_begin_next(const DepotRepo *repo, DepotRepoRole *role, DepotError *error)
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
		if (role->disowned)
			json_object_set_new(role->next, "targets", json_object());
		return depot_repo_stamp(role->next, version, expires, error);
	}
	role->next = depot_repo_new_body("targets", version, expires, error);
	return role->next != NULL &&
		(json_object_set_new(role->next, "targets", json_object()) == 0 ||
		 depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory"));
}

bool
depot_repo_have_keys(const DepotRepoRole *role, const DepotRepoKeys *keys)
{
	return depot_repo_count_signers(role->entry, keys) >=
		json_integer_value(json_object_get(role->entry, "threshold"));
}

bool
depot_repo_follow(DepotRepo *repo, bool *collected, DepotError *error)
{
	DepotRepoRole *snapshot = &repo->roles[DEPOT_REPO_SNAPSHOT];
	DepotRepoRole *timestamp = &repo->roles[DEPOT_REPO_TIMESTAMP];
	bool		changed = snapshot->next != NULL || snapshot->stale;

	for (int i = DEPOT_REPO_TARGETS; i < repo->role_count; i++)
	{
		if (repo->roles[i].stale && !depot_publisher_is_role(repo->roles[i].name) &&
			!depot_repo_begin_next(repo, &repo->roles[i], error))
			return false;
		if (repo->roles[i].next != NULL)
			changed = *collected = true;
	}
	if (repo->roles[DEPOT_REPO_ROOT].next != NULL)
		*collected = true;
	return (!changed || depot_repo_begin_next(repo, snapshot, error)) &&
		(!(changed || timestamp->stale) || depot_repo_begin_next(repo, timestamp, error));
}

bool
depot_repo_release(DepotRepo *repo, const DepotRepoKeys *keys, bool *published, DepotError *error)
{
	bool		collected = false;
	bool		complete = true;
	bool		kept;

	*published = false;
	if (!depot_repo_follow(repo, &collected, error))
		return false;
	for (int i = 0; i < repo->role_count; i++)
	{
		DepotRepoRole *role = &repo->roles[i];
		int			added = 0;

		if (role->next == NULL)
			continue;
		if (is_collected(repo, i) && !depot_repo_sign(role, keys, &added, error))
			return false;
		complete = complete && has_what_it_needs(repo, i, keys);
	}
	if (!complete && !collected)
		return lacks_keys(repo, keys, error);
	/* A root that is published before the timestamp has to be followed by it, whatever happens to us. */
	kept = !complete || repo->waiting || repo->roles[DEPOT_REPO_ROOT].next != NULL;
	if (kept && !depot_repo_request_write(repo, error))
		return false;
	if (!complete)
		return true;
	*published = true;
	return write_all(repo, keys, error) &&
		(!(kept || repo->request_is_out) || depot_repo_request_remove(repo, error));
}

void
depot_repo_print_published(const DepotRepo *repo)
{
	for (int i = 0; i < repo->role_count; i++)
	{
		const json_t *next = repo->roles[i].next;

		if (next != NULL)
			printf("%-24s version %" JSON_INTEGER_FORMAT ", expires %s\n", repo->roles[i].name,
				   json_integer_value(json_object_get(next, "version")),
				   json_string_value(json_object_get(next, "expires")));
	}
}

void
depot_repo_print_waiting(const DepotRepo *repo, const DepotRepoKeys *keys)
{
	bool		collected = false;

	printf("not published yet: signatures are missing\n");
	for (int i = 0; i < repo->role_count; i++)
	{
		DepotBuffer text;

		if (repo->roles[i].next == NULL || has_what_it_needs(repo, i, keys))
			continue;
		if (is_collected(repo, i))
			collected = true;
		depot_buffer_init(&text);
		append_lacking(repo, i, keys, &text);
		printf("  %s\n", text.data == NULL ? "" : text.data);
		depot_buffer_free(&text);
	}
	if (collected)
		printf("\"pg_depot repo sign\" adds signatures, here or on copies of %s/%s;\n"
			   "\"pg_depot repo publish\" publishes when they are all there.\n", repo->path, DEPOT_REPO_REQUEST);
	else
		printf("\"pg_depot repo publish\" with the keys of snapshot and timestamp publishes.\n");
}

static bool
is_collected(const DepotRepo *repo, int index)
{
	return index != DEPOT_REPO_SNAPSHOT && index != DEPOT_REPO_TIMESTAMP && index < repo->role_count;
}

/*
 * The next number no file has. A publish that was killed may have left a file of a
 * version that nothing refers to; a copy of it may stand in somebody's cache, so its name
 * is not used again.
 */
static int64_t
next_version(const DepotRepo *repo, const DepotRepoRole *role)
{
	char		path[DEPOT_REPO_PATH_BYTES];
	int64_t		version = role->version + 1;

	if (strcmp(role->name, "timestamp") == 0)
		return version;
	for (;; version++)
	{
		depot_repo_metadata_file(role->name, version, path);
		if (!depot_files_exists(repo->fd, path))
			return version;
	}
}

static bool
has_what_it_needs(const DepotRepo *repo, int index, const DepotRepoKeys *keys)
{
	DepotError	ignored;

	return is_collected(repo, index) ? depot_repo_is_signed(&repo->roles[index], &ignored)
		: depot_repo_have_keys(&repo->roles[index], keys);
}

/* Says for all roles what is missing. */
static bool
lacks_keys(const DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error)
{
	DepotBuffer roles;
	DepotBuffer detail;
	int			count = 0;

	depot_buffer_init(&roles);
	depot_buffer_init(&detail);
	for (int i = 0; i < repo->role_count; i++)
	{
		if (repo->roles[i].next == NULL || has_what_it_needs(repo, i, keys))
			continue;
		depot_buffer_append_format(&roles, "%s\"%s\"", count == 0 ? "" : ", ", repo->roles[i].name);
		depot_buffer_append_string(&detail, count == 0 ? "" : " ");
		append_lacking(repo, i, keys, &detail);
		depot_buffer_append_string(&detail, ".");
		count++;
	}
	depot_error_set(error, DEPOT_ERROR_KEY, "keys are missing for role%s %s", count == 1 ? "" : "s",
					roles.data == NULL ? "" : roles.data);
	depot_error_detail(error, "%s", detail.data == NULL ? "" : detail.data);
	depot_buffer_free(&roles);
	depot_buffer_free(&detail);
	return depot_error_hint(error, "Give every key that is needed with its own --key. Nothing was published.");
}

/* Appends "root" needs 2 of these keys, 1 given: ... for each set of signers that falls short. */
static void
append_lacking(const DepotRepo *repo, int index, const DepotRepoKeys *keys, DepotBuffer *out)
{
	const DepotRepoRole *role = &repo->roles[index];
	const bool	collected = is_collected(repo, index);
	DepotRepoSigners signers[DEPOT_REPO_MAX_SIGNERS];
	const int	signers_count = depot_repo_signers(role, signers);
	bool		first = true;

	for (int i = 0; i < signers_count; i++)
	{
		const json_int_t threshold = json_integer_value(json_object_get(signers[i].entry, "threshold"));
		const int	have = collected ? depot_repo_count_signatures(role, &signers[i])
		: depot_repo_count_signers(signers[i].entry, keys);
		const json_t *keyid;
		size_t		place;

		if (have >= threshold)
			continue;
		depot_buffer_append_format(out, "%s\"%s\" needs %" JSON_INTEGER_FORMAT " of these %skeys, %d %s:",
								   first ? "" : "; ", role->name, threshold,
								   signers_count == 1 ? "" : i == 0 ? "old " : "new ", have,
								   collected ? "signed" : "given");
		json_array_foreach(json_object_get(signers[i].entry, "keyids"), place, keyid)
		{
			depot_buffer_append_format(out, "%s %.16s", place == 0 ? "" : ",", json_string_value(keyid));
		}
		first = false;
	}
}

static bool
write_all(DepotRepo *repo, const DepotRepoKeys *keys, DepotError *error)
{
	DepotRepoRole *root = &repo->roles[DEPOT_REPO_ROOT];
	DepotRepoRole *snapshot = &repo->roles[DEPOT_REPO_SNAPSHOT];
	DepotRepoRole *timestamp = &repo->roles[DEPOT_REPO_TIMESTAMP];
	json_t	   *meta = next_meta(snapshot, error);

	if (snapshot->next != NULL && meta == NULL)
		return false;
	/* Delegated roles first: a targets file never names a role that is not there yet. */
	for (int i = repo->role_count - 1; i >= DEPOT_REPO_TARGETS; i--)
	{
		if (repo->roles[i].next != NULL && !depot_repo_write_role(repo->fd, &repo->roles[i], meta, error))
			return false;
	}
	depot_test_point("publish_targets");
	meta = next_meta(timestamp, error);
	if ((timestamp->next != NULL && meta == NULL) || !write_online(repo, snapshot, keys, meta, error))
		return false;
	depot_test_point("publish_snapshot");
	if (root->next != NULL && !depot_repo_write_role(repo->fd, root, NULL, error))
		return false;
	depot_test_point("publish_root");
	if (!write_online(repo, timestamp, keys, NULL, error))
		return false;
	depot_test_point("publish_timestamp");
	return true;
}

static bool
write_online(DepotRepo *repo, DepotRepoRole *role, const DepotRepoKeys *keys, json_t *meta, DepotError *error)
{
	int			added = 0;

	return role->next == NULL ||
		(depot_repo_sign(role, keys, &added, error) && depot_repo_write_role(repo->fd, role, meta, error));
}

/* The meta of the next snapshot or timestamp, NULL when there is no next. */
static json_t *
next_meta(const DepotRepoRole *role, DepotError *error)
{
	json_t	   *meta = json_object_get(role->next, "meta");

	if (role->next != NULL && meta == NULL)
		depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT, "%s metadata has no meta", role->name);
	return meta;
}
