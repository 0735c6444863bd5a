/*-------------------------------------------------------------------------
 *
 * agent_trust.c
 *	  The check agent: where trust in a repository begins, and what else
 *	  remembers its metadata.
 *
 * What the leader passes on from rows may have been written by anybody who
 * can write rows.  It is a place to look for metadata, like a mirror: a root counts
 * when it has the digest that was given, everything else when it verifies.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/agent_trust.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/files.h"
#include "common/json.h"
#include "common/name.h"

/* Below a repository's metadata: the pinned root, where only its digest was given, and every trusted root. */
#define PINNED_ROOT "pinned_root"
#define ROOT_HISTORY "root_history"
#define ROOT_SUFFIX ".root.json"

/* The members of a command that say where trust begins. */
typedef struct Anchor
{
	const char *file;			/* in the job directory; or NULL */
	const char *sha256;			/* or NULL */
	bool		is_pinned;
} Anchor;

static bool
is_given(const json_t *command, const char *member)
{
	const json_t *value = json_object_get(command, member);

	return value != NULL && !json_is_null(value);
}

static bool
read_anchor(const json_t *command, Anchor *anchor, DepotError *error)
{
	memset(anchor, 0, sizeof(*anchor));
	if ((is_given(command, "initial_root") &&
		 !depot_agent_get_file(command, "initial_root", &anchor->file, error)) ||
		(is_given(command, "initial_root_sha256") &&
		 !depot_json_get_string(command, "initial_root_sha256", true, &anchor->sha256, DEPOT_ERROR_AGENT, error)) ||
		!depot_json_get_bool(command, "pinned", false, &anchor->is_pinned, DEPOT_ERROR_AGENT, error))
		return false;
	if (anchor->sha256 != NULL && !depot_name_is_sha256(anchor->sha256))
		return depot_error_set(error, DEPOT_ERROR_AGENT, "member \"initial_root_sha256\" is not a digest");
	return true;
}

/*----- a root of which the digest is known ------------------------------------------*/

typedef struct Search
{
	const char *sha256;
	DepotBuffer *root;
	bool		is_found;
} Search;

static bool
has_digest(const DepotBuffer *bytes, const char *sha256)
{
	char		found[DEPOT_SHA256_HEX_BYTES];

	depot_digest_sha256_hex(bytes->data, bytes->length_bytes, found);
	return strcmp(found, sha256) == 0;
}

/* Reads a file that may be the root; one that cannot be read is not. */
static bool
try_root(Search *search, int directory_fd, const char *path, DepotError *error)
{
	DepotError	reason;

	depot_buffer_reset(search->root);
	search->is_found = depot_files_read(directory_fd, path, DEPOT_TUF_ROOT_MAX_BYTES, search->root, &reason) &&
		has_digest(search->root, search->sha256);
	if (!search->is_found)
		depot_buffer_reset(search->root);
	return true;
}

/* A DepotFilesVisit. */
static bool
try_listed_root(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
				DepotError *error)
{
	Search	   *search = context;
	const char *suffix = strstr(path, ROOT_SUFFIX);

	(void) size_bytes;
	return search->is_found || !S_ISREG(mode) || suffix == NULL || strcmp(suffix, ROOT_SUFFIX) != 0 ||
		try_root(search, directory_fd, path, error);
}

static bool
search_directory(Search *search, int directory_fd, const char *path, DepotError *error)
{
	return search->is_found || !depot_files_exists(directory_fd, path) ||
		depot_files_walk(directory_fd, path, try_listed_root, search, error);
}

/* Fills root by its digest, and keeps a pinned one: nothing else says later where the chain begins. */
static bool
find_root(const json_t *command, const Anchor *anchor, int metadata_fd, int job_fd, DepotAgentFetchRoot fetch,
		  void *context, DepotBuffer *root, DepotError *error)
{
	Search		search = {.sha256 = anchor->sha256, .root = root};
	const char *rows;

	if (!try_root(&search, metadata_fd, PINNED_ROOT, error) ||
		!search_directory(&search, metadata_fd, ROOT_HISTORY, error))
		return false;
	if (search.is_found)
		return true;
	if (depot_agent_has_rows(command) &&
		(!depot_agent_get_file(command, "rows", &rows, error) ||
		 !search_directory(&search, job_fd, rows, error)))
		return false;
	if (!search.is_found && fetch == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_ROOT_INVALID, "the root to begin with is not on this server");
		depot_error_detail(error, "Its sha256 is %s.", anchor->sha256);
		return depot_error_hint(error, "Refresh the repository with refresh_extension_repository().");
	}
	if (!search.is_found && !fetch(context, anchor->sha256, root, error))
		return false;
	return !anchor->is_pinned ||
		depot_files_write_durable(metadata_fd, PINNED_ROOT, root->data, root->length_bytes, 0600, error);
}

/* The lowest version of the roots that are kept is the first one that was trusted.  A DepotFilesVisit. */
static bool
note_first_root(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
				DepotError *error)
{
	int64_t    *first = context;
	const size_t digits = strspn(path, "0123456789");
	int64_t		version;

	(void) directory_fd;
	(void) size_bytes;
	(void) error;
	if (!S_ISREG(mode) || digits == 0 || digits > 18 || strcmp(path + digits, ROOT_SUFFIX) != 0)
		return true;
	version = strtoll(path, NULL, 10);
	if (version > 0 && (*first == 0 || version < *first))
		*first = version;
	return true;
}

/* Reads the first root that this server remembers; nothing where it remembers none. */
static bool
read_remembered_root(int metadata_fd, DepotBuffer *root, DepotError *error)
{
	int64_t		first = 0;
	char		path[64];

	if (depot_files_exists(metadata_fd, ROOT_HISTORY) &&
		!depot_files_walk(metadata_fd, ROOT_HISTORY, note_first_root, &first, error))
		return false;
	if (first == 0)
		return !depot_files_exists(metadata_fd, "root.json") ||
			depot_files_read(metadata_fd, "root.json", DEPOT_TUF_ROOT_MAX_BYTES, root, error);
	snprintf(path, sizeof(path), ROOT_HISTORY "/%" PRId64 ROOT_SUFFIX, first);
	return depot_files_read(metadata_fd, path, DEPOT_TUF_ROOT_MAX_BYTES, root, error);
}

/* Fills root with what the chain of roots begins with, as the command says. */
static bool
read_first_root(const json_t *command, const Anchor *anchor, int metadata_fd, int job_fd, DepotAgentFetchRoot fetch,
				void *context, DepotBuffer *root, DepotError *error)
{
	if (anchor->file != NULL)
		return depot_files_read(job_fd, anchor->file, DEPOT_TUF_ROOT_MAX_BYTES, root, error);
	if (anchor->sha256 != NULL)
		return find_root(command, anchor, metadata_fd, job_fd, fetch, context, root, error);
	depot_error_set(error, DEPOT_ERROR_ROOT_INVALID, "this server has no trusted root for it");
	return depot_error_hint(error, "Drop the repository and add it again with trusted_root or root_sha256.");
}

DepotTufClient *
depot_agent_open_trusted(const json_t *command, int metadata_fd, int job_fd, int64_t reference_time_s,
						 DepotAgentFetchRoot fetch, void *context, DepotError *error)
{
	DepotTufClient *client = NULL;
	DepotTufKeyTypes key_types;
	DepotBuffer root;
	Anchor		anchor;

	if (!read_anchor(command, &anchor, error) || !depot_agent_get_key_types(command, &key_types, error))
		return NULL;
	if (!anchor.is_pinned && depot_files_exists(metadata_fd, "root.json"))
	{
		client = depot_tuf_open_restricted(metadata_fd, NULL, 0, reference_time_s, key_types, error);

		/* A file that is no root any more is as good as none: the chain is walked again from where it began. */
		if (client != NULL || error->code != DEPOT_ERROR_ROOT_INVALID ||
			(anchor.file == NULL && anchor.sha256 == NULL))
			return client;
	}
	depot_buffer_init(&root);
	if (!anchor.is_pinned && read_remembered_root(metadata_fd, &root, error) && root.length_bytes > 0)
		client = depot_tuf_open_restricted(metadata_fd, root.data, root.length_bytes, reference_time_s, key_types,
										   error);
	depot_buffer_reset(&root);
	if (client == NULL && read_first_root(command, &anchor, metadata_fd, job_fd, fetch, context, &root, error))
		client = depot_tuf_open_restricted(metadata_fd, root.length_bytes > 0 ? root.data : NULL, root.length_bytes,
										   reference_time_s, key_types, error);
	depot_buffer_free(&root);
	return client;
}

/*----- the pin of this server -----------------------------------------------------------*/

/* Looks for a root by its digest among what is kept here, then among the evidence. */
static bool
search_root(const char *sha256, int metadata_fd, int evidence_fd, DepotBuffer *root, DepotError *error)
{
	Search		search = {.sha256 = sha256, .root = root};
	char		file[DEPOT_EVIDENCE_FILE_BYTES];

	if (metadata_fd >= 0 && (!try_root(&search, metadata_fd, PINNED_ROOT, error) ||
							 !search_directory(&search, metadata_fd, ROOT_HISTORY, error)))
		return false;
	depot_evidence_file(sha256, file);
	if (!search.is_found && !try_root(&search, evidence_fd, file, error))
		return false;
	if (search.is_found)
		return true;
	depot_error_set(error, DEPOT_ERROR_ROOT_INVALID, "the root to begin with is neither on this server nor among the"
					" evidence");
	return depot_error_detail(error, "Its sha256 is %s.", sha256);
}

/* Opens what is trusted of the repository; -1 where there is nothing, or with an error. */
static int
open_known_metadata(DepotAgent *agent, const json_t *command, DepotError *error)
{
	int			fd = depot_agent_open_metadata(agent, command, false, error);

	if (fd < 0 && error->code == DEPOT_ERROR_FILE_MISSING)
		error->code = DEPOT_OK;
	return fd;
}

bool
depot_agent_find_pin(DepotAgent *agent, const json_t *command, int job_fd, int evidence_fd, DepotAgentPin *pin,
					 DepotError *error)
{
	Anchor		anchor;
	int			metadata_fd = -1;
	bool		ok;

	pin->is_new = false;
	error->code = DEPOT_OK;
	ok = read_anchor(command, &anchor, error) &&
		((metadata_fd = open_known_metadata(agent, command, error)) >= 0 || error->code == DEPOT_OK);
	if (ok && !anchor.is_pinned && metadata_fd >= 0)
		ok = read_remembered_root(metadata_fd, &pin->root, error);
	if (ok && pin->root.length_bytes == 0)
	{
		pin->is_new = !anchor.is_pinned;
		if (anchor.file != NULL)
			ok = depot_files_read(job_fd, anchor.file, DEPOT_TUF_ROOT_MAX_BYTES, &pin->root, error);
		else if (anchor.sha256 != NULL)
			ok = search_root(anchor.sha256, metadata_fd, evidence_fd, &pin->root, error);
		else
			ok = depot_error_set(error, DEPOT_ERROR_ROOT_INVALID, "this server has no trusted root for it");
	}
	if (metadata_fd >= 0)
		(void) close(metadata_fd);
	return ok;
}

bool
depot_agent_remember_pin(DepotAgent *agent, const json_t *command, const DepotAgentPin *pin,
						 DepotTufKeyTypes key_types, DepotError *error)
{
	int			metadata_fd = depot_agent_open_metadata(agent, command, true, error);
	DepotTufClient *client = NULL;

	if (metadata_fd < 0)
		return false;
	client = depot_tuf_open_restricted(metadata_fd, pin->root.data, pin->root.length_bytes, 0, key_types, error);
	(void) close(metadata_fd);
	depot_tuf_close(client);
	return client != NULL;
}

/*----- what the rows remember ---------------------------------------------------------*/

bool
depot_agent_has_rows(const json_t *command)
{
	return is_given(command, "rows");
}

/* A DepotTufRefused.  What cannot be told now is told by the next line that cannot be sent. */
static void
tell_refused(void *context, const char *role, int64_t version, const DepotError *reason)
{
	DepotAgent *agent = context;

	(void) depot_channel_send(&agent->channel,
							  json_pack("{s:s, s:s, s:I, s:s}", "type", "refused", "role", role,
										"version", (json_int_t) version, "message", reason->message));
}

bool
depot_agent_adopt_rows(DepotAgent *agent, const json_t *command, DepotTufClient *client, int metadata_fd, int job_fd,
					   const char *role, bool *changed, DepotError *error)
{
	const char *rows;
	int			rows_fd;
	bool		ok;

	*changed = false;
	if (!depot_agent_has_rows(command))
		return true;
	if (!depot_agent_get_file(command, "rows", &rows, error))
		return false;
	rows_fd = depot_files_open_directory(job_fd, rows, error);
	if (rows_fd < 0)
		return false;
	ok = depot_tuf_adopt(client, role, rows_fd, tell_refused, agent, changed, error) &&
		depot_agent_adopt_withdrawn_list(client, metadata_fd, rows_fd, tell_refused, agent, changed, error);
	(void) close(rows_fd);
	return ok &&
		(depot_channel_send(&agent->channel, json_pack("{s:s, s:b}", "type", "adopted", "changed", (int) *changed)) ||
		 depot_error_set(error, DEPOT_ERROR_AGENT, "could not tell the leader that the rows are read"));
}

/*----- what an installation needs -------------------------------------------------------*/

/* The rows first, so that nothing older than what they remember is relied on. */
static bool
adopt_first(DepotAgent *agent, const json_t *command, int job_fd, int64_t reference_time_s, DepotError *error)
{
	DepotTufClient *client;
	const char *role;
	int			metadata_fd;
	bool		changed;
	bool		ok;

	if (!depot_json_get_string(command, "role", true, &role, DEPOT_ERROR_AGENT, error))
		return false;
	metadata_fd = depot_agent_open_metadata(agent, command, true, error);
	if (metadata_fd < 0)
		return false;
	client = depot_agent_open_trusted(command, metadata_fd, job_fd, reference_time_s, NULL, NULL, error);
	ok = client != NULL && depot_agent_adopt_rows(agent, command, client, metadata_fd, job_fd, role, &changed, error);
	depot_tuf_close(client);
	(void) close(metadata_fd);
	return ok;
}

DepotTufClient *
depot_agent_load_target(DepotAgent *agent, const json_t *command, const char *path, int64_t reference_time_s,
						bool check_expiry, DepotTufTarget *target, int *metadata_fd, DepotError *error)
{
	DepotTufClient *client = NULL;
	int			job_fd = -1;

	*metadata_fd = -1;
	if (is_given(command, "job") && (job_fd = depot_agent_open_job(agent, command, error)) < 0)
		return NULL;
	if (depot_agent_has_rows(command) && !adopt_first(agent, command, job_fd, reference_time_s, error))
		goto done;
	*metadata_fd = depot_agent_open_metadata(agent, command, false, error);
	if (*metadata_fd < 0)
		goto done;
	client = depot_agent_open_trusted(command, *metadata_fd, job_fd, reference_time_s, NULL, NULL, error);
	if (client != NULL && !depot_tuf_load_target(client, path, check_expiry, target, error))
	{
		depot_tuf_close(client);
		client = NULL;
	}
	if (client == NULL)
		(void) close(*metadata_fd);
done:
	if (job_fd >= 0)
		(void) close(job_fd);
	return client;
}
