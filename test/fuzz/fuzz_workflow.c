/*-------------------------------------------------------------------------
 *
 * fuzz_workflow.c
 *	  The client's workflow: {"steps": [{FILE: {"signed", "by": [SIGNER]}}]},
 *	  what a repository serves at one refresh after the other.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_signed.h"

/* Requires that a refresh, whatever came of it, took nothing back. */
static void
run_step(int directory, json_t *step)
{
	int64_t		before[ROLE_COUNT];
	int64_t		after[ROLE_COUNT];
	bool		had = load(directory, before);
	DepotError	error = {0};
	DepotTufTarget target;
	DepotTufClient *client = depot_tuf_open(directory, pin, strlen(pin), NOW, &error);
	bool		changed = false;
	bool		has;

	FUZZ_REQUIRE(client != NULL);
	if (depot_tuf_refresh(client, NULL, fetch, step, &changed, &error))
	{
		if (depot_tuf_find_target(client, "a/b", &target, &error))
			FUZZ_REQUIRE(strcmp(target.path, "a/b") == 0 && (target.sha256[0] != '\0' || target.sha512[0] != '\0'));
		else
			fuzz_require_refusal(&error);
		depot_tuf_close(client);
		has = load(directory, after);
		FUZZ_REQUIRE(has);
	}
	else
	{
		fuzz_require_refusal(&error);
		depot_tuf_close(client);
		has = load(directory, after);
		/* Without a new root, what was whole stays whole. */
		FUZZ_REQUIRE(has || !had || after[0] > before[0]);
	}
	FUZZ_REQUIRE(after[0] >= before[0]);
	if (had && has)
		require_not_older(before, after);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t	   *input = read_text((const char *) data, size, signer_meaning);
	json_t	   *step;
	size_t		index;
	int			parent;
	int			directory;

	if (!json_is_array(json_object_get(input, "steps")))
	{
		json_decref(input);
		return 0;
	}
	directory = make_directory("client", &parent);
	json_array_foreach(json_object_get(input, "steps"), index, step)
	{
		if (index < MOST_STEPS)
			run_step(directory, step);
	}
	remove_client("client", parent, directory);
	json_decref(input);
	return 0;
}
