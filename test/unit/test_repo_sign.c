/*-------------------------------------------------------------------------
 *
 * test_repo_sign.c
 *	  Several machines sign, keys change, a job refreshes: what is published
 *	  then, a client of ours accepts; what is wrong, altered, out of date or
 *	  dies half-way changes nothing.
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

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "repo_fixture.h"

#define INIT_TWO "repo init repo --root-key root --root-key root2 --root-key root3 --root-threshold 2 " \
	"--targets-key targets --targets-key targets2 --targets-threshold 2 --snapshot-key snapshot " \
	"--timestamp-key timestamp"
#define ONLINE " --key snapshot --key timestamp"

static int
set_up(void **state)
{
	if (repo_set_up(state) != 0)
		return -1;
	repo_make_key("root2", NULL);
	repo_make_key("root3", NULL);
	repo_make_key("root4", NULL);
	repo_make_key("targets2", NULL);
	repo_make_key("timestamp2", NULL);
	return 0;
}

/* Runs a command that must fail, and compares the whole repository before and after. */
static void
expect_refused(int expected, const char *words, const char *command_line)
{
	char	   *before = repo_picture();
	char	   *after;

	repo_expect(expected, words, command_line);
	after = repo_picture();
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void
copy_file(const char *from, const char *to)
{
	DepotError	error;
	DepotBuffer text;

	depot_buffer_init(&text);
	assert_true(depot_files_read(scratch.fd, from, 1 << 20, &text, &error));
	assert_true(scratch_write(scratch.fd, to, text.data));
	depot_buffer_free(&text);
}

/* The signing request in file, new reference. */
static json_t *
read_request(const char *file)
{
	char		path[PATH_MAX];
	json_t	   *request;

	snprintf(path, sizeof(path), "%s/%s", scratch.path, file);
	request = json_load_file(path, 0, NULL);
	assert_non_null(request);
	return request;
}

static void
write_request(const char *file, json_t *request)
{
	char	   *text = json_dumps(request, 0);

	assert_true(scratch_write(scratch.fd, file, text));
	free(text);
	json_decref(request);
}

static json_t *
next_of(json_t *request, const char *role)
{
	return json_object_get(json_object_get(request, "next"), role);
}

static void
two_machines_sign(void **state)
{
	repo_expect(0, "", INIT_TWO);
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(3, "\"targets\" needs 2 of these keys, 1 signed", "repo publish repo --key targets" ONLINE);
	repo_expect(0, "waits for signatures", "repo status repo");
	assert_int_equal(repo_client("trust"), 0);
	copy_file("repo/signing.json", "copy.json");

	/* The copy shows what will be signed, and changes only with a key. */
	repo_expect(0, "+ pg15/linux-amd64/demo/1.0/demo-1.0.tar.zst", "repo sign copy.json");
	assert_non_null(strstr(output, "pg15-linux-amd64: version 0 -> 1, expires"));
	assert_non_null(strstr(output, "targets: version 1 -> 2, expires"));
	assert_non_null(strstr(output, "delegates to pg15-linux-amd64, which it did not before"));
	repo_expect(0, "more signatures are needed", "repo sign copy.json");
	repo_expect(1, "none of the given keys can add a signature", "repo sign copy.json --key stranger");
	repo_expect(1, "none of the given keys can add a signature", "repo sign copy.json --key targets");
	repo_expect(0, "all signatures are there", "repo sign copy.json --key targets2");

	/* What is added meanwhile waits for the next publish. */
	repo_make_package("1.1", "SELECT 2;");
	repo_expect(0, "", "repo add repo out/demo-1.1.tar.zst");
	expect_refused(3, "1 signed", "repo publish repo --key stranger");
	repo_expect(0, "merged 2 new signatures", "repo sign repo --merge copy.json");
	repo_expect(0, "merged 0 new signatures", "repo sign repo --merge copy.json");
	repo_expect(0, "published 1 new package\n", "repo publish repo" ONLINE);
	assert_non_null(strstr(output, "1 added since"));
	assert_false(depot_files_exists(scratch.fd, "repo/signing.json"));
	assert_int_equal(repo_client("trust"), 1);
	repo_expect(0, "nothing waits", "repo sign repo");
	repo_expect(1, "nothing to sign", "repo sign repo --key targets2");
	repo_expect(0, "published 1 new", "repo publish repo --key targets --key targets2" ONLINE);
	assert_int_equal(repo_client("trust"), 2);
	repo_expect(0, "0 faults", "repo verify repo");
}

/* Whatever somebody does to a request on its way, it is not merged, nor signed beside other signatures. */
static void
altered_requests_are_refused(void **state)
{
	json_t	   *request;
	json_t	   *signature;

	repo_expect(0, "", INIT_TWO);
	repo_expect(3, "\"targets\" needs 2", "repo publish repo --renew targets --key targets" ONLINE);
	copy_file("repo/signing.json", "copy.json");
	repo_expect(0, "signed targets", "repo sign copy.json --key targets2");
	copy_file("copy.json", "signed.json");

	request = read_request("signed.json");
	json_object_set_new(json_object_get(next_of(request, "targets"), "signed"), "expires",
						json_string("2099-01-01T00:00:00Z"));
	write_request("copy.json", request);
	repo_expect(1, "is not of what stands there", "repo sign copy.json");
	expect_refused(1, "it asks to sign another targets", "repo sign repo --merge copy.json");

	/* Without the signatures it made, an altered request looks like one, and asks for something else. */
	request = read_request("signed.json");
	json_object_set_new(json_object_get(next_of(request, "targets"), "signed"), "x", json_string("\033[2J"));
	json_array_clear(json_object_get(next_of(request, "targets"), "signatures"));
	write_request("copy.json", request);
	repo_expect(0, "x: nothing -> \"\\u001B[2J\"", "repo sign copy.json --key targets2");
	expect_refused(1, "it asks to sign another targets", "repo sign repo --merge copy.json");

	request = read_request("signed.json");
	signature = json_array_get(json_object_get(next_of(request, "targets"), "signatures"), 1);
	json_object_set(signature, "sig", json_object_get(json_array_get(json_object_get(next_of(request, "targets"),
																					 "signatures"), 0), "sig"));
	write_request("copy.json", request);
	expect_refused(1, "is not of what stands there", "repo sign repo --merge copy.json");

	request = read_request("signed.json");
	json_object_set_new(json_object_get(request, "next"), "timestamp", json_object());
	write_request("copy.json", request);
	repo_expect(1, "a role that targets does not delegate to", "repo sign copy.json");
	assert_true(scratch_write(scratch.fd, "copy.json", "{\"format\": 7}"));
	expect_refused(1, "format 7", "repo sign repo --merge copy.json");
	assert_true(scratch_write(scratch.fd, "copy.json", "no JSON"));
	expect_refused(1, "signing request", "repo sign repo --merge copy.json");
	expect_refused(1, "could not open", "repo sign repo --merge absent");
	expect_refused(2, "one at a time", "repo sign repo --merge signed.json --key targets");

	/* Nor is the published state that it shows changes against anybody's invention. */
	request = read_request("signed.json");
	json_object_set_new(json_object_get(json_object_get(json_object_get(request, "published"), "targets"), "signed"),
						"x", json_integer(1));
	write_request("copy.json", request);
	repo_expect(1, "what it calls the published targets is not signed", "repo sign copy.json --key targets2");
	request = read_request("signed.json");
	json_object_del(json_object_get(request, "published"), "root");
	write_request("copy.json", request);
	repo_expect(1, "it does not hold the published root", "repo sign copy.json --key targets2");

	/* A damaged one can be given up. */
	assert_true(scratch_write(scratch.fd, "repo/signing.json", "no JSON"));
	expect_refused(1, "signing.json", "repo publish repo --key targets --key targets2" ONLINE);
	repo_expect(0, "given up", "repo sign repo --discard");
	repo_expect(0, "published 0", "repo publish repo --key targets --key targets2" ONLINE);
	assert_int_equal(repo_client("trust"), 0);
}

/* What was made from a version that is not the published one any more is not published over it. */
static void
outdated_requests_are_refused(void **state)
{
	repo_expect(0, "", INIT_TWO);
	repo_expect(3, "", "repo publish repo --renew targets --key targets" ONLINE);
	copy_file("repo/signing.json", "old.json");
	repo_expect(0, "", "repo sign repo --discard");
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(0, "targets                  version 2", "repo publish repo --key targets --key targets2" ONLINE);
	copy_file("old.json", "repo/signing.json");
	expect_refused(1, "version 2 of targets was made from another version than the published 2",
				   "repo publish repo --key targets --key targets2" ONLINE);
	expect_refused(1, "was made from another version", "repo sign repo --key targets2");
	expect_refused(1, "was made from another version", "repo rotate repo root --add root4.pub");
	/* The job goes on, as it looks at nothing else. */
	repo_expect(0, "timestamp renewed", "repo refresh repo --force" ONLINE);
	assert_int_equal(repo_client("trust"), 1);
	repo_expect(0, "given up", "repo sign repo --discard");
	repo_expect(0, "published 0", "repo publish repo --key timestamp");
}

static void
root_is_signed_by_old_and_new(void **state)
{
	repo_expect(0, "", INIT_TWO);
	assert_int_equal(repo_client("trust"), 0);
	expect_refused(0, "root: version 1 -> 2", "repo rotate repo root --add root4.pub --remove root.pub --dry-run");
	assert_non_null(strstr(output, "needs 2 of the old keys:"));
	assert_non_null(strstr(output, "needs 2 of the new keys:"));

	/* Two old keys, of which one stays: the new threshold lacks one; and the other way round. */
	repo_expect(3, "needs 2 of these new keys, 1 signed",
				"repo rotate repo root --add root4.pub --remove root.pub --key root --key root2");
	assert_null(strstr(output, "of these old keys,"));
	repo_expect(0, "", "repo sign repo --discard");
	repo_expect(3, "needs 2 of these old keys, 1 signed",
				"repo rotate repo root --add root4.pub --remove root.pub --key root4 --key root2");
	assert_null(strstr(output, "of these new keys,"));
	expect_refused(3, "needs 2 of these old keys, 1 signed", "repo publish repo --key stranger");
	assert_false(depot_files_exists(scratch.fd, "repo/metadata/2.root.json"));
	repo_expect(0, "signed root", "repo sign repo --key root3");
	repo_expect(0, "root                     version 2", "repo publish repo");
	assert_int_equal(repo_client("trust"), 0);
	assert_true(depot_files_exists(scratch.fd, "repo/metadata/1.root.json"));
	assert_true(depot_files_exists(scratch.fd, "trust/root.json"));
	repo_expect(0, "0 faults", "repo verify repo");
}

static void
rotations_that_cannot_be(void **state)
{
	repo_expect(0, "", INIT_TWO);
	expect_refused(1, "role \"timestamp\" would need 1 signature, but have 0 keys",
				   "repo rotate repo timestamp --remove timestamp.pub");
	expect_refused(1, "role \"targets\" would need 2 signatures, but have 1 key",
				   "repo rotate repo targets --remove targets.pub");
	expect_refused(1, "would need 4 signatures", "repo rotate repo root --threshold 4");
	expect_refused(1, "no role \"frobnicate\"", "repo rotate repo frobnicate --threshold 1");
	expect_refused(1, "is not a key of role \"root\"", "repo rotate repo root --remove stranger.pub");
	expect_refused(1, "is a key of role \"root\" already", "repo rotate repo root --add root2.pub");
	expect_refused(1, "--remove takes a keyid", "repo rotate repo root --remove absent");
	expect_refused(1, "could not open key file", "repo rotate repo root --add absent");
	expect_refused(2, "nothing to change", "repo rotate repo root");
	expect_refused(2, "a directory and a role", "repo rotate repo --threshold 1");
	expect_refused(2, "--threshold", "repo rotate repo root --threshold 0");
	expect_refused(1, "no role \"frobnicate\"", "repo publish repo --renew frobnicate");
}

/* Two roles change in one root; the roles of platforms follow targets. */
static void
rotations_add_up(void **state)
{
	repo_expect(0, "", REPO_INIT);
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(0, "", REPO_PUBLISH);
	assert_int_equal(repo_client("trust"), 1);
	repo_expect(3, "servers: forget the trusted timestamp",
				"repo rotate repo timestamp --add timestamp2.pub --remove timestamp.pub --key root");
	repo_expect(3, "pg15-linux-amd64: version 1 -> 2",
				"repo rotate repo targets --add targets2.pub --remove targets.pub --key root --key targets2");
	assert_non_null(strstr(output, "root: version 1 -> 2"));
	expect_refused(0, "all signatures are there", "repo sign repo");
	repo_expect(0, "timestamp                version", "repo publish repo --key snapshot --key timestamp2");
	assert_non_null(strstr(output, "root                     version 2"));
	assert_int_equal(repo_client("trust"), 1);
	assert_int_equal(repo_client("new-trust"), 1);
	repo_expect(0, "0 faults", "repo verify repo");
	repo_expect(0, "is not a key of this repository", "repo publish repo --key timestamp2 --key targets");
	repo_expect(1, "keys are missing for role \"timestamp\"", "repo refresh repo --force" ONLINE);

	/* A key that is removed here may be one elsewhere. */
	repo_expect(0, "root                     version 3",
				"repo rotate repo timestamp --add snapshot.pub --key root --key timestamp2");
	repo_expect(0, "is still a key of role \"timestamp\"",
				"repo rotate repo snapshot --add timestamp2.pub --remove snapshot.pub --key root --key timestamp2");
	assert_int_equal(repo_client("trust"), 1);
}

/* A platform may have keys of its own, and then does not follow targets any more. */
static void
delegated_roles_rotate(void **state)
{
	repo_expect(0, "", REPO_INIT);
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(0, "", REPO_PUBLISH);
	expect_refused(0, "targets: version 2 -> 3",
				   "repo rotate repo pg15-linux-amd64 --add targets2.pub --remove targets.pub --dry-run");
	assert_null(strstr(output, "root: version"));
	repo_expect(0, "pg15-linux-amd64         version 2", "repo rotate repo pg15-linux-amd64 --add targets2.pub "
				"--remove targets.pub --key targets --key targets2" ONLINE);
	assert_int_equal(repo_client("trust"), 1);
	repo_expect(0, "targets                  version 4",
				"repo rotate repo targets --add root2.pub --remove targets.pub --key root --key root2" ONLINE);
	assert_null(strstr(output, "pg15-linux-amd64"));
	assert_int_equal(repo_client("trust"), 1);
	repo_make_package("1.1", "SELECT 2;");
	repo_expect(0, "", "repo add repo out/demo-1.1.tar.zst");
	repo_expect(0, "published 1 new package\n", "repo publish repo --key targets2" ONLINE);
	assert_int_equal(repo_client("trust"), 2);
	repo_expect(0, "0 faults", "repo verify repo");
}

static void
set_stop(const char *point)
{
	char		path[PATH_MAX];

	(void) mkdirat(scratch.fd, "points", 0700);
	snprintf(path, sizeof(path), "points/%s", point);
	assert_true(scratch_write(scratch.fd, path, ""));
	snprintf(path, sizeof(path), "%s/points", scratch.path);
	assert_int_equal(setenv(DEPOT_TEST_POINTS_VARIABLE, path, 1), 0);
}

/* Killed after each step of a rotation that touches every role: the online keys are enough to end it. */
static void
killed_rotation(const char *point, int visible_root)
{
	repo_expect(0, "", REPO_INIT);
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(0, "", REPO_PUBLISH);
	assert_int_equal(repo_client("trust"), 1);
	repo_expect(3, "", "repo rotate repo timestamp --add timestamp2.pub --remove timestamp.pub");
	repo_expect(3, "", "repo rotate repo targets --add targets2.pub --remove targets.pub --key root --key targets2");
	set_stop(point);
	repo_expect(-SIGKILL, "", "repo publish repo --key snapshot --key timestamp2");
	assert_int_equal(depot_files_exists(scratch.fd, "repo/metadata/2.root.json"), visible_root == 2);
	if (visible_root == 1)
		assert_int_equal(repo_client("trust"), 1);
	assert_true(depot_files_exists(scratch.fd, "repo/signing.json"));
	(void) repo_run("repo status repo");
	assert_non_null(strstr(output, "waits for signatures"));
	repo_expect(0, "published 0 new", "repo publish repo --key snapshot --key timestamp2");
	assert_false(depot_files_exists(scratch.fd, "repo/signing.json"));
	assert_int_equal(repo_client("trust"), 1);
	assert_int_equal(repo_client("new-trust"), 1);
	repo_expect(0, "0 faults", "repo verify repo");
}

static void
killed_after_targets(void **state)
{
	killed_rotation("publish_targets", 1);
}

static void
killed_after_snapshot(void **state)
{
	killed_rotation("publish_snapshot", 1);
}

static void
killed_after_root(void **state)
{
	killed_rotation("publish_root", 2);
}

static void
killed_after_timestamp(void **state)
{
	killed_rotation("publish_timestamp", 2);
}

static void
refresh_for_cron(void **state)
{
	repo_expect(0, "", REPO_INIT);
	expect_refused(0, "timestamp not due: version 1", "repo refresh repo" ONLINE);
	expect_refused(1, "keys are missing for role \"snapshot\"", "repo refresh repo --force --key timestamp");
	expect_refused(2, "--key", "repo refresh repo");
	expect_refused(1, "could not open key file", "repo refresh repo --key absent");
	repo_expect(0, "timestamp renewed: version 2", "repo refresh repo --force" ONLINE);
	assert_non_null(strstr(output, "snapshot renewed: version 2"));
	assert_int_equal(repo_client("trust"), 0);
	/* One line, whatever there is to say; here the day that is left of a lifetime of five. */
	assert_true(scratch_write(scratch.fd, "repo/repository.json", "{\"format\": 1, \"root_days\": 3650, "
							  "\"targets_days\": 180, \"snapshot_days\": 7, \"timestamp_days\": 5}"));
	repo_expect(3, "timestamp renewed: version 3", "repo refresh repo --key timestamp");
	assert_non_null(strstr(output, "; attention: root\n"));
	assert_ptr_equal(strchr(output, '\n'), output + strlen(output) - 1);
	assert_int_equal(repo_client("trust"), 0);
}

/* 20 % of a lifetime, or 14 days where it is 28 days or longer. */
static void
status_warns_in_time(void **state)
{
	repo_expect(0, "", REPO_INIT " --root-days 27 --targets-days 28");
	repo_expect(0, "threshold", "repo status repo");
	repo_expect(0, "", "repo init other --root-key root --targets-key targets --snapshot-key snapshot "
				"--timestamp-key timestamp --root-days 13 --targets-days 13");
	repo_expect(0, "threshold", "repo status other");
	assert_true(scratch_write(scratch.fd, "other/repository.json", "{\"format\": 1, \"root_days\": 27, "
							  "\"targets_days\": 28, \"snapshot_days\": 7, \"timestamp_days\": 1}"));
	repo_expect(3, "attention: role \"targets\" expires in 1", "repo status other");
	assert_null(strstr(output, "role \"root\""));
	repo_expect(3, "\"days_left\": 1", "repo status other --json");
	assert_true(scratch_write(scratch.fd, "other/repository.json", "{\"format\": 1, \"root_days\": 365, "
							  "\"targets_days\": 13, \"snapshot_days\": 7, \"timestamp_days\": 1}"));
	repo_expect(3, "attention: role \"root\" expires in 1", "repo status other");
	assert_null(strstr(output, "role \"targets\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_machines_sign, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(altered_requests_are_refused, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(outdated_requests_are_refused, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(root_is_signed_by_old_and_new, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(rotations_that_cannot_be, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(rotations_add_up, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(delegated_roles_rotate, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(killed_after_targets, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(killed_after_snapshot, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(killed_after_root, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(killed_after_timestamp, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(refresh_for_cron, set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(status_warns_in_time, set_up, repo_tear_down),
	};

	return cmocka_run_group_tests_name("repo_sign", tests, NULL, NULL);
}
