/*-------------------------------------------------------------------------
 *
 * fuzz_archive.c
 *	  Packages: as they are, when the input begins as one does; else the
 *	  input is the tar, around which a frame of raw blocks is made.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_tar.h"

#include "common/archive.h"
#include "common/name.h"

#define BLOCK_MAX_BYTES ((size_t) 128 * 1024)
#define TAR_MAX_BYTES ((size_t) 4 << 20)

static const uint8_t magic[] = {0x28, 0xB5, 0x2F, 0xFD};

static void
append_little_endian(DepotBuffer *out, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
	{
		uint8_t		byte = (uint8_t) (value >> (8 * i));

		depot_buffer_append(out, &byte, 1);
	}
}

/* Makes a zstd frame of raw blocks (RFC 8878, section 3.1.1). */
static void
make_frame(const uint8_t *tar, size_t size, DepotBuffer *frame)
{
	static const uint8_t single_segment_of_four_bytes = 0xA0;
	size_t		done = 0;

	depot_buffer_append(frame, magic, sizeof(magic));
	depot_buffer_append(frame, &single_segment_of_four_bytes, 1);
	append_little_endian(frame, size, 4);
	do
	{
		size_t		count = size - done < BLOCK_MAX_BYTES ? size - done : BLOCK_MAX_BYTES;

		append_little_endian(frame, (uint64_t) count << 3 | (done + count == size), 3);
		depot_buffer_append(frame, tar + done, count);
		done += count;
	} while (done < size);
	FUZZ_REQUIRE(!frame->failed);
}

/* Requires that every way to read a good package agrees. */
static void
check_good(int fd, const DepotManifest *manifest, const char *sha256)
{
	static const char other[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	DepotArchiveLimits tight = depot_archive_default_limits;
	DepotError	error = {0};
	char		again_sha256[65];
	DepotManifest *again = depot_archive_verify(fd, NULL, sha256, again_sha256, NULL, NULL, &error);

	FUZZ_REQUIRE(depot_name_is_sha256(sha256));
	FUZZ_REQUIRE(again != NULL && strcmp(sha256, again_sha256) == 0);
	depot_manifest_free(again);
	again = depot_archive_read_manifest(fd, NULL, sha256, &error);
	FUZZ_REQUIRE(again != NULL && again->file_count == manifest->file_count);
	depot_manifest_free(again);
	FUZZ_REQUIRE(depot_archive_verify(fd, NULL, other, again_sha256, NULL, NULL, &error) == NULL);
	fuzz_require_refusal(&error);
	if (depot_manifest_unpacked_bytes(manifest) == 0)
		return;
	tight.unpacked_bytes = depot_manifest_unpacked_bytes(manifest) - 1;
	FUZZ_REQUIRE(depot_archive_verify(fd, &tight, NULL, again_sha256, NULL, NULL, &error) == NULL);
	FUZZ_REQUIRE(error.code == DEPOT_ERROR_ARCHIVE_LIMIT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotError	error = {0};
	DepotBuffer frame;
	DepotManifest *manifest;
	char		sha256[65];
	int			fd;

	if (size > TAR_MAX_BYTES)
		return 0;
	depot_buffer_init(&frame);
	if (size >= sizeof(magic) && memcmp(data, magic, sizeof(magic)) == 0)
		FUZZ_REQUIRE(depot_buffer_append(&frame, data, size));
	else
	{
		char	   *tar = fuzz_string(data, size);

		fuzz_tar_correct((uint8_t *) tar, size);
		make_frame((const uint8_t *) tar, size, &frame);
		free(tar);
	}
	fd = fuzz_file(frame.data, frame.length_bytes);
	manifest = depot_archive_verify(fd, NULL, NULL, sha256, NULL, NULL, &error);
	if (manifest != NULL)
		check_good(fd, manifest, sha256);
	else
		fuzz_require_refusal(&error);
	depot_manifest_free(manifest);
	depot_buffer_free(&frame);
	return 0;
}
