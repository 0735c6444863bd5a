/*-------------------------------------------------------------------------
 *
 * views_versions.c
 *	  SQL functions by which the views judge versions and builds.
 *
 * They read what tables hold, which somebody may have written by hand: what is
 * no version or no description has an answer, too, and no error.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/name.h"
#include "common/version.h"
#include "fmgr.h"
#include "server/compat.h"
#include "server/message.h"
#include "server/plan.h"
#include "server/platform.h"
#include "utils/builtins.h"

DEPOT_SQL_FUNCTION(depot_compare_versions);
DEPOT_SQL_FUNCTION(depot_version_is_allowed);
DEPOT_SQL_FUNCTION(depot_build_misfit);

Datum
depot_compare_versions(PG_FUNCTION_ARGS)
{
	char	   *a = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *b = text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (!depot_name_is_version(a) || !depot_name_is_version(b))
		PG_RETURN_NULL();
	PG_RETURN_INT32(depot_version_compare(a, b));
}

Datum
depot_version_is_allowed(PG_FUNCTION_ARGS)
{
	char	   *version = text_to_cstring(PG_GETARG_TEXT_PP(0));
	DepotVersionConstraint constraint;
	DepotError	error;

	if (!depot_name_is_version(version) ||
		!depot_version_constraint_parse(text_to_cstring(PG_GETARG_TEXT_PP(1)), &constraint, &error))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(depot_version_satisfies(version, &constraint));
}

Datum
depot_build_misfit(PG_FUNCTION_ARGS)
{
	char	   *custom = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *target = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const DepotPlanInput server = {
		.server_minor = depot_platform_minor(),
		.libc_version = depot_platform_libc_version()
	};
	char		manifest_sha256[65];
	char		reason[128];
	const char *answer;
	DepotError	error;
	DepotManifest *manifest = depot_message_manifest(custom, target, manifest_sha256, &error);

	if (manifest != NULL)
		answer = depot_plan_misfit(&server, manifest, reason, sizeof(reason));
	else
		answer = "its description in the repository is not valid";
	depot_manifest_free(manifest);
	if (answer == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(answer));
}
