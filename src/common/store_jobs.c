/*-------------------------------------------------------------------------
 *
 * store_jobs.c
 *	  Staging: one directory per job.
 *
 * A job directory belongs to whoever holds a flock on it: the leader that made
 * it and the agents that work in it.  The lock goes with the process, so after
 * a crash every directory is free, and what no row wants any more is removed
 * at the next start.
 *
 * What is marked was verified before, so the mark says which files it was: in
 * a copy of the directory, whoever made it, they are others.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/flush.h"
#include "common/json.h"
#include "common/name.h"
#include "common/seal.h"
#include "common/store.h"
#include "common/store_internal.h"

/* For how long a lock on a staging directory is waited for, all of them together: one second. */
#define LOCK_WAIT_MS 20
#define LOCK_WAITS 50

#define STAGED_FILE "staged.json"
#define STAGED_FORMAT 1
#define STAGED_MAX_BYTES ((size_t) 64 * 1024 * 1024)

#define JOB_RANDOM_BYTES ((DEPOT_JOB_NAME_BYTES - 1) / 2)

/* A path of something in a job directory. */
#define JOB_PATH_BYTES (sizeof(DEPOT_STAGING "/") + DEPOT_JOB_NAME_BYTES + sizeof("/" STAGED_FILE))

static bool
is_job_name(const char *name)
{
	return strlen(name) == DEPOT_JOB_NAME_BYTES - 1 &&
		strspn(name, "0123456789abcdef") == DEPOT_JOB_NAME_BYTES - 1;
}

static bool
make_job_name(char job[DEPOT_JOB_NAME_BYTES], DepotError *error)
{
	unsigned char bytes[JOB_RANDOM_BYTES];
	ssize_t		count;

	do
		count = getrandom(bytes, sizeof(bytes), 0);
	while (count < 0 && errno == EINTR);
	if (count != (ssize_t) sizeof(bytes))
		return depot_error_set_errno(error, count < 0 ? errno : EIO, "could not get random bytes");
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(job + 2 * i, 3, "%02x", bytes[i]);
	return true;
}

int
depot_store_begin_job(int root_fd, char job[DEPOT_JOB_NAME_BYTES], DepotError *error)
{
	int			staging_fd;
	int			fd = -1;

	job[0] = '\0';
	staging_fd = depot_files_open_directory(root_fd, DEPOT_STAGING, error);
	if (staging_fd < 0)
		return -1;
	if (!make_job_name(job, error))
		goto done;
	if (mkdirat(staging_fd, job, STORE_DIRECTORY_MODE) != 0)
	{
		depot_error_set_errno(error, errno, "could not create a job directory in \"%s\"", DEPOT_STAGING);
		goto done;
	}
	fd = depot_files_open_directory(staging_fd, job, error);
	if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0)
	{
		depot_error_set_errno(error, errno, "could not lock a job directory in \"%s\"", DEPOT_STAGING);
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		(void) unlinkat(staging_fd, job, AT_REMOVEDIR);

done:
	if (fd < 0)
		job[0] = '\0';
	close(staging_fd);
	return fd;
}

void
depot_store_end_job(int root_fd, const char *job, int job_fd)
{
	char		path[JOB_PATH_BYTES];
	DepotError	error;

	if (job_fd >= 0)
		close(job_fd);
	if (!is_job_name(job))
		return;
	snprintf(path, sizeof(path), "%s/%s", DEPOT_STAGING, job);
	(void) depot_files_remove_tree(root_fd, path, &error);
}

/* Opens a directory and has it fsynced. */
static bool
flush_directory(int root_fd, const char *path, DepotFlush *flush, DepotError *error)
{
	int			fd = depot_files_open_directory(root_fd, path, error);

	if (fd >= 0)
		depot_flush_add(flush, fd);
	return fd >= 0;
}

/* Writes a job's mark, and makes it and the names that lead to it durable.  Half a mark is none. */
static bool
write_mark(int root_fd, const char *job, const DepotBuffer *text, DepotError *error)
{
	char		directory[JOB_PATH_BYTES];
	char		path[JOB_PATH_BYTES];
	DepotFlush	flush;
	bool		ok;
	int			fd;

	snprintf(directory, sizeof(directory), "%s/%s", DEPOT_STAGING, job);
	snprintf(path, sizeof(path), "%s/%s/%s", DEPOT_STAGING, job, STAGED_FILE);
	fd = depot_files_open(root_fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, error);
	if (fd < 0)
		return false;
	depot_flush_begin(&flush);
	ok = depot_files_write_all(fd, text->data, text->length_bytes, error);
	depot_flush_add(&flush, fd);
	ok = ok && flush_directory(root_fd, directory, &flush, error) &&
		flush_directory(root_fd, DEPOT_STAGING, &flush, error);
	return depot_flush_end(&flush, ok ? error : NULL) && ok;
}

/* The path of a job's tree, into out of JOB_PATH_BYTES. */
static void
tree_path(const char *job, char *out)
{
	snprintf(out, JOB_PATH_BYTES, "%s/%s/tree", DEPOT_STAGING, job);
}

/* Notes what identifies a file of a job's tree; a DepotFilesVisit. */
static bool
note_file(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context, DepotError *error)
{
	json_t	   *files = context;
	char		identity[DEPOT_SEAL_IDENTITY_BYTES];
	json_t	   *encoded;
	bool		ok;

	(void) size_bytes;
	if (S_ISDIR(mode))
		return true;
	(void) depot_seal_identify(directory_fd, path, identity);
	encoded = depot_store_encode_path(path);
	ok = encoded != NULL && json_object_set_new(files, json_string_value(encoded), json_string(identity)) == 0;
	json_decref(encoded);
	return ok || depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

/* Returns what identifies each file of a job's tree; NULL and error on failure. */
static json_t *
identify_tree(int root_fd, const char *job, DepotError *error)
{
	json_t	   *files = json_pack("{}");
	char		path[JOB_PATH_BYTES];

	tree_path(job, path);
	if (files == NULL)
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	else if (depot_files_exists(root_fd, path) && !depot_files_walk(root_fd, path, note_file, files, error))
	{
		json_decref(files);
		files = NULL;
	}
	return files;
}

bool
depot_store_mark_staged(int root_fd, const char *job, const char *package, const char *digest,
						const char *manifest_sha256, DepotError *error)
{
	DepotBuffer text;
	json_t	   *mark = NULL;
	json_t	   *files = NULL;
	bool		ok = false;

	depot_buffer_init(&text);
	if (!is_job_name(job) || !depot_name_is_sha256(digest) || !depot_name_is_sha256(manifest_sha256))
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "invalid job name or digest");
		goto done;
	}
	if (!depot_name_check_package(package, "package", error))
		goto done;
	files = identify_tree(root_fd, job, error);
	if (files == NULL)
		goto done;
	mark = json_pack("{s:i, s:s, s:s, s:s, s:O}", "format", STAGED_FORMAT, "package", package, "digest", digest,
					 "manifest_sha256", manifest_sha256, "files", files);
	if (mark == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	if (!depot_json_canonical(mark, &text, DEPOT_ERROR_IO, error))
		goto done;
	ok = write_mark(root_fd, job, &text, error);

done:
	json_decref(mark);
	json_decref(files);
	depot_buffer_free(&text);
	return ok;
}

/* Tells whether every file that is left in a job's tree is one of those that were marked. */
static bool
is_tree_as_marked(int root_fd, const char *job, const json_t *marked)
{
	DepotError	error;
	json_t	   *files = identify_tree(root_fd, job, &error);
	const char *path;
	json_t	   *identity;
	bool		ok = files != NULL;

	if (ok)
	{
		json_object_foreach(files, path, identity)
			ok = ok && json_string_length(identity) > 0 && json_equal(identity, json_object_get(marked, path));
	}
	json_decref(files);
	return ok;
}

/* Tells whether a job directory is marked with digest; what cannot be read is no mark. */
static bool
has_mark(int root_fd, const char *job, const char *digest)
{
	char		path[JOB_PATH_BYTES];
	DepotBuffer text;
	DepotError	error;
	json_t	   *mark = NULL;
	json_t	   *files = NULL;
	int64_t		format = 0;
	const char *marked = "";
	bool		ok;

	depot_buffer_init(&text);
	snprintf(path, sizeof(path), "%s/%s/%s", DEPOT_STAGING, job, STAGED_FILE);
	ok = depot_files_read(root_fd, path, STAGED_MAX_BYTES, &text, &error);
	if (ok)
	{
		mark = depot_json_parse(text.data, text.length_bytes, DEPOT_ERROR_IO, STAGED_FILE, &error);
		ok = mark != NULL &&
			depot_json_get_integer(mark, "format", true, 0, &format, DEPOT_ERROR_IO, &error) &&
			depot_json_get_string(mark, "digest", true, &marked, DEPOT_ERROR_IO, &error) &&
			depot_json_get_object(mark, "files", true, &files, DEPOT_ERROR_IO, &error) &&
			format == STAGED_FORMAT && strcmp(marked, digest) == 0 && is_tree_as_marked(root_fd, job, files);
	}
	json_decref(mark);
	depot_buffer_free(&text);
	return ok;
}

/* Opens staging for reading its entries; NULL and error on failure. */
static DIR *
open_staging(int root_fd, DepotError *error)
{
	DIR		   *staging;
	int			fd = depot_files_open_directory(root_fd, DEPOT_STAGING, error);

	if (fd < 0)
		return NULL;
	staging = fdopendir(fd);
	if (staging == NULL)
	{
		depot_error_set_errno(error, errno, "could not read directory \"%s\"", DEPOT_STAGING);
		close(fd);
	}
	return staging;
}

/* Returns the next entry's name, or NULL at the end (*ok true) or after an error. */
static const char *
next_entry(DIR *staging, bool *ok, DepotError *error)
{
	struct dirent *entry;

	do
	{
		errno = 0;
		entry = readdir(staging);
	} while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	*ok = entry != NULL || errno == 0;
	if (!*ok)
		depot_error_set_errno(error, errno, "could not read directory \"%s\"", DEPOT_STAGING);
	return entry != NULL ? entry->d_name : NULL;
}

bool
depot_store_find_staged(int root_fd, const char *digest, char job[DEPOT_JOB_NAME_BYTES], bool *found,
						DepotError *error)
{
	DIR		   *staging;
	const char *name;
	bool		ok;

	*found = false;
	job[0] = '\0';
	staging = open_staging(root_fd, error);
	if (staging == NULL)
		return false;
	while (!*found && (name = next_entry(staging, &ok, error)) != NULL)
	{
		if (is_job_name(name) && has_mark(root_fd, name, digest))
		{
			memcpy(job, name, DEPOT_JOB_NAME_BYTES);
			*found = true;
		}
	}
	closedir(staging);
	return ok;
}

bool
depot_store_read_manifest(int root_fd, const DepotLayout *layout, const char *job, const char *package,
						  DepotBuffer *buffer, DepotError *error)
{
	char		member[DEPOT_MANIFEST_PATH_BYTES];
	char		path[DEPOT_SERVED_PATH_BYTES];
	DepotError	read_error;

	if (!depot_name_check_package(package, "package", error))
		return false;
	depot_manifest_path(package, member);
	if (job != NULL)
	{
		snprintf(path, sizeof(path), "%s/%s/tree/%s", DEPOT_STAGING, job, member);
		if (depot_files_read(root_fd, path, DEPOT_MANIFEST_MAX_BYTES, buffer, &read_error))
			return true;
		if (read_error.code != DEPOT_ERROR_FILE_MISSING)
		{
			if (error != NULL)
				*error = read_error;
			return false;
		}
	}
	return depot_store_served_path(layout, member, path, error) &&
		depot_files_read(root_fd, path, DEPOT_MANIFEST_MAX_BYTES, buffer, error);
}

/*
 * Tries to have a directory for itself.  An agent whose leader was killed ends as well, but takes a moment,
 * in which it still holds its lock.
 */
static bool
is_abandoned(int fd, int *waits_left)
{
	const struct timespec pause = {.tv_nsec = LOCK_WAIT_MS * 1000000L};

	while (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		if (errno != EWOULDBLOCK)
			return true;
		if ((*waits_left)-- <= 0)
			return false;
		(void) nanosleep(&pause, NULL);
	}
	return true;
}

/* Removes an entry of staging unless somebody holds a lock on it. */
static bool
clean_entry(int staging_fd, const char *name, int *waits_left, DepotError *error)
{
	bool		ok = true;
	int			fd;

	fd = openat(staging_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || is_abandoned(fd, waits_left))
		ok = depot_files_remove_tree(staging_fd, name, error);
	if (fd >= 0)
		close(fd);
	return ok;
}

bool
depot_store_clean_staging(int root_fd, const char *const *keep_jobs, DepotError *error)
{
	DepotError	entry_error;
	DIR		   *staging;
	const char *name;
	bool		ok;
	bool		all_ok = true;
	int			waits_left = LOCK_WAITS;

	staging = open_staging(root_fd, error);
	if (staging == NULL)
		return false;
	while ((name = next_entry(staging, &ok, &entry_error)) != NULL)
	{
		bool		keep = false;

		for (const char *const *job = keep_jobs; job != NULL && *job != NULL && !keep; job++)
			keep = strcmp(*job, name) == 0;
		if (!keep && !clean_entry(dirfd(staging), name, &waits_left, &entry_error))
		{
			if (all_ok && error != NULL)
				*error = entry_error;
			all_ok = false;
		}
	}
	if (!ok && all_ok && error != NULL)
		*error = entry_error;
	closedir(staging);
	return ok && all_ok;
}
