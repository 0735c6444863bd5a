/*-------------------------------------------------------------------------
 *
 * pack_tree.c
 *	  Collecting the server files of an installed tree.
 *
 * A link is followed as the server would follow it if the tree were its
 * "/", and what it means is packed; a link to nothing or out of the tree is
 * an error.  A directory that is a link is walked under the link's name.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/pack.h"
#include "common/archive.h"
#include "common/files.h"
#include "common/name.h"

#define MAX_DEPTH 32			/* of directories, links to directories among them */
#define MAX_LINKS 40			/* followed for one path, as in Linux */

static bool choose_major(DepotPack *pack, DepotError *error);
static bool add_majors(DepotPack *pack, const char *directory, bool found[1000], DepotError *error);
static bool collect_path(DepotPack *pack, const char *logical, const char *real, int depth,
						 DepotError *error);
static bool collect_directory(DepotPack *pack, const char *logical, const char *real, int depth,
							  DepotError *error);
static bool collect_file(DepotPack *pack, const char *logical, const char *given, const char *real,
						 const struct stat *status, DepotError *error);
static bool collect_copyrights(DepotPack *pack, DepotError *error);
static bool member_of(const DepotPack *pack, const char *logical, char member[DEPOT_PACK_PATH_BYTES]);

/* Returns what follows prefix and a path separator in path, "" when path is prefix, else NULL. */
static const char *
below(const char *path, const char *prefix)
{
	size_t		length = strlen(prefix);

	if (strncmp(path, prefix, length) != 0)
		return NULL;
	if (path[length] == '\0')
		return path + length;
	return path[length] == '/' ? path + length + 1 : NULL;
}

/* Returns what follows PREFIX/<digits>/ in path. */
static const char *
below_major(const char *path, const char *prefix)
{
	const char *rest = below(path, prefix);
	size_t		digits = rest == NULL ? 0 : strspn(rest, "0123456789");

	if (digits == 0 || rest[digits] != '/')
		return NULL;
	return rest + digits + 1;
}

DepotPackDrop
depot_pack_classify(const char *path)
{
	const char *rest;
	size_t		length = strlen(path);

	rest = below_major(path, "usr/share/postgresql");
	if (rest != NULL)
	{
		if (below(rest, "man") != NULL)
			return DEPOT_DROP_DOCUMENTATION;
		/* The server looks for these in its own directory only. */
		if (below(rest, "tsearch_data") != NULL || below(rest, "timezonesets") != NULL)
			return DEPOT_DROP_UNSERVABLE;
		return DEPOT_DROP_NONE;
	}
	rest = below_major(path, "usr/lib/postgresql");
	if (rest != NULL && below(rest, "bin") != NULL)
		return DEPOT_DROP_PROGRAM;
	if (rest != NULL && (rest = below(rest, "lib")) != NULL)
	{
		if (below(rest, "bitcode") != NULL)
			return DEPOT_DROP_BITCODE;
		if (below(rest, "plugins") != NULL)
			return DEPOT_DROP_PLUGIN;
		if (below(rest, "pgxs") != NULL || below(rest, "pkgconfig") != NULL ||
			(length > 2 && strcmp(path + length - 2, ".a") == 0))
			return DEPOT_DROP_BUILD;
		if (below(rest, "private") != NULL || strstr(rest, ".so.") != NULL ||
			(length > 3 && strcmp(path + length - 3, ".so") == 0))
			return DEPOT_DROP_NONE;
		return DEPOT_DROP_OTHER;
	}
	if (below(path, "usr/bin") != NULL || below(path, "usr/sbin") != NULL)
		return DEPOT_DROP_PROGRAM;
	if (below(path, "usr/include") != NULL)
		return DEPOT_DROP_HEADER;
	/* Of an image only; a tree has them in usr/share/doc. */
	if (below(path, "licenses") != NULL)
		return DEPOT_DROP_NONE;
	rest = below(path, "usr/share/doc");
	if (rest != NULL && (rest = strchr(rest, '/')) != NULL && strcmp(rest, "/copyright") == 0)
		return DEPOT_DROP_NONE;
	if (below(path, "usr/share/doc") != NULL || below(path, "usr/share/man") != NULL ||
		below(path, "usr/share/doc-base") != NULL)
		return DEPOT_DROP_DOCUMENTATION;
	return DEPOT_DROP_OTHER;
}

void
depot_pack_count_drop(DepotPack *pack, DepotPackDrop kind, const char *path)
{
	if (pack->dropped[kind]++ == 0)
		depot_name_printable(path, pack->dropped_example[kind], sizeof(pack->dropped_example[kind]));
}

bool
depot_pack_collect(DepotPack *pack, DepotError *error)
{
	static const char *const roots[] = {"usr/share/postgresql", "usr/lib/postgresql"};
	char		path[64];

	if (!choose_major(pack, error))
		return false;
	for (size_t i = 0; i < 2; i++)
	{
		snprintf(path, sizeof(path), "%s/%d", roots[i], pack->major);
		if (!depot_pack_collect_directory(pack, path, path, error))
			return false;
	}
	if (pack->entry_count == 0)
	{
		depot_error_set(error, DEPOT_ERROR_PACKAGE, "there are no files for a PostgreSQL %d server",
						pack->major);
		return depot_error_detail(error,
								  "A package holds what is in usr/share/postgresql/%d"
								  " and the libraries in usr/lib/postgresql/%d/lib.",
								  pack->major, pack->major);
	}
	return collect_copyrights(pack, error);
}

bool
depot_pack_collect_directory(DepotPack *pack, const char *logical, const char *real, DepotError *error)
{
	char		resolved[DEPOT_PACK_PATH_BYTES];

	if (!depot_files_exists(pack->source_fd, real))
		return true;
	return depot_pack_resolve(pack->source_fd, real, resolved, error) &&
		collect_directory(pack, logical, resolved, 0, error);
}

/* Finds the one major version that the tree is for. */
static bool
choose_major(DepotPack *pack, DepotError *error)
{
	bool		found[1000] = {false};
	int			first = 0;
	int			count = 0;

	if (!add_majors(pack, "usr/share/postgresql", found, error) ||
		!add_majors(pack, "usr/lib/postgresql", found, error))
		return false;
	for (int major = 1; major < 1000; major++)
	{
		if (!found[major])
			continue;
		if (count++ == 0)
			first = major;
	}
	pack->major = pack->options->major != 0 ? pack->options->major : first;
	if (count == 0 || !found[pack->major])
	{
		depot_error_set(error, DEPOT_ERROR_PACKAGE, "there are no files for a PostgreSQL server");
		return depot_error_detail(error,
								  "Neither usr/share/postgresql/%s nor usr/lib/postgresql/%s is there.",
								  pack->options->major != 0 ? "of that version" : "<version>",
								  pack->options->major != 0 ? "of that version" : "<version>");
	}
	if (count > 1 && pack->options->major == 0)
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
						"there are files for more than one version of PostgreSQL");
		return depot_error_hint(error, "Say which with --major; a package is for one.");
	}
	return true;
}

static bool
add_majors(DepotPack *pack, const char *directory, bool found[1000], DepotError *error)
{
	struct dirent *item;
	DIR		   *stream;
	int			fd;

	if (!depot_files_exists(pack->source_fd, directory))
		return true;
	fd = depot_files_open_directory(pack->source_fd, directory, error);
	if (fd < 0)
		return false;
	stream = fdopendir(fd);
	if (stream == NULL)
	{
		close(fd);
		return depot_error_set_errno(error, errno, "could not read \"%s\"", directory);
	}
	while ((item = readdir(stream)) != NULL)
	{
		size_t		digits = strspn(item->d_name, "0123456789");

		if (digits > 0 && digits <= 3 && item->d_name[digits] == '\0')
			found[atoi(item->d_name)] = true;
	}
	closedir(stream);
	return true;
}

/*
 * Collects the file or directory that the server would see as logical; given
 * is where it is in the tree, perhaps a link.
 */
static bool
collect_path(DepotPack *pack, const char *logical, const char *given, int depth, DepotError *error)
{
	DepotPackDrop kind = depot_pack_classify(logical);
	char		real[DEPOT_PACK_PATH_BYTES];
	struct stat status;

	if (fstatat(pack->source_fd, given, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return depot_error_set_errno(error, errno, "could not look at \"%s\"", given);
	if (kind != DEPOT_DROP_NONE && !S_ISDIR(status.st_mode))
	{
		depot_pack_count_drop(pack, kind, given);
		return true;
	}
	if (!depot_pack_resolve(pack->source_fd, given, real, error))
		return false;
	if (fstatat(pack->source_fd, real, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return depot_error_set_errno(error, errno, "could not look at \"%s\"", real);
	if (S_ISDIR(status.st_mode))
		return collect_directory(pack, logical, real, depth + 1, error);
	if (!S_ISREG(status.st_mode))
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" is neither a file, a directory nor a link",
							   logical);
	return collect_file(pack, logical, given, real, &status, error);
}

static bool
collect_directory(DepotPack *pack, const char *logical, const char *real, int depth, DepotError *error)
{
	struct dirent *item;
	DIR		   *stream;
	bool		ok = true;
	int			fd;

	if (depth > MAX_DEPTH)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" lies too deep, or links lead in a circle",
							   logical);
	fd = depot_files_open_directory(pack->source_fd, real, error);
	if (fd < 0)
		return false;
	stream = fdopendir(fd);
	if (stream == NULL)
	{
		close(fd);
		return depot_error_set_errno(error, errno, "could not read \"%s\"", real);
	}
	errno = 0;
	while (ok && (item = readdir(stream)) != NULL)
	{
		char		child[DEPOT_PACK_PATH_BYTES];
		char		child_real[DEPOT_PACK_PATH_BYTES];

		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
			continue;
		if (snprintf(child, sizeof(child), "%s/%s", logical, item->d_name) >= (int) sizeof(child) ||
			snprintf(child_real, sizeof(child_real), "%s/%s", real, item->d_name) >= (int) sizeof(child_real))
			ok = depot_error_set(error, DEPOT_ERROR_PACKAGE, "a path below \"%s\" is too long", logical);
		else
			ok = collect_path(pack, child, child_real, depth, error);
		errno = 0;
	}
	if (ok && errno != 0)
		ok = depot_error_set_errno(error, errno, "could not read \"%s\"", real);
	closedir(stream);
	return ok;
}

static bool
collect_file(DepotPack *pack, const char *logical, const char *given, const char *real,
			 const struct stat *status, DepotError *error)
{
	char		member[DEPOT_PACK_PATH_BYTES];
	char		target[DEPOT_PACK_PATH_BYTES];
	ssize_t		target_bytes;

	if (depot_pack_interrupted(error))
		return false;
	if (!member_of(pack, logical, member))
	{
		depot_pack_count_drop(pack, DEPOT_DROP_OTHER, logical);
		return true;
	}
	if (!depot_name_is_relative_path(member))
	{
		char		shown[256];

		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "a package cannot carry the file name \"%s\"",
							   depot_name_printable(logical, shown, sizeof(shown)));
	}
	if (strncmp(member, "share/depot/", 12) == 0 && pack->options->oci != NULL)
	{
		depot_pack_count_drop(pack, DEPOT_DROP_MANIFEST, given);
		return true;
	}
	if (strncmp(member, "share/depot/", 12) == 0)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" stands where manifests of packages belong",
							   logical);
	if ((uint64_t) status->st_size > depot_archive_default_limits.file_bytes)
		return depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT,
							   "\"%s\" is larger than a file of a package may be", logical);
	if (!depot_pack_add(pack, member, real, NULL, 0, (status->st_mode & 0100) != 0 ? 0755 : 0644, error))
		return false;
	target_bytes = readlinkat(pack->source_fd, given, target, sizeof(target) - 1);
	if (target_bytes > 0)
	{
		target[target_bytes] = '\0';
		pack->links_followed++;
		if (strchr(target, '/') == NULL &&
			(pack->entries[pack->entry_count - 1].link_target = strdup(target)) == NULL)
			return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	}
	return true;
}

/*
 * usr/share/doc/PACKAGE/copyright becomes licenses/PACKAGE.copyright; the
 * directory of our package comes in between later.
 */
static bool
collect_copyrights(DepotPack *pack, DepotError *error)
{
	struct dirent *item;
	DIR		   *stream;
	bool		ok = true;
	int			fd;

	if (!depot_files_exists(pack->source_fd, "usr/share/doc"))
		return true;
	fd = depot_files_open_directory(pack->source_fd, "usr/share/doc", error);
	stream = fd < 0 ? NULL : fdopendir(fd);
	if (stream == NULL)
	{
		if (fd >= 0)
			close(fd);
		return depot_error_set_errno(error, errno, "could not read \"usr/share/doc\"");
	}
	while (ok && (item = readdir(stream)) != NULL)
	{
		char		path[512];
		char		member[300];
		char		real[DEPOT_PACK_PATH_BYTES];
		DepotError	ignored;

		snprintf(path, sizeof(path), "usr/share/doc/%s/copyright", item->d_name);
		snprintf(member, sizeof(member), "licenses/%s.copyright", item->d_name);
		if (item->d_name[0] == '.')
			continue;
		/* It may be a link to the directory of a package that is not here. */
		if (!depot_pack_resolve(pack->source_fd, path, real, &ignored) ||
			!depot_name_is_relative_path(member))
			continue;
		ok = depot_pack_add(pack, member, real, NULL, 0, 0644, error);
	}
	closedir(stream);
	return ok;
}

/* Where a server file goes in the package; false for one that is of another major version or nowhere. */
static bool
member_of(const DepotPack *pack, const char *logical, char member[DEPOT_PACK_PATH_BYTES])
{
	char		prefix[64];
	const char *rest;

	if (below(logical, "licenses") != NULL)
	{
		snprintf(member, DEPOT_PACK_PATH_BYTES, "%s", logical);
		return true;
	}
	snprintf(prefix, sizeof(prefix), "usr/share/postgresql/%d", pack->major);
	rest = below(logical, prefix);
	if (rest != NULL && rest[0] != '\0')
	{
		snprintf(member, DEPOT_PACK_PATH_BYTES, "share/%s", rest);
		return true;
	}
	snprintf(prefix, sizeof(prefix), "usr/lib/postgresql/%d/lib", pack->major);
	rest = below(logical, prefix);
	if (rest == NULL || rest[0] == '\0')
		return false;
	snprintf(member, DEPOT_PACK_PATH_BYTES, "lib/%s", rest);
	return true;
}

/* Removes the last part of path. */
static void
cut_last_part(char *path)
{
	char	   *slash = strrchr(path, '/');

	if (slash == NULL)
		path[0] = '\0';
	else
		*slash = '\0';
}

bool
depot_pack_resolve(int root_fd, const char *path, char out[DEPOT_PACK_PATH_BYTES], DepotError *error)
{
	char		rest[2 * DEPOT_PACK_PATH_BYTES];
	char		target[DEPOT_PACK_PATH_BYTES];
	char		shown[256];
	int			links = 0;

	depot_name_printable(path, shown, sizeof(shown));
	out[0] = '\0';
	if (snprintf(rest, sizeof(rest), "%s", path) >= (int) sizeof(rest))
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "path \"%s\" is too long", shown);
	while (rest[0] != '\0')
	{
		size_t		part = strcspn(rest, "/");
		size_t		used = strlen(out);
		struct stat status;
		ssize_t		target_bytes;

		if (part == 2 && strncmp(rest, "..", 2) == 0)
		{
			if (out[0] == '\0')
				return depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" is a link out of the tree", shown);
			cut_last_part(out);
		}
		else if (part > 0 && !(part == 1 && rest[0] == '.'))
		{
			if (used + part + 2 > DEPOT_PACK_PATH_BYTES)
				return depot_error_set(error, DEPOT_ERROR_PACKAGE, "path \"%s\" is too long", shown);
			snprintf(out + used, DEPOT_PACK_PATH_BYTES - used, "%s%.*s", used == 0 ? "" : "/", (int) part,
					 rest);
			if (fstatat(root_fd, out, &status, AT_SYMLINK_NOFOLLOW) != 0)
			{
				if (errno != ENOENT && errno != ENOTDIR)
					return depot_error_set_errno(error, errno, "could not look at \"%s\"", shown);
				depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" is a link to nothing", shown);
				return depot_error_detail(error, "It leads to \"%.500s\", which is not in the tree.", out);
			}
			if (S_ISLNK(status.st_mode))
			{
				target_bytes = readlinkat(root_fd, out, target, sizeof(target) - 1);
				if (target_bytes < 0)
					return depot_error_set_errno(error, errno, "could not read the link \"%s\"", shown);
				target[target_bytes] = '\0';
				if (++links > MAX_LINKS || strlen(rest + part) + (size_t) target_bytes + 1 > sizeof(rest))
					return depot_error_set(error, DEPOT_ERROR_PACKAGE,
										   "\"%s\" is a link that leads in a circle", shown);
				if (target[0] == '/')
					out[0] = '\0';
				else
					cut_last_part(out);
				memmove(rest + target_bytes, rest + part, strlen(rest + part) + 1);
				memcpy(rest, target, (size_t) target_bytes);
				continue;
			}
		}
		part += rest[part] == '/' ? 1 : 0;
		memmove(rest, rest + part, strlen(rest + part) + 1);
	}
	return true;
}
