/*-------------------------------------------------------------------------
 *
 * withdrawn.c
 *	  Builds that their publisher has withdrawn: the mark and the list.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "common/withdrawn.h"

#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "common/name.h"

#define WHAT DEPOT_WITHDRAWN_TARGET

static bool check_text(const char *text, const char *what, size_t max_bytes, bool may_have_blanks,
					   DepotError *error);
static bool read_texts(const json_t *object, DepotWithdrawal *withdrawal, DepotErrorCode code,
					   DepotError *error);
static bool check_entries(const json_t *entries, DepotError *error);

bool
depot_withdrawn_check(const DepotWithdrawal *withdrawal, DepotError *error)
{
	return check_text(withdrawal->reason, "reason", DEPOT_WITHDRAWN_REASON_MAX_BYTES, true, error) &&
		(withdrawal->advisory == NULL ||
		 check_text(withdrawal->advisory, "advisory", DEPOT_WITHDRAWN_ADVISORY_MAX_BYTES, false, error));
}

/* Control characters could make a terminal or a log show something else; the JSON was UTF-8 throughout. */
static bool
check_text(const char *text, const char *what, size_t max_bytes, bool may_have_blanks, DepotError *error)
{
	size_t		length = strlen(text);
	bool		is_blank = true;

	if (length > max_bytes)
		return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "\"%s\" has %zu bytes, %zu are allowed", what,
							   length, max_bytes);
	for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++)
	{
		/* In UTF-8, the control characters above ASCII begin with 0xc2. */
		if (*c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0) || (*c == ' ' && !may_have_blanks))
			return depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "\"%s\" has %s in it", what,
								   *c == ' ' ? "a blank" : "a control character");
		is_blank &= *c == ' ';
	}
	return !is_blank || depot_error_set(error, DEPOT_ERROR_INVALID_ARGUMENT, "\"%s\" is empty", what);
}

bool
depot_withdrawn_read_mark(const json_t *custom, bool *is_marked, DepotWithdrawal *withdrawal, DepotError *error)
{
	json_t	   *mark = NULL;

	memset(withdrawal, 0, sizeof(*withdrawal));
	if (!depot_json_get_object(custom, "yanked", false, &mark, DEPOT_ERROR_MANIFEST, error))
		return false;
	*is_marked = mark != NULL;
	return mark == NULL || read_texts(mark, withdrawal, DEPOT_ERROR_MANIFEST, error) ||
		depot_error_prefix(error, "\"yanked\"");
}

static bool
read_texts(const json_t *object, DepotWithdrawal *withdrawal, DepotErrorCode code, DepotError *error)
{
	if (!depot_json_get_string(object, "reason", true, &withdrawal->reason, code, error) ||
		(!json_is_null(json_object_get(object, "advisory")) &&
		 !depot_json_get_string(object, "advisory", false, &withdrawal->advisory, code, error)))
		return false;
	if (depot_withdrawn_check(withdrawal, error))
		return true;
	if (error != NULL)
		error->code = code;
	return false;
}

json_t *
depot_withdrawn_to_json(const DepotWithdrawal *withdrawal)
{
	json_t	   *object = json_pack("{s:s, s:s?}", "reason", withdrawal->reason, "advisory", withdrawal->advisory);

	if (object != NULL && withdrawal->sha256 != NULL &&
		json_object_set_new(object, "sha256", json_string(withdrawal->sha256)) != 0)
	{
		json_decref(object);
		return NULL;
	}
	return object;
}

json_t *
depot_withdrawn_parse(const char *text, size_t length_bytes, DepotError *error)
{
	const DepotErrorCode code = DEPOT_ERROR_METADATA_FORMAT;
	json_t	   *document = depot_json_parse(text, length_bytes, code, WHAT, error);
	json_t	   *entries = NULL;
	int64_t		format = 0;
	bool		ok = false;

	if (document == NULL)
		return NULL;
	if (!depot_json_get_integer(document, "format", true, 1, &format, code, error))
		goto done;
	if (format != DEPOT_WITHDRAWN_FORMAT)
	{
		depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "format %" PRId64 " is not known", format);
		depot_error_hint(error, "A newer version of pg_depot may know it.");
		goto done;
	}
	ok = depot_json_get_array(document, "withdrawn", true, &entries, code, error) && check_entries(entries, error);
	if (ok)
		json_incref(entries);

done:
	if (!ok)
		depot_error_prefix(error, WHAT);
	json_decref(document);
	return ok ? entries : NULL;
}

static bool
check_entries(const json_t *entries, DepotError *error)
{
	const json_t *entry;
	size_t		index;

	json_array_foreach(entries, index, entry)
	{
		DepotWithdrawal withdrawal = {0};

		if (!depot_json_get_string(entry, "sha256", true, &withdrawal.sha256, DEPOT_ERROR_METADATA_FORMAT, error) ||
			!read_texts(entry, &withdrawal, DEPOT_ERROR_METADATA_FORMAT, error))
			return depot_error_prefix(error, "entry %zu", index + 1);
		if (!depot_name_is_sha256(withdrawal.sha256))
			return depot_error_set(error, DEPOT_ERROR_METADATA_FORMAT, "entry %zu: \"sha256\" is not a digest",
								   index + 1);
	}
	return true;
}

void
depot_withdrawn_read_entry(const json_t *entry, DepotWithdrawal *withdrawal)
{
	withdrawal->sha256 = json_string_value(json_object_get(entry, "sha256"));
	withdrawal->reason = json_string_value(json_object_get(entry, "reason"));
	withdrawal->advisory = json_string_value(json_object_get(entry, "advisory"));
}
