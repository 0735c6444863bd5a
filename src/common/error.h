/*-------------------------------------------------------------------------
 *
 * error.h
 *	  Errors as values.
 *
 * Everything in src/common reports failure by returning false (or NULL) and
 * filling a DepotError that the caller owns; nothing there prints, exits or
 * jumps.  The program turns an error into lines on stderr and an exit code,
 * an agent into one JSON line, the server into an ereport.  The list of codes
 * below is the one place where a code, the name it has on the wire and its
 * SQLSTATE stand together; docs/errors.md explains each to users.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_ERROR_H
#define DEPOT_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

#if defined(__GNUC__)
#define DEPOT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define DEPOT_PRINTF(fmt, args)
#endif

/*
 * X(enum suffix, wire name, SQLSTATE).  Class PD is ours: what no standard
 * SQLSTATE says, which is mostly trust.
 */
#define DEPOT_ERROR_CODES(X) \
	X(OUT_OF_MEMORY, "out_of_memory", "53200") \
	X(DISK_FULL, "disk_full", "53100") \
	X(IO, "io", "58030") \
	X(FILE_MISSING, "file_missing", "58P01") \
	X(FILE_EXISTS, "file_exists", "58P02") \
	X(INVALID_NAME, "invalid_name", "42602") \
	X(INVALID_VERSION, "invalid_version", "22023") \
	X(INVALID_ARGUMENT, "invalid_argument", "22023") \
	X(UNKNOWN_EXTENSION, "unknown_extension", "42704") \
	X(UNKNOWN_VERSION, "unknown_version", "42704") \
	X(UNKNOWN_REPOSITORY, "unknown_repository", "42704") \
	X(DUPLICATE, "duplicate", "42710") \
	X(IN_USE, "in_use", "2BP01") \
	X(CONFLICT, "conflict", "42P07") \
	X(NOT_ALLOWED, "not_allowed", "42501") \
	X(WRONG_STATE, "wrong_state", "55000") \
	X(UNSUPPORTED, "unsupported", "0A000") \
	X(UNREACHABLE, "unreachable", "08001") \
	X(TRANSFER, "transfer", "08006") \
	X(NOT_FOUND, "not_found", "58P01") \
	X(STALLED, "stalled", "08006") \
	X(TOO_LARGE, "too_large", "54000") \
	X(CANCELED, "canceled", "57014") \
	X(CONFIGURATION, "configuration", "F0000") \
	X(AGENT, "agent", "58000") \
	X(METADATA_FORMAT, "metadata_format", "PD001") \
	X(METADATA_THRESHOLD, "metadata_threshold", "PD002") \
	X(METADATA_EXPIRED, "metadata_expired", "PD003") \
	X(METADATA_ROLLBACK, "metadata_rollback", "PD004") \
	X(METADATA_MISMATCH, "metadata_mismatch", "PD005") \
	X(ROOT_INVALID, "root_invalid", "PD006") \
	X(TARGET_UNKNOWN, "target_unknown", "PD007") \
	X(DIGEST_MISMATCH, "digest_mismatch", "PD008") \
	X(KEY, "key", "PD009") \
	X(ARCHIVE, "archive", "PD010") \
	X(ARCHIVE_LIMIT, "archive_limit", "PD011") \
	X(MANIFEST, "manifest", "PD012") \
	X(CONTROL_FILE, "control_file", "PD013") \
	X(PACKAGE, "package", "PD014") \
	X(WITHDRAWN, "withdrawn", "PD015")

typedef enum DepotErrorCode
{
	DEPOT_OK = 0,
#define X(suffix, wire, sqlstate) DEPOT_ERROR_##suffix,
	DEPOT_ERROR_CODES(X)
#undef X
} DepotErrorCode;

#define DEPOT_ERROR_MESSAGE_BYTES 512
#define DEPOT_ERROR_DETAIL_BYTES 1024
#define DEPOT_ERROR_HINT_BYTES 512

/*
 * Texts follow PostgreSQL's style: the message is lower case without a full
 * stop, detail and hint are whole sentences.  They never hold bytes that were
 * received from a network, except names that have passed depot_name_*.
 */
typedef struct DepotError
{
	DepotErrorCode code;
	char		message[DEPOT_ERROR_MESSAGE_BYTES];
	char		detail[DEPOT_ERROR_DETAIL_BYTES];	/* empty when there is none */
	char		hint[DEPOT_ERROR_HINT_BYTES];	/* empty when there is none */
} DepotError;

/*
 * Sets code and message, clears detail and hint.  Always returns false, so
 * that "return depot_error_set(...)" reads well.  error may be NULL here and
 * below: the caller then does not want the reason.
 */
extern bool depot_error_set(DepotError *error, DepotErrorCode code, const char *format,...)
			DEPOT_PRINTF(3, 4);

/*
 * Sets the error of a failed system call: appends ": " and errno's text and
 * picks DISK_FULL, FILE_MISSING, FILE_EXISTS, OUT_OF_MEMORY or IO.
 */
extern bool depot_error_set_errno(DepotError *error, int saved_errno, const char *format,...)
			DEPOT_PRINTF(3, 4);

/* Add the second and third part to an error already set.  Always return false. */
extern bool depot_error_detail(DepotError *error, const char *format,...) DEPOT_PRINTF(2, 3);
extern bool depot_error_hint(DepotError *error, const char *format,...) DEPOT_PRINTF(2, 3);

/* Puts "context: " before the message, for callers that know more ("package hll"). Always returns false. */
extern bool depot_error_prefix(DepotError *error, const char *format,...) DEPOT_PRINTF(2, 3);

/* Returns the wire name or SQLSTATE of a code; never NULL. */
extern const char *depot_error_wire_name(DepotErrorCode code);
extern const char *depot_error_sqlstate(DepotErrorCode code);

/* Returns the code of a wire name; DEPOT_ERROR_AGENT for one it does not know. */
extern DepotErrorCode depot_error_from_wire_name(const char *name);

#endif							/* DEPOT_ERROR_H */
