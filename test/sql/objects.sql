-- Every object of the extension is described, owned and shaped as it should be.
\c postgres
SET client_min_messages = warning;
CREATE EXTENSION pg_depot;

CREATE TEMP VIEW members AS
    SELECT classid, objid FROM pg_depend
    WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
      AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_depot');

-- the extension's functions, tables and views
SELECT pg_describe_object(classid, objid, 0) COLLATE "C" AS object FROM members ORDER BY 1;

-- functions, tables, views and columns without a comment
SELECT p.oid::regprocedure AS function
FROM pg_proc p JOIN members m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
WHERE obj_description(p.oid, 'pg_proc') IS NULL;
SELECT c.oid::regclass AS relation, a.attname AS column
FROM pg_class c
JOIN members m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum >= 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'v')
  AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL);
SELECT obj_description('depot'::regnamespace, 'pg_namespace') IS NOT NULL AS schema_has_comment;

-- what \df and \d+ show of one of each
\x on
\df pg_catalog.install_extension
\df pg_catalog.add_extension_repository
\x off
\d+ depot.packages

-- comments are one line
SELECT objoid, description FROM pg_description d JOIN members m ON m.classid = d.classoid AND m.objid = d.objoid
WHERE description ~ '[\n\r]' OR description = '' OR description ~ '\.$';

-- tables without a primary key
SELECT c.oid::regclass FROM pg_class c
WHERE relnamespace = 'depot'::regnamespace AND relkind = 'r'
  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary);

-- tables that rows of another cluster can get into
SELECT c.oid::regclass FROM pg_class c
WHERE relnamespace = 'depot'::regnamespace AND relkind = 'r'
  AND (SELECT count(*) FROM pg_trigger t
       WHERE t.tgrelid = c.oid AND t.tgfoid = 'depot.refuse_replicated'::regproc AND t.tgenabled = 'A') <> 2;

-- API functions: written in C, never inlined into parallel plans, none of them marked as harmless
SELECT p.proname, p.provolatile, p.proparallel, p.prosecdef, l.lanname
FROM pg_proc p JOIN members m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'pg_catalog'::regnamespace
ORDER BY p.proname;

-- they are found whatever the search path
SET search_path = '';
SELECT * FROM verify_extension_files();
RESET search_path;

DROP EXTENSION pg_depot;
SELECT count(*) FROM pg_namespace WHERE nspname = 'depot';
