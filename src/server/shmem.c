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
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

typedef struct DepotBoard
{
	pid_t		leader_pid;
	uint64		incarnation;
	uint64		last_request_id;
	int			failed_starts;
	DepotUsage	usage;
	DepotSlot	slots[DEPOT_SLOT_COUNT];
}			DepotBoard;

static DepotBoard *board = NULL;
static LWLock *board_lock = NULL;
static const char *home_database = "";
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void request_shmem(void);
static void start_shmem(void);
static void withdraw_leader(int code, Datum arg);
static pid_t finish_slot(DepotSlot *slot);
static void wake(pid_t pid);

void
depot_shmem_register(const char *database)
{
	home_database = database;
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
}

static void
start_shmem(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	board = ShmemInitStruct("pg_depot", sizeof(DepotBoard), &found);
	if (!found)
		memset(board, 0, sizeof(DepotBoard));
	board_lock = &GetNamedLWLockTranche("pg_depot")->lock;
	LWLockRelease(AddinShmemInitLock);
}

bool
depot_shmem_is_attached(void)
{
	return board != NULL;
}

/* Sets the latch of a process by pid; a process that is gone needs none. */
static void
wake(pid_t pid)
{
	PGPROC	   *proc = pid != 0 ? BackendPidGetProc(pid) : NULL;

	if (proc != NULL)
		SetLatch(&proc->procLatch);
}

/* What an earlier leader had begun is answered here: nobody else knows of it any more. */
void
depot_shmem_announce_leader(void)
{
	pid_t		callers[DEPOT_SLOT_COUNT];
	int			count = 0;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	board->leader_pid = MyProcPid;
	board->incarnation++;
	for (int i = 0; i < DEPOT_SLOT_COUNT; i++)
	{
		DepotSlot  *slot = &board->slots[i];

		if (slot->state != DEPOT_SLOT_RUNNING && slot->state != DEPOT_SLOT_COMMITTING &&
			slot->state != DEPOT_SLOT_RESULT_WAITS)
			continue;
		slot->has_failed = true;
		depot_shmem_leader_gone_report(&slot->report);
		callers[count++] = finish_slot(slot);
	}
	LWLockRelease(board_lock);
	before_shmem_exit(withdraw_leader, (Datum) 0);

	while (count > 0)
		wake(callers[--count]);
}

void
depot_shmem_leader_gone_report(DepotReport *report)
{
	memset(report, 0, sizeof(*report));
	strlcpy(report->sqlstate, "57P03", sizeof(report->sqlstate));
	strlcpy(report->message, "the pg_depot leader is not running", sizeof(report->message));
	if (board->failed_starts > 1)
	{
		snprintf(report->detail, sizeof(report->detail),
				 "It could not start %d times in a row; the server's log has the reason.", board->failed_starts);
		snprintf(report->hint, sizeof(report->hint),
				 "It needs database \"%s\": if that does not exist, create it, or correct \"depot.database\" "
				 "and restart the server.", home_database);
		return;
	}
	if (board->incarnation == 0 && board->failed_starts == 0)
	{
		strlcpy(report->detail, "It has not started since the server did.", sizeof(report->detail));
		strlcpy(report->hint, "\"max_worker_processes\" may leave no room for it; the server's log would say so.",
				sizeof(report->hint));
		return;
	}
	strlcpy(report->hint, "It starts again by itself; the call can then be repeated. "
			"The server's log says why it ended.", sizeof(report->hint));
}

/* Callers that wait find out at once instead of at their next look. */
static void
withdraw_leader(int code, Datum arg)
{
	pid_t		callers[DEPOT_SLOT_COUNT];
	int			count = 0;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	if (board->leader_pid == MyProcPid)
	{
		board->leader_pid = 0;
		for (int i = 0; i < DEPOT_SLOT_COUNT; i++)
		{
			DepotSlot  *slot = &board->slots[i];

			if (slot->state == DEPOT_SLOT_FREE)
				continue;
			if (slot->is_abandoned)
				slot->state = DEPOT_SLOT_FREE;
			else
				callers[count++] = slot->caller_pid;
		}
	}
	LWLockRelease(board_lock);

	while (count > 0)
		wake(callers[--count]);
}

pid_t
depot_shmem_leader(uint64 *incarnation)
{
	pid_t		pid;

	LWLockAcquire(board_lock, LW_SHARED);
	pid = board->leader_pid;
	if (incarnation != NULL)
		*incarnation = board->incarnation;
	LWLockRelease(board_lock);
	return pid;
}

void
depot_shmem_wake_leader(void)
{
	wake(depot_shmem_leader(NULL));
}

int
depot_shmem_count_failed_start(void)
{
	int			count;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	count = board->failed_starts++;
	LWLockRelease(board_lock);
	return count;
}

void
depot_shmem_clear_failed_starts(void)
{
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	board->failed_starts = 0;
	LWLockRelease(board_lock);
}

int
depot_shmem_claim(void)
{
	int			index = -1;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	for (int i = 0; i < DEPOT_SLOT_COUNT && index < 0; i++)
	{
		DepotSlot  *slot = &board->slots[i];

		if (slot->state != DEPOT_SLOT_FREE)
			continue;
		index = i;
		memset(slot, 0, offsetof(DepotSlot, result));
		slot->state = DEPOT_SLOT_CLAIMED;
		slot->id = ++board->last_request_id;
		slot->caller_pid = MyProcPid;
		slot->role = GetUserId();
		slot->database = MyDatabaseId;
		slot->started_at = GetCurrentTimestamp();
		slot->argument_segment = DSM_HANDLE_INVALID;
		slot->result_segment = DSM_HANDLE_INVALID;
	}
	LWLockRelease(board_lock);
	return index;
}

/* argument is copied when it fits and argument_segment is invalid; otherwise it is in the segment. */
void
depot_shmem_submit(int index, DepotRequestKind kind, const char *subject,
				   const char *argument, Size argument_bytes, dsm_handle argument_segment)
{
	DepotSlot  *slot = &board->slots[index];
	pid_t		leader_pid;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
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
	leader_pid = board->leader_pid;
	LWLockRelease(board_lock);
	wake(leader_pid);
}

void
depot_shmem_read(int index, DepotSlot *slot)
{
	LWLockAcquire(board_lock, LW_SHARED);
	memcpy(slot, &board->slots[index], offsetof(DepotSlot, result));
	if (slot->state == DEPOT_SLOT_ANSWERED && !slot->has_failed && slot->result_bytes <= DEPOT_SLOT_RESULT_BYTES)
		memcpy(slot->result, board->slots[index].result, slot->result_bytes);
	LWLockRelease(board_lock);
}

void
depot_shmem_offer_segment(int index, dsm_handle segment)
{
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	board->slots[index].result_segment = segment;
	LWLockRelease(board_lock);
	depot_shmem_wake_leader();
}

void
depot_shmem_release(int index)
{
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	board->slots[index].state = DEPOT_SLOT_FREE;
	LWLockRelease(board_lock);
}

/* Without a leader nobody else would release it. */
void
depot_shmem_abandon(int index)
{
	DepotSlot  *slot = &board->slots[index];
	bool		leader_has_it;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	leader_has_it = board->leader_pid != 0 &&
		(slot->state == DEPOT_SLOT_RUNNING || slot->state == DEPOT_SLOT_COMMITTING ||
		 slot->state == DEPOT_SLOT_RESULT_WAITS);
	if (leader_has_it)
		slot->is_abandoned = true;
	else
		slot->state = DEPOT_SLOT_FREE;
	LWLockRelease(board_lock);
	if (leader_has_it)
		depot_shmem_wake_leader();
}

int
depot_shmem_take(DepotSlot *taken)
{
	int			index = -1;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	for (int i = 0; i < DEPOT_SLOT_COUNT; i++)
		if (board->slots[i].state == DEPOT_SLOT_SUBMITTED &&
			(index < 0 || board->slots[i].id < board->slots[index].id))
			index = i;
	if (index >= 0)
	{
		board->slots[index].state = DEPOT_SLOT_RUNNING;
		memcpy(taken, &board->slots[index], offsetof(DepotSlot, result));
	}
	LWLockRelease(board_lock);
	return index;
}

void
depot_shmem_set_phase(int index, DepotPhase phase, int64 bytes_done, int64 bytes_total)
{
	if (index < 0)
		return;
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	board->slots[index].phase = phase;
	board->slots[index].bytes_done = bytes_done;
	board->slots[index].bytes_total = bytes_total;
	LWLockRelease(board_lock);
}

bool
depot_shmem_is_abandoned(int index)
{
	bool		is_abandoned;

	if (index < 0)
		return false;
	LWLockAcquire(board_lock, LW_SHARED);
	is_abandoned = board->slots[index].is_abandoned;
	LWLockRelease(board_lock);
	return is_abandoned;
}

bool
depot_shmem_begin_commit(int index)
{
	bool		may_commit;

	if (index < 0)
		return true;
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	may_commit = !board->slots[index].is_abandoned;
	if (may_commit)
		board->slots[index].state = DEPOT_SLOT_COMMITTING;
	LWLockRelease(board_lock);
	return may_commit;
}

/* Marks slot answered, or frees it when nobody waits; the lock is held. Returns the pid to wake. */
static pid_t
finish_slot(DepotSlot *slot)
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
	DepotSlot  *slot = &board->slots[index];
	pid_t		caller_pid;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	slot->has_failed = true;
	slot->report = *report;
	caller_pid = finish_slot(slot);
	LWLockRelease(board_lock);
	wake(caller_pid);
}

bool
depot_shmem_answer(int index, const char *result, Size result_bytes)
{
	DepotSlot  *slot = &board->slots[index];
	bool		fits = result_bytes <= DEPOT_SLOT_RESULT_BYTES;
	pid_t		caller_pid;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	slot->result_bytes = result_bytes;
	if (fits)
		memcpy(slot->result, result, result_bytes);
	if (fits || slot->is_abandoned)
	{
		fits = true;
		caller_pid = finish_slot(slot);
	}
	else
	{
		slot->state = DEPOT_SLOT_RESULT_WAITS;
		caller_pid = slot->caller_pid;
	}
	LWLockRelease(board_lock);
	wake(caller_pid);
	return fits;
}

bool
depot_shmem_answer_segment(int index, const char *result, Size result_bytes)
{
	DepotSlot  *slot = &board->slots[index];
	dsm_handle	handle;
	dsm_segment *segment;
	pid_t		caller_pid = 0;

	LWLockAcquire(board_lock, LW_SHARED);
	handle = slot->is_abandoned ? DSM_HANDLE_INVALID : slot->result_segment;
	LWLockRelease(board_lock);

	if (handle == DSM_HANDLE_INVALID && !depot_shmem_is_abandoned(index))
		return false;

	segment = handle != DSM_HANDLE_INVALID ? dsm_attach(handle) : NULL;
	if (segment != NULL)
	{
		if (dsm_segment_map_length(segment) >= result_bytes)
			memcpy(dsm_segment_address(segment), result, result_bytes);
		dsm_detach(segment);
	}
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	caller_pid = finish_slot(slot);
	LWLockRelease(board_lock);
	wake(caller_pid);
	return true;
}

uint64
depot_shmem_begin_usage(Oid database, const char *names)
{
	DepotUsage *usage = &board->usage;
	uint64		number;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	number = ++usage->number;
	usage->database = database;
	strlcpy(usage->names, names, sizeof(usage->names));
	usage->is_done = false;
	usage->is_found = false;
	usage->found[0] = '\0';
	LWLockRelease(board_lock);
	return number;
}

void
depot_shmem_read_usage(DepotUsage *usage)
{
	LWLockAcquire(board_lock, LW_SHARED);
	*usage = board->usage;
	LWLockRelease(board_lock);
}

/* found NULL: no extension of the names exists there. */
void
depot_shmem_answer_usage(uint64 number, const char *found)
{
	DepotUsage *usage = &board->usage;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	if (usage->number == number)
	{
		usage->is_done = true;
		usage->is_found = found != NULL;
		strlcpy(usage->found, found != NULL ? found : "", sizeof(usage->found));
	}
	LWLockRelease(board_lock);
	depot_shmem_wake_leader();
}
