/*-------------------------------------------------------------------------
 *
 * fuzz_tar.h
 *	  Tar headers with their checksums put right, or hardly any changed byte
 *	  would come further than the first header.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FUZZ_TAR_H
#define DEPOT_FUZZ_TAR_H

#include "fuzz_file.h"

#define FUZZ_TAR_BLOCK_BYTES ((size_t) 512)

static inline size_t
fuzz_tar_octal(const uint8_t *digits, int count)
{
	size_t		value = 0;

	for (int i = 0; i < count && digits[i] >= '0' && digits[i] <= '7'; i++)
		value = value * 8 + (size_t) (digits[i] - '0');
	return value;
}

/* Puts the checksum of each header right, as far as sizes lead from one to the next. */
static inline void
fuzz_tar_correct(uint8_t *tar, size_t size)
{
	size_t		at = 0;

	while (at + FUZZ_TAR_BLOCK_BYTES <= size)
	{
		uint8_t    *header = tar + at;
		size_t		member_bytes = fuzz_tar_octal(header + 124, 11);
		unsigned	sum = 0;
		char		digits[8];

		if (header[0] != 0)
		{
			memset(header + 148, ' ', 8);
			for (size_t i = 0; i < FUZZ_TAR_BLOCK_BYTES; i++)
				sum += header[i];
			snprintf(digits, sizeof(digits), "%06o", sum);
			memcpy(header + 148, digits, 7);
		}
		if (member_bytes > size)
			return;
		at += FUZZ_TAR_BLOCK_BYTES;
		at += (member_bytes + FUZZ_TAR_BLOCK_BYTES - 1) / FUZZ_TAR_BLOCK_BYTES * FUZZ_TAR_BLOCK_BYTES;
	}
}

#endif							/* DEPOT_FUZZ_TAR_H */
