/*-------------------------------------------------------------------------
 *
 * op_package.c
 *	  Operation: fetch one package and have it checked and unpacked.
 *
 * The fetch agent writes bytes into a new staging directory; the check agent
 * finds the target in the trusted metadata on disk, compares, and unpacks.  By
 * then the fetch agent is gone: nobody else writes where the check agent reads.
 * What the rows say is only where to look: the metadata decides.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "server/bases.h"
#include "server/evidence.h"
#include "server/platform.h"
#include "server/settings.h"
#include "server/space.h"
#include "server/trust.h"
#include "utils/json.h"
#include "utils/memutils.h"

/* Later than any that a package needs. */
#define ANY_MINOR "9999"
#define ANY_LIBC "9999"

typedef struct Package
{
	DepotPackageRequest request;
	DepotRepositoryRow repository;
	DepotJobStep then;
	DepotTrust *trust;
	char	   *source;			/* NULL until the package is here */
	bool		is_preparing;	/* the check agent reads the metadata while the package is fetched */
	bool		is_checking;	/* the check agent was told to */
	bool		is_by_evidence; /* recorded evidence decides, not trusted metadata */
	bool		is_proved;		/* that is done, what follows is about the package */
	DepotError	evidence_error; /* why it did not */
} Package;

static void on_message(DepotJob *job, DepotAgent *agent, const DepotMessage *message);
static void on_fetch_message(DepotJob *job, const DepotMessage *message, const char *type);
static void on_check_message(DepotJob *job, const DepotMessage *message, const char *type);
static void fetch_when_free(DepotJob *job);
static void note_loaded(DepotJob *job);
static void prepare_check(DepotJob *job);
static void append_metadata(StringInfo line, Package *package);
static void begin_check(DepotJob *job);
static void send_check(DepotJob *job);
static void send_fetch(DepotJob *job);
static void check_when_free(DepotJob *job);

void
depot_package_begin(DepotJob *job, const DepotPackageRequest *request,
					const DepotRepositoryRow *repository, DepotJobStep then)
{
	Package    *package = MemoryContextAllocZero(job->context, sizeof(Package));

	package->request = *request;
	package->repository = *repository;
	package->then = then;
	package->trust = depot_trust_begin(job, repository);
	job->operation = package;
	job->on_message = NULL;

	if (request->size_bytes > depot_settings_max_package_mb * DEPOT_MEGABYTE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("package \"%s\" is larger than \"depot.max_package_size\"", request->target),
				 errdetail("It has %lld bytes.", (long long) request->size_bytes),
				 errhint("Raise the setting if the package is meant to be that large.")));
	if (request->unpacked_bytes > depot_settings_max_unpacked_mb * DEPOT_MEGABYTE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("package \"%s\" is larger than \"depot.max_unpacked_size\"", request->target),
				 errdetail("It has %lld bytes unpacked.", (long long) request->unpacked_bytes),
				 errhint("Raise the setting if the package is meant to be that large.")));

	job->on_wake = fetch_when_free;
	fetch_when_free(job);
}

static void
fetch_when_free(DepotJob *job)
{
	Package    *package = job->operation;

	if (!depot_job_lock_agents(job, package->request.repository))
		return;
	job->on_wake = NULL;
	job->on_message = on_message;
	job->on_agent_error = NULL;
	depot_space_check(package->request.size_bytes + package->request.unpacked_bytes);
	depot_job_begin_staging(job);
	depot_job_need_agents(job, !package->request.is_payload);
	depot_shmem_set_phase(job->slot, DEPOT_PHASE_FETCHING, 0, package->request.size_bytes);
	if (!package->request.is_payload)
		send_fetch(job);
	if (package->request.evidence_of == NULL)
		depot_job_transact(job, prepare_check);
	if (package->request.is_payload)
		depot_payload_load_begin(job, package->request.sha256, package->request.size_bytes,
								 depot_job_staging(job)->fd, note_loaded);
}

static void
note_loaded(DepotJob *job)
{
	Package    *package = job->operation;
	DepotError	error;

	if (!depot_payload_is_loaded(job))
	{
		depot_error_set(&error, DEPOT_ERROR_DIGEST_MISMATCH, "depot.payload does not hold all of it");
		depot_job_raise(&error);
	}
	package->source = "depot.payload";
	job->on_wake = check_when_free;
	check_when_free(job);
}

/*
 * Has the metadata read and verified while the package is on its way.  Where somebody else changes it just
 * now, that is left to the check itself.
 */
static void
prepare_check(DepotJob *job)
{
	Package    *package = job->operation;
	StringInfoData line;

	if (!depot_job_lock_repository(job, package->request.repository))
		return;
	package->is_preparing = true;
	initStringInfo(&line);
	appendStringInfo(&line, "{\"command\":\"prepare\",\"job\":\"%s\"", depot_job_staging(job)->name);
	appendStringInfoString(&line, ",\"target\":");
	escape_json(&line, package->request.target);
	append_metadata(&line, package);
	appendStringInfoChar(&line, '}');
	depot_agent_send(job->check, line.data);
}

/* Which metadata decides, and as of when. */
static void
append_metadata(StringInfo line, Package *package)
{
	int64		now = package->request.check_expiry ? depot_platform_reference_time() : (int64) time(NULL);

	appendStringInfoString(line, ",\"repository\":");
	escape_json(line, package->request.repository);
	appendStringInfo(line, ",\"role\":\"%s\",\"reference_time\":" INT64_FORMAT ",\"check_expiry\":%s"
					 ",\"all_key_types\":%s",
					 package->repository.slice != NULL ? package->repository.slice : depot_platform_role(), now,
					 package->request.check_expiry ? "true" : "false",
					 package->repository.all_key_types ? "true" : "false");
	if (package->is_by_evidence)
	{
		depot_trust_append_pin(package->trust, line);
		appendStringInfoString(line, ",\"evidence\":\"" DEPOT_EVIDENCE_DIRECTORY "\"");
	}
	else
		depot_trust_append(package->trust, line);
}

/*
 * What does not prove a package may have been damaged; trusted metadata may do.  Of two reasons the first counts: a
 * server that was given evidence needs no metadata.
 */
static bool
check_by_metadata(DepotJob *job, DepotAgent *agent, const DepotError *error)
{
	Package    *package = job->operation;

	if (agent->kind != DEPOT_AGENT_CHECK || !package->is_checking || package->is_proved)
		return false;
	if (!package->is_by_evidence)
	{
		if (package->evidence_error.code == DEPOT_OK)
			return false;
		depot_job_raise(&package->evidence_error);
	}
	if (strncmp(depot_error_sqlstate(error->code), "PD", 2) != 0)
		return false;
	package->evidence_error = *error;
	package->is_by_evidence = false;
	package->is_checking = false;
	depot_job_transact(job, send_check);
	return true;
}

bool
depot_package_is_unproved(DepotJob *job)
{
	return ((Package *) job->operation)->evidence_error.code != DEPOT_OK;
}

const char *
depot_package_source(DepotJob *job)
{
	return ((Package *) job->operation)->source;
}

/* targets/<directory>/<sha256>.<base name>: consistent snapshots put the digest before the name. */
static void
send_fetch(DepotJob *job)
{
	Package    *package = job->operation;
	const char *target = package->request.target;
	const char *base_name = strrchr(target, '/');
	StringInfoData path;
	StringInfoData line;
	MemoryContext old_context;

	base_name = base_name != NULL ? base_name + 1 : target;
	initStringInfo(&path);
	appendStringInfo(&path, "targets/%.*s%s.%s", (int) (base_name - target), target,
					 package->request.sha256, base_name);

	old_context = MemoryContextSwitchTo(job->context);
	depot_bases_prefer_reachable(&package->repository);
	MemoryContextSwitchTo(old_context);
	initStringInfo(&line);
	appendStringInfoString(&line, "{\"command\":\"fetch\",\"bases\":");
	depot_job_append_bases(&line, &package->repository);
	appendStringInfoString(&line, ",\"path\":");
	escape_json(&line, path.data);
	appendStringInfo(&line, ",\"file\":\"" DEPOT_PACKAGE_FILE "\",\"max_bytes\":" INT64_FORMAT
					 ",\"expected_bytes\":" INT64_FORMAT
					 ",\"sha256\":\"%s\"}",
					 package->request.size_bytes, package->request.size_bytes, package->request.sha256);
	depot_agent_send(job->fetch, line.data);
}

static void
on_message(DepotJob *job, DepotAgent *agent, const DepotMessage *message)
{
	const char *type = depot_message_string(message, "type");

	if (agent->kind == DEPOT_AGENT_FETCH)
		on_fetch_message(job, message, type);
	else
		on_check_message(job, message, type);
}

/* A done without a "base" answers the configuration. */
static void
on_fetch_message(DepotJob *job, const DepotMessage *message, const char *type)
{
	Package    *package = job->operation;
	int64		base = depot_message_integer(message, "base", -1);

	if (strcmp(type, "progress") == 0)
		depot_shmem_set_phase(job->slot, DEPOT_PHASE_FETCHING, depot_message_integer(message, "bytes", 0),
							  package->request.size_bytes);
	else if (strcmp(type, "skipped") == 0)
	{
		DepotError	error;

		depot_job_read_agent_error(message, &error);
		depot_bases_warn(job, &package->repository, (int) base, &error);
		if (error.code == DEPOT_ERROR_UNREACHABLE && depot_bases_url(&package->repository, (int) base) != NULL)
			depot_bases_note(depot_bases_url(&package->repository, (int) base), false);
	}
	else if (strcmp(type, "done") != 0)
		depot_job_raise_agent_nonsense(job->fetch, "an unknown type of line");
	else if (depot_message_bool(message, "missing"))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("repository \"%s\" does not have package \"%s\" that its metadata lists",
						package->request.repository, package->request.target),
				 errhint("The repository or its mirror is incomplete; try again later, or tell its publisher.")));
	else if (base >= 0)
	{
		const char *source = depot_bases_url(&package->repository, (int) base);

		if (source != NULL)
			depot_bases_note(source, true);
		depot_agent_stop(job->fetch);
		job->fetch = NULL;
		package->source = MemoryContextStrdup(job->context,
											  source != NULL ? source : package->repository.url);
		job->on_wake = check_when_free;
		check_when_free(job);
	}
}

/* The trusted metadata must not change while the agent reads it. */
static void
check_when_free(DepotJob *job)
{
	Package    *package = job->operation;

	if (!depot_job_lock_repository(job, package->request.repository))
		return;
	job->on_wake = NULL;
	depot_space_check(package->request.unpacked_bytes);
	depot_job_transact(job, begin_check);
}

static void
begin_check(DepotJob *job)
{
	Package    *package = job->operation;

	if (package->request.evidence_of != NULL && depot_evidence_stage(job, &package->request))
	{
		package->is_by_evidence = true;
		job->on_agent_error = check_by_metadata;
	}
	send_check(job);
}

/* What the package has to fit: this server, or one of another slice, whose minor version and libc it checks itself. */
static void
append_server(StringInfo line, const char *slice)
{
	appendStringInfoString(line, ",\"server\":");
	if (slice == NULL)
		depot_platform_append(line);
	else
		appendStringInfo(line, "{\"major\":%d,\"minor\":" ANY_MINOR ",\"os\":\"%s\",\"arch\":\"%s\","
						 "\"libc\":\"glibc\",\"libc_version\":\"" ANY_LIBC "\"}",
						 PG_MAJORVERSION_NUM, depot_platform_os(), strrchr(slice, '-') + 1);
}

static void
send_check(DepotJob *job)
{
	Package    *package = job->operation;
	StringInfoData line;

	depot_shmem_set_phase(job->slot, DEPOT_PHASE_CHECKING, 0, package->request.size_bytes);

	initStringInfo(&line);
	appendStringInfoString(&line, "{\"command\":\"package\"");
	append_metadata(&line, package);
	appendStringInfoString(&line, ",\"target\":");
	escape_json(&line, package->request.target);
	appendStringInfoString(&line, ",\"sha256\":");
	escape_json(&line, package->request.sha256);
	appendStringInfo(&line, ",\"job\":\"%s\",\"file\":\"" DEPOT_PACKAGE_FILE "\""
					 ",\"max_unpacked_bytes\":" INT64_FORMAT ",\"max_package_bytes\":" INT64_FORMAT,
					 depot_job_staging(job)->name,
					 depot_settings_max_unpacked_mb * DEPOT_MEGABYTE,
					 depot_settings_max_package_mb * DEPOT_MEGABYTE);
	append_server(&line, package->repository.slice);
	appendStringInfoChar(&line, '}');
	package->is_checking = true;
	depot_agent_send(job->check, line.data);
}

/* What was checked must be what was asked for, not an answer to something earlier. */
static void
check_answer(DepotJob *job, const char *manifest_sha256)
{
	Package    *package = job->operation;
	DepotError	error;

	if (!package->is_checking || manifest_sha256 == NULL)
		depot_job_raise_agent_nonsense(job->check, "a result nobody asked for");
	else if (strcmp(manifest_sha256, package->request.manifest_sha256) == 0)
		return;
	depot_error_set(&error, DEPOT_ERROR_DIGEST_MISMATCH, "package \"%s\" has another manifest than was recorded",
					package->request.target);
	depot_error_hint(&error, "Uninstall the package and install it again.");
	depot_job_raise(&error);
}

static void
on_check_message(DepotJob *job, const DepotMessage *message, const char *type)
{
	Package    *package = job->operation;

	if (strcmp(type, "prepared") == 0 && package->is_preparing)
	{
		package->is_preparing = false;
		if (!package->is_checking)
			depot_job_unlock_repository(job);
	}
	else if (strcmp(type, "proved") == 0 && package->is_by_evidence)
		package->is_proved = true;
	else if (strcmp(type, "progress") == 0)
	{
		const char *phase = depot_message_string(message, "phase");

		depot_shmem_set_phase(job->slot,
							  phase != NULL && strcmp(phase, "unpack") == 0 ?
							  DEPOT_PHASE_UNPACKING : DEPOT_PHASE_CHECKING,
							  depot_message_integer(message, "bytes", 0),
							  depot_message_integer(message, "total", 0));
	}
	else if (strcmp(type, "done") == 0)
	{
		check_answer(job, depot_message_string(message, "manifest_sha256"));
		job->on_agent_error = NULL;
		depot_job_staging(job)->has_package = true;
		depot_job_unlock_repository(job);
		job->on_message = NULL;
		package->then(job);
	}
	else if (!depot_trust_take_line(package->trust, message, type))
		depot_job_raise_agent_nonsense(job->check, "an unknown type of line");
}
