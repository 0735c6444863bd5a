/*-------------------------------------------------------------------------
 *
 * key_file.c
 *	  Files of signing keys, sealed with a passphrase or not.
 *
 * Secrets live in sodium_malloc'd memory and in fixed buffers that are wiped;
 * they never pass through a growing buffer, whose old copies nobody could wipe.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/key.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "common/digest.h"
#include "common/files.h"

#define KEY_FILE_FORMAT 1
#define KEY_FILE_KIND "pg_depot secret key"
#define KEY_FILE_MAX_BYTES 8192
#define SEALED_BYTES (DEPOT_KEY_SEED_BYTES + crypto_secretbox_MACBYTES)

/* A file that asks for more work or memory than this to be opened is not one of ours. */
#define SEAL_MAX_OPERATIONS 16
#define SEAL_MAX_MEMORY_BYTES (INT64_C(1) << 30)

/* The strings of a secret key file, borrowed from its parsed JSON. */
typedef struct KeyFile
{
	json_t	   *json;
	const char *public_hex;
	const char *seed_hex;		/* NULL when sealed */
	const json_t *sealed;		/* NULL when not */
} KeyFile;

static bool read_text(const char *path, char *text, size_t *length_bytes, struct stat *status,
					  DepotError *error);
static bool write_new_file(const char *path, mode_t mode, const char *text, DepotError *error);
static bool sync_parent(const char *path, DepotError *error);
static bool open_key_file(const char *path, KeyFile *file, DepotError *error);
static void close_key_file(KeyFile *file);
static char *format_secret(const DepotKey *key, const char *passphrase, DepotError *error);
static bool seal_seed(const uint8_t *seed, const char *passphrase, json_t *sealed, DepotError *error);
static bool unseal_seed(const json_t *sealed, const char *passphrase, const char *path, uint8_t *seed,
						DepotError *error);
static bool derive_seal_key(uint8_t *seal_key, const char *passphrase, const uint8_t *salt,
							uint64_t operations, size_t memory_bytes, DepotError *error);

bool
depot_key_save(const DepotKey *key, const char *path, const char *passphrase, DepotError *error)
{
	char		public_path[PATH_MAX];
	json_t	   *object = NULL;
	char	   *public_text = NULL;
	char	   *secret_text = NULL;
	bool		ok = false;

	if (key->secret_key == NULL)
		return depot_error_set(error, DEPOT_ERROR_KEY, "there is no secret key to save");
	if (snprintf(public_path, sizeof(public_path), "%s.pub", path) >= (int) sizeof(public_path))
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "the path of the key file is too long");

	object = depot_key_to_json(key, error);
	if (object == NULL)
		goto done;
	public_text = json_dumps(object, JSON_SORT_KEYS | JSON_INDENT(1));
	if (public_text == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		goto done;
	}
	secret_text = format_secret(key, passphrase, error);
	if (secret_text == NULL)
		goto done;

	/* The public file first: it can be taken back without loss when the secret one cannot be made. */
	if (!write_new_file(public_path, 0644, public_text, error))
		goto done;
	if (!write_new_file(path, 0600, secret_text, error))
	{
		unlink(public_path);
		goto done;
	}
	ok = sync_parent(path, error);

done:
	if (secret_text != NULL)
	{
		sodium_memzero(secret_text, strlen(secret_text));
		free(secret_text);
	}
	free(public_text);
	json_decref(object);
	return ok;
}

bool
depot_key_is_sealed(const char *path, bool *sealed, DepotError *error)
{
	KeyFile		file;

	if (!open_key_file(path, &file, error))
		return false;
	*sealed = file.sealed != NULL;
	close_key_file(&file);
	return true;
}

DepotKey *
depot_key_load_secret(const char *path, const char *passphrase, DepotError *error)
{
	KeyFile		file;
	DepotKey   *key = NULL;
	uint8_t		seed[DEPOT_KEY_SEED_BYTES];
	uint8_t		listed_public[DEPOT_KEY_PUBLIC_BYTES];
	bool		ok = false;

	if (!open_key_file(path, &file, error))
		return NULL;
	if (file.sealed != NULL && passphrase == NULL)
	{
		depot_error_set(error, DEPOT_ERROR_KEY, "key file \"%s\" is sealed with a passphrase, and none was "
						"given", path);
		goto done;
	}
	if (file.sealed != NULL)
	{
		if (!unseal_seed(file.sealed, passphrase, path, seed, error))
			goto done;
	}
	else if (!depot_digest_from_hex(file.seed_hex, seed, sizeof(seed)))
	{
		depot_error_set(error, DEPOT_ERROR_KEY, "the seed in key file \"%s\" is not %d hexadecimal digits",
						path,
						2 * (int) DEPOT_KEY_SEED_BYTES);
		goto done;
	}

	key = depot_key_from_seed(seed, error);
	if (key == NULL)
		goto done;
	ok = depot_digest_from_hex(file.public_hex, listed_public, sizeof(listed_public)) &&
		sodium_memcmp(listed_public, key->public_key, sizeof(listed_public)) == 0;
	if (!ok)
		depot_error_set(error, DEPOT_ERROR_KEY, "key file \"%s\" is damaged: its two halves do not belong "
						"together", path);

done:
	sodium_memzero(seed, sizeof(seed));
	close_key_file(&file);
	if (!ok)
	{
		depot_key_free(key);
		return NULL;
	}
	return key;
}

DepotKey *
depot_key_load_public(const char *path, DepotError *error)
{
	char		text[KEY_FILE_MAX_BYTES];
	size_t		length_bytes = 0;
	struct stat status;
	json_t	   *object;
	DepotKey   *key;

	if (!read_text(path, text, &length_bytes, &status, error))
		return NULL;
	object = depot_json_parse(text, length_bytes, DEPOT_ERROR_KEY, "public key file", error);
	key = object == NULL ? NULL : depot_key_from_json(object, NULL, error);
	if (key == NULL)
		depot_error_prefix(error, "\"%s\"", path);
	json_decref(object);
	sodium_memzero(text, sizeof(text));
	return key;
}

/*
 * Reads a file of less than KEY_FILE_MAX_BYTES into text.  Links are followed: where
 * users keep their keys is theirs to say.
 */
static bool
read_text(const char *path, char *text, size_t *length_bytes, struct stat *status, DepotError *error)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	size_t		have = 0;
	bool		ok = false;

	if (fd < 0)
		return depot_error_set_errno(error, errno, "could not open key file \"%s\"", path);
	if (fstat(fd, status) != 0)
	{
		depot_error_set_errno(error, errno, "could not examine key file \"%s\"", path);
		goto done;
	}
	if (!S_ISREG(status->st_mode))
	{
		depot_error_set(error, DEPOT_ERROR_KEY, "\"%s\" is not a regular file", path);
		goto done;
	}
	while (have < KEY_FILE_MAX_BYTES)
	{
		ssize_t		count = read(fd, text + have, KEY_FILE_MAX_BYTES - have);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
		{
			depot_error_set_errno(error, errno, "could not read key file \"%s\"", path);
			goto done;
		}
		if (count == 0)
			break;
		have += (size_t) count;
	}
	if (have == KEY_FILE_MAX_BYTES)
	{
		depot_error_set(error, DEPOT_ERROR_KEY, "\"%s\" is too large for a key file", path);
		goto done;
	}
	*length_bytes = have;
	ok = true;

done:
	close(fd);
	return ok;
}

/* Writes text and a newline to a file that must not exist yet; nothing is left behind on failure. */
static bool
write_new_file(const char *path, mode_t mode, const char *text, DepotError *error)
{
	int			fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, mode);
	bool		ok;

	if (fd < 0)
	{
		if (errno != EEXIST)
			return depot_error_set_errno(error, errno, "could not create key file \"%s\"", path);
		depot_error_set(error, DEPOT_ERROR_FILE_EXISTS, "key file \"%s\" exists already", path);
		return depot_error_hint(error, "Keys are never overwritten. Choose another name, or move the old key "
								"away.");
	}
	ok = depot_files_write_all(fd, text, strlen(text), error) && depot_files_write_all(fd, "\n", 1, error);
	if (ok && fsync(fd) != 0)
		ok = depot_error_set_errno(error, errno, "could not write key file \"%s\"", path);
	if (close(fd) != 0 && ok)
		ok = depot_error_set_errno(error, errno, "could not write key file \"%s\"", path);
	if (!ok)
		unlink(path);
	return ok;
}

static bool
sync_parent(const char *path, DepotError *error)
{
	char		copy[PATH_MAX];
	int			fd;
	bool		ok = true;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		ok = depot_error_set_errno(error, errno, "could not flush the directory of key file \"%s\"", path);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool
open_key_file(const char *path, KeyFile *file, DepotError *error)
{
	char		text[KEY_FILE_MAX_BYTES];
	size_t		length_bytes = 0;
	struct stat status;
	const char *kind = "";
	int64_t		format = 0;
	bool		ok = false;

	memset(file, 0, sizeof(*file));
	if (!read_text(path, text, &length_bytes, &status, error))
		return false;
	file->json = depot_json_parse(text, length_bytes, DEPOT_ERROR_KEY, "key file", error);
	sodium_memzero(text, sizeof(text));
	if (file->json == NULL)
		return depot_error_prefix(error, "\"%s\"", path);

	if (json_object_get(file->json, "kind") == NULL && json_object_get(file->json, "keytype") != NULL)
		depot_error_set(error, DEPOT_ERROR_KEY, "\"%s\" is a public key; the secret one is needed", path);
	else if (depot_json_get_string(file->json, "kind", true, &kind, DEPOT_ERROR_KEY, error) &&
			 depot_json_get_integer(file->json, "format", true, 1, &format, DEPOT_ERROR_KEY, error) &&
			 depot_json_get_string(file->json, "public", true, &file->public_hex, DEPOT_ERROR_KEY, error))
	{
		file->sealed = json_object_get(file->json, "sealed");
		if (strcmp(kind, KEY_FILE_KIND) != 0 || format != KEY_FILE_FORMAT)
			depot_error_set(error, DEPOT_ERROR_KEY, "\"%s\" is not a key file of a kind this program knows",
							path);
		else if ((status.st_mode & S_IRWXO) != 0)
		{
			depot_error_set(error, DEPOT_ERROR_KEY, "secret key file \"%s\" is open to every user", path);
			depot_error_hint(error, "Run chmod 600 on it, and consider whether somebody has read it.");
		}
		else if (file->sealed != NULL)
			ok = true;
		else
			ok = depot_json_get_string(file->json, "seed", true, &file->seed_hex, DEPOT_ERROR_KEY, error);
	}
	if (!ok)
		close_key_file(file);
	return ok;
}

static void
close_key_file(KeyFile *file)
{
	const json_t *seed = json_object_get(file->json, "seed");

	/* jansson does not wipe what it frees. */
	if (json_is_string(seed))
		sodium_memzero((char *) json_string_value(seed), json_string_length(seed));
	json_decref(file->json);
	memset(file, 0, sizeof(*file));
}

/* Returns the text of a secret key file; the caller wipes and frees it. */
static char *
format_secret(const DepotKey *key, const char *passphrase, DepotError *error)
{
	char		public_hex[2 * DEPOT_KEY_PUBLIC_BYTES + 1];
	char		seed_hex[2 * DEPOT_KEY_SEED_BYTES + 1];
	uint8_t		seed[DEPOT_KEY_SEED_BYTES];
	KeyFile		file = {0};
	char	   *text = NULL;
	bool		ok = true;

	crypto_sign_ed25519_sk_to_seed(seed, key->secret_key);
	depot_digest_to_hex(key->public_key, sizeof(key->public_key), public_hex);
	file.json = json_pack("{s:i, s:s, s:s}", "format", KEY_FILE_FORMAT, "kind", KEY_FILE_KIND, "public",
						  public_hex);
	if (passphrase == NULL)
	{
		depot_digest_to_hex(seed, sizeof(seed), seed_hex);
		json_object_set_new(file.json, "seed", json_string(seed_hex));
		sodium_memzero(seed_hex, sizeof(seed_hex));
	}
	else
	{
		json_t	   *sealed = json_object();

		json_object_set_new(file.json, "sealed", sealed);
		ok = seal_seed(seed, passphrase, sealed, error);
	}
	if (ok)
	{
		text = json_dumps(file.json, JSON_SORT_KEYS | JSON_INDENT(1));
		if (text == NULL)
			depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	}
	sodium_memzero(seed, sizeof(seed));
	close_key_file(&file);
	return text;
}

static bool
seal_seed(const uint8_t *seed, const char *passphrase, json_t *sealed, DepotError *error)
{
	const uint64_t operations = crypto_pwhash_OPSLIMIT_MODERATE;
	const size_t memory_bytes = crypto_pwhash_MEMLIMIT_MODERATE;
	uint8_t		salt[crypto_pwhash_SALTBYTES];
	uint8_t		nonce[crypto_secretbox_NONCEBYTES];
	uint8_t		seal_key[crypto_secretbox_KEYBYTES];
	uint8_t		box[SEALED_BYTES];
	char		hex[2 * SEALED_BYTES + 1];

	randombytes_buf(salt, sizeof(salt));
	randombytes_buf(nonce, sizeof(nonce));
	if (!derive_seal_key(seal_key, passphrase, salt, operations, memory_bytes, error))
		return false;
	crypto_secretbox_easy(box, seed, DEPOT_KEY_SEED_BYTES, nonce, seal_key);
	sodium_memzero(seal_key, sizeof(seal_key));

	json_object_set_new(sealed, "kdf", json_string("argon2id13"));
	json_object_set_new(sealed, "operations", json_integer((json_int_t) operations));
	json_object_set_new(sealed, "memory_bytes", json_integer((json_int_t) memory_bytes));
	json_object_set_new(sealed, "cipher", json_string("xsalsa20poly1305"));
	depot_digest_to_hex(salt, sizeof(salt), hex);
	json_object_set_new(sealed, "salt", json_string(hex));
	depot_digest_to_hex(nonce, sizeof(nonce), hex);
	json_object_set_new(sealed, "nonce", json_string(hex));
	depot_digest_to_hex(box, sizeof(box), hex);
	json_object_set_new(sealed, "box", json_string(hex));
	if (json_object_size(sealed) != 7)
		return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
	return true;
}

static bool
unseal_seed(const json_t *sealed, const char *passphrase, const char *path, uint8_t *seed, DepotError *error)
{
	const DepotErrorCode code = DEPOT_ERROR_KEY;
	const char *kdf;
	const char *cipher;
	const char *salt_hex;
	const char *nonce_hex;
	const char *box_hex;
	int64_t		operations;
	int64_t		memory_bytes;
	uint8_t		salt[crypto_pwhash_SALTBYTES];
	uint8_t		nonce[crypto_secretbox_NONCEBYTES];
	uint8_t		seal_key[crypto_secretbox_KEYBYTES];
	uint8_t		box[SEALED_BYTES];
	bool		opened;

	if (!json_is_object(sealed) ||
		!depot_json_get_string(sealed, "kdf", true, &kdf, code, error) ||
		!depot_json_get_string(sealed, "cipher", true, &cipher, code, error) ||
		!depot_json_get_string(sealed, "salt", true, &salt_hex, code, error) ||
		!depot_json_get_string(sealed, "nonce", true, &nonce_hex, code, error) ||
		!depot_json_get_string(sealed, "box", true, &box_hex, code, error) ||
		!depot_json_get_integer(sealed, "operations", true, 1, &operations, code, error) ||
		!depot_json_get_integer(sealed, "memory_bytes", true, 1, &memory_bytes, code, error) ||
		strcmp(kdf, "argon2id13") != 0 || strcmp(cipher, "xsalsa20poly1305") != 0 ||
		operations > SEAL_MAX_OPERATIONS || memory_bytes > SEAL_MAX_MEMORY_BYTES ||
		!depot_digest_from_hex(salt_hex, salt, sizeof(salt)) ||
		!depot_digest_from_hex(nonce_hex, nonce, sizeof(nonce)) ||
		!depot_digest_from_hex(box_hex, box, sizeof(box)))
		return depot_error_set(error, code, "the sealed part of key file \"%s\" is damaged or of an unknown "
							   "kind", path);

	if (!derive_seal_key(seal_key, passphrase, salt, (uint64_t) operations, (size_t) memory_bytes, error))
		return false;
	opened = crypto_secretbox_open_easy(seed, box, sizeof(box), nonce, seal_key) == 0;
	sodium_memzero(seal_key, sizeof(seal_key));
	if (!opened)
		return depot_error_set(error, code, "wrong passphrase for key file \"%s\", or the file is damaged",
							   path);
	return true;
}

static bool
derive_seal_key(uint8_t *seal_key, const char *passphrase, const uint8_t *salt, uint64_t operations,
				size_t memory_bytes, DepotError *error)
{
	if (crypto_pwhash(seal_key, crypto_secretbox_KEYBYTES, passphrase, strlen(passphrase), salt, operations,
					  memory_bytes, crypto_pwhash_ALG_ARGON2ID13) == 0)
		return true;
	depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "could not turn the passphrase into a key");
	return depot_error_detail(error, "This takes %zu MB of memory.", memory_bytes >> 20);
}
