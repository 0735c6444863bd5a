/*-------------------------------------------------------------------------
 *
 * test_bundle.c
 *	  Tests of bundles: writing one, looking files up, and what is none.
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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/bundle.h"
#include "common/digest.h"
#include "common/files.h"
#include "scratch.h"

#define BUNDLE "x.bundle"
#define TIMESTAMP "metadata/timestamp.json"
/* Longer than the 255 bytes that a plain header of tar has room for. */
#define NAME_60 "a-name-with-sixty-bytes-that-a-package-may-well-have-here-xx"
#define LONG_PATH "targets/pg15/linux-amd64/" NAME_60 "/" NAME_60 "/" NAME_60 "." NAME_60 "-" NAME_60 ".tar.zst"
#define LARGE_BYTES 200001

static Scratch scratch;

static int
set_up(void **state)
{
	(void) state;
	scratch = scratch_make();
	return scratch.fd >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void) state;
	scratch_remove(&scratch);
	return 0;
}

static bool
add(DepotBundleWriter *writer, const char *path, const char *text, DepotError *error)
{
	char		sha256[DEPOT_SHA256_HEX_BYTES];

	depot_digest_sha256_hex(text, strlen(text), sha256);
	return depot_bundle_add_file(writer, scratch.fd, path, strlen(text), sha256, error);
}

static void
make_file(const char *path, const char *text)
{
	DepotError	error = {0};
	char		directory[1024];

	snprintf(directory, sizeof(directory), "%s", path);
	*strrchr(directory, '/') = '\0';
	assert_true(depot_files_make_directories(scratch.fd, directory, 0755, false, &error));
	assert_true(scratch_write(scratch.fd, path, text));
}

/* Writes a bundle of three files; the caller closes what it returns. */
static int
make_bundle(void)
{
	static char large[LARGE_BYTES + 1];
	DepotError	error = {0};
	DepotBundleWriter *writer;
	int			fd;

	memset(large, 'x', LARGE_BYTES);
	make_file(TIMESTAMP, "{}");
	make_file(LONG_PATH, large);
	make_file("targets/last", "end");
	(void) unlinkat(scratch.fd, BUNDLE, 0);
	fd = openat(scratch.fd, BUNDLE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	writer = depot_bundle_create(fd, &error);
	assert_non_null(writer);
	assert_true(add(writer, TIMESTAMP, "{}", &error));
	assert_true(add(writer, LONG_PATH, large, &error));
	assert_true(add(writer, "targets/last", "end", &error));
	assert_true(depot_bundle_finish(writer, true, &error));
	return fd;
}

static void
assert_at(int fd, const char *path, const char *beginning, uint64_t size_bytes)
{
	DepotBundleMember member;
	DepotError	error = {0};
	char		bytes[8] = "";
	bool		found = false;

	assert_true(depot_bundle_find(fd, path, &member, &found, &error));
	assert_true(found);
	assert_int_equal(member.size_bytes, size_bytes);
	assert_int_equal(pread(fd, bytes, strlen(beginning), (off_t) member.offset), strlen(beginning));
	assert_string_equal(bytes, beginning);
}

static void
assert_refused(int fd, const char *reason)
{
	DepotBundleMember member;
	DepotError	error = {0};
	bool		found = true;

	assert_false(depot_bundle_find(fd, "not/there", &member, &found, &error));
	assert_false(found);
	assert_int_equal(error.code, DEPOT_ERROR_ARCHIVE);
	if (strstr(error.message, reason) == NULL)
		fail_msg("expected \"%s\", got \"%s\"", reason, error.message);
	assert_true(error.hint[0] != '\0');
}

static void
test_found(void **state)
{
	DepotBundleMember member;
	DepotError	error = {0};
	bool		found = true;
	int			fd = make_bundle();

	(void) state;
	assert_at(fd, TIMESTAMP, "{}", 2);
	assert_at(fd, LONG_PATH, "xxxx", LARGE_BYTES);
	assert_at(fd, "targets/last", "end", 3);
	assert_true(depot_bundle_find(fd, "metadata/timestamp", &member, &found, &error));
	assert_false(found);
	found = true;
	assert_true(depot_bundle_find(fd, "", &member, &found, &error));
	assert_false(found);
	close(fd);
}

/* Cut anywhere, it is refused, or says what it has; never more than there is. */
static void
test_cut(void **state)
{
	int			fd = make_bundle();
	struct stat status;

	(void) state;
	assert_int_equal(fstat(fd, &status), 0);
	for (off_t length = status.st_size - 1024; length >= 0; length -= 509)
	{
		assert_int_equal(ftruncate(fd, length), 0);
		assert_refused(fd, "it is cut off");
	}
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_refused(fd, "it is cut off");
	close(fd);
}

/* Each of the bytes that a header is made of counts. */
static void
test_damaged(void **state)
{
	int			fd = make_bundle();

	(void) state;
	for (off_t at = 0; at < 512; at++)
	{
		DepotBundleMember member;
		DepotError	error = {0};
		unsigned char byte;
		bool		found;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x04;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		assert_false(depot_bundle_find(fd, "targets/last", &member, &found, &error));
		assert_int_equal(error.code, DEPOT_ERROR_ARCHIVE);
		byte ^= 0x04;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_at(fd, "targets/last", "end", 3);
	close(fd);
}

/* Has tar make an archive of what is in the scratch directory, and opens it. */
static int
run_tar(const char *options)
{
	char		command[512];

	(void) unlinkat(scratch.fd, "y.tar", 0);
	snprintf(command, sizeof(command), "cd %s && tar %s -f y.tar", scratch.path, options);
	assert_int_equal(system(command), 0);
	return openat(scratch.fd, "y.tar", O_RDWR | O_CLOEXEC);
}

static void
test_other_archives(void **state)
{
	int			fd = make_bundle();

	(void) state;
	close(fd);
	fd = run_tar("--format=gnu -c metadata/timestamp.json");
	assert_refused(fd, "a header of another kind");
	close(fd);
	fd = run_tar("--format=posix -c metadata");
	assert_refused(fd, "something else than");
	close(fd);
	/* times with fractions are in an extended header */
	fd = run_tar("--format=posix -c metadata/timestamp.json");
	assert_refused(fd, "something else than a path");
	close(fd);
	assert_int_equal(symlinkat("/etc/passwd", scratch.fd, "link"), 0);
	fd = run_tar("--format=ustar -c link");
	assert_refused(fd, "something else than files");
	close(fd);
	/* plain files in the plain format are as good as ours */
	fd = run_tar("--format=ustar -c metadata/timestamp.json targets/last");
	assert_at(fd, "targets/last", "end", 3);
	close(fd);
}

/* What has changed since it was signed does not go in, and what is given up is no bundle. */
static void
test_changed(void **state)
{
	DepotError	error = {0};
	int			fd = make_bundle();
	DepotBundleWriter *writer;

	(void) state;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	writer = depot_bundle_create(fd, &error);
	assert_non_null(writer);
	assert_true(add(writer, "targets/last", "end", &error));
	assert_false(add(writer, TIMESTAMP, "[]", &error));
	assert_int_equal(error.code, DEPOT_ERROR_DIGEST_MISMATCH);
	assert_string_equal(error.message, "\"" TIMESTAMP "\" is not the file that was signed");
	assert_false(add(writer, TIMESTAMP, "{ }", &error));
	assert_int_equal(error.code, DEPOT_ERROR_DIGEST_MISMATCH);
	assert_false(add(writer, "metadata/other.json", "{}", &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_false(depot_bundle_finish(writer, false, &error));
	assert_refused(fd, "it is cut off");
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_archives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
