/*-------------------------------------------------------------------------
 *
 * bundle_choose.c
 *	  Which files go into a bundle.
 *
 * Of what the signed metadata lists for a platform, the newest version that
 * satisfies each name and constraint, and then the same for what these depend
 * on, until nothing is missing.  Extensions that the repository does not have
 * are the server's own business: many are part of PostgreSQL.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/digest.h"
#include "common/json.h"
#include "common/manifest.h"
#include "common/version.h"

#define WITHDRAWN "withdrawn.json"

/* A package that one platform's metadata lists. */
typedef struct Candidate
{
	char	   *path;			/* of the target */
	char	   *location;		/* of its file, percent-encoded */
	char		sha256[65];
	uint64_t	size_bytes;
	DepotManifest *manifest;	/* without files */
	bool		is_yanked;
	bool		is_chosen;
} Candidate;

typedef struct Choice
{
	DepotBundleCommand *command;
	DepotTufClient *client;
	const char *slice;			/* beginning of this platform's target paths */
	Candidate  *candidates;
	int			count;
} Choice;

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

/*----- files ------------------------------------------------------------------*/

static bool
note_file(DepotBundleCommand *command, const char *path, const char *location, uint64_t size_bytes,
		  const char *sha256, bool is_package, DepotError *error)
{
	DepotBundleFile *larger;

	for (int i = 0; i < command->file_count; i++)
		if (strcmp(command->files[i].path, path) == 0)
			return true;
	larger = realloc(command->files, ((size_t) command->file_count + 1) * sizeof(larger[0]));
	if (larger == NULL)
		return out_of_memory(error);
	command->files = larger;
	larger += command->file_count;
	memset(larger, 0, sizeof(*larger));
	larger->path = strdup(path);
	larger->location = location != NULL ? strdup(location) : NULL;
	command->file_count++;
	if (larger->path == NULL || (location != NULL && larger->location == NULL))
		return out_of_memory(error);
	larger->size_bytes = size_bytes;
	larger->is_package = is_package;
	snprintf(larger->sha256, sizeof(larger->sha256), "%s", sha256);
	return true;
}

bool
depot_bundle_note_metadata(DepotBundleCommand *command, const char *path, const DepotBuffer *contents,
						   DepotError *error)
{
	char		sha256[DEPOT_SHA256_HEX_BYTES];

	depot_digest_sha256_hex(contents->data, contents->length_bytes, sha256);
	return note_file(command, path, NULL, contents->length_bytes, sha256, false, error);
}

bool
depot_bundle_download_packages(DepotBundleCommand *command, DepotError *error)
{
	for (int i = 0; i < command->file_count; i++)
	{
		const DepotBundleFile *file = &command->files[i];
		DepotCliProgress progress;
		int			fd;

		if (file->location == NULL)
			continue;
		depot_cli_progress_begin(&progress, strrchr(file->path, '/') + 1, file->size_bytes);
		fd = depot_download_file(command->download, command->url, file->location, file->size_bytes, file->sha256,
								 &progress, error);
		depot_cli_progress_end(&progress);
		if (fd < 0)
			return false;
		(void) close(fd);
		if (!depot_download_take(command->download, file->path, error))
			return false;
		if (depot_temporary_is_interrupted())
			return depot_error_set(error, DEPOT_ERROR_CANCELED, "canceled");
	}
	return true;
}

bool
depot_bundle_write_files(const DepotBundleCommand *command, DepotBundleWriter *writer, DepotError *error)
{
	DepotCliProgress progress;
	uint64_t	total_bytes = 0;
	uint64_t	done_bytes = 0;
	bool		ok = true;

	for (int i = 0; i < command->file_count; i++)
		total_bytes += command->files[i].size_bytes;
	depot_cli_progress_begin(&progress, "writing the bundle", total_bytes);
	for (int i = 0; i < command->file_count && ok; i++)
	{
		const DepotBundleFile *file = &command->files[i];

		ok = depot_bundle_add_file(writer, command->repository_fd, file->path, file->size_bytes, file->sha256, error);
		done_bytes += file->size_bytes;
		depot_cli_progress_update(&progress, done_bytes);
		if (ok && depot_temporary_is_interrupted())
			ok = depot_error_set(error, DEPOT_ERROR_CANCELED, "canceled");
	}
	depot_cli_progress_end(&progress);
	return ok;
}

void
depot_bundle_free(DepotBundleCommand *command)
{
	for (int i = 0; i < command->file_count; i++)
	{
		free(command->files[i].path);
		free(command->files[i].location);
	}
	free(command->files);
	free(command->is_found);
	depot_buffer_free(&command->root);
}

/*----- what there is ----------------------------------------------------------*/

/* Returns where a target's file is, "targets/..." and percent-encoded, as malloc'd text; NULL and error on failure. */
static char *
locate(const DepotTufClient *client, const DepotTufTarget *target, DepotError *error)
{
	DepotBuffer location;
	DepotBuffer below;
	char	   *copy = NULL;

	depot_buffer_init(&location);
	depot_buffer_init(&below);
	if (depot_tuf_target_location(client, target, &below, error))
	{
		if (depot_buffer_append_format(&location, "targets/%s", below.data))
			copy = strdup(location.data);
		if (copy == NULL)
			out_of_memory(error);
	}
	depot_buffer_free(&location);
	depot_buffer_free(&below);
	return copy;
}

/* A DepotTufVisit: takes a package of this platform, unless a role before this one has listed its path. */
static bool
take_candidate(const DepotTufTarget *target, void *context, DepotError *error)
{
	Choice	   *choice = context;
	json_t	   *custom = target->custom != NULL ? json_object_get(target->custom, "pg_depot") : NULL;
	Candidate  *larger;
	char		manifest_sha256[65];
	DepotError	ignored;

	if (strncmp(target->path, choice->slice, strlen(choice->slice)) != 0 || custom == NULL)
		return true;
	for (int i = 0; i < choice->count; i++)
		if (strcmp(choice->candidates[i].path, target->path) == 0)
			return true;
	larger = realloc(choice->candidates, ((size_t) choice->count + 1) * sizeof(larger[0]));
	if (larger == NULL)
		return out_of_memory(error);
	choice->candidates = larger;
	larger += choice->count;
	memset(larger, 0, sizeof(*larger));
	/* A server passes over what it cannot read, too. */
	larger->manifest = depot_manifest_from_custom(custom, target->path, manifest_sha256, &ignored);
	if (larger->manifest == NULL)
		return true;
	choice->count++;
	larger->path = strdup(target->path);
	if (larger->path == NULL)
		return out_of_memory(error);
	larger->location = locate(choice->client, target, error);
	if (larger->location == NULL)
		return false;
	larger->size_bytes = target->length_bytes;
	larger->is_yanked = json_object_get(custom, "yanked") != NULL;
	memcpy(larger->sha256, target->sha256, sizeof(larger->sha256));
	return true;
}

/* A DepotTufVisit of the top-level role: the list of withdrawn packages goes in, too. */
static bool
take_withdrawn(const DepotTufTarget *target, void *context, DepotError *error)
{
	const Choice *choice = context;
	char		path[DEPOT_REPO_PATH_BYTES];
	char	   *location;
	bool		ok;

	if (strcmp(target->path, WITHDRAWN) != 0)
		return true;
	location = locate(choice->client, target, error);
	if (location == NULL)
		return false;
	depot_repo_target_file(target->path, target->sha256, path);
	ok = note_file(choice->command, path, location, target->length_bytes, target->sha256, false, error);
	free(location);
	return ok;
}

/* Whether a role is that of a platform, "pg17-linux-amd64"; others are publishers'. */
static bool
is_platform(const char *role)
{
	size_t		digits = strncmp(role, "pg", 2) == 0 ? strspn(role + 2, "0123456789") : 0;

	return digits > 0 && role[2 + digits] == '-';
}

bool
depot_bundle_list_platforms(DepotBundleCommand *command, const DepotTufClient *client, DepotError *error)
{
	const json_t *roles = depot_tuf_delegated_roles(client);
	const json_t *entry;
	size_t		index;

	json_array_foreach(roles, index, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name"));

		if (!is_platform(name))
			continue;
		if (command->platform_count == DEPOT_BUNDLE_MAX_PLATFORMS)
			return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "the repository has more than %d platforms",
								   DEPOT_BUNDLE_MAX_PLATFORMS);
		snprintf(command->platforms[command->platform_count++], sizeof(command->platforms[0]), "%s", name);
	}
	return true;
}

/*----- what is chosen ----------------------------------------------------------*/

static bool
provides(const DepotManifest *manifest, const char *name)
{
	if (strcmp(manifest->package, name) == 0)
		return true;
	for (int i = 0; i < manifest->extension_count; i++)
		if (strcmp(manifest->extensions[i].name, name) == 0)
			return true;
	return false;
}

/*
 * Chooses the newest package that provides name in a version that satisfies constraint (NULL: any).
 * *listed tells whether there is the name at all.
 */
static bool
choose_newest(Choice *choice, const char *name, const char *constraint_text, bool *listed, bool *found,
			  DepotError *error)
{
	DepotVersionConstraint constraint;
	Candidate  *newest = NULL;

	*listed = false;
	if (!depot_version_constraint_parse(constraint_text, &constraint, error))
		return false;
	for (int i = 0; i < choice->count; i++)
	{
		Candidate  *candidate = &choice->candidates[i];

		if (!provides(candidate->manifest, name))
			continue;
		*listed = true;
		if (!candidate->is_yanked && depot_version_satisfies(candidate->manifest->version, &constraint) &&
			(newest == NULL || depot_version_compare(candidate->manifest->version, newest->manifest->version) > 0))
			newest = candidate;
	}
	*found = newest != NULL;
	if (newest != NULL)
		newest->is_chosen = true;
	return true;
}

static bool
choose_dependency(Choice *choice, const DepotManifest *manifest, const char *name, const char *constraint,
				  bool is_package, DepotError *error)
{
	bool		listed;
	bool		found;

	if (provides(manifest, name))
		return true;
	if (!choose_newest(choice, name, constraint, &listed, &found, error))
		return false;
	if (found || (!listed && !is_package))
		return true;
	return depot_error_set(error, DEPOT_ERROR_UNKNOWN_VERSION,
						   "package \"%s\" needs \"%s\"%s%s, which the repository does not have", manifest->package,
						   name, constraint[0] != '\0' ? " " : "", constraint);
}

/* Adds what the chosen ones depend on until there is nothing to add. */
static bool
choose_dependencies(Choice *choice, DepotError *error)
{
	int			before;
	int			after = 0;

	do
	{
		before = after;
		after = 0;
		for (int i = 0; i < choice->count; i++)
		{
			const DepotManifest *manifest = choice->candidates[i].manifest;

			if (!choice->candidates[i].is_chosen)
				continue;
			after++;
			for (int j = 0; j < manifest->depend_count; j++)
				if (!choose_dependency(choice, manifest, manifest->depends[j].package, manifest->depends[j].constraint,
									   true, error))
					return false;
			for (int j = 0; j < manifest->extension_count; j++)
				for (int k = 0; k < manifest->extensions[j].require_count; k++)
					if (!choose_dependency(choice, manifest, manifest->extensions[j].requires[k], "", false, error))
						return false;
		}
	} while (after != before);
	return true;
}

/*
 * Chooses what the command line names: NAME, or NAME=CONSTRAINT.  A platform need not have it, unless the
 * platform was named, too.
 */
static bool
choose_named(Choice *choice, const char *argument, bool *is_found, DepotError *error)
{
	char		name[DEPOT_REPO_PATH_BYTES];
	const char *equals = strchr(argument, '=');
	size_t		length = equals != NULL ? (size_t) (equals - argument) : strlen(argument);
	bool		listed;
	bool		found;

	/* ">= 1" begins a constraint only behind the first "=", so "name>=1" is a name that nobody has. */
	if (length == 0 || length >= sizeof(name))
		return depot_error_set(error, DEPOT_ERROR_INVALID_NAME, "\"%s\" does not name a package", argument);
	memcpy(name, argument, length);
	name[length] = '\0';
	if (!choose_newest(choice, name, equals != NULL ? equals + 1 : NULL, &listed, &found, error))
		return false;
	if (found || choice->command->is_every_platform)
	{
		*is_found |= found;
		return true;
	}
	if (!listed)
		return depot_error_set(error, DEPOT_ERROR_UNKNOWN_EXTENSION, "the repository does not have \"%s\"", name);
	return depot_error_set(error, DEPOT_ERROR_UNKNOWN_VERSION,
						   "the repository has no version of \"%s\" that is %s", name,
						   equals != NULL ? equals + 1 : "fit to be installed");
}

static bool
note_chosen(Choice *choice, DepotError *error)
{
	for (int i = 0; i < choice->count; i++)
	{
		const Candidate *candidate = &choice->candidates[i];
		char		path[DEPOT_REPO_PATH_BYTES];

		if (!candidate->is_chosen)
			continue;
		depot_repo_target_file(candidate->path, candidate->sha256, path);
		if (!note_file(choice->command, path, candidate->location, candidate->size_bytes, candidate->sha256, true,
					   error))
			return false;
	}
	return true;
}

bool
depot_bundle_choose(DepotBundleCommand *command, DepotTufClient *client, const char *platform, DepotError *error)
{
	static DepotTufRole roles[DEPOT_TUF_MAX_ROLES];
	const int	role_count = depot_tuf_roles(client, roles, DEPOT_TUF_MAX_ROLES);
	char		slice[80];
	Choice		choice = {.command = command, .client = client, .slice = slice};
	bool		ok;

	/* "pg17-linux-amd64" is the role of "pg17/linux-amd64/". */
	snprintf(slice, sizeof(slice), "%s/", platform);
	if (strchr(slice, '-') != NULL)
		*strchr(slice, '-') = '/';
	ok = depot_tuf_visit_targets(client, "targets", take_withdrawn, &choice, error);
	for (int i = DEPOT_REPO_TOP_LEVEL_COUNT; i < role_count && ok; i++)
		ok = roles[i].is_left_out || depot_tuf_visit_targets(client, roles[i].name, take_candidate, &choice, error);
	for (int i = 0; i < command->name_count && ok; i++)
		ok = choose_named(&choice, command->names[i], &command->is_found[i], error);
	for (int i = 0; i < choice.count && command->all; i++)
		choice.candidates[i].is_chosen = !choice.candidates[i].is_yanked;
	ok = ok && choose_dependencies(&choice, error) && note_chosen(&choice, error);
	for (int i = 0; i < choice.count; i++)
	{
		free(choice.candidates[i].path);
		free(choice.candidates[i].location);
		depot_manifest_free(choice.candidates[i].manifest);
	}
	free(choice.candidates);
	return ok;
}
