/*-------------------------------------------------------------------------
 *
 * archive_internal.h
 *	  What the files of the archive module share with each other.
 *
 * Included by archive*.c only; callers include archive.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_ARCHIVE_INTERNAL_H
#define DEPOT_ARCHIVE_INTERNAL_H

#include <archive.h>
#include <archive_entry.h>
#include <sys/types.h>

#include "common/archive.h"

#define ARCHIVE_MEMBER_NAME_MAX_BYTES 255
#define ARCHIVE_SHOWN_NAME_BYTES 100

/*
 * The window a decoder must keep: what level 19 uses.  libarchive itself would
 * allocate 128 MB when a frame's header asks for it.
 */
#define ARCHIVE_WINDOW_MAX_BYTES (UINT64_C(8) * 1024 * 1024)

/*
 * Everything in the tar stream that is no file contents: a header, pax records, padding; and once, the end
 * and read-ahead.
 */
#define ARCHIVE_OVERHEAD_PER_MEMBER_BYTES 4096
#define ARCHIVE_OVERHEAD_BYTES (UINT64_C(1024) * 1024)

/*
 * A package being read.  Two libarchive handles stand behind each other: raw undoes zstd, tar takes its
 * bytes through a callback, so every byte between them is counted, limited and looked at, also after the
 * end of the tar.
 */
typedef struct ArchiveStream
{
	int			fd;
	off_t		offset;			/* in the file */
	uint64_t	file_bytes;
	struct archive *raw;
	struct archive *tar;
	uint64_t	stream_bytes;	/* decompressed so far */
	uint64_t	stream_limit;	/* more than these end the reading */
	uint64_t	nonzero_end;	/* offset behind the last byte that is not zero */
	bool		failed;			/* error is set, and better than libarchive's */
	DepotError *error;
	unsigned char buffer[64 * 1024];
} ArchiveStream;

/* Checks that fd holds exactly one zstd frame with a bounded window, and nothing else. */
extern bool depot_archive_check_frame(int fd, uint64_t file_bytes, DepotError *error);

/* Opens the package in fd; returns NULL on failure.  error is kept for callbacks. */
extern ArchiveStream *depot_archive_stream_open(int fd, uint64_t stream_limit, DepotError *error);
extern void depot_archive_stream_close(ArchiveStream *stream);

/* Reads the next header; *entry NULL at the end. */
extern bool depot_archive_stream_next(ArchiveStream *stream, struct archive_entry **entry);

/* Reads the next piece of the member's contents, which must continue at done_bytes; *length 0 at its end. */
extern bool depot_archive_stream_data(ArchiveStream *stream, const char *shown_name, uint64_t done_bytes,
									  const void **bytes, size_t *length);

/* Reads to the end of the file and checks that nothing but zeros follow the last member. */
extern bool depot_archive_stream_finish(ArchiveStream *stream);

/* Where members go that are only to be kept if all of the archive proves right. */
typedef struct ArchiveSink
{
	/* Called once, before the first file, when the manifest has been accepted. */
	bool		(*begin) (const DepotManifest *manifest, void *context, DepotError *error);
	bool		(*begin_file) (const char *path, uint32_t mode, void *context, DepotError *error);
	bool		(*write) (const void *bytes, size_t length, void *context, DepotError *error);
	bool		(*end_file) (void *context, DepotError *error);
	void	   *context;
} ArchiveSink;

/*
 * Starts a thread that carries out what queue_sink, which is filled, is told; sink must stay until
 * depot_archive_queue_finish, and is called by nobody else until then.  Returns NULL when there is no
 * memory or no thread to be had; the caller then uses sink itself, which only takes longer.
 */
typedef struct ArchiveQueue ArchiveQueue;
extern ArchiveQueue *depot_archive_queue_start(const ArchiveSink *sink, ArchiveSink *queue_sink);

/* Waits until all has been carried out, and frees the queue.  Returns false with the sink's error (may be NULL). */
extern bool depot_archive_queue_finish(ArchiveQueue *queue, DepotError *error);

typedef struct ArchiveReadOptions
{
	const DepotArchiveLimits *limits;
	const char *expected_manifest_sha256;	/* may be NULL */
	const ArchiveSink *sink;	/* may be NULL */
	bool		only_manifest;	/* stop behind it */
	DepotArchiveProgress progress;
	void	   *progress_context;
} ArchiveReadOptions;

/* Reads the whole package, or its manifest only, by all rules; whoever reads one comes here. */
extern DepotManifest *depot_archive_read(int fd, const ArchiveReadOptions *options, char manifest_sha256[65],
										 DepotError *error);

/*
 * Checks what a header alone can tell: type, name, mode, attributes.  Puts the name without a final slash
 * into name, a printable form into shown.
 */
extern bool depot_archive_check_header(struct archive_entry *entry,
									   char name[ARCHIVE_MEMBER_NAME_MAX_BYTES + 1],
									   char shown[ARCHIVE_SHOWN_NAME_BYTES], bool *is_directory,
									   DepotError *error);

#endif							/* DEPOT_ARCHIVE_INTERNAL_H */
