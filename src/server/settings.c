/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The settings under "depot." (docs/settings.md).
 *
 * A value that could never work is refused when it is set.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/parallel.h"
#include "common/declaration.h"
#include "common/name.h"
#include "common/trusted_roots.h"
#include "miscadmin.h"
#include "server/settings.h"
#include "utils/guc.h"

char	   *depot_settings_database = NULL;
char	   *depot_settings_directory = NULL;
int			depot_settings_max_package_mb = 1024;
int			depot_settings_max_unpacked_mb = 4096;
int			depot_settings_connect_timeout_ms = 10000;
int			depot_settings_stall_timeout_ms = 30000;
char	   *depot_settings_proxy = NULL;
char	   *depot_settings_ca_file = NULL;
char	   *depot_settings_credentials_file = NULL;
char	   *depot_settings_trusted_roots = NULL;
bool		depot_settings_allow_http = false;
bool		depot_settings_hold = false;
int			depot_settings_min_free_mb = 128;
int			depot_settings_request_timeout_s = 300;
int			depot_settings_max_agents = 2;
int			depot_settings_agent_memory_mb = 256;
bool		depot_settings_auto_install = false;
char	   *depot_settings_extensions = NULL;
bool		depot_settings_extensions_prune = false;
int			depot_settings_refresh_interval_s = 86400;
bool		depot_settings_replicate_payloads = true;

static bool
check_database(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0' || strlen(*newval) >= NAMEDATALEN)
	{
		GUC_check_errdetail("\"depot.database\" must name a database.");
		return false;
	}
	return true;
}

/*
 * The depot's path becomes an element of dynamic_library_path and of
 * extension_control_path, so it cannot hold what separates or expands there.
 * Inside the data directory it is a plain relative path.
 */
static bool
check_directory(char **newval, void **extra, GucSource source)
{
	const char *path = *newval;

	if (strlen(path) > 512)
	{
		GUC_check_errdetail("\"depot.directory\" is longer than 512 bytes.");
		return false;
	}
	if (!depot_name_is_relative_path(path[0] == '/' ? path + 1 : path))
	{
		GUC_check_errdetail("\"depot.directory\" is a path of letters, digits and \"._+-\", "
							"relative to the data directory or absolute, without \"..\".");
		return false;
	}
	return true;
}

static bool
check_proxy(char **newval, void **extra, GucSource source)
{
	const char *proxy = *newval;

	if (proxy[0] == '\0')
		return true;
	if (strlen(proxy) > 1024 ||
		(strncmp(proxy, "http://", 7) != 0 && strncmp(proxy, "https://", 8) != 0 &&
		 strncmp(proxy, "socks5h://", 10) != 0))
	{
		GUC_check_errdetail("\"depot.proxy\" begins with http://, https:// or socks5h://.");
		return false;
	}
	return true;
}

static bool
check_absolute_path(const char *path, const char *setting)
{
	if (path[0] != '\0' && (path[0] != '/' || strlen(path) >= PATH_MAX))
	{
		GUC_check_errdetail("\"%s\" is an absolute path.", setting);
		return false;
	}
	return true;
}

static bool
check_ca_file(char **newval, void **extra, GucSource source)
{
	return check_absolute_path(*newval, "depot.ca_file");
}

static bool
check_credentials_file(char **newval, void **extra, GucSource source)
{
	return check_absolute_path(*newval, "depot.credentials_file");
}

/*
 * Refuses a bad list when it is set.  One that stands in the file when the server starts is kept, since in its
 * place the default would count: no pin.  No repository is used with it (anchor.c).
 */
static bool
check_trusted_roots(char **newval, void **extra, GucSource source)
{
	DepotError	error;

	if (depot_trusted_roots_check(*newval, &error))
		return true;
	if (process_shared_preload_libraries_in_progress)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no repository is used, since \"depot.trusted_roots\" cannot be read: %s", error.message),
				 errhint("Correct it in the configuration file and reload that.")));
	if (process_shared_preload_libraries_in_progress || InitializingParallelWorker)
		return true;
	GUC_check_errdetail("\"depot.trusted_roots\": %s.", error.message);
	return false;
}

/* Only what cannot be read as a list at all: a bad entry is a row of depot.desired, and the others count. */
static bool
check_extensions(char **newval, void **extra, GucSource source)
{
	DepotError	error;

	if (depot_declaration_check(*newval, &error))
		return true;
	GUC_check_errdetail("\"depot.extensions\": %s.", error.message);
	return false;
}

/* What bounds a request: in time, in processes, in memory and on disk. */
static void
define_limits(void)
{
	DefineCustomIntVariable("depot.min_free_space",
							"Free space that pg_depot leaves on its own and on the WAL's file system.",
							"0 means that it is not looked at.", &depot_settings_min_free_mb, 128, 0, INT_MAX / 2,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("depot.request_timeout", "Longest time a request may take.",
							"0 means that there is no limit.", &depot_settings_request_timeout_s, 300, 0, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("depot.max_agents", "Requests that may have agents at work at the same time.",
							"One repository has all of them but one, so that a slow one does not hold up the others.",
							&depot_settings_max_agents, 2, 1, 16,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("depot.agent_memory", "Address space of an agent.",
							"Agents are the processes that download and check packages.",
							&depot_settings_agent_memory_mb, 256, 64, 65536,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
}

void
depot_settings_define(void)
{
	define_limits();
	DefineCustomBoolVariable("depot.hold", "Change nothing on this server until this is off again.",
							 NULL, &depot_settings_hold, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("depot.database", "Database that holds pg_depot's tables.",
							   NULL, &depot_settings_database, "postgres",
							   PGC_POSTMASTER, GUC_SUPERUSER_ONLY, check_database, NULL, NULL);
	DefineCustomStringVariable("depot.directory", "Directory of the files pg_depot installs.",
							   "Relative to the data directory, or absolute.",
							   &depot_settings_directory, "pg_depot",
							   PGC_POSTMASTER, GUC_SUPERUSER_ONLY, check_directory, NULL, NULL);
	DefineCustomIntVariable("depot.max_package_size", "Largest package that is downloaded.",
							NULL, &depot_settings_max_package_mb, 1024, 1, 1024 * 1024,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("depot.max_unpacked_size", "Largest package that is installed, unpacked.",
							NULL, &depot_settings_max_unpacked_mb, 4096, 1, 1024 * 1024,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("depot.connect_timeout", "Longest time to reach a repository's host.",
							NULL, &depot_settings_connect_timeout_ms, 10000, 100, 600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("depot.stall_timeout", "Longest time a download may make no progress.",
							NULL, &depot_settings_stall_timeout_ms, 30000, 1000, 600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("depot.proxy", "Proxy for downloads.",
							   "Empty means none; the environment's proxy variables are ignored.",
							   &depot_settings_proxy, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_proxy, NULL, NULL);
	DefineCustomStringVariable("depot.ca_file", "File of the certificate authorities that https repositories may use.",
							   "Empty means the system's.",
							   &depot_settings_ca_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_ca_file, NULL, NULL);
	DefineCustomStringVariable("depot.credentials_file", "File of the credentials for private repositories.",
							   "Empty means none. It belongs to the server's user, with mode 0600.",
							   &depot_settings_credentials_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_credentials_file, NULL, NULL);
	DefineCustomStringVariable("depot.trusted_roots", "Roots that trust in repositories begins at on this server.",
							   "\"repository = sha256 of root.json, or absolute path of it\", separated by commas.",
							   &depot_settings_trusted_roots, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_trusted_roots, NULL, NULL);
	DefineCustomBoolVariable("depot.allow_http", "Allow repositories by http on other hosts than this one.",
							 "What is installed is verified all the same; an observer sees what it is.",
							 &depot_settings_allow_http, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("depot.auto_install", "Let CREATE EXTENSION fetch what is not there.",
							 "Also ALTER EXTENSION ... UPDATE TO a version that only a newer package has.",
							 &depot_settings_auto_install, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("depot.extensions", "Extensions that shall be installed: the declared list.",
							   "Names with optional constraints, separated by commas: \"postgis 3.5.*, vector\".",
							   &depot_settings_extensions, "",
							   PGC_SIGHUP, 0, check_extensions, NULL, NULL);
	DefineCustomBoolVariable("depot.extensions_prune",
							 "Uninstall what \"depot.extensions\" once named and nobody uses.",
							 NULL, &depot_settings_extensions_prune, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("depot.refresh_interval", "Time from one refresh of all repositories to the next.",
							"0 means never.", &depot_settings_refresh_interval_s, 86400, 0, 30 * 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomBoolVariable("depot.replicate_payloads", "Keep installed packages in depot.payload, for standbys.",
							 "Otherwise each standby fetches them from their repositories by itself.",
							 &depot_settings_replicate_payloads, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	depot_settings_define_cluster();
	MarkGUCPrefixReserved("depot");
}
