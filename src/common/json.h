/*-------------------------------------------------------------------------
 *
 * json.h
 *	  Strict JSON on top of jansson, and OLPC canonical JSON.
 *
 * depot_json_parse refuses what jansson alone would take or leave to the
 * reader: duplicate members, trailing bytes, \u0000, lone surrogates, integers
 * beyond 2^53-1, and nesting deeper than 64 (checked before jansson sees a
 * byte).  The text is one object or one array.
 * The getters return false with METADATA_FORMAT-like errors that name the
 * member; the code to use is given by the caller, as the same getters serve
 * metadata, manifests and agent lines.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_JSON_H
#define DEPOT_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

#define DEPOT_JSON_MAX_DEPTH 64
#define DEPOT_JSON_MAX_INTEGER INT64_C(9007199254740991)

/*
 * Parses text.  Returns a new reference, or NULL with code and a message that
 * begins with what ("snapshot metadata") and gives the position, never the
 * text itself.
 */
extern json_t *depot_json_parse(const char *text, size_t length_bytes, DepotErrorCode code,
								const char *what, DepotError *error);

/* A member of the outermost object, and its value's bytes, which are the parsed text's. */
typedef struct DepotJsonMember
{
	const char *name;			/* set before */
	const char *text;			/* NULL: it is not there, or it was not noted where */
	size_t		length_bytes;
	bool		is_canonical;	/* these bytes are what depot_json_canonical would make of the value */
} DepotJsonMember;

/* What depot_json_parse does; and fills member (not its name) when text is written as programs write it. */
extern json_t *depot_json_parse_member(const char *text, size_t length_bytes, DepotJsonMember *member,
									   DepotErrorCode code, const char *what, DepotError *error);

/*
 * Appends canonical JSON (http://wiki.laptop.org/go/Canonical_JSON).  Reals,
 * integers beyond 2^53-1 and nesting deeper than 64 are errors; out may then
 * hold a part of the text.
 */
extern bool depot_json_canonical(const json_t *value, DepotBuffer *out, DepotErrorCode code,
								 DepotError *error);

/*
 * Appends value as compact ASCII JSON: what json_dumps makes with JSON_COMPACT and JSON_ENSURE_ASCII.  False when out
 * would have more than limit_bytes bytes, or there is no memory; out then holds a part of the text.
 */
extern bool depot_json_append_text(const json_t *value, size_t limit_bytes, DepotBuffer *out);

/*
 * Typed members of an object.  Strings are borrowed from the object.  With
 * required false an absent member leaves *out alone (set the default before)
 * and returns true; a wrong type is always an error.
 */
extern bool depot_json_get_string(const json_t *object, const char *member, bool required, const char **out,
								  DepotErrorCode code, DepotError *error);
extern bool depot_json_get_integer(const json_t *object, const char *member, bool required, int64_t minimum,
								   int64_t *out, DepotErrorCode code, DepotError *error);
extern bool depot_json_get_bool(const json_t *object, const char *member, bool required, bool *out,
								DepotErrorCode code, DepotError *error);
extern bool depot_json_get_array(const json_t *object, const char *member, bool required, json_t **out,
								 DepotErrorCode code, DepotError *error);
extern bool depot_json_get_object(const json_t *object, const char *member, bool required, json_t **out,
								  DepotErrorCode code, DepotError *error);

/* Fails when object has a member that is not in allowed (NULL-terminated). */
extern bool depot_json_only_members(const json_t *object, const char *const *allowed, const char *what,
									DepotErrorCode code, DepotError *error);

#endif							/* DEPOT_JSON_H */
