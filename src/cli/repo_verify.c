/*-------------------------------------------------------------------------
 *
 * repo_verify.c
 *	  "pg_depot repo verify": walks a whole repository as a client would, from
 *	  the first root to the last byte of every package.
 *
 * A client stops at the first fault; this goes on as far as there is something
 * to go by, and names them all.  At the end a client of ours has its say, which
 * begins with nothing but the first root.  It changes nothing.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/repo_common.h"
#include "cli/temporary.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/name.h"
#include "common/publisher.h"
#include "common/tuf.h"

#define COMMAND "repo verify"
#define NAME_BYTES 256

typedef struct Verify
{
	int			fd;
	int64_t		now_s;
	int			fault_count;
	int			role_count;
	int			target_count;
	int64_t		newest_root;
	bool		may_be_left_out;	/* the role at hand is a publisher's */
	bool		left_out;
} Verify;

static bool verify_repository(Verify *verify, DepotError *error);
static void fault(Verify *verify, const char *format,...) DEPOT_PRINTF(2, 3);
static void complain(Verify *verify, const char *format,...) DEPOT_PRINTF(2, 3);
static bool keep_going(Verify *verify, const char *what, const DepotError *error);
static json_t *verify_roots(Verify *verify, DepotError *error);
static bool note_root(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context,
					  DepotError *error);
static json_t *verify_role(Verify *verify, const char *name, const json_t *meta, const json_t *keys,
						   const json_t *entry);
static bool check_bytes(const json_t *meta, const DepotBuffer *text, DepotError *error);
static void check_version(Verify *verify, const char *path, const json_t *envelope, int64_t version);
static void check_expiry(Verify *verify, const char *path, const json_t *envelope);
static void verify_delegated(Verify *verify, const json_t *targets, const json_t *snapshot_meta);
static void verify_targets(Verify *verify, const char *role, const json_t *envelope, const json_t *delegation);
static bool may_sign(const json_t *delegation, const char *path);
static bool ask_client(Verify *verify, const json_t *targets, DepotError *error);
static bool fetch(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing,
				  DepotError *error);

static void
print_help(void)
{
	puts("Usage: pg_depot repo verify DIR\n"
		 "\n"
		 "Walks the whole repository as a client would: every root from the first, timestamp,\n"
		 "snapshot, every role, every file with its length, digest and manifest.  Prints a\n"
		 "line for each fault; exit code 1 when there is one.");
}

int
depot_cmd_repo_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	Verify		verify = {.now_s = (int64_t) time(NULL)};
	DepotError	error = {0};
	int			option;
	bool		ok;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
	{
		if (option != 'h')
			return depot_cli_option_error(COMMAND, option, argv);
		print_help();
		return DEPOT_EXIT_OK;
	}
	if (optind != argc - 1)
		return depot_cli_usage_error(COMMAND, "exactly one directory is needed");
	verify.fd = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (verify.fd < 0)
	{
		depot_error_set_errno(&error, errno, "could not open repository \"%s\"", argv[optind]);
		return depot_cli_report_error(&error);
	}
	depot_temporary_catch_interrupts();
	ok = verify_repository(&verify, &error);
	close(verify.fd);
	if (!ok)
		return depot_cli_report_error(&error);
	printf("%s: root version %" PRId64 ", %d roles, %d targets, %d fault%s\n",
		   verify.fault_count == 0 ? "in order" : "not in order", verify.newest_root, verify.role_count,
		   verify.target_count, verify.fault_count, verify.fault_count == 1 ? "" : "s");
	return verify.fault_count == 0 ? DEPOT_EXIT_OK : DEPOT_EXIT_FAILED;
}

/* False only when it cannot go on; faults are counted. */
static bool
verify_repository(Verify *verify, DepotError *error)
{
	json_t	   *root = verify_roots(verify, error);
	const json_t *body = json_object_get(root, "signed");
	const json_t *keys = json_object_get(body, "keys");
	const json_t *roles = json_object_get(body, "roles");
	json_t	   *timestamp;
	json_t	   *snapshot = NULL;
	json_t	   *targets = NULL;
	const json_t *meta;
	bool		ok;

	if (root == NULL)
		return false;
	timestamp = verify_role(verify, "timestamp", NULL, keys, json_object_get(roles, "timestamp"));
	meta = json_object_get(json_object_get(timestamp, "signed"), "meta");
	if (timestamp != NULL)
		snapshot = verify_role(verify, "snapshot", json_object_get(meta, "snapshot.json"), keys,
							   json_object_get(roles, "snapshot"));
	meta = json_object_get(json_object_get(snapshot, "signed"), "meta");
	if (snapshot != NULL && json_object_get(meta, "targets.json") == NULL)
		fault(verify, "snapshot does not list targets.json");
	else if (snapshot != NULL)
		targets = verify_role(verify, "targets", json_object_get(meta, "targets.json"), keys,
							  json_object_get(roles, "targets"));
	if (targets != NULL)
	{
		verify_targets(verify, "targets", targets, NULL);
		verify_delegated(verify, json_object_get(targets, "signed"), meta);
	}
	ok = ask_client(verify, json_object_get(targets, "signed"), error);
	json_decref(targets);
	json_decref(snapshot);
	json_decref(timestamp);
	json_decref(root);
	return ok;
}

static void
fault(Verify *verify, const char *format,...)
{
	va_list		arguments;

	fputs("fault: ", stdout);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	verify->fault_count++;
}

/* Tells what is a fault, except in a publisher's role, which servers leave out until he has signed it. */
static void
complain(Verify *verify, const char *format,...)
{
	char		text[DEPOT_ERROR_MESSAGE_BYTES + DEPOT_REPO_PATH_BYTES];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (!verify->may_be_left_out)
	{
		fault(verify, "%s", text);
		return;
	}
	printf("left out by servers: %s\n", text);
	verify->left_out = true;
}

/* Counts an error as a fault of what; always false. */
static bool
keep_going(Verify *verify, const char *what, const DepotError *error)
{
	fault(verify, "%s: %s%s%s", what, error->message, error->detail[0] == '\0' ? "" : " ", error->detail);
	return false;
}

/* Follows the roots from the first; returns the newest that can be read, or NULL and error. */
static json_t *
verify_roots(Verify *verify, DepotError *error)
{
	json_t	   *newest = NULL;
	DepotError	ignored;

	if (!depot_files_exists(verify->fd, "metadata"))
	{
		depot_error_set(error, DEPOT_ERROR_NOT_FOUND, "there is no directory \"metadata\" in it");
		depot_error_hint(error, "Name the directory that holds \"metadata\" and \"targets\".");
		return NULL;
	}
	/* A root behind a gap is never reached, so what it says must not count. */
	if (!depot_files_walk(verify->fd, "metadata", note_root, &verify->newest_root, error))
		return NULL;
	for (int64_t version = 1; version <= verify->newest_root; version++)
	{
		char		path[DEPOT_REPO_PATH_BYTES];
		const json_t *old = json_object_get(newest, "signed");
		const json_t *body;
		json_t	   *envelope;

		depot_repo_metadata_file("root", version, path);
		if (!depot_files_exists(verify->fd, path))
		{
			fault(verify, "%s is missing, so no client gets beyond version %" PRId64 " of root", path, version - 1);
			break;
		}
		envelope = verify_role(verify, path, NULL, NULL, NULL);
		body = json_object_get(envelope, "signed");
		if (envelope == NULL)
			break;
		check_version(verify, path, envelope, version);
		if (old != NULL &&
			!depot_tuf_verify_envelope(envelope, json_object_get(old, "keys"),
									   json_object_get(json_object_get(old, "roles"), "root"), path, &ignored))
			fault(verify, "%s: by the keys of the version before: %s", path, ignored.message);
		if (!depot_tuf_verify_envelope(envelope, json_object_get(body, "keys"),
									   json_object_get(json_object_get(body, "roles"), "root"), path, &ignored))
			fault(verify, "%s: by its own keys: %s", path, ignored.message);
		json_decref(newest);
		newest = envelope;
		if (version == verify->newest_root)
			check_expiry(verify, path, newest);
	}
	if (newest == NULL)
		depot_error_set(error, DEPOT_ERROR_ROOT_INVALID, "there is no root metadata that can be read");
	return newest;
}

/* Finds the highest version that a root file is named by. */
static bool
note_root(int directory_fd, const char *path, mode_t mode, uint64_t size_bytes, void *context, DepotError *error)
{
	int64_t    *newest = context;
	char	   *end;
	const long long version = strtoll(path, &end, 10);

	(void) directory_fd;
	(void) mode;
	(void) size_bytes;
	(void) error;
	if (end != path && strcmp(end, ".root.json") == 0 && version > *newest && version < 1000000)
		*newest = version;
	return true;
}

/*
 * Reads the metadata of a role, by its path for root, and runs every check on it that its parents make possible.
 * Returns its envelope, new reference, even with faults; NULL when it cannot be read.
 */
static json_t *
verify_role(Verify *verify, const char *name, const json_t *meta, const json_t *keys, const json_t *entry)
{
	const bool	is_root = strchr(name, '/') != NULL;
	const int64_t version = json_integer_value(json_object_get(meta, "version"));
	char		path[DEPOT_REPO_PATH_BYTES];
	DepotBuffer text;
	DepotError	error = {0};
	json_t	   *envelope = NULL;

	if (is_root)
		snprintf(path, sizeof(path), "%s", name);
	else
		depot_repo_metadata_file(name, version, path);
	depot_buffer_init(&text);
	if (!depot_files_read(verify->fd, path, DEPOT_TUF_TARGETS_MAX_BYTES, &text, &error) ||
		(envelope = depot_tuf_parse_metadata(text.data == NULL ? "" : text.data, text.length_bytes,
											 is_root ? "root" : depot_repo_type(name), path, &error)) == NULL)
		keep_going(verify, path, &error);
	else
	{
		verify->role_count += is_root && verify->role_count > 0 ? 0 : 1;
		if (meta != NULL && !check_bytes(meta, &text, &error))
			keep_going(verify, path, &error);
		if (meta != NULL)
			check_version(verify, path, envelope, version);
		if (entry != NULL && !depot_tuf_verify_envelope(envelope, keys, entry, path, &error))
			complain(verify, "%s", error.message);
		if (!is_root)
			check_expiry(verify, path, envelope);
	}
	depot_buffer_free(&text);
	return envelope;
}

static bool
check_bytes(const json_t *meta, const DepotBuffer *text, DepotError *error)
{
	const json_t *length = json_object_get(meta, "length");
	const char *sha256 = json_string_value(json_object_get(json_object_get(meta, "hashes"), "sha256"));
	char		hex[DEPOT_SHA256_HEX_BYTES];

	if (length != NULL && (uint64_t) json_integer_value(length) != text->length_bytes)
		return depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH,
							   "it has %zu bytes, its parent says %" JSON_INTEGER_FORMAT, text->length_bytes,
							   json_integer_value(length));
	depot_digest_sha256_hex(text->data, text->length_bytes, hex);
	return sha256 == NULL || strcmp(hex, sha256) == 0 ||
		depot_error_set(error, DEPOT_ERROR_METADATA_MISMATCH, "its sha256 is %s, its parent says %.64s", hex, sha256);
}

static void
check_version(Verify *verify, const char *path, const json_t *envelope, int64_t version)
{
	const int64_t found = json_integer_value(json_object_get(json_object_get(envelope, "signed"), "version"));

	if (found != version)
		fault(verify, "%s holds version %" PRId64 ", not %" PRId64, path, found, version);
}

static void
check_expiry(Verify *verify, const char *path, const json_t *envelope)
{
	const char *expires = json_string_value(json_object_get(json_object_get(envelope, "signed"), "expires"));
	int64_t		expires_s = 0;

	if (!depot_tuf_time_parse(expires, &expires_s) || expires_s <= verify->now_s)
		complain(verify, "%s expired on %s", path, expires);
}

static void
verify_delegated(Verify *verify, const json_t *targets, const json_t *snapshot_meta)
{
	const json_t *delegations = json_object_get(targets, "delegations");
	const json_t *delegation;
	size_t		index;

	json_array_foreach(json_object_get(delegations, "roles"), index, delegation)
	{
		const char *name = json_string_value(json_object_get(delegation, "name"));
		char		file[80];
		const json_t *meta;
		json_t	   *envelope;

		if (!depot_name_is_delegated_role(name))
		{
			fault(verify, "targets delegates to a role whose name this program does not make");
			continue;
		}
		snprintf(file, sizeof(file), "%s.json", name);
		meta = json_object_get(snapshot_meta, file);
		verify->may_be_left_out = depot_publisher_is_role(name);
		verify->left_out = false;
		/* A publisher's role is made by his first publish. */
		if (meta == NULL && verify->may_be_left_out)
			continue;
		if (meta == NULL)
		{
			fault(verify, "snapshot does not list %s, to which targets delegates", file);
			continue;
		}
		envelope = verify_role(verify, name, meta, json_object_get(delegations, "keys"), delegation);
		verify->may_be_left_out = false;
		if (envelope != NULL && !verify->left_out)
			verify_targets(verify, name, envelope, delegation);
		json_decref(envelope);
	}
}

/* Looks at every file that a role lists; delegation is NULL for the top-level role, which may sign any path. */
static void
verify_targets(Verify *verify, const char *role, const json_t *envelope, const json_t *delegation)
{
	const char *path;
	json_t	   *target;

	json_object_foreach(json_object_get(json_object_get(envelope, "signed"), "targets"), path, target)
	{
		const char *sha256 = json_string_value(json_object_get(json_object_get(target, "hashes"), "sha256"));
		char		file[DEPOT_REPO_PATH_BYTES];
		char		name[NAME_BYTES];
		DepotError	error = {0};

		if (depot_temporary_is_interrupted())
			return;
		verify->target_count++;
		depot_name_printable(path, name, sizeof(name));
		if (delegation != NULL && !may_sign(delegation, path))
			fault(verify, "role %s lists \"%s\", which its delegation does not let it sign", role, name);
		if (sha256 == NULL || !depot_name_is_sha256(sha256) || strlen(path) + 96 > sizeof(file))
		{
			fault(verify, "role %s lists \"%s\" without a sha256, or under too long a path", role, name);
			continue;
		}
		depot_repo_target_file(path, sha256, file);
		if (!depot_repo_verify_target(verify->fd, file, path, target, &error))
			keep_going(verify, name, &error);
	}
}

static bool
may_sign(const json_t *delegation, const char *path)
{
	const json_t *pattern;
	size_t		index;

	json_array_foreach(json_object_get(delegation, "paths"), index, pattern)
	{
		if (depot_tuf_path_matches(json_string_value(pattern), path))
			return true;
	}
	return false;
}

/* Has a client begin with the first root and nothing else, once for each role that it could want. */
static bool
ask_client(Verify *verify, const json_t *targets, DepotError *error)
{
	const json_t *roles = json_object_get(json_object_get(targets, "delegations"), "roles");
	const size_t count = json_array_size(roles);
	DepotTemporary directory = DEPOT_TEMPORARY_NONE;
	DepotBuffer pin;
	bool		ok;

	depot_buffer_init(&pin);
	ok = depot_files_read(verify->fd, "metadata/1.root.json", DEPOT_TUF_ROOT_MAX_BYTES, &pin, error) &&
		depot_temporary_make(&directory, error);
	for (size_t i = 0; i <= count && ok && !depot_temporary_is_interrupted(); i++)
	{
		const char *name = i == 0 ? NULL : json_string_value(json_object_get(json_array_get(roles, i - 1), "name"));
		DepotError	refused = {0};
		DepotTufClient *client = depot_tuf_open(directory.fd, pin.data, pin.length_bytes, verify->now_s, &refused);
		bool		changed;

		if (client == NULL || !depot_tuf_refresh(client, name, fetch, verify, &changed, &refused))
			fault(verify, "a client stops at: %s", refused.message);
		depot_tuf_close(client);
		/* Without the top-level roles there is no more to learn. */
		if (i == 0 && refused.code != DEPOT_OK)
			break;
	}
	depot_temporary_remove(&directory);
	depot_buffer_free(&pin);
	return ok && (!depot_temporary_is_interrupted() || depot_error_set(error, DEPOT_ERROR_CANCELED, "interrupted"));
}

/* A DepotTufFetch that reads the repository's directory. */
static bool
fetch(void *context, const char *file_name, size_t max_bytes, DepotBuffer *out, bool *missing, DepotError *error)
{
	const Verify *verify = context;
	char		path[DEPOT_REPO_PATH_BYTES];

	snprintf(path, sizeof(path), "metadata/%s", file_name);
	if (depot_files_read(verify->fd, path, max_bytes, out, error))
		return true;
	*missing = error->code == DEPOT_ERROR_FILE_MISSING;
	return *missing;
}
