-- Who may do what, and when.  Holds promise 8 (trust is the superuser's).
\c postgres
SET client_min_messages = warning;
CREATE EXTENSION pg_depot;
\set outcome `cat test/tools/outcome.sql`
:outcome
CREATE ROLE regress_depot_user;
CREATE ROLE regress_depot_monitor IN ROLE pg_monitor;
CREATE ROLE regress_depot_super SUPERUSER;
\pset format unaligned
\pset tuples_only on

-- an ordinary role reads the catalogue and is refused everything else, whatever it asks for
SET ROLE regress_depot_user;
SELECT count(*) FROM depot.packages;
SELECT count(*) FROM depot.installed_packages;
SELECT outcome($$SELECT install_extension('hll')$$);
SELECT outcome($$SELECT install_extension('a/b')$$);
SELECT outcome($$SELECT install_extension('hll', dry_run => true)$$);
SELECT outcome($$SELECT uninstall_extension('hll')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://127.0.0.1:1', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'ftp://', root_sha256 => 'x')$$);
SELECT outcome($$SELECT drop_extension_repository('main')$$);
SELECT outcome($$SELECT refresh_extension_repository()$$);
SELECT outcome($$SELECT verify_extension_files()$$);
SELECT outcome($$SELECT FROM depot.activity$$);
SELECT outcome($$SELECT FROM depot.activity_log$$);
SELECT outcome($$SELECT FROM depot.health$$);
SELECT outcome($$SELECT depot.local_health()$$);
SELECT count(*) FROM depot.outdated;
SELECT count(*) FROM depot.conflicts;
SELECT outcome($$SELECT depot.running_requests()$$);
SELECT outcome($$SELECT add_extension_node('x', 'regress_depot_user')$$);
SELECT outcome($$SELECT drop_extension_node('x')$$);
SELECT outcome($$SELECT depot.report_node('{}')$$);
SELECT outcome($$SELECT depot.known_nodes()$$);
SELECT outcome($$SELECT depot.streaming_servers()$$);
SELECT outcome($$SELECT FROM depot.nodes$$);
SELECT outcome($$SELECT FROM depot.node_versions$$);
SELECT outcome($$SELECT depot.check_home_database()$$);
SELECT outcome($$SHOW depot.database$$);

-- and none of the tables
SELECT relname FROM pg_class
WHERE relnamespace = 'depot'::regnamespace AND relkind = 'r'
  AND has_table_privilege(oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER');
SELECT outcome($$INSERT INTO depot.generation (generation) VALUES (1)$$);
SELECT outcome($$DELETE FROM depot.installed$$);
RESET ROLE;

-- a monitoring role sees what goes on
SET ROLE regress_depot_monitor;
SELECT count(*) FROM depot.activity;
SELECT count(*) FROM depot.activity_log;
SELECT count(*) > 8 FROM depot.health;
SELECT count(*) FROM depot.nodes;
SELECT outcome($$SELECT install_extension('hll')$$);
RESET ROLE;

-- a superuser who is not the owner may call everything
SET ROLE regress_depot_super;
SELECT outcome($$SELECT refresh_extension_repository()$$);
RESET ROLE;

-- the role in force counts: a superuser may lend his rights by SECURITY DEFINER
CREATE FUNCTION regress_depot_as_owner() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT outcome('SELECT install_extension(''hll'')') $$;
SET ROLE regress_depot_user;
SELECT regress_depot_as_owner();
RESET ROLE;
DROP FUNCTION regress_depot_as_owner;

-- read-only transactions: what only looks is allowed
BEGIN READ ONLY;
SELECT outcome($$SELECT install_extension('hll')$$);
SELECT outcome($$SELECT uninstall_extension('hll')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT drop_extension_repository('main')$$);
SELECT outcome($$SELECT refresh_extension_repository()$$);
SELECT outcome($$SELECT install_extension('hll', dry_run => true)$$);
SELECT outcome($$SELECT verify_extension_files()$$);
COMMIT;

-- settings are the configuration file's
SELECT outcome($$SET depot.allow_http = on$$);
SELECT outcome($$SET depot.database = 'template1'$$);
SELECT outcome($$SET depot.no_such_setting = 1$$);

-- and nonsense is refused there as well
ALTER SYSTEM SET depot.database = '';
ALTER SYSTEM SET depot.directory = '../elsewhere';
ALTER SYSTEM SET depot.directory = 'a:b';
ALTER SYSTEM SET depot.max_package_size = '0';
ALTER SYSTEM SET depot.connect_timeout = '1ms';
ALTER SYSTEM SET depot.stall_timeout = 'never';
ALTER SYSTEM SET depot.proxy = 'ftp://example.org';
ALTER SYSTEM SET depot.ca_file = 'relative.pem';
ALTER SYSTEM SET depot.credentials_file = 'relative.json';
ALTER SYSTEM SET depot.allow_http = 'perhaps';
ALTER SYSTEM SET depot.auto_install = 'always';

DROP ROLE regress_depot_user;
DROP ROLE regress_depot_monitor;
DROP ROLE regress_depot_super;
DROP FUNCTION outcome;
DROP EXTENSION pg_depot;
