/*-------------------------------------------------------------------------
 *
 * store_fixture.h
 *	  A depot directory, two versions of a package and system calls that
 *	  stop or fail on demand, for the tests of the store.
 *
 * The functions below take the place of the C library's own in the test
 * program, so that the store can be stopped before any single change that it
 * makes to the file system.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_STORE_FIXTURE_H
#define DEPOT_TEST_STORE_FIXTURE_H

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/store.h"
#include "scratch.h"

#define EXIT_STOPPED 42

typedef enum FaultKind
{
	FAULT_NONE,
	FAULT_STOP,					/* the process ends before the change */
	FAULT_DISK_FULL				/* the change fails with ENOSPC */
} FaultKind;

static FaultKind fault_kind = FAULT_NONE;
static int	changes_until_fault = 0;

/* Arms the next changes: the one with this number (from 1) meets the fault. */
static inline void
set_fault(FaultKind kind, int number)
{
	fault_kind = kind;
	changes_until_fault = number;
}

static inline bool
meets_fault(void)
{
	if (fault_kind == FAULT_NONE || --changes_until_fault != 0)
		return false;
	if (fault_kind == FAULT_STOP)
		_exit(EXIT_STOPPED);
	errno = ENOSPC;
	return true;
}

int
renameat(int old_fd, const char *old_path, int new_fd, const char *new_path)
{
	return meets_fault() ? -1 : (int) syscall(SYS_renameat2, old_fd, old_path, new_fd, new_path, 0);
}

int
unlinkat(int fd, const char *path, int flags)
{
	return meets_fault() ? -1 : (int) syscall(SYS_unlinkat, fd, path, flags);
}

int
mkdirat(int fd, const char *path, mode_t mode)
{
	return meets_fault() ? -1 : (int) syscall(SYS_mkdirat, fd, path, mode);
}

/* No test can see what a fsync does; that it is made, and what follows when it fails, can be seen. */
int
fsync(int fd)
{
	if (meets_fault())
		return -1;
	return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

ssize_t
write(int fd, const void *bytes, size_t length)
{
	/* cmocka's own output does not count. */
	if (fd > 2 && meets_fault())
		return -1;
	return syscall(SYS_write, fd, bytes, length);
}

#define DIGEST_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define DIGEST_2 "2222222222222222222222222222222222222222222222222222222222222222"
#define MANIFEST_1 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define MANIFEST_2 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

#define SHARE "usr/share/postgresql/15"
#define LIB "usr/lib/postgresql/15/lib"

static const DepotLayout layout = {.share = SHARE, .lib = LIB};

static const DepotStamp stamp = {
	.system_identifier = "7300000000000000001",.postgresql_major = 15,
	.platform = "linux-amd64",.path = "/data/pg_depot",
};

/* A package as the tests write it down: members in order, and what they hold is "<version> <member>". */
typedef struct TestPackage
{
	const char *package;
	const char *version;
	const char *digest;
	const char *manifest_sha256;
	const char *members[12];
} TestPackage;

static const TestPackage hll_1 = {"hll", "2.17", DIGEST_1, MANIFEST_1, {
		"lib/hll.so", "lib/private/libx.so.1", "licenses/hll/copyright",
		"share/extension/hll--2.16--2.17.sql",
		"share/extension/hll--2.17.control", "share/extension/hll--2.17.sql", "share/extension/hll.control",
		"share/extension/hll_old.control", "share/hll/data/words.txt", NULL,
}};

static const TestPackage hll_2 = {"hll", "2.18", DIGEST_2, MANIFEST_2, {
		"lib/hll.so", "lib/hll_extra.so", "licenses/hll/copyright", "share/extension/hll--2.17--2.18.sql",
		"share/extension/hll--2.18.sql", "share/extension/hll.control", "share/hll/new/words.txt", NULL,
}};

static const TestPackage ip4r = {"ip4r", "2.4", DIGEST_1, MANIFEST_1, {
		"lib/ip4r.so", "licenses/ip4r/copyright", "share/extension/ip4r--2.4.sql",
		"share/extension/ip4r.control", NULL,
}};

static inline int
member_count(const TestPackage *package)
{
	int			count = 0;

	while (package->members[count] != NULL)
		count++;
	return count;
}

static inline void
member_text(const TestPackage *package, const char *member, char out[256])
{
	snprintf(out, 256, "%s %s", package->version, member);
}

/* Returns a manifest with no more in it than the store reads; free with free_manifest. */
static inline DepotManifest *
make_manifest(const TestPackage *package)
{
	DepotManifest *manifest = calloc(1, sizeof(*manifest));
	char		text[256];

	manifest->package = strdup(package->package);
	manifest->version = strdup(package->version);
	manifest->file_count = member_count(package);
	manifest->files = calloc((size_t) manifest->file_count + 1, sizeof(*manifest->files));
	for (int i = 0; i < manifest->file_count; i++)
	{
		member_text(package, package->members[i], text);
		manifest->files[i].path = strdup(package->members[i]);
		manifest->files[i].size_bytes = strlen(text);
		manifest->files[i].mode = strncmp(package->members[i], "lib/", 4) == 0 ? 0755 : 0644;
		memset(manifest->files[i].sha256, 'c', 64);
	}
	return manifest;
}

static inline void
free_manifest(DepotManifest *manifest)
{
	for (int i = 0; i < manifest->file_count; i++)
		free(manifest->files[i].path);
	free(manifest->files);
	free(manifest->package);
	free(manifest->version);
	free(manifest);
}

/* Writes one file below root, with its directories. */
static inline bool
write_with_parents(int root_fd, const char *path, const char *text, mode_t mode)
{
	char		directory[1024];
	DepotError	error;

	snprintf(directory, sizeof(directory), "%s", path);
	*strrchr(directory, '/') = '\0';
	return depot_files_make_directories(root_fd, directory, 0700, false, &error) &&
		depot_files_write_durable(root_fd, path, text, strlen(text), mode, &error);
}

/* Makes a job whose tree holds package, marked. */
static inline bool
stage(int root_fd, const TestPackage *package, char job[DEPOT_JOB_NAME_BYTES])
{
	DepotError	error;
	char		path[1024];
	char		text[256];
	int			fd = depot_store_begin_job(root_fd, job, &error);

	if (fd < 0)
		return false;
	for (int i = 0; package->members[i] != NULL; i++)
	{
		snprintf(path, sizeof(path), "tree/%s", package->members[i]);
		member_text(package, package->members[i], text);
		if (!write_with_parents(fd, path, text, 0644))
			return false;
	}
	snprintf(path, sizeof(path), "tree/share/depot/%s.json", package->package);
	snprintf(text, sizeof(text), "manifest of %s %s", package->package, package->version);
	if (!write_with_parents(fd, path, text, 0644))
		return false;
	close(fd);
	return depot_store_mark_staged(root_fd, job, package->package, package->digest, package->manifest_sha256,
								   &error);
}

/* Tells whether every file of package but one (NULL: but none) is served with the right contents. */
static inline bool
is_served_but(int root_fd, const TestPackage *package, const char *but)
{
	char		path[DEPOT_SERVED_PATH_BYTES];
	char		text[256];
	DepotError	error;

	for (int i = 0; package->members[i] != NULL; i++)
	{
		member_text(package, package->members[i], text);
		if (but != NULL && strcmp(package->members[i], but) == 0)
			continue;
		if (!depot_store_served_path(&layout, package->members[i], path, &error) ||
			!scratch_has(root_fd, path, text))
			return false;
	}
	snprintf(path, sizeof(path), SHARE "/depot/%s.json", package->package);
	snprintf(text, sizeof(text), "manifest of %s %s", package->package, package->version);
	return scratch_has(root_fd, path, text);
}

static inline bool
is_served(int root_fd, const TestPackage *package)
{
	return is_served_but(root_fd, package, NULL);
}

static inline bool
add_to_snapshot(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
				DepotError *error)
{
	DepotBuffer *snapshot = context;

	(void) size_bytes;
	if (strncmp(path, "var/", 4) == 0)
		return true;
	depot_buffer_append_format(snapshot, "%s %o ", path, (unsigned int) mode);
	if (S_ISREG(mode) && !depot_files_read(directory_fd, path, 1 << 20, snapshot, error))
		return false;
	return depot_buffer_append_string(snapshot, "\n");
}

/* Returns all paths, modes and contents outside var/, to be compared as text; free the buffer. */
static inline DepotBuffer
take_snapshot(int root_fd)
{
	DepotBuffer snapshot;
	DepotError	error;

	depot_buffer_init(&snapshot);
	if (!depot_files_walk(root_fd, ".", add_to_snapshot, &snapshot, &error))
		depot_buffer_append_string(&snapshot, error.message);
	return snapshot;
}

static inline int
set_up(void **state)
{
	static Scratch scratch;
	DepotError	error;

	set_fault(FAULT_NONE, 0);
	scratch = scratch_make();
	*state = &scratch;
	return scratch.fd >= 0 && depot_store_prepare(scratch.fd, &layout, &error) ? 0 : -1;
}

static inline int
tear_down(void **state)
{
	set_fault(FAULT_NONE, 0);
	scratch_remove(*state);
	return 0;
}

static inline int
root_fd(void **state)
{
	return ((Scratch *) *state)->fd;
}

/* Activates from a job of its own. */
static inline void
install(int root, DepotState *applied, const TestPackage *package)
{
	DepotManifest *manifest = make_manifest(package);
	char		job[DEPOT_JOB_NAME_BYTES];
	bool		resumed;
	DepotError	error;

	assert_true(stage(root, package, job));
	if (!depot_store_activate(root, &layout, applied, job, manifest, package->digest,
							  package->manifest_sha256, &resumed, &error))
		fail_msg("%s (%s)", error.message, error.detail);
	assert_false(resumed);
	depot_store_end_job(root, job, -1);
	free_manifest(manifest);
}

static inline void
load(int root, DepotState *applied, bool expect_fresh)
{
	bool		fresh;
	DepotError	error;

	assert_true(depot_store_load_state(root, &stamp, applied, &fresh, &error));
	assert_int_equal(fresh, expect_fresh);
}

/* For tests that want a prepared depot directory of their own. */
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif							/* DEPOT_TEST_STORE_FIXTURE_H */
