/*-------------------------------------------------------------------------
 *
 * test_pack_oci_refused.c
 *	  "pg_depot pack --from-oci": layouts and layers that are broken or hostile.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <endian.h>

#include "oci_layout.h"

static void
test_refuses_what_is_no_layout(void **state)
{
	char		nested[2 * JSON_BYTES];
	DepotError	error;

	(void) state;
	assert_true(refuses("could not open the image layout \"layout\""));
	put("layout/index.json", "{}");
	assert_true(refuses("\"layout\": the directory is no OCI image layout"));
	put("layout/oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}");
	assert_true(refuses("version \"2.0.0\""));
	put("layout/oci-layout", "{}");
	assert_true(refuses("imageLayoutVersion"));
	put("layout/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	assert_true(refuses("manifests"));
	put("layout/index.json", "{\"manifests\":[]}");
	assert_true(refuses("no image for linux/" HOST_ARCH));
	put("layout/index.json", "{\"manifests\":[1]}");
	assert_true(refuses("not a JSON object"));
	put("layout/index.json", "{\"manifests\":[");
	assert_true(refuses("index.json"));
	memset(nested, '[', sizeof(nested) - 1);
	nested[sizeof(nested) - 1] = '\0';
	put("layout/index.json", nested);
	assert_true(refuses("index.json"));
	assert_true(depot_files_remove(pack->scratch.fd, "layout/index.json", &error));
	assert_true(refuses("index.json"));
	put("layout/index.json", "{}");
	snprintf(nested, sizeof(nested), "%s/layout/index.json", pack->scratch.path);
	assert_int_equal(truncate(nested, (off_t) 1 << 30), 0);
	assert_true(refuses("larger than"));
	put("file.tar", "x");
	assert_int_equal(run_pack("--from-oci", "file.tar", "-o", "out", NULL), 1);
	assert_non_null(strstr(pack->errors.data, "must be unpacked first"));
}

static void
test_refuses_blobs_that_are_not_what_they_should_be(void **state)
{
	Blob		layer = put_layer(LAYER_TYPE "+gzip", sql_members);
	Blob		image = put_image(HOST_ARCH, LABELS, "", &layer, 1);
	Blob		wrong = image;
	char		path[128];
	DepotError	error;

	(void) state;
	put_index(&image, NULL, 1);
	run_well();
	assert_true(depot_files_remove(pack->scratch.fd, "out/x-1.2.tar.zst", &error));
	wrong.size++;
	put_index(&wrong, NULL, 1);
	assert_true(refuses("another length"));
	wrong = image;
	wrong.digest[7] = 'A';
	put_index(&wrong, NULL, 1);
	assert_true(refuses("64 lower-case hexadecimal digits"));
	wrong = image;
	wrong.type = "text/plain";
	put_index(&wrong, NULL, 1);
	assert_true(refuses("unknown type \"text/plain\""));

	/* a layer that is not there, another of the same length, a link */
	put_index(&image, NULL, 1);
	blob_path(&layer, path);
	assert_true(depot_files_remove(pack->scratch.fd, path, &error));
	assert_true(refuses("layer 1"));
	put_link("/etc/passwd", path);
	assert_true(refuses("layer 1"));
	assert_true(depot_files_remove(pack->scratch.fd, path, &error));
	{
		char	   *zeros = calloc(1, layer.size);

		assert_true(depot_files_write_durable(pack->scratch.fd, path, zeros, layer.size, 0644, &error));
		free(zeros);
	}
	assert_true(refuses("does not have the digest of its name"));
	blob_path(&image, path);
	assert_true(depot_files_remove(pack->scratch.fd, path, &error));
	assert_true(refuses(image.digest + 7));
}

static void
test_refuses_layers_of_another_type(void **state)
{
	Blob		layer;
	Blob		nested;
	char		text[JSON_BYTES];

	(void) state;
	layer = put_layer(LAYER_TYPE "+gzip", sql_members);
	layer.type = LAYER_TYPE "+zstd";
	put_layout(LABELS, &layer, 1);
	assert_true(refuses("not compressed as its type"));
	layer.type = LAYER_TYPE;
	put_layout(LABELS, &layer, 1);
	assert_true(refuses("not compressed as its type"));
	layer.type = "application/vnd.oci.image.layer.v1.tar+xz";
	put_layout(LABELS, &layer, 1);
	assert_true(refuses("unknown type"));
	layer = put_blob(LAYER_TYPE, "no tar at all", 13);
	put_layout(LABELS, &layer, 1);
	assert_true(refuses("no tar archive, or damaged"));
	/* an index in an index in an index */
	layer = put_layer(LAYER_TYPE, sql_members);
	nested = put_image(HOST_ARCH, LABELS, "", &layer, 1);
	for (int i = 0; i < 6; i++)
	{
		print_index(text, &nested, NULL, 1);
		nested = put_blob(INDEX_TYPE, text, strlen(text));
	}
	put_index(&nested, NULL, 1);
	assert_true(refuses("nested more than"));
}

static void
test_refuses_images_that_do_not_say_enough(void **state)
{
	static const Member nothing[] = {{"etc/x", "x", 0, NULL}, {NULL, NULL, 0, NULL}};
	static const Member module[] = {{"lib/x.so", "@x.so", 0, NULL}, {NULL, NULL, 0, NULL}};
	static const char *const amd[] = {AMD_PLATFORM};
	static const char *const arm[] = {ARM_PLATFORM};
	static const char *const both[] = {AMD_PLATFORM, AMD_PLATFORM};
	Blob		layer = put_layer(LAYER_TYPE, sql_members);
	Blob		images[2];

	(void) state;
	put_layout(LABEL(STANDARD "title", "x") "," LABEL(STANDARD "version", "1"), &layer, 1);
	assert_true(refuses("Give --major"));
	put_layout(LABEL(STANDARD "title", "(x)") "," LABEL("io.cloudnativepg.image.base.pgmajor", "15"), &layer, 1);
	assert_true(refuses("Give --package"));
	put_layout(LABEL(STANDARD "title", "x") "," LABEL("io.cloudnativepg.image.base.pgmajor", "15"), &layer, 1);
	assert_true(refuses("Give --version"));
	put_layout(LABEL(STANDARD "title", "x") "," LABEL("io.cloudnativepg.image.base.pgmajor", "15") ","
			   LABEL(STANDARD "version", "1 of 2"), &layer, 1);
	assert_true(refuses("Give --version"));
	assert_true(refuses_members(nothing, "no files for a PostgreSQL server"));

	images[0] = put_image("arm64", LABELS, "", &layer, 1);
	put_index(images, amd, 1);
	assert_true(refuses("the index says it is for linux/amd64, the image linux/arm64"));
	images[0] = put_image("vax", LABELS, "", &layer, 1);
	put_index(images, NULL, 1);
	assert_true(refuses("machine that pg_depot does not know"));
	images[0] = put_image("amd64", LABELS, "", &layer, 1);
	images[1] = put_image("amd64", LABELS "," LABEL("a", "b"), "", &layer, 1);
	put_index(images, both, 2);
	assert_int_equal(run_pack(RUN, "--platform", "linux/amd64", NULL), 1);
	assert_non_null(strstr(pack->errors.data, "2 images for linux/amd64"));

	put_module("x.so");
	layer = put_layer(LAYER_TYPE, module);
	images[0] = put_image(OTHER_ARCH, LABELS, "", &layer, 1);
	put_index(images, strcmp(OTHER_ARCH, "arm64") == 0 ? arm : amd, 1);
	assert_true(refuses("the image says it is for " OTHER_ARCH ", but is for " HOST_ARCH));
}

/* The index alone says what the image is for when its configuration is empty. */
static void
test_refuses_an_image_for_another_system(void **state)
{
	static const char *const windows[] = {",\"platform\":{\"os\":\"windows\",\"architecture\":\"amd64\"}"};
	Blob		layer = put_layer(LAYER_TYPE, sql_members);
	Blob		config = put_blob("application/vnd.oci.empty.v1+json", "{}", 2);
	Blob		image;
	char		text[JSON_BYTES];
	char		of_config[512];
	char		of_layer[512];

	(void) state;
	snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":%s,\"layers\":[%s]}",
			 MANIFEST_TYPE, print_descriptor(&config, "", of_config), print_descriptor(&layer, "", of_layer));
	image = put_blob(MANIFEST_TYPE, text, strlen(text));
	put_index(&image, windows, 1);
	assert_true(refuses("it is for windows/amd64, not for linux"));
}

static void
test_refuses_hostile_members(void **state)
{
#define END {NULL, NULL, 0, NULL}
	static const Member dots[] = {SQL_FILES, {"share/../../escaped", "x", 0, NULL}, END};
	static const Member elsewhere[] = {SQL_FILES, {"opt/../../escaped", "x", 0, NULL}, END};
	static const Member absolute[] = {SQL_FILES, {"/tmp/escaped", "x", 0, NULL}, END};
	static const Member whiteout[] = {SQL_FILES, {"share/.wh...", "x", 0, NULL}, END};
	static const Member blank[] = {SQL_FILES, {"share/extension/a b.sql", "x", 0, NULL}, END};
	static const Member device[] = {SQL_FILES, {"share/extension/null", NULL, AE_IFCHR, NULL}, END};
	static const Member fifo[] = {SQL_FILES, {"lib/x.so", NULL, AE_IFIFO, NULL}, END};
	static const Member link_out[] = {SQL_FILES, {"share/extension/p.data", NULL, AE_IFLNK, "/etc/passwd"}, END};
	static const Member link_up[] = {SQL_FILES,
	{"share/extension/p.data", NULL, AE_IFLNK, "../../../../../etc/passwd"}, END};
	static const Member circle[] = {SQL_FILES, {"share/a", NULL, AE_IFLNK, "b"},
	{"share/b", NULL, AE_IFLNK, "a"}, END};
	static const Member through[] = {SQL_FILES, {"share/d", NULL, AE_IFLNK, "/tmp"},
	{"share/d/escaped", "x", 0, NULL}, END};
	static const Member hard_out[] = {SQL_FILES, {"share/p", NULL, HARD_LINK, "/etc/passwd"}, END};
	static const Member hard_up[] = {SQL_FILES, {"share/p", NULL, HARD_LINK, "../../etc/passwd"}, END};
	static const Member hard_early[] = {{"share/p", NULL, HARD_LINK, "share/extension/x.control"}, SQL_FILES,
	END};
	static const Member hard_through[] = {SQL_FILES, {"share/d", NULL, AE_IFLNK, "/etc"},
	{"share/p", NULL, HARD_LINK, "share/d/passwd"}, END};
	static const Member below_file[] = {SQL_FILES, {"share/extension/x.control/y", "x", 0, NULL}, END};

	(void) state;
	assert_true(refuses_members(dots, "leads out of the image"));
	assert_true(refuses_members(elsewhere, "leads out of the image"));
	assert_true(refuses_members(absolute, "is an absolute path"));
	assert_true(refuses_members(whiteout, "leads out of the image"));
	assert_true(refuses_members(blank, "cannot carry the file name"));
	assert_true(refuses_members(device, "share/extension/null\" is neither a file"));
	assert_true(refuses_members(fifo, "lib/x.so\" is neither a file"));
	assert_true(refuses_members(link_out, "p.data\" is a link to nothing"));
	assert_true(refuses_members(link_up, "p.data\" is a link out of the tree"));
	assert_true(refuses_members(circle, "circle"));
	assert_true(refuses_members(through, "\"share/d/escaped\" lies below something that is no directory"));
	assert_true(refuses_members(hard_out, "hard link"));
	assert_true(refuses_members(hard_up, "hard link"));
	assert_true(refuses_members(hard_early, "is a hard link to something else"));
	assert_true(refuses_members(hard_through, "is a hard link to something else"));
	assert_true(refuses_members(below_file, "no directory"));
	assert_int_not_equal(access("/tmp/escaped", F_OK), 0);
}

/* Writes a zstd frame: a raw block of head, then count blocks of 128 kB that are one zero each. */
static Blob
put_zeros(const char head[512], uint32_t count)
{
	static const unsigned char frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38};
	char	   *bytes = malloc(sizeof(frame) + 3 + 512 + 4 * (size_t) count);
	char	   *end = bytes;
	uint32_t	block = htole32(512 << 3);
	Blob		blob;

	memcpy(end, frame, sizeof(frame));
	end += sizeof(frame);
	memcpy(end, &block, 3);
	memcpy(end + 3, head, 512);
	end += 3 + 512;
	for (uint32_t i = 0; i < count; i++)
	{
		/* the last of all, run-length encoded, its length */
		block = htole32((i == count - 1 ? 1 : 0) | 1 << 1 | (128 << 10) << 3);
		memcpy(end, &block, 3);
		end[3] = '\0';
		end += 4;
	}
	blob = put_blob(LAYER_TYPE "+zstd", bytes, (size_t) (end - bytes));
	free(bytes);
	return blob;
}

/* Makes the header of a file of 8 GB less a byte. */
static void
make_large_header(const char *path, char header[512])
{
	unsigned int sum = 0;

	memset(header, 0, 512);
	snprintf(header, 100, "%s", path);
	memcpy(header + 100, "0000644", 7);
	memcpy(header + 124, "77777777777", 11);
	memcpy(header + 136, "00000000000", 11);
	memset(header + 148, ' ', 8);
	header[156] = '0';
	memcpy(header + 257, "ustar\00000", 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char) header[i];
	snprintf(header + 148, 7, "%06o", sum);
}

static void
test_refuses_bombs(void **state)
{
	static const char *const paths[] = {"share/extension/zeros.data", "var/zeros"};

	(void) state;
	for (size_t i = 0; i < 2; i++)
	{
		char		header[512];
		Blob		layer;

		make_large_header(paths[i], header);
		/* 2.5 GB in 80 kB */
		layer = put_zeros(header, 20000);
		put_layout(LABELS, &layer, 1);
		assert_true(refuses("larger than a package may be"));
	}
}

static void
test_refuses_too_many_members(void **state)
{
	struct archive *archive = archive_write_new();
	size_t		room = 32 << 20;
	char	   *tar = malloc(room);
	size_t		used = 0;
	Blob		layer;

	(void) state;
	archive_write_set_format_ustar(archive);
	assert_int_equal(archive_write_open_memory(archive, tar, room, &used), ARCHIVE_OK);
	for (int i = 0; i < 40001; i++)
	{
		char		path[64];
		const Member member = {path, NULL, AE_IFDIR, NULL};

		snprintf(path, sizeof(path), "var/%d/", i);
		add_member(archive, &member);
	}
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_write_free(archive);
	layer = put_blob(LAYER_TYPE, tar, used);
	free(tar);
	put_layout(LABELS, &layer, 1);
	assert_true(refuses("more than 40000 files"));
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, pack_setup, pack_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_refuses_what_is_no_layout),
		TEST(test_refuses_blobs_that_are_not_what_they_should_be),
		TEST(test_refuses_layers_of_another_type),
		TEST(test_refuses_images_that_do_not_say_enough),
		TEST(test_refuses_an_image_for_another_system),
		TEST(test_refuses_hostile_members),
		TEST(test_refuses_bombs),
		TEST(test_refuses_too_many_members),
	};

	return cmocka_run_group_tests_name("pack_oci_refused", tests, NULL, NULL);
}
