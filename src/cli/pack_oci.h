/*-------------------------------------------------------------------------
 *
 * pack_oci.h
 *	  What the readers of an OCI image share.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_PACK_OCI_H
#define DEPOT_PACK_OCI_H

#include <jansson.h>

#include "cli/pack.h"
#include "common/digest.h"

#define DEPOT_OCI_PATH_BYTES 128

/* A descriptor: what a blob must be. */
typedef struct DepotOciBlob
{
	char		media_type[128];	/* printable */
	char		sha256[DEPOT_SHA256_HEX_BYTES];
	uint64_t	size_bytes;
} DepotOciBlob;

/* pack_oci.c */

/* Writes the path of a blob below the layout. */
extern void depot_oci_blob_path(const DepotOciBlob *blob, char path[DEPOT_OCI_PATH_BYTES]);

/* Compares what was read of a blob with its descriptor (DIGEST_MISMATCH). */
extern bool depot_oci_check_blob(const DepotOciBlob *blob, const char *sha256, uint64_t size_bytes,
								 DepotError *error);

/* pack_oci_layer.c */

/*
 * Checks one layer of the layout and applies it to pack->source_fd: whiteouts remove what lower layers
 * brought, files and links of server directories are written.  Bounded by the limits of a package,
 * counted over all layers in pack->source_bytes and pack->image.entry_count.
 */
extern bool depot_oci_apply_layer(DepotPack *pack, int layout_fd, const DepotOciBlob *blob, DepotError *error);

/* pack_oci_describe.c */

/* Fills pack->image from annotations of the manifest, labels of the configuration, and platform. */
extern bool depot_oci_describe(DepotPack *pack, const char *sha256, const char *platform,
							   const json_t *manifest, const json_t *configuration, DepotError *error);

/* Writes OS/ARCH of the machine we run on, in the words of OCI. Returns out. */
extern const char *depot_oci_host_platform(char *out, size_t out_bytes);

#endif							/* DEPOT_PACK_OCI_H */
