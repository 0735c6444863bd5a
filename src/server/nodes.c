/*-------------------------------------------------------------------------
 *
 * nodes.c
 *	  What a server reports of itself, as text and back.
 *
 * A report is bounded, and printable ASCII in every part: it is made where no
 * database is connected to, and read by another server.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/name.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "server/errors.h"
#include "server/message.h"
#include "server/nodes.h"
#include "server/platform.h"
#include "server/settings.h"
#include "server/shmem.h"
#include "utils/guc.h"
#include "utils/json.h"

#define REPORT_FORMAT 1
#define REPORT_MAX_BYTES 16384
#define INTERVAL_MAX_S 3600

/* ---- of this server ---- */

/* One element of what is missing, as "package version: reason". */
static void
append_missing(StringInfo out, const DepotMessage *element)
{
	const char *package = depot_message_string(element, "package");
	const char *version = depot_message_string(element, "version");
	const char *reason = depot_message_string(element, "reason");

	appendStringInfo(out, "%s%s %s: %s", out->len > 0 ? "; " : "", package != NULL ? package : "?",
					 version != NULL ? version : "?", reason != NULL ? reason : "no reason is known");
}

/* What is missing, an array as the leader noted it, as a text for people. */
static void
describe_missing(const char *missing, char *out, Size out_bytes)
{
	char	   *object = psprintf("{\"missing\":%s}", missing);
	DepotError	error;
	DepotMessage *message = depot_message_parse(object, strlen(object), &error);
	StringInfoData text;

	initStringInfo(&text);
	for (size_t i = 0; message != NULL && i < depot_message_array_size(message, "missing"); i++)
	{
		const DepotMessage *element = depot_message_array_object(message, "missing", i);

		if (element != NULL)
			append_missing(&text, element);
	}
	depot_message_free(message);
	depot_name_printable(text.data, out, out_bytes);
	pfree(text.data);
	pfree(object);
}

bool
depot_nodes_own_report(DepotNodeReport *report, TimestampTz *noted_at)
{
	static DepotAppliedReport applied;
	DepotNodeContent *content = &report->content;
	const char *server_version = GetConfigOption("server_version", false, false);

	depot_shmem_read_applied_report(&applied);
	if (applied.at == 0)
		return false;
	*noted_at = applied.at;
	memset(report, 0, sizeof(*report));
	strlcpy(report->name, depot_settings_node(), sizeof(report->name));
	report->generation_table = applied.generation_table;
	report->applied_generation = applied.applied_generation;
	report->interval_s = depot_settings_report_interval_s;
	strlcpy(content->version, DEPOT_LIBRARY_VERSION, sizeof(content->version));
	/* What follows a blank is whose build it is. */
	strlcpy(content->server_version, server_version,
			Min(strcspn(server_version, " ") + 1, sizeof(content->server_version)));
	strlcpy(content->libc_version, depot_platform_libc_version(), sizeof(content->libc_version));
	strlcpy(content->platform, depot_platform_name(), sizeof(content->platform));
	content->restart_required = applied.restart_required;
	describe_missing(applied.missing[0] != '\0' ? applied.missing : "[]", content->missing, sizeof(content->missing));
	depot_name_printable(applied.sqlstate, content->sqlstate, sizeof(content->sqlstate));
	depot_name_printable(applied.error, content->error, sizeof(content->error));
	return true;
}

/* ---- text ---- */

static void
append_member(StringInfo out, const char *name, const char *value)
{
	appendStringInfo(out, ",\"%s\":", name);
	escape_json(out, value);
}

char *
depot_nodes_report_text(const DepotNodeReport *report)
{
	const DepotNodeContent *content = &report->content;
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "{\"format\":%d,\"generation_table\":%u,\"applied_generation\":" INT64_FORMAT
					 ",\"interval_s\":%d,\"restart_required\":%s",
					 REPORT_FORMAT, report->generation_table, report->applied_generation,
					 report->interval_s, content->restart_required ? "true" : "false");
	append_member(&text, "node", report->name);
	append_member(&text, "version", content->version);
	append_member(&text, "server_version", content->server_version);
	append_member(&text, "libc_version", content->libc_version);
	append_member(&text, "platform", content->platform);
	append_member(&text, "missing", content->missing);
	append_member(&text, "sqlstate", content->sqlstate);
	append_member(&text, "error", content->error);
	appendStringInfoChar(&text, '}');
	return text.data;
}

/* Copies a text member, printable, into its field; one that is not there is "". */
static void
read_member(const DepotMessage *message, const char *member, char *out, Size out_bytes)
{
	const char *value = depot_message_string(message, member);

	depot_name_printable(value != NULL ? value : "", out, out_bytes);
}

/* Fills in what a message says.  Raises nothing: the message is malloc'd. */
static bool
read_message(const DepotMessage *message, DepotNodeReport *report, DepotError *error)
{
	DepotNodeContent *content = &report->content;
	const char *name = depot_message_string(message, "node");
	int64		generation_table = depot_message_integer(message, "generation_table", InvalidOid);

	if (name == NULL)
		name = "";
	memset(report, 0, sizeof(*report));
	if (depot_message_integer(message, "format", 0) != REPORT_FORMAT)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the report is not of format %d", REPORT_FORMAT);
	if (!depot_name_check_node(name, error))
		return false;
	strlcpy(report->name, name, sizeof(report->name));
	report->generation_table = (Oid) generation_table;
	report->applied_generation = depot_message_integer(message, "applied_generation", -1);
	report->interval_s = (int) depot_message_integer(message, "interval_s", 0);
	if (generation_table < 0 || generation_table > OID_MAX || report->applied_generation < 0 ||
		report->interval_s < 1 || report->interval_s > INTERVAL_MAX_S)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "a number in the report is out of range");
	content->restart_required = depot_message_bool(message, "restart_required");
	read_member(message, "version", content->version, sizeof(content->version));
	read_member(message, "server_version", content->server_version, sizeof(content->server_version));
	read_member(message, "libc_version", content->libc_version, sizeof(content->libc_version));
	read_member(message, "platform", content->platform, sizeof(content->platform));
	read_member(message, "missing", content->missing, sizeof(content->missing));
	read_member(message, "sqlstate", content->sqlstate, sizeof(content->sqlstate));
	read_member(message, "error", content->error, sizeof(content->error));
	return true;
}

void
depot_nodes_read_report(const char *text, DepotNodeReport *report)
{
	const char *utf8 = pg_server_to_any(text, (int) strlen(text), PG_UTF8);
	DepotMessage *message;
	DepotError	error;
	bool		is_read;

	if (strlen(utf8) > REPORT_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a report is at most %d bytes", REPORT_MAX_BYTES)));
	message = depot_message_parse(utf8, strlen(utf8), &error);
	if (message == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the report is not a JSON object")));
	is_read = read_message(message, report, &error);
	depot_message_free(message);
	if (!is_read)
		depot_errors_raise(ERROR, &error);
}
