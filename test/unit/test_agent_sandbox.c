/*-------------------------------------------------------------------------
 *
 * test_agent_sandbox.c
 *	  What the check agent's system call filter refuses, and what it must not.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The program's own file: unit tests link src/common only. */
#include "cli/agent_sandbox.c"

#include "scratch.h"

typedef int (*Attempt) (int directory_fd);

/* Runs attempt behind the filter, in a process of its own; returns what it returned. */
static int
run_in_sandbox(Attempt attempt)
{
	Scratch		scratch = scratch_make();
	pid_t		pid = fork();
	int			status;

	assert_true(pid >= 0);
	if (pid == 0)
	{
		DepotError	error;

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !depot_agent_enter_sandbox(&error))
			_exit(100);
		_exit(attempt(scratch.fd));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	scratch_remove(&scratch);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Returns the number of the first call that was not refused with EPERM, 0 when all were. */
#define REFUSED(number, call) \
	do { \
		errno = 0; \
		if ((call) != -1 || errno != EPERM) \
			return number; \
	} while (0)

static int
attempt_network(int directory_fd)
{
	int			pair[2];

	(void) directory_fd;
	REFUSED(1, socket(AF_INET, SOCK_STREAM, 0));
	REFUSED(2, socket(AF_UNIX, SOCK_STREAM, 0));
	REFUSED(3, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	REFUSED(4, connect(0, NULL, 0));
	REFUSED(5, bind(0, NULL, 0));
	REFUSED(6, sendto(0, "", 0, 0, NULL, 0));
	REFUSED(7, sendmsg(0, NULL, 0));
	REFUSED(8, recvmsg(0, NULL, 0));
	return 0;
}

static int
attempt_processes(int directory_fd)
{
	char	   *arguments[] = {"true", NULL};
	struct iovec none = {0};

	(void) directory_fd;
	REFUSED(1, execve("/bin/true", arguments, arguments + 1));
	REFUSED(2, execveat(-1, "/bin/true", arguments, arguments + 1, 0));
	REFUSED(3, fork());
	REFUSED(4, vfork());
	REFUSED(5, ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	REFUSED(6, process_vm_readv(getppid(), &none, 1, &none, 1, 0));
	REFUSED(7, process_vm_writev(getppid(), &none, 1, &none, 1, 0));
	REFUSED(8, kill(getppid(), 0));
	REFUSED(9, kill(-1, 0));
	REFUSED(10, (int) syscall(SYS_tgkill, getppid(), getppid(), 0));
	REFUSED(11, (int) syscall(SYS_tkill, getppid(), 0));
	REFUSED(12, prlimit(getppid(), RLIMIT_CORE, NULL, NULL));
	REFUSED(13, (int) syscall(SYS_clone, CLONE_VM | SIGCHLD, NULL, NULL, NULL, NULL));
	/* Its arguments cannot be looked at; with this answer the C library takes clone. */
	errno = 0;
	if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
		return 14;
	return 0;
}

static int
attempt_kernel(int directory_fd)
{
	REFUSED(1, (int) syscall(SYS_mount, "x", "x", "x", 0, NULL));
	REFUSED(2, (int) syscall(SYS_bpf, 0, NULL, 0));
	REFUSED(3, (int) syscall(SYS_userfaultfd, 0));
	REFUSED(4, (int) syscall(SYS_keyctl, 0, 0));
	REFUSED(5, (int) syscall(SYS_io_uring_setup, 1, NULL));
	REFUSED(6, (int) syscall(SYS_open_by_handle_at, directory_fd, NULL, 0));
	REFUSED(7, (int) syscall(SYS_kexec_load, 0, 0, NULL, 0));
	REFUSED(8, (int) syscall(SYS_unshare, 0));
	REFUSED(9, symlinkat("/etc/passwd", directory_fd, "link"));
	REFUSED(10, linkat(AT_FDCWD, "/etc/passwd", directory_fd, "link", 0));
	REFUSED(11, mknodat(directory_fd, "fifo", S_IFIFO | 0600, 0));
	REFUSED(12, (int) syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	return 0;
}

/* What unpacking needs. */
static int
attempt_work(int directory_fd)
{
	struct rlimit limit;
	char	   *memory = malloc(50 * 1024 * 1024);

	if (memory == NULL)
		return 1;
	memset(memory, 1, 50 * 1024 * 1024);
	free(memory);
	if (!scratch_write(directory_fd, "file", "text") || !scratch_has(directory_fd, "file", "text"))
		return 2;
	if (mkdirat(directory_fd, "directory", 0755) != 0 ||
		renameat(directory_fd, "file", directory_fd, "directory/file") != 0)
		return 3;
	if (fsync(directory_fd) != 0 || unlinkat(directory_fd, "directory/file", 0) != 0)
		return 4;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 5;
	return 0;
}

static void *
attempt_from_thread(void *argument)
{
	int		   *directory_fd = argument;
	int			network = attempt_network(*directory_fd);
	int			processes = attempt_processes(*directory_fd);

	*directory_fd = network != 0 ? network : processes;
	return NULL;
}

/* A thread can be had, and may do no more than the one that made it. */
static int
attempt_thread(int directory_fd)
{
	pthread_t	thread;
	int			result = directory_fd;

	if (pthread_create(&thread, NULL, attempt_from_thread, &result) != 0)
		return 100;
	return pthread_join(thread, NULL) == 0 ? result : 101;
}

/* A bug must still end it, and a test point too. */
static int
attempt_abort(int directory_fd)
{
	(void) directory_fd;
	abort();
}

static int
attempt_own_kill(int directory_fd)
{
	(void) directory_fd;
	kill(getpid(), SIGKILL);
	return 1;
}

static void
test_refused(void **state)
{
	(void) state;
	assert_int_equal(run_in_sandbox(attempt_network), 0);
	assert_int_equal(run_in_sandbox(attempt_processes), 0);
	assert_int_equal(run_in_sandbox(attempt_kernel), 0);
}

static void
test_allowed(void **state)
{
	(void) state;
	assert_int_equal(run_in_sandbox(attempt_work), 0);
	assert_int_equal(run_in_sandbox(attempt_thread), 0);
	assert_int_equal(run_in_sandbox(attempt_abort), 128 + SIGABRT);
	assert_int_equal(run_in_sandbox(attempt_own_kill), 128 + SIGKILL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
