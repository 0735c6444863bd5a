/*-------------------------------------------------------------------------
 *
 * pack.c
 *	  "pg_depot pack": one package from an installed tree, an OCI image or
 *	  Debian packages.
 *
 * The order: make a source root, collect entries, change control files and links, write the tree, describe
 * it, check it by the rules the check agent uses, write the archive, read it back through the agent's
 * reader, and only then give it its name.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/pack.h"
#include "cli/temporary.h"
#include "common/archive.h"
#include "common/control.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/name.h"

#define LICENSE_LIMIT_BYTES ((size_t) 16 * 1024 * 1024)

static bool run(DepotPack *pack, const char *work_path, DepotError *error);
static bool prepare(DepotPack *pack, const char *work_path, DepotError *error);
static bool build(DepotPack *pack, DepotError *error);
static bool add_license_files(DepotPack *pack, DepotError *error);
static bool check_installed_paths(const DepotPack *pack, DepotError *error);
static bool write_package(DepotPack *pack, DepotError *error);
static bool write_archive(int fd, void *context, DepotError *error);
static bool archive_progress(uint64_t bytes_done, void *context);
static bool print_result(const DepotPack *pack, const char *name, int output_fd, DepotError *error);
static void print_drops(const DepotPack *pack);
static void cleanup(DepotPack *pack, const char *work_path);

int
depot_cmd_pack(int argc, char **argv)
{
	static DepotPackOptions options;
	static DepotPack pack;
	DepotError	error = {0};
	const char *temporary = getenv("TMPDIR");
	char		work_path[DEPOT_PACK_PATH_BYTES];
	int			result = depot_pack_parse_options(argc, argv, &options);
	bool		ok;

	if (result != -1)
		return result;
	memset(&pack, 0, sizeof(pack));
	pack.options = &options;
	pack.work_fd = pack.source_fd = pack.tree_fd = -1;
	snprintf(work_path, sizeof(work_path), "%.3000s/pg_depot-pack-XXXXXX",
			 temporary == NULL || temporary[0] != '/' ? "/tmp" : temporary);
	depot_temporary_catch_interrupts();
	if (mkdtemp(work_path) == NULL)
	{
		depot_error_set_errno(&error, errno, "could not create the directory \"%s\"", work_path);
		depot_error_hint(&error, "TMPDIR can name another place for temporary files.");
		return depot_cli_report_error(&error);
	}
	ok = run(&pack, work_path, &error);
	cleanup(&pack, work_path);
	return ok ? DEPOT_EXIT_OK : depot_cli_report_error(&error);
}

bool
depot_pack_interrupted(DepotError *error)
{
	if (depot_temporary_is_interrupted())
		depot_error_set(error, DEPOT_ERROR_CANCELED, "canceled");
	return depot_temporary_is_interrupted();
}

void
depot_pack_note(const DepotPack *pack, const char *format,...)
{
	char		text[DEPOT_PACK_PATH_BYTES];
	va_list		arguments;

	if (pack->options->quiet || pack->options->json)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	depot_cli_note("%s", text);
}

static void
cleanup(DepotPack *pack, const char *work_path)
{
	const char *slash = strrchr(work_path, '/');
	char		parent[DEPOT_PACK_PATH_BYTES] = "/";
	DepotError	error;
	int			fd;

	depot_manifest_free(pack->manifest);
	depot_pack_free_entries(pack);
	depot_pack_free_debs(pack);
	depot_pack_free_image(&pack->image);
	free(pack->package);
	free(pack->version);
	if (pack->tree_fd >= 0)
		close(pack->tree_fd);
	if (pack->source_fd >= 0)
		close(pack->source_fd);
	if (pack->work_fd >= 0)
		close(pack->work_fd);
	snprintf(parent, sizeof(parent), "%.*s/", (int) (slash - work_path), work_path);
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || !depot_files_remove_tree(fd, slash + 1, &error))
		depot_cli_warning("could not remove the temporary directory \"%s\"", work_path);
	if (fd >= 0)
		close(fd);
}

static bool
run(DepotPack *pack, const char *work_path, DepotError *error)
{
	return prepare(pack, work_path, error) && build(pack, error) && write_package(pack, error);
}

/* Opens or makes the source root. */
static bool
prepare(DepotPack *pack, const char *work_path, DepotError *error)
{
	pack->work_fd = open(work_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pack->work_fd < 0)
		return depot_error_set_errno(error, errno, "could not open \"%s\"", work_path);
	if (!depot_files_make_directories(pack->work_fd, "tree", 0700, false, error) ||
		(pack->tree_fd = depot_files_open_directory(pack->work_fd, "tree", error)) < 0)
		return false;
	if (pack->options->tree != NULL)
	{
		pack->source_fd = open(pack->options->tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (pack->source_fd < 0)
			return depot_error_set_errno(error, errno, "could not open the tree \"%s\"", pack->options->tree);
		return true;
	}
	if (!depot_files_make_directories(pack->work_fd, "source", 0700, false, error) ||
		(pack->source_fd = depot_files_open_directory(pack->work_fd, "source", error)) < 0)
		return false;
	if (pack->options->oci != NULL)
		return depot_pack_read_image(pack, error);
	return depot_pack_read_debs(pack, error);
}

/* From the source root to a tree and a manifest that pass every check. */
static bool
build(DepotPack *pack, DepotError *error)
{
	if (!(pack->options->oci != NULL ? depot_pack_collect_image : depot_pack_collect) (pack, error) ||
		!add_license_files(pack, error) ||
		!depot_pack_apply_alternatives(pack, error) ||
		!depot_pack_choose_name(pack, error) ||
		!depot_pack_flatten_controls(pack, error) ||
		!depot_pack_drop_orphans(pack, error) ||
		!depot_pack_shorten_links(pack, error))
		return false;
	print_drops(pack);
	if (pack->links_shortened > 0)
		depot_pack_note(pack, "%d of %d links became one-line scripts", pack->links_shortened,
						pack->links_followed);
	return depot_pack_materialise(pack, error) &&
		depot_pack_describe(pack, error) &&
		check_installed_paths(pack, error) &&
		depot_control_check_package(pack->tree_fd, pack->manifest, error);
}

/* Adds the files of --license-file; depot_pack_choose_name puts them into the package's own directory. */
static bool
add_license_files(DepotPack *pack, DepotError *error)
{
	for (int i = 0; i < pack->options->license_file_count; i++)
	{
		const char *path = pack->options->license_files[i];
		const char *slash = strrchr(path, '/');
		char		directory[DEPOT_PACK_PATH_BYTES] = ".";
		char		member[DEPOT_PACK_PATH_BYTES];
		DepotBuffer text;
		bool		ok;
		int			fd;

		if (slash != NULL)
			snprintf(directory, sizeof(directory), "%.*s/", (int) (slash - path), path);
		snprintf(member, sizeof(member), "licenses/%s", slash == NULL ? path : slash + 1);
		fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return depot_error_set_errno(error, errno, "could not open license file \"%s\"", path);
		if (!depot_name_is_relative_path(member))
		{
			close(fd);
			return depot_error_set(error, DEPOT_ERROR_PACKAGE, "a package cannot carry the file name \"%s\"",
								   path);
		}
		depot_buffer_init(&text);
		ok = depot_files_read(fd, slash == NULL ? path : slash + 1, LICENSE_LIMIT_BYTES, &text, error) &&
			depot_pack_add(pack, member, NULL, text.data == NULL ? "" : text.data, text.length_bytes, 0644,
						   error);
		depot_buffer_free(&text);
		close(fd);
		if (!ok)
			return false;
	}
	return true;
}

/*
 * A path of 100 bytes or more, counted from the data directory, makes every base backup of the server fail;
 * here for the default name of the depot, and again when installing for the real one.
 */
static bool
check_installed_paths(const DepotPack *pack, DepotError *error)
{
	const DepotManifest *manifest = pack->manifest;
	char		own[DEPOT_MANIFEST_PATH_BYTES];
	char		first[DEPOT_PACK_PATH_BYTES] = "";
	int			too_long = 0;

	depot_manifest_path(manifest->package, own);
	for (int i = -1; i < manifest->file_count; i++)
	{
		const char *member = i < 0 ? own : manifest->files[i].path;
		char		installed[2 * DEPOT_PACK_PATH_BYTES];

		if (strncmp(member, "licenses/", 9) == 0 || manifest->postgresql_major >= 18)
			snprintf(installed, sizeof(installed), DEPOT_PACK_DEFAULT_DEPOT "/%s", member);
		else if (strncmp(member, "share/", 6) == 0)
			snprintf(installed, sizeof(installed), DEPOT_PACK_DEFAULT_DEPOT "/usr/share/postgresql/%d/%s",
					 manifest->postgresql_major, member + 6);
		else
			snprintf(installed, sizeof(installed), DEPOT_PACK_DEFAULT_DEPOT "/usr/lib/postgresql/%d/%s",
					 manifest->postgresql_major, member);
		if (strlen(installed) < DEPOT_INSTALLED_PATH_LIMIT_BYTES)
			continue;
		if (too_long++ == 0)
			snprintf(first, sizeof(first), "%.4000s", installed);
	}
	if (too_long == 0)
		return true;
	depot_error_set(error, DEPOT_ERROR_PACKAGE,
					"installed, \"%.300s\" would have a path of %zu bytes; fewer than %d are possible", first,
					strlen(first), DEPOT_INSTALLED_PATH_LIMIT_BYTES);
	return depot_error_detail(error,
							  "Counted from the data directory, a longer path makes every base backup fail."
							  " Files with such paths: %d.",
							  too_long);
}

static bool
archive_progress(uint64_t bytes_done, void *context)
{
	if (context != NULL)
		depot_cli_progress_update(context, bytes_done);
	return !depot_temporary_is_interrupted();
}

static bool
write_package(DepotPack *pack, DepotError *error)
{
	const char *directory = pack->options->output_directory;
	char		name[2 * DEPOT_NAME_MAX_BYTES + 16];
	bool		ok;
	int			output_fd;

	snprintf(name, sizeof(name), "%s-%s.tar.zst", pack->package, pack->version);
	output_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (output_fd < 0)
		return depot_error_set_errno(error, errno, "could not open the output directory \"%s\"", directory);
	ok = depot_temporary_write_file(output_fd, name, write_archive, pack, error) &&
		print_result(pack, name, output_fd, error);
	close(output_fd);
	return ok;
}

/* Writes the package and reads it back.  A DepotTemporaryFill. */
static bool
write_archive(int fd, void *context, DepotError *error)
{
	const DepotPack *pack = context;
	DepotCliProgress progress = {0};
	DepotCliProgress *shown = pack->options->quiet || pack->options->json ? NULL : &progress;
	DepotManifest *read_back = NULL;
	char		sha256[65];
	bool		ok;

	if (shown != NULL)
		depot_cli_progress_begin(shown, "compressing", depot_manifest_unpacked_bytes(pack->manifest));
	ok = depot_archive_write(fd, pack->manifest, pack->tree_fd, archive_progress, shown, error);
	if (shown != NULL)
		depot_cli_progress_end(shown);
	if (!ok)
		return false;
	if (shown != NULL)
		depot_cli_progress_begin(shown, "checking", depot_manifest_unpacked_bytes(pack->manifest));
	read_back =
		depot_archive_verify(fd, &depot_archive_default_limits, NULL, sha256, archive_progress, shown, error);
	if (shown != NULL)
		depot_cli_progress_end(shown);
	if (read_back == NULL)
		return depot_error_prefix(error, "the package would not be accepted");
	depot_manifest_free(read_back);
	return true;
}

static bool
print_result(const DepotPack *pack, const char *name, int output_fd, DepotError *error)
{
	const char *directory = pack->options->output_directory;
	uint64_t	unpacked_bytes = depot_manifest_unpacked_bytes(pack->manifest);
	char		sha256[65];
	char		path[DEPOT_PACK_PATH_BYTES];
	uint64_t	packed_bytes;
	json_t	   *object;

	if (!depot_digest_file(output_fd, name, sha256, &packed_bytes, error))
		return false;
	snprintf(path, sizeof(path), "%.3500s/%s", directory, name);
	if (!pack->options->json)
	{
		char		packed[DEPOT_CLI_SIZE_BYTES];
		char		unpacked[DEPOT_CLI_SIZE_BYTES];

		printf("%s: %s, unpacked %s in %d files\n", path, depot_cli_format_size(packed_bytes, packed),
			   depot_cli_format_size(unpacked_bytes, unpacked), pack->manifest->file_count);
		return true;
	}
	object = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:i}", "file", path, "package", pack->package,
					   "version", pack->version, "sha256", sha256, "size_bytes", (json_int_t) packed_bytes,
					   "unpacked_bytes", (json_int_t) unpacked_bytes, "files", pack->manifest->file_count,
					   "links_shortened", pack->links_shortened);
	if (object == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	(void) depot_cli_print_json(object);
	json_decref(object);
	return true;
}

/* Says what was left out, a line for each kind. */
static void
print_drops(const DepotPack *pack)
{
	static const char *const names[DEPOT_DROP_KINDS] = {
		[DEPOT_DROP_BITCODE] = "JIT bitcode (a server never reads it from a depot)",
		[DEPOT_DROP_PROGRAM] = "programs",
		[DEPOT_DROP_HEADER] = "headers",
		[DEPOT_DROP_DOCUMENTATION] = "documentation",
		[DEPOT_DROP_PLUGIN] = "lib/plugins (every user could load it)",
		[DEPOT_DROP_BUILD] = "build files",
		[DEPOT_DROP_UNSERVABLE] = "text search and time zone files (a server reads only its own)",
		[DEPOT_DROP_SCRIPT] = "scripts of extensions that have no control file",
		[DEPOT_DROP_SYSTEM] = "system libraries (no library looks for them by RUNPATH $ORIGIN/private)",
		[DEPOT_DROP_MANIFEST] = "manifests (a package gets one of its own)",
		[DEPOT_DROP_OTHER] = "what a server does not read",
	};

	for (int i = DEPOT_DROP_BITCODE; i < DEPOT_DROP_KINDS; i++)
	{
		if (pack->dropped[i] > 0)
			depot_pack_note(pack, "not packed: %s: %d file%s, such as %s", names[i], pack->dropped[i],
							pack->dropped[i] == 1 ? "" : "s", pack->dropped_example[i]);
	}
}
