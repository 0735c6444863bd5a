/*-------------------------------------------------------------------------
 *
 * test_repo_delegate.c
 *	  Publishers in a repository: delegating paths and names to one, his own
 *	  publishing, new keys for him, and taking the paths back.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/json.h"
#include "repo_fixture.h"

#define OWNER " --key targets --key snapshot --key timestamp"
#define ALICE_PUBLISH "repo publish repo --key alice --key snapshot --key timestamp"
#define DELEGATE "repo delegate repo alice --add alice.pub --path */*/demo/*/* --provides demo" OWNER

static bool
note_target(const DepotTufTarget *target, void *context, DepotError *error)
{
	DepotBuffer *seen = context;

	(void) error;
	return depot_buffer_append_format(seen, "%s:%s ", target->role, strrchr(target->path, '/') + 1);
}

/* What a server of the platform reads, as "role:file role:file ", and roles that it leaves out in parentheses. */
static void
expect_client(const char *trust, const char *expected)
{
	static DepotTufRole roles[DEPOT_TUF_MAX_ROLES];
	DepotError	error;
	DepotBuffer pin;
	DepotBuffer seen;
	DepotTufClient *client;
	bool		changed;
	int			count;
	int			fd;

	depot_buffer_init(&pin);
	depot_buffer_init(&seen);
	assert_true(depot_files_make_directories(scratch.fd, trust, 0700, false, &error));
	fd = depot_files_open_directory(scratch.fd, trust, &error);
	assert_true(depot_files_read(scratch.fd, "repo/metadata/1.root.json", 1 << 20, &pin, &error));
	client = depot_tuf_open(fd, pin.data, pin.length_bytes, (int64_t) time(NULL), &error);
	assert_non_null(client);
	depot_tuf_visit_slice(client, false, note_target, &seen);
	if (!depot_tuf_refresh(client, REPO_ROLE, repo_fetch, NULL, &changed, &error))
		fail_msg("client %s: %s", trust, error.message);
	count = depot_tuf_roles(client, roles, DEPOT_TUF_MAX_ROLES);
	for (int i = 0; i < count; i++)
	{
		if (roles[i].is_left_out)
			depot_buffer_append_format(&seen, "(%s) ", roles[i].name);
	}
	if (strcmp(seen.data == NULL ? "" : seen.data, expected) != 0)
		fail_msg("client %s sees \"%s\", expected \"%s\"", trust, seen.data == NULL ? "" : seen.data, expected);
	depot_tuf_close(client);
	depot_buffer_free(&pin);
	depot_buffer_free(&seen);
	close(fd);
}

static void
add_demo(const char *version, const char *role)
{
	char		command[128];
	json_t	   *pending;
	DepotBuffer text;
	DepotError	error;
	const json_t *last;
	const json_t *targets;

	repo_make_package(version, "SELECT 1;");
	snprintf(command, sizeof(command), "repo add repo out/demo-%s.tar.zst", version);
	repo_expect(0, "added", command);
	depot_buffer_init(&text);
	assert_true(depot_files_read(scratch.fd, "repo/pending.json", 1 << 20, &text, &error));
	pending = json_loadb(text.data, text.length_bytes, 0, NULL);
	targets = json_object_get(pending, "targets");
	last = json_array_get(targets, json_array_size(targets) - 1);
	assert_string_equal(json_string_value(json_object_get(last, "role")), role);
	json_decref(pending);
	depot_buffer_free(&text);
}

static int
set_up(void **state)
{
	if (repo_set_up(state) != 0)
		return -1;
	repo_make_key("alice", NULL);
	repo_make_key("alice2", NULL);
	repo_make_key("bob", NULL);
	repo_expect(0, "sha256", REPO_INIT);
	return 0;
}

/* He publishes under his paths with his own key, and nobody else can. */
static void
publisher_publishes(void **state)
{
	(void) state;
	add_demo("1.0", REPO_ROLE);
	repo_expect(0, "published 1 new", REPO_PUBLISH);
	expect_client("trust", REPO_ROLE ":demo-1.0.tar.zst ");

	repo_expect(0, "provides demo", DELEGATE);
	assert_non_null(strstr(output, "pub-alice: 1 of 1 key; may not be preloaded, may not be trusted"));
	expect_client("trust", "");
	repo_expect(0, "pub-alice", "repo status repo");
	repo_expect(0, "\"days_left\": null", "repo status repo --json");
	repo_expect(0, "\"expires\": null", "repo status repo --json");

	add_demo("1.1", "pub-alice");
	repo_expect(0, "published 0 new", REPO_PUBLISH);
	assert_non_null(strstr(output, "1 added since, for the next publish"));
	repo_expect(3, "\"snapshot\" needs 1", "repo publish repo --key alice");
	repo_expect(0, "published 1 new", "repo publish repo --key snapshot --key timestamp");
	expect_client("trust", "pub-alice:demo-1.1.tar.zst ");
	expect_client("new-trust", "pub-alice:demo-1.1.tar.zst ");

	/* What the owner has added is not his to publish. */
	repo_make_package("1.0", "SELECT 1;");
	assert_int_equal(repo_run("pack --from-tree tree --package other --version 1.0 -o out"), 0);
	repo_expect(0, "added", "repo add repo out/other-1.0.tar.zst");
	add_demo("1.2", "pub-alice");
	repo_expect(0, "published 1 new", ALICE_PUBLISH);
	expect_client("trust", "pub-alice:demo-1.1.tar.zst pub-alice:demo-1.2.tar.zst ");
	repo_expect(0, "published 1 new", REPO_PUBLISH);
	expect_client("trust", "pub-alice:demo-1.1.tar.zst pub-alice:demo-1.2.tar.zst " REPO_ROLE ":other-1.0.tar.zst ");
}

/* Names are refused before anything is in the repository, paths before they are delegated. */
static void
refused(void **state)
{
	char	   *before;
	char	   *after;

	(void) state;
	repo_expect(0, "path", "repo delegate repo alice --add alice.pub --path */*/other/*/* --provides other" OWNER);
	repo_make_package("1.0", "SELECT 1;");
	assert_int_equal(repo_run("pack --from-tree tree --package other --version 1.0 -o out"), 0);
	before = repo_picture();
	repo_expect(1, "it provides extension \"demo\", which role \"pub-alice\" was not given",
				"repo add repo out/other-1.0.tar.zst");
	repo_expect(1, "not a path that can be delegated",
				"repo delegate repo bob --add bob.pub --path */*/*/*/* --provides demo" OWNER);
	repo_expect(1, "package \"demo\", which is not among the names",
				"repo delegate repo bob --add bob.pub --path */*/demo/*/* --provides other" OWNER);
	repo_expect(1, "is delegated to role \"pub-alice\" already, as */*/other/*/*",
				"repo delegate repo bob --add bob.pub --path pg15/linux-amd64/other/*/* --provides other" OWNER);
	repo_expect(1, "not the name of a publisher",
				"repo delegate repo ../bob --add bob.pub --path */*/demo/*/* --provides demo" OWNER);
	repo_expect(1, "not the name of a package",
				"repo delegate repo bob --add bob.pub --path */*/demo/*/* --provides demo --provides a/b" OWNER);
	repo_expect(1, "would need 2 signatures, but has 1 key",
				"repo delegate repo bob --add bob.pub --threshold 2 --path */*/demo/*/* --provides demo" OWNER);
	repo_expect(2, "each needed once", "repo delegate repo bob --add bob.pub --provides demo" OWNER);
	repo_expect(2, "--remove goes with --key only", "repo delegate repo alice --remove --provides demo");
	repo_expect(1, "has no publisher \"bob\"", "repo delegate repo bob --remove" OWNER);
	repo_expect(1, "bob.pub", "repo delegate repo bob --add nothing/bob.pub --path */*/demo/*/* --provides demo");
	after = repo_picture();
	assert_string_equal(before, after);
	free(before);
	free(after);
}

/* Keys that come later: the delegation waits for their signatures. */
static void
waits_for_signatures(void **state)
{
	(void) state;
	repo_expect(3, "signatures are missing",
				"repo delegate repo alice --add alice.pub --path */*/demo/*/* --provides demo");
	expect_client("trust", "");
	repo_expect(0, "targets", "repo sign repo --key targets");
	repo_expect(0, "published", "repo publish repo --key snapshot --key timestamp");
	add_demo("1.0", "pub-alice");
	repo_expect(0, "published 1 new", ALICE_PUBLISH);
	expect_client("trust", "pub-alice:demo-1.0.tar.zst ");
}

/* Stolen: what the old key has signed counts for nothing as soon as the path is another key's. */
static void
stolen_key(void **state)
{
	(void) state;
	repo_expect(0, "", DELEGATE);
	add_demo("1.0", "pub-alice");
	repo_expect(0, "published 1 new", ALICE_PUBLISH);
	expect_client("trust", "pub-alice:demo-1.0.tar.zst ");

	repo_expect(0, "published",
				"repo delegate repo alice --add alice2.pub --path */*/demo/*/* --provides demo" OWNER);
	expect_client("trust", "(pub-alice) ");
	expect_client("new-trust", "(pub-alice) ");
	repo_expect(3, "role \"pub-alice\" is not signed by its new keys yet", "repo status repo");
	repo_expect(0, "published 0 new", REPO_PUBLISH);
	repo_expect(0, "", "repo refresh repo --key snapshot --key timestamp");
	add_demo("1.1", "pub-alice");
	repo_expect(0, "published 0 new", ALICE_PUBLISH);
	expect_client("trust", "(pub-alice) ");

	/* The new key signs what is added again, and nothing that was there. */
	repo_expect(0, "published 1 new", "repo publish repo --key alice2 --key snapshot --key timestamp");
	expect_client("trust", "pub-alice:demo-1.1.tar.zst ");
	add_demo("1.0", "pub-alice");
	repo_expect(0, "published 1 new", "repo publish repo --key alice2 --key snapshot --key timestamp");
	expect_client("trust", "pub-alice:demo-1.0.tar.zst pub-alice:demo-1.1.tar.zst ");
	expect_client("new-trust", "pub-alice:demo-1.0.tar.zst pub-alice:demo-1.1.tar.zst ");
}

/* Changed in peace: both sign, and nothing is missing in between. */
static void
rotated_key(void **state)
{
	(void) state;
	repo_expect(0, "", DELEGATE);
	add_demo("1.0", "pub-alice");
	repo_expect(0, "published 1 new", ALICE_PUBLISH);
	repo_expect(3, "\"pub-alice\" needs 1", "repo rotate repo pub-alice --add alice2.pub --remove alice.pub" OWNER);
	expect_client("trust", "pub-alice:demo-1.0.tar.zst ");
	repo_expect(0, "pub-alice", "repo publish repo --key alice2 --key snapshot --key timestamp");
	expect_client("trust", "pub-alice:demo-1.0.tar.zst ");
	expect_client("new-trust", "pub-alice:demo-1.0.tar.zst ");
}

static void
removed(void **state)
{
	(void) state;
	add_demo("1.0", REPO_ROLE);
	repo_expect(0, "published 1 new", REPO_PUBLISH);
	repo_expect(0, "", DELEGATE);
	add_demo("1.1", "pub-alice");
	repo_expect(0, "published 1 new", ALICE_PUBLISH);
	add_demo("1.2", "pub-alice");
	expect_client("trust", "pub-alice:demo-1.1.tar.zst ");
	repo_expect(0, "pub-alice: removed", "repo delegate repo alice --remove" OWNER);
	assert_non_null(strstr(output, "forgot 1 added package"));
	expect_client("trust", REPO_ROLE ":demo-1.0.tar.zst ");
	expect_client("new-trust", REPO_ROLE ":demo-1.0.tar.zst ");
	repo_expect(0, "published 0 new", REPO_PUBLISH);

	/* The same name again: versions go on, and nothing of before is there. */
	repo_expect(0, "", "repo delegate repo alice --add alice2.pub --path */*/demo/*/* --provides demo" OWNER);
	add_demo("1.3", "pub-alice");
	repo_expect(0, "published 1 new", "repo publish repo --key alice2 --key snapshot --key timestamp");
	expect_client("trust", "pub-alice:demo-1.3.tar.zst ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, repo_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(publisher_publishes),
		TEST(refused),
		TEST(waits_for_signatures),
		TEST(stolen_key),
		TEST(rotated_key),
		TEST(removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
