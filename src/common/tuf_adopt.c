/*-------------------------------------------------------------------------
 *
 * tuf_adopt.c
 *	  Metadata that another place remembers, as a source of what is newer.
 *
 * The candidates are treated like a mirror: the client workflow asks for them
 * by name and applies every rule but expiry, which says when the
 * repository has to speak again, not what it has said before.  A candidate that
 * does not pass is set aside, and the workflow runs again without it, so that
 * a forged one does not hide the good one behind it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/tuf_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/files.h"

/* More than any repository needs: every root of its life, and a few roles. */
#define CANDIDATES_MAX 4096

typedef struct Candidate
{
	char		file[DEPOT_TUF_FILE_NAME_BYTES];	/* "<version>.<role, percent-encoded>.json" */
	const char *plain;			/* the same without version, in file */
	int64_t		version;
	bool		is_refused;
} Candidate;

typedef struct Adoption
{
	int			directory_fd;
	Candidate  *candidates;
	int			count;
	int			capacity;
	Candidate  *served;			/* the last one the workflow was given */
	DepotTufRefused refused;
	void	   *context;
} Adoption;

static bool note_candidate(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
						   DepotError *error);
static bool check_versions(Adoption *adoption, DepotError *error);
static bool serve(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing,
				  DepotError *error);
static void refuse(const Adoption *adoption, Candidate *candidate, const DepotError *reason);
static bool is_own_failure(const DepotError *error);
static bool is_nothing_newer(const Adoption *adoption, const DepotError *error);

bool
depot_tuf_adopt(DepotTufClient *client, const char *delegated_role, int candidates_fd, DepotTufRefused refused,
				void *context, bool *changed, DepotError *error)
{
	Adoption	adoption = {.directory_fd = candidates_fd, .refused = refused, .context = context};
	const int64_t reference_time_s = client->reference_time_s;
	bool		is_done = false;
	bool		ok;

	*changed = false;
	ok = depot_files_walk(candidates_fd, "", note_candidate, &adoption, error) &&
		check_versions(&adoption, error);
	client->reference_time_s = INT64_MIN;
	while (ok && !is_done)
	{
		bool		is_round_changed;

		adoption.served = NULL;
		is_done = depot_tuf_refresh(client, delegated_role, serve, &adoption, &is_round_changed, error);
		*changed |= is_round_changed;
		if (is_done)
			break;
		ok = !is_own_failure(error);
		is_done = adoption.served == NULL || is_nothing_newer(&adoption, error);
		if (ok && !is_done)
			refuse(&adoption, adoption.served, error);
	}
	client->reference_time_s = reference_time_s;
	depot_tuf_forget(client);
	free(adoption.candidates);
	return ok;
}

/* Notes a file of the right kind of name; anything else is no candidate. */
static bool
note_candidate(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
			   DepotError *error)
{
	Adoption   *adoption = context;
	const size_t digits = strspn(path, "0123456789");
	Candidate  *candidate;

	(void) directory_fd;
	(void) size_bytes;
	if (!S_ISREG(mode) || digits == 0 || digits > 18 || path[digits] != '.' ||
		strlen(path) >= sizeof(candidate->file))
		return true;
	if (adoption->count == CANDIDATES_MAX)
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "more than %d pieces of metadata would have to be read",
							   CANDIDATES_MAX);
	if (adoption->count == adoption->capacity)
	{
		const int	capacity = adoption->capacity > 0 ? adoption->capacity * 2 : 16;
		Candidate  *larger = realloc(adoption->candidates, sizeof(Candidate) * (size_t) capacity);

		if (larger == NULL)
			return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		adoption->candidates = larger;
		adoption->capacity = capacity;
	}
	candidate = &adoption->candidates[adoption->count++];
	memset(candidate, 0, sizeof(*candidate));
	snprintf(candidate->file, sizeof(candidate->file), "%s", path);
	candidate->version = strtoll(path, NULL, 10);
	return true;
}

static size_t
largest_size(const char *plain)
{
	if (strcmp(plain, "root.json") == 0)
		return DEPOT_TUF_ROOT_MAX_BYTES;
	if (strcmp(plain, "timestamp.json") == 0)
		return DEPOT_TUF_TIMESTAMP_MAX_BYTES;
	return strcmp(plain, "snapshot.json") == 0 ? DEPOT_TUF_SNAPSHOT_MAX_BYTES : DEPOT_TUF_TARGETS_MAX_BYTES;
}

/*
 * Refuses what is another version than its name says.  Who asks for the newest first then gets it, and one
 * that nobody would ask for is told of, too.
 */
static bool
check_version(const Adoption *adoption, Candidate *candidate, DepotBuffer *bytes, DepotError *error)
{
	const json_t *version;
	json_t	   *envelope;
	DepotError	reason = {0};
	bool		is_right;

	depot_buffer_reset(bytes);
	if (!depot_files_read(adoption->directory_fd, candidate->file, largest_size(candidate->plain), bytes, error))
	{
		if (error->code != DEPOT_ERROR_TOO_LARGE)
			return false;
		refuse(adoption, candidate, error);
		return true;
	}
	envelope = depot_json_parse(bytes->data, bytes->length_bytes, DEPOT_ERROR_METADATA_FORMAT, "metadata", &reason);
	version = json_object_get(json_object_get(envelope, "signed"), "version");
	is_right = json_is_integer(version) && json_integer_value(version) == candidate->version;
	if (envelope != NULL && !is_right)
		depot_error_set(&reason, DEPOT_ERROR_METADATA_MISMATCH, "it is not version %" PRId64, candidate->version);
	json_decref(envelope);
	*error = reason;
	if (!is_right && is_own_failure(&reason))
		return false;
	if (!is_right)
		refuse(adoption, candidate, &reason);
	return true;
}

static bool
check_versions(Adoption *adoption, DepotError *error)
{
	DepotBuffer bytes;
	bool		ok = true;

	depot_buffer_init(&bytes);
	for (int i = 0; i < adoption->count && ok; i++)
	{
		Candidate  *candidate = &adoption->candidates[i];

		candidate->plain = strchr(candidate->file, '.') + 1;
		ok = check_version(adoption, candidate, &bytes, error);
	}
	depot_buffer_free(&bytes);
	return ok;
}

/* Finds the newest candidate by a name with or without version; a DepotTufFetch. */
static bool
serve(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing, DepotError *error)
{
	Adoption   *adoption = context;
	Candidate  *best = NULL;

	for (int i = 0; i < adoption->count; i++)
	{
		Candidate  *candidate = &adoption->candidates[i];

		if (!candidate->is_refused &&
			(strcmp(candidate->file, file_name) == 0 || strcmp(candidate->plain, file_name) == 0) &&
			(best == NULL || candidate->version > best->version))
			best = candidate;
	}
	*missing = best == NULL;
	if (best == NULL)
		return true;
	adoption->served = best;
	return depot_files_read(adoption->directory_fd, best->file, max_bytes, out, error);
}

static void
refuse(const Adoption *adoption, Candidate *candidate, const DepotError *reason)
{
	char		role[DEPOT_TUF_FILE_NAME_BYTES];
	const size_t length = strlen(candidate->plain);

	candidate->is_refused = true;
	snprintf(role, sizeof(role), "%.*s", (int) (length > 5 ? length - 5 : length), candidate->plain);
	adoption->refused(adoption->context, role, candidate->version, reason);
}

/* What is wrong here, not with a candidate. */
static bool
is_own_failure(const DepotError *error)
{
	return error->code == DEPOT_ERROR_OUT_OF_MEMORY || error->code == DEPOT_ERROR_DISK_FULL ||
		error->code == DEPOT_ERROR_IO || error->code == DEPOT_ERROR_NOT_ALLOWED ||
		error->code == DEPOT_ERROR_FILE_MISSING || error->code == DEPOT_ERROR_FILE_EXISTS;
}

/* The candidates end here, or are older than what is trusted: nobody's fault. */
static bool
is_nothing_newer(const Adoption *adoption, const DepotError *error)
{
	return error->code == DEPOT_ERROR_NOT_FOUND ||
		(error->code == DEPOT_ERROR_METADATA_ROLLBACK &&
		 strcmp(adoption->served->plain, "timestamp.json") == 0);
}
