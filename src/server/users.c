/*-------------------------------------------------------------------------
 *
 * users.c
 *	  What uses a package, in words: a clause for each user.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "server/users.h"

/* Users that an error names, and lines that are kept. */
#define NAMED_MAX 20
#define LINES_MAX_BYTES 16384

#define SQLSTATE_IN_USE ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST

static void end_line(DepotUsers *users, int begin);

void
depot_users_init(DepotUsers *users)
{
	initStringInfo(&users->lines);
	users->count = 0;
}

/* Ends the line that begins there: one line whatever is in a name.  Lines beyond the limit go again. */
static void
end_line(DepotUsers *users, int begin)
{
	for (char *c = users->lines.data + begin; *c != '\0'; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	appendStringInfoChar(&users->lines, '\n');
	if (users->lines.len <= LINES_MAX_BYTES)
		return;
	users->lines.len = begin;
	users->lines.data[begin] = '\0';
}

static void
append_setting(StringInfo lines, const DepotUserRow *row)
{
	if (row->role != NULL && row->database != NULL)
		appendStringInfo(lines, "setting \"%s\" of role \"%s\" in database \"%s\" names library \"%s\"",
						 row->name, row->role, row->database, row->library);
	else if (row->role != NULL)
		appendStringInfo(lines, "setting \"%s\" of role \"%s\" names library \"%s\"",
						 row->name, row->role, row->library);
	else if (row->database != NULL)
		appendStringInfo(lines, "setting \"%s\" of database \"%s\" names library \"%s\"",
						 row->name, row->database, row->library);
	else
		appendStringInfo(lines, "setting \"%s\" of the server names library \"%s\"", row->name, row->library);
}

void
depot_users_add_rows(DepotUsers *users, const DepotUserRow *rows, int row_count, int count)
{
	users->count += count;
	for (int i = 0; i < row_count; i++)
	{
		const DepotUserRow *row = &rows[i];
		int			begin = users->lines.len;

		switch (row->kind)
		{
			case DEPOT_USER_EXTENSION:
				appendStringInfo(&users->lines, "extension \"%s\" is used", row->name);
				break;
			case DEPOT_USER_FUNCTION:
				appendStringInfo(&users->lines, "function %s uses library \"%s\"", row->name, row->library);
				break;
			case DEPOT_USER_SETTING:
				append_setting(&users->lines, row);
				break;
			case DEPOT_USER_SLOT:
				appendStringInfo(&users->lines, "replication slot \"%s\" uses output plugin \"%s\"",
								 row->name, row->library);
				break;
		}
		end_line(users, begin);
	}
}

void
depot_users_add_package(DepotUsers *users, const char *package, const char *needed_by)
{
	int			begin = users->lines.len;

	users->count++;
	appendStringInfo(&users->lines, "package \"%s\" is needed by package \"%s\"", package, needed_by);
	end_line(users, begin);
}

void
depot_users_add_database(DepotUsers *users, const char *database)
{
	int			begin = users->lines.len;

	users->count++;
	appendStringInfo(&users->lines, "database \"%s\" could not be looked into", database);
	end_line(users, begin);
}

/* The other database's encoding may be another: names then lose what is not ASCII. */
void
depot_users_add_lines(DepotUsers *users, const char *lines, int count, const char *database)
{
	char	   *copy = pstrdup(lines);
	char	   *rest = NULL;

	users->count += count;
	if (!pg_verifymbstr(copy, (int) strlen(copy), true))
		for (char *c = copy; *c != '\0'; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	for (char *line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
	{
		int			begin = users->lines.len;

		appendStringInfo(&users->lines, "%s in database \"%s\"", line, database);
		end_line(users, begin);
	}
	pfree(copy);
}

void
depot_users_append(DepotUsers *users, const DepotUsers *more)
{
	appendStringInfoString(&users->lines, more->lines.data);
	users->count += more->count;
}

void
depot_users_cut(DepotUsers *users, Size bytes)
{
	char	   *last;

	if ((Size) users->lines.len < bytes)
		return;
	users->lines.data[bytes - 1] = '\0';
	last = strrchr(users->lines.data, '\n');
	if (last == NULL)
	{
		/* The arguments of a function may make a long line; whoever is counted first is also named. */
		last = &users->lines.data[bytes - 2];
		*last = '\n';
	}
	users->lines.len = (int) (last + 1 - users->lines.data);
	users->lines.data[users->lines.len] = '\0';
}

/* Lists lines in the detail of a report, as many as fit, and says how many of count there are besides. */
static void
list(const char *lines, int count, DepotReport *report)
{
	/* Room for the last line, which says how many more there are. */
	const size_t limit = sizeof(report->detail) - 40;
	size_t		length = 0;
	int			named = 0;

	report->detail[0] = '\0';
	while (*lines != '\0' && named < NAMED_MAX)
	{
		int			bytes = (int) (strchr(lines, '\n') - lines);

		if (length + bytes + 1 > limit)
			break;
		length += snprintf(report->detail + length, sizeof(report->detail) - length, "%s%.*s",
						   named > 0 ? "\n" : "", bytes, lines);
		lines += bytes + 1;
		named++;
	}
	if (named < count)
		snprintf(report->detail + length, sizeof(report->detail) - length, "%sand %d more",
				 named > 0 ? "\n" : "", count - named);
}

void
depot_users_to_report(const DepotUsers *users, DepotReport *report)
{
	const char *rest = strchr(users->lines.data, '\n') + 1;

	strlcpy(report->sqlstate, unpack_sql_state(SQLSTATE_IN_USE), sizeof(report->sqlstate));
	snprintf(report->message, sizeof(report->message), "%.*s", (int) (rest - users->lines.data - 1), users->lines.data);
	list(rest, users->count - 1, report);
}

void
depot_users_to_detail(const DepotUsers *users, DepotReport *report)
{
	list(users->lines.data, users->count, report);
}
