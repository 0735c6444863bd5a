/*-------------------------------------------------------------------------
 *
 * control_internal.h
 *	  What the files of the control module share with each other.
 *
 * Included by control*.c only; callers include control.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_CONTROL_INTERNAL_H
#define DEPOT_CONTROL_INTERNAL_H

#include "common/control.h"

/*
 * Cuts text, the syntax of postgresql.conf, into name and value pairs and calls set with each, in order; both
 * strings live until set returns.  Errors name the line.
 */
typedef bool (*ControlSet) (const char *name, const char *value, void *context, DepotError *error);
extern bool depot_control_scan(const char *text, size_t length_bytes, const char *what, ControlSet set,
							   void *context, DepotError *error);

#endif							/* DEPOT_CONTROL_INTERNAL_H */
