/*-------------------------------------------------------------------------
 *
 * repo_load.c
 *	  Loads the published metadata of a repository from the newest root down,
 *	  and tells which of it the present keys no longer vouch for.
 *
 * What an earlier root vouched for is loaded too: after the keys of a role have
 * changed, its published metadata has yet to be signed again, by a publish
 * that may have been killed in between.  Such a role is marked stale; what no
 * root ever vouched for is refused.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/repo_common.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/name.h"
#include "common/publisher.h"
#include "common/tuf.h"

static bool load_root(DepotRepo *repo, DepotError *error);
static json_t *read_root(const DepotRepo *repo, int64_t version, DepotError *error);
static bool load_role(DepotRepo *repo, DepotRepoRole *role, const json_t *meta, DepotError *error);
static bool check_signed(const DepotRepo *repo, DepotRepoRole *role, DepotError *error);
static bool load_delegated(DepotRepo *repo, DepotError *error);
static void set_entry(DepotRepoRole *role, const json_t *keys, const json_t *entry);
static const json_t *meta_of(const DepotRepoRole *parent, const char *name);

bool
depot_repo_load(DepotRepo *repo, DepotError *error)
{
	static const DepotRepoRoleIndex chain[] = {DEPOT_REPO_TIMESTAMP, DEPOT_REPO_SNAPSHOT, DEPOT_REPO_TARGETS};

	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT; i++)
	{
		if (depot_repo_add_role(repo, depot_repo_role_names[i], error) == NULL)
			return false;
	}
	if (!load_root(repo, error) || !depot_repo_bind_roles(repo, error))
		return false;
	for (int i = 0; i < 3; i++)
	{
		DepotRepoRole *role = &repo->roles[chain[i]];
		const json_t *meta = i == 0 ? NULL : meta_of(&repo->roles[chain[i - 1]], role->name);

		if (i > 0 && meta == NULL)
			return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
								   "published metadata does not list %s.json",
								   role->name);
		if (!load_role(repo, role, meta, error))
			return false;
	}
	return load_delegated(repo, error);
}

bool
depot_repo_bind_roles(DepotRepo *repo, DepotError *error)
{
	const DepotRepoRole *root = &repo->roles[DEPOT_REPO_ROOT];
	const DepotRepoRole *targets = &repo->roles[DEPOT_REPO_TARGETS];
	const json_t *root_body = root->next != NULL ? root->next : root->body;
	const json_t *delegations;
	const json_t *entry;
	size_t		index;

	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT; i++)
	{
		/* The keys of root are those that are published: they sign the next one, with its own. */
		const json_t *body = i == DEPOT_REPO_ROOT ? root->body : root_body;

		set_entry(&repo->roles[i], json_object_get(body, "keys"),
				  json_object_get(json_object_get(body, "roles"), repo->roles[i].name));
	}
	delegations = json_object_get(targets->next != NULL ? targets->next : targets->body, "delegations");
	json_array_foreach(json_object_get(delegations, "roles"), index, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name"));
		DepotRepoRole *role;

		if (!depot_name_is_delegated_role(name))
			return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
								   "targets metadata delegates to a role that this program did not make");
		role = depot_repo_find_role(repo, name);
		if (role == NULL)
			role = depot_repo_add_role(repo, name, error);
		if (role == NULL)
			return false;
		set_entry(role, json_object_get(delegations, "keys"), entry);
	}
	return true;
}

bool
depot_repo_take_published(DepotRepoRole *role, const char *text, size_t length_bytes, DepotError *error)
{
	char		what[96];

	snprintf(what, sizeof(what), "%s metadata", role->name);
	json_decref(role->envelope);
	role->envelope = depot_tuf_parse_metadata(text == NULL ? "" : text, length_bytes,
											  depot_repo_type(role->name), what, error);
	role->body = json_object_get(role->envelope, "signed");
	if (role->envelope == NULL)
		return false;
	role->version = json_integer_value(json_object_get(role->body, "version"));
	return depot_tuf_time_parse(json_string_value(json_object_get(role->body, "expires")),
								&role->expires_epoch_s) ||
		depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT, "%s: expires is not a time", what);
}

/* The newest root counts, published by its mere presence. */
static bool
load_root(DepotRepo *repo, DepotError *error)
{
	DepotRepoRole *root = &repo->roles[DEPOT_REPO_ROOT];
	char		path[DEPOT_REPO_PATH_BYTES];
	int64_t		version = 1;
	DepotBuffer text;
	bool		ok;

	for (;;)
	{
		snprintf(path, sizeof(path), "metadata/%" PRId64 ".root.json", version + 1);
		if (!depot_files_exists(repo->fd, path))
			break;
		version++;
	}
	snprintf(path, sizeof(path), "metadata/%" PRId64 ".root.json", version);
	depot_buffer_init(&text);
	ok = depot_files_read(repo->fd, path, DEPOT_TUF_ROOT_MAX_BYTES, &text, error) &&
		depot_repo_take_published(root, text.data, text.length_bytes, error);
	depot_buffer_free(&text);
	if (!ok)
		return false;
	if (root->version != version)
		return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH, "\"%s\" holds version %" PRId64, path,
							   root->version);
	return depot_tuf_verify_envelope(root->envelope, json_object_get(root->body, "keys"),
									 json_object_get(json_object_get(root->body, "roles"), "root"),
									 "root metadata", error);
}

/* Returns the envelope of an earlier root that is valid by its own keys, or NULL and error. */
static json_t *
read_root(const DepotRepo *repo, int64_t version, DepotError *error)
{
	char		path[DEPOT_REPO_PATH_BYTES];
	DepotBuffer text;
	json_t	   *envelope = NULL;
	const json_t *body;

	snprintf(path, sizeof(path), "metadata/%" PRId64 ".root.json", version);
	depot_buffer_init(&text);
	if (depot_files_read(repo->fd, path, DEPOT_TUF_ROOT_MAX_BYTES, &text, error))
		envelope = depot_tuf_parse_metadata(text.data == NULL ? "" : text.data, text.length_bytes, "root",
											path, error);
	depot_buffer_free(&text);
	body = json_object_get(envelope, "signed");
	if (envelope == NULL ||
		depot_tuf_verify_envelope(envelope, json_object_get(body, "keys"),
								  json_object_get(json_object_get(body, "roles"), "root"), path, error))
		return envelope;
	json_decref(envelope);
	return NULL;
}

/*
 * Loads the published metadata of a role whose entry is set; meta is what its parent says
 * of it, NULL for timestamp.
 */
static bool
load_role(DepotRepo *repo, DepotRepoRole *role, const json_t *meta, DepotError *error)
{
	const char *sha256 = json_string_value(json_object_get(json_object_get(meta, "hashes"), "sha256"));
	const json_int_t version = json_integer_value(json_object_get(meta, "version"));
	char		path[DEPOT_REPO_PATH_BYTES];
	char		hex[DEPOT_SHA256_HEX_BYTES];
	DepotBuffer text;
	bool		ok;

	depot_repo_metadata_file(role->name, version, path);
	depot_buffer_init(&text);
	ok = depot_files_read(repo->fd, path, DEPOT_TUF_TARGETS_MAX_BYTES, &text, error) &&
		depot_repo_take_published(role, text.data, text.length_bytes, error) &&
		check_signed(repo, role, error);
	if (ok && meta != NULL)
	{
		depot_digest_sha256_hex(text.data, text.length_bytes, hex);
		if (role->version != version || (sha256 != NULL && strcmp(hex, sha256) != 0))
			ok = depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
								 "\"%s\" is not the file that the published metadata names", path);
	}
	depot_buffer_free(&text);
	return ok;
}

/* What the newest root does not vouch for, an earlier one must have; which is found out from the newest down. */
static bool
check_signed(const DepotRepo *repo, DepotRepoRole *role, DepotError *error)
{
	DepotError	ignored;
	char		what[96];

	snprintf(what, sizeof(what), "%s metadata", role->name);
	if (depot_tuf_verify_envelope(role->envelope, role->keys, role->entry, what, error))
		return true;
	/* His path was given to other keys, which have not signed anything yet. */
	if (depot_publisher_is_role(role->name))
		return role->stale = role->disowned = true;
	for (int64_t version = repo->roles[DEPOT_REPO_ROOT].version - 1; version > 0 && !role->stale; version--)
	{
		json_t	   *envelope = read_root(repo, version, &ignored);
		const json_t *body = json_object_get(envelope, "signed");
		const json_t *entry = json_object_get(json_object_get(body, "roles"), role->name);

		role->stale = entry != NULL &&
			depot_tuf_verify_envelope(role->envelope, json_object_get(body, "keys"), entry, what, &ignored);
		json_decref(envelope);
	}
	return role->stale;
}

/* Delegated roles are vouched for by the targets metadata that is published with them. */
static bool
load_delegated(DepotRepo *repo, DepotError *error)
{
	if (!depot_repo_bind_roles(repo, error))
		return false;
	for (int i = DEPOT_REPO_TOP_LEVEL_COUNT; i < repo->role_count; i++)
	{
		DepotRepoRole *role = &repo->roles[i];
		const json_t *meta = meta_of(&repo->roles[DEPOT_REPO_SNAPSHOT], role->name);

		/* A publisher's role is made by his first publish. */
		if (meta == NULL && depot_publisher_is_role(role->name))
			continue;
		if (meta == NULL)
			return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
								   "published metadata does not list %s.json", role->name);
		if (!load_role(repo, role, meta, error))
			return false;
	}
	return true;
}

static void
set_entry(DepotRepoRole *role, const json_t *keys, const json_t *entry)
{
	json_decref(role->keys);
	json_decref(role->entry);
	role->keys = json_incref((json_t *) keys);
	role->entry = json_incref((json_t *) entry);
	/* What is loaded already was signed for the keys before. */
	if (role->envelope != NULL && strcmp(role->name, "root") != 0)
	{
		DepotError	ignored;

		role->stale = !depot_tuf_verify_envelope(role->envelope, role->keys, role->entry, role->name,
												 &ignored);
	}
}

static const json_t *
meta_of(const DepotRepoRole *parent, const char *name)
{
	char		file[80];

	snprintf(file, sizeof(file), "%s.json", name);
	return json_object_get(json_object_get(parent->body, "meta"), file);
}
