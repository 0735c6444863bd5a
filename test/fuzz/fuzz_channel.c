/*-------------------------------------------------------------------------
 *
 * fuzz_channel.c
 *	  An agent's end of its socket: commands, each on a line.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz_file.h"

#include <jansson.h>

#include "cli/agent_channel.h"

/* Returns how long the line of a message is, without its newline. */
static size_t
text_bytes(const json_t *message)
{
	return json_dumpb(message, NULL, 0, JSON_COMPACT | JSON_ENSURE_ASCII);
}

/* Requires that a message sent is the message received. */
static void
check_echo(json_t *message)
{
	DepotChannel channel;
	DepotError	error = {0};
	json_t	   *received;
	int			fd = memfd_create("echo", MFD_CLOEXEC);

	FUZZ_REQUIRE(fd >= 0);
	depot_channel_init(&channel, fd);
	if (depot_channel_send(&channel, json_incref(message)))
	{
		FUZZ_REQUIRE(lseek(fd, 0, SEEK_END) == (off_t) text_bytes(message) + 1);
		FUZZ_REQUIRE(lseek(fd, 0, SEEK_SET) == 0);
		FUZZ_REQUIRE(depot_channel_read(&channel, &received, &error) == DEPOT_CHANNEL_MESSAGE);
		FUZZ_REQUIRE(json_equal(message, received));
		json_decref(received);
		FUZZ_REQUIRE(depot_channel_read(&channel, &received, &error) == DEPOT_CHANNEL_CLOSED && received == NULL);
	}
	else
		FUZZ_REQUIRE(text_bytes(message) >= DEPOT_CHANNEL_LINE_BYTES);
	depot_channel_free(&channel);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotChannel channel;
	DepotChannelStatus status;
	DepotError	error = {0};
	json_t	   *message;
	size_t		lines = 0;
	size_t		newlines = 0;

	for (size_t i = 0; i < size; i++)
		newlines += data[i] == '\n';
	depot_channel_init(&channel, fuzz_file(data, size));
	do
	{
		status = depot_channel_read(&channel, &message, &error);
		FUZZ_REQUIRE((status == DEPOT_CHANNEL_MESSAGE) == (message != NULL));
		if (message != NULL)
		{
			FUZZ_REQUIRE(json_is_object(message));
			check_echo(message);
			json_decref(message);
		}
		else
			fuzz_require_refusal(&error);
		lines += status == DEPOT_CHANNEL_MESSAGE || status == DEPOT_CHANNEL_INVALID;
	} while (status == DEPOT_CHANNEL_MESSAGE || status == DEPOT_CHANNEL_INVALID);
	/* Nothing but a line too long may end the reading before the end. */
	FUZZ_REQUIRE(status == DEPOT_CHANNEL_CLOSED ? lines == newlines : size >= DEPOT_CHANNEL_LINE_BYTES);
	FUZZ_REQUIRE(depot_channel_read(&channel, &message, &error) == status && message == NULL);
	depot_channel_free(&channel);
	return 0;
}
