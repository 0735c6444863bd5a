/*-------------------------------------------------------------------------
 *
 * agent_check_files.c
 *	  The check agent: compares a served package with its signed manifest.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/agent.h"
#include "cli/agent_check_files.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/json.h"
#include "common/manifest.h"
#include "common/name.h"
#include "common/store.h"

typedef struct FileCheck
{
	DepotAgent *agent;
	int			depot_fd;		/* the depot directory */
	DepotLayout layout;
	int			problem_count;
} FileCheck;

static bool
report_problem(FileCheck *check, const char *path, const char *problem, DepotError *error)
{
	check->problem_count++;
	return depot_channel_send(&check->agent->channel,
							  json_pack("{s:s, s:s, s:s}", "type", "problem", "path", path, "problem",
										problem)) ||
		depot_error_set(error, DEPOT_ERROR_AGENT, "could not tell the leader of a problem");
}

/*
 * Looks at a served path part by part.  *problem is set when a part is absent, or is no directory where one
 * must be (then what was below it is gone); *status is of the last part otherwise.
 */
static bool
find_file(int depot_fd, const char *path, struct stat *status, const char **problem,
		  DepotError *error)
{
	char		prefix[DEPOT_SERVED_PATH_BYTES];

	*problem = NULL;
	for (const char *end = path; *end != '\0';)
	{
		end += strspn(end, "/");
		end += strcspn(end, "/");
		memcpy(prefix, path, (size_t) (end - path));
		prefix[end - path] = '\0';
		if (fstatat(depot_fd, prefix, status, AT_SYMLINK_NOFOLLOW) != 0)
		{
			if (errno != ENOENT && errno != ENOTDIR)
				return depot_error_set_errno(error, errno, "could not examine \"%s\"", prefix);
			*problem = DEPOT_AGENT_FILE_MISSING;
			return true;
		}
		if (*end != '\0' && !S_ISDIR(status->st_mode))
		{
			*problem = DEPOT_AGENT_FILE_MISSING;
			return true;
		}
	}
	return true;
}

bool
depot_agent_examine_file(int depot_fd, const char *path, const DepotManifestFile *file, const char **problem,
						 DepotError *error)
{
	char		found[DEPOT_SHA256_HEX_BYTES];
	struct stat status = {0};

	if (!find_file(depot_fd, path, &status, problem, error))
		return false;
	if (*problem != NULL)
		return true;
	if (!S_ISREG(status.st_mode))
		*problem = "not a regular file";
	else if ((uint64_t) status.st_size != file->size_bytes)
		*problem = "wrong size";
	else if ((status.st_mode & 07777) != file->mode)
		*problem = "wrong mode";
	else if (!depot_digest_file(depot_fd, path, found, NULL, error))
		return false;
	else if (strcmp(found, file->sha256) != 0)
		*problem = "changed";
	return true;
}

/*
 * Compares the served manifest's digest and reads it.  A difference is a problem, not an error, and leaves
 * *manifest NULL, as it then says nothing about the other files.
 */
static bool
read_manifest(FileCheck *check, const char *package, const char *sha256, DepotManifest **manifest,
			  DepotError *error)
{
	char		member[DEPOT_MANIFEST_PATH_BYTES];
	char		path[DEPOT_SERVED_PATH_BYTES];
	char		found[DEPOT_SHA256_HEX_BYTES];
	const char *problem;
	struct stat status = {0};
	DepotBuffer text;
	bool		ok = false;

	depot_buffer_init(&text);
	depot_manifest_path(package, member);
	if (!depot_store_served_path(&check->layout, member, path, error) ||
		!find_file(check->depot_fd, path, &status, &problem, error))
		goto done;
	if (problem == NULL && !S_ISREG(status.st_mode))
		problem = "not a regular file";
	else if (problem == NULL && status.st_size > DEPOT_MANIFEST_MAX_BYTES)
		problem = "wrong size";
	else if (problem == NULL)
	{
		if (!depot_files_read(check->depot_fd, path, DEPOT_MANIFEST_MAX_BYTES, &text, error))
			goto done;
		depot_digest_sha256_hex(text.data, text.length_bytes, found);
		if (strcmp(found, sha256) != 0)
			problem = "changed";
		else if ((status.st_mode & 07777) != 0644)
			problem = "wrong mode";
	}
	if (problem != NULL && !report_problem(check, path, problem, error))
		goto done;
	ok = true;
	/* with another mode it is still the signed manifest */
	if (problem == NULL || strcmp(problem, "wrong mode") == 0)
	{
		*manifest = depot_manifest_parse(text.data, text.length_bytes, error);
		ok = *manifest != NULL;
	}
done:
	depot_buffer_free(&text);
	return ok;
}

static bool
examine_package(FileCheck *check, const DepotManifest *manifest, DepotError *error)
{
	for (int i = 0; i < manifest->file_count; i++)
	{
		const DepotManifestFile *file = &manifest->files[i];
		char		path[DEPOT_SERVED_PATH_BYTES];
		const char *problem;

		if (!depot_store_served_path(&check->layout, file->path, path, error) ||
			!depot_agent_examine_file(check->depot_fd, path, file, &problem, error) ||
			(problem != NULL && !report_problem(check, path, problem, error)))
			return false;
	}
	return true;
}

/* Reads where a part of packages is served. */
static bool
parse_place(const json_t *command, const char *member, char *out, size_t out_bytes, DepotError *error)
{
	const char *path;

	if (!depot_json_get_string(command, member, true, &path, DEPOT_ERROR_AGENT, error))
		return false;
	if (!depot_name_is_relative_path(path) || strlen(path) >= out_bytes)
		return depot_error_set(error, DEPOT_ERROR_AGENT, "member \"%s\" is not a relative path", member);
	memcpy(out, path, strlen(path) + 1);
	return true;
}

bool
depot_agent_parse_layout(const json_t *command, DepotLayout *layout, DepotError *error)
{
	return parse_place(command, "share", layout->share, sizeof(layout->share), error) &&
		parse_place(command, "lib", layout->lib, sizeof(layout->lib), error);
}

int
depot_agent_open_depot(const DepotAgent *agent, DepotError *error)
{
	int			fd = openat(agent->directory_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		depot_error_set_errno(error, errno, "could not open the depot directory");
	return fd;
}

bool
depot_agent_check_verify_files(DepotAgent *agent, const json_t *command, DepotError *error)
{
	FileCheck	check = {.agent = agent, .depot_fd = -1};
	DepotManifest *manifest = NULL;
	const char *package;
	const char *sha256;
	bool		ok = false;

	if (!depot_agent_parse_layout(command, &check.layout, error) ||
		!depot_json_get_string(command, "package", true, &package, DEPOT_ERROR_AGENT, error) ||
		!depot_name_check_package(package, "package", error) ||
		!depot_json_get_string(command, "manifest_sha256", true, &sha256, DEPOT_ERROR_AGENT, error))
		goto done;
	if (!depot_name_is_sha256(sha256))
	{
		depot_error_set(error, DEPOT_ERROR_AGENT, "member \"manifest_sha256\" is not a digest");
		goto done;
	}
	check.depot_fd = depot_agent_open_depot(agent, error);
	if (check.depot_fd < 0)
		goto done;
	if (!read_manifest(&check, package, sha256, &manifest, error) ||
		(manifest != NULL && !examine_package(&check, manifest, error)))
		goto done;
	ok = depot_channel_send(&agent->channel,
							json_pack("{s:s, s:i, s:i}", "type", "done",
									  "files", manifest != NULL ? manifest->file_count + 1 : 1,
									  "problems", check.problem_count)) ||
		depot_error_set(error, DEPOT_ERROR_AGENT, "could not tell the leader that the files are verified");
done:
	depot_manifest_free(manifest);
	if (check.depot_fd >= 0)
		(void) close(check.depot_fd);
	return ok;
}
