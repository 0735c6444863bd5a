/*-------------------------------------------------------------------------
 *
 * fetch_file.c
 *	  The file: scheme: a repository that is a directory, or a bundle.
 *
 * libcurl has one code for everything that can be wrong with a file, and
 * opens fifos; so files are looked at before.  A bundle is one file that holds those of a repository: where in it
 * a file lies is found here, and libcurl reads that range.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/fetch_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bundle.h"

/* One request for a file: base. */
typedef struct FileRequest
{
	const DepotFetchRequest *request;
	int			base_index;
	const char *base_path;		/* directory or bundle */
	const char *path;			/* of the file, if it is a directory */
	const char *member;			/* its name, if it is a bundle */
	DepotError *error;
} FileRequest;

static DepotFetchOutcome
fail(const FileRequest *file, DepotErrorCode code, const char *reason)
{
	return depot_fetch_fail(file->request, file->base_index, DEPOT_FETCH_NEXT, file->error, code, reason);
}

static DepotFetchOutcome
look_into_bundle(const FileRequest *file, char range[DEPOT_FETCH_RANGE_BYTES])
{
	DepotBundleMember member;
	DepotFetchOutcome outcome = DEPOT_FETCH_NEXT;
	DepotError	reason;
	bool		found = false;
	int			fd = open(file->base_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return fail(file, DEPOT_ERROR_UNREACHABLE, strerror(errno));
	if (!depot_bundle_find(fd, file->member, &member, &found, &reason))
	{
		outcome = fail(file, reason.code, reason.message);
		depot_error_hint(file->error, "%s", reason.hint);
	}
	else if (!found)
		outcome = DEPOT_FETCH_MISSING;
	else if (member.size_bytes == 0)
		outcome = fail(file, DEPOT_ERROR_TRANSFER, "it is empty in the bundle");
	else
	{
		outcome = DEPOT_FETCH_DONE;
		snprintf(range, DEPOT_FETCH_RANGE_BYTES, "%" PRIu64 "-%" PRIu64, member.offset,
				 member.offset + member.size_bytes - 1);
	}
	(void) close(fd);
	return outcome;
}

static DepotFetchOutcome
look_into_directory(const FileRequest *file)
{
	struct stat status;

	if (stat(file->path, &status) != 0)
		return errno == ENOENT || errno == ENOTDIR ? DEPOT_FETCH_MISSING :
			fail(file, DEPOT_ERROR_UNREACHABLE, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return fail(file, DEPOT_ERROR_TRANSFER, "it is not a regular file");
	if (access(file->path, R_OK) != 0)
		return fail(file, DEPOT_ERROR_UNREACHABLE, strerror(errno));
	return DEPOT_FETCH_DONE;
}

DepotFetchOutcome
depot_fetch_locate_file(const DepotFetch *fetch, const DepotFetchRequest *request, int base_index, DepotBuffer *url,
						char range[DEPOT_FETCH_RANGE_BYTES], DepotError *error)
{
	const char *base = request->bases[base_index];
	char	   *path = curl_easy_unescape(fetch->easy, url->data + strlen("file://"), 0, NULL);
	char	   *base_path = curl_easy_unescape(fetch->easy, base + strlen("file://"), 0, NULL);
	char	   *member = curl_easy_unescape(fetch->easy, request->path, 0, NULL);
	const FileRequest file = {request, base_index, base_path, path, request->encoded ? member : request->path, error};
	struct stat status;
	DepotFetchOutcome outcome;

	range[0] = '\0';
	if (path == NULL || base_path == NULL || member == NULL)
		outcome = depot_fetch_fail(request, base_index, DEPOT_FETCH_FATAL, error, DEPOT_ERROR_OUT_OF_MEMORY,
								   "out of memory");
	else if (stat(base_path, &status) != 0)
		outcome = fail(&file, DEPOT_ERROR_UNREACHABLE, errno == ENOENT || errno == ENOTDIR ?
					   "there is no such directory or bundle" : strerror(errno));
	else if (S_ISDIR(status.st_mode))
		outcome = look_into_directory(&file);
	else if (!S_ISREG(status.st_mode))
		outcome = fail(&file, DEPOT_ERROR_TRANSFER, "what is there is neither a directory nor a bundle");
	else
	{
		outcome = look_into_bundle(&file, range);
		depot_buffer_reset(url);
		if (!depot_buffer_append_string(url, base))
			outcome = depot_fetch_fail(request, base_index, DEPOT_FETCH_FATAL, error, DEPOT_ERROR_OUT_OF_MEMORY,
									   "out of memory");
	}
	curl_free(path);
	curl_free(base_path);
	curl_free(member);
	return outcome;
}
