/*-------------------------------------------------------------------------
 *
 * test_agent_withdrawn.c
 *	  The check agent: marks and the list of withdrawn builds.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "agent_depot.h"
#include "common/withdrawn.h"

#define KEPT "var/metadata/main/withdrawn.list"

static const char *list_format =
"{\"format\":1,\"withdrawn\":[{\"sha256\":\"%s\",\"reason\":\"%s\",\"advisory\":null}]}";

static void
mark(json_t *custom)
{
	json_object_set_new(custom, "yanked", json_pack("{s:s, s:s}", "reason", "loses rows", "advisory", "CVE-2026-1"));
}

static void
mark_badly(json_t *custom)
{
	json_object_set_new(custom, "yanked", json_pack("{s:s}", "reason", "two\nlines"));
}

/* Makes text the list of the repository's next version; served NULL: it is not there. */
static void
publish_list(Depot *depot, const char *text, const char *served)
{
	json_t	   *target = fixture_target(text);
	char		path[160];

	json_object_del(target, "custom");
	json_object_set_new(json_object_get(depot->fixture.targets, "targets"), DEPOT_WITHDRAWN_TARGET, target);
	snprintf(path, sizeof(path), "targets/%s.%s",
			 json_string_value(json_object_get(json_object_get(target, "hashes"), "sha256")), DEPOT_WITHDRAWN_TARGET);
	if (served != NULL)
		json_object_set_new(depot->fixture.files, path, json_string(served));
	else
		json_object_del(depot->fixture.files, path);
	publish_again(depot);
}

/* Refreshes and returns the withdrawn lines, one string "sha256 reason advisory" each; a new reference. */
static json_t *
refresh_withdrawn(Depot *depot)
{
	json_t	   *lines = json_array();
	json_t	   *withdrawn = json_array();
	json_t	   *end;
	const json_t *line;
	size_t		index;

	end = run_command(depot, refresh_command("root", NULL), lines);
	assert_line_type(end, "done");
	json_decref(end);
	json_array_foreach(lines, index, line)
	{
		if (strcmp(agent_string(line, "type"), "withdrawn") == 0)
			json_array_append_new(withdrawn, json_sprintf("%s %s %s", agent_string(line, "sha256"),
														  agent_string(line, "reason"),
														  agent_string(line, "advisory")));
	}
	json_decref(lines);
	return withdrawn;
}

static void
assert_withdrawn(Depot *depot, size_t count, const char *last_format,...)
{
	json_t	   *withdrawn = refresh_withdrawn(depot);
	char		expected[512];
	va_list		arguments;

	va_start(arguments, last_format);
	vsnprintf(expected, sizeof(expected), last_format, arguments);
	va_end(arguments);
	assert_int_equal(json_array_size(withdrawn), count);
	if (count > 0)
		assert_string_equal(json_string_value(json_array_get(withdrawn, count - 1)), expected);
	json_decref(withdrawn);
}

static void
test_marks(void **state)
{
	Depot		depot;
	json_t	   *lines = json_array();
	json_t	   *end;

	(void) state;
	depot_open(&depot);
	assert_true(scratch_write(depot.job_fd, "root", depot.fixture.pin));
	assert_withdrawn(&depot, 0, "");
	publish_package(&depot, mark);
	publish_again(&depot);
	assert_withdrawn(&depot, 1, "%s loses rows CVE-2026-1", depot.package_sha256);

	/* it is refused as news, and can be fetched again where it is installed */
	assert_error_line(run_command(&depot, package_command(&depot), NULL), "withdrawn", "publisher has withdrawn it");
	assert_int_equal(scratch_mode(depot.job_fd, "tree"), 0);
	end = package_command(&depot);
	json_object_set_new(end, "check_expiry", json_false());
	end = run_command(&depot, end, NULL);
	assert_line_type(end, "done");
	json_decref(end);

	/* a mark that cannot be read: the target is left out, not offered */
	publish_package(&depot, mark_badly);
	publish_again(&depot);
	end = run_command(&depot, refresh_command("root", NULL), lines);
	assert_line_type(end, "done");
	assert_int_equal(json_array_size(lines), 1);
	assert_line_type(json_array_get(lines, 0), "warning");
	assert_non_null(strstr(agent_string(json_array_get(lines, 0), "message"), "control character"));
	json_decref(end);
	json_decref(lines);
	depot_close(&depot);
}

static void
test_list(void **state)
{
	Depot		depot;
	char		text[512];

	(void) state;
	depot_open(&depot);
	assert_true(scratch_write(depot.job_fd, "root", depot.fixture.pin));
	snprintf(text, sizeof(text), list_format, depot.package_sha256, "crashes");
	publish_list(&depot, text, text);
	assert_withdrawn(&depot, 1, "%s crashes ", depot.package_sha256);
	assert_true(scratch_has(depot.root.fd, KEPT, text));
	assert_error_line(run_command(&depot, package_command(&depot), NULL), "withdrawn", "publisher has withdrawn it");

	/* the list is told last: it counts, whatever a role says */
	publish_package(&depot, mark);
	publish_list(&depot, text, NULL);
	assert_withdrawn(&depot, 2, "%s crashes ", depot.package_sha256);

	/* kept ones that somebody altered are fetched again */
	assert_true(scratch_write(depot.root.fd, KEPT, "{\"format\":1,\"withdrawn\":[]}"));
	publish_list(&depot, text, text);
	assert_withdrawn(&depot, 2, "%s crashes ", depot.package_sha256);
	assert_true(scratch_has(depot.root.fd, KEPT, text));

	/* no list any more */
	json_object_del(json_object_get(depot.fixture.targets, "targets"), DEPOT_WITHDRAWN_TARGET);
	publish_package(&depot, NULL);
	publish_again(&depot);
	assert_withdrawn(&depot, 0, "");
	assert_int_equal(scratch_mode(depot.root.fd, KEPT), 0);
	depot_close(&depot);
}

/* A delegated role cannot bring a list, whatever its paths allow. */
static void
test_list_of_a_role(void **state)
{
	Depot		depot;

	(void) state;
	depot_open(&depot);
	assert_true(scratch_write(depot.job_fd, "root", depot.fixture.pin));
	json_object_set_new(json_object_get(depot.fixture.role, "targets"), DEPOT_WITHDRAWN_TARGET, fixture_target("{}"));
	publish_again(&depot);
	assert_withdrawn(&depot, 0, "");
	depot_close(&depot);
}

static void
test_bad_lists(void **state)
{
	static const char *const empty = "{\"format\":1,\"withdrawn\":[]}";
	Depot		depot;

	(void) state;
	depot_open(&depot);
	assert_true(scratch_write(depot.job_fd, "root", depot.fixture.pin));
	publish_list(&depot, empty, NULL);
	assert_error_line(run_command(&depot, refresh_command("root", NULL), NULL), "not_found",
					  "lacks the withdrawn.json");
	publish_list(&depot, empty, "{\"format\":1,\"withdrawn\":{}}");
	assert_error_line(run_command(&depot, refresh_command("root", NULL), NULL), "digest_mismatch",
					  "withdrawn.json is not the file that was signed");
	publish_list(&depot, "{}", "{}");
	assert_error_line(run_command(&depot, refresh_command("root", NULL), NULL), "metadata_format",
					  "withdrawn.json: member \"format\" is missing");
	assert_int_equal(scratch_mode(depot.root.fd, KEPT), 0);
	json_object_set_new(json_object_get(json_object_get(depot.fixture.targets, "targets"), DEPOT_WITHDRAWN_TARGET),
						"length", json_integer((json_int_t) DEPOT_WITHDRAWN_MAX_BYTES + 1));
	publish_again(&depot);
	assert_error_line(run_command(&depot, refresh_command("root", NULL), NULL), "too_large",
					  "more than the limit of 1048576");
	publish_list(&depot, empty, empty);
	assert_withdrawn(&depot, 0, "");
	depot_close(&depot);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_list_of_a_role),
		cmocka_unit_test(test_bad_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
