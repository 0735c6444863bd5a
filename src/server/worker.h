/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  What all background workers of the library have in common.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_WORKER_H
#define DEPOT_WORKER_H

#include "postgres.h"

#include "postmaster/bgworker.h"

/*
 * Fills in a worker that connects to a database: name is what pg_stat_activity shows, function its entry
 * point in this library.  It is to start after recovery, and not again when it ends; the caller
 * may say otherwise before it registers the worker.
 */
extern void depot_worker_describe(BackgroundWorker *worker, const char *name, const char *function);

#endif							/* DEPOT_WORKER_H */
