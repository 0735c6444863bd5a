/*-------------------------------------------------------------------------
 *
 * pack_oci_describe.c
 *	  What an OCI image says about itself, and which of its directories a
 *	  package has.
 *
 * Annotations of the manifest come before labels of the configuration: the
 * labels of an image are often those of the image it was made from.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/pack.h"
#include "cli/pack_oci.h"
#include "common/files.h"
#include "common/json.h"
#include "common/name.h"

/* What a manifest has room for. */
#define TEXT_MAX_BYTES 1000
#define WORD_MAX_BYTES 255
#define SUMMARY_MAX_BYTES 500
#define STANDARD "org.opencontainers.image."

static const char *host_machine(int column);
static const char *say(const json_t *manifest, const json_t *configuration, const char *key);
static bool set_text(char **member, const char *value, size_t limit_bytes, DepotError *error);
static bool set_package(DepotPackImage *image, const char *title, DepotError *error);
static bool check_platform(DepotPackImage *image, const char *platform, const json_t *configuration,
						   DepotError *error);
static bool choose_major(DepotPack *pack, DepotError *error);
static bool looks_for_private(const DepotPack *pack);
static bool count_system_library(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes,
								 void *context, DepotError *error);

/* The words of OCI, of Debian and of uname for the same machine. */
static const char *const machines[][3] = {
	{"amd64", "amd64", "x86_64"}, {"arm64", "arm64", "aarch64"}, {"386", "i386", "i686"},
	{"arm", "armhf", "armv7l"}, {"ppc64le", "ppc64el", "ppc64le"}, {"s390x", "s390x", "s390x"},
	{"riscv64", "riscv64", "riscv64"}, {"mips64le", "mips64el", "mips64"}, {"loong64", "loong64", "loongarch64"},
};

#define MACHINES (sizeof(machines) / sizeof(machines[0]))

/* What the machine we run on is called in the words of a column; uname's own word when it is unknown. */
static const char *
host_machine(int column)
{
	static struct utsname system;

	if (uname(&system) != 0)
		return "amd64";
	for (size_t i = 0; i < MACHINES; i++)
	{
		if (strcmp(system.machine, machines[i][2]) == 0)
			return machines[i][column];
	}
	return system.machine;
}

const char *
depot_pack_host_arch(void)
{
	return host_machine(1);
}

const char *
depot_oci_host_platform(char *out, size_t out_bytes)
{
	snprintf(out, out_bytes, "linux/%s", host_machine(0));
	return out;
}

/* Returns what an image says under key, borrowed; NULL when nothing. */
static const char *
say(const json_t *manifest, const json_t *configuration, const char *key)
{
	const char *said = json_string_value(json_object_get(json_object_get(manifest, "annotations"), key));

	if (said == NULL || said[0] == '\0')
		said = json_string_value(json_object_get(json_object_get(json_object_get(configuration, "config"),
																 "Labels"), key));
	return said == NULL || said[0] == '\0' ? NULL : said;
}

/*
 * Copies the first line of value.  Of one that is longer than a manifest has room for, a summary is cut, and
 * all else means nothing when it is.
 */
static bool
set_text(char **member, const char *value, size_t limit_bytes, DepotError *error)
{
	size_t		length = 0;

	while (value != NULL && (unsigned char) value[length] >= ' ' && value[length] != 0x7f)
		length++;
	if (length > limit_bytes)
	{
		/* not within a character of UTF-8 */
		length = limit_bytes == SUMMARY_MAX_BYTES ? limit_bytes : 0;
		while (length > 0 && ((unsigned char) value[length] & 0xc0) == 0x80)
			length--;
	}
	*member = value == NULL ? strdup("") : strndup(value, length);
	return *member != NULL || depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

/* Titles begin with a name: "pgvector 0.8.1 18 trixie".  One that could be no package's leaves it to --package. */
static bool
set_package(DepotPackImage *image, const char *title, DepotError *error)
{
	char		name[DEPOT_NAME_MAX_BYTES + 2];

	snprintf(name, sizeof(name), "%.*s", (int) strcspn(title == NULL ? "" : title, " "),
			 title == NULL ? "" : title);
	for (char *letter = name; *letter != '\0'; letter++)
		*letter = (char) tolower((unsigned char) *letter);
	return !depot_name_is_package(name) || set_text(&image->package, name, DEPOT_NAME_MAX_BYTES, error);
}

bool
depot_oci_describe(DepotPack *pack, const char *sha256, const char *platform, const json_t *manifest,
				   const json_t *configuration, DepotError *error)
{
	DepotPackImage *image = &pack->image;
	const char *url = say(manifest, configuration, STANDARD "url");
	const char *source = say(manifest, configuration, STANDARD "source");
	const char *major = say(manifest, configuration, "io.cloudnativepg.image.base.pgmajor");
	int64_t		number;

	snprintf(image->sha256, sizeof(image->sha256), "%s", sha256);
	if (major != NULL && depot_cli_parse_number(major, 10, 99, &number))
		image->major = (int) number;
	return check_platform(image, platform, configuration, error) &&
		set_package(image, say(manifest, configuration, STANDARD "title"), error) &&
		set_text(&image->version, say(manifest, configuration, STANDARD "version"), WORD_MAX_BYTES, error) &&
		set_text(&image->license, say(manifest, configuration, STANDARD "licenses"), TEXT_MAX_BYTES, error) &&
		set_text(&image->homepage, url != NULL ? url : source, TEXT_MAX_BYTES, error) &&
		set_text(&image->source, source, WORD_MAX_BYTES, error) &&
		set_text(&image->summary, say(manifest, configuration, STANDARD "description"), SUMMARY_MAX_BYTES,
				 error);
}

/* Takes the architecture from the configuration, which must agree with the index, or else from the index. */
static bool
check_platform(DepotPackImage *image, const char *platform, const json_t *configuration, DepotError *error)
{
	const char *os = json_string_value(json_object_get(configuration, "os"));
	const char *arch = json_string_value(json_object_get(configuration, "architecture"));
	char		said[64] = "";
	char		own[64];

	if (os != NULL && arch != NULL)
		snprintf(said, sizeof(said), "%s/%s", os, arch);
	depot_name_printable(said, own, sizeof(own));
	if (own[0] != '\0' && platform[0] != '\0' &&
		(strncmp(platform, own, strlen(own)) != 0 ||
		 (platform[strlen(own)] != '\0' && platform[strlen(own)] != '/')))
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "the index says it is for %s, the image %s", platform,
							   own);
	if (own[0] == '\0')
		snprintf(own, sizeof(own), "%s", platform);
	if (own[0] == '\0')
		return true;
	if (strncmp(own, "linux/", 6) != 0)
		return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "it is for %s, not for linux", own);
	for (size_t i = 0; i < MACHINES; i++)
	{
		size_t		length = strlen(machines[i][0]);

		if (strncmp(own + 6, machines[i][0], length) == 0 &&
			(own[6 + length] == '\0' || own[6 + length] == '/'))
			image->arch = machines[i][1];
	}
	return image->arch != NULL ||
		depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "it is for a machine that pg_depot does not know: %s",
						own);
}

void
depot_pack_free_image(DepotPackImage *image)
{
	free(image->package);
	free(image->version);
	free(image->license);
	free(image->homepage);
	free(image->source);
	free(image->summary);
}

/* An image has no path that names the version of the server. */
static bool
choose_major(DepotPack *pack, DepotError *error)
{
	pack->major = pack->options->major != 0 ? pack->options->major : pack->image.major;
	if (pack->major == 0)
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
						"the image does not say which version of PostgreSQL it is for");
		return depot_error_hint(error, "Give --major.");
	}
	if (pack->image.major != 0 && pack->major != pack->image.major)
		depot_pack_note(pack, "the image says that it is for PostgreSQL %d, not %d", pack->image.major,
						pack->major);
	return true;
}

bool
depot_pack_collect_image(DepotPack *pack, DepotError *error)
{
	char		share[64];
	char		lib[64];
	char		private[80];

	if (!choose_major(pack, error))
		return false;
	snprintf(share, sizeof(share), "usr/share/postgresql/%d", pack->major);
	snprintf(lib, sizeof(lib), "usr/lib/postgresql/%d/lib", pack->major);
	snprintf(private, sizeof(private), "%s/private", lib);
	if (!depot_pack_collect_directory(pack, share, "share", error) ||
		!depot_pack_collect_directory(pack, lib, "lib", error))
		return false;
	if (pack->entry_count == 0)
	{
		depot_error_set(error, DEPOT_ERROR_PACKAGE, "there are no files for a PostgreSQL server");
		return depot_error_detail(error, "An extension image holds libraries in lib and extensions in"
								  " share/extension.");
	}
	if (looks_for_private(pack))
	{
		if (!depot_pack_collect_directory(pack, private, "system", error))
			return false;
	}
	else if (depot_files_exists(pack->source_fd, "system") &&
			 !depot_files_walk(pack->source_fd, "system", count_system_library, pack, error))
		return false;
	return depot_pack_collect_directory(pack, "licenses", "licenses", error);
}

/* Whether some library of the server would find others in lib/private. */
static bool
looks_for_private(const DepotPack *pack)
{
	bool		found = false;

	for (int i = 0; i < pack->entry_count && !found; i++)
	{
		const DepotPackEntry *entry = &pack->entries[i];
		DepotPackElf elf;
		DepotError	ignored;
		int			fd;

		if (strncmp(entry->member, "lib/", 4) != 0 || strchr(entry->member + 4, '/') != NULL)
			continue;
		fd = depot_files_open(pack->source_fd, entry->source, O_RDONLY, 0, &ignored);
		if (fd < 0)
			continue;
		/* What is no library is refused when the package is described. */
		if (depot_elf_read(fd, entry->member, &elf, &ignored))
		{
			found = elf.finds_private;
			depot_elf_free(&elf);
		}
		close(fd);
	}
	return found;
}

static bool
count_system_library(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
					 DepotError *error)
{
	char		shown[DEPOT_PACK_PATH_BYTES];

	(void) directory_fd;
	(void) size_bytes;
	(void) error;
	snprintf(shown, sizeof(shown), "system/%.4000s", path);
	if (!S_ISDIR(mode))
		depot_pack_count_drop(context, DEPOT_DROP_SYSTEM, shown);
	return true;
}
