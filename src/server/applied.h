/*-------------------------------------------------------------------------
 *
 * applied.h
 *	  What this server serves: the leader's hold on the depot directory.
 *
 * Wraps src/common/store for the leader: one open directory, one state in
 * memory that equals var/state.json, error values raised as errors.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_APPLIED_H
#define DEPOT_APPLIED_H

#include "postgres.h"

#include "common/store.h"
#include "nodes/pg_list.h"

/* Opens the depot and reads its state, once per leader.  May ereport. */
extern void depot_applied_open(void);

extern int	depot_applied_root_fd(void);

/* D/var, which the check agent sees. */
extern int	depot_applied_var_fd(void);

extern const DepotState *depot_applied_state(void);
extern const DepotAppliedPackage *depot_applied_find(const char *package);

/* Whether every file of a package is there in its size: a cheap look, not a check. */
extern bool depot_applied_is_whole(const DepotAppliedPackage *package);

/*
 * Names of the extensions whose control files a package serves, and of its libraries, relative to the
 * library directory and without ".so"; palloc'd.
 */
extern List *depot_applied_extensions(const DepotAppliedPackage *package);
extern List *depot_applied_libraries(const DepotAppliedPackage *package);

/*
 * Reads the manifest of a staged package, or of one whose activation was begun
 * and which is therefore served already; malloc'd, freed by depot_manifest_free.  May ereport.
 */
extern DepotManifest *depot_applied_read_manifest(const char *staging, const char *package);

/* Everything about activating that may fail, before the commit. */
extern void depot_applied_prepare(const DepotManifest *manifest, const char *staging, const char *digest,
								  const char *manifest_sha256);

/* Sets space aside for what activating or deactivating writes after the commit.  May ereport. */
extern void depot_applied_reserve(int package_count, uint64 added_bytes);

/* Gives it back; when nothing was set aside, too. */
extern void depot_applied_release(void);

/* Takes back what prepare did, when no commit followed it.  Never ereports. */
extern void depot_applied_cancel(const DepotManifest *manifest);

/* Removes what a leader that died left set aside, in staging and in empty directories; for the start. */
extern void depot_applied_clean_up(void);

/*
 * Tells sessions that files of a package's extensions move (use.h), until depot_shmem_end_moves.  Activate and
 * deactivate tell it themselves, and end it unless it was begun before; a removal begins it before its commit.
 */
extern void depot_applied_begin_move(const char *package);

/* Makes staged files served.  false: *error says why, and what was begun can be resumed. */
extern bool depot_applied_activate(const char *staging, const DepotManifest *manifest, const char *digest,
								   const char *manifest_sha256, bool *resumed, DepotError *error);
extern bool depot_applied_deactivate(const char *package, DepotError *error);


/* Reads state.json for a view, in any backend: fresh copies each time; free with depot_store_free_state. */
extern bool depot_applied_read(DepotState *state, DepotError *error);

#endif							/* DEPOT_APPLIED_H */
