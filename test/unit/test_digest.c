/*-------------------------------------------------------------------------
 *
 * test_digest.c
 *	  SHA-256 and hexadecimal against known answers (FIPS 180-2).
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

#include "common/digest.h"
#include "scratch.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define MILLION_SHA256 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void
test_known_answers(void **state)
{
	char		hex[DEPOT_SHA256_HEX_BYTES];
	char	   *million = malloc(1000000);
	DepotError	error;

	(void) state;
	assert_true(depot_digest_init(&error));
	assert_true(depot_digest_init(&error));
	depot_digest_sha256_hex(NULL, 0, hex);
	assert_string_equal(hex, EMPTY_SHA256);
	depot_digest_sha256_hex("abc", 3, hex);
	assert_string_equal(hex, ABC_SHA256);
	assert_non_null(million);
	memset(million, 'a', 1000000);
	depot_digest_sha256_hex(million, 1000000, hex);
	assert_string_equal(hex, MILLION_SHA256);
	free(million);
}

static void
test_hex(void **state)
{
	static const uint8_t bytes[] = {0x00, 0x7F, 0x80, 0xFF, 0xA5};
	uint8_t		back[sizeof(bytes)];
	char		hex[2 * sizeof(bytes) + 1];

	(void) state;
	depot_digest_to_hex(bytes, sizeof(bytes), hex);
	assert_string_equal(hex, "007f80ffa5");
	assert_true(depot_digest_from_hex(hex, back, sizeof(back)));
	assert_memory_equal(back, bytes, sizeof(bytes));
	depot_digest_to_hex(bytes, 0, hex);
	assert_string_equal(hex, "");
	assert_true(depot_digest_from_hex("", back, 0));

	assert_false(depot_digest_from_hex("007F80ffa5", back, 5));
	assert_false(depot_digest_from_hex("007f80ffa", back, 5));
	assert_false(depot_digest_from_hex("007f80ffa5a", back, 5));
	assert_false(depot_digest_from_hex("007f80ffa55a", back, 5));
	assert_false(depot_digest_from_hex("007f80ffg5", back, 5));
	assert_false(depot_digest_from_hex("007f 0ffa5", back, 5));
	assert_false(depot_digest_from_hex("", back, 5));
	assert_false(depot_digest_from_hex(NULL, back, 5));
}

static void
test_files(void **state)
{
	Scratch		scratch = scratch_make();
	char		hex[DEPOT_SHA256_HEX_BYTES];
	char	   *million = calloc(1, 1000001);
	uint64_t	size_bytes = 77;
	DepotError	error;

	(void) state;
	assert_true(scratch.fd >= 0);
	assert_non_null(million);
	memset(million, 'a', 1000000);
	assert_true(scratch_write(scratch.fd, "empty", ""));
	assert_int_equal(mkdirat(scratch.fd, "sub", 0755), 0);
	assert_true(scratch_write(scratch.fd, "sub/million", million));
	free(million);

	assert_true(depot_digest_file(scratch.fd, "empty", hex, &size_bytes, &error));
	assert_string_equal(hex, EMPTY_SHA256);
	assert_int_equal(size_bytes, 0);
	assert_true(depot_digest_file(scratch.fd, "sub/million", hex, &size_bytes, &error));
	assert_string_equal(hex, MILLION_SHA256);
	assert_int_equal(size_bytes, 1000000);
	assert_true(depot_digest_file(scratch.fd, "empty", hex, NULL, &error));

	assert_false(depot_digest_file(scratch.fd, "absent", hex, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_false(depot_digest_file(scratch.fd, "sub", hex, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_IO);
	assert_int_equal(symlinkat("empty", scratch.fd, "link"), 0);
	assert_false(depot_digest_file(scratch.fd, "link", hex, NULL, &error));
	assert_int_equal(symlinkat("sub", scratch.fd, "linked"), 0);
	assert_false(depot_digest_file(scratch.fd, "linked/million", hex, NULL, &error));
	assert_int_equal(mkfifoat(scratch.fd, "fifo", 0600), 0);
	assert_false(depot_digest_file(scratch.fd, "fifo", hex, NULL, &error));
	assert_non_null(strstr(error.message, "not a regular file"));
	scratch_remove(&scratch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
