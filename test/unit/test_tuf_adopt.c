/*-------------------------------------------------------------------------
 *
 * test_tuf_adopt.c
 *	  The TUF client: taking what another place remembers, as far as it verifies.
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
#include <time.h>

#include "tuf_expect.h"

/* What the other place remembers, and what was refused of it: "role version: reason" in lines. */
static Scratch memory;
static char refusals[2048];

static int
set_up_adoption(void **state)
{
	memory = scratch_make();
	refusals[0] = '\0';
	return memory.fd >= 0 ? set_up(state) : -1;
}

static int
tear_down_adoption(void **state)
{
	scratch_remove(&memory);
	return tear_down(state);
}

/* Has the other place remember the version of each role that the repository serves now. */
static void
remember(void)
{
	char		name[64];

	assert_true(scratch_write(memory.fd, fixture_name(fixture.root, "root"),
							  fixture_text(&fixture, fixture_name(fixture.root, "root"))));
	snprintf(name, sizeof(name), "%s", fixture_name(fixture.timestamp, "timestamp"));
	assert_true(scratch_write(memory.fd, name, fixture_text(&fixture, "timestamp.json")));
	snprintf(name, sizeof(name), "%s", fixture_name(fixture.snapshot, "snapshot"));
	assert_true(scratch_write(memory.fd, name, fixture_text(&fixture, name)));
	snprintf(name, sizeof(name), "%s", fixture_name(fixture.targets, "targets"));
	assert_true(scratch_write(memory.fd, name, fixture_text(&fixture, name)));
	snprintf(name, sizeof(name), "%s", fixture_name(fixture.role, FIXTURE_ROLE));
	assert_true(scratch_write(memory.fd, name, fixture_text(&fixture, name)));
}

/* Publishes version number version of everything but the root. */
static void
publish_version(int version)
{
	fixture_set_version(fixture.role, version);
	fixture_set_version(fixture.targets, version);
	fixture_set_version(fixture.snapshot, version);
	fixture_set_version(fixture.timestamp, version);
	fixture_publish(&fixture);
}

static void
publish_next_root(DepotKey *const *keys, int count)
{
	fixture_bump(fixture.root);
	fixture_put(&fixture, fixture_name(fixture.root, "root"), fixture.root, keys, count);
}

static void
note_refusal(void *context, const char *role, int64_t version, const DepotError *reason)
{
	const size_t used = strlen(refusals);

	(void) context;
	snprintf(refusals + used, sizeof(refusals) - used, "%s %d: %s\n", role, (int) version, reason->message);
}

static bool
adopt_from(const char *pin)
{
	DepotTufClient *client;
	DepotError	error;
	bool		changed = false;

	refusals[0] = '\0';
	client = depot_tuf_open(fixture.scratch.fd, pin, pin == NULL ? 0 : strlen(pin), fixture.now, &error);
	if (client == NULL || !depot_tuf_adopt(client, FIXTURE_ROLE, memory.fd, note_refusal, NULL, &changed, &error))
		fail_msg("%s", error.message);
	depot_tuf_close(client);
	return changed;
}

static void
expect_refusals(const char *words)
{
	if (words[0] == '\0' ? refusals[0] != '\0' : strstr(refusals, words) == NULL)
		fail_msg("refused:\n%sand not \"%s\"", refusals, words);
}

static void
expect_rollback(const char *words)
{
	DepotError	error;
	bool		changed = false;

	assert_false(fixture_refresh(&fixture, fixture.pin, NULL, &changed, &error));
	if (error.code != DEPOT_ERROR_METADATA_ROLLBACK || strstr(error.message, words) == NULL)
		fail_msg("%s: \"%s\" does not hold \"%s\"", depot_error_wire_name(error.code), error.message, words);
}

static void
nothing_is_remembered(void **state)
{
	assert_false(adopt_from(fixture.pin));
	expect_refusals("");
	first_refresh();
}

/* A server without history learns all of it, and then refuses what is older. */
static void
adopt_into_nothing(void **state)
{
	DepotTufClient *client;
	DepotTufTarget target;
	DepotError	error;

	publish_version(5);
	remember();
	assert_true(adopt_from(fixture.pin));
	expect_refusals("");
	expect_trusted("timestamp.json", "timestamp.json");
	expect_trusted("snapshot.json", "5.snapshot.json");
	expect_trusted("targets.json", "5.targets.json");
	expect_trusted(FIXTURE_ROLE ".json", "5." FIXTURE_ROLE ".json");
	client = depot_tuf_open(fixture.scratch.fd, NULL, 0, fixture.now, &error);
	assert_true(depot_tuf_load_trusted(client, FIXTURE_ROLE, true, &error));
	assert_true(depot_tuf_find_target(client, FIXTURE_TARGET, &target, &error));
	depot_tuf_close(client);

	assert_false(adopt_from(NULL));
	publish_version(4);
	expect_rollback("serves timestamp metadata version 4, but version 5 was seen before");
}

/* What is expired still tells what was accepted, but nothing is installed by it. */
static void
adopt_expired(void **state)
{
	DepotTufClient *client;
	DepotError	error;

	publish_version(5);
	remember();
	fixture.now += INT64_C(86400) * 365;
	assert_true(adopt_from(fixture.pin));
	expect_refusals("");
	client = depot_tuf_open(fixture.scratch.fd, NULL, 0, fixture.now, &error);
	assert_false(depot_tuf_load_trusted(client, FIXTURE_ROLE, true, &error));
	assert_int_equal(error.code, DEPOT_ERROR_METADATA_EXPIRED);
	depot_tuf_close(client);
	fixture.now = FIXTURE_NOW;
	publish_version(4);
	expect_rollback("version 5 was seen before");
}

/* Only what is newer is taken; what is older is nobody's fault. */
static void
newest_counts(void **state)
{
	publish_version(5);
	remember();
	publish_version(6);
	first_refresh();
	assert_false(adopt_from(NULL));
	expect_refusals("");
	expect_trusted("timestamp.json", "timestamp.json");

	publish_version(7);
	remember();
	assert_true(adopt_from(NULL));
	expect_refusals("");
	expect_trusted("timestamp.json", "timestamp.json");
	expect_refresh(false);
	publish_version(6);
	expect_rollback("version 7 was seen before");
}

static void
adopt_root_chain(void **state)
{
	first_refresh();
	publish_next_root(fixture.keys, 2);
	remember();
	publish_next_root(fixture.keys, 2);
	remember();
	assert_true(adopt_from(NULL));
	expect_refusals("");
	expect_trusted("root.json", "3.root.json");
	expect_trusted("root_history/2.root.json", "2.root.json");
}

/* A foreign root, or a chain with a hole, is not followed; the rest counts under the root that is trusted. */
static void
refuse_foreign_root(void **state)
{
	publish_version(5);
	remember();
	fixture_set_version(fixture.root, 2);
	fixture_put(&fixture, "2.root.json", fixture.root, &fixture.keys[KEY_SPARE], 1);
	assert_true(scratch_write(memory.fd, "2.root.json", fixture_text(&fixture, "2.root.json")));
	assert_true(adopt_from(fixture.pin));
	expect_refusals("root 2: root metadata is not signed by enough trusted keys: have 0 of 2");
	expect_trusted("root.json", "1.root.json");
	expect_trusted("timestamp.json", "timestamp.json");
}

static void
skip_root_behind_hole(void **state)
{
	publish_next_root(fixture.keys, 2);
	publish_next_root(fixture.keys, 2);
	remember();
	(void) adopt_from(fixture.pin);
	expect_trusted("root.json", "1.root.json");
	expect_refusals("");
}

/* Takes the bytes of a file of the memory and writes them, altered, under a name. */
static void
tamper(const char *from, const char *search, const char *replacement, const char *to)
{
	DepotBuffer bytes;
	DepotError	error;
	char		altered[8192];
	const char *place;

	depot_buffer_init(&bytes);
	assert_true(depot_files_read(memory.fd, from, sizeof(altered) - 64, &bytes, &error));
	place = strstr(bytes.data, search);
	assert_non_null(place);
	snprintf(altered, sizeof(altered), "%.*s%s%s", (int) (place - bytes.data), bytes.data, replacement,
			 place + strlen(search));
	assert_true(scratch_write(memory.fd, to, altered));
	depot_buffer_free(&bytes);
}

/* Each forged piece is named, and none hides a good one. */
static void
refuse_forged(void **state)
{
	publish_version(5);
	remember();
	tamper("5.timestamp.json", "\"version\": 5,\n  \"expires\"", "\"version\": 9,\n  \"expires\"", "9.timestamp.json");
	tamper("5.timestamp.json", "2027-01-01", "2029-01-01", "8.timestamp.json");
	assert_true(scratch_write(memory.fd, "7.timestamp.json", "<html>"));
	assert_true(scratch_write(memory.fd, "6.timestamp.json", ""));
	assert_true(scratch_write(memory.fd, "readme", "not a candidate"));
	assert_true(adopt_from(fixture.pin));
	expect_refusals("timestamp 9: timestamp metadata is not signed by enough trusted keys: have 0 of 1");
	expect_refusals("timestamp 8: it is not version 8\n");
	expect_refusals("timestamp 7: metadata: not valid JSON at byte 1\n");
	expect_refusals("timestamp 6: metadata: ");
	expect_trusted("timestamp.json", "timestamp.json");
	expect_trusted(FIXTURE_ROLE ".json", "5." FIXTURE_ROLE ".json");
}

static void
refuse_altered(void **state)
{
	static const char *const names[] = {"5.timestamp.json", "5.snapshot.json", "5.targets.json",
	"5." FIXTURE_ROLE ".json"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		char		role[64];

		tear_down_adoption(state);
		set_up_adoption(state);
		publish_version(5);
		remember();
		tamper(names[i], "2027-01-01", "2028-01-01", names[i]);
		(void) adopt_from(fixture.pin);
		snprintf(role, sizeof(role), "%.*s 5: ", (int) (strlen(names[i]) - 7), names[i] + 2);
		expect_refusals(role);
		/* What stands above it in the chain was taken, and the repository can say the rest. */
		assert_false(scratch_has(fixture.scratch.fd, names[i] + 2, fixture_text(&fixture, names[i])));
		expect_refresh(true);
	}
}

static void
refuse_too_large(void **state)
{
	char	   *blanks = malloc(DEPOT_TUF_TIMESTAMP_MAX_BYTES + 2);

	assert_non_null(blanks);
	memset(blanks, ' ', DEPOT_TUF_TIMESTAMP_MAX_BYTES + 1);
	blanks[DEPOT_TUF_TIMESTAMP_MAX_BYTES + 1] = '\0';
	assert_true(scratch_write(memory.fd, "1.timestamp.json", blanks));
	assert_false(adopt_from(fixture.pin));
	expect_refusals("timestamp 1: ");
	free(blanks);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_adoption, tear_down_adoption)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_remembered),
		TEST(adopt_into_nothing),
		TEST(adopt_expired),
		TEST(newest_counts),
		TEST(adopt_root_chain),
		TEST(refuse_foreign_root),
		TEST(skip_root_behind_hole),
		TEST(refuse_forged),
		TEST(refuse_altered),
		TEST(refuse_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
