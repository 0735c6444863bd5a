/*-------------------------------------------------------------------------
 *
 * offers.c
 *	  What the check agent says that a repository offers.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/name.h"
#include "server/catalog.h"
#include "server/errors.h"
#include "server/job.h"
#include "server/offers.h"
#include "utils/memutils.h"

/* As many as a slice may have: more is a publisher's mistake, or somebody filling memory. */
#define TARGETS_MAX 200000

/* Memory for what the agent tells of, which may be a lot. */
static MemoryContext
offers_context(DepotOffers *offers)
{
	if (offers->context == NULL)
		offers->context = AllocSetContextCreate(CurrentMemoryContext, "pg_depot offers", ALLOCSET_DEFAULT_SIZES);
	return offers->context;
}

/* Returns a place for one more, in the current context. */
static DepotOfferRow *
new_offer(DepotOffers *offers)
{
	if (offers->count == offers->capacity)
	{
		const int	capacity = Max(offers->capacity * 2, 64);
		const Size	bytes = sizeof(DepotOfferRow) * capacity;

		offers->rows = offers->rows == NULL ? palloc(bytes) : repalloc_huge(offers->rows, bytes);
		offers->capacity = capacity;
	}
	return &offers->rows[offers->count++];
}

/* Copies what a manifest says of an offer, in the current context. */
static void
describe(DepotOfferRow *offer, const DepotManifest *manifest)
{
	offer->package = pstrdup(manifest->package);
	offer->version = pstrdup(manifest->version);
	offer->kind = depot_manifest_kind_name(manifest->kind);
	offer->unpacked_bytes = (int64) depot_manifest_unpacked_bytes(manifest);
	offer->summary = pstrdup(manifest->summary);
	offer->name_count = manifest->extension_count + 1;
	offer->names = palloc(sizeof(char *) * offer->name_count);
	offer->names[0] = offer->package;
	for (int i = 0; i < manifest->extension_count; i++)
		offer->names[i + 1] = pstrdup(manifest->extensions[i].name);
}

void
depot_offers_add(DepotOffers *offers, const char *repository, DepotAgent *agent, const DepotMessage *message)
{
	const char *path = depot_message_string(message, "path");
	const char *sha256 = depot_message_string(message, "sha256");
	char		manifest_sha256[65];
	MemoryContext old_context;
	DepotManifest *manifest;
	DepotError	error;
	char	   *custom;

	if (path == NULL || sha256 == NULL || strlen(path) > 512 || !depot_name_is_sha256(sha256))
		depot_job_raise_agent_nonsense(agent, "a target without path or digest");
	if (offers->count >= TARGETS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("repository \"%s\" lists more than %d packages for this server",
						repository, TARGETS_MAX)));
	custom = depot_message_text(message, "custom");
	if (custom == NULL)
		depot_job_raise_agent_nonsense(agent, "a target without its description");
	manifest = depot_message_member_manifest(message, "custom", path, manifest_sha256, &error);
	if (manifest == NULL)
	{
		free(custom);
		depot_job_raise(&error);
	}

	old_context = MemoryContextSwitchTo(offers_context(offers));
	PG_TRY();
	{
		DepotOfferRow *offer = new_offer(offers);

		offer->target = pstrdup(path);
		offer->sha256 = pstrdup(sha256);
		offer->size_bytes = depot_message_integer(message, "length", 0);
		offer->custom = pstrdup(custom);
		describe(offer, manifest);
	}
	PG_FINALLY();
	{
		depot_manifest_free(manifest);
		free(custom);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old_context);
}

void
depot_offers_add_withdrawn(DepotOffers *offers, DepotAgent *agent, const DepotMessage *message)
{
	const char *sha256 = depot_message_string(message, "sha256");
	const char *reason = depot_message_string(message, "reason");
	const char *advisory = depot_message_string(message, "advisory");
	MemoryContext old_context;
	DepotWithdrawnRow *row;

	if (sha256 == NULL || !depot_name_is_sha256(sha256) || reason == NULL ||
		list_length(offers->withdrawn) >= TARGETS_MAX)
		depot_job_raise_agent_nonsense(agent, "a withdrawn build without digest or reason, or too many");
	old_context = MemoryContextSwitchTo(offers_context(offers));
	row = palloc0(sizeof(DepotWithdrawnRow));
	row->sha256 = pstrdup(sha256);
	row->reason = pstrdup(reason);
	row->advisory = advisory != NULL ? pstrdup(advisory) : NULL;
	offers->withdrawn = lappend(offers->withdrawn, row);
	MemoryContextSwitchTo(old_context);
}

void
depot_offers_record(const DepotOffers *offers, const char *repository)
{
	ListCell   *cell;

	depot_catalog_clear_available(repository);
	depot_catalog_add_available(repository, offers->rows, offers->count);
	foreach(cell, offers->withdrawn)
		depot_catalog_add_withdrawn(repository, lfirst(cell));
}

void
depot_offers_forget(DepotOffers *offers)
{
	if (offers->context != NULL)
		MemoryContextDelete(offers->context);
	memset(offers, 0, sizeof(*offers));
}
