/*-------------------------------------------------------------------------
 *
 * tuf_delegation.c
 *	  Which role a delegation means, and for which target paths.
 *
 * Three kinds: path patterns, prefixes of the path's digest, and hash bins
 * (TAP 15), where one entry stands for 2^n roles.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/digest.h"

/* A bin is chosen by the first bits of the digest, at most as many as bit_length may say. */
#define BIN_BITS 32

static const json_t *succinct_roles(const json_t *delegator_body);
static void name_bin(const json_t *succinct, const char *path, char name[DEPOT_TUF_ROLE_NAME_BYTES]);

DepotTufDelegation
depot_tuf_listed_delegation(const json_t *delegator_body, const json_t *entry)
{
	return (DepotTufDelegation)
	{
		.delegator_body = delegator_body, .entry = entry,
			.name = json_string_value(json_object_get(entry, "name"))
	};
}

bool
depot_tuf_bin_delegation(const json_t *delegator_body, const char *path,
						 char bin_name[DEPOT_TUF_ROLE_NAME_BYTES], DepotTufDelegation *delegation)
{
	const json_t *succinct = succinct_roles(delegator_body);

	if (succinct == NULL)
		return false;
	name_bin(succinct, path, bin_name);
	*delegation = (DepotTufDelegation)
	{
		.delegator_body = delegator_body, .entry = succinct, .name = bin_name
	};
	return true;
}

bool
depot_tuf_delegation_covers(const DepotTufDelegation *delegation, const char *path)
{
	const json_t *entry = delegation->entry;
	const json_t *prefixes = json_object_get(entry, "path_hash_prefixes");
	const json_t *value;
	size_t		index;
	char		digest[DEPOT_SHA256_HEX_BYTES];

	if (entry == succinct_roles(delegation->delegator_body))
	{
		char		bin_name[DEPOT_TUF_ROLE_NAME_BYTES];

		name_bin(entry, path, bin_name);
		return strcmp(bin_name, delegation->name) == 0;
	}
	json_array_foreach(json_object_get(entry, "paths"), index, value)
	{
		if (depot_tuf_path_matches(json_string_value(value), path))
			return true;
	}
	if (prefixes == NULL)
		return false;
	depot_digest_sha256_hex(path, strlen(path), digest);
	json_array_foreach(prefixes, index, value)
	{
		if (strncmp(digest, json_string_value(value), json_string_length(value)) == 0)
			return true;
	}
	return false;
}

static const json_t *
succinct_roles(const json_t *delegator_body)
{
	return json_object_get(json_object_get(delegator_body, "delegations"), "succinct_roles");
}

/* "<name_prefix>-<bin>", the bin in as many hexadecimal digits as the last one needs. */
static void
name_bin(const json_t *succinct, const char *path, char name[DEPOT_TUF_ROLE_NAME_BYTES])
{
	const int	bit_length = (int) json_integer_value(json_object_get(succinct, "bit_length"));
	const char *prefix = json_string_value(json_object_get(succinct, "name_prefix"));
	uint8_t		digest[DEPOT_SHA256_BYTES];
	uint32_t	bin;

	depot_digest_sha256(path, strlen(path), digest);
	bin = (uint32_t) digest[0] << 24 | (uint32_t) digest[1] << 16 | (uint32_t) digest[2] << 8 | digest[3];
	bin >>= BIN_BITS - bit_length;
	snprintf(name, DEPOT_TUF_ROLE_NAME_BYTES, "%s-%0*" PRIx32, prefix, (bit_length + 3) / 4, bin);
}
