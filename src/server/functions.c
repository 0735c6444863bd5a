/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  The SQL functions: each puts a request to the leader and returns its rows.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "common/wait_for.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "server/call.h"
#include "server/compat.h"
#include "server/settings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

DEPOT_SQL_FUNCTION(depot_check_home_database);
DEPOT_SQL_FUNCTION(depot_check_client_database);
DEPOT_SQL_FUNCTION(depot_add_extension_repository);
DEPOT_SQL_FUNCTION(depot_drop_extension_repository);
DEPOT_SQL_FUNCTION(depot_refresh_extension_repository);
DEPOT_SQL_FUNCTION(depot_install_extension);
DEPOT_SQL_FUNCTION(depot_update_extension);
DEPOT_SQL_FUNCTION(depot_uninstall_extension);
DEPOT_SQL_FUNCTION(depot_verify_extension_files);
DEPOT_SQL_FUNCTION(depot_check_extension_list);
DEPOT_SQL_FUNCTION(depot_extension_lock);
DEPOT_SQL_FUNCTION(depot_apply_extension_lock);
DEPOT_SQL_FUNCTION(depot_add_extension_node);
DEPOT_SQL_FUNCTION(depot_drop_extension_node);

/* The two extensions have objects of the same names. */
static void
check_is_alone(const char *other)
{
	if (OidIsValid(get_extension_oid(other, true)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("database \"%s\" has extension %s already", get_database_name(MyDatabaseId), other),
				 errhint("Both make the same functions and views; DROP EXTENSION %s first.", other)));
}

Datum
depot_check_home_database(PG_FUNCTION_ARGS)
{
	depot_call_require_preload();
	if (strcmp(get_database_name(MyDatabaseId), depot_settings_database) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("pg_depot belongs in database \"%s\"", depot_settings_database),
				 errdetail("There is one set of tables per cluster, in the database that \"depot.database\" names."),
				 errhint("CREATE EXTENSION pg_depot_client makes the same functions and views in this database.")));
	check_is_alone("pg_depot_client");
	PG_RETURN_VOID();
}

Datum
depot_check_client_database(PG_FUNCTION_ARGS)
{
	depot_call_require_preload();
	if (strcmp(get_database_name(MyDatabaseId), depot_settings_database) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("pg_depot_client does not belong in database \"%s\"", depot_settings_database),
				 errdetail("\"depot.database\" names this database: extension pg_depot has the same functions and"
						   " views here."),
				 OidIsValid(get_extension_oid("pg_depot", true)) ? 0 :
				 errhint("CREATE EXTENSION pg_depot makes them.")));
	check_is_alone("pg_depot");
	PG_RETURN_VOID();
}

/* ---- arguments ---- */

static char *
text_argument(FunctionCallInfo fcinfo, int index)
{
	return PG_ARGISNULL(index) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(index));
}

/* Whether null means yes or no is not for us to guess: one of the two changes the server. */
static bool
bool_argument(FunctionCallInfo fcinfo, int index, const char *name)
{
	if (PG_ARGISNULL(index))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return PG_GETARG_BOOL(index);
}

/* A name that must be there. */
static char *
required_argument(FunctionCallInfo fcinfo, int index, const char *name)
{
	char	   *value = text_argument(fcinfo, index);

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return value;
}

static void
append_mirrors(StringInfo out, ArrayType *mirrors)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(mirrors, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	appendStringInfoString(out, ",\"mirrors\":[");
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a mirror must not be null")));
		if (i > 0)
			appendStringInfoChar(out, ',');
		depot_call_append_utf8(out, TextDatumGetCString(elements[i]));
	}
	appendStringInfoChar(out, ']');
}

Datum
depot_add_extension_repository(PG_FUNCTION_ARGS)
{
	char	   *name = required_argument(fcinfo, 0, "name");
	StringInfoData argument;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "name", name);
	depot_call_append_text(&argument, "url", required_argument(fcinfo, 1, "url"));
	depot_call_append_text(&argument, "trusted_root", text_argument(fcinfo, 2));
	depot_call_append_text(&argument, "root_sha256", text_argument(fcinfo, 3));
	appendStringInfo(&argument, ",\"priority\":%d", PG_ARGISNULL(4) ? 100 : PG_GETARG_INT32(4));
	if (!PG_ARGISNULL(5))
		append_mirrors(&argument, PG_GETARG_ARRAYTYPE_P(5));
	depot_call_append_bool(&argument, "all_key_types", bool_argument(fcinfo, 6, "all_key_types"));
	appendStringInfoChar(&argument, '}');
	depot_call_return_rows(fcinfo, depot_call_leader(DEPOT_REQUEST_ADD_REPOSITORY,
													 name, &argument, false));
	return (Datum) 0;
}

Datum
depot_drop_extension_repository(PG_FUNCTION_ARGS)
{
	char	   *name = required_argument(fcinfo, 0, "name");
	StringInfoData argument;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "name", name);
	appendStringInfoChar(&argument, '}');
	(void) depot_call_emit_notices(depot_call_leader(DEPOT_REQUEST_DROP_REPOSITORY, name, &argument, false));
	PG_RETURN_VOID();
}

Datum
depot_refresh_extension_repository(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0);
	StringInfoData argument;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "name", name);
	appendStringInfoChar(&argument, '}');
	depot_call_return_rows(fcinfo, depot_call_leader(DEPOT_REQUEST_REFRESH_REPOSITORY,
													 name != NULL ? name : "all repositories",
													 &argument, false));
	return (Datum) 0;
}

/* Asks for an installation or update: extension and version are the first arguments of both. */
static void
request_packages(FunctionCallInfo fcinfo, DepotRequestKind kind, const char *repository, bool is_dry_run,
				 const char *wait_for)
{
	char	   *extension = required_argument(fcinfo, 0, "extension");
	StringInfoData argument;
	DepotError	error;
	int			count;

	if (wait_for != NULL && !depot_wait_for_parse(wait_for, &count, &error))
		depot_errors_raise(ERROR, &error);

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "extension", extension);
	depot_call_append_text(&argument, "version", text_argument(fcinfo, 1));
	depot_call_append_text(&argument, "repository", repository);
	depot_call_append_bool(&argument, "dry_run", is_dry_run);
	depot_call_append_text(&argument, "wait_for", wait_for);
	appendStringInfoChar(&argument, '}');
	depot_call_return_rows(fcinfo, depot_call_leader(kind, extension, &argument, is_dry_run));
}

Datum
depot_install_extension(PG_FUNCTION_ARGS)
{
	request_packages(fcinfo, DEPOT_REQUEST_INSTALL, text_argument(fcinfo, 2),
					 bool_argument(fcinfo, 3, "dry_run"), text_argument(fcinfo, 4));
	return (Datum) 0;
}

Datum
depot_update_extension(PG_FUNCTION_ARGS)
{
	request_packages(fcinfo, DEPOT_REQUEST_UPDATE, NULL, bool_argument(fcinfo, 2, "dry_run"),
					 text_argument(fcinfo, 3));
	return (Datum) 0;
}

Datum
depot_uninstall_extension(PG_FUNCTION_ARGS)
{
	char	   *extension = required_argument(fcinfo, 0, "extension");
	bool		is_dry_run = bool_argument(fcinfo, 1, "dry_run");
	StringInfoData argument;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "extension", extension);
	depot_call_append_bool(&argument, "dry_run", is_dry_run);
	depot_call_append_bool(&argument, "force", bool_argument(fcinfo, 2, "force"));
	appendStringInfoChar(&argument, '}');
	depot_call_return_rows(fcinfo, depot_call_leader(DEPOT_REQUEST_UNINSTALL,
													 extension, &argument, is_dry_run));
	return (Datum) 0;
}

Datum
depot_verify_extension_files(PG_FUNCTION_ARGS)
{
	bool		is_repair = bool_argument(fcinfo, 0, "repair");
	StringInfoData argument;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_bool(&argument, "repair", is_repair);
	appendStringInfoChar(&argument, '}');
	depot_call_return_rows(fcinfo, depot_call_leader(DEPOT_REQUEST_VERIFY_FILES,
													 "all packages", &argument, !is_repair));
	return (Datum) 0;
}

Datum
depot_check_extension_list(PG_FUNCTION_ARGS)
{
	char	   *list = required_argument(fcinfo, 0, "list");
	StringInfoData argument;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "list", list);
	appendStringInfoChar(&argument, '}');
	depot_call_return_rows(fcinfo, depot_call_leader(DEPOT_REQUEST_CHECK_LIST,
													 "declared list", &argument, true));
	return (Datum) 0;
}

/* The answer's one row has the lock as its member, which jsonb takes as it is. */
Datum
depot_extension_lock(PG_FUNCTION_ARGS)
{
	StringInfoData argument;
	Datum		answer;
	Datum		row;

	initStringInfo(&argument);
	appendStringInfoString(&argument, "{}");
	answer = CStringGetTextDatum(depot_call_leader(DEPOT_REQUEST_READ_LOCK, "all packages", &argument, true));
	row = DirectFunctionCall2(json_array_element,
							  DirectFunctionCall2(json_object_field, answer, CStringGetTextDatum("rows")),
							  Int32GetDatum(0));
	row = DirectFunctionCall2(json_object_field, row, CStringGetTextDatum("lock"));
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(row)));
}

Datum
depot_apply_extension_lock(PG_FUNCTION_ARGS)
{
	bool		is_dry_run = bool_argument(fcinfo, 2, "dry_run");
	StringInfoData argument;
	Jsonb	   *lock;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("lock must not be null")));
	lock = PG_GETARG_JSONB_P(0);
	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "lock", JsonbToCString(NULL, &lock->root, VARSIZE(lock)));
	depot_call_append_bool(&argument, "prune", bool_argument(fcinfo, 1, "prune"));
	depot_call_append_bool(&argument, "dry_run", is_dry_run);
	appendStringInfoChar(&argument, '}');
	depot_call_return_rows(fcinfo, depot_call_leader(DEPOT_REQUEST_APPLY_LOCK, "all packages", &argument,
													 is_dry_run));
	return (Datum) 0;
}

Datum
depot_add_extension_node(PG_FUNCTION_ARGS)
{
	char	   *node = required_argument(fcinfo, 0, "node");
	StringInfoData argument;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "node", node);
	depot_call_append_text(&argument, "role", required_argument(fcinfo, 1, "role"));
	appendStringInfoChar(&argument, '}');
	(void) depot_call_emit_notices(depot_call_leader(DEPOT_REQUEST_ADD_NODE, node, &argument, false));
	PG_RETURN_VOID();
}

Datum
depot_drop_extension_node(PG_FUNCTION_ARGS)
{
	char	   *node = required_argument(fcinfo, 0, "node");
	StringInfoData argument;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "node", node);
	appendStringInfoChar(&argument, '}');
	(void) depot_call_emit_notices(depot_call_leader(DEPOT_REQUEST_DROP_NODE, node, &argument, false));
	PG_RETURN_VOID();
}
