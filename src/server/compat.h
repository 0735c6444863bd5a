/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15 and 18, in one place.
 *
 * Each shim has the signature of the newest server, so that dropping a major
 * version deletes a branch here and touches nothing else.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_COMPAT_H
#define DEPOT_COMPAT_H

#include "postgres.h"

#include "catalog/pg_database.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "storage/latch.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "pg_depot needs PostgreSQL 15 or newer"
#endif

/*
 * 18 searches control files along extension_control_path; before, only Debian's extension_destdir can lead
 * it elsewhere.
 */
#if PG_VERSION_NUM >= 180000
#define DEPOT_HAS_CONTROL_PATH true
#else
#define DEPOT_HAS_CONTROL_PATH false
#endif

/* 18 puts the word before the declaration, where C11 wants it. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn _Noreturn
#endif

/* Before 16 the function itself is not declared for export. */
#define DEPOT_SQL_FUNCTION(name) \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

/* 16 made GUC entries a hash table and find_option() public. */
static inline struct config_generic *
depot_compat_find_option(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, DEBUG5);
#else
	struct config_generic **variables = get_guc_variables();
	int			count = GetNumConfigOptions();

	for (int i = 0; i < count; i++)
		if (strcmp(variables[i]->name, name) == 0)
			return variables[i];
	return NULL;
#endif
}

/* 16 gave check hooks an allocator of their own. */
static inline char *
depot_compat_guc_strdup(const char *value)
{
#if PG_VERSION_NUM >= 160000
	return guc_strdup(LOG, value);
#else
	return strdup(value);
#endif
}

static inline void
depot_compat_guc_free(void *value)
{
#if PG_VERSION_NUM >= 160000
	guc_free(value);
#else
	free(value);
#endif
}

/* 17 ties wait event sets to a resource owner instead of a memory context. */
static inline WaitEventSet *
depot_compat_create_wait_event_set(int event_count)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, event_count);
#else
	return CreateWaitEventSet(TopMemoryContext, event_count);
#endif
}

/* 16 made one function of all ownership checks. */
static inline bool
depot_compat_owns_database(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

/* 16 added a parameter for updates that touch summarizing indexes only. */
static inline List *
depot_compat_insert_index_tuples(ResultRelInfo *target, TupleTableSlot *slot, EState *state)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(target, slot, state, false, false, NULL, NIL, false);
#else
	return ExecInsertIndexTuples(target, slot, state, false, false, NULL, NIL);
#endif
}

/* 17 gathered what names a virtual transaction. */
static inline LocalTransactionId
depot_compat_local_transaction(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProc->vxid.lxid;
#else
	return MyProc->lxid;
#endif
}

/* 17 lets extensions name their wait events. */
static inline uint32
depot_compat_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* 16 gave all kinds of objects one function for privileges. */
static inline bool
depot_compat_may_connect(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

/* 17 can end a process whose transaction gets old; a name and a value for a list of settings. */
#if PG_VERSION_NUM >= 170000
#define DEPOT_NO_TRANSACTION_TIMEOUT {"transaction_timeout", "0"},
#else
#define DEPOT_NO_TRANSACTION_TIMEOUT
#endif

/* 17 lets a background worker connect as a role without LOGIN. */
#if PG_VERSION_NUM >= 170000
#define DEPOT_WORKER_BYPASS_LOGIN BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define DEPOT_WORKER_BYPASS_LOGIN 0
#endif

#endif							/* DEPOT_COMPAT_H */
