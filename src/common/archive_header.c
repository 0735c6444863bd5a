/*-------------------------------------------------------------------------
 *
 * archive_header.c
 *	  What one member's header may say (rules A4, A5, A8 and A11 of
 *	  docs/package-format.md).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/archive_internal.h"

#include <string.h>

#include "common/name.h"

#define SPECIAL_MODE_BITS 07000
#define ACL_TYPES (ARCHIVE_ENTRY_ACL_TYPE_POSIX1E | ARCHIVE_ENTRY_ACL_TYPE_NFS4)

static bool
refuse(DepotError *error, const char *shown, const char *problem)
{
	return depot_error_set(error, DEPOT_ERROR_ARCHIVE, "member \"%s\" of the archive %s", shown, problem);
}

static bool
has_parent_part(const char *path)
{
	for (const char *part = path; part != NULL; part = strchr(part, '/'))
	{
		part += strspn(part, "/");
		if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
			return true;
	}
	return false;
}

/* Checks the name; a directory's may end in one slash, which is left out of name. */
static bool
check_name(const char *path, bool is_directory, char name[ARCHIVE_MEMBER_NAME_MAX_BYTES + 1],
		   const char *shown, DepotError *error)
{
	size_t		length = strlen(path);

	if (path[0] == '/')
		return refuse(error, shown, "has an absolute path");
	if (has_parent_part(path))
		return refuse(error, shown, "leaves the directory it is unpacked into");
	if (is_directory && length > 1 && path[length - 1] == '/')
		length--;
	if (length > ARCHIVE_MEMBER_NAME_MAX_BYTES)
		return depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT,
							   "member \"%s\" of the archive has a path of %zu bytes, %d are allowed", shown, length,
							   ARCHIVE_MEMBER_NAME_MAX_BYTES);
	memcpy(name, path, length);
	name[length] = '\0';
	return depot_name_is_relative_path(name) ||
		refuse(error, shown, "has a name other than letters, digits and \"._+-\" between single slashes");
}

static bool
check_type(struct archive_entry *entry, const char *shown, bool *is_directory, DepotError *error)
{
	*is_directory = false;
	if (archive_entry_hardlink(entry) != NULL)
		return refuse(error, shown, "is a hard link");
	switch (archive_entry_filetype(entry))
	{
		case AE_IFREG:
			return true;
		case AE_IFDIR:
			*is_directory = true;
			return true;
		case AE_IFLNK:
			return refuse(error, shown, "is a symbolic link");
		case AE_IFCHR:
		case AE_IFBLK:
			return refuse(error, shown, "is a device");
		case AE_IFIFO:
			return refuse(error, shown, "is a fifo");
		default:
			return refuse(error, shown, "is neither a file nor a directory");
	}
}

static bool
check_attributes(struct archive_entry *entry, const char *shown, DepotError *error)
{
	unsigned long set = 0;
	unsigned long clear = 0;

	if ((archive_entry_mode(entry) & SPECIAL_MODE_BITS) != 0)
		return refuse(error, shown, "has a set-user-ID, set-group-ID or sticky bit");
	if (archive_entry_sparse_count(entry) > 0)
		return refuse(error, shown, "is a sparse file");
	if (archive_entry_xattr_count(entry) > 0)
		return refuse(error, shown, "has extended attributes");
	if ((archive_entry_acl_types(entry) & ACL_TYPES) != 0)
		return refuse(error, shown, "has an access control list");
	archive_entry_fflags(entry, &set, &clear);
	if (set != 0 || clear != 0 || archive_entry_fflags_text(entry) != NULL)
		return refuse(error, shown, "has file flags");
	return true;
}

bool
depot_archive_check_header(struct archive_entry *entry, char name[ARCHIVE_MEMBER_NAME_MAX_BYTES + 1],
						   char shown[ARCHIVE_SHOWN_NAME_BYTES], bool *is_directory, DepotError *error)
{
	const char *path = archive_entry_pathname(entry);

	if (path == NULL)
		return depot_error_set(error, DEPOT_ERROR_ARCHIVE, "a member of the archive has no readable name");
	depot_name_printable(path, shown, ARCHIVE_SHOWN_NAME_BYTES);
	return check_type(entry, shown, is_directory, error) &&
		check_name(path, *is_directory, name, shown, error) &&
		check_attributes(entry, shown, error);
}
