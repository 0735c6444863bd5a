/*-------------------------------------------------------------------------
 *
 * tuf_metadata_delegations.c
 *	  Checks the form of a targets role's delegations.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <string.h>

#define FORMAT DEPOT_ERROR_METADATA_FORMAT

/* Hash bins are chosen by at most so many bits of a path's digest (TAP 15). */
#define BIN_MAX_BITS 32

/* Longest name prefix of hash bins that can have a file name. */
#define NAME_PREFIX_MAX_BYTES 200

static bool check_delegated_role(const json_t *role, json_t *names, DepotError *error);
static bool check_prefixes(const json_t *prefixes, DepotError *error);
static bool check_succinct_roles(const json_t *succinct, DepotError *error);

bool
depot_tuf_check_delegations(const json_t *delegations, DepotError *error)
{
	json_t	   *keys;
	json_t	   *roles = NULL;
	json_t	   *succinct = NULL;
	json_t	   *names;
	const json_t *role;
	size_t		index;
	bool		ok = true;

	if (!depot_json_get_object(delegations, "keys", true, &keys, FORMAT, error) ||
		!depot_json_get_array(delegations, "roles", false, &roles, FORMAT, error) ||
		!depot_json_get_object(delegations, "succinct_roles", false, &succinct, FORMAT, error))
		return false;
	if ((roles == NULL) == (succinct == NULL))
		return depot_error_set(error, FORMAT, "delegations need either roles or succinct_roles");
	if (succinct != NULL)
		return check_succinct_roles(succinct, error) || depot_error_prefix(error, "succinct_roles");

	names = json_object();
	if (names == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	json_array_foreach(roles, index, role)
	{
		ok = check_delegated_role(role, names, error);
		if (!ok)
		{
			depot_error_prefix(error, "a delegated role");
			break;
		}
	}
	json_decref(names);
	return ok;
}

static bool
check_delegated_role(const json_t *role, json_t *names, DepotError *error)
{
	const char *name;
	bool		terminating;
	json_t	   *paths = NULL;
	json_t	   *prefixes = NULL;

	if (!depot_tuf_check_role(role, error) ||
		!depot_json_get_string(role, "name", true, &name, FORMAT, error) ||
		!depot_json_get_bool(role, "terminating", true, &terminating, FORMAT, error) ||
		!depot_json_get_array(role, "paths", false, &paths, FORMAT, error) ||
		!depot_json_get_array(role, "path_hash_prefixes", false, &prefixes, FORMAT, error))
		return false;
	if (name[0] == '\0' || depot_tuf_is_top_level(name))
		return depot_error_set(error, FORMAT, "its name is empty or that of a top-level role");
	if (strlen(name) >= DEPOT_TUF_ROLE_NAME_BYTES)
		return depot_error_set(error, FORMAT, "its name is longer than %d bytes",
							   DEPOT_TUF_ROLE_NAME_BYTES - 1);
	if (!depot_tuf_add_once(names, name, "name", error))
		return false;
	if ((paths == NULL) == (prefixes == NULL))
		return depot_error_set(error, FORMAT, "it needs either paths or path_hash_prefixes");
	return paths != NULL ? depot_tuf_check_strings(paths, "a path", error) : check_prefixes(prefixes, error);
}

/*
 * An empty prefix would match every path, and one with other than lower-case digits none: neither can be
 * what was meant.
 */
static bool
check_prefixes(const json_t *prefixes, DepotError *error)
{
	const json_t *value;
	size_t		index;

	if (!depot_tuf_check_strings(prefixes, "a path hash prefix", error))
		return false;
	json_array_foreach(prefixes, index, value)
	{
		const char *prefix = json_string_value(value);
		size_t		length = strlen(prefix);

		if (length == 0 || length > 64 || strspn(prefix, "0123456789abcdef") != length)
			return depot_error_set(error, FORMAT,
								   "a path hash prefix is not 1 to 64 lower-case hexadecimal digits");
	}
	return true;
}

/* TAP 15. */
static bool
check_succinct_roles(const json_t *succinct, DepotError *error)
{
	const char *name_prefix;
	int64_t		bit_length;

	if (!depot_tuf_check_role(succinct, error) ||
		!depot_json_get_integer(succinct, "bit_length", true, 1, &bit_length, FORMAT, error) ||
		!depot_json_get_string(succinct, "name_prefix", true, &name_prefix, FORMAT, error))
		return false;
	if (bit_length > BIN_MAX_BITS)
		return depot_error_set(error, FORMAT, "bit_length is more than %d", BIN_MAX_BITS);
	return strlen(name_prefix) <= NAME_PREFIX_MAX_BYTES ||
		depot_error_set(error, FORMAT, "name_prefix is longer than %d bytes", NAME_PREFIX_MAX_BYTES);
}
