/*-------------------------------------------------------------------------
 *
 * test_manifest.c
 *	  Manifests: what is read and written, and everything that is refused.
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

#include "common/json.h"
#include "common/manifest.h"

#define DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OTHER_DIGEST "6a5906eb01360e5b99c4bdb932c6652c854fec6ded007d76023ce4be928de9d3"
#define TARGET "pg15/linux-amd64/hll/2.17/hll-2.17.tar.zst"
#define TEXT_BYTES 16384

/* Every member the format has, in its one spelling. */
static const char good[] =
"{\"components\":[{\"license\":\"Apache-2.0\",\"purl\":\"pkg:deb/debian/postgresql-15-hll\","
"\"version\":\"2.17-1\"}],"
"\"depends\":[{\"constraint\":\">= 1.2, < 2\",\"package\":\"libgeos\"}],"
"\"extensions\":[{\"default_version\":\"2.17\",\"name\":\"hll\",\"requires\":[\"plpgsql\"],"
"\"trusted\":false,"
"\"versions\":[\"2.16\",\"2.17\"]}],"
"\"files\":["
"{\"mode\":\"0755\",\"path\":\"lib/hll.so\",\"sha256\":\"" DIGEST "\",\"size\":4096},"
"{\"mode\":\"0644\",\"path\":\"licenses/hll/copyright\",\"sha256\":\"" DIGEST "\",\"size\":10},"
"{\"mode\":\"0644\",\"path\":\"share/extension/hll--2.17.sql\",\"sha256\":\"" DIGEST "\",\"size\":0},"
"{\"mode\":\"0644\",\"path\":\"share/extension/hll.control\",\"sha256\":\"" DIGEST "\",\"size\":200}],"
"\"format\":1,\"homepage\":\"https://example.org/hll\",\"kind\":\"extension\",\"license\":\"Apache-2.0\","
"\"modules\":[{\"name\":\"hll\",\"preload\":\"none\",\"required\":false}],\"package\":\"hll\","
"\"platform\":{\"arch\":\"amd64\",\"libc\":\"glibc\",\"libc_min\":\"2.34\",\"os\":\"linux\"},"
"\"postgresql\":{\"flavor\":\"postgresql\",\"major\":15,\"minimum_minor\":3},"
"\"settings\":[{\"name\":\"hll.force_groupagg\",\"value\":\"on\",\"why\":\"an example\"}],"
"\"source\":{\"kind\":\"deb\",\"name\":\"postgresql-hll\",\"version\":\"2.17-1\"},"
"\"summary\":\"HyperLogLog \xe2\x80\x94 counting\",\"system_libraries\":[\"libc.so.6\"],"
"\"version\":\"2.17\"}\n";

/* What the metadata of the same package says. */
static const char good_custom[] =
"{\"depends\":[],\"extensions\":[{\"default_version\":\"2.17\",\"name\":\"hll\",\"requires\":[],"
"\"trusted\":false,"
"\"versions\":[\"2.17\"]}],\"format\":1,\"kind\":\"extension\",\"license\":\"Apache-2.0\",\"modules\":[],"
"\"package\":\"hll\",\"platform\":{\"arch\":\"amd64\",\"libc\":\"glibc\",\"libc_min\":\"\","
"\"os\":\"linux\"},"
"\"postgresql\":{\"flavor\":\"postgresql\",\"major\":15,\"minimum_minor\":0},\"summary\":\"HyperLogLog\","
"\"system_libraries\":[],\"version\":\"2.17\",\"unpacked_bytes\":4306,\"manifest_sha256\":\"" OTHER_DIGEST
"\"}";

/* Copies text into out with the first occurrence of from replaced by to. */
static void
replace(const char *text, const char *from, const char *to, char out[TEXT_BYTES])
{
	const char *at = strstr(text, from);

	assert_non_null(at);
	assert_true(strlen(text) + strlen(to) < TEXT_BYTES);
	snprintf(out, TEXT_BYTES, "%.*s%s%s", (int) (at - text), text, to, at + strlen(from));
}

static void
assert_refused(const char *text, const char *message)
{
	DepotError	error = {0};
	DepotManifest *manifest = depot_manifest_parse(text, strlen(text), &error);

	if (manifest != NULL)
		fail_msg("accepted, but should be refused with \"%s\"", message);
	if (error.code != DEPOT_ERROR_MANIFEST || strstr(error.message, message) == NULL)
		fail_msg("refused with \"%s\" instead of \"%s\"", error.message, message);
}

static void
test_good(void **state)
{
	DepotError	error = {0};
	DepotManifest *manifest = depot_manifest_parse(good, strlen(good), &error);

	(void) state;
	if (manifest == NULL)
		fail_msg("%s", error.message);
	assert_int_equal(manifest->kind, DEPOT_KIND_EXTENSION);
	assert_string_equal(manifest->package, "hll");
	assert_string_equal(manifest->version, "2.17");
	assert_int_equal(manifest->postgresql_major, 15);
	assert_int_equal(manifest->postgresql_minimum_minor, 3);
	assert_string_equal(manifest->platform_libc_min, "2.34");
	assert_int_equal(manifest->extension_count, 1);
	assert_int_equal(manifest->extensions[0].version_count, 2);
	assert_string_equal(manifest->extensions[0].requires[0], "plpgsql");
	assert_int_equal(manifest->modules[0].preload, DEPOT_PRELOAD_NONE);
	assert_string_equal(manifest->depends[0].constraint, ">= 1.2, < 2");
	assert_string_equal(manifest->settings[0].why, "an example");
	assert_string_equal(manifest->components[0].version, "2.17-1");
	assert_string_equal(manifest->source_name, "postgresql-hll");
	assert_int_equal(manifest->file_count, 4);
	assert_int_equal(manifest->files[0].mode, 0755);
	assert_int_equal(depot_manifest_unpacked_bytes(manifest), 4306);
	assert_ptr_equal(depot_manifest_find_file(manifest, "share/extension/hll.control"), &manifest->files[3]);
	assert_null(depot_manifest_find_file(manifest, "share/extension"));
	depot_manifest_free(manifest);
}

static bool
add_directory(const char *path, void *context, DepotError *error)
{
	(void) error;
	strcat(context, path);
	strcat(context, " ");
	return true;
}

static void
test_directories(void **state)
{
	DepotError	error = {0};
	DepotManifest *manifest = depot_manifest_parse(good, strlen(good), &error);
	char		all[256] = "";

	(void) state;
	assert_non_null(manifest);
	assert_true(depot_manifest_visit_directories(manifest, add_directory, all, &error));
	assert_string_equal(all, "lib licenses licenses/hll share share/extension ");
	depot_manifest_free(manifest);
}

static void
test_one_spelling(void **state)
{
	DepotError	error = {0};
	DepotManifest *manifest = depot_manifest_parse(good, strlen(good), &error);
	DepotManifestFile first;
	DepotBuffer text;

	(void) state;
	assert_non_null(manifest);
	depot_buffer_init(&text);
	assert_true(depot_manifest_write(manifest, &text, &error));
	assert_string_equal(text.data, good);
	/* Whatever order the files are in. */
	first = manifest->files[0];
	manifest->files[0] = manifest->files[3];
	manifest->files[3] = first;
	depot_buffer_reset(&text);
	assert_true(depot_manifest_write(manifest, &text, &error));
	assert_string_equal(text.data, good);
	depot_buffer_free(&text);
	depot_manifest_free(manifest);
}

static void
test_write_refuses_what_cannot_be_read(void **state)
{
	DepotError	error = {0};
	DepotManifest *manifest = depot_manifest_parse(good, strlen(good), &error);
	DepotBuffer text;

	(void) state;
	assert_non_null(manifest);
	depot_buffer_init(&text);
	manifest->version[0] = ' ';
	assert_false(depot_manifest_write(manifest, &text, &error));
	assert_int_equal(error.code, DEPOT_ERROR_MANIFEST);
	manifest->version[0] = '2';
	manifest->summary[0] = (char) 0xff;
	assert_false(depot_manifest_write(manifest, &text, &error));
	assert_int_equal(error.code, DEPOT_ERROR_MANIFEST);
	depot_buffer_free(&text);
	depot_manifest_free(manifest);
}

/* What is put in for what, and the refusal. */
static const struct
{
	const char *from;
	const char *to;
	const char *message;
}			faults[] = {
	{"\"format\":1", "\"format\":2", "format 2 is not known"},
	{"\"format\":1", "\"format\":\"1\"", "format"},
	{"\"format\":1,", "", "format"},
	{"\"kind\":\"extension\"", "\"kind\":\"plugin\"", "kind"},
	{"\"kind\":\"extension\"", "\"kind\":\"library\"", "kind \"library\" does not fit"},
	{"\"kind\":\"extension\"", "\"kind\":\"module\"", "kind \"module\" does not fit"},
	{"\"package\":\"hll\",", "\"package\":\"hll\",\"package\":\"hll\",", "manifest"},
	{"\"package\":\"hll\",", "\"package\":\"Hll\",", "not a package name"},
	{"\"package\":\"hll\",", "\"package\":\"hl;l\",", "not a package name"},
	{"\"package\":\"hll\",", "\"package\":\"\",", "not a package name"},
	{"\"package\":\"hll\",", "\"package\":7,", "package"},
	{"\"version\":\"2.17\"}", "\"version\":\"2 17\"}", "not a version"},
	{"\"version\":\"2.17\"}", "\"version\":\"\"}", "not a version"},
	{"\"summary\":", "\"sumary\":", "sumary"},
	{"HyperLogLog", "Hyper\\nLogLog", "control characters"},
	{"HyperLogLog", "Hyper\xc2\x9bLogLog", "control characters"},
	{"HyperLogLog", "Hyper\\u0000LogLog", "manifest"},
	{"HyperLogLog", "Hyper\xffLogLog", "manifest"},
	{"\"homepage\":\"https://example.org/hll\",", "", "homepage"},
	{"\"major\":15", "\"major\":9", "major"},
	{"\"major\":15", "\"major\":100", "no PostgreSQL version"},
	{"\"major\":15", "\"major\":15.0", "major"},
	{"\"minimum_minor\":3", "\"minimum_minor\":-1", "minimum_minor"},
	{"\"arch\":\"amd64\"", "\"arch\":\"amd/64\"", "arch"},
	{"\"os\":\"linux\"", "\"os\":\"\"", "os"},
	{"\"libc_min\":\"2.34\"", "\"libc_min\":\"2 34\"", "libc_min"},
	{"\"libc_min\":\"2.34\"", "\"libc_min\":\"2.34\",\"extra\":1", "extra"},
	{"\"name\":\"hll\",\"requires\"", "\"name\":\"hl'l\",\"requires\"", "not an extension name"},
	{"\"requires\":[\"plpgsql\"]", "\"requires\":[\"pl--pgsql\"]", "not an extension name"},
	{"\"requires\":[\"plpgsql\"]", "\"requires\":[\"plpgsql\",\"plpgsql\"]", "listed twice"},
	{"\"requires\":[\"plpgsql\"]", "\"requires\":\"plpgsql\"", "requires"},
	{"\"requires\":[\"plpgsql\"]", "\"requires\":[1]", "not a string"},
	{"\"trusted\":false", "\"trusted\":0", "trusted"},
	{"[\"2.16\",\"2.17\"]", "[\"2.16\",\"2.16\"]", "listed twice"},
	{"[\"2.16\",\"2.17\"]", "[\"2.16\",\"../2.17\"]", "not a version"},
	{"\"extensions\":[", "\"extensions\":[7,", "not an object"},
	{"\"preload\":\"none\"", "\"preload\":\"always\"", "preload"},
	{"\"name\":\"hll\",\"preload\"", "\"name\":\"../hll\",\"preload\"", "not a module name"},
	{"\"name\":\"hll\",\"preload\"", "\"name\":\"other\",\"preload\"", "module \"other\" has no file"},
	{">= 1.2, < 2", ">> 1.2", "depends[0]"},
	{"\"package\":\"libgeos\"", "\"package\":\"hll\"", "depends on itself"},
	{"hll.force_groupagg", "hll force", "setting"},
	{"\"libc.so.6\"", "\"../libc.so.6\"", "file name"},
	{"\"libc.so.6\"", "\"libc.so.6\",\"libc.so.6\"", "listed twice"},
	{"\"path\":\"lib/hll.so\"", "\"path\":\"lib/../hll.so\"", "relative path"},
	{"\"path\":\"lib/hll.so\"", "\"path\":\"/lib/hll.so\"", "relative path"},
	{"\"path\":\"lib/hll.so\"", "\"path\":\"lib//hll.so\"", "relative path"},
	{"\"path\":\"lib/hll.so\"", "\"path\":\"bin/hll\"", "is not in lib/"},
	{"\"path\":\"lib/hll.so\"", "\"path\":\"lib\"", "is not in lib/"},
	{"\"path\":\"lib/hll.so\"", "\"path\":\"lib/plugins/hll.so\"", "lib/plugins/"},
	{"\"path\":\"lib/hll.so\"", "\"path\":\"lib/bitcode/hll.bc\"", "lib/bitcode/"},
	{"licenses/hll/", "licenses/other/", "is not in lib/"},
	{"share/extension/hll--2.17.sql", "share/depot/other.json", "only the manifest"},
	{"share/extension/hll--2.17.sql", "share/extension/hll.control", "listed twice"},
	{"share/extension/hll--2.17.sql", "share/extension/zzz", "not sorted"},
	{"share/extension/hll--2.17.sql", "share/extension", "a file and a directory"},
	{"share/extension/hll--2.17.sql", "share/extension/HLL.control", "only in case"},
	{"share/extension/hll--2.17.sql", "share/Extension/hll", "only in case"},
	{"share/extension/hll--2.17.sql", "share/Depot/hll", "only in case"},
	{"\"mode\":\"0755\"", "\"mode\":\"0777\"", "mode"},
	{"\"mode\":\"0755\"", "\"mode\":493", "mode"},
	{"\"size\":4096", "\"size\":-1", "size"},
	{"\"size\":4096", "\"size\":1099511627777", "1 TiB"},
	{"\"size\":4096", "\"size\":4096.0", "size"},
	{DIGEST, "E3B0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "sha256"},
	{"\"files\":[", "\"files\":[[],", "not an object"},
	{"}\n", "} {}", "manifest"},
	{"{\"components\"", "[{\"components\"", "manifest"},
};

static void
test_faults(void **state)
{
	char		text[TEXT_BYTES];

	(void) state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
	{
		replace(good, faults[i].from, faults[i].to, text);
		assert_refused(text, faults[i].message);
	}
	assert_refused("", "manifest");
	assert_refused("[]", "not an object");
	assert_refused("null", "manifest");
}

static void
test_cut_off(void **state)
{
	(void) state;
	for (size_t length = 0; length < strlen(good) - 1; length += 5)
	{
		DepotError	error = {0};

		assert_null(depot_manifest_parse(good, length, &error));
		assert_int_equal(error.code, DEPOT_ERROR_MANIFEST);
	}
}

static void
test_long_path(void **state)
{
	char		path[400];
	char		text[TEXT_BYTES];

	(void) state;
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	memcpy(path, "share/", strlen("share/"));
	path[200] = '/';
	replace(good, "share/extension/hll--2.17.sql", path, text);
	assert_refused(text, "has 399 bytes");
}

static DepotManifest *
read_custom(const char *text, const char *target, char sha256[65], DepotError *error)
{
	json_t	   *custom = json_loads(text, 0, NULL);
	DepotManifest *manifest;

	assert_non_null(custom);
	manifest = depot_manifest_from_custom(custom, target, sha256, error);
	json_decref(custom);
	return manifest;
}

static void
test_custom_round_trip(void **state)
{
	DepotError	error = {0};
	DepotManifest *manifest = depot_manifest_parse(good, strlen(good), &error);
	DepotManifest *again;
	char		sha256[65];
	json_t	   *custom;

	(void) state;
	assert_non_null(manifest);
	custom = depot_manifest_custom(manifest, OTHER_DIGEST, &error);
	assert_non_null(custom);
	assert_null(json_object_get(custom, "files"));
	assert_null(json_object_get(custom, "settings"));
	again = depot_manifest_from_custom(custom, TARGET, sha256, &error);
	if (again == NULL)
		fail_msg("%s", error.message);
	assert_string_equal(sha256, OTHER_DIGEST);
	assert_string_equal(again->package, "hll");
	assert_string_equal(again->homepage, "");
	assert_string_equal(again->source_kind, "");
	assert_int_equal(again->file_count, 0);
	assert_int_equal(again->module_count, 1);
	assert_string_equal(again->extensions[0].versions[1], "2.17");
	assert_int_equal(depot_manifest_unpacked_bytes(again), 4306);
	json_decref(custom);
	depot_manifest_free(again);
	depot_manifest_free(manifest);
}

static void
test_custom_faults(void **state)
{
	static const struct
	{
		const char *from;
		const char *to;
		const char *message;
	}			custom_faults[] = {
		{"\"format\":1", "\"format\":2", "format 2"},
		{"\"package\":\"hll\"", "\"package\":\"other\"", "does not fit"},
		{"\"package\":\"hll\"", "\"package\":\"h'll\"", "not a package name"},
		{"\"major\":15", "\"major\":16", "does not fit"},
		{"\"arch\":\"amd64\"", "\"arch\":\"arm64\"", "does not fit"},
		{"\"version\":\"2.17\",\"unpacked", "\"version\":\"2.18\",\"unpacked", "does not fit"},
		{"\"unpacked_bytes\":4306", "\"unpacked_bytes\":\"4306\"", "unpacked_bytes"},
		{"\"unpacked_bytes\":4306,", "", "unpacked_bytes"},
		{OTHER_DIGEST, "6a59", "manifest_sha256"},
		{"\"modules\":[]", "\"modules\":{}", "modules"},
		{"\"depends\":[]", "\"depends\":[{}]", "depends[0]"},
	};
	char		text[TEXT_BYTES];
	char		sha256[65];
	DepotError	error = {0};
	DepotManifest *manifest;

	(void) state;
	for (size_t i = 0; i < sizeof(custom_faults) / sizeof(custom_faults[0]); i++)
	{
		replace(good_custom, custom_faults[i].from, custom_faults[i].to, text);
		manifest = read_custom(text, TARGET, sha256, &error);
		if (manifest != NULL)
			fail_msg("accepted: %s", custom_faults[i].to);
		assert_int_equal(error.code, DEPOT_ERROR_MANIFEST);
		if (strstr(error.message, custom_faults[i].message) == NULL)
			fail_msg("refused with \"%s\" instead of \"%s\"", error.message, custom_faults[i].message);
	}
	assert_null(read_custom(good_custom, "pg15/linux-amd64/hll/2.17/other.tar.zst", sha256, &error));
	assert_null(read_custom("[]", TARGET, sha256, &error));
	/* A newer publisher may say more, at every level. */
	replace(good_custom, "\"format\":1", "\"format\":1,\"yanked\":{\"reason\":\"x\"}", text);
	manifest = read_custom(text, TARGET, sha256, &error);
	assert_non_null(manifest);
	depot_manifest_free(manifest);
	replace(good_custom, "\"trusted\":false", "\"trusted\":false,\"colour\":\"green\"", text);
	manifest = read_custom(text, TARGET, sha256, &error);
	assert_non_null(manifest);
	depot_manifest_free(manifest);
}

static void
test_path(void **state)
{
	char		out[DEPOT_MANIFEST_PATH_BYTES];

	(void) state;
	depot_manifest_path("hll", out);
	assert_string_equal(out, "share/depot/hll.json");
	depot_manifest_path("a23456789012345678901234567890123456789012345678901234567890123", out);
	assert_int_equal(strlen(out), strlen("share/depot/.json") + 63);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_one_spelling),
		cmocka_unit_test(test_write_refuses_what_cannot_be_read),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_custom_round_trip),
		cmocka_unit_test(test_custom_faults),
		cmocka_unit_test(test_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
