/*-------------------------------------------------------------------------
 *
 * pack_origin.c
 *	  The part of a manifest that says where a package comes from and what it
 *	  needs: Debian's metadata or an image's, and the publisher's options over it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pack.h"
#include "common/files.h"
#include "common/name.h"
#include "common/version.h"

#define COPYRIGHT_LIMIT_BYTES ((size_t) 4 * 1024 * 1024)

static bool out_of_memory(DepotError *error);
static bool set_text(char **member, const char *value, DepotError *error);
static bool describe_texts(DepotPack *pack, DepotError *error);
static bool describe_image(DepotPack *pack, DepotError *error);
static bool find_license(DepotPack *pack, const char *deb, char *license, size_t license_bytes,
						 DepotError *error);
static bool describe_components(DepotPack *pack, DepotError *error);
static bool describe_depends(DepotPack *pack, DepotError *error);
static bool take_debian_depend(const char *name, const char *constraint, void *context, DepotError *error);
static bool set_depend(DepotManifest *manifest, const char *package, const char *constraint,
					   DepotError *error);
static bool apply_depend_options(DepotPack *pack, DepotError *error);
static void drop_depend(DepotManifest *manifest, const char *package);
static bool apply_setting_options(DepotPack *pack, DepotError *error);

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

static bool
set_text(char **member, const char *value, DepotError *error)
{
	free(*member);
	*member = strdup(value == NULL ? "" : value);
	return *member != NULL || out_of_memory(error);
}

bool
depot_pack_describe_origin(DepotPack *pack, DepotError *error)
{
	return describe_texts(pack, error) && describe_components(pack, error) && describe_depends(pack, error) &&
		apply_depend_options(pack, error) && apply_setting_options(pack, error);
}

/* Summary, homepage, license and source: of the image or the first Debian package, or as given. */
static bool
describe_texts(DepotPack *pack, DepotError *error)
{
	DepotManifest *manifest = pack->manifest;
	const DepotPackOptions *options = pack->options;
	const DepotPackDeb *deb = pack->deb_count > 0 ? &pack->debs[0] : NULL;
	char		license[128] = "";

	if (options->oci != NULL)
		return describe_image(pack, error);
	if (deb != NULL && !find_license(pack, deb->name, license, sizeof(license), error))
		return false;
	return set_text(&manifest->summary,
					options->summary != NULL ? options->summary
					: deb != NULL ? deb->summary
					: "",
					error) &&
		set_text(&manifest->homepage,
				 options->homepage != NULL ? options->homepage
				 : deb != NULL ? deb->homepage
				 : "",
				 error) &&
		set_text(&manifest->license, options->license != NULL ? options->license : license, error) &&
		set_text(&manifest->source_kind, deb != NULL ? "deb" : "tree", error) &&
		set_text(&manifest->source_name, deb != NULL ? deb->source_name : pack->package, error) &&
		set_text(&manifest->source_version, deb != NULL ? deb->source_version : pack->version, error);
}

static bool
describe_image(DepotPack *pack, DepotError *error)
{
	DepotManifest *manifest = pack->manifest;
	const DepotPackOptions *options = pack->options;
	const DepotPackImage *image = &pack->image;

	return set_text(&manifest->summary, options->summary != NULL ? options->summary : image->summary, error) &&
		set_text(&manifest->homepage, options->homepage != NULL ? options->homepage : image->homepage,
				 error) &&
		set_text(&manifest->license, options->license != NULL ? options->license : image->license, error) &&
		set_text(&manifest->source_kind, "oci", error) &&
		set_text(&manifest->source_name, image->source[0] != '\0' ? image->source : pack->package, error) &&
		set_text(&manifest->source_version, image->version[0] != '\0' ? image->version : pack->version, error);
}

/* Reads what the copyright file of a Debian package says; license stays empty when it does not say. */
static bool
find_license(DepotPack *pack, const char *deb, char *license, size_t license_bytes, DepotError *error)
{
	char		path[DEPOT_PACK_PATH_BYTES];
	char		buffer[64];
	const char *name;
	DepotBuffer text;

	snprintf(path, sizeof(path), "licenses/%s/%s.copyright", pack->package, deb);
	license[0] = '\0';
	if (depot_pack_find(pack, path) == NULL)
		return true;
	depot_buffer_init(&text);
	if (!depot_files_read(pack->tree_fd, path, COPYRIGHT_LIMIT_BYTES, &text, error))
	{
		depot_buffer_free(&text);
		return false;
	}
	name = depot_debian_license(text.data == NULL ? "" : text.data, buffer, sizeof(buffer));
	if (name != NULL)
		snprintf(license, license_bytes, "%s", name);
	depot_buffer_free(&text);
	return true;
}

/* One component for each Debian package, or for the image. */
static bool
describe_components(DepotPack *pack, DepotError *error)
{
	DepotManifest *manifest = pack->manifest;

	manifest->components = calloc((size_t) pack->deb_count + 1, sizeof(*manifest->components));
	if (manifest->components == NULL)
		return out_of_memory(error);
	if (pack->options->oci != NULL)
	{
		char		purl[DEPOT_NAME_MAX_BYTES + 128];

		snprintf(purl, sizeof(purl), "pkg:oci/%s@sha256%%3A%s", pack->package, pack->image.sha256);
		manifest->component_count = 1;
		return set_text(&manifest->components[0].purl, purl, error) &&
			set_text(&manifest->components[0].version, manifest->source_version, error) &&
			set_text(&manifest->components[0].license, manifest->license, error);
	}
	for (int i = 0; i < pack->deb_count; i++)
	{
		DepotManifestComponent *component = &manifest->components[i];
		char		license[128];

		manifest->component_count = i + 1;
		component->purl = depot_debian_purl(pack->debs[i].name, pack->debs[i].version);
		if (component->purl == NULL)
			return out_of_memory(error);
		if (!find_license(pack, pack->debs[i].name, license, sizeof(license), error) ||
			!set_text(&component->version, pack->debs[i].version, error) ||
			!set_text(&component->license, license, error))
			return false;
	}
	return true;
}

static bool
describe_depends(DepotPack *pack, DepotError *error)
{
	for (int i = 0; i < pack->deb_count; i++)
	{
		if (!depot_debian_visit_depends(pack->debs[i].depends, take_debian_depend, pack, error))
			return false;
	}
	if (pack->options->minimum_minor >= 0)
		pack->manifest->postgresql_minimum_minor = pack->options->minimum_minor;
	return true;
}

/* Takes a dependency on another extension's package, and the lowest minor version of the server. */
static bool
take_debian_depend(const char *name, const char *constraint, void *context, DepotError *error)
{
	DepotPack  *pack = context;
	char		server[32];
	const char *stem;
	char		package[DEPOT_NAME_MAX_BYTES + 1];
	size_t		length;
	int			major;
	int			minor;

	snprintf(server, sizeof(server), "postgresql-%d", pack->major);
	if (strcmp(name, server) == 0 && sscanf(constraint, ">= %d.%d", &major, &minor) == 2 &&
		major == pack->major && minor > pack->manifest->postgresql_minimum_minor)
		pack->manifest->postgresql_minimum_minor = minor;

	/* jit is a part of the server in a package of its own. */
	if (!depot_debian_split_name(name, &major, &stem) || major != pack->major || strncmp(stem, "jit", 3) == 0)
		return true;
	for (int i = 0; i < pack->deb_count; i++)
	{
		if (strcmp(pack->debs[i].name, name) == 0)
			return true;
	}
	length = strlen(stem);
	if (length > DEPOT_NAME_MAX_BYTES)
		return true;
	memcpy(package, stem, length + 1);

	/*
	 * postgis-3 and postgis-3-scripts are packed as postgis (pack_name.c); an extension here that requires
	 * postgis tells.
	 */
	if (length > 8 && strcmp(package + length - 8, "-scripts") == 0)
		package[length - 8] = '\0';
	length = strlen(package);
	while (length > 1 && strchr("0123456789.", package[length - 1]) != NULL)
		length--;
	if (length > 1 && length < strlen(package) && package[length - 1] == '-')
	{
		for (int i = 0; i < pack->manifest->extension_count; i++)
		{
			const DepotManifestExtension *extension = &pack->manifest->extensions[i];

			for (int j = 0; j < extension->require_count; j++)
			{
				if (strlen(extension->requires[j]) == length - 1 &&
					strncmp(extension->requires[j], package, length - 1) == 0)
					package[length - 1] = '\0';
			}
		}
	}
	if (strcmp(package, pack->package) == 0)
		return true;
	return set_depend(pack->manifest, package, constraint, error);
}

/* Adds a dependency; a second constraint on the same package joins the first. */
static bool
set_depend(DepotManifest *manifest, const char *package, const char *constraint, DepotError *error)
{
	DepotManifestDepend *grown;
	DepotManifestDepend *depend;

	for (int i = 0; i < manifest->depend_count; i++)
	{
		char		joined[DEPOT_CONSTRAINT_MAX_BYTES + 1];

		depend = &manifest->depends[i];
		if (strcmp(depend->package, package) != 0)
			continue;
		if (constraint[0] == '\0' || strcmp(depend->constraint, constraint) == 0)
			return true;
		if (snprintf(joined, sizeof(joined), "%s%s%s", depend->constraint,
					 depend->constraint[0] == '\0' ? "" : ", ", constraint) >= (int) sizeof(joined))
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								   "the constraints on package \"%s\" are too long", package);
		return set_text(&depend->constraint, joined, error);
	}
	grown = realloc(manifest->depends, sizeof(*grown) * ((size_t) manifest->depend_count + 1));
	if (grown == NULL)
		return out_of_memory(error);
	manifest->depends = grown;
	depend = &grown[manifest->depend_count++];
	memset(depend, 0, sizeof(*depend));
	return set_text(&depend->package, package, error) && set_text(&depend->constraint, constraint, error);
}

static void
drop_depend(DepotManifest *manifest, const char *package)
{
	for (int i = 0; i < manifest->depend_count; i++)
	{
		if (strcmp(manifest->depends[i].package, package) != 0)
			continue;
		free(manifest->depends[i].package);
		free(manifest->depends[i].constraint);
		memmove(&manifest->depends[i], &manifest->depends[i + 1],
				sizeof(manifest->depends[0]) * (size_t) (manifest->depend_count - i - 1));
		manifest->depend_count--;
		return;
	}
}

/* --without-depends takes away, --depends replaces or adds. */
static bool
apply_depend_options(DepotPack *pack, DepotError *error)
{
	for (int i = 0; i < pack->options->without_depend_count; i++)
		drop_depend(pack->manifest, pack->options->without_depends[i]);
	for (int i = 0; i < pack->options->depend_count; i++)
	{
		const char *text = pack->options->depends[i];
		size_t		length = strcspn(text, " \t");
		const char *constraint = text + length + strspn(text + length, " \t");
		DepotVersionConstraint parsed;
		char		package[DEPOT_NAME_MAX_BYTES + 2];

		snprintf(package, sizeof(package), "%.*s", (int) length, text);
		if (!depot_name_check_package(package, "package", error))
			return false;
		if (!depot_version_constraint_parse(constraint, &parsed, error))
			return depot_error_prefix(error, "--depends \"%s\"", package);
		drop_depend(pack->manifest, package);
		if (!set_depend(pack->manifest, package, constraint, error))
			return false;
	}
	return true;
}

/* --setting "name=value why" */
static bool
apply_setting_options(DepotPack *pack, DepotError *error)
{
	DepotManifest *manifest = pack->manifest;

	manifest->settings = calloc((size_t) pack->options->setting_count + 1, sizeof(*manifest->settings));
	if (manifest->settings == NULL)
		return out_of_memory(error);
	for (int i = 0; i < pack->options->setting_count; i++)
	{
		DepotManifestSetting *setting = &manifest->settings[i];
		const char *text = pack->options->settings[i];
		const char *equals = strchr(text, '=');
		const char *blank = equals == NULL ? NULL : strchr(equals, ' ');

		manifest->setting_count = i + 1;
		if (equals == NULL || equals == text)
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT,
								   "--setting \"%s\" is not NAME=VALUE or \"NAME=VALUE WHY\"", text);
		setting->name = strndup(text, (size_t) (equals - text));
		setting->value =
			blank == NULL ? strdup(equals + 1) : strndup(equals + 1, (size_t) (blank - equals - 1));
		setting->why = strdup(blank == NULL ? "" : blank + 1);
		if (setting->name == NULL || setting->value == NULL || setting->why == NULL)
			return out_of_memory(error);
	}
	return true;
}
