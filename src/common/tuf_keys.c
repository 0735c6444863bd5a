/*-------------------------------------------------------------------------
 *
 * tuf_keys.c
 *	  The keys in TUF metadata, and whether enough of them signed.
 *
 * A threshold counts distinct public keys, never keyids or signatures.  Where only
 * ed25519 counts, keys of other types are treated as those of unknown types are: OpenSSL
 * is not even loaded, so that what a mirror sends cannot reach it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <inttypes.h>
#include <string.h>

#include "common/key.h"
#include "common/key_public.h"

#define FORMAT DEPOT_ERROR_METADATA_FORMAT

/* What was found when signatures were counted. */
typedef struct Signers
{
	DepotTufKeyTypes key_types;
	int64_t		valid;			/* different keys with a valid signature */
	int64_t		left_out;		/* signatures of keys that only key_types leaves out */
} Signers;

/* What is signed. */
typedef struct Message
{
	const char *bytes;
	size_t		length_bytes;
} Message;

static bool find_message(const json_t *envelope, const DepotJsonMember *signed_text, DepotBuffer *canonical,
						 Message *message, DepotError *error);
static bool check_key(const char *keyid, const json_t *key, DepotTufKeyTypes key_types, DepotError *error);
static bool check_keyid(const char *keyid, const json_t *key, DepotError *error);
static json_t *index_signatures(const json_t *signatures);
static bool count_signers(const json_t *keys, const json_t *role, const json_t *signatures,
						  const Message *message, Signers *signers, DepotError *error);
static bool count_signer(const json_t *key_object, const char *signature, const Message *message,
						 json_t *counted, DepotError *error);
static bool is_left_out(const json_t *key, DepotTufKeyTypes key_types);
static void explain_threshold(const Signers *signers, DepotError *error);

bool
depot_tuf_check_keys(const json_t *body, DepotTufKeyTypes key_types, DepotError *error)
{
	const bool	is_root = strcmp(json_string_value(json_object_get(body, "_type")), "root") == 0;
	const bool	is_targets = strcmp(json_string_value(json_object_get(body, "_type")), "targets") == 0;
	json_t	   *keys = NULL;
	const char *keyid;
	json_t	   *key;

	if (is_root)
		keys = json_object_get(body, "keys");
	else if (is_targets)
		keys = json_object_get(json_object_get(body, "delegations"), "keys");
	json_object_foreach(keys, keyid, key)
	{
		if (!check_key(keyid, key, key_types, error))
			return depot_error_prefix(error, "a key");
	}
	return true;
}

bool
depot_tuf_verify_envelope(const json_t *envelope, const json_t *keys, const json_t *role, const char *what,
						  DepotError *error)
{
	return depot_tuf_verify_signatures(envelope, NULL, keys, role, what, DEPOT_TUF_ALL_KEY_TYPES, error);
}

bool
depot_tuf_verify_signatures(const json_t *envelope, const DepotJsonMember *signed_text, const json_t *keys,
							const json_t *role, const char *what, DepotTufKeyTypes key_types, DepotError *error)
{
	json_t	   *signatures = index_signatures(json_object_get(envelope, "signatures"));
	json_int_t	threshold = json_integer_value(json_object_get(role, "threshold"));
	Signers		signers = {.key_types = key_types};
	DepotBuffer canonical;
	Message		message = {.bytes = NULL};
	bool		ok = false;

	depot_buffer_init(&canonical);
	if (signatures == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	if (!find_message(envelope, signed_text, &canonical, &message, error))
	{
		depot_error_prefix(error, "%s", what);
		goto done;
	}
	if (!count_signers(keys, role, signatures, &message, &signers, error))
		goto done;

	/* A threshold below 1 cannot come out of depot_tuf_parse_metadata; it must not pass here either. */
	ok = threshold >= 1 && signers.valid >= threshold;
	if (!ok)
	{
		depot_error_set(error, DEPOT_ERROR_METADATA_THRESHOLD,
						"%s is not signed by enough trusted keys: have %" PRId64 " of "
						"%" JSON_INTEGER_FORMAT " valid signatures",
						what, signers.valid, threshold);
		explain_threshold(&signers, error);
	}

done:
	json_decref(signatures);
	depot_buffer_free(&canonical);
	return ok;
}

/* The bytes as they were received where they are canonical, else their canonical form, made in canonical. */
static bool
find_message(const json_t *envelope, const DepotJsonMember *signed_text, DepotBuffer *canonical, Message *message,
			 DepotError *error)
{
	if (signed_text != NULL && signed_text->text != NULL && signed_text->is_canonical)
	{
		message->bytes = signed_text->text;
		message->length_bytes = signed_text->length_bytes;
		return true;
	}
	if (!depot_json_canonical(json_object_get(envelope, "signed"), canonical, FORMAT, error))
		return false;
	message->bytes = canonical->data;
	message->length_bytes = canonical->length_bytes;
	return true;
}

/*
 * A key of a type or scheme that is not known here is let through: it can never count
 * towards a threshold, and refusing it would lock old clients out of a repository that
 * begins to use it.
 */
static bool
check_key(const char *keyid, const json_t *key, DepotTufKeyTypes key_types, DepotError *error)
{
	const char *keytype;
	const char *scheme;
	json_t	   *keyval;
	DepotPublicKey *parsed;

	if (!json_is_object(key))
		return depot_error_set(error, FORMAT, "not a JSON object");
	if (!depot_json_get_string(key, "keytype", true, &keytype, FORMAT, error) ||
		!depot_json_get_string(key, "scheme", true, &scheme, FORMAT, error) ||
		!depot_json_get_object(key, "keyval", true, &keyval, FORMAT, error))
		return false;
	if (is_left_out(key, key_types))
		return true;

	parsed = depot_key_public_from_json(key, error);
	if (parsed == NULL)
	{
		if (error->code == DEPOT_ERROR_UNSUPPORTED)
			return true;
		if (error->code == DEPOT_ERROR_KEY)
			error->code = FORMAT;
		return false;
	}
	depot_key_public_free(parsed);
	return check_keyid(keyid, key, error);
}

/*
 * A keyid is the digest of the whole key object.  Widely used tools digest only the
 * three members that make the key and add members of their own afterwards; that is taken
 * too, as it names the key just as well.
 */
static bool
check_keyid(const char *keyid, const json_t *key, DepotError *error)
{
	char		expected[65];
	json_t	   *core;
	bool		ok;

	if (!depot_key_compute_keyid(key, expected, error))
	{
		if (error->code == DEPOT_ERROR_KEY)
			error->code = FORMAT;
		return false;
	}
	if (strcmp(expected, keyid) == 0)
		return true;
	core = json_pack("{s:O, s:O, s:O}",
					 "keytype", json_object_get(key, "keytype"),
					 "scheme", json_object_get(key, "scheme"),
					 "keyval", json_object_get(key, "keyval"));
	if (core == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	ok = depot_key_compute_keyid(core, expected, error);
	json_decref(core);
	if (ok && strcmp(expected, keyid) != 0)
		ok = depot_error_set(error, FORMAT, "its keyid is not its digest");
	return ok;
}

/* Maps keyids to signatures; the format check has seen that none stands there twice. */
static json_t *
index_signatures(const json_t *signatures)
{
	json_t	   *map = json_object();
	const json_t *signature;
	size_t		index;

	json_array_foreach(signatures, index, signature)
	{
		const char *keyid = json_string_value(json_object_get(signature, "keyid"));

		if (keyid != NULL && json_object_set(map, keyid, json_object_get(signature, "sig")) != 0)
		{
			json_decref(map);
			return NULL;
		}
	}
	return map;
}

/* Counts the different public keys of role that signed message.  Each key costs one verification at most. */
static bool
count_signers(const json_t *keys, const json_t *role, const json_t *signatures, const Message *message,
			  Signers *signers, DepotError *error)
{
	json_t	   *counted = json_object();
	const json_t *keyid;
	size_t		index;
	bool		ok = counted != NULL || depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");

	json_array_foreach(json_object_get(role, "keyids"), index, keyid)
	{
		const char *id = json_string_value(keyid);
		const json_t *key_object = id == NULL ? NULL : json_object_get(keys, id);
		const char *signature = id == NULL ? NULL : json_string_value(json_object_get(signatures, id));

		if (!ok)
			break;
		if (key_object == NULL || signature == NULL)
			continue;
		if (is_left_out(key_object, signers->key_types))
			signers->left_out++;
		else
			ok = count_signer(key_object, signature, message, counted, error);
	}
	signers->valid = (int64_t) json_object_size(counted);
	json_decref(counted);
	return ok;
}

/* Adds a key's identity to counted when its signature is valid.  False (error): something failed here. */
static bool
count_signer(const json_t *key_object, const char *signature, const Message *message, json_t *counted,
			 DepotError *error)
{
	DepotPublicKey *key = depot_key_public_from_json(key_object, error);
	const char *identity;
	bool		ok = true;

	if (key == NULL)
		/* of a kind that is not known here */
		return error->code == DEPOT_ERROR_UNSUPPORTED || error->code == DEPOT_ERROR_KEY;
	identity = depot_key_public_identity(key);
	/* Empty and odd signatures occur in real repositories; they count for nothing. */
	if (json_object_get(counted, identity) == NULL &&
		depot_key_public_verify(key, message->bytes, message->length_bytes, signature))
		ok = json_object_set_new(counted, identity, json_true()) == 0 ||
			depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	depot_key_public_free(key);
	return ok;
}

/* Tells whether key would count if all types did. */
static bool
is_left_out(const json_t *key, DepotTufKeyTypes key_types)
{
	return key_types == DEPOT_TUF_ED25519_ONLY && depot_key_public_needs_openssl(key);
}

static void
explain_threshold(const Signers *signers, DepotError *error)
{
	if (signers->left_out > 0)
	{
		depot_error_detail(error, "Signatures by ECDSA or RSA keys that are not counted: %" PRId64 ". From this "
						   "repository only ed25519 keys are accepted.", signers->left_out);
		depot_error_hint(error, "If its publisher signs with such keys, add it with all_key_types => true (and drop "
						 "it first if it is there).");
		return;
	}
	depot_error_hint(error, "The repository is damaged, is not the one that is trusted here, or somebody"
					 " altered it. If its keys were replaced, its publisher must have the new root"
					 " signed by the old keys.");
}
