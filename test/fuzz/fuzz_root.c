/*-------------------------------------------------------------------------
 *
 * fuzz_root.c
 *	  Root metadata: keys and the four roles.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_metadata.h"

#include "common/key.h"

/* A keyid that is not the digest of its key would let one key count twice. */
static void
check_keys(json_t *envelope, json_t *keys)
{
	const char *keyid;
	json_t	   *key;
	void	   *unused;

	json_object_foreach_safe(keys, unused, keyid, key)
	{
		const char *keytype = json_string_value(json_object_get(key, "keytype"));
		const char *scheme = json_string_value(json_object_get(key, "scheme"));

		FUZZ_REQUIRE(keytype != NULL && scheme != NULL && json_is_object(json_object_get(key, "keyval")));
		if (strcmp(keytype, "ed25519") != 0 || strcmp(scheme, "ed25519") != 0)
			continue;
		FUZZ_REQUIRE(strlen(keyid) == 64);
		fuzz_metadata_refuses(envelope, "root", keys, "another keyid", json_incref(key));
		return;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"root", "timestamp", "snapshot", "targets"};
	json_t	   *envelope = fuzz_metadata(data, size, "root");
	json_t	   *body = json_object_get(envelope, "signed");
	json_t	   *roles = json_object_get(body, "roles");
	DepotError	error = {0};

	if (envelope == NULL)
		return 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		FUZZ_REQUIRE(json_is_object(json_object_get(roles, names[i])));
		fuzz_metadata_refuses(envelope, "root", roles, names[i], json_null());
	}
	fuzz_metadata_check_role(envelope, "root", json_object_get(roles, "root"));
	check_keys(envelope, json_object_get(body, "keys"));
	/* Nobody has made a valid signature for what was never signed: it may only be refused for want of some. */
	if (!depot_tuf_verify_envelope(envelope, json_object_get(body, "keys"), json_object_get(roles, "root"),
								   FUZZ_LABEL, &error))
		fuzz_require_refusal(&error);
	json_decref(envelope);
	return 0;
}
