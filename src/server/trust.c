/*-------------------------------------------------------------------------
 *
 * trust.c
 *	  Trusted metadata is kept twice: in files, and in rows that replicate.
 *
 * A row is a hint and never believed here: the agent judges each one once in a
 * leader's life, and again when the row or this server's own files are other than they
 * were.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/hashfn.h"
#include "common/name.h"
#include "common/tuf_limits.h"
#include "miscadmin.h"
#include "server/anchor.h"
#include "server/applied.h"
#include "server/catalog.h"
#include "server/platform.h"
#include "server/trust.h"
#include "utils/json.h"
#include "utils/memutils.h"

#define INITIAL_ROOT_FILE "initial-root"

/* In place of a role: the list of withdrawn builds, a file beside the metadata. */
#define WITHDRAWN_LIST "withdrawn.list"

/* What is given to an agent at most: enough for all roots of a long life and for the largest slice. */
#define ROWS_MAX 4096
#define ROWS_MAX_BYTES (INT64CONST(128) * 1024 * 1024)

struct DepotTrust
{
	DepotJob   *job;
	DepotRepositoryRow repository;
	DepotMetadataRow *rows;		/* as the table had them */
	int			row_count;
	bool		is_pending;		/* the agent was given some of them */
	bool		has_new_files;	/* they are not known to be those that were judged: one may be damaged */
	int			given_count;	/* how often it was: each time in a directory of its own */
	DepotMetadataRow *files;	/* as it shall have them; content only where it is to be written */
	int			file_count;
	DepotMetadataRow *recorded; /* as it has them then */
	int			recorded_count;
};

/* What agents of this leader have judged of a repository's rows, beside files as they were then. */
typedef struct Judged
{
	char		repository[DEPOT_NAME_MAX_BYTES + 1];
	MemoryContext context;
	uint64		files_stamp;
	DepotMetadataRow *rows;
	int			row_count;
} Judged;

static List *judged_repositories = NIL;

static Judged *find_judged(const char *repository);
static uint64 stamp_of_files(const char *repository);
static const DepotMetadataRow *find_row(const DepotMetadataRow *rows, int count, const char *role, int64 version);
static void note_judged(const char *repository, const DepotMetadataRow *rows, int count);
static void read_rows(DepotTrust *trust, DepotAnchor *anchor);
static void append_anchor(const DepotTrust *trust, StringInfo line, const DepotAnchor *anchor, bool is_needed);
static void write_file(const DepotTrust *trust, const char *path, const char *bytes, size_t length);
static void write_rows(DepotTrust *trust, const char *directory);
static void warn_refused(const DepotTrust *trust, const char *role, int64 version, const char *reason);

DepotTrust *
depot_trust_begin(DepotJob *job, const DepotRepositoryRow *row)
{
	DepotTrust *trust = MemoryContextAllocZero(job->context, sizeof(DepotTrust));

	trust->job = job;
	trust->repository = *row;
	return trust;
}

/* ---- what was judged ---- */

static Judged *
find_judged(const char *repository)
{
	ListCell   *cell;

	foreach(cell, judged_repositories)
	{
		Judged	   *judged = lfirst(cell);

		if (strcmp(judged->repository, repository) == 0)
			return judged;
	}
	return NULL;
}

/* Changes whenever one of the files does that say what is trusted; 0: one is not there that must be. */
static uint64
stamp_of_files(const char *repository)
{
	/* A repository may have nothing for this platform, and so not the last one. */
	const char *roles[] = {"root", "timestamp", "snapshot", "targets", depot_platform_role()};
	uint64		stamp = 1;

	for (size_t i = 0; i < lengthof(roles); i++)
	{
		char	   *path = psprintf("metadata/%s/%s.json", repository, roles[i]);
		struct stat status = {0};
		bool		is_there = fstatat(depot_applied_var_fd(), path, &status, AT_SYMLINK_NOFOLLOW) == 0;
		uint64		facts[] = {(uint64) status.st_ino, (uint64) status.st_size, (uint64) status.st_ctim.tv_sec,
		(uint64) status.st_ctim.tv_nsec};

		pfree(path);
		if (!is_there && i < lengthof(roles) - 1)
			return 0;
		stamp = hash_bytes_extended((const unsigned char *) facts, sizeof(facts), stamp);
	}
	return stamp;
}

static const DepotMetadataRow *
find_row(const DepotMetadataRow *rows, int count, const char *role, int64 version)
{
	for (int i = 0; i < count; i++)
		if (rows[i].version == version && strcmp(rows[i].role, role) == 0)
			return &rows[i];
	return NULL;
}

/* Notes rows as judged, and the files as they are now. */
static void
note_judged(const char *repository, const DepotMetadataRow *rows, int count)
{
	Judged	   *judged = find_judged(repository);
	MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);

	if (judged == NULL)
	{
		judged = palloc0(sizeof(Judged));
		strlcpy(judged->repository, repository, sizeof(judged->repository));
		judged->context = AllocSetContextCreate(TopMemoryContext, "pg_depot judged rows", ALLOCSET_SMALL_SIZES);
		judged_repositories = lappend(judged_repositories, judged);
	}
	MemoryContextReset(judged->context);
	MemoryContextSwitchTo(judged->context);
	judged->files_stamp = stamp_of_files(repository);
	judged->row_count = count;
	judged->rows = palloc0(sizeof(DepotMetadataRow) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		judged->rows[i].role = pstrdup(rows[i].role);
		judged->rows[i].version = rows[i].version;
		judged->rows[i].stamp = pstrdup(rows[i].stamp);
		judged->rows[i].is_refused = rows[i].is_refused;
	}
	MemoryContextSwitchTo(old_context);
}

/* ---- what an agent is given ---- */

void
depot_trust_append(DepotTrust *trust, StringInfo line)
{
	MemoryContext old_context = MemoryContextSwitchTo(trust->job->context);
	DepotAnchor anchor;

	read_rows(trust, &anchor);
	if (trust->is_pending)
	{
		char	   *directory = psprintf("rows-%d", ++trust->given_count);

		write_rows(trust, directory);
		appendStringInfo(line, ",\"rows\":\"%s\"", directory);
	}
	append_anchor(trust, line, &anchor, trust->has_new_files);
	MemoryContextSwitchTo(old_context);
}

void
depot_trust_append_pin(DepotTrust *trust, StringInfo line)
{
	MemoryContext old_context = MemoryContextSwitchTo(trust->job->context);
	MemoryContext spi_context;
	DepotAnchor anchor;

	depot_catalog_begin();
	spi_context = MemoryContextSwitchTo(trust->job->context);
	depot_anchor_resolve(&trust->repository, &anchor);
	MemoryContextSwitchTo(spi_context);
	depot_catalog_commit();
	append_anchor(trust, line, &anchor, true);
	MemoryContextSwitchTo(old_context);
}

/* Says where trust begins; a root that is given in whole may be left out where one is trusted already. */
static void
append_anchor(const DepotTrust *trust, StringInfo line, const DepotAnchor *anchor, bool is_needed)
{
	appendStringInfo(line, ",\"pinned\":%s", anchor->is_pinned ? "true" : "false");
	if (anchor->sha256 != NULL)
	{
		appendStringInfoString(line, ",\"initial_root_sha256\":");
		escape_json(line, anchor->sha256);
	}
	else if (anchor->root != NULL && (anchor->is_pinned || is_needed))
	{
		/* In a file: a root may be larger than a line. */
		write_file(trust, INITIAL_ROOT_FILE, anchor->root, anchor->root_bytes);
		appendStringInfoString(line, ",\"initial_root\":\"" INITIAL_ROOT_FILE "\"");
	}
}

static bool
is_role_name(const char *role)
{
	return strcmp(role, "root") == 0 || strcmp(role, "timestamp") == 0 || strcmp(role, "snapshot") == 0 ||
		strcmp(role, "targets") == 0 || depot_name_is_delegated_role(role) || strcmp(role, WITHDRAWN_LIST) == 0;
}

/* Finds the anchor, and reads the rows, with contents where they have not been judged yet. */
static void
read_rows(DepotTrust *trust, DepotAnchor *anchor)
{
	const char *repository = trust->repository.name;
	const Judged *judged = find_judged(repository);
	MemoryContext spi_context;
	int64		total_bytes = 0;
	int			given = 0;

	if (judged != NULL && (judged->files_stamp == 0 || judged->files_stamp != stamp_of_files(repository)))
		judged = NULL;
	trust->has_new_files = judged == NULL;
	trust->is_pending = false;
	depot_catalog_begin();
	/* in the transaction, as the server's digests need one */
	spi_context = MemoryContextSwitchTo(trust->job->context);
	depot_anchor_resolve(&trust->repository, anchor);
	MemoryContextSwitchTo(spi_context);
	trust->row_count = depot_catalog_exists() ? depot_catalog_read_metadata_rows(repository, &trust->rows) : 0;
	for (int i = 0; i < trust->row_count; i++)
	{
		DepotMetadataRow *row = &trust->rows[i];
		const DepotMetadataRow *known = judged == NULL ? NULL :
		find_row(judged->rows, judged->row_count, row->role, row->version);

		if (known != NULL && strcmp(known->stamp, row->stamp) == 0)
		{
			row->is_refused = known->is_refused;
			continue;
		}
		trust->is_pending = true;
		row->is_refused = !is_role_name(row->role) || row->version < 1 ||
			row->size_bytes > DEPOT_TUF_TARGETS_MAX_BYTES || total_bytes + row->size_bytes > ROWS_MAX_BYTES ||
			given == ROWS_MAX || !depot_catalog_read_metadata(repository, row);
		if (row->is_refused)
			continue;
		total_bytes += row->size_bytes;
		given++;
	}
	depot_catalog_commit();
}

/* Writes a file into the staging directory, which nobody needs after a crash. */
static void
write_file(const DepotTrust *trust, const char *path, const char *bytes, size_t length)
{
	DepotError	error;
	int			fd = depot_files_open(depot_job_staging(trust->job)->fd, path, O_WRONLY | O_CREAT | O_TRUNC,
									  S_IRUSR | S_IWUSR, &error);
	bool		ok = fd >= 0 && depot_files_write_all(fd, bytes, length, &error);

	if (fd >= 0)
		close(fd);
	if (!ok)
		depot_errors_raise(ERROR, &error);
}

/* Writes what was read where the agent finds it, and gives the memory back. */
static void
write_rows(DepotTrust *trust, const char *directory)
{
	DepotError	error;

	if (!depot_files_make_directories(depot_job_staging(trust->job)->fd, directory, S_IRWXU, false, &error))
		depot_errors_raise(ERROR, &error);
	for (int i = 0; i < trust->row_count; i++)
	{
		DepotMetadataRow *row = &trust->rows[i];

		if (row->content != NULL)
		{
			const bool	is_list = strcmp(row->role, WITHDRAWN_LIST) == 0;
			char	   *path = is_list ? psprintf("%s/" WITHDRAWN_LIST "." INT64_FORMAT, directory, row->version) :
			psprintf("%s/" INT64_FORMAT ".%s.json", directory, row->version, row->role);

			write_file(trust, path, row->content, (size_t) row->size_bytes);
			pfree(row->content);
			row->content = NULL;
		}
		else if (row->is_refused)
			warn_refused(trust, row->role, row->version, "its role, version or size is not that of metadata");
	}
}

/* ---- what the agent says of it ---- */

static void
warn_refused(const DepotTrust *trust, const char *role, int64 version, const char *reason)
{
	DepotReport report = {.sqlstate = "01000"};
	char		shown[80];

	snprintf(report.message, sizeof(report.message),
			 "row of depot.repository_metadata for role \"%s\", version " INT64_FORMAT ", counts for nothing: %s",
			 depot_name_printable(role, shown, sizeof(shown)), version, reason);
	depot_job_warn(trust->job, &report, "repository \"%s\"", trust->repository.name);
}

bool
depot_trust_take_line(DepotTrust *trust, const DepotMessage *message, const char *type)
{
	if (strcmp(type, "refused") == 0)
	{
		const char *role = depot_message_string(message, "role");
		const char *reason = depot_message_string(message, "message");
		int64		version = depot_message_integer(message, "version", 0);

		for (int i = 0; i < trust->row_count; i++)
			if (role != NULL && trust->rows[i].version == version && strcmp(trust->rows[i].role, role) == 0)
				trust->rows[i].is_refused = true;
		warn_refused(trust, role != NULL ? role : "", version, reason != NULL ? reason : "");
		return true;
	}
	if (strcmp(type, "adopted") != 0)
		return false;
	trust->is_pending = false;
	note_judged(trust->repository.name, trust->rows, trust->row_count);
	return true;
}

/* ---- after a refresh ---- */

/* Adds a role's file to what the table shall have, with its content when the table does not have it. */
static void
add_file(DepotTrust *trust, const char *role, int64 version, const char *path, size_t limit_bytes)
{
	const DepotMetadataRow *row = find_row(trust->rows, trust->row_count, role, version);
	DepotMetadataRow *file;
	DepotBuffer bytes;
	DepotError	error;

	trust->files = trust->files == NULL ? palloc0(sizeof(DepotMetadataRow)) :
		repalloc(trust->files, sizeof(DepotMetadataRow) * (trust->file_count + 1));
	file = &trust->files[trust->file_count++];
	memset(file, 0, sizeof(*file));
	file->role = pstrdup(role);
	file->version = version;
	if (row != NULL && !row->is_refused)
		return;

	depot_buffer_init(&bytes);
	if (!depot_files_read(depot_applied_var_fd(), path, limit_bytes, &bytes, &error))
	{
		depot_buffer_free(&bytes);
		depot_errors_raise(ERROR, &error);
	}
	file->size_bytes = (int64) bytes.length_bytes;
	file->content = palloc_extended(bytes.length_bytes + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (file->content != NULL)
		memcpy(file->content, bytes.data, bytes.length_bytes);
	depot_buffer_free(&bytes);
	if (file->content == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* Every root of the chain, as far back as this server has seen it. */
static void
add_roots(DepotTrust *trust, int64 newest)
{
	for (int64 version = newest; version > 0; version--)
	{
		char	   *path = psprintf("metadata/%s/root_history/" INT64_FORMAT ".root.json", trust->repository.name,
									version);

		if (!depot_files_exists(depot_applied_var_fd(), path))
			return;
		add_file(trust, "root", version, path, DEPOT_TUF_ROOT_MAX_BYTES);
		pfree(path);
	}
}

/* The list of withdrawn builds, which the targets metadata of this version names by its digest. */
static void
add_withdrawn_list(DepotTrust *trust, int64 version)
{
	char	   *path = psprintf("metadata/%s/" WITHDRAWN_LIST, trust->repository.name);

	if (depot_files_exists(depot_applied_var_fd(), path))
		add_file(trust, WITHDRAWN_LIST, version, path, DEPOT_TUF_TARGETS_MAX_BYTES);
	pfree(path);
}

void
depot_trust_read_files(DepotTrust *trust, const DepotMessage *done)
{
	MemoryContext old_context = MemoryContextSwitchTo(trust->job->context);

	trust->files = NULL;
	trust->file_count = 0;
	for (size_t i = 0; i < depot_message_array_size(done, "roles"); i++)
	{
		const DepotMessage *element = depot_message_array_object(done, "roles", i);
		const char *role = element != NULL ? depot_message_string(element, "name") : NULL;
		int64		version = element != NULL ? depot_message_integer(element, "version", 0) : 0;

		if (role == NULL || version < 1 || !is_role_name(role))
			continue;
		if (strcmp(role, "root") == 0)
			add_roots(trust, version);
		else
			add_file(trust, role, version, psprintf("metadata/%s/%s.json", trust->repository.name, role),
					 DEPOT_TUF_TARGETS_MAX_BYTES);
		if (strcmp(role, "targets") == 0)
			add_withdrawn_list(trust, version);
	}
	MemoryContextSwitchTo(old_context);
}

void
depot_trust_record(DepotTrust *trust)
{
	const char *repository = trust->repository.name;

	for (int i = 0; i < trust->file_count; i++)
		if (trust->files[i].content != NULL)
			depot_catalog_write_metadata(repository, &trust->files[i]);
	for (int i = 0; i < trust->row_count; i++)
		if (find_row(trust->files, trust->file_count, trust->rows[i].role, trust->rows[i].version) == NULL)
			depot_catalog_remove_metadata(repository, &trust->rows[i]);
	trust->recorded_count = depot_catalog_read_metadata_rows(repository, &trust->recorded);
}

/*
 * What the agent has judged, and what was written from its files, is known.  A row that somebody else changed
 * meanwhile is not, and is judged the next time.
 */
void
depot_trust_note_recorded(const DepotTrust *trust)
{
	int			count = 0;

	for (int i = 0; i < trust->recorded_count; i++)
	{
		const DepotMetadataRow *row = &trust->recorded[i];
		const DepotMetadataRow *file = find_row(trust->files, trust->file_count, row->role, row->version);
		const DepotMetadataRow *before = find_row(trust->rows, trust->row_count, row->role, row->version);

		if ((file != NULL && file->content != NULL) ||
			(before != NULL && strcmp(before->stamp, row->stamp) == 0))
			trust->recorded[count++] = *row;
	}
	note_judged(trust->repository.name, trust->recorded, count);
}
