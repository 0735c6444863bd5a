/*-------------------------------------------------------------------------
 *
 * ready.c
 *	  "pg_depot ready": tells from files alone whether a server has the files
 *	  that its rows ask for.
 *
 * For probes of Patroni, Kubernetes and the like, which must not need a
 * connection, a role or a password.  The leader keeps var/applied.json up to
 * date; what an earlier run of the server has left there does not count while
 * the server runs.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/files.h"
#include "common/json.h"
#include "common/name.h"
#include "common/remedy.h"
#include "common/store.h"

#define COMMAND "ready"
#define APPLIED_MAX_BYTES 65536
#define PID_FILE "postmaster.pid"
#define PID_FILE_MAX_BYTES 8192

/* PostgreSQL counts microseconds from 2000-01-01. */
#define POSTGRESQL_EPOCH_S INT64_C(946684800)

typedef struct Readiness
{
	int64_t		seen_generation;
	int64_t		applied_generation;
	bool		ready;
	json_t	   *missing;		/* as the leader wrote it */
	int			package_count;
	char		reason[DEPOT_ERROR_MESSAGE_BYTES];	/* when it is not ready */
	const char *what_to_do;
} Readiness;

static void
print_help(void)
{
	puts("Usage: pg_depot ready --datadir DIR [--directory DIR] [--json] [-q]\n"
		 "\n"
		 "Tells whether the server with this data directory has the files of all packages\n"
		 "that its rows ask for, from files alone: no connection is made.  Exit code 0 when\n"
		 "it has, 1 with the reason and what to do when it has not, or when that cannot be\n"
		 "told.\n"
		 "\n"
		 "  --datadir DIR    data directory of the server; default: $PGDATA\n"
		 "  --directory DIR  depot.directory where it is set; default: pg_depot\n"
		 "  --json           one JSON object\n"
		 "  -q, --quiet      nothing but the exit code, and errors");
}

/* When the running server was started, in seconds since 1970; 0: none runs, or is starting right now. */
static int64_t
server_started_at(int datadir_fd)
{
	DepotBuffer text;
	DepotError	error;
	const char *line;
	int64_t		started_at = 0;

	depot_buffer_init(&text);
	/* The third line, after the process and the data directory. */
	if (depot_files_read(datadir_fd, PID_FILE, PID_FILE_MAX_BYTES, &text, &error) &&
		depot_buffer_append(&text, "", 1))
	{
		line = strchr(text.data, '\n');
		line = line != NULL ? strchr(line + 1, '\n') : NULL;
		started_at = line != NULL ? strtoll(line + 1, NULL, 10) : 0;
	}
	depot_buffer_free(&text);
	return started_at;
}

/* Notes why the server is not ready.  error: what the leader met, NULL or "" if nothing. */
static void
explain(Readiness *out, const char *error)
{
	size_t		missing_count = json_array_size(out->missing);

	out->what_to_do = DEPOT_REMEDY_IN_THE_LOG;
	if (missing_count > 0)
		snprintf(out->reason, sizeof(out->reason), "%zu %s lacking", missing_count,
				 missing_count == 1 ? "package is" : "packages are");
	else if (error != NULL && error[0] != '\0')
		depot_name_printable(error, out->reason, sizeof(out->reason));
	else
	{
		snprintf(out->reason, sizeof(out->reason),
				 "generation %" PRId64 " of the rows is not applied yet, but %" PRId64, out->seen_generation,
				 out->applied_generation);
		out->what_to_do = DEPOT_REMEDY_IF_IT_LASTS;
	}
}

/* Reads what the leader has written. */
static bool
read_applied(int depot_fd, int64_t started_at, Readiness *out, DepotError *error)
{
	const DepotErrorCode code = DEPOT_ERROR_FILE_MISSING;
	DepotBuffer text;
	json_t	   *document = NULL;
	json_t	   *missing;
	const char *met = NULL;
	const char *incarnation;
	int64_t		format;
	bool		ok;

	depot_buffer_init(&text);
	ok = depot_files_read(depot_fd, DEPOT_APPLIED_FILE, APPLIED_MAX_BYTES, &text, error) &&
		(document = depot_json_parse(text.data, text.length_bytes, code, DEPOT_APPLIED_FILE, error)) != NULL &&
		depot_json_get_integer(document, "format", true, DEPOT_APPLIED_FORMAT, &format, code, error) &&
		depot_json_get_string(document, "incarnation", true, &incarnation, code, error) &&
		depot_json_get_integer(document, "generation_seen", true, INT64_MIN, &out->seen_generation, code, error) &&
		depot_json_get_integer(document, "generation_applied", true, INT64_MIN, &out->applied_generation, code,
							   error) &&
		depot_json_get_bool(document, "ready", true, &out->ready, code, error) &&
		depot_json_get_array(document, "missing", true, &missing, code, error) &&
		depot_json_get_string(document, "error", false, &met, code, error);
	if (ok)
	{
		out->missing = json_incref(missing);
		/* Both are the server's clock; the second is rounded down. */
		if (strtoll(incarnation, NULL, 10) / 1000000 + POSTGRESQL_EPOCH_S < started_at)
		{
			out->ready = false;
			snprintf(out->reason, sizeof(out->reason), "the server has been started, and has not looked yet");
			out->what_to_do = DEPOT_REMEDY_IF_IT_LASTS;
		}
		else if (!out->ready)
			explain(out, met);
	}
	else
		depot_error_hint(error, "The server's leader writes it soon after each start; see the server's log if it "
						 "does not.");
	json_decref(document);
	depot_buffer_free(&text);
	return ok;
}

/* Compares the files' sizes with what this server has noted of them. */
static bool
look_at_files(int depot_fd, Readiness *out, DepotError *error)
{
	DepotState	state;
	bool		fresh;

	if (!depot_store_load_state(depot_fd, NULL, &state, &fresh, error))
		return false;
	out->package_count = state.package_count;
	for (int i = 0; i < state.package_count && out->ready; i++)
		if (!depot_store_is_whole(depot_fd, &state.packages[i]))
		{
			out->ready = false;
			snprintf(out->reason, sizeof(out->reason), "files of package \"%s\" are missing or damaged",
					 state.packages[i].package);
			out->what_to_do = "restart the server, or on a primary SELECT * FROM verify_extension_files(repair => "
				"true)";
		}
	depot_store_free_state(&state);
	return true;
}

static bool
look(const char *datadir, const char *directory, Readiness *out, DepotError *error)
{
	int			datadir_fd = open(datadir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			depot_fd = -1;
	bool		ok = false;

	if (datadir_fd < 0)
	{
		bool		is_denied = errno == EACCES;

		depot_error_set_errno(error, errno, "could not open data directory \"%s\"", datadir);
		if (is_denied)
			depot_error_hint(error, "Run this as the server's user.");
		return false;
	}
	depot_fd = openat(datadir_fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (depot_fd < 0)
	{
		depot_error_set_errno(error, errno, "could not open depot directory \"%s\"", directory);
		depot_error_hint(error, "The server makes it when it starts with pg_depot; with another depot.directory, "
						 "give that with --directory.");
		goto done;
	}
	ok = read_applied(depot_fd, server_started_at(datadir_fd), out, error) && look_at_files(depot_fd, out, error);
done:
	if (depot_fd >= 0)
		(void) close(depot_fd);
	(void) close(datadir_fd);
	return ok;
}

/* ---- what is printed ---- */

static const char *
member(const json_t *entry, const char *name, char *shown, size_t shown_bytes)
{
	const char *text = json_string_value(json_object_get(entry, name));

	return depot_name_printable(text != NULL ? text : "", shown, shown_bytes);
}

/* The hint goes where errors go, so that the output has the reasons alone. */
static void
print_text(const Readiness *readiness)
{
	size_t		index;
	json_t	   *entry;

	if (readiness->ready)
	{
		printf("ready: %d package%s, generation %" PRId64 "\n", readiness->package_count,
			   readiness->package_count == 1 ? "" : "s", readiness->applied_generation);
		return;
	}
	printf("not ready: %s\n", readiness->reason);
	json_array_foreach(readiness->missing, index, entry)
	{
		char		package[128];
		char		version[128];
		char		reason[512];

		printf("  %s %s: %s\n", member(entry, "package", package, sizeof(package)),
			   member(entry, "version", version, sizeof(version)), member(entry, "reason", reason, sizeof(reason)));
	}
	fflush(stdout);
	fprintf(stderr, "hint: %s\n", readiness->what_to_do);
}

static int
print_json(const Readiness *readiness)
{
	json_t	   *document = json_pack("{s:b, s:I, s:I, s:s?, s:O, s:s?}", "ready", readiness->ready,
									 "generation_seen", (json_int_t) readiness->seen_generation,
									 "generation_applied", (json_int_t) readiness->applied_generation,
									 "reason", readiness->ready ? NULL : readiness->reason,
									 "missing", readiness->missing,
									 "what_to_do", readiness->ready ? NULL : readiness->what_to_do);
	int			result = depot_cli_print_json(document);

	json_decref(document);
	return result;
}

int
depot_cmd_ready(int argc, char **argv)
{
	static const struct option options[] = {
		{"datadir", required_argument, NULL, 'D'},
		{"directory", required_argument, NULL, 'd'},
		{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	const char *datadir = getenv("PGDATA");
	const char *directory = "pg_depot";
	bool		is_json = false;
	bool		is_quiet = false;
	Readiness	readiness = {.ready = false};
	DepotError	error = {0};
	int			result = DEPOT_EXIT_OK;
	int			option;

	while ((option = getopt_long(argc, argv, ":D:qh", options, NULL)) != -1)
		switch (option)
		{
			case 'D':
				datadir = optarg;
				break;
			case 'd':
				directory = optarg;
				break;
			case 'j':
				is_json = true;
				break;
			case 'q':
				is_quiet = true;
				break;
			case 'h':
				print_help();
				return DEPOT_EXIT_OK;
			default:
				return depot_cli_option_error(COMMAND, option, argv);
		}
	if (optind < argc)
		return depot_cli_usage_error(COMMAND, "unexpected argument \"%s\"", argv[optind]);
	if (datadir == NULL || datadir[0] == '\0')
		return depot_cli_usage_error(COMMAND, "--datadir or $PGDATA is needed");

	if (!look(datadir, directory, &readiness, &error))
		result = depot_cli_report_error(&error);
	else if (is_json)
		result = print_json(&readiness);
	else if (!is_quiet)
		print_text(&readiness);
	if (result == DEPOT_EXIT_OK && !readiness.ready)
		result = DEPOT_EXIT_FAILED;
	json_decref(readiness.missing);
	return result;
}
