/*-------------------------------------------------------------------------
 *
 * pack_describe.c
 *	  The manifest: what the files say, what Debian or an image says, what the publisher
 *	  says, each of them over the one before.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/pack.h"
#include "common/control.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/name.h"
#include "common/version.h"

#define EXTENSION_DIRECTORY "share/extension/"
#define SCRIPT_LIMIT_BYTES ((size_t) 64 * 1024 * 1024)	/* larger ones are data, not looked through */

static bool out_of_memory(DepotError *error);
static void *grow(void *array, int count, size_t element_bytes);
static bool set_text(char **member, const char *value, DepotError *error);
static bool describe_files(DepotPack *pack, DepotError *error);
static bool describe_extensions(DepotPack *pack, DepotError *error);
static bool describe_extension(DepotPack *pack, const char *name, const DepotExtensionFile *files,
							   int file_count, DepotError *error);
static bool note_server_paths(const DepotPack *pack, DepotError *error);
static bool describe_libraries(DepotPack *pack, DepotError *error);
static bool describe_library(DepotPack *pack, const char *path, DepotError *error);
static bool add_system_library(DepotPack *pack, const char *path, const DepotPackElf *elf, const char *soname,
							   DepotError *error);
static bool apply_module_options(DepotPack *pack, DepotError *error);

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

/* Returns array with room for one more zeroed element after count. */
static void *
grow(void *array, int count, size_t element_bytes)
{
	char	   *grown = realloc(array, element_bytes * ((size_t) count + 1));

	if (grown != NULL)
		memset(grown + element_bytes * (size_t) count, 0, element_bytes);
	return grown;
}

static bool
set_text(char **member, const char *value, DepotError *error)
{
	free(*member);
	*member = strdup(value == NULL ? "" : value);
	return *member != NULL || out_of_memory(error);
}

bool
depot_pack_describe(DepotPack *pack, DepotError *error)
{
	DepotManifest *manifest = calloc(1, sizeof(*manifest));

	if (manifest == NULL)
		return out_of_memory(error);
	pack->manifest = manifest;
	manifest->postgresql_major = pack->major;
	if (!set_text(&manifest->package, pack->package, error) ||
		!set_text(&manifest->version, pack->version, error) ||
		!set_text(&manifest->postgresql_flavor, "postgresql", error) ||
		!set_text(&manifest->platform_os, "linux", error) ||
		!set_text(&manifest->platform_libc, "glibc", error) ||
		!set_text(&manifest->platform_libc_min, "", error) ||
		!describe_files(pack, error) ||
		!describe_extensions(pack, error) ||
		!note_server_paths(pack, error) ||
		!describe_libraries(pack, error) ||
		!apply_module_options(pack, error) ||
		!depot_pack_describe_origin(pack, error))
		return false;
	if (manifest->platform_arch == NULL &&
		!set_text(&manifest->platform_arch,
				  pack->options->arch != NULL ? pack->options->arch
				  : pack->image.arch != NULL ? pack->image.arch
				  : depot_pack_host_arch(),
				  error))
		return false;
	if (pack->image.arch != NULL && strcmp(pack->image.arch, manifest->platform_arch) != 0)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "the image says it is for %s, but is for %s",
							   pack->image.arch, manifest->platform_arch);
	if (pack->options->arch != NULL && strcmp(pack->options->arch, manifest->platform_arch) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the libraries are built for %s, not for %s",
						manifest->platform_arch, pack->options->arch);
		return false;
	}
	manifest->kind = manifest->extension_count > 0 ? DEPOT_KIND_EXTENSION :
		manifest->module_count > 0 ? DEPOT_KIND_MODULE : DEPOT_KIND_LIBRARY;
	return true;
}

/* Lists every file of the tree; the entries are sorted. */
static bool
describe_files(DepotPack *pack, DepotError *error)
{
	DepotManifest *manifest = pack->manifest;

	manifest->files = calloc((size_t) pack->entry_count + 1, sizeof(*manifest->files));
	if (manifest->files == NULL)
		return out_of_memory(error);
	for (int i = 0; i < pack->entry_count; i++)
	{
		DepotManifestFile *file = &manifest->files[i];

		manifest->file_count = i + 1;
		file->mode = pack->entries[i].mode;
		if (!set_text(&file->path, pack->entries[i].member, error) ||
			!depot_digest_file(pack->tree_fd, file->path, file->sha256, &file->size_bytes, error))
			return false;
	}
	return true;
}

static bool
describe_extensions(DepotPack *pack, DepotError *error)
{
	DepotExtensionFile *files = calloc((size_t) pack->entry_count + 1, sizeof(*files));
	int			file_count = 0;
	bool		ok = true;

	if (files == NULL)
		return out_of_memory(error);
	for (int i = 0; i < pack->entry_count; i++)
	{
		const char *member = pack->entries[i].member;

		if (strncmp(member, EXTENSION_DIRECTORY, strlen(EXTENSION_DIRECTORY)) == 0 &&
			depot_control_parse_file_name(member + strlen(EXTENSION_DIRECTORY), &files[file_count]))
			file_count++;
	}
	for (int i = 0; ok && i < file_count; i++)
	{
		if (files[i].kind == DEPOT_FILE_CONTROL)
			ok = depot_name_check_extension(files[i].extension, error) &&
				describe_extension(pack, files[i].extension, files, file_count, error);
	}
	free(files);
	return ok;
}

static bool
describe_extension(DepotPack *pack, const char *name, const DepotExtensionFile *files,
				   int file_count, DepotError *error)
{
	DepotManifest *manifest = pack->manifest;
	DepotManifestExtension *extension =
	grow(manifest->extensions, manifest->extension_count, sizeof(*extension));
	DepotControl *control = NULL;
	DepotBuffer text;
	char		path[DEPOT_PACK_PATH_BYTES];
	bool		ok = false;

	depot_buffer_init(&text);
	if (extension == NULL)
		return out_of_memory(error);
	manifest->extensions = extension;
	extension += manifest->extension_count++;
	snprintf(path, sizeof(path), EXTENSION_DIRECTORY "%s.control", name);
	if (!set_text(&extension->name, name, error) ||
		!depot_files_read(pack->tree_fd, path, DEPOT_CONTROL_MAX_BYTES, &text, error) ||
		(control = depot_control_parse(text.data == NULL ? "" : text.data, text.length_bytes, path, error)) ==
		NULL ||
		!set_text(&extension->default_version, control->default_version, error) ||
		!depot_control_list_versions(files, file_count, name, &extension->versions, &extension->version_count,
									 error))
		goto done;
	extension->trusted = control->trusted;
	extension->requires = control->requires;
	extension->require_count = control->require_count;
	control->requires = NULL;
	control->require_count = 0;
	if (extension->version_count == 0)
		depot_pack_note(pack, "extension %s has no script to create it from", name);
	ok = true;
done:
	depot_control_free(control);
	depot_buffer_free(&text);
	return ok;
}

/*
 * Tells of scripts that name files of an installed server, as COPY ... FROM '/usr/share/...' does: from a
 * depot they would not find them.
 */
static bool
note_server_paths(const DepotPack *pack, DepotError *error)
{
	const char *first = NULL;
	char		needle[64];
	int			count = 0;

	snprintf(needle, sizeof(needle), "/usr/share/postgresql/%d/extension/", pack->major);
	for (int i = 0; i < pack->entry_count; i++)
	{
		const char *member = pack->entries[i].member;
		size_t		length = strlen(member);
		DepotBuffer text;

		if (strncmp(member, EXTENSION_DIRECTORY, strlen(EXTENSION_DIRECTORY)) != 0 || length < 4 ||
			strcmp(member + length - 4, ".sql") != 0 ||
			pack->manifest->files[i].size_bytes > SCRIPT_LIMIT_BYTES)
			continue;
		depot_buffer_init(&text);
		if (!depot_files_read(pack->tree_fd, member, SCRIPT_LIMIT_BYTES, &text, error))
		{
			depot_buffer_free(&text);
			return false;
		}
		if (text.length_bytes > 0 && memmem(text.data, text.length_bytes, needle, strlen(needle)) != NULL &&
			count++ == 0)
			first = member;
		depot_buffer_free(&text);
	}
	if (count > 0)
		depot_pack_note(pack,
						"%d of the scripts name files in %s, such as %s; they will not find them in a depot",
						count, needle, first);
	return true;
}

static bool
describe_libraries(DepotPack *pack, DepotError *error)
{
	for (int i = 0; i < pack->entry_count; i++)
	{
		const char *path = pack->entries[i].member;
		size_t		length = strlen(path);

		if (strncmp(path, "lib/", 4) == 0 &&
			(strstr(path, ".so.") != NULL || (length > 3 && strcmp(path + length - 3, ".so") == 0)) &&
			!describe_library(pack, path, error))
			return false;
	}
	return true;
}

static bool
describe_library(DepotPack *pack, const char *path, DepotError *error)
{
	DepotManifest *manifest = pack->manifest;
	DepotManifestModule *modules;
	DepotPackElf elf;
	char		name[DEPOT_NAME_MAX_BYTES + 1];
	size_t		length = strlen(path);
	bool		ok = false;
	int			fd = depot_files_open(pack->tree_fd, path, O_RDONLY, 0, error);

	if (fd < 0)
		return false;
	if (!depot_elf_read(fd, path, &elf, error))
	{
		close(fd);
		return false;
	}
	if (manifest->platform_arch != NULL && strcmp(manifest->platform_arch, elf.arch) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" is built for %s, other libraries for %s", path,
						elf.arch, manifest->platform_arch);
		goto done;
	}
	if (!set_text(&manifest->platform_arch, elf.arch, error))
		goto done;
	if (elf.libc_min[0] != '\0' &&
		(manifest->platform_libc_min[0] == '\0' ||
		 depot_version_compare(elf.libc_min, manifest->platform_libc_min) > 0) &&
		!set_text(&manifest->platform_libc_min, elf.libc_min, error))
		goto done;
	for (int i = 0; i < elf.needed_count; i++)
	{
		if (!add_system_library(pack, path, &elf, elf.needed[i], error))
			goto done;
	}
	ok = true;
	/* lib/NAME.so that the server would load: a module. */
	if (!elf.is_module || strchr(path + 4, '/') != NULL || strcmp(path + length - 3, ".so") != 0)
		goto done;
	ok = false;
	snprintf(name, sizeof(name), "%.*s", (int) (length - 7), path + 4);
	if (length - 7 > DEPOT_NAME_MAX_BYTES || !depot_name_is_module(name))
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "a package cannot carry a module of the name \"%s\"",
						path + 4);
		goto done;
	}
	modules = grow(manifest->modules, manifest->module_count, sizeof(*modules));
	if (modules == NULL)
	{
		out_of_memory(error);
		goto done;
	}
	manifest->modules = modules;
	ok = set_text(&modules[manifest->module_count++].name, name, error);
done:
	depot_elf_free(&elf);
	close(fd);
	return ok;
}

/* Adds what neither the package brings nor every server has, in order and once. */
static bool
add_system_library(DepotPack *pack, const char *library, const DepotPackElf *elf, const char *soname,
				   DepotError *error)
{
	DepotManifest *manifest = pack->manifest;
	char	  **libraries;
	char		path[DEPOT_PACK_PATH_BYTES];
	int			place = 0;

	if (depot_elf_is_base_library(soname))
		return true;
	snprintf(path, sizeof(path), "lib/%s", soname);
	if (depot_pack_find(pack, path) != NULL)
		return true;
	snprintf(path, sizeof(path), "lib/private/%s", soname);
	if (depot_pack_find(pack, path) != NULL)
	{
		/* What such a library needs in turn, the loader has found by then. */
		if (elf->finds_private || strncmp(library, "lib/private/", 12) == 0)
			return true;
		depot_pack_note(pack, "%s will not find %s in lib/private: it has no RUNPATH $ORIGIN/private", library,
						soname);
	}
	while (place < manifest->system_library_count && strcmp(manifest->system_libraries[place], soname) < 0)
		place++;
	if (place < manifest->system_library_count && strcmp(manifest->system_libraries[place], soname) == 0)
		return true;
	libraries = grow(manifest->system_libraries, manifest->system_library_count, sizeof(*libraries));
	if (libraries == NULL)
		return out_of_memory(error);
	manifest->system_libraries = libraries;
	memmove(libraries + place + 1, libraries + place,
			sizeof(*libraries) * (size_t) (manifest->system_library_count - place));
	libraries[place] = NULL;
	manifest->system_library_count++;
	return set_text(&libraries[place], soname, error);
}

/* Applies --preload and --required; both must name a module that is there. */
static bool
apply_module_options(DepotPack *pack, DepotError *error)
{
	DepotManifest *manifest = pack->manifest;

	for (int i = 0; i < pack->options->module_count; i++)
	{
		const DepotPackModuleOption *option = &pack->options->modules[i];
		DepotManifestModule *module = NULL;

		for (int j = 0; j < manifest->module_count; j++)
		{
			if (strcmp(manifest->modules[j].name, option->module) == 0)
				module = &manifest->modules[j];
		}
		if (module == NULL)
		{
			depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "there is no module \"%s\" in the package",
							option->module);
			return depot_error_detail(error, "Modules are the files lib/NAME.so that a server can load.");
		}
		if (option->has_preload)
			module->preload = option->preload;
		module->required = module->required || option->required;
	}
	return true;
}
