/*-------------------------------------------------------------------------
 *
 * test_archive_write.h
 *	  The part of test_archive.c about packages in order.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_ARCHIVE_WRITE_H
#define DEPOT_TEST_ARCHIVE_WRITE_H

#define LONG_MEMBER "share/extension/a-directory-with-a-long-name-that-alone-has-sixty-bytes-x/" \
	"a-file-name-that-is-itself-longer-than-a-hundred-bytes-so-that-the-plain-header-of-tar-cannot-hold-it.txt"

/* A tree with one file of each kind, and the manifest for it, whose texts are the program's. */
static DepotManifest *
make_tree(int tree_fd)
{
	static const char *const paths[] = {
		"lib/good.so", "licenses/good/copyright", LONG_MEMBER, "share/extension/good--1.0.sql",
		"share/extension/good.control", "share/good/empty"
	};
	static const char *const texts[] = {
		"\177ELF", "Public domain.\n", "long\n", "SELECT 1;\n", "default_version = '1.0'\n", ""
	};
	DepotManifest *manifest = calloc(1, sizeof(*manifest));
	DepotManifestExtension *extension = calloc(1, sizeof(*extension));

	assert_non_null(manifest);
	assert_non_null(extension);
	manifest->package = strdup("good");
	manifest->version = strdup("1.0");
	manifest->summary = strdup("A good one: gr\xc3\xbc\xc3\x9f");
	manifest->license = strdup("PostgreSQL");
	manifest->homepage = strdup("https://example.org/");
	manifest->postgresql_major = 15;
	manifest->postgresql_flavor = strdup("postgresql");
	manifest->platform_os = strdup("linux");
	manifest->platform_arch = strdup("amd64");
	manifest->platform_libc = strdup("glibc");
	manifest->platform_libc_min = strdup("2.34");
	manifest->source_kind = strdup("tree");
	manifest->source_name = strdup("");
	manifest->source_version = strdup("");
	extension->name = strdup("good");
	extension->default_version = strdup("1.0");
	extension->versions = calloc(1, sizeof(char *));
	extension->versions[0] = strdup("1.0");
	extension->version_count = 1;
	manifest->extensions = extension;
	manifest->extension_count = 1;
	manifest->file_count = (int) (sizeof(paths) / sizeof(paths[0]));
	manifest->files = calloc((size_t) manifest->file_count, sizeof(manifest->files[0]));
	for (int i = 0; i < manifest->file_count; i++)
	{
		DepotManifestFile *file = &manifest->files[i];
		char		parent[256];
		DepotError	error = {0};

		snprintf(parent, sizeof(parent), "%.*s", (int) (strrchr(paths[i], '/') - paths[i]), paths[i]);
		assert_true(depot_files_make_directories(tree_fd, parent, 0755, false, &error));
		assert_true(scratch_write(tree_fd, paths[i], texts[i]));
		file->path = strdup(paths[i]);
		file->size_bytes = strlen(texts[i]);
		file->mode = i == 0 ? 0755 : 0644;
		depot_digest_sha256_hex(texts[i], strlen(texts[i]), file->sha256);
	}
	return manifest;
}

static bool
write_tree(const DepotManifest *manifest, int tree_fd, const char *name, DepotError *error)
{
	int			fd = openat(scratch.fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool		ok;

	assert_true(fd >= 0);
	ok = depot_archive_write(fd, manifest, tree_fd, NULL, NULL, error);
	assert_int_equal(close(fd), 0);
	return ok;
}

static void
test_round_trip(void **state)
{
	int			source_fd = make_directory_for_test("source");
	int			tree_fd = make_directory_for_test("tree");
	DepotManifest *manifest = make_tree(source_fd);
	DepotManifest *again;
	DepotError	error = {0};
	DepotBuffer text;
	char		sha256[65];
	mode_t		old_mask;
	int			fd;

	(void) state;
	if (!write_tree(manifest, source_fd, PACKAGE_FILE, &error))
		fail_msg("%s", error.message);
	fd = open_package();
	again = depot_archive_verify(fd, NULL, NULL, sha256, NULL, NULL, &error);
	if (again == NULL)
		fail_msg("%s %s", error.message, error.detail);
	assert_int_equal(again->file_count, manifest->file_count);
	assert_string_equal(again->summary, manifest->summary);
	old_mask = umask(077);
	if (!depot_archive_unpack(fd, again, sha256, NULL, tree_fd, NULL, NULL, &error))
		fail_msg("%s", error.message);
	umask(old_mask);
	assert_true(depot_control_check_package(tree_fd, again, &error));
	assert_true(scratch_has(tree_fd, "share/extension/good--1.0.sql", "SELECT 1;\n"));
	assert_true(scratch_has(tree_fd, LONG_MEMBER, "long\n"));
	assert_int_equal(scratch_mode(tree_fd, "lib/good.so"), S_IFREG | 0755);
	assert_int_equal(scratch_mode(tree_fd, "share/good/empty"), S_IFREG | 0644);
	assert_int_equal(scratch_mode(tree_fd, "share/extension"), S_IFDIR | 0755);
	assert_int_equal(scratch_mode(tree_fd, "share/depot/good.json"), S_IFREG | 0644);
	depot_buffer_init(&text);
	assert_true(depot_manifest_write(manifest, &text, &error));
	assert_true(scratch_has(tree_fd, "share/depot/good.json", text.data));
	depot_buffer_free(&text);
	depot_manifest_free(again);
	depot_manifest_free(manifest);
	close(fd);
	close(source_fd);
	close(tree_fd);
}

static void
test_same_bytes(void **state)
{
	int			first_fd = make_directory_for_test("first");
	int			second_fd = make_directory_for_test("second");
	DepotManifest *first = make_tree(first_fd);
	DepotManifest *second = make_tree(second_fd);
	DepotError	error = {0};
	char		digests[2][65];
	struct timespec times[2] = {{1000000000, 1}, {1000000000, 1}};

	(void) state;
	/* Time, mode and owner of the source must leave no trace. */
	assert_int_equal(utimensat(second_fd, "lib/good.so", times, 0), 0);
	assert_int_equal(fchmodat(second_fd, "lib/good.so", 0600, 0), 0);
	assert_true(write_tree(first, first_fd, "one", &error));
	assert_true(write_tree(second, second_fd, "two", &error));
	assert_true(depot_digest_file(scratch.fd, "one", digests[0], NULL, &error));
	assert_true(depot_digest_file(scratch.fd, "two", digests[1], NULL, &error));
	assert_string_equal(digests[0], digests[1]);
	depot_manifest_free(first);
	depot_manifest_free(second);
	close(first_fd);
	close(second_fd);
}

static void
test_expected_manifest(void **state)
{
	DepotError	error = {0};
	char		sha256[65];
	char		other[65];
	DepotManifest *manifest;
	int			fd;

	(void) state;
	make_case(find_case("valid"));
	fd = open_package();
	manifest = depot_archive_verify(fd, NULL, NULL, sha256, NULL, NULL, &error);
	assert_non_null(manifest);
	depot_manifest_free(manifest);
	manifest = depot_archive_verify(fd, NULL, sha256, other, NULL, NULL, &error);
	assert_non_null(manifest);
	assert_string_equal(sha256, other);
	depot_manifest_free(manifest);
	other[0] = other[0] == '0' ? '1' : '0';
	assert_null(depot_archive_verify(fd, NULL, other, sha256, NULL, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_DIGEST_MISMATCH);
	close(fd);
}

static void
test_changed_file(void **state)
{
	int			source_fd = make_directory_for_test("source");
	DepotManifest *manifest = make_tree(source_fd);
	DepotError	error = {0};

	(void) state;
	assert_true(scratch_write(source_fd, "lib/good.so", "\177elf"));
	assert_false(write_tree(manifest, source_fd, PACKAGE_FILE, &error));
	assert_int_equal(error.code, DEPOT_ERROR_DIGEST_MISMATCH);
	assert_non_null(strstr(error.message, "lib/good.so"));
	assert_false(check_package(&error));
	assert_int_equal(unlinkat(source_fd, "lib/good.so", 0), 0);
	assert_false(write_tree(manifest, source_fd, PACKAGE_FILE, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	assert_int_equal(symlinkat("/etc/passwd", source_fd, "lib/good.so"), 0);
	assert_false(write_tree(manifest, source_fd, PACKAGE_FILE, &error));
	assert_int_equal(unlinkat(source_fd, "lib/good.so", 0), 0);
	assert_int_equal(mkfifoat(source_fd, "lib/good.so", 0644), 0);
	assert_false(write_tree(manifest, source_fd, PACKAGE_FILE, &error));
	assert_int_equal(error.code, DEPOT_ERROR_PACKAGE);
	depot_manifest_free(manifest);
	close(source_fd);
}

/* /dev/full takes nothing: every write is "no space left on device". */
static void
test_disk_full(void **state)
{
	int			source_fd = make_directory_for_test("source");
	DepotManifest *manifest = make_tree(source_fd);
	DepotError	error = {0};
	int			fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void) state;
	assert_true(fd >= 0);
	assert_false(depot_archive_write(fd, manifest, source_fd, NULL, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_DISK_FULL);
	depot_manifest_free(manifest);
	close(fd);
	close(source_fd);
}

/* A package that a second thread writes. */
static void
make_large_package(void)
{
	static char bytes[5 * 1024 * 1024];
	const HostileOptions options = {.major = 15};
	Package		package;
	DepotBuffer manifest;
	char		path[128];
	FILE	   *file;

	path_of(PACKAGE_FILE, path);
	memset(bytes, 'x', sizeof(bytes) - 1);
	begin_package(&package, &options);
	add_text(&package, "share/five-megabytes", bytes);
	sort_members(&package);
	depot_buffer_init(&manifest);
	make_manifest(&manifest, &package);
	file = fopen(path, "wb");
	assert_non_null(file);
	write_package(file, &package, &manifest);
	fclose(file);
	depot_buffer_free(&manifest);
	free(package.members);
}

static void
test_canceled(void **state)
{
	DepotError	error = {0};
	char		sha256[65];
	int			calls = 0;
	int			fd;

	(void) state;
	make_large_package();
	fd = open_package();
	assert_null(depot_archive_verify(fd, NULL, NULL, sha256, stop_at_once, &calls, &error));
	assert_int_equal(error.code, DEPOT_ERROR_CANCELED);
	assert_int_equal(calls, 1);
	close(fd);
	assert_true(check_package(&error));
}

/* What fails in the thread that writes is told like what fails in the one that reads. */
static void
test_large_does_not_fit(void **state)
{
	const struct rlimit limit = {1024 * 1024, RLIM_INFINITY};
	struct rlimit before;
	DepotError	error = {0};
	char		sha256[65];
	int			tree_fd = make_directory_for_test("tree");
	DepotManifest *manifest;
	bool		ok;
	int			fd;

	(void) state;
	make_large_package();
	fd = open_package();
	manifest = depot_archive_verify(fd, NULL, NULL, sha256, NULL, NULL, &error);
	assert_non_null(manifest);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ok = depot_archive_unpack(fd, manifest, sha256, NULL, tree_fd, NULL, NULL, &error);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_false(ok);
	assert_non_null(strstr(error.message, "unpacking \"share/five-megabytes\": "));
	depot_manifest_free(manifest);
	close(fd);
	close(tree_fd);
}

static void
test_not_empty(void **state)
{
	DepotError	error = {0};
	char		sha256[65];
	int			tree_fd = make_directory_for_test("tree");
	DepotManifest *manifest;
	int			fd;

	(void) state;
	make_case(find_case("valid"));
	fd = open_package();
	manifest = depot_archive_verify(fd, NULL, NULL, sha256, NULL, NULL, &error);
	assert_non_null(manifest);
	assert_true(scratch_write(tree_fd, "there", "already"));
	assert_false(depot_archive_unpack(fd, manifest, sha256, NULL, tree_fd, NULL, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_EXISTS);
	assert_false(depot_files_exists(tree_fd, "share"));
	depot_manifest_free(manifest);
	close(fd);
	close(tree_fd);
}

static void
test_limits(void **state)
{
	DepotArchiveLimits limits = depot_archive_default_limits;
	DepotError	error = {0};
	char		sha256[65];
	int			fd;

	(void) state;
	make_case(find_case("valid"));
	fd = open_package();
	limits.entries = 3;
	assert_null(depot_archive_verify(fd, &limits, NULL, sha256, NULL, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_ARCHIVE_LIMIT);
	limits = depot_archive_default_limits;
	limits.file_bytes = 70;
	assert_null(depot_archive_verify(fd, &limits, NULL, sha256, NULL, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_ARCHIVE_LIMIT);
	limits = depot_archive_default_limits;
	limits.unpacked_bytes = 1000;
	assert_null(depot_archive_verify(fd, &limits, NULL, sha256, NULL, NULL, &error));
	assert_int_equal(error.code, DEPOT_ERROR_ARCHIVE_LIMIT);
	close(fd);
}

#endif							/* DEPOT_TEST_ARCHIVE_WRITE_H */
