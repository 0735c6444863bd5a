/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  Decides which packages a request means.
 *
 * Pure functions over rows: no SQL, no files, no memory of their own, so that
 * they can be tested without a server.  A name belongs to the first repository
 * by priority that lists it; of its builds that fit this server and the
 * constraint and were not withdrawn, the newest counts.  What is installed
 * and satisfies stays as it is.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_PLAN_H
#define DEPOT_PLAN_H

#include "common/lockfile.h"
#include "common/version.h"
#include "server/rows.h"

#define DEPOT_PLAN_MAX_ITEMS 1024
/* Of these so many may be fetched at a time. */
#define DEPOT_PLAN_MAX_BUILDS 128

/*
 * What the plan is made from.  system_extension says whether the installation itself has an extension, and
 * its default version.
 */
typedef struct DepotPlanInput
{
	const DepotAvailableRow *available; /* everything that provides a name in question */
	int			available_count;
	const DepotInstalledRow *installed;
	int			installed_count;
	int			server_minor;
	const char *libc_version;
	bool		(*system_extension) (const char *extension, char version[64]);
} DepotPlanInput;

typedef enum DepotPlanAction
{
	DEPOT_PLAN_KEEP,
	DEPOT_PLAN_INSTALL,
	DEPOT_PLAN_UPDATE,
	DEPOT_PLAN_REMOVE
} DepotPlanAction;

typedef struct DepotPlanItem
{
	DepotPlanAction action;
	bool		is_requested;	/* by name; else a dependency */
	const DepotAvailableRow *build; /* NULL for KEEP and REMOVE */
	const DepotInstalledRow *installed; /* what is there now, or NULL */
	const DepotAvailableRow *withdrawn; /* of KEEP: says that the publisher has withdrawn it; or NULL */
} DepotPlanItem;

typedef struct DepotPlan
{
	DepotPlanItem items[DEPOT_PLAN_MAX_ITEMS];	/* what others need comes first */
	int			count;
	bool		is_system;		/* the installation itself provides what was asked for */
	char		system_version[64];
} DepotPlan;

typedef struct DepotPlanRequest
{
	const char *name;			/* extension or package */
	const char *constraint;		/* NULL: any version */
	const char *repository;		/* NULL: by priority */
	const char *extension_version;	/* NULL, or what scripts must be able to make; never an older package for
									 * it */
	bool		is_extension;	/* name is not a package's */
	bool		is_update;		/* what is installed satisfies only when nothing newer does */
} DepotPlanRequest;

/*
 * Makes the plan of an installation or update.  An update without a constraint never goes back.
 * Errors: WRONG_STATE (to update what is not installed), CONFLICT (an installed package needs another version),
 * UNKNOWN_EXTENSION (nobody lists the name, or a name it needs), UNKNOWN_VERSION (listed, but nothing fits; the
 * detail lists what exists), WITHDRAWN (what would fit was), INVALID_VERSION (the constraint), PACKAGE (too many).
 */
extern bool depot_plan_install(const DepotPlanInput *input, const DepotPlanRequest *request, DepotPlan *plan,
							   DepotError *error);

/*
 * Makes the plan of applying a lock; input's available rows are those with its digests.  is_pruning: what it
 * does not name is removed.  Errors: WITHDRAWN, UNKNOWN_VERSION (a digest that no repository lists, or a build that
 * does not run here), INVALID_ARGUMENT (a digest of something else), CONFLICT (something that is needed would
 * be missing), TOO_LARGE.
 */
extern bool depot_plan_lock(const DepotPlanInput *input, const DepotLockfile *lock, bool is_pruning,
							DepotPlan *plan, DepotError *error);

/* plan_rows.c: what others ask about rows, too. */

/* Says why a build does not run on this server ("needs PostgreSQL 15.4"), in reason, or returns NULL. */
extern const char *depot_plan_misfit(const DepotPlanInput *input, const DepotManifest *manifest, char *reason,
									 size_t reason_bytes);

/* Returns the row by which what is installed was withdrawn, or NULL. */
extern const DepotAvailableRow *depot_plan_find_withdrawn(const DepotPlanInput *input,
														  const DepotInstalledRow *installed);

/* Sets the error of a build that was withdrawn, whose hint names the newest one that was not. */
extern void depot_plan_set_withdrawn_error(const DepotPlanInput *input, const DepotAvailableRow *build,
										   DepotError *error);

/*
 * Finds the installed package that name means: its package name, or an extension of it.
 * NULL when there is none.
 */
extern const DepotInstalledRow *depot_plan_find_installed(const DepotInstalledRow *installed, int installed_count,
														  const char *name);

/* Finds an installed package, other than row, that depends on row's package or one of its extensions, or NULL. */
extern const DepotInstalledRow *depot_plan_find_dependent(const DepotInstalledRow *installed, int installed_count,
														  const DepotInstalledRow *row);

/* Whether a manifest provides an extension. */
extern bool depot_plan_provides(const DepotManifest *manifest, const char *extension);

/* Whether a package brings a module that must be preloaded by the postmaster. */
extern bool depot_plan_needs_restart(const DepotManifest *manifest);

extern const char *depot_plan_action_name(DepotPlanAction action);

#endif							/* DEPOT_PLAN_H */
