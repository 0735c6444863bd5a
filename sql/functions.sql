-- functions.sql: what this server holds and does, which any database answers without the home database

COMMENT ON SCHEMA depot IS 'pg_depot: what is installed on this cluster, from where, and what could be';

CREATE FUNCTION depot.applied_packages(OUT package text, OUT version text, OUT digest text, OUT files integer)
    RETURNS SETOF record LANGUAGE c STRICT STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'depot_applied_packages';
COMMENT ON FUNCTION depot.applied_packages() IS 'packages whose files this server serves, from its own state file';

CREATE FUNCTION depot.running_requests(OUT id bigint, OUT request text, OUT subject text, OUT phase text,
    OUT bytes_done bigint, OUT bytes_total bigint, OUT pid integer, OUT role_name text, OUT started_at timestamptz)
    RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'depot_running_requests';
COMMENT ON FUNCTION depot.running_requests() IS 'requests that wait for or are worked on by the leader';

CREATE FUNCTION depot.local_health(OUT check_name text, OUT state text, OUT value text, OUT what_to_do text)
    RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'depot_local_health';
COMMENT ON FUNCTION depot.local_health() IS 'the checks of depot.health that need neither tables nor the leader';

CREATE FUNCTION depot.local_conflicts(OUT package text, OUT kind text, OUT path text)
    RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'depot_local_conflicts';
COMMENT ON FUNCTION depot.local_conflicts() IS 'what both a served package and the server installation have';

CREATE FUNCTION depot.local_files_ready(generation bigint, OUT ready boolean, OUT reason text, OUT missing text,
    OUT what_to_do text)
    RETURNS record LANGUAGE c VOLATILE PARALLEL SAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'depot_local_files_ready';
COMMENT ON FUNCTION depot.local_files_ready(bigint) IS
    'what extension_files_ready answers, with rows of this generation; null: as the leader last saw them';

CREATE FUNCTION depot.known_nodes(OUT name text, OUT is_this boolean, OUT is_current boolean,
    OUT applied_generation bigint, OUT last_seen timestamptz, OUT problem text, OUT restart_required boolean,
    OUT version text, OUT server_version text, OUT libc_version text, OUT platform text)
    RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'depot_known_nodes';
COMMENT ON FUNCTION depot.known_nodes() IS 'this server, and on a primary what the others have reported to it';
