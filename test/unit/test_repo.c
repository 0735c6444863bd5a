/*-------------------------------------------------------------------------
 *
 * test_repo.c
 *	  The publisher from end to end: what it publishes, a client of ours
 *	  accepts; what fails or dies half-way, leaves the repository as it was.
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
publish_and_refresh(void **state)
{
	repo_expect(0, "sha256", REPO_INIT);
	assert_int_equal(scratch_mode(scratch.fd, "repo/metadata/1.root.json") & 0777, 0644);
	assert_int_equal(repo_client("trust"), 0);

	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "added pg15/linux-amd64/demo/1.0/demo-1.0.tar.zst", "repo add repo out/demo-1.0.tar.zst");
	assert_int_equal(repo_client("trust"), 0);
	repo_expect(0, "there already", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(0, "published 1 new package\n", REPO_PUBLISH);
	assert_int_equal(repo_client("trust"), 1);
	assert_int_equal(repo_client("new-trust"), 1);
	repo_expect(0, "there already", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(0, "published 0 new packages", REPO_PUBLISH);

	repo_make_package("1.1", "SELECT 2;");
	repo_make_package("1.2", "SELECT 3;");
	repo_expect(0, "demo-1.2", "repo add repo out/demo-1.1.tar.zst out/demo-1.2.tar.zst");
	repo_expect(0, "published 2 new packages", REPO_PUBLISH);
	assert_int_equal(repo_client("trust"), 3);
}

static bool
check_target(const DepotTufTarget *target, void *context, DepotError *error)
{
	char		path[512];
	char		hex[DEPOT_SHA256_HEX_BYTES];
	uint64_t	size_bytes;

	snprintf(path, sizeof(path), "repo/targets/pg15/linux-amd64/demo/1.0/%s.demo-1.0.tar.zst",
			 target->sha256);
	assert_string_equal(target->path, "pg15/linux-amd64/demo/1.0/demo-1.0.tar.zst");
	assert_true(depot_digest_file(scratch.fd, path, hex, &size_bytes, error));
	assert_string_equal(hex, target->sha256);
	assert_int_equal(size_bytes, target->length_bytes);
	assert_int_equal(scratch_mode(scratch.fd, path) & 0777, 0644);
	assert_string_equal(json_string_value(json_object_get(json_object_get(target->custom, "pg_depot"),
														  "package")), "demo");
	return true;
}

static void
targets_are_where_metadata_says(void **state)
{
	DepotError	error;
	DepotTufClient *client;
	int			fd;

	repo_expect(0, "", REPO_INIT);
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(0, "", REPO_PUBLISH);
	assert_int_equal(repo_client("trust"), 1);
	fd = depot_files_open_directory(scratch.fd, "trust", &error);
	client = depot_tuf_open(fd, NULL, 0, (int64_t) time(NULL), &error);
	assert_non_null(client);
	assert_true(depot_tuf_load_trusted(client, REPO_ROLE, true, &error));
	assert_true(depot_tuf_visit_targets(client, REPO_ROLE, check_target, NULL, &error));
	depot_tuf_close(client);
	close(fd);
}

/* Killed after each step: clients old and new go on, and the next publish ends the work. */
static void
killed_publish(const char *point, int visible)
{
	char		directory[PATH_MAX];

	repo_expect(0, "", REPO_INIT);
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(0, "", REPO_PUBLISH);
	assert_int_equal(repo_client("trust"), 1);
	repo_make_package("1.1", "SELECT 2;");
	repo_expect(0, "", "repo add repo out/demo-1.1.tar.zst");

	assert_int_equal(mkdirat(scratch.fd, "points", 0700), 0);
	snprintf(directory, sizeof(directory), "%s/points", scratch.path);
	assert_int_equal(setenv(DEPOT_TEST_POINTS_VARIABLE, directory, 1), 0);
	snprintf(directory, sizeof(directory), "points/%s", point);
	assert_true(scratch_write(scratch.fd, directory, ""));
	repo_expect(-SIGKILL, "", REPO_PUBLISH);
	assert_int_equal(repo_client("trust"), visible);
	assert_int_equal(repo_client("new-trust"), visible);
	repo_expect(0, "pg15-linux-amd64", "repo status repo");

	repo_expect(0, visible == 2 ? "published 0 new" : "published 1 new", REPO_PUBLISH);
	assert_int_equal(repo_client("trust"), 2);
	assert_int_equal(repo_client("new-trust"), 2);
}

static void
killed_after_targets(void **state)
{
	killed_publish("publish_targets", 1);
}

static void
killed_after_snapshot(void **state)
{
	killed_publish("publish_snapshot", 1);
}

static void
killed_after_timestamp(void **state)
{
	killed_publish("publish_timestamp", 2);
}

static void
missing_keys_are_named(void **state)
{
	repo_expect(0, "", REPO_INIT);
	expect_refused(1, "keys are missing for role \"timestamp\"", "repo publish repo --key targets");
	expect_refused(1, "is a public key", "repo publish repo --key timestamp.pub");
	expect_refused(1, "could not open key file", "repo publish repo --key absent");
	expect_refused(2, "--key", "repo publish repo");
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");

	/* What lacks signatures waits for them; what is published lives on. */
	repo_expect(3, "\"pg15-linux-amd64\" needs 1 of these keys, 0 signed", "repo publish repo --key timestamp");
	assert_non_null(strstr(output, "\"targets\" needs 1 of these keys, 0 signed"));
	assert_non_null(strstr(output, "\"snapshot\" needs 1 of these keys, 0 given"));
	assert_non_null(strstr(output, "timestamp                version 2"));
	assert_int_equal(repo_client("trust"), 0);
	repo_expect(3, "\"snapshot\" needs 1 of these keys, 0 given", "repo publish repo --key targets");
	assert_int_equal(repo_client("trust"), 0);
	repo_expect(0, "published 1 new package\n", "repo publish repo --key snapshot --key timestamp");
	assert_false(depot_files_exists(scratch.fd, "repo/signing.json"));
	assert_int_equal(repo_client("trust"), 1);
	/* Nothing else is due, so the online key is enough once the package is out. */
	repo_expect(0, "published 0 new", "repo publish repo --key timestamp");
	assert_int_equal(repo_client("trust"), 1);
}

static void
foreign_key_is_pointed_out(void **state)
{
	repo_expect(0, "", REPO_INIT);
	repo_expect(0, "is not a key of this repository", "repo publish repo --key timestamp --key stranger");
}

static void
thresholds(void **state)
{
	const char *const init = "repo init repo --root-key root --targets-key targets --targets-key targets2 "
	"--targets-threshold 2 --snapshot-key snapshot --timestamp-key timestamp --passphrase-file "
	"passphrase";

	repo_make_key("targets2", "open sesame");
	assert_true(scratch_write(scratch.fd, "passphrase", "open sesame\n"));
	assert_true(scratch_write(scratch.fd, "wrong", "open barley\n"));
	repo_expect(1, "wrong passphrase", "repo init repo --root-key root --targets-key targets2 "
				"--snapshot-key snapshot --timestamp-key timestamp --passphrase-file wrong");
	repo_expect(1, "needs 2 signatures, but has 1", "repo init repo --root-key root --targets-key targets "
				"--targets-key targets --targets-threshold 2 --snapshot-key snapshot --timestamp-key "
				"timestamp");
	repo_expect(1, "needs 2 signatures", "repo init repo --root-key root --targets-key targets "
				"--targets-key stranger.pub --targets-threshold 2 --snapshot-key snapshot --timestamp-key "
				"timestamp");
	assert_false(depot_files_exists(scratch.fd, "repo/repository.json"));
	repo_expect(0, "", init);
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	repo_expect(3, "\"targets\" needs 2 of these keys, 1 signed", REPO_PUBLISH);
	assert_int_equal(repo_client("trust"), 0);
	repo_expect(0, "published 1", REPO_PUBLISH " --key targets2 --passphrase-file passphrase");
	assert_int_equal(repo_client("trust"), 1);
}

static void
add_refuses(void **state)
{
	DepotError	error;
	char	   *before;
	char	   *after;

	repo_expect(0, "", REPO_INIT);
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	repo_make_package("1.0", "SELECT 2;");
	expect_refused(1, "the repository holds another package as pg15/linux-amd64/demo/1.0",
				   "repo add repo out/demo-1.0.tar.zst");
	repo_expect(0, "", REPO_PUBLISH);
	expect_refused(1, "the repository holds another package", "repo add repo out/demo-1.0.tar.zst");

	assert_true(scratch_write(scratch.fd, "rubbish", "this is no package"));
	expect_refused(1, "\"rubbish\"", "repo add repo rubbish");
	expect_refused(1, "absent", "repo add repo absent");
	expect_refused(1, "not a regular file", "repo add repo out");
	expect_refused(2, "file", "repo add repo");

	/* What came before the bad one in the same command stays. */
	repo_make_package("1.1", "SELECT 3;");
	before = repo_picture();
	repo_expect(1, "\"rubbish\"", "repo add repo out/demo-1.1.tar.zst rubbish");
	after = repo_picture();
	assert_string_not_equal(before, after);
	assert_false(depot_files_exists(scratch.fd, "repo/.incoming"));
	assert_true(depot_files_exists(scratch.fd, "repo/pending.json"));
	free(before);
	free(after);
	repo_expect(0, "published 1 new package", REPO_PUBLISH);
	assert_true(depot_files_remove(scratch.fd, "rubbish", &error));
}

/* Bytes that changed between add and publish are not signed. */
static bool
damage_package(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
			   DepotError *error)
{
	return strstr(path, ".tar.zst") == NULL || scratch_write(directory_fd, path, "altered");
}

static void
altered_package_is_not_signed(void **state)
{
	repo_expect(0, "", REPO_INIT);
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	repo_walk(damage_package, NULL);
	expect_refused(1, "has changed since it was added", REPO_PUBLISH);
	assert_int_equal(repo_client("trust"), 0);
}

static void
damaged_repository(void **state)
{
	repo_expect(1, "could not open repository", "repo status repo");
	repo_expect(0, "", REPO_INIT);
	repo_expect(1, "is not empty", REPO_INIT);
	repo_expect(1, "is not a repository", "repo status repo/metadata");
	repo_expect(1, "there is no directory \"metadata\" in it", "repo verify repo/metadata");
	assert_true(scratch_write(scratch.fd, "repo/metadata/timestamp.json", "{}"));
	expect_refused(1, "timestamp metadata", REPO_PUBLISH);
	repo_expect(1, "timestamp metadata", "repo status repo");
	assert_true(scratch_write(scratch.fd, "repo/pending.json",
							  "{\"format\": 1, \"targets\": [{\"path\": \"../x\"}]}"));
	expect_refused(1, "pending.json", REPO_PUBLISH);
	assert_true(scratch_write(scratch.fd, "repo/repository.json", "{\"format\": 7}"));
	expect_refused(1, "format 7", REPO_PUBLISH);
	repo_expect(2, "unknown command", "repo frobnicate repo");
	repo_expect(2, "--timestamp-key", "repo init other --root-key root");
	repo_expect(2, "--root-days", REPO_INIT " --root-days 0");
}

/* Lifetimes are changed by hand: with a month to live, the day that is left calls for attention. */
static void
status_calls_for_attention(void **state)
{
	json_t	   *document;
	const json_t *role;
	size_t		index;
	int			attention = 0;

	repo_expect(0, "", REPO_INIT);
	repo_expect(0, "threshold", "repo status repo");
	assert_null(strstr(output, "attention"));
	assert_true(scratch_write(scratch.fd, "repo/repository.json", "{\"format\": 1, \"root_days\": 365, "
							  "\"targets_days\": 180, \"snapshot_days\": 7, \"timestamp_days\": 30}"));
	repo_expect(3, "attention: role \"timestamp\" expires in", "repo status repo");
	assert_int_equal(repo_run("repo status repo --json"), 3);
	document = json_loads(output, 0, NULL);
	json_array_foreach(json_object_get(document, "roles"), index, role)
	{
		if (json_is_true(json_object_get(role, "attention")))
		{
			assert_string_equal(json_string_value(json_object_get(role, "name")), "timestamp");
			attention++;
		}
	}
	assert_int_equal(index, 4);
	assert_int_equal(attention, 1);
	json_decref(document);
	repo_expect(0, "timestamp", "repo publish repo --key timestamp");
	repo_expect(0, "threshold", "repo status repo");
}

/* Publishers at the same time take turns. */
static void
publishers_take_turns(void **state)
{
	static const char *const outputs[] = {"output1", "output2", "output3"};
	pid_t		pids[3];

	repo_expect(0, "", REPO_INIT);
	repo_make_package("1.0", "SELECT 1;");
	repo_expect(0, "", "repo add repo out/demo-1.0.tar.zst");
	for (int i = 0; i < 3; i++)
		pids[i] = repo_start(REPO_PUBLISH, outputs[i]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(repo_wait(pids[i], outputs[i]), 0);
	assert_int_equal(repo_client("trust"), 1);
	assert_int_equal(repo_run("repo status repo"), 0);
	assert_non_null(strstr(output, "timestamp                       4"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(publish_and_refresh, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(targets_are_where_metadata_says, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(killed_after_targets, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(killed_after_snapshot, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(killed_after_timestamp, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(missing_keys_are_named, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(foreign_key_is_pointed_out, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(thresholds, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(add_refuses, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(altered_package_is_not_signed, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(damaged_repository, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(status_calls_for_attention, repo_set_up, repo_tear_down),
		cmocka_unit_test_setup_teardown(publishers_take_turns, repo_set_up, repo_tear_down),
	};

	return cmocka_run_group_tests_name("repo", tests, NULL, NULL);
}
