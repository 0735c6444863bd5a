/*-------------------------------------------------------------------------
 *
 * message.c
 *	  JSON that the leader and its callers and agents exchange.
 *
 * A DepotMessage is a json_t under another name.  postgres.h is not included
 * here: see message.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "server/message.h"

static const json_t *
member_of(const DepotMessage *message, const char *member)
{
	return json_object_get((const json_t *) message, member);
}

DepotMessage *
depot_message_parse(const char *text, size_t length_bytes, DepotError *error)
{
	json_t	   *value = depot_json_parse(text, length_bytes, DEPOT_ERROR_AGENT, "message", error);

	if (value != NULL && !json_is_object(value))
	{
		json_decref(value);
		depot_error_set(error, DEPOT_ERROR_AGENT, "message is not a JSON object");
		return NULL;
	}
	return (DepotMessage *) value;
}

void
depot_message_free(DepotMessage *message)
{
	json_decref((json_t *) message);
}

const char *
depot_message_string(const DepotMessage *message, const char *member)
{
	return json_string_value(member_of(message, member));
}

int64_t
depot_message_integer(const DepotMessage *message, const char *member, int64_t fallback)
{
	const json_t *value = member_of(message, member);

	return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool
depot_message_bool(const DepotMessage *message, const char *member)
{
	return json_is_true(member_of(message, member));
}

size_t
depot_message_array_size(const DepotMessage *message, const char *member)
{
	return json_array_size(member_of(message, member));
}

const char *
depot_message_array_string(const DepotMessage *message, const char *member, size_t index)
{
	return json_string_value(json_array_get(member_of(message, member), index));
}

const DepotMessage *
depot_message_array_object(const DepotMessage *message, const char *member, size_t index)
{
	const json_t *value = json_array_get(member_of(message, member), index);

	return json_is_object(value) ? (const DepotMessage *) value : NULL;
}

char *
depot_message_text(const DepotMessage *message, const char *member)
{
	const json_t *value = member_of(message, member);
	DepotBuffer text;

	if (value == NULL)
		return NULL;
	depot_buffer_init(&text);
	if (!depot_json_append_text(value, SIZE_MAX, &text))
		depot_buffer_free(&text);
	return text.data;
}

DepotManifest *
depot_message_member_manifest(const DepotMessage *message, const char *member, const char *target,
							  char manifest_sha256[65], DepotError *error)
{
	return depot_manifest_from_custom(member_of(message, member), target, manifest_sha256, error);
}

DepotManifest *
depot_message_manifest(const char *custom, const char *target, char manifest_sha256[65], DepotError *error)
{
	DepotManifest *manifest;
	json_t	   *object = depot_json_parse(custom, strlen(custom), DEPOT_ERROR_MANIFEST, "custom.pg_depot", error);

	if (object == NULL)
		return NULL;
	manifest = depot_manifest_from_custom(object, target, manifest_sha256, error);
	json_decref(object);
	return manifest;
}
