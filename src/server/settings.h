/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The settings under "depot." (docs/settings.md).
 *
 * All of them come from the configuration file: PGC_POSTMASTER for what is
 * read once, PGC_SIGHUP for what the leader reads at each request.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_SETTINGS_H
#define DEPOT_SETTINGS_H

#include "postgres.h"

/* The unit of settings whose name ends in _mb, in bytes. */
#define DEPOT_MEGABYTE INT64CONST(1048576)

extern char *depot_settings_database;
extern char *depot_settings_directory;
extern int	depot_settings_max_package_mb;
extern int	depot_settings_max_unpacked_mb;
extern int	depot_settings_connect_timeout_ms;
extern int	depot_settings_stall_timeout_ms;
extern char *depot_settings_proxy;
extern char *depot_settings_ca_file;
extern char *depot_settings_credentials_file;
extern char *depot_settings_trusted_roots;
extern bool depot_settings_allow_http;
extern bool depot_settings_hold;
extern int	depot_settings_min_free_mb;
extern int	depot_settings_request_timeout_s;
extern int	depot_settings_max_agents;
extern int	depot_settings_agent_memory_mb;
extern bool depot_settings_auto_install;
extern char *depot_settings_extensions;
extern bool depot_settings_extensions_prune;
extern int	depot_settings_refresh_interval_s;
extern bool depot_settings_replicate_payloads;
extern char *depot_settings_node_name;	/* "": see depot_settings_node */
extern char *depot_settings_report_conninfo;
extern int	depot_settings_report_interval_s;
extern char *depot_settings_wait_for;	/* passes depot_wait_for_parse */
extern int	depot_settings_wait_for_timeout_s;

/* This server's name: depot.node_name, else cluster_name, else the host's. */
extern const char *depot_settings_node(void);

/* Defines them all; called from _PG_init in whatever process loads the library. */
extern void depot_settings_define(void);

/* Defines those of them that are about several servers. */
extern void depot_settings_define_cluster(void);

#endif							/* DEPOT_SETTINGS_H */
