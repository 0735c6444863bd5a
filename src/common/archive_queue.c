/*-------------------------------------------------------------------------
 *
 * archive_queue.c
 *	  What a sink is told, done by a second thread.
 *
 * To undo zstd and to compute digests keeps one processor busy, to create and write
 * files another.  The reader's calls are noted in a batch, with a copy of their bytes; while one
 * batch is filled, the thread carries out the other.  The sink sees the same calls in the
 * same order as without, only later, and a failure is told to one of the
 * reader's next calls, at the latest to depot_archive_queue_finish.
 *
 * The thread allocates nothing and touches nothing but the queue and the sink's context.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/archive_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t) 1024 * 1024)
#define STACK_BYTES ((size_t) 512 * 1024)

typedef enum OrderKind
{
	ORDER_BEGIN_FILE,
	ORDER_WRITE,
	ORDER_END_FILE
} OrderKind;

/* Stands in a batch before its bytes: a path with its final NUL, or what is to be written. */
typedef struct Order
{
	OrderKind	kind;
	uint32_t	mode;
	size_t		length_bytes;
} Order;

typedef struct Batch
{
	size_t		length_bytes;
	unsigned char bytes[BATCH_BYTES];
} Batch;

struct ArchiveQueue
{
	const ArchiveSink *sink;
	pthread_t	thread;
	Batch		batches[2];
	int			filling;		/* the reader's batch; the other one is the thread's while is_given */

	/* The lock guards what follows; whoever changes it signals. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool		is_given;		/* the thread has, or is to take, a batch */
	bool		is_last;		/* none will follow */
	bool		failed;
	DepotError	error;
};

static bool
carry_out(const ArchiveSink *sink, const Order *order, const unsigned char *bytes, DepotError *error)
{
	switch (order->kind)
	{
		case ORDER_BEGIN_FILE:
			return sink->begin_file((const char *) bytes, order->mode, sink->context, error);
		case ORDER_WRITE:
			return sink->write(bytes, order->length_bytes, sink->context, error);
		case ORDER_END_FILE:
			break;
	}
	return sink->end_file(sink->context, error);
}

static bool
carry_out_batch(const ArchiveSink *sink, const Batch *batch, DepotError *error)
{
	for (size_t at = 0; at < batch->length_bytes;)
	{
		Order		order;

		/* Copied, as it may stand at any address. */
		memcpy(&order, batch->bytes + at, sizeof(order));
		at += sizeof(order);
		if (!carry_out(sink, &order, batch->bytes + at, error))
			return false;
		at += order.length_bytes;
	}
	return true;
}

static void *
run_thread(void *argument)
{
	ArchiveQueue *queue = argument;
	bool		ok = true;

	pthread_mutex_lock(&queue->lock);
	for (;;)
	{
		const Batch *batch;

		while (!queue->is_given && !queue->is_last)
			pthread_cond_wait(&queue->changed, &queue->lock);
		if (!queue->is_given)
			break;
		batch = &queue->batches[1 - queue->filling];
		pthread_mutex_unlock(&queue->lock);
		/* After a failure the sink hears of nothing any more. */
		ok = ok && carry_out_batch(queue->sink, batch, &queue->error);
		pthread_mutex_lock(&queue->lock);
		queue->failed = !ok;
		queue->is_given = false;
		pthread_cond_signal(&queue->changed);
	}
	pthread_mutex_unlock(&queue->lock);
	return NULL;
}

/* Gives the thread the batch that was filled, when it is done with the one before. */
static bool
give_batch(ArchiveQueue *queue, DepotError *error)
{
	bool		ok;

	pthread_mutex_lock(&queue->lock);
	while (queue->is_given)
		pthread_cond_wait(&queue->changed, &queue->lock);
	ok = !queue->failed;
	if (ok)
	{
		queue->is_given = true;
		queue->filling = 1 - queue->filling;
		queue->batches[queue->filling].length_bytes = 0;
		pthread_cond_signal(&queue->changed);
	}
	else if (error != NULL)
		*error = queue->error;
	pthread_mutex_unlock(&queue->lock);
	return ok;
}

static bool
add_order(ArchiveQueue *queue, OrderKind kind, uint32_t mode, const void *bytes, size_t length_bytes,
		  DepotError *error)
{
	const Order order = {.kind = kind, .mode = mode, .length_bytes = length_bytes};
	Batch	   *batch = &queue->batches[queue->filling];

	if (sizeof(order) + length_bytes > BATCH_BYTES - batch->length_bytes)
	{
		if (!give_batch(queue, error))
			return false;
		batch = &queue->batches[queue->filling];
	}
	memcpy(batch->bytes + batch->length_bytes, &order, sizeof(order));
	batch->length_bytes += sizeof(order);
	if (length_bytes > 0)
		memcpy(batch->bytes + batch->length_bytes, bytes, length_bytes);
	batch->length_bytes += length_bytes;
	return true;
}

/*----- the sink that the reader sees ----------------------------------------------*/

/* Called before there is any order, so the thread is waiting. */
static bool
begin(const DepotManifest *manifest, void *context, DepotError *error)
{
	ArchiveQueue *queue = context;

	return queue->sink->begin(manifest, queue->sink->context, error);
}

static bool
begin_file(const char *path, uint32_t mode, void *context, DepotError *error)
{
	return add_order(context, ORDER_BEGIN_FILE, mode, path, strlen(path) + 1, error);
}

static bool
write_file(const void *bytes, size_t length, void *context, DepotError *error)
{
	const size_t most = BATCH_BYTES - sizeof(Order);

	for (size_t done = 0; done < length;)
	{
		size_t		piece = length - done < most ? length - done : most;

		if (!add_order(context, ORDER_WRITE, 0, (const unsigned char *) bytes + done, piece, error))
			return false;
		done += piece;
	}
	return true;
}

static bool
end_file(void *context, DepotError *error)
{
	return add_order(context, ORDER_END_FILE, 0, NULL, 0, error);
}

/*----- beginning and end --------------------------------------------------------------*/

static bool
start_thread(ArchiveQueue *queue)
{
	pthread_attr_t attributes;
	bool		ok;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	/* the default, eight megabytes, counts against the address space an agent may have */
	ok = pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
		pthread_create(&queue->thread, &attributes, run_thread, queue) == 0;
	pthread_attr_destroy(&attributes);
	return ok;
}

ArchiveQueue *
depot_archive_queue_start(const ArchiveSink *sink, ArchiveSink *queue_sink)
{
	ArchiveQueue *queue = malloc(sizeof(*queue));

	if (queue == NULL)
		return NULL;
	queue->sink = sink;
	queue->filling = 0;
	queue->batches[0].length_bytes = 0;
	queue->is_given = false;
	queue->is_last = false;
	queue->failed = false;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->changed, NULL);
	*queue_sink = (ArchiveSink)
	{
		.begin = begin,
			.begin_file = begin_file,
			.write = write_file,
			.end_file = end_file,
			.context = queue
	};
	if (start_thread(queue))
		return queue;
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
	return NULL;
}

bool
depot_archive_queue_finish(ArchiveQueue *queue, DepotError *error)
{
	bool		ok = queue->batches[queue->filling].length_bytes == 0 || give_batch(queue, NULL);

	pthread_mutex_lock(&queue->lock);
	queue->is_last = true;
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	(void) pthread_join(queue->thread, NULL);
	ok = ok && !queue->failed;
	if (!ok && error != NULL)
		*error = queue->error;
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
	return ok;
}
