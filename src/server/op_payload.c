/*-------------------------------------------------------------------------
 *
 * op_payload.c
 *	  Operation: move a package between a staging directory and depot.payload.
 *
 * One batch at a time, each in a transaction of its own, between which the leader does
 * what else there is to do.  The file is read or written outside the transaction.  What is written
 * is not waited for: the commit of the rows that name it, which comes after it in the WAL, is.
 * Nothing of what is read is trusted: a check agent verifies it like a package from anywhere else.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/testpoint.h"
#include "server/catalog.h"
#include "server/job.h"
#include "server/settings.h"
#include "server/space.h"
#include "utils/memutils.h"

/* Pieces in a transaction, which so stays below 1 MB with what surrounds them. */
#define BATCH_CHUNKS 120
#define BATCH_BYTES (BATCH_CHUNKS * DEPOT_PAYLOAD_CHUNK_BYTES)

typedef struct Payload
{
	char	   *digest;
	int64		size_bytes;
	int64		done_bytes;
	int			directory_fd;
	bool		is_damaged;
	char	   *batch;
	DepotJobStep then;
} Payload;

static Payload *create(DepotJob *job, const char *digest, int64 size_bytes, int directory_fd, DepotJobStep then);
static void run(DepotJob *job, DepotJobStep step);
static void clear_place(DepotJob *job);
static void store_batch(DepotJob *job);
static void load_batch(DepotJob *job);
static void end(DepotJob *job);

static Payload *
create(DepotJob *job, const char *digest, int64 size_bytes, int directory_fd, DepotJobStep then)
{
	Payload    *payload = MemoryContextAllocZero(job->context, sizeof(Payload));

	payload->digest = MemoryContextStrdup(job->context, digest);
	payload->size_bytes = size_bytes;
	payload->directory_fd = directory_fd;
	payload->batch = MemoryContextAlloc(job->context, Max(Min(size_bytes, BATCH_BYTES), 1));
	payload->then = then;
	job->payload = payload;
	return payload;
}

/* Has a step taken, now and again. */
static void
run(DepotJob *job, DepotJobStep step)
{
	job->is_eager = true;
	job->on_wake = step;
	depot_job_transact(job, step);
}

static void
end(DepotJob *job)
{
	Payload    *payload = job->payload;

	job->is_eager = false;
	job->on_wake = NULL;
	pfree(payload->batch);
	payload->batch = NULL;
	payload->then(job);
}

/* The bytes of the batch that comes next. */
static Size
next_bytes(const Payload *payload)
{
	return (Size) Min(payload->size_bytes - payload->done_bytes, BATCH_BYTES);
}

/* ---- from a file to rows ---- */

void
depot_payload_store_begin(DepotJob *job, const char *digest, int64 size_bytes, int directory_fd, bool is_damaged,
						  DepotJobStep then)
{
	if (!depot_settings_replicate_payloads)
	{
		then(job);
		return;
	}
	depot_job_hold_payload(job, digest);
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_RECORDING, 0, size_bytes);
	create(job, digest, size_bytes, directory_fd, then)->is_damaged = is_damaged;
	run(job, clear_place);
}

/* All of it may be there already, or what a leader left that was killed while it wrote. */
static void
clear_place(DepotJob *job)
{
	Payload    *payload = job->payload;
	int64		found;
	int			removed = 0;

	depot_catalog_begin();
	depot_job_check_exists();
	found = depot_catalog_count_payload(payload->digest);
	if (found > 0 && (payload->is_damaged || found != DEPOT_PAYLOAD_CHUNKS(payload->size_bytes)))
		removed = depot_catalog_remove_payload(payload->digest, BATCH_CHUNKS);
	depot_catalog_commit_unflushed();
	if (removed > 0)
		return;
	if (found > 0)
	{
		end(job);
		return;
	}
	depot_space_check_table(payload->size_bytes);
	depot_test_point("payload_begin");
	run(job, store_batch);
}

static void
read_file(const Payload *payload, Size length)
{
	DepotError	error;
	Size		done = 0;
	ssize_t		count = 1;
	int			fd = depot_files_open(payload->directory_fd, DEPOT_PACKAGE_FILE, O_RDONLY, 0, &error);

	if (fd < 0)
		depot_job_raise(&error);
	while (done < length && count != 0)
	{
		count = pread(fd, payload->batch + done, length - done, payload->done_bytes + (off_t) done);
		if (count > 0)
			done += (Size) count;
		else if (count < 0 && errno != EINTR)
			break;
	}
	if (count < 0)
		depot_error_set_errno(&error, errno, "could not read a package in staging");
	else if (done < length)
		depot_error_set(&error, DEPOT_ERROR_IO, "a package in staging is shorter than it was when it was checked");
	(void) close(fd);
	if (done < length)
		depot_job_raise(&error);
}

static void
store_batch(DepotJob *job)
{
	Payload    *payload = job->payload;
	Size		length = next_bytes(payload);

	read_file(payload, length);
	depot_catalog_begin();
	depot_job_check_exists();
	depot_catalog_add_payload(payload->digest, (int) (payload->done_bytes / DEPOT_PAYLOAD_CHUNK_BYTES),
							  payload->batch, length);
	depot_catalog_commit_unflushed();
	depot_test_point("payload_batch");
	payload->done_bytes += (int64) length;
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_RECORDING, payload->done_bytes, payload->size_bytes);
	if (payload->done_bytes == payload->size_bytes)
		end(job);
}

/* ---- from rows to a file ---- */

void
depot_payload_load_begin(DepotJob *job, const char *digest, int64 size_bytes, int directory_fd, DepotJobStep then)
{
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_FETCHING, 0, size_bytes);
	(void) create(job, digest, size_bytes, directory_fd, then);
	run(job, load_batch);
}

static void
append_file(const Payload *payload, Size length)
{
	DepotError	error;
	bool		ok;
	int			fd = depot_files_open(payload->directory_fd, DEPOT_PACKAGE_FILE, O_WRONLY | O_CREAT | O_APPEND,
									  S_IRUSR | S_IWUSR, &error);

	if (fd < 0)
		depot_job_raise(&error);
	ok = depot_files_write_all(fd, payload->batch, length, &error);
	(void) close(fd);
	if (!ok)
		depot_job_raise(&error);
}

static void
load_batch(DepotJob *job)
{
	Payload    *payload = job->payload;
	Size		wanted = next_bytes(payload);
	Size		length;

	depot_catalog_begin();
	depot_job_check_exists();
	length = depot_catalog_read_payload(payload->digest, (int) (payload->done_bytes / DEPOT_PAYLOAD_CHUNK_BYTES),
										(int) DEPOT_PAYLOAD_CHUNKS(wanted), payload->batch, wanted);
	depot_catalog_commit();
	append_file(payload, length);
	payload->done_bytes += (int64) length;
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_FETCHING, payload->done_bytes, payload->size_bytes);
	depot_test_point("payload_read");
	if (length < wanted || payload->done_bytes == payload->size_bytes)
		end(job);
}

bool
depot_payload_is_loaded(DepotJob *job)
{
	const Payload *payload = job->payload;

	return payload->done_bytes == payload->size_bytes;
}
