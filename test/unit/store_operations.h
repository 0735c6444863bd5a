/*-------------------------------------------------------------------------
 *
 * store_operations.h
 *	  Installing, updating and removing a package in a depot of its own, for
 *	  the tests of activation.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_TEST_STORE_OPERATIONS_H
#define DEPOT_TEST_STORE_OPERATIONS_H

#include "store_fixture.h"

/* What is done to the package hll. */
typedef enum Operation
{
	OPERATION_INSTALL,			/* 2.17 where there is none */
	OPERATION_UPDATE,			/* 2.17 to 2.18 */
	OPERATION_REMOVE,			/* 2.17 */
	OPERATION_COUNT
} Operation;

#define HLL_CONTROL SHARE "/extension/hll.control"
#define OTHER_CONTROL "share/extension/hll_old.control"

/* A depot of its own for each attempt: ip4r is there always, hll as the operation wants it. */
typedef struct Depot
{
	Scratch		scratch;
	int			root_fd;
	char		job[DEPOT_JOB_NAME_BYTES];	/* what the operation activates */
	DepotState	applied;
} Depot;

static inline bool
activate(Depot *depot, const TestPackage *package, const char *job, bool *resumed, DepotError *error)
{
	DepotManifest *manifest = make_manifest(package);
	bool		ok = depot_store_activate(depot->root_fd, &layout, &depot->applied, job, manifest,
										  package->digest, package->manifest_sha256, resumed, error);

	free_manifest(manifest);
	return ok;
}

static inline void
install_in(Depot *depot, const TestPackage *package)
{
	char		job[DEPOT_JOB_NAME_BYTES];
	bool		resumed = true;
	DepotError	error;

	assert_true(stage(depot->root_fd, package, job));
	if (!activate(depot, package, job, &resumed, &error))
		fail_msg("%s (%s)", error.message, error.detail);
	assert_false(resumed);
	depot_store_end_job(depot->root_fd, job, -1);
}

static inline void
reload(Depot *depot)
{
	bool		fresh;
	DepotError	error;

	depot_store_free_state(&depot->applied);
	assert_true(depot_store_load_state(depot->root_fd, &stamp, &depot->applied, &fresh, &error));
	assert_false(fresh);
}

static inline Depot
make_depot(Operation operation)
{
	Depot		depot = {.scratch = scratch_make()};
	DepotError	error;

	set_fault(FAULT_NONE, 0);
	depot.root_fd = depot.scratch.fd;
	depot.applied.stamp = stamp;
	assert_true(depot.root_fd >= 0);
	assert_true(depot_store_prepare(depot.root_fd, &layout, &error));
	install_in(&depot, &ip4r);
	if (operation != OPERATION_INSTALL)
		install_in(&depot, &hll_1);
	if (operation == OPERATION_INSTALL)
		assert_true(stage(depot.root_fd, &hll_1, depot.job));
	else if (operation == OPERATION_UPDATE)
		assert_true(stage(depot.root_fd, &hll_2, depot.job));
	return depot;
}

static inline void
free_depot(Depot *depot)
{
	depot_store_free_state(&depot->applied);
	scratch_remove(&depot->scratch);
}

static inline bool
operate(Depot *depot, Operation operation, DepotError *error)
{
	bool		resumed;

	switch (operation)
	{
		case OPERATION_INSTALL:
			return activate(depot, &hll_1, depot->job, &resumed, error);
		case OPERATION_UPDATE:
			return activate(depot, &hll_2, depot->job, &resumed, error);
		default:
			return depot_store_deactivate(depot->root_fd, &layout, &depot->applied, "hll", error);
	}
}

#endif							/* DEPOT_TEST_STORE_OPERATIONS_H */
