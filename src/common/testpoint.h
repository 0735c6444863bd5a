/*-------------------------------------------------------------------------
 *
 * testpoint.h
 *	  Named points at which a test can have a process killed.
 *
 * Crash safety is a promise of ours, so the shipped binaries are what the kill
 * test runs.  A point costs one pointer test unless PG_DEPOT_TEST_POINTS was
 * in the environment of the server when it started, which only the operating
 * system user that owns the server can arrange.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TESTPOINT_H
#define DEPOT_TESTPOINT_H

#define DEPOT_TEST_POINTS_VARIABLE "PG_DEPOT_TEST_POINTS"

/*
 * Kills this process with SIGKILL when the directory that PG_DEPOT_TEST_POINTS
 * names holds a file called name; the file is removed first, so that the next
 * process passes.
 */
extern void depot_test_point(const char *name);

#endif							/* DEPOT_TESTPOINT_H */
