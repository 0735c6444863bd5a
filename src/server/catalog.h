/*-------------------------------------------------------------------------
 *
 * catalog.h
 *	  The depot's tables: the only code here that runs SQL.
 *
 * Every call but begin stands between depot_catalog_begin and
 * depot_catalog_commit, which make one transaction of the leader's with a
 * pinned search_path; an error in between is cleaned up by the leader's loop.
 * What a reader returns lives in the memory context that was current when the transaction began.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_CATALOG_H
#define DEPOT_CATALOG_H

#include "postgres.h"

#include "common/evidence.h"
#include "datatype/timestamp.h"
#include "server/rows.h"

/* Sets search_path, time-outs and the like for the life of this worker; once, after it has connected. */
extern void depot_catalog_pin_session(void);

/*
 * Has each statement of this process looked through before it is planned, while the server is a standby: one that would
 * read anything but plain tables, or run a function that is not compiled into the server, is an error.  Called once.
 */
extern void depot_catalog_check_plans(void);

/* Starts a transaction with a snapshot and SPI; commit ends it. */
extern void depot_catalog_begin(void);
extern void depot_catalog_commit(void);

/*
 * The same without waiting until the WAL is on disk, which it is at the latest when a later commit has waited.
 */
extern void depot_catalog_commit_unflushed(void);

/*
 * Whether the extension exists in this database: nothing else may be called when it does not.  On a standby, raises an
 * error where its tables are not what it has made.
 */
extern bool depot_catalog_exists(void);

extern void depot_catalog_bump_generation(void);
extern int64 depot_catalog_generation(void);

/* The table's oid, or InvalidOid. */
extern Oid	depot_catalog_generation_table(void);

/*
 * Watching for changes of the generation, of this server or replayed from another: begin once in this session,
 * outside a transaction.  watch_again stands before the statements that read rows: what was changed by then counts as
 * known.  has_changed: whether the generation moved since, or the extension came or went.
 * look, outside a transaction and at no cost worth the name: the same, once for each change.
 * schema_changes: a number, never 0, that is another one once the extension may have come or gone.
 * watched_table: depot.generation as it was at watch_again, or InvalidOid; one that was created anew is another one.
 */
extern void depot_catalog_watch_begin(void);
extern void depot_catalog_watch_again(void);
extern Oid	depot_catalog_watched_table(void);
extern bool depot_catalog_has_changed(void);
extern bool depot_catalog_look_for_changes(void);
extern uint64 depot_catalog_schema_changes(void);

/*
 * Looks, in a process that is connected to no database and outside a transaction, whether there is one of this name.
 * It looks again only when something about databases has changed, so asking often costs nothing.
 */
extern bool depot_catalog_database_came(const char *name);

/*
 * Repositories by priority and name; name NULL: all.  Returns how many.  Reading and adding raise an error (54000)
 * where there are, or would be, more than can be meant.
 */
extern int	depot_catalog_read_repositories(const char *name, DepotRepositoryRow **rows);
extern void depot_catalog_add_repository(const DepotRepositoryRow *row, const char *added_by);
extern bool depot_catalog_drop_repository(const char *name);

/*
 * Notes a successful refresh; false when there is no such repository any more.  What it offers is replaced
 * by clearing and adding.
 */
extern bool depot_catalog_note_refresh(const char *repository, int64 snapshot_version, int64 expires_epoch_s);
extern void depot_catalog_clear_available(const char *repository);
extern void depot_catalog_add_available(const char *repository, const DepotOfferRow *rows, int count);

/* Of two rows about one build the later counts.  Cleared with what is available. */
extern void depot_catalog_add_withdrawn(const char *repository, const DepotWithdrawnRow *row);

/* Makes depot.repository_role hold these roles; a version that was there keeps the time it was first seen. */
extern void depot_catalog_write_roles(const char *repository, const DepotRoleRow *rows, int count);

/* Notes why a repository could not be refreshed; the next success forgets it. */
extern void depot_catalog_note_refresh_failure(const char *repository, const char *message);
extern int	depot_catalog_count_available(const char *repository);

/*
 * The accepted metadata of a repository: the rows without content, by role and version; the content of one
 * (false: it is gone); write one anew or over what was there; remove one.  Too many rows are an error (54000).
 */
extern int	depot_catalog_read_metadata_rows(const char *repository, DepotMetadataRow **rows);
extern bool depot_catalog_read_metadata(const char *repository, DepotMetadataRow *row);
extern void depot_catalog_write_metadata(const char *repository, const DepotMetadataRow *row);
extern void depot_catalog_remove_metadata(const char *repository, const DepotMetadataRow *row);

/*
 * What proves a recorded build of this server's platform: the digests of the documents, in order, and the version of
 * the root they were accepted under.  Returns how many; 0 when the row does not say so in a form that can be used.
 */
extern int	depot_catalog_read_proof(const char *package, const char *digest, const char ***documents,
									 int64 *root_version);

/*
 * Reads rows of a repository's evidence without content: those of a document, or with sha256 NULL of all roots by
 * version, at most limit.  Rows that are larger than metadata can be are left out.  read_evidence reads the content
 * of one (false: it is gone).  write_evidence makes the table hold one.  remove_evidence removes what no build that is
 * installed needs, but no root.
 */
extern int	depot_catalog_find_evidence(const char *repository, const char *sha256, int limit,
										DepotEvidenceRow **rows);
extern bool depot_catalog_read_evidence(const char *repository, DepotEvidenceRow *row);
extern void depot_catalog_write_evidence(const char *repository, const DepotEvidenceRow *row);
extern void depot_catalog_remove_evidence(void);

/* Notes what proves a build that is recorded. */
extern void depot_catalog_note_proof(const char *package, const char *digest, const DepotEvidence *evidence);

/* Digests of all recorded builds of this server's platform, removed or not.  Too many are an error (54000). */
extern int	depot_catalog_read_digests(const char ***digests);

/*
 * Reads every build that provides one of names, then those that provide what these need, and so on: all
 * that a plan may have to look at.
 */
extern int	depot_catalog_read_available(const char *const *names, int name_count, DepotAvailableRow **rows);

/* Reads the builds of this server's slice that have one of digests. */
extern int	depot_catalog_read_available_digests(const char *const *digests, int count, DepotAvailableRow **rows);

/* What is installed as the text of a lock (common/lockfile.h), with the builds for every platform. */
extern char *depot_catalog_read_lock(void);

/* Names near to name by spelling, best first, at most limit; each palloc'd. */
extern int	depot_catalog_near_names(const char *name, int limit, char **names);

/*
 * Reads what is installed or was removed.  Raises an error (54000) where there is more of it than anybody installs:
 * these rows come from the primary, and are held in memory.  check_installed, before a commit that adds some, raises an
 * error (54000) where it would be so from then on.
 */
extern int	depot_catalog_read_installed(DepotInstalledRow **rows);
extern void depot_catalog_check_installed(void);

/*
 * Records a build as installed, with what proves it.  why: "requested", "declared" or "dependency"; of what was
 * there before, the first of these stays.
 */
extern void depot_catalog_record_install(const DepotAvailableRow *row, const char *why,
										 const DepotEvidence *evidence);

/*
 * Installed packages without a build for a platform that a server reports from; and records such a build (false: the
 * package is not installed in this version any more).
 */
extern int	depot_catalog_read_lacking(DepotLackingRow **rows);
extern bool depot_catalog_record_other_build(const DepotAvailableRow *row, const char *platform,
											 const DepotEvidence *evidence);

/*
 * Packages byte for byte, by digest (64 hexadecimal digits), in pieces: how many rows there are of one; write bytes
 * as the pieces from first_chunk on; read at most limit pieces that follow each other, as far as they fit, and return
 * their length; remove at most limit, and return how many; the next digest after one ("": the first) that no
 * installed package's build has, or NULL.
 */
#define DEPOT_PAYLOAD_CHUNK_BYTES INT64CONST(8000)

/* How many pieces so many bytes make. */
#define DEPOT_PAYLOAD_CHUNKS(bytes) (((int64) (bytes) + DEPOT_PAYLOAD_CHUNK_BYTES - 1) / DEPOT_PAYLOAD_CHUNK_BYTES)

extern int64 depot_catalog_count_payload(const char *digest);
extern void depot_catalog_add_payload(const char *digest, int first_chunk, const char *bytes, Size length);
extern Size depot_catalog_read_payload(const char *digest, int first_chunk, int limit, char *bytes,
									   Size capacity);
extern int	depot_catalog_remove_payload(const char *digest, int limit);
extern char *depot_catalog_unnamed_payload(const char *after);

/* Notes that a person asked for what was there by the declared list or as a dependency. */
extern void depot_catalog_note_requested(const char *package);

/* Marks a package removed, with a row of its own when it had none. */
extern void depot_catalog_record_removal(const char *package, const char *version);

/*
 * Makes depot.declared hold these rows, writing those that differ only.  is_new (per row, may be NULL) tells which
 * have an entry or state that was not there before.  An entry that failed, or that nobody
 * offered, stays so while it is pending.
 */
extern void depot_catalog_write_declared(const DepotDeclaredRow *rows, int count, bool *is_new);

/*
 * Notes the state of entries that were tried; an entry that is ok gets the version that is installed.  Returns how
 * many were in another state, or had another reason.
 */
extern int	depot_catalog_note_declared(const int *ordinals, int count, const char *state, const char *reason);

/* Notes packages, there as dependencies, as declared. */
extern void depot_catalog_mark_declared(const char *const *packages, int count);

/*
 * The servers that may report: all of them, which raises an error (54000) where they are far too many; whether there
 * is one of that name, or that reports as that role; add one, and let its role report; remove one (false: there is
 * none); note what one says.
 */
extern int	depot_catalog_read_nodes(DepotNodeRow **rows);
extern bool depot_catalog_has_node(const char *name, const char *role);
extern void depot_catalog_add_node(const char *name, const char *role);
extern bool depot_catalog_drop_node(const char *name);
extern void depot_catalog_write_node(const char *name, const DepotNodeContent *content);

/* Names of the servers that stream from here and replay what they receive, one for each; returns how many. */
extern int	depot_catalog_read_streaming(const char ***names);

/* One line of history. Strings may be NULL. */
typedef struct DepotHistoryRow
{
	const char *action;
	const char *package;
	const char *version;
	const char *previous_version;
	const char *repository;
	const char *digest;
	int64		size_bytes;		/* 0: none */
	const char *source;
	Oid			role;
	const char *origin;			/* instead of a role: the setting that asked for it; or NULL */
	Oid			database;
	TimestampTz started_at;
} DepotHistoryRow;

extern void depot_catalog_add_history(const DepotHistoryRow *row);

/* Counts this process's commits, to tell whether a step that failed had made one. */
extern uint64 depot_catalog_commit_count(void);

/* The qualified name of a table that the leader needs and a process has locked against it, or NULL. */
extern char *depot_catalog_find_locked_table(pid_t pid);

/* Databases other than this one, as oids and names. */
typedef struct DepotDatabaseRow
{
	Oid			oid;
	char	   *name;
	bool		is_invalid;		/* a DROP DATABASE was interrupted: nobody can connect to it */
} DepotDatabaseRow;

extern int	depot_catalog_read_databases(DepotDatabaseRow **rows);

/* What somebody may use: extensions and libraries (without ".so"), both separated by spaces. */
typedef struct DepotUsageRequest
{
	const char *extensions;
	const char *libraries;
	const char *library_directory;	/* of the depot, absolute, with a slash at the end */
} DepotUsageRequest;

typedef enum DepotUserKind
{
	DEPOT_USER_EXTENSION,
	DEPOT_USER_FUNCTION,
	DEPOT_USER_SETTING,
	DEPOT_USER_SLOT
} DepotUserKind;

typedef struct DepotUserRow
{
	DepotUserKind kind;
	const char *name;			/* of the extension, function, setting or slot */
	const char *library;		/* of an extension: NULL */
	const char *role;			/* of a setting: whose it is, and where; or NULL */
	const char *database;
} DepotUserRow;

/*
 * Read who uses it in this database; in settings of roles, databases and the server, and in slots.  Of *count users
 * only the first rows are returned.
 */
extern int	depot_catalog_read_users(const DepotUsageRequest *request, DepotUserRow **rows, int *count);
extern int	depot_catalog_read_shared_users(const DepotUsageRequest *request, DepotUserRow **rows, int *count);

/* The same of what this server alone has, and no other of its cluster: settings of its configuration, and slots. */
extern int	depot_catalog_read_local_users(const DepotUsageRequest *request, DepotUserRow **rows, int *count);

/* A transaction that holds the lock of an extension (use.h). */
typedef struct DepotHolderRow
{
	const char *gid;			/* of a prepared transaction, or NULL */
	const char *pid;			/* of a session, or NULL */
	const char *database;
} DepotHolderRow;

extern int	depot_catalog_read_holders(Oid lock_oid, DepotHolderRow **rows);

/* The version of an extension in this database, palloc'd, or NULL when it does not exist here. */
extern char *depot_catalog_extension_version(const char *extension);

/* Runs ALTER EXTENSION ... UPDATE in this database, TO version unless NULL. */
extern void depot_catalog_update_extension(const char *extension, const char *version);

extern bool depot_catalog_role_is_superuser(Oid role);

/*
 * Reads a view of the extension's by its name in schema depot, as role may and with nothing written: its
 * rows as JSON objects in UTF-8, separated by commas ("" for none).  Raises an error when there is no such
 * view or the role may not read it.
 */
extern char *depot_catalog_read_view(const char *view, Oid role);

#endif							/* DEPOT_CATALOG_H */
