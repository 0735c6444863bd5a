/*-------------------------------------------------------------------------
 *
 * test_evidence.c
 *	  The list of documents that prove a package, written and read.
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

#include <stdio.h>
#include <string.h>

#include "common/evidence.h"
#include "scratch.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEAD "{\"format\":1,\"repository\":\"main\",\"target\":\"a/b\",\"sha256\":\"" DIGEST "\",\"root_version\":2,"
#define TAIL "\"roots\":[{\"version\":1,\"sha256\":\"" DIGEST "\"}]," \
	"\"documents\":[{\"role\":\"targets\",\"version\":7,\"sha256\":\"" DIGEST "\"}]}"

static void
expect_refused(const char *text, DepotErrorCode code, const char *words)
{
	DepotEvidence evidence;
	DepotError	error;

	assert_false(depot_evidence_parse(text, strlen(text), &evidence, &error));
	if (error.code != code || strstr(error.message, words) == NULL)
		fail_msg("%s: \"%s\" does not hold \"%s\"", depot_error_wire_name(error.code), error.message, words);
	assert_null(evidence.roots);
	assert_null(evidence.documents);
}

static void
read_and_write(void **state)
{
	DepotEvidence evidence;
	DepotEvidence again;
	DepotError	error;
	DepotBuffer text;
	Scratch		scratch = scratch_make();

	assert_true(depot_evidence_parse(HEAD TAIL, strlen(HEAD TAIL), &evidence, &error));
	assert_string_equal(evidence.repository, "main");
	assert_string_equal(evidence.target, "a/b");
	assert_string_equal(evidence.sha256, DIGEST);
	assert_int_equal(evidence.root_version, 2);
	assert_int_equal(evidence.root_count, 1);
	assert_string_equal(evidence.roots[0].role, "root");
	assert_int_equal(evidence.document_count, 1);
	assert_string_equal(evidence.documents[0].role, "targets");
	assert_int_equal(evidence.documents[0].version, 7);

	depot_buffer_init(&text);
	assert_true(depot_evidence_write(&evidence, &text, &error));
	assert_true(depot_evidence_save(scratch.fd, "list", &evidence, &error));
	assert_true(scratch_has(scratch.fd, "list", text.data));
	assert_true(depot_evidence_read(scratch.fd, "list", &again, &error));
	assert_memory_equal(evidence.documents, again.documents, sizeof(evidence.documents[0]));
	depot_evidence_free(&again);
	assert_false(depot_evidence_read(scratch.fd, "nothing", &again, &error));
	assert_int_equal(error.code, DEPOT_ERROR_FILE_MISSING);
	depot_buffer_free(&text);
	depot_evidence_free(&evidence);
	scratch_remove(&scratch);
}

static void
refuse_what_is_none(void **state)
{
	expect_refused("", DEPOT_ERROR_METADATA_FORMAT, "list of evidence");
	expect_refused("[]", DEPOT_ERROR_METADATA_FORMAT, "list of evidence");
	expect_refused("{\"format\":2}", DEPOT_ERROR_UNSUPPORTED, "format 2");
	expect_refused(HEAD "\"roots\":[]}", DEPOT_ERROR_METADATA_FORMAT, "documents");
	expect_refused(HEAD "\"more\":1," TAIL, DEPOT_ERROR_METADATA_FORMAT, "more");
	expect_refused(HEAD "\"roots\":[],\"documents\":[{\"role\":\"root\",\"version\":1,\"sha256\":\"" DIGEST "\"}]}",
				   DEPOT_ERROR_METADATA_FORMAT, "has role \"root\"");
	expect_refused(HEAD "\"roots\":[],\"documents\":[{\"role\":\"\",\"version\":1,\"sha256\":\"" DIGEST "\"}]}",
				   DEPOT_ERROR_METADATA_FORMAT, "needs a role");
	expect_refused(HEAD "\"roots\":[],\"documents\":[{\"role\":\"a\",\"version\":1,\"sha256\":\"../../x\"}]}",
				   DEPOT_ERROR_METADATA_FORMAT, "sha256");
	expect_refused(HEAD "\"roots\":[{\"role\":\"root\",\"version\":1,\"sha256\":\"" DIGEST "\"}],\"documents\":[]}",
				   DEPOT_ERROR_METADATA_FORMAT, "role");
	expect_refused("{\"format\":1,\"repository\":\"../x\",\"target\":\"a/b\",\"sha256\":\"" DIGEST
				   "\",\"root_version\":2," TAIL, DEPOT_ERROR_METADATA_FORMAT, "repository, target or sha256");
	expect_refused("{\"format\":1,\"repository\":\"main\",\"target\":\"../b\",\"sha256\":\"" DIGEST
				   "\",\"root_version\":2," TAIL, DEPOT_ERROR_METADATA_FORMAT, "repository, target or sha256");
}

static void
refuse_too_many(void **state)
{
	DepotEvidence evidence = {.root_count = 0};
	DepotError	error;
	char		role[DEPOT_EVIDENCE_ROLE_BYTES + 1];

	for (int i = 0; i < DEPOT_EVIDENCE_MAX_DOCUMENTS; i++)
		assert_true(depot_evidence_add(&evidence, "a", 1, DIGEST, &error));
	assert_false(depot_evidence_add(&evidence, "a", 1, DIGEST, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TOO_LARGE);
	for (int i = 0; i < DEPOT_EVIDENCE_MAX_ROOTS; i++)
		assert_true(depot_evidence_add(&evidence, "root", 1, DIGEST, &error));
	assert_false(depot_evidence_add(&evidence, "root", 1, DIGEST, &error));
	assert_int_equal(error.code, DEPOT_ERROR_TOO_LARGE);
	depot_evidence_free(&evidence);

	memset(role, 'a', sizeof(role) - 1);
	role[sizeof(role) - 1] = '\0';
	assert_false(depot_evidence_add(&evidence, role, 1, DIGEST, &error));
	assert_int_equal(error.code, DEPOT_ERROR_INVALID_ARGUMENT);
	assert_false(depot_evidence_add(&evidence, "a", 0, DIGEST, &error));
	assert_null(evidence.documents);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_and_write),
		cmocka_unit_test(refuse_what_is_none),
		cmocka_unit_test(refuse_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
