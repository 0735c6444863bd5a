/* sql/pg_depot--1.0.sql: tables, views and functions of the home database */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_depot" to load this file. \quit

CREATE SCHEMA depot;
COMMENT ON SCHEMA depot IS 'pg_depot: what is installed on this cluster, from where, and what could be';

CREATE FUNCTION depot.check_home_database() RETURNS void
    LANGUAGE c STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'depot_check_home_database';
COMMENT ON FUNCTION depot.check_home_database() IS
    'raises an error unless the library is preloaded and this is the database that depot.database names';
REVOKE ALL ON FUNCTION depot.check_home_database() FROM PUBLIC;
SELECT depot.check_home_database();

-- Tables.  Everyone reads them through the views below; the leader writes them.

CREATE TABLE depot.generation (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    generation bigint NOT NULL
);
COMMENT ON TABLE depot.generation IS 'one row whose counter every change of what is installed bumps';
COMMENT ON COLUMN depot.generation.singleton IS 'always true: there is one row';
COMMENT ON COLUMN depot.generation.generation IS 'number of changes so far';
INSERT INTO depot.generation (generation) VALUES (0);

CREATE TABLE depot.repository (
    name text PRIMARY KEY,
    url text NOT NULL,
    mirrors text[] NOT NULL DEFAULT '{}',
    priority integer NOT NULL DEFAULT 100,
    trusted_root text,
    root_sha256 text,
    added_by text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    refreshed_at timestamptz,
    expires_at timestamptz,
    snapshot_version bigint,
    CHECK ((trusted_root IS NULL) <> (root_sha256 IS NULL))
);
COMMENT ON TABLE depot.repository IS 'the repositories a superuser added, each with its trust anchor';
COMMENT ON COLUMN depot.repository.name IS 'name the repository is called by in SQL';
COMMENT ON COLUMN depot.repository.url IS 'where metadata/ and targets/ are found';
COMMENT ON COLUMN depot.repository.mirrors IS 'further places with the same files, tried in this order';
COMMENT ON COLUMN depot.repository.priority IS 'a lower number is asked first; the first repository that lists a name owns it';
COMMENT ON COLUMN depot.repository.trusted_root IS 'TUF root metadata given when the repository was added';
COMMENT ON COLUMN depot.repository.root_sha256 IS 'or the digest of its first root metadata';
COMMENT ON COLUMN depot.repository.added_by IS 'role that added it';
COMMENT ON COLUMN depot.repository.added_at IS 'when it was added';
COMMENT ON COLUMN depot.repository.refreshed_at IS 'when its metadata was last fetched and found valid';
COMMENT ON COLUMN depot.repository.expires_at IS 'when the first of the accepted metadata files expires';
COMMENT ON COLUMN depot.repository.snapshot_version IS 'version of the TUF snapshot whose targets depot.available holds';

CREATE TABLE depot.available (
    repository text NOT NULL,
    target text NOT NULL,
    package text NOT NULL,
    version text NOT NULL,
    kind text NOT NULL,
    names text[] NOT NULL,
    extensions text[] NOT NULL,
    size_bytes bigint NOT NULL,
    unpacked_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    summary text NOT NULL,
    custom json NOT NULL,
    PRIMARY KEY (repository, target)
);
CREATE INDEX available_names ON depot.available USING gin (names);
COMMENT ON TABLE depot.available IS 'what the repositories'' signed metadata offers for this server''s major version and platform';
COMMENT ON COLUMN depot.available.repository IS 'repository whose metadata lists it';
COMMENT ON COLUMN depot.available.target IS 'TUF target path';
COMMENT ON COLUMN depot.available.package IS 'package name';
COMMENT ON COLUMN depot.available.version IS 'package version';
COMMENT ON COLUMN depot.available.kind IS 'extension, module or library';
COMMENT ON COLUMN depot.available.names IS 'every name it can be asked for by: package and extensions';
COMMENT ON COLUMN depot.available.extensions IS 'extensions it provides';
COMMENT ON COLUMN depot.available.size_bytes IS 'size of the download';
COMMENT ON COLUMN depot.available.unpacked_bytes IS 'size of its files';
COMMENT ON COLUMN depot.available.sha256 IS 'digest of the package';
COMMENT ON COLUMN depot.available.summary IS 'one line about it';
COMMENT ON COLUMN depot.available.custom IS 'custom.pg_depot of the target, which resolving reads';

CREATE TABLE depot.installed (
    package text PRIMARY KEY,
    version text NOT NULL,
    why text NOT NULL CHECK (why IN ('requested', 'dependency')),
    state text NOT NULL CHECK (state IN ('installed', 'removed')),
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE depot.installed IS 'the desired state: what every server of the cluster shall have';
COMMENT ON COLUMN depot.installed.package IS 'package name';
COMMENT ON COLUMN depot.installed.version IS 'package version';
COMMENT ON COLUMN depot.installed.why IS 'requested by name, or needed by another package';
COMMENT ON COLUMN depot.installed.state IS 'installed, or removed: only a removed row lets files go';
COMMENT ON COLUMN depot.installed.changed_at IS 'when the row last changed';

CREATE TABLE depot.installed_build (
    package text NOT NULL,
    major integer NOT NULL,
    platform text NOT NULL,
    version text NOT NULL,
    digest text NOT NULL,
    manifest_sha256 text NOT NULL,
    repository text NOT NULL,
    target text NOT NULL,
    size_bytes bigint NOT NULL,
    unpacked_bytes bigint NOT NULL,
    extensions text[] NOT NULL,
    custom json NOT NULL,
    PRIMARY KEY (package, major, platform)
);
COMMENT ON TABLE depot.installed_build IS 'the builds that carry out depot.installed, one per major version and platform';
COMMENT ON COLUMN depot.installed_build.package IS 'package name';
COMMENT ON COLUMN depot.installed_build.major IS 'PostgreSQL major version';
COMMENT ON COLUMN depot.installed_build.platform IS 'operating system and architecture, as linux-amd64';
COMMENT ON COLUMN depot.installed_build.version IS 'package version';
COMMENT ON COLUMN depot.installed_build.digest IS 'sha256 of the package';
COMMENT ON COLUMN depot.installed_build.manifest_sha256 IS 'sha256 of its manifest, which lists every file with its digest';
COMMENT ON COLUMN depot.installed_build.repository IS 'repository it came from';
COMMENT ON COLUMN depot.installed_build.target IS 'TUF target path';
COMMENT ON COLUMN depot.installed_build.size_bytes IS 'size of the package';
COMMENT ON COLUMN depot.installed_build.unpacked_bytes IS 'size of its files';
COMMENT ON COLUMN depot.installed_build.extensions IS 'extensions it provides';
COMMENT ON COLUMN depot.installed_build.custom IS 'custom.pg_depot of the target when it was installed';

CREATE TABLE depot.history (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    action text NOT NULL,
    package text,
    version text,
    previous_version text,
    repository text,
    digest text,
    size_bytes bigint,
    source text,
    role_name text NOT NULL,
    database_name text NOT NULL,
    duration_ms integer
);
COMMENT ON TABLE depot.history IS 'every change pg_depot made, with who asked for it';
COMMENT ON COLUMN depot.history.id IS 'running number';
COMMENT ON COLUMN depot.history.at IS 'when it was recorded';
COMMENT ON COLUMN depot.history.action IS 'install, update, remove, add repository, drop repository';
COMMENT ON COLUMN depot.history.package IS 'package name';
COMMENT ON COLUMN depot.history.version IS 'its version after the change';
COMMENT ON COLUMN depot.history.previous_version IS 'its version before the change';
COMMENT ON COLUMN depot.history.repository IS 'repository name';
COMMENT ON COLUMN depot.history.digest IS 'sha256 of the package';
COMMENT ON COLUMN depot.history.size_bytes IS 'size of the download';
COMMENT ON COLUMN depot.history.source IS 'URL of the repository or mirror that delivered it';
COMMENT ON COLUMN depot.history.role_name IS 'who asked';
COMMENT ON COLUMN depot.history.database_name IS 'from which database';
COMMENT ON COLUMN depot.history.duration_ms IS 'time from the request to the record';

-- Functions that tell what this server holds and does.

CREATE FUNCTION depot.applied_packages(OUT package text, OUT version text, OUT digest text, OUT files integer)
    RETURNS SETOF record LANGUAGE c STRICT STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'depot_applied_packages';
COMMENT ON FUNCTION depot.applied_packages() IS 'packages whose files this server serves, from its own state file';

CREATE FUNCTION depot.running_requests(OUT id bigint, OUT request text, OUT subject text, OUT phase text,
    OUT bytes_done bigint, OUT bytes_total bigint, OUT pid integer, OUT role_name text, OUT started_at timestamptz)
    RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'depot_running_requests';
COMMENT ON FUNCTION depot.running_requests() IS 'requests that wait for or are worked on by the leader';

-- Views.

CREATE VIEW depot.packages AS
    SELECT a.package, a.version, a.extensions, a.size_bytes, a.repository,
           i.version IS NOT NULL AS installed, a.summary
    FROM depot.available a
    LEFT JOIN depot.installed i
        ON i.package = a.package AND i.version = a.version AND i.state = 'installed';
COMMENT ON VIEW depot.packages IS 'what can be installed on this server';
COMMENT ON COLUMN depot.packages.package IS 'package name';
COMMENT ON COLUMN depot.packages.version IS 'package version';
COMMENT ON COLUMN depot.packages.extensions IS 'extensions it provides';
COMMENT ON COLUMN depot.packages.size_bytes IS 'size of the download';
COMMENT ON COLUMN depot.packages.repository IS 'repository that offers it';
COMMENT ON COLUMN depot.packages.installed IS 'is this version installed';
COMMENT ON COLUMN depot.packages.summary IS 'one line about it';

CREATE VIEW depot.installed_packages AS
    SELECT coalesce(i.package, f.package) AS package,
           coalesce(i.version, f.version) AS version,
           CASE
               WHEN i.package IS NULL THEN 'unclaimed'
               WHEN f.digest = b.digest THEN 'active'
               ELSE 'pending'
           END AS state,
           b.extensions, i.why, b.repository, b.unpacked_bytes, i.changed_at AS installed_at
    FROM (SELECT * FROM depot.installed WHERE state = 'installed') i
    LEFT JOIN depot.installed_build b ON b.package = i.package AND b.version = i.version
    FULL JOIN depot.applied_packages() f ON f.package = i.package
    WHERE i.package IS NOT NULL
       OR NOT EXISTS (SELECT FROM depot.installed r WHERE r.package = f.package);
COMMENT ON VIEW depot.installed_packages IS 'what is installed, and whether this server serves it';
COMMENT ON COLUMN depot.installed_packages.package IS 'package name';
COMMENT ON COLUMN depot.installed_packages.version IS 'package version';
COMMENT ON COLUMN depot.installed_packages.state IS
    'active: this server serves it; pending: recorded, not yet served here; unclaimed: served, but named by no row';
COMMENT ON COLUMN depot.installed_packages.extensions IS 'extensions it provides';
COMMENT ON COLUMN depot.installed_packages.why IS 'requested by name, or needed by another package';
COMMENT ON COLUMN depot.installed_packages.repository IS 'repository it came from';
COMMENT ON COLUMN depot.installed_packages.unpacked_bytes IS 'size of its files';
COMMENT ON COLUMN depot.installed_packages.installed_at IS 'when it was recorded';

CREATE VIEW depot.activity AS
    SELECT id, request, subject, phase, bytes_done, bytes_total, pid, role_name, started_at
    FROM depot.running_requests();
COMMENT ON VIEW depot.activity IS 'running requests';
COMMENT ON COLUMN depot.activity.id IS 'number of the request since the server started';
COMMENT ON COLUMN depot.activity.request IS 'function that was called';
COMMENT ON COLUMN depot.activity.subject IS 'extension or repository it is about';
COMMENT ON COLUMN depot.activity.phase IS 'what the leader is doing for it';
COMMENT ON COLUMN depot.activity.bytes_done IS 'bytes done in this phase';
COMMENT ON COLUMN depot.activity.bytes_total IS 'bytes to do in this phase, where known';
COMMENT ON COLUMN depot.activity.pid IS 'process that waits for the answer';
COMMENT ON COLUMN depot.activity.role_name IS 'who asked';
COMMENT ON COLUMN depot.activity.started_at IS 'when the request was made';

CREATE VIEW depot.activity_log AS
    SELECT id, at, action, package, version, previous_version, repository, size_bytes, source,
           role_name, database_name, duration_ms
    FROM depot.history;
COMMENT ON VIEW depot.activity_log IS 'every change pg_depot made, with who asked for it';
COMMENT ON COLUMN depot.activity_log.id IS 'running number';
COMMENT ON COLUMN depot.activity_log.at IS 'when it was recorded';
COMMENT ON COLUMN depot.activity_log.action IS 'install, update, remove, add repository, drop repository';
COMMENT ON COLUMN depot.activity_log.package IS 'package name';
COMMENT ON COLUMN depot.activity_log.version IS 'its version after the change';
COMMENT ON COLUMN depot.activity_log.previous_version IS 'its version before the change';
COMMENT ON COLUMN depot.activity_log.repository IS 'repository name';
COMMENT ON COLUMN depot.activity_log.size_bytes IS 'size of the download';
COMMENT ON COLUMN depot.activity_log.source IS 'URL of the repository or mirror that delivered it';
COMMENT ON COLUMN depot.activity_log.role_name IS 'who asked';
COMMENT ON COLUMN depot.activity_log.database_name IS 'from which database';
COMMENT ON COLUMN depot.activity_log.duration_ms IS 'time from the request to the record';

-- Whoever writes these tables decides whom this server trusts, so ALTER DEFAULT PRIVILEGES must not reach them.
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT 'SCHEMA depot' AS object, a.grantee
            FROM pg_namespace n, aclexplode(n.nspacl) a
            WHERE n.nspname = 'depot' AND a.grantee <> n.nspowner
        UNION
        SELECT 'TABLE ' || c.oid::regclass, a.grantee
            FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.relnamespace = 'depot'::regnamespace AND a.grantee <> c.relowner
        UNION
        SELECT 'FUNCTION ' || p.oid::regprocedure, a.grantee
            FROM pg_proc p, aclexplode(p.proacl) a
            WHERE p.pronamespace = 'depot'::regnamespace AND a.grantee <> p.proowner
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', granted.object,
            CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE granted.grantee::regrole::text END);
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA depot TO PUBLIC;
GRANT SELECT ON depot.packages, depot.installed_packages TO PUBLIC;
GRANT EXECUTE ON FUNCTION depot.applied_packages() TO PUBLIC;
GRANT SELECT ON depot.activity, depot.activity_log TO pg_monitor;
REVOKE ALL ON FUNCTION depot.running_requests() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION depot.running_requests() TO pg_monitor;

-- The API.  In pg_catalog, so that it is found whatever the search path says.

CREATE FUNCTION pg_catalog.add_extension_repository(name text, url text, trusted_root text DEFAULT NULL,
    root_sha256 text DEFAULT NULL, priority integer DEFAULT 100, mirrors text[] DEFAULT NULL,
    OUT repository text, OUT packages integer, OUT expires_at timestamptz)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_add_extension_repository';
COMMENT ON FUNCTION pg_catalog.add_extension_repository(text, text, text, text, integer, text[]) IS
    'adds a repository of signed packages; trust starts at trusted_root, or at the root whose digest is root_sha256';

CREATE FUNCTION pg_catalog.drop_extension_repository(name text)
    RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_drop_extension_repository';
COMMENT ON FUNCTION pg_catalog.drop_extension_repository(text) IS
    'forgets a repository; what was installed from it stays';

CREATE FUNCTION pg_catalog.refresh_extension_repository(name text DEFAULT NULL,
    OUT repository text, OUT changed boolean, OUT packages integer, OUT expires_at timestamptz)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_refresh_extension_repository';
COMMENT ON FUNCTION pg_catalog.refresh_extension_repository(text) IS
    'fetches and checks the metadata of one repository, or of all';

CREATE FUNCTION pg_catalog.install_extension(extension text, version text DEFAULT NULL, repository text DEFAULT NULL,
    dry_run boolean DEFAULT false,
    OUT package text, OUT version text, OUT action text, OUT size_bytes bigint, OUT restart_required boolean,
    OUT repository text)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_install_extension';
COMMENT ON FUNCTION pg_catalog.install_extension(text, text, text, boolean) IS
    'installs the files of an extension or package and what it needs; dry_run only tells what would be done';

CREATE FUNCTION pg_catalog.update_extension(extension text, version text DEFAULT NULL, dry_run boolean DEFAULT false,
    OUT package text, OUT version text, OUT action text, OUT size_bytes bigint, OUT restart_required boolean,
    OUT repository text)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_update_extension';
COMMENT ON FUNCTION pg_catalog.update_extension(text, text, boolean) IS
    'installs newer files of an installed extension; ALTER EXTENSION ... UPDATE in each database then uses them';

CREATE FUNCTION pg_catalog.uninstall_extension(extension text, dry_run boolean DEFAULT false,
    OUT package text, OUT version text, OUT action text, OUT size_bytes bigint)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_uninstall_extension';
COMMENT ON FUNCTION pg_catalog.uninstall_extension(text, boolean) IS
    'removes the files of an extension, unless a database or another package uses it';

CREATE FUNCTION pg_catalog.verify_extension_files(repair boolean DEFAULT false, OUT package text, OUT path text, OUT problem text)
    RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_verify_extension_files';
COMMENT ON FUNCTION pg_catalog.verify_extension_files(boolean) IS
    'compares every installed file with the digest in its package''s manifest; a row per problem; repair fetches again what is damaged';
