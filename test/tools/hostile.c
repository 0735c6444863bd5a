/*-------------------------------------------------------------------------
 *
 * hostile.c
 *	  Makes packages that must be refused.
 *
 *	  hostile [OPTIONS] CASE OUTFILE
 *	  hostile --custom [OPTIONS] CASE OUTFILE    also prints the custom.pg_depot object to sign it under
 *	  hostile --list                             case, code of its refusal, words of it, tab-separated, one a line
 *
 *	  --major N               PostgreSQL major it claims to be for (default 15)
 *	  --entries N             members of entries-bomb (default 10000000)
 *	  --honest-custom         print what a harmless package "evil" 1.0 would say, whatever the manifest says
 *	  --manifest-from PACKAGE begin with name, version and files of a real package of one extension
 *
 * Apart from its one fault each package is in order: "evil" 1.0 with an
 * extension "evil" and a script in SQL.  Unit tests include this file with
 * HOSTILE_LIBRARY defined and call hostile_make.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include "common/archive.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/name.h"
#include "hostile_tar.h"

#define BOMB_BYTES (UINT64_C(10) * 1024 * 1024 * 1024)
#define TEXT_BYTES (80 * 1024)
#define MAX_MEMBERS 20100

typedef struct Member
{
	const char *path;
	const char *bytes;			/* NULL: zeros */
	uint64_t	size;			/* in the archive */
	uint64_t	manifest_size;
	const char *link;
	const char *pax;			/* records before its header */
	unsigned	mode;
	char		type;			/* as in tar */
	bool		undeclared;		/* not in the manifest */
	bool		absent;			/* not in the archive */
	bool		wrong_digest;
}			Member;

/* Texts go into JSON as they are, escapes and all. */
typedef struct Package
{
	const char *package;
	const char *version;
	const char *extension;
	const char *default_version;
	const char *trusted;
	int			format;
	int			major;
	long		entries;		/* 0, or that many empty members after the others */
	const char *manifest_end;	/* what stands for the manifest's last brace */
	uint64_t	manifest_zeros; /* that many zeros instead of a manifest */
	bool		manifest_last;
	bool		manifest_twice;
	bool		manifest_absent;
	bool		plain;			/* not compressed */
	bool		no_end;
	uint64_t	zeros_after_end;
	const char *after_end;		/* member after the end of the tar */
	const char *after_frame;	/* bytes after the zstd frame */
	unsigned	window_exponent;
	int			member_count;
	Member	   *members;
	char		text[TEXT_BYTES];	/* for what a case makes */
}			Package;

typedef struct HostileOptions
{
	int			major;
	long		entries;
	bool		honest_custom;
	const char *manifest_from;
}			HostileOptions;

#include "hostile_cases.h"

static void
begin_package(Package *package, const HostileOptions *options)
{
	memset(package, 0, sizeof(*package));
	package->package = package->extension = "evil";
	package->version = package->default_version = "1.0";
	package->trusted = "false";
	package->format = DEPOT_MANIFEST_FORMAT;
	package->major = options->major;
	package->manifest_end = "}";
	package->window_exponent = 7;
	package->members = calloc(MAX_MEMBERS, sizeof(Member));
	if (package->members == NULL)
		out_fail("memory");
	add_text(package, "share/extension/evil.control", CONTROL_TEXT);
	add_text(package, "share/extension/evil--1.0.sql", SCRIPT_TEXT);
	add_text(package, "licenses/evil/copyright", "None.\n");
}

static void
append_list(DepotBuffer *text, const Package *package)
{
	bool		first = true;

	for (int i = 0; i < package->member_count; i++)
	{
		const Member *member = &package->members[i];
		char		hex[DEPOT_SHA256_HEX_BYTES];

		if (member->undeclared)
			continue;
		depot_digest_sha256_hex(member->bytes == NULL ? "" : member->bytes,
								member->bytes == NULL ? 0 : (size_t) member->size, hex);
		if (member->wrong_digest)
			hex[0] = hex[0] == '0' ? '1' : '0';
		depot_buffer_append_format(text, "%s{\"mode\":\"%s\",\"path\":\"%s\",\"sha256\":\"%s\",\"size\":%llu}",
								   first ? "" : ",", (member->mode & 0111) != 0 ? "0755" : "0644", member->path, hex,
								   (unsigned long long) member->manifest_size);
		first = false;
	}
}

/* Appends what manifest and custom metadata share. */
static void
append_common(DepotBuffer *text, const Package *package)
{
	depot_buffer_append_format(text, "\"depends\":[],\"extensions\":[{\"default_version\":\"%s\",\"name\":\"",
							   package->default_version);
	depot_buffer_append_string(text, package->extension);
	depot_buffer_append_format(text, "\",\"requires\":[],\"trusted\":%s,\"versions\":[\"%s\"]}],\"format\":%d,",
							   package->trusted, package->default_version, package->format);
	depot_buffer_append_string(
		text, "\"kind\":\"extension\",\"license\":\"PostgreSQL\",\"modules\":[],\"package\":\"");
	depot_buffer_append_string(text, package->package);
	depot_buffer_append_format(
		text,
		"\",\"platform\":{\"arch\":\"amd64\",\"libc\":\"glibc\",\"libc_min\":\"\",\"os\":\"linux\"},"
		"\"postgresql\":{\"flavor\":\"postgresql\",\"major\":%d,\"minimum_minor\":0},",
		package->major);
	depot_buffer_append_string(
		text, "\"summary\":\"A package that must be refused\",\"system_libraries\":[],\"version\":\"");
	depot_buffer_append_string(text, package->version);
	depot_buffer_append_string(text, "\"");
}

static void
make_manifest(DepotBuffer *text, const Package *package)
{
	depot_buffer_append_string(text, "{\"components\":[],\"files\":[");
	append_list(text, package);
	depot_buffer_append_string(
		text,
		"],\"homepage\":\"\",\"settings\":[],\"source\":{\"kind\":\"test\",\"name\":\"\",\"version\":\"\"},");
	append_common(text, package);
	depot_buffer_append_string(text, package->manifest_end);
	if (text->failed)
		out_fail("memory");
}

static void
write_member(Out *out, const Member *member)
{
	if (member->absent)
		return;
	if (member->pax != NULL)
		tar_pax(out, member->pax);
	tar_header(out, member->path, member->type, member->mode, member->size, member->link);
	if (member->bytes != NULL)
		out_bytes(out, member->bytes, (size_t) member->size);
	else
		out_zeros(out, member->size);
	tar_pad(out, member->size);
}

static void
write_manifest(Out *out, const Package *package, const DepotBuffer *manifest)
{
	char		path[128];

	if (package->manifest_absent)
		return;
	/*
	 * A name that is hostile is so in the manifest; the member keeps one that passes, so that the manifest
	 * is read.
	 */
	snprintf(path, sizeof(path), "share/depot/%s.json",
			 depot_name_is_package(package->package) ? package->package : "evil");
	if (package->manifest_zeros == 0)
		tar_file(out, path, 0644, manifest->data, manifest->length_bytes);
	else
	{
		tar_header(out, path, '0', 0644, package->manifest_zeros, NULL);
		out_zeros(out, package->manifest_zeros);
	}
}

static void
write_package(FILE *file, const Package *package, const DepotBuffer *manifest)
{
	Out		   *out = calloc(1, sizeof(*out));

	if (out == NULL)
		out_fail("memory");
	out->file = file;
	out->plain = package->plain;
	if (package->entries > 0)
		out_begin_library(out);
	else
		out_begin(out, package->window_exponent);
	tar_directory(out, "share/");
	tar_directory(out, "share/depot/");
	if (!package->manifest_last)
		write_manifest(out, package, manifest);
	for (int i = 0; i < package->member_count; i++)
		write_member(out, &package->members[i]);
	if (package->manifest_last || package->manifest_twice)
		write_manifest(out, package, manifest);
	for (long i = 0; i < package->entries; i++)
	{
		char		name[64];

		snprintf(name, sizeof(name), "share/e/%ld", i);
		tar_header(out, name, '0', 0644, 0, NULL);
	}
	if (!package->no_end)
		out_zeros(out, 2 * TAR_BLOCK);
	if (package->after_end != NULL)
		tar_file(out, package->after_end, 0644, SCRIPT_TEXT, strlen(SCRIPT_TEXT));
	out_zeros(out, package->zeros_after_end);
	out_end(out);
	if (package->after_frame != NULL)
		out_file(out, package->after_frame, strlen(package->after_frame));
	free(out);
}

static const HostileCase *
find_case(const char *name)
{
	for (const HostileCase *hostile = hostile_cases; hostile->name != NULL; hostile++)
	{
		if (strcmp(hostile->name, name) == 0)
			return hostile;
	}
	return NULL;
}

static bool
load_file(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
		  DepotError *error)
{
	Package    *package = context;
	DepotBuffer bytes;

	if (!S_ISREG(mode) || strncmp(path, "share/depot/", strlen("share/depot/")) == 0)
		return true;
	depot_buffer_init(&bytes);
	if (!depot_files_read(directory_fd, path, (size_t) size_bytes, &bytes, error) ||
		!depot_buffer_append_string(&bytes, ""))
		return false;
	add_member(package, (Member) {.path = strdup(path), .bytes = bytes.data, .size = size_bytes,
								  .manifest_size = size_bytes, .type = '0', .mode = mode & 0777});
	return true;
}

/* Replaces what begin_package made by a real package's; what it allocates lives as long as the program. */
static bool
load_package(Package *package, const char *path, DepotError *error)
{
	char		directory[] = "/tmp/hostile-XXXXXX";
	char		sha256[65];
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	int			tmp_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			directory_fd;
	DepotManifest *manifest = depot_archive_verify(fd, NULL, NULL, sha256, NULL, NULL, error);
	bool		ok;

	if (manifest == NULL)
		return false;
	if (mkdtemp(directory) == NULL)
		out_fail("making a temporary directory");
	directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	package->member_count = 0;
	package->package = manifest->package;
	package->version = manifest->version;
	package->major = manifest->postgresql_major;
	if (manifest->extension_count > 0)
	{
		package->extension = manifest->extensions[0].name;
		package->default_version = manifest->extensions[0].default_version;
	}
	ok = depot_archive_unpack(fd, manifest, sha256, NULL, directory_fd, NULL, NULL, error) &&
		depot_files_walk(directory_fd, ".", load_file, package, error);
	ok = depot_files_remove_tree(tmp_fd, directory + strlen("/tmp/"), error) && ok;
	close(directory_fd);
	close(tmp_fd);
	close(fd);
	return ok;
}

/* Writes the package of a case to path; appends its custom metadata to custom unless that is NULL. */
static bool
hostile_make(const HostileCase *hostile, const HostileOptions *options, const char *path, DepotBuffer *custom,
			 DepotError *error)
{
	Package		package;
	Package		honest;
	DepotBuffer manifest;
	FILE	   *file = fopen(path, "wb");
	char		hex[DEPOT_SHA256_HEX_BYTES];
	uint64_t	unpacked = 0;

	if (file == NULL)
		return depot_error_set(error, DEPOT_ERROR_IO, "cannot write %s", path);
	depot_buffer_init(&manifest);
	begin_package(&package, options);
	if (options->manifest_from != NULL && !load_package(&package, options->manifest_from, error))
	{
		free(package.members);
		fclose(file);
		return false;
	}
	honest = package;
	hostile->prepare(&package, options);
	sort_members(&package);
	make_manifest(&manifest, &package);
	write_package(file, &package, &manifest);
	depot_digest_sha256_hex(manifest.data, manifest.length_bytes, hex);
	for (int i = 0; i < package.member_count; i++)
		unpacked += package.members[i].undeclared ? 0 : package.members[i].manifest_size;
	if (custom != NULL)
	{
		depot_buffer_append_string(custom, "{");
		append_common(custom, options->honest_custom || !hostile->hostile_custom ? &honest : &package);
		depot_buffer_append_format(custom, ",\"manifest_sha256\":\"%s\",\"unpacked_bytes\":%llu}\n", hex,
								   (unsigned long long) unpacked);
	}
	depot_buffer_free(&manifest);
	free(package.members);
	return fclose(file) == 0 || depot_error_set(error, DEPOT_ERROR_IO, "cannot write %s", path);
}

#ifndef HOSTILE_LIBRARY
int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"list", no_argument, NULL, 'l'}, {"custom", no_argument, NULL, 'c'},
		{"major", required_argument, NULL, 'm'}, {"entries", required_argument, NULL, 'e'},
		{"honest-custom", no_argument, NULL, 'H'}, {"manifest-from", required_argument, NULL, 'f'},
		{NULL, 0, NULL, 0}
	};
	HostileOptions options = {.major = 15, .entries = 10000000};
	DepotBuffer custom;
	DepotError	error = {0};
	bool		wants_custom = false;
	int			c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
	{
		if (c == 'l')
		{
			for (const HostileCase *hostile = hostile_cases; hostile->name != NULL; hostile++)
				printf("%s\t%s\t%s\n", hostile->name,
					   hostile->code == DEPOT_OK ? "ok" : depot_error_wire_name(hostile->code), hostile->message);
			return 0;
		}
		else if (c == 'c')
			wants_custom = true;
		else if (c == 'm')
			options.major = atoi(optarg);
		else if (c == 'e')
			options.entries = atol(optarg);
		else if (c == 'H')
			options.honest_custom = true;
		else if (c == 'f')
			options.manifest_from = optarg;
		else
			return 2;
	}
	if (argc - optind != 2 || find_case(argv[optind]) == NULL)
	{
		fprintf(stderr, "usage: hostile [--custom] [OPTIONS] CASE OUTFILE, or hostile --list\n");
		return 2;
	}
	depot_buffer_init(&custom);
	if (!depot_digest_init(&error) ||
		!hostile_make(find_case(argv[optind]), &options, argv[optind + 1], wants_custom ? &custom : NULL, &error))
	{
		fprintf(stderr, "hostile: %s\n", error.message);
		return 1;
	}
	if (custom.length_bytes > 0)
		fwrite(custom.data, 1, custom.length_bytes, stdout);
	depot_buffer_free(&custom);
	return 0;
}
#endif							/* HOSTILE_LIBRARY */
