/*-------------------------------------------------------------------------
 *
 * files.c
 *	  Small file operations, all relative to a directory descriptor.
 *
 * No symbolic link put anywhere below the starting directory is followed: it
 * makes a call fail instead of leading it elsewhere.  "..", absolute paths and
 * empty parts are refused.
 *
 * Messages show paths as printable ASCII: what lies in a directory on disk
 * may have any name, and an error may become a line of JSON.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/files_internal.h"
#include "common/name.h"

#define SHOWN_PATH_BYTES 256
#define READ_PIECE_BYTES 65536

/* Written beside its file and renamed over it; what a crash left there is replaced by the next write. */
#define TEMPORARY_SUFFIX ".new"

/* Asked once in a process. */
static bool is_openat2_missing = false;

bool
depot_files_fail(DepotError *error, int saved_errno, const char *action, const char *path)
{
	char		shown[SHOWN_PATH_BYTES];

	return depot_error_set_errno(error, saved_errno, "could not %s \"%s\"", action,
								 depot_name_printable(path, shown, sizeof(shown)));
}

static bool
refuse(DepotError *error, DepotErrorCode code, const char *path, const char *reason)
{
	char		shown[SHOWN_PATH_BYTES];

	return depot_error_set(error, code, "\"%s\" %s",
						   depot_name_printable(path, shown, sizeof(shown)), reason);
}

/* Copies the part at *path into part and moves *path to the next one; false for a part we never follow. */
static bool
take_part(const char **path, char part[NAME_MAX + 1])
{
	size_t		length = strcspn(*path, "/");

	if (length == 0 || length > NAME_MAX)
		return false;
	memcpy(part, *path, length);
	part[length] = '\0';
	if (strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
		return false;
	*path += length;
	if (**path == '/')
	{
		(*path)++;
		return **path != '\0';
	}
	return true;
}

/* Walks to the directory of path one part at a time; name is room for a part. -1 with errno. */
static int
walk_to_parent(int directory_fd, const char *path, char name[NAME_MAX + 1])
{
	const char *rest = path;
	int			fd;

	fd = openat(directory_fd, ".", DEPOT_FILES_DIRECTORY_FLAGS);
	if (fd < 0)
		return -1;
	for (;;)
	{
		int			next;
		int			saved_errno;

		if (!take_part(&rest, name))
		{
			close(fd);
			errno = EINVAL;
			return -1;
		}
		if (*rest == '\0')
			return fd;
		next = openat(fd, name, DEPOT_FILES_DIRECTORY_FLAGS);
		saved_errno = errno;
		close(fd);
		errno = saved_errno;
		if (next < 0)
			return -1;
		fd = next;
	}
}

int
depot_files_open_parent(int directory_fd, const char *path, char name[NAME_MAX + 1])
{
	struct open_how how = {
		.flags = DEPOT_FILES_DIRECTORY_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
	};
	const char *rest = path;
	char		directory[PATH_MAX];
	size_t		length;
	int			fd;

	do
	{
		if (!take_part(&rest, name))
		{
			errno = EINVAL;
			return -1;
		}
	} while (*rest != '\0');
	length = strlen(path) - strlen(name);
	if (length == 0)
		return openat(directory_fd, ".", DEPOT_FILES_DIRECTORY_FLAGS);

	/* One call where the kernel has it, and a sandbox lets it through; what fails is left to the walk. */
	if (length < sizeof(directory) && !is_openat2_missing)
	{
		memcpy(directory, path, length);
		directory[length] = '\0';
		fd = (int) syscall(SYS_openat2, directory_fd, directory, &how, sizeof(how));
		if (fd >= 0)
			return fd;
		is_openat2_missing = errno == ENOSYS;
	}
	return walk_to_parent(directory_fd, path, name);
}

int
depot_files_open(int directory_fd, const char *path, int flags, mode_t mode, DepotError *error)
{
	char		name[NAME_MAX + 1];
	int			parent;
	int			fd;

	parent = depot_files_open_parent(directory_fd, path, name);
	if (parent < 0)
	{
		depot_files_fail(error, errno, "open", path);
		return -1;
	}
	do
		fd = openat(parent, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		depot_files_fail(error, errno, (flags & O_CREAT) != 0 ? "create" : "open", path);
	close(parent);
	return fd;
}

int
depot_files_open_directory(int directory_fd, const char *path, DepotError *error)
{
	int			fd;

	if (path[0] != '\0' && strcmp(path, ".") != 0)
		return depot_files_open(directory_fd, path, O_RDONLY | O_DIRECTORY, 0, error);
	fd = openat(directory_fd, ".", DEPOT_FILES_DIRECTORY_FLAGS);
	if (fd < 0)
		depot_files_fail(error, errno, "open directory", ".");
	return fd;
}

/* Makes one directory, or takes one that exists, and returns it open; -1 with errno. */
static int
make_directory(int parent_fd, const char *name, mode_t mode, bool durable)
{
	bool		is_new = mkdirat(parent_fd, name, mode) == 0;
	int			saved_errno;
	int			fd;

	if (!is_new && errno != EEXIST)
		return -1;
	fd = openat(parent_fd, name, DEPOT_FILES_DIRECTORY_FLAGS);
	if (fd < 0)
		return -1;

	/*
	 * The umask does not decide about our modes.  The parent of a directory that exists is fsynced too: it
	 * may stem from an attempt that was killed before its own fsync.
	 */
	if ((!is_new || fchmod(fd, mode) == 0) &&
		(!durable || ((!is_new || fsync(fd) == 0) && fsync(parent_fd) == 0)))
		return fd;
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

bool
depot_files_make_directories(int directory_fd, const char *path, mode_t mode, bool durable, DepotError *error)
{
	const char *rest = path;
	char		name[NAME_MAX + 1];
	int			fd;

	fd = openat(directory_fd, ".", DEPOT_FILES_DIRECTORY_FLAGS);
	if (fd < 0)
		return depot_files_fail(error, errno, "open directory", ".");
	while (*rest != '\0')
	{
		int			next = -1;
		int			saved_errno = EINVAL;

		if (take_part(&rest, name))
		{
			next = make_directory(fd, name, mode, durable);
			saved_errno = errno;
		}
		close(fd);
		if (next < 0)
			return depot_files_fail(error, saved_errno, "create directory", path);
		fd = next;
	}
	close(fd);
	return true;
}

/* Reads fd to its end into buffer. */
static bool
read_all(int fd, const char *path, size_t limit_bytes, DepotBuffer *buffer, DepotError *error)
{
	size_t		total = 0;
	bool		ok = false;
	char	   *piece;

	piece = malloc(READ_PIECE_BYTES);
	if (piece == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	for (;;)
	{
		ssize_t		count = read(fd, piece, READ_PIECE_BYTES);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
		{
			depot_files_fail(error, errno, "read", path);
			break;
		}
		if ((size_t) count > limit_bytes - total)
		{
			refuse(error, DEPOT_ERROR_TOO_LARGE, path, "is larger than allowed");
			depot_error_detail(error, "The limit is %zu bytes.", limit_bytes);
			break;
		}
		/* Also for an empty file: the caller may use the bytes as a C string. */
		if (!depot_buffer_append(buffer, piece, (size_t) count))
		{
			depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
			break;
		}
		total += (size_t) count;
		if (count == 0)
		{
			ok = true;
			break;
		}
	}
	free(piece);
	return ok;
}

bool
depot_files_read(int directory_fd, const char *path, size_t limit_bytes, DepotBuffer *buffer,
				 DepotError *error)
{
	struct stat status;
	bool		ok;
	int			fd;

	/* O_NONBLOCK: a fifo in the file's place must not stop us in open. */
	fd = depot_files_open(directory_fd, path, O_RDONLY | O_NONBLOCK, 0, error);
	if (fd < 0)
		return false;
	if (fstat(fd, &status) != 0)
		ok = depot_files_fail(error, errno, "stat", path);
	else if (!S_ISREG(status.st_mode))
		ok = refuse(error, DEPOT_ERROR_IO, path, "is not a regular file");
	else
		ok = read_all(fd, path, limit_bytes, buffer, error);
	close(fd);
	return ok;
}

bool
depot_files_write_all(int fd, const void *bytes, size_t length_bytes, DepotError *error)
{
	const char *rest = bytes;

	while (length_bytes > 0)
	{
		ssize_t		count = write(fd, rest, length_bytes);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return depot_error_set_errno(error, errno, "could not write");
		/* write(2) says nothing about 0; a full disk is the usual reason. */
		if (count == 0)
			return depot_error_set_errno(error, ENOSPC, "could not write");
		rest += count;
		length_bytes -= (size_t) count;
	}
	return true;
}

/* Fills the new file behind fd and closes it, durably. */
static bool
fill_file(int fd, const char *path, const void *bytes, size_t length_bytes, mode_t mode, DepotError *error)
{
	bool		ok = true;

	if (!depot_files_write_all(fd, bytes, length_bytes, error))
		ok = depot_error_prefix(error, "file \"%s\"", path);
	else if (fchmod(fd, mode) != 0)
		ok = depot_files_fail(error, errno, "set the mode of", path);
	else if (fsync(fd) != 0)
		ok = depot_files_fail(error, errno, "fsync", path);
	if (close(fd) != 0 && ok)
		ok = depot_files_fail(error, errno, "close", path);
	return ok;
}

bool
depot_files_write_durable(int directory_fd, const char *path, const void *bytes, size_t length_bytes,
						  mode_t mode, DepotError *error)
{
	char		name[NAME_MAX + 1];
	char		temporary[NAME_MAX + 1 + sizeof(TEMPORARY_SUFFIX)];
	bool		ok = false;
	int			parent;
	int			fd;

	parent = depot_files_open_parent(directory_fd, path, name);
	if (parent < 0)
		return depot_files_fail(error, errno, "create", path);
	snprintf(temporary, sizeof(temporary), "%s%s", name, TEMPORARY_SUFFIX);
	if (unlinkat(parent, temporary, 0) != 0 && errno != ENOENT)
	{
		depot_files_fail(error, errno, "remove", temporary);
		goto done;
	}
	fd = openat(parent, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
	{
		depot_files_fail(error, errno, "create", path);
		goto done;
	}
	if (!fill_file(fd, path, bytes, length_bytes, mode, error))
		(void) unlinkat(parent, temporary, 0);
	else if (renameat(parent, temporary, parent, name) != 0)
	{
		depot_files_fail(error, errno, "replace", path);
		(void) unlinkat(parent, temporary, 0);
	}
	else if (fsync(parent) != 0)
		depot_files_fail(error, errno, "fsync the directory of", path);
	else
		ok = true;

done:
	close(parent);
	return ok;
}

bool
depot_files_fsync(int directory_fd, const char *path, DepotError *error)
{
	bool		ok = true;
	int			fd;

	/* fsync works on a descriptor open for reading, and a directory has no other kind. */
	if (path[0] == '\0' || strcmp(path, ".") == 0)
		fd = depot_files_open_directory(directory_fd, path, error);
	else
		fd = depot_files_open(directory_fd, path, O_RDONLY | O_NONBLOCK, 0, error);
	if (fd < 0)
		return false;
	if (fsync(fd) != 0)
		ok = depot_files_fail(error, errno, "fsync", path);
	close(fd);
	return ok;
}

bool
depot_files_rename(int from_fd, const char *from, int to_fd, const char *to, DepotError *error)
{
	char		from_name[NAME_MAX + 1];
	char		to_name[NAME_MAX + 1];
	bool		ok = true;
	int			from_parent;
	int			to_parent;

	from_parent = depot_files_open_parent(from_fd, from, from_name);
	if (from_parent < 0)
		return depot_files_fail(error, errno, "rename", from);
	to_parent = depot_files_open_parent(to_fd, to, to_name);
	if (to_parent < 0)
		ok = depot_files_fail(error, errno, "rename to", to);
	else if (renameat(from_parent, from_name, to_parent, to_name) != 0)
		ok = depot_files_fail(error, errno, "rename", from);
	if (to_parent >= 0)
		close(to_parent);
	close(from_parent);
	return ok;
}

bool
depot_files_remove(int directory_fd, const char *path, DepotError *error)
{
	char		name[NAME_MAX + 1];
	bool		ok = true;
	int			parent;

	parent = depot_files_open_parent(directory_fd, path, name);
	if (parent < 0)
		return errno == ENOENT ? true : depot_files_fail(error, errno, "remove", path);
	if (unlinkat(parent, name, 0) != 0 && errno != ENOENT)
		ok = depot_files_fail(error, errno, "remove", path);
	close(parent);
	return ok;
}

bool
depot_files_remove_if_empty(int directory_fd, const char *path)
{
	char		name[NAME_MAX + 1];
	bool		is_gone;
	int			parent;

	parent = depot_files_open_parent(directory_fd, path, name);
	if (parent < 0)
		return errno == ENOENT;
	is_gone = unlinkat(parent, name, AT_REMOVEDIR) == 0;
	if (is_gone)
		(void) fsync(parent);
	else
		is_gone = errno == ENOENT;
	close(parent);
	return is_gone;
}

bool
depot_files_exists(int directory_fd, const char *path)
{
	char		name[NAME_MAX + 1];
	struct stat status;
	bool		is_there;
	int			parent;

	parent = depot_files_open_parent(directory_fd, path, name);
	if (parent < 0)
		return false;
	is_there = fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
	close(parent);
	return is_there;
}
