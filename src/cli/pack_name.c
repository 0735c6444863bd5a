/*-------------------------------------------------------------------------
 *
 * pack_name.c
 *	  Which name and version a package gets.
 *
 * The publisher says, or the Debian packages do: postgresql-15-hll becomes
 * hll.  postgresql-15-postgis-3 with its -scripts becomes postgis, because a
 * major version at the end is left out where an extension has the name without it.
 * An image has its name at the beginning of its title.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pack.h"
#include "common/name.h"

static bool image_version_error(const DepotPack *pack, DepotError *error);
static const char *common_stem(const DepotPack *pack);
static void strip_major(const DepotPack *pack, char *name);
static bool choose_package(DepotPack *pack, DepotError *error);
static bool choose_version(DepotPack *pack, DepotError *error);
static bool name_licenses(DepotPack *pack, DepotError *error);

bool
depot_pack_choose_name(DepotPack *pack, DepotError *error)
{
	return choose_package(pack, error) && choose_version(pack, error) && name_licenses(pack, error);
}

bool
depot_pack_has_extension(const DepotPack *pack, const char *name)
{
	char		member[DEPOT_PACK_PATH_BYTES];

	snprintf(member, sizeof(member), "share/extension/%s.control", name);
	return depot_pack_find(pack, member) != NULL;
}

/* Returns the shortest name of the Debian packages, if the others begin with it; else NULL. */
static const char *
common_stem(const DepotPack *pack)
{
	const char *shortest = NULL;
	const char *stem;
	int			major;

	for (int i = 0; i < pack->deb_count; i++)
	{
		if (!depot_debian_split_name(pack->debs[i].name, &major, &stem))
			return NULL;
		if (shortest == NULL || strlen(stem) < strlen(shortest))
			shortest = stem;
	}
	for (int i = 0; i < pack->deb_count; i++)
	{
		if (depot_debian_split_name(pack->debs[i].name, &major, &stem) &&
			strncmp(stem, shortest, strlen(shortest)) != 0)
			return NULL;
	}
	return shortest;
}

/* Cuts "-3" off name where an extension has the name without it. */
static void
strip_major(const DepotPack *pack, char *name)
{
	size_t		length = strlen(name);
	char		last;

	while (length > 1 && strchr("0123456789.", name[length - 1]) != NULL)
		length--;
	if (length < 2 || name[length] == '\0' || name[length - 1] != '-')
		return;
	last = name[length - 1];
	name[length - 1] = '\0';
	if (!depot_pack_has_extension(pack, name))
		name[length - 1] = last;
}

static bool
choose_package(DepotPack *pack, DepotError *error)
{
	const char *given = pack->options->package;

	if (given == NULL)
		given = pack->options->oci != NULL ? pack->image.package : common_stem(pack);
	if (given == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
						pack->options->oci != NULL ? "the title of the image does not name a package"
						: "no package name can be told from the names of the files");
		return depot_error_hint(error, "Give --package.");
	}
	pack->package = strdup(given);
	if (pack->package == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	if (pack->options->package == NULL)
		strip_major(pack, pack->package);
	return depot_name_check_package(pack->package, "package", error);
}

static bool
image_version_error(const DepotPack *pack, DepotError *error)
{
	if (pack->image.version[0] == '\0')
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the image does not say its version");
	else
		(void) depot_name_check_version(pack->image.version, error);
	return depot_error_hint(error, "Give --version.");
}

static bool
choose_version(DepotPack *pack, DepotError *error)
{
	if (pack->options->version != NULL)
		pack->version = strdup(pack->options->version);
	else if (pack->options->oci != NULL)
	{
		if (!depot_name_is_version(pack->image.version))
			return image_version_error(pack, error);
		pack->version = strdup(pack->image.version);
	}
	else
	{
		for (int i = 0; i < pack->deb_count; i++)
		{
			char	   *version = depot_debian_upstream_version(pack->debs[i].version);

			if (version == NULL)
				return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
			if (pack->version == NULL)
				pack->version = version;
			else if (strcmp(pack->version, version) == 0)
				free(version);
			else
			{
				free(version);
				depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								"the Debian packages are of different versions");
				depot_error_detail(error, "%s is of version %s, %s of %s.", pack->debs[0].name,
								   pack->debs[0].version, pack->debs[i].name, pack->debs[i].version);
				return depot_error_hint(error, "Give --version if they belong together all the same.");
			}
		}
	}
	if (pack->version == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return depot_name_check_version(pack->version, error);
}

/*
 * No two packages share a path, so licenses stand in a directory of the package.  Those of an image stand in
 * directories of the packages it was made of, perhaps this one.
 */
static bool
name_licenses(DepotPack *pack, DepotError *error)
{
	static const char prefix[] = "licenses/";
	char		member[DEPOT_PACK_PATH_BYTES];

	for (int i = 0; i < pack->entry_count; i++)
	{
		DepotPackEntry *entry = &pack->entries[i];
		const char *name = entry->member + sizeof(prefix) - 1;
		const char *slash;

		if (strncmp(entry->member, prefix, sizeof(prefix) - 1) != 0)
			continue;
		slash = strchr(name, '/');
		if (slash != NULL && strlen(pack->package) == (size_t) (slash - name) &&
			strncmp(name, pack->package, (size_t) (slash - name)) == 0)
			continue;
		if (slash != NULL && strcmp(slash, "/copyright") == 0)
			snprintf(member, sizeof(member), "licenses/%s/%.*s.copyright", pack->package, (int) (slash - name),
					 name);
		else
			snprintf(member, sizeof(member), "licenses/%s/%s", pack->package, name);
		if (!depot_pack_rename(entry, member, error))
			return false;
	}
	return true;
}
