/*-------------------------------------------------------------------------
 *
 * fetch_authorize.c
 *	  Sending credentials to the repository that they are for.
 *
 * Set before each transfer and taken back after it, so that no request of
 * another address can carry them; as no redirect is followed, the address that
 * was asked is the only one that sees them.  Where libcurl knows a scheme it
 * does the work.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/fetch_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/fetch_credentials.h"

#define SHA256_OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

bool
depot_fetch_add_header(DepotFetchTransfer *transfer, const char *name, const char *value, DepotError *error)
{
	struct curl_slist *longer = NULL;
	DepotBuffer line;

	depot_buffer_init(&line);
	if (depot_buffer_append_format(&line, "%s: %s", name, value))
		longer = curl_slist_append(transfer->headers, line.data);
	if (line.data != NULL)
		explicit_bzero(line.data, line.length_bytes);
	depot_buffer_free(&line);
	if (longer == NULL)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	transfer->headers = longer;
	return true;
}

static bool
set_password(DepotFetch *fetch, const char *user, const char *password, unsigned long scheme, DepotError *error)
{
	bool		ok = false;

	DEPOT_FETCH_SETOPT(CURLOPT_USERNAME, user);
	DEPOT_FETCH_SETOPT(CURLOPT_PASSWORD, password);
	DEPOT_FETCH_SETOPT(CURLOPT_HTTPAUTH, scheme);
	ok = true;
done:
	return ok;
}

static bool
set_signature(DepotFetch *fetch, DepotFetchTransfer *transfer, const DepotCredential *credential, DepotError *error)
{
	char		scope[256];
	bool		ok = false;

	if (snprintf(scope, sizeof(scope), "aws:amz:%s:%s", credential->region, credential->service) >=
		(int) sizeof(scope))
		return depot_error_set(error, DEPOT_ERROR_CONFIGURATION,
							   "region or service of the entry for \"%s\" is too long", credential->prefix);
	/* S3 wants to see the digest of what it is sent, which is nothing; not every libcurl says so by itself */
	if (strcmp(credential->service, "s3") == 0 &&
		!depot_fetch_add_header(transfer, "X-Amz-Content-Sha256", SHA256_OF_NOTHING, error))
		return false;
	if (credential->session_token != NULL &&
		!depot_fetch_add_header(transfer, "X-Amz-Security-Token", credential->session_token, error))
		return false;
	DEPOT_FETCH_SETOPT(CURLOPT_AWS_SIGV4, scope);
	ok = set_password(fetch, credential->access_key, credential->secret_key, CURLAUTH_AWS_SIGV4, error);
done:
	return ok;
}

static bool
apply(DepotFetch *fetch, DepotFetchTransfer *transfer, const DepotCredential *credential, DepotError *error)
{
	bool		ok = false;

	if (credential->bearer != NULL)
	{
		DEPOT_FETCH_SETOPT(CURLOPT_XOAUTH2_BEARER, credential->bearer);
		DEPOT_FETCH_SETOPT(CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
		ok = true;
	}
	else if (credential->user != NULL)
		ok = set_password(fetch, credential->user, credential->password, CURLAUTH_BASIC, error);
	else if (credential->header_name != NULL)
		ok = depot_fetch_add_header(transfer, credential->header_name, credential->header_value, error);
	else if (credential->certificate != NULL)
	{
		if (!depot_credentials_check_key(credential->key, error))
			return false;
		DEPOT_FETCH_SETOPT(CURLOPT_SSLCERT, credential->certificate);
		DEPOT_FETCH_SETOPT(CURLOPT_SSLKEY, credential->key);
		ok = true;
	}
	else
		ok = set_signature(fetch, transfer, credential, error);
done:
	return ok;
}

bool
depot_fetch_authorize(DepotFetch *fetch, DepotFetchTransfer *transfer, const char *url, DepotError *error)
{
	DepotCredential credential;
	json_t	   *document;
	bool		ok = true;

	if (fetch->credentials_file == NULL)
		return true;
	/* a crash must leave no core file, where one is piped to a program neither, and nobody may trace */
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return depot_error_set(error, DEPOT_ERROR_AGENT, "could not keep the credentials out of core files");
	document = depot_credentials_read(fetch->credentials_file, error);
	if (document == NULL)
		return false;
	if (depot_credentials_find(document, url, &credential))
	{
		ok = apply(fetch, transfer, &credential, error);
		(void) snprintf(transfer->credentials_prefix, sizeof(transfer->credentials_prefix), "%s", credential.prefix);
	}
	json_decref(document);
	return ok;
}

void
depot_fetch_withdraw(DepotFetch *fetch)
{
	(void) curl_easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, NULL);
	(void) curl_easy_setopt(fetch->easy, CURLOPT_USERNAME, NULL);
	(void) curl_easy_setopt(fetch->easy, CURLOPT_PASSWORD, NULL);
	(void) curl_easy_setopt(fetch->easy, CURLOPT_XOAUTH2_BEARER, NULL);
	(void) curl_easy_setopt(fetch->easy, CURLOPT_AWS_SIGV4, NULL);
	(void) curl_easy_setopt(fetch->easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
	(void) curl_easy_setopt(fetch->easy, CURLOPT_SSLCERT, NULL);
	(void) curl_easy_setopt(fetch->easy, CURLOPT_SSLKEY, NULL);
}

void
depot_fetch_explain_denial(const DepotFetch *fetch, const DepotFetchTransfer *transfer, DepotError *error)
{
	if (transfer->credentials_prefix[0] != '\0')
	{
		depot_error_detail(error, "The credentials of the entry for \"%s\" in depot.credentials_file were sent.",
						   transfer->credentials_prefix);
		depot_error_hint(error,
						 "Correct that entry, or have it given the right to read; absent files need status 404.");
		return;
	}
	depot_error_detail(error, fetch->credentials_file == NULL ?
					   "No credentials were sent: depot.credentials_file is not set." :
					   "No credentials were sent: depot.credentials_file has no entry for this address.");
	depot_error_hint(error,
					 "If the repository is private, give its credentials there; absent files need status 404.");
}
