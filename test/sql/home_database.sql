-- The extension lives in one database, and calls say what is wrong when it does not.
\set outcome `cat test/tools/outcome.sql`
:outcome
\pset format unaligned
\pset tuples_only on

-- this is not it
SELECT outcome('CREATE EXTENSION pg_depot');
SELECT count(*) FROM pg_namespace WHERE nspname = 'depot';
DROP FUNCTION outcome;

\c postgres
SET client_min_messages = warning;
:outcome

-- another schema is out of the question
SELECT outcome('CREATE EXTENSION pg_depot SCHEMA public');

-- the transaction that creates it cannot call it: the leader does not see it yet
BEGIN;
CREATE EXTENSION pg_depot;
SELECT outcome($$SELECT install_extension('hll')$$);
ROLLBACK;

CREATE EXTENSION pg_depot;
SELECT outcome('CREATE EXTENSION pg_depot');

-- one that locks what the leader needs does not wait for itself
BEGIN;
LOCK TABLE depot.repository IN ACCESS EXCLUSIVE MODE;
SELECT outcome($$SELECT refresh_extension_repository()$$);
ROLLBACK;
SELECT outcome($$SELECT refresh_extension_repository()$$);

-- dropped and made again, any number of times
DROP EXTENSION pg_depot;
SELECT outcome($$SELECT refresh_extension_repository()$$);
CREATE EXTENSION pg_depot;
SELECT outcome($$SELECT refresh_extension_repository()$$);
BEGIN;
DROP EXTENSION pg_depot;
ROLLBACK;
SELECT outcome($$SELECT refresh_extension_repository()$$);
DROP EXTENSION pg_depot;
CREATE EXTENSION pg_depot;
SELECT outcome($$SELECT install_extension('hll')$$);

-- a name in the caller's schemas does not shadow the API
CREATE SCHEMA regress_depot;
CREATE FUNCTION regress_depot.install_extension(text) RETURNS text LANGUAGE sql AS $$ SELECT 'shadow' $$;
SET search_path = regress_depot;
SELECT public.outcome($$SELECT install_extension('hll')$$);
RESET search_path;
DROP SCHEMA regress_depot CASCADE;

-- TRUNCATE by hand is seen, and nothing breaks
TRUNCATE depot.generation;
SELECT outcome($$SELECT refresh_extension_repository()$$);
SELECT outcome($$SELECT install_extension('hll')$$);

DROP FUNCTION outcome;
DROP EXTENSION pg_depot;
