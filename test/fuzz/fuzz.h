/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  What the fuzz targets share: how a finding is reported, and bytes as strings.
 *
 * A target is one file, fuzz_<name>.c, with one function that libFuzzer calls
 * with bytes.  It hands them to one parser and checks what must hold for whatever the
 * parser takes: what was read can be written and read again, orders are orders,
 * and a second way to the same answer gives the same one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FUZZ_H
#define DEPOT_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/error.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run, with the input as a finding, unless condition holds. */
#define FUZZ_REQUIRE(condition) \
	((condition) ? (void) 0 : fuzz_fail(__FILE__, __LINE__, #condition))

static inline void
fuzz_fail(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
	abort();
}

/* Requires that a refusal says why, in a code other than those of a machine in trouble. */
static inline void
fuzz_require_refusal(const DepotError *error)
{
	FUZZ_REQUIRE(error->code != DEPOT_OK && error->code != DEPOT_ERROR_OUT_OF_MEMORY &&
				 error->code != DEPOT_ERROR_IO);
	FUZZ_REQUIRE(error->message[0] != '\0');
}

/* Copies size bytes as a C string, malloc'd so that a read behind its end is seen. */
static inline char *
fuzz_string(const uint8_t *data, size_t size)
{
	char	   *copy = malloc(size + 1);

	FUZZ_REQUIRE(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	copy[size] = '\0';
	return copy;
}

/*
 * Takes the next line off *rest, which becomes what follows it; NULL when there is none left.  Changes the
 * text: the newline becomes its end.
 */
static inline char *
fuzz_line(char **rest)
{
	char	   *line = *rest;
	char	   *newline;

	if (line == NULL)
		return NULL;
	newline = strchr(line, '\n');
	if (newline != NULL)
		*newline = '\0';
	*rest = newline != NULL ? newline + 1 : NULL;
	return line;
}

/* Canonical JSON writes control characters as they are, which plain JSON must not have. */
static inline bool
fuzz_has_control_character(const DepotBuffer *text)
{
	for (size_t i = 0; i < text->length_bytes; i++)
	{
		if ((unsigned char) text->data[i] < 0x20)
			return true;
	}
	return false;
}

static inline bool
fuzz_same_bytes(const DepotBuffer *a, const DepotBuffer *b)
{
	return a->length_bytes == b->length_bytes && memcmp(a->data, b->data, a->length_bytes) == 0;
}

#endif							/* DEPOT_FUZZ_H */
