-- tables.sql: what only the home database has, its tables

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_depot" to load this file. \quit

-- Checked before the schema is made, which an extension that is in the wrong place may have made already.
CREATE FUNCTION @extschema@.check_home_database() RETURNS void
    LANGUAGE c STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'depot_check_home_database';
SELECT @extschema@.check_home_database();
CREATE SCHEMA depot;
ALTER FUNCTION @extschema@.check_home_database() SET SCHEMA depot;
COMMENT ON FUNCTION depot.check_home_database() IS
    'raises an error unless the library is preloaded and this is the database that depot.database names';
REVOKE ALL ON FUNCTION depot.check_home_database() FROM PUBLIC;

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
    all_key_types boolean NOT NULL DEFAULT false,
    added_by text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    refreshed_at timestamptz,
    expires_at timestamptz,
    snapshot_version bigint,
    failed_at timestamptz,
    error text,
    CHECK ((trusted_root IS NULL) <> (root_sha256 IS NULL))
);
COMMENT ON TABLE depot.repository IS 'the repositories a superuser added, each with its trust anchor';
COMMENT ON COLUMN depot.repository.name IS 'name the repository is called by in SQL';
COMMENT ON COLUMN depot.repository.url IS 'where metadata/ and targets/ are found';
COMMENT ON COLUMN depot.repository.mirrors IS 'further places with the same files, tried in this order';
COMMENT ON COLUMN depot.repository.priority IS 'a lower number is asked first; the first repository that lists a name owns it';
COMMENT ON COLUMN depot.repository.trusted_root IS 'TUF root metadata given when the repository was added';
COMMENT ON COLUMN depot.repository.root_sha256 IS 'or the digest of its first root metadata';
COMMENT ON COLUMN depot.repository.all_key_types IS 'whether ECDSA and RSA keys count besides ed25519';
COMMENT ON COLUMN depot.repository.added_by IS 'role that added it';
COMMENT ON COLUMN depot.repository.added_at IS 'when it was added';
COMMENT ON COLUMN depot.repository.refreshed_at IS 'when its metadata was last fetched and found valid';
COMMENT ON COLUMN depot.repository.expires_at IS 'when the first of the accepted metadata files expires';
COMMENT ON COLUMN depot.repository.snapshot_version IS 'version of the TUF snapshot whose targets depot.available holds';
COMMENT ON COLUMN depot.repository.failed_at IS 'when it could last not be refreshed; null: the last refresh succeeded';
COMMENT ON COLUMN depot.repository.error IS 'why';

CREATE TABLE depot.repository_role (
    repository text NOT NULL,
    role text NOT NULL,
    version bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (repository, role)
);
COMMENT ON TABLE depot.repository_role IS 'the TUF roles whose metadata was accepted last, of every repository';
COMMENT ON COLUMN depot.repository_role.repository IS 'repository name';
COMMENT ON COLUMN depot.repository_role.role IS 'root, timestamp, snapshot, targets, or a role that targets delegates to';
COMMENT ON COLUMN depot.repository_role.version IS 'version of its metadata';
COMMENT ON COLUMN depot.repository_role.seen_at IS 'when this cluster accepted this version: its lifetime counts from then';
COMMENT ON COLUMN depot.repository_role.expires_at IS 'when it expires';

CREATE TABLE depot.repository_metadata (
    repository text NOT NULL,
    role text NOT NULL,
    version bigint NOT NULL,
    content bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (repository, role, version)
);
ALTER TABLE depot.repository_metadata ALTER COLUMN content SET STORAGE EXTERNAL;
COMMENT ON TABLE depot.repository_metadata IS 'the signed metadata accepted last, for servers that lack it; each believes only what verifies from its own trusted root';
COMMENT ON COLUMN depot.repository_metadata.repository IS 'repository it is from';
COMMENT ON COLUMN depot.repository_metadata.role IS 'TUF role, or withdrawn.list; of root every version of the chain is kept, of others the one in use';
COMMENT ON COLUMN depot.repository_metadata.version IS 'version of the metadata';
COMMENT ON COLUMN depot.repository_metadata.content IS 'the signed bytes as they were received';
COMMENT ON COLUMN depot.repository_metadata.recorded_at IS 'when it was recorded';

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

CREATE TABLE depot.withdrawn (
    repository text NOT NULL,
    sha256 text NOT NULL,
    reason text NOT NULL,
    advisory text,
    PRIMARY KEY (repository, sha256)
);
COMMENT ON TABLE depot.withdrawn IS 'builds that their publishers have withdrawn';
COMMENT ON COLUMN depot.withdrawn.repository IS 'repository whose metadata says so; it counts for builds from there';
COMMENT ON COLUMN depot.withdrawn.sha256 IS 'digest of the package';
COMMENT ON COLUMN depot.withdrawn.reason IS 'why, in the words of the publisher';
COMMENT ON COLUMN depot.withdrawn.advisory IS 'security advisory, where there is one';

CREATE TABLE depot.installed (
    package text PRIMARY KEY,
    version text NOT NULL,
    why text NOT NULL CHECK (why IN ('requested', 'declared', 'dependency')),
    state text NOT NULL CHECK (state IN ('installed', 'removed')),
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE depot.installed IS 'the desired state: what every server of the cluster shall have';
COMMENT ON COLUMN depot.installed.package IS 'package name';
COMMENT ON COLUMN depot.installed.version IS 'package version';
COMMENT ON COLUMN depot.installed.why IS 'requested by name, declared in depot.extensions, or a dependency of another package';
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
    evidence text[],
    evidence_root bigint,
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
COMMENT ON COLUMN depot.installed_build.evidence IS 'sha256 of the signed metadata that proves it: the top-level targets, then the roles on the way to it';
COMMENT ON COLUMN depot.installed_build.evidence_root IS 'version of the root under which that was accepted';

CREATE TABLE depot.evidence (
    repository text NOT NULL,
    role text NOT NULL,
    version bigint NOT NULL,
    sha256 text NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (repository, sha256, role)
);
CREATE INDEX evidence_versions ON depot.evidence (repository, role, version);
COMMENT ON TABLE depot.evidence IS 'the signed metadata that proves what is installed, for every server to verify from its own trusted root';
COMMENT ON COLUMN depot.evidence.repository IS 'repository it is from';
COMMENT ON COLUMN depot.evidence.role IS 'TUF role: root, of which every version stays, targets, or one that targets delegates to';
COMMENT ON COLUMN depot.evidence.version IS 'version of the metadata';
COMMENT ON COLUMN depot.evidence.sha256 IS 'its digest';
COMMENT ON COLUMN depot.evidence.content IS 'the signed bytes as they were received';

CREATE TABLE depot.payload (
    digest bytea NOT NULL,
    chunk integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (digest, chunk)
) WITH (toast_tuple_target = 8160);
-- A row fills a page: nothing of it is compressed, which it is already, or moved to another table.
ALTER TABLE depot.payload ALTER COLUMN digest SET STORAGE PLAIN, ALTER COLUMN data SET STORAGE PLAIN;
-- The leader writes it past logical decoding: to subscribers these rows mean nothing, and their removal neither.
ALTER TABLE depot.payload REPLICA IDENTITY NOTHING;
COMMENT ON TABLE depot.payload IS 'the packages that are installed, byte for byte, for servers that lack them; each verifies what it takes from here';
COMMENT ON COLUMN depot.payload.digest IS 'sha256 of the package';
COMMENT ON COLUMN depot.payload.chunk IS 'number of the piece, from 0';
COMMENT ON COLUMN depot.payload.data IS '8000 bytes of it; the last piece has the rest';

CREATE TABLE depot.declared (
    ordinal integer PRIMARY KEY,
    name text NOT NULL,
    version_constraint text,
    package text,
    version text,
    state text NOT NULL CHECK (state IN ('ok', 'pending', 'refused', 'failed')),
    reason text,
    since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE depot.declared IS 'the entries of depot.extensions and what became of each';
COMMENT ON COLUMN depot.declared.ordinal IS 'number of the entry in the list, from 1';
COMMENT ON COLUMN depot.declared.name IS 'extension or package it names';
COMMENT ON COLUMN depot.declared.version_constraint IS 'versions it allows; null: any';
COMMENT ON COLUMN depot.declared.package IS 'package it means, where known';
COMMENT ON COLUMN depot.declared.version IS 'version that satisfies it, or will';
COMMENT ON COLUMN depot.declared.state IS 'ok, pending, refused or failed';
COMMENT ON COLUMN depot.declared.reason IS 'why it is in this state, where there is something to say';
COMMENT ON COLUMN depot.declared.since IS 'since when it is in this state';

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
COMMENT ON COLUMN depot.history.action IS
    'install, update, remove, add repository, drop repository, add node, drop node';
COMMENT ON COLUMN depot.history.package IS 'package name';
COMMENT ON COLUMN depot.history.version IS 'its version after the change';
COMMENT ON COLUMN depot.history.previous_version IS 'its version before the change';
COMMENT ON COLUMN depot.history.repository IS 'repository name';
COMMENT ON COLUMN depot.history.digest IS 'sha256 of the package';
COMMENT ON COLUMN depot.history.size_bytes IS 'size of the download';
COMMENT ON COLUMN depot.history.source IS 'URL of the repository or mirror that delivered it; the name of a node';
COMMENT ON COLUMN depot.history.role_name IS 'who asked: a role, or the setting depot.extensions';
COMMENT ON COLUMN depot.history.database_name IS 'from which database';
COMMENT ON COLUMN depot.history.duration_ms IS 'time from the request to the record';

CREATE FUNCTION depot.current_generation() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS 'SELECT generation FROM depot.generation';
COMMENT ON FUNCTION depot.current_generation() IS 'generation of the rows; null where they are in another database';

CREATE TABLE depot.node (
    name text PRIMARY KEY,
    role_name text NOT NULL UNIQUE,
    version text,
    server_version text,
    libc_version text,
    platform text,
    restart_required boolean,
    missing text,
    sqlstate text,
    error text,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE depot.node IS 'the servers that may report to the primary, and of what they say what changes seldom';
COMMENT ON COLUMN depot.node.name IS 'name of the server: its depot.node_name or cluster_name';
COMMENT ON COLUMN depot.node.role_name IS 'role that it reports as';
COMMENT ON COLUMN depot.node.version IS 'version of pg_depot''s library there; null: it has not reported yet';
COMMENT ON COLUMN depot.node.server_version IS 'version of PostgreSQL there';
COMMENT ON COLUMN depot.node.libc_version IS 'version of the C library there';
COMMENT ON COLUMN depot.node.platform IS 'operating system and architecture, as linux-amd64';
COMMENT ON COLUMN depot.node.restart_required IS 'whether a package there is waiting for a restart of the server';
COMMENT ON COLUMN depot.node.missing IS 'packages that it does not serve as it should, and why';
COMMENT ON COLUMN depot.node.sqlstate IS 'SQLSTATE of its last error';
COMMENT ON COLUMN depot.node.error IS 'its last error; null: the last attempt had none';
COMMENT ON COLUMN depot.node.changed_at IS 'when it last said something else than before';

-- In the home database alone, since what is registered here says who may call it.
CREATE FUNCTION depot.report_node(report text) RETURNS void
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'depot_report_node';
COMMENT ON FUNCTION depot.report_node(text) IS
    'takes a standby''s report of itself, as a role that add_extension_node lets do that';

-- pg_receivewal, backups and logical replication replay nothing.
CREATE FUNCTION depot.streaming_servers() RETURNS SETOF text
    LANGUAGE sql STABLE PARALLEL RESTRICTED AS $$
    SELECT r.application_name
    FROM pg_catalog.pg_stat_replication r
    WHERE r.state IN ('startup', 'catchup', 'streaming') AND r.replay_lsn IS NOT NULL
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s
                      WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
    $$;
COMMENT ON FUNCTION depot.streaming_servers() IS
    'names of the servers that stream from this one and replay what they receive, one for each';

-- How the views judge versions and builds.  What is no version or no description has an answer, too.

CREATE FUNCTION depot.compare_versions(a text, b text) RETURNS integer
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'depot_compare_versions';
COMMENT ON FUNCTION depot.compare_versions(text, text) IS
    'less than, equal to or greater than 0 as version a is older than, the same as or newer than b; null: one is no version';

CREATE FUNCTION depot.version_is_allowed(version text, version_constraint text) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'depot_version_is_allowed';
COMMENT ON FUNCTION depot.version_is_allowed(text, text) IS
    'does a version satisfy a constraint; null: one of them is none';

CREATE FUNCTION depot.build_misfit(custom text, target text) RETURNS text
    LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'depot_build_misfit';
COMMENT ON FUNCTION depot.build_misfit(text, text) IS 'why a build does not run on this server; null: it does';
