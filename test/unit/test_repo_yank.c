/*-------------------------------------------------------------------------
 *
 * test_repo_yank.c
 *	  The publisher withdraws builds, and takes that back.
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
#include "common/withdrawn.h"
#include "repo_fixture.h"

#define PATH "pg15/linux-amd64/demo/1.0/demo-1.0.tar.zst"

/* What a client that trusts the repository sees of one target. */
typedef struct Seen
{
	const char *path;
	bool		is_there;
	bool		is_marked;
	char		sha256[65];
	char		reason[DEPOT_WITHDRAWN_REASON_MAX_BYTES + 1];
	char		advisory[DEPOT_WITHDRAWN_ADVISORY_MAX_BYTES + 1];
} Seen;

static bool
see_target(const DepotTufTarget *target, void *context, DepotError *error)
{
	Seen	   *seen = context;
	DepotWithdrawal withdrawal = {0};

	if (strcmp(target->path, seen->path) != 0)
		return true;
	seen->is_there = true;
	snprintf(seen->sha256, sizeof(seen->sha256), "%s", target->sha256);
	if (strcmp(target->role, "targets") != 0 &&
		!depot_withdrawn_read_mark(json_object_get(target->custom, "pg_depot"), &seen->is_marked, &withdrawal, error))
		fail_msg("%s", error->message);
	snprintf(seen->reason, sizeof(seen->reason), "%s", withdrawal.reason == NULL ? "" : withdrawal.reason);
	snprintf(seen->advisory, sizeof(seen->advisory), "%s", withdrawal.advisory == NULL ? "" : withdrawal.advisory);
	return true;
}

/* Refreshes the client and looks at what a role says of path. */
static Seen
look(const char *role, const char *path)
{
	Seen		seen = {.path = path};
	DepotTufClient *client;
	DepotError	error;
	int			fd;

	(void) repo_client("trust");
	fd = depot_files_open_directory(scratch.fd, "trust", &error);
	client = depot_tuf_open(fd, NULL, 0, (int64_t) time(NULL), &error);
	assert_non_null(client);
	assert_true(depot_tuf_load_trusted(client, REPO_ROLE, true, &error));
	assert_true(depot_tuf_visit_targets(client, role, see_target, &seen, &error));
	depot_tuf_close(client);
	close(fd);
	return seen;
}

static void
publish_two(void)
{
	repo_expect(0, "sha256", REPO_INIT);
	repo_make_package("1.0", "SELECT 1;");
	repo_make_package("1.1", "SELECT 2;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst out/demo-1.1.tar.zst");
	repo_expect(0, "published 2 new packages", REPO_PUBLISH);
}

static void
mark_and_take_back(void **state)
{
	Seen		seen;

	publish_two();
	repo_expect(0, "withdrawn " PATH "\n", "repo yank repo " PATH " --reason crashes --advisory CVE-2026-1");
	assert_false(look(REPO_ROLE, PATH).is_marked);
	repo_expect(0, "withdrawn already " PATH "\n", "repo yank repo " PATH " --reason crashes --advisory CVE-2026-1");
	repo_expect(0, "published 0 new packages", REPO_PUBLISH);
	seen = look(REPO_ROLE, PATH);
	assert_true(seen.is_marked);
	assert_string_equal(seen.reason, "crashes");
	assert_string_equal(seen.advisory, "CVE-2026-1");
	assert_false(look(REPO_ROLE, "pg15/linux-amd64/demo/1.1/demo-1.1.tar.zst").is_marked);

	/* what is published stays as it is, another reason replaces the first */
	repo_expect(0, "there already", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(0, "withdrawn " PATH, "repo yank repo demo 1.0 --platform pg15-linux-amd64 --reason loses-rows");
	repo_expect(0, "published 0", REPO_PUBLISH);
	assert_string_equal(look(REPO_ROLE, PATH).reason, "loses-rows");
	assert_string_equal(look(REPO_ROLE, PATH).advisory, "");

	repo_expect(0, "offered again " PATH, "repo yank repo demo 1.0 --undo");
	assert_true(look(REPO_ROLE, PATH).is_marked);
	repo_expect(0, "published 0", REPO_PUBLISH);
	assert_false(look(REPO_ROLE, PATH).is_marked);
	repo_expect(0, "not withdrawn " PATH, "repo yank repo demo 1.0 --undo");

	/* who is asked to sign sees the mark, not the whole description twice */
	repo_expect(0, "withdrawn ", "repo yank repo demo 1.0 --reason odd");
	repo_expect(3, "signatures are missing", "repo publish repo --key snapshot --key timestamp");
	repo_expect(0, "custom.pg_depot.yanked: nothing -> {\"advisory\": null, \"reason\": \"odd\"}\n", "repo sign repo");
	assert_null(strstr(output, "manifest_sha256"));
	repo_expect(0, "", "repo sign repo --discard");
	repo_expect(0, "offered again ", "repo yank repo demo 1.0 --undo");

	/* taken back before it is published, nothing is left of it */
	repo_expect(0, "withdrawn ", "repo yank repo demo 1.0 --reason x");
	assert_int_equal(repo_run("repo status repo"), 0);
	assert_non_null(strstr(output, "added or withdrawn, not published: 1"));
	repo_expect(0, "offered again ", "repo yank repo demo 1.0 --undo");
	assert_int_equal(repo_run("repo status repo"), 0);
	assert_null(strstr(output, "not published"));
	assert_int_equal(repo_client("new-trust"), 2);
}

/* Withdrawn before it was ever published: it is published with its mark. */
static void
pending_build(void **state)
{
	publish_two();
	repo_make_package("1.2", "SELECT 3;");
	repo_expect(0, "", "repo add repo out/demo-1.2.tar.zst");
	repo_expect(0, "withdrawn ", "repo yank repo demo 1.2 --reason too-early");
	repo_expect(0, "published 1 new package\n", REPO_PUBLISH);
	assert_true(look(REPO_ROLE, "pg15/linux-amd64/demo/1.2/demo-1.2.tar.zst").is_marked);
}

static void
list_for_all_roles(void **state)
{
	char		digest[65];
	char		command[256];
	char		file[256];
	Seen		list;
	DepotBuffer text;
	DepotError	error;
	json_t	   *entries;

	publish_two();
	snprintf(digest, sizeof(digest), "%s", look(REPO_ROLE, PATH).sha256);
	assert_false(look("targets", DEPOT_WITHDRAWN_TARGET).is_there);
	snprintf(command, sizeof(command), "repo yank repo --all-roles %s --reason crashes", digest);
	repo_expect(0, "withdrawn ", command);
	repo_expect(0, "withdrawn already ", command);
	repo_expect(3, "\"targets\" needs 1 of these keys", "repo publish repo --key snapshot --key timestamp");
	repo_expect(0, "published 0 new packages", REPO_PUBLISH);
	list = look("targets", DEPOT_WITHDRAWN_TARGET);
	assert_true(list.is_there);
	assert_false(look(REPO_ROLE, PATH).is_marked);

	depot_buffer_init(&text);
	snprintf(file, sizeof(file), "repo/targets/%s.withdrawn.json", list.sha256);
	assert_true(depot_files_read(scratch.fd, file, DEPOT_WITHDRAWN_MAX_BYTES, &text, &error));
	entries = depot_withdrawn_parse(text.data, text.length_bytes, &error);
	assert_non_null(entries);
	assert_int_equal(json_array_size(entries), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(entries, 0), "sha256")), digest);
	json_decref(entries);
	depot_buffer_free(&text);

	/* a second one, and the first taken out again before anything is published */
	memset(digest, 'a', 64);
	snprintf(command, sizeof(command), "repo yank repo --all-roles %s --reason old", digest);
	repo_expect(0, "withdrawn aaaa", command);
	snprintf(command, sizeof(command), "repo yank repo --all-roles %s --undo", digest);
	repo_expect(0, "offered again aaaa", command);
	repo_expect(0, "published 0", REPO_PUBLISH);
	assert_string_equal(look("targets", DEPOT_WITHDRAWN_TARGET).sha256, list.sha256);
	repo_expect(0, "not withdrawn aaaa", command);
}

static void
refused(void **state)
{
	static const char *const cases[][2] = {
		{"repo yank repo " PATH, "option \"--reason\" is missing"},
		{"repo yank repo", "what to withdraw"},
		{"repo yank repo a b c --reason x", "a package and one version"},
		{"repo yank repo " PATH " --undo --reason x", "takes neither"},
		{"repo yank repo " PATH " --platform pg15-linux-amd64 --reason x", "\"--platform\" goes with"},
		{"repo yank repo --all-roles abc --reason x", "\"abc\" is not a SHA-256 digest"},
	};
	static const char *const unknown[] = {
		"repo yank repo demo 9.9 --reason x",
		"repo yank repo other 1.0 --reason x",
		"repo yank repo demo 1.0 --platform pg16-linux-amd64 --reason x",
		"repo yank repo demo 1.0 --platform pg15 --reason x",
		"repo yank repo withdrawn.json --reason x",
	};
	char	   *before;
	char	   *after;

	publish_two();
	before = repo_picture();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		repo_expect(2, cases[i][1], cases[i][0]);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		repo_expect(1, "the repository has no such build", unknown[i]);
	repo_expect(1, "\"reason\" has a control character in it", "repo yank repo demo 1.0 --reason a\033b");
	repo_expect(1, "the reason is not UTF-8", "repo yank repo demo 1.0 --reason a\xff");
	repo_expect(1, "\"advisory\" has a control character", "repo yank repo demo 1.0 --reason a --advisory a\001");
	after = repo_picture();
	assert_string_equal(before, after);
	free(before);
	free(after);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mark_and_take_back, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(pending_build, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(list_for_all_roles, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(refused, repo_set_up, repo_tear_down),
	};

	return cmocka_run_group_tests_name("repo yank", tests, NULL, NULL);
}
