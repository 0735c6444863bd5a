-- What add_extension_repository refuses before it asks anybody.
\c postgres
SET client_min_messages = warning;
CREATE EXTENSION pg_depot;
\set outcome `cat test/tools/outcome.sql`
:outcome
\pset format unaligned
\pset tuples_only on

-- trust anchors: exactly one, and well-formed
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', trusted_root => '{}', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', root_sha256 => 'abc')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', root_sha256 => repeat('A', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', trusted_root => '')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', trusted_root => 'not json')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', trusted_root => '{}')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', trusted_root => '{"a":1,"a":2}')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', trusted_root => repeat('[', 100000))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', trusted_root => repeat('x', 1000000))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', trusted_root => repeat('x', 3000000))$$);

-- names
SELECT outcome($$SELECT add_extension_repository('', 'file:///nowhere', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('../main', 'file:///nowhere', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('Main', 'file:///nowhere', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository(E'a\nb', 'file:///nowhere', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository(repeat('m', 65536), 'file:///nowhere', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository(NULL, 'file:///nowhere', root_sha256 => repeat('0', 64))$$);

-- URLs
SELECT outcome($$SELECT add_extension_repository('main', NULL, root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', '', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'ftp://example.org', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'HTTPS://example.org', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://user:secret@example.org', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://example.org:0', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://example.org:65536', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://example.org/?q', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://example.org/#f', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://example.org/a/../b', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://example.org/%2e%2e/b', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://example.org/%2f', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://example.org/a b', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', E'https://example.org/\n', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'https://example.org/' || repeat('x', 65536), root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'http://example.org', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:nowhere', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file://host/nowhere', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///../nowhere', root_sha256 => repeat('0', 64))$$);

-- mirrors
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', root_sha256 => repeat('0', 64), mirrors => '{ftp://example.org}')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', root_sha256 => repeat('0', 64), mirrors => '{NULL}')$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', root_sha256 => repeat('0', 64),
    mirrors => array_fill('file:///nowhere'::text, '{1000}'))$$);

-- types of keys
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', root_sha256 => repeat('0', 64), all_key_types => NULL)$$);
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', root_sha256 => repeat('0', 64), all_key_types => true)$$);

-- nobody is there
SELECT outcome($$SELECT add_extension_repository('main', 'file:///nowhere', root_sha256 => repeat('0', 64))$$);
SELECT outcome($$SELECT add_extension_repository('main', 'http://127.0.0.1:1/x', root_sha256 => repeat('0', 64))$$);

-- the others
SELECT outcome($$SELECT drop_extension_repository('main')$$);
SELECT outcome($$SELECT drop_extension_repository('a/b')$$);
SELECT outcome($$SELECT drop_extension_repository(NULL)$$);
SELECT outcome($$SELECT refresh_extension_repository('main')$$);
SELECT outcome($$SELECT refresh_extension_repository('a/b')$$);
SELECT outcome($$SELECT refresh_extension_repository()$$);

-- nothing of this left a trace
SELECT count(*) FROM depot.repository;
SELECT count(*) FROM depot.packages;
SELECT count(*) FROM depot.activity_log;
SELECT generation FROM depot.generation;

DROP FUNCTION outcome;
DROP EXTENSION pg_depot;
