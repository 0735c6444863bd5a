/*-------------------------------------------------------------------------
 *
 * fuzz_file.h
 *	  Bytes as a file, for parsers that read one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FUZZ_FILE_H
#define DEPOT_FUZZ_FILE_H

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

/* Returns a file in memory that holds data, to be written and read from any place. */
static inline int
fuzz_file(const void *data, size_t size)
{
	static int	fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	FUZZ_REQUIRE(fd >= 0 && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	FUZZ_REQUIRE(size == 0 || pwrite(fd, data, size, 0) == (ssize_t) size);
	return fd;
}

#endif							/* DEPOT_FUZZ_FILE_H */
