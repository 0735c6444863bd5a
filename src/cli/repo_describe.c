/*-------------------------------------------------------------------------
 *
 * repo_describe.c
 *	  Shows a signer what the next versions are, what they change of what is
 *	  published, and whose signatures they need.
 *
 * Everything that differs is shown: what has no words of its own here, as the
 * JSON that it is.  Texts come from a file that somebody may have altered, so
 * nothing of them reaches the terminal but printable ASCII.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/repo_common.h"
#include "common/name.h"
#include "common/tuf.h"

#define SECONDS_PER_DAY 86400
#define TEXT_BYTES 512

static void describe_role(const DepotRepo *repo, const DepotRepoRole *role);
static void describe_signers(const DepotRepoRole *role);
static void describe_root(const json_t *old, const json_t *new);
static void describe_entry(const char *name, const json_t *old, const json_t *new);
static int	list_keys(const char *name, const char *verb, const json_t *keyids, const json_t *without);
static void describe_targets(const json_t *old, const json_t *new);
static void describe_target(const char *path, const json_t *target, const char *sign);
static void describe_delegations(const json_t *old, const json_t *new);
static const json_t *find_delegation(const json_t *delegations, const char *name);
static void describe_members(const char *prefix, const json_t *old, const json_t *new,
							 const char *const *except);
static void describe_object(const char *prefix, const char *path, const json_t *old, const json_t *new,
							const char *const *except);
static void print_value(const json_t *value);
static const char *printable(const char *text, char out[TEXT_BYTES]);

void
depot_repo_describe(const DepotRepo *repo)
{
	for (int i = 0; i < repo->role_count; i++)
	{
		if (repo->roles[i].next != NULL && i != DEPOT_REPO_SNAPSHOT && i != DEPOT_REPO_TIMESTAMP)
			describe_role(repo, &repo->roles[i]);
	}
}

static void
describe_role(const DepotRepo *repo, const DepotRepoRole *role)
{
	static const char *const root_members[] = {"version", "expires", "keys", "roles", NULL};
	static const char *const targets_members[] = {"version", "expires", "targets", "delegations", NULL};
	const bool	is_root = strcmp(role->name, "root") == 0;
	const char *expires = json_string_value(json_object_get(role->next, "expires"));
	int64_t		expires_s = repo->now_s;

	(void) depot_tuf_time_parse(expires, &expires_s);
	printf("%s: version %" PRId64 " -> %" JSON_INTEGER_FORMAT ", expires %s (%" PRId64 " days)\n", role->name,
		   role->version, json_integer_value(json_object_get(role->next, "version")), expires,
		   (expires_s - repo->now_s) / SECONDS_PER_DAY);
	if (is_root)
		describe_root(role->body, role->next);
	else
	{
		describe_targets(json_object_get(role->body, "targets"), json_object_get(role->next, "targets"));
		describe_delegations(json_object_get(role->body, "delegations"),
							 json_object_get(role->next, "delegations"));
	}
	if (role->body != NULL)
		describe_members("", role->body, role->next, is_root ? root_members : targets_members);
	describe_signers(role);
}

static void
describe_signers(const DepotRepoRole *role)
{
	DepotRepoSigners signers[DEPOT_REPO_MAX_SIGNERS];
	const int	count = depot_repo_signers(role, signers);
	const json_t *keyid;
	size_t		index;

	for (int i = 0; i < count; i++)
	{
		printf("  needs %" JSON_INTEGER_FORMAT " of %s keys:",
			   json_integer_value(json_object_get(signers[i].entry, "threshold")),
			   count == 1 ? "these" : i == 0 ? "the old" : "the new");
		json_array_foreach(json_object_get(signers[i].entry, "keyids"), index, keyid)
		{
			const char *id = json_string_value(keyid);

			printf("%s %.16s%s", index == 0 ? "" : ",", id,
				   depot_repo_has_signature(role, &signers[i], id) ? " (signed)" : "");
		}
		putchar('\n');
	}
}

static void
describe_root(const json_t *old, const json_t *new)
{
	const char *name;
	json_t	   *entry;

	json_object_foreach(json_object_get(new, "roles"), name, entry)
	{
		describe_entry(name, json_object_get(json_object_get(old, "roles"), name), entry);
	}
	json_object_foreach(json_object_get(old, "roles"), name, entry)
	{
		if (json_object_get(json_object_get(new, "roles"), name) == NULL)
			describe_entry(name, entry, NULL);
	}
}

/* Shows whose keys come and go in a role's entry of root or of delegations. */
static void
describe_entry(const char *name, const json_t *old, const json_t *new)
{
	static const char *const shown[] = {"keyids", "threshold", "name", NULL};
	const json_t *old_keys = json_object_get(old, "keyids");
	const json_t *new_keys = json_object_get(new, "keyids");
	const json_t *threshold = json_object_get(new, "threshold");
	char		text[TEXT_BYTES];

	printable(name, text);
	list_keys(text, "added", new_keys, old_keys);
	list_keys(text, "removed", old_keys, new_keys);
	if (!json_equal(threshold, json_object_get(old, "threshold")))
		printf("  %s: threshold %" JSON_INTEGER_FORMAT " -> %" JSON_INTEGER_FORMAT "\n", text,
			   json_integer_value(json_object_get(old, "threshold")), json_integer_value(threshold));
	describe_members(text, old, new, shown);
}

static int
list_keys(const char *name, const char *verb, const json_t *keyids, const json_t *without)
{
	const json_t *keyid;
	size_t		index;
	int			count = 0;

	json_array_foreach(keyids, index, keyid)
	{
		const json_t *other;
		size_t		place;
		bool		found = false;

		json_array_foreach(without, place, other)
		{
			found = found || json_equal(keyid, other);
		}
		if (found)
			continue;
		printf("  %s: key %s %s\n", name, json_string_value(keyid), verb);
		count++;
	}
	return count;
}

static void
describe_targets(const json_t *old, const json_t *new)
{
	const char *path;
	json_t	   *target;

	json_object_foreach((json_t *) new, path, target)
	{
		const json_t *before = json_object_get(old, path);
		char		text[TEXT_BYTES];

		if (before == NULL)
			describe_target(path, target, "+");
		else if (!json_equal(before, target))
		{
			printf("  ~ %s\n", printable(path, text));
			describe_members("  ", before, target, NULL);
		}
	}
	json_object_foreach((json_t *) old, path, target)
	{
		if (json_object_get(new, path) == NULL)
			describe_target(path, target, "-");
	}
}

static void
describe_target(const char *path, const json_t *target, const char *sign)
{
	const char *sha256 = json_string_value(json_object_get(json_object_get(target, "hashes"), "sha256"));
	char		text[TEXT_BYTES];

	printf("  %s %s\n    %" JSON_INTEGER_FORMAT " bytes, sha256 %.64s\n", sign, printable(path, text),
		   json_integer_value(json_object_get(target, "length")), sha256 == NULL ? "unknown" : sha256);
}

static void
describe_delegations(const json_t *old, const json_t *new)
{
	const json_t *entry;
	size_t		index;
	char		text[TEXT_BYTES];

	json_array_foreach(json_object_get(new, "roles"), index, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name"));
		const json_t *before = find_delegation(old, name);
		const json_t *former = json_array_get(json_object_get(old, "roles"), index);

		if (before == NULL)
			printf("  delegates to %s, which it did not before\n", printable(name, text));
		else if (!json_equal(json_object_get(former, "name"), json_object_get(entry, "name")))
			printf("  asks %s as number %zu of its delegated roles\n", printable(name, text), index + 1);
		describe_entry(name, before, entry);
	}
	json_array_foreach(json_object_get(old, "roles"), index, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name"));

		if (find_delegation(new, name) == NULL)
			printf("  delegates no more to %s\n", printable(name, text));
	}
}

static const json_t *
find_delegation(const json_t *delegations, const char *name)
{
	const json_t *entry;
	size_t		index;

	json_array_foreach(json_object_get(delegations, "roles"), index, entry)
	{
		const char *other = json_string_value(json_object_get(entry, "name"));

		if (other != NULL && name != NULL && strcmp(other, name) == 0)
			return entry;
	}
	return NULL;
}

/* Shows every member that differs, except those that are shown in words. */
static void
describe_members(const char *prefix, const json_t *old, const json_t *new, const char *const *except)
{
	describe_object(prefix, "", old, new, except);
}

/* The same of an object within others, whose names are path; of objects on both sides only what differs in them. */
static void
describe_object(const char *prefix, const char *path, const json_t *old, const json_t *new,
				const char *const *except)
{
	const json_t *sides[] = {new, old};

	for (int side = 0; side < 2; side++)
	{
		const char *name;
		json_t	   *value;

		json_object_foreach((json_t *) sides[side], name, value)
		{
			const json_t *before = json_object_get(old, name);
			const json_t *after = json_object_get(new, name);
			bool		shown = false;
			char		text[TEXT_BYTES];
			char		inner[TEXT_BYTES];

			for (int i = 0; except != NULL && except[i] != NULL; i++)
				shown = shown || strcmp(except[i], name) == 0;
			if (shown || json_equal(before, after) || (side == 1 && after != NULL))
				continue;
			printable(name, text);
			if (json_is_object(before) && json_is_object(after) &&
				snprintf(inner, sizeof(inner), "%s%s.", path, text) < (int) sizeof(inner))
			{
				describe_object(prefix, inner, before, after, NULL);
				continue;
			}
			printf("  %s%s%s%s: ", prefix, prefix[0] == '\0' || prefix[0] == ' ' ? "" : ": ", path, text);
			print_value(before);
			printf(" -> ");
			print_value(after);
			putchar('\n');
		}
	}
}

static void
print_value(const json_t *value)
{
	char	   *text = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_SORT_KEYS);

	/* Of what would be control characters JSON leaves only DEL as it is. */
	for (char *place = text; place != NULL && *place != '\0'; place++)
	{
		if (*place == '\177')
			*place = '?';
	}
	fputs(text == NULL ? "nothing" : text, stdout);
	free(text);
}

static const char *
printable(const char *text, char out[TEXT_BYTES])
{
	return depot_name_printable(text == NULL ? "" : text, out, TEXT_BYTES);
}
