/*-------------------------------------------------------------------------
 *
 * repo_common.c
 *	  Opens a repository, reads its configuration and pending list, and knows
 *	  where its files are.
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

#define CONFIG_FORMAT 1
#define CONFIG_MAX_BYTES 65536
#define PENDING_MAX_BYTES ((size_t) 64 * 1024 * 1024)
#define SECONDS_PER_DAY 86400

const char *const depot_repo_role_names[DEPOT_REPO_TOP_LEVEL_COUNT] = {"root", "timestamp", "snapshot",
"targets"};

static const char *const days_members[DEPOT_REPO_TOP_LEVEL_COUNT] = {
	"root_days", "timestamp_days", "snapshot_days", "targets_days"
};

static bool read_config(DepotRepo *repo, DepotError *error);
static bool read_pending(DepotRepo *repo, DepotError *error);
static bool check_pending(const json_t *pending, DepotError *error);

bool
depot_repo_open(DepotRepo *repo, const char *path, bool exclusive, DepotError *error)
{
	memset(repo, 0, sizeof(*repo));
	repo->path = path;
	repo->request_file = DEPOT_REPO_REQUEST;
	repo->now_s = (int64_t) time(NULL);
	repo->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (repo->fd < 0)
		return depot_error_set_errno(error, errno, "could not open repository \"%s\"", path);
	if (read_config(repo, error) &&
		(!exclusive || depot_repo_lock(repo, error)) &&
		read_pending(repo, error) &&
		depot_repo_load(repo, error))
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
		json_decref(repo->roles[i].signatures);
	}
	free(repo->roles);
	json_decref(repo->pending);
	if (repo->fd >= 0)
		close(repo->fd);
	memset(repo, 0, sizeof(*repo));
	repo->fd = -1;
}

bool
depot_repo_lock(const DepotRepo *repo, DepotError *error)
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
	return depot_repo_write_json(fd, DEPOT_REPO_CONFIG, config, error);
}

bool
depot_repo_write_pending(DepotRepo *repo, DepotError *error)
{
	return depot_repo_write_json(repo->fd, DEPOT_REPO_PENDING,
								 json_pack("{s:i, s:O}", "format", CONFIG_FORMAT, "targets", repo->pending), error);
}

bool
depot_repo_write_json(int fd, const char *path, json_t *document, DepotError *error)
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

bool
depot_repo_read_json(int fd, const char *path, size_t limit_bytes, const char *what, json_t **out,
					 DepotError *error)
{
	DepotBuffer text;
	bool		ok;

	*out = NULL;
	depot_buffer_init(&text);
	ok = depot_files_read(fd, path, limit_bytes, &text, error);
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

void
depot_repo_target_file(const char *target_path, const char *sha256, char out[DEPOT_REPO_PATH_BYTES])
{
	const char *slash = strrchr(target_path, '/');
	int			directory_bytes = slash == NULL ? 0 : (int) (slash - target_path) + 1;

	snprintf(out, DEPOT_REPO_PATH_BYTES, "targets/%.*s%s.%s", directory_bytes, target_path, sha256,
			 target_path + directory_bytes);
}

void
depot_repo_metadata_file(const char *role, int64_t version, char out[DEPOT_REPO_PATH_BYTES])
{
	if (strcmp(role, "timestamp") == 0)
		snprintf(out, DEPOT_REPO_PATH_BYTES, "metadata/timestamp.json");
	else
		snprintf(out, DEPOT_REPO_PATH_BYTES, "metadata/%" PRId64 ".%s.json", version, role);
}

const char *
depot_repo_type(const char *role)
{
	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT; i++)
	{
		if (strcmp(role, depot_repo_role_names[i]) == 0)
			return depot_repo_role_names[i];
	}
	return "targets";
}

static bool
read_config(DepotRepo *repo, DepotError *error)
{
	const DepotErrorCode code = DEPOT_ERROR_INVALID_ARGUMENT;
	json_t	   *config;
	int64_t		format = 0;
	bool		ok;

	if (!depot_repo_read_json(repo->fd, DEPOT_REPO_CONFIG, CONFIG_MAX_BYTES, DEPOT_REPO_CONFIG, &config, error))
		return false;
	if (config == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_WRONG_STATE, "\"%s\" is not a repository: it has no %s",
						repo->path,
						DEPOT_REPO_CONFIG);
		return depot_error_hint(error, "Make one with \"pg_depot repo init\". A copy without that file can only be "
								"verified, with \"pg_depot repo verify\".");
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

	if (!depot_repo_read_json(repo->fd, DEPOT_REPO_PENDING, PENDING_MAX_BYTES, DEPOT_REPO_PENDING, &document, error))
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
