/*-------------------------------------------------------------------------
 *
 * trusted_roots.c
 *	  Reads a list of pinned roots: "main = <sha256>, other = /etc/depot/root.json".
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/trusted_roots.h"

#include <stddef.h>
#include <string.h>

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Copies what stands between text and end without the white space around it; false: it does not fit. */
static bool
copy_trimmed(char *out, size_t out_bytes, const char *text, const char *end)
{
	while (text < end && is_space(*text))
		text++;
	while (end > text && is_space(end[-1]))
		end--;
	if ((size_t) (end - text) >= out_bytes)
		return false;
	memcpy(out, text, (size_t) (end - text));
	out[end - text] = '\0';
	return true;
}

/* Takes the next entry off *cursor, which is not empty. */
static bool
take_entry(const char **cursor, DepotTrustedRoot *root, DepotError *error)
{
	const char *text = *cursor;
	const char *end = text + strcspn(text, ",");
	const char *sign = memchr(text, '=', (size_t) (end - text));
	char		entry[80];
	char		shown[80];

	memset(root, 0, sizeof(*root));
	*cursor = *end == ',' ? end + 1 : end;
	if (sign == NULL)
	{
		(void) copy_trimmed(entry, sizeof(entry), text, end - text < 60 ? end : text + 60);
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
							   "\"%s\" is not of the form \"repository = sha256 or path\"",
							   depot_name_printable(entry, shown, sizeof(shown)));
	}
	if (!copy_trimmed(root->repository, sizeof(root->repository), text, sign))
		return depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "a repository name is longer than %d bytes",
							   DEPOT_NAME_MAX_BYTES);
	if (!depot_name_check_package(root->repository, "repository", error))
		return false;
	if (!copy_trimmed(root->path, sizeof(root->path), sign + 1, end))
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
							   "the path for repository \"%s\" is longer than %d bytes", root->repository,
							   DEPOT_TRUSTED_ROOTS_PATH_BYTES - 1);
	if (depot_name_is_sha256(root->path))
	{
		memcpy(root->sha256, root->path, sizeof(root->sha256));
		root->path[0] = '\0';
	}
	return true;
}

static bool
check_path(const DepotTrustedRoot *root, DepotError *error)
{
	if (root->path[0] != '/' || root->path[1] == '\0')
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
							   "what is given for repository \"%s\" is neither 64 lower-case hexadecimal digits nor "
							   "an absolute path", root->repository);
	for (const char *c = root->path; *c != '\0'; c++)
		if ((unsigned char) *c < 0x20 || *c == 0x7F || *c == '"' || *c == '\'')
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								   "the path for repository \"%s\" has a quote or a control character",
								   root->repository);
	return true;
}

/* What of a list is left behind empty entries, so that a comma may end it. */
static const char *
skip_empty(const char *list)
{
	while (is_space(*list) || *list == ',')
		list++;
	return list;
}

bool
depot_trusted_roots_check(const char *list, DepotError *error)
{
	const char *cursor = skip_empty(list);

	while (*cursor != '\0')
	{
		DepotTrustedRoot root;
		DepotTrustedRoot first;

		if (!take_entry(&cursor, &root, error) || (root.sha256[0] == '\0' && !check_path(&root, error)))
			return false;
		/* The first entry of that name is found before this one when there are two. */
		if (depot_trusted_roots_find(list, root.repository, &first) && memcmp(&first, &root, sizeof(root)) != 0)
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "repository \"%s\" has two different roots",
								   root.repository);
		cursor = skip_empty(cursor);
	}
	return true;
}

bool
depot_trusted_roots_has_entries(const char *list)
{
	return *skip_empty(list) != '\0';
}

bool
depot_trusted_roots_find(const char *list, const char *repository, DepotTrustedRoot *root)
{
	const char *cursor = skip_empty(list);
	DepotError	ignored;

	while (*cursor != '\0')
	{
		if (take_entry(&cursor, root, &ignored) && strcmp(root->repository, repository) == 0)
			return true;
		cursor = skip_empty(cursor);
	}
	return false;
}
