/*-------------------------------------------------------------------------
 *
 * repo_add.c
 *	  "pg_depot repo add": checks packages and puts them in, unpublished.
 *
 * A package is copied into the repository first, and it is the copy that is
 * checked, by the same two passes and control file rules that a server runs;
 * so what gets its name under targets/ is what was checked.
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
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/repo_common.h"
#include "common/archive.h"
#include "common/control.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/manifest.h"
#include "common/name.h"
#include "common/publisher.h"
#include "common/tuf.h"

#define COMMAND "repo add"
#define INCOMING ".incoming"
#define INCOMING_PACKAGE INCOMING "/package"
#define INCOMING_TREE INCOMING "/tree"
#define COPY_BYTES 65536

typedef struct Added
{
	char		role[65];
	char		path[DEPOT_REPO_PATH_BYTES];	/* target path */
	char		sha256[DEPOT_SHA256_HEX_BYTES];
	uint64_t	size_bytes;
	json_t	   *custom;			/* {"pg_depot": {...}}, owned */
} Added;

static bool add_file(DepotRepo *repo, const char *file, DepotError *error);
static bool copy_in(DepotRepo *repo, const char *file, DepotError *error);
static bool copy_bytes(int from, int to, const char *file, DepotError *error);
static bool check_package(DepotRepo *repo, Added *added, DepotError *error);
static bool unpack_and_check(DepotRepo *repo, int fd, const DepotManifest *manifest,
							 const char *manifest_sha256,
							 DepotError *error);
static bool describe(const DepotManifest *manifest, const char *manifest_sha256, Added *added,
					 DepotError *error);
static bool choose_role(DepotRepo *repo, const DepotManifest *manifest, Added *added, DepotError *error);
static bool find_known(DepotRepo *repo, const Added *added, bool *known, DepotError *error);
static bool put_in_place(DepotRepo *repo, const Added *added, DepotError *error);

static void
print_help(void)
{
	puts("Usage: pg_depot repo add DIR FILE...\n"
		 "\n"
		 "Checks packages by the rules that servers apply and puts them into the repository\n"
		 "in DIR.  Servers see them after the next \"pg_depot repo publish\".  A package that\n"
		 "is there already is passed over; another package of the same name, version and\n"
		 "platform is refused.");
}

int
depot_cmd_repo_add(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	DepotRepo	repo;
	DepotError	error = {0};
	DepotError	ignored;
	int			option;
	bool		ok;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
	{
		if (option != 'h')
			return depot_cli_option_error(COMMAND, option, argv);
		print_help();
		return DEPOT_EXIT_OK;
	}
	if (argc - optind < 2)
		return depot_cli_usage_error(COMMAND, "a directory and at least one file are needed");
	if (!depot_repo_open(&repo, argv[optind], true, &error))
		return depot_cli_report_error(&error);

	/* What a killed add left behind goes first. */
	ok = depot_files_remove_tree(repo.fd, INCOMING, &error);
	for (int i = optind + 1; i < argc && ok; i++)
	{
		ok = add_file(&repo, argv[i], &error);
		if (!ok)
			depot_error_prefix(&error, "\"%s\"", argv[i]);
	}
	(void) depot_files_remove_tree(repo.fd, INCOMING, &ignored);
	depot_repo_close(&repo);
	return ok ? DEPOT_EXIT_OK : depot_cli_report_error(&error);
}

static bool
add_file(DepotRepo *repo, const char *file, DepotError *error)
{
	Added		added = {.custom = NULL};
	char		size[DEPOT_CLI_SIZE_BYTES];
	bool		known = false;
	bool		ok;

	ok = depot_files_remove_tree(repo->fd, INCOMING, error) &&
		depot_files_make_directories(repo->fd, INCOMING, 0700, false, error) &&
		copy_in(repo, file, error) &&
		check_package(repo, &added, error) &&
		find_known(repo, &added, &known, error);
	if (ok && !known)
		ok = put_in_place(repo, &added, error);
	if (ok)
		printf("%s %s (%s)\n", known ? "there already" : "added", added.path,
			   depot_cli_format_size(added.size_bytes, size));
	json_decref(added.custom);
	return ok;
}

static bool
copy_in(DepotRepo *repo, const char *file, DepotError *error)
{
	struct stat status;
	int			from = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int			to = -1;
	bool		ok = false;

	if (from < 0 || fstat(from, &status) != 0)
	{
		depot_error_set_errno(error, errno, "could not open the file");
		goto done;
	}
	if (!S_ISREG(status.st_mode))
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "not a regular file");
		goto done;
	}
	to = depot_files_open(repo->fd, INCOMING_PACKAGE, O_WRONLY | O_CREAT | O_EXCL, 0644, error);
	if (to < 0)
		goto done;
	ok = copy_bytes(from, to, file, error);
	/* Web servers run as somebody else, whatever the umask here. */
	if (ok && (fchmod(to, 0644) != 0 || fsync(to) != 0))
		ok = depot_error_set_errno(error, errno, "could not write the package into the repository");

done:
	if (to >= 0 && close(to) != 0 && ok)
		ok = depot_error_set_errno(error, errno, "could not write the package into the repository");
	if (from >= 0)
		close(from);
	return ok;
}

static bool
copy_bytes(int from, int to, const char *file, DepotError *error)
{
	char		piece[COPY_BYTES];

	for (;;)
	{
		ssize_t		count = read(from, piece, sizeof(piece));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return depot_error_set_errno(error, errno, "could not read \"%s\"", file);
		if (count == 0)
			return true;
		if (!depot_files_write_all(to, piece, (size_t) count, error))
			return false;
	}
}

/* Runs a server's checks on the copy, and fills what its target entry will say. */
static bool
check_package(DepotRepo *repo, Added *added, DepotError *error)
{
	char		manifest_sha256[65];
	DepotManifest *manifest = NULL;
	DepotCliProgress progress;
	int			fd;
	bool		ok = false;

	fd = depot_files_open(repo->fd, INCOMING_PACKAGE, O_RDONLY, 0, error);
	if (fd < 0)
		return false;
	depot_cli_progress_begin(&progress, "checking the package", 0);
	manifest = depot_archive_verify(fd, NULL, NULL, manifest_sha256, depot_cli_progress_archive, &progress,
									error);
	depot_cli_progress_end(&progress);
	if (manifest != NULL)
		ok = unpack_and_check(repo, fd, manifest, manifest_sha256, error) &&
			depot_digest_file(repo->fd, INCOMING_PACKAGE, added->sha256, &added->size_bytes, error) &&
			describe(manifest, manifest_sha256, added, error) &&
			choose_role(repo, manifest, added, error);
	depot_manifest_free(manifest);
	close(fd);
	return ok;
}

static bool
unpack_and_check(DepotRepo *repo, int fd, const DepotManifest *manifest, const char *manifest_sha256,
				 DepotError *error)
{
	DepotCliProgress progress;
	int			tree_fd;
	bool		ok;

	if (!depot_files_make_directories(repo->fd, INCOMING_TREE, 0700, false, error))
		return false;
	tree_fd = depot_files_open_directory(repo->fd, INCOMING_TREE, error);
	if (tree_fd < 0)
		return false;
	depot_cli_progress_begin(&progress, "checking what is in it", depot_manifest_unpacked_bytes(manifest));
	ok = depot_archive_unpack(fd, manifest, manifest_sha256, NULL, tree_fd, depot_cli_progress_archive,
							  &progress,
							  error);
	depot_cli_progress_end(&progress);
	ok = ok && depot_control_check_package(tree_fd, manifest, error);
	close(tree_fd);
	return ok;
}

static bool
describe(const DepotManifest *manifest, const char *manifest_sha256, Added *added, DepotError *error)
{
	char		read_back_sha256[65];
	json_t	   *custom;
	DepotManifest *read_back;
	int			length;

	length = snprintf(added->role, sizeof(added->role), "pg%d-%s-%s", manifest->postgresql_major,
					  manifest->platform_os, manifest->platform_arch);
	if (length >= (int) sizeof(added->role) || !depot_name_is_delegated_role(added->role))
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "its platform does not make the name of a role");
	length = snprintf(added->path, sizeof(added->path), "pg%d/%s-%s/%s/%s/%s-%s.tar.zst",
					  manifest->postgresql_major,
					  manifest->platform_os, manifest->platform_arch, manifest->package, manifest->version,
					  manifest->package, manifest->version);
	if (length + 96 > (int) sizeof(added->path))
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "its names make too long a path");

	custom = depot_manifest_custom(manifest, manifest_sha256, error);
	if (custom == NULL)
		return false;
	/* Published is what a server will take: the entry is read as a server reads it. */
	read_back = depot_manifest_from_custom(custom, added->path, read_back_sha256, error);
	depot_manifest_free(read_back);
	if (read_back == NULL)
	{
		json_decref(custom);
		return false;
	}
	added->custom = json_pack("{s:o}", "pg_depot", custom);
	return added->custom != NULL || depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

/* The first publisher to whom the path is delegated has it, with the names that he was given. */
static bool
choose_role(DepotRepo *repo, const DepotManifest *manifest, Added *added, DepotError *error)
{
	const json_t *delegations = json_object_get(repo->roles[DEPOT_REPO_TARGETS].body, "delegations");
	const json_t *entry;
	const json_t *pattern;
	size_t		index;
	size_t		place;

	json_array_foreach(json_object_get(delegations, "roles"), index, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name"));

		json_array_foreach(json_object_get(entry, "paths"), place, pattern)
		{
			if (!depot_publisher_is_role(name) || !depot_tuf_path_matches(json_string_value(pattern), added->path))
				continue;
			snprintf(added->role, sizeof(added->role), "%s", name);
			return depot_publisher_check_package(entry, manifest, error) ||
				depot_error_hint(error, "Servers would ignore it. \"pg_depot repo delegate\" gives names.");
		}
	}
	return true;
}

/* Looks for the target path among what is published and what is pending; the same bytes are fine. */
static bool
find_known(DepotRepo *repo, const Added *added, bool *known, DepotError *error)
{
	const DepotRepoRole *role = depot_repo_find_role(repo, added->role);
	const char *sha256 = NULL;
	const json_t *entry;
	size_t		index;

	*known = false;
	if (role != NULL && !role->disowned)
	{
		entry = json_object_get(json_object_get(role->body, "targets"), added->path);
		sha256 = json_string_value(json_object_get(json_object_get(entry, "hashes"), "sha256"));
	}
	json_array_foreach(repo->pending, index, entry)
	{
		if (strcmp(json_string_value(json_object_get(entry, "path")), added->path) == 0)
			sha256 = json_string_value(json_object_get(entry, "sha256"));
	}
	if (sha256 == NULL)
		return true;
	*known = strcmp(sha256, added->sha256) == 0;
	if (*known)
		return true;
	depot_error_set(error, DEPOT_ERROR_DUPLICATE, "the repository holds another package as %s", added->path);
	depot_error_detail(error, "The one there has SHA-256 %s, this one %s.", sha256, added->sha256);
	return depot_error_hint(error, "What was published never changes. Give the new build another version.");
}

static bool
put_in_place(DepotRepo *repo, const Added *added, DepotError *error)
{
	char		file[DEPOT_REPO_PATH_BYTES];
	char		directory[DEPOT_REPO_PATH_BYTES];
	json_t	   *entry;

	depot_repo_target_file(added->path, added->sha256, file);
	snprintf(directory, sizeof(directory), "%s", file);
	*strrchr(directory, '/') = '\0';
	if (!depot_files_make_directories(repo->fd, directory, 0755, true, error) ||
		!depot_files_rename(repo->fd, INCOMING_PACKAGE, repo->fd, file, error) ||
		!depot_files_fsync(repo->fd, directory, error))
		return false;
	entry = json_pack("{s:s, s:s, s:s, s:I, s:O}", "path", added->path, "role", added->role, "sha256",
					  added->sha256,
					  "length", (json_int_t) added->size_bytes, "custom", added->custom);
	if (json_array_append_new(repo->pending, entry) != 0)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return depot_repo_write_pending(repo, error);
}
