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
#include <sys/stat.h>

#include "common/cryptohash.h"
#include "common/files.h"
#include "common/sha2.h"
#include "common/store.h"
#include "lib/stringinfo.h"
#include "server/anchor.h"
#include "server/applied.h"
#include "server/errors.h"

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
