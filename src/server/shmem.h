/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  Requests in shared memory: the board between callers and the leader.
 *
 * A caller claims a slot, fills it, submits it and waits on its own latch; the
 * leader takes it, reports progress, and posts an answer.  One LWLock guards
 * everything here and is held for memory copies only.  No pointer, descriptor
 * or handle of a process stands in shared memory; processes are named by pid.
 * A slot belongs to its caller until it is released; a caller that gives up
 * marks it abandoned, and the leader then releases it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_SHMEM_H
#define DEPOT_SHMEM_H

#include "postgres.h"

#include "common/name.h"
#include "datatype/timestamp.h"
#include "server/errors.h"
#include "storage/dsm.h"

#define DEPOT_SLOT_COUNT 64
#define DEPOT_SLOT_ARGUMENT_BYTES 2048
#define DEPOT_SLOT_RESULT_BYTES 8192

typedef enum DepotRequestKind
{
	DEPOT_REQUEST_INSTALL,
	DEPOT_REQUEST_UPDATE,
	DEPOT_REQUEST_UNINSTALL,
	DEPOT_REQUEST_READ_LOCK,
	DEPOT_REQUEST_APPLY_LOCK,
	DEPOT_REQUEST_ADD_REPOSITORY,
	DEPOT_REQUEST_DROP_REPOSITORY,
	DEPOT_REQUEST_REFRESH_REPOSITORY,
	DEPOT_REQUEST_VERIFY_FILES,
	DEPOT_REQUEST_READ_VIEW,
	DEPOT_REQUEST_CHECK_LIST,
	DEPOT_REQUEST_ADD_NODE,
	DEPOT_REQUEST_DROP_NODE
} DepotRequestKind;

typedef enum DepotSlotState
{
	DEPOT_SLOT_FREE,
	DEPOT_SLOT_CLAIMED,			/* the caller fills it */
	DEPOT_SLOT_SUBMITTED,		/* waits for the leader */
	DEPOT_SLOT_RUNNING,			/* the leader works on it; can be cancelled */
	DEPOT_SLOT_COMMITTING,		/* too late to cancel */
	DEPOT_SLOT_RESULT_WAITS,	/* the answer does not fit: the caller shall make a segment */
	DEPOT_SLOT_ANSWERED
} DepotSlotState;

typedef enum DepotPhase
{
	DEPOT_PHASE_WAITING,
	DEPOT_PHASE_REFRESHING,
	DEPOT_PHASE_RESOLVING,
	DEPOT_PHASE_FETCHING,
	DEPOT_PHASE_CHECKING,
	DEPOT_PHASE_UNPACKING,
	DEPOT_PHASE_LOOKING_FOR_USE,
	DEPOT_PHASE_RECORDING,
	DEPOT_PHASE_ACTIVATING,
	DEPOT_PHASE_VERIFYING,
	DEPOT_PHASE_WAITING_FOR_SERVERS
} DepotPhase;

/* Copied out whole by readers; every field is guarded by the board's lock. */
typedef struct DepotSlot
{
	/* written by the caller before it submits */
	DepotSlotState state;
	uint64		id;				/* running number since the server started */
	DepotRequestKind kind;
	pid_t		caller_pid;
	Oid			role;
	Oid			database;
	TimestampTz started_at;
	char		subject[DEPOT_NAME_MAX_BYTES + 1];
	Size		argument_bytes; /* a JSON object, in argument or in the segment */
	dsm_handle	argument_segment;	/* DSM_HANDLE_INVALID: inline */
	char		argument[DEPOT_SLOT_ARGUMENT_BYTES];

	/* by the caller at any time */
	bool		is_abandoned;
	dsm_handle	result_segment; /* made on DEPOT_SLOT_RESULT_WAITS */

	/* by the leader */
	DepotPhase	phase;
	int64		bytes_done;
	int64		bytes_total;
	bool		has_failed;
	DepotReport report;			/* when has_failed */
	Size		result_bytes;	/* a JSON object otherwise */
	char		result[DEPOT_SLOT_RESULT_BYTES];
} DepotSlot;

/*
 * What this server has applied, as its leader found it last.  For as long as at is 0, nothing else counts.
 * Files equal the rows of applied_generation; of seen_generation, those packages lack that missing names.  Both are
 * numbers of one table: an extension that is created anew counts from the beginning.
 */
typedef struct DepotAppliedReport
{
	Oid			generation_table;
	int64		seen_generation;	/* whose rows were read last */
	int64		applied_generation;
	TimestampTz at;
	bool		is_in_recovery;
	bool		restart_required;	/* for a served package */
	int			missing_count;
	char		sqlstate[6];	/* "": no error */
	char		error[512];
	char		missing[2048];	/* JSON: [{"package", "version", "reason"}], the first of missing_count that
								 * fit */
} DepotAppliedReport;

/* Hooks for shared memory; called from _PG_init in the postmaster.  database, for messages, is not copied. */
extern void depot_shmem_register(const char *database);
extern bool depot_shmem_is_attached(void);

/* Leader: announce this process, and withdraw it at exit (before_shmem_exit). */
extern void depot_shmem_announce_leader(void);

/* The leader's pid (0: none) and incarnation, which each start of a leader changes. */
extern pid_t depot_shmem_leader(uint64 *incarnation);
extern void depot_shmem_wake_leader(void);

/*
 * A session that works on the home database itself needs the leader out of it: it asks, and takes that
 * back when its command has ended.  false: another session has asked already.
 */
extern bool depot_shmem_send_away(void);
extern void depot_shmem_call_back(void);

/* Whether the leader has to stay away; a session that died without calling it back does not count. */
extern bool depot_shmem_is_sent_away(void);

/* What a caller is told when it has gone: 57P03, repeat the call. */
extern void depot_shmem_leader_gone_report(DepotReport *report);

/* Starts of the leader that failed since the last good one, for a growing pause. */
extern int	depot_shmem_count_failed_start(void);
extern int	depot_shmem_failed_starts(void);
extern void depot_shmem_clear_failed_starts(void);

/* Whether the last start of a leader found no home database. */
extern void depot_shmem_note_home_missing(bool is_missing);
extern bool depot_shmem_is_home_missing(void);

/* A session has committed restored rows: notes it and wakes the leader, which takes note of it once. */
extern void depot_shmem_note_restored(void);
extern bool depot_shmem_take_restored(void);

/* The end of a reconciliation, and how many in a row could not do all that was to be done. */
extern void depot_shmem_note_reconcile(int failures);

/* The last one: how many failures, and when (0: none yet since the server started). */
extern int	depot_shmem_last_reconcile(TimestampTz *at);

/* Leader: note what is applied.  Anybody: copy what was noted last. */
extern void depot_shmem_note_applied_report(const DepotAppliedReport *report);
extern void depot_shmem_read_applied_report(DepotAppliedReport *report);

/* Caller: claim a free slot and its number (-1: none is free), then fill and submit it. */
extern int	depot_shmem_claim(void);
extern void depot_shmem_submit(int index, DepotRequestKind kind, const char *subject,
							   const char *argument, Size argument_bytes, dsm_handle argument_segment);

/* Copies the slot out.  With the answer there it is released by depot_shmem_release. */
extern void depot_shmem_read(int index, DepotSlot *slot);
extern void depot_shmem_offer_segment(int index, dsm_handle segment);
extern void depot_shmem_release(int index);

/* Gives up: releases the slot, or leaves that to the leader when it works on it. */
extern void depot_shmem_abandon(int index);

/* Leader: takes the oldest submitted slot and marks it running; -1 when there is none. */
extern int	depot_shmem_take(DepotSlot *slot);
extern void depot_shmem_set_phase(int index, DepotPhase phase, int64 bytes_done, int64 bytes_total);
extern bool depot_shmem_is_abandoned(int index);

/* From here on the request cannot be cancelled; false when it was abandoned before. */
extern bool depot_shmem_begin_commit(int index);

/* No commit came of it: the request can be cancelled again. */
extern void depot_shmem_cancel_commit(int index);
extern pid_t depot_shmem_caller(int index);

/*
 * Posts the answer and wakes the caller; an abandoned slot is released.  False: the result does not fit,
 * see RESULT_WAITS.
 */
extern void depot_shmem_answer_error(int index, const DepotReport *report);
extern bool depot_shmem_answer(int index, const char *result, Size result_bytes);

/* Copies a result that did not fit into the segment the caller made meanwhile; false: not there yet. */
extern bool depot_shmem_answer_segment(int index, const char *result, Size result_bytes);

extern const char *depot_shmem_kind_name(DepotRequestKind kind);
extern const char *depot_shmem_phase_name(DepotPhase phase);

#endif							/* DEPOT_SHMEM_H */
