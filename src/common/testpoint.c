/*-------------------------------------------------------------------------
 *
 * testpoint.c
 *	  Named points at which a test can have a process killed.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/testpoint.h"

void
depot_test_point(const char *name)
{
	static const char *directory = NULL;
	static int	is_known = 0;
	char		path[PATH_MAX];
	int			length;

	if (!is_known)
	{
		directory = getenv(DEPOT_TEST_POINTS_VARIABLE);
		is_known = 1;
	}
	if (directory == NULL)
		return;

	length = snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (length > 0 && (size_t) length < sizeof(path) && unlink(path) == 0)
		(void) kill(getpid(), SIGKILL);
}
