/*-------------------------------------------------------------------------
 *
 * archive_read.c
 *	  The bounded reader: a package is exactly what its manifest says.
 *
 * One loop over the members serves verifying and unpacking.  It stops at the first header
 * that breaks a rule, so hostile archives cost what was read until then; the
 * manifest, which comes first, bounds everything that may follow: names, sizes, number of members,
 * and the length of the whole stream.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/archive_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/digest.h"

/* A compressed file of less than this unpacked size may have any ratio: it cannot hurt. */
#define RATIO_FREE_BYTES (UINT64_C(16) * 1024 * 1024)
#define PROGRESS_STEP_BYTES (UINT64_C(1024) * 1024)

const DepotArchiveLimits depot_archive_default_limits = {
	.unpacked_bytes = UINT64_C(2) * 1024 * 1024 * 1024,
	.file_bytes = UINT64_C(1) * 1024 * 1024 * 1024,
	.entries = 2 * DEPOT_MANIFEST_MAX_FILES,
	.ratio = 250
};

typedef struct Directory
{
	char	   *path;
	bool		seen;
} Directory;

typedef struct ArchiveReader
{
	const ArchiveReadOptions *options;
	ArchiveStream *stream;
	DepotManifest *manifest;	/* NULL until it has been read */
	char		manifest_path[DEPOT_MANIFEST_PATH_BYTES];
	char		manifest_sha256[DEPOT_SHA256_HEX_BYTES];
	bool	   *file_seen;
	Directory  *directories;	/* those of the manifest's files, and the manifest's own; sorted */
	int			directory_count;
	bool		early_seen[2];	/* the manifest's directories, when they come before it */
	int			entries;
	uint64_t	done_bytes;
	uint64_t	reported_bytes;
	DepotError *error;
} ArchiveReader;

static const char *const early_directories[2] = {"share", "share/depot"};

static bool
out_of_memory(ArchiveReader *reader)
{
	return depot_error_set(reader->error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

static bool
report_progress(ArchiveReader *reader, uint64_t length)
{
	reader->done_bytes += length;
	if (reader->options->progress == NULL || reader->done_bytes - reader->reported_bytes < PROGRESS_STEP_BYTES)
		return true;
	reader->reported_bytes = reader->done_bytes;
	return reader->options->progress(reader->done_bytes, reader->options->progress_context) ||
		depot_error_set(reader->error, DEPOT_ERROR_CANCELED, "canceled");
}

static int
compare_directories(const void *a, const void *b)
{
	return strcmp(((const Directory *) a)->path, ((const Directory *) b)->path);
}

static Directory *
find_directory(const ArchiveReader *reader, const char *path)
{
	Directory	key = {.path = (char *) path};

	return bsearch(&key, reader->directories, (size_t) reader->directory_count, sizeof(key),
				   compare_directories);
}

static bool
add_directory(const char *path, void *context, DepotError *error)
{
	ArchiveReader *reader = context;
	Directory  *larger = reader->directories;

	/* Room for a power of two; grown when the count is one. */
	if ((reader->directory_count & (reader->directory_count - 1)) == 0)
	{
		size_t		capacity = reader->directory_count == 0 ? 1 : 2 * (size_t) reader->directory_count;

		larger = realloc(reader->directories, capacity * sizeof(larger[0]));
		if (larger == NULL)
			return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		reader->directories = larger;
	}
	larger[reader->directory_count].path = strdup(path);
	larger[reader->directory_count].seen = false;
	if (larger[reader->directory_count].path == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	reader->directory_count++;
	return true;
}

/* Prepares the lists against which members are ticked off. */
static bool
prepare_lists(ArchiveReader *reader)
{
	const DepotManifest *manifest = reader->manifest;

	reader->file_seen = calloc((size_t) manifest->file_count + 1, sizeof(reader->file_seen[0]));
	if (reader->file_seen == NULL)
		return out_of_memory(reader);
	if (!depot_manifest_visit_directories(manifest, add_directory, reader, reader->error))
		return false;
	qsort(reader->directories, (size_t) reader->directory_count, sizeof(reader->directories[0]),
		  compare_directories);
	for (int i = 0; i < 2; i++)
	{
		Directory  *directory = find_directory(reader, early_directories[i]);

		if (directory == NULL)
		{
			if (!add_directory(early_directories[i], reader, reader->error))
				return false;
			qsort(reader->directories, (size_t) reader->directory_count, sizeof(reader->directories[0]),
				  compare_directories);
			directory = find_directory(reader, early_directories[i]);
		}
		directory->seen = reader->early_seen[i];
	}
	return true;
}

/* Checks what the manifest announces against the limits, before anything it announces is read. */
static bool
check_limits(ArchiveReader *reader, uint64_t manifest_bytes)
{
	const DepotArchiveLimits *limits = reader->options->limits;
	const DepotManifest *manifest = reader->manifest;
	uint64_t	total = depot_manifest_unpacked_bytes(manifest) + manifest_bytes;
	uint64_t	members = (uint64_t) manifest->file_count + (uint64_t) reader->directory_count + 1;

	for (int i = 0; i < manifest->file_count; i++)
	{
		if (manifest->files[i].size_bytes > limits->file_bytes)
			return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE_LIMIT,
								   "file \"%s\" has %llu bytes, %llu are allowed", manifest->files[i].path,
								   (unsigned long long) manifest->files[i].size_bytes,
								   (unsigned long long) limits->file_bytes);
	}
	if (total > limits->unpacked_bytes)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE_LIMIT,
							   "archive unpacks to %llu bytes, %llu are allowed",
							   (unsigned long long) total, (unsigned long long) limits->unpacked_bytes);
	if (limits->ratio > 0 && total > RATIO_FREE_BYTES &&
		total / (uint64_t) limits->ratio > reader->stream->file_bytes)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE_LIMIT,
							   "archive of %llu bytes unpacks to %llu bytes, more than %d times as many",
							   (unsigned long long) reader->stream->file_bytes, (unsigned long long) total,
							   limits->ratio);
	if (members > (uint64_t) limits->entries)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE_LIMIT, "archive has %llu members, %d are allowed",
							   (unsigned long long) members, limits->entries);
	reader->stream->stream_limit = total + members * ARCHIVE_OVERHEAD_PER_MEMBER_BYTES + ARCHIVE_OVERHEAD_BYTES;
	return true;
}

static bool
write_to_sink(const ArchiveSink *sink, const char *path, uint32_t mode, const void *bytes, size_t length,
			  DepotError *error)
{
	return sink->begin_file(path, mode, sink->context, error) &&
		sink->write(bytes, length, sink->context, error) &&
		sink->end_file(sink->context, error);
}

/* Takes the manifest's bytes as the manifest of this package. */
static bool
accept_manifest(ArchiveReader *reader, const char *path, const DepotBuffer *text)
{
	const ArchiveReadOptions *options = reader->options;

	depot_digest_sha256_hex(text->data, text->length_bytes, reader->manifest_sha256);
	if (options->expected_manifest_sha256 != NULL &&
		strcmp(options->expected_manifest_sha256, reader->manifest_sha256) != 0)
	{
		depot_error_set(reader->error, DEPOT_ERROR_DIGEST_MISMATCH, "the package's manifest is not the signed one");
		return depot_error_detail(reader->error, "Its SHA-256 is %s, the signed one is %s.",
								  reader->manifest_sha256, options->expected_manifest_sha256);
	}
	reader->manifest = depot_manifest_parse(text->data, text->length_bytes, reader->error);
	if (reader->manifest == NULL)
		return false;
	depot_manifest_path(reader->manifest->package, reader->manifest_path);
	if (strcmp(reader->manifest_path, path) != 0)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
							   "manifest \"%s\" is that of package \"%s\"", path,
							   reader->manifest->package);
	if (!prepare_lists(reader) || !check_limits(reader, text->length_bytes))
		return false;
	return options->sink == NULL ||
		(options->sink->begin(reader->manifest, options->sink->context, reader->error) &&
		 write_to_sink(options->sink, path, 0644, text->data, text->length_bytes, reader->error));
}

/* Reads the first file, which must be a manifest. */
static bool
read_manifest(ArchiveReader *reader, const char *path, const char *shown, int64_t size)
{
	static const char beginning[] = "share/depot/";
	static const char ending[] = ".json";
	size_t		length = strlen(path);
	DepotBuffer text;
	const void *bytes;
	size_t		piece = 0;
	bool		ok = false;

	if (strncmp(path, beginning, strlen(beginning)) != 0 || length <= strlen(beginning) + strlen(ending) ||
		strcmp(path + length - strlen(ending), ending) != 0)
	{
		depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
						"the archive's first file is \"%s\", not its manifest", shown);
		return depot_error_hint(reader->error, "A package begins with share/depot/PACKAGE.json.");
	}
	if (size < 1 || size > DEPOT_MANIFEST_MAX_BYTES)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE_LIMIT,
							   "manifest \"%s\" has %lld bytes, %d are allowed", shown, (long long) size,
							   DEPOT_MANIFEST_MAX_BYTES);
	depot_buffer_init(&text);
	do
	{
		if (!depot_archive_stream_data(reader->stream, shown, text.length_bytes, &bytes, &piece))
			goto done;
		if (text.length_bytes + piece > DEPOT_MANIFEST_MAX_BYTES || !depot_buffer_append(&text, bytes, piece))
		{
			out_of_memory(reader);
			goto done;
		}
	} while (piece > 0);
	if (text.length_bytes != (size_t) size)
		depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
						"manifest \"%s\" has %zu bytes, its header says %lld", shown, text.length_bytes,
						(long long) size);
	else
		ok = accept_manifest(reader, path, &text);

done:
	depot_buffer_free(&text);
	return ok;
}

static bool
read_directory(ArchiveReader *reader, const char *path, const char *shown)
{
	bool	   *seen = NULL;

	if (reader->manifest != NULL)
	{
		Directory  *directory = find_directory(reader, path);

		seen = directory == NULL ? NULL : &directory->seen;
	}
	else
	{
		for (int i = 0; i < 2; i++)
		{
			if (strcmp(path, early_directories[i]) == 0)
				seen = &reader->early_seen[i];
		}
	}
	if (seen == NULL)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
							   reader->manifest != NULL ? "directory \"%s\" of the archive is not in its manifest" :
							   "directory \"%s\" of the archive comes before its manifest", shown);
	if (*seen)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
							   "directory \"%s\" is in the archive twice", shown);
	*seen = true;
	return true;
}

/* Explains why a name that is not in the manifest is refused. */
static bool
refuse_unknown(ArchiveReader *reader, const char *path, const char *shown)
{
	const DepotManifest *manifest = reader->manifest;

	if (strcmp(path, reader->manifest_path) == 0)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE, "member \"%s\" is in the archive twice", shown);
	if (find_directory(reader, path) != NULL)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
							   "member \"%s\" of the archive is a file and a directory", shown);
	for (int i = 0; i < manifest->file_count; i++)
	{
		if (strcasecmp(path, manifest->files[i].path) == 0)
			return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
								   "member \"%s\" of the archive differs from \"%s\" of its manifest"
								   " only in case", shown,
								   manifest->files[i].path);
	}
	return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
						   "member \"%s\" of the archive is not in its manifest", shown);
}

static bool
read_contents(ArchiveReader *reader, const DepotManifestFile *file)
{
	const ArchiveSink *sink = reader->options->sink;
	DepotDigest state;
	char		hex[DEPOT_SHA256_HEX_BYTES];
	uint64_t	done = 0;
	const void *bytes;
	size_t		length = 0;

	depot_digest_begin(&state);
	if (sink != NULL && !sink->begin_file(file->path, file->mode, sink->context, reader->error))
		return false;
	for (;;)
	{
		if (!depot_archive_stream_data(reader->stream, file->path, done, &bytes, &length))
			return false;
		if (length == 0)
			break;
		if (length > file->size_bytes - done)
			return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE_LIMIT,
								   "member \"%s\" of the archive has more bytes than its manifest says", file->path);
		done += length;
		depot_digest_add(&state, bytes, length);
		if ((sink != NULL && !sink->write(bytes, length, sink->context, reader->error)) ||
			!report_progress(reader, length))
			return false;
	}
	if (done != file->size_bytes)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
							   "member \"%s\" of the archive has %llu bytes, its manifest says %llu", file->path,
							   (unsigned long long) done, (unsigned long long) file->size_bytes);
	depot_digest_end_hex(&state, hex);
	if (strcmp(hex, file->sha256) != 0)
	{
		depot_error_set(reader->error, DEPOT_ERROR_DIGEST_MISMATCH,
						"member \"%s\" of the archive is not what its manifest says", file->path);
		return depot_error_detail(reader->error, "Its SHA-256 is %s, the manifest says %s.", hex, file->sha256);
	}
	return sink == NULL || sink->end_file(sink->context, reader->error);
}

static bool
read_regular(ArchiveReader *reader, struct archive_entry *entry, const char *path, const char *shown)
{
	int64_t		size = archive_entry_size(entry);
	uint32_t	mode = (uint32_t) archive_entry_perm(entry);
	const DepotManifestFile *file;
	bool	   *seen;

	if (reader->manifest == NULL)
		return read_manifest(reader, path, shown, size);
	file = depot_manifest_find_file(reader->manifest, path);
	if (file == NULL)
		return refuse_unknown(reader, path, shown);
	seen = &reader->file_seen[file - reader->manifest->files];
	if (*seen)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE, "member \"%s\" is in the archive twice", shown);
	*seen = true;
	if (size < 0 || (uint64_t) size > file->size_bytes)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE_LIMIT,
							   "member \"%s\" of the archive has %lld bytes, its manifest says %llu", shown,
							   (long long) size, (unsigned long long) file->size_bytes);
	if (mode != file->mode)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
							   "member \"%s\" of the archive has mode %04o, its manifest says %04o", shown, mode,
							   file->mode);
	return read_contents(reader, file);
}

static bool
read_members(ArchiveReader *reader)
{
	struct archive_entry *entry;
	char		path[ARCHIVE_MEMBER_NAME_MAX_BYTES + 1];
	char		shown[ARCHIVE_SHOWN_NAME_BYTES];
	bool		is_directory;

	for (;;)
	{
		if (!depot_archive_stream_next(reader->stream, &entry))
			return false;
		if (entry == NULL)
			break;
		if (++reader->entries > reader->options->limits->entries)
			return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE_LIMIT, "archive has more than %d members",
								   reader->options->limits->entries);
		if (!depot_archive_check_header(entry, path, shown, &is_directory, reader->error))
			return false;
		if (!(is_directory ? read_directory(reader, path, shown) : read_regular(reader, entry, path, shown)))
			return false;
		if (reader->options->only_manifest && reader->manifest != NULL)
			return true;
	}
	if (reader->manifest == NULL)
		return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE, "archive has no manifest");
	for (int i = 0; i < reader->manifest->file_count; i++)
	{
		if (!reader->file_seen[i])
			return depot_error_set(reader->error, DEPOT_ERROR_ARCHIVE,
								   "file \"%s\" of the manifest is not in the archive",
								   reader->manifest->files[i].path);
	}
	return depot_archive_stream_finish(reader->stream);
}

DepotManifest *
depot_archive_read(int fd, const ArchiveReadOptions *options, char manifest_sha256[65], DepotError *error)
{
	ArchiveReader reader = {.options = options, .error = error};
	DepotManifest *manifest = NULL;

	/* Until the manifest has said how much there is, only itself can be there. */
	reader.stream = depot_archive_stream_open(fd, DEPOT_MANIFEST_MAX_BYTES + ARCHIVE_OVERHEAD_BYTES, error);
	if (reader.stream != NULL && read_members(&reader))
	{
		manifest = reader.manifest;
		reader.manifest = NULL;
		memcpy(manifest_sha256, reader.manifest_sha256, sizeof(reader.manifest_sha256));
	}
	depot_archive_stream_close(reader.stream);
	depot_manifest_free(reader.manifest);
	for (int i = 0; i < reader.directory_count; i++)
		free(reader.directories[i].path);
	free(reader.directories);
	free(reader.file_seen);
	return manifest;
}

DepotManifest *
depot_archive_read_manifest(int fd, const DepotArchiveLimits *limits, const char *expected_manifest_sha256,
							DepotError *error)
{
	ArchiveReadOptions options = {
		.limits = limits != NULL ? limits : &depot_archive_default_limits,
		.expected_manifest_sha256 = expected_manifest_sha256,
		.only_manifest = true
	};
	char		manifest_sha256[DEPOT_SHA256_HEX_BYTES];

	return depot_archive_read(fd, &options, manifest_sha256, error);
}

DepotManifest *
depot_archive_verify(int fd, const DepotArchiveLimits *limits, const char *expected_manifest_sha256,
					 char manifest_sha256[65], DepotArchiveProgress progress, void *context, DepotError *error)
{
	ArchiveReadOptions options = {
		.limits = limits != NULL ? limits : &depot_archive_default_limits,
		.expected_manifest_sha256 = expected_manifest_sha256,
		.progress = progress,
		.progress_context = context
	};

	return depot_archive_read(fd, &options, manifest_sha256, error);
}
