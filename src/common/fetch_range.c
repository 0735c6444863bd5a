/*-------------------------------------------------------------------------
 *
 * fetch_range.c
 *	  Going on with a download that broke: what is kept, what is asked for, and whether the answer fits.
 *
 * Only files whose length and digest are known are pieced together, so a
 * wrong piece is found before the file is handed over; metadata, whose length
 * is not known, always comes anew.  The digest is also why another base may go
 * on where the last one broke: what is addressed by its digest has the same
 * bytes everywhere, or one of the bases serves something else.  Which one
 * cannot be told from a mixed file, so the base at hand is then asked for the
 * whole file, and only what it delivers in one piece counts against it.
 *
 * A validator (ETag, Last-Modified) belongs to the base that sent it and goes
 * back to no other.  Without one the digest has to do.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/fetch_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>


/*
 * A base that brings the file on by this much (or by a sixteenth of a smaller file) is worth staying with:
 * its retries are counted from the start again. One that sends a byte with each connection gets no more than
 * "retries". At worst, a base is tried (retries + 1) times for each such step of the file, and as often again
 * for the whole of it.
 */
#define STEP_BYTES UINT64_C(1048576)
#define STEPS_OF_SMALL_FILE 16

bool
depot_fetch_may_resume(const DepotFetchRequest *request)
{
	return request->expected_bytes > 0 && request->sha256 != NULL;
}

uint64_t
depot_fetch_step_bytes(const DepotFetchRequest *request)
{
	uint64_t	step_bytes = request->expected_bytes / STEPS_OF_SMALL_FILE + 1;

	return step_bytes < STEP_BYTES ? step_bytes : STEP_BYTES;
}

void
depot_fetch_part_forget(DepotFetchPart *part)
{
	part->bytes = 0;
	part->pieces = 0;
	part->validator_base = -1;
	part->validator[0] = '\0';
	depot_digest_begin(&part->digest);
}

bool
depot_fetch_part_rewind(const DepotFetchPart *part, int fd)
{
	return ftruncate(fd, (off_t) part->bytes) == 0 && lseek(fd, (off_t) part->bytes, SEEK_SET) >= 0;
}

/*----- what the answer says ---------------------------------------------------*/

/* Copies a header's value without blanks around it; false if it does not fit or is not printable ASCII. */
static bool
copy_value(const char *value, size_t length, char *out, size_t out_bytes)
{
	while (length > 0 && (*value == ' ' || *value == '\t'))
	{
		value++;
		length--;
	}
	while (length > 0 && strchr("\r\n \t", value[length - 1]) != NULL)
		length--;
	out[0] = '\0';
	if (length == 0 || length >= out_bytes)
		return false;
	for (size_t i = 0; i < length; i++)
		if (value[i] < ' ' || value[i] > '~')
			return false;
	memcpy(out, value, length);
	out[length] = '\0';
	return true;
}

/* Finds the value of a header line named name; NULL if it is another's. */
static const char *
value_of(const char *line, size_t length, const char *name)
{
	size_t		name_length = strlen(name);

	if (length <= name_length || line[name_length] != ':' || strncasecmp(line, name, name_length) != 0)
		return NULL;
	return line + name_length + 1;
}

void
depot_fetch_note_header(DepotFetchTransfer *transfer, const char *line, size_t length)
{
	const char *value;

	/* an interim answer, or a proxy's, may have come before this one */
	if (length > 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		transfer->content_ranges = 0;
		transfer->etag[0] = '\0';
		transfer->last_modified[0] = '\0';
	}
	else if ((value = value_of(line, length, "Content-Range")) != NULL)
	{
		(void) copy_value(value, length - (size_t) (value - line), transfer->content_range,
						  sizeof(transfer->content_range));
		transfer->content_ranges++;
	}
	else if ((value = value_of(line, length, "ETag")) != NULL)
		(void) copy_value(value, length - (size_t) (value - line), transfer->etag, sizeof(transfer->etag));
	else if ((value = value_of(line, length, "Last-Modified")) != NULL)
		(void) copy_value(value, length - (size_t) (value - line), transfer->last_modified,
						  sizeof(transfer->last_modified));
}

/* Reads digits up to the character stop, which is passed over; at most 18, so that they fit. */
static bool
read_number(const char **text, char stop, uint64_t *number)
{
	const char *p = *text;

	*number = 0;
	for (; *p >= '0' && *p <= '9' && p - *text < 18; p++)
		*number = *number * 10 + (uint64_t) (*p - '0');
	if (p == *text || *p != stop)
		return false;
	*text = stop != '\0' ? p + 1 : p;
	return true;
}

/* The validator of an answer: a strong tag (a weak one does not promise equal bytes), else the date. */
static const char *
validator_of(const DepotFetchTransfer *transfer)
{
	size_t		length = strlen(transfer->etag);

	if (length > 2 && transfer->etag[0] == '"' && transfer->etag[length - 1] == '"')
		return transfer->etag;
	return transfer->last_modified;
}

bool
depot_fetch_range_fits(const DepotFetchTransfer *transfer)
{
	const char *p = transfer->content_range;
	uint64_t	first;
	uint64_t	last;
	uint64_t	total;

	if (transfer->content_ranges != 1 || strncasecmp(p, "bytes ", 6) != 0)
		return false;
	p += 6;
	if (!read_number(&p, '-', &first) || !read_number(&p, '/', &last) ||
		first != transfer->start_bytes || last < first || last >= transfer->request->expected_bytes)
		return false;
	/* "*" is a server that does not know */
	if (strcmp(p, "*") != 0 && (!read_number(&p, '\0', &total) || total != transfer->request->expected_bytes))
		return false;
	/* a server that passes over If-Range gives another file away by its tag */
	return transfer->if_range == NULL || validator_of(transfer)[0] == '\0' ||
		strcmp(validator_of(transfer), transfer->if_range) == 0;
}

void
depot_fetch_part_begin_piece(DepotFetchTransfer *transfer)
{
	DepotFetchPart *part = transfer->part;
	const char *validator = validator_of(transfer);

	part->pieces++;
	/* an answer to If-Range that does not repeat the validator has confirmed it */
	if (validator[0] == '\0' && transfer->start_bytes > 0 && part->validator_base == transfer->base_index)
		return;
	(void) snprintf(part->validator, sizeof(part->validator), "%s", validator);
	part->validator_base = validator[0] != '\0' ? transfer->base_index : -1;
}

/*----- what is asked for ------------------------------------------------------*/

bool
depot_fetch_ask_range(DepotFetch *fetch, DepotFetchTransfer *transfer, DepotError *error)
{
	const DepotFetchPart *part = transfer->part;
	char		range[32];
	bool		ok = false;

	(void) snprintf(range, sizeof(range), "%" PRIu64 "-", part->bytes);
	if (part->bytes > 0 && part->validator_base == transfer->base_index)
	{
		if (!depot_fetch_add_header(transfer, "If-Range", part->validator, error))
			return false;
		transfer->if_range = part->validator;
	}

	/*
	 * Not CURLOPT_RESUME_FROM_LARGE: with it an answer of 200 is an error of libcurl's, and here it is the
	 * whole file.
	 */
	DEPOT_FETCH_SETOPT(CURLOPT_RANGE, part->bytes > 0 ? range : NULL);
	ok = true;
done:
	return ok;
}
