/*-------------------------------------------------------------------------
 *
 * cli.h
 *	  What the commands of the program share.
 *
 * A command is one function in a file of its own; main.c holds the table of
 * them.  A command parses its options with getopt_long (opterr is 0: it
 * answers '?' and ':' with depot_cli_option_error), does its work through
 * src/common, and returns one of the exit codes below.  Results go to
 * standard output; errors, notes and progress to standard error.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_CLI_H
#define DEPOT_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/buffer.h"
#include "common/error.h"

#define DEPOT_PROGRAM_NAME "pg_depot"
#define DEPOT_PROGRAM_VERSION "1.0.0"

#define DEPOT_EXIT_OK 0
#define DEPOT_EXIT_FAILED 1
#define DEPOT_EXIT_USAGE 2
#define DEPOT_EXIT_ATTENTION 3	/* nothing failed, but something is due (repo status) */

/* argv[0] is the command's own name, as in main. */
typedef int (*DepotCommandRun) (int argc, char **argv);

typedef struct DepotCommand
{
	const char *name;
	DepotCommandRun run;
	const char *summary;		/* for --help; NULL leaves it out there */
} DepotCommand;

extern int	depot_cmd_keygen(int argc, char **argv);
extern int	depot_cmd_pack(int argc, char **argv);
extern int	depot_cmd_inspect(int argc, char **argv);
extern int	depot_cmd_verify(int argc, char **argv);
extern int	depot_cmd_repo(int argc, char **argv);
extern int	depot_cmd_tuf(int argc, char **argv);
extern int	depot_cmd_ready(int argc, char **argv);

/*
 * Runs the command of table (ended by a NULL name) that argv[1] names.  prefix is what stands before it on
 * the command line: "pg_depot", "pg_depot repo".  Answers --help with the table, and a missing or unknown
 * command with a usage error.
 */
extern int	depot_cli_dispatch(const DepotCommand *table, const char *prefix, int argc, char **argv);

/* Prints an error: message, then a detail and a hint line where there are any. Returns DEPOT_EXIT_FAILED. */
extern int	depot_cli_report_error(const DepotError *error);

/*
 * Prints a usage error and where help is; command is as a user types it ("repo
 * add"). Returns DEPOT_EXIT_USAGE.
 */
extern int	depot_cli_usage_error(const char *command, const char *format,...) DEPOT_PRINTF(2, 3);

/*
 * Explains what getopt_long did not understand, from its '?' or ':' (short
 * options begin with ':'). Returns DEPOT_EXIT_USAGE.
 */
extern int	depot_cli_option_error(const char *command, int getopt_result, char **argv);

/* Prints "pg_depot: note: ..." or "pg_depot: warning: ...". */
extern void depot_cli_note(const char *format,...) DEPOT_PRINTF(1, 2);
extern void depot_cli_warning(const char *format,...) DEPOT_PRINTF(1, 2);

/* Parses a whole decimal number within bounds; false for anything else. */
extern bool depot_cli_parse_number(const char *text, int64_t minimum, int64_t maximum, int64_t *out);

/* Writes a size for people ("7.9 MB") into out. Returns out. */
#define DEPOT_CLI_SIZE_BYTES 32
extern const char *depot_cli_format_size(uint64_t size_bytes, char out[DEPOT_CLI_SIZE_BYTES]);

/* Prints value on standard output as indented JSON with sorted members. Returns an exit code. */
extern int	depot_cli_print_json(const json_t *value);

/*
 * Progress of long work: a bar that is redrawn when standard error is a terminal, one line when the step
 * begins elsewhere.  total 0: unknown.  depot_cli_progress_archive has the shape of DepotArchiveProgress
 * (context: the DepotCliProgress).
 */
typedef struct DepotCliProgress
{
	const char *label;
	uint64_t	total;
	int64_t		next_draw_ms;	/* monotonic clock */
	bool		terminal;
	bool		drawn;
} DepotCliProgress;

extern void depot_cli_progress_begin(DepotCliProgress *progress, const char *label, uint64_t total);
extern void depot_cli_progress_update(DepotCliProgress *progress, uint64_t done);
extern void depot_cli_progress_end(DepotCliProgress *progress);
extern bool depot_cli_progress_archive(uint64_t bytes_done, void *context);

/*
 * Reads a passphrase into malloc'd memory: the first line of file when that is not NULL, else from the
 * terminal without echo, asking with prompt (twice with confirm).  An empty one, and no terminal, are
 * errors.  Freed by depot_cli_free_passphrase, which wipes it.
 */
extern char *depot_cli_read_passphrase(const char *file, const char *prompt, bool confirm, DepotError *error);
extern void depot_cli_free_passphrase(char *passphrase);

/* Reads root metadata from a file that the user names; links in its path are the user's, too. */
extern bool depot_cli_read_root(const char *path, DepotBuffer *root, DepotError *error);

#endif							/* DEPOT_CLI_H */
