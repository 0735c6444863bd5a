/*-------------------------------------------------------------------------
 *
 * agent_check_origin.h
 *	  The check agent: was this manifest signed, as far as this server's own
 *	  files and pins tell?
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_AGENT_CHECK_ORIGIN_H
#define DEPOT_AGENT_CHECK_ORIGIN_H

#include "cli/agent.h"
#include "common/digest.h"
#include "common/evidence.h"
#include "common/manifest.h"
#include "common/tuf.h"

/*
 * What is given with a command that asks for origins; strings are borrowed from it.  What proved the last package is
 * kept for others of the same documents, as large ones take long to read; 0 before the first.
 */
typedef struct DepotAgentOrigins
{
	DepotAgent *agent;
	const char *trusted_roots;	/* depot.trusted_roots; "": what this server saw first counts */
	DepotTufClient *proven;		/* NULL: none */
	DepotEvidence proven_by;	/* the list that it was proven from */
} DepotAgentOrigins;

/*
 * Finds the package whose signed description names a manifest with the digest manifest_sha256, and puts the
 * package's digest into digest.  manifest, which is not believed before, says what to look for.  Freshness is not
 * asked.  False with an error that says why nothing proves it.
 */
extern bool depot_agent_find_origin(DepotAgentOrigins *origins, const DepotManifest *manifest,
									const char *manifest_sha256, char digest[DEPOT_SHA256_HEX_BYTES],
									DepotError *error);

/* Frees what was kept from one package to the next. */
extern void depot_agent_forget_origins(DepotAgentOrigins *origins);

#endif							/* DEPOT_AGENT_CHECK_ORIGIN_H */
