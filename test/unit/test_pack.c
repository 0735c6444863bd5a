/*-------------------------------------------------------------------------
 *
 * test_pack.c
 *	  "pg_depot pack --from-tree": what it makes and what it refuses.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "pack_harness.h"

static void
test_describes_a_tree(void **state)
{
	const DepotManifestExtension *extension;

	(void) state;
	put_extension("x", "default_version = '1.1'\nmodule_pathname = '$libdir/x'\nrequires = 'y, z'\ntrusted = "
				  "true\n");
	put(EXT "x--1.0--1.1.sql", "SELECT 2;\n");
	put(EXT "x.data", "1\n");
	put(SHARE "contrib/x/extra.sql", "SELECT 3;\n");
	put_module(LIB "x.so");
	put(LIB "bitcode/x/x.bc", "BC");
	put("tree/usr/share/doc/x/copyright", "all of it\n");
	pack_tree();
	open_package("p-1.0.tar.zst");
	assert_int_equal(pack->manifest->kind, DEPOT_KIND_EXTENSION);
	assert_int_equal(pack->manifest->postgresql_major, 15);
	assert_int_equal(pack->manifest->extension_count, 1);
	extension = &pack->manifest->extensions[0];
	assert_string_equal(extension->name, "x");
	assert_string_equal(extension->default_version, "1.1");
	assert_int_equal(extension->version_count, 2);
	assert_string_equal(extension->versions[1], "1.1");
	assert_int_equal(extension->require_count, 2);
	assert_true(extension->trusted);
	assert_int_equal(pack->manifest->module_count, 1);
	assert_string_equal(pack->manifest->modules[0].name, "x");
	assert_int_equal(pack->manifest->modules[0].preload, DEPOT_PRELOAD_NONE);
	assert_string_not_equal(pack->manifest->platform_libc_min, "");
	assert_int_equal(pack->manifest->system_library_count, 0);
	assert_int_equal(pack->manifest->file_count, 7);
	assert_true(has_file("share/extension/x.data"));
	assert_true(has_file("share/contrib/x/extra.sql"));
	assert_string_equal(member_text("licenses/p/x.copyright"), "all of it\n");
	assert_non_null(strstr(pack->errors.data, "a server never reads it from a depot): 1 file, "));
}

static void
test_takes_what_the_publisher_says(void **state)
{
	const DepotManifest *manifest;

	(void) state;
	put_extension("x", "default_version = '1.0'\n");
	put_module(LIB "x.so");
	put("COPYING", "do\n");
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "2", "-o", "out",
							  "--preload", "x=shared", "--required", "x", "--depends", "postgis >= 3.3",
							  "--depends", "other", "--summary", "S", "--license", "MIT", "--license-file",
							  "COPYING", "--homepage", "https://h.example", "--minimum-minor", "4",
							  "--setting", "x.a=on because of b", "--json", NULL),
					 0);
	assert_non_null(strstr(pack->output.data, "\"unpacked_bytes\":"));
	assert_string_equal(pack->errors.data, "");
	open_package("p-2.tar.zst");
	manifest = pack->manifest;
	assert_int_equal(manifest->modules[0].preload, DEPOT_PRELOAD_SHARED);
	assert_true(manifest->modules[0].required);
	assert_int_equal(manifest->depend_count, 2);
	assert_string_equal(manifest->depends[0].constraint, ">= 3.3");
	assert_string_equal(manifest->summary, "S");
	assert_string_equal(manifest->license, "MIT");
	assert_string_equal(manifest->homepage, "https://h.example");
	assert_int_equal(manifest->postgresql_minimum_minor, 4);
	assert_string_equal(manifest->settings[0].value, "on");
	assert_string_equal(manifest->settings[0].why, "because of b");
	assert_true(has_file("licenses/p/COPYING"));
}

static void
test_gives_the_same_bytes_again(void **state)
{
	static const char *const names[] = {"a", "c", "b", "d"};
	char		digests[2][65];

	(void) state;
	for (int round = 0; round < 2; round++)
	{
		DepotError	error;

		assert_true(depot_files_remove_tree(pack->scratch.fd, "tree", &error));
		put_extension("x", "default_version = '1.0'\n");
		for (int i = 0; i < 4; i++)
		{
			char		path[256];

			/* in another order the second time, so that the directory lists them otherwise */
			snprintf(path, sizeof(path), EXT "%s.data", names[round == 0 ? i : 3 - i]);
			put(path, "data");
		}
		if (round == 1)
			assert_int_equal(chmod(pack->scratch.path, 0711), 0);
		pack_tree();
		assert_true(depot_digest_file(pack->scratch.fd, "out/p-1.0.tar.zst", digests[round], NULL, &error));
	}
	assert_string_equal(digests[0], digests[1]);
}

/* The layout of PostGIS: links of all versions to one ANY script. */
static void
put_any_links(void)
{
	put_extension("x", "default_version = '3.0'\n");
	put(EXT "x--3.0.sql", "SELECT 3;\n");
	put(EXT "x--ANY--3.0.sql", "SELECT 'any';\n");
	put_link("x--ANY--3.0.sql", EXT "x--1.0--3.0.sql");
	put_link("x--ANY--3.0.sql", EXT "x--2.0--3.0.sql");
	put_link("x--ANY--3.0.sql", EXT "x--3.0--3.0next.sql");
	put_link("x--ANY--3.0.sql", EXT "x--3.0next--3.0.sql");
}

static void
test_shortens_links_to_any(void **state)
{
	(void) state;
	put_any_links();
	pack_tree();
	assert_non_null(strstr(pack->errors.data, "4 of 4 links became one-line scripts"));
	open_package("p-1.0.tar.zst");
	assert_false(has_file("share/extension/x--1.0--3.0.sql"));
	assert_string_equal(member_text("share/extension/x--1.0--ANY.sql"),
						"-- Nothing to do here: the update to 3.0 goes on with x--ANY--3.0.sql.\n");
	assert_true(has_file("share/extension/x--2.0--ANY.sql"));
	assert_true(has_file("share/extension/x--3.0next--ANY.sql"));
	assert_string_equal(member_text("share/extension/x--3.0--3.0next.sql"),
						"-- Nothing to do here: x--ANY--3.0.sql runs on the way back to 3.0.\n");
	assert_string_equal(member_text("share/extension/x--ANY--3.0.sql"), "SELECT 'any';\n");
	/* 1.0 and 3.0 have scripts, 3.0next is reached */
	assert_int_equal(pack->manifest->extensions[0].version_count, 3);
}

static void
test_copies_links_that_would_change_paths(void **state)
{
	(void) state;
	/* With the link shortened, 1.0 would go to 3.0 by way of "A", which sorts before "ANY". */
	put_any_links();
	put(EXT "x--1.0--A.sql", "SELECT 'a';\n");
	put(EXT "x--A--3.0.sql", "SELECT 'b';\n");
	pack_tree();
	assert_non_null(strstr(pack->errors.data, "packed in full"));
	open_package("p-1.0.tar.zst");
	assert_string_equal(member_text("share/extension/x--1.0--3.0.sql"), "SELECT 'any';\n");
	assert_false(has_file("share/extension/x--1.0--ANY.sql"));
}

static void
test_copies_links_to_any_with_two_targets(void **state)
{
	(void) state;
	put_any_links();
	put(EXT "x--ANY--4.0.sql", "SELECT 4;\n");
	put_link("x--ANY--4.0.sql", EXT "x--2.5--4.0.sql");
	pack_tree();
	open_package("p-1.0.tar.zst");
	assert_string_equal(member_text("share/extension/x--1.0--3.0.sql"), "SELECT 'any';\n");
	assert_string_equal(member_text("share/extension/x--2.5--4.0.sql"), "SELECT 4;\n");
	assert_string_equal(member_text("share/extension/x--3.0--3.0next.sql"), "SELECT 'any';\n");
}

static void
test_copies_stop_overs_that_lead_elsewhere(void **state)
{
	(void) state;
	put_any_links();
	put(EXT "x--3.0next--5.0.sql", "SELECT 5;\n");
	pack_tree();
	open_package("p-1.0.tar.zst");
	assert_true(has_file("share/extension/x--1.0--ANY.sql"));
	assert_string_equal(member_text("share/extension/x--3.0--3.0next.sql"), "SELECT 'any';\n");
}

static void
test_follows_links(void **state)
{
	(void) state;
	put_extension("x", "default_version = '1.0'\n");
	put("tree/usr/share/x/real.sql", "SELECT 'real';\n");
	put("tree/usr/share/x/more/deep.txt", "deep\n");
	put_link("../../../x/real.sql", EXT "x--2.0.sql");
	put_link("/usr/share/x/real.sql", EXT "x--3.0.sql");
	put_link("x--3.0.sql", EXT "x--4.0.sql");
	put_link("../../x/more", SHARE "linked");
	pack_tree();
	open_package("p-1.0.tar.zst");
	assert_string_equal(member_text("share/extension/x--2.0.sql"), "SELECT 'real';\n");
	assert_string_equal(member_text("share/extension/x--3.0.sql"), "SELECT 'real';\n");
	assert_string_equal(member_text("share/extension/x--4.0.sql"), "SELECT 'real';\n");
	assert_string_equal(member_text("share/linked/deep.txt"), "deep\n");
}

static void
test_refuses_links_to_nowhere(void **state)
{
	(void) state;
	put_extension("x", "default_version = '1.0'\n");
	put_link("gone.sql", EXT "x--1.0--2.0.sql");
	assert_true(refuses_tree("is a link to nothing", "x--1.0--2.0.sql"));
	assert_int_equal(unlinkat(pack->scratch.fd, EXT "x--1.0--2.0.sql", 0), 0);
	put_link("../../../../../../stdout.txt", EXT "x--1.0--2.0.sql");
	assert_true(refuses_tree("is a link out of the tree", "x--1.0--2.0.sql"));
	assert_int_equal(unlinkat(pack->scratch.fd, EXT "x--1.0--2.0.sql", 0), 0);
	put_link("x--1.0--2.0.sql", EXT "x--1.0--2.0.sql");
	assert_true(refuses_tree("leads in a circle", "x--1.0--2.0.sql"));
	assert_int_equal(unlinkat(pack->scratch.fd, EXT "x--1.0--2.0.sql", 0), 0);
	put_link("..", SHARE "again");
	assert_true(refuses_tree("too", "again"));
}

static void
test_flattens_directory(void **state)
{
	(void) state;
	put(EXT "x.control", "default_version = '1.0'\n  directory='xdir'\ncomment = 'c'\n");
	put(SHARE "xdir/x--1.0.sql", "SELECT 1;\n");
	put(SHARE "xdir/x--1.0--1.1.sql", "SELECT 1.1;\n");
	put(SHARE "xdir/notes.txt", "n\n");
	pack_tree();
	open_package("p-1.0.tar.zst");
	assert_true(has_file("share/extension/x--1.0.sql"));
	assert_true(has_file("share/extension/x--1.0--1.1.sql"));
	assert_true(has_file("share/xdir/notes.txt"));
	assert_false(has_file("share/xdir/x--1.0.sql"));
	assert_string_equal(member_text("share/extension/x.control"), "default_version = '1.0'\n"
						"# packed for a depot without:   directory='xdir'\ncomment = 'c'\n");
	assert_int_equal(pack->manifest->extensions[0].version_count, 2);
}

static void
test_refuses_directories_elsewhere(void **state)
{
	(void) state;
	put_extension("x", "default_version = '1.0'\ndirectory = '/etc'\n");
	assert_true(refuses_tree("outside the server's share directory", "x.control"));
}

static void
test_strips_libdir_for_18(void **state)
{
	(void) state;
	put("tree/usr/share/postgresql/18/extension/x.control",
		"default_version = '1.0'\nmodule_pathname = '$libdir/x'\n");
	put("tree/usr/share/postgresql/18/extension/x--1.0.sql", "SELECT 1;\n");
	put_module("tree/usr/lib/postgresql/18/lib/x.so");
	pack_tree();
	open_package("p-1.0.tar.zst");
	assert_int_equal(pack->manifest->postgresql_major, 18);
	assert_string_equal(member_text("share/extension/x.control"), "default_version = '1.0'\n"
						"# packed for a depot, was: module_pathname = '$libdir/x'\nmodule_pathname = 'x'\n");
}

static void
test_leaves_out_orphans(void **state)
{
	(void) state;
	put_extension("x", "default_version = '1.0'\n");
	put(EXT "x-core--1.0.sql", "SELECT 1;\n");
	pack_tree();
	assert_null(strstr(pack->errors.data, "name files in"));
	assert_non_null(strstr(pack->errors.data, "scripts of extensions that have no control file: 1 file"));
	open_package("p-1.0.tar.zst");
	assert_false(has_file("share/extension/x-core--1.0.sql"));
}

static void
test_notes_paths_of_installed_servers(void **state)
{
	(void) state;
	put_extension("x", "default_version = '1.0'\n");
	put(EXT "x--1.0--1.1.sql", "COPY t FROM '/usr/share/postgresql/15/extension/x.data';\n");
	pack_tree();
	assert_non_null(strstr(pack->errors.data, "1 of the scripts name files in"));
	assert_non_null(strstr(pack->errors.data, "x--1.0--1.1.sql"));
}

static void
test_refuses_scripts_alone(void **state)
{
	(void) state;
	put(EXT "x--1.0.sql", "SELECT 1;\n");
	assert_true(refuses_tree("there is no control file", "x--1.0.sql"));
}

static void
test_refuses_what_the_format_cannot_carry(void **state)
{
	(void) state;
	put_extension("x", "default_version = '1.0'\n");
	put(EXT "a b.data", "1\n");
	assert_true(refuses_tree("cannot carry the file name", "a b.data"));
	assert_int_equal(unlinkat(pack->scratch.fd, EXT "a b.data", 0), 0);

	assert_int_equal(mkfifoat(pack->scratch.fd, EXT "pipe", 0600), 0);
	assert_true(refuses_tree("is neither a file, a directory nor a link", "pipe"));
	assert_int_equal(unlinkat(pack->scratch.fd, EXT "pipe", 0), 0);

	put(SHARE "depot/q.json", "{}");
	assert_true(refuses_tree("where manifests of packages belong", "depot/q.json"));
	assert_int_equal(unlinkat(pack->scratch.fd, SHARE "depot/q.json", 0), 0);

	put(LIB "x.so", "not a library");
	assert_true(refuses_tree("is not an ELF file", "lib/x.so"));
	assert_int_equal(unlinkat(pack->scratch.fd, LIB "x.so", 0), 0);

	put(EXT "x.data", "1\n");
	put(EXT "X.data", "1\n");
	assert_true(refuses_tree("x.data", "X.data"));
}

static void
test_refuses_bad_control_files(void **state)
{
	(void) state;
	put_extension("x", "default_version = '1.0'\nmodule_pathname = '$libdir/other'\n");
	assert_true(refuses_tree("no library of this package", "x.control"));
	put_extension("x", "default_version = '1.0'\nnonsense = 1\n");
	assert_true(refuses_tree("nonsense", "x.control"));
	put_extension("x", "default_version = '1/0'\n");
	assert_true(refuses_tree("1/0", "version"));
	put_extension("x", "default_version = '1.0'\n");
	put(EXT "x--1.0.control", "directory = 'd'\n");
	assert_true(refuses_tree("directory", "x--1.0.control"));
}

/* pg_depot/usr/share/postgresql/15/extension/ are 43 bytes, ".data" 5. */
static void
test_limits_installed_paths(void **state)
{
	char		name[64];
	char		path[256];

	(void) state;
	put_extension("x", "default_version = '1.0'\n");
	memset(name, 'n', sizeof(name));
	name[99 - 43 - 5] = '\0';
	snprintf(path, sizeof(path), EXT "%s.data", name);
	put(path, "1\n");
	pack_tree();
	assert_int_equal(unlinkat(pack->scratch.fd, "out/p-1.0.tar.zst", 0), 0);
	snprintf(path, sizeof(path), EXT "%sn.data", name);
	put(path, "1\n");
	assert_true(refuses_tree("would have a path of 100 bytes", name));
}

static void
test_refuses_wrong_trees(void **state)
{
	(void) state;
	assert_true(refuses_tree("there are no files for a PostgreSQL server", ""));
	put_extension("x", "default_version = '1.0'\n");
	put("tree/usr/share/postgresql/17/extension/x.control", "default_version = '1.0'\n");
	assert_true(refuses_tree("more than one version", "--major"));
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "1", "--major", "15",
							  "-o", "out", NULL),
					 0);
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "1", "--major", "16",
							  "-o", "out", NULL),
					 1);
	assert_int_equal(run_pack("--from-tree", "gone", "--package", "p", "--version", "1", "-o", "out", NULL),
					 1);
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "1", "--major", "15",
							  "-o", "gone", NULL),
					 1);
	assert_non_null(strstr(pack->errors.data, "gone"));
}

static void
test_refuses_bad_options(void **state)
{
	static const char *const names[] = {"", "P", "a--b", "../a", "a/b", "a'b", "a\nb", "-"};
	static const char *const versions[] = {"", "1--2", "1/2", "1\n", "1'"};

	(void) state;
	put_extension("x", "default_version = '1.0'\n");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		assert_int_equal(run_pack("--from-tree", "tree", "--package", names[i], "--version", "1", "-o", "out",
								  NULL),
						 1);
		assert_non_null(strstr(pack->errors.data, "invalid package name"));
	}
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
	{
		assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", versions[i], "-o",
								  "out", NULL),
						 1);
		assert_non_null(strstr(pack->errors.data, "invalid version"));
	}
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "1", "--preload",
							  "q=shared", "-o", "out", NULL),
					 1);
	assert_non_null(strstr(pack->errors.data, "no module \"q\""));
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "1", "--depends",
							  "q >>> 1", "-o", "out", NULL),
					 1);
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "1", "--platform-arch",
							  "a/b", "-o", "out", NULL),
					 1);
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "1", "--setting",
							  "novalue", "-o", "out", NULL),
					 1);
	assert_int_equal(count_entries("out"), 0);
	assert_int_equal(run_pack(NULL), 2);
	assert_int_equal(run_pack("--from-tree", "tree", NULL), 2);
	assert_int_equal(run_pack("--from-tree", "tree", "--from-deb", "a.deb", NULL), 2);
	assert_int_equal(run_pack("--from-deb", NULL), 2);
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "1", "--major", "1x",
							  NULL),
					 2);
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "1", "--preload", "x",
							  NULL),
					 2);
	assert_int_equal(run_pack("--nonsense", NULL), 2);
	assert_non_null(strstr(pack->errors.data, "--nonsense"));
	assert_int_equal(run_pack("--package", NULL), 2);
	assert_int_equal(run_pack("--help", NULL), 0);
	assert_non_null(strstr(pack->output.data, "Usage: pg_depot pack"));
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, pack_setup, pack_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_describes_a_tree),
		TEST(test_takes_what_the_publisher_says),
		TEST(test_gives_the_same_bytes_again),
		TEST(test_shortens_links_to_any),
		TEST(test_copies_links_that_would_change_paths),
		TEST(test_copies_links_to_any_with_two_targets),
		TEST(test_copies_stop_overs_that_lead_elsewhere),
		TEST(test_follows_links),
		TEST(test_refuses_links_to_nowhere),
		TEST(test_flattens_directory),
		TEST(test_refuses_directories_elsewhere),
		TEST(test_strips_libdir_for_18),
		TEST(test_leaves_out_orphans),
		TEST(test_notes_paths_of_installed_servers),
		TEST(test_refuses_scripts_alone),
		TEST(test_refuses_what_the_format_cannot_carry),
		TEST(test_refuses_bad_control_files),
		TEST(test_limits_installed_paths),
		TEST(test_refuses_wrong_trees),
		TEST(test_refuses_bad_options),
	};

	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
