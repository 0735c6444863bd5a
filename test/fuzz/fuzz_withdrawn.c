/*-------------------------------------------------------------------------
 *
 * fuzz_withdrawn.c
 *	  The list of withdrawn builds, withdrawn.json.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "common/json.h"
#include "common/name.h"
#include "common/withdrawn.h"

/* What is shown to people is one line. */
static bool
is_line(const char *text, size_t max_bytes)
{
	for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++)
	{
		if (*p < ' ' || *p == 0x7f)
			return false;
	}
	return text[0] != '\0' && strlen(text) <= max_bytes;
}

/* Requires that an entry, written as a mark, is read as one. */
static void
check_mark(const DepotWithdrawal *withdrawal)
{
	DepotWithdrawal mark = {.reason = withdrawal->reason, .advisory = withdrawal->advisory};
	DepotWithdrawal again;
	DepotError	error = {0};
	bool		is_marked = false;
	json_t	   *custom = json_pack("{s:o}", "yanked", depot_withdrawn_to_json(&mark));

	FUZZ_REQUIRE(depot_withdrawn_read_mark(custom, &is_marked, &again, &error) && is_marked);
	FUZZ_REQUIRE(strcmp(again.reason, mark.reason) == 0);
	FUZZ_REQUIRE((again.advisory == NULL) == (mark.advisory == NULL));
	FUZZ_REQUIRE(mark.advisory == NULL || strcmp(again.advisory, mark.advisory) == 0);
	FUZZ_REQUIRE(json_object_del(custom, "yanked") == 0);
	FUZZ_REQUIRE(depot_withdrawn_read_mark(custom, &is_marked, &again, &error) && !is_marked);
	json_decref(custom);
}

/* Requires that a list of the entries, written again, is the same list. */
static void
check_rewritten(const json_t *entries)
{
	json_t	   *list = json_array();
	json_t	   *document = json_pack("{s:i, s:o}", "format", DEPOT_WITHDRAWN_FORMAT, "withdrawn", list);
	json_t	   *again;
	const json_t *entry;
	size_t		index;
	DepotError	error = {0};
	char	   *text;

	json_array_foreach(entries, index, entry)
	{
		DepotWithdrawal withdrawal;

		depot_withdrawn_read_entry(entry, &withdrawal);
		FUZZ_REQUIRE(depot_withdrawn_check(&withdrawal, &error));
		FUZZ_REQUIRE(depot_name_is_sha256(withdrawal.sha256));
		FUZZ_REQUIRE(is_line(withdrawal.reason, DEPOT_WITHDRAWN_REASON_MAX_BYTES));
		FUZZ_REQUIRE(withdrawal.advisory == NULL || is_line(withdrawal.advisory, DEPOT_WITHDRAWN_ADVISORY_MAX_BYTES));
		check_mark(&withdrawal);
		FUZZ_REQUIRE(json_array_append_new(list, depot_withdrawn_to_json(&withdrawal)) == 0);
	}
	text = json_dumps(document, JSON_COMPACT);
	FUZZ_REQUIRE(text != NULL);
	again = depot_withdrawn_parse(text, strlen(text), &error);
	FUZZ_REQUIRE(again != NULL && json_equal(again, list));
	json_decref(again);
	free(text);
	json_decref(document);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotError	error = {0};
	json_t	   *entries = depot_withdrawn_parse((const char *) data, size, &error);
	json_t	   *value;

	if (entries != NULL)
		check_rewritten(entries);
	else
		fuzz_require_refusal(&error);
	json_decref(entries);

	/* The same bytes as a target's description. */
	value = depot_json_parse((const char *) data, size, DEPOT_ERROR_MANIFEST, "custom", &error);
	if (json_is_object(value))
	{
		DepotWithdrawal mark;
		bool		is_marked = false;

		if (!depot_withdrawn_read_mark(value, &is_marked, &mark, &error))
			FUZZ_REQUIRE(error.code == DEPOT_ERROR_MANIFEST);
		else if (is_marked)
			check_mark(&mark);
	}
	json_decref(value);
	return 0;
}
