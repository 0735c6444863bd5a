/*-------------------------------------------------------------------------
 *
 * tuf_lookup.c
 *	  Finds targets in trusted metadata, in the order of delegations.
 *
 * A target counts only when every role on the way to it was let by its
 * delegator to sign that path.  Roles that are not in memory are taken from
 * disk; nothing is fetched.
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
}			SearchResult;

typedef struct Search
{
	DepotTufClient *client;
	const char *path;
	DepotTufTarget *target;
	const char *visited[DEPOT_TUF_MAX_DELEGATIONS + 1];
	int			visited_count;
}			Search;

static SearchResult search_role(Search *search, const char *role, const json_t *body, DepotError *error);
static SearchResult search_delegation(Search *search, const char *delegator, const json_t *delegator_body,
									  const json_t *delegation, DepotError *error);
static bool delegation_matches(const json_t *delegation, const char *path, bool *matches, DepotError *error);
static bool fill_target(const char *path, const json_t *entry, const char *role, DepotTufTarget *target);
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
	result = search_role(&search, "targets", client->targets.body, error);
	if (result == SEARCH_FOUND || result == SEARCH_FAILED)
		return result == SEARCH_FOUND;
	return depot_error_set(error, DEPOT_ERROR_TARGET_UNKNOWN, "the repository has no target \"%s\"",
						   depot_name_printable(path, shown, sizeof(shown)));
}

bool
depot_tuf_visit_targets(DepotTufClient *client, const char *role, DepotTufVisit visit, void *context,
						DepotError *error)
{
	const DepotTufDocument *document = NULL;
	const json_t *delegation = NULL;
	const char *path;
	json_t	   *entry;

	if (client->targets.envelope == NULL)
		return depot_error_set(error, DEPOT_ERROR_WRONG_STATE,
							   "no metadata of the repository has been loaded");
	if (strcmp(role, "targets") == 0)
		document = &client->targets;
	for (int i = 0; i < client->delegated_count && document == NULL; i++)
	{
		const DepotTufDelegated *loaded = &client->delegated[i];

		if (strcmp(loaded->delegator, "targets") == 0 && strcmp(loaded->name, role) == 0)
		{
			document = &loaded->document;
			delegation = loaded->delegation;
		}
	}
	if (document == NULL)
		return true;
	json_object_foreach(json_object_get(document->body, "targets"), path, entry)
	{
		DepotTufTarget target;
		bool		matches = true;

		if (delegation != NULL && !delegation_matches(delegation, path, &matches, error))
			return false;
		if (matches && fill_target(path, entry, role, &target) && !visit(&target, context, error))
			return false;
	}
	return true;
}

int
depot_tuf_roles(const DepotTufClient *client, DepotTufRole *roles, int limit)
{
	int			count = 0;

	add_role(roles, limit, &count, "root", &client->root);
	add_role(roles, limit, &count, "timestamp", &client->timestamp);
	add_role(roles, limit, &count, "snapshot", &client->snapshot);
	add_role(roles, limit, &count, "targets", &client->targets);
	for (int i = 0; i < client->delegated_count; i++)
		add_role(roles, limit, &count, client->delegated[i].name, &client->delegated[i].document);
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
	const json_t *delegation;
	size_t		index;

	if (found != NULL)
	{
		/* The path as the metadata has it lives as long as the client. */
		if (fill_target(json_object_iter_key(found), json_object_iter_value(found), role, search->target))
			return SEARCH_FOUND;
		depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "target is listed without a sha256 digest");
		return SEARCH_FAILED;
	}
	search->visited[search->visited_count++] = role;

	if (json_object_get(json_object_get(body, "delegations"), "succinct_roles") != NULL)
	{
		depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "repository delegates to hash bins (succinct_roles)");
		return SEARCH_FAILED;
	}
	json_array_foreach(depot_tuf_delegations(body), index, delegation)
	{
		SearchResult result = search_delegation(search, role, body, delegation, error);

		if (result != SEARCH_CONTINUE)
			return result;
	}
	return SEARCH_CONTINUE;
}

static SearchResult
search_delegation(Search *search, const char *delegator, const json_t *delegator_body,
				  const json_t *delegation,
				  DepotError *error)
{
	const char *name = json_string_value(json_object_get(delegation, "name"));
	const bool	terminating = json_is_true(json_object_get(delegation, "terminating"));
	const DepotTufDocument *document;
	SearchResult result = SEARCH_CONTINUE;
	bool		matches;
	bool		visited = false;

	if (!delegation_matches(delegation, search->path, &matches, error))
		return SEARCH_FAILED;
	if (!matches)
		return SEARCH_CONTINUE;
	for (int i = 0; i < search->visited_count; i++)
		visited = visited || strcmp(search->visited[i], name) == 0;
	if (!visited)
	{
		if (search->visited_count > DEPOT_TUF_MAX_DELEGATIONS)
		{
			depot_error_set(error, DEPOT_ERROR_TOO_LARGE,
							"more than %d delegated roles would have to be searched",
							DEPOT_TUF_MAX_DELEGATIONS);
			return SEARCH_FAILED;
		}
		document = depot_tuf_load_delegated(search->client, delegator, delegator_body, delegation, error);
		if (document == NULL)
			return SEARCH_FAILED;
		result = search_role(search, name, document->body, error);
	}
	return result == SEARCH_CONTINUE && terminating ? SEARCH_STOP : result;
}

/* Whether a delegation lets its role sign path. */
static bool
delegation_matches(const json_t *delegation, const char *path, bool *matches, DepotError *error)
{
	const json_t *paths = json_object_get(delegation, "paths");
	const json_t *pattern;
	size_t		index;

	*matches = false;

	/* Passing over a delegation that cannot be judged could pick a target that it forbids. */
	if (paths == NULL)
		return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "repository delegates by path_hash_prefixes");
	json_array_foreach(paths, index, pattern)
	{
		if (depot_tuf_path_matches(json_string_value(pattern), path))
		{
			*matches = true;
			break;
		}
	}
	return true;
}

/* False when the target has no usable sha256. */
static bool
fill_target(const char *path, const json_t *entry, const char *role, DepotTufTarget *target)
{
	const char *sha256 = json_string_value(json_object_get(json_object_get(entry, "hashes"), "sha256"));

	if (sha256 == NULL || !depot_name_is_sha256(sha256))
		return false;
	target->path = path;
	target->length_bytes = (uint64_t) json_integer_value(json_object_get(entry, "length"));
	snprintf(target->sha256, sizeof(target->sha256), "%s", sha256);
	target->custom = json_object_get(entry, "custom");
	target->role = role;
	return true;
}

static void
add_role(DepotTufRole *roles, int limit, int *count, const char *name, const DepotTufDocument *document)
{
	DepotTufRole *role = &roles[*count];

	if (document->envelope == NULL || *count >= limit)
		return;
	snprintf(role->name, sizeof(role->name), "%s", name);
	role->version = document->version;
	role->expires_epoch_s = document->expires_epoch_s;
	role->loaded = true;
	(*count)++;
}
