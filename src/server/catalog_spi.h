/*-------------------------------------------------------------------------
 *
 * catalog_spi.h
 *	  What the files of the catalog share among themselves.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#ifndef DEPOT_CATALOG_SPI_H
#define DEPOT_CATALOG_SPI_H

#include "postgres.h"

#include "common/evidence.h"
#include "common/manifest.h"

/*
 * On a standby, before anything is read in a transaction: raises an error unless the tables are plain ones, whose
 * reading runs nothing of the primary's.  They are locked until the transaction ends.
 */
extern void depot_catalog_check_tables(void);
extern void depot_catalog_check_table(Oid oid);

/* Runs a statement; raises an error unless it ends with expected. Returns the number of rows. */
extern uint64 depot_catalog_execute(int expected, const char *sql, int count, Oid *types, Datum *values,
									const char *nulls);

/* Run a statement that changes one row, or as many as are wanted; raise an error when it did not. */
extern void depot_catalog_execute_exactly(uint64 wanted, int expected, const char *sql, int count, Oid *types,
										  Datum *values);
extern void depot_catalog_execute_one(int expected, const char *sql, int count, Oid *types, Datum *values);

/*
 * Value of a column (from 1) of the current result as it is stored; raises an error when the column is not of that
 * type, which whoever made the table has chosen.
 */
extern Datum depot_catalog_value(uint64 row, int column, Oid type, bool *is_null);

/* Columns of the current result, copied into the result context. */
extern char *depot_catalog_text(uint64 row, int column);
extern int64 depot_catalog_int64(uint64 row, int column);
extern bool depot_catalog_bool(uint64 row, int column);

/* A table that a leader reads as a whole: what it holds of it at most, whoever wrote the rows. */
typedef struct DepotTableLimits
{
	const char *table;			/* with its schema */
	int			rows;
	int			bytes;			/* of columns of varying length, with what is joined to the rows */
	const char *room_hint;		/* how there is room for more; NULL where others see to that */
} DepotTableLimits;

/*
 * Raise an error (54000) where the current result, of one row more than the limit at most, is beyond the limits: what
 * was to be read is; or what this transaction has written would be, from then on.
 */
extern void depot_catalog_check_size(const DepotTableLimits *limits, uint64 count);
extern void depot_catalog_check_growth(const DepotTableLimits *limits, uint64 count);

/* Memory of the result context: a copy of a string, and zeroed bytes. */
extern char *depot_catalog_strdup(const char *string);
extern void *depot_catalog_alloc(Size bytes);

extern const DepotManifest *depot_catalog_manifest(const char *custom, const char *target,
												   char manifest_sha256[65], DepotError *error);

extern Datum depot_catalog_text_datum(const char *utf8);

/* The digests of what proves a build, as a column holds them. */
extern Datum depot_catalog_proof(const DepotEvidence *evidence);

extern Datum depot_catalog_text_array(const char *const *strings, int count);

#endif							/* DEPOT_CATALOG_SPI_H */
