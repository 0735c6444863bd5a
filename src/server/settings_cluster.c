/*-------------------------------------------------------------------------
 *
 * settings_cluster.c
 *	  The settings under "depot." that are about several servers.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "common/name.h"
#include "common/wait_for.h"
#include "server/settings.h"
#include "utils/guc.h"

#define CONNINFO_MAX_BYTES 1024

char	   *depot_settings_node_name = NULL;
char	   *depot_settings_report_conninfo = NULL;
int			depot_settings_report_interval_s = 10;
char	   *depot_settings_wait_for = NULL;
int			depot_settings_wait_for_timeout_s = 30;

static bool
check_node_name(char **newval, void **extra, GucSource source)
{
	DepotError	error;

	if (**newval == '\0' || depot_name_check_node(*newval, &error))
		return true;
	GUC_check_errdetail("%s", error.detail);
	return false;
}

/* Whether a connection string has a password in it, as a keyword or in a URI. */
static bool
has_password(const char *conninfo)
{
	static const char keyword[] = "password";
	const char *authority = strstr(conninfo, "://");

	for (const char *found = strstr(conninfo, keyword); found != NULL; found = strstr(found + 1, keyword))
	{
		const char *after = found + strlen(keyword);

		if (after[strspn(after, " \t\n\r")] == '=')
			return true;
	}
	if (authority != NULL)
	{
		size_t		user_bytes = strcspn(authority + 3, "/@?");

		if (authority[3 + user_bytes] == '@' && memchr(authority + 3, ':', user_bytes) != NULL)
			return true;
	}
	return false;
}

/* The configuration file is read by many and copied with the data directory; a password file is not. */
static bool
check_report_conninfo(char **newval, void **extra, GucSource source)
{
	if (strlen(*newval) > CONNINFO_MAX_BYTES)
	{
		GUC_check_errdetail("\"depot.report_conninfo\" is longer than %d bytes.", CONNINFO_MAX_BYTES);
		return false;
	}
	if (has_password(*newval))
	{
		GUC_check_errdetail("\"depot.report_conninfo\" holds no password: "
							"that stands in the file that \"passfile\" names.");
		return false;
	}
	return true;
}

static bool
check_wait_for(char **newval, void **extra, GucSource source)
{
	DepotError	error;
	int			count;

	if (depot_wait_for_parse(*newval, &count, &error))
		return true;
	GUC_check_errhint("%s", error.hint);
	return false;
}

/*
 * A cluster name is what a standby's primary sees as its application_name.  One that is no server name is passed
 * over, as is a host name; "server" is left when there is neither.
 */
const char *
depot_settings_node(void)
{
	static char host[DEPOT_NAME_MAX_BYTES + 1];
	const char *cluster = GetConfigOption("cluster_name", true, false);

	if (depot_settings_node_name[0] != '\0')
		return depot_settings_node_name;
	if (cluster != NULL && depot_name_is_node(cluster))
		return cluster;
	if (host[0] == '\0' && (gethostname(host, sizeof(host)) != 0 || !depot_name_is_node(host)))
		strlcpy(host, "server", sizeof(host));
	return host;
}

void
depot_settings_define_cluster(void)
{
	DefineCustomStringVariable("depot.node_name", "This server's name in depot.nodes.",
							   "Empty means cluster_name, or the host's name where that is empty.",
							   &depot_settings_node_name, "",
							   PGC_POSTMASTER, 0, check_node_name, NULL, NULL);
	DefineCustomStringVariable("depot.report_conninfo", "Connection to the primary for a standby's reports.",
							   "Empty means that it does not report.",
							   &depot_settings_report_conninfo, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_report_conninfo, NULL, NULL);
	DefineCustomIntVariable("depot.report_interval", "Time from one report of a standby to the next.",
							"What changes is reported at once.", &depot_settings_report_interval_s, 10, 1, 3600,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("depot.wait_for", "Servers that installations wait for.",
							   "\"local\" for this server alone, a number of standbys, or \"all\".",
							   &depot_settings_wait_for, "local",
							   PGC_SIGHUP, 0, check_wait_for, NULL, NULL);
	DefineCustomIntVariable("depot.wait_for_timeout", "Longest time that installations wait for other servers.",
							NULL, &depot_settings_wait_for_timeout_s, 30, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}
