/*-------------------------------------------------------------------------
 *
 * agent_sandbox.c
 *	  What the check agent gives up before it reads foreign bytes.
 *
 * The filter names what is refused rather than what is allowed: which harmless
 * calls a C library makes changes with each of its releases, and a list that
 * is too short fails at the user's.  What stays allowed works on files that the
 * server's own user can open, and on the socket to the leader.  io_submit stays: with it the
 * kernel fsyncs unpacked files while others are written.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/agent_sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <unistd.h>

#if defined(__s390__)
#define CLONE_FLAGS_ARGUMENT 1
#else
#define CLONE_FLAGS_ARGUMENT 0
#endif

/* Refused whatever the arguments; names, as an older libseccomp may not know all of them. */
static const char *const refused_calls[] = {
	/* network, and handing descriptors over */
	"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "sendmmsg",
	"recvmsg", "recvmmsg", "socketcall",
	/* programs and processes */
	"execve", "execveat", "fork", "vfork", "unshare", "setns", "ptrace",
	"process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_open",
	"pidfd_getfd", "pidfd_send_signal", "kcmp", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
	"personality",
	/* file systems and devices */
	"mount", "umount", "umount2", "pivot_root", "chroot", "mknod", "mknodat", "swapon", "swapoff", "quotactl",
	"quotactl_fd", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
	"name_to_handle_at", "open_by_handle_at", "symlink", "symlinkat", "link", "linkat", "setxattr",
	"lsetxattr", "fsetxattr", "fanotify_init",
	/* users */
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid",
	"capset",
	/* interfaces of the kernel with a history */
	"bpf", "userfaultfd", "perf_event_open", "io_uring_setup", "io_uring_enter", "io_uring_register",
	"add_key", "request_key", "keyctl", "kexec_load", "kexec_file_load",
	"init_module", "finit_module", "delete_module", "create_module", "iopl", "ioperm", "modify_ldt",
	"lookup_dcookie", "memfd_create", "memfd_secret", "vmsplice", "splice", "tee", "reboot", "syslog", "acct",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname",
	"nfsservctl", "vhangup", "uselib", "mbind", "migrate_pages", "move_pages",
	NULL
};

/* Refuses a call unless its first argument is value. */
static int
refuse_unless(scmp_filter_ctx filter, int call, scmp_datum_t value)
{
	const struct scmp_arg_cmp other = {.arg = 0, .op = SCMP_CMP_NE, .datum_a = value};

	return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), call, 1, &other);
}

/*
 * Refuses new processes, but not threads, which are behind the same filter.  What clone3 is to make stands
 * in memory, where no filter looks; told that the call does not exist, the C library takes clone.
 */
static int
refuse_processes(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp no_thread = {
		.arg = CLONE_FLAGS_ARGUMENT, .op = SCMP_CMP_MASKED_EQ, .datum_a = CLONE_THREAD, .datum_b = 0
	};
	int			clone3_number = seccomp_syscall_resolve_name("clone3");
	int			failure = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, &no_thread);

	if (failure == 0 && clone3_number >= 0)
		failure = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), clone3_number, 0);
	return failure;
}

/* Returns 0, or a negative errno. */
static int
add_rules(scmp_filter_ctx filter)
{
	scmp_datum_t self = (scmp_datum_t) getpid();
	int			failure = 0;

	for (int i = 0; refused_calls[i] != NULL && failure == 0; i++)
	{
		int			number = seccomp_syscall_resolve_name(refused_calls[i]);

		/* negative: a call that this architecture has not, or that libseccomp has never heard of */
		if (number >= 0)
			failure = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
	}
	if (failure == 0)
		failure = refuse_processes(filter);
	/* signals to itself only, which abort() needs, and its own limits, which the C library asks for */
	if (failure == 0)
		failure = refuse_unless(filter, SCMP_SYS(kill), self);
	if (failure == 0)
		failure = refuse_unless(filter, SCMP_SYS(tgkill), self);
	if (failure == 0)
		failure = refuse_unless(filter, SCMP_SYS(prlimit64), 0);
	return failure;
}

bool
depot_agent_enter_sandbox(DepotError *error)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int			failure = -ENOMEM;
	bool		ok = false;

	if (filter == NULL)
		goto done;
	/* calls of another architecture (x32, i386) would go past the numbers above */
	failure = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
	if (failure == 0)
		failure = add_rules(filter);
	if (failure == 0)
		failure = seccomp_load(filter);
	ok = failure == 0;
done:
	if (!ok)
	{
		depot_error_set(error, DEPOT_ERROR_AGENT, "could not install the system call filter: %s",
						strerror(-failure));
		depot_error_hint(error,
						 "The kernel, or the container that the server runs in, must allow seccomp filters.");
	}
	if (filter != NULL)
		seccomp_release(filter);
	return ok;
}
