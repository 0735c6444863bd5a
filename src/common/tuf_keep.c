/*-------------------------------------------------------------------------
 *
 * tuf_keep.c
 *	  Keeps the signed documents that prove a target of trusted metadata.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/files.h"

/* Documents on their way from trusted metadata to where they are kept. */
typedef struct Keeping
{
	const DepotTufKeep *keep;
	DepotEvidence *evidence;
	int			from_fd;
} Keeping;

static bool keep_roots(const DepotTufClient *client, Keeping *keeping, DepotError *error);
static bool keep_role(const DepotTufClient *client, const Keeping *keeping, const char *role,
					  const DepotTufDocument *document, DepotError *error);
static bool keep_document(const Keeping *keeping, const char *path, const char *role,
						  const DepotTufDocument *document, DepotError *error);

bool
depot_tuf_keep_evidence(const DepotTufClient *client, int metadata_fd, const char *repository,
						const DepotTufTarget *target, const DepotTufKeep *keep, DepotEvidence *evidence,
						DepotError *error)
{
	Keeping		keeping = {.keep = keep, .evidence = evidence, .from_fd = metadata_fd};
	bool		ok;

	memset(evidence, 0, sizeof(*evidence));
	ok = depot_tuf_begin_evidence(evidence, repository, target, client->root.version, error) &&
		keep_roots(client, &keeping, error);
	ok = ok && keep_role(client, &keeping, "targets", &client->targets, error);
	for (const DepotTufDelegated *loaded = client->delegated; loaded != NULL && ok; loaded = loaded->next)
		ok = keep_role(client, &keeping, loaded->name, &loaded->document, error);
	ok = ok && depot_evidence_save(keep->new_fd, DEPOT_EVIDENCE_LIST, evidence, error);
	if (!ok)
		depot_evidence_free(evidence);
	return ok;
}

/* Keeps every root that this server has seen, from the first that leads to the newest without a gap. */
static bool
keep_roots(const DepotTufClient *client, Keeping *keeping, DepotError *error)
{
	const int64_t newest = client->root.version;
	int64_t		first = newest;
	char		path[64];

	while (newest - first < DEPOT_TUF_MAX_ROOT_ROTATIONS && depot_tuf_root_path(first - 1, path) &&
		   depot_files_exists(keeping->from_fd, path))
		first--;
	for (; first < newest; first++)
	{
		const DepotTufDocument older = {.version = first};

		(void) depot_tuf_root_path(first, path);
		if (!keep_document(keeping, path, "root", &older, error))
			return false;
	}
	return keep_document(keeping, "root.json", "root", &client->root, error);
}

/* Keeps the file that the role was loaded from. */
static bool
keep_role(const DepotTufClient *client, const Keeping *keeping, const char *role, const DepotTufDocument *document,
		  DepotError *error)
{
	char		path[DEPOT_TUF_STORED_PATH_BYTES];

	return depot_tuf_store_path(keeping->from_fd, role, client->is_from_whole, path, error) &&
		keep_document(keeping, path, role, document, error);
}

/*
 * Copies a file under the name of its digest, unless it has been kept before.  It must be the one that was
 * verified; of an older root the chain will tell.
 */
static bool
keep_document(const Keeping *keeping, const char *path, const char *role, const DepotTufDocument *document,
			  DepotError *error)
{
	const DepotTufKeep *keep = keeping->keep;
	char		sha256[DEPOT_SHA256_HEX_BYTES];
	char		file[DEPOT_EVIDENCE_FILE_BYTES] = "";
	struct stat status;
	DepotBuffer bytes;
	bool		ok;

	depot_buffer_init(&bytes);
	ok = depot_files_read(keeping->from_fd, path, DEPOT_TUF_TARGETS_MAX_BYTES, &bytes, error);
	if (ok)
	{
		depot_digest_sha256_hex(bytes.data == NULL ? "" : bytes.data, bytes.length_bytes, sha256);
		depot_evidence_file(sha256, file);
		ok = document->sha256[0] == '\0' || strcmp(document->sha256, sha256) == 0 ||
			depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH, "metadata of role \"%s\" changed while it was read",
							role);
	}
	ok = ok && depot_evidence_add(keeping->evidence, role, document->version, sha256, error);
	if (ok && (keep->kept_fd < 0 || fstatat(keep->kept_fd, file, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
			   !S_ISREG(status.st_mode) || (uint64_t) status.st_size != bytes.length_bytes))
		ok = depot_files_write_durable(keep->new_fd, file, bytes.data, bytes.length_bytes, 0600, error);
	depot_buffer_free(&bytes);
	return ok;
}
