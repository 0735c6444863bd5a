/*-------------------------------------------------------------------------
 *
 * bundle.c
 *	  "pg_depot bundle": a part of a repository in one file.
 *
 * The repository is read as a server reads it, from its first root on, and
 * what the client workflow asks for goes into the bundle.  So a bundle has just the
 * metadata that a server will ask for, and one that no server would believe
 * is never made.
 *
 * A bundle is no installation: where two packages need different versions of
 * a third, both go in.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/bundle.h"
#include "cli/cli.h"
#include "cli/temporary.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/name.h"

#define COMMAND "bundle"

static void
print_help(void)
{
	puts("Usage: pg_depot bundle REPOSITORY --output FILE [OPTIONS] NAME[=VERSION]...\n"
		 "\n"
		 "Writes one file that holds packages of a repository, what they depend on, and the\n"
		 "signed metadata that proves them.  REPOSITORY is a URL, or the directory of it or\n"
		 "of a copy.\n"
		 "On a server without a network, file:///PATH of the bundle is the repository's URL;\n"
		 "the same rules hold there, so its metadata expires as it does everywhere.  NAME is a\n"
		 "package or an extension; VERSION may be a constraint, as 3.5.* or \">= 1, < 2\".\n"
		 "\n"
		 "  -o, --output FILE     the bundle; it must not exist\n"
		 "  --platform PLATFORM   such as pg17-linux-amd64; repeat it for several (all that\n"
		 "                        the repository has)\n"
		 "  --all                 every package\n"
		 "  --root FILE           trust this root; a URL needs one, of a directory the first root\n"
		 "                        that is there counts\n"
		 "  --ca-file FILE        certificate authorities for https, not the system's");
}

/* Downloads one metadata file, and keeps it where a directory's would be. */
static bool
download_metadata(DepotBundleCommand *command, const char *path, size_t max_bytes, DepotBuffer *out, bool *missing,
				  DepotError *error)
{
	/* A store that lets nobody list it may say that a newer root is forbidden. */
	const bool	is_optional = strstr(path, ".root.json") != NULL;

	if (!depot_download_read(command->download, command->url, path, is_optional, max_bytes, out, missing, error) ||
		*missing)
		return *missing;
	return depot_files_make_directories(command->copy.fd, "metadata", 0700, false, error) &&
		depot_files_write_durable(command->copy.fd, path, out->data, out->length_bytes, 0600, error);
}

/* Reads one file of the repository; the DepotTufFetch of this command. */
static bool
read_metadata(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing,
			  DepotError *error)
{
	DepotBundleCommand *command = context;
	char		path[sizeof("metadata/") + 512];

	if ((size_t) snprintf(path, sizeof(path), "metadata/%s", file_name) >= sizeof(path))
		return depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "the name of a metadata file is too long");
	if (command->url != NULL)
	{
		if (!download_metadata(command, path, max_bytes, out, missing, error))
			return false;
	}
	else
	{
		*missing = !depot_files_exists(command->repository_fd, path);
		if (!*missing && !depot_files_read(command->repository_fd, path, max_bytes, out, error))
			return false;
	}
	return *missing || depot_bundle_note_metadata(command, path, out, error);
}

/* Reads the root that everything is verified from, and the first one, which servers may know by its digest. */
static bool
read_roots(DepotBundleCommand *command, DepotError *error)
{
	DepotBuffer first;
	bool		missing = false;
	bool		ok;

	depot_buffer_init(&first);
	ok = read_metadata(command, "1.root.json", DEPOT_TUF_ROOT_MAX_BYTES, &first, &missing, error);
	if (ok && missing)
	{
		ok = depot_error_set(error, DEPOT_ERROR_FILE_MISSING, "there is no \"metadata/1.root.json\"");
		depot_error_hint(error, "Name a repository, or a whole copy of one.");
	}
	if (ok && command->root_file != NULL)
		ok = depot_cli_read_root(command->root_file, &command->root, error);
	else if (ok)
		ok = depot_buffer_append(&command->root, first.data, first.length_bytes) ||
			depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	depot_buffer_free(&first);
	return ok;
}

/* Reads one platform's part of the repository and chooses from it. */
static bool
read_platform(DepotBundleCommand *command, const char *role, DepotError *error)
{
	DepotTufClient *client;
	bool		changed;
	bool		ok;

	client = depot_tuf_open(command->state.fd, command->root.data, command->root.length_bytes, command->now_s, error);
	ok = client != NULL && depot_tuf_refresh(client, role, read_metadata, command, &changed, error) &&
		depot_bundle_choose(command, client, role, error);
	depot_tuf_close(client);
	return ok;
}

/* Takes every platform that the targets role delegates to, when none was named. */
static bool
find_platforms(DepotBundleCommand *command, DepotError *error)
{
	DepotTufClient *client;
	bool		changed;
	bool		ok;

	if (command->platform_count > 0)
		return true;
	command->is_every_platform = true;
	client = depot_tuf_open(command->state.fd, command->root.data, command->root.length_bytes, command->now_s, error);
	ok = client != NULL && depot_tuf_refresh(client, NULL, read_metadata, command, &changed, error) &&
		depot_bundle_list_platforms(command, client, error);
	depot_tuf_close(client);
	if (ok && command->platform_count == 0)
		return depot_error_set(error, DEPOT_ERROR_UNKNOWN_EXTENSION, "the repository has no packages");
	return ok;
}

/* A DepotTemporaryFill. */
static bool
fill_bundle(int fd, void *context, DepotError *error)
{
	DepotBundleWriter *writer = depot_bundle_create(fd, error);
	bool		ok;

	if (writer == NULL)
		return false;
	ok = depot_bundle_write_files(context, writer, error);
	return depot_bundle_finish(writer, ok, error) && ok;
}

/* Splits the output's path, and makes sure that nothing is overwritten. */
static bool
write_output(DepotBundleCommand *command, DepotError *error)
{
	char		directory[4096];
	const char *slash = strrchr(command->output, '/');
	const char *name = slash != NULL ? slash + 1 : command->output;
	int			directory_fd;
	bool		ok;

	snprintf(directory, sizeof(directory), "%.*s", slash != NULL ? (int) (slash - command->output + 1) : 1,
			 slash != NULL ? command->output : ".");
	directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0)
		return depot_error_set_errno(error, errno, "could not open the directory \"%s\"", directory);
	if (faccessat(directory_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		ok = depot_error_set(error, DEPOT_ERROR_FILE_EXISTS, "\"%s\" exists", command->output);
	else
		ok = depot_temporary_write_file(directory_fd, name, fill_bundle, command, error);
	(void) close(directory_fd);
	return ok;
}

static void
print_result(const DepotBundleCommand *command)
{
	char		size[DEPOT_CLI_SIZE_BYTES];
	uint64_t	total_bytes = 0;
	int			count = 0;

	for (int i = 0; i < command->file_count; i++)
	{
		const DepotBundleFile *file = &command->files[i];

		total_bytes += file->size_bytes;
		if (!file->is_package)
			continue;
		count++;
		printf("%s (%s)\n", strrchr(file->path, '/') + 1 + strlen(file->sha256) + 1,
			   depot_cli_format_size(file->size_bytes, size));
	}
	printf("%s: %d %s, %s\n", command->output, count, count == 1 ? "package" : "packages",
		   depot_cli_format_size(total_bytes, size));
}

/* Opens the repository; its URL was checked with the options. */
static bool
open_repository(DepotBundleCommand *command, const char *name, DepotError *error)
{
	if (command->url == NULL)
	{
		command->repository_fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return command->repository_fd >= 0 ||
			depot_error_set_errno(error, errno, "could not open the repository \"%s\"", name);
	}
	if (!depot_temporary_make(&command->copy, error))
		return false;
	command->repository_fd = command->copy.fd;
	command->download = depot_download_open(command->copy.fd, command->ca_file, NULL, error);
	return command->download != NULL;
}

static bool
run(DepotBundleCommand *command, const char *name, DepotError *error)
{
	command->is_found = calloc((size_t) command->name_count + 1, sizeof(command->is_found[0]));
	if (command->is_found == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	if (!open_repository(command, name, error) || !depot_temporary_make(&command->state, error) ||
		!read_roots(command, error) || !find_platforms(command, error))
		return false;
	for (int i = 0; i < command->platform_count; i++)
		if (!read_platform(command, command->platforms[i], error))
			return depot_error_prefix(error, "%s", command->platforms[i]);
	for (int i = 0; i < command->name_count; i++)
		if (command->is_every_platform && !command->is_found[i])
			return depot_error_set(error, DEPOT_ERROR_UNKNOWN_EXTENSION, "the repository has nothing for \"%s\"",
								   command->names[i]);
	if (command->url != NULL && !depot_bundle_download_packages(command, error))
		return false;
	return write_output(command, error);
}

/* Returns -1, or the exit code of what was wrong. */
static int
parse_options(int argc, char **argv, DepotBundleCommand *command)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"platform", required_argument, NULL, 'p'},
		{"all", no_argument, NULL, 'a'},
		{"root", required_argument, NULL, 'r'},
		{"ca-file", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	int			option;

	while ((option = getopt_long(argc, argv, ":ho:", options, NULL)) != -1)
	{
		switch (option)
		{
			case 'o':
				command->output = optarg;
				break;
			case 'p':
				if (!depot_name_is_delegated_role(optarg))
					return depot_cli_usage_error(COMMAND, "\"%s\" is not a platform such as pg17-linux-amd64", optarg);
				if (command->platform_count == DEPOT_BUNDLE_MAX_PLATFORMS)
					return depot_cli_usage_error(COMMAND, "too many platforms");
				snprintf(command->platforms[command->platform_count++], sizeof(command->platforms[0]), "%s", optarg);
				break;
			case 'a':
				command->all = true;
				break;
			case 'r':
				command->root_file = optarg;
				break;
			case 'c':
				command->ca_file = optarg;
				break;
			case 'h':
				print_help();
				return DEPOT_EXIT_OK;
			default:
				return depot_cli_option_error(COMMAND, option, argv);
		}
	}
	if (command->output == NULL)
		return depot_cli_usage_error(COMMAND, "--output is needed");
	if (optind == argc)
		return depot_cli_usage_error(COMMAND, "the directory or URL of a repository is needed");
	if (strstr(argv[optind], "://") != NULL)
		command->url = argv[optind];
	if (command->url != NULL && command->root_file == NULL)
		return depot_cli_usage_error(COMMAND, "a URL needs --root, the root.json to trust");
	if (command->all == (optind + 1 < argc))
		return depot_cli_usage_error(COMMAND, "name packages, or give --all");
	command->names = argv + optind + 1;
	command->name_count = argc - optind - 1;
	return -1;
}

int
depot_cmd_bundle(int argc, char **argv)
{
	static DepotBundleCommand command = {
		.repository_fd = -1, .copy = DEPOT_TEMPORARY_NONE, .state = DEPOT_TEMPORARY_NONE
	};
	DepotError	error = {0};
	int			result = parse_options(argc, argv, &command);
	bool		ok;

	if (result != -1)
		return result;
	command.now_s = (int64_t) time(NULL);
	depot_buffer_init(&command.root);
	depot_temporary_catch_interrupts();
	ok = run(&command, argv[optind], &error);
	if (ok)
		print_result(&command);
	else
		depot_cli_report_error(&error);
	depot_download_close(command.download);
	depot_temporary_remove(&command.copy);
	depot_temporary_remove(&command.state);
	depot_bundle_free(&command);
	return ok ? DEPOT_EXIT_OK : DEPOT_EXIT_FAILED;
}
