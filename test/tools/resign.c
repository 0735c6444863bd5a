/*-------------------------------------------------------------------------
 *
 * resign.c
 *	  Makes a repository into one that another tool signs: no key of it is ed25519, or root's alone.
 *
 *	  resign DIR [ROOT-KEY]
 *
 * The repository must be as "pg_depot repo init", "add" and "publish" made it.  Root and timestamp get keys on
 * P-256, targets and every role that it delegates to one on P-384, snapshot an RSA key.  Versions, names
 * of files and what they say stay as they are; 1.root.json is the only root afterwards.  With ROOT-KEY, root's own
 * secret key, root keeps it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openssl_signer.h"

static void
fail(const char *what)
{
	fprintf(stderr, "resign: %s\n", what);
	exit(1);
}

static json_t *
load_body(const char *file)
{
	json_t	   *envelope = json_load_file(file, 0, NULL);
	json_t	   *body = json_incref(json_object_get(envelope, "signed"));

	if (body == NULL)
		fail(file);
	json_decref(envelope);
	return body;
}

/* Returns an ed25519 signature in hexadecimal digits; the caller frees it. */
static char *
sign_with(const DepotKey *key, const DepotBuffer *message)
{
	uint8_t		signature[DEPOT_KEY_SIGNATURE_BYTES];
	char	   *hex = malloc(2 * sizeof(signature) + 1);
	DepotError	error;

	if (hex == NULL || !depot_key_sign(key, message->data, message->length_bytes, signature, &error))
		fail("could not sign with root's key");
	depot_digest_to_hex(signature, sizeof(signature), hex);
	return hex;
}

/*
 * Writes a body with its signature, by kept if that is not NULL, and enters the file into its parent's meta when
 * there is one.
 */
static void
save(const char *file, json_t *body, const OpensslSigner *signer, const DepotKey *kept, json_t *parent,
	 const char *listed)
{
	DepotBuffer canonical;
	DepotError	error;
	char		digest[DEPOT_SHA256_HEX_BYTES];
	char	   *signature;
	char	   *text;
	json_t	   *envelope;
	FILE	   *out = fopen(file, "w");

	depot_buffer_init(&canonical);
	if (out == NULL || !depot_json_canonical(body, &canonical, DEPOT_ERROR_METADATA_FORMAT, &error))
		fail(file);
	signature = kept != NULL ? sign_with(kept, &canonical) :
		openssl_signer_sign(signer, canonical.data, canonical.length_bytes);
	envelope = json_pack("{s:O, s:[{s:s, s:s}]}", "signed", body, "signatures", "keyid",
						 kept != NULL ? kept->keyid : signer->keyid, "sig", signature);
	text = json_dumps(envelope, JSON_COMPACT);
	if (text == NULL || fputs(text, out) < 0 || fclose(out) != 0)
		fail(file);
	if (parent != NULL)
	{
		depot_digest_sha256_hex(text, strlen(text), digest);
		json_object_set_new(json_object_get(parent, "meta"), listed,
							json_pack("{s:O, s:I, s:{s:s}}", "version", json_object_get(body, "version"),
									  "length", (json_int_t) strlen(text), "hashes", "sha256", digest));
	}
	free(text);
	free(signature);
	json_decref(envelope);
	depot_buffer_free(&canonical);
}

/* Lets this key, and no other, sign for a role entry. */
static void
name_key(json_t *keys, json_t *entry, const OpensslSigner *signer)
{
	json_object_set(keys, signer->keyid, signer->object);
	json_object_set_new(entry, "keyids", json_pack("[s]", signer->keyid));
	json_object_set_new(entry, "threshold", json_integer(1));
}

static const char *
file_of(json_t *parent, const char *role, char *listed, char *file, size_t file_bytes)
{
	json_t	   *entry;

	snprintf(listed, 96, "%s.json", role);
	entry = json_object_get(json_object_get(parent, "meta"), listed);
	if (entry == NULL)
		fail(role);
	snprintf(file, file_bytes, "%" JSON_INTEGER_FORMAT ".%s.json",
			 json_integer_value(json_object_get(entry, "version")), role);
	return file;
}

static void
resign_targets(json_t *snapshot, const OpensslSigner *signer)
{
	char		listed[96];
	char		file[128];
	json_t	   *targets = load_body(file_of(snapshot, "targets", listed, file, sizeof(file)));
	json_t	   *delegations = json_object_get(targets, "delegations");
	json_t	   *keys = json_object();
	json_t	   *entry;
	size_t		index;

	json_array_foreach(json_object_get(delegations, "roles"), index, entry)
	{
		const char *role = json_string_value(json_object_get(entry, "name"));
		json_t	   *body = load_body(file_of(snapshot, role, listed, file, sizeof(file)));

		name_key(keys, entry, signer);
		save(file, body, signer, NULL, snapshot, listed);
		json_decref(body);
	}
	json_object_set_new(delegations, "keys", keys);
	file_of(snapshot, "targets", listed, file, sizeof(file));
	save(file, targets, signer, NULL, snapshot, listed);
	json_decref(targets);
}

int
main(int argc, char **argv)
{
	OpensslSigner p256 = openssl_signer_ecdsa("ecdsa", "ecdsa-sha2-nistp256");
	OpensslSigner p384 = openssl_signer_ecdsa("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384");
	OpensslSigner rsa = openssl_signer_rsa(3072, "rsassa-pss-sha256");
	DepotError	error;
	char		listed[96];
	char		file[128];
	json_t	   *root;
	json_t	   *timestamp;
	json_t	   *snapshot;
	json_t	   *roles;
	json_t	   *keys = json_object();
	DepotKey   *kept = NULL;

	if (argc < 2 || argc > 3 || !depot_digest_init(&error))
		fail("usage: resign DIR [ROOT-KEY]");
	if (argc == 3 && (kept = depot_key_load_secret(argv[2], NULL, &error)) == NULL)
		fail(error.message);
	if (chdir(argv[1]) != 0 || chdir("metadata") != 0)
		fail("DIR is no repository");
	root = load_body("1.root.json");
	timestamp = load_body("timestamp.json");
	snapshot = load_body(file_of(timestamp, "snapshot", listed, file, sizeof(file)));
	resign_targets(snapshot, &p384);
	file_of(timestamp, "snapshot", listed, file, sizeof(file));
	save(file, snapshot, &rsa, NULL, timestamp, listed);
	save("timestamp.json", timestamp, &p256, NULL, NULL, NULL);

	roles = json_object_get(root, "roles");
	if (kept == NULL)
		name_key(keys, json_object_get(roles, "root"), &p256);
	else
		json_object_set(keys, kept->keyid, json_object_get(json_object_get(root, "keys"), kept->keyid));
	name_key(keys, json_object_get(roles, "timestamp"), &p256);
	name_key(keys, json_object_get(roles, "snapshot"), &rsa);
	name_key(keys, json_object_get(roles, "targets"), &p384);
	json_object_set_new(root, "keys", keys);
	save("1.root.json", root, &p256, kept, NULL, NULL);
	return 0;
}
