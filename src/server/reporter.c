/*-------------------------------------------------------------------------
 *
 * reporter.c
 *	  The process that reports to the primary, on a standby.
 *
 * A process of its own, since libpq resolves host names and reads password
 * files in the middle of connecting, for which the leader must not wait.  It
 * connects to no database here, and ends when there is nothing to report any
 * more: after promotion, or when depot.report_conninfo is empty.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/resource.h>

#include "access/xlog.h"
#include "common/name.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "server/compat.h"
#include "server/link.h"
#include "server/nodes.h"
#include "server/reporter.h"
#include "server/settings.h"
#include "server/shmem.h"
#include "server/worker.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define RESTART_SECONDS 10
#define LONGEST_PAUSE_MS 60000
/* To connect, over all hosts, and to have a report taken. */
#define CONNECT_LIMIT_MS 60000
#define REPORT_LIMIT_MS 30000
/* What a connection takes, with certificates and all, is a few MB.  libpq takes what a message is said to have. */
#define MEMORY_LIMIT_BYTES UINT64CONST(33554432)

static const DepotLinkFunctions *primary;
static DepotLinkState state = DEPOT_LINK_FAILED;
static bool is_open = false;
static TimestampTz limit_at;	/* of what is going on; of a closed connection: when it is opened again */
static int	failures = 0;		/* in a row */
static char last_error[DEPOT_ERROR_MESSAGE_BYTES];
static char conninfo[1100];		/* that the connection was opened with */

static char *sent = NULL;		/* the last report */
static TimestampTz sent_at = 0; /* 0: none by this connection */

bool
depot_reporter_start(void)
{
	static bool is_said = false;
	BackgroundWorker worker;

	if (!RecoveryInProgress() || depot_settings_report_conninfo[0] == '\0' || depot_shmem_reporter() != 0)
		return true;
	depot_worker_describe(&worker, "pg_depot reporter", "depot_reporter_main");
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = RESTART_SECONDS;
	if (RegisterDynamicBackgroundWorker(&worker, NULL))
	{
		is_said = false;
		return true;
	}
	if (!is_said)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("this server does not report to its primary: no background worker is left"),
				 errhint("It is tried again; raise \"max_worker_processes\" and restart the server.")));
	is_said = true;
	return false;
}

/* What the primary says, on one line, as somebody may have made it up; shown has DEPOT_ERROR_MESSAGE_BYTES. */
static void
show_on_a_line(const char *said, char *shown)
{
	char		text[DEPOT_ERROR_MESSAGE_BYTES];
	size_t		length = 0;

	for (const char *c = said; *c != '\0' && length < sizeof(text) - 1; c++)
		if (strchr(" \n\t", *c) == NULL)
			text[length++] = *c;
		else if (length > 0 && text[length - 1] != ' ')
			text[length++] = ' ';
	if (length > 0 && text[length - 1] == ' ')
		length--;
	text[length] = '\0';
	depot_name_printable(text, shown, DEPOT_ERROR_MESSAGE_BYTES);
}

static void
note_failure(bool is_overdue)
{
	const char *sqlstate;
	const char *said_hint;
	const char *said = primary->error(&sqlstate, &said_hint);
	bool		is_said = !is_overdue && sqlstate[0] != '\0';
	char		error[DEPOT_ERROR_MESSAGE_BYTES];
	char		hint[DEPOT_ERROR_MESSAGE_BYTES];

	show_on_a_line(is_overdue ? "it does not answer" : said, error);
	show_on_a_line(said_hint, hint);
	/* It may have all the memory there is for this process. */
	primary->close();
	is_open = false;
	if (strcmp(error, last_error) != 0)
		ereport(LOG,
				(errmsg("pg_depot cannot report to the primary: %s", error),
				 is_said ? errdetail("The primary's SQLSTATE is %s.", sqlstate) : 0,
				 is_said && hint[0] != '\0' ? errhint("%s", hint) : 0));
	strlcpy(last_error, error, sizeof(last_error));
	depot_shmem_note_reporting(error);
	limit_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), Min(500L << Min(failures, 10), LONGEST_PAUSE_MS));
	failures++;
}

static void
set_limit(long ms)
{
	limit_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

static void
open_link(void)
{
	strlcpy(conninfo, depot_settings_report_conninfo, sizeof(conninfo));
	sent_at = 0;
	is_open = true;
	set_limit(CONNECT_LIMIT_MS);
	state = primary->open(conninfo, depot_settings_database, depot_settings_node());
}

/* A report was taken: the first one after failures is worth a line. */
static void
note_taken(void)
{
	if (last_error[0] != '\0')
		ereport(LOG, (errmsg("pg_depot reports to the primary again")));
	last_error[0] = '\0';
	failures = 0;
	depot_shmem_note_reporting("");
}

/* What this server says now.  false: nothing yet. */
static bool
make_report(DepotNodeReport *report)
{
	TimestampTz noted_at;

	if (!depot_nodes_own_report(report, &noted_at))
		return false;
	if (depot_shmem_leader(NULL) == 0 && report->content.error[0] == '\0')
	{
		strlcpy(report->content.sqlstate, "57P03", sizeof(report->content.sqlstate));
		strlcpy(report->content.error, "the pg_depot leader is not running", sizeof(report->content.error));
	}
	return true;
}

/* Sends a report when there is something new in it, or when it is time. */
static void
send_if_due(void)
{
	static DepotNodeReport report;
	TimestampTz now = GetCurrentTimestamp();
	char	   *text;

	if (!make_report(&report))
		return;
	text = depot_nodes_report_text(&report);
	if (sent_at != 0 && sent != NULL && strcmp(text, sent) == 0 &&
		now < TimestampTzPlusMilliseconds(sent_at, depot_settings_report_interval_s * INT64CONST(1000)))
	{
		pfree(text);
		return;
	}
	if (sent != NULL)
		pfree(sent);
	sent = text;
	sent_at = now;
	set_limit(REPORT_LIMIT_MS);
	state = primary->send(sent);
}

/* Takes the connection as far as it goes without waiting. */
static void
advance(bool is_ready)
{
	bool		was_sending = sent_at != 0 && state != DEPOT_LINK_IDLE;

	if (!is_open && GetCurrentTimestamp() >= limit_at)
		open_link();
	else if (is_open && is_ready)
		state = primary->advance();
	if (is_open && state == DEPOT_LINK_IDLE && was_sending)
		note_taken();
	if (is_open && state == DEPOT_LINK_IDLE)
		send_if_due();
	if (is_open && state == DEPOT_LINK_FAILED)
		note_failure(false);
	else if (is_open && state != DEPOT_LINK_IDLE && GetCurrentTimestamp() >= limit_at)
		note_failure(true);
}

static void
reload_settings(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (is_open && strcmp(conninfo, depot_settings_report_conninfo) == 0)
		return;
	primary->close();
	is_open = false;
	limit_at = 0;
	failures = 0;
}

/* When something is to be done although nothing happens. */
static TimestampTz
due_at(void)
{
	if (!is_open || state != DEPOT_LINK_IDLE)
		return limit_at;
	return TimestampTzPlusMilliseconds(sent_at != 0 ? sent_at : GetCurrentTimestamp(),
									   depot_settings_report_interval_s * INT64CONST(1000));
}

/* Waits for the socket, the latch or the time.  Returns whether the socket is ready. */
static bool
wait_for_events(void)
{
	int			wanted = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
	int			happened;

	if (is_open)
		wanted |= state == DEPOT_LINK_WRITING ? WL_SOCKET_WRITEABLE : WL_SOCKET_READABLE;
	happened = WaitLatchOrSocket(MyLatch, wanted, is_open ? primary->socket() : PGINVALID_SOCKET,
								 TimestampDifferenceMilliseconds(GetCurrentTimestamp(), due_at()),
								 depot_compat_wait_event("DepotReporter"));
	if (happened & WL_LATCH_SET)
		ResetLatch(MyLatch);
	return (happened & (WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE)) != 0;
}

/* Bytes of this process that are its alone and can be written, which is what RLIMIT_DATA is about; 0: not known. */
static uint64
data_bytes(void)
{
	FILE	   *file = AllocateFile("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%*u %*u %*u %*u %*u %lu", &pages) != 1)
		pages = 0;
	(void) FreeFile(file);
	return (uint64) pages * (uint64) sysconf(_SC_PAGESIZE);
}

/* The primary may be anybody, and a message may be said to have a gigabyte: to libpq that is then out of memory. */
static void
limit_memory(void)
{
	struct rlimit limit;
	uint64		used_bytes = data_bytes();

	if (used_bytes == 0 || getrlimit(RLIMIT_DATA, &limit) != 0)
	{
		ereport(LOG, (errmsg("pg_depot reporter cannot limit its memory")));
		return;
	}
	limit.rlim_cur = Min(limit.rlim_cur, (rlim_t) (used_bytes + MEMORY_LIMIT_BYTES));
	if (setrlimit(RLIMIT_DATA, &limit) != 0)
		ereport(LOG, (errmsg("pg_depot reporter cannot limit its memory: %m")));
}

void
depot_reporter_main(Datum argument)
{
	DepotLinkEntry entry;
	bool		is_ready = false;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	/* To no database, but so that the leader can find this process's latch. */
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	if (!depot_shmem_announce_reporter())
		proc_exit(0);
	entry = (DepotLinkEntry) load_external_function(DEPOT_LINK_LIBRARY, DEPOT_LINK_SYMBOL, true, NULL);
	primary = entry();
	limit_memory();

	for (;;)
	{
		if (ProcDiePending)
			proc_exit(1);
		CHECK_FOR_INTERRUPTS();
		reload_settings();
		if (!RecoveryInProgress() || depot_settings_report_conninfo[0] == '\0')
			proc_exit(0);
		advance(is_ready);
		is_ready = wait_for_events();
	}
}
