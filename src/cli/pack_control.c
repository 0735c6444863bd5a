/*-------------------------------------------------------------------------
 *
 * pack_control.c
 *	  Control files become what the format carries.
 *
 * Signed files are never altered on a server, so what has to change is changed here,
 * and each changed control file says in a comment what its line was.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pack.h"
#include "common/control.h"

#define EXTENSION_DIRECTORY "share/extension/"

static bool share_member(const DepotPack *pack, const char *path, char member[DEPOT_PACK_PATH_BYTES]);
static bool apply_alternative(const char *link, const char *path, void *context, DepotError *error);
static bool flatten_control(DepotPack *pack, int index, const char *extension, DepotError *error);
static bool move_scripts(DepotPack *pack, const char *extension, const char *directory, DepotError *error);
static bool rewrite_control(DepotPackEntry *entry, const char *text, bool strip_libdir, DepotError *error);
static bool line_sets(const char *line, const char *parameter);

/* Turns "/usr/share/postgresql/15/extension/x" into "share/extension/x"; false for a path elsewhere. */
static bool
share_member(const DepotPack *pack, const char *path, char member[DEPOT_PACK_PATH_BYTES])
{
	char		prefix[64];
	size_t		length = (size_t) snprintf(prefix, sizeof(prefix), "/usr/share/postgresql/%d/", pack->major);

	return strncmp(path, prefix, length) == 0 &&
		snprintf(member, DEPOT_PACK_PATH_BYTES, "share/%s", path + length) < DEPOT_PACK_PATH_BYTES;
}

static bool
apply_alternative(const char *link, const char *path, void *context, DepotError *error)
{
	DepotPack  *pack = context;
	DepotPackEntry *entry;
	char		link_member[DEPOT_PACK_PATH_BYTES];
	char		path_member[DEPOT_PACK_PATH_BYTES];

	/* Programs and manual pages have alternatives too. */
	if (!share_member(pack, link, link_member) || !share_member(pack, path, path_member) ||
		depot_pack_find(pack, link_member) != NULL)
		return true;
	entry = depot_pack_find(pack, path_member);
	if (entry == NULL)
		return true;
	depot_pack_note(pack, "%s is packed as %s, the name its Debian package links to it", path_member,
					link_member);
	return depot_pack_rename(entry, link_member, error);
}

bool
depot_pack_apply_alternatives(DepotPack *pack, DepotError *error)
{
	for (int i = 0; i < pack->deb_count; i++)
	{
		if (pack->debs[i].postinst != NULL &&
			!depot_postinst_visit_alternatives(pack->debs[i].postinst, apply_alternative, pack, error))
			return false;
	}
	return true;
}

bool
depot_pack_flatten_controls(DepotPack *pack, DepotError *error)
{
	for (int i = 0; i < pack->entry_count; i++)
	{
		const char *member = pack->entries[i].member;
		DepotExtensionFile file;

		if (strncmp(member, EXTENSION_DIRECTORY, strlen(EXTENSION_DIRECTORY)) == 0 &&
			depot_control_parse_file_name(member + strlen(EXTENSION_DIRECTORY), &file) &&
			file.kind == DEPOT_FILE_CONTROL &&
			!flatten_control(pack, i, file.extension, error))
			return false;
	}
	return true;
}

static bool
flatten_control(DepotPack *pack, int index, const char *extension, DepotError *error)
{
	DepotPackEntry *entry = &pack->entries[index];
	DepotControl *control = NULL;
	DepotBuffer text;
	bool		strip_libdir;
	bool		ok = false;

	depot_buffer_init(&text);
	if (!depot_pack_read_entry(pack, entry, DEPOT_CONTROL_MAX_BYTES, &text, error))
	{
		depot_error_prefix(error, "control file \"%s\"", entry->member);
		goto done;
	}
	control = depot_control_parse(text.data, text.length_bytes, entry->member, error);
	if (control == NULL)
		goto done;

	/* PostgreSQL 18 finds a library on dynamic_library_path by its bare name only. */
	strip_libdir = pack->major >= 18 && control->module_pathname != NULL &&
		strncmp(control->module_pathname, "$libdir/", 8) == 0;
	if (control->directory == NULL && !strip_libdir)
	{
		ok = true;
		goto done;
	}
	if (control->directory != NULL)
	{
		depot_pack_note(pack, "%s: directory = '%s' is dropped, the scripts are packed in share/extension",
						entry->member, control->directory);
		if (!move_scripts(pack, extension, control->directory, error))
		{
			depot_error_prefix(error, "control file \"%s\"", entry->member);
			goto done;
		}
	}
	if (strip_libdir)
		depot_pack_note(pack, "%s: module_pathname '%s' becomes '%s'", entry->member,
						control->module_pathname, control->module_pathname + 8);
	ok = rewrite_control(entry, text.data, strip_libdir, error);
done:
	depot_control_free(control);
	depot_buffer_free(&text);
	return ok;
}

/* Moves the scripts and secondary control files of extension from a control file's directory. */
static bool
move_scripts(DepotPack *pack, const char *extension, const char *directory, DepotError *error)
{
	char		prefix[DEPOT_PACK_PATH_BYTES];
	char		member[DEPOT_PACK_PATH_BYTES];
	size_t		length;

	if (directory[0] == '/')
	{
		if (!share_member(pack, directory, prefix))
		{
			depot_error_set(error, DEPOT_ERROR_CONTROL_FILE,
							"its directory is outside the server's share directory");
			return depot_error_detail(error, "The directory is \"%s\".", directory);
		}
	}
	else if (snprintf(prefix, sizeof(prefix), "share/%s", directory) >= (int) sizeof(prefix))
		return depot_error_set(error, DEPOT_ERROR_CONTROL_FILE, "its directory is too long");
	length = strlen(prefix);
	while (length > 0 && prefix[length - 1] == '/')
		length--;
	for (int i = 0; i < pack->entry_count; i++)
	{
		DepotPackEntry *entry = &pack->entries[i];
		DepotExtensionFile file;

		if (strncmp(entry->member, prefix, length) != 0 || entry->member[length] != '/' ||
			!depot_control_parse_file_name(entry->member + length + 1, &file) ||
			strcmp(file.extension, extension) != 0 || file.kind == DEPOT_FILE_CONTROL)
			continue;
		snprintf(member, sizeof(member), EXTENSION_DIRECTORY "%s", entry->member + length + 1);
		if (strcmp(member, entry->member) != 0 && !depot_pack_rename(entry, member, error))
			return false;
	}
	return true;
}

/* Whether a line of a control file gives parameter a value. */
static bool
line_sets(const char *line, const char *parameter)
{
	size_t		length = strlen(parameter);

	line += strspn(line, " \t");
	return strncmp(line, parameter, length) == 0 && strchr(" \t=", line[length]) != NULL;
}

static bool
rewrite_control(DepotPackEntry *entry, const char *text, bool strip_libdir, DepotError *error)
{
	DepotBuffer out;
	bool		ok;

	depot_buffer_init(&out);
	while (*text != '\0')
	{
		size_t		length = strcspn(text, "\r\n");
		const char *libdir = NULL;

		if (line_sets(text, "directory"))
			depot_buffer_append_format(&out, "# packed for a depot without: %.*s", (int) length, text);
		else
		{
			if (strip_libdir && line_sets(text, "module_pathname"))
				libdir = strstr(text, "$libdir/");
			if (libdir != NULL && libdir < text + length)
			{
				depot_buffer_append_format(&out, "# packed for a depot, was: %.*s\n", (int) length, text);
				depot_buffer_append(&out, text, (size_t) (libdir - text));
				depot_buffer_append(&out, libdir + 8, length - (size_t) (libdir + 8 - text));
			}
			else
				depot_buffer_append(&out, text, length);
		}
		text += length;
		length = strspn(text, "\r\n");
		depot_buffer_append(&out, text, length);
		text += length;
	}
	if (out.failed)
		ok = depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	else
		ok = depot_pack_set_text(entry, out.data == NULL ? "" : out.data, out.length_bytes, error);
	depot_buffer_free(&out);
	return ok;
}

bool
depot_pack_drop_orphans(DepotPack *pack, DepotError *error)
{
	char		first[DEPOT_PACK_PATH_BYTES] = "";
	bool		any_control = false;

	for (int i = pack->entry_count - 1; i >= 0; i--)
	{
		const char *member = pack->entries[i].member;
		DepotExtensionFile file;

		if (strncmp(member, EXTENSION_DIRECTORY, strlen(EXTENSION_DIRECTORY)) != 0 ||
			!depot_control_parse_file_name(member + strlen(EXTENSION_DIRECTORY), &file))
			continue;
		if (file.kind == DEPOT_FILE_CONTROL)
			any_control = true;
		else if (!depot_pack_has_extension(pack, file.extension))
		{
			snprintf(first, sizeof(first), "%s", member);
			depot_pack_count_drop(pack, DEPOT_DROP_SCRIPT, member);
			depot_pack_remove(pack, i);
		}
	}
	if (first[0] == '\0' || any_control)
		return true;
	depot_error_set(error, DEPOT_ERROR_PACKAGE, "there is no control file for the script \"%.300s\"", first);
	return depot_error_hint(error, "Debian splits some extensions; give all their packages, such as NAME and "
							"NAME-scripts, together.");
}
