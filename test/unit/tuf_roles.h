/*-------------------------------------------------------------------------
 *
 * tuf_roles.h
 *	  Delegated roles of any shape in the fixture's repository, and searches through them.
 *
 * Included by a test program after tuf_expect.h.  Each role is signed by one key
 * and stands in snapshot with its version only, as many repositories do it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_TUF_ROLES_H
#define DEPOT_TEST_TUF_ROLES_H

#include "tuf_expect.h"

static inline json_t *
new_role(void)
{
	json_t	   *body = fixture_body("targets");

	json_object_set_new(body, "targets", json_object());
	return body;
}

static inline void
add_target(json_t *body, const char *path, const char *contents)
{
	json_object_set_new(json_object_get(body, "targets"), path, fixture_target(contents));
}

/* Takes what is delegated so far away. */
static inline void
clear_delegations(json_t *body)
{
	json_object_set_new(body, "delegations", json_pack("{s:{}, s:[]}", "keys", "roles"));
}

/* Delegates to a role for what match says ({"paths": [...]}; its reference is taken). */
static inline void
delegate_to(json_t *delegator, const char *name, const DepotKey *key, json_t *match, bool terminating)
{
	json_t	   *entry = fixture_role_entry(key, NULL, 1);
	json_t	   *delegations;

	if (json_object_get(delegator, "delegations") == NULL)
		clear_delegations(delegator);
	delegations = json_object_get(delegator, "delegations");
	json_object_set_new(entry, "name", json_string(name));
	json_object_set_new(entry, "terminating", json_boolean(terminating));
	json_object_update(entry, match);
	json_decref(match);
	fixture_add_key(json_object_get(delegations, "keys"), key);
	json_array_append_new(json_object_get(delegations, "roles"), entry);
}

static inline json_t *
paths(const char *pattern)
{
	return json_pack("{s:[s]}", "paths", pattern);
}

/* Signs a role, serves it under the encoded form of its name, and lists it (drops the reference). */
static inline void
publish_role(json_t *body, const char *name, const char *encoded, DepotKey *const *keys, int count)
{
	char		file[300];

	fixture_put(&fixture, fixture_name(body, encoded), body, keys, count);
	snprintf(file, sizeof(file), "%s.json", name);
	json_object_set_new(json_object_get(fixture.snapshot, "meta"), file,
						json_pack("{s:O}", "version", json_object_get(body, "version")));
	json_decref(body);
}

static inline void
publish_plain_role(json_t *body, const char *name, int key)
{
	publish_role(body, name, name, &fixture.keys[key], 1);
}

/* A client that has refreshed; what it asks for later is in fixture.requests. */
static inline DepotTufClient *
refreshed_client(void)
{
	DepotTufClient *client = NULL;
	DepotError	error;
	bool		changed;

	fixture_publish(&fixture);
	if (!fixture_refresh(&fixture, fixture.pin, &client, &changed, &error))
		fail_msg("%s: %s", error.message, error.detail);
	json_array_clear(fixture.requests);
	return client;
}

static inline void
expect_found(DepotTufClient *client, const char *path, const char *contents, const char *role)
{
	DepotTufTarget target;
	DepotError	error;
	char		hex[DEPOT_SHA256_HEX_BYTES];

	if (!depot_tuf_find_target(client, path, &target, &error))
		fail_msg("%s: %s", path, error.message);
	depot_digest_sha256_hex(contents, strlen(contents), hex);
	assert_string_equal(target.sha256, hex);
	assert_string_equal(target.path, path);
	assert_string_equal(target.role, role);
}

static inline void
expect_not_found(DepotTufClient *client, const char *path, DepotErrorCode code, const char *words)
{
	DepotTufTarget target;
	DepotError	error;

	assert_false(depot_tuf_find_target(client, path, &target, &error));
	if (error.code != code || strstr(error.message, words) == NULL)
		fail_msg("%s: \"%s\" does not hold \"%s\"", depot_error_wire_name(error.code), error.message, words);
}

#endif							/* DEPOT_TEST_TUF_ROLES_H */
