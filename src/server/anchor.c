/*-------------------------------------------------------------------------
 *
 * anchor.c
 *	  Which trust anchor the trusted metadata of a repository began with.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/cryptohash.h"
#include "common/files.h"
#include "common/sha2.h"
#include "common/store.h"
#include "common/trusted_roots.h"
#include "common/tuf_limits.h"
#include "lib/stringinfo.h"
#include "server/anchor.h"
#include "server/applied.h"
#include "server/errors.h"
#include "server/settings.h"
#include "storage/fd.h"

/* Digest of the root that a repository's trusted metadata began with, beside it. */
#define ANCHOR_FILE "anchor"
#define ANCHOR_MAX_BYTES ((size_t) 64)

/* Appends the sha256 of text, in hexadecimal digits. */
static void
append_sha256(StringInfo out, const char *text, size_t length)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	bool		ok = context != NULL && pg_cryptohash_init(context) >= 0 &&
	pg_cryptohash_update(context, (const uint8 *) text, length) >= 0 &&
	pg_cryptohash_final(context, digest, sizeof(digest)) >= 0;

	pg_cryptohash_free(context);
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not compute a digest")));
	for (size_t i = 0; i < sizeof(digest); i++)
		appendStringInfo(out, "%02x", digest[i]);
}

/* A root as a file may hold it: as it is, and without and with a newline at the end. */
#define FORMS 3

static void
digests_of_root(const char *root, size_t length, char *digests[FORMS])
{
	StringInfoData form;
	StringInfoData digest;

	initStringInfo(&form);
	appendBinaryStringInfo(&form, root, (int) length);
	for (int i = 0; i < FORMS; i++)
	{
		initStringInfo(&digest);
		append_sha256(&digest, form.data, (size_t) form.len);
		digests[i] = digest.data;
		while (i == 0 && form.len > 0 && isspace((unsigned char) form.data[form.len - 1]))
			form.len--;
		if (i == 1)
			appendStringInfoChar(&form, '\n');
	}
}

/*
 * One anchor in either form: the digest of the first root.  A root that was given as text counts as the file it
 * was read from, whose last newline psql's backticks take away.
 */
static char *
anchor_of(const DepotRepositoryRow *row)
{
	StringInfoData root;
	StringInfoData anchor;

	if (row->root_sha256 != NULL)
		return pstrdup(row->root_sha256);
	initStringInfo(&root);
	initStringInfo(&anchor);
	appendStringInfoString(&root, row->trusted_root);
	while (root.len > 0 && isspace((unsigned char) root.data[root.len - 1]))
		root.len--;
	appendStringInfoChar(&root, '\n');
	append_sha256(&anchor, root.data, (size_t) root.len);
	return anchor.data;
}

/* Reads the anchor of a metadata directory; NULL when there is none. */
static char *
read_anchor(const char *directory)
{
	DepotBuffer buffer;
	DepotError	error;
	char	   *anchor = NULL;

	depot_buffer_init(&buffer);
	if (depot_files_read(depot_applied_root_fd(), psprintf("%s/" ANCHOR_FILE, directory), ANCHOR_MAX_BYTES,
						 &buffer, &error) && buffer.length_bytes > 0)
		anchor = pnstrdup(buffer.data, buffer.length_bytes);
	depot_buffer_free(&buffer);
	return anchor;
}

/* Where metadata waits that began with an anchor other than the present one of its name. */
static char *
waiting_directory(const char *name, const char *anchor)
{
	char	   *both = psprintf("%s %s", name, anchor);
	StringInfoData digest;

	initStringInfo(&digest);
	append_sha256(&digest, both, strlen(both));
	return psprintf("%s/~%.16s", DEPOT_METADATA, digest.data);
}

bool
depot_anchor_prepare(const DepotRepositoryRow *row)
{
	const char *name = row->name;
	char	   *anchor = anchor_of(row);
	char	   *directory = psprintf("%s/%s", DEPOT_METADATA, name);
	char	   *present = read_anchor(directory);
	char	   *waiting = waiting_directory(name, anchor);
	int			root_fd = depot_applied_root_fd();
	DepotError	error;

	if (present != NULL && strcmp(present, anchor) == 0)
		return false;
	if (present != NULL)
	{
		char	   *aside = waiting_directory(name, present);

		if (!depot_files_remove_tree(root_fd, aside, &error) ||
			!depot_files_rename(root_fd, directory, root_fd, aside, &error))
			depot_errors_raise(ERROR, &error);
	}
	else if (!depot_files_remove_tree(root_fd, directory, &error))
		depot_errors_raise(ERROR, &error);
	if (depot_files_exists(root_fd, waiting))
	{
		if (!depot_files_rename(root_fd, waiting, root_fd, directory, &error) ||
			!depot_files_fsync(root_fd, DEPOT_METADATA, &error))
			depot_errors_raise(ERROR, &error);
		return false;
	}
	if (!depot_files_make_directories(root_fd, directory, S_IRWXU, true, &error) ||
		!depot_files_write_durable(root_fd, psprintf("%s/" ANCHOR_FILE, directory), anchor, strlen(anchor),
								   S_IRUSR | S_IWUSR, &error))
		depot_errors_raise(ERROR, &error);
	return true;
}

/* Reads the file of a pinned root.  It is the administrator's, so a link may lead to it. */
static void
read_pinned_file(const char *repository, const char *path, DepotAnchor *anchor)
{
	char	   *bytes = palloc(DEPOT_TUF_ROOT_MAX_BYTES + 1);
	struct stat status;
	ssize_t		length = -1;
	DepotError	error;
	int			fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);

	if (fd >= 0 && fstat(fd, &status) == 0)
	{
		if (!S_ISREG(status.st_mode))
			errno = EINVAL;
		else if (status.st_size > DEPOT_TUF_ROOT_MAX_BYTES)
			errno = EFBIG;
		else
			length = pg_pread(fd, bytes, DEPOT_TUF_ROOT_MAX_BYTES + 1, 0);
	}
	if (length < 0)
	{
		depot_error_set_errno(&error, errno, "repository \"%s\": could not read its pinned root \"%s\"", repository,
							  path);
		depot_error_hint(&error, "Correct \"depot.trusted_roots\" or the file; until then the repository is not used.");
		depot_errors_raise(ERROR, &error);
	}
	CloseTransientFile(fd);
	anchor->root = bytes;
	anchor->root_bytes = (size_t) length;
}

/* Whether one of the forms of one root is one of the other's. */
static bool
has_common_digest(char *const *a, char *const *b)
{
	for (int i = 0; i < FORMS; i++)
		for (int j = 0; j < FORMS; j++)
			if (strcmp(a[i], b[j]) == 0)
				return true;
	return false;
}

/*
 * Where the configuration says whom to trust, a row that replication or a restore brought does not add to that; what a
 * superuser has added on this server does.
 */
static void
refuse_unnamed(const char *repository)
{
	DepotError	error;

	if (!depot_trusted_roots_has_entries(depot_settings_trusted_roots) ||
		(!RecoveryInProgress() &&
		 depot_files_exists(depot_applied_root_fd(), psprintf(DEPOT_METADATA "/%s/" ANCHOR_FILE, repository))))
		return;
	depot_error_set(&error, DEPOT_ERROR_ROOT_INVALID, "repository \"%s\" is not among \"depot.trusted_roots\"",
					repository);
	depot_error_detail(&error, "It was not added on this server: its row came by replication or was restored.");
	depot_error_hint(&error, "If it is to be trusted, pin its root there and reload the configuration.");
	depot_errors_raise(ERROR, &error);
}

void
depot_anchor_resolve(const DepotRepositoryRow *row, DepotAnchor *anchor)
{
	char	   *recorded[FORMS] = {pstrdup(row->root_sha256 != NULL ? row->root_sha256 : "")};
	char	   *pinned[FORMS];
	const char *name = row->pinned_as != NULL ? row->pinned_as : row->name;
	DepotTrustedRoot pin;
	DepotError	error;

	memset(anchor, 0, sizeof(*anchor));
	anchor->root = row->trusted_root;
	anchor->root_bytes = row->trusted_root != NULL ? strlen(row->trusted_root) : 0;
	anchor->sha256 = row->root_sha256;
	if (!depot_trusted_roots_check(depot_settings_trusted_roots, &error))
	{
		depot_error_prefix(&error, "no repository is used, since \"depot.trusted_roots\" cannot be read");
		depot_error_hint(&error, "Correct it in the configuration file and reload that.");
		depot_errors_raise(ERROR, &error);
	}
	if (!depot_trusted_roots_find(depot_settings_trusted_roots, name, &pin))
	{
		refuse_unnamed(name);
		return;
	}

	anchor->is_pinned = true;
	recorded[1] = recorded[2] = recorded[0];
	if (row->trusted_root != NULL)
		digests_of_root(row->trusted_root, strlen(row->trusted_root), recorded);
	pinned[0] = pinned[1] = pinned[2] = pin.sha256;
	if (pin.path[0] != '\0')
	{
		read_pinned_file(row->name, pin.path, anchor);
		digests_of_root(anchor->root, anchor->root_bytes, pinned);
		anchor->sha256 = NULL;
	}
	/* A repository that was dropped has but what the configuration says. */
	if (row->trusted_root == NULL && row->root_sha256 == NULL)
	{
		anchor->sha256 = pin.path[0] == '\0' ? pstrdup(pin.sha256) : NULL;
		return;
	}
	if (has_common_digest(recorded, pinned))
		return;
	depot_error_set(&error, DEPOT_ERROR_ROOT_INVALID,
					"repository \"%s\" was added with another trusted root than \"depot.trusted_roots\" pins",
					row->name);
	depot_error_detail(&error, "It was added with sha256 %s; pinned is %s%s%s.", recorded[2], pinned[0],
					   pin.path[0] != '\0' ? ", of file " : "", pin.path);
	depot_error_hint(&error, "If the pinned root is right, drop the repository and add it again with that root; else "
					 "correct the setting and reload the configuration.");
	depot_errors_raise(ERROR, &error);
}
