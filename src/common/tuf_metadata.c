/*-------------------------------------------------------------------------
 *
 * tuf_metadata.c
 *	  Reads one piece of TUF metadata and checks its form.
 *
 * Everything here runs before any signature has been looked at, so nothing may
 * cost more than the size of the file, and nothing of it may reach an error
 * message unless it passed name.c.  Members that the specification does not name are
 * kept (they are signed) and ignored.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <stdio.h>
#include <string.h>

#include "common/name.h"

#define FORMAT DEPOT_ERROR_METADATA_FORMAT

static const char *const top_level_roles[] = {"root", "timestamp", "snapshot", "targets", NULL};

static bool check_envelope(const json_t *envelope, const char *type, DepotError *error);
static bool check_signatures(const json_t *signatures, DepotError *error);
static bool check_common(const json_t *body, const char *type, DepotError *error);
static bool check_root(const json_t *body, DepotError *error);
static bool check_timestamp(const json_t *body, DepotError *error);
static bool check_snapshot(const json_t *body, DepotError *error);
static bool check_targets(const json_t *body, DepotError *error);
static bool check_meta(const json_t *meta, DepotError *error);
static bool check_length_and_hashes(const json_t *entry, bool required, DepotError *error);

json_t *
depot_tuf_parse_metadata(const char *text, size_t length_bytes, const char *type, const char *what,
						 DepotError *error)
{
	DepotJsonMember signed_text;

	return depot_tuf_parse(text, length_bytes, type, what, DEPOT_TUF_ALL_KEY_TYPES, &signed_text, error);
}

json_t *
depot_tuf_parse(const char *text, size_t length_bytes, const char *type, const char *what,
				DepotTufKeyTypes key_types, DepotJsonMember *signed_text, DepotError *error)
{
	json_t	   *envelope;

	*signed_text = (DepotJsonMember)
	{
		.name = "signed"
	};
	envelope = depot_json_parse_member(text, length_bytes, signed_text, FORMAT, what, error);
	if (envelope == NULL)
		return NULL;
	if (!check_envelope(envelope, type, error) ||
		!depot_tuf_check_keys(json_object_get(envelope, "signed"), key_types, error))
	{
		depot_error_prefix(error, "%s", what);
		json_decref(envelope);
		return NULL;
	}
	return envelope;
}

const char *
depot_tuf_label(const char *role, char label[DEPOT_TUF_LABEL_BYTES])
{
	char		name[72];

	if (depot_tuf_is_top_level(role))
		snprintf(label, DEPOT_TUF_LABEL_BYTES, "%s metadata", role);
	else
		snprintf(label, DEPOT_TUF_LABEL_BYTES, "metadata of role \"%s\"",
				 depot_name_printable(role, name, sizeof(name)));
	return label;
}

const json_t *
depot_tuf_delegations(const json_t *targets_body)
{
	return json_object_get(json_object_get(targets_body, "delegations"), "roles");
}

const json_t *
depot_tuf_delegation_keys(const json_t *targets_body)
{
	return json_object_get(json_object_get(targets_body, "delegations"), "keys");
}

static bool
check_envelope(const json_t *envelope, const char *type, DepotError *error)
{
	json_t	   *body;
	json_t	   *signatures;

	if (!json_is_object(envelope))
		return depot_error_set(error, FORMAT, "not a JSON object");
	if (!depot_json_get_object(envelope, "signed", true, &body, FORMAT, error) ||
		!depot_json_get_array(envelope, "signatures", true, &signatures, FORMAT, error) ||
		!check_signatures(signatures, error) ||
		!check_common(body, type, error))
		return false;
	if (strcmp(type, "root") == 0)
		return check_root(body, error);
	if (strcmp(type, "timestamp") == 0)
		return check_timestamp(body, error);
	if (strcmp(type, "snapshot") == 0)
		return check_snapshot(body, error);
	return check_targets(body, error);
}

static bool
check_signatures(const json_t *signatures, DepotError *error)
{
	json_t	   *seen = json_object();
	const json_t *signature;
	size_t		index;
	bool		ok = seen != NULL;

	if (!ok)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	json_array_foreach(signatures, index, signature)
	{
		const char *keyid;
		const char *sig;

		ok = json_is_object(signature) || depot_error_set(error, FORMAT, "a signature is not a JSON object");
		ok = ok && depot_json_get_string(signature, "keyid", true, &keyid, FORMAT, error) &&
			depot_json_get_string(signature, "sig", true, &sig, FORMAT, error) &&
			depot_tuf_add_once(seen, keyid, "keyid among the signatures", error);
		if (!ok)
			break;
	}
	json_decref(seen);
	return ok;
}

/* L5 to L7: type, specification version, version, expiry. */
static bool
check_common(const json_t *body, const char *type, DepotError *error)
{
	const char *text;
	int64_t		version;
	int64_t		expires;

	if (!depot_json_get_string(body, "_type", true, &text, FORMAT, error))
		return false;
	if (strcmp(text, type) != 0)
		return depot_error_set(error, FORMAT, "_type is not \"%s\"", type);
	if (!depot_json_get_string(body, "spec_version", true, &text, FORMAT, error))
		return false;
	if (strncmp(text, "1.", 2) != 0 || text[2] < '0' || text[2] > '9' ||
		text[strspn(text, "0123456789.")] != '\0')
	{
		depot_error_set(error, FORMAT, "spec_version is not 1.x");
		return depot_error_hint(error, "A newer pg_depot may know the version of TUF this repository uses.");
	}
	if (!depot_json_get_integer(body, "version", true, 1, &version, FORMAT, error) ||
		!depot_json_get_string(body, "expires", true, &text, FORMAT, error))
		return false;
	if (!depot_tuf_time_parse(text, &expires))
		return depot_error_set(error, FORMAT, "expires is not a time of the form 2026-11-22T15:00:00Z");
	return true;
}

static bool
check_root(const json_t *body, DepotError *error)
{
	bool		consistent;
	json_t	   *keys;
	json_t	   *roles;
	json_t	   *role;
	const char *name;

	if (!depot_json_get_bool(body, "consistent_snapshot", false, &consistent, FORMAT, error) ||
		!depot_json_get_object(body, "keys", true, &keys, FORMAT, error) ||
		!depot_json_get_object(body, "roles", true, &roles, FORMAT, error))
		return false;
	for (int i = 0; top_level_roles[i] != NULL; i++)
	{
		if (json_object_get(roles, top_level_roles[i]) == NULL)
			return depot_error_set(error, FORMAT, "role \"%s\" is missing", top_level_roles[i]);
	}
	json_object_foreach(roles, name, role)
	{
		if (!depot_tuf_check_role(role, error))
			return depot_error_prefix(error, "a role");
	}
	return true;
}

static bool
check_timestamp(const json_t *body, DepotError *error)
{
	json_t	   *meta;

	if (!depot_json_get_object(body, "meta", true, &meta, FORMAT, error))
		return false;
	if (json_object_size(meta) != 1 || json_object_get(meta, "snapshot.json") == NULL)
		return depot_error_set(error, FORMAT, "meta does not hold exactly snapshot.json");
	return check_meta(meta, error);
}

static bool
check_snapshot(const json_t *body, DepotError *error)
{
	json_t	   *meta;

	return depot_json_get_object(body, "meta", true, &meta, FORMAT, error) && check_meta(meta, error);
}

static bool
check_targets(const json_t *body, DepotError *error)
{
	json_t	   *targets;
	json_t	   *delegations = NULL;
	json_t	   *target;
	const char *path;

	if (!depot_json_get_object(body, "targets", true, &targets, FORMAT, error) ||
		!depot_json_get_object(body, "delegations", false, &delegations, FORMAT, error))
		return false;
	json_object_foreach(targets, path, target)
	{
		if (!json_is_object(target))
			return depot_error_set(error, FORMAT, "a target is not a JSON object");
		if (!check_length_and_hashes(target, true, error))
			return depot_error_prefix(error, "a target");
	}
	return delegations == NULL || depot_tuf_check_delegations(delegations, error);
}

bool
depot_tuf_check_role(const json_t *role, DepotError *error)
{
	json_t	   *keyids;
	json_t	   *seen;
	const json_t *keyid;
	size_t		index;
	int64_t		threshold;
	bool		ok = true;

	if (!json_is_object(role))
		return depot_error_set(error, FORMAT, "not a JSON object");
	if (!depot_json_get_array(role, "keyids", true, &keyids, FORMAT, error) ||
		!depot_json_get_integer(role, "threshold", true, 1, &threshold, FORMAT, error) ||
		!depot_tuf_check_strings(keyids, "a keyid", error))
		return false;
	seen = json_object();
	if (seen == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	json_array_foreach(keyids, index, keyid)
	{
		ok = depot_tuf_add_once(seen, json_string_value(keyid), "keyid", error);
		if (!ok)
			break;
	}
	json_decref(seen);
	return ok;
}

/* The meta of timestamp and snapshot. */
static bool
check_meta(const json_t *meta, DepotError *error)
{
	const char *name;
	json_t	   *entry;
	int64_t		version;

	json_object_foreach((json_t *) meta, name, entry)
	{
		if (!json_is_object(entry))
			return depot_error_set(error, FORMAT, "an entry of meta is not a JSON object");
		if (!depot_json_get_integer(entry, "version", true, 1, &version, FORMAT, error) ||
			!check_length_and_hashes(entry, false, error))
			return depot_error_prefix(error, "an entry of meta");
	}
	return true;
}

static bool
check_length_and_hashes(const json_t *entry, bool required, DepotError *error)
{
	int64_t		length;
	json_t	   *hashes = NULL;
	json_t	   *hash;
	const char *algorithm;

	if (!depot_json_get_integer(entry, "length", required, 0, &length, FORMAT, error) ||
		!depot_json_get_object(entry, "hashes", required, &hashes, FORMAT, error))
		return false;
	if (hashes == NULL)
		return true;
	if (json_object_size(hashes) == 0)
		return depot_error_set(error, FORMAT, "hashes are empty");
	json_object_foreach(hashes, algorithm, hash)
	{
		if (!json_is_string(hash))
			return depot_error_set(error, FORMAT, "a hash is not a string");
	}
	return true;
}

bool
depot_tuf_check_strings(const json_t *array, const char *what, DepotError *error)
{
	const json_t *value;
	size_t		index;

	json_array_foreach(array, index, value)
	{
		if (!json_is_string(value))
			return depot_error_set(error, FORMAT, "%s is not a string", what);
	}
	return true;
}

bool
depot_tuf_is_top_level(const char *role)
{
	for (int i = 0; top_level_roles[i] != NULL; i++)
	{
		if (strcmp(role, top_level_roles[i]) == 0)
			return true;
	}
	return false;
}

bool
depot_tuf_add_once(json_t *set, const char *name, const char *what, DepotError *error)
{
	if (json_object_get(set, name) != NULL)
		return depot_error_set(error, FORMAT, "the same %s stands there twice", what);
	if (json_object_set_new(set, name, json_true()) != 0)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return true;
}
