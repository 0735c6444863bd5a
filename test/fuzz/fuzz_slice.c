/*-------------------------------------------------------------------------
 *
 * fuzz_slice.c
 *	  A server's slice of a repository: {"steps": [{FILE: {"signed", "by": [SIGNER]}}]},
 *	  what it serves at one refresh after the other; every second one visits only
 *	  what has changed.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_signed.h"

#define PLATFORM_ROLE "pg15-linux-amd64"


/* A DepotTufVisit: requires that a target is one that a server can fetch and check. */
static bool
visit(const DepotTufTarget *target, void *context, DepotError *error)
{
	int		   *visited = context;

	(void) error;
	FUZZ_REQUIRE(target->path[0] != '\0' && target->role[0] != '\0');
	FUZZ_REQUIRE(strspn(target->sha256, "0123456789abcdef") == 64);
	(*visited)++;
	return true;
}

/* Requires that the roles of the slice are such as they were said to be. */
static void
check_roles(const DepotTufClient *client)
{
	DepotTufRole roles[DEPOT_TUF_MAX_ROLES];
	const int	count = depot_tuf_roles(client, roles, DEPOT_TUF_MAX_ROLES);

	FUZZ_REQUIRE(count >= ROLE_COUNT && strcmp(roles[0].name, "root") == 0);
	for (int i = ROLE_COUNT; i < count; i++)
	{
		FUZZ_REQUIRE(roles[i].is_publisher == (strcmp(roles[i].name, PLATFORM_ROLE) != 0));
		FUZZ_REQUIRE(roles[i].loaded != roles[i].is_left_out);
		FUZZ_REQUIRE(!roles[i].is_left_out || (roles[i].is_publisher && roles[i].reason[0] != '\0'));
		FUZZ_REQUIRE(roles[i].is_left_out || (roles[i].version >= 1 && roles[i].expires_epoch_s > NOW));
	}
}

/* Refreshes the slice, and requires that it loads as it was accepted. */
static void
run_step(int directory, json_t *step, bool only_if_changed)
{
	DepotError	error = {0};
	DepotTufClient *client = depot_tuf_open(directory, pin, strlen(pin), NOW, &error);
	int64_t		before[ROLE_COUNT];
	int64_t		after[ROLE_COUNT];
	const bool	had = load(directory, before);
	int			visited = 0;
	bool		changed = false;

	FUZZ_REQUIRE(client != NULL);
	depot_tuf_visit_slice(client, only_if_changed, visit, &visited);
	if (depot_tuf_refresh(client, PLATFORM_ROLE, fetch, step, &changed, &error))
	{
		FUZZ_REQUIRE(!only_if_changed || changed || visited == 0);
		check_roles(client);
		FUZZ_REQUIRE(load(directory, after));
		if (had)
			require_not_older(before, after);
	}
	else
		fuzz_require_refusal(&error);
	depot_tuf_close(client);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t	   *input = read_text((const char *) data, size, signer_meaning);
	json_t	   *step;
	size_t		index;
	int			parent;
	int			directory;

	if (json_is_array(json_object_get(input, "steps")))
	{
		directory = make_directory("client", &parent);
		json_array_foreach(json_object_get(input, "steps"), index, step)
		{
			if (index < MOST_STEPS)
				run_step(directory, step, index % 2 == 1);
		}
		remove_client("client", parent, directory);
	}
	json_decref(input);
	return 0;
}
