/*-------------------------------------------------------------------------
 *
 * fetch_credentials.h
 *	  The file of credentials for private repositories (docs/private-repositories.md).
 *
 * A JSON object {"credentials": [ENTRY, ...]}; an entry has a "prefix", the URL
 * that it is for, and one of "bearer", "basic", "header", "client_certificate"
 * and "aws_sigv4".  Errors name the file, the number of the entry and the
 * member; they never repeat a value or a name that stands in the file, except a
 * prefix that is in order.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_FETCH_CREDENTIALS_H
#define DEPOT_FETCH_CREDENTIALS_H

#include <jansson.h>

#include "common/error.h"

#define DEPOT_CREDENTIALS_MAX_BYTES (64 * 1024)
#define DEPOT_CREDENTIALS_MAX_ENTRIES 256

/* One entry of the file, of the one kind whose members are not NULL; all borrowed from the document. */
typedef struct DepotCredential
{
	const char *prefix;
	const char *bearer;
	const char *user;			/* basic */
	const char *password;
	const char *header_name;
	const char *header_value;
	const char *certificate;	/* paths */
	const char *key;
	const char *access_key;		/* AWS SigV4 */
	const char *secret_key;
	const char *session_token;	/* may be NULL there, too */
	const char *region;
	const char *service;
} DepotCredential;

/*
 * Reads and checks the file: a regular one, owned by this process's user, with mode 0600 or stricter. Returns
 * a new reference, or NULL with CONFIGURATION, IO or OUT_OF_MEMORY.
 */
extern json_t *depot_credentials_read(const char *path, DepotError *error);

/*
 * Checks the file of a client certificate's key as PostgreSQL does its own: a regular one, of this process's user
 * with no rights of others, or root's, which a group may read. False with CONFIGURATION.
 */
extern bool depot_credentials_check_key(const char *path, DepotError *error);

/* Parses and checks the file's text; path is for messages. Every entry is checked, wanted or not. */
extern json_t *depot_credentials_parse(const char *text, size_t length_bytes, const char *path, DepotError *error);

/* Finds the entry whose prefix covers url and is the longest; false when there is none. */
extern bool depot_credentials_find(const json_t *document, const char *url, DepotCredential *credential);

/*
 * Tells whether a prefix covers a URL: same scheme, host and port, and a path that begins with whole parts of
 * the prefix's. Both have passed depot_fetch_check_url.
 */
extern bool depot_credentials_cover(const char *prefix, const char *url);

#endif							/* DEPOT_FETCH_CREDENTIALS_H */
