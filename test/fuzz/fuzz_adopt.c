/*-------------------------------------------------------------------------
 *
 * fuzz_adopt.c
 *	  Metadata from rows that another server may have written:
 *	  {"steps": [{FILE: {"signed", "by": [SIGNER]}}], "rows": {FILE: the same, or a text}}.
 *
 * The steps are refreshes from the repository; then the rows are adopted.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_signed.h"

#define PLATFORM_ROLE "pg15-linux-amd64"
#define MOST_ROWS 64


/* A DepotTufRefused: requires that a row is refused once, by the name it has, with a reason. */
static void
note_refused(void *context, const char *role, int64_t version, const DepotError *reason)
{
	json_t	   *refused = context;
	char		name[256];

	FUZZ_REQUIRE(reason->code != DEPOT_OK && reason->message[0] != '\0');
	snprintf(name, sizeof(name), "%lld.%s", (long long) version, role);
	FUZZ_REQUIRE(json_object_get(refused, name) == NULL);
	FUZZ_REQUIRE(json_object_set_new(refused, name, json_true()) == 0);
}

/* Writes rows as the leader does, each into a file of its own. */
static void
write_rows(int rows_fd, json_t *rows)
{
	const char *name;
	json_t	   *row;
	int			count = 0;

	json_object_foreach(rows, name, row)
	{
		char	   *text = json_is_string(row) ? strdup(json_string_value(row)) : sign(row);
		DepotError	error = {0};
		int			fd;

		if (text == NULL || strchr(name, '/') != NULL || strlen(name) > 200 || ++count > MOST_ROWS)
		{
			free(text);
			continue;
		}
		fd = openat(rows_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		FUZZ_REQUIRE(fd < 0 || depot_files_write_all(fd, text, strlen(text), &error));
		if (fd >= 0)
			(void) close(fd);
		free(text);
	}
}

static void
adopt(int directory, int rows_fd)
{
	DepotError	error = {0};
	DepotTufClient *client = depot_tuf_open(directory, pin, strlen(pin), NOW, &error);
	json_t	   *refused = json_object();
	bool		changed = false;
	bool		ok;

	FUZZ_REQUIRE(client != NULL);
	ok = depot_tuf_adopt(client, PLATFORM_ROLE, rows_fd, note_refused, refused, &changed, &error);
	FUZZ_REQUIRE(ok);
	depot_tuf_close(client);
	json_decref(refused);
}

/* Requires that rows take nothing back, and that the same ones bring nothing when they come again. */
static void
check_rows(int directory, int rows_fd)
{
	int64_t		before[ROLE_COUNT];
	int64_t		after[ROLE_COUNT];
	int64_t		again[ROLE_COUNT];
	const bool	had = load(directory, before);
	bool		has;

	adopt(directory, rows_fd);
	has = load(directory, after);
	FUZZ_REQUIRE(after[0] >= before[0]);
	if (had && has)
		require_not_older(before, after);
	adopt(directory, rows_fd);
	FUZZ_REQUIRE(load(directory, again) == has && memcmp(after, again, sizeof(again)) == 0);
}

static void
refresh(int directory, json_t *step)
{
	DepotError	error = {0};
	DepotTufClient *client = depot_tuf_open(directory, pin, strlen(pin), NOW, &error);
	bool		changed;

	FUZZ_REQUIRE(client != NULL);
	(void) depot_tuf_refresh(client, PLATFORM_ROLE, fetch, step, &changed, &error);
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
	int			rows_parent;
	int			rows;

	if (json_is_object(json_object_get(input, "rows")))
	{
		directory = make_directory("client", &parent);
		rows = make_directory("rows", &rows_parent);
		json_array_foreach(json_object_get(input, "steps"), index, step)
		{
			if (index < MOST_STEPS)
				refresh(directory, step);
		}
		write_rows(rows, json_object_get(input, "rows"));
		check_rows(directory, rows);
		remove_client("rows", rows_parent, rows);
		remove_client("client", parent, directory);
	}
	json_decref(input);
	return 0;
}
