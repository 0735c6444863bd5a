/*-------------------------------------------------------------------------
 *
 * pack_entry.c
 *	  The list of what goes into a package, and writing it as a tree.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/pack.h"
#include "common/archive.h"
#include "common/files.h"

#define BLOCK_BYTES 65536

static void free_entry(DepotPackEntry *entry);
static int	compare_entries(const void *a, const void *b);
static bool write_entry(DepotPack *pack, const DepotPackEntry *entry, DepotError *error);
static bool copy_source(DepotPack *pack, const DepotPackEntry *entry, int to_fd, DepotError *error);

bool
depot_pack_add(DepotPack *pack, const char *member, const char *source, const char *text, size_t text_bytes,
			   uint32_t mode, DepotError *error)
{
	DepotPackEntry *entry;

	if (pack->entry_count >= DEPOT_MANIFEST_MAX_FILES)
		return depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT,
							   "there are more than %d files, too many for a package",
							   DEPOT_MANIFEST_MAX_FILES);
	if (pack->entry_count == pack->entry_capacity)
	{
		int			capacity = pack->entry_capacity == 0 ? 64 : 2 * pack->entry_capacity;
		DepotPackEntry *grown = realloc(pack->entries, sizeof(*grown) * (size_t) capacity);

		if (grown == NULL)
			return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		pack->entries = grown;
		pack->entry_capacity = capacity;
	}
	entry = &pack->entries[pack->entry_count++];
	memset(entry, 0, sizeof(*entry));
	entry->member = strdup(member);
	entry->source = source == NULL ? NULL : strdup(source);
	entry->mode = mode;
	if (entry->member == NULL || (source != NULL && entry->source == NULL))
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return source != NULL || depot_pack_set_text(entry, text, text_bytes, error);
}

DepotPackEntry *
depot_pack_find(const DepotPack *pack, const char *member)
{
	for (int i = 0; i < pack->entry_count; i++)
	{
		if (strcmp(pack->entries[i].member, member) == 0)
			return &pack->entries[i];
	}
	return NULL;
}

void
depot_pack_remove(DepotPack *pack, int index)
{
	free_entry(&pack->entries[index]);
	memmove(&pack->entries[index], &pack->entries[index + 1],
			sizeof(pack->entries[0]) * (size_t) (pack->entry_count - index - 1));
	pack->entry_count--;
}

bool
depot_pack_rename(DepotPackEntry *entry, const char *member, DepotError *error)
{
	char	   *copy = strdup(member);

	if (copy == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	free(entry->member);
	entry->member = copy;
	return true;
}

bool
depot_pack_read_entry(const DepotPack *pack, const DepotPackEntry *entry, size_t limit_bytes,
					  DepotBuffer *buffer, DepotError *error)
{
	if (entry->source != NULL)
		return depot_files_read(pack->source_fd, entry->source, limit_bytes, buffer, error);
	if (!depot_buffer_append(buffer, entry->text, entry->text_bytes))
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return true;
}

bool
depot_pack_set_text(DepotPackEntry *entry, const char *text, size_t text_bytes, DepotError *error)
{
	char	   *copy = malloc(text_bytes + 1);

	if (copy == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	memcpy(copy, text, text_bytes);
	copy[text_bytes] = '\0';
	free(entry->text);
	free(entry->source);
	free(entry->link_target);
	entry->text = copy;
	entry->text_bytes = text_bytes;
	entry->source = NULL;
	entry->link_target = NULL;
	return true;
}

static int
compare_entries(const void *a, const void *b)
{
	return strcmp(((const DepotPackEntry *) a)->member, ((const DepotPackEntry *) b)->member);
}

bool
depot_pack_materialise(DepotPack *pack, DepotError *error)
{
	if (pack->entry_count > 0)
		qsort(pack->entries, (size_t) pack->entry_count, sizeof(pack->entries[0]), compare_entries);
	pack->source_bytes = 0;
	for (int i = 0; i < pack->entry_count; i++)
	{
		if (i > 0 && strcmp(pack->entries[i - 1].member, pack->entries[i].member) == 0)
			return depot_error_set(error, DEPOT_ERROR_CONFLICT, "two files would both become \"%s\"",
								   pack->entries[i].member);
		if (depot_pack_interrupted(error) || !write_entry(pack, &pack->entries[i], error))
			return false;
	}
	return true;
}

static bool
write_entry(DepotPack *pack, const DepotPackEntry *entry, DepotError *error)
{
	char		parent[DEPOT_PACK_PATH_BYTES] = "";
	const char *slash = strrchr(entry->member, '/');
	bool		ok;
	int			fd;

	if (slash != NULL)
		memcpy(parent, entry->member, (size_t) (slash - entry->member));
	if (!depot_files_make_directories(pack->tree_fd, parent, 0700, false, error))
		return false;
	fd = depot_files_open(pack->tree_fd, entry->member, O_WRONLY | O_CREAT | O_EXCL, 0600, error);
	if (fd < 0)
		return false;
	ok = entry->source != NULL ? copy_source(pack, entry, fd, error) :
		depot_files_write_all(fd, entry->text, entry->text_bytes, error);
	if (ok && fchmod(fd, entry->mode) != 0)
		ok = depot_error_set_errno(error, errno, "could not set the mode of \"%s\"", entry->member);
	if (close(fd) != 0 && ok)
		ok = depot_error_set_errno(error, errno, "could not write \"%s\"", entry->member);
	return ok;
}

static bool
copy_source(DepotPack *pack, const DepotPackEntry *entry, int to_fd, DepotError *error)
{
	char		block[BLOCK_BYTES];
	bool		ok = true;
	int			fd;

	fd = depot_files_open(pack->source_fd, entry->source, O_RDONLY, 0, error);
	if (fd < 0)
		return false;
	while (ok)
	{
		ssize_t		got = read(fd, block, sizeof(block));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			ok = depot_error_set_errno(error, errno, "could not read \"%s\"", entry->source);
		if (got <= 0)
			break;
		pack->source_bytes += (uint64_t) got;
		if (pack->source_bytes > depot_archive_default_limits.unpacked_bytes)
		{
			depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT, "the files are larger than a package may be");
			ok = depot_error_detail(error, "The limit was reached at \"%s\".", entry->member);
		}
		else
			ok = depot_files_write_all(to_fd, block, (size_t) got, error) && !depot_pack_interrupted(error);
	}
	close(fd);
	return ok;
}

static void
free_entry(DepotPackEntry *entry)
{
	free(entry->member);
	free(entry->source);
	free(entry->link_target);
	free(entry->text);
}

void
depot_pack_free_entries(DepotPack *pack)
{
	for (int i = 0; i < pack->entry_count; i++)
		free_entry(&pack->entries[i]);
	free(pack->entries);
	pack->entries = NULL;
	pack->entry_count = 0;
	pack->entry_capacity = 0;
}
