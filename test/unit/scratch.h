/*-------------------------------------------------------------------------
 *
 * scratch.h
 *	  A temporary directory for unit tests that need files.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_SCRATCH_H
#define DEPOT_TEST_SCRATCH_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"

typedef struct Scratch
{
	char		path[64];
	int			fd;				/* -1 when it could not be made */
} Scratch;

static inline Scratch
scratch_make(void)
{
	Scratch		scratch = {"/tmp/depot-unit-XXXXXX", -1};

	if (mkdtemp(scratch.path) != NULL)
		scratch.fd = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return scratch;
}

static inline void
scratch_remove(Scratch *scratch)
{
	DepotError	error;
	int			tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (scratch->fd >= 0)
		close(scratch->fd);
	scratch->fd = -1;
	if (tmp >= 0)
	{
		(void) depot_files_remove_tree(tmp, scratch->path + strlen("/tmp/"), &error);
		close(tmp);
	}
}

/* Writes a small file; its directory must be there. */
static inline bool
scratch_write(int directory_fd, const char *path, const char *text)
{
	DepotError	error;

	return depot_files_write_durable(directory_fd, path, text, strlen(text), 0644, &error);
}

/* Tells whether path is a regular file with exactly this text. */
static inline bool
scratch_has(int directory_fd, const char *path, const char *text)
{
	DepotBuffer buffer;
	DepotError	error;
	bool		same;

	depot_buffer_init(&buffer);
	same = depot_files_read(directory_fd, path, 1 << 20, &buffer, &error) && strcmp(buffer.data, text) == 0;
	depot_buffer_free(&buffer);
	return same;
}

static inline mode_t
scratch_mode(int directory_fd, const char *path)
{
	struct stat status;

	return fstatat(directory_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_mode : 0;
}

#endif							/* DEPOT_TEST_SCRATCH_H */
