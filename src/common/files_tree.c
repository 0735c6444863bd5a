/*-------------------------------------------------------------------------
 *
 * files_tree.c
 *	  What files.h offers for whole trees: remove, fsync, walk.
 *
 * Recursion keeps one descriptor open per level and is bounded; entries are
 * opened by name in their own directory, never by a path from the top, so a
 * directory that somebody exchanges for a symbolic link meanwhile is not
 * followed.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files_internal.h"
#include "common/name.h"

#define SHOWN_PATH_BYTES 256

/* Deeper than any package may be; bounds recursion and open descriptors. */
#define MAX_TREE_DEPTH 128

static bool
too_deep(DepotError *error, const char *path)
{
	char		shown[SHOWN_PATH_BYTES];

	return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "directory \"%s\" is nested deeper than %d levels",
						   depot_name_printable(path, shown, sizeof(shown)), MAX_TREE_DEPTH);
}

/* The sorted names of a directory. */
typedef struct NameList
{
	char	  **names;
	size_t		count;
	size_t		capacity;
} NameList;

static void
free_names(NameList *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	memset(list, 0, sizeof(*list));
}

static bool
add_name(NameList *list, const char *name)
{
	if (list->count == list->capacity)
	{
		size_t		capacity = list->capacity > 0 ? list->capacity * 2 : 16;
		char	  **names = reallocarray(list->names, capacity, sizeof(*names));

		if (names == NULL)
			return false;
		list->names = names;
		list->capacity = capacity;
	}
	list->names[list->count] = strdup(name);
	if (list->names[list->count] == NULL)
		return false;
	list->count++;
	return true;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Reads what directory_fd holds; the descriptor stays open and usable. */
static bool
read_names(int directory_fd, const char *path, NameList *list, DepotError *error)
{
	struct dirent *entry;
	bool		ok = true;
	DIR		   *directory = NULL;
	int			fd;

	memset(list, 0, sizeof(*list));
	/* An open file description of its own: readdir moves the offset. */
	fd = openat(directory_fd, ".", DEPOT_FILES_DIRECTORY_FLAGS);
	if (fd >= 0)
		directory = fdopendir(fd);
	if (directory == NULL)
	{
		depot_files_fail(error, errno, "read directory", path);
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (ok)
	{
		errno = 0;
		entry = readdir(directory);
		if (entry == NULL)
		{
			if (errno != 0)
				ok = depot_files_fail(error, errno, "read directory", path);
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (!add_name(list, entry->d_name))
			ok = depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	}
	closedir(directory);
	if (!ok)
		free_names(list);
	else if (list->count > 1)
		qsort(list->names, list->count, sizeof(*list->names), compare_names);
	return ok;
}

/* Removes an entry of parent_fd, whatever it is. */
static bool
remove_entry(int parent_fd, const char *name, int depth, DepotError *error)
{
	NameList	list;
	bool		ok = true;
	int			fd;

	if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
		return true;
	/* Linux says EISDIR for a directory, POSIX EPERM. */
	if (errno != EISDIR && errno != EPERM)
		return depot_files_fail(error, errno, "remove", name);
	if (depth >= MAX_TREE_DEPTH)
		return too_deep(error, name);
	fd = openat(parent_fd, name, DEPOT_FILES_DIRECTORY_FLAGS);
	if (fd < 0)
		return depot_files_fail(error, errno, "remove", name);
	ok = read_names(fd, name, &list, error);
	if (ok)
	{
		for (size_t i = 0; i < list.count && ok; i++)
			ok = remove_entry(fd, list.names[i], depth + 1, error);
		free_names(&list);
	}
	close(fd);
	if (ok && unlinkat(parent_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		ok = depot_files_fail(error, errno, "remove directory", name);
	return ok;
}

bool
depot_files_remove_tree(int directory_fd, const char *path, DepotError *error)
{
	char		name[NAME_MAX + 1];
	bool		ok;
	int			parent;

	parent = depot_files_open_parent(directory_fd, path, name);
	if (parent < 0)
		return errno == ENOENT ? true : depot_files_fail(error, errno, "remove", path);
	ok = remove_entry(parent, name, 0, error);
	close(parent);
	return ok;
}

/* What stays the same during a walk. */
typedef struct Walk
{
	int			top_fd;
	DepotFilesVisit visit;
	void	   *context;
	DepotBuffer path;
} Walk;

static bool
walk_directory(Walk *walk, int fd, int depth, DepotError *error)
{
	size_t		prefix_bytes = walk->path.length_bytes;
	NameList	list;
	bool		ok;

	if (depth > MAX_TREE_DEPTH)
		return too_deep(error, walk->path.data);
	if (!read_names(fd, prefix_bytes > 0 ? walk->path.data : ".", &list, error))
		return false;
	ok = true;
	for (size_t i = 0; i < list.count && ok; i++)
	{
		struct stat status = {0};
		int			next;

		walk->path.length_bytes = prefix_bytes;
		if (prefix_bytes > 0)
			depot_buffer_append(&walk->path, "/", 1);
		if (!depot_buffer_append_string(&walk->path, list.names[i]))
			ok = depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		else if (fstatat(fd, list.names[i], &status, AT_SYMLINK_NOFOLLOW) != 0)
			ok = depot_files_fail(error, errno, "stat", walk->path.data);
		else
			ok = walk->visit(walk->top_fd, walk->path.data, status.st_mode, (uint64_t) status.st_size,
							 walk->context, error);
		if (!ok || !S_ISDIR(status.st_mode))
			continue;
		next = openat(fd, list.names[i], DEPOT_FILES_DIRECTORY_FLAGS);
		if (next < 0)
			ok = depot_files_fail(error, errno, "open directory", walk->path.data);
		else
		{
			ok = walk_directory(walk, next, depth + 1, error);
			close(next);
		}
	}
	free_names(&list);
	return ok;
}

bool
depot_files_walk(int directory_fd, const char *path, DepotFilesVisit visit, void *context, DepotError *error)
{
	Walk		walk = {.visit = visit, .context = context};
	bool		ok;

	walk.top_fd = depot_files_open_directory(directory_fd, path, error);
	if (walk.top_fd < 0)
		return false;
	depot_buffer_init(&walk.path);
	ok = walk_directory(&walk, walk.top_fd, 0, error);
	depot_buffer_free(&walk.path);
	close(walk.top_fd);
	return ok;
}
