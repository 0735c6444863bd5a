/*-------------------------------------------------------------------------
 *
 * agent_check_tree.c
 *	  The check agent: which files of the served tree does a signature prove?
 *
 * A served tree may have come from anywhere: with a base backup, a restore,
 * pg_rewind, by hand.  Manifests in it are only asked what they claim; one
 * that was signed for this server says which bytes its files must have.  Those
 * of packages that a crash left in staging count too, since some of their
 * files may be served already.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/agent.h"
#include "cli/agent_check_files.h"
#include "cli/agent_check_origin.h"
#include "cli/agent_check_server.h"
#include "common/files.h"
#include "common/json.h"
#include "common/name.h"
#include "common/seal.h"
#include "common/testpoint.h"

#define MANIFEST_SUFFIX ".json"
#define STAGED_MANIFESTS "tree/share/depot"

typedef struct TreeCheck
{
	DepotAgent *agent;
	int			depot_fd;		/* the depot directory */
	DepotLayout layout;
	DepotSeal  *seal;
	DepotAgentServer server;
	DepotAgentOrigins origins;
	bool		is_complete;	/* packages whose files are all sealed are wanted, too */
	bool		is_staged;		/* the manifests that are looked at are in staging */
	json_t	   *proven;			/* members that staged manifests prove: true */
} TreeCheck;

/* One manifest that was found. */
typedef struct TreePackage
{
	char		name[DEPOT_NAME_MAX_BYTES + 1];
	DepotManifest *manifest;
	DepotManifestFile own;		/* the manifest's own file */
	char		own_path[DEPOT_MANIFEST_PATH_BYTES];
	char		digest[DEPOT_SHA256_HEX_BYTES];
	bool		is_own_sealed;
	bool		is_whole;
	bool		is_refused;		/* a file of it is nothing that was ever verified */
} TreePackage;

/* Sends a line, which goes. */
static bool
tell(const TreeCheck *check, json_t *line, DepotError *error)
{
	return depot_channel_send(&check->agent->channel, line) ||
		depot_error_set(error, DEPOT_ERROR_AGENT, "could not tell the server what is verified");
}

static bool
tell_problem(const TreeCheck *check, const char *package, const char *path, const char *problem, DepotError *error)
{
	return tell(check, json_pack("{s:s, s:s, s:s, s:s}", "type", "problem", "package", package, "path", path,
								 "problem", problem), error);
}

/*----- files ---------------------------------------------------------------------------*/

static bool
is_sealed(const TreeCheck *check, const char *member)
{
	char		path[DEPOT_SERVED_PATH_BYTES];
	DepotError	ignored;

	return depot_store_served_path(&check->layout, member, path, &ignored) &&
		depot_seal_holds(check->seal, check->depot_fd, path);
}

/*
 * Compares what is served of a member with what was signed.  A sealed file was verified beside a manifest that is
 * sealed; beside another one it may be of another version, of an update that a crash interrupted.
 */
static bool
check_member(TreeCheck *check, TreePackage *package, const DepotManifestFile *member, DepotError *error)
{
	char		path[DEPOT_SERVED_PATH_BYTES];
	const char *problem = NULL;
	bool		is_verified = is_sealed(check, member->path);

	if (is_verified && package->is_own_sealed)
		return true;
	if (!depot_store_served_path(&check->layout, member->path, path, error) ||
		!depot_agent_examine_file(check->depot_fd, path, member, &problem, error))
		return false;
	if (problem == NULL && check->is_staged && json_object_set_new(check->proven, member->path, json_true()) != 0)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	if (problem == NULL)
		return tell(check, json_pack("{s:s, s:s}", "type", "file", "path", member->path), error);
	package->is_whole = false;
	if (check->is_staged || is_verified || json_object_get(check->proven, member->path) != NULL ||
		strcmp(problem, DEPOT_AGENT_FILE_MISSING) == 0)
		return true;
	package->is_refused = true;
	return tell_problem(check, package->name, member->path, problem, error);
}

/* Of a package with a file that is refused, nothing new shall be created. */
static bool
withhold_control_files(const TreeCheck *check, const DepotManifest *manifest, DepotError *error)
{
	for (int i = 0; i < manifest->file_count; i++)
	{
		const char *path = manifest->files[i].path;
		const char *suffix = strrchr(path, '.');

		if (strncmp(path, "share/extension/", strlen("share/extension/")) == 0 &&
			suffix != NULL && strcmp(suffix, ".control") == 0 &&
			!tell(check, json_pack("{s:s, s:s}", "type", "withhold", "path", path), error))
			return false;
	}
	return true;
}

/*----- packages ------------------------------------------------------------------------*/

static bool
are_files_sealed(const TreeCheck *check, const DepotManifest *manifest)
{
	for (int i = 0; i < manifest->file_count; i++)
		if (!is_sealed(check, manifest->files[i].path))
			return false;
	return true;
}

/* Reads what a manifest claims, and whether a signature proves it; false with the reason. */
static bool
prove_package(TreeCheck *check, TreePackage *package, const DepotBuffer *text, DepotError *reason)
{
	char		sha256[DEPOT_SHA256_HEX_BYTES];

	depot_digest_sha256_hex(text->data, text->length_bytes, sha256);
	package->manifest = depot_manifest_parse(text->data, text->length_bytes, reason);
	if (package->manifest == NULL)
		return false;
	if (strcmp(package->manifest->package, package->name) != 0)
		return depot_error_set(reason, DEPOT_ERROR_MANIFEST, "its manifest is that of package \"%s\"",
							   package->manifest->package);
	depot_manifest_path(package->name, package->own_path);
	package->own.path = package->own_path;
	package->own.size_bytes = text->length_bytes;
	package->own.mode = 0644;
	memcpy(package->own.sha256, sha256, sizeof(package->own.sha256));
	return depot_agent_find_origin(&check->origins, package->manifest, sha256, package->digest, reason) &&
		depot_agent_fits_server(package->manifest, &check->server, reason);
}

/* Compares all files of a package whose manifest is proven. */
static bool
check_files(TreeCheck *check, TreePackage *package, DepotError *error)
{
	const DepotManifest *manifest = package->manifest;

	package->is_own_sealed = !check->is_staged && is_sealed(check, package->own_path);
	package->is_whole = true;
	for (int i = 0; i < manifest->file_count; i++)
		if (!check_member(check, package, &manifest->files[i], error))
			return false;
	if (!check_member(check, package, &package->own, error))
		return false;
	if (package->is_refused && !withhold_control_files(check, manifest, error))
		return false;
	return check->is_staged ||
		tell(check, json_pack("{s:s, s:s, s:s, s:s, s:b}", "type", "package", "package", package->name,
							  "digest", package->digest, "manifest_sha256", package->own.sha256,
							  "whole", (int) package->is_whole), error);
}

/* Nothing is said of a package that is sealed as a whole, unless all are wanted. */
static bool
is_skipped(const TreeCheck *check, const TreePackage *package, const DepotBuffer *text)
{
	DepotManifest *manifest;
	char		member[DEPOT_MANIFEST_PATH_BYTES];
	DepotError	ignored;
	bool		is_whole;

	depot_manifest_path(package->name, member);
	if (check->is_complete || check->is_staged || !is_sealed(check, member))
		return false;
	manifest = depot_manifest_parse(text->data, text->length_bytes, &ignored);
	is_whole = manifest != NULL && are_files_sealed(check, manifest);
	depot_manifest_free(manifest);
	return is_whole;
}

/*
 * Tells why a package is not proven.  What its manifest claims helps to say whose files they are; those that are
 * sealed, or that another manifest proves, stay.
 */
static bool
refuse_package(const TreeCheck *check, const TreePackage *package, const char *reason, DepotError *error)
{
	char		own[DEPOT_MANIFEST_PATH_BYTES];

	depot_manifest_path(package->name, own);
	if (!is_sealed(check, own) && !tell_problem(check, package->name, own, reason, error))
		return false;
	for (int i = 0; package->manifest != NULL && i < package->manifest->file_count; i++)
		if (!is_sealed(check, package->manifest->files[i].path) &&
			!tell_problem(check, package->name, package->manifest->files[i].path, reason, error))
			return false;
	return true;
}

/* Checks the package of one manifest; what is wrong with that is told, and no error. */
static bool
check_package(TreeCheck *check, TreePackage *package, const DepotBuffer *text, DepotError *error)
{
	DepotError	reason = {0};
	bool		ok;

	if (is_skipped(check, package, text))
		return true;
	if (prove_package(check, package, text, &reason))
		ok = check_files(check, package, error);
	else if (reason.code == DEPOT_ERROR_OUT_OF_MEMORY)
	{
		*error = reason;
		ok = false;
	}
	else
		ok = check->is_staged || refuse_package(check, package, reason.message, error);
	depot_manifest_free(package->manifest);
	return ok;
}

/* A DepotFilesVisit over a directory of manifests. */
static bool
visit_manifest(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
			   DepotError *error)
{
	TreeCheck  *check = context;
	TreePackage package = {0};
	DepotBuffer text;
	size_t		length = strlen(path);
	bool		ok;

	(void) size_bytes;
	if (!S_ISREG(mode) || length <= strlen(MANIFEST_SUFFIX) ||
		length - strlen(MANIFEST_SUFFIX) >= sizeof(package.name) ||
		strcmp(path + length - strlen(MANIFEST_SUFFIX), MANIFEST_SUFFIX) != 0)
		return true;
	memcpy(package.name, path, length - strlen(MANIFEST_SUFFIX));
	if (!depot_name_is_package(package.name))
		return true;
	depot_buffer_init(&text);
	ok = depot_files_read(directory_fd, path, DEPOT_MANIFEST_MAX_BYTES, &text, error);
	if (ok)
		ok = check_package(check, &package, &text, error);
	else if (error->code == DEPOT_ERROR_TOO_LARGE)
		ok = true;
	depot_buffer_free(&text);
	return ok;
}

/* Visits the manifests below one directory, which may be absent. */
static bool
visit_manifests(TreeCheck *check, int directory_fd, const char *path, DepotError *error)
{
	return !depot_files_exists(directory_fd, path) ||
		depot_files_walk(directory_fd, path, visit_manifest, check, error);
}

/* Visits what a crash left in staging; a job that cannot be read proves nothing. */
static bool
visit_staged(TreeCheck *check, DepotError *error)
{
	struct dirent *entry;
	DIR		   *staging;
	DepotError	ignored;
	bool		ok = true;
	int			fd = depot_files_open_directory(check->depot_fd, DEPOT_STAGING, error);

	if (fd < 0)
		return false;
	staging = fdopendir(fd);
	if (staging == NULL)
	{
		(void) close(fd);
		return depot_error_set_errno(error, errno, "could not read directory \"%s\"", DEPOT_STAGING);
	}
	check->is_staged = true;
	while (ok && (entry = readdir(staging)) != NULL)
	{
		char		path[sizeof(entry->d_name) + sizeof(STAGED_MANIFESTS) + 1];

		if (strlen(entry->d_name) != DEPOT_JOB_NAME_BYTES - 1)
			continue;
		snprintf(path, sizeof(path), "%s/" STAGED_MANIFESTS, entry->d_name);
		if (!visit_manifests(check, dirfd(staging), path, &ignored))
			ok = ignored.code != DEPOT_ERROR_AGENT && ignored.code != DEPOT_ERROR_OUT_OF_MEMORY;
	}
	if (!ok)
		*error = ignored;
	check->is_staged = false;
	(void) closedir(staging);
	return ok;
}

/*----- the command ---------------------------------------------------------------------*/

static bool
open_tree(TreeCheck *check, const json_t *command, DepotError *error)
{
	const char *stamp;

	if (!depot_agent_parse_layout(command, &check->layout, error) ||
		!depot_agent_parse_server(command, &check->server, error) ||
		!depot_json_get_string(command, "stamp", true, &stamp, DEPOT_ERROR_AGENT, error) ||
		!depot_json_get_string(command, "trusted_roots", true, &check->origins.trusted_roots, DEPOT_ERROR_AGENT,
							   error) ||
		!depot_json_get_bool(command, "complete", true, &check->is_complete, DEPOT_ERROR_AGENT, error))
		return false;
	check->depot_fd = depot_agent_open_depot(check->agent, error);
	if (check->depot_fd < 0)
		return false;
	check->seal = depot_seal_read(check->depot_fd, stamp);
	check->proven = json_object();
	return (check->seal != NULL && check->proven != NULL) ||
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

bool
depot_agent_check_verify_tree(DepotAgent *agent, const json_t *command, DepotError *error)
{
	TreeCheck	check = {.agent = agent, .depot_fd = -1, .origins = {.agent = agent}};
	char		manifests[DEPOT_SERVED_PATH_BYTES];
	bool		ok;

	depot_test_point("check_tree");
	ok = open_tree(&check, command, error) && visit_staged(&check, error) &&
		depot_store_served_path(&check.layout, "share/depot", manifests, error) &&
		visit_manifests(&check, check.depot_fd, manifests, error) &&
		tell(&check, json_pack("{s:s}", "type", "done"), error);
	depot_agent_forget_origins(&check.origins);
	depot_seal_free(check.seal);
	json_decref(check.proven);
	if (check.depot_fd >= 0)
		(void) close(check.depot_fd);
	return ok;
}
