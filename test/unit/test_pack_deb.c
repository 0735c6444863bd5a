/*-------------------------------------------------------------------------
 *
 * test_pack_deb.c
 *	  "pg_depot pack --from-deb", and the reading of Debian's words.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "pack_harness.h"

#include "cli/pack_debian.c"
#include "cli/pack_postinst.c"

#define DEB_EXT "./usr/share/postgresql/15/extension/"
#define DEB_LIB "./usr/lib/postgresql/15/lib/"

static const char plain_control[] = "Package: postgresql-15-x-3\n"
"Source: x-source (1:3.0.1+dfsg-2)\n"
"Version: 1:3.0.1+dfsg-2+b1\n"
"Architecture: amd64\n"
"Depends: postgresql-15 (>= 15.4), postgresql-15-y (>= 2.1-3) | "
"postgresql-15-y-old, postgresql-15-jit-llvm (>= 14),\n"
" libc6 (>= 2.34), postgresql-15-x-3-scripts, postgresql-14-z\n"
"Homepage: https://x.example\n"
"Description: does x\n"
" and says more\n";

static const char scripts_control[] =
"Package: postgresql-15-x-3-scripts\n"
"Version: 3.0.1+dfsg-2\n"
"Architecture: all\n"
"Description: scripts of x\n";

static const DebFile plain_files[] = {
	{DEB_LIB "x-3.so", "@x.so", NULL},
	{DEB_LIB "bitcode/x.bc", "BC", NULL},
	{DEB_LIB "plugins/x-3.so", NULL, "../x-3.so"},
	{"./usr/lib/postgresql/15/bin/xtool", "#!/bin/sh\n", NULL},
	{"./usr/share/doc/postgresql-15-x-3/copyright",
		"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n"
	"Copyright: somebody\nLicense: GPL-2+\n\nFiles: debian/*\nLicense: Expat\n", NULL},
	{NULL, NULL, NULL}
};

static const DebFile scripts_files[] = {
	{DEB_EXT "x-3.control", "default_version = '3.0.1'\nmodule_pathname = '$libdir/x-3'\n", NULL},
	{DEB_EXT "x--3.0.1.sql", "SELECT 3;\n", NULL},
	{NULL, NULL, NULL}
};

static const char scripts_postinst[] =
"#!/bin/sh\nset -e\n# update-alternatives --install /usr/share/postgresql/15/extension/no.control no "
"/nowhere 1\n"
"DIR=\"/usr/share/postgresql/15/extension\"\nMAJOR=3\n"
"touch executed\n"
"case $1 in\n  configure)\n    update-alternatives \\\n"
"    --install $DIR/x.control  pg-x.control ${DIR}/x-$MAJOR.control ${MAJOR}0 \\\n"
"      --slave /usr/share/man/man1/x.1.gz x.1.gz /usr/share/man/man1/x-3.1.gz\n    ;;\nesac\n";

static void
test_packs_two_packages_in_any_order(void **state)
{
	const DepotManifest *manifest;
	char		first[65];
	char		second[65];
	DepotError	error;

	(void) state;
	put_module("x.so");
	put_deb("a.deb", plain_control, NULL, plain_files);
	put_deb("b.deb", scripts_control, scripts_postinst, scripts_files);
	assert_int_equal(run_pack("--from-deb", "a.deb", "b.deb", "-o", "out", NULL), 0);
	assert_true(depot_digest_file(pack->scratch.fd, "out/x-3.0.1.tar.zst", first, NULL, &error));
	assert_int_equal(run_pack("--from-deb", "b.deb", "a.deb", "-o", "out", NULL), 0);
	assert_true(depot_digest_file(pack->scratch.fd, "out/x-3.0.1.tar.zst", second, NULL, &error));
	assert_string_equal(first, second);
	assert_false(depot_files_exists(pack->scratch.fd, "executed"));
	assert_non_null(strstr(pack->errors.data, "lib/plugins (every user could load it): 1 file"));
	assert_non_null(strstr(pack->errors.data, "programs: 1 file"));
	open_package("x-3.0.1.tar.zst");
	manifest = pack->manifest;
	assert_int_equal(manifest->file_count, 4);
	assert_true(has_file("lib/x-3.so"));
	assert_true(has_file("share/extension/x.control"));
	assert_true(has_file("licenses/x/postgresql-15-x-3.copyright"));
	assert_string_equal(manifest->license, "GPL-2.0-or-later");
	assert_string_equal(manifest->summary, "does x");
	assert_string_equal(manifest->homepage, "https://x.example");
	assert_string_equal(manifest->source_kind, "deb");
	assert_string_equal(manifest->source_name, "x-source");
	assert_string_equal(manifest->source_version, "1:3.0.1+dfsg-2");
	assert_int_equal(manifest->postgresql_minimum_minor, 4);
	assert_int_equal(manifest->depend_count, 1);
	assert_string_equal(manifest->depends[0].package, "y");
	assert_string_equal(manifest->depends[0].constraint, ">= 2.1");
	assert_int_equal(manifest->component_count, 2);
	assert_string_equal(manifest->components[0].purl,
						"pkg:deb/debian/postgresql-15-x-3@1%3A3.0.1%2Bdfsg-2%2Bb1");
}

static void
test_lets_the_publisher_correct_debian(void **state)
{
	(void) state;
	put_module("x.so");
	put_deb("a.deb", plain_control, NULL, plain_files);
	put_deb("b.deb", scripts_control, scripts_postinst, scripts_files);
	assert_int_equal(run_pack("--from-deb", "a.deb", "b.deb", "-o", "out", "--package", "xx", "--version",
							  "9", "--without-depends", "y", "--minimum-minor", "0", "--license", "MIT", "-q",
							  NULL),
					 0);
	assert_string_equal(pack->errors.data, "");
	open_package("xx-9.tar.zst");
	assert_int_equal(pack->manifest->depend_count, 0);
	assert_int_equal(pack->manifest->postgresql_minimum_minor, 0);
	assert_string_equal(pack->manifest->license, "MIT");
	assert_true(has_file("licenses/xx/postgresql-15-x-3.copyright"));
}

/* Runs pack on c.deb with these files and tells whether it was refused with message. */
static bool
refuses_deb(const DebFile *files, const char *message)
{
	int			code;

	put_deb("c.deb", scripts_control, NULL, files);
	code = run_pack("--from-deb", "c.deb", "-o", "out", NULL);
	if (code == 1 && strstr(pack->errors.data, message) != NULL &&
		strstr(pack->errors.data, "executed") == NULL && count_entries("out") == 0)
		return true;
	fprintf(stderr, "exit code %d: %s", code, pack->errors.data);
	return false;
}

static void
test_refuses_bad_contents(void **state)
{
	static const DebFile no_server_file[] = {{"./usr/bin/x", "x", NULL}, {NULL, NULL, NULL}};
	static const DebFile blank[] = {{DEB_EXT "a b.sql", "x", NULL}, {NULL, NULL, NULL}};
	static const DebFile dots[] = {{DEB_EXT "../../../../../../escaped", "x", NULL}, {NULL, NULL, NULL}};
	static const DebFile twice[] = {{DEB_EXT "x.control", "x", NULL},
	{DEB_EXT "x.control", "y", NULL},
	{NULL, NULL, NULL}};
	static const DebFile dangling[] = {{DEB_EXT "x--1--2.sql", NULL, "gone.sql"}, {NULL, NULL, NULL}};
	static const DebFile through_link[] = {{"./usr/share/postgresql/15/d", NULL, "/tmp"},
	{"./usr/share/postgresql/15/d/escaped", "x", NULL}, {NULL, NULL, NULL}};

	(void) state;
	assert_true(refuses_deb(no_server_file, "no files for a PostgreSQL server"));
	assert_true(refuses_deb(blank, "cannot carry the file name"));
	assert_true(refuses_deb(dots, "cannot carry the file name"));
	assert_true(refuses_deb(twice, "and so does a package before it"));
	assert_true(refuses_deb(dangling, "x--1--2.sql\" is a link to nothing"));
	assert_true(refuses_deb(through_link, "error"));
	assert_int_not_equal(access("/tmp/escaped", F_OK), 0);
}

static void
test_refuses_what_is_no_debian_package(void **state)
{
	DepotBuffer whole;
	DepotError	error;

	(void) state;
	put("text.deb", "hello\n");
	assert_int_equal(run_pack("--from-deb", "text.deb", "-o", "out", NULL), 1);
	assert_non_null(strstr(pack->errors.data, "\"text.deb\": it is no Debian package"));
	assert_int_equal(run_pack("--from-deb", "gone.deb", "-o", "out", NULL), 1);
	assert_non_null(strstr(pack->errors.data, "gone.deb"));
	assert_non_null(strstr(pack->errors.data, "No such file"));
	assert_int_equal(run_pack("--from-deb", "tree", "-o", "out", NULL), 1);

	put_module("x.so");
	put_deb("a.deb", plain_control, NULL, plain_files);
	depot_buffer_init(&whole);
	assert_true(depot_files_read(pack->scratch.fd, "a.deb", 1 << 20, &whole, &error));
	for (size_t length = 0; length < whole.length_bytes; length += 97)
	{
		assert_true(depot_files_write_durable(pack->scratch.fd, "cut.deb", whole.data, length, 0644, &error));
		assert_int_equal(run_pack("--from-deb", "cut.deb", "-o", "out", NULL), 1);
	}
	depot_buffer_free(&whole);
	assert_int_equal(count_entries("out"), 0);
}

static void
test_refuses_packages_that_do_not_fit(void **state)
{
	static const char other_control[] = "Package: postgresql-15-q\nVersion: 1-1\n";
	static const char library_control[] = "Package: libx\nVersion: 3.0.1-1\n";
	static const DebFile other_files[] = {{DEB_EXT "q.control", "default_version = '1'\n", NULL},
	{NULL, NULL, NULL}};

	(void) state;
	put_deb("b.deb", scripts_control, scripts_postinst, scripts_files);
	put_deb("c.deb", other_control, NULL, other_files);
	put_deb("d.deb", library_control, NULL, other_files);
	assert_int_equal(run_pack("--from-deb", "b.deb", "c.deb", "-o", "out", NULL), 1);
	assert_non_null(strstr(pack->errors.data, "Give --package"));
	assert_int_equal(run_pack("--from-deb", "b.deb", "c.deb", "--package", "p", "-o", "out", NULL), 1);
	assert_non_null(strstr(pack->errors.data, "different versions"));
	assert_int_equal(run_pack("--from-deb", "d.deb", "-o", "out", NULL), 1);
	assert_non_null(strstr(pack->errors.data, "Give --package"));
	assert_int_equal(run_pack("--from-deb", "b.deb", "b.deb", "-o", "out", NULL), 1);
	/* the scripts without the package that has the library */
	assert_int_equal(run_pack("--from-deb", "b.deb", "-o", "out", NULL), 1);
	assert_non_null(strstr(pack->errors.data, "no library of this package"));
	assert_int_equal(count_entries("out"), 0);
}

static void
test_upstream_versions(void **state)
{
	static const char *const cases[][2] = {
		{"2.17-1+b1", "2.17"},
		{"1:1.5-1+b1", "1.5"},
		{"3.3.2+dfsg-1", "3.3.2"},
		{"3.3.2+dfsg1-1", "3.3.2"},
		{"2.0+ds.2-1", "2.0"},
		{"1.0~dfsg-1", "1.0"},
		{"0.1.4-4-gd63ea3b-6+b1", "0.1.4-4-gd63ea3b"},
		{"1.1.1+2021-11-10-2+b1", "1.1.1+2021-11-10"},
		{"202209.3-1", "202209.3"},
		{"5", "5"},
		{"1.0+dfsgx-1", "1.0+dfsgx"},
		{"1.4.8-1+deb12u1", "1.4.8"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *version = depot_debian_upstream_version(cases[i][0]);

		assert_string_equal(version, cases[i][1]);
		free(version);
	}
}

static void
test_licenses(void **state)
{
	static const char *const cases[][2] = {
		{"PostgreSQL", "PostgreSQL"},
		{"GPL-2+", "GPL-2.0-or-later"},
		{"LGPL-2.1", "LGPL-2.1-only"},
		{"Expat", "MIT"},
		{"GPL-2+ and Expat", NULL},
		{"other-thing", NULL},
		{"GPL-x", NULL},
		{"GPL-2-with-openssl", NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		text[256];
		char		buffer[64];
		const char *license;

		snprintf(text, sizeof(text), "Format: f\n\nFiles: *\nLicense: %s\n Text.\n", cases[i][0]);
		license = depot_debian_license(text, buffer, sizeof(buffer));
		if (cases[i][1] == NULL)
			assert_null(license);
		else
			assert_string_equal(license, cases[i][1]);
		assert_null(depot_debian_license(text + 10, buffer, sizeof(buffer)));
	}
}

typedef struct Seen
{
	int			count;
	char		text[512];
} Seen;

static bool
remember(const char *link, const char *path, void *context, DepotError *error)
{
	Seen	   *seen = context;

	(void) error;
	seen->count++;
	snprintf(seen->text + strlen(seen->text), sizeof(seen->text) - strlen(seen->text), "%s=%s;", link, path);
	return true;
}

static void
test_alternatives(void **state)
{
	static const struct
	{
		const char *script;
		const char *expected;
	}			cases[] = {
		{"update-alternatives --install /a n /b 10\n", "/a=/b;"},
		{"update-alternatives --install '/a' n \"/b\" 10 --slave /c m /d\n", "/a=/b;/c=/d;"},
		{"A=/x; update-alternatives --install $A/a n ${A}/b 10", "/x/a=/x/b;"},
		{"if true; then update-alternatives --install /a n /b 1; fi", "/a=/b;"},
		{"update-alternatives --install $UNSET/a n /b 10\n", ""},
		{"update-alternatives --install /a$(id) n /b 10\n", ""},
		{"update-alternatives --install /a n `id` 10\n", ""},
		{"A=/x\nA=/y\nupdate-alternatives --install $A n /b 10\n", ""},
		{"A=/x\nA=$(id)\nupdate-alternatives --install $A n /b 10\n", ""},
		{"A=$(id)\nA=/x\nupdate-alternatives --install $A n /b 10\n", ""},
		{"A=/x\nA=/x\nupdate-alternatives --install $A n /b 10\n", "/x=/b;"},
		{"A=$(id)\nupdate-alternatives --install $A n /b 10\n", ""},
		{"# update-alternatives --install /a n /b 10\n", ""},
		{"echo update-alternatives --install /a n /b 10\n", ""},
		{"update-alternatives --install /a n /b* 10\n", ""},
		{"update-alternatives --install '/a", ""},
		{"update-alternatives --install /a n\n", ""},
		{"", ""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Seen		seen = {0, ""};
		DepotError	error;

		assert_true(depot_postinst_visit_alternatives(cases[i].script, remember, &seen, &error));
		assert_string_equal(seen.text, cases[i].expected);
	}
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, pack_setup, pack_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_packs_two_packages_in_any_order),
		TEST(test_lets_the_publisher_correct_debian),
		TEST(test_refuses_bad_contents),
		TEST(test_refuses_what_is_no_debian_package),
		TEST(test_refuses_packages_that_do_not_fit),
		cmocka_unit_test(test_upstream_versions),
		cmocka_unit_test(test_licenses),
		cmocka_unit_test(test_alternatives),
	};

	return cmocka_run_group_tests_name("pack_deb", tests, NULL, NULL);
}
