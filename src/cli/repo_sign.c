/*-------------------------------------------------------------------------
 *
 * repo_sign.c
 *	  Keys of the publisher, and metadata from body to file.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
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
static json_t *sign(json_t *body, const json_t *entry, const DepotRepoKeys *keys, DepotError *error);
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

bool
depot_repo_sign_and_write(int fd, const char *name, json_t *body, const json_t *role_keys,
						  const json_t *entry,
						  const DepotRepoKeys *keys, json_t *parent_meta, DepotError *error)
{
	const json_int_t version = json_integer_value(json_object_get(body, "version"));
	const bool	versioned = strcmp(name, "timestamp") != 0;
	char		path[DEPOT_REPO_PATH_BYTES];
	char		file[80];
	char		hex[DEPOT_SHA256_HEX_BYTES];
	char		what[96];
	DepotBuffer text;
	json_t	   *envelope;
	bool		ok = false;

	depot_buffer_init(&text);
	snprintf(what, sizeof(what), "%s metadata", name);
	envelope = sign(body, entry, keys, error);
	if (envelope == NULL || !depot_tuf_verify_envelope(envelope, role_keys, entry, what, error))
		goto done;
	if (!depot_json_canonical(envelope, &text, DEPOT_ERROR_METADATA_FORMAT, error))
		goto done;
	if (!depot_buffer_append_string(&text, "\n"))
	{
		out_of_memory(error);
		goto done;
	}
	if (versioned)
		snprintf(path, sizeof(path), "metadata/%" JSON_INTEGER_FORMAT ".%s.json", version, name);
	else
		snprintf(path, sizeof(path), "metadata/%s.json", name);
	if (!depot_files_write_durable(fd, path, text.data, text.length_bytes, 0644, error))
		goto done;
	ok = true;
	if (parent_meta != NULL)
	{
		json_t	   *meta;

		depot_digest_sha256_hex(text.data, text.length_bytes, hex);
		snprintf(file, sizeof(file), "%s.json", name);
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

/* Returns {signed, signatures}, new reference. */
static json_t *
sign(json_t *body, const json_t *entry, const DepotRepoKeys *keys, DepotError *error)
{
	json_t	   *signatures = json_array();
	json_t	   *envelope = json_pack("{s:O, s:o}", "signed", body, "signatures", signatures);
	const json_t *keyid;
	size_t		index;
	DepotBuffer message;
	bool		ok;

	if (envelope == NULL)
	{
		out_of_memory(error);
		return NULL;
	}
	depot_buffer_init(&message);
	ok = depot_json_canonical(body, &message, DEPOT_ERROR_METADATA_FORMAT, error);
	json_array_foreach(json_object_get(entry, "keyids"), index, keyid)
	{
		const DepotKey *key = find_secret(keys, json_string_value(keyid));

		if (ok && key != NULL)
			ok = add_signature(signatures, key, &message, error);
	}
	depot_buffer_free(&message);
	if (!ok)
	{
		json_decref(envelope);
		return NULL;
	}
	return envelope;
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
