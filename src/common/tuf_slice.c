/*-------------------------------------------------------------------------
 *
 * tuf_slice.c
 *	  The part of a repository that one server reads: the role of its platform
 *	  and those of publishers with packages for it.
 *
 * A path belongs to the first delegation in order that covers it and is
 * terminating, or whose role lists it; what another role says of it counts for
 * nothing, whatever becomes of the first one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/publisher.h"

/* pg15/linux-amd64/<package>/<version>/<file> */
#define PATTERN_PARTS 5

static bool has_role(const char *platform_role, const DepotTufDelegation *delegation);
static bool reaches(const char *pattern, const char *slice);
static bool update_role(DepotTufClient *client, const DepotTufDelegation *delegation, bool is_publisher,
						DepotError *error);
static bool is_publishers_fault(DepotErrorCode code);
static bool keep_document(DepotTufClient *client, const DepotTufDelegation *delegation, DepotTufDocument *document,
						  DepotError *error);
static bool visit_the_rest(DepotTufClient *client, DepotError *error);
static DepotTufRole *add_role(DepotTufClient *client, const char *name, DepotError *error);

bool
depot_tuf_update_slice(DepotTufClient *client, const char *platform_role, DepotError *error)
{
	const json_t *entry;
	size_t		index;
	int			publishers = 0;
	DepotError	missing = {0};

	json_array_foreach(depot_tuf_delegations(client->targets.body), index, entry)
	{
		const DepotTufDelegation delegation = depot_tuf_listed_delegation(client->targets.body, entry);
		const bool	is_publisher = strcmp(delegation.name, platform_role) != 0;

		if (!has_role(platform_role, &delegation))
			continue;
		if (is_publisher && ++publishers > DEPOT_TUF_MAX_PUBLISHERS)
		{
			depot_error_set(error, DEPOT_ERROR_TOO_LARGE,
							"repository delegates packages for \"%s\" to more than %d publishers", platform_role,
							DEPOT_TUF_MAX_PUBLISHERS);
			return depot_error_hint(error, "Its owner should delegate paths of one major version and platform "
									"instead of all, or split it.");
		}
		if (update_role(client, &delegation, is_publisher, error))
			continue;

		/* What a publisher's missing file has nothing to do with is brought up to date first. */
		if (!is_publisher || error->code != DEPOT_ERROR_NOT_FOUND)
			return false;
		missing = *error;
	}
	if (missing.code != DEPOT_OK)
	{
		*error = missing;
		return false;
	}
	return client->visit == NULL || !client->visit_only_changed || !client->changed ||
		visit_the_rest(client, error);
}

bool
depot_tuf_slice_has_path(const char *platform_role, const char *path)
{
	const size_t length = strlen(platform_role);
	const char *dash = strchr(platform_role, '-');
	const size_t major_bytes = dash == NULL ? length : (size_t) (dash - platform_role);

	return dash != NULL && strlen(path) > length && path[length] == '/' && path[major_bytes] == '/' &&
		memcmp(path, platform_role, major_bytes) == 0 &&
		memcmp(path + major_bytes + 1, dash + 1, strlen(dash + 1)) == 0;
}

bool
depot_tuf_owns_path(const DepotTufClient *client, const DepotTufDelegation *delegation, const char *path)
{
	const json_t *entry;
	size_t		index;

	if (json_object_get(json_object_get(client->targets.body, "targets"), path) != NULL)
		return false;
	json_array_foreach(depot_tuf_delegations(client->targets.body), index, entry)
	{
		const DepotTufDelegation earlier = depot_tuf_listed_delegation(client->targets.body, entry);
		const DepotTufDocument *document;

		if (entry == delegation->entry)
			break;
		if (!depot_tuf_delegation_covers(&earlier, path))
			continue;
		document = depot_tuf_loaded_document(client, earlier.name);
		if (json_is_true(json_object_get(entry, "terminating")) ||
			(document != NULL && json_object_get(json_object_get(document->body, "targets"), path) != NULL))
			return false;
	}
	return true;
}

/* Whether the role is that of the platform, or a publisher's with a path that can match one of the slice. */
static bool
has_role(const char *platform_role, const DepotTufDelegation *delegation)
{
	char		slice[DEPOT_TUF_ROLE_NAME_BYTES];
	char	   *dash;
	const json_t *pattern;
	size_t		index;

	if (strcmp(delegation->name, platform_role) == 0)
		return true;
	snprintf(slice, sizeof(slice), "%s", platform_role);
	dash = strchr(slice, '-');
	if (!depot_publisher_is_role(delegation->name) || dash == NULL)
		return false;
	*dash = '/';
	json_array_foreach(json_object_get(delegation->entry, "paths"), index, pattern)
	{
		if (reaches(json_string_value(pattern), slice))
			return true;
	}
	return false;
}

/* Compares the first two parts of a pattern with the slice's "pg15/linux-amd64"; the others can always match. */
static bool
reaches(const char *pattern, const char *slice)
{
	const char *end = pattern;
	char		start[DEPOT_TUF_ROLE_NAME_BYTES];
	int			parts = 1;

	for (const char *p = pattern; *p != '\0'; p++)
	{
		if (*p == '/' && ++parts == 3)
			end = p;
	}
	if (parts != PATTERN_PARTS || end - pattern >= (ptrdiff_t) sizeof(start))
		return false;
	snprintf(start, sizeof(start), "%.*s", (int) (end - pattern), pattern);
	return depot_tuf_path_matches(start, slice);
}

static bool
update_role(DepotTufClient *client, const DepotTufDelegation *delegation, bool is_publisher, DepotError *error)
{
	const bool	is_terminating = json_is_true(json_object_get(delegation->entry, "terminating"));
	DepotTufDocument document = {0};
	DepotTufExpect expect;
	DepotTufRole *role;
	bool		ok;

	/* A publisher who is not listed has not published anything yet. */
	if (!depot_tuf_expect_delegated(client, delegation, &expect, error))
		return is_publisher;
	role = add_role(client, delegation->name, error);
	if (role == NULL)
		return false;
	role->is_publisher = is_publisher;
	depot_tuf_document_free(&client->visited);
	if (!depot_tuf_update_delegated(client, delegation, &document, error))
	{
		if (!is_publisher || !is_publishers_fault(error->code))
			return false;
		role->is_left_out = true;
		snprintf(role->reason, sizeof(role->reason), "%s", error->message);
		/* There may be targets of it that must go. */
		client->changed = true;
		return true;
	}
	role->loaded = true;
	role->version = document.version;
	role->expires_epoch_s = document.expires_epoch_s;
	role->is_visited = client->visit != NULL && (client->changed || !client->visit_only_changed);
	ok = !role->is_visited ||
		depot_tuf_visit_document(client, delegation, &document, client->visit, client->visit_context, error);

	/* What comes later in order needs to know the paths of a role that does not end the search. */
	if (ok && (!is_terminating || (client->visit == NULL && !is_publisher)))
		return keep_document(client, delegation, &document, error);
	client->visited = document;
	return ok;
}

/* What only the publisher himself can be the reason of, when the file is the one that the snapshot lists. */
static bool
is_publishers_fault(DepotErrorCode code)
{
	return code == DEPOT_ERROR_METADATA_EXPIRED || code == DEPOT_ERROR_METADATA_THRESHOLD ||
		code == DEPOT_ERROR_METADATA_FORMAT;
}

/* Moves document into the client. */
static bool
keep_document(DepotTufClient *client, const DepotTufDelegation *delegation, DepotTufDocument *document,
			  DepotError *error)
{
	DepotTufDelegated **end = &client->delegated;
	DepotTufDelegated *loaded = calloc(1, sizeof(*loaded));

	if (loaded == NULL)
	{
		depot_tuf_document_free(document);
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	}
	snprintf(loaded->name, sizeof(loaded->name), "%s", delegation->name);
	loaded->delegation = *delegation;
	loaded->delegation.name = loaded->name;
	loaded->document = *document;
	while (*end != NULL)
		end = &(*end)->next;
	*end = loaded;
	return true;
}

/* Visits roles that were passed over, because nothing seemed to have changed. */
static bool
visit_the_rest(DepotTufClient *client, DepotError *error)
{
	for (int i = 0; i < client->slice_count; i++)
	{
		const DepotTufRole *role = &client->slice[i];

		if (role->loaded && !role->is_visited &&
			!depot_tuf_visit_targets(client, role->name, client->visit, client->visit_context, error))
			return false;
	}
	return true;
}

/* Notes a role of the slice; the result is good until the next one. */
static DepotTufRole *
add_role(DepotTufClient *client, const char *name, DepotError *error)
{
	DepotTufRole *grown = realloc(client->slice, ((size_t) client->slice_count + 1) * sizeof(DepotTufRole));
	DepotTufRole *role;

	if (grown == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	client->slice = grown;
	role = &grown[client->slice_count++];
	memset(role, 0, sizeof(*role));
	snprintf(role->name, sizeof(role->name), "%.*s", (int) sizeof(role->name) - 1, name);
	return role;
}
