/*-------------------------------------------------------------------------
 *
 * hook_auto_install.c
 *	  depot.auto_install: CREATE EXTENSION fetches what the server has not.
 *
 * Where an extension's files are looked for, which of its versions scripts can
 * make, and what CASCADE needs, is the server's business, and differs from one
 * major version, and one vendor's patch, to the next.  So nothing here looks for
 * files: the server runs the command first, in a subtransaction.  When it ends
 * with one of the errors that say that files are missing, the leader is asked for
 * them, and the server runs the command again.  Any other error, and that one when the
 * files cannot be had, goes to the client as the server raised it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "common/name.h"
#include "common/testpoint.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "server/call.h"
#include "server/hook.h"
#include "server/policy.h"
#include "server/settings.h"
#include "utils/resowner.h"

/* The server's own words for missing files, before translation. */
#define NO_CONTROL_FILE "extension \"%s\" is not available"
#define NO_INSTALL_SCRIPT "extension \"%s\" has no installation script nor update path for version \"%s\""
#define NO_UPDATE_SCRIPT "extension \"%s\" has no update path from version \"%s\" to version \"%s\""

/* What a command names. */
typedef struct Wish
{
	const char *extension;
	const char *version;		/* NULL: the default */
	bool		is_update;
} Wish;

static void read_wish(const Node *statement, Wish *wish);
static bool may_act(const Wish *wish);
static ErrorData *try_command(const DepotUtility *utility, DepotUtilityRun run);
static bool find_missing(const Wish *wish, const ErrorData *error, Wish *missing);
static char *quoted_name(const ErrorData *error);
static bool fetch(const Wish *missing);

void
depot_hook_auto_install(const DepotUtility *utility, DepotUtilityRun run)
{
	DepotUtility again = *utility;
	List	   *asked = NIL;
	Wish		wish;

	if (!depot_settings_auto_install)
	{
		run(utility);
		return;
	}
	read_wish(utility->statement->utilityStmt, &wish);
	if (!may_act(&wish))
	{
		run(utility);
		return;
	}

	/* The server must not scribble on a tree that it may be given once more. */
	again.is_read_only_tree = true;
	for (;;)
	{
		ErrorData  *error = try_command(&again, run);
		Wish		missing;

		if (error == NULL)
			break;
		if (!find_missing(&wish, error, &missing) ||
			list_member(asked, makeString((char *) missing.extension)) ||
			!fetch(&missing))
			ReThrowError(error);
		depot_test_point("auto_install_fetched");
		asked = lappend(asked, makeString((char *) missing.extension));
		FreeErrorData(error);
	}
}

static void
read_wish(const Node *statement, Wish *wish)
{
	List	   *options;
	ListCell   *cell;

	wish->version = NULL;
	wish->is_update = IsA(statement, AlterExtensionStmt);
	if (wish->is_update)
	{
		wish->extension = castNode(AlterExtensionStmt, statement)->extname;
		options = castNode(AlterExtensionStmt, statement)->options;
	}
	else
	{
		wish->extension = castNode(CreateExtensionStmt, statement)->extname;
		options = castNode(CreateExtensionStmt, statement)->options;
	}
	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "new_version") == 0)
			wish->version = defGetString(option);
	}
}

/* Whether the server's answer could be another with more files, and may be. */
static bool
may_act(const Wish *wish)
{
	if (IsBinaryUpgrade || creating_extension)
		return false;
	if (XactReadOnly || RecoveryInProgress() || IsInParallelMode())
		return false;
	if (wish->is_update)
		return wish->version != NULL;
	return !OidIsValid(get_extension_oid(wish->extension, true));
}

/* Runs the command; returns the error that it ended with, and undoes what it did until then, or NULL. */
static ErrorData *
try_command(const DepotUtility *utility, DepotUtilityRun run)
{
	MemoryContext old_context = CurrentMemoryContext;
	ResourceOwner old_owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old_context);
	PG_TRY();
	{
		run(utility);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old_context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old_context);
	CurrentResourceOwner = old_owner;
	return error;
}

/* Finds out what an error says is missing: the extension itself or, with CASCADE, one that it requires. */
static bool
find_missing(const Wish *wish, const ErrorData *error, Wish *missing)
{
	const char *message = error->message_id != NULL ? error->message_id : "";

	*missing = *wish;
	if (!wish->is_update && strcmp(message, NO_CONTROL_FILE) == 0)
	{
		missing->extension = quoted_name(error);
		if (missing->extension == NULL)
			return false;
		if (strcmp(missing->extension, wish->extension) != 0)
			missing->version = NULL;
		return true;
	}
	return wish->version != NULL &&
		strcmp(message, wish->is_update ? NO_UPDATE_SCRIPT : NO_INSTALL_SCRIPT) == 0;
}

/* The name in a message of one parameter, in whatever language the server speaks. */
static char *
quoted_name(const ErrorData *error)
{
	const char *format = dgettext(error->domain, error->message_id);
	const char *place = strstr(format, "%s");
	size_t		before;
	size_t		after;
	size_t		length = strlen(error->message);

	if (place == NULL)
		return NULL;
	before = place - format;
	after = strlen(place + strlen("%s"));
	if (length < before + after)
		return NULL;
	return pnstrdup(error->message + before, length - before - after);
}

/* Asks the leader, as install_extension would; false when nobody offers it, or the role may not have it. */
static bool
fetch(const Wish *missing)
{
	StringInfoData argument;
	DepotError	error;

	if (!depot_name_is_extension(missing->extension) ||
		!depot_policy_allows(depot_shmem_kind_name(DEPOT_REQUEST_INSTALL), superuser(), &error))
		return false;

	initStringInfo(&argument);
	appendStringInfoChar(&argument, '{');
	depot_call_append_text(&argument, "extension", missing->extension);
	depot_call_append_text(&argument, "extension_version", missing->version);
	appendStringInfoString(&argument, ",\"optional\":true}");
	return depot_call_emit_notices(depot_call_leader(DEPOT_REQUEST_INSTALL, missing->extension, &argument, false)) > 0;
}
