/*-------------------------------------------------------------------------
 *
 * test_buffer.c
 *	  A growing run of bytes.
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

#include "common/buffer.h"

static void
test_append(void **state)
{
	DepotBuffer buffer;

	(void) state;
	depot_buffer_init(&buffer);
	assert_null(buffer.data);
	assert_true(depot_buffer_append(&buffer, NULL, 0));
	assert_string_equal(buffer.data, "");
	assert_true(depot_buffer_append(&buffer, "a\0b", 3));
	assert_int_equal(buffer.length_bytes, 3);
	assert_memory_equal(buffer.data, "a\0b", 4);
	assert_true(depot_buffer_append_string(&buffer, "cd"));
	assert_true(depot_buffer_append_format(&buffer, "-%d-%s", 42, "x"));
	assert_int_equal(buffer.length_bytes, 10);
	assert_memory_equal(buffer.data, "a\0bcd-42-x", 11);
	assert_false(buffer.failed);
	depot_buffer_free(&buffer);
	assert_null(buffer.data);
	assert_int_equal(buffer.length_bytes, 0);
	assert_int_equal(buffer.capacity_bytes, 0);
}

static void
test_growth(void **state)
{
	DepotBuffer buffer;

	(void) state;
	depot_buffer_init(&buffer);
	for (int i = 0; i < 20000; i++)
		assert_true(depot_buffer_append_format(&buffer, "%05d", i));
	assert_int_equal(buffer.length_bytes, 100000);
	assert_memory_equal(buffer.data, "0000000001", 10);
	assert_string_equal(buffer.data + 99995, "19999");
	assert_true(buffer.capacity_bytes > buffer.length_bytes);
	depot_buffer_free(&buffer);
}

static void
test_consume_and_reset(void **state)
{
	DepotBuffer buffer;
	char	   *data;

	(void) state;
	depot_buffer_init(&buffer);
	depot_buffer_consume(&buffer, 5);
	depot_buffer_reset(&buffer);
	assert_null(buffer.data);
	depot_buffer_append_string(&buffer, "line one\nline two");
	depot_buffer_consume(&buffer, 9);
	assert_string_equal(buffer.data, "line two");
	depot_buffer_consume(&buffer, 0);
	assert_int_equal(buffer.length_bytes, 8);
	depot_buffer_consume(&buffer, 100);
	assert_string_equal(buffer.data, "");
	assert_int_equal(buffer.length_bytes, 0);
	depot_buffer_append_string(&buffer, "again");
	data = buffer.data;
	depot_buffer_reset(&buffer);
	assert_ptr_equal(buffer.data, data);
	assert_string_equal(buffer.data, "");
	depot_buffer_free(&buffer);
}

static void
test_failure_latches(void **state)
{
	DepotBuffer buffer;

	(void) state;
	depot_buffer_init(&buffer);
	depot_buffer_append_string(&buffer, "kept");
	/* No such amount can be had, and none of it is read. */
	assert_false(depot_buffer_append(&buffer, "x", SIZE_MAX - 2));
	assert_true(buffer.failed);
	assert_false(depot_buffer_append_string(&buffer, "more"));
	assert_false(depot_buffer_append_format(&buffer, "more"));
	assert_string_equal(buffer.data, "kept");
	depot_buffer_reset(&buffer);
	assert_true(depot_buffer_append_string(&buffer, "new"));
	assert_string_equal(buffer.data, "new");
	depot_buffer_free(&buffer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_consume_and_reset),
		cmocka_unit_test(test_failure_latches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
