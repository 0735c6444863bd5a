/*-------------------------------------------------------------------------
 *
 * repo_request.c
 *	  signing.json: what waits for the signatures of several people.
 *
 * One file, which holds the next versions of root, targets and delegated
 * roles with the signatures they have so far, and the published versions that
 * they were made from: so a copy of this file alone shows a signer what will
 * change.  Nothing that it says is believed: what is next must follow what is
 * published, and signatures are verified whenever they are read.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/repo_common.h"
#include "common/files.h"
#include "common/name.h"
#include "common/publisher.h"
#include "common/tuf.h"

#define REQUEST_FORMAT 1
#define REQUEST_MAX_BYTES ((size_t) 1024 * 1024 * 1024)

static int	open_place(const char *path, const char **file, DepotError *error);
static bool read_request(int fd, const char *file, json_t **request, DepotError *error);
static bool apply(DepotRepo *repo, const json_t *request, DepotError *error);
static bool take_next(const DepotRepo *repo, DepotRepoRole *role, const json_t *request, DepotError *error);
static json_t *checked_envelope(const DepotRepoRole *role, const json_t *envelope, DepotError *error);
static bool keep_signatures(DepotRepoRole *role, const json_t *offered, int *added, DepotError *error);
static bool take_published(DepotRepo *repo, const json_t *request, DepotError *error);
static const json_t *member(const json_t *request, const char *part, const char *role);

bool
depot_repo_request_load(DepotRepo *repo, DepotError *error)
{
	json_t	   *request = NULL;
	bool		ok;

	if (!depot_files_exists(repo->fd, repo->request_file))
		return true;
	ok = read_request(repo->fd, repo->request_file, &request, error) && apply(repo, request, error);
	repo->request_is_out = ok && !repo->waiting;
	if (!ok)
		depot_error_prefix(error, "%s", repo->request_file);
	json_decref(request);
	return ok;
}

bool
depot_repo_request_open(DepotRepo *repo, const char *path, bool exclusive, DepotError *error)
{
	json_t	   *request = NULL;
	bool		ok;

	memset(repo, 0, sizeof(*repo));
	repo->path = path;
	repo->now_s = (int64_t) time(NULL);
	repo->pending = json_array();
	repo->fd = open_place(path, &repo->request_file, error);
	ok = repo->fd >= 0 && (!exclusive || depot_repo_lock(repo, error)) &&
		read_request(repo->fd, repo->request_file, &request, error) &&
		take_published(repo, request, error) && apply(repo, request, error);
	json_decref(request);
	if (ok)
		return true;
	depot_error_prefix(error, "\"%s\"", path);
	depot_repo_close(repo);
	return false;
}

bool
depot_repo_request_merge(DepotRepo *repo, const char *path, int *added, DepotError *error)
{
	const char *file;
	const int	fd = open_place(path, &file, error);
	json_t	   *request = NULL;
	bool		ok = fd >= 0 && read_request(fd, file, &request, error);

	if (fd >= 0)
		close(fd);
	for (int i = 0; i < repo->role_count && ok; i++)
	{
		DepotRepoRole *role = &repo->roles[i];
		const json_t *theirs = member(request, "next", role->name);

		if (role->next == NULL || theirs == NULL)
			continue;
		if (!json_equal(role->next, json_object_get(theirs, "signed")))
		{
			depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
							"it asks to sign another %s than %s does here", role->name, repo->request_file);
			ok = depot_error_hint(error, "It is of another time, or was altered. Have it signed again from a new "
								  "copy.");
		}
	}
	for (int i = 0; i < repo->role_count && ok; i++)
	{
		const json_t *theirs = member(request, "next", repo->roles[i].name);

		if (repo->roles[i].next != NULL && theirs != NULL)
			ok = keep_signatures(&repo->roles[i], json_object_get(theirs, "signatures"), added, error);
	}
	json_decref(request);
	return ok || depot_error_prefix(error, "\"%s\"", path);
}

bool
depot_repo_request_write(const DepotRepo *repo, DepotError *error)
{
	json_t	   *published = json_object();
	json_t	   *next = json_object();
	json_t	   *empty = json_array();

	for (int i = 0; i < repo->role_count; i++)
	{
		const DepotRepoRole *role = &repo->roles[i];

		if (i == DEPOT_REPO_SNAPSHOT || i == DEPOT_REPO_TIMESTAMP)
			continue;
		/* Root and targets say whose the keys of the others are. */
		if (role->envelope != NULL &&
			(role->next != NULL || i == DEPOT_REPO_ROOT || i == DEPOT_REPO_TARGETS))
			json_object_set(published, role->name, role->envelope);
		if (role->next != NULL)
			json_object_set_new(next, role->name,
								json_pack("{s:O, s:O}", "signed", role->next, "signatures",
										  role->signatures == NULL ? empty : role->signatures));
	}
	json_decref(empty);
	return depot_repo_write_json(repo->fd, repo->request_file,
								 json_pack("{s:i, s:o, s:o}", "format", REQUEST_FORMAT, "published", published,
										   "next", next), error);
}

bool
depot_repo_request_remove(const DepotRepo *repo, DepotError *error)
{
	return !depot_files_exists(repo->fd, repo->request_file) ||
		(depot_files_remove(repo->fd, repo->request_file, error) && depot_files_fsync(repo->fd, "", error));
}

/* Opens the directory of a signing.json by its path, or by that of the directory itself; -1 and error. */
static int
open_place(const char *path, const char **file, DepotError *error)
{
	const char *slash = strrchr(path, '/');
	int			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*file = DEPOT_REPO_REQUEST;
	if (fd < 0 && errno == ENOTDIR)
	{
		char		directory[PATH_MAX];

		*file = slash == NULL ? path : slash + 1;
		snprintf(directory, sizeof(directory), "%.*s", slash == NULL ? 1 : (int) (slash - path) + 1,
				 slash == NULL ? "." : path);
		fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		depot_error_set_errno(error, errno, "could not open it");
	return fd;
}

static bool
read_request(int fd, const char *file, json_t **request, DepotError *error)
{
	const DepotErrorCode code = DEPOT_ERROR_INVALID_ARGUMENT;
	json_t	   *part;
	int64_t		format = 0;

	if (!depot_repo_read_json(fd, file, REQUEST_MAX_BYTES, "signing request", request, error))
		return false;
	if (*request == NULL)
		return depot_error_set(error, DEPOT_ERROR_FILE_MISSING, "there is no %s", file);
	if (depot_json_get_integer(*request, "format", true, 1, &format, code, error) &&
		(format == REQUEST_FORMAT ||
		 depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "format %" PRId64 " is not known here", format)) &&
		depot_json_get_object(*request, "published", true, &part, code, error) &&
		depot_json_get_object(*request, "next", true, &part, code, error))
		return true;
	json_decref(*request);
	*request = NULL;
	return false;
}

/* From the top: each part names the keys of what is below it. */
static bool
apply(DepotRepo *repo, const json_t *request, DepotError *error)
{
	const char *name;
	json_t	   *theirs;

	if (!take_next(repo, &repo->roles[DEPOT_REPO_ROOT], request, error) ||
		!depot_repo_bind_roles(repo, error) ||
		!take_next(repo, &repo->roles[DEPOT_REPO_TARGETS], request, error) ||
		!depot_repo_bind_roles(repo, error))
		return false;
	json_object_foreach(json_object_get(request, "next"), name, theirs)
	{
		if (strcmp(name, "root") != 0 && strcmp(name, "targets") != 0 &&
			(!depot_name_is_delegated_role(name) || depot_repo_find_role(repo, name) == NULL))
			return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
								   "it holds a role that targets does not delegate to");
	}
	for (int i = DEPOT_REPO_TOP_LEVEL_COUNT; i < repo->role_count; i++)
	{
		if (!take_next(repo, &repo->roles[i], request, error))
			return false;
	}
	for (int i = 0; i < repo->role_count; i++)
	{
		DepotRepoRole *role = &repo->roles[i];
		const json_t *offered = json_object_get(member(request, "next", role->name), "signatures");
		int			added = 0;

		if (role->next == NULL)
			continue;
		repo->waiting = true;
		if (!keep_signatures(role, offered, &added, error))
			return false;
	}
	return true;
}

/* Takes the next version of a role, unless it is out already. */
static bool
take_next(const DepotRepo *repo, DepotRepoRole *role, const json_t *request, DepotError *error)
{
	const json_t *theirs = member(request, "next", role->name);
	const json_t *base = json_object_get(member(request, "published", role->name), "signed");
	const bool	is_root = role == &repo->roles[DEPOT_REPO_ROOT];
	json_t	   *envelope;
	int64_t		version;
	bool		ok = true;

	if (theirs == NULL)
		return true;
	envelope = checked_envelope(role, theirs, error);
	if (envelope == NULL)
		return false;
	version = json_integer_value(json_object_get(json_object_get(envelope, "signed"), "version"));
	if (role->body != NULL && json_equal(role->body, json_object_get(envelope, "signed")))
		goto done;
	if (version <= role->version || (is_root && version != role->version + 1) ||
		(base == NULL ? role->body != NULL : !json_equal(base, role->body)))
	{
		depot_error_set(error, DEPOT_ERROR_WRONG_STATE,
						"version %" PRId64 " of %s was made from another version than the published %" PRId64,
						version, role->name, role->version);
		ok = depot_error_hint(error, "Something else was published meanwhile. Give it up with \"pg_depot repo sign "
							  "DIR --discard\" and begin again.");
		goto done;
	}
	role->next = json_incref(json_object_get(envelope, "signed"));

done:
	json_decref(envelope);
	return ok;
}

/* Returns the envelope as its own text reads, after all checks of the format; NULL and error otherwise. */
static json_t *
checked_envelope(const DepotRepoRole *role, const json_t *envelope, DepotError *error)
{
	char		what[96];
	char	   *text = json_dumps(envelope, JSON_COMPACT);
	json_t	   *result = NULL;

	snprintf(what, sizeof(what), "%s metadata", role->name);
	if (text == NULL)
		depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT, "%s: not a JSON object", what);
	else
		result = depot_tuf_parse_metadata(text, strlen(text), depot_repo_type(role->name), what, error);
	free(text);
	return result;
}

/*
 * Takes those of the offered signatures that count for the role and are new.  One by a key that counts must be
 * valid: otherwise something other than this was signed.
 */
static bool
keep_signatures(DepotRepoRole *role, const json_t *offered, int *added, DepotError *error)
{
	DepotRepoSigners signers[DEPOT_REPO_MAX_SIGNERS];
	const int	count = depot_repo_signers(role, signers);
	const json_t *signature;
	size_t		index;

	if (role->signatures == NULL)
		role->signatures = json_array();
	json_array_foreach(offered, index, signature)
	{
		const char *keyid = json_string_value(json_object_get(signature, "keyid"));
		const DepotRepoSigners *of = NULL;

		for (int i = 0; i < count && keyid != NULL && of == NULL; i++)
		{
			const json_t *known;
			size_t		place;

			json_array_foreach(json_object_get(signers[i].entry, "keyids"), place, known)
			{
				if (strcmp(json_string_value(known), keyid) == 0)
					of = &signers[i];
			}
		}
		if (of == NULL || depot_repo_has_signature(role, of, keyid))
			continue;
		if (json_array_append(role->signatures, (json_t *) signature) != 0)
			return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		if (!depot_repo_has_signature(role, of, keyid))
		{
			json_array_remove(role->signatures, json_array_size(role->signatures) - 1);
			depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
							"the signature of %s by key %.16s is not of what stands there", role->name, keyid);
			return depot_error_hint(error, "One of the two was altered after it was signed. Find out by whom, then "
									"begin again with \"pg_depot repo sign DIR --discard\".");
		}
		(*added)++;
	}
	return true;
}

/* The published metadata that came with a request: root vouches for itself and targets, targets for the others. */
static bool
take_published(DepotRepo *repo, const json_t *request, DepotError *error)
{
	DepotRepoRole *role;
	const char *name;
	json_t	   *envelope;

	for (int i = 0; i < DEPOT_REPO_TOP_LEVEL_COUNT; i++)
	{
		if (depot_repo_add_role(repo, depot_repo_role_names[i], error) == NULL)
			return false;
	}
	if (member(request, "published", "root") == NULL)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "it does not hold the published root");
	json_object_foreach(json_object_get(request, "published"), name, envelope)
	{
		char	   *text;
		bool		ok;

		role = depot_repo_find_role(repo, name);
		if (role == NULL && depot_name_is_delegated_role(name))
			role = depot_repo_add_role(repo, name, error);
		if (role == NULL)
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "it holds a role that cannot be");
		text = json_dumps(envelope, JSON_COMPACT);
		ok = text != NULL ? depot_repo_take_published(role, text, strlen(text), error)
			: depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT, "published %s is not a JSON object", role->name);
		free(text);
		if (!ok)
			return false;
	}
	if (!depot_repo_bind_roles(repo, error))
		return false;
	role = &repo->roles[DEPOT_REPO_ROOT];
	if (!depot_tuf_verify_envelope(role->envelope, role->keys, role->entry, "published root metadata", error))
		return false;
	for (int i = DEPOT_REPO_TARGETS; i < repo->role_count; i++)
	{
		if (repo->roles[i].envelope != NULL && repo->roles[i].stale && !repo->roles[i].disowned &&
			!depot_publisher_is_role(repo->roles[i].name))
			return depot_error_set(error, DEPOT_ERROR_METADATA_THRESHOLD,
								   "what it calls the published %s is not signed by the keys of that role",
								   repo->roles[i].name);
	}
	return true;
}

static const json_t *
member(const json_t *request, const char *part, const char *role)
{
	return json_object_get(json_object_get(request, part), role);
}
