/*-------------------------------------------------------------------------
 *
 * agent_check_withdrawn.c
 *	  The check agent: builds that were withdrawn.
 *
 * A refresh tells the leader of marks in descriptions and of the list
 * withdrawn.json, which counts only as a target of the top-level role.  Its
 * bytes are kept beside the metadata and compared with it each time, so they
 * are fetched only when they change.  A server that has none takes them from
 * the rows, as far as they are the file that its metadata lists.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/agent.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/withdrawn.h"

/* No file of a role can be called so: those end with ".json". */
#define KEPT_LIST "withdrawn.list"

typedef struct ListTarget
{
	bool		is_listed;
	uint64_t	length_bytes;
	char		sha256[DEPOT_SHA256_HEX_BYTES];
} ListTarget;

static bool
send_withdrawal(DepotAgent *agent, const char *sha256, const DepotWithdrawal *withdrawal, DepotError *error)
{
	return depot_channel_send(&agent->channel,
							  json_pack("{s:s, s:s, s:s, s:s?}", "type", "withdrawn", "sha256", sha256,
										"reason", withdrawal->reason, "advisory", withdrawal->advisory)) ||
		depot_error_set(error, DEPOT_ERROR_AGENT, "could not tell the leader of a withdrawn build");
}

bool
depot_agent_send_mark(DepotAgent *agent, const DepotTufTarget *target, DepotError *error)
{
	DepotWithdrawal withdrawal;
	bool		is_marked = false;

	return depot_withdrawn_read_mark(json_object_get(target->custom, "pg_depot"), &is_marked, &withdrawal, error) &&
		(!is_marked || send_withdrawal(agent, target->sha256, &withdrawal, error));
}

/*----- the list --------------------------------------------------------------------*/

static bool
find_list(const DepotTufTarget *target, void *context, DepotError *error)
{
	ListTarget *list = context;

	(void) error;
	if (strcmp(target->path, DEPOT_WITHDRAWN_TARGET) != 0)
		return true;
	list->is_listed = true;
	list->length_bytes = target->length_bytes;
	snprintf(list->sha256, sizeof(list->sha256), "%s", target->sha256);
	return true;
}

static bool
is_list(const ListTarget *list, const DepotBuffer *text)
{
	char		found[DEPOT_SHA256_HEX_BYTES];

	if (text->length_bytes != list->length_bytes || text->data == NULL)
		return false;
	depot_digest_sha256_hex(text->data, text->length_bytes, found);
	return strcmp(found, list->sha256) == 0;
}

static bool
read_kept(int metadata_fd, const ListTarget *list, DepotBuffer *text)
{
	DepotError	ignored;

	depot_buffer_reset(text);
	return depot_files_read(metadata_fd, KEPT_LIST, DEPOT_WITHDRAWN_MAX_BYTES, text, &ignored) && is_list(list, text);
}

static bool
fetch_list(const DepotAgentSource *source, const ListTarget *list, DepotBuffer *text, DepotError *error)
{
	char		path[sizeof("targets/.") + DEPOT_SHA256_HEX_BYTES + sizeof(DEPOT_WITHDRAWN_TARGET)];
	bool		missing = false;

	if (list->length_bytes > DEPOT_WITHDRAWN_MAX_BYTES)
		return depot_error_set(error, DEPOT_ERROR_TOO_LARGE,
							   DEPOT_WITHDRAWN_TARGET " has %" PRIu64 " bytes, more than the limit of %zu",
							   list->length_bytes, DEPOT_WITHDRAWN_MAX_BYTES);
	depot_buffer_reset(text);
	snprintf(path, sizeof(path), "targets/%s.%s", list->sha256, DEPOT_WITHDRAWN_TARGET);
	if (!source->bring(source->context, path, list->length_bytes, list->sha256, text, &missing, error))
		return false;
	if (missing)
	{
		depot_error_set(error, DEPOT_ERROR_NOT_FOUND, "repository lacks the " DEPOT_WITHDRAWN_TARGET
						" that its targets metadata lists");
		return depot_error_hint(error, "A mirror may not be complete yet.");
	}
	return is_list(list, text) ||
		depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH, DEPOT_WITHDRAWN_TARGET " is not the file that was signed");
}

bool
depot_agent_send_withdrawn_list(DepotAgent *agent, DepotTufClient *client, int metadata_fd,
								const DepotAgentSource *source, DepotError *error)
{
	ListTarget	list = {.is_listed = false};
	json_t	   *entries = NULL;
	const json_t *entry;
	size_t		index;
	DepotBuffer text;
	bool		is_kept;
	bool		ok = false;

	if (!depot_tuf_visit_targets(client, "targets", find_list, &list, error))
		return false;
	if (!list.is_listed)
		return depot_files_remove(metadata_fd, KEPT_LIST, error);

	depot_buffer_init(&text);
	is_kept = read_kept(metadata_fd, &list, &text);
	if (!is_kept && !fetch_list(source, &list, &text, error))
		goto done;
	entries = depot_withdrawn_parse(text.data, text.length_bytes, error);
	if (entries == NULL)
		goto done;
	if (!is_kept && !depot_files_write_durable(metadata_fd, KEPT_LIST, text.data, text.length_bytes,
											   S_IRUSR | S_IWUSR, error))
		goto done;
	ok = true;
	json_array_foreach(entries, index, entry)
	{
		DepotWithdrawal withdrawal;

		depot_withdrawn_read_entry(entry, &withdrawal);
		ok = ok && send_withdrawal(agent, withdrawal.sha256, &withdrawal, error);
	}

done:
	json_decref(entries);
	depot_buffer_free(&text);
	return ok;
}

/*----- the list from rows -------------------------------------------------------------*/

/* A row with the list is a file of this name with the version of the targets metadata behind it. */
#define ROW_PREFIX KEPT_LIST "."

typedef struct ListRows
{
	const ListTarget *list;
	int64_t		targets_version;
	DepotBuffer *text;
	bool		is_found;
	bool		is_refused;
	DepotTufRefused refused;
	void	   *context;
} ListRows;

static bool
is_list_row(const char *path, mode_t mode)
{
	return S_ISREG(mode) && strncmp(path, ROW_PREFIX, strlen(ROW_PREFIX)) == 0;
}

/* A DepotFilesVisit: tells whether there is any. */
static bool
find_any_row(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context, DepotError *error)
{
	bool	   *is_there = context;

	(void) directory_fd;
	(void) size_bytes;
	(void) error;
	*is_there |= is_list_row(path, mode);
	return true;
}

/* A DepotFilesVisit: takes the list, and refuses what should be it. */
static bool
try_row(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context, DepotError *error)
{
	ListRows   *rows = context;
	const int64_t version = is_list_row(path, mode) ? strtoll(path + strlen(ROW_PREFIX), NULL, 10) : 0;
	DepotError	reason;

	(void) size_bytes;
	(void) error;
	if (rows->is_found || version < 1)
		return true;
	depot_buffer_reset(rows->text);
	rows->is_found = rows->list->is_listed &&
		depot_files_read(directory_fd, path, DEPOT_WITHDRAWN_MAX_BYTES, rows->text, &reason) &&
		is_list(rows->list, rows->text);
	if (!rows->is_found && version == rows->targets_version)
	{
		depot_error_set(&reason, DEPOT_ERROR_DIGEST_MISMATCH, "it is not the file that was signed");
		rows->refused(rows->context, KEPT_LIST, version, &reason);
		rows->is_refused = true;
	}
	return true;
}

static int64_t
targets_version(const DepotTufClient *client)
{
	DepotTufRole roles[DEPOT_TUF_MAX_ROLES];
	const int	count = depot_tuf_roles(client, roles, DEPOT_TUF_MAX_ROLES);

	for (int i = 0; i < count; i++)
	{
		if (strcmp(roles[i].name, "targets") == 0)
			return roles[i].version;
	}
	return 0;
}

bool
depot_agent_adopt_withdrawn_list(DepotTufClient *client, int metadata_fd, int rows_fd, DepotTufRefused refused,
								 void *context, bool *changed, DepotError *error)
{
	ListTarget	list = {.is_listed = false};
	ListRows	rows = {.list = &list, .refused = refused, .context = context};
	DepotBuffer text;
	DepotError	ignored;
	bool		is_there = false;
	bool		is_kept;
	bool		ok;

	if (!depot_files_walk(rows_fd, "", find_any_row, &is_there, error))
		return false;
	/* Metadata that is not whole yet does not say which list is the right one: a refresh will. */
	if (!is_there || !depot_tuf_load_trusted(client, NULL, false, &ignored) ||
		!depot_tuf_visit_targets(client, "targets", find_list, &list, &ignored))
		return true;
	rows.targets_version = targets_version(client);
	depot_buffer_init(&text);
	rows.text = &text;
	is_kept = list.is_listed && read_kept(metadata_fd, &list, &text);
	ok = depot_files_walk(rows_fd, "", try_row, &rows, error) &&
		(is_kept || !rows.is_found ||
		 depot_files_write_durable(metadata_fd, KEPT_LIST, text.data, text.length_bytes, S_IRUSR | S_IWUSR, error));
	*changed |= (rows.is_found && !is_kept) || rows.is_refused;
	depot_buffer_free(&text);
	return ok;
}

/*----- before a package is unpacked ---------------------------------------------------*/

static bool
refuse(const DepotWithdrawal *withdrawal, DepotError *error)
{
	depot_error_set(error, DEPOT_ERROR_WITHDRAWN, "its publisher has withdrawn it");
	if (withdrawal->advisory != NULL)
		depot_error_detail(error, "Reason: %s. Advisory: %s.", withdrawal->reason, withdrawal->advisory);
	else
		depot_error_detail(error, "Reason: %s.", withdrawal->reason);
	return depot_error_hint(error, "Install another version.");
}

json_t *
depot_agent_read_withdrawn_list(DepotTufClient *client, int metadata_fd)
{
	ListTarget	list = {.is_listed = false};
	json_t	   *entries = NULL;
	DepotBuffer text;
	DepotError	ignored;

	depot_buffer_init(&text);
	if (depot_tuf_visit_targets(client, "targets", find_list, &list, &ignored) && list.is_listed &&
		read_kept(metadata_fd, &list, &text))
		entries = depot_withdrawn_parse(text.data, text.length_bytes, &ignored);
	depot_buffer_free(&text);
	return entries;
}

bool
depot_agent_refuse_withdrawn(const json_t *entries, const DepotTufTarget *target, DepotError *error)
{
	DepotWithdrawal withdrawal;
	const json_t *entry;
	size_t		index;
	bool		is_marked = false;

	if (!depot_withdrawn_read_mark(json_object_get(target->custom, "pg_depot"), &is_marked, &withdrawal, error))
		return false;
	if (is_marked)
		return refuse(&withdrawal, error);
	json_array_foreach(entries, index, entry)
	{
		depot_withdrawn_read_entry(entry, &withdrawal);
		if (strcmp(withdrawal.sha256, target->sha256) == 0)
			return refuse(&withdrawal, error);
	}
	return true;
}
