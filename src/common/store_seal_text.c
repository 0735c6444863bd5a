/*-------------------------------------------------------------------------
 *
 * store_seal_text.c
 *	  The seal as text.
 *
 * Canonical JSON: a stamp, and what identifies each file by its path.  All
 * three are compared as texts and never taken apart, so a seal that somebody
 * else wrote can name no path and no number to work with.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/seal.h"
#include "common/store_internal.h"

/* What is wrong with a seal is told to nobody: it counts for nothing. */
#define FORMAT_CODE DEPOT_ERROR_METADATA_FORMAT

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

/* Takes over files (NULL: none). */
static DepotSeal *
make_seal(const char *stamp, json_t *files)
{
	DepotSeal  *seal = calloc(1, sizeof(*seal));

	if (seal == NULL)
	{
		json_decref(files);
		return NULL;
	}
	seal->stamp = strdup(stamp);
	seal->files = files != NULL ? files : json_pack("{}");
	if (seal->stamp != NULL && seal->files != NULL)
		return seal;
	depot_seal_free(seal);
	return NULL;
}

DepotSeal *
depot_seal_new(const char *stamp)
{
	return make_seal(stamp, NULL);
}

void
depot_seal_free(DepotSeal *seal)
{
	if (seal == NULL)
		return;
	free(seal->stamp);
	json_decref(seal->files);
	free(seal);
}

/* As depot_store_encode_path makes them. */
static bool
is_encoded(const char *path)
{
	for (; *path > ' ' && *path <= '~'; path++)
		;
	return *path == '\0';
}

static bool
is_identity(const json_t *value)
{
	const char *text = json_string_value(value);

	return text != NULL && strlen(text) < DEPOT_SEAL_IDENTITY_BYTES && text[strspn(text, "0123456789abcdef.:")] == '\0';
}

static bool
read_document(const json_t *document, const char *stamp, json_t **files, DepotError *error)
{
	int64_t		format = 0;
	const char *found = "";
	const char *path;
	json_t	   *identity;

	if (!depot_json_get_integer(document, "format", true, 0, &format, FORMAT_CODE, error))
		return false;
	if (format != DEPOT_SEAL_FORMAT)
		return depot_error_set(error, FORMAT_CODE, "another format");
	if (!depot_json_get_string(document, "stamp", true, &found, FORMAT_CODE, error) ||
		!depot_json_get_object(document, "files", true, files, FORMAT_CODE, error))
		return false;
	if (strcmp(found, stamp) != 0)
		return depot_error_set(error, FORMAT_CODE, "another server's seal");
	json_object_foreach(*files, path, identity)
	{
		if (!is_encoded(path) || !is_identity(identity))
			return depot_error_set(error, FORMAT_CODE, "what names or identifies a file does neither");
	}
	return true;
}

DepotSeal *
depot_seal_parse(const char *text, size_t length_bytes, const char *stamp, DepotError *error)
{
	json_t	   *document = depot_json_parse(text, length_bytes, FORMAT_CODE, "seal", error);
	json_t	   *files = NULL;
	DepotSeal  *seal = NULL;

	if (document != NULL && read_document(document, stamp, &files, error))
	{
		seal = make_seal(stamp, json_incref(files));
		if (seal == NULL)
			out_of_memory(error);
	}
	json_decref(document);
	return seal;
}

bool
depot_seal_format(const DepotSeal *seal, DepotBuffer *out, DepotError *error)
{
	json_t	   *document = json_pack("{s:i, s:s, s:O}", "format", DEPOT_SEAL_FORMAT, "stamp", seal->stamp,
									 "files", seal->files);
	bool		ok;

	if (document == NULL)
		return out_of_memory(error);
	ok = depot_json_canonical(document, out, FORMAT_CODE, error) &&
		(depot_buffer_append(out, "\n", 1) || out_of_memory(error));
	json_decref(document);
	return ok;
}
