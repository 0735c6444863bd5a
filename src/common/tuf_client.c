/*-------------------------------------------------------------------------
 *
 * tuf_client.c
 *	  The trusted metadata of one repository in memory: where it begins, what
 *	  is expected of each piece, and how it is loaded from disk.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is to be there after loading from disk besides the top-level roles. */
typedef struct Wanted
{
	const char *delegated_role; /* or NULL */
	const char *path;			/* a target's, or NULL */
	DepotTufTarget *target;
} Wanted;

static bool load_any_set(DepotTufClient *client, const Wanted *wanted, bool check_expiry, DepotError *error);
static bool load_set(DepotTufClient *client, const Wanted *wanted, bool check_expiry, DepotError *error);
static void forget_documents(DepotTufClient *client);
static bool start_from_disk(DepotTufClient *client, DepotError *error);
static bool start_from_pin(DepotTufClient *client, const char *root, size_t root_bytes, DepotError *error);
static bool load_required(const DepotTufClient *client, const DepotTufExpect *expect, bool check_expiry,
						  DepotTufDocument *document, DepotError *error);

DepotTufClient *
depot_tuf_open(int metadata_directory_fd, const char *initial_root, size_t initial_root_bytes,
			   int64_t reference_time_s, DepotError *error)
{
	return depot_tuf_open_restricted(metadata_directory_fd, initial_root, initial_root_bytes, reference_time_s,
									 DEPOT_TUF_ALL_KEY_TYPES, error);
}

DepotTufClient *
depot_tuf_open_restricted(int metadata_directory_fd, const char *initial_root, size_t initial_root_bytes,
						  int64_t reference_time_s, DepotTufKeyTypes key_types, DepotError *error)
{
	DepotTufClient *client = calloc(1, sizeof(DepotTufClient));
	bool		ok;

	if (client == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	client->directory_fd = metadata_directory_fd;
	client->reference_time_s = reference_time_s;
	client->key_types = key_types;
	if (initial_root != NULL)
		ok = start_from_pin(client, initial_root, initial_root_bytes, error);
	else
		ok = start_from_disk(client, error);
	if (ok)
		return client;
	depot_tuf_close(client);
	return NULL;
}

void
depot_tuf_close(DepotTufClient *client)
{
	if (client == NULL)
		return;
	depot_tuf_forget(client);
	depot_tuf_document_free(&client->root);
	free(client->slice);
	free(client);
}

bool
depot_tuf_load_trusted(DepotTufClient *client, const char *delegated_role, bool check_expiry,
					   DepotError *error)
{
	const Wanted wanted = {.delegated_role = delegated_role};

	return load_any_set(client, &wanted, check_expiry, error);
}

bool
depot_tuf_load_target(DepotTufClient *client, const char *path, bool check_expiry, DepotTufTarget *target,
					  DepotError *error)
{
	const Wanted wanted = {.path = path, .target = target};

	return load_any_set(client, &wanted, check_expiry, error);
}

static bool
load_any_set(DepotTufClient *client, const Wanted *wanted, bool check_expiry, DepotError *error)
{
	DepotError	whole_error;

	depot_tuf_forget(client);
	if (load_set(client, wanted, check_expiry, error))
		return true;

	/* A whole set does not list it: an older one does not count. */
	if (error->code == DEPOT_ERROR_TARGET_UNKNOWN)
		return false;

	/* A refresh that failed halfway must not take away what was accepted before it. */
	if (!depot_tuf_store_has_replaced(client->directory_fd))
		return false;
	client->is_from_whole = true;
	if (load_set(client, wanted, check_expiry, &whole_error))
		return true;
	if (whole_error.code == DEPOT_ERROR_METADATA_EXPIRED)
		*error = whole_error;
	depot_tuf_forget(client);
	return false;
}

/* Loads timestamp, snapshot, targets and what is wanted from one directory. */
static bool
load_set(DepotTufClient *client, const Wanted *wanted, bool check_expiry, DepotError *error)
{
	DepotTufExpect expect;
	DepotTufDelegation delegation;

	forget_documents(client);
	client->check_expiry = check_expiry;
	if ((check_expiry &&
		 !depot_tuf_check_expiry(&client->root, "root metadata", client->reference_time_s, error)) ||
		!depot_tuf_expect_top_level(client, "timestamp", &expect, error) ||
		!load_required(client, &expect, check_expiry, &client->timestamp, error) ||
		!depot_tuf_expect_top_level(client, "snapshot", &expect, error) ||
		!load_required(client, &expect, check_expiry, &client->snapshot, error) ||
		!depot_tuf_expect_top_level(client, "targets", &expect, error) ||
		!load_required(client, &expect, check_expiry, &client->targets, error))
		goto failed;
	if (wanted->path != NULL && !depot_tuf_find_target(client, wanted->path, wanted->target, error))
		goto failed;
	if (wanted->delegated_role == NULL ||
		!depot_tuf_find_delegation(client, wanted->delegated_role, &delegation) ||
		depot_tuf_load_delegated(client, &delegation, error) != NULL)
		return true;

failed:
	forget_documents(client);
	return false;
}

const DepotTufDelegated *
depot_tuf_load_delegated(DepotTufClient *client, const DepotTufDelegation *delegation, DepotError *error)
{
	DepotTufDelegated **end = &client->delegated;
	DepotTufDelegated *loaded;
	DepotTufExpect expect;
	bool		ok;

	while (*end != NULL)
	{
		if ((*end)->delegation.delegator_body == delegation->delegator_body &&
			strcmp((*end)->name, delegation->name) == 0)
			return *end;
		end = &(*end)->next;
	}
	loaded = calloc(1, sizeof(*loaded));
	if (loaded == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	snprintf(loaded->name, sizeof(loaded->name), "%s", delegation->name);
	loaded->delegation = *delegation;
	loaded->delegation.name = loaded->name;
	if (client->proof != NULL)
		ok = depot_tuf_prove_delegated(client, &loaded->delegation, &loaded->document, error);
	else if (client->fetch != NULL)
		ok = depot_tuf_update_delegated(client, &loaded->delegation, &loaded->document, error);
	else
		ok = depot_tuf_expect_delegated(client, &loaded->delegation, &expect, error) &&
			load_required(client, &expect, client->check_expiry, &loaded->document, error);
	if (!ok)
	{
		free(loaded);
		return NULL;
	}
	*end = loaded;
	return loaded;
}

const DepotTufDocument *
depot_tuf_loaded_document(const DepotTufClient *client, const char *role)
{
	for (const DepotTufDelegated *loaded = client->delegated; loaded != NULL; loaded = loaded->next)
	{
		if (loaded->delegation.delegator_body == client->targets.body && strcmp(loaded->name, role) == 0)
			return &loaded->document;
	}
	return NULL;
}

bool
depot_tuf_accept_next_root(DepotTufClient *client, const DepotBuffer *bytes, DepotError *error)
{
	DepotTufDocument fresh = {0};
	DepotTufExpect expect;

	if (!depot_tuf_expect_top_level(client, "root", &expect, error) ||
		!depot_tuf_accept(&expect, bytes, &fresh, error))
		return false;
	if (!depot_tuf_verify_signatures(fresh.envelope, NULL, json_object_get(fresh.body, "keys"),
									 json_object_get(json_object_get(fresh.body, "roles"), "root"),
									 "root metadata", client->key_types, error))
	{
		depot_error_detail(error, "Version %" PRId64 " is signed by the keys of version %" PRId64 ", but not "
						   "by its own.",
						   fresh.version, client->root.version);
		goto failed;
	}
	if (fresh.version != client->root.version + 1)
	{
		depot_error_set(error, DEPOT_ERROR_METADATA_ROLLBACK,
						"root metadata has version %" PRId64 " where version %" PRId64 " was expected",
						fresh.version, client->root.version + 1);
		depot_error_hint(error, "Versions of root metadata go up by exactly one; a mirror may serve the "
						 "wrong file.");
		goto failed;
	}
	depot_tuf_document_free(&client->root);
	client->root = fresh;
	return true;

failed:
	depot_tuf_document_free(&fresh);
	return false;
}

bool
depot_tuf_expect_top_level(const DepotTufClient *client, const char *role, DepotTufExpect *expect,
						   DepotError *error)
{
	const DepotTufDocument *parent = NULL;
	char		file[32];

	*expect = (DepotTufExpect)
	{
		.role = role, .type = role, .key_types = client->key_types
	};
	expect->keys = json_object_get(client->root.body, "keys");
	expect->threshold = json_object_get(json_object_get(client->root.body, "roles"), role);
	if (strcmp(role, "root") == 0)
		expect->max_bytes = DEPOT_TUF_ROOT_MAX_BYTES;
	else if (strcmp(role, "timestamp") == 0)
		expect->max_bytes = DEPOT_TUF_TIMESTAMP_MAX_BYTES;
	else if (strcmp(role, "snapshot") == 0)
	{
		expect->max_bytes = DEPOT_TUF_SNAPSHOT_MAX_BYTES;
		parent = &client->timestamp;
	}
	else
	{
		expect->max_bytes = DEPOT_TUF_TARGETS_MAX_BYTES;
		parent = &client->snapshot;
	}
	if (parent == NULL || client->proof != NULL)
		return true;
	snprintf(file, sizeof(file), "%s.json", role);
	expect->meta = json_object_get(json_object_get(parent->body, "meta"), file);
	return expect->meta != NULL ||
		depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
						"snapshot metadata does not list the %s metadata", role);
}

bool
depot_tuf_expect_delegated(const DepotTufClient *client, const DepotTufDelegation *delegation,
						   DepotTufExpect *expect, DepotError *error)
{
	char		file[DEPOT_TUF_ROLE_NAME_BYTES + sizeof(".json")];
	char		what[DEPOT_TUF_LABEL_BYTES];

	*expect = (DepotTufExpect)
	{
		.role = delegation->name, .type = "targets",.max_bytes = DEPOT_TUF_TARGETS_MAX_BYTES
	};
	expect->keys = depot_tuf_delegation_keys(delegation->delegator_body);
	expect->threshold = delegation->entry;
	expect->key_types = client->key_types;
	if (client->proof != NULL)
		return true;
	snprintf(file, sizeof(file), "%s.json", delegation->name);
	expect->meta = json_object_get(json_object_get(client->snapshot.body, "meta"), file);
	return expect->meta != NULL ||
		depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH, "snapshot metadata does not list the %s",
						depot_tuf_label(delegation->name, what));
}

bool
depot_tuf_find_delegation(const DepotTufClient *client, const char *role, DepotTufDelegation *delegation)
{
	const json_t *entry;
	size_t		index;

	json_array_foreach(depot_tuf_delegations(client->targets.body), index, entry)
	{
		*delegation = depot_tuf_listed_delegation(client->targets.body, entry);
		if (strcmp(delegation->name, role) == 0)
			return true;
	}
	return false;
}

bool
depot_tuf_has_consistent_snapshots(const DepotTufClient *client)
{
	return json_is_true(json_object_get(client->root.body, "consistent_snapshot"));
}

void
depot_tuf_forget(DepotTufClient *client)
{
	forget_documents(client);
	client->fetch = NULL;
	client->fetch_context = NULL;
	client->is_from_whole = false;
}

static void
forget_documents(DepotTufClient *client)
{
	depot_tuf_document_free(&client->timestamp);
	depot_tuf_document_free(&client->snapshot);
	while (client->delegated != NULL)
	{
		DepotTufDelegated *next = client->delegated->next;

		depot_tuf_document_free(&client->delegated->document);
		free(client->delegated);
		client->delegated = next;
	}
	client->slice_count = 0;
	depot_tuf_document_free(&client->visited);
	depot_tuf_document_free(&client->targets);
}

static bool
start_from_disk(DepotTufClient *client, DepotError *error)
{
	const DepotTufExpect expect = {
		.role = "root",.type = "root",.max_bytes = DEPOT_TUF_ROOT_MAX_BYTES, .key_types = client->key_types
	};
	DepotBuffer bytes;
	bool		present;
	bool		ok = false;

	depot_buffer_init(&bytes);
	if (!depot_tuf_store_read(client->directory_fd, "root", false, expect.max_bytes, &bytes, &present, error))
		goto done;
	if (!present)
	{
		depot_error_set(error, DEPOT_ERROR_ROOT_INVALID, "there is no trusted root of this repository");
		depot_error_hint(error, "Give the repository's root.json, or its SHA-256 digest, when adding it.");
		goto done;
	}
	ok = depot_tuf_accept(&expect, &bytes, &client->root, error);
	if (!ok && error->code != DEPOT_ERROR_OUT_OF_MEMORY)
	{
		error->code = DEPOT_ERROR_ROOT_INVALID;
		depot_error_prefix(error, "the trusted root kept on this server is not valid");
	}

done:
	depot_buffer_free(&bytes);
	return ok;
}

/*
 * The pinned root is what a superuser said; the roots on disk are a cache of the chain
 * that begins at it.  So the chain is walked again each time, a root on disk that it does
 * not reach is not believed, and the repository is asked for it again.
 */
static bool
start_from_pin(DepotTufClient *client, const char *root, size_t root_bytes, DepotError *error)
{
	const DepotTufExpect expect = {
		.role = "root",.type = "root",.max_bytes = DEPOT_TUF_ROOT_MAX_BYTES, .key_types = client->key_types
	};
	DepotBuffer newest;
	DepotBuffer bytes;
	bool		present = true;
	bool		ok = false;

	depot_buffer_init(&newest);
	depot_buffer_init(&bytes);
	if (!depot_buffer_append(&newest, root, root_bytes))
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	if (!depot_tuf_accept(&expect, &newest, &client->root, error))
	{
		if (error->code != DEPOT_ERROR_OUT_OF_MEMORY)
			error->code = DEPOT_ERROR_ROOT_INVALID;
		depot_error_prefix(error, "the given root is not valid");
		goto done;
	}
	while (present)
	{
		DepotBuffer swap = newest;
		DepotError	ignored;

		if (!depot_tuf_store_read_root(client->directory_fd, client->root.version + 1, &bytes, &present,
									   error))
			goto done;
		if (!present || !depot_tuf_accept_next_root(client, &bytes, &ignored))
			break;
		newest = bytes;
		bytes = swap;
	}
	if (!depot_tuf_store_read(client->directory_fd, "root", false, expect.max_bytes, &bytes, &present, error))
		goto done;
	ok = present && bytes.length_bytes == newest.length_bytes &&
		memcmp(bytes.data, newest.data, newest.length_bytes) == 0;
	if (!ok)
		ok = depot_tuf_store_write_root(client->directory_fd, client->root.version, &newest, error);

done:
	depot_buffer_free(&newest);
	depot_buffer_free(&bytes);
	return ok;
}

static bool
load_required(const DepotTufClient *client, const DepotTufExpect *expect, bool check_expiry,
			  DepotTufDocument *document, DepotError *error)
{
	char		what[DEPOT_TUF_LABEL_BYTES];
	DepotBuffer bytes;
	bool		present;
	bool		ok = false;

	depot_tuf_label(expect->role, what);
	depot_buffer_init(&bytes);
	if (!depot_tuf_store_read(client->directory_fd, expect->role, client->is_from_whole, expect->max_bytes, &bytes,
							  &present, error))
		goto done;
	if (!present)
	{
		depot_error_set(error, DEPOT_ERROR_WRONG_STATE, "%s of the repository is not on this server", what);
		depot_error_hint(error, "Refresh the repository with refresh_extension_repository().");
		goto done;
	}
	if (!depot_tuf_accept(expect, &bytes, document, error))
	{
		depot_error_prefix(error, "metadata kept on this server");
		if (error->code == DEPOT_ERROR_METADATA_MISMATCH)
			depot_error_hint(error, "The last refresh did not end. Repeat it with "
							 "refresh_extension_repository().");
		goto done;
	}
	ok = !check_expiry || depot_tuf_check_expiry(document, what, client->reference_time_s, error);
	if (!ok)
		depot_tuf_document_free(document);

done:
	depot_buffer_free(&bytes);
	return ok;
}
