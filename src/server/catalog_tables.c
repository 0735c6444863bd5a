/*-------------------------------------------------------------------------
 *
 * catalog_tables.c
 *	  Whether the tables that a standby reads are nothing but tables.
 *
 * Their definitions come from the primary like their rows.  A view in the place
 * of one, a rule, or a column or index of a type of somebody's own would have
 * the leader run somebody's functions, as superuser, when it reads them.  It is
 * looked at before a statement is parsed, as parsing already has a column's
 * type read the literals that stand beside the column; what catalog_plans.c
 * looks at comes after that.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "nodes/pg_list.h"
#include "server/catalog_spi.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* What the leader reads on a standby. */
static const char *const read_tables[] = {
	"available", "evidence", "generation", "installed", "installed_build", "node", "payload", "repository",
	"repository_metadata", "withdrawn"
};

/* Types, operators and the like that initdb has made. */
static bool
is_builtin(Oid oid)
{
	return oid < FirstNormalObjectId;
}

static bool
has_plain_columns(Relation relation)
{
	TupleDesc	columns = RelationGetDescr(relation);

	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);

		if (!column->attisdropped && (!is_builtin(column->atttypid) || column->attgenerated != '\0'))
			return false;
	}
	return true;
}

static bool
is_plain_index(Oid oid)
{
	Relation	index = index_open(oid, AccessShareLock);
	bool		is_plain = heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) &&
	heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) && is_builtin(index->rd_rel->relam);

	for (int i = 0; is_plain && i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		is_plain = is_builtin(index->rd_opfamily[i]) && is_builtin(index->rd_opcintype[i]);
	index_close(index, AccessShareLock);
	return is_plain;
}

static bool
has_plain_indexes(Relation relation)
{
	List	   *indexes = RelationGetIndexList(relation);
	ListCell   *cell;
	bool		is_plain = true;

	foreach(cell, indexes)
		is_plain = is_plain && is_plain_index(lfirst_oid(cell));
	list_free(indexes);
	return is_plain;
}

/* A table of a newer version may be unknown here, and one of this version to an older primary. */
static bool
is_plain_table(Oid oid)
{
	Relation	relation = relation_open(oid, AccessShareLock);
	Form_pg_class row = relation->rd_rel;
	bool		is_plain = row->relkind == RELKIND_RELATION && is_builtin(row->relam) && !row->relispartition &&
	!row->relrowsecurity && relation->rd_rules == NULL &&
	find_inheritance_children(oid, AccessShareLock) == NIL && has_plain_columns(relation) &&
	has_plain_indexes(relation);

	/* It stays so until the transaction ends: what would change it is not replayed before. */
	relation_close(relation, NoLock);
	return is_plain;
}

void
depot_catalog_check_table(Oid oid)
{
	char	   *name;

	if (is_plain_table(oid))
		return;
	name = get_rel_name(oid);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"depot.%s\" is not as extension pg_depot makes it", name != NULL ? name : "?"),
			 errdetail("Reading it might run functions that somebody has put there on the primary."),
			 errhint("Drop extension pg_depot on the primary and create it again; what is installed stays.")));
}

void
depot_catalog_check_tables(void)
{
	Oid			schema = get_namespace_oid("depot", true);

	for (size_t i = 0; OidIsValid(schema) && i < lengthof(read_tables); i++)
	{
		Oid			oid = get_relname_relid(read_tables[i], schema);

		if (OidIsValid(oid))
			depot_catalog_check_table(oid);
	}
}
