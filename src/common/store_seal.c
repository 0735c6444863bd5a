/*-------------------------------------------------------------------------
 *
 * store_seal.c
 *	  Which served files this server has verified itself: the seal.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/store_internal.h"

/* As much as state.json may have: it names the same files. */
#define SEAL_MAX_BYTES ((size_t) 256 * 1024 * 1024)

DepotSeal *
depot_seal_read(int root_fd, const char *stamp)
{
	DepotSeal  *seal = NULL;
	DepotBuffer text;
	DepotError	ignored;

	depot_buffer_init(&text);
	if (depot_files_read(root_fd, DEPOT_SEAL_FILE, SEAL_MAX_BYTES, &text, &ignored))
		seal = depot_seal_parse(text.data, text.length_bytes, stamp, &ignored);
	depot_buffer_free(&text);
	return seal != NULL ? seal : depot_seal_new(stamp);
}

/* Half a file would be no seal, and so would one that a power failure emptied: that costs work and nothing else. */
static bool
replace_file(int root_fd, const DepotBuffer *text, DepotError *error)
{
	bool		ok;
	int			fd = depot_files_open(root_fd, DEPOT_SEAL_FILE ".new", O_WRONLY | O_CREAT | O_TRUNC, 0600, error);

	if (fd < 0)
		return false;
	ok = depot_files_write_all(fd, text->data, text->length_bytes, error);
	if (close(fd) != 0 && ok)
		ok = depot_error_set_errno(error, errno, "could not write \"%s\"", DEPOT_SEAL_FILE);
	return ok && depot_files_rename(root_fd, DEPOT_SEAL_FILE ".new", root_fd, DEPOT_SEAL_FILE, error);
}

bool
depot_seal_write(const DepotSeal *seal, int root_fd, DepotError *error)
{
	DepotBuffer text;
	bool		ok;

	depot_buffer_init(&text);
	ok = depot_seal_format(seal, &text, error) &&
		depot_files_make_directories(root_fd, DEPOT_SEAL_DIRECTORY, STORE_DIRECTORY_MODE, false, error) &&
		replace_file(root_fd, &text, error);
	depot_buffer_free(&text);
	return ok;
}

/*----- files -----------------------------------------------------------------------*/

/*
 * What cannot be had by copying: whoever changes a file's contents, name, owner or times back changes its ctime to
 * now.
 */
static bool
identify(const struct stat *status, char out[DEPOT_SEAL_IDENTITY_BYTES])
{
	out[0] = '\0';
	if (!S_ISREG(status->st_mode))
		return false;
	snprintf(out, DEPOT_SEAL_IDENTITY_BYTES,
			 "%" PRIx64 ":%" PRIx64 ":%" PRIx64 ":%" PRIx64 ".%lx:%" PRIx64 ".%lx",
			 (uint64_t) status->st_dev, (uint64_t) status->st_ino, (uint64_t) status->st_size,
			 (uint64_t) status->st_mtim.tv_sec, status->st_mtim.tv_nsec,
			 (uint64_t) status->st_ctim.tv_sec, status->st_ctim.tv_nsec);
	return true;
}

bool
depot_seal_identify(int root_fd, const char *path, char out[DEPOT_SEAL_IDENTITY_BYTES])
{
	struct stat status;

	out[0] = '\0';
	return fstatat(root_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 && identify(&status, out);
}

static bool
names(const DepotSeal *seal, const char *path, const char *identity)
{
	json_t	   *encoded = depot_store_encode_path(path);
	const char *named = NULL;

	if (encoded != NULL)
		named = json_string_value(json_object_get(seal->files, json_string_value(encoded)));
	json_decref(encoded);
	return named != NULL && identity[0] != '\0' && strcmp(named, identity) == 0;
}

bool
depot_seal_holds(const DepotSeal *seal, int root_fd, const char *path)
{
	char		identity[DEPOT_SEAL_IDENTITY_BYTES];

	return depot_seal_identify(root_fd, path, identity) && names(seal, path, identity);
}

bool
depot_seal_add(DepotSeal *seal, const char *path, const char *identity, DepotError *error)
{
	json_t	   *encoded = depot_store_encode_path(path);
	bool		ok = encoded != NULL &&
	json_object_set_new(seal->files, json_string_value(encoded), json_string(identity)) == 0;

	json_decref(encoded);
	return ok || depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

void
depot_seal_remove(DepotSeal *seal, const char *path)
{
	json_t	   *encoded = depot_store_encode_path(path);

	if (encoded != NULL)
		(void) json_object_del(seal->files, json_string_value(encoded));
	json_decref(encoded);
}

/*----- the served tree ---------------------------------------------------------------*/

typedef struct SealSurvey
{
	const DepotSeal *seal;
	const DepotLayout *layout;
	const char *directory;		/* the place that is walked */
	StorePlace	place;
	DepotSealVisit visit;
	void	   *context;
	int		   *file_count;
} SealSurvey;

/* A DepotFilesVisit. */
static bool
visit_entry(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context, DepotError *error)
{
	SealSurvey *survey = context;
	char		served[DEPOT_SERVED_PATH_BYTES];
	char		identity[DEPOT_SEAL_IDENTITY_BYTES];
	const char *rest;
	int			length;

	(void) size_bytes;
	if (S_ISDIR(mode))
		return true;
	length = snprintf(served, sizeof(served), "%s/%s", survey->directory, path);
	if (length < 0 || (size_t) length >= sizeof(served))
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE, "a path below \"%s\" is too long", survey->directory);
	/* Where one place is inside the other, each is visited once. */
	if (depot_store_place(survey->layout, served, &rest) != survey->place)
		return true;
	(*survey->file_count)++;
	(void) depot_seal_identify(directory_fd, path, identity);
	return names(survey->seal, served, identity) || survey->visit(served, identity, survey->context, error);
}

/* Surveys one of the places of the served tree, which may be absent, or anything. */
static bool
survey_place(SealSurvey *survey, int root_fd, const char *directory, StorePlace place, DepotError *error)
{
	struct stat status;

	survey->directory = directory;
	survey->place = place;
	if (fstatat(root_fd, directory, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT || depot_error_set_errno(error, errno, "could not examine \"%s\"", directory);
	if (S_ISDIR(status.st_mode))
		return depot_files_walk(root_fd, directory, visit_entry, survey, error);
	(*survey->file_count)++;
	return survey->visit(directory, "", survey->context, error);
}

bool
depot_seal_survey(const DepotSeal *seal, int root_fd, const DepotLayout *layout, DepotSealVisit visit,
				  void *context, int *file_count, DepotError *error)
{
	SealSurvey	survey = {
		.seal = seal, .layout = layout, .visit = visit, .context = context, .file_count = file_count
	};

	*file_count = 0;
	return survey_place(&survey, root_fd, layout->lib, STORE_IN_LIB, error) &&
		survey_place(&survey, root_fd, layout->share, STORE_IN_SHARE, error) &&
		survey_place(&survey, root_fd, STORE_LICENSES, STORE_ELSEWHERE, error);
}
