/*-------------------------------------------------------------------------
 *
 * tuf_expect.h
 *	  What the tests of the TUF client expect of a refresh, in words.
 *
 * Included by a test program after cmocka.h; it has one fixture.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_TUF_EXPECT_H
#define DEPOT_TEST_TUF_EXPECT_H

#include <string.h>

#include "tuf_fixture.h"

static Fixture fixture;

static inline int
set_up(void **state)
{
	fixture_open(&fixture);
	return fixture.scratch.fd >= 0 ? 0 : -1;
}

static inline int
tear_down(void **state)
{
	fixture_close(&fixture);
	return 0;
}

static inline void
expect_refresh(bool expected_change)
{
	DepotError	error;
	bool		changed;

	if (!fixture_refresh(&fixture, NULL, NULL, &changed, &error))
		fail_msg("%s", error.message);
	assert_int_equal(changed, expected_change);
}

static inline void
first_refresh(void)
{
	DepotError	error;
	bool		changed;

	if (!fixture_refresh(&fixture, fixture.pin, NULL, &changed, &error))
		fail_msg("%s", error.message);
	assert_true(changed);
}

/* A refresh from this pin (NULL: none) must fail with this code and these words. */
static inline void
expect_failure_from(const char *pin, DepotErrorCode code, const char *words)
{
	DepotError	error;
	bool		changed;

	assert_false(fixture_refresh(&fixture, pin, NULL, &changed, &error));
	if (error.code != code || strstr(error.message, words) == NULL)
		fail_msg("%s: \"%s\" does not hold \"%s\"", depot_error_wire_name(error.code), error.message, words);
}

static inline void
expect_failure(DepotErrorCode code, const char *words)
{
	expect_failure_from(NULL, code, words);
}

static inline void
first_refresh_fails(DepotErrorCode code, const char *words)
{
	expect_failure_from(fixture.pin, code, words);
}

/* The trusted file is what the repository served under a name, byte for byte. */
static inline void
expect_trusted(const char *file, const char *served)
{
	if (!scratch_has(fixture.scratch.fd, file, fixture_text(&fixture, served)))
		fail_msg("trusted %s is not %s", file, served);
}

static inline void
expect_requests(const char *names)
{
	char		joined[512] = "";
	const json_t *name;
	size_t		index;

	json_array_foreach(fixture.requests, index, name)
	{
		strncat(joined, json_string_value(name), sizeof(joined) - strlen(joined) - 1);
		strncat(joined, " ", sizeof(joined) - strlen(joined) - 1);
	}
	assert_string_equal(joined, names);
}

static inline void
serve(const char *name, const char *text)
{
	json_object_set_new(fixture.files, name, json_string(text));
}

#endif							/* DEPOT_TEST_TUF_EXPECT_H */
