/*-------------------------------------------------------------------------
 *
 * pack_oci.c
 *	  An OCI image layout: index, manifest and configuration of one image.
 *
 * Nothing of a layout is believed before it is checked: a blob is read only
 * when its length and SHA-256 are what the descriptor that names it says, and
 * media types are compared with the few that can be meant.  Only index.json
 * stands for itself.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/pack.h"
#include "cli/pack_oci.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/json.h"
#include "common/name.h"

#define DOCUMENT_LIMIT_BYTES ((size_t) 4 * 1024 * 1024) /* what registries take for a manifest */
#define MAX_INDEX_DEPTH 4
#define MAX_CANDIDATES 64
#define MAX_LAYERS 256
#define PLATFORM_BYTES 64

/* An image that the index offers. */
typedef struct Candidate
{
	DepotOciBlob manifest;
	char		platform[PLATFORM_BYTES];	/* "linux/amd64", "linux/arm/v7" */
} Candidate;

typedef struct Layout
{
	DepotPack  *pack;
	int			fd;
	Candidate	candidates[MAX_CANDIDATES];
	int			candidate_count;
} Layout;

static bool read_layout(Layout *layout, DepotError *error);
static bool check_version(const Layout *layout, DepotError *error);
static json_t *read_blob(const Layout *layout, const DepotOciBlob *blob, const char *what, DepotError *error);
static bool read_descriptor(const json_t *descriptor, DepotOciBlob *blob, DepotError *error);
static bool is_one_of(const char *word, const char *const *words);
static bool collect_candidates(Layout *layout, const json_t *index, int depth, DepotError *error);
static bool add_candidate(Layout *layout, const json_t *descriptor, const DepotOciBlob *blob,
						  DepotError *error);
static bool read_platform(const Layout *layout, const json_t *descriptor, const DepotOciBlob *blob,
						  char platform[PLATFORM_BYTES], DepotError *error);
static void print_platform(const json_t *object, char platform[PLATFORM_BYTES]);
static const Candidate *choose(const Layout *layout, DepotError *error);
static bool read_image(Layout *layout, const Candidate *candidate, DepotError *error);
static json_t *read_configuration(const Layout *layout, const json_t *manifest, DepotError *error);

static const char *const index_types[] = {
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json", NULL
};
static const char *const manifest_types[] = {
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json", NULL
};
static const char *const configuration_types[] = {
	"application/vnd.oci.image.config.v1+json",
	"application/vnd.docker.container.image.v1+json", NULL
};

/* Says nothing of an image: what tools write that need no configuration. */
static const char empty_type[] = "application/vnd.oci.empty.v1+json";

bool
depot_pack_read_image(DepotPack *pack, DepotError *error)
{
	Layout	   *layout = calloc(1, sizeof(*layout));
	bool		ok;

	if (layout == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	layout->pack = pack;
	layout->fd = open(pack->options->oci, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (layout->fd < 0)
	{
		int			reason = errno;

		depot_error_set_errno(error, reason, "could not open the image layout \"%s\"", pack->options->oci);
		if (reason == ENOTDIR)
			depot_error_hint(error, "A layout in a tar archive must be unpacked first.");
		free(layout);
		return false;
	}
	ok = read_layout(layout, error) || depot_error_prefix(error, "image \"%s\"", pack->options->oci);
	close(layout->fd);
	free(layout);
	return ok;
}

static bool
read_layout(Layout *layout, DepotError *error)
{
	const Candidate *candidate;
	DepotBuffer text;
	json_t	   *index = NULL;
	bool		ok = false;

	depot_buffer_init(&text);
	if (check_version(layout, error) &&
		depot_files_read(layout->fd, "index.json", DOCUMENT_LIMIT_BYTES, &text, error) &&
		(index = depot_json_parse(text.data == NULL ? "" : text.data, text.length_bytes, DEPOT_ERROR_PACKAGE,
								  "index.json", error)) != NULL &&
		collect_candidates(layout, index, 0, error) &&
		(candidate = choose(layout, error)) != NULL)
		ok = read_image(layout, candidate, error);
	json_decref(index);
	depot_buffer_free(&text);
	return ok;
}

static bool
check_version(const Layout *layout, DepotError *error)
{
	DepotBuffer text;
	json_t	   *object = NULL;
	const char *version = "";
	bool		ok = false;

	depot_buffer_init(&text);
	if (!depot_files_exists(layout->fd, "oci-layout"))
	{
		depot_error_set(error, DEPOT_ERROR_PACKAGE, "the directory is no OCI image layout");
		depot_error_detail(error, "It has no file oci-layout.");
		depot_error_hint(error, "\"skopeo copy docker://IMAGE oci:DIRECTORY\" makes a layout of an image.");
	}
	else if (depot_files_read(layout->fd, "oci-layout", DOCUMENT_LIMIT_BYTES, &text, error) &&
			 (object = depot_json_parse(text.data == NULL ? "" : text.data, text.length_bytes,
										DEPOT_ERROR_PACKAGE, "oci-layout", error)) != NULL &&
			 depot_json_get_string(object, "imageLayoutVersion", true, &version, DEPOT_ERROR_PACKAGE, error))
	{
		char		shown[64];

		ok = strncmp(version, "1.", 2) == 0 ||
			depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "its layout has version \"%s\", not 1",
							depot_name_printable(version, shown, sizeof(shown)));
	}
	json_decref(object);
	depot_buffer_free(&text);
	return ok;
}

/* Reads a document that a descriptor names. Returns a new reference. */
static json_t *
read_blob(const Layout *layout, const DepotOciBlob *blob, const char *what, DepotError *error)
{
	char		path[DEPOT_OCI_PATH_BYTES];
	char		sha256[DEPOT_SHA256_HEX_BYTES];
	DepotBuffer text;
	json_t	   *object = NULL;

	depot_oci_blob_path(blob, path);
	depot_buffer_init(&text);
	if (depot_files_read(layout->fd, path, DOCUMENT_LIMIT_BYTES, &text, error))
	{
		depot_digest_sha256_hex(text.data == NULL ? "" : text.data, text.length_bytes, sha256);
		if (depot_oci_check_blob(blob, sha256, text.length_bytes, error))
			object = depot_json_parse(text.data == NULL ? "" : text.data, text.length_bytes,
									  DEPOT_ERROR_PACKAGE, what, error);
	}
	depot_buffer_free(&text);
	return object;
}

void
depot_oci_blob_path(const DepotOciBlob *blob, char path[DEPOT_OCI_PATH_BYTES])
{
	snprintf(path, DEPOT_OCI_PATH_BYTES, "blobs/sha256/%s", blob->sha256);
}

bool
depot_oci_check_blob(const DepotOciBlob *blob, const char *sha256, uint64_t size_bytes, DepotError *error)
{
	if (size_bytes != blob->size_bytes)
	{
		depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH, "blob %s has another length than the image says",
						blob->sha256);
		return depot_error_detail(error, "It has %llu bytes, not %llu.", (unsigned long long) size_bytes,
								  (unsigned long long) blob->size_bytes);
	}
	if (strcmp(sha256, blob->sha256) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_DIGEST_MISMATCH, "blob %s does not have the digest of its name",
						blob->sha256);
		depot_error_detail(error, "Its SHA-256 is %s.", sha256);
		return depot_error_hint(error, "The layout is damaged; copy the image again.");
	}
	return true;
}

static bool
read_descriptor(const json_t *descriptor, DepotOciBlob *blob, DepotError *error)
{
	const char *type;
	const char *digest;
	int64_t		size_bytes;

	if (!json_is_object(descriptor))
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "a descriptor is not a JSON object");
	if (!depot_json_get_string(descriptor, "mediaType", true, &type, DEPOT_ERROR_PACKAGE, error) ||
		!depot_json_get_string(descriptor, "digest", true, &digest, DEPOT_ERROR_PACKAGE, error) ||
		!depot_json_get_integer(descriptor, "size", true, 0, &size_bytes, DEPOT_ERROR_PACKAGE, error))
		return false;
	if (strncmp(digest, "sha256:", 7) != 0 || !depot_name_is_sha256(digest + 7))
	{
		char		shown[128];

		depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "it names a blob by \"%s\"",
						depot_name_printable(digest, shown, sizeof(shown)));
		return depot_error_detail(error, "A digest must be \"sha256:\" and 64 lower-case hexadecimal digits.");
	}
	depot_name_printable(type, blob->media_type, sizeof(blob->media_type));
	snprintf(blob->sha256, sizeof(blob->sha256), "%s", digest + 7);
	blob->size_bytes = (uint64_t) size_bytes;
	return true;
}

static bool
is_one_of(const char *word, const char *const *words)
{
	for (; *words != NULL; words++)
	{
		if (strcmp(word, *words) == 0)
			return true;
	}
	return false;
}

/* Adds every image of an index and of the indexes that it names. */
static bool
collect_candidates(Layout *layout, const json_t *index, int depth, DepotError *error)
{
	json_t	   *manifests;
	json_t	   *descriptor;
	size_t		i;

	if (depth > MAX_INDEX_DEPTH)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "its indexes are nested more than %d deep",
							   MAX_INDEX_DEPTH);
	if (!depot_json_get_array(index, "manifests", true, &manifests, DEPOT_ERROR_PACKAGE, error))
		return false;
	json_array_foreach(manifests, i, descriptor)
	{
		DepotOciBlob blob;
		json_t	   *nested;
		bool		ok;

		if (!read_descriptor(descriptor, &blob, error))
			return depot_error_prefix(error, "index");
		if (is_one_of(blob.media_type, manifest_types))
		{
			if (!add_candidate(layout, descriptor, &blob, error))
				return false;
			continue;
		}
		if (!is_one_of(blob.media_type, index_types))
			return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED,
								   "its index names a blob of the unknown type \"%s\"", blob.media_type);
		nested = read_blob(layout, &blob, "nested index", error);
		ok = nested != NULL && collect_candidates(layout, nested, depth + 1, error);
		json_decref(nested);
		if (!ok)
			return false;
	}
	return true;
}

static bool
add_candidate(Layout *layout, const json_t *descriptor, const DepotOciBlob *blob, DepotError *error)
{
	Candidate  *candidate = &layout->candidates[layout->candidate_count];
	const char *kind = json_string_value(json_object_get(json_object_get(descriptor, "annotations"),
														 "vnd.docker.reference.type"));

	/* The same image under another tag. */
	for (int i = 0; i < layout->candidate_count; i++)
	{
		if (strcmp(layout->candidates[i].manifest.sha256, blob->sha256) == 0)
			return true;
	}
	/* What buildkit says about how another image was made stands beside it as if it were one. */
	if (kind != NULL && strcmp(kind, "attestation-manifest") == 0)
		return true;
	if (layout->candidate_count == MAX_CANDIDATES)
		return depot_error_set(error, DEPOT_ERROR_PACKAGE, "its index names more than %d images",
							   MAX_CANDIDATES);
	if (!read_platform(layout, descriptor, blob, candidate->platform, error))
		return false;
	if (strncmp(candidate->platform, "unknown/", 8) == 0)
		return true;
	candidate->manifest = *blob;
	layout->candidate_count++;
	return true;
}

/* The platform stands in the descriptor, or else in the image's configuration. */
static bool
read_platform(const Layout *layout, const json_t *descriptor, const DepotOciBlob *blob,
			  char platform[PLATFORM_BYTES], DepotError *error)
{
	json_t	   *manifest;
	json_t	   *configuration = NULL;
	bool		ok;

	print_platform(json_object_get(descriptor, "platform"), platform);
	if (platform[0] != '\0')
		return true;
	manifest = read_blob(layout, blob, "image manifest", error);
	ok = manifest != NULL && (configuration = read_configuration(layout, manifest, error)) != NULL;
	if (ok)
		print_platform(configuration, platform);
	json_decref(configuration);
	json_decref(manifest);
	return ok;
}

/* Writes OS/ARCH or OS/ARCH/VARIANT; "" when object does not say. */
static void
print_platform(const json_t *object, char platform[PLATFORM_BYTES])
{
	const char *os = json_string_value(json_object_get(object, "os"));
	const char *arch = json_string_value(json_object_get(object, "architecture"));
	const char *variant = json_string_value(json_object_get(object, "variant"));
	char		text[PLATFORM_BYTES];

	platform[0] = '\0';
	if (os == NULL || arch == NULL || os[0] == '\0' || arch[0] == '\0')
		return;
	if (variant == NULL)
		variant = "";
	snprintf(text, sizeof(text), "%s/%s%s%s", os, arch, variant[0] == '\0' ? "" : "/", variant);
	depot_name_printable(text, platform, PLATFORM_BYTES);
}

/* Whether platform is wanted, of which the variant may be left out. */
static bool
platform_matches(const char *platform, const char *wanted)
{
	size_t		length = strlen(wanted);

	return strncmp(platform, wanted, length) == 0 && (platform[length] == '\0' || platform[length] == '/');
}

/* Returns the image of the wanted platform; the only one when no platform was asked for. */
static const Candidate *
choose(const Layout *layout, DepotError *error)
{
	const char *given = layout->pack->options->platform;
	char		host[PLATFORM_BYTES];
	const char *wanted = given != NULL ? given : depot_oci_host_platform(host, sizeof(host));
	const Candidate *found = NULL;
	char		list[512] = "";
	int			matches = 0;

	if (layout->candidate_count == 1 && given == NULL)
		return &layout->candidates[0];
	for (int i = 0; i < layout->candidate_count; i++)
	{
		const Candidate *candidate = &layout->candidates[i];
		size_t		used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ",
				 candidate->platform[0] == '\0' ? "an unnamed one" : candidate->platform);
		if (!platform_matches(candidate->platform, wanted))
			continue;
		found = candidate;
		matches++;
	}
	if (matches == 1)
		return found;
	if (matches > 1)
	{
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the layout holds %d images for %s", matches,
						wanted);
		depot_error_hint(error, "Copy one image into a layout of its own.");
		return NULL;
	}
	depot_error_set(error, DEPOT_ERROR_PACKAGE, "the layout holds no image for %s", wanted);
	if (layout->candidate_count > 0)
	{
		depot_error_detail(error, "Its images are for: %s.", list);
		depot_error_hint(error, "Choose one with --platform.");
	}
	return NULL;
}

/* Reads what the chosen image says, and applies its layers to the source root. */
static bool
read_image(Layout *layout, const Candidate *candidate, DepotError *error)
{
	DepotPack  *pack = layout->pack;
	json_t	   *manifest = read_blob(layout, &candidate->manifest, "image manifest", error);
	json_t	   *configuration = NULL;
	json_t	   *layers;
	json_t	   *layer;
	size_t		i;
	bool		ok = false;

	if (manifest == NULL ||
		(configuration = read_configuration(layout, manifest, error)) == NULL ||
		!depot_json_get_array(manifest, "layers", true, &layers, DEPOT_ERROR_PACKAGE, error) ||
		!depot_oci_describe(pack, candidate->manifest.sha256, candidate->platform, manifest, configuration,
							error))
		goto done;
	if (json_array_size(layers) > MAX_LAYERS)
	{
		depot_error_set(error, DEPOT_ERROR_ARCHIVE_LIMIT, "it has more than %d layers", MAX_LAYERS);
		goto done;
	}
	ok = true;
	json_array_foreach(layers, i, layer)
	{
		DepotOciBlob blob;

		ok = read_descriptor(layer, &blob, error) &&
			depot_oci_apply_layer(pack, layout->fd, &blob, error);
		if (!ok)
		{
			depot_error_prefix(error, "layer %zu", i + 1);
			break;
		}
	}
done:
	json_decref(configuration);
	json_decref(manifest);
	return ok;
}

/* Returns a new reference; an empty object where the image has no configuration. */
static json_t *
read_configuration(const Layout *layout, const json_t *manifest, DepotError *error)
{
	json_t	   *descriptor;
	DepotOciBlob blob;

	if (!depot_json_get_object(manifest, "config", true, &descriptor, DEPOT_ERROR_PACKAGE, error) ||
		!read_descriptor(descriptor, &blob, error))
	{
		depot_error_prefix(error, "image manifest");
		return NULL;
	}
	if (!is_one_of(blob.media_type, configuration_types) && strcmp(blob.media_type, empty_type) != 0)
	{
		depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "it is of the type \"%s\", which is no image",
						blob.media_type);
		return NULL;
	}
	return read_blob(layout, &blob, "image configuration", error);
}
