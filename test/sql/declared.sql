-- The declared list without a repository: what check_extension_list tells, and what depot.desired shows.
\c postgres
SET client_min_messages = warning;
CREATE EXTENSION pg_depot;
\set outcome `cat test/tools/outcome.sql`
:outcome

-- grammar, and what is wrong with entries
SELECT * FROM check_extension_list('');
SELECT * FROM check_extension_list(' , ,');
SELECT * FROM check_extension_list('plpgsql, vector >= 1.2, < 2, hll 2.*,');
SELECT * FROM check_extension_list('>= 1, a b c, ../x, a--b, plpgsql 99');
SELECT * FROM check_extension_list(E'plpgsql,\n\thll\t1.0,plpgsql 1');
SELECT position, name, action FROM check_extension_list('äöü, "x", ' || repeat('y', 70));

-- values that are no list
\pset format unaligned
\pset tuples_only on
SELECT outcome($$SELECT check_extension_list(NULL)$$);
SELECT outcome($$SELECT check_extension_list(E'a\x01b')$$);
SELECT outcome($$SELECT check_extension_list(repeat('a', 1048577))$$);
SELECT outcome($$SELECT check_extension_list(repeat('a,', 16385))$$);
SELECT outcome($$SET depot.extensions = 'hll'$$);
SELECT outcome($$SET depot.extensions_prune = on$$);
\pset tuples_only off
\pset format aligned

-- the same from a read-only transaction, and whatever the search path
BEGIN READ ONLY;
SET LOCAL search_path = '';
SELECT name, action FROM pg_catalog.check_extension_list('plpgsql, hll');
COMMIT;

-- ten thousand entries: no more than a few seconds
SET statement_timeout = '10s';
SELECT action, count(*) FROM check_extension_list((SELECT string_agg('name' || i, ', ') FROM generate_series(1, 10000) i))
    GROUP BY 1;
RESET statement_timeout;

-- in the file: the good and the bad
ALTER SYSTEM SET depot.extensions = 'plpgsql, nobody_has_this, plpgsql 1, a b c';
SELECT pg_reload_conf();
DO $$
BEGIN
    FOR i IN 1..300 LOOP
        EXIT WHEN (SELECT count(*) FROM depot.desired) = 4;
        PERFORM pg_sleep(0.1);
        COMMIT;
    END LOOP;
END
$$;
SELECT name, version_constraint, origin, installed_version, state, reason FROM depot.desired ORDER BY name, state;
CREATE ROLE reader;
SET ROLE reader;
SELECT count(*) FROM depot.desired;
SELECT outcome($$SELECT check_extension_list('x')$$);
RESET ROLE;
DROP ROLE reader;

-- an empty list empties it
ALTER SYSTEM RESET depot.extensions;
SELECT pg_reload_conf();
DO $$
BEGIN
    FOR i IN 1..300 LOOP
        EXIT WHEN (SELECT count(*) FROM depot.desired) = 0;
        PERFORM pg_sleep(0.1);
        COMMIT;
    END LOOP;
END
$$;
SELECT count(*) FROM depot.desired;

-- values that are refused when they are set
\pset format unaligned
ALTER SYSTEM SET depot.extensions = E'a\x01b';
ALTER SYSTEM SET depot.refresh_interval = '-1';
ALTER SYSTEM SET depot.refresh_interval = '31d';

DROP FUNCTION outcome;
DROP EXTENSION pg_depot;
