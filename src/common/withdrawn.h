/*-------------------------------------------------------------------------
 *
 * withdrawn.h
 *	  Builds that their publisher has withdrawn: the mark in a target's signed
 *	  description, and the list withdrawn.json.
 *
 * The list is a target of the top-level targets role and counts for every
 * build of the repository, whoever signed that.  Texts are a publisher's, and
 * are shown to people: one line each, of bounded length.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_WITHDRAWN_H
#define DEPOT_WITHDRAWN_H

#include <jansson.h>
#include <stddef.h>

#include "common/error.h"

/* Path of the list among the targets, and what it may have at most. */
#define DEPOT_WITHDRAWN_TARGET "withdrawn.json"
#define DEPOT_WITHDRAWN_MAX_BYTES ((size_t) 1024 * 1024)
#define DEPOT_WITHDRAWN_FORMAT 1

#define DEPOT_WITHDRAWN_REASON_MAX_BYTES 200
#define DEPOT_WITHDRAWN_ADVISORY_MAX_BYTES 100

/* Texts are borrowed from the JSON they were read from. */
typedef struct DepotWithdrawal
{
	const char *sha256;			/* of the package; NULL in a mark */
	const char *reason;
	const char *advisory;		/* "CVE-2026-1234"; NULL: none */
} DepotWithdrawal;

/*
 * Checks the texts of a withdrawal: a reason of one line, an advisory without blanks.  Error:
 * INVALID_ARGUMENT.
 */
extern bool depot_withdrawn_check(const DepotWithdrawal *withdrawal, DepotError *error);

/*
 * Reads the mark of a target's custom.pg_depot ("yanked").  Returns false with MANIFEST when it is not well
 * formed; *is_marked is false when there is none.
 */
extern bool depot_withdrawn_read_mark(const json_t *custom, bool *is_marked, DepotWithdrawal *withdrawal,
									  DepotError *error);

/* Returns a new mark, or with a digest an entry of the list; NULL when out of memory. */
extern json_t *depot_withdrawn_to_json(const DepotWithdrawal *withdrawal);

/*
 * Parses the list's text, checking all of it.  Returns its entries, a new reference to an array, or NULL with
 * METADATA_FORMAT; UNSUPPORTED for another format.
 */
extern json_t *depot_withdrawn_parse(const char *text, size_t length_bytes, DepotError *error);

/* Reads an entry of that array. */
extern void depot_withdrawn_read_entry(const json_t *entry, DepotWithdrawal *withdrawal);

#endif							/* DEPOT_WITHDRAWN_H */
