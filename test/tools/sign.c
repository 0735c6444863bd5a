/*-------------------------------------------------------------------------
 *
 * sign.c
 *	  Publishes what "pg_depot repo" refuses to: any file as a package, and
 *	  metadata that is wrong in one way.
 *
 *	  sign target DIR --key K... --path TARGET --custom JSON FILE
 *	  sign role DIR ROLE --key K...
 *
 * "target" puts FILE into the repository as TARGET with custom.pg_depot from
 * the file JSON, in place of what TARGET was; "role" makes a new version of
 * one role.  Both then sign what refers to it, with the keys that --key names.
 * The role in question (for "target" the delegated one, which must exist) can be spoiled:
 *
 *	  --version N        gets this version
 *	  --expires-in S     expires in S seconds, which may be negative
 *	  --unsigned         carries no signature
 *	  --signer K         is signed by this key and no other
 *	  --forge            the signer's signature stands under the keyid of a key that may sign
 *	  --signatures N     carries the first N signatures only
 *	  --meta FILE=N      says that FILE has version N (timestamp and snapshot)
 *	  --splice TEXT=HEX  has these bytes in place of TEXT, before it is signed
 *	  --size N           (target) says that FILE has N bytes
 *
 * The repository must be in order before: what is wrong is made from a copy.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/repo_common.h"
#include "common/digest.h"
#include "common/files.h"

#define MAX_SPLICES 8

typedef struct Splice
{
	char	   *text;
	uint8_t    *bytes;
	size_t		length;
} Splice;

typedef struct Options
{
	DepotRepoKeys keys;
	DepotRepoKeys signer;
	const char *path;
	const char *custom;
	const char *meta;
	const char *size;
	int64_t		version;		/* 0: the next */
	int64_t		expires_in_s;	/* 0: as the repository has it */
	int			signatures;		/* -1: all */
	bool		forge;
	Splice		splices[MAX_SPLICES];
	int			splice_count;
} Options;

static bool
out_of_memory(DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
}

static bool
bad_argument(const char *what, DepotError *error)
{
	return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "%s does not do", what);
}

/* Takes TEXT=HEX apart. */
static bool
add_splice(Options *options, const char *argument, DepotError *error)
{
	Splice	   *splice = &options->splices[options->splice_count];
	const char *equals = strchr(argument, '=');

	if (equals == NULL || equals == argument || options->splice_count == MAX_SPLICES)
		return bad_argument("splice", error);
	splice->length = strlen(equals + 1) / 2;
	splice->text = strndup(argument, (size_t) (equals - argument));
	splice->bytes = malloc(splice->length + 1);
	if (splice->text == NULL || splice->bytes == NULL)
		return out_of_memory(error);
	options->splice_count++;
	return depot_digest_from_hex(equals + 1, splice->bytes, splice->length) || bad_argument("splice", error);
}

static bool
parse_number(const char *option, const char *text, int64_t minimum, int64_t *out, DepotError *error)
{
	char	   *end;
	int64_t		value = strtoll(text, &end, 10);

	if (end == text || *end != '\0' || value < minimum)
		return bad_argument(option, error);
	*out = value;
	return true;
}

static bool
take_option(Options *options, const char *name, const char *argument, DepotError *error)
{
	int64_t		number = 0;

	if (strcmp(name, "key") == 0)
		return depot_repo_keys_load(&options->keys, argument, NULL, false, error);
	if (strcmp(name, "signer") == 0)
		return depot_repo_keys_load(&options->signer, argument, NULL, false, error);
	if (strcmp(name, "splice") == 0)
		return add_splice(options, argument, error);
	if (strcmp(name, "version") == 0)
		return parse_number(name, argument, 1, &options->version, error);
	if (strcmp(name, "expires-in") == 0)
		return parse_number(name, argument, INT32_MIN, &options->expires_in_s, error);
	if (strcmp(name, "signatures") == 0)
	{
		if (!parse_number(name, argument, 0, &number, error))
			return false;
		options->signatures = (int) number;
	}
	else if (strcmp(name, "unsigned") == 0)
		options->signatures = 0;
	else if (strcmp(name, "forge") == 0)
		options->forge = true;
	else if (strcmp(name, "path") == 0)
		options->path = argument;
	else if (strcmp(name, "custom") == 0)
		options->custom = argument;
	else if (strcmp(name, "meta") == 0)
		options->meta = argument;
	else
		options->size = argument;
	return true;
}

static bool
parse_options(Options *options, int argc, char **argv, DepotError *error)
{
	static const struct option long_options[] = {
		{"key", required_argument, NULL, 0}, {"path", required_argument, NULL, 0},
		{"custom", required_argument, NULL, 0}, {"version", required_argument, NULL, 0},
		{"expires-in", required_argument, NULL, 0}, {"unsigned", no_argument, NULL, 0},
		{"signer", required_argument, NULL, 0}, {"forge", no_argument, NULL, 0},
		{"signatures", required_argument, NULL, 0}, {"meta", required_argument, NULL, 0},
		{"splice", required_argument, NULL, 0}, {"size", required_argument, NULL, 0},
		{NULL, 0, NULL, 0}
	};
	int			index;
	int			c;

	options->signatures = -1;
	while ((c = getopt_long(argc, argv, "", long_options, &index)) != -1)
	{
		if (c != 0)
			return bad_argument("an unknown option", error);
		if (!take_option(options, long_options[index].name, optarg, error))
			return false;
	}
	return true;
}

/*----- the role in question -----------------------------------------------------*/

/* Makes role->next from what is published, with the next free version. */
static bool
begin_next(DepotRepo *repo, DepotRepoRole *role, DepotError *error)
{
	int64_t		version = role->version + 1;
	char		path[DEPOT_REPO_PATH_BYTES];

	for (;; version++)
	{
		snprintf(path, sizeof(path), "metadata/%" PRId64 ".%s.json", version, role->name);
		if (!depot_files_exists(repo->fd, path))
			break;
	}
	role->next = json_deep_copy(role->body);
	if (role->next == NULL)
		return out_of_memory(error);
	return depot_repo_stamp(role->next, version, repo->now_s + role->lifetime_s, error);
}

/* Applies what is wrong inside of the signed part. */
static bool
spoil_body(const DepotRepo *repo, DepotRepoRole *role, const Options *options, DepotError *error)
{
	int64_t		version = json_integer_value(json_object_get(role->next, "version"));
	int64_t		expires = repo->now_s + (options->expires_in_s != 0 ? options->expires_in_s : role->lifetime_s);

	if (options->meta != NULL)
	{
		const char *equals = strchr(options->meta, '=');
		char		file[96];
		int64_t		number;
		json_t	   *entry;

		if (equals == NULL || !parse_number("meta", equals + 1, 0, &number, error))
			return bad_argument("meta", error);
		snprintf(file, sizeof(file), "%.*s", (int) (equals - options->meta), options->meta);
		entry = json_object_get(json_object_get(role->next, "meta"), file);
		if (json_object_set_new(entry, "version", json_integer(number)) != 0)
			return bad_argument("meta", error);
	}
	return depot_repo_stamp(role->next, options->version > 0 ? options->version : version, expires, error);
}

/* Appends text, with each splice's bytes in place of its text. */
static bool
append_spliced(DepotBuffer *out, const char *text, size_t length, const Options *options)
{
	const char *end = text + length;

	while (text < end)
	{
		const Splice *found = NULL;

		for (int i = 0; i < options->splice_count && found == NULL; i++)
			if (strncmp(text, options->splices[i].text, strlen(options->splices[i].text)) == 0)
				found = &options->splices[i];
		if (found == NULL)
			depot_buffer_append(out, text++, 1);
		else
		{
			depot_buffer_append(out, found->bytes, found->length);
			text += strlen(found->text);
		}
	}
	return !out->failed;
}

/* Appends {"signatures":[...],"signed":signed_text} with the signatures of canonical text that the options leave. */
static bool
append_envelope(DepotBuffer *out, const DepotRepoRole *role, const DepotBuffer *body, const DepotBuffer *signed_text,
				const Options *options, DepotError *error)
{
	const bool	has_signer = options->signer.count > 0;
	const DepotRepoKeys *keys = has_signer ? &options->signer : &options->keys;
	const json_t *keyids = json_object_get(role->entry, "keyids");
	int			limit = options->signatures < 0 ? keys->count : options->signatures;
	int			count = 0;

	depot_buffer_append_string(out, "{\"signatures\":[");
	for (int i = 0; i < keys->count && count < limit; i++)
	{
		const char *keyid = keys->keys[i]->keyid;
		uint8_t		signature[DEPOT_KEY_SIGNATURE_BYTES];
		char		hex[2 * DEPOT_KEY_SIGNATURE_BYTES + 1];
		bool		may_sign = false;

		for (size_t j = 0; j < json_array_size(keyids); j++)
			may_sign |= strcmp(keyid, json_string_value(json_array_get(keyids, j))) == 0;
		if (!may_sign && !has_signer)
			continue;
		if (options->forge)
			keyid = json_string_value(json_array_get(keyids, 0));
		if (!depot_key_sign(keys->keys[i], body->data, body->length_bytes, signature, error))
			return false;
		depot_digest_to_hex(signature, sizeof(signature), hex);
		depot_buffer_append_format(out, "%s{\"keyid\":\"%s\",\"sig\":\"%s\"}", count > 0 ? "," : "", keyid, hex);
		count++;
	}
	depot_buffer_append_string(out, "],\"signed\":");
	depot_buffer_append(out, signed_text->data, signed_text->length_bytes);
	return depot_buffer_append_string(out, "}\n") || out_of_memory(error);
}

/* Writes the spoiled role and enters it into its parent's meta, as the publisher would. */
static bool
write_spoiled(const DepotRepo *repo, const DepotRepoRole *role, const Options *options, json_t *parent_meta,
			  DepotError *error)
{
	const json_int_t version = json_integer_value(json_object_get(role->next, "version"));
	DepotBuffer canonical;
	DepotBuffer body;
	DepotBuffer plain;
	DepotBuffer text;
	char		path[DEPOT_REPO_PATH_BYTES];
	char		hex[DEPOT_SHA256_HEX_BYTES];
	char	   *dumped = json_dumps(role->next, JSON_COMPACT | JSON_SORT_KEYS);
	bool		ok;

	depot_buffer_init(&canonical);
	depot_buffer_init(&plain);
	depot_buffer_init(&body);
	depot_buffer_init(&text);
	if (strcmp(role->name, "timestamp") == 0)
		snprintf(path, sizeof(path), "metadata/timestamp.json");
	else
		snprintf(path, sizeof(path), "metadata/%" JSON_INTEGER_FORMAT ".%s.json", version, role->name);
	ok = depot_json_canonical(role->next, &canonical, DEPOT_ERROR_METADATA_FORMAT, error) &&
		depot_buffer_append_string(&canonical, "") &&
		(append_spliced(&body, canonical.data, canonical.length_bytes, options) || out_of_memory(error)) &&
		((dumped != NULL && append_spliced(&plain, dumped, strlen(dumped), options)) || out_of_memory(error)) &&
		append_envelope(&text, role, &body, &plain, options, error) &&
		depot_files_write_durable(repo->fd, path, text.data, text.length_bytes, 0644, error);
	if (ok && parent_meta != NULL)
	{
		char		file[96];

		depot_digest_sha256_hex(text.data, text.length_bytes, hex);
		snprintf(file, sizeof(file), "%s.json", role->name);
		ok = json_object_set_new(parent_meta, file,
								 json_pack("{s:I, s:I, s:{s:s}}", "version", version,
										   "length", (json_int_t) text.length_bytes, "hashes", "sha256", hex)) == 0 ||
			out_of_memory(error);
	}
	free(dumped);
	depot_buffer_free(&canonical);
	depot_buffer_free(&body);
	depot_buffer_free(&plain);
	depot_buffer_free(&text);
	return ok;
}

/*----- publishing ------------------------------------------------------------------*/

/* Signs everything from role up to timestamp; role itself as the options have it. */
static bool
publish(DepotRepo *repo, DepotRepoRole *role, const Options *options, DepotError *error)
{
	DepotRepoRole *snapshot = &repo->roles[DEPOT_REPO_SNAPSHOT];
	DepotRepoRole *timestamp = &repo->roles[DEPOT_REPO_TIMESTAMP];
	json_t	   *meta = NULL;

	if (role != timestamp && role != &repo->roles[DEPOT_REPO_ROOT])
	{
		if (role != snapshot && !begin_next(repo, snapshot, error))
			return false;
		if (!begin_next(repo, timestamp, error))
			return false;
		meta = json_object_get(role == snapshot ? timestamp->next : snapshot->next, "meta");
	}
	if (!spoil_body(repo, role, options, error) || !write_spoiled(repo, role, options, meta, error))
		return false;
	if (role != snapshot && snapshot->next != NULL &&
		!depot_repo_sign_and_write(repo->fd, snapshot->name, snapshot->next, snapshot->keys, snapshot->entry,
								   &options->keys, json_object_get(timestamp->next, "meta"), error))
		return false;
	return role == timestamp || timestamp->next == NULL ||
		depot_repo_sign_and_write(repo->fd, timestamp->name, timestamp->next, timestamp->keys, timestamp->entry,
								  &options->keys, NULL, error);
}

/* Reads a file that any path may name. */
static bool
read_file(const char *path, DepotBuffer *out, DepotError *error)
{
	char		chunk[65536];
	ssize_t		n = -1;
	int			fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
	{
		while ((n = read(fd, chunk, sizeof(chunk))) > 0)
			depot_buffer_append(out, chunk, (size_t) n);
		close(fd);
	}
	if (n < 0)
		return depot_error_set(error, DEPOT_ERROR_IO, "cannot read %s", path);
	return depot_buffer_append_string(out, "") || out_of_memory(error);
}

/* Not by our own reader of JSON, which would refuse what a server is to refuse. */
static json_t *
read_custom(const char *path, DepotError *error)
{
	DepotBuffer text;
	json_t	   *custom = NULL;

	depot_buffer_init(&text);
	if (read_file(path, &text, error) && (custom = json_loadb(text.data, text.length_bytes, 0, NULL)) == NULL)
		depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "%s is not JSON", path);
	depot_buffer_free(&text);
	return custom;
}

/* Puts FILE where a target of this path belongs. */
static bool
copy_file(const DepotRepo *repo, const char *from, const char *target, char hex[DEPOT_SHA256_HEX_BYTES],
		  size_t *size, DepotError *error)
{
	char		path[DEPOT_REPO_PATH_BYTES];
	char		directory[DEPOT_REPO_PATH_BYTES];
	DepotBuffer bytes;
	bool		ok;

	depot_buffer_init(&bytes);
	ok = read_file(from, &bytes, error);
	if (ok)
	{
		depot_digest_sha256_hex(bytes.data, bytes.length_bytes, hex);
		depot_repo_target_file(target, hex, path);
		snprintf(directory, sizeof(directory), "%s", path);
		*strrchr(directory, '/') = '\0';
		*size = bytes.length_bytes;
		ok = depot_files_make_directories(repo->fd, directory, 0755, false, error) &&
			depot_files_write_durable(repo->fd, path, bytes.data, bytes.length_bytes, 0644, error);
	}
	depot_buffer_free(&bytes);
	return ok;
}

/* pg15/linux-amd64/... belongs to pg15-linux-amd64. */
static DepotRepoRole *
role_of_target(DepotRepo *repo, const char *path)
{
	char		name[96];
	char	   *slash;

	snprintf(name, sizeof(name), "%s", path);
	slash = strchr(name, '/');
	if (slash == NULL)
		return NULL;
	*slash = '-';
	slash = strchr(slash, '/');
	if (slash != NULL)
		*slash = '\0';
	return depot_repo_find_role(repo, name);
}

static bool
publish_target(DepotRepo *repo, const Options *options, const char *file, DepotError *error)
{
	DepotRepoRole *role = options->path == NULL ? NULL : role_of_target(repo, options->path);
	char		hex[DEPOT_SHA256_HEX_BYTES];
	size_t		size = 0;
	int64_t		said = 0;
	json_t	   *custom;
	json_t	   *target;

	if (role == NULL)
		return bad_argument("a --path without a role; publish a package there first: it", error);
	if (options->size != NULL && !parse_number("size", options->size, 0, &said, error))
		return false;
	if (!copy_file(repo, file, options->path, hex, &size, error) || !begin_next(repo, role, error))
		return false;
	target = json_pack("{s:I, s:{s:s}}", "length", (json_int_t) (options->size != NULL ? said : (int64_t) size),
					   "hashes", "sha256", hex);
	if (options->custom != NULL)
	{
		custom = read_custom(options->custom, error);
		if (custom == NULL)
			return false;
		json_object_set_new(target, "custom", json_pack("{s:o}", "pg_depot", custom));
	}
	if (json_object_set_new(json_object_get(role->next, "targets"), options->path, target) != 0)
		return out_of_memory(error);
	return publish(repo, role, options, error);
}

static bool
publish_role(DepotRepo *repo, const Options *options, const char *name, DepotError *error)
{
	DepotRepoRole *role = depot_repo_find_role(repo, name);

	if (role == NULL)
		return bad_argument("a role that is not there", error);
	return begin_next(repo, role, error) && publish(repo, role, options, error);
}

int
main(int argc, char **argv)
{
	static Options options;
	DepotRepo	repo;
	DepotError	error = {0};
	bool		is_target;
	bool		ok;

	if (argc < 4 || (strcmp(argv[1], "target") != 0 && strcmp(argv[1], "role") != 0))
	{
		fputs("usage: sign target DIR [OPTIONS] FILE, or sign role DIR ROLE [OPTIONS]\n", stderr);
		return 2;
	}
	is_target = strcmp(argv[1], "target") == 0;
	ok = depot_digest_init(&error) && parse_options(&options, argc - 1, argv + 1, &error);
	if (ok && argc - 1 - optind != 2)
		ok = bad_argument("another number of arguments than a directory and one more", &error);
	ok = ok && depot_repo_open(&repo, argv[1 + optind], true, &error);
	if (ok)
	{
		ok = is_target ? publish_target(&repo, &options, argv[2 + optind], &error) :
			publish_role(&repo, &options, argv[2 + optind], &error);
		depot_repo_close(&repo);
	}
	depot_repo_keys_free(&options.keys);
	depot_repo_keys_free(&options.signer);
	return ok ? 0 : depot_cli_report_error(&error);
}
