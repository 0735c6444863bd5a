/*-------------------------------------------------------------------------
 *
 * buffer.c
 *	  A growing run of bytes in malloc'd memory.
 *
 * Capacity doubles, so a run built byte by byte costs linear time.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/buffer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY_BYTES 256

void
depot_buffer_init(DepotBuffer *buffer)
{
	memset(buffer, 0, sizeof(*buffer));
}

void
depot_buffer_free(DepotBuffer *buffer)
{
	free(buffer->data);
	depot_buffer_init(buffer);
}

void
depot_buffer_reset(DepotBuffer *buffer)
{
	buffer->length_bytes = 0;
	buffer->failed = false;
	if (buffer->data != NULL)
		buffer->data[0] = '\0';
}

/* Makes room for added_bytes more and the final NUL. */
static bool
reserve(DepotBuffer *buffer, size_t added_bytes)
{
	size_t		needed;
	size_t		capacity;
	char	   *data;

	if (buffer->failed)
		return false;
	if (added_bytes > SIZE_MAX / 4 || buffer->length_bytes > SIZE_MAX / 4)
	{
		buffer->failed = true;
		return false;
	}
	needed = buffer->length_bytes + added_bytes + 1;
	if (needed <= buffer->capacity_bytes)
		return true;
	capacity = buffer->capacity_bytes > 0 ? buffer->capacity_bytes : FIRST_CAPACITY_BYTES;
	while (capacity < needed)
		capacity *= 2;
	data = realloc(buffer->data, capacity);
	if (data == NULL)
	{
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->capacity_bytes = capacity;
	return true;
}

bool
depot_buffer_append(DepotBuffer *buffer, const void *bytes, size_t length_bytes)
{
	if (!reserve(buffer, length_bytes))
		return false;
	if (length_bytes > 0)
		memcpy(buffer->data + buffer->length_bytes, bytes, length_bytes);
	buffer->length_bytes += length_bytes;
	buffer->data[buffer->length_bytes] = '\0';
	return true;
}

bool
depot_buffer_append_string(DepotBuffer *buffer, const char *string)
{
	return depot_buffer_append(buffer, string, strlen(string));
}

bool
depot_buffer_append_format(DepotBuffer *buffer, const char *format,...)
{
	va_list		arguments;
	int			length;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (length < 0)
		buffer->failed = true;
	if (length < 0 || !reserve(buffer, (size_t) length))
		return false;
	va_start(arguments, format);
	vsnprintf(buffer->data + buffer->length_bytes, (size_t) length + 1, format, arguments);
	va_end(arguments);
	buffer->length_bytes += (size_t) length;
	return true;
}

void
depot_buffer_consume(DepotBuffer *buffer, size_t length_bytes)
{
	if (length_bytes > buffer->length_bytes)
		length_bytes = buffer->length_bytes;
	if (length_bytes == 0)
		return;
	memmove(buffer->data, buffer->data + length_bytes, buffer->length_bytes - length_bytes + 1);
	buffer->length_bytes -= length_bytes;
}
