/*-------------------------------------------------------------------------
 *
 * buffer.h
 *	  A growing run of bytes in malloc'd memory.
 *
 * The bytes are always followed by a NUL that length_bytes does not count, so
 * text can be used as a C string.  A failed append latches: the buffer keeps
 * what it has, failed becomes true and later appends do nothing, so a series
 * of appends needs one check at its end.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_BUFFER_H
#define DEPOT_BUFFER_H

#include <stddef.h>

#include "common/error.h"

typedef struct DepotBuffer
{
	char	   *data;			/* NULL until the first append */
	size_t		length_bytes;
	size_t		capacity_bytes;
	bool		failed;			/* out of memory at some append */
} DepotBuffer;

extern void depot_buffer_init(DepotBuffer *buffer);
extern void depot_buffer_free(DepotBuffer *buffer); /* back to the state of init */
extern void depot_buffer_reset(DepotBuffer *buffer);	/* length 0, memory kept */
extern bool depot_buffer_append(DepotBuffer *buffer, const void *bytes, size_t length_bytes);
extern bool depot_buffer_append_string(DepotBuffer *buffer, const char *string);
extern bool depot_buffer_append_format(DepotBuffer *buffer, const char *format,...) DEPOT_PRINTF(2, 3);

/* Removes the first length_bytes bytes. */
extern void depot_buffer_consume(DepotBuffer *buffer, size_t length_bytes);

#endif							/* DEPOT_BUFFER_H */
