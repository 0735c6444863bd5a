/*-------------------------------------------------------------------------
 *
 * tuf_lookup.c
 *	  Finds targets in trusted metadata, in the order of delegations.
 *
 * A target counts only when every role on the way to it was let by its
 * delegator to sign that path.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <stdio.h>
#include <string.h>

#include "common/name.h"

typedef enum SearchResult
{
	SEARCH_CONTINUE,
	SEARCH_FOUND,
	SEARCH_STOP,				/* a terminating delegation said no */
	SEARCH_FAILED
} SearchResult;

typedef struct Search
{
	DepotTufClient *client;
	const char *path;
	DepotTufTarget *target;
	const char *visited[DEPOT_TUF_MAX_DELEGATIONS + 1];
	int			visited_count;
} Search;

static SearchResult search_role(Search *search, const char *role, const json_t *body, DepotError *error);
static SearchResult search_delegations(Search *search, const json_t *body, DepotError *error);
static SearchResult search_delegation(Search *search, const DepotTufDelegation *delegation,
									  DepotError *error);
static bool fill_target(const char *path, const json_t *entry, const char *role, DepotTufTarget *target,
						DepotError *error);
static bool read_digest(const json_t *hashes, const char *algorithm, char *hex, size_t hex_bytes);
static void add_role(DepotTufRole *roles, int limit, int *count, const char *name,
					 const DepotTufDocument *document);

bool
depot_tuf_find_target(DepotTufClient *client, const char *path, DepotTufTarget *target, DepotError *error)
{
	Search		search = {.client = client, .path = path, .target = target};
	SearchResult result;
	char		shown[128];

	if (client->targets.envelope == NULL)
		return depot_error_set(error, DEPOT_ERROR_WRONG_STATE,
							   "no metadata of the repository has been loaded");
	if (client->fetch != NULL && !depot_tuf_lock(client, error))
		return false;
	result = search_role(&search, "targets", client->targets.body, error);
	if (client->fetch != NULL)
		depot_tuf_unlock(client);
	if (result == SEARCH_FOUND || result == SEARCH_FAILED)
		return result == SEARCH_FOUND;
	return depot_error_set(error, DEPOT_ERROR_TARGET_UNKNOWN, "the repository has no target \"%s\"",
						   depot_name_printable(path, shown, sizeof(shown)));
}

bool
depot_tuf_visit_targets(DepotTufClient *client, const char *role, DepotTufVisit visit, void *context,
						DepotError *error)
{
	DepotTufDelegation delegation;
	const DepotTufDelegated *loaded;

	if (client->targets.envelope == NULL)
		return depot_error_set(error, DEPOT_ERROR_WRONG_STATE,
							   "no metadata of the repository has been loaded");
	if (strcmp(role, "targets") == 0)
		return depot_tuf_visit_document(client, NULL, &client->targets, visit, context, error);
	if (!depot_tuf_find_delegation(client, role, &delegation))
		return true;
	loaded = depot_tuf_load_delegated(client, &delegation, error);
	return loaded != NULL &&
		depot_tuf_visit_document(client, &delegation, &loaded->document, visit, context, error);
}

bool
depot_tuf_visit_document(const DepotTufClient *client, const DepotTufDelegation *delegation,
						 const DepotTufDocument *document, DepotTufVisit visit, void *context,
						 DepotError *error)
{
	const char *role = delegation == NULL ? "targets" : delegation->name;
	const char *path;
	json_t	   *entry;

	json_object_foreach(json_object_get(document->body, "targets"), path, entry)
	{
		DepotTufTarget target;

		if (delegation != NULL &&
			(!depot_tuf_delegation_covers(delegation, path) || !depot_tuf_owns_path(client, delegation, path)))
			continue;
		if (!fill_target(path, entry, role, &target, NULL) || target.sha256[0] == '\0')
			continue;
		target.delegation = delegation == NULL ? NULL : delegation->entry;
		target.depth = delegation == NULL ? 0 : 1;
		if (!visit(&target, context, error))
			return false;
	}
	return true;
}

const json_t *
depot_tuf_delegated_roles(const DepotTufClient *client)
{
	return depot_tuf_delegations(client->targets.body);
}

void
depot_tuf_visit_slice(DepotTufClient *client, bool only_if_changed, DepotTufVisit visit, void *context)
{
	client->visit = visit;
	client->visit_context = context;
	client->visit_only_changed = only_if_changed;
}

int
depot_tuf_roles(const DepotTufClient *client, DepotTufRole *roles, int limit)
{
	int			count = 0;

	add_role(roles, limit, &count, "root", &client->root);
	add_role(roles, limit, &count, "timestamp", &client->timestamp);
	add_role(roles, limit, &count, "snapshot", &client->snapshot);
	add_role(roles, limit, &count, "targets", &client->targets);
	if (client->slice_count == 0)
	{
		for (const DepotTufDelegated *loaded = client->delegated; loaded != NULL; loaded = loaded->next)
			add_role(roles, limit, &count, loaded->name, &loaded->document);
	}
	for (int i = 0; i < client->slice_count && count < limit; i++)
		roles[count++] = client->slice[i];
	return count;
}

/*
 * Pre-order, depth first.  The recursion is no deeper than the number of different roles,
 * as none is visited twice.
 */
static SearchResult
search_role(Search *search, const char *role, const json_t *body, DepotError *error)
{
	json_t	   *targets = json_object_get(body, "targets");
	void	   *found = json_object_iter_at(targets, search->path);

	/* The path as the metadata has it lives as long as the client. */
	if (found != NULL)
		return fill_target(json_object_iter_key(found), json_object_iter_value(found), role, search->target,
						   error) ? SEARCH_FOUND : SEARCH_FAILED;
	search->visited[search->visited_count++] = role;
	return search_delegations(search, body, error);
}

static SearchResult
search_delegations(Search *search, const json_t *body, DepotError *error)
{
	char		bin_name[DEPOT_TUF_ROLE_NAME_BYTES];
	DepotTufDelegation delegation;
	const json_t *entry;
	size_t		index;

	if (depot_tuf_bin_delegation(body, search->path, bin_name, &delegation))
		return search_delegation(search, &delegation, error);
	json_array_foreach(depot_tuf_delegations(body), index, entry)
	{
		SearchResult result;

		delegation = depot_tuf_listed_delegation(body, entry);
		result = search_delegation(search, &delegation, error);
		if (result != SEARCH_CONTINUE)
			return result;
	}
	return SEARCH_CONTINUE;
}

static SearchResult
search_delegation(Search *search, const DepotTufDelegation *delegation, DepotError *error)
{
	const bool	terminating = json_is_true(json_object_get(delegation->entry, "terminating"));
	const DepotTufDelegated *loaded;
	SearchResult result = SEARCH_CONTINUE;
	bool		visited = false;

	if (!depot_tuf_delegation_covers(delegation, search->path))
		return SEARCH_CONTINUE;
	for (int i = 0; i < search->visited_count; i++)
		visited = visited || strcmp(search->visited[i], delegation->name) == 0;
	if (!visited)
	{
		if (search->visited_count > DEPOT_TUF_MAX_DELEGATIONS)
		{
			depot_error_set(error, DEPOT_ERROR_TOO_LARGE,
							"more than %d delegated roles would have to be searched",
							DEPOT_TUF_MAX_DELEGATIONS);
			return SEARCH_FAILED;
		}
		loaded = depot_tuf_load_delegated(search->client, delegation, error);
		if (loaded == NULL)
			return SEARCH_FAILED;
		result = search_role(search, loaded->name, loaded->document.body, error);
	}
	if (result == SEARCH_FOUND)
	{
		/* The way back ends at the top-level role, whose entry stays. */
		search->target->delegation = delegation->entry;
		search->target->depth++;
	}
	return result == SEARCH_CONTINUE && terminating ? SEARCH_STOP : result;
}

/* Fails when the target has a digest that is none, or none of a kind that is known here. */
static bool
fill_target(const char *path, const json_t *entry, const char *role, DepotTufTarget *target,
			DepotError *error)
{
	const json_t *hashes = json_object_get(entry, "hashes");

	if (!read_digest(hashes, "sha256", target->sha256, sizeof(target->sha256)) ||
		!read_digest(hashes, "sha512", target->sha512, sizeof(target->sha512)))
		return depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT,
							   "target is listed with a digest that is not lower-case hexadecimal");
	if (target->sha256[0] == '\0' && target->sha512[0] == '\0')
		return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED,
							   "target is listed with no digest of a kind that is known here (sha256, sha512)");
	target->path = path;
	target->length_bytes = (uint64_t) json_integer_value(json_object_get(entry, "length"));
	target->custom = json_object_get(entry, "custom");
	target->role = role;
	target->delegation = NULL;
	target->depth = 0;
	return true;
}

/* Copies a digest, or "" when there is none of this kind; false when it does not fill hex with digits. */
static bool
read_digest(const json_t *hashes, const char *algorithm, char *hex, size_t hex_bytes)
{
	const char *value = json_string_value(json_object_get(hashes, algorithm));

	hex[0] = '\0';
	if (value == NULL)
		return true;
	if (strlen(value) != hex_bytes - 1 || strspn(value, "0123456789abcdef") != hex_bytes - 1)
		return false;
	memcpy(hex, value, hex_bytes);
	return true;
}

static void
add_role(DepotTufRole *roles, int limit, int *count, const char *name, const DepotTufDocument *document)
{
	DepotTufRole *role = &roles[*count];

	if (document->envelope == NULL || *count >= limit)
		return;
	memset(role, 0, sizeof(*role));
	snprintf(role->name, sizeof(role->name), "%.*s", (int) sizeof(role->name) - 1, name);
	role->version = document->version;
	role->expires_epoch_s = document->expires_epoch_s;
	role->loaded = true;
	(*count)++;
}
