/*-------------------------------------------------------------------------
 *
 * oci_layout.h
 *	  OCI image layouts made for tests, good ones and broken ones.
 *
 * They stand in layout/ of the scratch directory.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_OCI_LAYOUT_H
#define DEPOT_TEST_OCI_LAYOUT_H

#include "pack_harness.h"

#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar"
#define JSON_BYTES 8192

/* A member of a layer: a file (with "@x" the scratch file x), or what type says. */
typedef struct Member
{
	const char *path;
	const char *text;
	mode_t		type;			/* 0: a file; AE_IFLNK, AE_IFDIR, AE_IFCHR, AE_IFIFO; 1: hard link */
	const char *link;
} Member;

#define HARD_LINK 1

typedef struct Blob
{
	char		digest[72];		/* "sha256:..." */
	const char *type;
	size_t		size;
} Blob;

static inline Blob
put_blob(const char *type, const void *bytes, size_t size)
{
	Blob		blob = {"sha256:", type, size};
	char		path[128];
	DepotError	error;

	depot_digest_sha256_hex(bytes, size, blob.digest + 7);
	snprintf(path, sizeof(path), "layout/blobs/sha256/%s", blob.digest + 7);
	make_parents(path);
	assert_true(depot_files_write_durable(pack->scratch.fd, path, bytes, size, 0644, &error));
	return blob;
}

static inline void
blob_path(const Blob *blob, char path[128])
{
	snprintf(path, 128, "layout/blobs/sha256/%s", blob->digest + 7);
}

static inline void
add_member(struct archive *archive, const Member *member)
{
	struct archive_entry *entry = archive_entry_new();
	DepotBuffer text;
	DepotError	error;

	depot_buffer_init(&text);
	if (member->text != NULL && member->text[0] == '@')
		assert_true(depot_files_read(pack->scratch.fd, member->text + 1, 1 << 20, &text, &error));
	else
		depot_buffer_append_string(&text, member->text == NULL ? "" : member->text);
	archive_entry_set_pathname(entry, member->path);
	archive_entry_set_perm(entry, member->type == AE_IFDIR ? 0755 : 0644);
	archive_entry_set_filetype(entry, member->type <= HARD_LINK ? AE_IFREG : member->type);
	if (member->type == AE_IFLNK)
		archive_entry_set_symlink(entry, member->link);
	if (member->type == HARD_LINK)
		archive_entry_set_hardlink(entry, member->link);
	archive_entry_set_size(entry, member->type == 0 ? (la_int64_t) text.length_bytes : 0);
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	if (member->type == 0)
		assert_int_equal(archive_write_data(archive, text.data, text.length_bytes), text.length_bytes);
	archive_entry_free(entry);
	depot_buffer_free(&text);
}

/* Makes a layer of members (ended by a NULL path); type ends in .tar, +gzip, .gzip or +zstd. */
static inline Blob
put_layer(const char *type, const Member *members)
{
	static char tar[1 << 20];
	struct archive *archive = archive_write_new();
	size_t		used = 0;

	archive_write_set_format_pax_restricted(archive);
	if (strstr(type, "gzip") != NULL)
		archive_write_add_filter_gzip(archive);
	if (strstr(type, "zstd") != NULL)
		archive_write_add_filter_zstd(archive);
	archive_write_set_bytes_in_last_block(archive, 1);
	assert_int_equal(archive_write_open_memory(archive, tar, sizeof(tar), &used), ARCHIVE_OK);
	for (; members->path != NULL; members++)
		add_member(archive, members);
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_write_free(archive);
	return put_blob(type, tar, used);
}

static inline const char *
print_descriptor(const Blob *blob, const char *more, char out[512])
{
	snprintf(out, 512, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s}", blob->type, blob->digest,
			 blob->size, more);
	return out;
}

/* Makes an image; labels and annotations are members of JSON objects. */
static inline Blob
put_image(const char *arch, const char *labels, const char *annotations, const Blob *layers, int count)
{
	char		text[JSON_BYTES];
	char		descriptor[512];
	Blob		config;

	snprintf(text, sizeof(text),
			 "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"Labels\":{%s}},"
			 "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}",
			 arch, labels);
	config = put_blob(CONFIG_TYPE, text, strlen(text));
	snprintf(text, sizeof(text),
			 "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"annotations\":{%s},\"config\":%s,\"layers\":[",
			 MANIFEST_TYPE, annotations, print_descriptor(&config, "", descriptor));
	for (int i = 0; i < count; i++)
	{
		size_t		length = strlen(text);

		snprintf(text + length, sizeof(text) - length, "%s%s", i == 0 ? "" : ",",
				 print_descriptor(&layers[i], "", descriptor));
	}
	strcat(text, "]}");
	return put_blob(MANIFEST_TYPE, text, strlen(text));
}

/* Makes the text of an index of descriptors, each with more members of its own ("" for none). */
static inline void
print_index(char text[JSON_BYTES], const Blob *blobs, const char *const *more, int count)
{
	char		descriptor[512];

	snprintf(text, JSON_BYTES, "{\"schemaVersion\":2,\"manifests\":[");
	for (int i = 0; i < count; i++)
	{
		size_t		length = strlen(text);

		snprintf(text + length, JSON_BYTES - length, "%s%s", i == 0 ? "" : ",",
				 print_descriptor(&blobs[i], more == NULL ? "" : more[i], descriptor));
	}
	strcat(text, "]}");
}

static inline void
put_index(const Blob *blobs, const char *const *more, int count)
{
	char		text[JSON_BYTES];

	print_index(text, blobs, more, count);
	put("layout/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	put("layout/index.json", text);
}

#define LABEL(key, value) "\"" key "\":\"" value "\""
#define STANDARD "org.opencontainers.image."
#define LABELS LABEL(STANDARD "title", "X 1.2 15 bookworm") "," LABEL(STANDARD "version", "1.2") "," \
	LABEL("io.cloudnativepg.image.base.pgmajor", "15")
#define CONTROL "default_version = '1.0'\nmodule_pathname = '$libdir/x'\n"
#define ARM_PLATFORM ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}"
#define AMD_PLATFORM ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}"
#define ATTESTATION_PLATFORM ",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}," \
	"\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}"
#define RUN "--from-oci", "layout", "-o", "out"

/* What every layer of SQL only needs. */
#define SQL_FILES \
	{"share/extension/x.control", "default_version = '1.0'\n", 0, NULL}, \
	{"share/extension/x--1.0.sql", "SELECT 1;\n", 0, NULL}

static const Member sql_members[] = {SQL_FILES, {NULL, NULL, 0, NULL}};

/* The architecture this test is compiled for, as images name it. */
#if defined(__x86_64__)
#define HOST_ARCH "amd64"
#define OTHER_ARCH "arm64"
#else
#define HOST_ARCH "arm64"
#define OTHER_ARCH "amd64"
#endif

/* Makes a layout of one image of layers. */
static inline void
put_layout(const char *labels, const Blob *layers, int count)
{
	Blob		image = put_image(HOST_ARCH, labels, "", layers, count);

	put_index(&image, NULL, 1);
}

static inline void
put_layout_of(const Member *members)
{
	Blob		layer = put_layer(LAYER_TYPE, members);

	put_layout(LABELS, &layer, 1);
}

static inline void
run_well(void)
{
	int			code = run_pack(RUN, NULL);

	if (code != 0)
		fprintf(stderr, "%s", pack->errors.data);
	assert_int_equal(code, 0);
	open_package("x-1.2.tar.zst");
}

/* True when the layout is refused with message, and nothing is written. */
static inline bool
refuses(const char *message)
{
	int			code = run_pack(RUN, NULL);

	if (code == 1 && count_entries("out") == 0 && strstr(pack->errors.data, message) != NULL)
		return true;
	fprintf(stderr, "exit code %d, not \"%s\": %s", code, message, pack->errors.data);
	return false;
}

/* True when a layer of members is refused with message. */
static inline bool
refuses_members(const Member *members, const char *message)
{
	put_layout_of(members);
	return refuses(message);
}

#endif							/* DEPOT_TEST_OCI_LAYOUT_H */
