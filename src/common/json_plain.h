/*-------------------------------------------------------------------------
 *
 * json_plain.h
 *	  JSON as programs write it, read in one pass.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_JSON_PLAIN_H
#define DEPOT_JSON_PLAIN_H

#include "common/json.h"

/*
 * Returns what jansson would make of text, as a new reference; or NULL when text is not plain, has a fault, or
 * there is no memory: then it is jansson's to read, or to refuse.  member may be NULL; see depot_json_parse_member.
 */
extern json_t *depot_json_read_plain(const char *text, size_t length_bytes, DepotJsonMember *member);

#endif							/* DEPOT_JSON_PLAIN_H */
