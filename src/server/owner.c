/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  One depot directory has one server.
 *
 * Two servers that were given the same directory, or a clone on the same host, would take each other's files for
 * damage.  The postmaster holds a lock on var/owner, which says who that is.  It is a lock
 * of the process (fcntl): children do not inherit it, so it ends with the postmaster however that ends.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "server/owner.h"

#define FILE_NAME "var/owner"

/* An earlier postmaster of this server may have removed its pid file and not yet be gone. */
#define OWN_WAIT_MS 2000
#define OWN_POLL_MS 10

/* Open for as long as the lock shall last: closing any descriptor of the file would end it. */
static int	owner_fd = -1;

/* Reads who has the lock: pid (0: not known) and data directory ("": not known). */
static void
read_owner(int *pid, char *data_directory, Size bytes)
{
	char		text[MAXPGPATH + 32];
	ssize_t		length = pread(owner_fd, text, sizeof(text) - 1, 0);
	char	   *second;

	*pid = 0;
	data_directory[0] = '\0';
	if (length <= 0)
		return;
	text[length] = '\0';
	*pid = atoi(text);
	second = strchr(text, '\n');
	if (second == NULL)
		return;
	second[1 + strcspn(second + 1, "\n")] = '\0';
	strlcpy(data_directory, second + 1, bytes);
}

static bool
is_locked(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(owner_fd, F_SETLK, &lock) == 0;
}

/* Whoever is refused reads this; that it could not be written harms nobody else. */
static void
write_owner(void)
{
	char	   *text = psprintf("%d\n%s\n", (int) getpid(), DataDir);
	size_t		length = strlen(text);

	if (ftruncate(owner_fd, 0) != 0 || pwrite(owner_fd, text, length, 0) != (ssize_t) length)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write \"%s\" of the depot: %m", FILE_NAME)));
	pfree(text);
}

bool
depot_owner_take(const char *directory, char *reason, Size reason_bytes)
{
	char		path[MAXPGPATH];
	char		data_directory[MAXPGPATH];
	int			pid;

	snprintf(path, sizeof(path), "%s/%s", directory, FILE_NAME);
	owner_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
	if (owner_fd < 0)
	{
		snprintf(reason, reason_bytes, "Could not open file \"%s\": %s.", path, strerror(errno));
		return false;
	}
	for (int waited_ms = 0; !is_locked(); waited_ms += OWN_POLL_MS)
	{
		int			saved_errno = errno;

		read_owner(&pid, data_directory, sizeof(data_directory));
		if ((saved_errno == EACCES || saved_errno == EAGAIN) && strcmp(data_directory, DataDir) == 0 &&
			waited_ms < OWN_WAIT_MS)
		{
			pg_usleep(OWN_POLL_MS * 1000L);
			continue;
		}
		if (saved_errno == EACCES || saved_errno == EAGAIN)
			snprintf(reason, reason_bytes,
					 "Directory \"%s\" is another server's: process %d, data directory \"%s\". "
					 "Give this one a directory of its own in \"depot.directory\" and restart it.",
					 directory, pid, data_directory);
		else
			snprintf(reason, reason_bytes, "Could not lock file \"%s\": %s.", path, strerror(saved_errno));
		close(owner_fd);
		owner_fd = -1;
		return false;
	}
	write_owner();
	return true;
}
