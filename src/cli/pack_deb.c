/*-------------------------------------------------------------------------
 *
 * pack_deb.c
 *	  Debian packages: ar archives that hold two tar archives.
 *
 * Files go to a private source root in blocks of fixed size, so memory does not
 * depend on a package's size.  Nothing of a package is run, and no path of
 * it leads out of the source root: parts of paths are checked, and the files
 * module follows no link.  Bitcode, documentation and other things that no
 * package carries are counted and not written.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "cli/pack.h"
#include "common/archive.h"
#include "common/files.h"
#include "common/name.h"

#define BLOCK_BYTES 65536
#define CONTROL_LIMIT_BYTES ((size_t) 1024 * 1024)

/* The outer archive and the block that the inner one reads from it. */
typedef struct Nested
{
	struct archive *outer;
	char		block[BLOCK_BYTES];
} Nested;

static bool read_deb(DepotPack *pack, const char *file, DepotPackDeb *deb, DepotError *error);
static struct archive *open_inner(Nested *nested, const char *file, DepotError *error);
static la_ssize_t read_outer(struct archive *inner, void *context, const void **bytes);
static bool archive_error(struct archive *archive, const char *file, DepotError *error);
static bool read_control_archive(struct archive *inner, const char *file, DepotPackDeb *deb,
								 DepotError *error);
static bool read_small_file(struct archive *inner, const char *file, DepotBuffer *out, DepotError *error);
static bool read_data_archive(DepotPack *pack, struct archive *inner, const char *file, DepotError *error);
static bool extract_entry(DepotPack *pack, struct archive *inner, struct archive_entry *entry,
						  const char *path, const char *file, DepotError *error);
static bool write_file(DepotPack *pack, struct archive *inner, const char *path, mode_t mode,
					   const char *file, DepotError *error);
static bool write_symbolic_link(DepotPack *pack, const char *path, const char *target, DepotError *error);
static bool write_hard_link(DepotPack *pack, const char *path, const char *target, DepotError *error);
static bool make_parent(DepotPack *pack, const char *path, DepotError *error);
static const char *strip_dot(const char *path);
static int	compare_debs(const void *a, const void *b);

bool
depot_pack_read_debs(DepotPack *pack, DepotError *error)
{
	for (int i = 0; i < pack->options->deb_count; i++)
	{
		const char *file = pack->options->debs[i];

		pack->deb_count = i + 1;
		if (!read_deb(pack, file, &pack->debs[i], error))
			return depot_error_prefix(error, "Debian package \"%s\"", file);
		for (int j = 0; j < i; j++)
		{
			if (strcmp(pack->debs[j].name, pack->debs[i].name) == 0)
				return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
									   "\"%s\" and \"%s\" are both the Debian package %s",
									   pack->options->debs[j], file, pack->debs[i].name);
		}
	}

	/*
	 * The order on the command line must not change the package; the main one of several has the shortest
	 * name.
	 */
	qsort(pack->debs, (size_t) pack->deb_count, sizeof(pack->debs[0]), compare_debs);
	return true;
}

static int
compare_debs(const void *a, const void *b)
{
	const char *name_a = ((const DepotPackDeb *) a)->name;
	const char *name_b = ((const DepotPackDeb *) b)->name;

	if (strlen(name_a) != strlen(name_b))
		return strlen(name_a) < strlen(name_b) ? -1 : 1;
	return strcmp(name_a, name_b);
}

/* Reads both inner archives of one package. */
static bool
read_deb(DepotPack *pack, const char *file, DepotPackDeb *deb, DepotError *error)
{
	Nested	   *nested = calloc(1, sizeof(*nested));
	struct archive_entry *entry;
	bool		data_seen = false;
	bool		ok = false;
	int			result;

	deb->file = file;
	if (nested == NULL || (nested->outer = archive_read_new()) == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	archive_read_support_format_ar(nested->outer);
	if (archive_read_open_filename(nested->outer, file, BLOCK_BYTES) != ARCHIVE_OK)
	{
		archive_error(nested->outer, file, error);
		goto done;
	}
	while ((result = archive_read_next_header(nested->outer, &entry)) == ARCHIVE_OK)
	{
		const char *name = archive_entry_pathname(entry);
		bool		is_control = name != NULL && strncmp(name, "control.tar", 11) == 0;
		bool		is_data = name != NULL && strncmp(name, "data.tar", 8) == 0;
		struct archive *inner;
		bool		inner_ok;

		if (!is_control && !is_data)
			continue;
		inner = open_inner(nested, file, error);
		if (inner == NULL)
			goto done;
		inner_ok = is_control ? read_control_archive(inner, file, deb, error) :
			read_data_archive(pack, inner, file, error);
		archive_read_free(inner);
		if (!inner_ok)
			goto done;
		data_seen = data_seen || is_data;
	}
	if (result != ARCHIVE_EOF)
		archive_error(nested->outer, file, error);
	else if (deb->name == NULL || !data_seen)
		depot_error_set(error, DEPOT_ERROR_PACKAGE, "it holds no control.tar or no data.tar");
	else
		ok = true;
done:
	if (nested != NULL && nested->outer != NULL)
		archive_read_free(nested->outer);
	free(nested);
	return ok;
}

static struct archive *
open_inner(Nested *nested, const char *file, DepotError *error)
{
	struct archive *inner = archive_read_new();

	if (inner == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	archive_read_support_format_tar(inner);
	archive_read_support_filter_xz(inner);
	archive_read_support_filter_gzip(inner);
	archive_read_support_filter_zstd(inner);
	archive_read_support_filter_bzip2(inner);
	if (archive_read_open(inner, nested, NULL, read_outer, NULL) != ARCHIVE_OK)
	{
		archive_error(inner, file, error);
		archive_read_free(inner);
		return NULL;
	}
	return inner;
}

static la_ssize_t
read_outer(struct archive *inner, void *context, const void **bytes)
{
	Nested	   *nested = context;
	la_ssize_t	got = archive_read_data(nested->outer, nested->block, BLOCK_BYTES);

	*bytes = nested->block;
	if (got < 0)
		archive_set_error(inner, archive_errno(nested->outer), "%s", archive_error_string(nested->outer));
	return got;
}

static bool
archive_error(struct archive *archive, const char *file, DepotError *error)
{
	const char *reason = archive_error_string(archive);

	if (access(file, R_OK) != 0)
		return depot_error_set_errno(error, errno, "could not read it");
	depot_error_set(error, DEPOT_ERROR_PACKAGE, "it is no Debian package, or damaged");
	return depot_error_detail(error, "The archive library says: %s.", reason == NULL ? "nothing" : reason);
}

/* Takes "control" and "postinst". */
static bool
read_control_archive(struct archive *inner, const char *file, DepotPackDeb *deb, DepotError *error)
{
	struct archive_entry *entry;
	DepotBuffer control;
	DepotBuffer postinst;
	bool		ok = false;
	int			result;

	depot_buffer_init(&control);
	depot_buffer_init(&postinst);
	while ((result = archive_read_next_header(inner, &entry)) == ARCHIVE_OK)
	{
		const char *name = strip_dot(archive_entry_pathname(entry));

		if (archive_entry_filetype(entry) != AE_IFREG)
			continue;
		if (strcmp(name, "control") == 0 && !read_small_file(inner, file, &control, error))
			goto done;
		if (strcmp(name, "postinst") == 0 && !read_small_file(inner, file, &postinst, error))
			goto done;
	}
	if (result != ARCHIVE_EOF)
	{
		archive_error(inner, file, error);
		goto done;
	}
	if (control.data == NULL || deb->name != NULL)
	{
		depot_error_set(error, DEPOT_ERROR_PACKAGE, "it does not hold exactly one control file");
		goto done;
	}
	deb->postinst = postinst.data;
	depot_buffer_init(&postinst);
	ok = depot_debian_parse_control(control.data, deb, error);
done:
	depot_buffer_free(&control);
	depot_buffer_free(&postinst);
	return ok;
}

static bool
read_small_file(struct archive *inner, const char *file, DepotBuffer *out, DepotError *error)
{
	char		piece[4096];
	la_ssize_t	got;

	depot_buffer_reset(out);
	depot_buffer_append(out, "", 0);
	while ((got = archive_read_data(inner, piece, sizeof(piece))) > 0)
	{
		if (out->length_bytes + (size_t) got > CONTROL_LIMIT_BYTES)
			return depot_error_set(error, DEPOT_ERROR_TOO_LARGE,
								   "a file of its control archive is larger than %zu bytes",
								   CONTROL_LIMIT_BYTES);
		depot_buffer_append(out, piece, (size_t) got);
	}
	if (got < 0)
		return archive_error(inner, file, error);
	if (out->failed)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return true;
}

static bool
read_data_archive(DepotPack *pack, struct archive *inner, const char *file, DepotError *error)
{
	struct archive_entry *entry;
	int			entries = 0;
	int			result;

	while ((result = archive_read_next_header(inner, &entry)) == ARCHIVE_OK)
	{
		const char *path = archive_entry_pathname(entry);

		if (path == NULL)
			return depot_error_set(error, DEPOT_ERROR_PACKAGE, "it holds a file without a usable name");
		if (++entries > depot_archive_default_limits.entries)
			return depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT, "it holds more than %d files",
								   depot_archive_default_limits.entries);
		if (archive_entry_filetype(entry) == AE_IFDIR && archive_entry_hardlink(entry) == NULL)
			continue;
		if (depot_pack_interrupted(error) || !extract_entry(pack, inner, entry, strip_dot(path), file, error))
			return false;
	}
	if (result != ARCHIVE_EOF)
		return archive_error(inner, file, error);
	return true;
}

/*
 * Writes one file below the source root.  Of what a package does not carry only plain files are
 * written, and only for links that lead there.
 */
static bool
extract_entry(DepotPack *pack, struct archive *inner, struct archive_entry *entry, const char *path,
			  const char *file, DepotError *error)
{
	DepotPackDrop kind = depot_pack_classify(path);

	if (kind != DEPOT_DROP_NONE)
		depot_pack_count_drop(pack, kind, path);
	if (kind != DEPOT_DROP_NONE && kind != DEPOT_DROP_OTHER)
		return true;
	if (!depot_name_is_relative_path(path) || depot_files_exists(pack->source_fd, path))
	{
		char		shown[DEPOT_PACK_PATH_BYTES];

		if (kind == DEPOT_DROP_OTHER)
			return true;
		depot_name_printable(path, shown, sizeof(shown));
		if (!depot_name_is_relative_path(path))
			return depot_error_set(error, DEPOT_ERROR_PACKAGE, "a package cannot carry the file name \"%s\"",
								   shown);
		return depot_error_set(error, DEPOT_ERROR_CONFLICT,
							   "it holds \"%s\", and so does a package before it", shown);
	}
	if (!make_parent(pack, path, error))
		return false;
	if (archive_entry_hardlink(entry) != NULL)
		return write_hard_link(pack, path, strip_dot(archive_entry_hardlink(entry)), error);
	if (archive_entry_filetype(entry) == AE_IFLNK)
		return write_symbolic_link(pack, path, archive_entry_symlink(entry), error);
	if (archive_entry_filetype(entry) == AE_IFREG)
		return write_file(pack, inner, path, archive_entry_perm(entry), file, error);
	if (kind == DEPOT_DROP_OTHER)
		return true;
	return depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" is neither a file nor a link", path);
}

static bool
write_file(DepotPack *pack, struct archive *inner, const char *path, mode_t mode,
		   const char *file, DepotError *error)
{
	char		block[BLOCK_BYTES];
	la_ssize_t	got;
	bool		ok = true;
	int			fd;

	fd = depot_files_open(pack->source_fd, path, O_WRONLY | O_CREAT | O_EXCL,
						  (mode & 0100) != 0 ? 0700 : 0600, error);
	if (fd < 0)
		return false;
	while (ok && (got = archive_read_data(inner, block, sizeof(block))) != 0)
	{
		if (got < 0)
			ok = archive_error(inner, file, error);
		else
		{
			pack->source_bytes += (uint64_t) got;
			if (pack->source_bytes > depot_archive_default_limits.unpacked_bytes)
				ok = depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT,
									 "its files are larger than a package may be");
			else
				ok = depot_files_write_all(fd, block, (size_t) got, error) && !depot_pack_interrupted(error);
		}
	}
	if (close(fd) != 0 && ok)
		ok = depot_error_set_errno(error, errno, "could not write \"%s\"", path);
	return ok;
}

static bool
write_symbolic_link(DepotPack *pack, const char *path, const char *target, DepotError *error)
{
	const char *slash = strrchr(path, '/');
	char		parent[DEPOT_PACK_PATH_BYTES] = "";
	bool		ok = true;
	int			fd;

	if (target == NULL)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "the link \"%s\" has no target", path);
	if (slash != NULL)
		memcpy(parent, path, (size_t) (slash - path));
	fd = depot_files_open_directory(pack->source_fd, parent, error);
	if (fd < 0)
		return false;
	if (symlinkat(target, fd, slash == NULL ? path : slash + 1) != 0)
		ok = depot_error_set_errno(error, errno, "could not create the link \"%s\"", path);
	close(fd);
	return ok;
}

/* A hard link is to a file that came earlier; one that was not written means the same as no file. */
static bool
write_hard_link(DepotPack *pack, const char *path, const char *target, DepotError *error)
{
	bool		ok = true;
	int			fd;

	if (!depot_name_is_relative_path(target) ||
		(fd = depot_files_open(pack->source_fd, target, O_RDONLY, 0, error)) < 0)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE,
							   "\"%s\" is a hard link to something else than its server files", path);

	/* Both paths were made by us, part by part, and no symbolic link is among their directories. */
	if (linkat(pack->source_fd, target, pack->source_fd, path, 0) != 0)
		ok = depot_error_set_errno(error, errno, "could not create the hard link \"%s\"", path);
	close(fd);
	return ok;
}

static bool
make_parent(DepotPack *pack, const char *path, DepotError *error)
{
	const char *slash = strrchr(path, '/');
	char		parent[DEPOT_PACK_PATH_BYTES];

	if (slash == NULL)
		return true;
	memcpy(parent, path, (size_t) (slash - path));
	parent[slash - path] = '\0';
	return depot_files_make_directories(pack->source_fd, parent, 0700, false, error);
}

/* Debian writes "./usr/..." */
static const char *
strip_dot(const char *path)
{
	if (path == NULL)
		return "";
	return strncmp(path, "./", 2) == 0 ? path + 2 : path;
}

void
depot_pack_free_debs(DepotPack *pack)
{
	for (int i = 0; i < pack->deb_count; i++)
	{
		DepotPackDeb *deb = &pack->debs[i];

		free(deb->name);
		free(deb->version);
		free(deb->architecture);
		free(deb->source_name);
		free(deb->source_version);
		free(deb->depends);
		free(deb->homepage);
		free(deb->summary);
		free(deb->postinst);
	}
	pack->deb_count = 0;
}
