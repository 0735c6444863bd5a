-- pg_depot_client: the same functions and views in any other database, with the same rights.
\set outcome `cat test/tools/outcome.sql`
SET client_min_messages = warning;
\pset format unaligned
\pset tuples_only on

-- it can be made before pg_depot is there, and says what is missing
CREATE EXTENSION pg_depot_client;
:outcome
SELECT outcome('SELECT FROM depot.packages');
SELECT outcome($$SELECT install_extension('hll')$$);
SELECT count(*) FROM depot.activity;
DROP EXTENSION pg_depot_client;
SELECT count(*) FROM pg_namespace WHERE nspname = 'depot';
SELECT outcome('CREATE EXTENSION pg_depot_client SCHEMA public');
DROP FUNCTION outcome;

-- not in the home database, with and without pg_depot
\c postgres
SET client_min_messages = warning;
:outcome
SELECT outcome('CREATE EXTENSION pg_depot_client');
CREATE EXTENSION pg_depot;
SELECT outcome('CREATE EXTENSION pg_depot_client');

-- what other databases ought to have: objects with their columns, comments and privileges
SELECT $$
    WITH members AS (
        SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname IN ('pg_depot', 'pg_depot_client')
    ), shapes (shape) AS (
        SELECT format('view %s %s %s', c.relname, c.relacl, obj_description(c.oid, 'pg_class'))
        FROM pg_class c JOIN members ON classid = 'pg_class'::regclass AND objid = c.oid
        WHERE c.relkind = 'v'
        UNION ALL
        SELECT format('column %s.%s %s %s %s %s %s', c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod),
                      a.attcollation::regcollation, a.attacl, col_description(c.oid, a.attnum))
        FROM pg_class c JOIN members ON classid = 'pg_class'::regclass AND objid = c.oid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relkind = 'v'
        UNION ALL
        SELECT format('%s %s.%s(%s) returns %s %s%s %s %s', p.prokind, p.pronamespace::regnamespace, p.proname,
                      pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.provolatile, p.proparallel,
                      p.proacl, obj_description(p.oid, 'pg_proc'))
        FROM pg_proc p JOIN members ON classid = 'pg_proc'::regclass AND objid = p.oid
        WHERE p.proname NOT LIKE 'check\_%\_database' AND p.proname NOT LIKE 'home\_%'
          AND p.proname NOT IN ('build_misfit', 'compare_versions', 'note_restored', 'refuse_replicated', 'report_node', 'streaming_servers', 'version_is_allowed')
        UNION ALL
        SELECT format('schema %s %s', n.nspacl, obj_description(n.oid, 'pg_namespace'))
        FROM pg_namespace n JOIN members ON classid = 'pg_namespace'::regclass AND objid = n.oid
    ) SELECT string_agg(shape, chr(10) ORDER BY shape COLLATE "C") AS shapes FROM shapes $$ AS query \gset
:query \gset home_
SELECT count(*) > 30 FROM regexp_split_to_table(:'home_shapes', '\n');
CREATE ROLE regress_depot_user;
CREATE ROLE regress_depot_monitor IN ROLE pg_monitor;
CREATE ROLE regress_depot_granted;
GRANT SELECT ON depot.activity_log TO regress_depot_granted;
INSERT INTO depot.available (repository, target, package, version, kind, names, extensions, size_bytes, unpacked_bytes,
                             sha256, summary, custom)
    SELECT 'main', 't/' || i, 'package' || i, '1.' || i, 'extension', ARRAY['package' || i],
           CASE i % 3 WHEN 0 THEN '{}' ELSE ARRAY['a,b', '"' || i || E'\\'] END, i::bigint * 5000000000, 1,
           repeat('a', 64), E'caf\u00e9, \u2192 {"x": "y"}, \\ and a ' || i, '{}'
    FROM generate_series(1, 2000) i;
INSERT INTO depot.history (at, action, package, role_name, database_name, duration_ms)
    VALUES ('2026-01-02 03:04:05.678901+05', 'install', 'package1', 'postgres', 'postgres', 7),
           ('infinity', 'remove', NULL, 'postgres', 'postgres', NULL);
SELECT md5(string_agg(p::text, ',' ORDER BY package)) AS packages FROM depot.packages p \gset home_
SELECT md5(string_agg(l::text, ',' ORDER BY id)) AS log FROM depot.activity_log l \gset home_
DROP FUNCTION outcome;

\c contrib_regression
SET client_min_messages = warning;
CREATE EXTENSION pg_depot_client;
:outcome
:query \gset client_
(SELECT 'home only' AS where_it_is, s FROM regexp_split_to_table(:'home_shapes', '\n') s
 EXCEPT SELECT 'home only', s FROM regexp_split_to_table(:'client_shapes', '\n') s)
UNION ALL
(SELECT 'client only', s FROM regexp_split_to_table(:'client_shapes', '\n') s
 EXCEPT SELECT 'client only', s FROM regexp_split_to_table(:'home_shapes', '\n') s);

-- the objects that only the client has
SELECT pg_describe_object(classid, objid, 0) COLLATE "C" AS object FROM pg_depend d
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_depot_client')
  AND pg_describe_object(classid, objid, 0) ~ 'table|sequence|check_|home_'
ORDER BY 1;

-- the same rows, every value of them, an answer of any size
SELECT count(*) FROM depot.packages;
SELECT md5(string_agg(p::text, ',' ORDER BY package)) = :'home_packages' FROM depot.packages p;
SELECT md5(string_agg(l::text, ',' ORDER BY id)) = :'home_log' FROM depot.activity_log l;
SELECT extensions, size_bytes, installed FROM depot.packages WHERE package = 'package2';
SELECT at = 'infinity', package IS NULL, duration_ms IS NULL FROM depot.activity_log ORDER BY id;

-- what is read of the home database is what the role may read there, whatever it is asked with
GRANT SELECT ON depot.activity_log TO PUBLIC;
SET ROLE regress_depot_user;
SELECT count(*) FROM depot.packages;
SELECT count(*) FROM depot.installed_packages;
SELECT outcome('SELECT FROM depot.activity');
SELECT outcome('SELECT FROM depot.activity_log');
SELECT outcome($$SELECT depot.home_rows('activity_log')$$);
SELECT outcome('SELECT depot.running_requests()');
SELECT outcome('SELECT depot.check_client_database()');
SELECT outcome($$SELECT install_extension('hll', dry_run => true)$$);
SET ROLE regress_depot_monitor;
SELECT count(*) FROM depot.activity;
SELECT count(*) FROM depot.activity_log;
SET ROLE regress_depot_granted;
SELECT count(*) FROM depot.activity_log;
SELECT outcome('SELECT FROM depot.activity');
RESET ROLE;
REVOKE SELECT ON depot.activity_log FROM PUBLIC;

-- nothing but the extension's views is read
SELECT outcome($$SELECT depot.home_rows('repository')$$);
SELECT outcome($$SELECT depot.home_rows('packages, depot.repository')$$);
SELECT outcome($$SELECT depot.home_rows('pg_class')$$);
SELECT outcome($$SELECT depot.home_rows('')$$);
SELECT outcome($$SELECT depot.home_rows(repeat('x', 65536))$$);
SELECT depot.home_rows(NULL) IS NULL;

-- the same refusals and answers as in the home database, in a read-only transaction too
BEGIN READ ONLY;
SELECT count(*) FROM depot.packages;
SELECT count(*) FROM depot.installed_packages;
SELECT count(*) FROM depot.activity_log;
SELECT outcome($$SELECT install_extension('hll')$$);
SELECT outcome($$SELECT install_extension('hll', dry_run => true)$$);
SELECT outcome($$SELECT verify_extension_files()$$);
COMMIT;
SELECT outcome($$SELECT install_extension('a/b')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'ftp://example.org', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT refresh_extension_repository()$$);
SELECT outcome($$SELECT drop_extension_repository('main')$$);

-- beside a function of the same name: pg_catalog's is found first
CREATE FUNCTION public.install_extension(extension text, version text DEFAULT NULL, repository text DEFAULT NULL,
    dry_run boolean DEFAULT false, wait_for text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$ SELECT 'public' $$;
SELECT outcome($$SELECT install_extension('hll')$$);
SET search_path = public;
SELECT public.outcome($$SELECT install_extension('hll')$$);
RESET search_path;
SELECT public.install_extension('hll');
DROP FUNCTION public.install_extension(text, text, text, boolean, text);

-- in another encoding, what that lacks is a question mark
CREATE DATABASE regress_depot_latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
\c regress_depot_latin1
SET client_encoding = 'UTF8';
SET client_min_messages = warning;
CREATE EXTENSION pg_depot_client;
SELECT count(*), min(summary) FROM depot.packages;
\c contrib_regression
DROP DATABASE regress_depot_latin1;

-- every database made from template1 has it when that has it
\c template1
SET client_min_messages = warning;
CREATE EXTENSION pg_depot_client;
\c contrib_regression
CREATE DATABASE regress_depot_new;
\c regress_depot_new
SELECT count(*) FROM depot.packages;
\c template1
DROP EXTENSION pg_depot_client;
\c contrib_regression
DROP DATABASE regress_depot_new;

DROP FUNCTION outcome;
DROP EXTENSION pg_depot_client;
SELECT count(*) FROM pg_proc WHERE probin LIKE '%pg_depot%';
\c postgres
DROP EXTENSION pg_depot;
DROP ROLE regress_depot_user;
DROP ROLE regress_depot_monitor;
DROP ROLE regress_depot_granted;
