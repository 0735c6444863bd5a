/*-------------------------------------------------------------------------
 *
 * agent_channel.h
 *	  An agent's end of its socket: one JSON object on one line.
 *
 * Lines are at most 64 KiB both ways.  What the leader sends is parsed as
 * strictly as foreign bytes; a line that is no JSON object gets an error
 * line and the agent goes on, a line without an end does not.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_CHANNEL_H
#define DEPOT_AGENT_CHANNEL_H

#include <stdint.h>

#include <jansson.h>

#include "common/buffer.h"
#include "common/error.h"

#define DEPOT_CHANNEL_LINE_BYTES 65536	/* with the newline */
#define DEPOT_CHANNEL_PROTOCOL 1

/* At most five progress lines a second. */
#define DEPOT_CHANNEL_PROGRESS_MS 200

typedef enum DepotChannelStatus
{
	DEPOT_CHANNEL_MESSAGE,		/* an object was read */
	DEPOT_CHANNEL_INVALID,		/* a line that is none; error says why; the next one can be read */
	DEPOT_CHANNEL_CLOSED,		/* the leader closed its end */
	DEPOT_CHANNEL_BROKEN		/* a line that is too long, or an I/O error; error says which */
} DepotChannelStatus;

typedef struct DepotChannel
{
	int			fd;
	DepotBuffer input;
	DepotBuffer output;			/* lines that are not written yet */
	size_t		consumed_bytes; /* length of the line that the next read drops first */
	int64_t		next_progress_ms;
	DepotChannelStatus state;	/* MESSAGE while open; else nothing more is read or sent */
} DepotChannel;

extern void depot_channel_init(DepotChannel *channel, int fd);
extern void depot_channel_free(DepotChannel *channel);

/* Waits for the next line.  *message is a new reference when it returns MESSAGE, else NULL. */
extern DepotChannelStatus depot_channel_read(DepotChannel *channel, json_t **message, DepotError *error);

/*
 * Writes message as one line and drops the caller's reference. False when it is NULL (out of memory while it
 * was made), does not fit a line, or the leader is gone.
 */
extern bool depot_channel_send(DepotChannel *channel, json_t *message);

/*
 * Writes a line that the caller has made, without its newline, together with others of its kind: soon, or
 * before the next line of another function. False when it does not fit a line, or the leader is gone.
 */
extern bool depot_channel_queue(DepotChannel *channel, const char *line, size_t length);

/* Returns the line of an error, which the caller releases; NULL without memory, or when a text is no UTF-8. */
extern json_t *depot_channel_error_line(const DepotError *error);

extern bool depot_channel_send_error(DepotChannel *channel, const DepotError *error);
extern bool depot_channel_send_warning(DepotChannel *channel, const char *format,...) DEPOT_PRINTF(2, 3);

/*
 * Writes a progress line unless one was written a moment ago; phase may be NULL.  Returns false when the
 * leader is gone, so that long work ends with it.
 */
extern bool depot_channel_send_progress(DepotChannel *channel, const char *phase, uint64_t bytes,
										uint64_t total);

#endif							/* DEPOT_AGENT_CHANNEL_H */
