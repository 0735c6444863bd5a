/*-------------------------------------------------------------------------
 *
 * test_tuf_evidence.c
 *	  Keeping the signed documents that prove a target, and proving it from them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/evidence.h"
#include "tuf_expect.h"

#define OTHER_TARGET "pg15/linux-amd64/vector/0.8.0/vector-0.8.0.tar.zst"

/* Where documents are kept. */
static Scratch kept;
static DepotEvidence evidence;

static int
set_up_evidence(void **state)
{
	memset(&evidence, 0, sizeof(evidence));
	kept = scratch_make();
	return kept.fd >= 0 ? set_up(state) : -1;
}

static int
tear_down_evidence(void **state)
{
	depot_evidence_free(&evidence);
	scratch_remove(&kept);
	return tear_down(state);
}

/* Refreshes, and keeps what proves a target, in documents that were kept before or not. */
static void
keep_target(const char *path, int kept_fd)
{
	const DepotTufKeep keep = {.kept_fd = kept_fd,.new_fd = kept.fd};
	DepotTufClient *client = NULL;
	DepotTufTarget target;
	DepotError	error;
	bool		changed;

	depot_evidence_free(&evidence);
	if (!fixture_refresh(&fixture, fixture.pin, NULL, &changed, &error))
		fail_msg("%s", error.message);
	client = depot_tuf_open(fixture.scratch.fd, NULL, 0, fixture.now, &error);
	if (client == NULL || !depot_tuf_load_target(client, path, true, &target, &error) ||
		!depot_tuf_keep_evidence(client, fixture.scratch.fd, "main", &target, &keep, &evidence, &error))
		fail_msg("%s", error.message);
	depot_tuf_close(client);
}

static bool
prove_from(const char *pin, DepotTufKeyTypes key_types, DepotEvidence *used, DepotError *error)
{
	DepotTufTarget target;
	DepotTufClient *client = depot_tuf_prove(&evidence, kept.fd, pin, strlen(pin), key_types, used, &target, error);

	if (client != NULL)
	{
		assert_string_equal(target.path, evidence.target);
		assert_string_equal(target.sha256, evidence.sha256);
		assert_non_null(target.custom);
	}
	else
		assert_int_equal(used->document_count + used->root_count, 0);
	depot_tuf_close(client);
	return client != NULL;
}

static void
expect_proof(const char *pin)
{
	DepotEvidence used;
	DepotError	error;

	if (!prove_from(pin, DEPOT_TUF_ED25519_ONLY, &used, &error))
		fail_msg("%s", error.message);
	depot_evidence_free(&used);
}

static void
expect_no_proof(const char *pin, DepotErrorCode code, const char *words)
{
	DepotEvidence used;
	DepotError	error;

	assert_false(prove_from(pin, DEPOT_TUF_ED25519_ONLY, &used, &error));
	if (error.code != code || strstr(error.message, words) == NULL)
		fail_msg("%s: \"%s\" does not hold \"%s\"", depot_error_wire_name(error.code), error.message, words);
}

/* Puts text in the place of a document, under its own name or under the one that is listed. */
static void
replace_document(DepotEvidenceDocument *document, const char *text, bool rename)
{
	char		file[DEPOT_EVIDENCE_FILE_BYTES];

	if (rename)
		depot_digest_sha256_hex(text, strlen(text), document->sha256);
	depot_evidence_file(document->sha256, file);
	assert_true(scratch_write(kept.fd, file, text));
}

/* The next root, signed by these keys, as the list has it from now on. */
static void
list_next_root(DepotKey *const *keys, int count)
{
	DepotError	error;
	char		sha256[DEPOT_SHA256_HEX_BYTES];
	const char *text;

	fixture_bump(fixture.root);
	fixture_put(&fixture, fixture_name(fixture.root, "root"), fixture.root, keys, count);
	text = fixture_text(&fixture, fixture_name(fixture.root, "root"));
	depot_digest_sha256_hex(text, strlen(text), sha256);
	evidence.root_version = json_integer_value(json_object_get(fixture.root, "version"));
	assert_true(depot_evidence_add(&evidence, "root", evidence.root_version, sha256, &error));
	replace_document(&evidence.roots[evidence.root_count - 1], text, false);
}

/* Has another key sign the targets role from now on. */
static void
rotate_targets_key(int key)
{
	fixture_add_key(json_object_get(fixture.root, "keys"), fixture.keys[key]);
	json_object_set_new(json_object_get(fixture.root, "roles"), "targets",
						fixture_role_entry(fixture.keys[key], NULL, 1));
}

/*----- keeping ---------------------------------------------------------------------------*/

static void
keep_and_prove(void **state)
{
	DepotEvidence listed;
	DepotEvidence used;
	DepotError	error;
	char		file[DEPOT_EVIDENCE_FILE_BYTES];

	keep_target(FIXTURE_TARGET, -1);
	assert_int_equal(evidence.root_version, 1);
	assert_int_equal(evidence.root_count, 1);
	assert_int_equal(evidence.document_count, 2);
	assert_string_equal(evidence.documents[0].role, "targets");
	assert_string_equal(evidence.documents[1].role, FIXTURE_ROLE);
	depot_evidence_file(evidence.documents[1].sha256, file);
	assert_true(scratch_has(kept.fd, file, fixture_text(&fixture, "1." FIXTURE_ROLE ".json")));

	/* the list that was written is the one that was returned */
	assert_true(depot_evidence_read(kept.fd, DEPOT_EVIDENCE_LIST, &listed, &error));
	depot_evidence_free(&evidence);
	evidence = listed;
	assert_true(prove_from(fixture.pin, DEPOT_TUF_ED25519_ONLY, &used, &error));
	assert_int_equal(used.root_version, 1);
	assert_int_equal(used.root_count, 0);	/* the pin is the first */
	assert_int_equal(used.document_count, 2);
	assert_string_equal(used.sha256, evidence.sha256);
	depot_evidence_free(&used);
}

/* What was kept before is not written again. */
static void
keep_once(void **state)
{
	Scratch		again;

	keep_target(FIXTURE_TARGET, -1);
	again = kept;
	kept = scratch_make();
	keep_target(FIXTURE_TARGET, again.fd);
	assert_true(depot_files_exists(kept.fd, DEPOT_EVIDENCE_LIST));
	for (int i = 0; i < evidence.document_count; i++)
	{
		char		file[DEPOT_EVIDENCE_FILE_BYTES];

		depot_evidence_file(evidence.documents[i].sha256, file);
		assert_false(depot_files_exists(kept.fd, file));
		assert_true(depot_files_exists(again.fd, file));
	}
	scratch_remove(&again);
}

/* A role on the way that does not list the target is part of the proof, too. */
static void
keep_roles_on_the_way(void **state)
{
	json_t	   *roles = json_object_get(json_object_get(fixture.targets, "delegations"), "roles");

	fixture_delegate(fixture.targets, "pub-vendor", fixture.keys[KEY_SPARE], "pg15/linux-amd64/*/*/*", false);
	json_array_insert(roles, 0, json_array_get(roles, 1));
	json_array_remove(roles, 2);
	fixture_put_role(&fixture, "pub-vendor", fixture_role_body(OTHER_TARGET, "vector"), fixture.keys[KEY_SPARE]);
	fixture_publish(&fixture);
	keep_target(FIXTURE_TARGET, -1);
	assert_int_equal(evidence.document_count, 3);
	assert_string_equal(evidence.documents[1].role, "pub-vendor");
	expect_proof(fixture.pin);

	/* left out, it could have been the role that has the last word */
	evidence.documents[1] = evidence.documents[2];
	evidence.document_count = 2;
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_MISMATCH, "is not among the evidence");
}

static void
keep_chain_of_roots(void **state)
{
	DepotEvidence used;
	DepotError	error;

	for (int i = 0; i < 2; i++)
	{
		fixture_bump(fixture.root);
		fixture_put(&fixture, fixture_name(fixture.root, "root"), fixture.root, fixture.keys, 2);
	}
	keep_target(FIXTURE_TARGET, -1);
	assert_int_equal(evidence.root_version, 3);
	assert_int_equal(evidence.root_count, 3);
	assert_int_equal(evidence.roots[0].version, 1);
	assert_true(prove_from(fixture.pin, DEPOT_TUF_ED25519_ONLY, &used, &error));
	assert_int_equal(used.root_count, 2);
	depot_evidence_free(&used);
}

/*----- roots ------------------------------------------------------------------------------*/

/* Accepted under the first root, and still proved after the keys were replaced. */
static void
root_moves_on(void **state)
{
	keep_target(FIXTURE_TARGET, -1);
	rotate_targets_key(KEY_SPARE);
	list_next_root(fixture.keys, 2);
	evidence.root_version = 1;
	expect_proof(fixture.pin);

	/* under the second it would not be */
	evidence.root_version = 2;
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_THRESHOLD, "targets metadata");
}

/* A pin that is newer than what the evidence names ends the chain, with the keys it knows. */
static void
pin_is_newer(void **state)
{
	keep_target(FIXTURE_TARGET, -1);
	list_next_root(fixture.keys, 2);
	evidence.root_version = 1;
	expect_proof(fixture_text(&fixture, "2.root.json"));
	rotate_targets_key(KEY_SPARE);
	list_next_root(fixture.keys, 2);
	evidence.root_version = 1;
	expect_no_proof(fixture_text(&fixture, "3.root.json"), DEPOT_ERROR_METADATA_THRESHOLD, "targets metadata");
}

static void
root_of_another(void **state)
{
	DepotKey   *others[] = {fixture.keys[KEY_SPARE], fixture.keys[KEY_ROLE]};
	DepotEvidence used;
	DepotError	error;

	keep_target(FIXTURE_TARGET, -1);
	/* one that the old root did not sign, and one that the new one did not */
	list_next_root(others, 2);
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_THRESHOLD, "root metadata");
	evidence.root_count--;
	fixture_set_version(fixture.root, 1);
	fixture_add_key(json_object_get(fixture.root, "keys"), fixture.keys[KEY_SPARE]);
	json_object_set_new(json_object_get(fixture.root, "roles"), "root",
						fixture_role_entry(fixture.keys[KEY_SPARE], NULL, 1));
	list_next_root(fixture.keys, 2);
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_THRESHOLD, "root metadata");

	/* with both it is the proper next one, whatever else is listed for its version */
	json_object_set_new(fixture.root, "version", json_integer(1));
	others[1] = fixture.keys[KEY_ROOT_A];
	list_next_root((DepotKey *[])
				   {
					   fixture.keys[KEY_ROOT_A], fixture.keys[KEY_ROOT_B], fixture.keys[KEY_SPARE]
				   }, 3);
	assert_int_equal(evidence.root_count, 3);
	assert_true(prove_from(fixture.pin, DEPOT_TUF_ED25519_ONLY, &used, &error));
	assert_int_equal(used.root_count, 1);
	assert_string_equal(used.roots[0].sha256, evidence.roots[2].sha256);
	depot_evidence_free(&used);
}

static void
root_is_missing(void **state)
{
	keep_target(FIXTURE_TARGET, -1);
	evidence.root_version = 2;
	expect_no_proof(fixture.pin, DEPOT_ERROR_ROOT_INVALID, "version 2 is missing");
	evidence.root_version = INT64_C(1) << 40;
	expect_no_proof(fixture.pin, DEPOT_ERROR_TOO_LARGE, "versions of root");
	evidence.root_version = 1;
	expect_no_proof("", DEPOT_ERROR_ROOT_INVALID, "the root that this server pins");
	expect_no_proof(fixture_text(&fixture, "1.targets.json"), DEPOT_ERROR_ROOT_INVALID,
					"the root that this server pins");
}

/* The chain goes up by one, whatever the list calls a document. */
static void
root_skips_a_version(void **state)
{
	keep_target(FIXTURE_TARGET, -1);
	fixture_bump(fixture.root);
	list_next_root(fixture.keys, 2);
	evidence.roots[evidence.root_count - 1].version = 2;
	evidence.root_version = 2;
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_ROLLBACK, "version 3 where version 2");
}

/*----- documents --------------------------------------------------------------------------*/

/* Time passes, and the repository says other things: what was accepted stays proved. */
static void
time_is_not_asked(void **state)
{
	fixture_set_expires(fixture.targets, "2026-11-20T12:00:01Z");
	fixture_set_expires(fixture.role, "2026-11-20T12:00:01Z");
	fixture_publish(&fixture);
	keep_target(FIXTURE_TARGET, -1);
	fixture_bump(fixture.role);
	fixture_bump(fixture.targets);
	json_object_clear(json_object_get(fixture.role, "targets"));
	fixture_publish(&fixture);
	expect_proof(fixture.pin);
}

static void
document_is_damaged(void **state)
{
	char		file[DEPOT_EVIDENCE_FILE_BYTES];
	DepotError	error;

	keep_target(FIXTURE_TARGET, -1);
	depot_evidence_file(evidence.documents[1].sha256, file);
	replace_document(&evidence.documents[1], "{}", false);
	expect_no_proof(fixture.pin, DEPOT_ERROR_DIGEST_MISMATCH, "document of evidence is damaged");
	assert_true(scratch_write(kept.fd, file, ""));
	expect_no_proof(fixture.pin, DEPOT_ERROR_DIGEST_MISMATCH, "document of evidence is damaged");
	assert_true(depot_files_remove(kept.fd, file, &error));
	expect_no_proof(fixture.pin, DEPOT_ERROR_FILE_MISSING, "document of evidence");
}

/* Bytes of anybody, under a digest that fits them. */
static void
document_is_forged(void **state)
{
	json_t	   *targets = json_object_get(fixture.role, "targets");
	const char *of_role = "1." FIXTURE_ROLE ".json";

	keep_target(FIXTURE_TARGET, -1);
	replace_document(&evidence.documents[1], "{}", true);
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_FORMAT, FIXTURE_ROLE);

	json_object_set_new(targets, FIXTURE_TARGET, fixture_target("other bytes"));
	fixture_put(&fixture, of_role, fixture.role, &fixture.keys[KEY_SPARE], 1);
	replace_document(&evidence.documents[1], fixture_text(&fixture, of_role), true);
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_THRESHOLD, FIXTURE_ROLE);

	/* signed by the right key it is about other bytes than the list says */
	fixture_put(&fixture, of_role, fixture.role, &fixture.keys[KEY_ROLE], 1);
	replace_document(&evidence.documents[1], fixture_text(&fixture, of_role), true);
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_MISMATCH, "another build");
	depot_digest_sha256_hex("other bytes", strlen("other bytes"), evidence.sha256);
	expect_proof(fixture.pin);
}

/* Whoever may sign some paths, and signs others, or is not delegated to at all. */
static void
role_without_the_right(void **state)
{
	json_t	   *body = fixture_role_body(FIXTURE_TARGET, "other bytes");
	DepotError	error;

	fixture_delegate(fixture.targets, "pub-vendor", fixture.keys[KEY_SPARE], "pg15/linux-amd64/vector/*/*", false);
	fixture_publish(&fixture);
	fixture_put_role(&fixture, "pub-vendor", body, fixture.keys[KEY_SPARE]);
	fixture_publish(&fixture);
	keep_target(FIXTURE_TARGET, -1);
	assert_int_equal(evidence.document_count, 2);
	assert_true(depot_evidence_add(&evidence, "pub-vendor", 1, evidence.sha256, &error));
	replace_document(&evidence.documents[2], fixture_text(&fixture, "1.pub-vendor.json"), true);
	depot_digest_sha256_hex("other bytes", strlen("other bytes"), evidence.sha256);
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_MISMATCH, "another build");

	snprintf(evidence.target, sizeof(evidence.target), "pg15/linux-arm64/hll/2.17/hll-2.17.tar.zst");
	expect_no_proof(fixture.pin, DEPOT_ERROR_TARGET_UNKNOWN, "has no target");
	evidence.document_count = 1;
	snprintf(evidence.target, sizeof(evidence.target), "%s", FIXTURE_TARGET);
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_MISMATCH, "is not among the evidence");
	evidence.document_count = 0;
	expect_no_proof(fixture.pin, DEPOT_ERROR_METADATA_MISMATCH, "targets metadata is not among the evidence");
}

int
main(void)
{
#define EVIDENCE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_evidence, tear_down_evidence)
	const struct CMUnitTest tests[] = {
		EVIDENCE_TEST(keep_and_prove),
		EVIDENCE_TEST(keep_once),
		EVIDENCE_TEST(keep_roles_on_the_way),
		EVIDENCE_TEST(keep_chain_of_roots),
		EVIDENCE_TEST(root_moves_on),
		EVIDENCE_TEST(pin_is_newer),
		EVIDENCE_TEST(root_of_another),
		EVIDENCE_TEST(root_is_missing),
		EVIDENCE_TEST(root_skips_a_version),
		EVIDENCE_TEST(time_is_not_asked),
		EVIDENCE_TEST(document_is_damaged),
		EVIDENCE_TEST(document_is_forged),
		EVIDENCE_TEST(role_without_the_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
