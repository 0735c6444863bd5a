/*-------------------------------------------------------------------------
 *
 * agent_check_package.c
 *	  The check agent: from a downloaded file to an unpacked package.
 *
 * The order is the promise: trusted metadata is verified again from its root,
 * the file is compared with it in length and digest, and only then is the archive
 * opened.  Its manifest decides whether it is unpacked; a member that is not what the
 * manifest says ends that, and nothing is left behind when anything fails.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/agent.h"
#include "cli/agent_check_server.h"
#include "cli/agent_check_target.h"
#include "cli/agent_evidence.h"
#include "common/archive.h"
#include "common/control.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/json.h"
#include "common/manifest.h"
#include "common/name.h"
#include "common/publisher.h"
#include "common/testpoint.h"
#include "common/tuf.h"

#define TREE "tree"

typedef struct PackageCheck
{
	DepotAgent *agent;
	uint64_t	total_bytes;
	const char *repository;
	const char *target;
	const char *sha256;
	const char *role;
	const char *file;
	int64_t		reference_time;
	int64_t		max_unpacked_bytes;
	int64_t		max_package_bytes;
	bool		check_expiry;
	DepotTufKeyTypes key_types;
	DepotAgentServer server;
	uint64_t	length_bytes;	/* as signed */
	char		manifest_sha256[65];	/* as signed */
	DepotManifest *signed_manifest; /* from the target's custom; no files */
	json_t	   *delegation;		/* which let its role sign it; NULL for the top-level role */
} PackageCheck;

static bool
parse_command(const json_t *command, PackageCheck *check, DepotError *error)
{
	const DepotErrorCode code = DEPOT_ERROR_AGENT;

	if (!depot_json_get_string(command, "repository", true, &check->repository, code, error) ||
		!depot_json_get_string(command, "target", true, &check->target, code, error) ||
		!depot_json_get_string(command, "sha256", true, &check->sha256, code, error) ||
		!depot_json_get_string(command, "role", true, &check->role, code, error) ||
		!depot_agent_get_file(command, "file", &check->file, error) ||
		!depot_json_get_integer(command, "reference_time", true, 0, &check->reference_time, code, error) ||
		!depot_json_get_bool(command, "check_expiry", true, &check->check_expiry, code, error) ||
		!depot_json_get_integer(command, "max_unpacked_bytes", true, 1, &check->max_unpacked_bytes, code,
								error) ||
		!depot_json_get_integer(command, "max_package_bytes", true, 1, &check->max_package_bytes, code,
								error) ||
		!depot_agent_get_key_types(command, &check->key_types, error) ||
		!depot_agent_parse_server(command, &check->server, error))
		return false;
	if (!depot_name_is_sha256(check->sha256))
		return depot_error_set(error, code, "member \"sha256\" is not a digest");
	if (!depot_name_is_delegated_role(check->role))
		return depot_error_set(error, code, "member \"role\" is not the name of a delegated role");
	return true;
}

/*----- what was signed ------------------------------------------------------------*/

/* Compares the signed target with what was asked for, and reads its description. */
static bool
use_target(PackageCheck *check, const DepotTufTarget *target, DepotError *error)
{
	json_t	   *custom = target->custom != NULL ? json_object_get(target->custom, "pg_depot") : NULL;
	int64_t		unpacked_bytes = 0;

	if (target->depth > 1)
	{
		/* What it may provide would be for a role to say that nobody has given names to. */
		depot_error_set(error, DEPOT_ERROR_NOT_ALLOWED,
						"it is signed by a role that another publisher's role delegates to");
		return depot_error_hint(error, "The publisher has to sign packages with the keys that the repository's "
								"owner gave the path to.");
	}
	if (strcmp(target->sha256, check->sha256) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
						"the repository lists another build than the one wanted");
		depot_error_detail(error, "Wanted sha256 %s, the signed metadata lists %s.", check->sha256,
						   target->sha256);
		return depot_error_hint(error, "Refresh the repository and try again.");
	}
	if (target->length_bytes > (uint64_t) check->max_package_bytes)
	{
		depot_error_set(error, DEPOT_ERROR_TOO_LARGE,
						"the package has %" PRIu64 " bytes, and %" PRId64 " are allowed",
						target->length_bytes, check->max_package_bytes);
		return depot_error_hint(error, "Raise depot.max_package_size if it is meant to be that large.");
	}
	if (custom == NULL)
		return depot_error_set(error, DEPOT_ERROR_MANIFEST, "the signed target does not describe a package");
	check->signed_manifest = depot_manifest_from_custom(custom, target->path, check->manifest_sha256, error);
	if (check->signed_manifest == NULL ||
		!depot_publisher_check_package(target->delegation, check->signed_manifest, error) ||
		!depot_json_get_integer(custom, "unpacked_bytes", false, 0, &unpacked_bytes, DEPOT_ERROR_MANIFEST,
								error))
		return false;
	check->total_bytes = (uint64_t) unpacked_bytes;
	check->length_bytes = target->length_bytes;
	return true;
}

/* Finds the target in metadata that is verified for this command, or proves it from evidence. */
static bool
find_signed_target(PackageCheck *check, const json_t *command, int job_fd, DepotError *error)
{
	const DepotAgentWanted wanted = {
		.repository = check->repository,
		.path = check->target,
		.reference_time = check->reference_time,
		.check_expiry = check->check_expiry,
		.key_types = check->key_types
	};
	const DepotTufTarget *target;
	const json_t *withdrawn;
	bool		ok;

	if (!depot_tuf_slice_has_path(check->role, check->target))
		return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "it is not among the packages for \"%s\"", check->role);
	target = depot_agent_find_target(check->agent, command, &wanted, job_fd, &withdrawn, error);
	ok = target != NULL && use_target(check, target, error) &&
	/* what is installed already is fetched again without a look at freshness, withdrawn or not */
		(!check->check_expiry || depot_agent_refuse_withdrawn(withdrawn, target, error));
	if (target != NULL)
		check->delegation = json_incref((json_t *) target->delegation);
	if (ok && depot_agent_has_evidence(command) &&
		!depot_channel_send(&check->agent->channel, json_pack("{s:s}", "type", "proved")))
		ok = depot_error_set(error, DEPOT_ERROR_AGENT, "could not tell the leader that the package is proved");
	/* metadata may take ten times its size; given back, it does not add up with what an archive takes */
	depot_agent_forget_target();
	(void) malloc_trim(0);
	return ok;
}

/* Rule A1: length and digest of the whole file, before anything looks into it. */
static bool
verify_file(const PackageCheck *check, int job_fd, DepotError *error)
{
	char		found[DEPOT_SHA256_HEX_BYTES];
	uint64_t	size_bytes = 0;

	if (!depot_digest_file(job_fd, check->file, found, &size_bytes, error))
		return false;
	if (size_bytes != check->length_bytes)
	{
		depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH,
						"the downloaded file is not the one that was signed");
		return depot_error_detail(error, "It has %" PRIu64 " bytes, the signed metadata says %" PRIu64 ".",
								  size_bytes, check->length_bytes);
	}
	if (strcmp(found, check->sha256) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH,
						"the downloaded file is not the one that was signed");
		return depot_error_detail(error, "Its sha256 is %s, the signed metadata says %s.", found,
								  check->sha256);
	}
	return true;
}

/*----- what the archive says of itself -----------------------------------------------*/

/* Compares everything that resolving has used of the signed description with the manifest in the archive. */
static bool
compare_descriptions(const PackageCheck *check, const DepotManifest *manifest, DepotError *error)
{
	json_t	   *described = depot_manifest_custom(check->signed_manifest, check->manifest_sha256, error);
	json_t	   *found = NULL;
	const char *member;
	json_t	   *value;
	bool		ok;

	if (described != NULL)
		found = depot_manifest_custom(manifest, check->manifest_sha256, error);
	ok = found != NULL;
	if (ok)
	{
		json_object_foreach(found, member, value)
		{
			/* a description has no files, so it cannot give their sum again */
			if (strcmp(member, "unpacked_bytes") == 0 ||
				json_equal(value, json_object_get(described, member)))
				continue;
			ok = depot_error_set(error, DEPOT_ERROR_MANIFEST,
								 "the package's manifest does not say what the signed metadata says of it");
			depot_error_detail(error, "They differ in \"%s\".", member);
			break;
		}
	}
	json_decref(described);
	json_decref(found);
	return ok;
}

/*----- reading and unpacking --------------------------------------------------------*/

static bool
report_progress(uint64_t bytes_done, void *context)
{
	PackageCheck *check = context;

	return depot_channel_send_progress(&check->agent->channel, "unpack", bytes_done, check->total_bytes);
}

/* Writes the package to <job>/tree, made anew, and looks at its control files. */
static bool
unpack(PackageCheck *check, int job_fd, int archive_fd, const DepotManifest *manifest,
	   const DepotArchiveLimits *limits, DepotError *error)
{
	int			tree_fd = -1;
	bool		ok = false;

	if (!depot_files_remove_tree(job_fd, TREE, error) ||
		!depot_files_make_directories(job_fd, TREE, 0700, false, error))
		return false;
	tree_fd = depot_files_open_directory(job_fd, TREE, error);
	if (tree_fd < 0)
		goto done;
	ok = depot_archive_unpack(archive_fd, manifest, check->manifest_sha256, limits, tree_fd, report_progress,
							  check, error) &&
		depot_control_check_package(tree_fd, manifest, error);
	if (ok && fsync(job_fd) != 0)
		ok = depot_error_set_errno(error, errno, "could not flush the unpacked package");
done:
	if (tree_fd >= 0)
		(void) close(tree_fd);
	if (!ok)
	{
		DepotError	ignored;

		(void) depot_files_remove_tree(job_fd, TREE, &ignored);
	}
	return ok;
}

/* Reads and unpacks an archive whose digest has been compared. */
static DepotManifest *
read_archive(PackageCheck *check, int job_fd, DepotError *error)
{
	DepotArchiveLimits limits = depot_archive_default_limits;
	DepotManifest *manifest = NULL;
	bool		ok = false;
	int			archive_fd = depot_files_open(job_fd, check->file, O_RDONLY, 0, error);

	if (archive_fd < 0)
		return NULL;
	limits.unpacked_bytes = (uint64_t) check->max_unpacked_bytes;
	if (limits.file_bytes > limits.unpacked_bytes)
		limits.file_bytes = limits.unpacked_bytes;
	manifest = depot_archive_read_manifest(archive_fd, &limits, check->manifest_sha256, error);
	if (manifest == NULL || !compare_descriptions(check, manifest, error) ||
		!depot_publisher_check_package(check->delegation, manifest, error) ||
		!depot_agent_fits_server(manifest, &check->server, error))
		goto done;
	depot_test_point("check_verified");
	ok = unpack(check, job_fd, archive_fd, manifest, &limits, error);
	if (ok)
		depot_test_point("check_unpacked");
done:
	(void) close(archive_fd);
	if (!ok)
	{
		depot_manifest_free(manifest);
		manifest = NULL;
	}
	return manifest;
}

bool
depot_agent_check_package(DepotAgent *agent, const json_t *command, DepotError *error)
{
	PackageCheck check = {.agent = agent};
	DepotManifest *manifest = NULL;
	uint64_t	unpacked_bytes;
	int			job_fd = -1;
	bool		ok = false;

	if (!parse_command(command, &check, error))
		goto done;
	job_fd = depot_agent_open_job(agent, command, error);
	if (job_fd < 0)
		goto done;
	if (!find_signed_target(&check, command, job_fd, error) || !verify_file(&check, job_fd, error))
	{
		char		shown[256];

		depot_error_prefix(error, "target \"%s\"", depot_name_printable(check.target, shown, sizeof(shown)));
		goto done;
	}
	manifest = read_archive(&check, job_fd, error);
	if (manifest == NULL)
	{
		depot_error_prefix(error, "package %s %s", check.signed_manifest->package,
						   check.signed_manifest->version);
		if (error->hint[0] == '\0' && error->code >= DEPOT_ERROR_DIGEST_MISMATCH)
			depot_error_hint(error, "It is signed, but must not be installed; tell the publisher of the repository.");
		goto done;
	}
	unpacked_bytes = depot_manifest_unpacked_bytes(manifest);
	ok = depot_channel_send(&agent->channel,
							json_pack("{s:s, s:s, s:s, s:s, s:i, s:I}", "type", "done",
									  "package", manifest->package, "version", manifest->version,
									  "manifest_sha256", check.manifest_sha256, "files", manifest->file_count,
									  "unpacked_bytes", (json_int_t) unpacked_bytes)) ||
		depot_error_set(error, DEPOT_ERROR_AGENT, "could not tell the leader that the package is ready");
done:
	depot_manifest_free(manifest);
	depot_manifest_free(check.signed_manifest);
	json_decref(check.delegation);
	if (job_fd >= 0)
		(void) close(job_fd);
	return ok;
}
