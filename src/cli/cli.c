/*-------------------------------------------------------------------------
 *
 * cli.c
 *	  Dispatch, messages, numbers, progress and passphrases of the program.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "cli/cli.h"
#include "common/files.h"
#include "common/tuf_limits.h"

#define MESSAGE_BYTES 8192
#define PASSPHRASE_MAX_BYTES 1024
#define DRAW_INTERVAL_MS 100
#define BAR_COLUMNS 30

static void print_commands(const DepotCommand *table, const char *prefix);
static void print_message(const char *severity, const char *text);
static int64_t now_ms(void);
static bool read_line(int fd, char *line, DepotError *error);
static bool ask_terminal(const char *prompt, char *line, DepotError *error);

int
depot_cli_dispatch(const DepotCommand *table, const char *prefix, int argc, char **argv)
{
	const char *words = strchr(prefix, ' ');	/* "pg_depot repo" -> "repo" */
	const char *command = words == NULL ? "" : words + 1;

	if (argc < 2)
		return depot_cli_usage_error(command, "no command given");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
	{
		print_commands(table, prefix);
		return DEPOT_EXIT_OK;
	}
	for (const DepotCommand *entry = table; entry->name != NULL; entry++)
	{
		if (strcmp(entry->name, argv[1]) == 0)
			return entry->run(argc - 1, argv + 1);
	}
	return depot_cli_usage_error(command, "unknown %s \"%s\"", argv[1][0] == '-' ? "option" : "command",
								 argv[1]);
}

static void
print_commands(const DepotCommand *table, const char *prefix)
{
	printf("Usage: %s COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n", prefix);
	for (; table->name != NULL; table++)
	{
		if (table->summary != NULL)
			printf("  %-10s %s\n", table->name, table->summary);
	}
	printf("\n\"%s COMMAND --help\" explains one.  Exit codes: 0 done, 1 failed, 2 wrong usage, 3 attention "
		   "needed.\n",
		   prefix);
}

static void
print_message(const char *severity, const char *text)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s: %s\n", DEPOT_PROGRAM_NAME, severity, text);
}

int
depot_cli_report_error(const DepotError *error)
{
	fflush(stdout);
	fprintf(stderr, "%s: error: %s\n", DEPOT_PROGRAM_NAME, error->message);
	if (error->detail[0] != '\0')
		fprintf(stderr, "detail: %s\n", error->detail);
	if (error->hint[0] != '\0')
		fprintf(stderr, "hint: %s\n", error->hint);
	return DEPOT_EXIT_FAILED;
}

int
depot_cli_usage_error(const char *command, const char *format,...)
{
	char		text[MESSAGE_BYTES];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	print_message("error", text);
	fprintf(stderr, "hint: Try \"%s%s%s --help\".\n", DEPOT_PROGRAM_NAME, command[0] == '\0' ? "" : " ",
			command);
	return DEPOT_EXIT_USAGE;
}

int
depot_cli_option_error(const char *command, int getopt_result, char **argv)
{
	const char *word = optind > 0 ? argv[optind - 1] : "";

	if (getopt_result == ':')
		return depot_cli_usage_error(command, "option \"%s\" needs an argument", word);
	if (optopt != 0 && strncmp(word, "--", 2) == 0)
		return depot_cli_usage_error(command, "option \"%s\" takes no argument", word);
	if (optopt != 0)
		return depot_cli_usage_error(command, "unknown option \"-%c\"", optopt);
	return depot_cli_usage_error(command, "unknown or ambiguous option \"%s\"", word);
}

void
depot_cli_note(const char *format,...)
{
	char		text[MESSAGE_BYTES];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	print_message("note", text);
}

void
depot_cli_warning(const char *format,...)
{
	char		text[MESSAGE_BYTES];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	print_message("warning", text);
}

bool
depot_cli_parse_number(const char *text, int64_t minimum, int64_t maximum, int64_t *out)
{
	char	   *end;
	long long	value;

	/* strtoll would take leading white space and a plus sign. */
	if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
		return false;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < minimum || value > maximum)
		return false;
	*out = value;
	return true;
}

const char *
depot_cli_format_size(uint64_t size_bytes, char out[DEPOT_CLI_SIZE_BYTES])
{
	static const char *const units[] = {"kB", "MB", "GB", "TB"};
	double		value = (double) size_bytes;
	int			unit = -1;

	while (value >= 999.95 && unit < 3)
	{
		value /= 1000.0;
		unit++;
	}
	if (unit < 0)
		snprintf(out, DEPOT_CLI_SIZE_BYTES, "%" PRIu64 " bytes", size_bytes);
	else
		snprintf(out, DEPOT_CLI_SIZE_BYTES, "%.1f %s", value, units[unit]);
	return out;
}

int
depot_cli_print_json(const json_t *value)
{
	if (json_dumpf(value, stdout, JSON_INDENT(2) | JSON_SORT_KEYS) != 0)
	{
		fprintf(stderr, "%s: error: could not print JSON\n", DEPOT_PROGRAM_NAME);
		return DEPOT_EXIT_FAILED;
	}
	putchar('\n');
	return DEPOT_EXIT_OK;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
depot_cli_progress_begin(DepotCliProgress *progress, const char *label, uint64_t total)
{
	progress->label = label;
	progress->total = total;
	progress->terminal = isatty(STDERR_FILENO) == 1;
	progress->drawn = false;
	progress->next_draw_ms = now_ms() + DRAW_INTERVAL_MS;
	if (!progress->terminal)
		fprintf(stderr, "%s: %s\n", DEPOT_PROGRAM_NAME, label);
}

void
depot_cli_progress_update(DepotCliProgress *progress, uint64_t done)
{
	char		bar[BAR_COLUMNS + 1];
	char		done_text[DEPOT_CLI_SIZE_BYTES];
	char		total_text[DEPOT_CLI_SIZE_BYTES];
	int			filled;

	if (!progress->terminal || now_ms() < progress->next_draw_ms)
		return;
	progress->next_draw_ms = now_ms() + DRAW_INTERVAL_MS;
	progress->drawn = true;
	depot_cli_format_size(done, done_text);
	if (progress->total == 0)
	{
		fprintf(stderr, "\r\033[K%s: %s", progress->label, done_text);
		return;
	}
	filled = done >= progress->total ? BAR_COLUMNS : (int) (done * BAR_COLUMNS / progress->total);
	memset(bar, '-', BAR_COLUMNS);
	memset(bar, '#', (size_t) filled);
	bar[BAR_COLUMNS] = '\0';
	depot_cli_format_size(progress->total, total_text);
	fprintf(stderr, "\r\033[K%s [%s] %s of %s", progress->label, bar, done_text, total_text);
}

void
depot_cli_progress_end(DepotCliProgress *progress)
{
	if (progress->drawn)
		fputs("\r\033[K", stderr);
	progress->drawn = false;
}

bool
depot_cli_progress_archive(uint64_t bytes_done, void *context)
{
	depot_cli_progress_update(context, bytes_done);
	return true;
}

/*
 * Reads a line of at most PASSPHRASE_MAX_BYTES into line, without its end.  One byte at a time: nothing
 * of a passphrase stays in a stdio buffer.
 */
static bool
read_line(int fd, char *line, DepotError *error)
{
	size_t		length = 0;

	for (;;)
	{
		char		byte;
		ssize_t		got = read(fd, &byte, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return depot_error_set_errno(error, errno, "could not read the passphrase");
		if (got == 0 || byte == '\n')
			break;
		if (byte == '\0')
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								   "a passphrase cannot hold a zero byte");
		if (length == PASSPHRASE_MAX_BYTES)
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								   "the passphrase is longer than %d bytes", PASSPHRASE_MAX_BYTES);
		line[length++] = byte;
	}
	line[length] = '\0';
	if (length == 0)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the passphrase is empty");
	return true;
}

/*
 * Asks on the controlling terminal with echo off; signals that would leave it
 * off wait until it is on again.
 */
static bool
ask_terminal(const char *prompt, char *line, DepotError *error)
{
	struct termios saved;
	struct termios silent;
	sigset_t	blocked;
	sigset_t	previous;
	int			fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	bool		ok = false;

	if (fd < 0 || tcgetattr(fd, &saved) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
						"there is no terminal to ask for the passphrase");
		depot_error_hint(error, "Give --passphrase-file.");
		goto done;
	}
	silent = saved;
	silent.c_lflag &= ~(tcflag_t) (ECHO | ISIG);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGHUP);
	sigaddset(&blocked, SIGTSTP);
	sigprocmask(SIG_BLOCK, &blocked, &previous);
	if (depot_files_write_all(fd, prompt, strlen(prompt), error))
	{
		tcsetattr(fd, TCSAFLUSH, &silent);
		ok = read_line(fd, line, error);
		tcsetattr(fd, TCSAFLUSH, &saved);
		if (!depot_files_write_all(fd, "\n", 1, error))
			ok = false;
	}
	sigprocmask(SIG_SETMASK, &previous, NULL);
	/* With ISIG off Ctrl-C arrives as a byte; it still means "stop". */
	if (ok && strchr(line, '\003') != NULL)
		ok = depot_error_set(error, DEPOT_ERROR_CANCELED, "canceled");
done:
	if (fd >= 0)
		close(fd);
	return ok;
}

char *
depot_cli_read_passphrase(const char *file, const char *prompt, bool confirm, DepotError *error)
{
	char		first[PASSPHRASE_MAX_BYTES + 1] = "";
	char		second[PASSPHRASE_MAX_BYTES + 1] = "";
	char	   *result = NULL;
	bool		ok;

	if (file != NULL)
	{
		int			fd = open(file, O_RDONLY | O_CLOEXEC);

		ok = fd >= 0;
		if (!ok)
			depot_error_set_errno(error, errno, "could not open passphrase file \"%s\"", file);
		else
		{
			ok = read_line(fd, first, error);
			close(fd);
			if (!ok)
				depot_error_prefix(error, "passphrase file \"%s\"", file);
		}
	}
	else
	{
		ok = ask_terminal(prompt, first, error);
		if (ok && confirm)
			ok = ask_terminal("Again: ", second, error);
		if (ok && confirm && strcmp(first, second) != 0)
			ok = depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the two passphrases differ");
	}
	if (ok && (result = strdup(first)) == NULL)
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	sodium_memzero(first, sizeof(first));
	sodium_memzero(second, sizeof(second));
	return result;
}

void
depot_cli_free_passphrase(char *passphrase)
{
	if (passphrase == NULL)
		return;
	sodium_memzero(passphrase, strlen(passphrase));
	free(passphrase);
}

bool
depot_cli_read_root(const char *path, DepotBuffer *root, DepotError *error)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char		bytes[8192];
	ssize_t		n = fd < 0 ? -1 : 1;

	while (n > 0 && root->length_bytes <= DEPOT_TUF_ROOT_MAX_BYTES && !root->failed)
	{
		n = read(fd, bytes, sizeof(bytes));
		if (n > 0)
			depot_buffer_append(root, bytes, (size_t) n);
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (n < 0)
		depot_error_set_errno(error, errno, "could not read \"%s\"", path);
	else if (root->failed)
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	else if (root->length_bytes > DEPOT_TUF_ROOT_MAX_BYTES)
		depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "\"%s\" is larger than %d bytes", path,
						DEPOT_TUF_ROOT_MAX_BYTES);
	if (fd >= 0)
		(void) close(fd);
	return n >= 0 && !root->failed && root->length_bytes <= DEPOT_TUF_ROOT_MAX_BYTES;
}
