/*-------------------------------------------------------------------------
 *
 * flush.c
 *	  Making many new files and directories durable side by side.
 *
 * An fsync is mostly waiting: for the file system's journal, and for the disk to
 * empty its cache.  One after the other, each of a thousand files waits for both.
 * The kernel takes fsyncs to carry out (io_submit), and those that run at the
 * same time share one commit of the journal and one flush of the disk.  Where it
 * does not, or a sandbox forbids it, they are done one by one.
 *
 * To end the kernel's part takes as long as a hundred flushes of the disk.  So it is begun once in a process and
 * ends with that, which nobody should have to wait for, and a few files are done without it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Fewer files are fsynced faster here than handed over. */
#define WORTH_ASKING 8

static aio_context_t kernel_context = 0;
static bool is_kernel_busy = false; /* with a DepotFlush that has not ended */

void
depot_flush_begin(DepotFlush *flush)
{
	memset(flush, 0, sizeof(*flush));
}

static void
note_failure(DepotFlush *flush, int failure_errno)
{
	if (flush->failure_errno == 0)
		flush->failure_errno = failure_errno;
}

static void
close_file(DepotFlush *flush, int fd)
{
	if (close(fd) != 0)
		note_failure(flush, errno);
}

/* Waits until at most so many of those that the kernel has been given are left. */
static void
wait_for_running(DepotFlush *flush, int left_count)
{
	struct io_event events[DEPOT_FLUSH_BATCH];

	while (flush->running_count > left_count)
	{
		long		count = syscall(SYS_io_getevents, kernel_context, 1L, (long) DEPOT_FLUSH_BATCH, events, NULL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
		{
			/* Cannot be; but then nobody knows what has become of them. */
			note_failure(flush, errno);
			flush->running_count = 0;
			return;
		}
		for (long i = 0; i < count; i++)
		{
			if (events[i].res != 0)
				note_failure(flush, (int) -events[i].res);
			close_file(flush, (int) events[i].data);
		}
		flush->running_count -= (int) count;
	}
}

/* Hands the waiting files to the kernel; those it does not take are fsynced here. */
static void
start_waiting(DepotFlush *flush)
{
	struct iocb requests[DEPOT_FLUSH_BATCH];
	struct iocb *list[DEPOT_FLUSH_BATCH];
	int			taken = 0;

	wait_for_running(flush, DEPOT_FLUSH_RUNNING_MAX - flush->waiting_count);
	memset(requests, 0, sizeof(requests));
	for (int i = 0; i < flush->waiting_count; i++)
	{
		requests[i].aio_lio_opcode = IOCB_CMD_FSYNC;
		requests[i].aio_fildes = (uint32_t) flush->waiting[i];
		requests[i].aio_data = (uint64_t) flush->waiting[i];
		list[i] = &requests[i];
	}
	if (flush->by_kernel)
		taken = (int) syscall(SYS_io_submit, kernel_context, (long) flush->waiting_count, list);
	if (taken < 0)
		taken = 0;
	flush->running_count += taken;
	for (int i = taken; i < flush->waiting_count; i++)
	{
		if (fsync(flush->waiting[i]) != 0)
			note_failure(flush, errno);
		close_file(flush, flush->waiting[i]);
	}
	flush->waiting_count = 0;
}

static void
ask_kernel(DepotFlush *flush)
{
	if (flush->by_kernel || flush->is_refused)
		return;
	if (is_kernel_busy ||
		(kernel_context == 0 && syscall(SYS_io_setup, DEPOT_FLUSH_RUNNING_MAX, &kernel_context) != 0))
	{
		flush->is_refused = true;
		return;
	}
	flush->by_kernel = true;
	is_kernel_busy = true;
}

void
depot_flush_add(DepotFlush *flush, int fd)
{
	/* Only so that the disk has less to do when the fsync comes, which finds what fails here. */
	(void) sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	if (flush->waiting_count == DEPOT_FLUSH_BATCH)
	{
		ask_kernel(flush);
		start_waiting(flush);
	}
	flush->waiting[flush->waiting_count++] = fd;
}

bool
depot_flush_end(DepotFlush *flush, DepotError *error)
{
	if (flush->waiting_count >= WORTH_ASKING)
		ask_kernel(flush);
	start_waiting(flush);
	wait_for_running(flush, 0);
	if (flush->by_kernel)
		is_kernel_busy = false;
	flush->by_kernel = false;
	return flush->failure_errno == 0 || depot_error_set_errno(error, flush->failure_errno, "could not write a file");
}
