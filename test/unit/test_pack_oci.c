/*-------------------------------------------------------------------------
 *
 * test_pack_oci.c
 *	  "pg_depot pack --from-oci": image layouts as tools write them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "oci_layout.h"

static void
test_packs_an_image(void **state)
{
	static const Member members[] = {
		{"./", NULL, AE_IFDIR, NULL},
		{"./lib/", NULL, AE_IFDIR, NULL},
		{"./lib/x.so", "@x.so", 0, NULL},
		{"./lib/bitcode/x.bc", "BC", 0, NULL},
		{"./share/extension/x.control", CONTROL, 0, NULL},
		{"./share/extension/x--1.0.sql", "SELECT 1;\n", 0, NULL},
		{"./share/extension/x--0.9--1.0.sql", NULL, HARD_LINK, "./share/extension/x--1.0.sql"},
		{"./licenses/postgresql-15-x/copyright", "all of it\n", 0, NULL},
		{"./licenses/x/NOTICE", "note\n", 0, NULL},
		{"./etc/passwd of x", "root\n", 0, NULL},
		{"./dev/null", NULL, AE_IFCHR, NULL},
		{NULL, NULL, 0, NULL}
	};
	const DepotManifest *manifest;
	Blob		layer;
	Blob		image;

	(void) state;
	put_module("x.so");
	layer = put_layer(LAYER_TYPE "+gzip", members);
	image = put_image(HOST_ARCH, LABELS "," LABEL(STANDARD "licenses", "MIT"),
					  LABEL(STANDARD "licenses", "PostgreSQL AND MIT") ","
					  LABEL(STANDARD "source", "https://s.example") ","
					  LABEL(STANDARD "description", "does x\\nand more"), &layer, 1);
	put_index(&image, NULL, 1);
	run_well();
	manifest = pack->manifest;
	assert_int_equal(manifest->file_count, 6);
	assert_true(has_file("lib/x.so"));
	assert_string_equal(member_text("licenses/x/postgresql-15-x.copyright"), "all of it\n");
	assert_string_equal(member_text("licenses/x/NOTICE"), "note\n");
	assert_string_equal(member_text("share/extension/x--0.9--1.0.sql"), "SELECT 1;\n");
	assert_int_equal(manifest->postgresql_major, 15);
	assert_string_equal(manifest->license, "PostgreSQL AND MIT");
	assert_string_equal(manifest->homepage, "https://s.example");
	assert_string_equal(manifest->summary, "does x");
	assert_string_equal(manifest->source_kind, "oci");
	assert_string_equal(manifest->source_name, "https://s.example");
	assert_string_equal(manifest->source_version, "1.2");
	assert_int_equal(manifest->component_count, 1);
	assert_memory_equal(manifest->components[0].purl, "pkg:oci/x@sha256%3A", 19);
	assert_string_equal(manifest->components[0].purl + 19, image.digest + 7);
	assert_int_equal(manifest->module_count, 1);
	assert_non_null(strstr(pack->errors.data, "a server never reads it from a depot): 1 file, "));
	assert_non_null(strstr(pack->errors.data, "what a server does not read: 2 files"));
	assert_int_equal(run_pack(RUN, "--package", "y", "--version", "3", "--license", "MIT", "--summary", "S",
							  "--homepage", "https://h.example", "-q", NULL),
					 0);
	assert_string_equal(pack->errors.data, "");
	open_package("y-3.tar.zst");
	assert_string_equal(pack->manifest->license, "MIT");
	assert_string_equal(pack->manifest->summary, "S");
	assert_string_equal(pack->manifest->homepage, "https://h.example");
	assert_true(has_file("licenses/y/x/NOTICE"));
}

static void
test_takes_texts_that_fit(void **state)
{
	char		labels[4096];
	char		text[1201];
	Blob		layer = put_layer(LAYER_TYPE, sql_members);

	(void) state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	/* the 500th byte is the first of two of one letter */
	snprintf(labels, sizeof(labels),
			 LABELS "," LABEL(STANDARD "description", "%.499s\xc3\xa9 and more") ","
			 LABEL(STANDARD "licenses", "%.1200s") "," LABEL(STANDARD "source", "https://%.300s"),
			 text, text, text);
	put_layout(labels, &layer, 1);
	run_well();
	assert_int_equal(strlen(pack->manifest->summary), 499);
	assert_string_equal(pack->manifest->license, "");
	assert_int_equal(strlen(pack->manifest->homepage), 308);
	assert_string_equal(pack->manifest->source_name, "x");
}

static void
test_reads_every_kind_of_layer(void **state)
{
	static const char *const types[] = {
		LAYER_TYPE, LAYER_TYPE "+gzip", LAYER_TYPE "+zstd",
		"application/vnd.docker.image.rootfs.diff.tar.gzip",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
	{
		Blob		layer = put_layer(types[i], sql_members);

		put_layout(LABELS, &layer, 1);
		run_well();
		assert_int_equal(pack->manifest->file_count, 2);
	}
}

static void
test_chooses_a_platform(void **state)
{
	static const Member arm_members[] = {SQL_FILES, {"share/extension/arm.data", "arm", 0, NULL},
	{NULL, NULL, 0, NULL}};
	static const char *const more[] = {
		AMD_PLATFORM, ARM_PLATFORM,
		ATTESTATION_PLATFORM,
	};
	Blob		layers[2];
	Blob		images[3];
	Blob		nested;
	char		text[JSON_BYTES];

	(void) state;
	layers[0] = put_layer(LAYER_TYPE "+gzip", sql_members);
	layers[1] = put_layer(LAYER_TYPE "+gzip", arm_members);
	images[0] = put_image("amd64", LABELS, "", &layers[0], 1);
	images[1] = put_image("arm64", LABELS, "", &layers[1], 1);
	images[2] = put_image("unknown", "", "", NULL, 0);
	print_index(text, images, more, 3);
	nested = put_blob(INDEX_TYPE, text, strlen(text));
	put_index(&nested, NULL, 1);
	run_well();
	assert_string_equal(pack->manifest->platform_arch, HOST_ARCH);
	assert_int_equal(run_pack(RUN, "--platform", "linux/arm64", NULL), 0);
	open_package("x-1.2.tar.zst");
	assert_string_equal(pack->manifest->platform_arch, "arm64");
	assert_true(has_file("share/extension/arm.data"));
	assert_int_equal(run_pack(RUN, "--platform", "linux/amd64", NULL), 0);
	open_package("x-1.2.tar.zst");
	assert_false(has_file("share/extension/arm.data"));
	assert_int_equal(run_pack(RUN, "--platform", "linux/s390x", NULL), 1);
	assert_non_null(strstr(pack->errors.data, "no image for linux/s390x"));
	assert_non_null(strstr(pack->errors.data, "linux/amd64, linux/arm64."));
	assert_int_equal(run_pack(RUN, "--platform", "windows/amd64", NULL), 2);
	assert_int_equal(run_pack(RUN, "--from-deb", "x.deb", NULL), 2);
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "p", "--version", "1", "--platform",
							  "linux/amd64", NULL),
					 2);
	/* one for another machine is taken when there is no other, and must be what was asked for */
	put_index(&images[1], NULL, 1);
	run_well();
	assert_string_equal(pack->manifest->platform_arch, "arm64");
	assert_int_equal(run_pack(RUN, "--platform", "linux/amd64", NULL), 1);
}

static void
test_applies_layers_in_order(void **state)
{
	static const Member lower[] = {SQL_FILES,
		{"share/extension/x--1.0--1.1.sql", "gone", 0, NULL},
		{"share/extension/kept.data", "lower", 0, NULL},
		{"share/extension/same.data", NULL, HARD_LINK, "share/extension/kept.data"},
		{"share/contrib/old.sql", "old", 0, NULL},
		{"share/contrib/deep/old.sql", "old", 0, NULL},
		{"share/tree/a.sql", "a", 0, NULL},
		{"share/file", "a file", 0, NULL},
	{NULL, NULL, 0, NULL}};
	static const Member upper[] = {
		{"share/extension/.wh.x--1.0--1.1.sql", NULL, 0, NULL},
		{"share/extension/.wh.was-never-there", NULL, 0, NULL},
		{"nowhere/.wh.x", NULL, 0, NULL},
		{"nowhere/.wh..wh..opq", NULL, 0, NULL},
		{"share/extension/same.data", "upper", 0, NULL},
		/* hides what lower layers have, and not its own layer, wherever it stands */
		{"share/contrib/new.sql", "new", 0, NULL},
		{"share/contrib/.wh..wh..opq", NULL, 0, NULL},
		{"share/.wh.tree", NULL, 0, NULL},
		{"share/tree/b.sql", "b", 0, NULL},
		{"share/file/", NULL, AE_IFDIR, NULL},
		{"share/file/inside.sql", "inside", 0, NULL},
		{NULL, NULL, 0, NULL}
	};
	Blob		layers[2];

	(void) state;
	layers[0] = put_layer(LAYER_TYPE "+gzip", lower);
	layers[1] = put_layer(LAYER_TYPE "+zstd", upper);
	put_layout(LABELS, layers, 2);
	run_well();
	assert_int_equal(pack->manifest->file_count, 7);
	assert_false(has_file("share/extension/x--1.0--1.1.sql"));
	assert_string_equal(member_text("share/extension/kept.data"), "lower");
	assert_string_equal(member_text("share/extension/same.data"), "upper");
	assert_true(has_file("share/contrib/new.sql"));
	assert_true(has_file("share/tree/b.sql"));
	assert_true(has_file("share/file/inside.sql"));
	put_layout(LABELS, layers, 1);
	run_well();
	assert_int_equal(pack->manifest->file_count, 9);
}

static void
test_follows_links_inside_the_image(void **state)
{
	static const Member members[] = {SQL_FILES,
		{"lib/libx.so", NULL, AE_IFLNK, "libx.so.1"},
		{"lib/libx.so.1", "@x.so", 0, NULL},
		{"share/extension/x--0.1--1.0.sql", NULL, AE_IFLNK, "/share/extension/x--1.0.sql"},
		{"share/extension/x--0.2--1.0.sql", NULL, AE_IFLNK, "../../opt/two.sql"},
		{"opt/two.sql", "SELECT 2;\n", 0, NULL},
	{NULL, NULL, 0, NULL}};
	Blob		layer;

	(void) state;
	put_module("x.so");
	layer = put_layer(LAYER_TYPE, members);
	put_layout(LABELS, &layer, 1);
	run_well();
	assert_true(has_file("lib/libx.so"));
	assert_true(has_file("lib/libx.so.1"));
	assert_string_equal(member_text("share/extension/x--0.1--1.0.sql"), "SELECT 1;\n");
	assert_string_equal(member_text("share/extension/x--0.2--1.0.sql"), "SELECT 2;\n");
}

/* A package is itself a layer, and packed again it has the same files. */
static void
test_packs_a_package_again(void **state)
{
	DepotManifest *first;
	DepotBuffer whole;
	DepotError	error;
	Blob		layer;

	(void) state;
	put_extension("x", CONTROL);
	put_module(LIB "x.so");
	put("tree/usr/share/doc/postgresql-15-x/copyright", "all of it\n");
	assert_int_equal(run_pack("--from-tree", "tree", "--package", "x", "--version", "1.2", "-o", "out", NULL), 0);
	open_package("x-1.2.tar.zst");
	first = pack->manifest;
	pack->manifest = NULL;
	depot_buffer_init(&whole);
	assert_true(depot_files_read(pack->scratch.fd, "out/x-1.2.tar.zst", 1 << 20, &whole, &error));
	layer = put_blob(LAYER_TYPE "+zstd", whole.data, whole.length_bytes);
	depot_buffer_free(&whole);
	put_layout(LABELS, &layer, 1);
	assert_true(depot_files_remove(pack->scratch.fd, "out/x-1.2.tar.zst", &error));
	run_well();
	assert_non_null(strstr(pack->errors.data, "manifests (a package gets one of its own): 1 file"));
	assert_int_equal(pack->manifest->file_count, first->file_count);
	for (int i = 0; i < first->file_count; i++)
	{
		assert_string_equal(pack->manifest->files[i].path, first->files[i].path);
		assert_string_equal(pack->manifest->files[i].sha256, first->files[i].sha256);
		assert_int_equal(pack->manifest->files[i].mode, first->files[i].mode);
	}
	depot_manifest_free(first);
}

/* Compiles lib/x.so that needs libq.so.1, and libq.so.1; options are the linker's. */
static void
put_library_pair(const char *options)
{
	char		command[2048];

	put("q.c", "int q(void); int q(void) { return 1; }\n");
	put("m.c", "int q(void); const void *Pg_magic_func(void); const void *Pg_magic_func(void)"
		" { return q() ? 0 : \"\"; }\n");
	snprintf(command, sizeof(command),
			 "cd %s && cc -shared -fPIC -Wl,-soname,libq.so.1 -o libq.so.1 q.c &&"
			 " cc -shared -fPIC %s -o x.so m.c ./libq.so.1",
			 pack->scratch.path, options);
	assert_int_equal(system(command), 0);
}

static void
test_takes_system_libraries_that_are_looked_for(void **state)
{
	static const Member members[] = {
		{"lib/x.so", "@x.so", 0, NULL},
		{"share/extension/x.control", CONTROL, 0, NULL},
		{"share/extension/x--1.0.sql", "SELECT 1;\n", 0, NULL},
		{"system/libq.so.1.2", "@libq.so.1", 0, NULL},
		{"system/libq.so.1", NULL, AE_IFLNK, "libq.so.1.2"},
		{NULL, NULL, 0, NULL}
	};

	(void) state;
	put_library_pair("'-Wl,-rpath,/usr/lib:$ORIGIN/private'");
	put_layout_of(members);
	run_well();
	assert_true(has_file("lib/private/libq.so.1"));
	assert_int_equal(pack->manifest->system_library_count, 0);

	put_library_pair("");
	put_layout_of(members);
	run_well();
	assert_false(has_file("lib/private/libq.so.1"));
	assert_int_equal(pack->manifest->system_library_count, 1);
	assert_string_equal(pack->manifest->system_libraries[0], "libq.so.1");
	assert_non_null(strstr(pack->errors.data, "by RUNPATH $ORIGIN/private): 2 files, "));
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, pack_setup, pack_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_packs_an_image),
		TEST(test_takes_texts_that_fit),
		TEST(test_reads_every_kind_of_layer),
		TEST(test_chooses_a_platform),
		TEST(test_applies_layers_in_order),
		TEST(test_follows_links_inside_the_image),
		TEST(test_packs_a_package_again),
		TEST(test_takes_system_libraries_that_are_looked_for),
	};

	return cmocka_run_group_tests_name("pack_oci", tests, NULL, NULL);
}
