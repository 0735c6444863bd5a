/*-------------------------------------------------------------------------
 *
 * error.c
 *	  Errors as values: setting them, and the table of codes.
 *
 * Texts that do not fit are cut, never refused: an error about an error helps
 * nobody.  A cut never leaves half a UTF-8 character behind, because the text
 * may become a JSON string or a server message.  A NULL error is allowed
 * everywhere and means that the caller wants the answer without the reason.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Names of codes that are not in the table: success, and numbers from nowhere. */
#define OK_WIRE_NAME "ok"
#define OK_SQLSTATE "00000"

typedef struct ErrorCodeEntry
{
	DepotErrorCode code;
	const char *wire_name;
	const char *sqlstate;
} ErrorCodeEntry;

static const ErrorCodeEntry error_codes[] = {
#define X(suffix, wire, sqlstate) {DEPOT_ERROR_##suffix, wire, sqlstate},
	DEPOT_ERROR_CODES(X)
#undef X
};

#define ERROR_CODE_COUNT (sizeof(error_codes) / sizeof(error_codes[0]))

/* Removes a UTF-8 character at the end of text that lacks its last bytes. */
static void
trim_cut_character(char *text)
{
	size_t		length = strlen(text);
	size_t		tail = 0;
	size_t		wanted;
	unsigned char lead;

	while (tail < 3 && tail < length && ((unsigned char) text[length - 1 - tail] & 0xC0) == 0x80)
		tail++;
	if (tail == length)
		return;
	lead = (unsigned char) text[length - 1 - tail];
	if (lead < 0xC0)
		return;
	if (lead < 0xE0)
		wanted = 1;
	else if (lead < 0xF0)
		wanted = 2;
	else
		wanted = 3;
	if (tail < wanted)
		text[length - 1 - tail] = '\0';
}

/* Formats into out; arguments may point into out itself. */
static void
DEPOT_PRINTF(3, 0)
format_text(char *out, size_t out_bytes, const char *format, va_list arguments)
{
	char		text[DEPOT_ERROR_DETAIL_BYTES];
	size_t		length;

	if (vsnprintf(text, sizeof(text), format, arguments) < 0)
		text[0] = '\0';
	length = strlen(text);
	if (length >= out_bytes)
		length = out_bytes - 1;
	text[length] = '\0';
	trim_cut_character(text);
	memcpy(out, text, strlen(text) + 1);
}

/* Puts head before tail into out, cutting head rather than tail: the end of a message says what is wrong. */
static void
join_texts(char *out, size_t out_bytes, char *head, const char *tail)
{
	size_t		tail_length = strlen(tail);
	size_t		head_length = strlen(head);

	if (tail_length >= out_bytes)
		tail_length = out_bytes - 1;
	if (head_length > out_bytes - 1 - tail_length)
	{
		head[out_bytes - 1 - tail_length] = '\0';
		trim_cut_character(head);
		head_length = strlen(head);
	}
	memcpy(out + head_length, tail, tail_length);
	memcpy(out, head, head_length);
	out[head_length + tail_length] = '\0';
}

bool
depot_error_set(DepotError *error, DepotErrorCode code, const char *format,...)
{
	va_list		arguments;

	if (error == NULL)
		return false;
	va_start(arguments, format);
	format_text(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	error->code = code;
	error->detail[0] = '\0';
	error->hint[0] = '\0';
	return false;
}

static DepotErrorCode
code_of_errno(int saved_errno)
{
	switch (saved_errno)
	{
		case ENOSPC:
		case EDQUOT:
			return DEPOT_ERROR_DISK_FULL;
		case ENOENT:
			return DEPOT_ERROR_FILE_MISSING;
		case EEXIST:
			return DEPOT_ERROR_FILE_EXISTS;
		case ENOMEM:
			return DEPOT_ERROR_OUT_OF_MEMORY;
		default:
			return DEPOT_ERROR_IO;
	}
}

bool
depot_error_set_errno(DepotError *error, int saved_errno, const char *format,...)
{
	va_list		arguments;
	char		head[DEPOT_ERROR_MESSAGE_BYTES];
	char		reason[128];
	char		tail[sizeof(reason) + 2];

	if (error == NULL)
		return false;
	va_start(arguments, format);
	format_text(head, sizeof(head), format, arguments);
	va_end(arguments);
	snprintf(tail, sizeof(tail), ": %s", strerror_r(saved_errno, reason, sizeof(reason)));
	join_texts(error->message, sizeof(error->message), head, tail);
	error->code = code_of_errno(saved_errno);
	error->detail[0] = '\0';
	error->hint[0] = '\0';
	return false;
}

bool
depot_error_detail(DepotError *error, const char *format,...)
{
	va_list		arguments;

	if (error == NULL)
		return false;
	va_start(arguments, format);
	format_text(error->detail, sizeof(error->detail), format, arguments);
	va_end(arguments);
	return false;
}

bool
depot_error_hint(DepotError *error, const char *format,...)
{
	va_list		arguments;

	if (error == NULL)
		return false;
	va_start(arguments, format);
	format_text(error->hint, sizeof(error->hint), format, arguments);
	va_end(arguments);
	return false;
}

bool
depot_error_prefix(DepotError *error, const char *format,...)
{
	va_list		arguments;
	char		head[DEPOT_ERROR_MESSAGE_BYTES];
	char		tail[DEPOT_ERROR_MESSAGE_BYTES + 2];

	if (error == NULL)
		return false;
	va_start(arguments, format);
	format_text(head, sizeof(head), format, arguments);
	va_end(arguments);
	snprintf(tail, sizeof(tail), ": %s", error->message);
	join_texts(error->message, sizeof(error->message), head, tail);
	return false;
}

static const ErrorCodeEntry *
find_code(DepotErrorCode code)
{
	for (size_t i = 0; i < ERROR_CODE_COUNT; i++)
	{
		if (error_codes[i].code == code)
			return &error_codes[i];
	}
	return code == DEPOT_ERROR_AGENT ? NULL : find_code(DEPOT_ERROR_AGENT);
}

const char *
depot_error_wire_name(DepotErrorCode code)
{
	return code == DEPOT_OK ? OK_WIRE_NAME : find_code(code)->wire_name;
}

const char *
depot_error_sqlstate(DepotErrorCode code)
{
	return code == DEPOT_OK ? OK_SQLSTATE : find_code(code)->sqlstate;
}

DepotErrorCode
depot_error_from_wire_name(const char *name)
{
	if (name != NULL)
	{
		for (size_t i = 0; i < ERROR_CODE_COUNT; i++)
		{
			if (strcmp(error_codes[i].wire_name, name) == 0)
				return error_codes[i].code;
		}
	}
	return DEPOT_ERROR_AGENT;
}
