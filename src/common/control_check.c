/*-------------------------------------------------------------------------
 *
 * control_check.c
 *	  Do the control files and scripts of an unpacked package keep to it?
 *
 * A control file decides what CREATE EXTENSION reads and loads.  So that
 * installing a package can affect no extension but its own, every such file must
 * belong to an extension that the signed manifest names, say what the manifest
 * says, and lead to nothing outside the package.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/name.h"

#define EXTENSION_DIRECTORY "share/extension/"

static const DepotManifestExtension *
find_extension(const DepotManifest *manifest, const char *name)
{
	for (int i = 0; i < manifest->extension_count; i++)
	{
		if (strcmp(manifest->extensions[i].name, name) == 0)
			return &manifest->extensions[i];
	}
	return NULL;
}

/* Is it a name that the server would take for a script or control file, well formed or not? */
static bool
looks_like_extension_file(const char *file_name)
{
	size_t		length = strlen(file_name);

	if (length >= strlen(".control") && strcmp(file_name + length - strlen(".control"), ".control") == 0)
		return true;
	return length >= strlen(".sql") && strcmp(file_name + length - strlen(".sql"), ".sql") == 0 &&
		strstr(file_name, "--") != NULL;
}

bool
depot_control_check_file_name(const char *path, const DepotManifest *manifest, bool *is_extension_file,
							  DepotExtensionFile *file, DepotError *error)
{
	const char *file_name;

	*is_extension_file = false;
	if (strncmp(path, EXTENSION_DIRECTORY, strlen(EXTENSION_DIRECTORY)) != 0)
		return true;
	file_name = path + strlen(EXTENSION_DIRECTORY);
	if (strchr(file_name, '/') != NULL)
		return true;
	if (!depot_control_parse_file_name(file_name, file))
	{
		if (!looks_like_extension_file(file_name))
			return true;
		return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
							   "\"%s\" is not a valid name of a control file or script", path);
	}
	if (find_extension(manifest, file->extension) == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
						"\"%s\" belongs to extension \"%s\", which is not in package \"%s\"", path,
						file->extension, manifest->package);
		return depot_error_detail(
								  error, "A package may carry control files and scripts of its own extensions only.");
	}
	*is_extension_file = true;
	return true;
}

/*
 * Checks that module_pathname stays in the package.  Control files of extensions without a library
 * often keep the line of a template; it does no harm as long as the name is the extension's own.
 */
static bool
check_module_pathname(const DepotManifest *manifest, const char *path, const char *extension,
					  const char *module_pathname, DepotError *error)
{
	const char *name = module_pathname;
	char		module[DEPOT_NAME_MAX_BYTES + 1];
	char		library[DEPOT_NAME_MAX_BYTES + sizeof("lib/.so")];
	char		shown[96];
	size_t		length;

	if (strncmp(name, "$libdir/", strlen("$libdir/")) == 0)
		name += strlen("$libdir/");
	length = strlen(name);
	if (length > strlen(".so") && strcmp(name + length - strlen(".so"), ".so") == 0)
		length -= strlen(".so");
	if (length < sizeof(module))
	{
		memcpy(module, name, length);
		module[length] = '\0';
		snprintf(library, sizeof(library), "lib/%s.so", module);
		if (depot_name_is_module(module) &&
			(depot_manifest_find_file(manifest, library) != NULL || strcmp(module, extension) == 0))
			return true;
	}
	depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
					"\"%s\": \"module_pathname\" is \"%s\", which is no library of this package", path,
					depot_name_printable(module_pathname, shown, sizeof(shown)));
	return depot_error_detail(
							  error, "It must be \"$libdir/NAME\" or \"NAME\", where lib/NAME.so is in the package.");
}

/* Checks what holds for primary and secondary control files. */
static bool
check_control(const DepotManifest *manifest, const char *path, const DepotManifestExtension *extension,
			  const DepotControl *control, DepotError *error)
{
	char		shown[96];

	if (control->directory != NULL)
	{
		depot_error_set(error, DEPOT_ERROR_CONTROL_FILE, "\"%s\": \"directory\" is set to \"%s\"", path,
						depot_name_printable(control->directory, shown, sizeof(shown)));
		return depot_error_detail(error, "Scripts of a package are in share/extension.");
	}
	if (control->trusted && !extension->trusted)
		return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
							   "\"%s\": \"trusted\" is true, but the manifest says that the extension is not", path);
	return control->module_pathname == NULL ||
		check_module_pathname(manifest, path, extension->name, control->module_pathname, error);
}

static bool
check_requires(const char *path, const DepotManifestExtension *extension, const DepotControl *control,
			   DepotError *error)
{
	bool		equal = control->require_count == extension->require_count;

	/* Both lists are without repetitions, so with equal counts one direction is enough. */
	for (int i = 0; equal && i < control->require_count; i++)
	{
		equal = false;
		for (int j = 0; !equal && j < extension->require_count; j++)
			equal = strcmp(control->requires[i], extension->requires[j]) == 0;
	}
	return equal || depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
									"\"%s\": \"requires\" differs from the manifest", path);
}

static bool
check_primary(const char *path, const DepotManifestExtension *extension, const DepotControl *control,
			  DepotError *error)
{
	const char *default_version = control->default_version == NULL ? "" : control->default_version;
	char		shown[96];

	if (strcmp(default_version, extension->default_version) != 0)
		return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
							   "\"%s\": \"default_version\" is \"%s\", but the manifest says \"%s\"", path,
							   depot_name_printable(default_version, shown, sizeof(shown)),
							   extension->default_version);
	if (control->trusted != extension->trusted)
		return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
							   "\"%s\": \"trusted\" differs from the manifest", path);
	return check_requires(path, extension, control, error);
}

static bool
check_control_file(int tree_fd, const DepotManifest *manifest, const char *path,
				   const DepotExtensionFile *file, DepotError *error)
{
	const DepotManifestExtension *extension = find_extension(manifest, file->extension);
	DepotBuffer text;
	DepotControl *control = NULL;
	bool		ok = false;

	depot_buffer_init(&text);
	if (!depot_files_read(tree_fd, path, DEPOT_CONTROL_MAX_BYTES, &text, error))
		goto done;
	control = depot_control_parse(text.data == NULL ? "" : text.data, text.length_bytes, path, error);
	if (control == NULL || !check_control(manifest, path, extension, control, error))
		goto done;
	if (file->kind == DEPOT_FILE_CONTROL)
		ok = check_primary(path, extension, control, error);
	else if (control->default_version != NULL)
		ok = depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
							 "\"%s\": \"default_version\" cannot be set in a secondary control file", path);
	else
		ok = true;

done:
	depot_control_free(control);
	depot_buffer_free(&text);
	return ok;
}

bool
depot_control_check_package(int tree_fd, const DepotManifest *manifest, DepotError *error)
{
	for (int i = 0; i < manifest->file_count; i++)
	{
		const char *path = manifest->files[i].path;
		bool		is_extension_file;
		DepotExtensionFile file;

		/* The manifest's own parser refuses these paths; this is the rule's second lock. */
		if (strncmp(path, "lib/plugins/", strlen("lib/plugins/")) == 0)
			return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE, "file \"%s\" is in lib/plugins/", path);
		if (!depot_control_check_file_name(path, manifest, &is_extension_file, &file, error))
			return false;
		if (is_extension_file &&
			(file.kind == DEPOT_FILE_CONTROL || file.kind == DEPOT_FILE_SECONDARY_CONTROL) &&
			!check_control_file(tree_fd, manifest, path, &file, error))
			return false;
	}
	for (int i = 0; i < manifest->extension_count; i++)
	{
		char		path[sizeof(EXTENSION_DIRECTORY) + DEPOT_NAME_MAX_BYTES + sizeof(".control")];

		snprintf(path, sizeof(path), EXTENSION_DIRECTORY "%s.control", manifest->extensions[i].name);
		if (depot_manifest_find_file(manifest, path) == NULL)
			return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE, "extension \"%s\" has no file \"%s\"",
								   manifest->extensions[i].name, path);
	}
	return true;
}
