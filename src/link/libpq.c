/*-------------------------------------------------------------------------
 *
 * libpq.c
 *	  A standby's connection to its primary by libpq: a module of its own.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "libpq-fe.h"
#include "server/link.h"

PG_MODULE_MAGIC;

/* A host that is gone without a word is given up after this, so that the next one of several has its turn. */
#define UNANSWERED_MS "10000"

#define REPORT_STATEMENT "SELECT depot.report_node($1::pg_catalog.text)"
#define PARAMETERS_MAX 8

extern PGDLLEXPORT const DepotLinkFunctions *depot_link_functions(void);

static PGconn *connection = NULL;
static bool is_connected = false;
static bool is_sending = false;
static char error_text[1024];
static char error_sqlstate[6];
static char error_hint[1024];

static void
ignore_notice(void *argument, const PGresult *result)
{
}

static DepotLinkState
fail(const char *text)
{
	strlcpy(error_text, text != NULL && text[0] != '\0' ? text : "the connection was lost", sizeof(error_text));
	return DEPOT_LINK_FAILED;
}

static void
link_close(void)
{
	PQfinish(connection);
	connection = NULL;
	is_connected = false;
	is_sending = false;
}

/* Whether conninfo names a database.  false with error_text: it is no connection string. */
static bool
names_database(const char *conninfo)
{
	char	   *error = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &error);
	bool		is_named = false;

	if (options == NULL)
	{
		(void) fail(error != NULL ? error : "out of memory");
		PQfreemem(error);
		return false;
	}
	for (const PQconninfoOption *option = options; option->keyword != NULL; option++)
		is_named |= strcmp(option->keyword, "dbname") == 0 && option->val != NULL && option->val[0] != '\0';
	PQconninfoFree(options);
	return is_named;
}

static DepotLinkState
link_advance_connecting(void)
{
	switch (PQconnectPoll(connection))
	{
		case PGRES_POLLING_OK:
			is_connected = true;
			if (PQsetnonblocking(connection, 1) != 0)
				return fail(PQerrorMessage(connection));
			return DEPOT_LINK_IDLE;
		case PGRES_POLLING_READING:
			return DEPOT_LINK_READING;
		case PGRES_POLLING_WRITING:
			return DEPOT_LINK_WRITING;
		default:
			return fail(PQerrorMessage(connection));
	}
}

/*
 * Of two values for one keyword libpq takes the later, so what conninfo names overrides what stands before it.
 * Only the first dbname is read as a connection string: a database that it does not name stands after it.
 */
static DepotLinkState
link_open(const char *conninfo, const char *database, const char *node)
{
	const char *keywords[PARAMETERS_MAX] = {"fallback_application_name", "target_session_attrs", "tcp_user_timeout",
	"connect_timeout", "dbname", NULL};
	const char *values[PARAMETERS_MAX] = {node, "read-write", UNANSWERED_MS, "10", conninfo, NULL};

	link_close();
	error_text[0] = '\0';
	error_sqlstate[0] = '\0';
	error_hint[0] = '\0';
	if (!names_database(conninfo))
	{
		if (error_text[0] != '\0')
			return DEPOT_LINK_FAILED;
		keywords[5] = "dbname";
		values[5] = database;
	}
	connection = PQconnectStartParams(keywords, values, 1);
	if (connection == NULL)
		return fail("out of memory");
	PQsetNoticeReceiver(connection, ignore_notice, NULL);
	/* The first step waits until something can be written. */
	return PQstatus(connection) == CONNECTION_BAD ? fail(PQerrorMessage(connection)) : DEPOT_LINK_WRITING;
}

/*
 * Takes the results of a report; the connection is idle again after the last.  Of several errors the first is the
 * cause.
 */
static DepotLinkState
take_results(void)
{
	bool		is_taken = true;

	while (!PQisBusy(connection))
	{
		PGresult   *result = PQgetResult(connection);

		if (result == NULL)
		{
			is_sending = false;
			return is_taken ? DEPOT_LINK_IDLE : DEPOT_LINK_FAILED;
		}
		if (is_taken && PQresultStatus(result) != PGRES_TUPLES_OK)
		{
			const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
			const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
			const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

			strlcpy(error_sqlstate, sqlstate != NULL ? sqlstate : "", sizeof(error_sqlstate));
			strlcpy(error_hint, hint != NULL ? hint : "", sizeof(error_hint));
			(void) fail(message != NULL ? message : PQresultErrorMessage(result));
			is_taken = false;
		}
		PQclear(result);
	}
	return is_taken ? DEPOT_LINK_READING : DEPOT_LINK_FAILED;
}

static DepotLinkState
link_advance(void)
{
	int			unsent;

	if (connection == NULL)
		return fail(NULL);
	if (!is_connected)
		return link_advance_connecting();
	if (PQconsumeInput(connection) == 0 || PQstatus(connection) != CONNECTION_OK)
		return fail(PQerrorMessage(connection));
	if (!is_sending)
		return DEPOT_LINK_IDLE;
	unsent = PQflush(connection);
	if (unsent < 0)
		return fail(PQerrorMessage(connection));
	return unsent > 0 ? DEPOT_LINK_WRITING : take_results();
}

static DepotLinkState
link_send(const char *report)
{
	if (PQsendQueryParams(connection, REPORT_STATEMENT, 1, NULL, &report, NULL, NULL, 0) == 0)
		return fail(PQerrorMessage(connection));
	is_sending = true;
	return PQflush(connection) > 0 ? DEPOT_LINK_WRITING : DEPOT_LINK_READING;
}

static int
link_socket(void)
{
	return connection != NULL ? PQsocket(connection) : -1;
}

static const char *
link_error(const char **sqlstate, const char **hint)
{
	*sqlstate = error_sqlstate;
	*hint = error_hint;
	return error_text;
}

const DepotLinkFunctions *
depot_link_functions(void)
{
	static const DepotLinkFunctions functions = {
		.open = link_open,
		.advance = link_advance,
		.send = link_send,
		.socket = link_socket,
		.error = link_error,
		.close = link_close
	};

	return &functions;
}
