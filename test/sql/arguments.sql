-- Names and versions that are no names and versions.
\c postgres
SET client_min_messages = warning;
CREATE EXTENSION pg_depot;
\set outcome `cat test/tools/outcome.sql`
:outcome
\pset format unaligned
\pset tuples_only on

-- names
SELECT outcome($$SELECT install_extension('')$$);
SELECT outcome($$SELECT install_extension('a''b')$$);
SELECT outcome($$SELECT install_extension('a"b')$$);
SELECT outcome($$SELECT install_extension('../x')$$);
SELECT outcome($$SELECT install_extension('/etc/passwd')$$);
SELECT outcome($$SELECT install_extension('a--b')$$);
SELECT outcome($$SELECT install_extension('-a')$$);
SELECT outcome($$SELECT install_extension('a-')$$);
SELECT outcome($$SELECT install_extension('a..b')$$);
SELECT outcome($$SELECT install_extension(E'a\nb')$$);
SELECT outcome($$SELECT install_extension(E'a\tb\rc')$$);
SELECT outcome($$SELECT install_extension(repeat('a', 63))$$);
SELECT outcome($$SELECT install_extension(repeat('a', 64))$$);
SELECT outcome($$SELECT install_extension(repeat('x', 65536))$$);
SELECT outcome($$SELECT install_extension(repeat('x', 3000000))$$);
SELECT outcome($$SELECT install_extension(NULL)$$);
-- not valid in the database's encoding: the server itself refuses it
SELECT outcome($$SELECT install_extension(E'\xff')$$);

-- versions and constraints
SELECT outcome($$SELECT install_extension('hll', '')$$);
SELECT outcome($$SELECT install_extension('hll', '1--2')$$);
SELECT outcome($$SELECT install_extension('hll', '../1')$$);
SELECT outcome($$SELECT install_extension('hll', '1''2')$$);
SELECT outcome($$SELECT install_extension('hll', E'1\n2')$$);
SELECT outcome($$SELECT install_extension('hll', '>=')$$);
SELECT outcome($$SELECT install_extension('hll', '>= 1,')$$);
SELECT outcome($$SELECT install_extension('hll', '*')$$);
SELECT outcome($$SELECT install_extension('hll', '1.*.2')$$);
SELECT outcome($$SELECT install_extension('hll', repeat('1', 65536))$$);

-- repositories by name
SELECT outcome($$SELECT install_extension('hll', repository => '../main')$$);
SELECT outcome($$SELECT install_extension('hll', repository => 'absent')$$);
SELECT outcome($$SELECT install_extension('hll', repository => repeat('r', 65536))$$);

-- there is no repository
SELECT outcome($$SELECT install_extension('hll')$$);
SELECT outcome($$SELECT install_extension('hll', dry_run => true)$$);

-- what the installation itself provides is there already
SELECT * FROM install_extension('plpgsql');
SELECT * FROM install_extension('plpgsql', '99.*');

-- the same gate for removal
SELECT outcome($$SELECT uninstall_extension('a/b')$$);
SELECT outcome($$SELECT uninstall_extension(E'a\nb')$$);
SELECT outcome($$SELECT uninstall_extension(repeat('x', 65536))$$);
SELECT outcome($$SELECT uninstall_extension(NULL)$$);
SELECT outcome($$SELECT uninstall_extension('hll')$$);
SELECT outcome($$SELECT uninstall_extension('plpgsql')$$);
SELECT outcome($$SELECT update_extension('plpgsql')$$);

-- null is neither yes nor no
SELECT outcome($$SELECT install_extension('hll', dry_run => NULL)$$);
SELECT outcome($$SELECT update_extension('hll', dry_run => NULL)$$);
SELECT outcome($$SELECT uninstall_extension('hll', dry_run => NULL)$$);
SELECT outcome($$SELECT uninstall_extension('hll', force => NULL)$$);
SELECT outcome($$SELECT verify_extension_files(NULL)$$);
SELECT outcome($$SELECT apply_extension_lock('{}', prune => NULL)$$);
SELECT outcome($$SELECT apply_extension_lock('{}', dry_run => NULL)$$);

-- whom to wait for
SELECT outcome($$SELECT install_extension('hll', wait_for => '')$$);
SELECT outcome($$SELECT install_extension('hll', wait_for => 'everybody')$$);
SELECT outcome($$SELECT update_extension('hll', wait_for => '-1')$$);
SELECT outcome($$SELECT update_extension('hll', wait_for => repeat('9', 1000))$$);

-- servers and roles
SELECT outcome($$SELECT add_extension_node(NULL, 'x')$$);
SELECT outcome($$SELECT add_extension_node('x', NULL)$$);
SELECT outcome($$SELECT add_extension_node('', 'x')$$);
SELECT outcome($$SELECT add_extension_node('-x', 'x')$$);
SELECT outcome($$SELECT add_extension_node('a b', 'x')$$);
SELECT outcome($$SELECT add_extension_node(repeat('x', 65536), 'x')$$);
SELECT outcome($$SELECT add_extension_node('x', 'regress_depot_nobody')$$);
SELECT outcome($$SELECT add_extension_node('x', E'"; DROP TABLE depot.node; --')$$);
SELECT outcome($$SELECT drop_extension_node(NULL)$$);
SELECT outcome($$SELECT drop_extension_node(E'a\nb')$$);
SELECT outcome($$SELECT drop_extension_node('x')$$);

-- nothing of this left a trace
SELECT count(*) FROM depot.installed_packages;
SELECT count(*) FROM depot.activity_log;
SELECT count(*) FROM depot.activity;
SELECT generation FROM depot.generation;
SELECT count(*) FROM verify_extension_files();

DROP FUNCTION outcome;
DROP EXTENSION pg_depot;
