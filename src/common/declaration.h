/*-------------------------------------------------------------------------
 *
 * declaration.h
 *	  Reads a declared list: "postgis 3.5.*, vector, pg_cron >= 1.2, < 2".
 *
 * Entries are separated by commas.  An entry is a name and, behind white space or
 * right before a comparison operator, a constraint as version.h has them.
 * Because a constraint has commas of its own, a piece that begins with an operator
 * belongs to the entry before it.  Empty pieces mean nothing, so a comma may end the
 * list.  A bad entry is an entry with a reason: the others still count.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_DECLARATION_H
#define DEPOT_DECLARATION_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/name.h"
#include "common/version.h"

#define DEPOT_DECLARATION_MAX_BYTES 1048576
#define DEPOT_DECLARATION_MAX_ENTRIES 16384

typedef struct DepotDeclaration
{
	int			ordinal;		/* counted from 1 */
	size_t		position_bytes; /* of its first character in the list, counted from 1 */
	char		name[DEPOT_NAME_MAX_BYTES + 1]; /* of a bad entry: for display */
	char		constraint[DEPOT_CONSTRAINT_MAX_BYTES + 1]; /* "": any version */
	bool		is_bad;
	char		reason[DEPOT_ERROR_MESSAGE_BYTES];	/* why it is bad; "" */
} DepotDeclaration;

/*
 * Checks what makes a list unreadable as a whole: its length, the number of its entries, control characters
 * other than white space.  Error: INVALID_ARGUMENT.
 */
extern bool depot_declaration_check(const char *list, DepotError *error);

/* Counts the entries of a list. */
extern int	depot_declaration_count(const char *list);

/*
 * Reads a list that passes depot_declaration_check into entries, which has room for depot_declaration_count
 * of them.  An entry whose name stands before it in the list is bad, too.  Error: OUT_OF_MEMORY.
 */
extern bool depot_declaration_parse(const char *list, DepotDeclaration *entries, DepotError *error);

#endif							/* DEPOT_DECLARATION_H */
