/*-------------------------------------------------------------------------
 *
 * agent_sandbox.h
 *	  What the check agent gives up before it reads foreign bytes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_SANDBOX_H
#define DEPOT_AGENT_SANDBOX_H

#include "common/error.h"

/*
 * Installs a system call filter for the rest of this process' life: no sockets, no programs or processes, no
 * other process' memory, no mounts, no kernel interfaces with a history. Such a call fails with EPERM. Needs
 * no_new_privs.
 */
extern bool depot_agent_enter_sandbox(DepotError *error);

#endif							/* DEPOT_AGENT_SANDBOX_H */
