/*-------------------------------------------------------------------------
 *
 * fuzz_signed.h
 *	  A repository that the input describes and known keys sign.
 *
 * The first root gives root, timestamp, snapshot and targets to one signer each, in
 * this order.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FUZZ_SIGNED_H
#define DEPOT_FUZZ_SIGNED_H

#include "fuzz_signers.h"

#include <sys/stat.h>

#define MOST_STEPS 4
#define ROLE_COUNT 4
#define NOW INT64_C(1795176000) /* 2026-11-20 12:00:00 UTC */

static const char *const first_root =
"{\"signed\":{\"_type\":\"root\",\"spec_version\":\"1.0.34\",\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\","
"\"consistent_snapshot\":true,\"keys\":{"
"\"@0\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#0\"}},"
"\"@1\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#1\"}},"
"\"@2\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#2\"}},"
"\"@3\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"#3\"}}},"
"\"roles\":{\"root\":{\"keyids\":[\"@0\"],\"threshold\":1},\"timestamp\":{\"keyids\":[\"@1\"],\"threshold\":1},"
"\"snapshot\":{\"keyids\":[\"@2\"],\"threshold\":1},\"targets\":{\"keyids\":[\"@3\"],\"threshold\":1}}},\"by\":[0]}";

/* Serves the files of one step. */
static bool
fetch(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing, DepotError *error)
{
	const json_t *step = context;
	char	   *text = sign(json_object_get(step, file_name));

	*missing = text == NULL;
	if (text != NULL && strlen(text) > max_bytes)
	{
		free(text);
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "too large");
	}
	FUZZ_REQUIRE(text == NULL || depot_buffer_append_string(out, text));
	free(text);
	return true;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	make_signers(first_root);
	return 0;
}

/* What is trusted after a step: versions of root, timestamp, snapshot and targets; false when nothing is. */
static bool
load(int directory, int64_t versions[ROLE_COUNT])
{
	DepotTufRole roles[ROLE_COUNT];
	DepotError	error = {0};
	DepotTufClient *client = depot_tuf_open(directory, pin, strlen(pin), NOW, &error);
	bool		ok;

	FUZZ_REQUIRE(client != NULL);
	memset(roles, 0, sizeof(roles));
	ok = depot_tuf_load_trusted(client, NULL, false, &error);
	FUZZ_REQUIRE(depot_tuf_roles(client, roles, ROLE_COUNT) >= 1 && strcmp(roles[0].name, "root") == 0);
	for (int i = 0; i < ROLE_COUNT; i++)
		versions[i] = roles[i].version;
	depot_tuf_close(client);
	return ok;
}

/* Makes the empty directory of a client below *parent_fd, and opens both. */
static int
make_directory(const char *name, int *parent_fd)
{
	int			directory_fd;

	*parent_fd = open(directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_REQUIRE(*parent_fd >= 0 && mkdirat(*parent_fd, name, 0700) == 0);
	directory_fd = openat(*parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_REQUIRE(directory_fd >= 0);
	return directory_fd;
}

/* Closes what make_directory has opened, and removes the directory. */
static void
remove_client(const char *name, int parent_fd, int directory_fd)
{
	DepotError	error = {0};

	(void) close(directory_fd);
	FUZZ_REQUIRE(depot_files_remove_tree(parent_fd, name, &error));
	(void) close(parent_fd);
}

/* Requires that what is trusted now is not older, as far as the same root says so. */
static void
require_not_older(const int64_t before[ROLE_COUNT], const int64_t after[ROLE_COUNT])
{
	FUZZ_REQUIRE(after[0] >= before[0]);
	for (int i = 1; after[0] == before[0] && i < ROLE_COUNT; i++)
		FUZZ_REQUIRE(after[i] >= before[i]);
}

#endif							/* DEPOT_FUZZ_SIGNED_H */
