/*-------------------------------------------------------------------------
 *
 * pack_oci_layer.c
 *	  The layers of an OCI image, applied one over the other.
 *
 * A layer is read twice: first for its whiteouts, which mean files of lower
 * layers only, wherever in the layer they stand; then for its files.  What
 * comes out of a layer is read in blocks and counted, what is skipped too, so
 * that no compressed layer costs more than the limits of a package.
 *
 * No link is followed on the way to a file, and no name leads out of the
 * source root: links are resolved later, inside it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "cli/pack.h"
#include "cli/pack_oci.h"
#include "common/archive.h"
#include "common/files.h"
#include "common/name.h"

#define BLOCK_BYTES 65536
#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"

typedef struct Layer
{
	DepotPack  *pack;
	struct archive *archive;
	uint64_t	bytes;			/* that came out in this pass */
} Layer;

/* Handles one entry; path is clean and below the source root. */
typedef bool (*EntryVisit) (Layer *layer, struct archive_entry *entry, const char *path, DepotError *error);

static bool walk_layer(DepotPack *pack, int fd, const char *media_type, EntryVisit visit, uint64_t *bytes,
					   DepotError *error);
static bool open_layer(Layer *layer, int fd, const char *media_type, DepotError *error);
static int	filter_of(const char *media_type);
static bool archive_error(const Layer *layer, DepotError *error);
static bool clean_path(const char *given, char path[DEPOT_PACK_PATH_BYTES], DepotError *error);
static bool read_block(Layer *layer, char *block, size_t *length, DepotError *error);
static bool apply_whiteout(Layer *layer, struct archive_entry *entry, const char *path, DepotError *error);
static bool empty_directory(DepotPack *pack, const char *path, DepotError *error);
static bool extract_entry(Layer *layer, struct archive_entry *entry, const char *path, DepotError *error);
static bool make_room(DepotPack *pack, const char *path, bool directory, DepotError *error);
static bool write_file(Layer *layer, const char *path, mode_t mode, DepotError *error);
static bool write_symbolic_link(DepotPack *pack, const char *path, const char *target, DepotError *error);
static bool write_hard_link(DepotPack *pack, const char *path, const char *target, DepotError *error);

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

/* Copies the directory of path into parent, "" at the top. */
static void
parent_of(const char *path, char parent[DEPOT_PACK_PATH_BYTES])
{
	size_t		length = (size_t) (base_name(path) - path);

	if (length > 0)
		length--;
	memcpy(parent, path, length);
	parent[length] = '\0';
}

bool
depot_oci_apply_layer(DepotPack *pack, int layout_fd, const DepotOciBlob *blob, DepotError *error)
{
	char		path[DEPOT_OCI_PATH_BYTES];
	char		sha256[DEPOT_SHA256_HEX_BYTES];
	uint64_t	size_bytes;
	uint64_t	bytes = 0;
	bool		ok;
	int			fd;

	depot_oci_blob_path(blob, path);
	if (filter_of(blob->media_type) < 0)
	{
		depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "it is of the unknown type \"%s\"", blob->media_type);
		return depot_error_detail(error, "A layer is a tar archive, plain or compressed by gzip or zstd.");
	}
	if (!depot_digest_file(layout_fd, path, sha256, &size_bytes, error) ||
		!depot_oci_check_blob(blob, sha256, size_bytes, error))
		return false;
	fd = depot_files_open(layout_fd, path, O_RDONLY, 0, error);
	if (fd < 0)
		return false;
	ok = walk_layer(pack, fd, blob->media_type, apply_whiteout, &bytes, error);
	bytes = pack->source_bytes;
	ok = ok && walk_layer(pack, fd, blob->media_type, extract_entry, &bytes, error);
	pack->source_bytes = bytes;
	close(fd);
	return ok;
}

/* The compression that a media type promises, as a filter of libarchive; -1 for other types. */
static int
filter_of(const char *media_type)
{
	static const struct
	{
		const char *media_type;
		int			filter;
	}			types[] = {
		{"application/vnd.oci.image.layer.v1.tar", ARCHIVE_FILTER_NONE},
		{"application/vnd.oci.image.layer.v1.tar+gzip", ARCHIVE_FILTER_GZIP},
		{"application/vnd.oci.image.layer.v1.tar+zstd", ARCHIVE_FILTER_ZSTD},
		{"application/vnd.docker.image.rootfs.diff.tar", ARCHIVE_FILTER_NONE},
		{"application/vnd.docker.image.rootfs.diff.tar.gzip", ARCHIVE_FILTER_GZIP},
		{"application/vnd.docker.image.rootfs.diff.tar.zstd", ARCHIVE_FILTER_ZSTD},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
	{
		if (strcmp(media_type, types[i].media_type) == 0)
			return types[i].filter;
	}
	return -1;
}

/* Calls visit for every entry of a layer. *bytes goes on counting what comes out. */
static bool
walk_layer(DepotPack *pack, int fd, const char *media_type, EntryVisit visit, uint64_t *bytes,
		   DepotError *error)
{
	Layer		layer = {pack, NULL, *bytes};
	const uint64_t limit_bytes = depot_archive_default_limits.unpacked_bytes;
	struct archive_entry *entry;
	int			entries = 0;
	int			result;
	bool		ok = open_layer(&layer, fd, media_type, error);

	/* A warning is about something that we do not take, such as an owner's name. */
	while (ok && (result = archive_read_next_header(layer.archive, &entry)) != ARCHIVE_EOF)
	{
		char		path[DEPOT_PACK_PATH_BYTES] = "";
		char		block[BLOCK_BYTES];
		size_t		length = 1;

		if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
			ok = archive_error(&layer, error);
		else if (pack->image.entry_count + ++entries > depot_archive_default_limits.entries)
			ok = depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT, "the image holds more than %d files",
								 depot_archive_default_limits.entries);
		else if ((uint64_t) archive_filter_bytes(layer.archive, 0) > 2 * limit_bytes)
			ok = depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT, "it unpacks to more than a package may hold");
		else
			ok = !depot_pack_interrupted(error) &&
				clean_path(archive_entry_pathname(entry), path, error) &&
				(path[0] == '\0' || visit(&layer, entry, path, error));
		while (ok && length > 0)
			ok = read_block(&layer, block, &length, error);
	}
	if (visit == extract_entry)
		pack->image.entry_count += entries;
	*bytes = layer.bytes;
	if (layer.archive != NULL)
		archive_read_free(layer.archive);
	return ok;
}

static bool
open_layer(Layer *layer, int fd, const char *media_type, DepotError *error)
{
	int			filter = filter_of(media_type);

	layer->archive = archive_read_new();
	if (layer->archive == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	archive_read_support_format_tar(layer->archive);
	archive_read_support_filter_gzip(layer->archive);
	archive_read_support_filter_zstd(layer->archive);
	if (lseek(fd, 0, SEEK_SET) != 0)
		return depot_error_set_errno(error, errno, "could not read it");
	if (archive_read_open_fd(layer->archive, fd, BLOCK_BYTES) != ARCHIVE_OK)
		return archive_error(layer, error);
	if (archive_filter_code(layer->archive, 0) != filter)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "it is not compressed as its type \"%s\" says",
							   media_type);
	return true;
}

static bool
archive_error(const Layer *layer, DepotError *error)
{
	const char *reason = archive_error_string(layer->archive);

	depot_error_set(error, DEPOT_ERROR_PACKAGE, "it is no tar archive, or damaged");
	return depot_error_detail(error, "The archive library says: %s.", reason == NULL ? "nothing" : reason);
}

/*
 * Copies a member's name without "./" before and "/" after it; "" for the top directory.  Refuses what
 * leads elsewhere.
 */
static bool
clean_path(const char *given, char path[DEPOT_PACK_PATH_BYTES], DepotError *error)
{
	const char *part;
	char		shown[256];
	size_t		length;

	if (given == NULL)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "it holds a file without a usable name");
	depot_name_printable(given, shown, sizeof(shown));
	while (strncmp(given, "./", 2) == 0)
		given += 2;
	length = strlen(given);
	while (length > 0 && given[length - 1] == '/')
		length--;
	if (length >= DEPOT_PACK_PATH_BYTES)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "path \"%s\" is too long", shown);
	memcpy(path, given, length);
	path[length] = '\0';
	if (strcmp(path, ".") == 0)
		path[0] = '\0';
	if (given[0] == '/')
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" is an absolute path", shown);
	for (part = path; part[0] != '\0'; part += length)
	{
		length = strcspn(part, "/");
		if (length == 2 && strncmp(part, "..", length) == 0)
			return depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" leads out of the image", shown);
		length += part[length] == '/' ? 1 : 0;
	}
	return true;
}

/* Reads the next bytes of an entry, none at its end, against the limit of all that comes out. */
static bool
read_block(Layer *layer, char *block, size_t *length, DepotError *error)
{
	la_ssize_t	got = archive_read_data(layer->archive, block, BLOCK_BYTES);

	*length = 0;
	if (got < 0)
		return archive_error(layer, error);
	*length = (size_t) got;
	layer->bytes += (uint64_t) got;
	if (layer->bytes > depot_archive_default_limits.unpacked_bytes)
		return depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT,
							   "the files of the image are larger than a package may be");
	return !depot_pack_interrupted(error);
}

/* Which kind of left-out file an entry of the image is, by where a server would have it. */
static DepotPackDrop
classify(const char *path)
{
	static const char *const maps[][2] = {
		{"lib/", "usr/lib/postgresql/0/lib/"},
		{"share/", "usr/share/postgresql/0/"},
		{"bin/", "usr/lib/postgresql/0/bin/"},
	};
	char		logical[DEPOT_PACK_PATH_BYTES + 32];

	if (strncmp(path, "system/", 7) == 0 || strncmp(path, "licenses/", 9) == 0)
		return DEPOT_DROP_NONE;
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
	{
		size_t		length = strlen(maps[i][0]);

		if (strncmp(path, maps[i][0], length) != 0)
			continue;
		snprintf(logical, sizeof(logical), "%s%s", maps[i][1], path + length);
		return depot_pack_classify(logical);
	}
	return DEPOT_DROP_OTHER;
}

/* First pass: removes what a whiteout hides. */
static bool
apply_whiteout(Layer *layer, struct archive_entry *entry, const char *path, DepotError *error)
{
	DepotPack  *pack = layer->pack;
	const char *base = base_name(path);
	char		target[DEPOT_PACK_PATH_BYTES];

	(void) entry;
	if (strncmp(base, WHITEOUT, strlen(WHITEOUT)) != 0)
		return true;
	parent_of(path, target);
	if (strcmp(base, OPAQUE) == 0)
		return empty_directory(pack, target, error);
	base += strlen(WHITEOUT);
	/* Other names that begin so belong to a file system of old, and hide nothing. */
	if (base[0] == '\0' || strcmp(base, ".") == 0 || strncmp(base, WHITEOUT, strlen(WHITEOUT)) == 0)
		return true;
	if (strcmp(base, "..") == 0)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "a whiteout leads out of the image");
	if (target[0] != '\0' && !depot_files_exists(pack->source_fd, target))
		return true;
	snprintf(target + strlen(target), sizeof(target) - strlen(target), "%s%s", target[0] == '\0' ? "" : "/",
			 base);
	return depot_files_remove_tree(pack->source_fd, target, error);
}

/* Removes everything in a directory, if there is one. */
static bool
empty_directory(DepotPack *pack, const char *path, DepotError *error)
{
	struct dirent *item;
	struct stat status;
	DIR		   *stream;
	bool		ok = true;
	int			fd;

	if (path[0] != '\0' && (fstatat(pack->source_fd, path, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
							!S_ISDIR(status.st_mode)))
		return true;
	fd = depot_files_open_directory(pack->source_fd, path, error);
	if (fd < 0)
		return false;
	stream = fdopendir(fd);
	if (stream == NULL)
	{
		close(fd);
		return depot_error_set_errno(error, errno, "could not read \"%s\"", path);
	}
	while (ok && (item = readdir(stream)) != NULL)
	{
		if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
			ok = depot_files_remove_tree(dirfd(stream), item->d_name, error);
	}
	closedir(stream);
	return ok;
}

/* Second pass: writes one file or link.  Of what a package does not carry only plain files are written. */
static bool
extract_entry(Layer *layer, struct archive_entry *entry, const char *path, DepotError *error)
{
	DepotPack  *pack = layer->pack;
	DepotPackDrop kind = classify(path);
	const char *hard_link = archive_entry_hardlink(entry);
	bool		directory = hard_link == NULL && archive_entry_filetype(entry) == AE_IFDIR;
	char		shown[256];

	if (strncmp(base_name(path), WHITEOUT, strlen(WHITEOUT)) == 0)
		return true;
	depot_name_printable(path, shown, sizeof(shown));
	if (kind != DEPOT_DROP_NONE && !directory && (kind != DEPOT_DROP_OTHER || strncmp(path, "lib/", 4) != 0))
		depot_pack_count_drop(pack, kind, path);
	if (kind != DEPOT_DROP_NONE && kind != DEPOT_DROP_OTHER)
		return true;
	if (!depot_name_is_relative_path(path))
	{
		if (kind == DEPOT_DROP_OTHER || directory)
			return true;
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "a package cannot carry the file name \"%s\"",
							   shown);
	}
	if (hard_link == NULL && !directory && archive_entry_filetype(entry) != AE_IFREG &&
		archive_entry_filetype(entry) != AE_IFLNK)
		return kind == DEPOT_DROP_OTHER ||
			depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" is neither a file, a directory nor a link",
							shown);
	/* What is no server's may lie where it cannot be written; then no link leads there either. */
	if (!make_room(pack, path, directory, error))
		return kind == DEPOT_DROP_OTHER && !depot_pack_interrupted(error);
	if (directory)
		return depot_files_make_directories(pack->source_fd, path, 0700, false, error);
	if (hard_link != NULL)
		return write_hard_link(pack, path, hard_link, error) || kind == DEPOT_DROP_OTHER;
	if (archive_entry_filetype(entry) == AE_IFLNK)
		return write_symbolic_link(pack, path, archive_entry_symlink(entry), error);
	return write_file(layer, path, archive_entry_perm(entry), error);
}

/*
 * Makes the directory of path, and takes away what lower layers have in its place; a directory stays where
 * one is wanted.
 */
static bool
make_room(DepotPack *pack, const char *path, bool directory, DepotError *error)
{
	char		parent[DEPOT_PACK_PATH_BYTES];
	struct stat status;
	DepotError	reason;

	parent_of(path, parent);
	if (parent[0] != '\0' && !depot_files_make_directories(pack->source_fd, parent, 0700, false, &reason))
	{
		depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" lies below something that is no directory", path);
		return depot_error_detail(error, "Where its directory should be: %s.", reason.message);
	}
	if (fstatat(pack->source_fd, path, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT || depot_error_set_errno(error, errno, "could not look at \"%s\"", path);
	if (directory && S_ISDIR(status.st_mode))
		return true;
	return depot_files_remove_tree(pack->source_fd, path, error);
}

static bool
write_file(Layer *layer, const char *path, mode_t mode, DepotError *error)
{
	char		block[BLOCK_BYTES];
	size_t		length;
	bool		ok;
	int			fd;

	fd = depot_files_open(layer->pack->source_fd, path, O_WRONLY | O_CREAT | O_EXCL,
						  (mode & 0100) != 0 ? 0700 : 0600, error);
	if (fd < 0)
		return false;
	do
		ok = read_block(layer, block, &length, error) && depot_files_write_all(fd, block, length, error);
	while (ok && length > 0);
	if (close(fd) != 0 && ok)
		ok = depot_error_set_errno(error, errno, "could not write \"%s\"", path);
	return ok;
}

static bool
write_symbolic_link(DepotPack *pack, const char *path, const char *target, DepotError *error)
{
	char		parent[DEPOT_PACK_PATH_BYTES];
	bool		ok = true;
	int			fd;

	if (target == NULL || target[0] == '\0')
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "the link \"%s\" has no target", path);
	parent_of(path, parent);
	fd = depot_files_open_directory(pack->source_fd, parent, error);
	if (fd < 0)
		return false;
	if (symlinkat(target, fd, base_name(path)) != 0)
		ok = depot_error_set_errno(error, errno, "could not create the link \"%s\"", path);
	close(fd);
	return ok;
}

/* A hard link is to a file that came earlier, in this layer or a lower one. */
static bool
write_hard_link(DepotPack *pack, const char *path, const char *target, DepotError *error)
{
	char		clean[DEPOT_PACK_PATH_BYTES];
	struct stat status;
	int			fd = -1;
	bool		ok;

	if (!clean_path(target, clean, error))
		return depot_error_prefix(error, "hard link \"%s\"", path);
	ok = depot_name_is_relative_path(clean) && strcmp(clean, path) != 0 &&
		(fd = depot_files_open(pack->source_fd, clean, O_RDONLY | O_NONBLOCK, 0, error)) >= 0 &&
		fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
	if (!ok)
		depot_error_set(error, DEPOT_ERROR_PACKAGE,
						"\"%s\" is a hard link to something else than a file that came before it", path);
	/* Both paths were made by us, part by part, and no symbolic link is among their directories. */
	else if (linkat(pack->source_fd, clean, pack->source_fd, path, 0) != 0)
		ok = depot_error_set_errno(error, errno, "could not create the hard link \"%s\"", path);
	if (fd >= 0)
		close(fd);
	return ok;
}
