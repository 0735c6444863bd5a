/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Requests in shared memory: the board between callers and the leader.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "server/compat.h"
#include "server/shmem.h"
#include "server/shmem_internal.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

DepotBoard *depot_shmem_board = NULL;
LWLock	   *depot_shmem_board_lock = NULL;
const char *depot_shmem_home_database = "";
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void request_shmem(void);
static void start_shmem(void);

void
depot_shmem_register(const char *database)
{
	depot_shmem_home_database = database;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shmem;
}

static void
request_shmem(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(DepotBoard)));
	RequestNamedLWLockTranche("pg_depot", 1);
	depot_shmem_request_use();
	depot_shmem_request_nodes();
}

static void
start_shmem(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	depot_shmem_board = ShmemInitStruct("pg_depot", sizeof(DepotBoard), &found);
	if (!found)
		memset(depot_shmem_board, 0, sizeof(DepotBoard));
	depot_shmem_board_lock = &GetNamedLWLockTranche("pg_depot")->lock;
	depot_shmem_start_use();
	depot_shmem_start_nodes();
	LWLockRelease(AddinShmemInitLock);
}

bool
depot_shmem_is_attached(void)
{
	return depot_shmem_board != NULL;
}

void
depot_shmem_wake(pid_t pid)
{
	PGPROC	   *proc = pid != 0 ? BackendPidGetProc(pid) : NULL;

	if (proc != NULL)
		SetLatch(&proc->procLatch);
}

int
depot_shmem_claim(void)
{
	int			index = -1;

	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	for (int i = 0; i < DEPOT_SLOT_COUNT && index < 0; i++)
	{
		DepotSlot  *slot = &depot_shmem_board->slots[i];

		if (slot->state != DEPOT_SLOT_FREE)
			continue;
		index = i;
		memset(slot, 0, offsetof(DepotSlot, result));
		slot->state = DEPOT_SLOT_CLAIMED;
		slot->id = ++depot_shmem_board->last_request_id;
		slot->caller_pid = MyProcPid;
		slot->role = GetUserId();
		slot->database = MyDatabaseId;
		slot->started_at = GetCurrentTimestamp();
		slot->argument_segment = DSM_HANDLE_INVALID;
		slot->result_segment = DSM_HANDLE_INVALID;
	}
	LWLockRelease(depot_shmem_board_lock);
	return index;
}

/* argument is copied when it fits and argument_segment is invalid; otherwise it is in the segment. */
void
depot_shmem_submit(int index, DepotRequestKind kind, const char *subject,
				   const char *argument, Size argument_bytes, dsm_handle argument_segment)
{
	DepotSlot  *slot = &depot_shmem_board->slots[index];
	pid_t		leader_pid;

	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	slot->kind = kind;
	strlcpy(slot->subject, subject, sizeof(slot->subject));
	slot->argument_segment = argument_segment;
	slot->argument_bytes = argument_bytes;
	if (argument_segment == DSM_HANDLE_INVALID)
	{
		Assert(argument_bytes <= DEPOT_SLOT_ARGUMENT_BYTES);
		memcpy(slot->argument, argument, argument_bytes);
	}
	slot->state = DEPOT_SLOT_SUBMITTED;
	leader_pid = depot_shmem_board->leader_pid;
	LWLockRelease(depot_shmem_board_lock);
	depot_shmem_wake(leader_pid);
}

void
depot_shmem_read(int index, DepotSlot *slot)
{
	LWLockAcquire(depot_shmem_board_lock, LW_SHARED);
	memcpy(slot, &depot_shmem_board->slots[index], offsetof(DepotSlot, result));
	if (slot->state == DEPOT_SLOT_ANSWERED && !slot->has_failed && slot->result_bytes <= DEPOT_SLOT_RESULT_BYTES)
		memcpy(slot->result, depot_shmem_board->slots[index].result, slot->result_bytes);
	LWLockRelease(depot_shmem_board_lock);
}

void
depot_shmem_offer_segment(int index, dsm_handle segment)
{
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	depot_shmem_board->slots[index].result_segment = segment;
	LWLockRelease(depot_shmem_board_lock);
	depot_shmem_wake_leader();
}

void
depot_shmem_release(int index)
{
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	depot_shmem_board->slots[index].state = DEPOT_SLOT_FREE;
	LWLockRelease(depot_shmem_board_lock);
}

/* Without a leader nobody else would release it. */
void
depot_shmem_abandon(int index)
{
	DepotSlot  *slot = &depot_shmem_board->slots[index];
	bool		leader_has_it;

	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	leader_has_it = depot_shmem_board->leader_pid != 0 &&
		(slot->state == DEPOT_SLOT_RUNNING || slot->state == DEPOT_SLOT_COMMITTING ||
		 slot->state == DEPOT_SLOT_RESULT_WAITS);
	if (leader_has_it)
		slot->is_abandoned = true;
	else
		slot->state = DEPOT_SLOT_FREE;
	LWLockRelease(depot_shmem_board_lock);
	if (leader_has_it)
		depot_shmem_wake_leader();
}

int
depot_shmem_take(DepotSlot *taken)
{
	int			index = -1;

	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	for (int i = 0; i < DEPOT_SLOT_COUNT; i++)
		if (depot_shmem_board->slots[i].state == DEPOT_SLOT_SUBMITTED &&
			(index < 0 || depot_shmem_board->slots[i].id < depot_shmem_board->slots[index].id))
			index = i;
	if (index >= 0)
	{
		depot_shmem_board->slots[index].state = DEPOT_SLOT_RUNNING;
		memcpy(taken, &depot_shmem_board->slots[index], offsetof(DepotSlot, result));
	}
	LWLockRelease(depot_shmem_board_lock);
	return index;
}

void
depot_shmem_set_phase(int index, DepotPhase phase, int64 bytes_done, int64 bytes_total)
{
	if (index < 0)
		return;
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	depot_shmem_board->slots[index].phase = phase;
	depot_shmem_board->slots[index].bytes_done = bytes_done;
	depot_shmem_board->slots[index].bytes_total = bytes_total;
	LWLockRelease(depot_shmem_board_lock);
}

bool
depot_shmem_is_abandoned(int index)
{
	bool		is_abandoned;

	if (index < 0)
		return false;
	LWLockAcquire(depot_shmem_board_lock, LW_SHARED);
	is_abandoned = depot_shmem_board->slots[index].is_abandoned;
	LWLockRelease(depot_shmem_board_lock);
	return is_abandoned;
}

bool
depot_shmem_begin_commit(int index)
{
	bool		may_commit;

	if (index < 0)
		return true;
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	may_commit = !depot_shmem_board->slots[index].is_abandoned;
	if (may_commit)
		depot_shmem_board->slots[index].state = DEPOT_SLOT_COMMITTING;
	LWLockRelease(depot_shmem_board_lock);
	return may_commit;
}

void
depot_shmem_cancel_commit(int index)
{
	if (index < 0)
		return;
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	if (depot_shmem_board->slots[index].state == DEPOT_SLOT_COMMITTING)
		depot_shmem_board->slots[index].state = DEPOT_SLOT_RUNNING;
	LWLockRelease(depot_shmem_board_lock);
}

pid_t
depot_shmem_caller(int index)
{
	pid_t		pid;

	LWLockAcquire(depot_shmem_board_lock, LW_SHARED);
	pid = depot_shmem_board->slots[index].caller_pid;
	LWLockRelease(depot_shmem_board_lock);
	return pid;
}

pid_t
depot_shmem_finish_slot(DepotSlot *slot)
{
	if (slot->is_abandoned)
	{
		slot->state = DEPOT_SLOT_FREE;
		return 0;
	}
	slot->state = DEPOT_SLOT_ANSWERED;
	return slot->caller_pid;
}

void
depot_shmem_answer_error(int index, const DepotReport *report)
{
	DepotSlot  *slot = &depot_shmem_board->slots[index];
	pid_t		caller_pid;

	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	slot->has_failed = true;
	slot->report = *report;
	caller_pid = depot_shmem_finish_slot(slot);
	LWLockRelease(depot_shmem_board_lock);
	depot_shmem_wake(caller_pid);
}

bool
depot_shmem_answer(int index, const char *result, Size result_bytes)
{
	DepotSlot  *slot = &depot_shmem_board->slots[index];
	bool		fits = result_bytes <= DEPOT_SLOT_RESULT_BYTES;
	pid_t		caller_pid;

	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	slot->result_bytes = result_bytes;
	if (fits)
		memcpy(slot->result, result, result_bytes);
	if (fits || slot->is_abandoned)
	{
		fits = true;
		caller_pid = depot_shmem_finish_slot(slot);
	}
	else
	{
		slot->state = DEPOT_SLOT_RESULT_WAITS;
		caller_pid = slot->caller_pid;
	}
	LWLockRelease(depot_shmem_board_lock);
	depot_shmem_wake(caller_pid);
	return fits;
}

bool
depot_shmem_answer_segment(int index, const char *result, Size result_bytes)
{
	DepotSlot  *slot = &depot_shmem_board->slots[index];
	dsm_handle	handle;
	dsm_segment *segment;
	pid_t		caller_pid = 0;

	LWLockAcquire(depot_shmem_board_lock, LW_SHARED);
	handle = slot->is_abandoned ? DSM_HANDLE_INVALID : slot->result_segment;
	LWLockRelease(depot_shmem_board_lock);

	if (handle == DSM_HANDLE_INVALID && !depot_shmem_is_abandoned(index))
		return false;

	segment = handle != DSM_HANDLE_INVALID ? dsm_attach(handle) : NULL;
	if (segment != NULL)
	{
		if (dsm_segment_map_length(segment) >= result_bytes)
			memcpy(dsm_segment_address(segment), result, result_bytes);
		dsm_detach(segment);
	}
	LWLockAcquire(depot_shmem_board_lock, LW_EXCLUSIVE);
	caller_pid = depot_shmem_finish_slot(slot);
	LWLockRelease(depot_shmem_board_lock);
	depot_shmem_wake(caller_pid);
	return true;
}
