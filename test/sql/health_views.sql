-- What the views of health and versions answer.
\c postgres
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION pg_depot;

-- all is well; free space differs
SELECT check_name, state, CASE WHEN check_name ~ 'free|reconcile' THEN regexp_replace(value, '\d+', 'N', 'g') ELSE value END, what_to_do
FROM depot.health;

-- what is not
INSERT INTO depot.installed (package, version, why, state) VALUES ('lost', '1.0', 'requested', 'installed');
INSERT INTO depot.repository (name, url, root_sha256, added_by, refreshed_at, expires_at)
    VALUES ('fresh', 'file:///x', repeat('0', 64), 'x', now(), now() + interval '1 day'),
           ('aging', 'file:///x', repeat('0', 64), 'x', now() - interval '20 hours', now() + interval '4 hours'),
           ('expired', 'file:///x', repeat('0', 64), 'x', '2026-01-01', '2026-01-02'),
           ('never', 'file:///x', repeat('0', 64), 'x', NULL, NULL);
INSERT INTO depot.repository_role (repository, role, version, seen_at, expires_at)
    VALUES ('fresh', 'root', 1, now() - interval '1 day', now() + interval '99 days'),
           ('fresh', 'timestamp', 7, now(), now() + interval '1 day'),
           ('aging', 'root', 1, now() - interval '90 days', now() + interval '10 days'),
           ('aging', 'timestamp', 2, now() - interval '20 hours', now() + interval '4 hours' - interval '1 second'),
           ('expired', 'root', 1, '2026-01-01', now() + interval '1 day'),
           ('expired', 'snapshot', 3, '2026-01-01', '2026-01-02'),
           ('due', 'targets', 3, now() - interval '96 days', now() + interval '4 days'),
           ('due', 'timestamp', 9, now(), now() + interval '1 day');
INSERT INTO depot.repository (name, url, root_sha256, added_by, refreshed_at, expires_at, failed_at, error)
    VALUES ('due', 'file:///x', repeat('0', 64), 'x', now(), now() + interval '1 day', now(), 'no connection');
INSERT INTO depot.declared (ordinal, name, state, reason) VALUES (1, 'fine', 'ok', NULL), (2, 'unknown', 'refused', 'why'), (3, 'slow', 'failed', 'why');
SET client_min_messages = error;
CREATE PUBLICATION regress_depot_everything FOR ALL TABLES;
CREATE PUBLICATION regress_depot_schema FOR TABLES IN SCHEMA depot;
CREATE PUBLICATION regress_depot_other FOR TABLES IN SCHEMA public;
SET client_min_messages = warning;
SELECT check_name, state, CASE WHEN check_name ~ 'fresh|aging|due' THEN regexp_replace(value, '\d+', 'N', 'g') ELSE value END AS value
FROM depot.health WHERE check_name ~ 'repositor|publication|packages|list';
\pset format unaligned
-- nodes depends on whether the leader has looked at the rows above yet
SELECT check_name, what_to_do FROM depot.health WHERE what_to_do IS NOT NULL AND check_name <> 'nodes';

-- what their roles have left of their time, and what to know of an expired repository
SELECT repository, role, version, life FROM depot.repository_roles ORDER BY 1, 2;
SELECT name, state, last_success IS NOT NULL AS success, last_failure IS NOT NULL AS failure, last_error
FROM depot.repositories ORDER BY 1;

-- the same in another database
\c contrib_regression
SET client_min_messages = warning;
CREATE EXTENSION pg_depot_client;
SELECT check_name, state, what_to_do FROM depot.health WHERE state <> 'ok' AND check_name <> 'nodes';
DROP EXTENSION pg_depot_client;
\c postgres
SET client_min_messages = warning;
DROP PUBLICATION regress_depot_everything, regress_depot_schema, regress_depot_other;
DELETE FROM depot.repository WHERE name <> 'fresh';
DELETE FROM depot.declared;

-- versions, by Debian's order
SELECT a, b, depot.compare_versions(a, b) FROM (VALUES ('1.10', '1.9'), ('1.0~beta1', '1.0'), ('1:0.1', '2.0'), ('2.0', '2.0'),
    ('1.0-1', '1.0-2'), ('not a version', '1.0'), ('', '1.0')) v (a, b);
SELECT v, c, depot.version_is_allowed(v, c) FROM (VALUES ('1.10', '>= 1.9, < 2'), ('2.0', '1.*'), ('1.0', '>='), ('x y', '1.0')) t (v, c);
SELECT depot.build_misfit('{}', 'x'), depot.build_misfit('nonsense', '');

-- an update is the newest version of the repository that owns the name, in any order of rows
INSERT INTO depot.repository (name, url, root_sha256, added_by, priority)
    VALUES ('second', 'file:///x', repeat('0', 64), 'x', 200);
INSERT INTO depot.available (repository, target, package, version, kind, names, extensions, size_bytes, unpacked_bytes, sha256, summary, custom)
    SELECT r, format('t/%s/%s', p, v), p, v, 'extension', ARRAY[p], ARRAY[p], 1, 1, repeat('a', 64), '', '{}'
    FROM (VALUES ('fresh', 'lost', '1.9'), ('fresh', 'lost', '1.10'), ('fresh', 'lost', '0.9'), ('second', 'lost', '7'),
                 ('second', 'other', '7'), ('fresh', 'same', '1.0'), ('fresh', 'gone', '2.0'), ('fresh', 'odd', '2.0')) o (r, p, v);
INSERT INTO depot.installed (package, version, why, state)
    VALUES ('other', '6', 'requested', 'installed'), ('same', '1.0', 'dependency', 'installed'),
           ('gone', '1.0', 'requested', 'removed'), ('unlisted', '1.0', 'requested', 'installed'), ('odd', 'no version', 'requested', 'installed');
SELECT * FROM depot.outdated ORDER BY package;

-- a withdrawn version: not offered, and named where it is installed, with the newest that is not withdrawn
INSERT INTO depot.withdrawn (repository, sha256, reason, advisory)
    VALUES ('fresh', repeat('b', 64), 'loses rows', 'CVE-2026-1'), ('fresh', repeat('c', 64), 'crashes', NULL),
           ('second', repeat('a', 64), 'of another build', NULL);
UPDATE depot.available SET sha256 = repeat('b', 64) WHERE repository = 'fresh' AND package = 'lost' AND version = '1.10';
INSERT INTO depot.installed_build (package, major, platform, version, digest, manifest_sha256, repository, target, size_bytes,
                                   unpacked_bytes, extensions, custom)
    SELECT p, 15, 'linux-amd64', v, repeat(c, 64), '', 'fresh', 't', 1, 1, '{}', '{}'
    FROM (VALUES ('lost', '1.0', 'd'), ('same', '1.0', 'c'), ('unlisted', '1.0', 'b')) b (p, v, c);
INSERT INTO depot.available (repository, target, package, version, kind, names, extensions, size_bytes, unpacked_bytes, sha256, summary, custom)
    VALUES ('fresh', 't/same/0.9', 'same', '0.9', 'extension', '{same}', '{same}', 1, 1, repeat('e', 64), 'good',
            '{"postgresql": {"minimum_minor": 0}}');
SELECT * FROM depot.outdated ORDER BY package;
SELECT package, version, repository, summary FROM depot.packages WHERE package IN ('lost', 'same') ORDER BY 1, 2, 3;
SELECT * FROM depot.health WHERE check_name = 'withdrawn packages';

DROP EXTENSION pg_depot;
