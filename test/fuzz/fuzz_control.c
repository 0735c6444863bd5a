/*-------------------------------------------------------------------------
 *
 * fuzz_control.c
 *	  Control files of extensions.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "common/control.h"
#include "common/name.h"

/* Appends a parameter with its value in quotes, as the server would read it. */
static void
append_parameter(DepotBuffer *text, const char *name, const char *value)
{
	if (value == NULL)
		return;
	depot_buffer_append_format(text, "%s = '", name);
	for (const char *p = value; *p != '\0'; p++)
	{
		if (*p == '\'')
			depot_buffer_append_string(text, "''");
		else if (*p == '\\' || (unsigned char) *p < 0x20)
			depot_buffer_append_format(text, "\\%03o", (unsigned char) *p);
		else
			depot_buffer_append(text, p, 1);
	}
	depot_buffer_append_string(text, "'\n");
}

static void
write_control(const DepotControl *control, DepotBuffer *text)
{
	DepotBuffer requires;

	depot_buffer_init(&requires);
	depot_buffer_append_string(&requires, "");
	for (int i = 0; i < control->require_count; i++)
		depot_buffer_append_format(&requires, "%s\"%s\"", i > 0 ? ", " : "", control->requires[i]);
	depot_buffer_append_string(text, "# written again\n");
	append_parameter(text, "default_version", control->default_version);
	append_parameter(text, "comment", control->comment);
	append_parameter(text, "directory", control->directory);
	append_parameter(text, "module_pathname", control->module_pathname);
	append_parameter(text, "encoding", control->encoding);
	append_parameter(text, "schema", control->schema);
	append_parameter(text, "requires", requires.data);
	append_parameter(text, "superuser", control->superuser ? "true" : "off");
	append_parameter(text, "trusted", control->trusted ? "yes" : "0");
	append_parameter(text, "relocatable", control->relocatable ? "1" : "no");
	FUZZ_REQUIRE(!text->failed && !requires.failed);
	depot_buffer_free(&requires);
}

static bool
same_string(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
check_same(const DepotControl *a, const DepotControl *b)
{
	FUZZ_REQUIRE(same_string(a->default_version, b->default_version) && same_string(a->comment, b->comment));
	FUZZ_REQUIRE(same_string(a->directory, b->directory) && same_string(a->module_pathname, b->module_pathname));
	FUZZ_REQUIRE(same_string(a->encoding, b->encoding) && same_string(a->schema, b->schema));
	FUZZ_REQUIRE(a->superuser == b->superuser && a->trusted == b->trusted && a->relocatable == b->relocatable);
	FUZZ_REQUIRE(a->require_count == b->require_count);
	for (int i = 0; i < a->require_count; i++)
	{
		FUZZ_REQUIRE(depot_name_is_extension(a->requires[i]));
		FUZZ_REQUIRE(strcmp(a->requires[i], b->requires[i]) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DepotError	error = {0};
	DepotControl *control = depot_control_parse((const char *) data, size, "x.control", &error);
	DepotControl *again;
	DepotBuffer text;

	if (control == NULL)
	{
		fuzz_require_refusal(&error);
		FUZZ_REQUIRE(error.code == DEPOT_ERROR_CONTROL_FILE);
		return 0;
	}
	FUZZ_REQUIRE(!control->relocatable || control->schema == NULL);
	depot_buffer_init(&text);
	write_control(control, &text);
	again = depot_control_parse(text.data, text.length_bytes, "x.control", &error);
	/* Quoting may have made it longer than control files may be. */
	FUZZ_REQUIRE(again != NULL || text.length_bytes > DEPOT_CONTROL_MAX_BYTES);
	if (again != NULL)
		check_same(control, again);
	depot_buffer_free(&text);
	depot_control_free(again);
	depot_control_free(control);
	return 0;
}
