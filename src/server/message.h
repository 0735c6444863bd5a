/*-------------------------------------------------------------------------
 *
 * message.h
 *	  JSON that the leader and its callers and agents exchange.
 *
 * Reading goes through jansson and lives in message.c alone, because jansson.h and
 * the server's own headers declare the same names.  A message is malloc'd: whoever
 * parses it frees it, and nothing in between may raise an error.  Writing is
 * plain string building (escape_json) at its callers.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_MESSAGE_H
#define DEPOT_MESSAGE_H

#include <stdint.h>

#include "common/error.h"
#include "common/manifest.h"

typedef struct DepotMessage DepotMessage;

/* Parses one JSON object; NULL and error when it is none. */
extern DepotMessage *depot_message_parse(const char *text, size_t length_bytes, DepotError *error);
extern void depot_message_free(DepotMessage *message);	/* NULL is fine */

/* Members by name: NULL, fallback or false when absent, null, or of another type. Strings are borrowed. */
extern const char *depot_message_string(const DepotMessage *message, const char *member);
extern int64_t depot_message_integer(const DepotMessage *message, const char *member, int64_t fallback);
extern bool depot_message_bool(const DepotMessage *message, const char *member);

/* An array member: its size (0 when there is none), and its elements as strings or as messages (borrowed). */
extern size_t depot_message_array_size(const DepotMessage *message, const char *member);
extern const char *depot_message_array_string(const DepotMessage *message, const char *member, size_t index);
extern const DepotMessage *depot_message_array_object(const DepotMessage *message, const char *member, size_t index);

/* A member as compact ASCII JSON text, malloc'd; NULL when absent or out of memory. */
extern char *depot_message_text(const DepotMessage *message, const char *member);

/* Reads a member that is a custom.pg_depot object, as depot_manifest_from_custom. */
extern DepotManifest *depot_message_member_manifest(const DepotMessage *message, const char *member, const char *target,
													char manifest_sha256[65], DepotError *error);

/* Reads the text of a custom.pg_depot object, as depot_manifest_from_custom. */
extern DepotManifest *depot_message_manifest(const char *custom, const char *target, char manifest_sha256[65],
											 DepotError *error);

#endif							/* DEPOT_MESSAGE_H */
