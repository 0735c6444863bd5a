/*-------------------------------------------------------------------------
 *
 * inspect.c
 *	  "pg_depot inspect": shows what a package holds.
 *
 * The package is read by all rules of the archive reader first; what would be
 * refused on a server is refused here, and nothing of it is shown.
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
#include "common/archive.h"
#include "common/json.h"

#define PAGE_COLUMNS 100
#define LABEL_COLUMNS 17

static void
print_help(void)
{
	puts("Usage: pg_depot inspect [--json] FILE\n"
		 "\n"
		 "Shows what the package in FILE is, provides and needs, and lists its files.\n"
		 "\n"
		 "  --json   print its manifest as JSON");
}

/* Counts the columns of UTF-8 text, one for each character. */
static int
text_columns(const char *text)
{
	int			columns = 0;

	for (; *text != '\0'; text++)
		columns += ((unsigned char) *text & 0xC0) != 0x80;
	return columns;
}

/* Prints text after a label, broken at blanks so that lines fit the page. */
static void
print_wrapped(const char *label, const char *text)
{
	int			column = LABEL_COLUMNS + 3;

	printf(" %-*s|", LABEL_COLUMNS, label);
	while (*text != '\0')
	{
		size_t		length = strcspn(text, " ");
		char		word[1024];

		snprintf(word, sizeof(word), "%.*s", (int) length, text);
		if (column + 1 + text_columns(word) > PAGE_COLUMNS && column > LABEL_COLUMNS + 3)
		{
			printf("\n %-*s|", LABEL_COLUMNS, "");
			column = LABEL_COLUMNS + 3;
		}
		printf(" %s", word);
		column += 1 + text_columns(word);
		text += length;
		text += strspn(text, " ");
	}
	putchar('\n');
}

/* Appends words with commas between them. */
static void
append_words(DepotBuffer *text, char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		depot_buffer_append_format(text, "%s%s", i == 0 ? "" : ", ", words[i]);
}

static void
print_package(const DepotManifest *manifest)
{
	DepotBuffer text;

	depot_buffer_init(&text);
	print_wrapped("Kind", depot_manifest_kind_name(manifest->kind));
	print_wrapped("Summary", manifest->summary);
	print_wrapped("License", manifest->license);
	if (*manifest->homepage != '\0')
		print_wrapped("Homepage", manifest->homepage);
	depot_buffer_append_format(&text, "%s %d", manifest->postgresql_flavor, manifest->postgresql_major);
	if (manifest->postgresql_minimum_minor > 0)
		depot_buffer_append_format(&text, ", at least %d.%d", manifest->postgresql_major,
								   manifest->postgresql_minimum_minor);
	print_wrapped("Server", text.data);
	depot_buffer_reset(&text);
	depot_buffer_append_format(&text, "%s-%s, %s%s%s", manifest->platform_os, manifest->platform_arch,
							   manifest->platform_libc, *manifest->platform_libc_min == '\0' ? "" : " at least ",
							   manifest->platform_libc_min);
	print_wrapped("Platform", text.data);
	if (*manifest->source_kind != '\0')
	{
		depot_buffer_reset(&text);
		depot_buffer_append_format(&text, "%s %s %s", manifest->source_kind, manifest->source_name,
								   manifest->source_version);
		print_wrapped("Source", text.data);
	}
	depot_buffer_free(&text);
}

static void
print_extension(const DepotManifestExtension *extension)
{
	DepotBuffer text;

	depot_buffer_init(&text);
	depot_buffer_append_format(&text, "%s%s%s", extension->name,
							   *extension->default_version == '\0' ? "" : " ", extension->default_version);
	if (extension->trusted)
		depot_buffer_append_string(&text, ", trusted");
	if (extension->require_count > 0)
	{
		depot_buffer_append_string(&text, ", requires ");
		append_words(&text, extension->requires, extension->require_count);
	}
	if (extension->version_count > 0)
	{
		depot_buffer_append_string(&text, "; versions ");
		append_words(&text, extension->versions, extension->version_count);
	}
	if (!text.failed)
		print_wrapped("Extension", text.data);
	depot_buffer_free(&text);
}

static void
print_contents(const DepotManifest *manifest)
{
	DepotBuffer text;

	depot_buffer_init(&text);
	for (int i = 0; i < manifest->extension_count; i++)
		print_extension(&manifest->extensions[i]);
	for (int i = 0; i < manifest->module_count; i++)
	{
		depot_buffer_reset(&text);
		depot_buffer_append_format(&text, "%s, preload %s%s", manifest->modules[i].name,
								   depot_manifest_preload_name(manifest->modules[i].preload),
								   manifest->modules[i].required ? ", required" : "");
		print_wrapped("Module", text.data);
	}
	for (int i = 0; i < manifest->depend_count; i++)
	{
		depot_buffer_reset(&text);
		depot_buffer_append_format(&text, "%s %s", manifest->depends[i].package, manifest->depends[i].constraint);
		print_wrapped("Depends on", text.data);
	}
	if (manifest->system_library_count > 0)
	{
		depot_buffer_reset(&text);
		append_words(&text, manifest->system_libraries, manifest->system_library_count);
		print_wrapped("System libraries", text.data);
	}
	for (int i = 0; i < manifest->setting_count; i++)
	{
		depot_buffer_reset(&text);
		depot_buffer_append_format(&text, "%s = '%s' (%s)", manifest->settings[i].name, manifest->settings[i].value,
								   manifest->settings[i].why);
		print_wrapped("Setting", text.data);
	}
	for (int i = 0; i < manifest->component_count; i++)
	{
		depot_buffer_reset(&text);
		depot_buffer_append_format(&text, "%s %s (%s)", manifest->components[i].purl,
								   manifest->components[i].version, manifest->components[i].license);
		print_wrapped("Component", text.data);
	}
	depot_buffer_free(&text);
}

static void
print_files(const DepotManifest *manifest)
{
	puts("Files:\n Mode |       Size | Path\n------+------------+-----------------------------------------");
	for (int i = 0; i < manifest->file_count; i++)
		printf(" %04o | %10" PRIu64 " | %s\n", manifest->files[i].mode, manifest->files[i].size_bytes,
			   manifest->files[i].path);
	printf("(%d %s)\n", manifest->file_count, manifest->file_count == 1 ? "file" : "files");
}

static void
print_summary(const DepotManifest *manifest, const char *manifest_sha256, uint64_t archive_bytes)
{
	char		title[160];		/* two names of 63 bytes, and what stands around them */
	char		packed[DEPOT_CLI_SIZE_BYTES];
	char		unpacked[DEPOT_CLI_SIZE_BYTES];
	int			indent;

	snprintf(title, sizeof(title), "Package \"%s\" %s", manifest->package, manifest->version);
	indent = (PAGE_COLUMNS / 2 - (int) strlen(title)) / 2;
	printf("%*s%s\n", indent > 0 ? indent : 0, "", title);
	print_package(manifest);
	printf(" %-*s| %s packed, %s unpacked\n", LABEL_COLUMNS, "Size",
		   depot_cli_format_size(archive_bytes, packed),
		   depot_cli_format_size(depot_manifest_unpacked_bytes(manifest), unpacked));
	printf(" %-*s| %s\n", LABEL_COLUMNS, "Manifest SHA-256", manifest_sha256);
	print_contents(manifest);
	print_files(manifest);
}

static int
print_manifest(const DepotManifest *manifest, DepotError *error)
{
	DepotBuffer text;
	json_t	   *object = NULL;
	int			result;

	depot_buffer_init(&text);
	if (depot_manifest_write(manifest, &text, error))
		object = depot_json_parse(text.data, text.length_bytes, DEPOT_ERROR_MANIFEST, "manifest", error);
	result = object == NULL ? depot_cli_report_error(error) : depot_cli_print_json(object);
	json_decref(object);
	depot_buffer_free(&text);
	return result;
}

static int
inspect_file(const char *path, bool as_json)
{
	DepotError	error = {0};
	DepotManifest *manifest = NULL;
	struct stat status;
	char		manifest_sha256[65];
	int			result = DEPOT_EXIT_FAILED;
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &status) != 0)
	{
		depot_error_set_errno(&error, errno, "could not open \"%s\"", path);
		depot_cli_report_error(&error);
		goto done;
	}
	manifest = depot_archive_verify(fd, NULL, NULL, manifest_sha256, NULL, NULL, &error);
	if (manifest == NULL)
	{
		depot_error_prefix(&error, "%s", path);
		depot_cli_report_error(&error);
		goto done;
	}
	if (as_json)
		result = print_manifest(manifest, &error);
	else
	{
		print_summary(manifest, manifest_sha256, (uint64_t) status.st_size);
		result = DEPOT_EXIT_OK;
	}

done:
	depot_manifest_free(manifest);
	if (fd >= 0)
		close(fd);
	return result;
}

int
depot_cmd_inspect(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	bool		as_json = false;
	int			option;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
	{
		if (option == 'h')
		{
			print_help();
			return DEPOT_EXIT_OK;
		}
		if (option != 'j')
			return depot_cli_option_error("inspect", option, argv);
		as_json = true;
	}
	if (optind != argc - 1)
		return depot_cli_usage_error("inspect", "exactly one FILE is needed");
	return inspect_file(argv[optind], as_json);
}
