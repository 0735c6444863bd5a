/*-------------------------------------------------------------------------
 *
 * served.c
 *	  Nothing is served that this server has not verified itself.
 *
 * A data directory may come from a base backup, a restore, pg_rewind or
 * another host, and everything in it with it.  So before the path settings
 * lead any session to the served tree, the postmaster compares it with the
 * seal: a look at each file's status, and no more where nothing has changed.  The
 * rest is verified by an agent.  What no signature proves is set aside, and
 * the leader brings the packages back that the rows name.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/files.h"
#include "portability/instr_time.h"
#include "server/errors.h"
#include "server/paths.h"
#include "server/served.h"
#include "server/stamp.h"
#include "utils/memutils.h"

/* Everything of one verification. */
typedef struct Verification
{
	DepotServedCheck check;
	DepotSeal  *seal;
	char	   *stamp;
	DepotState	state;
	bool		is_fresh;		/* no state of this server was found */
	bool	   *was_sealed;		/* per package of the state, as it was loaded */
	int			loaded_count;
	int			verified_count;
	bool		has_agent_failed;
} Verification;

static char *verify(Verification *verification);
static bool collect(const char *path, const char *identity, void *context, DepotError *error);
static char *set_files_aside(Verification *verification);
static bool settle_state(Verification *verification, DepotError *error);
static void report(const Verification *verification, int elapsed_ms);

char *
depot_served_verify(int root_fd)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_depot served", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	Verification verification = {.check = {.root_fd = root_fd}};
	char	   *reason = NULL;
	DepotStamp	stamp;
	DepotError	error;

	verification.stamp = depot_stamp_of_seal();
	verification.seal = depot_seal_read(root_fd, verification.stamp);
	depot_stamp_fill(&stamp);
	if (verification.seal == NULL)
		reason = "out of memory";
	else
	{
		/* One that cannot be read is the leader's concern; here it only would have saved work. */
		if (!depot_store_load_state(root_fd, &stamp, &verification.state, &verification.is_fresh, &error))
			verification.is_fresh = true;
		reason = verify(&verification);
	}
	if (reason != NULL)
		reason = MemoryContextStrdup(old_context, reason);
	depot_seal_free(verification.seal);
	depot_store_free_state(&verification.state);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return reason;
}

static int
compare_files(const void *a, const void *b)
{
	return strcmp(((const DepotServedFile *) a)->path, ((const DepotServedFile *) b)->path);
}

DepotServedFile *
depot_served_find(const DepotServedCheck *check, const char *path)
{
	DepotServedFile wanted = {.path = (char *) path};

	return check->file_count == 0 ? NULL :
		bsearch(&wanted, check->files, check->file_count, sizeof(DepotServedFile), compare_files);
}

/* A DepotSealVisit. */
static bool
collect(const char *path, const char *identity, void *context, DepotError *error)
{
	DepotServedCheck *check = context;
	DepotServedFile *file;

	if (check->file_count == check->capacity)
	{
		check->capacity = Max(check->capacity * 2, 64);
		check->files = check->files == NULL ? palloc(sizeof(DepotServedFile) * check->capacity) :
			repalloc(check->files, sizeof(DepotServedFile) * check->capacity);
	}
	file = &check->files[check->file_count++];
	memset(file, 0, sizeof(*file));
	file->path = pstrdup(path);
	strlcpy(file->identity, identity, sizeof(file->identity));
	return true;
}

/* Which packages' files are all as they were when this server verified them. */
static void
note_sealed_packages(Verification *verification)
{
	const DepotState *state = &verification->state;

	verification->loaded_count = state->package_count;
	verification->was_sealed = palloc0(sizeof(bool) * (state->package_count + 1));
	for (int i = 0; i < state->package_count; i++)
	{
		const DepotAppliedPackage *package = &state->packages[i];
		bool		is_sealed = package->file_count > 0;

		for (int j = 0; j < package->file_count && is_sealed; j++)
			is_sealed = depot_seal_holds(verification->seal, verification->check.root_fd, package->files[j].path);
		verification->was_sealed[i] = is_sealed;
	}
}

/* Seals what the agent has verified and nobody has touched since it was looked at first. */
static bool
seal_verified(Verification *verification, DepotError *error)
{
	DepotServedCheck *check = &verification->check;

	for (int i = 0; i < check->file_count; i++)
	{
		DepotServedFile *file = &check->files[i];
		char		identity[DEPOT_SEAL_IDENTITY_BYTES];

		file->is_verified = file->is_verified && depot_seal_identify(check->root_fd, file->path, identity) &&
			strcmp(identity, file->identity) == 0;
		if (!file->is_verified)
			continue;
		verification->verified_count++;
		if (!depot_seal_add(verification->seal, file->path, identity, error))
			return false;
	}
	return true;
}

static char *
verify(Verification *verification)
{
	DepotServedCheck *check = &verification->check;
	int			root_fd = check->root_fd;
	char	   *failure;
	char	   *reason;
	int			total_count;
	instr_time	started;
	instr_time	elapsed;
	DepotError	error;

	INSTR_TIME_SET_CURRENT(started);
	if (!depot_seal_bring_back(root_fd, depot_paths_layout(), &error) ||
		!depot_seal_survey(verification->seal, root_fd, depot_paths_layout(), collect, check, &total_count, &error))
		return pstrdup(error.message);
	if (check->file_count == 0 && (total_count == 0 || !verification->is_fresh))
		return NULL;

	qsort(check->files, check->file_count, sizeof(DepotServedFile), compare_files);
	note_sealed_packages(verification);
	failure = depot_served_ask_agent(check, verification->stamp, verification->is_fresh);
	verification->has_agent_failed = failure != NULL;
	if (failure != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("%d files of the depot directory could not be verified and are not served",
						check->file_count),
				 errdetail("%s", failure),
				 errhint("They are verified at the next start.")));
	else if (!seal_verified(verification, &error))
		return pstrdup(error.message);
	reason = set_files_aside(verification);
	if (reason != NULL)
		return reason;
	/* Without state or seal files are verified again, and nothing else. */
	if (!verification->has_agent_failed && !settle_state(verification, &error))
		ereport(LOG, (errmsg("%s", error.message)));
	if (!depot_seal_write(verification->seal, root_fd, &error) ||
		!depot_store_sweep_directories(root_fd, depot_paths_layout(), &error))
		ereport(LOG, (errmsg("%s", error.message)));
	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, started);
	report(verification, (int) INSTR_TIME_GET_MILLISEC(elapsed));
	return NULL;
}

/* ---- what is not served ---- */

/* NULL, or why something had to stay in the served tree. */
static char *
set_files_aside(Verification *verification)
{
	DepotServedCheck *check = &verification->check;
	const char *directory = verification->has_agent_failed ? DEPOT_SEAL_UNVERIFIED : DEPOT_SEAL_REFUSED;
	bool		is_cleared = verification->has_agent_failed;
	DepotError	error;

	for (int i = 0; i < check->file_count + check->withheld_count; i++)
	{
		const DepotServedFile *file = i < check->file_count ? &check->files[i] : NULL;
		const char *path = file != NULL ? file->path : check->withheld[i - check->file_count];

		if (file != NULL && file->is_verified && !file->is_withheld)
			continue;
		/* What was refused before makes room for what is refused now. */
		if (!is_cleared && !depot_files_remove_tree(check->root_fd, directory, &error))
			ereport(LOG, (errmsg("%s", error.message)));
		is_cleared = true;
		depot_seal_remove(verification->seal, path);
		if (!depot_seal_set_aside(check->root_fd, path, directory, &error))
			return psprintf("A file that is not verified could not be taken away: %s.", error.message);
	}
	return NULL;
}

/* ---- what is applied ---- */

static const DepotServedPackage *
find_package(const DepotServedCheck *check, const char *name)
{
	for (int i = 0; i < check->package_count; i++)
		if (strcmp(check->packages[i].package, name) == 0)
			return &check->packages[i];
	return NULL;
}

/* Whether a package keeps its manifest: pg_rewind, for one, makes files of a mode that is not the signed one. */
static bool
has_manifest(const DepotServedCheck *check, const DepotServedPackage *package)
{
	char		member[DEPOT_MANIFEST_PATH_BYTES];
	char		path[DEPOT_SERVED_PATH_BYTES];
	DepotError	ignored;

	depot_manifest_path(package->package, member);
	return depot_store_served_path(depot_paths_layout(), member, path, &ignored) &&
		depot_files_exists(check->root_fd, path);
}

/* Lets state.json say what is served now. */
static bool
settle_state(Verification *verification, DepotError *error)
{
	DepotServedCheck *check = &verification->check;
	DepotState *state = &verification->state;

	for (int i = 0; i < verification->loaded_count; i++)
	{
		const DepotServedPackage *found = find_package(check, state->packages[i].package);

		if (!verification->was_sealed[i] && (found == NULL || !found->is_whole))
			depot_store_doubt(state, state->packages[i].package);
	}
	for (int i = 0; i < check->package_count; i++)
	{
		const DepotServedPackage *found = &check->packages[i];

		if (!found->is_whole && (depot_store_find(state, found->package) != NULL || !has_manifest(check, found)))
			continue;
		if (!depot_store_adopt(check->root_fd, depot_paths_layout(), state, found->package, found->digest,
							   found->manifest_sha256, error))
			return false;
		if (!found->is_whole)
			depot_store_doubt(state, found->package);
	}
	return depot_store_save_state(check->root_fd, state, error);
}

/* ---- what is said of it ---- */

/* Whose file it is, as far as anything tells; NULL: nobody's. */
static char *
owner_of(const Verification *verification, const DepotServedFile *file)
{
	const DepotAppliedPackage *owner;

	if (file->package != NULL)
		return file->package;
	owner = depot_store_owner(&verification->state, file->path, NULL);
	return owner != NULL ? owner->package : NULL;
}

/* One WARNING for all refused files of the owner of files[first]. */
static void
warn_refused(const Verification *verification, int first)
{
	const DepotServedCheck *check = &verification->check;
	const DepotServedFile *file = &check->files[first];
	const char *owner = file->package;
	const char *problem = file->problem != NULL ? file->problem :
	file->identity[0] == '\0' ? "not a regular file" : "no signature proves it";
	int			count = 0;
	DepotError	error;

	for (int i = first; i < check->file_count; i++)
	{
		DepotServedFile *other = &check->files[i];

		if (other->is_verified || other->is_reported ||
			strcmp(other->package != NULL ? other->package : "", owner != NULL ? owner : "") != 0)
			continue;
		other->is_reported = true;
		count++;
	}
	if (owner != NULL)
		depot_error_set(&error, DEPOT_ERROR_DIGEST_MISMATCH,
						"files of package \"%s\" are not those that were signed, and are not served", owner);
	else
		depot_error_set(&error, DEPOT_ERROR_DIGEST_MISMATCH,
						"files in the depot directory belong to no package, and are not served");
	depot_error_detail(&error, "Of %d the first is \"%s\": %s. They were moved to \"%s/%s\".", count, file->path,
					   problem, depot_paths_directory(), DEPOT_SEAL_REFUSED);
	if (owner != NULL)
		depot_error_hint(&error, "The leader brings the package's files back.");
	depot_errors_raise(WARNING, &error);
}

static void
report(const Verification *verification, int elapsed_ms)
{
	const DepotServedCheck *check = &verification->check;

	if (verification->has_agent_failed)
		return;
	ereport(LOG,
			(errmsg("pg_depot: verified %d files of %d packages that came from elsewhere in %d ms",
					verification->verified_count, check->package_count, elapsed_ms)));
	for (int i = 0; i < check->file_count; i++)
		check->files[i].package = owner_of(verification, &check->files[i]);
	for (int i = 0; i < check->file_count; i++)
		if (!check->files[i].is_verified && !check->files[i].is_reported)
			warn_refused(verification, i);
}
