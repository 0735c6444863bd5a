/*-------------------------------------------------------------------------
 *
 * tuf_verify.c
 *	  Decides whether bytes are what a trusted parent says they are.
 *
 * Lengths and hashes come before parsing, signatures before anything is
 * believed.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "common/digest.h"

static bool check_hash(const char *algorithm, const char *expected, const DepotBuffer *bytes, bool *known);
static void format_duration(int64_t seconds, char *out, size_t out_bytes);

bool
depot_tuf_accept(const DepotTufExpect *expect, const DepotBuffer *bytes, DepotTufDocument *document,
				 DepotError *error)
{
	char		what[DEPOT_TUF_LABEL_BYTES];
	DepotTufDocument fresh = {0};
	DepotJsonMember signed_text;
	json_int_t	listed;

	depot_tuf_label(expect->role, what);
	if (bytes->length_bytes > expect->max_bytes)
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "%s is larger than %zu bytes", what,
							   expect->max_bytes);
	if (expect->meta != NULL && !depot_tuf_check_bytes(expect->meta, bytes, what, error))
		return false;
	fresh.envelope = depot_tuf_parse(bytes->data == NULL ? "" : bytes->data, bytes->length_bytes, expect->type,
									 what, expect->key_types, &signed_text, error);
	if (fresh.envelope == NULL)
		return false;
	fresh.body = json_object_get(fresh.envelope, "signed");
	fresh.version = json_integer_value(json_object_get(fresh.body, "version"));
	if (!depot_tuf_time_parse(json_string_value(json_object_get(fresh.body, "expires")),
							  &fresh.expires_epoch_s))
	{
		depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT, "%s: expires is not a time", what);
		goto failed;
	}
	/* A root is verified by its own keys when nobody else's are given. */
	if (!depot_tuf_verify_signatures(fresh.envelope, &signed_text,
									 expect->keys != NULL ? expect->keys : json_object_get(fresh.body, "keys"),
									 expect->threshold != NULL ? expect->threshold :
									 json_object_get(json_object_get(fresh.body, "roles"), "root"), what,
									 expect->key_types, error))
		goto failed;
	listed = json_integer_value(json_object_get(expect->meta, "version"));
	if (expect->meta != NULL && fresh.version != listed)
	{
		depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
						"%s has version %" PRId64 ", but version %" JSON_INTEGER_FORMAT " was announced",
						what, fresh.version, listed);
		depot_error_hint(error, "A mirror may mix files of different times; the publisher should run "
						 "\"pg_depot repo status\".");
		goto failed;
	}
	depot_digest_sha256_hex(bytes->data == NULL ? "" : bytes->data, bytes->length_bytes, fresh.sha256);
	depot_tuf_document_free(document);
	*document = fresh;
	return true;

failed:
	depot_tuf_document_free(&fresh);
	return false;
}

void
depot_tuf_document_free(DepotTufDocument *document)
{
	json_decref(document->envelope);
	memset(document, 0, sizeof(*document));
}

bool
depot_tuf_check_bytes(const json_t *meta, const DepotBuffer *bytes, const char *what, DepotError *error)
{
	const json_t *length = json_object_get(meta, "length");
	json_t	   *hashes = json_object_get(meta, "hashes");
	const char *algorithm;
	json_t	   *expected;
	bool		any_known = false;

	if (length != NULL && (uint64_t) json_integer_value(length) != bytes->length_bytes)
	{
		depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH, "%s does not have its announced length", what);
		return depot_error_detail(error, "It has %zu bytes, announced were %" JSON_INTEGER_FORMAT ".",
								  bytes->length_bytes, json_integer_value(length));
	}
	if (hashes == NULL)
		return true;
	json_object_foreach(hashes, algorithm, expected)
	{
		bool		known;

		if (!check_hash(algorithm, json_string_value(expected), bytes, &known))
		{
			depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH, "%s does not have its announced digest",
							what);
			return depot_error_hint(error, "The file was altered or damaged on its way, or a mirror is out "
									"of step.");
		}
		any_known = any_known || known;
	}
	if (!any_known)
		return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
							   "%s is announced with no digest of a kind that is known here (sha256, sha512)",
							   what);
	return true;
}

bool
depot_tuf_check_expiry(const DepotTufDocument *document, const char *what, int64_t reference_time_s,
					   DepotError *error)
{
	char		expires[21];
	char		reference[21];
	char		ago[48];

	if (document->expires_epoch_s > reference_time_s)
		return true;
	depot_tuf_time_format(document->expires_epoch_s, expires);
	depot_tuf_time_format(reference_time_s, reference);
	format_duration(reference_time_s - document->expires_epoch_s, ago, sizeof(ago));
	depot_error_set(error, DEPOT_ERROR_METADATA_EXPIRED,
					"%s of the repository expired on %.10s %.8s UTC (%s ago)",
					what, expires, expires + 11, ago);
	depot_error_detail(error, "It is version %" PRId64 "; the clock of this server says %.10s %.8s UTC.",
					   document->version, reference, reference + 11);
	return depot_error_hint(error, "What is installed keeps working. If the clock is right, tell the publisher of the"
							" repository, who must renew it with \"pg_depot repo publish\".");
}

/* False when the hash is of a known kind and differs. */
static bool
check_hash(const char *algorithm, const char *expected, const DepotBuffer *bytes, bool *known)
{
	const unsigned char *data = (const unsigned char *) (bytes->data == NULL ? "" : bytes->data);
	uint8_t		digest[crypto_hash_sha512_BYTES];
	char		hex[2 * crypto_hash_sha512_BYTES + 1];
	size_t		digest_bytes;

	*known = true;
	if (strcmp(algorithm, "sha256") == 0)
	{
		depot_digest_sha256(data, bytes->length_bytes, digest);
		digest_bytes = DEPOT_SHA256_BYTES;
	}
	else if (strcmp(algorithm, "sha512") == 0)
	{
		crypto_hash_sha512(digest, data, bytes->length_bytes);
		digest_bytes = crypto_hash_sha512_BYTES;
	}
	else
	{
		*known = false;
		return true;
	}
	depot_digest_to_hex(digest, digest_bytes, hex);
	return strcmp(hex, expected) == 0;
}

static void
format_duration(int64_t seconds, char *out, size_t out_bytes)
{
	static const struct
	{
		int64_t		seconds;
		const char *name;
	}			units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};

	for (int i = 0; i < 4; i++)
	{
		int64_t		count = seconds / units[i].seconds;

		if (count > 0 || i == 3)
		{
			snprintf(out, out_bytes, "%" PRId64 " %s%s", count, units[i].name, count == 1 ? "" : "s");
			return;
		}
	}
}
