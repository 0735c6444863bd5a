/*-------------------------------------------------------------------------
 *
 * temporary.c
 *	  A private directory for the time of a command, and files that get their
 *	  name when they are whole.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/files.h"

#define DIRECTORY_NAME "pg_depot-XXXXXX"

static volatile sig_atomic_t interrupted;

static void
note_interrupt(int signal_number)
{
	(void) signal_number;
	interrupted = 1;
}

void
depot_temporary_catch_interrupts(void)
{
	struct sigaction action = {.sa_handler = note_interrupt, .sa_flags = SA_RESTART};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool
depot_temporary_is_interrupted(void)
{
	return interrupted != 0;
}

bool
depot_temporary_progress(uint64_t bytes_done, void *context)
{
	depot_cli_progress_update(context, bytes_done);
	return !interrupted;
}

bool
depot_temporary_make(DepotTemporary *directory, DepotError *error)
{
	const char *parent = getenv("TMPDIR");
	int			length;

	if (parent == NULL || *parent == '\0')
		parent = "/tmp";
	length = snprintf(directory->path, sizeof(directory->path), "%s/%s", parent, DIRECTORY_NAME);
	if (length < 0 || (size_t) length >= sizeof(directory->path))
	{
		directory->path[0] = '\0';
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "TMPDIR is too long");
	}
	directory->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory->parent_fd < 0 || mkdtemp(directory->path) == NULL)
	{
		directory->path[0] = '\0';
		depot_error_set_errno(error, errno, "could not make a temporary directory in \"%s\"", parent);
		return depot_error_hint(error, "TMPDIR can name another place for temporary files.");
	}
	directory->fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return directory->fd >= 0 ||
		depot_error_set_errno(error, errno, "could not open \"%s\"", directory->path);
}

void
depot_temporary_remove(DepotTemporary *directory)
{
	DepotError	error = {0};

	if (directory->fd >= 0)
		close(directory->fd);
	if (directory->path[0] != '\0' &&
		!depot_files_remove_tree(directory->parent_fd, strrchr(directory->path, '/') + 1, &error))
		depot_cli_warning("could not remove \"%s\": %s", directory->path, error.message);
	if (directory->parent_fd >= 0)
		close(directory->parent_fd);
}

bool
depot_temporary_write_file(int directory_fd, const char *name, DepotTemporaryFill fill, void *context,
						   DepotError *error)
{
	char		temporary[NAME_MAX + 1];
	DepotError	ignored;
	bool		ok;
	int			fd;

	if ((size_t) snprintf(temporary, sizeof(temporary), "%s.new", name) >= sizeof(temporary))
		return depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "the file name \"%s\" is too long", name);
	if (!depot_files_remove(directory_fd, temporary, error))
		return false;
	fd = depot_files_open(directory_fd, temporary, O_RDWR | O_CREAT | O_EXCL, 0666, error);
	if (fd < 0)
		return false;
	ok = fill(fd, context, error);
	if (ok && fsync(fd) != 0)
		ok = depot_error_set_errno(error, errno, "could not write \"%s\"", name);
	if (close(fd) != 0 && ok)
		ok = depot_error_set_errno(error, errno, "could not write \"%s\"", name);
	ok = ok && depot_files_rename(directory_fd, temporary, directory_fd, name, error) &&
		depot_files_fsync(directory_fd, ".", error);
	if (!ok)
		(void) depot_files_remove(directory_fd, temporary, &ignored);
	return ok;
}
