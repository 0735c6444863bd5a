/*-------------------------------------------------------------------------
 *
 * test_agent_evidence.c
 *	  The check agent: what it keeps to prove a package, and packages that are
 *	  proved from that alone.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "agent_depot.h"
#include "common/evidence.h"

#define KEPT_LIST DEPOT_EVIDENCE_DIRECTORY "/" DEPOT_EVIDENCE_LIST

static void
assert_checks(Depot *depot)
{
	json_t	   *line = run_command(depot, package_command(depot), NULL);

	assert_line_type(line, "done");
	json_decref(line);
}

static void
prepare(Depot *depot, const char *target, bool check_expiry, int64_t reference_time)
{
	json_t	   *line;

	agent_send(&depot->agent, json_pack("{s:s, s:s, s:s, s:I, s:b}", "command", "prepare", "repository", "main",
										"target", target, "reference_time", (json_int_t) reference_time,
										"check_expiry", check_expiry));
	line = agent_read(&depot->agent);
	assert_line_type(line, "prepared");
	json_decref(line);
}

static void
move_metadata(const Depot *depot, const char *from, const char *to)
{
	char		old[64];
	char		new[64];

	snprintf(old, sizeof(old), "var/metadata/main/%s", from);
	snprintf(new, sizeof(new), "var/metadata/main/%s", to);
	assert_int_equal(renameat(depot->root.fd, old, depot->root.fd, new), 0);
}

/* What was prepared serves one command, and only that which asks for the same. */
static void
test_prepare(void **state)
{
	Depot		depot;
	json_t	   *command;

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	prepare(&depot, FIXTURE_TARGET, true, FIXTURE_NOW);
	assert_checks(&depot);
	assert_checks(&depot);

	/* Without files that verifying needs and a proof does not: from what was read before, once. */
	prepare(&depot, FIXTURE_TARGET, true, FIXTURE_NOW);
	move_metadata(&depot, "snapshot.json", "away.json");
	assert_checks(&depot);
	assert_error_line(run_command(&depot, package_command(&depot), NULL), "wrong_state", "snapshot");
	move_metadata(&depot, "away.json", "snapshot.json");

	/* With other files than were read: they are read again. */
	prepare(&depot, FIXTURE_TARGET, true, FIXTURE_NOW);
	assert_true(scratch_write(depot.root.fd, "var/metadata/main/targets.json", "{}"));
	assert_error_line(run_command(&depot, package_command(&depot), NULL), "metadata_mismatch", "targets");
	refresh(&depot);

	/* Expired, another target, expiry not asked: each is read anew, or refused as if nothing was prepared. */
	prepare(&depot, FIXTURE_TARGET, false, 1830000000);
	command = package_command(&depot);
	json_object_set_new(command, "reference_time", json_integer(1830000000));
	assert_error_line(run_command(&depot, command, NULL), "metadata_expired", "");
	prepare(&depot, FIXTURE_TARGET, true, 1830000000);
	assert_checks(&depot);
	prepare(&depot, "pg16/linux-amd64/hll/2.17/hll-2.17.tar.zst", true, FIXTURE_NOW);
	assert_checks(&depot);
	prepare(&depot, FIXTURE_TARGET, true, FIXTURE_NOW);
	command = package_command(&depot);
	json_object_set_new(command, "repository", json_string("other"));
	assert_error_line(run_command(&depot, command, NULL), "file_missing", "");
	depot_close(&depot);
}

/*----- evidence ------------------------------------------------------------------------*/

/* Has the package installed where the repository is known, and then forgets all that was known of it. */
static void
keep_and_forget(Depot *depot)
{
	DepotError	error;

	depot_open(depot);
	refresh(depot);
	assert_checks(depot);
	assert_true(depot_files_remove_tree(depot->root.fd, "var/metadata", &error));
}

/* The same package from evidence, with what the rows say of the repository: a file of its root, or a digest. */
static json_t *
evidence_command(const Depot *depot, const char *root_file, const char *root_sha256, bool is_pinned)
{
	json_t	   *command = package_command(depot);

	json_object_update_new(command, json_pack("{s:s, s:s?, s:s?, s:b, s:b}", "evidence", DEPOT_EVIDENCE_DIRECTORY,
											  "initial_root", root_file, "initial_root_sha256", root_sha256,
											  "pinned", (int) is_pinned, "check_expiry", 0));
	return command;
}

static void
assert_proves(Depot *depot, json_t *command)
{
	json_t	   *lines = json_array();
	json_t	   *line = run_command(depot, command, lines);

	assert_line_type(line, "done");
	assert_line_type(json_array_get(lines, 0), "proved");
	json_decref(lines);
	assert_string_equal(agent_string(line, "manifest_sha256"), depot->manifest_sha256);
	json_decref(line);
	assert_true(scratch_has(depot->job_fd, "tree/lib/hll.so", LIBRARY));
}

static void
assert_proves_nothing(Depot *depot, json_t *command, const char *code, const char *words)
{
	DepotError	error;

	assert_true(depot_files_remove_tree(depot->job_fd, "tree", &error));
	assert_error_line(run_command(depot, command, NULL), code, words);
	assert_int_equal(scratch_mode(depot->job_fd, "tree"), 0);
}

static void
test_evidence_is_kept(void **state)
{
	DepotEvidence evidence;
	DepotError	error;
	Depot		depot;
	char		file[64 + DEPOT_EVIDENCE_FILE_BYTES];

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	assert_checks(&depot);
	assert_true(depot_evidence_read(depot.job_fd, KEPT_LIST, &evidence, &error));
	assert_string_equal(evidence.repository, "main");
	assert_string_equal(evidence.sha256, depot.package_sha256);
	assert_int_equal(evidence.root_count, 1);
	assert_int_equal(evidence.document_count, 2);
	snprintf(file, sizeof(file), "var/evidence/%s.json", evidence.documents[0].sha256);
	assert_true(depot_files_make_directories(depot.root.fd, "var/evidence", 0700, false, &error));
	assert_true(scratch_write(depot.root.fd, file, fixture_text(&depot.fixture, "1.targets.json")));

	/* what D/var/evidence has is not kept again */
	assert_checks(&depot);
	snprintf(file, sizeof(file), DEPOT_EVIDENCE_DIRECTORY "/%s.json", evidence.documents[0].sha256);
	assert_int_equal(scratch_mode(depot.job_fd, file), 0);
	snprintf(file, sizeof(file), DEPOT_EVIDENCE_DIRECTORY "/%s.json", evidence.documents[1].sha256);
	assert_int_equal(scratch_mode(depot.job_fd, file), S_IFREG | 0600);
	depot_evidence_free(&evidence);
	depot_close(&depot);
}

/* A server that has never seen the repository: the first root is remembered, once something was proved from it. */
static void
test_first_root(void **state)
{
	Depot		depot;
	Fixture		other;

	(void) state;
	keep_and_forget(&depot);
	fixture_open(&other);
	assert_true(scratch_write(depot.job_fd, "other", other.pin));
	assert_proves_nothing(&depot, evidence_command(&depot, "other", NULL, false), "metadata_threshold", "targets");
	assert_false(depot_files_exists(depot.root.fd, "var/metadata/main"));
	assert_proves_nothing(&depot, evidence_command(&depot, NULL, NULL, false), "root_invalid", "no trusted root");

	assert_proves(&depot, evidence_command(&depot, "root", NULL, false));
	assert_true(scratch_has(depot.root.fd, "var/metadata/main/root_history/1.root.json", depot.fixture.pin));
	/* from now on the rows may say what they like */
	assert_proves(&depot, evidence_command(&depot, "other", NULL, false));
	assert_true(scratch_has(depot.root.fd, "var/metadata/main/root.json", depot.fixture.pin));
	assert_proves(&depot, evidence_command(&depot, NULL, NULL, false));
	/* but not the configuration file */
	assert_proves_nothing(&depot, evidence_command(&depot, "other", NULL, true), "metadata_threshold", "targets");
	fixture_close(&other);
	depot_close(&depot);
}

static void
test_root_by_digest(void **state)
{
	char		sha256[65];
	Depot		depot;

	(void) state;
	keep_and_forget(&depot);
	depot_digest_sha256_hex("", 0, sha256);
	assert_proves_nothing(&depot, evidence_command(&depot, NULL, sha256, false), "root_invalid", "neither on this");
	depot_digest_sha256_hex(depot.fixture.pin, strlen(depot.fixture.pin), sha256);
	assert_proves(&depot, evidence_command(&depot, NULL, sha256, true));
	assert_false(depot_files_exists(depot.root.fd, "var/metadata/main"));
	assert_proves(&depot, evidence_command(&depot, NULL, sha256, false));
	assert_true(scratch_has(depot.root.fd, "var/metadata/main/root_history/1.root.json", depot.fixture.pin));
	depot_close(&depot);
}

/* What the rows name, and the bytes that came with them, are held against what was signed. */
static void
test_evidence_of_other_bytes(void **state)
{
	Depot		depot;
	json_t	   *command;
	DepotError	error;

	(void) state;
	keep_and_forget(&depot);
	command = evidence_command(&depot, "root", NULL, false);
	json_object_set_new(command, "target", json_string("pg15/linux-amd64/hll/2.18/hll-2.18.tar.zst"));
	assert_proves_nothing(&depot, command, "agent", "another target");
	command = evidence_command(&depot, "root", NULL, false);
	json_object_set_new(command, "sha256", json_string("0123456789abcdef0123456789abcdef"
													   "0123456789abcdef0123456789abcdef"));
	assert_proves_nothing(&depot, command, "metadata_mismatch", "another build");
	command = evidence_command(&depot, "root", NULL, false);
	json_object_set_new(command, "evidence", json_string("../evidence"));
	assert_proves_nothing(&depot, command, "agent", "evidence");
	assert_true(scratch_write(depot.job_fd, "package", "other bytes"));
	assert_proves_nothing(&depot, evidence_command(&depot, "root", NULL, false), "digest_mismatch", "bytes");
	assert_true(depot_files_remove(depot.job_fd, KEPT_LIST, &error));
	assert_proves_nothing(&depot, evidence_command(&depot, "root", NULL, false), "file_missing", "list");
	assert_true(scratch_write(depot.job_fd, KEPT_LIST, "{}"));
	assert_proves_nothing(&depot, evidence_command(&depot, "root", NULL, false), "metadata_format", "list");
	depot_close(&depot);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prepare),
		cmocka_unit_test(test_evidence_is_kept),
		cmocka_unit_test(test_first_root),
		cmocka_unit_test(test_root_by_digest),
		cmocka_unit_test(test_evidence_of_other_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
