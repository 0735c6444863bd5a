/*-------------------------------------------------------------------------
 *
 * fuzz_file_name.c
 *	  Names of control files and scripts, one a line, and the versions that
 *	  the scripts make.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "common/control.h"
#include "common/name.h"
#include "common/version.h"

#define MOST_FILES 64

/* Requires that the parts of a name make the name. */
static void
check_parts(const char *name, const DepotExtensionFile *file)
{
	char		made[256] = "";

	FUZZ_REQUIRE(depot_name_is_extension(file->extension));
	FUZZ_REQUIRE(file->version[0] == '\0' || depot_name_is_version(file->version));
	FUZZ_REQUIRE(file->target_version[0] == '\0' || depot_name_is_version(file->target_version));
	switch (file->kind)
	{
		case DEPOT_FILE_CONTROL:
			snprintf(made, sizeof(made), "%s.control", file->extension);
			break;
		case DEPOT_FILE_SECONDARY_CONTROL:
			snprintf(made, sizeof(made), "%s--%s.control", file->extension, file->version);
			break;
		case DEPOT_FILE_INSTALL_SCRIPT:
			snprintf(made, sizeof(made), "%s--%s.sql", file->extension, file->version);
			break;
		case DEPOT_FILE_UPDATE_SCRIPT:
			snprintf(made, sizeof(made), "%s--%s--%s.sql", file->extension, file->version, file->target_version);
			break;
	}
	FUZZ_REQUIRE(strcmp(name, made) == 0);
}

/* Tells whether a script makes version, alone or from another of the versions. */
static bool
is_made(const DepotExtensionFile *files, int count, const char *extension, const char *version)
{
	for (int i = 0; i < count; i++)
	{
		if (strcmp(files[i].extension, extension) == 0 &&
			((files[i].kind == DEPOT_FILE_INSTALL_SCRIPT && strcmp(files[i].version, version) == 0) ||
			 (files[i].kind == DEPOT_FILE_UPDATE_SCRIPT && strcmp(files[i].target_version, version) == 0)))
			return true;
	}
	return false;
}

static void
check_versions(const DepotExtensionFile *files, int count)
{
	const char *extension = count > 0 ? files[0].extension : "x";
	DepotError	error = {0};
	char	  **versions;
	int			version_count;

	FUZZ_REQUIRE(depot_control_list_versions(files, count, extension, &versions, &version_count, &error));
	for (int i = 0; i < version_count; i++)
	{
		FUZZ_REQUIRE(is_made(files, count, extension, versions[i]) && strcmp(versions[i], "ANY") != 0);
		FUZZ_REQUIRE(i == 0 || depot_version_compare(versions[i - 1], versions[i]) <= 0);
		FUZZ_REQUIRE(i == 0 || strcmp(versions[i - 1], versions[i]) != 0);
	}
	/* Every version that a script makes from nothing is there. */
	for (int i = 0; i < count; i++)
	{
		bool		is_listed = files[i].kind != DEPOT_FILE_INSTALL_SCRIPT ||
		strcmp(files[i].extension, extension) != 0 || strcmp(files[i].version, "ANY") == 0;

		for (int j = 0; j < version_count; j++)
			is_listed = is_listed || strcmp(versions[j], files[i].version) == 0;
		FUZZ_REQUIRE(is_listed);
	}
	for (int i = 0; i < version_count; i++)
		free(versions[i]);
	free(versions);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static DepotExtensionFile files[MOST_FILES];
	char	   *text = fuzz_string(data, size);
	char	   *rest = text;
	int			count = 0;

	while (rest != NULL && count < MOST_FILES)
	{
		const char *name = fuzz_line(&rest);

		if (depot_control_parse_file_name(name, &files[count]))
			check_parts(name, &files[count++]);
	}
	check_versions(files, count);
	free(text);
	return 0;
}
