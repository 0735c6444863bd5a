/*-------------------------------------------------------------------------
 *
 * test_agent_check.c
 *	  The check agent: refreshing metadata.
 *
 * What is right and wrong with metadata is tested with the client itself;
 * here it is the conversation with the leader.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "agent_depot.h"

static void
test_refresh(void **state)
{
	Depot		depot;
	json_t	   *lines = json_array();
	json_t	   *command;
	json_t	   *line;
	json_t	   *target;

	(void) state;
	depot_open(&depot);
	assert_true(scratch_write(depot.job_fd, "root", depot.fixture.pin));
	line = run_command(&depot, refresh_command("root", NULL), lines);
	assert_line_type(line, "done");
	assert_true(json_is_true(json_object_get(line, "changed")));
	assert_int_equal(json_array_size(json_object_get(line, "roles")), 5);
	assert_int_equal(json_integer_value(json_object_get(line, "expires")), 1798761600);
	json_decref(line);
	assert_int_equal(json_array_size(lines), 1);
	target = json_array_get(lines, 0);
	assert_line_type(target, "target");
	assert_string_equal(agent_string(target, "path"), FIXTURE_TARGET);
	assert_string_equal(agent_string(target, "sha256"), depot.package_sha256);
	assert_string_equal(agent_string(json_object_get(target, "custom"), "version"), "2.17");

	/* nothing new: targets all the same, unless only changes are asked for */
	json_array_clear(lines);
	line = run_command(&depot, refresh_command(NULL, NULL), lines);
	assert_line_type(line, "done");
	assert_true(json_is_false(json_object_get(line, "changed")));
	assert_int_equal(json_array_size(lines), 1);
	json_decref(line);
	json_array_clear(lines);
	command = refresh_command(NULL, NULL);
	json_object_set_new(command, "only_if_changed", json_true());
	line = run_command(&depot, command, lines);
	assert_line_type(line, "done");
	assert_int_equal(json_array_size(lines), 0);
	json_decref(line);

	/* what came over the wire is not left in the job, what is trusted is in its place */
	assert_int_equal(scratch_mode(depot.job_fd, "need-1"), 0);
	assert_int_equal(scratch_mode(depot.root.fd, "var/metadata/main") & 07777, 0700);
	assert_true(scratch_has(depot.root.fd, "var/metadata/main/root.json", depot.fixture.pin));
	json_decref(lines);
	depot_close(&depot);
}

static void
test_refresh_root_by_digest(void **state)
{
	Depot		depot;
	char		hex[65];
	json_t	   *line;

	(void) state;
	depot_open(&depot);
	memset(hex, '0', 64);
	hex[64] = '\0';
	assert_error_line(run_command(&depot, refresh_command(NULL, hex), NULL), "root_invalid",
					  "first root is not the one");
	assert_int_equal(scratch_mode(depot.root.fd, "var/metadata/main/root.json"), 0);
	assert_error_line(run_command(&depot, refresh_command(NULL, NULL), NULL), "root_invalid",
					  "no trusted root");
	depot_digest_sha256_hex(depot.fixture.pin, strlen(depot.fixture.pin), hex);
	line = run_command(&depot, refresh_command(NULL, hex), NULL);
	assert_line_type(line, "done");
	json_decref(line);
	depot_close(&depot);
}

/* Writes what the repository serves under a name as a row. */
static void
write_row(const Depot *depot, const char *name, const char *served)
{
	char		path[96];

	snprintf(path, sizeof(path), "rows-1/%s", name);
	assert_true(scratch_write(depot->job_fd, path, served));
}

static json_t *
rows_command(const char *root_sha256, const char *rows)
{
	json_t	   *command = refresh_command(NULL, root_sha256);

	json_object_set_new(command, "rows", json_string(rows));
	return command;
}

/* Rows count as far as they verify from the given root, which may be among them; what does not is told of. */
static void
test_refresh_rows(void **state)
{
	Depot		depot;
	char		hex[65];
	json_t	   *lines = json_array();
	json_t	   *line;
	DepotError	error;

	(void) state;
	depot_open(&depot);
	assert_true(depot_files_make_directories(depot.job_fd, "rows-1", 0700, false, &error));
	fixture_set_version(depot.fixture.timestamp, 5);
	fixture_publish_timestamp(&depot.fixture);
	write_row(&depot, "1.root.json", depot.fixture.pin);
	write_row(&depot, "5.timestamp.json", fixture_text(&depot.fixture, "timestamp.json"));
	write_row(&depot, "9.timestamp.json", "{}");
	fixture_set_version(depot.fixture.timestamp, 4);
	fixture_publish_timestamp(&depot.fixture);
	json_object_del(depot.fixture.files, "1.root.json");
	depot_digest_sha256_hex(depot.fixture.pin, strlen(depot.fixture.pin), hex);
	assert_error_line(run_command(&depot, rows_command(hex, "rows-1"), lines), "metadata_rollback",
					  "timestamp metadata version 4, but version 5 was seen before");
	assert_int_equal(json_array_size(lines), 2);
	assert_line_type(json_array_get(lines, 0), "refused");
	assert_string_equal(agent_string(json_array_get(lines, 0), "role"), "timestamp");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(lines, 0), "version")), 9);
	assert_line_type(json_array_get(lines, 1), "adopted");
	assert_true(json_is_true(json_object_get(json_array_get(lines, 1), "changed")));

	fixture_set_version(depot.fixture.timestamp, 5);
	fixture_publish_timestamp(&depot.fixture);
	line = run_command(&depot, refresh_command(NULL, NULL), NULL);
	assert_line_type(line, "done");
	json_decref(line);
	assert_error_line(run_command(&depot, rows_command(NULL, "../rows-1"), NULL), "agent", "not a plain file name");
	assert_error_line(run_command(&depot, rows_command(NULL, "absent"), NULL), "file_missing", "absent");
	json_decref(lines);
	depot_close(&depot);
}

/* A pinned root counts whatever is trusted, and each time; one that only its digest says is kept. */
static void
test_refresh_pinned(void **state)
{
	Depot		depot;
	char		hex[65];
	json_t	   *command;
	json_t	   *line;

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	memset(hex, '0', 64);
	hex[64] = '\0';
	command = refresh_command(NULL, hex);
	json_object_set_new(command, "pinned", json_true());
	assert_error_line(run_command(&depot, command, NULL), "root_invalid", "first root is not the one");
	depot_digest_sha256_hex(depot.fixture.pin, strlen(depot.fixture.pin), hex);
	json_object_del(depot.fixture.files, "1.root.json");
	for (int i = 0; i < 2; i++)
	{
		command = refresh_command(NULL, hex);
		json_object_set_new(command, "pinned", json_true());
		line = run_command(&depot, command, NULL);
		assert_line_type(line, "done");
		json_decref(line);
	}
	command = refresh_command(NULL, NULL);
	json_object_set_new(command, "pinned", json_true());
	assert_error_line(run_command(&depot, command, NULL), "root_invalid", "no trusted root");
	depot_close(&depot);
}

static void
test_refresh_refuses(void **state)
{
	Depot		depot;

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	/* signed by a key that nobody trusts for this role */
	fixture_bump(depot.fixture.timestamp);
	fixture_put(&depot.fixture, "timestamp.json", depot.fixture.timestamp, &depot.fixture.keys[KEY_SPARE], 1);
	assert_error_line(run_command(&depot, refresh_command(NULL, NULL), NULL), "metadata_threshold",
					  "repository \"main\"");
	/* expired */
	fixture_set_expires(depot.fixture.timestamp, "2026-01-01T00:00:00Z");
	fixture_publish_timestamp(&depot.fixture);
	assert_error_line(run_command(&depot, refresh_command(NULL, NULL), NULL), "metadata_expired",
					  "timestamp");
	/* and once it is in order again, so is the client */
	fixture_set_expires(depot.fixture.timestamp, FIXTURE_FUTURE);
	fixture_bump(depot.fixture.timestamp);
	fixture_publish_timestamp(&depot.fixture);
	refresh(&depot);
	depot_close(&depot);
}

/* The client can read a repository without consistent snapshots; a server could not fetch packages by digest. */
static void
test_refresh_plain_snapshots(void **state)
{
	static const char *const files[] = {"1.snapshot.json", "1.targets.json", "1." FIXTURE_ROLE ".json"};
	Depot		depot;

	(void) state;
	depot_open(&depot);
	refresh(&depot);
	fixture_bump(depot.fixture.root);
	json_object_set_new(depot.fixture.root, "consistent_snapshot", json_false());
	fixture_put(&depot.fixture, "2.root.json", depot.fixture.root, depot.fixture.keys, 2);
	for (int i = 0; i < 3; i++)
		json_object_set(depot.fixture.files, files[i] + 2, json_object_get(depot.fixture.files, files[i]));
	assert_error_line(run_command(&depot, refresh_command(NULL, NULL), NULL), "unsupported",
					  "repository \"main\": it does not use consistent snapshots");
	fixture_bump(depot.fixture.root);
	json_object_set_new(depot.fixture.root, "consistent_snapshot", json_true());
	fixture_put(&depot.fixture, "3.root.json", depot.fixture.root, depot.fixture.keys, 2);
	refresh(&depot);
	depot_close(&depot);
}

static void
test_refresh_bad_answers(void **state)
{
	static const char *const answers[] = {
		"{\"command\":\"failed\"}\n", "{\"command\":\"have\",\"file\":\"need-9\"}\n",
		"{\"command\":\"have\",\"file\":\"../root\"}\n", "{\"command\":\"have\",\"file\":\"need-1\"}\n",
		"{\"command\":\"refresh\"}\n", "nonsense\n", NULL
	};
	static const char *const codes[] = {"unreachable", "agent", "agent", "file_missing", "agent", "agent"};
	Depot		depot;

	(void) state;
	depot_open(&depot);
	assert_true(scratch_write(depot.job_fd, "root", depot.fixture.pin));
	for (int i = 0; answers[i] != NULL; i++)
	{
		json_t	   *line;

		agent_send(&depot.agent, refresh_command("root", NULL));
		line = agent_read(&depot.agent);
		assert_line_type(line, "need");
		json_decref(line);
		agent_send_raw(&depot.agent, answers[i], strlen(answers[i]));
		assert_error_line(agent_read(&depot.agent), codes[i], "");
	}
	refresh(&depot);
	depot_close(&depot);
}

static void
test_refresh_bad_commands(void **state)
{
	static const char *const names[] = {"", "Main", "../main", "a/b", "main\n", NULL};
	static const char *const jobs[] = {"", "..", "0123456789abcdef0123456789abcde",
	"0123456789ABCDEF0123456789ABCDEF", NULL};
	static const char *const roles[] = {"", "root", "targets", "../x", "A", NULL};
	Depot		depot;
	json_t	   *command;

	(void) state;
	depot_open(&depot);
	for (int i = 0; names[i] != NULL; i++)
	{
		command = refresh_command(NULL, NULL);
		json_object_set_new(command, "repository", json_string(names[i]));
		assert_error_line(run_command(&depot, command, NULL), "invalid_name", "repository");
	}
	for (int i = 0; jobs[i] != NULL; i++)
	{
		command = refresh_command(NULL, NULL);
		json_object_set_new(command, "job", json_string(jobs[i]));
		assert_error_line(run_command(&depot, command, NULL), "agent", "job");
	}
	for (int i = 0; roles[i] != NULL; i++)
	{
		command = refresh_command(NULL, NULL);
		json_object_set_new(command, "role", json_string(roles[i]));
		assert_error_line(run_command(&depot, command, NULL), "agent", "role");
	}
	/* a job that is not there, and one that is being cleaned away */
	command = refresh_command(NULL, NULL);
	json_object_set_new(command, "job", json_string("ffffffffffffffffffffffffffffffff"));
	assert_error_line(run_command(&depot, command, NULL), "file_missing", "open");
	assert_int_equal(flock(depot.job_fd, LOCK_EX | LOCK_NB), 0);
	assert_error_line(run_command(&depot, refresh_command(NULL, NULL), NULL), "io", "lock");
	assert_int_equal(flock(depot.job_fd, LOCK_UN), 0);
	depot_close(&depot);
}

/* A target that is none of ours costs a warning, a thousand of them no more than twenty-one. */
static void
test_refresh_foreign_targets(void **state)
{
	Depot		depot;
	json_t	   *lines = json_array();
	json_t	   *targets;
	json_t	   *line;
	int			warnings = 0;
	int			found = 0;

	(void) state;
	depot_open(&depot);
	targets = json_object_get(depot.fixture.role, "targets");
	for (int i = 0; i < 30; i++)
	{
		char		path[128];
		json_t	   *target = fixture_target("x");

		if (i == 0)
			json_object_del(target, "custom");
		snprintf(path, sizeof(path), "pg15/linux-amd64/foreign%d/1/foreign%d-1.tar.zst", i, i);
		json_object_set_new(targets, path, target);
	}
	publish_again(&depot);
	assert_true(scratch_write(depot.job_fd, "root", depot.fixture.pin));
	line = run_command(&depot, refresh_command("root", NULL), lines);
	assert_line_type(line, "done");
	json_decref(line);
	for (size_t i = 0; i < json_array_size(lines); i++)
	{
		const json_t *one = json_array_get(lines, i);

		warnings += strcmp(agent_string(one, "type"), "warning") == 0;
		found += strcmp(agent_string(one, "type"), "target") == 0;
	}
	assert_int_equal(found, 1);
	assert_int_equal(warnings, 21);
	line = json_array_get(lines, json_array_size(lines) - 1);
	assert_non_null(strstr(agent_string(line, "message"), "10 more targets"));
	json_decref(lines);
	depot_close(&depot);
}

static void
test_refresh_no_role_for_us(void **state)
{
	Depot		depot;
	json_t	   *lines = json_array();
	json_t	   *command;
	json_t	   *line;

	(void) state;
	depot_open(&depot);
	assert_true(scratch_write(depot.job_fd, "root", depot.fixture.pin));
	command = refresh_command("root", NULL);
	json_object_set_new(command, "role", json_string("pg15-linux-arm64"));
	line = run_command(&depot, command, lines);
	assert_line_type(line, "done");
	json_decref(line);
	assert_int_equal(json_array_size(lines), 1);
	assert_non_null(strstr(agent_string(json_array_get(lines, 0), "message"),
						   "no packages for \"pg15-linux-arm64\""));
	json_decref(lines);
	depot_close(&depot);
}

/* A refresh only if something has changed; returns its last line and how many files it asked for. */
static json_t *
refresh_changes(Depot *depot, int64_t reference_time, int *needs)
{
	json_t	   *command = refresh_command(NULL, NULL);

	json_object_set_new(command, "only_if_changed", json_true());
	json_object_set_new(command, "reference_time", json_integer(reference_time));
	agent_send(&depot->agent, command);
	for (*needs = 0;; ++*needs)
	{
		json_t	   *line = agent_read(&depot->agent);

		if (strcmp(agent_string(line, "type"), "need") != 0)
			return line;
		answer_need(depot, line);
		json_decref(line);
	}
}

/* What was verified before is not read again, as long as all of it is as it was. */
static void
test_refresh_unchanged(void **state)
{
	static const char *const role_file = "var/metadata/main/" FIXTURE_ROLE ".json";
	Depot		depot;
	json_t	   *first;
	json_t	   *line;
	int			needs;

	(void) state;
	depot_open(&depot);
	assert_true(scratch_write(depot.job_fd, "root", depot.fixture.pin));
	first = run_command(&depot, refresh_command("root", NULL), NULL);
	assert_line_type(first, "done");

	line = refresh_changes(&depot, FIXTURE_NOW, &needs);
	assert_line_type(line, "done");
	assert_int_equal(needs, 2);
	assert_true(json_is_false(json_object_get(line, "changed")));
	assert_true(json_equal(json_object_get(line, "roles"), json_object_get(first, "roles")));
	assert_true(json_equal(json_object_get(line, "expires"), json_object_get(first, "expires")));
	json_decref(line);

	/* A file that somebody has changed is fetched again. */
	assert_true(scratch_write(depot.root.fd, role_file, "{}"));
	line = refresh_changes(&depot, FIXTURE_NOW, &needs);
	while (strcmp(agent_string(line, "type"), "target") == 0)
	{
		json_decref(line);
		line = agent_read(&depot.agent);
	}
	assert_line_type(line, "done");
	assert_int_equal(needs, 3);
	assert_true(json_is_true(json_object_get(line, "changed")));
	json_decref(line);

	/* Time goes on, and a new timestamp is followed. */
	line = refresh_changes(&depot, FIXTURE_NOW + 10 * 365 * 86400, &needs);
	assert_error_line(line, "metadata_expired", "");
	publish_again(&depot);
	line = refresh_changes(&depot, FIXTURE_NOW, &needs);
	assert_true(needs > 2);
	while (strcmp(agent_string(line, "type"), "target") == 0)
	{
		json_decref(line);
		line = agent_read(&depot.agent);
	}
	assert_line_type(line, "done");
	assert_true(json_is_true(json_object_get(line, "changed")));
	json_decref(line);
	json_decref(first);
	depot_close(&depot);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_refresh_root_by_digest),
		cmocka_unit_test(test_refresh_rows),
		cmocka_unit_test(test_refresh_pinned),
		cmocka_unit_test(test_refresh_refuses),
		cmocka_unit_test(test_refresh_plain_snapshots),
		cmocka_unit_test(test_refresh_bad_answers),
		cmocka_unit_test(test_refresh_bad_commands),
		cmocka_unit_test(test_refresh_foreign_targets),
		cmocka_unit_test(test_refresh_no_role_for_us),
		cmocka_unit_test(test_refresh_unchanged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
