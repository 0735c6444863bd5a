/*-------------------------------------------------------------------------
 *
 * tuf_refresh.c
 *	  The client workflow of TUF (specification 1.0.34, sections 5.2 to 5.6).
 *
 * One rule replaces the special cases of key rotation: local metadata is used
 * only when it verifies with the keys of the newest root.  So whoever rotates
 * the keys of timestamp and snapshot lets clients forget what those keys
 * signed, and nobody else can.
 *
 * Whatever fails leaves what was persisted before in place and valid; the next
 * refresh goes on from there.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/digest.h"

static bool update_root(DepotTufClient *client, DepotError *error);
static bool update_timestamp(DepotTufClient *client, DepotError *error);
static int64_t announced_snapshot(const DepotTufDocument *timestamp);
static bool take_timestamp(DepotTufClient *client, const DepotBuffer *bytes, DepotTufDocument *local,
						   DepotTufDocument *fresh, DepotError *error);
static bool update_listed(DepotTufClient *client, const DepotTufExpect *expect, DepotTufDocument *document,
						  DepotError *error);
static bool update_the_rest(DepotTufClient *client, const char *delegated_role, DepotError *error);
static bool persist(const DepotTufClient *client, const char *role, const DepotBuffer *bytes, DepotError *error);
static bool check_snapshot_rollback(const DepotTufDocument *old, const DepotTufDocument *fresh,
									DepotError *error);
static bool load_local(const DepotTufClient *client, const DepotTufExpect *expect, DepotBuffer *bytes,
					   DepotTufDocument *document, DepotError *error);
static bool fetch_file(const DepotTufClient *client, const char *role, int64_t version,
					   const DepotTufExpect *expect,
					   DepotBuffer *bytes, bool *missing, DepotError *error);

bool
depot_tuf_refresh(DepotTufClient *client, const char *delegated_role, DepotTufFetch fetch, void *context,
				  bool *changed, DepotError *error)
{
	bool		ok;

	*changed = false;
	depot_tuf_forget(client);
	client->check_expiry = true;
	client->changed = false;
	client->is_unchanged = false;
	if (!depot_tuf_lock(client, error))
		return false;
	client->fetch = fetch;
	client->fetch_context = context;
	client->is_refreshing = true;
	ok = update_root(client, error) && update_timestamp(client, error);
	client->is_unchanged = ok && !client->changed && client->known_timestamp[0] != '\0' &&
		strcmp(client->known_timestamp, client->timestamp_sha256) == 0;
	ok = ok && (client->is_unchanged || update_the_rest(client, delegated_role, error));
	client->is_refreshing = false;
	depot_tuf_unlock(client);
	if (!ok)
		depot_tuf_forget(client);
	*changed = client->changed;
	return ok;
}

/* What follows from a timestamp. */
static bool
update_the_rest(DepotTufClient *client, const char *delegated_role, DepotError *error)
{
	DepotTufExpect expect;

	return depot_tuf_expect_top_level(client, "snapshot", &expect, error) &&
		update_listed(client, &expect, &client->snapshot, error) &&
		depot_tuf_expect_top_level(client, "targets", &expect, error) &&
		update_listed(client, &expect, &client->targets, error) &&
		(delegated_role == NULL || depot_tuf_update_slice(client, delegated_role, error)) &&
		depot_tuf_store_note_whole(client->directory_fd, error);
}

void
depot_tuf_stop_at_timestamp(DepotTufClient *client, const char *timestamp_sha256)
{
	snprintf(client->known_timestamp, sizeof(client->known_timestamp), "%s", timestamp_sha256);
}

bool
depot_tuf_is_unchanged(const DepotTufClient *client)
{
	return client->is_unchanged;
}

const char *
depot_tuf_timestamp_sha256(const DepotTufClient *client)
{
	return client->timestamp_sha256;
}

bool
depot_tuf_update_delegated(DepotTufClient *client, const DepotTufDelegation *delegation,
						   DepotTufDocument *document, DepotError *error)
{
	DepotTufExpect expect;

	return depot_tuf_expect_delegated(client, delegation, &expect, error) &&
		update_listed(client, &expect, document, error);
}

bool
depot_tuf_lock(const DepotTufClient *client, DepotError *error)
{
	while (flock(client->directory_fd, LOCK_EX) != 0)
	{
		if (errno != EINTR)
			return depot_error_set_errno(error, errno, "could not lock the metadata directory");
	}
	return true;
}

void
depot_tuf_unlock(const DepotTufClient *client)
{
	(void) flock(client->directory_fd, LOCK_UN);
}

static bool
update_root(DepotTufClient *client, DepotError *error)
{
	DepotBuffer bytes;
	bool		ok = false;

	depot_buffer_init(&bytes);
	for (int rotations = 0;; rotations++)
	{
		DepotTufExpect expect;
		bool		missing = false;

		if (!depot_tuf_expect_top_level(client, "root", &expect, error) ||
			!fetch_file(client, "root", client->root.version + 1, &expect, &bytes, &missing, error))
			goto done;
		if (missing)
			break;
		if (rotations == DEPOT_TUF_MAX_ROOT_ROTATIONS)
		{
			depot_error_set(error, DEPOT_ERROR_TOO_LARGE,
							"repository has more than %d new versions of root metadata",
							DEPOT_TUF_MAX_ROOT_ROTATIONS);
			depot_error_hint(error, "What was read is kept; refresh again to go on.");
			goto done;
		}
		if (!depot_tuf_accept_next_root(client, &bytes, error) ||
			!depot_tuf_store_write_root(client->directory_fd, client->root.version, &bytes, error))
			goto done;
		client->changed = true;
	}
	ok = depot_tuf_check_expiry(&client->root, "root metadata", client->reference_time_s, error);

done:
	depot_buffer_free(&bytes);
	return ok;
}

static bool
update_timestamp(DepotTufClient *client, DepotError *error)
{
	DepotTufDocument local = {0};
	DepotTufDocument fresh = {0};
	DepotTufExpect expect;
	DepotBuffer bytes;
	bool		missing = false;
	bool		ok = false;

	depot_buffer_init(&bytes);
	if (!depot_tuf_expect_top_level(client, "timestamp", &expect, error) ||
		!load_local(client, &expect, &bytes, &local, error))
		goto done;
	if (local.envelope != NULL)
		depot_digest_sha256_hex(bytes.data, bytes.length_bytes, client->timestamp_sha256);
	if (!fetch_file(client, "timestamp", 0, &expect, &bytes, &missing, error))
		goto done;
	if (missing)
	{
		depot_error_set(error, DEPOT_ERROR_NOT_FOUND, "repository has no metadata/timestamp.json");
		depot_error_hint(error, "Check the URL of the repository; it is the directory that holds "
						 "\"metadata\" and \"targets\".");
		goto done;
	}
	ok = depot_tuf_accept(&expect, &bytes, &fresh, error) &&
		take_timestamp(client, &bytes, &local, &fresh, error);

done:
	depot_tuf_document_free(&local);
	depot_tuf_document_free(&fresh);
	depot_buffer_free(&bytes);
	return ok;
}

static int64_t
announced_snapshot(const DepotTufDocument *timestamp)
{
	const json_t *meta = json_object_get(timestamp->body, "meta");

	return json_integer_value(json_object_get(json_object_get(meta, "snapshot.json"), "version"));
}

/*
 * Compares a verified timestamp with the one trusted so far (if any), and makes one of
 * them the client's.
 */
static bool
take_timestamp(DepotTufClient *client, const DepotBuffer *bytes, DepotTufDocument *local, DepotTufDocument *fresh,
			   DepotError *error)
{
	DepotTufDocument *chosen = fresh;

	if (local->envelope != NULL)
	{
		const int64_t old_snapshot = announced_snapshot(local);
		const int64_t new_snapshot = announced_snapshot(fresh);
		const char *what = NULL;

		if (fresh->version < local->version)
			what = "timestamp";
		else if (fresh->version > local->version && new_snapshot < old_snapshot)
			what = "snapshot";
		if (what != NULL)
		{
			depot_error_set(error, DEPOT_ERROR_METADATA_ROLLBACK,
							"repository went back: it serves %s metadata version %" PRId64
							", but version %" PRId64 " was seen before", what,
							fresh->version < local->version ? fresh->version : new_snapshot,
							fresh->version < local->version ? local->version : old_snapshot);
			return depot_error_hint(error, "A mirror may serve old files, or the repository was restored from"
									" a backup; then its publisher must publish until the versions"
									" are past those.");
		}

		/* Equal: the trusted one stays, whatever the other says. */
		if (fresh->version == local->version)
			chosen = local;
	}
	if (!depot_tuf_check_expiry(chosen, "timestamp metadata", client->reference_time_s, error))
		return false;
	if (chosen == fresh)
	{
		if (!depot_tuf_store_replace(client->directory_fd, "timestamp", bytes, error))
			return false;
		depot_digest_sha256_hex(bytes->data, bytes->length_bytes, client->timestamp_sha256);
		client->changed = true;
	}
	client->timestamp = *chosen;
	memset(chosen, 0, sizeof(*chosen));
	return true;
}

/*
 * Brings snapshot, targets or a delegated role to what its parent announces: from disk
 * when that is it, else by fetching.
 */
static bool
update_listed(DepotTufClient *client, const DepotTufExpect *expect, DepotTufDocument *document, DepotError *error)
{
	const bool	is_snapshot = strcmp(expect->type, "snapshot") == 0;
	const json_int_t version = json_integer_value(json_object_get(expect->meta, "version"));
	DepotTufExpect local_expect = *expect;
	DepotTufDocument local = {0};
	DepotTufDocument fresh = {0};
	char		what[DEPOT_TUF_LABEL_BYTES];
	DepotBuffer bytes;
	DepotError	ignored;
	bool		missing = false;
	bool		ok = false;

	depot_buffer_init(&bytes);
	depot_tuf_label(expect->role, what);
	/* An older snapshot is of use, too: what it lists must not be taken back. */
	if (is_snapshot)
		local_expect.meta = NULL;
	if (!load_local(client, &local_expect, &bytes, &local, error))
		goto done;
	ok = local.envelope != NULL && local.version == version &&
		depot_tuf_check_bytes(expect->meta, &bytes, what, &ignored) &&
		depot_tuf_check_expiry(&local, what, client->reference_time_s, &ignored);
	if (ok)
	{
		*document = local;
		memset(&local, 0, sizeof(local));
		goto done;
	}
	/* Two large roles in memory at once would double what an agent needs. */
	if (!is_snapshot)
		depot_tuf_document_free(&local);
	if (!fetch_file(client, expect->role, depot_tuf_has_consistent_snapshots(client) ? version : 0, expect,
					&bytes, &missing, error))
		goto done;
	if (missing)
	{
		depot_error_set(error, DEPOT_ERROR_NOT_FOUND,
						"repository lacks version %" JSON_INTEGER_FORMAT " of its %s",
						version, what);
		depot_error_hint(error, "A mirror may not be complete yet.");
		goto done;
	}
	ok = depot_tuf_accept(expect, &bytes, &fresh, error) &&
		(!is_snapshot || local.envelope == NULL || check_snapshot_rollback(&local, &fresh, error)) &&
		depot_tuf_check_expiry(&fresh, what, client->reference_time_s, error) &&
		persist(client, expect->role, &bytes, error);
	if (ok)
	{
		client->changed = true;
		*document = fresh;
		memset(&fresh, 0, sizeof(fresh));
	}

done:
	depot_tuf_document_free(&local);
	depot_tuf_document_free(&fresh);
	depot_buffer_free(&bytes);
	return ok;
}

/* After a refresh everything is whole: the role that is fetched on demand belongs to it, the one before does not. */
static bool
persist(const DepotTufClient *client, const char *role, const DepotBuffer *bytes, DepotError *error)
{
	return client->is_refreshing ? depot_tuf_store_replace(client->directory_fd, role, bytes, error) :
		depot_tuf_store_write(client->directory_fd, role, bytes, error);
}

/* Every file that the old snapshot listed must still be there, and no older. */
static bool
check_snapshot_rollback(const DepotTufDocument *old, const DepotTufDocument *fresh, DepotError *error)
{
	json_t	   *old_meta = json_object_get(old->body, "meta");
	const json_t *fresh_meta = json_object_get(fresh->body, "meta");
	const char *file;
	json_t	   *entry;

	json_object_foreach(old_meta, file, entry)
	{
		const json_t *now = json_object_get(fresh_meta, file);
		json_int_t	seen = json_integer_value(json_object_get(entry, "version"));
		json_int_t	version = json_integer_value(json_object_get(now, "version"));
		char		role[256];
		char		what[DEPOT_TUF_LABEL_BYTES];
		size_t		length = strlen(file);

		if (now != NULL && version >= seen)
			continue;
		snprintf(role, sizeof(role), "%.*s", (int) (length > 5 && length < 256 ? length - 5 : 0), file);
		depot_tuf_label(role, what);
		if (now == NULL)
			return depot_error_set(error, DEPOT_ERROR_METADATA_ROLLBACK,
								   "snapshot metadata version %" PRId64 " does not list the %s that version %"
								   PRId64 " listed",
								   fresh->version, what, old->version);
		depot_error_set(error, DEPOT_ERROR_METADATA_ROLLBACK,
						"repository went back: it announces %s version %" JSON_INTEGER_FORMAT
						", but version %" JSON_INTEGER_FORMAT " was seen before", what, version, seen);
		return depot_error_hint(error, "A mirror may serve old files, or the repository was restored from a "
								"backup.");
	}
	return true;
}

/* Reads trusted metadata for comparison.  What does not verify any more is as good as absent. */
static bool
load_local(const DepotTufClient *client, const DepotTufExpect *expect, DepotBuffer *bytes,
		   DepotTufDocument *document, DepotError *error)
{
	bool		present;

	if (!depot_tuf_store_read(client->directory_fd, expect->role, false, expect->max_bytes, bytes, &present, error))
		return false;
	return !present || depot_tuf_accept(expect, bytes, document, error) ||
		error->code != DEPOT_ERROR_OUT_OF_MEMORY;
}

/*
 * Asks for "<version>.<role>.json" (version 0: "<role>.json"), never for more than the parent announces or the kind
 * of role may have.
 */
static bool
fetch_file(const DepotTufClient *client, const char *role, int64_t version, const DepotTufExpect *expect,
		   DepotBuffer *bytes, bool *missing, DepotError *error)
{
	const json_t *length = json_object_get(expect->meta, "length");
	char		name[DEPOT_TUF_FILE_NAME_BYTES];
	char		what[DEPOT_TUF_LABEL_BYTES];
	size_t		limit = expect->max_bytes;

	depot_tuf_label(role, what);
	if (length != NULL && (uint64_t) json_integer_value(length) > limit)
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE,
							   "%s has %" JSON_INTEGER_FORMAT " bytes, more than the limit of %zu",
							   what, json_integer_value(length), limit);
	if (length != NULL)
		limit = (size_t) json_integer_value(length);
	if (!depot_tuf_file_name(role, version, name, error))
		return false;
	depot_buffer_reset(bytes);
	*missing = false;
	if (!client->fetch(client->fetch_context, name, limit, bytes, missing, error))
		return false;
	if (!*missing && bytes->length_bytes > limit)
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "%s is larger than %zu bytes", what, limit);
	return true;
}
