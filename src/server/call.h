/*-------------------------------------------------------------------------
 *
 * call.h
 *	  A session's request to the leader: put it, wait, return its rows.
 *
 * Called by the SQL functions and by the utility hook, in any session of any
 * database.  A caller can be cancelled at any time; what the leader has not
 * recorded by then is given up.  It looks every second whether the leader is
 * still there.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_CALL_H
#define DEPOT_CALL_H

#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "server/shmem.h"

/* Raises 55000 unless the library was preloaded by the postmaster. */
extern void depot_call_require_preload(void);

/*
 * Notes that this transaction creates or alters extension pg_depot: what the leader sees is what was
 * committed, so calls of this transaction are refused from here on.
 */
extern void depot_call_note_alteration(void);

/* Appends a JSON string in UTF-8.  value is in the database's encoding. */
extern void depot_call_append_utf8(StringInfo out, const char *value);

/* Appends "name":value to an object that begins with '{', unless value is NULL. */
extern void depot_call_append_text(StringInfo out, const char *name, const char *value);

/* Appends "name":true or "name":false likewise. */
extern void depot_call_append_bool(StringInfo out, const char *name, bool value);

/*
 * Puts a request to the leader and returns its answer, a JSON object.  subject is what depot.activity shows.
 * Raises the leader's error, or our own when the caller may not, or the leader is gone.  is_read_only: it
 * changes nothing, so a read-only transaction may ask it.
 */
extern char *depot_call_leader(DepotRequestKind kind, const char *subject, const StringInfo argument,
							   bool is_read_only);

/* Tells the client the notices and warnings of an answer; returns how many rows it has. */
extern size_t depot_call_emit_notices(const char *answer);

/* Materializes the rows of an answer as the result of a set-returning function, after its notices. */
extern void depot_call_return_rows(FunctionCallInfo fcinfo, char *answer);

#endif							/* DEPOT_CALL_H */
