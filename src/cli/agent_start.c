/*-------------------------------------------------------------------------
 *
 * agent_start.c
 *	  An agent's first acts, before it says hello.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/agent_start.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Enough for a connection, a resolver, and unpacked files on their way to the disk; a leak shows at once. */
#define DESCRIPTOR_LIMIT 256

/* Half of what "first to be killed" means: before any backend, after what an administrator marked. */
#define OOM_SCORE 500

/* Closes descriptors one by one, for kernels and sandboxes without close_range. */
static bool
close_listed_descriptors(DepotError *error)
{
	DIR		   *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	if (directory == NULL)
		return depot_error_set_errno(error, errno, "could not list open descriptors");
	while ((entry = readdir(directory)) != NULL)
	{
		long		fd = strtol(entry->d_name, NULL, 10);

		if (fd > DEPOT_AGENT_DIRECTORY_FD && fd != dirfd(directory))
			(void) close((int) fd);
	}
	(void) closedir(directory);
	return true;
}

bool
depot_agent_close_descriptors(DepotError *error)
{
	return close_range(DEPOT_AGENT_DIRECTORY_FD + 1, ~0U, 0) == 0 || close_listed_descriptors(error);
}

/* Raises oom_score_adj; lowering it would need a privilege, so a higher value stays. */
static bool
raise_oom_score(DepotError *error)
{
	char		text[16];
	ssize_t		length;
	int			fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	bool		ok = true;

	/* no /proc: nothing to raise it with, and nothing is wrong with the work itself */
	if (fd < 0)
		return true;
	length = pread(fd, text, sizeof(text) - 1, 0);
	text[length > 0 ? length : 0] = '\0';
	if (strtol(text, NULL, 10) < OOM_SCORE)
	{
		int			digits = OOM_SCORE;
		char		score[4] = {(char) ('0' + digits / 100), (char) ('0' + digits / 10 % 10),
		(char) ('0' + digits % 10)};

		if (pwrite(fd, score, 3, 0) != 3)
			ok = depot_error_set_errno(error, errno, "could not raise oom_score_adj");
	}
	(void) close(fd);
	return ok;
}

/* Lowers a limit to value, or to the hard limit when that is lower. */
static bool
limit_resource(__rlimit_resource_t resource, uint64_t value, const char *name, DepotError *error)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) != 0)
		return depot_error_set_errno(error, errno, "could not read limit %s", name);
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(resource, &limit) != 0)
		return depot_error_set_errno(error, errno, "could not set limit %s", name);
	return true;
}

bool
depot_agent_start(pid_t parent, const DepotAgentLimits *limits, DepotError *error)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return depot_error_set_errno(error, errno, "could not ask for a signal at the leader's death");
	/* only now is it certain that the signal will come */
	if (getppid() != parent)
		return depot_error_set(error, DEPOT_ERROR_AGENT, "the leader is gone");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return depot_error_set_errno(error, errno, "could not give up new privileges");
	if (!raise_oom_score(error) ||
		!limit_resource(RLIMIT_CORE, 0, "core", error) ||
		!limit_resource(RLIMIT_NOFILE, DESCRIPTOR_LIMIT, "nofile", error))
		return false;
	if (limits->file_bytes > 0 && !limit_resource(RLIMIT_FSIZE, limits->file_bytes, "fsize", error))
		return false;
#if !defined(__SANITIZE_ADDRESS__)
	/* a sanitizer's shadow memory does not fit any sensible limit */
	if (limits->memory_bytes > 0 && !limit_resource(RLIMIT_AS, limits->memory_bytes, "as", error))
		return false;
#endif
	/* writing to a leader that is gone, or past the limit, is an error to report, not a death */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return depot_error_set_errno(error, errno, "could not set signal handling");
	return true;
}
