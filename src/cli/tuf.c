/*-------------------------------------------------------------------------
 *
 * tuf.c
 *	  "pg_depot tuf": the client of The Update Framework on a directory.
 *
 * The command line is that of the framework's conformance suite (its
 * CLIENT-CLI.md): options first, then init, refresh or download; every failure
 * exits with 1.
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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/download.h"
#include "common/files.h"
#include "common/tuf.h"

#define COMMAND "tuf"

/* What is printed of roles: the four of the top level. */
#define SHOWN_ROLES 4

typedef enum TufCommand
{
	TUF_INIT,
	TUF_REFRESH,
	TUF_DOWNLOAD,
	TUF_NONE
} TufCommand;

static const char *const command_names[] = {"init", "refresh", "download"};

/* A text that was not given is empty, and a file that was not NULL. */
typedef struct TufOptions
{
	const char *metadata_dir;
	const char *metadata_url;
	const char *target_dir;
	const char *target_base_url;
	const char *ca_file;
	const char *credentials_file;
	const char **target_names;
	int			target_count;
	TufCommand	command;
	const char *trusted_root;	/* the argument of init */
} TufOptions;

/* A refreshed client; zeros and -1 as far as it is not. */
typedef struct Session
{
	const TufOptions *options;
	int			metadata_fd;
	int			target_fd;
	DepotTufClient *client;
	DepotDownload *download;
} Session;

static bool parse_options(int argc, char **argv, TufOptions *options, bool *help);
static bool check_options(const TufOptions *options, int arguments);
static bool run_init(const TufOptions *options, DepotError *error);
static bool run_refresh(Session *session, DepotError *error);
static bool download_targets(Session *session, DepotError *error);
static bool download_target(Session *session, const DepotTufTarget *target, DepotError *error);
static bool is_there(Session *session, const DepotTufTarget *target);
static bool fetch_metadata(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out,
						   bool *missing, DepotError *error);
static int	open_directory(const char *path, const char *what, bool make, DepotError *error);
static void print_roles(const DepotTufClient *client);

static void
print_help(void)
{
	puts("Usage: pg_depot tuf --metadata-dir DIR init TRUSTED_ROOT\n"
		 "       pg_depot tuf --metadata-dir DIR --metadata-url URL [OPTIONS] refresh\n"
		 "       pg_depot tuf --metadata-dir DIR --metadata-url URL [OPTIONS]\n"
		 "                    --target-base-url URL --target-dir DIR --target-name PATH... download\n"
		 "\n"
		 "A client of The Update Framework, for any repository of its specification 1.0.\n"
		 "init begins to trust a root; refresh brings the metadata up to date; download does\n"
		 "so, too, and then downloads targets that are not there yet.\n"
		 "\n"
		 "  --metadata-dir DIR      where trusted metadata is kept, one ROLE.json each\n"
		 "  --metadata-url URL      where the repository has it (https, http or file)\n"
		 "  --target-name PATH      a target; can be repeated\n"
		 "  --target-dir DIR        where targets go, each under its path\n"
		 "  --target-base-url URL   where the repository has them\n"
		 "  --ca-file FILE          certificate authorities instead of the system's\n"
		 "  --credentials-file FILE what to send where, for private repositories\n"
		 "\n"
		 "Every failure, wrong usage too, exits with 1.");
}

int
depot_cmd_tuf(int argc, char **argv)
{
	TufOptions	options = {.metadata_dir = "",.metadata_url = "",.target_dir = "",.target_base_url = ""};
	Session		session = {.options = &options, .metadata_fd = -1, .target_fd = -1};
	DepotError	error = {0};
	bool		help = false;
	bool		ok;

	options.target_names = calloc((size_t) argc, sizeof(options.target_names[0]));
	if (options.target_names == NULL)
	{
		depot_error_set(&error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		return depot_cli_report_error(&error);
	}
	ok = parse_options(argc, argv, &options, &help);
	if (ok && help)
		print_help();
	else if (ok)
	{
		if (options.command == TUF_INIT)
			ok = run_init(&options, &error);
		else
			ok = run_refresh(&session, &error) &&
				(options.command != TUF_DOWNLOAD || download_targets(&session, &error));
		if (!ok)
			(void) depot_cli_report_error(&error);
	}
	depot_tuf_close(session.client);
	depot_download_close(session.download);
	if (session.metadata_fd >= 0)
		(void) close(session.metadata_fd);
	if (session.target_fd >= 0)
		(void) close(session.target_fd);
	free(options.target_names);
	return ok ? DEPOT_EXIT_OK : DEPOT_EXIT_FAILED;
}

static bool
parse_options(int argc, char **argv, TufOptions *options, bool *help)
{
	static const struct option long_options[] = {
		{"metadata-dir", required_argument, NULL, 'm'},
		{"metadata-url", required_argument, NULL, 'u'},
		{"target-name", required_argument, NULL, 'n'},
		{"target-dir", required_argument, NULL, 'd'},
		{"target-base-url", required_argument, NULL, 'b'},
		{"ca-file", required_argument, NULL, 'c'},
		{"credentials-file", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	int			option;

	while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1)
	{
		const char **text = option == 'm' ? &options->metadata_dir : option == 'u' ? &options->metadata_url :
		option == 'd' ? &options->target_dir : option == 'b' ? &options->target_base_url :
		option == 'c' ? &options->ca_file : option == 'r' ? &options->credentials_file : option == 'n' ?
		&options->target_names[options->target_count++] : NULL;

		*help = *help || option == 'h';
		if (text != NULL)
			*text = optarg;
		else if (option != 'h')
		{
			(void) depot_cli_option_error(COMMAND, option, argv);
			return false;
		}
	}
	if (*help)
		return true;
	for (options->command = TUF_INIT; options->command != TUF_NONE; options->command++)
	{
		if (optind < argc && strcmp(argv[optind], command_names[options->command]) == 0)
			break;
	}
	options->trusted_root = argv[argc - 1];
	return check_options(options, argc - optind - 1);
}

/* Tells whether a command has all that it needs; says what is missing. */
static bool
check_options(const TufOptions *options, int arguments)
{
	const TufCommand command = options->command;
	const char *missing = NULL;

	if (command == TUF_NONE)
	{
		(void) depot_cli_usage_error(COMMAND, "expected one of the commands init, refresh and download");
		return false;
	}
	if (arguments != (command == TUF_INIT ? 1 : 0))
	{
		(void) depot_cli_usage_error(COMMAND, command == TUF_INIT ? "init needs exactly one file" :
									 "%s takes no arguments", command_names[command]);
		return false;
	}
	if (options->metadata_dir[0] == '\0')
		missing = "--metadata-dir";
	else if (command != TUF_INIT && options->metadata_url[0] == '\0')
		missing = "--metadata-url";
	else if (command == TUF_DOWNLOAD && options->target_count == 0)
		missing = "--target-name";
	else if (command == TUF_DOWNLOAD && options->target_dir[0] == '\0')
		missing = "--target-dir";
	else if (command == TUF_DOWNLOAD && options->target_base_url[0] == '\0')
		missing = "--target-base-url";
	if (missing != NULL)
		(void) depot_cli_usage_error(COMMAND, "%s needs %s", command_names[command], missing);
	return missing == NULL;
}

/* Makes the root of a file the trusted one, once. */
static bool
run_init(const TufOptions *options, DepotError *error)
{
	int			fd = open_directory(options->metadata_dir, "metadata", true, error);
	DepotTufClient *client = NULL;
	DepotBuffer root;
	bool		ok = false;

	if (fd < 0)
		return false;
	depot_buffer_init(&root);
	if (depot_files_exists(fd, "root.json"))
	{
		depot_error_set(error, DEPOT_ERROR_FILE_EXISTS, "\"%s\" has a trusted root already",
						options->metadata_dir);
		depot_error_hint(error, "It follows the repository's changes of root by itself. To trust another "
						 "repository, use another directory.");
		goto done;
	}
	if (!depot_cli_read_root(options->trusted_root, &root, error))
		goto done;
	client = depot_tuf_open(fd, root.data == NULL ? "" : root.data, root.length_bytes, time(NULL), error);
	ok = client != NULL;
	if (ok)
		print_roles(client);

done:
	depot_tuf_close(client);
	depot_buffer_free(&root);
	(void) close(fd);
	return ok;
}

/* Nothing is asked for before the trusted root has been verified. */
static bool
run_refresh(Session *session, DepotError *error)
{
	const TufOptions *options = session->options;
	bool		changed;

	session->metadata_fd = open_directory(options->metadata_dir, "metadata", false, error);
	if (session->metadata_fd < 0)
		return false;
	session->client = depot_tuf_open(session->metadata_fd, NULL, 0, time(NULL), error);
	if (session->client == NULL)
	{
		if (!depot_files_exists(session->metadata_fd, "root.json"))
			depot_error_hint(error, "\"pg_depot tuf init\" makes one trusted.");
		return false;
	}
	if (options->target_dir[0] != '\0')
	{
		session->target_fd = open_directory(options->target_dir, "target", true, error);
		if (session->target_fd < 0)
			return false;
	}
	session->download = depot_download_open(session->target_fd >= 0 ? session->target_fd :
											session->metadata_fd, options->ca_file,
											options->credentials_file, error);
	if (session->download == NULL ||
		!depot_tuf_refresh(session->client, NULL, fetch_metadata, session, &changed, error))
		return false;
	print_roles(session->client);
	return true;
}

/* In the order given; the first failure ends it. */
static bool
download_targets(Session *session, DepotError *error)
{
	for (int i = 0; i < session->options->target_count; i++)
	{
		const char *path = session->options->target_names[i];
		DepotTufTarget target;

		if (!depot_tuf_find_target(session->client, path, &target, error))
			return false;
		if (is_there(session, &target))
			printf("%s is there already\n", path);
		else if (download_target(session, &target, error))
			printf("%s\n", path);
		else
			return false;
	}
	return true;
}

static bool
download_target(Session *session, const DepotTufTarget *target, DepotError *error)
{
	DepotCliProgress progress;
	char		label[256];
	DepotBuffer location;
	int			fd = -1;
	bool		ok = false;

	depot_buffer_init(&location);
	if (!depot_tuf_target_location(session->client, target, &location, error))
		goto done;
	snprintf(label, sizeof(label), "downloading %s", target->path);
	depot_cli_progress_begin(&progress, label, target->length_bytes);
	fd = depot_download_file(session->download, session->options->target_base_url, location.data,
							 target->length_bytes, target->sha256, &progress, error);
	depot_cli_progress_end(&progress);
	ok = fd >= 0 && depot_tuf_verify_target(target, fd, error) &&
		depot_download_take(session->download, target->path, error);

done:
	if (fd >= 0)
		(void) close(fd);
	depot_buffer_free(&location);
	return ok;
}

/* Tells whether the target directory has the file as it was signed. */
static bool
is_there(Session *session, const DepotTufTarget *target)
{
	DepotError	ignored;
	struct stat status;
	int			fd = depot_files_open(session->target_fd, target->path, O_RDONLY | O_NONBLOCK, 0, &ignored);
	bool		ok;

	if (fd < 0)
		return false;
	ok = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && depot_tuf_verify_target(target, fd, &ignored);
	(void) close(fd);
	return ok;
}

/* A DepotTufFetch.  That there is no next root is the rule, and object stores say it in their own way. */
static bool
fetch_metadata(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing,
			   DepotError *error)
{
	Session    *session = context;

	const char *root = strstr(file_name, ".root.json");

	return depot_download_read(session->download, session->options->metadata_url, file_name, root != NULL,
							   max_bytes, out, missing, error);
}

static int
open_directory(const char *path, const char *what, bool make, DepotError *error)
{
	int			fd;

	if (make && mkdir(path, 0755) != 0 && errno != EEXIST)
	{
		depot_error_set_errno(error, errno, "could not make the %s directory \"%s\"", what, path);
		return -1;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		depot_error_set_errno(error, errno, "could not open the %s directory \"%s\"", what, path);
	return fd;
}

static void
print_roles(const DepotTufClient *client)
{
	DepotTufRole roles[SHOWN_ROLES];
	int			count = depot_tuf_roles(client, roles, SHOWN_ROLES);

	for (int i = 0; i < count; i++)
	{
		char		expires[21];

		depot_tuf_time_format(roles[i].expires_epoch_s, expires);
		printf("%-10s version %" PRId64 ", expires %.10s %.8s UTC\n", roles[i].name, roles[i].version, expires,
			   expires + 11);
	}
}
