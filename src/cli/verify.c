/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  "pg_depot verify": checks a package as a server's check agent does,
 *	  signatures apart.
 *
 * The package is unpacked into a private directory below $TMPDIR, which is
 * removed again, also after an interrupt.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/temporary.h"
#include "common/archive.h"
#include "common/control.h"
#include "common/files.h"

static void
print_help(void)
{
	puts("Usage: pg_depot verify FILE\n"
		 "\n"
		 "Checks the package in FILE against all rules for archives, manifests and control\n"
		 "files, as a server does before it installs one.  Exits with 1 and the reason if\n"
		 "it breaks one.  Signatures are in a repository's metadata, not in packages, so\n"
		 "none is checked.");
}

static void
print_result(const char *path, const DepotManifest *manifest, const char *manifest_sha256)
{
	char		size[DEPOT_CLI_SIZE_BYTES];

	printf("%s: package %s %s for PostgreSQL %d, %s-%s\n", path, manifest->package, manifest->version,
		   manifest->postgresql_major, manifest->platform_os, manifest->platform_arch);
	puts("  archive    ok  one zstd frame, one tar, nothing but files and directories, nothing after it");
	printf("  manifest   ok  format %d, SHA-256 %s\n", DEPOT_MANIFEST_FORMAT, manifest_sha256);
	printf("  files      ok  %d files, %s: names, sizes, modes and SHA-256 as in the manifest\n",
		   manifest->file_count, depot_cli_format_size(depot_manifest_unpacked_bytes(manifest), size));
	printf("  control    ok  %d %s: control files and scripts are the package's own\n",
		   manifest->extension_count, manifest->extension_count == 1 ? "extension" : "extensions");
	puts("  signature  --  not part of a package; a repository's metadata signs it");
}

static int
verify_file(const char *path)
{
	DepotError	error = {0};
	DepotManifest *manifest = NULL;
	DepotTemporary directory = DEPOT_TEMPORARY_NONE;
	DepotCliProgress progress;
	char		manifest_sha256[65];
	bool		ok = false;
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
	{
		depot_error_set_errno(&error, errno, "could not open \"%s\"", path);
		goto done;
	}
	depot_cli_progress_begin(&progress, "reading the package", 0);
	manifest = depot_archive_verify(fd, NULL, NULL, manifest_sha256, depot_temporary_progress, &progress, &error);
	depot_cli_progress_end(&progress);
	if (manifest == NULL)
	{
		depot_error_prefix(&error, "%s", path);
		goto done;
	}
	if (!depot_temporary_make(&directory, &error))
		goto done;
	depot_cli_progress_begin(&progress, "unpacking it for the control file checks",
							 depot_manifest_unpacked_bytes(manifest));
	ok = depot_archive_unpack(fd, manifest, manifest_sha256, NULL, directory.fd, depot_temporary_progress, &progress,
							  &error);
	depot_cli_progress_end(&progress);
	if (ok && !depot_control_check_package(directory.fd, manifest, &error))
		ok = depot_error_prefix(&error, "%s", path);

done:
	depot_temporary_remove(&directory);
	if (ok)
		print_result(path, manifest, manifest_sha256);
	else
		depot_cli_report_error(&error);
	depot_manifest_free(manifest);
	if (fd >= 0)
		close(fd);
	return ok ? DEPOT_EXIT_OK : DEPOT_EXIT_FAILED;
}

int
depot_cmd_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	int			option;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
	{
		if (option != 'h')
			return depot_cli_option_error("verify", option, argv);
		print_help();
		return DEPOT_EXIT_OK;
	}
	if (optind != argc - 1)
		return depot_cli_usage_error("verify", "exactly one FILE is needed");
	depot_temporary_catch_interrupts();
	return verify_file(argv[optind]);
}
