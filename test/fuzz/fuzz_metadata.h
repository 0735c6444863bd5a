/*-------------------------------------------------------------------------
 *
 * fuzz_metadata.h
 *	  The form of one piece of TUF metadata: what must hold for all that
 *	  depot_tuf_parse_metadata takes, whichever the role.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FUZZ_METADATA_H
#define DEPOT_FUZZ_METADATA_H

#include "fuzz.h"

#include "common/json.h"
#include "common/tuf.h"

#define FUZZ_LABEL "metadata"

static inline json_t *
fuzz_metadata_parse(const char *text, size_t length_bytes, const char *type)
{
	DepotError	error = {0};
	json_t	   *envelope = depot_tuf_parse_metadata(text, length_bytes, type, FUZZ_LABEL, &error);

	if (envelope == NULL)
	{
		fuzz_require_refusal(&error);
		FUZZ_REQUIRE(error.code == DEPOT_ERROR_METADATA_FORMAT);
		FUZZ_REQUIRE(strncmp(error.message, FUZZ_LABEL ": ", strlen(FUZZ_LABEL ": ")) == 0);
	}
	return envelope;
}

/* Tells whether a value is taken as metadata of this type. */
static inline bool
fuzz_metadata_takes(const json_t *value, const char *type)
{
	char	   *text = json_dumps(value, JSON_COMPACT);
	json_t	   *envelope;

	FUZZ_REQUIRE(text != NULL);
	envelope = fuzz_metadata_parse(text, strlen(text), type);
	free(text);
	json_decref(envelope);
	return envelope != NULL;
}

/* Requires that envelope is refused once the member of object has another value; puts the old one back. */
static inline void
fuzz_metadata_refuses(const json_t *envelope, const char *type, json_t *object, const char *member, json_t *value)
{
	json_t	   *old = json_incref(json_object_get(object, member));

	FUZZ_REQUIRE(json_object_set_new(object, member, value) == 0);
	FUZZ_REQUIRE(!fuzz_metadata_takes(envelope, type));
	FUZZ_REQUIRE(old != NULL ? json_object_set_new(object, member, old) == 0 : json_object_del(object, member) == 0);
}

/* What the specification wants of every role's entry: a threshold of at least one, no keyid twice. */
static inline void
fuzz_metadata_check_role(const json_t *envelope, const char *type, json_t *role)
{
	json_t	   *keyids = json_object_get(role, "keyids");
	json_t	   *first = json_array_get(keyids, 0);

	FUZZ_REQUIRE(json_is_integer(json_object_get(role, "threshold")));
	FUZZ_REQUIRE(json_integer_value(json_object_get(role, "threshold")) >= 1);
	fuzz_metadata_refuses(envelope, type, role, "threshold", json_integer(0));
	fuzz_metadata_refuses(envelope, type, role, "threshold", json_true());
	FUZZ_REQUIRE(json_is_array(keyids));
	if (first == NULL)
		return;
	FUZZ_REQUIRE(json_array_append(keyids, first) == 0);
	FUZZ_REQUIRE(!fuzz_metadata_takes(envelope, type));
	FUZZ_REQUIRE(json_array_remove(keyids, json_array_size(keyids) - 1) == 0);
}

/* What every envelope has: a version, a time that is one, no signature twice; and it stays what it was. */
static inline void
fuzz_metadata_check_envelope(json_t *envelope, const char *type)
{
	json_t	   *body = json_object_get(envelope, "signed");
	json_t	   *signatures = json_object_get(envelope, "signatures");
	const char *expires = json_string_value(json_object_get(body, "expires"));
	json_t	   *first = json_array_get(signatures, 0);
	int64_t		epoch_s = 0;
	char		formatted[21];

	FUZZ_REQUIRE(json_integer_value(json_object_get(body, "version")) >= 1);
	FUZZ_REQUIRE(expires != NULL && depot_tuf_time_parse(expires, &epoch_s));
	depot_tuf_time_format(epoch_s, formatted);
	FUZZ_REQUIRE(strcmp(expires, formatted) == 0);
	fuzz_metadata_refuses(envelope, type, body, "version", json_integer(0));
	fuzz_metadata_refuses(envelope, type, body, "version", json_real(2.0));
	fuzz_metadata_refuses(envelope, type, body, "_type", json_string("mirrors"));
	fuzz_metadata_refuses(envelope, type, body, "spec_version", json_string("2.0.0"));
	fuzz_metadata_refuses(envelope, type, body, "expires", json_string("2027-02-29T00:00:00Z"));
	fuzz_metadata_refuses(envelope, type, envelope, "signed", json_null());
	if (first != NULL)
	{
		FUZZ_REQUIRE(json_array_append(signatures, first) == 0);
		FUZZ_REQUIRE(!fuzz_metadata_takes(envelope, type));
		FUZZ_REQUIRE(json_array_remove(signatures, json_array_size(signatures) - 1) == 0);
	}
}

/* Requires that the canonical form of what was taken is taken, and is its own canonical form. */
static inline void
fuzz_metadata_check_canonical(const json_t *envelope, const char *type)
{
	DepotBuffer first;
	DepotBuffer second;
	DepotError	error = {0};

	depot_buffer_init(&first);
	depot_buffer_init(&second);
	/* Fractions in members that nobody reads are no error before a signature is looked at. */
	if (depot_json_canonical(envelope, &first, DEPOT_ERROR_METADATA_FORMAT, &error) &&
		!fuzz_has_control_character(&first))
	{
		json_t	   *again = fuzz_metadata_parse(first.data, first.length_bytes, type);

		FUZZ_REQUIRE(again != NULL);
		FUZZ_REQUIRE(depot_json_canonical(again, &second, DEPOT_ERROR_METADATA_FORMAT, &error));
		FUZZ_REQUIRE(fuzz_same_bytes(&first, &second));
		json_decref(again);
	}
	depot_buffer_free(&first);
	depot_buffer_free(&second);
}

/* Requires that targets and their delegations are what a lookup takes for granted. */
static inline void
fuzz_metadata_check_targets(json_t *envelope)
{
	json_t	   *body = json_object_get(envelope, "signed");
	json_t	   *delegations = json_object_get(body, "delegations");
	json_t	   *roles = json_object_get(delegations, "roles");
	json_t	   *succinct = json_object_get(delegations, "succinct_roles");
	const char *path;
	json_t	   *target;
	json_t	   *role;
	size_t		index;

	json_object_foreach(json_object_get(body, "targets"), path, target)
	{
		FUZZ_REQUIRE(json_integer_value(json_object_get(target, "length")) >= 0);
		FUZZ_REQUIRE(json_object_size(json_object_get(target, "hashes")) > 0);
	}
	if (delegations == NULL)
		return;
	FUZZ_REQUIRE((roles == NULL) != (succinct == NULL));
	json_array_foreach(roles, index, role)
	{
		FUZZ_REQUIRE(json_string_length(json_object_get(role, "name")) > 0);
		FUZZ_REQUIRE((json_object_get(role, "paths") == NULL) != (json_object_get(role, "path_hash_prefixes") == NULL));
	}
	role = succinct != NULL ? succinct : json_array_get(roles, 0);
	if (role == NULL)
		return;
	fuzz_metadata_check_role(envelope, "targets", role);
	if (succinct != NULL)
		return;
	/* A delegated role must never be mistaken for a file of a top-level one, nor for another delegation. */
	fuzz_metadata_refuses(envelope, "targets", role, "name", json_string("root"));
	fuzz_metadata_refuses(envelope, "targets", role, "name", json_string("targets"));
	fuzz_metadata_refuses(envelope, "targets", role, "name", json_string(""));
	fuzz_metadata_refuses(envelope, "targets", role, "terminating", json_null());
	FUZZ_REQUIRE(json_array_append(roles, role) == 0);
	FUZZ_REQUIRE(!fuzz_metadata_takes(envelope, "targets"));
	FUZZ_REQUIRE(json_array_remove(roles, json_array_size(roles) - 1) == 0);
}

/* Reads data as metadata of a type and checks what holds for all types; returns the envelope or NULL. */
static inline json_t *
fuzz_metadata(const uint8_t *data, size_t size, const char *type)
{
	json_t	   *envelope = fuzz_metadata_parse((const char *) data, size, type);

	if (envelope != NULL)
	{
		fuzz_metadata_check_envelope(envelope, type);
		fuzz_metadata_check_canonical(envelope, type);
	}
	return envelope;
}

#endif							/* DEPOT_FUZZ_METADATA_H */
