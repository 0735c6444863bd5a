/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  Prints what is changed on file systems, by whom: a test's witness.
 *
 *	  watch MOUNT...
 *
 * Says "ready" once it listens; then one line per event, with tabs between
 * kind, process id, program and path.  Ends at SIGTERM, after what had
 * happened by then.  Says nothing of itself, nor of processes outside its own
 * pid namespace.  Needs root: fanotify on whole file systems.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#define MOUNTS_MAX 16
#define WATCHED (FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_MODIFY | FAN_ATTRIB | \
				 FAN_CLOSE_WRITE | FAN_ONDIR)
/* What had happened by the end has been read after so long, however busy others are. */
#define LINGER_MS 1000

typedef struct Mount
{
	const char *path;
	int			fd;
	fsid_t		id;
} Mount;

static Mount mounts[MOUNTS_MAX];
static int	mount_count = 0;
static volatile sig_atomic_t is_ending = 0;

static void
end(int signal_number)
{
	(void) signal_number;
	is_ending = 1;
}

static void
die(const char *what)
{
	fprintf(stderr, "watch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
add_mount(int fanotify, const char *path)
{
	Mount	   *mount = &mounts[mount_count];
	struct statfs status;

	mount->path = path;
	mount->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount->fd < 0 || fstatfs(mount->fd, &status) != 0)
		die(path);
	memcpy(&mount->id, &status.f_fsid, sizeof(mount->id));
	if (fanotify_mark(fanotify, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, WATCHED, AT_FDCWD, path) != 0)
		die(path);
	mount_count++;
}

/* Events of one file that come together are one event with several kinds. */
static void
print_event(unsigned long long mask, int pid, const char *program, const char *path)
{
	static const struct
	{
		unsigned long long mask;
		const char *name;
	}			kinds[] = {
		{FAN_CREATE, "create"},
		{FAN_MODIFY | FAN_CLOSE_WRITE, "write"},
		{FAN_ATTRIB, "attributes"},
		{FAN_MOVED_FROM | FAN_MOVED_TO, "move"},
		{FAN_DELETE, "delete"},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (mask & kinds[i].mask)
			printf("%s\t%d\t%s\t%s\n", kinds[i].name, pid, program, path);
	}
}

/* Name of a program by its process, "?" when it has gone. */
static void
program_name(int pid, char *out, size_t out_bytes)
{
	char		path[64];
	char		target[PATH_MAX];
	ssize_t		length;
	const char *base;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	length = readlink(path, target, sizeof(target) - 1);
	target[length > 0 ? length : 0] = '\0';
	base = strrchr(target, '/');
	snprintf(out, out_bytes, "%s", base != NULL ? base + 1 : "?");
}

/* Path of an event's directory and entry; "?" when the directory has gone. */
static void
event_path(const struct fanotify_event_info_fid *info, char *out, size_t out_bytes)
{
	struct file_handle *handle = (struct file_handle *) info->handle;
	const char *name = (const char *) handle->f_handle + handle->handle_bytes;
	char		link[64];
	char		directory[PATH_MAX] = "?";
	int			fd = -1;

	for (int i = 0; i < mount_count && fd < 0; i++)
	{
		if (memcmp(&mounts[i].id, &info->fsid, sizeof(info->fsid)) == 0)
			fd = open_by_handle_at(mounts[i].fd, handle, O_PATH | O_CLOEXEC);
	}
	if (fd >= 0)
	{
		ssize_t		length;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		length = readlink(link, directory, sizeof(directory) - 1);
		directory[length > 0 ? length : 0] = '\0';
		close(fd);
	}
	if (strcmp(name, ".") == 0)
		snprintf(out, out_bytes, "%s", directory);
	else
		snprintf(out, out_bytes, "%s/%s", directory, name);
}

static void
print_events(const char *buffer, ssize_t length)
{
	const struct fanotify_event_metadata *event = (const struct fanotify_event_metadata *) buffer;

	for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length))
	{
		const struct fanotify_event_info_fid *info = (const struct fanotify_event_info_fid *) (event + 1);
		char		program[NAME_MAX + 1];
		char		path[2 * PATH_MAX];

		if (event->mask & FAN_Q_OVERFLOW)
		{
			printf("overflow\t0\t?\t?\n");
			continue;
		}
		if (event->event_len <= FAN_EVENT_METADATA_LEN ||
			info->hdr.info_type != FAN_EVENT_INFO_TYPE_DFID_NAME)
			continue;
		if (event->pid == 0 || event->pid == getpid())
			continue;
		program_name(event->pid, program, sizeof(program));
		event_path(info, path, sizeof(path));
		print_event(event->mask, event->pid, program, path);
	}
}

static long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int
main(int argc, char **argv)
{
	long		end_ms = 0;
	static char buffer[256 * 1024] __attribute__((aligned(8)));
	struct sigaction action = {.sa_handler = end};
	struct pollfd waiting = {.events = POLLIN};

	waiting.fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_UNLIMITED_QUEUE |
							   FAN_CLOEXEC | FAN_NONBLOCK,
							   O_RDONLY);
	if (waiting.fd < 0)
		die("fanotify_init");
	for (int i = 1; i < argc && i <= MOUNTS_MAX; i++)
		add_mount(waiting.fd, argv[i]);
	sigaction(SIGTERM, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready\n");

	for (;;)
	{
		int			ready = poll(&waiting, 1, LINGER_MS);
		ssize_t		length;

		if (is_ending && end_ms == 0)
			end_ms = now_ms() + LINGER_MS;
		if (end_ms != 0 && (ready == 0 || now_ms() > end_ms))
			return 0;
		if (ready <= 0)
			continue;
		length = read(waiting.fd, buffer, sizeof(buffer));
		if (length < 0 && errno != EAGAIN && errno != EINTR)
			die("read");
		print_events(buffer, length);
	}
}
