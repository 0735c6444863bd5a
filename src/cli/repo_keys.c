/*-------------------------------------------------------------------------
 *
 * repo_keys.c
 *	  Keys of the publisher, who must sign what, and metadata from body to file.
 *
 * A signature that stands in a file counts only after it has been verified
 * over the body it stands beside.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/repo_common.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/tuf.h"

static DepotKey *load_key(const char *path, const char *passphrase_file, bool allow_public,
						  DepotError *error);
static const DepotKey *find_secret(const DepotRepoKeys *keys, const char *keyid);
static const json_t *find_signature(const json_t *signatures, const char *keyid);
static bool add_signature(json_t *signatures, const DepotKey *key, const DepotBuffer *message,
						  DepotError *error);
static bool out_of_memory(DepotError *error);

bool
depot_repo_keys_load(DepotRepoKeys *keys, const char *path, const char *passphrase_file, bool allow_public,
					 DepotError *error)
{
	DepotKey   *key;

	if (keys->count == DEPOT_REPO_MAX_KEYS)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "more than %d keys", DEPOT_REPO_MAX_KEYS);
	key = load_key(path, passphrase_file, allow_public, error);
	if (key == NULL)
		return false;
	for (int i = 0; i < keys->count; i++)
	{
		if (strcmp(keys->keys[i]->keyid, key->keyid) == 0)
		{
			/* Of two halves of one key the secret one is worth more. */
			DepotKey   *other = key->secret_key != NULL ? keys->keys[i] : key;

			if (other != key)
				keys->keys[i] = key;
			depot_key_free(other);
			return true;
		}
	}
	keys->keys[keys->count++] = key;
	return true;
}

void
depot_repo_keys_free(DepotRepoKeys *keys)
{
	for (int i = 0; i < keys->count; i++)
		depot_key_free(keys->keys[i]);
	keys->count = 0;
}

bool
depot_repo_key_option(DepotRepoKeyOptions *options, const char *path)
{
	if (options->count == DEPOT_REPO_MAX_KEYS)
		return false;
	options->paths[options->count++] = path;
	return true;
}

bool
depot_repo_keys_load_all(DepotRepoKeys *keys, const DepotRepoKeyOptions *options, DepotError *error)
{
	for (int i = 0; i < options->count; i++)
	{
		if (!depot_repo_keys_load(keys, options->paths[i], options->passphrase_file, false, error))
			return false;
	}
	return true;
}

int
depot_repo_count_signers(const json_t *entry, const DepotRepoKeys *keys)
{
	const json_t *keyid;
	size_t		index;
	int			count = 0;

	json_array_foreach(json_object_get(entry, "keyids"), index, keyid)
	{
		if (find_secret(keys, json_string_value(keyid)) != NULL)
			count++;
	}
	return count;
}

json_t *
depot_repo_new_body(const char *type, int64_t version, int64_t expires_epoch_s, DepotError *error)
{
	json_t	   *body = json_pack("{s:s, s:s}", "_type", type, "spec_version", "1.0.34");

	if (body == NULL)
		out_of_memory(error);
	else if (!depot_repo_stamp(body, version, expires_epoch_s, error))
	{
		json_decref(body);
		body = NULL;
	}
	return body;
}

bool
depot_repo_stamp(json_t *body, int64_t version, int64_t expires_epoch_s, DepotError *error)
{
	char		expires[21];

	depot_tuf_time_format(expires_epoch_s, expires);
	if (json_object_set_new(body, "version", json_integer(version)) != 0 ||
		json_object_set_new(body, "expires", json_string(expires)) != 0)
		return out_of_memory(error);
	return true;
}

int
depot_repo_signers(const DepotRepoRole *role, DepotRepoSigners out[DEPOT_REPO_MAX_SIGNERS])
{
	const json_t *own = json_object_get(json_object_get(role->next, "roles"), "root");

	out[0] = (DepotRepoSigners)
	{
		.keys = role->keys, .entry = role->entry
	};
	if (strcmp(role->name, "root") != 0 || own == NULL || json_equal(own, role->entry))
		return 1;
	out[1] = (DepotRepoSigners)
	{
		.keys = json_object_get(role->next, "keys"), .entry = own
	};
	return 2;
}

bool
depot_repo_has_signature(const DepotRepoRole *role, const DepotRepoSigners *signers, const char *keyid)
{
	const json_t *signature = find_signature(role->signatures, keyid);
	json_t	   *envelope;
	json_t	   *entry;
	DepotError	ignored;
	bool		valid;

	if (signature == NULL)
		return false;
	envelope = json_pack("{s:O, s:[O]}", "signed", role->next, "signatures", signature);
	entry = json_pack("{s:[s], s:i}", "keyids", keyid, "threshold", 1);
	valid = envelope != NULL && entry != NULL &&
		depot_tuf_verify_envelope(envelope, signers->keys, entry, role->name, &ignored);
	json_decref(envelope);
	json_decref(entry);
	return valid;
}

int
depot_repo_count_signatures(const DepotRepoRole *role, const DepotRepoSigners *signers)
{
	const json_t *keyid;
	size_t		index;
	int			count = 0;

	json_array_foreach(json_object_get(signers->entry, "keyids"), index, keyid)
	{
		if (depot_repo_has_signature(role, signers, json_string_value(keyid)))
			count++;
	}
	return count;
}

bool
depot_repo_is_signed(const DepotRepoRole *role, DepotError *error)
{
	DepotRepoSigners signers[DEPOT_REPO_MAX_SIGNERS];
	const int	count = depot_repo_signers(role, signers);
	json_t	   *empty = json_array();
	json_t	   *envelope = json_pack("{s:O, s:O}", "signed", role->next, "signatures",
									 role->signatures != NULL ? role->signatures : empty);
	char		what[96];
	bool		ok = envelope != NULL || out_of_memory(error);

	snprintf(what, sizeof(what), "%s metadata", role->name);
	for (int i = 0; i < count && ok; i++)
		ok = depot_tuf_verify_envelope(envelope, signers[i].keys, signers[i].entry, what, error);
	json_decref(envelope);
	json_decref(empty);
	return ok;
}

bool
depot_repo_sign(DepotRepoRole *role, const DepotRepoKeys *keys, int *added, DepotError *error)
{
	DepotRepoSigners signers[DEPOT_REPO_MAX_SIGNERS];
	const int	count = depot_repo_signers(role, signers);
	DepotBuffer message;
	const json_t *keyid;
	size_t		index;
	bool		ok;

	if (role->signatures == NULL)
		role->signatures = json_array();
	depot_buffer_init(&message);
	ok = depot_json_canonical(role->next, &message, DEPOT_ERROR_METADATA_FORMAT, error);
	for (int i = 0; i < count; i++)
	{
		json_array_foreach(json_object_get(signers[i].entry, "keyids"), index, keyid)
		{
			const DepotKey *key = find_secret(keys, json_string_value(keyid));

			if (!ok || key == NULL || find_signature(role->signatures, key->keyid) != NULL)
				continue;
			ok = add_signature(role->signatures, key, &message, error);
			(*added)++;
		}
	}
	depot_buffer_free(&message);
	return ok;
}

void
depot_repo_drop_signatures(DepotRepoRole *role)
{
	json_decref(role->signatures);
	role->signatures = NULL;
}

bool
depot_repo_write_role(int fd, const DepotRepoRole *role, json_t *parent_meta, DepotError *error)
{
	const json_int_t version = json_integer_value(json_object_get(role->next, "version"));
	char		path[DEPOT_REPO_PATH_BYTES];
	char		file[80];
	char		hex[DEPOT_SHA256_HEX_BYTES];
	DepotBuffer text;
	json_t	   *envelope = NULL;
	bool		ok = false;

	depot_buffer_init(&text);
	if (!depot_repo_is_signed(role, error))
		goto done;
	envelope = json_pack("{s:O, s:O}", "signed", role->next, "signatures", role->signatures);
	if (envelope == NULL || !depot_json_canonical(envelope, &text, DEPOT_ERROR_METADATA_FORMAT, error))
		goto done;
	if (!depot_buffer_append_string(&text, "\n"))
	{
		out_of_memory(error);
		goto done;
	}
	depot_repo_metadata_file(role->name, version, path);
	if (!depot_files_write_durable(fd, path, text.data, text.length_bytes, 0644, error))
		goto done;
	ok = true;
	if (parent_meta != NULL)
	{
		json_t	   *meta;

		depot_digest_sha256_hex(text.data, text.length_bytes, hex);
		snprintf(file, sizeof(file), "%s.json", role->name);
		meta = json_pack("{s:I, s:I, s:{s:s}}", "version", version, "length", (json_int_t) text.length_bytes,
						 "hashes", "sha256", hex);
		if (json_object_set_new(parent_meta, file, meta) != 0)
			ok = out_of_memory(error);
	}

done:
	json_decref(envelope);
	depot_buffer_free(&text);
	return ok;
}

bool
depot_repo_sign_and_write(int fd, const char *name, json_t *body, json_t *role_keys, json_t *entry,
						  const DepotRepoKeys *keys, json_t *parent_meta, DepotError *error)
{
	DepotRepoRole role = {.next = body, .keys = role_keys, .entry = entry};
	int			added = 0;
	bool		ok;

	snprintf(role.name, sizeof(role.name), "%s", name);
	ok = depot_repo_sign(&role, keys, &added, error) && depot_repo_write_role(fd, &role, parent_meta, error);
	json_decref(role.signatures);
	return ok;
}

static DepotKey *
load_key(const char *path, const char *passphrase_file, bool allow_public, DepotError *error)
{
	char	   *passphrase = NULL;
	char		prompt[DEPOT_REPO_PATH_BYTES];
	DepotError	public_error;
	DepotKey   *key;
	bool		sealed;

	if (allow_public && (key = depot_key_load_public(path, &public_error)) != NULL)
		return key;
	if (!depot_key_is_sealed(path, &sealed, error))
		return NULL;
	if (sealed)
	{
		snprintf(prompt, sizeof(prompt), "Passphrase for %s: ", path);
		passphrase = depot_cli_read_passphrase(passphrase_file, prompt, false, error);
		if (passphrase == NULL)
			return NULL;
	}
	key = depot_key_load_secret(path, passphrase, error);
	depot_cli_free_passphrase(passphrase);
	return key;
}

static const DepotKey *
find_secret(const DepotRepoKeys *keys, const char *keyid)
{
	for (int i = 0; i < keys->count; i++)
	{
		if (keys->keys[i]->secret_key != NULL && strcmp(keys->keys[i]->keyid, keyid) == 0)
			return keys->keys[i];
	}
	return NULL;
}

static const json_t *
find_signature(const json_t *signatures, const char *keyid)
{
	const json_t *signature;
	size_t		index;

	json_array_foreach(signatures, index, signature)
	{
		const char *other = json_string_value(json_object_get(signature, "keyid"));

		if (other != NULL && strcmp(other, keyid) == 0)
			return signature;
	}
	return NULL;
}

static bool
add_signature(json_t *signatures, const DepotKey *key, const DepotBuffer *message, DepotError *error)
{
	uint8_t		signature[DEPOT_KEY_SIGNATURE_BYTES];
	char		hex[2 * DEPOT_KEY_SIGNATURE_BYTES + 1];

	if (!depot_key_sign(key, message->data, message->length_bytes, signature, error))
		return false;
	depot_digest_to_hex(signature, sizeof(signature), hex);
	if (json_array_append_new(signatures, json_pack("{s:s, s:s}", "keyid", key->keyid, "sig", hex)) != 0)
		return out_of_memory(error);
	return true;
}

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}
