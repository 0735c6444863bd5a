/*-------------------------------------------------------------------------
 *
 * tuf_fixture.h
 *	  A small TUF repository in memory, with a client directory, for unit tests.
 *
 * A test changes the bodies (root, timestamp, ...), has them signed again by
 * fixture_publish or fixture_put, and refreshes.  Made without the publisher,
 * so that the two cannot be wrong in the same way.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_TUF_FIXTURE_H
#define DEPOT_TEST_TUF_FIXTURE_H

#include <stdio.h>

#include "common/digest.h"
#include "common/key.h"
#include "common/tuf.h"
#include "scratch.h"

#define FIXTURE_NOW INT64_C(1795176000) /* 2026-11-20 12:00:00 UTC */
#define FIXTURE_ROLE "pg15-linux-amd64"
#define FIXTURE_TARGET "pg15/linux-amd64/hll/2.17/hll-2.17.tar.zst"
#define FIXTURE_FUTURE "2027-01-01T00:00:00Z"

/* Which key signs what; ROOT_A and ROOT_B both, with threshold 2. */
enum
{
	KEY_ROOT_A,
	KEY_ROOT_B,
	KEY_TIMESTAMP,
	KEY_SNAPSHOT,
	KEY_TARGETS,
	KEY_ROLE,
	KEY_SPARE,
	KEY_COUNT
};

typedef struct Fixture
{
	Scratch		scratch;		/* the client's metadata directory */
	DepotKey   *keys[KEY_COUNT];
	json_t	   *root;
	json_t	   *timestamp;
	json_t	   *snapshot;
	json_t	   *targets;
	json_t	   *role;
	json_t	   *files;			/* what the repository serves: name -> text */
	json_t	   *requests;		/* names asked for */
	char	   *pin;			/* version 1 of root, signed */
	int64_t		now;
} Fixture;

/* The keyids of one or two keys with a threshold, as a role entry. */
static inline json_t *
fixture_role_entry(const DepotKey *first, const DepotKey *second, int threshold)
{
	json_t	   *keyids = json_array();

	json_array_append_new(keyids, json_string(first->keyid));
	if (second != NULL)
		json_array_append_new(keyids, json_string(second->keyid));
	return json_pack("{s:o, s:i}", "keyids", keyids, "threshold", threshold);
}

static inline json_t *
fixture_body(const char *type)
{
	return json_pack("{s:s, s:s, s:i, s:s}", "_type", type, "spec_version", "1.0.34", "version", 1,
					 "expires", FIXTURE_FUTURE);
}

static inline void
fixture_add_key(json_t *keys, const DepotKey *key)
{
	DepotError	error;

	json_object_set_new(keys, key->keyid, depot_key_to_json(key, &error));
}

/* Returns {signed, signatures} with the signatures of count keys, new reference. */
static inline json_t *
fixture_sign(json_t *body, DepotKey *const *keys, int count)
{
	json_t	   *signatures = json_array();
	DepotBuffer canonical;
	DepotError	error;

	depot_buffer_init(&canonical);
	if (!depot_json_canonical(body, &canonical, DEPOT_ERROR_METADATA_FORMAT, &error))
		abort();
	for (int i = 0; i < count; i++)
	{
		uint8_t		signature[DEPOT_KEY_SIGNATURE_BYTES];
		char		hex[2 * DEPOT_KEY_SIGNATURE_BYTES + 1];

		if (!depot_key_sign(keys[i], canonical.data, canonical.length_bytes, signature, &error))
			abort();
		depot_digest_to_hex(signature, sizeof(signature), hex);
		json_array_append_new(signatures, json_pack("{s:s, s:s}", "keyid", keys[i]->keyid, "sig", hex));
	}
	depot_buffer_free(&canonical);
	return json_pack("{s:O, s:o}", "signed", body, "signatures", signatures);
}

/* Serves an envelope under a name. */
static inline void
fixture_put_envelope(Fixture *fixture, const char *name, json_t *envelope)
{
	char	   *text = json_dumps(envelope, JSON_INDENT(1));

	json_object_set_new(fixture->files, name, json_string(text));
	free(text);
	json_decref(envelope);
}

static inline void
fixture_put(Fixture *fixture, const char *name, json_t *body, DepotKey *const *keys, int count)
{
	fixture_put_envelope(fixture, name, fixture_sign(body, keys, count));
}

static inline const char *
fixture_text(const Fixture *fixture, const char *name)
{
	return json_string_value(json_object_get(fixture->files, name));
}

static inline const char *
fixture_name(const json_t *body, const char *role)
{
	static char name[64];

	snprintf(name, sizeof(name), "%d.%s.json", (int) json_integer_value(json_object_get(body, "version")),
			 role);
	return name;
}

/* Lists the served file in its parent with version, length and hash. */
static inline void
fixture_list(Fixture *fixture, json_t *parent, const char *role, const json_t *body)
{
	const char *text = fixture_text(fixture, fixture_name(body, role));
	char		file[64];
	char		hex[DEPOT_SHA256_HEX_BYTES];

	snprintf(file, sizeof(file), "%s.json", role);
	depot_digest_sha256_hex(text, strlen(text), hex);
	json_object_set_new(json_object_get(parent, "meta"), file,
						json_pack("{s:O, s:i, s:{s:s}}", "version", json_object_get(body, "version"),
								  "length", (int) strlen(text), "hashes", "sha256", hex));
}

static inline void
fixture_publish_timestamp(Fixture *fixture)
{
	fixture_put(fixture, "timestamp.json", fixture->timestamp, &fixture->keys[KEY_TIMESTAMP], 1);
}

static inline void
fixture_publish_snapshot(Fixture *fixture)
{
	fixture_put(fixture, fixture_name(fixture->snapshot, "snapshot"), fixture->snapshot,
				&fixture->keys[KEY_SNAPSHOT], 1);
	fixture_list(fixture, fixture->timestamp, "snapshot", fixture->snapshot);
	fixture_publish_timestamp(fixture);
}

/* Signs all but root as the bodies say, from the delegated role up. */
static inline void
fixture_publish(Fixture *fixture)
{
	fixture_put(fixture, fixture_name(fixture->role, FIXTURE_ROLE), fixture->role, &fixture->keys[KEY_ROLE],
				1);
	fixture_list(fixture, fixture->snapshot, FIXTURE_ROLE, fixture->role);
	fixture_put(fixture, fixture_name(fixture->targets, "targets"), fixture->targets,
				&fixture->keys[KEY_TARGETS], 1);
	fixture_list(fixture, fixture->snapshot, "targets", fixture->targets);
	fixture_publish_snapshot(fixture);
}

static inline void
fixture_bump(json_t *body)
{
	json_object_set_new(body, "version", json_integer(json_integer_value(json_object_get(body,
																						 "version")) + 1));
}

static inline void
fixture_set_version(json_t *body, int version)
{
	json_object_set_new(body, "version", json_integer(version));
}

static inline void
fixture_set_expires(json_t *body, const char *expires)
{
	json_object_set_new(body, "expires", json_string(expires));
}

static inline json_t *
fixture_target(const char *content)
{
	char		hex[DEPOT_SHA256_HEX_BYTES];

	depot_digest_sha256_hex(content, strlen(content), hex);
	return json_pack("{s:i, s:{s:s}, s:{s:{s:s}}}", "length", (int) strlen(content), "hashes", "sha256", hex,
					 "custom", "pg_depot", "package", "hll");
}

static inline json_t *
fixture_delegation(const char *name, const DepotKey *key, const char *pattern, bool terminating)
{
	json_t	   *entry = fixture_role_entry(key, NULL, 1);

	json_object_set_new(entry, "name", json_string(name));
	json_object_set_new(entry, "terminating", json_boolean(terminating));
	json_object_set_new(entry, "paths", json_pack("[s]", pattern));
	return entry;
}

/* Lets a targets role (its body) delegate the paths of pattern to the role name, after those it has. */
static inline void
fixture_delegate(json_t *delegator, const char *name, const DepotKey *key, const char *pattern, bool terminating)
{
	json_t	   *delegations = json_object_get(delegator, "delegations");

	if (delegations == NULL)
	{
		delegations = json_pack("{s:{}, s:[]}", "keys", "roles");
		json_object_set_new(delegator, "delegations", delegations);
	}
	fixture_add_key(json_object_get(delegations, "keys"), key);
	json_array_append_new(json_object_get(delegations, "roles"),
						  fixture_delegation(name, key, pattern, terminating));
}

/* Serves a delegated role and lists it in the snapshot, which is not published by that.  Takes the body over. */
static inline void
fixture_put_role(Fixture *fixture, const char *name, json_t *body, DepotKey *key)
{
	fixture_put(fixture, fixture_name(body, name), body, &key, 1);
	fixture_list(fixture, fixture->snapshot, name, body);
	json_decref(body);
}

/* The body of a delegated role that lists path with this content; NULL: nothing. */
static inline json_t *
fixture_role_body(const char *path, const char *content)
{
	json_t	   *body = fixture_body("targets");

	json_object_set_new(body, "targets", path == NULL ? json_object() :
						json_pack("{s:o}", path, fixture_target(content)));
	return body;
}

static inline void
fixture_make_root(Fixture *fixture)
{
	DepotKey  **keys = fixture->keys;
	json_t	   *listed = json_object();

	for (int i = KEY_ROOT_A; i <= KEY_TARGETS; i++)
		fixture_add_key(listed, keys[i]);
	fixture->root = fixture_body("root");
	json_object_set_new(fixture->root, "consistent_snapshot", json_true());
	json_object_set_new(fixture->root, "keys", listed);
	json_object_set_new(fixture->root, "roles",
						json_pack("{s:o, s:o, s:o, s:o}",
								  "root", fixture_role_entry(keys[KEY_ROOT_A], keys[KEY_ROOT_B], 2),
								  "timestamp", fixture_role_entry(keys[KEY_TIMESTAMP], NULL, 1),
								  "snapshot", fixture_role_entry(keys[KEY_SNAPSHOT], NULL, 1),
								  "targets", fixture_role_entry(keys[KEY_TARGETS], NULL, 1)));
}

static inline void
fixture_open(Fixture *fixture)
{
	DepotError	error;
	json_t	   *role_keys = json_object();

	memset(fixture, 0, sizeof(*fixture));
	if (!depot_digest_init(&error))
		abort();
	fixture->now = FIXTURE_NOW;
	fixture->scratch = scratch_make();
	fixture->files = json_object();
	fixture->requests = json_array();
	for (int i = 0; i < KEY_COUNT; i++)
	{
		fixture->keys[i] = depot_key_generate(&error);
		if (fixture->keys[i] == NULL)
			abort();
	}
	fixture_make_root(fixture);
	fixture_put(fixture, "1.root.json", fixture->root, fixture->keys, 2);
	fixture->pin = strdup(fixture_text(fixture, "1.root.json"));

	fixture->role = fixture_body("targets");
	json_object_set_new(fixture->role, "targets", json_pack("{s:o}", FIXTURE_TARGET, fixture_target("hll")));
	fixture_add_key(role_keys, fixture->keys[KEY_ROLE]);
	fixture->targets = fixture_body("targets");
	json_object_set_new(fixture->targets, "targets", json_object());
	json_object_set_new(fixture->targets, "delegations",
						json_pack("{s:o, s:[o]}", "keys", role_keys, "roles",
								  fixture_delegation(FIXTURE_ROLE, fixture->keys[KEY_ROLE],
													 "pg15/linux-amd64/*/*/*", true)));
	fixture->snapshot = fixture_body("snapshot");
	json_object_set_new(fixture->snapshot, "meta", json_object());
	fixture->timestamp = fixture_body("timestamp");
	json_object_set_new(fixture->timestamp, "meta", json_object());
	fixture_publish(fixture);
}

static inline void
fixture_close(Fixture *fixture)
{
	for (int i = 0; i < KEY_COUNT; i++)
		depot_key_free(fixture->keys[i]);
	json_decref(fixture->root);
	json_decref(fixture->timestamp);
	json_decref(fixture->snapshot);
	json_decref(fixture->targets);
	json_decref(fixture->role);
	json_decref(fixture->files);
	json_decref(fixture->requests);
	free(fixture->pin);
	scratch_remove(&fixture->scratch);
}

/* A DepotTufFetch that serves the files of the fixture. */
static inline bool
fixture_fetch(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing,
			  DepotError *error)
{
	Fixture    *fixture = context;
	const char *text = fixture_text(fixture, file_name);

	json_array_append_new(fixture->requests, json_string(file_name));
	*missing = text == NULL;
	if (text != NULL && strlen(text) > max_bytes)
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "larger than asked for");
	return text == NULL || depot_buffer_append(out, text, strlen(text));
}

/* One refresh as an agent does it; client is closed, or handed out when the caller gives a place. */
static inline bool
fixture_refresh(Fixture *fixture, const char *pin, DepotTufClient **out, bool *changed, DepotError *error)
{
	DepotTufClient *client;
	bool		ok;

	*changed = false;
	json_array_clear(fixture->requests);
	client = depot_tuf_open(fixture->scratch.fd, pin, pin == NULL ? 0 : strlen(pin), fixture->now, error);
	ok = client != NULL && depot_tuf_refresh(client, FIXTURE_ROLE, fixture_fetch, fixture, changed, error);
	if (out != NULL && ok)
		*out = client;
	else
		depot_tuf_close(client);
	return ok;
}

#endif							/* DEPOT_TEST_TUF_FIXTURE_H */
