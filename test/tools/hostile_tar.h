/*-------------------------------------------------------------------------
 *
 * hostile_tar.h
 *	  Tar and zstd written by hand, for archives that no library would write.
 *
 * Zeros cost nothing: a run of them becomes RLE blocks, so 10 GB are written
 * at once.  Where real compression is needed (entries that differ), the
 * stream goes through libarchive instead.  A failed write ends the program: this is a test's tool.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_HOSTILE_TAR_H
#define DEPOT_TEST_HOSTILE_TAR_H

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAR_BLOCK 512
#define FRAME_BLOCK (128 << 10)

typedef struct Out
{
	FILE	   *file;
	struct archive *library;	/* NULL: blocks by hand */
	bool		plain;			/* no zstd at all */
	size_t		pending;
	unsigned char block[FRAME_BLOCK];
} Out;

static void
out_fail(const char *what)
{
	fprintf(stderr, "hostile: %s failed\n", what);
	exit(2);
}

static void
out_file(Out *out, const void *bytes, size_t length)
{
	if (length > 0 && fwrite(bytes, 1, length, out->file) != length)
		out_fail("writing");
}

static void
out_block_header(Out *out, unsigned type, size_t size, bool last)
{
	unsigned	header = (unsigned) size << 3 | type << 1 | (last ? 1 : 0);
	unsigned char bytes[3] = {(unsigned char) header, (unsigned char) (header >> 8),
	(unsigned char) (header >> 16)};

	out_file(out, bytes, sizeof(bytes));
}

static void
out_flush(Out *out)
{
	if (out->pending == 0)
		return;
	if (!out->plain)
		out_block_header(out, 0, out->pending, false);
	out_file(out, out->block, out->pending);
	out->pending = 0;
}

/* Begins a frame by hand; window_exponent as in its header: 7 is 128 KB. */
static void
out_begin(Out *out, unsigned window_exponent)
{
	const unsigned char header[6] = {0x28, 0xB5, 0x2F, 0xFD, 0, (unsigned char) (window_exponent << 3)};

	if (!out->plain)
		out_file(out, header, sizeof(header));
}

/* Begins a stream that libarchive compresses. */
static void
out_begin_library(Out *out)
{
	struct archive_entry *entry = archive_entry_new();

	out->library = archive_write_new();
	archive_write_set_format_raw(out->library);
	archive_write_add_filter_zstd(out->library);
	archive_write_set_filter_option(out->library, "zstd", "compression-level", "1");
	archive_write_set_bytes_in_last_block(out->library, 1);
	archive_entry_set_pathname(entry, "data");
	archive_entry_set_filetype(entry, AE_IFREG);
	if (archive_write_open_FILE(out->library, out->file) != ARCHIVE_OK ||
		archive_write_header(out->library, entry) != ARCHIVE_OK)
		out_fail("libarchive");
	archive_entry_free(entry);
}

static void
out_bytes(Out *out, const void *bytes, size_t length)
{
	const unsigned char *p = bytes;

	if (out->library != NULL)
	{
		if (archive_write_data(out->library, bytes, length) != (la_ssize_t) length)
			out_fail("libarchive");
		return;
	}
	while (length > 0)
	{
		size_t		piece = length < FRAME_BLOCK - out->pending ? length : FRAME_BLOCK - out->pending;

		memcpy(out->block + out->pending, p, piece);
		out->pending += piece;
		p += piece;
		length -= piece;
		if (out->pending == FRAME_BLOCK)
			out_flush(out);
	}
}

static void
out_zeros(Out *out, uint64_t length)
{
	static const unsigned char zeros[FRAME_BLOCK];

	while (length > 0)
	{
		size_t		piece = length < FRAME_BLOCK ? (size_t) length : FRAME_BLOCK;

		if (out->library != NULL || out->plain || piece < FRAME_BLOCK)
			out_bytes(out, zeros, piece);
		else
		{
			out_flush(out);
			out_block_header(out, 1, piece, false);
			out_file(out, "", 1);
		}
		length -= piece;
	}
}

static void
out_end(Out *out)
{
	if (out->library != NULL)
	{
		if (archive_write_close(out->library) != ARCHIVE_OK)
			out_fail("libarchive");
		archive_write_free(out->library);
		out->library = NULL;
		return;
	}
	out_flush(out);
	if (!out->plain)
		out_block_header(out, 0, 0, true);
}

/* Writes a number as octal digits, or in base 256 where it does not fit, as GNU tar does. */
static void
tar_number(char *field, size_t bytes, uint64_t value)
{
	if (value >> (3 * (bytes - 1)) == 0)
	{
		for (size_t i = bytes - 1; i-- > 0; value >>= 3)
			field[i] = (char) ('0' + (value & 7));
		return;
	}
	for (size_t i = bytes; i-- > 0; value >>= 8)
		field[i] = (char) (value & 0xff);
	field[0] = (char) (field[0] | (char) 0x80);
}

static void
tar_header(Out *out, const char *name, char type, unsigned mode, uint64_t size, const char *link)
{
	char		header[TAR_BLOCK] = {0};
	unsigned	sum = 0;

	memcpy(header, name, strnlen(name, 100));
	tar_number(header + 100, 8, mode);
	tar_number(header + 108, 8, 0);
	tar_number(header + 116, 8, 0);
	tar_number(header + 124, 12, size);
	tar_number(header + 136, 12, 0);
	memset(header + 148, ' ', 8);
	header[156] = type;
	if (link != NULL)
		memcpy(header + 157, link, strnlen(link, 100));
	memcpy(header + 257, "ustar\00000", 8);
	if (type == '3' || type == '4')
	{
		tar_number(header + 329, 8, 1);
		tar_number(header + 337, 8, 3);
	}
	for (size_t i = 0; i < sizeof(header); i++)
		sum += (unsigned char) header[i];
	tar_number(header + 148, 7, sum);
	header[154] = '\0';
	out_bytes(out, header, sizeof(header));
}

static void
tar_pad(Out *out, uint64_t size)
{
	out_zeros(out, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

/* Appends one record "LENGTH key=value\n" to text, whose length counts itself. */
static void
tar_pax_record(char *text, size_t text_bytes, const char *key, const char *value)
{
	size_t		used = strlen(text);
	size_t		rest = strlen(key) + strlen(value) + 3; /* blank, '=', newline */
	size_t		length = rest + 1;

	while (rest + (size_t) snprintf(NULL, 0, "%zu", length) != length)
		length = rest + (size_t) snprintf(NULL, 0, "%zu", length);
	if (used + length >= text_bytes)
		out_fail("a pax record");
	snprintf(text + used, text_bytes - used, "%zu %s=%s\n", length, key, value);
}

static void
tar_pax(Out *out, const char *records)
{
	tar_header(out, "PaxHeader/x", 'x', 0644, strlen(records), NULL);
	out_bytes(out, records, strlen(records));
	tar_pad(out, strlen(records));
}

static void
tar_file(Out *out, const char *name, unsigned mode, const void *bytes, size_t length)
{
	tar_header(out, name, '0', mode, length, NULL);
	out_bytes(out, bytes, length);
	tar_pad(out, length);
}

static void
tar_directory(Out *out, const char *name)
{
	tar_header(out, name, '5', 0755, 0, NULL);
}

#endif							/* DEPOT_TEST_HOSTILE_TAR_H */
