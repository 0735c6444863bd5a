/*-------------------------------------------------------------------------
 *
 * agent_channel.c
 *	  An agent's end of its socket: one JSON object on one line.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "cli/agent_channel.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/json.h"

#define READ_BYTES 4096
/* As much is written at once: a good part of what a socket holds. */
#define FLUSH_BYTES 32768
#define DUMP_FLAGS (JSON_COMPACT | JSON_ENSURE_ASCII)

void
depot_channel_init(DepotChannel *channel, int fd)
{
	memset(channel, 0, sizeof(*channel));
	channel->fd = fd;
	depot_buffer_init(&channel->input);
	depot_buffer_init(&channel->output);
}

void
depot_channel_free(DepotChannel *channel)
{
	depot_buffer_free(&channel->input);
	depot_buffer_free(&channel->output);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static DepotChannelStatus
end_with_error(DepotChannel *channel, DepotError *error, const char *message)
{
	channel->state = DEPOT_CHANNEL_BROKEN;
	depot_error_set(error, DEPOT_ERROR_AGENT, "%s", message);
	return DEPOT_CHANNEL_BROKEN;
}

/* Parses the line of length bytes (without its newline) at the start of the input. */
static DepotChannelStatus
parse_line(DepotChannel *channel, size_t length, json_t **message, DepotError *error)
{
	channel->consumed_bytes = length + 1;
	*message = depot_json_parse(channel->input.data, length, DEPOT_ERROR_AGENT, "command line", error);
	if (*message != NULL && !json_is_object(*message))
	{
		json_decref(*message);
		*message = NULL;
		depot_error_set(error, DEPOT_ERROR_AGENT, "command line is not a JSON object");
	}
	return *message != NULL ? DEPOT_CHANNEL_MESSAGE : DEPOT_CHANNEL_INVALID;
}

DepotChannelStatus
depot_channel_read(DepotChannel *channel, json_t **message, DepotError *error)
{
	size_t		scanned = 0;

	*message = NULL;
	if (channel->state != DEPOT_CHANNEL_MESSAGE)
	{
		depot_error_set(error, DEPOT_ERROR_AGENT, "the leader is gone");
		return channel->state;
	}
	depot_buffer_consume(&channel->input, channel->consumed_bytes);
	channel->consumed_bytes = 0;
	for (;;)
	{
		char		bytes[READ_BYTES];
		const char *newline = NULL;
		ssize_t		n;

		if (channel->input.length_bytes > scanned)
			newline = memchr(channel->input.data + scanned, '\n', channel->input.length_bytes - scanned);
		if (newline != NULL && newline - channel->input.data < DEPOT_CHANNEL_LINE_BYTES)
			return parse_line(channel, (size_t) (newline - channel->input.data), message, error);
		scanned = channel->input.length_bytes;
		if (scanned >= DEPOT_CHANNEL_LINE_BYTES)
			return end_with_error(channel, error, "command line is too long");

		n = read(channel->fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return end_with_error(channel, error, "could not read from the leader");
		if (n == 0)
		{
			channel->state = DEPOT_CHANNEL_CLOSED;
			depot_error_set(error, DEPOT_ERROR_CANCELED, "the leader closed the connection");
			return DEPOT_CHANNEL_CLOSED;
		}
		if (!depot_buffer_append(&channel->input, bytes, (size_t) n))
			return end_with_error(channel, error, "out of memory");
	}
}

/* Writes what is queued. */
static bool
flush(DepotChannel *channel)
{
	size_t		sent = 0;

	while (sent < channel->output.length_bytes && channel->state == DEPOT_CHANNEL_MESSAGE)
	{
		ssize_t		n = write(channel->fd, channel->output.data + sent, channel->output.length_bytes - sent);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			channel->state = DEPOT_CHANNEL_CLOSED;
		else
			sent += (size_t) n;
	}
	depot_buffer_reset(&channel->output);
	return channel->state == DEPOT_CHANNEL_MESSAGE;
}

bool
depot_channel_queue(DepotChannel *channel, const char *line, size_t length)
{
	if (channel->state != DEPOT_CHANNEL_MESSAGE || length == 0 || length >= DEPOT_CHANNEL_LINE_BYTES ||
		!depot_buffer_append(&channel->output, line, length) || !depot_buffer_append(&channel->output, "\n", 1))
		return false;
	return channel->output.length_bytes < FLUSH_BYTES || flush(channel);
}

bool
depot_channel_send(DepotChannel *channel, json_t *message)
{
	char		line[DEPOT_CHANNEL_LINE_BYTES];
	const size_t length = message != NULL ? json_dumpb(message, line, sizeof(line), DUMP_FLAGS) : 0;

	json_decref(message);
	return depot_channel_queue(channel, line, length) && flush(channel);
}

json_t *
depot_channel_error_line(const DepotError *error)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "error",
					 "code", depot_error_wire_name(error->code), "message", error->message,
					 "detail", error->detail, "hint", error->hint);
}

bool
depot_channel_send_error(DepotChannel *channel, const DepotError *error)
{
	json_t	   *line = depot_channel_error_line(error);
	DepotError	unspeakable = {.code = error->code};

	/* texts that are no UTF-8 cannot be sent, and the leader waits for an answer */
	if (line == NULL)
	{
		snprintf(unspeakable.message, sizeof(unspeakable.message), "the agent failed and could not say why");
		line = depot_channel_error_line(&unspeakable);
	}
	return depot_channel_send(channel, line);
}

bool
depot_channel_send_warning(DepotChannel *channel, const char *format,...)
{
	char		message[DEPOT_ERROR_MESSAGE_BYTES];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	return depot_channel_send(channel, json_pack("{s:s, s:s}", "type", "warning", "message", message));
}

/* Tells whether the leader has closed its end. */
static bool
has_hung_up(const DepotChannel *channel)
{
	struct pollfd poll_fd = {.fd = channel->fd, .events = 0};

	return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

bool
depot_channel_send_progress(DepotChannel *channel, const char *phase, uint64_t bytes, uint64_t total)
{
	int64_t		now = now_ms();
	json_t	   *line;

	if (now < channel->next_progress_ms)
		return channel->state == DEPOT_CHANNEL_MESSAGE;
	channel->next_progress_ms = now + DEPOT_CHANNEL_PROGRESS_MS;
	if (has_hung_up(channel))
	{
		channel->state = DEPOT_CHANNEL_CLOSED;
		return false;
	}
	line = json_pack("{s:s, s:I, s:I}", "type", "progress", "bytes", (json_int_t) bytes,
					 "total", (json_int_t) total);
	if (line != NULL && phase != NULL && json_object_set_new(line, "phase", json_string(phase)) != 0)
	{
		json_decref(line);
		line = NULL;
	}
	return depot_channel_send(channel, line);
}
