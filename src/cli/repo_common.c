/*-------------------------------------------------------------------------
 *
 * repo_common.c
 *	  Reads a repository as its directory has it: configuration, pending
 *	  list, and the published metadata from the newest root down.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/repo_common.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/name.h"
#include "common/tuf.h"

#define CONFIG_FORMAT 1
#define CONFIG_MAX_BYTES 65536
#define PENDING_MAX_BYTES ((size_t) 64 * 1024 * 1024)
#define SECONDS_PER_DAY 86400

const char *const depot_repo_role_names[DEPOT_REPO_TOP_LEVEL_COUNT] = {"root", "timestamp", "snapshot",
	"targets"};

static const char *const days_members[DEPOT_REPO_TOP_LEVEL_COUNT] = {
	"root_days", "timestamp_days", "snapshot_days", "targets_days"
};

static bool write_json(int fd, const char *path, json_t *document, DepotError *error);
static bool lock(const DepotRepo *repo, DepotError *error);
static bool read_json(const DepotRepo *repo, const char *path, size_t limit_bytes, const char *what,
					  json_t **out,
					  DepotError *error);
static bool read_config(DepotRepo *repo, DepotError *error);
static bool read_pending(DepotRepo *repo, DepotError *error);
static bool check_pending(const json_t *pending, DepotError *error);
static bool load_root(DepotRepo *repo, DepotError *error);
static bool load_role(DepotRepo *repo, DepotRepoRole *role, const char *type, const json_t *meta,
					  DepotError *error);
static bool load_delegated(DepotRepo *repo, DepotError *error);
static bool take_text(DepotRepoRole *role, const DepotBuffer *text, const char *type, DepotError *error);
static void set_entry(DepotRepoRole *role, const json_t *keys, const json_t *entry);
static const json_t *meta_of(const DepotRepoRole *parent, const char *name);
static bool load(DepotRepo *repo, DepotError *error);

bool
depot_repo_open(DepotRepo *repo, const char *path, bool exclusive, DepotError *error)
{
	memset(repo, 0, sizeof(*repo));
	repo->path = path;
	repo->now_s = (int64_t) time(NULL);
	repo->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (repo->fd < 0)
		return depot_error_set_errno(error, errno, "could not open repository \"%s\"", path);
	if (read_config(repo, error) &&
		(!exclusive || lock(repo, error)) &&
		read_pending(repo, error) &&
		load(repo, error))
		return true;
	depot_repo_close(repo);
	return false;
}

void
depot_repo_close(DepotRepo *repo)
{
	for (int i = 0; i < repo->role_count; i++)
	{
		json_decref(repo->roles[i].envelope);
		json_decref(repo->roles[i].keys);
		json_decref(repo->roles[i].entry);
		json_decref(repo->roles[i].next);
	}
	free(repo->roles);
	json_decref(repo->pending);
	if (repo->fd >= 0)
		close(repo->fd);
	memset(repo, 0, sizeof(*repo));
	repo->fd = -1;
}

DepotRepoRole *
depot_repo_find_role(DepotRepo *repo, const char *name)
{
	for (int i = 0; i < repo->role_count; i++)
	{
		if (strcmp(repo->roles[i].name, name) == 0)
			return &repo->roles[i];
	}
	return NULL;
}

DepotRepoRole *
depot_repo_add_role(DepotRepo *repo, const char *name, DepotError *error)
{
	DepotRepoRole *grown = realloc(repo->roles, ((size_t) repo->role_count + 1) * sizeof(DepotRepoRole));
	DepotRepoRole *role;

	if (grown == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	repo->roles = grown;
	role = &repo->roles[repo->role_count];
	memset(role, 0, sizeof(*role));
	snprintf(role->name, sizeof(role->name), "%s", name);
	role->lifetime_s = SECONDS_PER_DAY *
		repo->days[repo->role_count < DEPOT_REPO_TARGETS ? repo->role_count : DEPOT_REPO_TARGETS];
	repo->role_count++;
	return role;
}

bool
depot_repo_write_config(int fd, const int64_t *days, DepotError *error)
{
	json_t	   *config = json_pack("{s:i}", "format", CONFIG_FORMAT);

	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT; i++)
		json_object_set_new(config, days_members[i], json_integer(days[i]));
	return write_json(fd, DEPOT_REPO_CONFIG, config, error);
}

bool
depot_repo_write_pending(DepotRepo *repo, DepotError *error)
{
	return write_json(repo->fd, DEPOT_REPO_PENDING,
					  json_pack("{s:i, s:O}", "format", CONFIG_FORMAT, "targets", repo->pending), error);
}

void
depot_repo_target_file(const char *target_path, const char *sha256, char out[DEPOT_REPO_PATH_BYTES])
{
	const char *slash = strrchr(target_path, '/');
	int			directory_bytes = slash == NULL ? 0 : (int) (slash - target_path) + 1;

	snprintf(out, DEPOT_REPO_PATH_BYTES, "targets/%.*s%s.%s", directory_bytes, target_path, sha256,
			 target_path + directory_bytes);
}

/* Writes document (stolen) as a file for people, too. */
static bool
write_json(int fd, const char *path, json_t *document, DepotError *error)
{
	char	   *text = json_dumps(document, JSON_INDENT(2) | JSON_SORT_KEYS);
	DepotBuffer bytes;
	bool		ok;

	depot_buffer_init(&bytes);
	ok = text != NULL && depot_buffer_append_format(&bytes, "%s\n", text);
	if (!ok)
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	else
		ok = depot_files_write_durable(fd, path, bytes.data, bytes.length_bytes, 0644, error);
	depot_buffer_free(&bytes);
	free(text);
	json_decref(document);
	return ok;
}

static bool
lock(const DepotRepo *repo, DepotError *error)
{
	if (flock(repo->fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno == EWOULDBLOCK)
		depot_cli_note("waiting for another pg_depot that works on \"%s\"", repo->path);
	while (flock(repo->fd, LOCK_EX) != 0)
	{
		if (errno != EINTR)
			return depot_error_set_errno(error, errno, "could not lock repository \"%s\"", repo->path);
	}
	return true;
}

/* Reads a JSON file; *out is NULL when there is none. */
static bool
read_json(const DepotRepo *repo, const char *path, size_t limit_bytes, const char *what, json_t **out,
		  DepotError *error)
{
	DepotBuffer text;
	bool		ok;

	*out = NULL;
	depot_buffer_init(&text);
	ok = depot_files_read(repo->fd, path, limit_bytes, &text, error);
	if (ok)
	{
		*out = depot_json_parse(text.data == NULL ? "" : text.data, text.length_bytes,
								DEPOT_ERROR_INVALID_ARGUMENT,
								what, error);
		ok = *out != NULL;
	}
	else
		ok = error->code == DEPOT_ERROR_FILE_MISSING;
	depot_buffer_free(&text);
	return ok;
}

static bool
read_config(DepotRepo *repo, DepotError *error)
{
	const DepotErrorCode code = DEPOT_ERROR_INVALID_ARGUMENT;
	json_t	   *config;
	int64_t		format = 0;
	bool		ok;

	if (!read_json(repo, DEPOT_REPO_CONFIG, CONFIG_MAX_BYTES, DEPOT_REPO_CONFIG, &config, error))
		return false;
	if (config == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_WRONG_STATE, "\"%s\" is not a repository: it has no %s",
						repo->path,
						DEPOT_REPO_CONFIG);
		return depot_error_hint(error, "Make one with \"pg_depot repo init\".");
	}
	ok = depot_json_get_integer(config, "format", true, 1, &format, code, error);
	if (ok && format != CONFIG_FORMAT)
		ok = depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "format %" PRId64 " of %s is not known here",
							 format,
							 DEPOT_REPO_CONFIG);
	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT && ok; i++)
	{
		ok = depot_json_get_integer(config, days_members[i], true, 1, &repo->days[i], code, error);
		if (ok && repo->days[i] > DEPOT_REPO_MAX_DAYS)
			ok = depot_error_set(error, code, "%s is larger than %d", days_members[i], DEPOT_REPO_MAX_DAYS);
	}
	if (!ok)
		depot_error_prefix(error, "%s", DEPOT_REPO_CONFIG);
	json_decref(config);
	return ok;
}

static bool
read_pending(DepotRepo *repo, DepotError *error)
{
	json_t	   *document;
	json_t	   *targets;
	bool		ok = true;

	if (!read_json(repo, DEPOT_REPO_PENDING, PENDING_MAX_BYTES, DEPOT_REPO_PENDING, &document, error))
		return false;
	if (document == NULL)
		repo->pending = json_array();
	else
	{
		ok = depot_json_get_array(document, "targets", true, &targets, DEPOT_ERROR_INVALID_ARGUMENT, error) &&
			check_pending(targets, error);
		if (ok)
			repo->pending = json_incref(targets);
		else
			depot_error_prefix(error, "%s", DEPOT_REPO_PENDING);
		json_decref(document);
	}
	return ok;
}

static bool
check_pending(const json_t *pending, DepotError *error)
{
	const DepotErrorCode code = DEPOT_ERROR_INVALID_ARGUMENT;
	const json_t *entry;
	size_t		index;

	json_array_foreach(pending, index, entry)
	{
		const char *path;
		const char *role;
		const char *sha256;
		int64_t		length;
		json_t	   *custom;

		if (!depot_json_get_string(entry, "path", true, &path, code, error) ||
			!depot_json_get_string(entry, "role", true, &role, code, error) ||
			!depot_json_get_string(entry, "sha256", true, &sha256, code, error) ||
			!depot_json_get_integer(entry, "length", true, 0, &length, code, error) ||
			!depot_json_get_object(entry, "custom", true, &custom, code, error))
			return false;
		if ((!depot_name_is_delegated_role(role) && strcmp(role, "targets") != 0) || !depot_name_is_sha256(sha256) ||
			strstr(path, "..") != NULL ||
			strlen(path) + 96 > DEPOT_REPO_PATH_BYTES)
			return depot_error_set(error, code, "entry %zu is damaged", index + 1);
	}
	return true;
}

static bool
load(DepotRepo *repo, DepotError *error)
{
	static const DepotRepoRoleIndex chain[] = {DEPOT_REPO_TIMESTAMP, DEPOT_REPO_SNAPSHOT, DEPOT_REPO_TARGETS};
	DepotRepoRole *root;

	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT; i++)
	{
		if (depot_repo_add_role(repo, depot_repo_role_names[i], error) == NULL)
			return false;
	}
	if (!load_root(repo, error))
		return false;
	root = &repo->roles[DEPOT_REPO_ROOT];
	for (int i = 0; i < 3; i++)
	{
		DepotRepoRole *role = &repo->roles[chain[i]];
		const json_t *meta = i == 0 ? NULL : meta_of(&repo->roles[chain[i - 1]], role->name);

		set_entry(role, json_object_get(root->body, "keys"),
				  json_object_get(json_object_get(root->body, "roles"), role->name));
		if (i > 0 && meta == NULL)
			return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
								   "published metadata does not list %s.json",
								   role->name);
		if (!load_role(repo, role, role->name, meta, error))
			return false;
	}
	return load_delegated(repo, error);
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
		take_text(root, &text, "root", error);
	depot_buffer_free(&text);
	if (!ok)
		return false;
	if (root->version != version)
		return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH, "\"%s\" holds version %" PRId64, path,
							   root->version);
	set_entry(root, json_object_get(root->body, "keys"),
			  json_object_get(json_object_get(root->body, "roles"), "root"));
	return depot_tuf_verify_envelope(root->envelope, root->keys, root->entry, "root metadata", error);
}

/*
 * Loads the published metadata of a role whose entry is set; meta is what its parent says
 * of it, NULL for timestamp.
 */
static bool
load_role(DepotRepo *repo, DepotRepoRole *role, const char *type, const json_t *meta, DepotError *error)
{
	const char *sha256 = json_string_value(json_object_get(json_object_get(meta, "hashes"), "sha256"));
	const json_int_t version = json_integer_value(json_object_get(meta, "version"));
	char		path[DEPOT_REPO_PATH_BYTES];
	char		what[96];
	char		hex[DEPOT_SHA256_HEX_BYTES];
	DepotBuffer text;
	bool		ok;

	snprintf(what, sizeof(what), "%s metadata", role->name);
	if (meta == NULL)
		snprintf(path, sizeof(path), "metadata/%s.json", role->name);
	else
		snprintf(path, sizeof(path), "metadata/%" JSON_INTEGER_FORMAT ".%s.json", version, role->name);
	depot_buffer_init(&text);
	ok = depot_files_read(repo->fd, path, DEPOT_TUF_TARGETS_MAX_BYTES, &text, error) &&
		take_text(role, &text, type, error) &&
		depot_tuf_verify_envelope(role->envelope, role->keys, role->entry, what, error);
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

static bool
load_delegated(DepotRepo *repo, DepotError *error)
{
	const json_t *body = repo->roles[DEPOT_REPO_TARGETS].body;
	const json_t *delegations = json_object_get(body, "delegations");
	const json_t *entry;
	size_t		index;

	json_array_foreach(json_object_get(delegations, "roles"), index, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name"));
		const json_t *meta = meta_of(&repo->roles[DEPOT_REPO_SNAPSHOT], name);
		DepotRepoRole *role;

		if (!depot_name_is_delegated_role(name) || meta == NULL)
			return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
								   "published metadata delegates to a role that this program did not make");
		role = depot_repo_add_role(repo, name, error);
		if (role == NULL)
			return false;
		set_entry(role, json_object_get(delegations, "keys"), entry);
		if (!load_role(repo, role, "targets", meta, error))
			return false;
	}
	return true;
}

static bool
take_text(DepotRepoRole *role, const DepotBuffer *text, const char *type, DepotError *error)
{
	char		what[96];

	snprintf(what, sizeof(what), "%s metadata", role->name);
	role->envelope = depot_tuf_parse_metadata(text->data == NULL ? "" : text->data, text->length_bytes, type,
											  what,
											  error);
	if (role->envelope == NULL)
		return false;
	role->body = json_object_get(role->envelope, "signed");
	role->version = json_integer_value(json_object_get(role->body, "version"));
	return depot_tuf_time_parse(json_string_value(json_object_get(role->body, "expires")),
								&role->expires_epoch_s) ||
		depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT, "%s: expires is not a time", what);
}

static void
set_entry(DepotRepoRole *role, const json_t *keys, const json_t *entry)
{
	role->keys = json_incref((json_t *) keys);
	role->entry = json_incref((json_t *) entry);
}

static const json_t *
meta_of(const DepotRepoRole *parent, const char *name)
{
	char		file[80];

	snprintf(file, sizeof(file), "%s.json", name);
	return json_object_get(json_object_get(parent->body, "meta"), file);
}
