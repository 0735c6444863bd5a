/*-------------------------------------------------------------------------
 *
 * test_agent_package.c
 *	  The check agent: checking and unpacking a package, verifying served files.
 *
 * What is right and wrong with an archive is tested with its reader; here it
 * is what surrounds it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "agent_depot.h"

/*----- package ------------------------------------------------------------------------*/

/* The command must fail, and leave nothing unpacked. */
static void
assert_refused(Depot *depot, json_t *command, const char *code, const char *words)
{
	assert_error_line(run_command(depot, command, NULL), code, words);
	assert_int_equal(scratch_mode(depot->job_fd, "tree"), 0);
}

static void
test_package(void **state)
{
	Depot		depot;
	json_t	   *line;

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	/* twice: what an earlier try left is in nobody's way */
	for (int i = 0; i < 2; i++)
	{
		line = run_command(&depot, package_command(&depot), NULL);
		assert_line_type(line, "done");
		assert_string_equal(agent_string(line, "package"), "hll");
		assert_string_equal(agent_string(line, "version"), "2.17");
		assert_string_equal(agent_string(line, "manifest_sha256"), depot.manifest_sha256);
		assert_int_equal(json_integer_value(json_object_get(line, "files")), 4);
		json_decref(line);
	}
	assert_true(scratch_has(depot.job_fd, "tree/lib/hll.so", LIBRARY));
	assert_true(scratch_has(depot.job_fd, "tree/share/extension/hll.control", CONTROL));
	assert_true(scratch_has(depot.job_fd, "tree/licenses/hll/copyright", LICENSE));
	assert_true(scratch_mode(depot.job_fd, "tree/share/depot/hll.json") == (S_IFREG | 0644));
	depot_close(&depot);
}

static void
test_package_other_bytes(void **state)
{
	Depot		depot;
	json_t	   *command;
	int			fd;

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	fd = openat(depot.job_fd, "package", O_WRONLY);
	assert_int_equal(pwrite(fd, "x", 1, 100), 1);
	assert_refused(&depot, package_command(&depot), "digest_mismatch", "sha256");
	assert_int_equal(lseek(fd, 0, SEEK_END) > 0, 1);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_refused(&depot, package_command(&depot), "digest_mismatch", "bytes");
	close(fd);
	assert_int_equal(unlinkat(depot.job_fd, "package", 0), 0);
	assert_refused(&depot, package_command(&depot), "file_missing", "package");
	assert_int_equal(mkfifoat(depot.job_fd, "package", 0600), 0);
	assert_refused(&depot, package_command(&depot), "io", "package");

	command = package_command(&depot);
	json_object_set_new(command, "sha256",
						json_string("0000000000000000000000000000000000000000000000000000000000000000"));
	assert_refused(&depot, command, "metadata_mismatch", "another build");
	command = package_command(&depot);
	json_object_set_new(command, "target", json_string("pg15/linux-amd64/hll/2.18/hll-2.18.tar.zst"));
	assert_refused(&depot, command, "target_unknown", "hll-2.18");
	depot_close(&depot);
}

static void
test_package_other_server(void **state)
{
	static const struct
	{
		const char *member;
		const char *text;
		int			number;
		const char *words;
	}			cases[] = {
		{"major", NULL, 16, "postgresql 16"},
		{"minor", NULL, 2, "15.3 or later"},
		{"os", "freebsd", 0, "freebsd-amd64"},
		{"arch", "arm64", 0, "linux-arm64"},
		{"libc", "musl", 0, "musl"},
		{"libc_version", "2.31", 0, "2.34 or later"},
	};
	Depot		depot;

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		json_t	   *command = package_command(&depot);

		json_object_set_new(json_object_get(command, "server"), cases[i].member,
							cases[i].text != NULL ? json_string(cases[i].text) :
							json_integer(cases[i].number));
		assert_refused(&depot, command, "unsupported", cases[i].words);
	}
	depot_close(&depot);
}

static void
test_package_limits(void **state)
{
	Depot		depot;
	json_t	   *command;

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	command = package_command(&depot);
	json_object_set_new(command, "max_package_bytes", json_integer(10));
	assert_refused(&depot, command, "too_large", "10 are allowed");
	command = package_command(&depot);
	json_object_set_new(command, "max_unpacked_bytes", json_integer(10));
	assert_refused(&depot, command, "archive_limit", "");
	depot_close(&depot);
}

static void
test_package_expired(void **state)
{
	Depot		depot;
	json_t	   *command;
	json_t	   *line;

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	command = package_command(&depot);
	json_object_set_new(command, "reference_time", json_integer(1830000000));
	assert_refused(&depot, command, "metadata_expired", "");
	/* what was fresh when it was recorded may be unpacked at any later time */
	command = package_command(&depot);
	json_object_set_new(command, "reference_time", json_integer(1830000000));
	json_object_set_new(command, "check_expiry", json_false());
	line = run_command(&depot, command, NULL);
	assert_line_type(line, "done");
	json_decref(line);
	depot_close(&depot);
}

static void
describe_as_newer_build(json_t *custom)
{
	json_object_set_new(custom, "summary", json_string("something else"));
}

static void
describe_other_manifest(json_t *custom)
{
	json_object_set_new(custom, "manifest_sha256",
						json_string("0000000000000000000000000000000000000000000000000000000000000000"));
}

static void
describe_more_than_there_is(json_t *custom)
{
	json_t	   *extensions = json_object_get(custom, "extensions");

	json_object_set_new(json_array_get(extensions, 0), "trusted", json_true());
}

/* What resolving was told must be what is unpacked. */
static void
test_package_described_otherwise(void **state)
{
	static const struct
	{
		void		(*alter) (json_t *custom);
		const char *code;
		const char *words;
	}			cases[] = {
		{describe_as_newer_build, "manifest", "\"summary\""},
		{describe_more_than_there_is, "manifest", "\"extensions\""},
		{describe_other_manifest, "digest_mismatch", "manifest"},
	};
	Depot		depot;

	(void) state;
	depot_open(&depot);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		publish_package(&depot, cases[i].alter);
		publish_again(&depot);
		refresh(&depot);
		assert_refused(&depot, package_command(&depot), cases[i].code, cases[i].words);
	}
	depot_close(&depot);
}

/* The control file is read last, so this one is unpacked first and must be gone again. */
static void
test_package_bad_control_file(void **state)
{
	Depot		depot;

	(void) state;
	depot_open(&depot);
	assert_true(scratch_write(depot.tree.fd, "share/extension/hll.control", CONTROL "directory = '/etc'\n"));
	publish_package(&depot, NULL);
	publish_again(&depot);
	refresh(&depot);
	assert_refused(&depot, package_command(&depot), "control_file", "directory");
	depot_close(&depot);
}

/* A refresh replaces metadata file by file; nobody reads in between. */
static void
test_package_waits_for_refresh(void **state)
{
	Depot		depot;
	json_t	   *line;
	struct pollfd poll_fd = {.events = POLLIN};
	int			metadata_fd;

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	metadata_fd = openat(depot.root.fd, "var/metadata/main", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(metadata_fd, LOCK_EX | LOCK_NB), 0);
	agent_send(&depot.agent, package_command(&depot));
	poll_fd.fd = depot.agent.fd;
	assert_int_equal(poll(&poll_fd, 1, 300), 0);
	close(metadata_fd);
	line = agent_result(&depot.agent);
	assert_line_type(line, "done");
	json_decref(line);
	depot_close(&depot);
}

static void
assert_checks(Depot *depot)
{
	json_t	   *line = run_command(depot, package_command(depot), NULL);

	assert_line_type(line, "done");
	json_decref(line);
}

/* Gives the role that lists the package these names, and refreshes. */
static void
bind_names(Depot *depot, const char *first, const char *second)
{
	const json_t *delegations = json_object_get(depot->fixture.targets, "delegations");

	json_object_set_new(json_array_get(json_object_get(delegations, "roles"), 0), "pg_depot",
						json_pack("{s:[s, s]}", "provides", first, second));
	publish_again(depot);
	refresh(depot);
}

/* What its role may not provide is not unpacked, whatever the leader asks for. */
static void
test_package_names_not_given(void **state)
{
	Depot		depot;

	(void) state;
	depot_open(&depot);
	bind_names(&depot, "other", "hlll");
	assert_refused(&depot, package_command(&depot), "not_allowed",
				   "it provides package \"hll\", which role \"" FIXTURE_ROLE "\" was not given");
	bind_names(&depot, "hll", "other");
	assert_checks(&depot);
	depot_close(&depot);
}

/* Killed on the way, the next agent begins anew. */
static void
test_package_test_points(void **state)
{
	Scratch		points = scratch_make();
	Depot		depot;
	json_t	   *line;

	(void) state;
	agent_test_points = points.path;
	depot_open(&depot);
	refresh(&depot);
	assert_killed_at(&depot.agent, "check_verified", package_command(&depot));
	assert_int_equal(scratch_mode(depot.job_fd, "tree"), 0);
	depot_start_agent(&depot);
	assert_killed_at(&depot.agent, "check_unpacked", package_command(&depot));
	assert_true(scratch_has(depot.job_fd, "tree/lib/hll.so", LIBRARY));
	depot_start_agent(&depot);
	line = run_command(&depot, package_command(&depot), NULL);
	assert_line_type(line, "done");
	json_decref(line);
	agent_test_points = NULL;
	depot_close(&depot);
	scratch_remove(&points);
}

/*----- verify_files -----------------------------------------------------------------------*/

static json_t *
verify_command(const Depot *depot)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "command", "verify_files", "share", "usr/share/x", "lib",
					 "usr/lib/x",
					 "package", "hll", "manifest_sha256", depot->manifest_sha256);
}

/* Unpacks and serves the package, as activating does. */
static void
serve_package(Depot *depot)
{
	static const char *const moves[][2] = {
		{"tree/lib", "usr/lib/x"}, {"tree/share", "usr/share/x"}, {"tree/licenses", "licenses"}
	};
	DepotError	error;
	json_t	   *line;

	refresh(depot);
	line = run_command(depot, package_command(depot), NULL);
	assert_line_type(line, "done");
	json_decref(line);
	assert_true(depot_files_make_directories(depot->root.fd, "usr/share", 0700, false, &error));
	assert_true(depot_files_make_directories(depot->root.fd, "usr/lib", 0700, false, &error));
	for (int i = 0; i < 3; i++)
		assert_int_equal(renameat(depot->job_fd, moves[i][0], depot->root.fd, moves[i][1]), 0);
}

/* Runs verify_files, which must find exactly one problem. */
static void
assert_problem(Depot *depot, const char *path, const char *problem)
{
	json_t	   *lines = json_array();
	json_t	   *line = run_command(depot, verify_command(depot), lines);

	assert_line_type(line, "done");
	assert_int_equal(json_integer_value(json_object_get(line, "problems")), 1);
	assert_int_equal(json_array_size(lines), 1);
	assert_string_equal(agent_string(json_array_get(lines, 0), "path"), path);
	assert_string_equal(agent_string(json_array_get(lines, 0), "problem"), problem);
	json_decref(line);
	json_decref(lines);
}

static void
assert_no_problem(Depot *depot)
{
	json_t	   *lines = json_array();
	json_t	   *line = run_command(depot, verify_command(depot), lines);

	assert_line_type(line, "done");
	assert_int_equal(json_integer_value(json_object_get(line, "files")), 5);
	assert_int_equal(json_integer_value(json_object_get(line, "problems")), 0);
	assert_int_equal(json_array_size(lines), 0);
	json_decref(line);
	json_decref(lines);
}

static void
test_verify_files(void **state)
{
	const char *library = "usr/lib/x/hll.so";
	const char *manifest = "usr/share/x/depot/hll.json";
	const char *license = "licenses/hll/copyright";
	Depot		depot;
	int			root;

	(void) state;
	depot_open(&depot);
	serve_package(&depot);
	root = depot.root.fd;
	assert_no_problem(&depot);

	assert_int_equal(fchmodat(root, library, 0755, 0), 0);
	assert_problem(&depot, library, "wrong mode");
	assert_int_equal(fchmodat(root, library, 0644, 0), 0);
	assert_true(scratch_write(root, library, "not really an ELF filf"));
	assert_problem(&depot, library, "changed");
	assert_true(scratch_write(root, library, "longer than it was before"));
	assert_problem(&depot, library, "wrong size");
	assert_int_equal(unlinkat(root, library, 0), 0);
	assert_problem(&depot, library, "missing");
	assert_int_equal(symlinkat("/etc/passwd", root, library), 0);
	assert_problem(&depot, library, "not a regular file");
	assert_int_equal(unlinkat(root, library, 0), 0);
	assert_true(scratch_write(root, library, LIBRARY));
	assert_no_problem(&depot);

	/* a directory that leads elsewhere: what was below it is gone */
	assert_int_equal(renameat(root, "licenses/hll", root, "elsewhere"), 0);
	assert_int_equal(symlinkat("../elsewhere", root, "licenses/hll"), 0);
	assert_problem(&depot, license, "missing");
	assert_int_equal(unlinkat(root, "licenses/hll", 0), 0);
	assert_int_equal(renameat(root, "elsewhere", root, "licenses/hll"), 0);

	assert_int_equal(fchmodat(root, manifest, 0600, 0), 0);
	assert_problem(&depot, manifest, "wrong mode");
	assert_true(scratch_write(root, manifest, "{}"));
	assert_problem(&depot, manifest, "changed");
	assert_int_equal(unlinkat(root, manifest, 0), 0);
	assert_problem(&depot, manifest, "missing");
	depot_close(&depot);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_package),
		cmocka_unit_test(test_package_other_bytes),
		cmocka_unit_test(test_package_other_server),
		cmocka_unit_test(test_package_limits),
		cmocka_unit_test(test_package_expired),
		cmocka_unit_test(test_package_described_otherwise),
		cmocka_unit_test(test_package_bad_control_file),
		cmocka_unit_test(test_package_waits_for_refresh),
		cmocka_unit_test(test_package_names_not_given),
		cmocka_unit_test(test_package_test_points),
		cmocka_unit_test(test_verify_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
