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
INSERT INTO depot.declared (ordinal, name, state, reason) VALUES (1, 'fine', 'ok', NULL), (2, 'unknown', 'refused', 'why'), (3, 'slow', 'failed', 'why');
SET client_min_messages = error;
CREATE PUBLICATION regress_depot_everything FOR ALL TABLES;
CREATE PUBLICATION regress_depot_schema FOR TABLES IN SCHEMA depot;
CREATE PUBLICATION regress_depot_other FOR TABLES IN SCHEMA public;
SET client_min_messages = warning;
SELECT check_name, state, CASE WHEN check_name ~ 'fresh|aging' THEN regexp_replace(value, '\d+', 'N', 'g') ELSE value END AS value
FROM depot.health WHERE check_name ~ 'repositor|publication|packages|list';
\pset format unaligned
SELECT check_name, what_to_do FROM depot.health WHERE what_to_do IS NOT NULL;

-- the same in another database
\c contrib_regression
SET client_min_messages = warning;
CREATE EXTENSION pg_depot_client;
SELECT check_name, state, what_to_do FROM depot.health WHERE state <> 'ok';
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

DROP EXTENSION pg_depot;
